"""What a terminal is shown of a log: text, and nothing that it would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.interpreter.sandbox.escape import escape_for_terminal

SHOWN = {
    b"plain text, tab\tand\nline": "plain text, tab\tand\nline",
    "größer → ✔ 日本".encode(): "größer → ✔ 日本",
    b"\x1b[31merror\x1b[0m: \x1b[1;38;5;9mx\x1b[m": "error: x",
    b"\x1b]0;title\x07": "\\x1b]0;title\\x07",
    b"\x1b[2J\x1b[H": "\\x1b[2J\\x1b[H",
    b"\x1bP$q\x1b\\": "\\x1bP$q\\x1b\\",
    b"\x9b6n": "\\x9b6n",
    "\x9b6n".encode(): "\\x9b6n",
    b"10%\r20%\r\n": "10%\n20%\n",
    b"a\x08\x7f\x00": "a\\x08\\x7f\\x00",
    b"\xff\xfe": "\\xff\\xfe",
    "a\u202eb\u2066c\u2028d\ufeff\u200b".encode(): "a\\u202eb\\u2066c\\u2028d\\ufeff\\u200b",
    b"\xed\xb2\x80": "\\xed\\xb2\\x80",
    b"\x1b[31": "\\x1b[31",
}


@pytest.mark.parametrize("data", SHOWN, ids=repr)
def test_the_text_that_is_shown(data):
    assert escape_for_terminal(data) == SHOWN[data]


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_nothing_that_a_terminal_obeys_is_left(data):
    shown = escape_for_terminal(data)
    shown.encode()
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )
