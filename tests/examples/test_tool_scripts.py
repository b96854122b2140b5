"""The toolchain's small shell scripts, taken from the derivations and run: `install`, `cc`, `tcc-ar`, `ld`."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from typing import Final

import pytest
from example_builds import EXAMPLES, exported, load, script

_SCRIPT: Final = re.compile(r"cat > @out0/bin/([a-z-]+) <<'EOF'\n(.*?)\nEOF\n", re.DOTALL)
_TCC: Final = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n'


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    found: dict[str, str] = {}
    derivations = exported(load(os.path.join(EXAMPLES, "all.kiln")))
    for name in ("busybox", "cc"):
        found |= dict(_SCRIPT.findall(script(derivations[name])))
    assert sorted(found) == ["cc", "install", "ld", "tcc-ar"]
    return found


def run(text: str, *arguments: str, folder: str) -> tuple[int, str, str]:
    done = subprocess.run(["/bin/sh", "-c", text, "tool", *arguments], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


# ---- install ------------------------------------------------------------------------------------

INSTALLS = [
    ("a b", {"b": 0o755}),
    ("-m 644 a b", {"b": 0o644}),
    ("-m644 a b", {"b": 0o644}),
    ("--mode=600 a b", {"b": 0o600}),
    ("-c -v -s -p a b", {"b": 0o755}),
    ("-o root -g root a b", {"b": 0o755}),
    ("-cm 644 a b", {"b": 0o644}),
    ("a there", {"there/a": 0o755}),
    ("-m 640 a c there", {"there/a": 0o640, "there/c": 0o640}),
    ("-t there a c", {"there/a": 0o755, "there/c": 0o755}),
    ("-tthere -- a", {"there/a": 0o755}),
    ("-D a new/deep/b", {"new/deep/b": 0o755}),
    ("-Dm600 a new/b", {"new/b": 0o600}),
    ("-D -m 644 -t new/deep a c", {"new/deep/a": 0o644, "new/deep/c": 0o644}),
    ("-m 600 a readonly", {"readonly": 0o600}),
]


@pytest.mark.parametrize(("words", "expected"), INSTALLS)
def test_install_copies(scripts: dict[str, str], tmp_path: object, words: str, expected: dict[str, int]) -> None:
    folder = _folder(str(tmp_path))
    assert run(scripts["install"], *words.split(), folder=folder) == (0, "", "")
    for name, mode in expected.items():
        path = os.path.join(folder, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
        with open(path, encoding="utf-8") as file:
            assert file.read() == ("c\n" if name.endswith("/c") else "a\n")


@pytest.mark.parametrize(("words", "mode"), [("-d one two/three", 0o755), ("-m 700 -d one two/three", 0o700)])
def test_install_makes_folders(scripts: dict[str, str], tmp_path: object, words: str, mode: int) -> None:
    folder = _folder(str(tmp_path))
    assert run(scripts["install"], *words.split(), folder=folder) == (0, "", "")
    for name in ("one", "two/three"):
        assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == mode


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-x a b", "install: unknown option -x"),
        ("a c nowhere", "install: nowhere is not a folder"),
        ("a c -m", "install: -m is not a folder"),
        ("-m", "install: -m wants a value"),
        ("", "install: no file is named"),
        ("a", "install: no destination is named"),
        ("missing b", "missing"),
    ],
)
def test_install_says_what_is_wrong(scripts: dict[str, str], tmp_path: object, words: str, message: str) -> None:
    code, _, error = run(scripts["install"], *words.split(), folder=_folder(str(tmp_path)))
    assert code != 0
    assert message in error


def _folder(path: str) -> str:
    for name in ("a", "c", "readonly"):
        with open(os.path.join(path, name), "w", encoding="utf-8") as file:
            file.write(name + "\n")
    os.chmod(os.path.join(path, "readonly"), 0o444)
    os.mkdir(os.path.join(path, "there"))
    return path


# ---- cc -----------------------------------------------------------------------------------------


@pytest.fixture
def tools(scripts: dict[str, str], tmp_path: object) -> dict[str, str]:
    """The compiler's scripts, with a tcc that prints its arguments."""
    folder = os.path.join(str(tmp_path), "tcc")
    os.makedirs(os.path.join(folder, "bin"))
    with open(os.path.join(folder, "bin", "tcc"), "w", encoding="utf-8") as file:
        file.write(_TCC)
    os.chmod(file.name, 0o755)
    return {name: re.sub(r"(?<!#!)@in[0-9]+", folder, text) for name, text in scripts.items()}


@pytest.mark.parametrize(
    "words", ["-c a.c -o a.o", "-E a.c", "-M a.c", "-v", "--version", "-nostdlib a.o", "-r a.o b.o"]
)
def test_cc_hands_on_what_links_nothing(tools: dict[str, str], tmp_path: object, words: str) -> None:
    assert run(tools["cc"], *words.split(), folder=str(tmp_path)) == (0, words.replace(" ", "\n") + "\n", "")


def test_cc_links_statically_and_with_its_library_last(tools: dict[str, str], tmp_path: object) -> None:
    code, output, _ = run(tools["cc"], "a b.o", "-lm", "-o", "x", folder=str(tmp_path))
    library = os.path.join(str(tmp_path), "tcc", "lib/tcc/libtcc1.a")
    assert (code, output.splitlines()) == (0, ["-static", "a b.o", "-lm", "-o", "x", "-xn", library])


def test_cc_refuses_a_shared_library(tools: dict[str, str], tmp_path: object) -> None:
    code, output, error = run(tools["cc"], "-shared", "a.o", folder=str(tmp_path))
    assert (code, output) == (1, "")
    assert error == "cc: this toolchain links statically and makes no shared library\n"


def test_the_archiver_is_tcc(tools: dict[str, str], tmp_path: object) -> None:
    assert run(tools["tcc-ar"], "rcs", "a.a", "a.o", folder=str(tmp_path))[1] == "-ar\nrcs\na.a\na.o\n"


def test_the_linker_is_for_show(tools: dict[str, str], tmp_path: object) -> None:
    assert run(tools["ld"], "--version", folder=str(tmp_path))[:2] == (0, "tcc links by itself\n")
    code, _, error = run(tools["ld"], "a.o", folder=str(tmp_path))
    assert (code, error) == (1, "ld: link with cc: this toolchain has no linker of its own\n")
