"""Whole rendered messages.

A file holds cases parted by lines of `====`; a case is Kiln, a line `----`, and the messages. Text before the
first `====` is a comment. With KILN_UPDATE_GOLDEN=1 the second halves are written anew, to be read as a diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kiln.lang.report import render
from tests.types.sources import check_text, modules

FOLDER = Path(__file__).parent / "golden"
UPDATE = os.environ.get("KILN_UPDATE_GOLDEN") == "1"

IMPORTS = """
import "std/cc" as cc;
import "std/fetch" as fetch;
import "toolbox" as tb;
"""


def read() -> list[tuple[Path, int, str, str]]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for number, block in enumerate(path.read_text().split("====\n")[1:]):
            source, _, expected = block.partition("----\n")
            found.append((path, number, source, expected))
    return found


CASES = read()


def rendered(source: str) -> str:
    _, reports = check_text(source, modules())
    return "\n\n".join(render(report) for report in reports) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].stem}-{case[1]}")
def test_message(case: tuple[Path, int, str, str]) -> None:
    path, number, source, expected = case
    found = rendered(source)
    if UPDATE:
        blocks = path.read_text().split("====\n")
        blocks[number + 1] = f"{source}----\n{found}"
        path.write_text("====\n".join(blocks))
        return
    assert found == expected, f"\n{found}"
    assert "error[K0" in found
    assert not re.search(r"TVar|Bound|object at", found), "inner words are no words for a reader"


def test_there_are_enough() -> None:
    codes = {code for *_, expected in CASES for code in re.findall(r"error\[(K\d+)\]", expected)}
    assert len(CASES) >= 90
    assert len(codes) >= 35
