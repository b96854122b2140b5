"""Tests of the command line as text: commands, what they print, how they end, and the files they work on.

    # prose
    needs shell
    $ kiln realise main.kiln --no-link
    out [STORE]/[HASH]-greeting.txt
    err ✔ default: 1 built ([...]s)
    exit 0
    json data.results.0.target "default"
    -- main.kiln --
    pub let default: Out(File) = write_file("greeting.txt", "hello");

The script ends at the first `-- NAME --`; files follow, in the manner of txtar. A command is `kiln …`, `realise …`
(the alias), or any program; `NAME=VALUE` may stand before it. What follows a command says what is to come of it:

    out LINE     the lines of stdout are exactly these, in this order; `out ...` stands for any number of them
    err LINE     stderr has this line, after those of the `err` lines above it
    never TEXT   neither stdout nor stderr holds this text (Python's escapes: \\x1b)
    exit N       the exit code, 0 where nothing is said
    json A.B V   stdout is one JSON document, in which A.B is V (JSON); the other lines of `out` are not compared
    err!         stderr is empty

In LINE, `[...]` stands for anything, `[HASH]` for the hash of a store path, `[HEX]` for hexadecimal digits, `[STORE]`
for the folder of this host's objects, `[WORK]` for the folder where the commands run; commands and files may hold
`[WORK]` too.

`needs shell` gives the user a store with busybox in it and mirrors on disk; without it there is nothing to build
with, and no network.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from tests.support.home import Done, Home

_FILE = re.compile(r"^-- (.+) --$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")
_WILD = {"[...]": r".*", "[HASH]": r"[0-9a-z]{32}", "[HEX]": r"[0-9a-f]+"}


@dataclass(slots=True)
class Step:
    """One command, and what is to come of it. `line` is the command's, counted from 1."""

    line: int
    words: list[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    json: list[tuple[str, Any]] = field(default_factory=list)
    code: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """A script with its files."""

    needs: frozenset[str]
    steps: tuple[Step, ...]
    files: dict[str, str]


def parse_script(text: str) -> Script:
    """Raises ValueError, with the line."""
    head, *rest = _FILE.split(text)
    files = {name: body.removeprefix("\n") for name, body in zip(rest[::2], rest[1::2], strict=True)}
    needs: set[str] = set()
    steps: list[Step] = []
    for number, line in enumerate(head.splitlines(), 1):
        word, _, value = line.partition(" ")
        if word == "needs":
            needs.add(value)
        elif word == "$":
            steps.append(Step(number, shlex.split(value)))
        elif line.strip() and word != "#" and (not steps or not _expect(steps[-1], word, value)):
            raise ValueError(f"line {number}: {line}")
    return Script(frozenset(needs), tuple(steps), files)


def _expect(step: Step, word: str, value: str) -> bool:
    match word:
        case "out":
            step.out.append(value)
        case "err":
            step.err.append(value)
        case "err!":
            step.silent = True
        case "never":
            step.never.append(value.encode().decode("unicode_escape"))
        case "exit":
            step.code = int(value)
        case "json":
            place, _, wanted = value.partition(" ")
            step.json.append((place, json.loads(wanted)))
        case _:
            return False
    return True


def run_script(script: Script, home: Home) -> None:
    """Run it, and compare. Raises AssertionError."""
    for name, text in script.files.items():
        home.write(name, text.replace("[WORK]", home.work))
    for step in script.steps:
        done = _run(step, home)
        shown = f"line {step.line}: {shlex.join(step.words)}\n--- stdout\n{done.out}\n--- stderr\n{done.err}"
        assert done.code == step.code, f"exit code {done.code}, not {step.code}\n{shown}"
        if step.json:
            _compare_json(step, done, shown)
        else:
            assert _matches(step.out, done.lines, home), f"stdout is not {step.out}\n{shown}"
        missing = _missing(step.err, done.err.splitlines(), home)
        assert missing is None, f"stderr lacks: {missing}\n{shown}"
        assert not (step.silent and done.err), f"stderr is not empty\n{shown}"
        for text in step.never:
            assert text not in done.out + done.err, f"{text!r} is printed\n{shown}"


def _run(step: Step, home: Home) -> Done:
    words = [word.replace("[WORK]", home.work) for word in step.words]
    env: dict[str, str] = {}
    while _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if words[0] == "kiln":
        return home.kiln(*words[1:], env=env)
    if words[0] == "realise":
        entry = "import sys; from kiln.__main__ import realise; realise()"
        return home.run([sys.executable, "-c", entry, *words[1:]], env=env)
    return home.run(words, env=env)


def _pattern(line: str, home: Home) -> re.Pattern[str]:
    known = {**_WILD, "[STORE]": re.escape(home.objects), "[WORK]": re.escape(home.work)}
    parts = re.split("(" + "|".join(map(re.escape, known)) + ")", line)
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


def _matches(wanted: list[str], lines: list[str], home: Home) -> bool:
    """Whether lines are what is wanted, `...` standing for any number of them."""
    if not wanted:
        return not lines
    first, *rest = wanted
    if first == "...":
        return any(_matches(rest, lines[start:], home) for start in range(len(lines) + 1))
    return bool(lines) and bool(_pattern(first, home).fullmatch(lines[0])) and _matches(rest, lines[1:], home)


def _missing(wanted: list[str], lines: list[str], home: Home) -> str | None:
    rest = iter(lines)
    for line in wanted:
        pattern = _pattern(line, home)
        if not any(pattern.fullmatch(found) for found in rest):
            return line
    return None


def _compare_json(step: Step, done: Done, shown: str) -> None:
    document = done.document
    for place, wanted in step.json:
        found: Any = document
        for key in place.split("."):
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, TypeError):
                found = None
                break
        assert found == wanted, f"{place} is {found!r}, not {wanted!r}\n{shown}"
