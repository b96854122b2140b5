"""The programs that mutations and fuzzing start from: the library, the examples, the cases of types, the samples."""

from __future__ import annotations

import functools
import glob
import os
import re

from kiln.lang.syntax import chunks
from tests.types.cases_file import read_cases

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
_LOCAL = re.compile(r'(?m)^import "(?!std/)')


@functools.cache
def programs() -> tuple[str, ...]:
    """Whole files that import the library alone, sorted by where they come from."""
    from pathlib import Path

    found: list[str] = []
    for pattern in ("stdlib/*.kiln", "examples/*.kiln", "tests/types/modules/*.kiln"):
        for path in sorted(glob.glob(os.path.join(REPOSITORY, pattern))):
            with open(path, encoding="utf-8") as file:
                found.append(file.read())
    for path in sorted(glob.glob(os.path.join(REPOSITORY, "tests/types/cases/*.md"))):
        found += [re.sub(r"(?m) +# (revealed|error):.*$", "", case.text) for case in read_cases(Path(path))]
    with open(os.path.join(REPOSITORY, "docs/spec/language.md"), encoding="utf-8") as file:
        found += re.findall(r"(?ms)^```kiln[^\n]*\n(.*?)^```$", file.read())
    return tuple(text for text in found if not _LOCAL.search(text))


@functools.cache
def declarations() -> tuple[str, ...]:
    """Every declaration of `programs`, once."""
    found: dict[str, None] = {}
    for text in programs():
        for part in chunks.split(text)[1]:
            found[text[part.start : part.end].strip() + "\n"] = None
    return tuple(found)


@functools.cache
def small_programs() -> tuple[str, ...]:
    """Those of less than 2,500 characters, which a mutation changes the sense of."""
    return tuple(text for text in programs() if len(text) < 2500)
