"""A walk over a declaration's tokens that makes a document of them: every token once, in order, with its comments.

What is printed is the source's own tokens, so that names, numbers, strings and parentheses come out as they were
written; the tree (through nodes.py) says where lines may end. A node's writer is a generator, which yields the nodes
and writers that come next in it: `Writer.run` keeps them on a stack of its own, whatever the depth.

    trailing comments   behind their token, as soon as the next operation doesn't merely close a group
    other comments      before the next token, each on a line of its own; before a separator they go behind it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, Final, NamedTuple, TypeAlias

from kiln.lang.format import document as d
from kiln.lang.format.trivia import Gap, gap
from kiln.lang.syntax.tokens import KIND, KINDS, Tokens

Steps: TypeAlias = Iterator[Any]  # of nodes of ast.py, and of further Steps

MAX_INDENTATION: Final = 1000
_DOC: Final = KIND["DOC"]


class TooDeep(Exception):
    """A node at `start` is nested more deeply than any layout can show."""

    def __init__(self, start: int) -> None:
        self.start = start


class FormatterBug(Exception):
    """The formatter's own mistake: what it would have written is not what it read. Nothing was written."""


class Writer:
    """The tokens of one declaration, `at` the next one to be printed, and the document made so far."""

    __slots__ = (
        "_due", "_led", "_level", "at", "doc", "ends", "flat", "gaps", "hugs", "kinds", "pads", "starts", "text",
    )  # fmt: skip

    def __init__(self, text: str, tokens: Tokens) -> None:
        kept = [index for index, kind in enumerate(tokens.kinds) if kind != _DOC]
        self.text = text
        self.kinds = [tokens.kinds[index] for index in kept]
        self.starts = [tokens.starts[index] for index in kept]
        self.ends = [tokens.ends[index] for index in kept]
        starts, ends = self.starts, [0, *self.ends]
        self.gaps = [gap(text[ends[i] : start], first=i == 0) for i, start in enumerate(starts)]  # before each token
        self.at = 0
        self.doc = d.Document()
        self.flat = 0  # above 0, all is printed on one line
        self.hugs: list[int] = []  # the groups that may be hugged up to a point which is still to come
        self.pads: list[Pad] = []  # the signs of the present list, see align.py
        self._due = False  # whether the last token's trailing comment is still to be printed
        self._led = -1  # the token whose comments are printed
        self._level = 0

    def run(self, steps: Steps, steps_of: Callable[[Writer, Any], Steps]) -> None:
        """Run a writer and all that it yields."""
        stack = [steps]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
            else:
                stack.append(below if type(below) is GeneratorType else steps_of(self, below))

    def mark(self) -> Mark:
        """Where the document and the tokens have got to."""
        return Mark(len(self.doc.kinds), self.at)

    # ---- looking ahead --------------------------------------------------------------------------

    @property
    def next_gap(self) -> Gap:
        """What stands before the next token."""
        return self.gaps[self.at]

    def spelling(self, index: int) -> str:
        return self.text[self.starts[index] : self.ends[index]]

    def sees(self, name: str) -> bool:
        """Whether the next token is of this kind."""
        return KINDS[self.kinds[self.at]] == name

    def parenthesised(self, start: int) -> bool:
        """Whether a bracket stands before the node that begins at `start` and comes next."""
        return self.starts[self.at] < start

    def has_comments(self, end: int) -> bool:
        """Whether a comment stands between the next token and the node's last, or before brackets that close it."""
        index = self.at + 1
        while self.starts[index] < end or self.spelling(index) == ")":
            if not self.gaps[index].empty:
                return True
            index += 1
        return False

    # ---- tokens ---------------------------------------------------------------------------------

    def word(self, spelling: str | None = None) -> None:
        """Print the next token, as `spelling` if that differs from the source's by blanks alone."""
        self.lead()
        self.doc.add(d.TEXT, spelling if spelling is not None else self.spelling(self.at))
        self.passed()

    def sign(self, text: str) -> None:
        """Print the next token, which must be this one."""
        if self.spelling(self.at) != text:
            raise FormatterBug(f"expected the token {text!r}, found {self.spelling(self.at)!r}")
        self.word()

    def separator(self, text: str) -> None:
        """Print `,` or `;` at once, and then the comments that stood before it."""
        if self.spelling(self.at) != text:
            raise FormatterBug(f"expected the separator {text!r}, found {self.spelling(self.at)!r}")
        self.text_(text)
        self._comments()
        self.passed()

    def skip(self) -> None:
        """Leave the next token out, a comma: its comments stay."""
        self._flush()
        self._comments()
        self.passed()

    def passed(self) -> None:
        """The next token is printed."""
        self.at += 1
        self._due = not self.flat

    def bar(self) -> None:
        """Print the `|` of a variant, behind the documentation that may stand on either side of it."""
        self.lead()
        behind = self.gaps[self.at + 1]
        if behind.trailing:
            self.doc.add(d.COMMENT, behind.trailing, d.OWN_LINE)
        for comment in behind.comments:
            self.doc.add(d.COMMENT, comment.text, d.OWN_LINE)
        self.sign("|")
        self._due, self._led = False, self.at

    def resume(self) -> None:
        """What was printed on one line has ended: comments may follow."""
        self._due = not self.flat

    def finish(self) -> None:
        """Print the comment behind the last token."""
        self._flush()
        if self.kinds[self.at] != KIND["$END"]:
            raise FormatterBug(f"the declaration goes on with {self.spelling(self.at)!r}")

    # ---- comments -------------------------------------------------------------------------------

    def lead(self, first: bool = False, last: bool = False) -> None:
        """Print the comments before the next token, if that hasn't been done.

        `first`: nothing stands before them in their brackets, and `last`: nothing behind, so no empty line does.
        """
        if self._due:
            self._flush()
        if self._led != self.at and not self.flat:
            found = self.gaps[self.at]
            if found.comments:
                self._comments(first)
                if found.blank and not last:
                    self.doc.add(d.HARD, "", d.BLANK)

    def _comments(self, first: bool = False) -> None:
        if self._led == self.at or self.flat:
            return
        self._led = self.at
        for index, comment in enumerate(self.next_gap.comments):
            blank = comment.blank and not (first and index == 0)
            self.doc.add(d.COMMENT, comment.text, d.OWN_LINE | (d.BLANK if blank else 0))

    def _flush(self) -> None:
        if self._due:
            self._due = False
            found = self.gaps[self.at]
            if found.trailing:
                self.doc.add(d.COMMENT, found.trailing, 0)

    # ---- layout ---------------------------------------------------------------------------------

    def text_(self, text: str) -> None:
        self._flush()
        self.doc.add(d.TEXT, text)

    def line(self, text: str = " ", blank: bool = False) -> None:
        """`text` on one line, or a line end, with an empty line behind it if `blank`."""
        self._flush()
        if self.flat:
            self.doc.add(d.TEXT, text)
        else:
            self.doc.add(d.LINE, text, d.BLANK if blank else 0)

    def hard(self, blank: bool = False) -> None:
        """A line end, unless all is on one line."""
        self._flush()
        if self.flat:
            self.doc.add(d.TEXT, " ")
        else:
            self.doc.add(d.HARD, "", d.BLANK if blank else 0)

    def open(self, inside: bool = False) -> int:
        """Begin a group; `inside`: the last token's comment belongs into it."""
        if not inside:
            self._flush()
        return self.doc.open()

    def close(self) -> None:
        self.doc.close()

    def indent(self) -> None:
        self._level += 1
        if self._level > MAX_INDENTATION:
            raise TooDeep(self.starts[self.at])
        self.doc.add(d.INDENT)

    def dedent(self) -> None:
        self._level -= 1
        self.doc.add(d.DEDENT)

    def comma(self) -> None:
        """A comma if the present group is broken; the comments of what stands before it come behind it."""
        if not self.flat:
            self._flush()
            self.doc.add(d.COMMA)

    def force(self) -> None:
        """Break the groups around this."""
        if not self.flat:
            self.doc.add(d.FORCE)

    # ---- hugging --------------------------------------------------------------------------------

    def take_hugs(self) -> list[int]:
        """The groups that wait for a point to be hugged at, which the caller will give them."""
        hugs, self.hugs = self.hugs, []
        return hugs

    def give_hugs(self, groups: list[int], hugged: int = -1) -> None:
        """Everything before this may be hugged; `hugged` is the group around what comes."""
        for number in groups:
            group = self.doc.groups[number]
            group.hug, group.hugged = len(self.doc.kinds), hugged


class Mark(NamedTuple):
    """An operation of the document and a token, both the next ones."""

    operation: int
    token: int


class Pad:
    """A sign that may be aligned with those of the lines around it: where its blanks go in the document."""

    __slots__ = ("apart", "at", "blanks", "document", "row", "shape", "width", "written")

    def __init__(self, document: d.Document, width: int | None, written: int, blanks: int, shape: str) -> None:
        self.document = document
        self.at = len(document.kinds)
        self.width = -1 if width is None else width  # of what stands before it, below 0 where that is not on one line
        self.written = written  # the same in the source
        self.blanks = blanks  # before it in the source
        self.shape = shape
        self.row = -1
        self.apart = False  # whether a comment or an empty line stands before its line
