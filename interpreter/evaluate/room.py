"""Memory that an evaluation without a budget may take: most of what the machine has to spare.

A value that grows on every step would otherwise take all of it, and then the kernel ends some process, perhaps this
one. With a bound (RLIMIT_DATA) Python gets no more at some point, and says so; that is K0413.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_SHARE: Final = 0.75
_CGROUPS: Final = "/sys/fs/cgroup"


@contextmanager
def bounded_memory() -> Iterator[None]:
    """For what is done inside. Where a bound is set that is lower, that one stays."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    spare = spare_memory()
    if spare is not None:
        bound = data_size() + int(spare * _SHARE)
        lower = [limit for limit in (*limits, bound) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(lower), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def data_size() -> int:
    """What RLIMIT_DATA counts, in bytes: proc(5), the sixth field of statm, which holds stacks too."""
    return int(_text("/proc/self/statm").split()[5]) * resource.getpagesize()


def spare_memory() -> int | None:
    """Bytes that the machine, and the control group of this process, have left; None where neither says."""
    found: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        found.append(int(_text("/proc/meminfo").split("MemAvailable:", 1)[1].split()[0]) << 10)
    with suppress(OSError, ValueError, IndexError):
        own = _text("/proc/self/cgroup").split("0::", 1)[1].split("\n", 1)[0]
        folder = _CGROUPS + own.rstrip("/")
        found.append(int(_text(folder + "/memory.max")) - int(_text(folder + "/memory.current")))
    return max(0, min(found)) if found else None


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
