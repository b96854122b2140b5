"""Characters to tokens: one master expression, and a stack of the strings whose holes are open.

Outside strings each match of MASTER is one token with the blanks and comments before it. At a quote the body of the
string is read by an expression of its own, up to the closing quote or to `%{`, which opens a hole: then the
master expression goes on, and the `}` that closes the hole (braces inside it are counted) returns to the body.
So a hole nests to any depth, and nothing here recurses.

What is wrong with a text is worked out by lexical.py, which is imported where it is needed and not before.

Three things hang on the neighbours of a word, since the grammar alone can't say them with one token of lookahead:
- a reserved word behind `.` is a NAME, and in front of `=`, `+=`, `?=`, `:`, `?:` or `.` a KEYLABEL;
- `as from where extends` are keywords only behind something that ends an operand, `extern` only at the
  beginning: two operands never stand side by side, so everywhere else they are ordinary names;
- a name that touches a quote is the string's tag (`sh"…"`), a keyword that does (`then"a"`) is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from kiln.lang.syntax.tokens import KEYWORDS, KIND, OPERAND_ENDS, OPERATORS, PUNCTUATION, SOFT_KEYWORDS, Tokens

if TYPE_CHECKING:
    from kiln.lang.syntax.mistakes import Mistake

_WORD, _TAG, _PUNCTUATION, _STRING, _UPPER, _QUOTE, _INT, _DOC, _PATH, _EOF, _OTHER = range(1, 12)

MASTER: Final = re.compile(
    r"""
    (?: [ \t\r\n]++ | \#(?!\#(?!\#)) [^\n]*+ )*
    (?: ([a-z_][A-Za-z0-9_]*+) (?=(")?)
      | ( \+= | => | -> | \|> | \|\| | && | \+\+ | \.\. | ==(?![>=]) | != | <= | >= | \?\s*=(?![=>]) | \?\s*:
        | =(?!=) | /(?![/*]) | [(){}\[\],;:.|@!+\-*%] | < | > )
      | "([^"\\%$\n]*+)"(?!")
      | ([A-Z][A-Za-z0-9_]*+)
      | (\"\"\"|")
      | (0 | [1-9][0-9]*+(?:_[0-9]++)*)(?![A-Za-z0-9_]|\.[0-9])
      | (\#\#(?!\#)[^\n]*+ (?: \n[ \t]*+\#\#(?!\#)[^\n]*+ )*)
      | `([^`\n]*+)`
      | (\Z)
      | (.)
    )""",
    re.VERBOSE | re.DOTALL,
)

# The body of a string up to its end, a hole, or what can't stand in it. `%%{` writes `%{`.
_PERCENT = r"%%\{|%(?!\{|%\{)"
# Any code point but NUL, which neither a path nor an argument can hold, and halves of surrogate pairs.
_X = "[0-9A-Fa-f]"
_CODE_POINT = rf"0*(?:[1-9A-Fa-f]{_X}{{0,2}}|(?![dD][89A-Fa-f])[1-9A-Fa-f]{_X}{{3}}|[1-9A-Fa-f]{_X}{{4}}|10{_X}{{4}})"
_BODY: Final = {
    "plain": re.compile(
        rf'(?:[^"\\%$\n]++|\\(?:[ntr"\\%$]|u\{{{_CODE_POINT}\}})|\$(?!\{{[a-z_][a-z0-9_.]*\}})|{_PERCENT})*'
    ),
    "raw": re.compile(r'(?:[^"%\n]++|' + _PERCENT + ")*"),
    "block": re.compile(r'(?:[^"%]++|"(?!"")|' + _PERCENT + ")*"),
}
_AT_COLUMN_0 = re.compile(r"\n(?=[^\s])")
_LABEL_FOLLOWS = re.compile(r"\s*(?:=(?![=>])|\+=|\?\s*=(?![=>])|\?\s*:|:|\.(?!\.))")
_VALUE_LABEL_FOLLOWS = re.compile(r"\s*(?:=(?![=>])|\+=|\?\s*=(?![=>]))")

# What may not stand in a file at all: controls, halves of surrogate pairs, and the characters that turn the
# direction of text, which show a reader other code than the one that runs (CVE-2021-42574).
FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

_LONE_RETURN: Final = re.compile(r"\r(?!\n)")

_NAME, _UNAME, _KEYLABEL = KIND["NAME"], KIND["UNAME"], KIND["KEYLABEL"]
_DOT, _LBRACE, _RBRACE, _PUB, _WILD = KIND["."], KIND["{"], KIND["}"], KIND["PUB"], KIND["_"]
_WORDS: Final = {word: KIND[word] for word in KEYWORDS} | {"pub": _PUB, "_": _WILD}
_SYMBOLS: Final = {text: KIND[text] for text in PUNCTUATION}
_OPERAND_ENDS: Final = frozenset(KIND[name] for name in OPERAND_ENDS)
_STARTS: Final = frozenset((KIND["DOC"], _PUB))
_TAGS: Final = ("sh",)

# CPython refuses to read longer numbers from text (sys.set_int_max_str_digits), and so does Kiln on any machine.
MAX_DIGITS: Final = 4000


class _Open(NamedTuple):
    """A string whose hole is open: how to go on with it, and where it and the hole began."""

    quotes: str
    body: str
    start: int
    hole: int
    depth: int  # the braces open in the hole around this string, to count on from when it is closed


class _Fault(Exception):
    def __init__(self, mistake: Mistake, at: int) -> None:
        self.mistake = mistake
        self.at = at


class _Lexer:
    __slots__ = ("depth", "open", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = Tokens()
        self.open: list[_Open] = []
        self.depth = 0  # braces open in the innermost hole; not counted outside holes

    def run(self) -> Tokens:
        pos, size = 0, len(self.text)
        try:
            self._check_characters()
            while pos >= 0:
                pos = self._code(pos)
        except _Fault as fault:
            self.tokens.fault = fault.mistake
            self.tokens.add(KIND["ERROR"], fault.at, fault.at)
        self.tokens.add(KIND["$END"], size, size)
        return self.tokens

    def _check_characters(self) -> None:
        found = find_forbidden(self.text, len(self.text))
        if found is not None:
            from kiln.lang.syntax import mistakes

            raise _Fault(mistakes.ForbiddenCharacter(*found.span(), found[0]), found.start())

    def _code(self, pos: int) -> int:
        """Read tokens up to the next string that is not whole in one match; where to go on, -1 at the end."""
        tokens = self.tokens
        kinds, starts, ends, values = tokens.kinds, tokens.starts, tokens.ends, tokens.values
        symbol, keyword = _SYMBOLS.get, _WORDS.get
        kind: int | None
        value: object
        for match in MASTER.finditer(self.text, pos):
            group = match.lastindex or 0
            start, end = match.span(group)
            text = match[group]
            value = None
            if group == _WORD:
                kind = keyword(text)
                if kind is None:
                    kind, value = _NAME, text
                else:
                    kind = self._keyword(text, kind, end)
                    value = text if kind in (_NAME, _KEYLABEL, _PUB) else None
            elif group == _PUNCTUATION:
                kind = symbol(text)
                if kind is None:
                    kind, value = self._operator(text, start)
                elif self.open:
                    if kind == _LBRACE:
                        self.depth += 1
                    elif kind == _RBRACE:
                        if self.depth == 0:
                            return self._close_hole(start)
                        self.depth -= 1
            elif group == _STRING:
                kind, value, start, end = _STRING_KIND, text, start - 1, end + 1
            elif group == _UPPER:
                kind, value = _UNAME, text
            elif group == _EOF:
                return -1
            elif group in (_TAG, _QUOTE):
                return self._quote(match)
            else:
                kind, value, start, end = self._rare(group, text, start, end)
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
            values.append(value)
        return -1

    def _operator(self, text: str, start: int) -> tuple[int, object]:
        kind = OPERATORS.get(text)
        if kind is not None:
            return kind, (start, text)
        return (KIND["_QCOLON"] if text.endswith(":") else KIND["_OPTEQ"]), None

    def _keyword(self, word: str, kind: int, end: int) -> int:
        kinds = self.tokens.kinds
        before = kinds[-1] if kinds else KIND["$END"]
        if kind == _WILD:
            return kind
        if before == _DOT:
            return _NAME
        follows = _VALUE_LABEL_FOLLOWS if word in ("true", "false") else _LABEL_FOLLOWS
        is_label = follows.match(self.text, end) is not None
        if word in SOFT_KEYWORDS:
            at_start = not kinds or before in _STARTS
            fits = at_start if word == "extern" else before in _OPERAND_ENDS
            return kind if fits and not is_label else _NAME
        return _KEYLABEL if is_label else kind

    def _rare(self, group: int, text: str, start: int, end: int) -> tuple[int, object, int, int]:
        if group == _INT and end - start <= MAX_DIGITS:
            return KIND["INT"], text, start, end
        if group == _PATH:
            return KIND["PATH"], text, start - 1, end + 1
        if group == _DOC:
            line = self.text.rfind("\n", 0, start) + 1
            if self.text[line:start].strip(" \t|"):  # the bar of a variant may stand before it
                from kiln.lang.syntax import mistakes

                raise _Fault(mistakes.DocBehind(start, end), start)
            return KIND["DOC"], text, start, end
        from kiln.lang.syntax import lexical

        raise _Fault(lexical.stray_character(self.text, start), start)

    # ---- strings --------------------------------------------------------------------------------

    def _quote(self, match: re.Match[str]) -> int:
        """A quote, with the word that touches it: its tag, or a keyword that happens to."""
        tag: str | None = None
        start = quote = match.start(_QUOTE)
        if match.lastindex == _TAG:
            start, quote = match.span(_WORD)
            tag = match[_WORD]
            if tag in _WORDS:
                self._touching_keyword(tag, start, quote)
                start, tag = quote, None
            elif tag not in _TAGS:
                if self.open and self.open[-1].quotes == '"':
                    raise _Fault(self._unclosed_hole(quote), quote)
                from kiln.lang.syntax import mistakes

                raise _Fault(mistakes.UnknownTag(start, quote, tag, _TAGS), start)
        block = self.text.startswith('"""', quote)
        quotes = '"""' if block else '"'
        body = "block" if block else "raw" if tag is not None else "plain"
        end = quote + len(quotes)
        self.tokens.add(KIND["STR_BEGIN"], start, end, (tag, quotes))
        return self._body(end, _Open(quotes, body, start, -1, self.depth))

    def _touching_keyword(self, word: str, start: int, end: int) -> None:
        kind = self._keyword(word, _WORDS[word], end)
        self.tokens.add(kind, start, end, word if kind in (_NAME, _PUB) else None)

    def _close_hole(self, at: int) -> int:
        self.tokens.add(KIND["_HOLE_END"], at, at + 1)
        string = self.open.pop()
        self.depth = string.depth
        return self._body(at + 1, string)

    def _body(self, pos: int, string: _Open) -> int:
        """Read a string's text from `pos` to its end or its next hole; where to go on in code."""
        text = self.text
        match = _BODY[string.body].match(text, pos)
        end = match.end() if match is not None else pos
        if end > pos:
            self._check_columns(pos, end, string)
            self.tokens.add(KIND["STR_TEXT"], pos, end, text[pos:end])
        if text.startswith(string.quotes, end):
            self.tokens.add(KIND["_STR_END"], end, end + len(string.quotes))
            return end + len(string.quotes)
        if text.startswith("%{", end):
            self.tokens.add(KIND["_HOLE_BEGIN"], end, end + 2)
            self.open.append(string._replace(hole=end, depth=self.depth))
            self.depth = 0
            return end + 2
        raise _Fault(self._string_mistake(end, string), end)

    def _check_columns(self, pos: int, end: int, string: _Open) -> None:
        if string.body == "block":
            found = _AT_COLUMN_0.search(self.text, pos, end)
            if found is not None:
                from kiln.lang.syntax import mistakes

                raise _Fault(mistakes.StringAtColumn0(found.end(), found.end() + 1, string.start), found.end())

    def _string_mistake(self, at: int, string: _Open) -> Mistake:
        if self.text.startswith("\\", at):
            from kiln.lang.syntax import lexical

            return lexical.escape_mistake(self.text, at)
        if self.text.startswith("$", at):
            from kiln.lang.syntax import mistakes

            return mistakes.ShellHole(at, self.text.index("}", at) + 1, self.text[at + 2 : self.text.index("}", at)])
        if string.body != "block" and self.open and "\n" not in self.text[self.open[-1].hole : at]:
            return self._unclosed_hole(string.start)
        end = self.text.index(string.quotes, string.start) + 3 if string.body == "block" else at
        from kiln.lang.syntax import mistakes

        return mistakes.UnclosedString(string.start, end, string.quotes, at >= len(self.text.rstrip()))

    def _unclosed_hole(self, at: int) -> Mistake:
        """`"%{x"`: the quote at `at`, which should close the string, began another one inside the hole."""
        hole = self.open[-1].hole
        from kiln.lang.syntax import mistakes

        return mistakes.UnclosedHole(hole, hole + 2, at)


_STRING_KIND: Final = KIND["STRING"]


def find_forbidden(text: str, end: int) -> re.Match[str] | None:
    """The first character before `end` that no file may hold: one of FORBIDDEN, or a return that ends no line."""
    found = FORBIDDEN.search(text, 0, end)
    return _LONE_RETURN.search(text, 0, end) if found is None and "\r" in text else found


def lex(text: str) -> Tokens:
    """The tokens of one declaration's text. Never raises: what can't be read is an ERROR token and `fault`."""
    return _Lexer(text).run()
