"""The format of the Markdown cases: prose, and code blocks whose lines say what the checker finds there.

    ```kiln                         a module of its own
    let x = [1, 2];                 # revealed: List(Int)
    let y: Str = 1;                 # error: K0301 `y` isn't a Str
    ```

`# revealed: T` is the type of the item, or of the set's member, that begins on the line. `# error: CODE REGEX`
is a report that points at the line; the expression is searched for in its title, label, notes and help. Every
report of a block must be named. A block ```kiln ./name.kiln is a module that the blocks below it, up to the
next heading, may import.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```kiln *(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REVEALED = re.compile(r"# revealed: (.*)$")
_ERROR = re.compile(r"# error: (K\d{4}) ?(.*)$")


@dataclass(frozen=True)
class Expected:
    line: int
    code: str
    pattern: str


@dataclass(frozen=True)
class Case:
    """One block: `name` says where it stands; `modules` are those that it may import."""

    name: str
    text: str
    modules: tuple[tuple[str, str], ...]
    revealed: tuple[tuple[int, str], ...]
    errors: tuple[Expected, ...]


def read_cases(path: Path) -> Iterator[Case]:
    text = path.read_text()
    modules: list[tuple[str, str]] = []
    heading = ""
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        if part.startswith("#"):
            heading = part.split("\n", 1)[0].lstrip("# ")
            modules = []
        for number, block in enumerate(_BLOCK.finditer(part), 1):
            module, code = block.groups()
            if module:
                modules.append((module, code))
            else:
                yield _case(f"{path.stem}: {heading} {number}", code, tuple(modules))


def _case(name: str, code: str, modules: tuple[tuple[str, str], ...]) -> Case:
    revealed: list[tuple[int, str]] = []
    errors: list[Expected] = []
    for number, line in enumerate(code.splitlines(), 1):
        found = _REVEALED.search(line)
        if found:
            revealed.append((number, found.group(1).strip()))
        wanted = _ERROR.search(line)
        if wanted:
            errors.append(Expected(number, wanted.group(1), wanted.group(2).strip()))
    return Case(name, code, modules, tuple(revealed), tuple(errors))
