"""Where a declaration's name stands in the text of its file.

Places inside types count from the name of the declaration that they stand in, so that what was found out about a
type holds when the text above it changes; where it stands is looked for when a message shows it. A declaration
begins in column 0 (lang/syntax/chunks.py), and what stands inside a string or a bracket does not.
"""

from __future__ import annotations

import re

from kiln.lang.syntax import chunks


def declared_at(text: str, name: str) -> int | None:
    """The offset of the name that is declared; of the first of several declarations."""
    head = re.compile(
        rf"^(?:pub[ \t\n]+)?(?:extern[ \t\n]+)?(?:fn|let|set|type)[ \t\n]+{re.escape(name)}\b", re.MULTILINE
    )
    _, parts = chunks.split(text)
    for part in parts:
        found = head.search(text, part.start, part.end)
        if found is not None:
            return found.end() - len(name)
    return None
