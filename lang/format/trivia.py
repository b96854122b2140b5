"""What stands between two tokens: comments, documentation, blank lines."""

from __future__ import annotations

from typing import Final, NamedTuple


class Comment(NamedTuple):
    """A comment on a line of its own, without the blanks around it; `blank`: an empty line stands before it."""

    text: str
    blank: bool


class Gap(NamedTuple):
    """What stands before a token.

    `trailing` is the comment behind the token before it, "" if there is none; `comments` are those on lines of their
    own, documentation too; `blank` says whether an empty line stands before the token itself, `newline` whether it
    begins a line.
    """

    trailing: str
    comments: tuple[Comment, ...]
    blank: bool
    newline: bool

    @property
    def blank_first(self) -> bool:
        """Whether an empty line stands before all of it."""
        return self.comments[0].blank if self.comments else self.blank

    @property
    def empty(self) -> bool:
        return not self.trailing and not self.comments


_NOTHING: Final = Gap("", (), False, False)
_LINE_END: Final = Gap("", (), False, True)
_BLANK_LINE: Final = Gap("", (), True, True)


def gap(text: str, first: bool = False) -> Gap:
    """The gap that `text` is; `first`: nothing stands on its first line before it."""
    if "#" not in text:
        if "\n" not in text:
            return _NOTHING
        return _LINE_END if text.count("\n") == 1 else _BLANK_LINE
    lines = text.split("\n")
    trailing = "" if first else lines.pop(0).strip(" \t")
    if lines and not lines[-1].strip(" \t"):
        lines.pop()  # the token stands there
    comments: list[Comment] = []
    blank = False
    for line in lines:
        stripped = line.strip(" \t")
        if stripped:
            comments.append(Comment(stripped, blank))
        blank = not stripped
    return Gap(trailing, tuple(comments), blank, True)
