"""Where in a shell script a hole stands: bare, in "…", in '…', in a here-document, or in a comment.

Each place quotes differently, so the literal parts of an `sh` string are scanned in order, by the rules of POSIX
(Shell Command Language, 2.2 Quoting, 2.3 Token Recognition, 2.7.4 Here-Document):
- `\\` takes the next character's meaning away, outside '…';
- `$(…)` and backquotes begin afresh, also inside "…"; `${…}` and `$((…))` go on as outside of them;
- `#` at the beginning of a word begins a comment;
- `<<WORD` begins a here-document on the next line, which ends with the line WORD; `<<-` drops leading tabs;
  with a quoted WORD nothing in it is expanded (`verbatim`).
A hole counts as part of a word.
"""

from __future__ import annotations

import re
from typing import Final

from kiln.lang.core import ShellContext

_HEREDOC: Final = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|((?:\\.|[^\s;&|<>()'\"\\])+))")
_PLAIN: Final = re.compile(r"[^\\'\"`$#(){}<\n]+")
_BOUNDARY: Final = frozenset(" \t\n;&|()<>`")

BARE, DOUBLE, SINGLE, PAREN, BACKQUOTE = "bare", "double", "single", "paren", "backquote"
BRACE, ARITHMETIC = "brace", "arithmetic"
_GO_ON: Final = (BRACE, ARITHMETIC)
"""In `${…}` and `$((…))` quoting goes on as outside of them."""


_DOTTED: Final = re.compile(r"\$\{([A-Za-z_]\w*(?:\.[a-z_]\w*)+)\}")
"""No parameter of a shell's has a dot in its name, so that this can only have been meant for `%{…}`."""


def feed(scanner: Scanner, text: str) -> str | None:
    """Feed a literal part; the first `${a.b}` in it that the shell would have to read as a parameter."""
    if "${" not in text:
        scanner.feed(text)
        return None
    at = 0
    for found in _DOTTED.finditer(text):
        escaped = (found.start() - len(text[: found.start()].rstrip("\\"))) % 2
        scanner.feed(text[at : found.start()])
        if scanner.context in ("bare", "double", "heredoc") and not escaped:
            return found[1]
        at = found.start()
    scanner.feed(text[at:])
    return None


class Scanner:
    """Feed it the literal parts in order; at each hole ask for `context`, then call `hole`."""

    __slots__ = ("_bodies", "_comment", "_document", "_line", "_previous", "_stack")

    def __init__(self) -> None:
        self._stack: list[str] = [BARE]
        self._comment = False
        self._previous = "\n"
        """The character before, which says whether a word begins."""
        self._bodies: list[tuple[str, bool, bool]] = []
        """Here-documents announced on this line: delimiter, tabs dropped, verbatim."""
        self._document: tuple[str, bool, bool] | None = None
        self._line: str | None = ""
        """The line of the here-document so far, or None: it has a hole, and is no delimiter."""

    @property
    def context(self) -> ShellContext:
        if self._document is not None:
            return "verbatim" if self._document[2] else "heredoc"
        if self._comment:
            return "comment"
        return self._quoting()

    def _quoting(self) -> ShellContext:
        for state in reversed(self._stack):
            if state == DOUBLE:
                return "double"
            if state == SINGLE:
                return "single"
            if state not in _GO_ON:
                return "bare"
        return "bare"

    @property
    def delimiter(self) -> str | None:
        """What ends the here-document that the place is in; None outside of one."""
        return None if self._document is None else self._document[0]

    @property
    def wrapped(self) -> str | None:
        """What around the place reads quotes by rules of its own: backquotes, or `${…}` inside "…"."""
        if self._document is not None or self._comment:
            return None
        if BACKQUOTE in self._stack:
            return "backquotes"
        return '"${…}"' if self._stack[-1] == BRACE and self._quoting() == "double" else None

    @property
    def closed(self) -> bool:
        """Nothing that was opened is still open, a comment aside; to be asked at the end."""
        if self._document is not None:
            self._end_line()
        return self._document is None and not self._bodies and self._stack == [BARE]

    def hole(self) -> None:
        self._previous = "x"
        self._line = None

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._document is not None:
                at = self._in_document(text, at)
            elif self._comment:
                at = self._in_comment(text, at)
            elif self._stack[-1] == SINGLE:
                at = self._in_single(text, at)
            else:
                at = self._in_code(text, at)

    # ---- one stretch of text each; all return where it ends ------------------------------------

    def _in_comment(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        if end < 0:
            return len(text)
        self._comment = False
        self._newline()
        return end + 1

    def _in_single(self, text: str, at: int) -> int:
        end = text.find("'", at)
        if end < 0:
            return len(text)
        self._stack.pop()
        self._previous = "'"
        return end + 1

    def _in_document(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        stop = len(text) if end < 0 else end
        if self._line is not None:
            self._line += text[at:stop]
        if end < 0:
            return stop
        self._end_line()
        return end + 1

    def _end_line(self) -> None:
        """A whole line of a here-document has been read: is it the delimiter?"""
        assert self._document is not None
        delimiter, tabs, _ = self._document
        line = self._line
        self._line = ""
        if line is not None and (line.lstrip("\t") if tabs else line) == delimiter:
            self._document = None
            self._previous = "\n"
            self._next_document()

    def _newline(self) -> None:
        self._previous = "\n"
        self._next_document()

    def _next_document(self) -> None:
        if self._bodies:
            self._document = self._bodies.pop(0)
            self._line = ""

    def _in_code(self, text: str, at: int) -> int:
        plain = _PLAIN.match(text, at)
        if plain is not None:
            self._previous = text[plain.end() - 1]
            return plain.end()
        char = text[at]
        top = self._stack[-1]
        begins_word = self._previous in _BOUNDARY
        self._previous = char
        match char:
            case "\\":
                self._previous = "x"
                return at + 2
            case "\n" if self._quoting() == "bare":
                self._newline()
            case '"':
                self._toggle(DOUBLE)
            case "`":
                self._toggle(BACKQUOTE)
            case "'" if self._quoting() == "bare":
                self._stack.append(SINGLE)
            case "#" if begins_word and self._quoting() == "bare" and top not in _GO_ON:
                self._comment = True
            case "$":
                return self._dollar(text, at)
            case "(" if top in (PAREN, ARITHMETIC):
                self._stack.append(PAREN)
            case ")" if top == ARITHMETIC and text.startswith("))", at):
                self._stack.pop()
                return at + 2
            case ")" if top == PAREN:
                self._stack.pop()
            case "}" if top == BRACE:
                self._stack.pop()
            case "<" if self._quoting() == "bare" and ARITHMETIC not in self._stack:
                return self._less(text, at)
        return at + 1

    def _toggle(self, state: str) -> None:
        if self._stack[-1] == state:
            self._stack.pop()
        else:
            self._stack.append(state)

    def _dollar(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if text.startswith("((", at + 1):
            self._stack.append(ARITHMETIC)
            self._previous = "("
            return at + 3
        if following == "(":
            self._stack.append(PAREN)
            self._previous = "("
            return at + 2
        if following == "{":
            self._stack.append(BRACE)
            self._previous = "{"
            return at + 2
        if following in ("#", "$", "?", "!", "*", "@", "-"):
            self._previous = "x"
            return at + 2
        return at + 1

    def _less(self, text: str, at: int) -> int:
        if text.startswith("<<<", at):
            return at + 3
        found = _HEREDOC.match(text, at)
        if found is None:
            return at + 1
        tabs, single, double, word = found.groups()
        quoted = single if single is not None else double
        verbatim = quoted is not None or "\\" in word
        delimiter = quoted if quoted is not None else word.replace("\\", "")
        self._bodies.append((delimiter, tabs == "-", verbatim))
        self._previous = "x"
        return found.end()
