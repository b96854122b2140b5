"""Checking pieces of Kiln in tests: the library's prelude and the small modules beside this file."""

from __future__ import annotations

import functools
from pathlib import Path

from kiln.lang.check.check import Checked, check_module
from kiln.lang.check.interface import Interface
from kiln.lang.report import Report
from kiln.lang.syntax.parser import parse_module

HERE = Path(__file__).parent
STDLIB = HERE.parents[1] / "stdlib"
MODULES = ("cc", "fetch", "oci", "system", "toolbox", "tools")


def check_text(
    text: str, imports: dict[str, Interface], module_id: str = "/case.kiln", path: str = "case.kiln"
) -> tuple[Checked, tuple[Report, ...]]:
    """What the checker makes of a file, and the reports of the parser and the checker."""
    module, reports = parse_module(path, text)
    checked = check_module(module, module_id, imports)
    return checked, reports + checked.reports


def library(name: str, imports: dict[str, Interface], path: Path) -> Interface:
    checked, reports = check_text(path.read_text(), imports, name, f"{name}.kiln")
    assert not reports, [(r.code, r.title, r.notes) for r in reports]
    return checked.interface


@functools.cache
def prelude() -> Interface:
    return library("std/prelude", {}, STDLIB / "prelude.kiln")


@functools.cache
def _modules() -> dict[str, Interface]:
    known = {"std/prelude": prelude()}
    for name in MODULES:
        known[f"std/{name}"] = library(f"std/{name}", known, HERE / "modules" / f"{name}.kiln")
    known["toolbox"] = known["std/toolbox"]
    return known


def modules() -> dict[str, Interface]:
    return dict(_modules())
