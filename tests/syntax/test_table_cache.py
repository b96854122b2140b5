"""The parse table is cached whole or not at all, and lark is imported only without it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kiln.lang.syntax import table

_PROGRAM = """
import sys
from kiln.lang.syntax.parser import parse_module
module, reports = parse_module("a.kiln", "let x = 1 + 2;")
assert not reports and len(module.chunks) == 1
print("lark" in sys.modules)
"""


def imports_lark(cache: str) -> bool:
    env = dict(os.environ, XDG_CACHE_HOME=cache)
    run = subprocess.run([sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True, check=True)
    return run.stdout.strip() == "True"


@pytest.fixture
def cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return str(tmp_path)


def cached_file(cache: str) -> str:
    (name,) = os.listdir(os.path.join(cache, "kiln"))
    return os.path.join(cache, "kiln", name)


def test_lark_is_imported_once(cache: str) -> None:
    assert imports_lark(cache)
    assert not imports_lark(cache)


def test_a_table_survives_its_bytes(cache: str) -> None:
    built = table.load()
    assert table.decode(table.encode(built)) == built
    assert table.load() == built


def test_numbers_depend_on_the_grammar_alone() -> None:
    program = (
        "import hashlib; from kiln.lang.syntax import table; "
        "print(hashlib.sha256(table.encode(table.build(open(table.GRAMMAR_PATH).read()))).hexdigest())"
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


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other", "folder"])
def test_a_damaged_file_is_made_again(cache: str, damage: str) -> None:
    expected = table.load()
    path = cached_file(cache)
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    if damage == "folder":
        os.mkdir(path)
    else:
        bad = {
            "empty": b"",
            "short": data[: len(data) // 2],
            "flipped": data[:-9] + b"?" + data[-8:],
            "other": b"x" * 999,
        }
        with open(path, "wb") as file:
            file.write(bad[damage])
    assert table.load() == expected
    if damage != "folder":
        with open(path, "rb") as file:
            assert file.read() == data


@pytest.mark.parametrize("position", range(0, 90, 7))
def test_no_flipped_bit_is_taken(cache: str, position: int) -> None:
    table.load()
    with open(cached_file(cache), "rb") as file:
        data = bytearray(file.read())
    data[position] ^= 4
    with pytest.raises(table.BadTable):
        table.decode(bytes(data))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = os.path.join(str(tmp_path), "file")
    with open(blocked, "w", encoding="utf-8"):
        pass
    monkeypatch.setenv("XDG_CACHE_HOME", blocked)
    assert table.load().productions
    assert os.listdir(str(tmp_path)) == ["file"]


def test_nothing_temporary_is_left(cache: str) -> None:
    table.load()
    assert [name for name in os.listdir(os.path.join(cache, "kiln")) if not name.endswith(".table")] == []


def test_a_relative_cache_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/cache")
    monkeypatch.setenv("HOME", "/nowhere")
    assert table.cache_folder() == "/nowhere/.cache/kiln"


def test_the_key_follows_lark_and_the_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    import lark

    assert table.lark_version() == lark.__version__
    one = table.cache_key("start: NAME")
    assert one != table.cache_key("start: NAME ")
    monkeypatch.setattr(table, "lark_version", lambda: "0.0")
    assert one != table.cache_key("start: NAME")
