"""How the work of something grows, without a clock: the calls of Python functions that it makes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType


def calls(work: Callable[[], object]) -> int:
    """How many Python functions are called, and generators resumed, while `work` runs, in its threads, too."""
    count = 0

    def seen(frame: FrameType, event: str, value: object) -> None:
        nonlocal count
        if event == "call":
            count += 1

    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return count


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Whether twice the size takes about twice the calls, and not four times: the first run pays for what is once."""
    work(size // 4)
    return calls(lambda: work(2 * size)) < 2.6 * calls(lambda: work(size))
