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
    "K0454": Exit.MACHINE,
    "K0455": Exit.BUILD,
    "K0456": Exit.BUILD,
    "K0501": Exit.HASH,
    "K0502": Exit.LANGUAGE,
    "K0504": Exit.MACHINE,
    "K0505": Exit.MACHINE,
    "K0506": Exit.NETWORK,
    "K0520": Exit.HASH,
    "K0521": Exit.NETWORK,
    "K0650": Exit.INCONCLUSIVE,
    "K0651": Exit.NOT_REPRODUCIBLE,
    "K0652": Exit.NETWORK,
    "K0653": Exit.HASH,
    "K0654": Exit.NETWORK,
    "K0656": Exit.USAGE,
    "K0657": Exit.MACHINE,
    "K0659": Exit.USAGE,
    "K0668": Exit.MACHINE,
    "K0677": Exit.TRUST,
    "K0678": Exit.NETWORK,
    "K0679": Exit.NETWORK,
    "K0670": Exit.NOT_REPRODUCIBLE,
    "K0671": Exit.INCONCLUSIVE,
    "K0680": Exit.USAGE,
    "K0681": Exit.USAGE,
    "K0701": Exit.USAGE,
    "K0702": Exit.USAGE,
    "K0703": Exit.HASH,
    "K0704": Exit.BUILD,
    "K0705": Exit.BUILD,
    "K0907": Exit.LANGUAGE,
    "K0803": Exit.BUILD,
    "K0910": Exit.INTERRUPTED,
}
_GROUPS = {
    "K01": Exit.LANGUAGE,
    "K02": Exit.LANGUAGE,
    "K03": Exit.LANGUAGE,
    "K04": Exit.LANGUAGE,
    "K05": Exit.BUILD,
    "K06": Exit.TRUST,
    "K07": Exit.MACHINE,
    "K08": Exit.MACHINE,
    "K09": Exit.USAGE,
}


def exit_of(code: str) -> Exit:
    """The exit code that an error's stable code stands for."""
    return _EXACT.get(code) or _GROUPS.get(code[:3], Exit.BUG)
