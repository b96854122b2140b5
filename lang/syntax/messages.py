"""placeholder"""

from __future__ import annotations
from kiln.lang.report import Place, Report
from kiln.lang.syntax.mistakes import Mistake


def report(mistake: Mistake, path: str, text: str, offset: int, follows: int | None = None) -> Report:
    return Report("K0101", repr(mistake), Place(path, text, mistake.start + offset, mistake.end + offset))
