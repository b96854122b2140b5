"""Exit codes, and which mistake ends in which: known here and nowhere else."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    OK = 0
    USAGE = 2
    LANGUAGE = 3
    BUILD = 4
    HASH = 5
    TRUST = 6
    NOT_REPRODUCIBLE = 7
    INCONCLUSIVE = 8
    NETWORK = 9
    MACHINE = 10
    BUG = 70
    INTERRUPTED = 130


_EXACT = {
    "K0450": Exit.BUILD,
    "K0451": Exit.BUILD,
    "K0452": Exit.BUILD,
    "K0453": Exit.BUILD,
    "K0501": Exit.HASH,
    "K0702": Exit.USAGE,
    "K0704": Exit.BUILD,
    "K0705": Exit.BUILD,
    "K0703": Exit.HASH,
}
_GROUPS = {
    "K01": Exit.LANGUAGE,
    "K02": Exit.LANGUAGE,
    "K03": Exit.LANGUAGE,
    "K04": Exit.LANGUAGE,
    "K05": Exit.NETWORK,
    "K06": Exit.TRUST,
    "K07": Exit.MACHINE,
    "K08": Exit.MACHINE,
    "K09": Exit.USAGE,
}


def exit_of(code: str) -> Exit:
    """The exit code that an error's stable code stands for."""
    return _EXACT.get(code) or _GROUPS.get(code[:3], Exit.BUG)
