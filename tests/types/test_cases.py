"""The Markdown cases beside this file (the format is in cases_file.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kiln.lang.check.check import Checked
from kiln.lang.check.infos import SetInfo
from kiln.lang.check.show import Printer
from kiln.lang.report import Report
from tests.types.cases_file import Case, read_cases
from tests.types.sources import check_text, modules

CASES = [case for path in sorted((Path(__file__).parent / "cases").glob("*.md")) for case in read_cases(path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    imports = modules()
    for source, text in case.modules:
        checked, reports = check_text(text, imports, f"/{source.removeprefix('./')}", source)
        assert not reports, [shown(r) for r in reports]
        imports[source] = checked.interface
    checked, reports = check_text(case.text, imports)
    found = [(r.place.position()[0] if r.place else 0, r) for r in reports]
    for wanted in case.errors:
        match = next((pair for pair in found if pair[0] == wanted.line), None)
        assert match is not None, f"line {wanted.line}: no error; found {[(n, shown(r)) for n, r in found]}"
        found.remove(match)
        report = match[1]
        assert report.code == wanted.code, shown(report)
        assert re.search(wanted.pattern, shown(report)), shown(report)
    assert not found, [(n, shown(r)) for n, r in found]
    for line, type_ in case.revealed:
        assert revealed(checked, case.text, line) == type_


def shown(report: Report) -> str:
    others = [label for _, label in report.others]
    return "\n".join([f"{report.code}: {report.title}", report.label, *report.notes, *others, report.help or ""])


def revealed(checked: Checked, text: str, line: int) -> str:
    """The type of the item or member whose name stands on the line."""
    written = text.splitlines()[line - 1]
    found = re.match(r"\s*(?:pub )?(?:extern )?(?:let|fn)?\s*([a-z_][A-Za-z0-9_]*)", written)
    assert found is not None, written
    name = found.group(1)
    if name in checked.core.types:
        return checked.core.types[name]
    for info in checked.interface.infos.values():
        if isinstance(info, SetInfo) and name in info.members:
            return Printer(checked.interface.module).full(info.members[name].type)
    raise AssertionError(f"{name} has no type")


def test_the_cases_were_found() -> None:
    assert sum(len(case.revealed) + len(case.errors) for case in CASES) > 250
