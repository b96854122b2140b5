"""The parse table that is kept is the grammar's; lark is imported only without it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kiln.lang.syntax import grammar, table

_PROGRAM = """
import sys
from kiln.lang.syntax.parser import parse_module
module, reports = parse_module("a.kiln", "let x = 1 + 2;")
assert not reports and len(module.chunks) == 1
print("lark" in sys.modules)
"""


def text() -> str:
    with open(table.GRAMMAR_PATH, encoding="utf-8") as file:
        return file.read()


def kept() -> bytes:
    with open(table.TABLE_PATH, "rb") as file:
        return file.read()


def test_what_is_kept_is_the_grammars_table() -> None:
    """If not: `python -m kiln.lang.syntax.grammar`."""
    assert table.decode(kept(), text()) == grammar.build(text())


def test_lark_is_not_imported() -> None:
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_table_survives_its_bytes() -> None:
    built = table.load()
    assert table.decode(grammar.encode(built, text()), text()) == built


def test_numbers_depend_on_the_grammar_alone() -> None:
    program = (
        "import hashlib; from kiln.lang.syntax import grammar, table; text = open(table.GRAMMAR_PATH).read(); "
        "print(hashlib.sha256(grammar.encode(grammar.build(text), text)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("damage", ["absent", "empty", "short", "flipped", "other", "folder"])
def test_without_a_whole_table_lark_makes_it(tmp_path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    data = kept()
    path = tmp_path / "table.bin"
    monkeypatch.setattr(table, "TABLE_PATH", str(path))
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        bad = {
            "empty": b"",
            "short": data[: len(data) // 2],
            "flipped": data[:-9] + b"?" + data[-8:],
            "other": b"x" * 999,
        }
        path.write_bytes(bad[damage])
    assert table.load() == table.decode(data, text())


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_no_flipped_bit_is_taken(position: int) -> None:
    data = bytearray(kept())
    data[position] ^= 4
    with pytest.raises(table.BadTable):
        table.decode(bytes(data), text())


def test_the_table_of_another_grammar_is_not_taken() -> None:
    with pytest.raises(table.BadTable):
        table.decode(kept(), text() + "\n")
