"""Whole messages about remote modules and locks, as golden files. KILN_UPDATE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import pytest
from pinned import Folders, lock_of, pin_of, shown, write

from kiln.interpreter import pinmistakes
from kiln.interpreter.evaluate.codes import CODES
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.lock import render_pin
from kiln.interpreter.modules import Loader
from kiln.lang.report import CompileError

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "messages.txt")
_FILE = re.compile(r"(?m)^-- (.+) --\n")


class Case(NamedTuple):
    place: int
    program: str
    expected: str

    def files(self) -> dict[str, str]:
        _, *rest = _FILE.split(self.program)
        text = dict(zip(rest[::2], rest[1::2], strict=True))
        return {name: _filled(body) for name, body in text.items()}


def _filled(text: str) -> str:
    text = re.sub(r"\[lock([^\]]*)\]\n", lambda found: lock_of(*found[1].split()), text)
    return re.sub(r"\[pin ([^\]]*)\]", lambda found: render_pin(pin_of(found[1])), text)


def parts() -> list[str]:
    with open(GOLDEN, encoding="utf-8") as file:
        return re.split(r"(?m)^====\n", file.read())


def cases() -> list[Case]:
    halves = [part.split("----\n", 1) for part in parts()[1:]]
    return [Case(place, program, expected) for place, (program, expected) in enumerate(halves, 1)]


def message(files: dict[str, str], base: str) -> str:
    write(base, {f"trees{name[1:]}" if name[0] == "@" else f"project/{name}": text for name, text in files.items()})
    os.makedirs(os.path.join(base, "trees"), exist_ok=True)
    with pytest.raises(CompileError) as caught:
        program = Loader(trees=Folders(os.path.join(base, "trees"))).load("main.kiln")
        Evaluator(program, None).value(program.root, "default")
    return shown(caught.value)


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.place))
def test_message(case, tmp_path):
    files = case.files()
    files = {name.replace("@", "@/"): text for name, text in files.items()}
    found = message(files, str(tmp_path)) + "\n"
    assert str(tmp_path) not in found
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        whole = parts()
        whole[case.place] = f"{case.program}----\n{found}"
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.write("====\n".join(whole))
    else:
        assert found == case.expected


def test_every_code_is_explained():
    with open(pinmistakes.__file__, encoding="utf-8") as file:
        used = set(re.findall(r'"(K02\d\d)"', file.read()))
    assert used == {"K0206", "K0220", "K0221", "K0222", "K0223"}
    assert used <= CODES.keys()
