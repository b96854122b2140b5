"""Work without the search for garbage.

Syntax trees, types and values hardly ever form circles, and there are millions of them: looking through them again
and again for some took a third of the time of a large file.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected(*, keep: bool = False) -> Iterator[None]:
    """No search meanwhile. `keep` says that what is there at the end stays until the process ends: nor later."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if keep:
            gc.freeze()
        if collecting:
            gc.enable()
