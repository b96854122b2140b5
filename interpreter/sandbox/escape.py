"""Showing what a builder wrote without doing what it says.

A log is kept as it came. A terminal obeys control characters: they move the cursor, set the title, answer as if the
user had typed, or hide text. So at display every one is shown as a backslash escape, but for line feed and tab;
colours (SGR sequences, ECMA-48 section 8.3.117) are left out, as they say nothing.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# C0 without tab and line feed, DEL, C1; then what turns, hides or breaks lines: marks of direction, line and
# paragraph separators, the byte order mark; and single bytes that were no UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\udc80-\udcff]"
)


def escape_for_terminal(data: bytes) -> str:
    """`data` as text that a terminal shows and does not obey; a carriage return begins a new line."""
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    return _UNSAFE.sub(_escape, _COLOUR.sub("", text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code >= 0xDC80:
        return f"\\x{code - 0xDC00:02x}" if code < 0xE000 else f"\\u{code:04x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
