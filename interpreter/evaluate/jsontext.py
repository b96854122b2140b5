"""JSON text (RFC 8259) as values of std/json: `Result(Json, Error)`.

    Null  Boolean(value)  Integer(value)  Number(text)  String(value)  Array(items)  Object(fields)
    Err({ path = [], message = "line 3, column 5: …" })

A number with a fraction or an exponent stays as it is written, because Kiln has no such numbers. Stricter than the
RFC in what could be read in two ways: a name that comes twice in an object, and an escape that is no character,
are refused. Reading keeps a stack of its own, so that text may nest to any depth.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kiln.interpreter.evaluate.values import Value, Variant, constructor, record

_NULL: Final = constructor("Null", 0)
_TRUE: Final = constructor("Boolean", 1)(True)
_FALSE: Final = constructor("Boolean", 1)(False)
_INTEGER = constructor("Integer", 1)
_NUMBER = constructor("Number", 1)
_STRING = constructor("String", 1)
_ARRAY = constructor("Array", 1)
_OBJECT = constructor("Object", 1)
_OK = constructor("Ok", 1)
_ERR = constructor("Err", 1)

_WORDS: Final = {"null": _NULL, "true": _TRUE, "false": _FALSE}
_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        ([\[\]{},:])
      | "([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"
      | (-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
      | (true|false|null)
      | (\Z)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))")
_PLAIN: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MARK, _TEXT, _DIGITS, _REST, _WORD, _END = range(1, 7)
_MAX_DIGITS: Final = 4000  # as the lexer: CPython refuses to convert many more


class _Bad(Exception):
    def __init__(self, at: int, message: str) -> None:
        self.at = at
        self.message = message


class _Token(NamedTuple):
    """`value` is a mark's own character, a scalar's value, or None at the end."""

    at: int
    kind: int
    value: Value


class _Open:
    """An array or object that is being read: `names` is None for an array."""

    __slots__ = ("items", "names")

    def __init__(self, names: dict[str, None] | None) -> None:
        self.items: list[Value] = []
        self.names = names

    def close(self) -> Variant:
        made: Variant
        if self.names is None:
            made = _ARRAY(tuple(self.items))
        else:
            made = _OBJECT(dict(zip(self.names, self.items, strict=True)))
        return made


def read_json(text: str) -> Variant:
    """The value that a JSON text stands for."""
    result: Variant
    try:
        result = _OK(_Reader(text).read())
    except _Bad as bad:
        line = text.count("\n", 0, bad.at) + 1
        column = bad.at - text.rfind("\n", 0, bad.at)
        result = _ERR(record(path=(), message=f"line {line}, column {column}: {bad.message}"))
    return result


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.open: list[_Open] = []

    def read(self) -> Value:
        value = self._value(self._next())
        while self.open:
            if value is not None:
                self.open[-1].items.append(value)
            value = self._go_on(self.open[-1], first=value is None)
        token = self._next()
        if token.kind != _END:
            raise _Bad(token.at, "expected nothing more behind the value")
        return value

    def _value(self, token: _Token) -> Value:
        """A scalar, or None where an array or object begins."""
        if token.kind in (_TEXT, _DIGITS, _WORD):
            return token.value
        if token.value == "[":
            self.open.append(_Open(None))
        elif token.value == "{":
            self.open.append(_Open({}))
        else:
            raise _Bad(token.at, f"expected a value{_instead(token)}")
        return None

    def _go_on(self, inner: _Open, *, first: bool) -> Value:
        """The next item of the innermost array or object, or that itself at its end."""
        end = "]" if inner.names is None else "}"
        token = self._next()
        if token.value == end and token.kind == _MARK:
            self.open.pop()
            return inner.close()
        if not first:
            if token.kind != _MARK or token.value != ",":
                raise _Bad(token.at, f"expected `,` or `{end}`{_instead(token)}")
            token = self._next()
        if inner.names is None:
            return self._value(token)
        self._name(token, inner.names)
        return self._value(self._next())

    def _name(self, token: _Token, names: dict[str, None]) -> None:
        if token.kind != _TEXT:
            raise _Bad(token.at, f"expected a name in quotes{_instead(token)}")
        name: str = token.value._0
        if name in names:
            raise _Bad(token.at, f'the name "{name[:60]}" comes twice in this object')
        names[name] = None
        colon = self._next()
        if colon.kind != _MARK or colon.value != ":":
            raise _Bad(colon.at, f"expected `:`{_instead(colon)}")

    def _next(self) -> _Token:
        match = _TOKEN.match(self.text, self.pos)
        if match is None:
            at = self.pos + len(self.text[self.pos :]) - len(self.text[self.pos :].lstrip(" \t\n\r"))
            raise _Bad(at, _stray(self.text, at))
        self.pos = match.end()
        kind = match.lastindex or _END
        if kind == _REST:
            return _Token(match.start(_DIGITS), _DIGITS, _number(match))
        at = match.start(kind)
        if kind == _TEXT:
            return _Token(at - 1, kind, _STRING(_unescaped(match[kind], at)))
        return _Token(at, kind, _WORDS[match[kind]] if kind == _WORD else match[kind] or None)


def _number(match: re.Match[str]) -> Value:
    if match[_REST]:
        return _NUMBER(match[_DIGITS] + match[_REST])
    if len(match[_DIGITS]) > _MAX_DIGITS:
        raise _Bad(match.start(_DIGITS), f"this number has more than {_MAX_DIGITS} digits")
    return _INTEGER(int(match[_DIGITS]))


def _unescaped(text: str, at: int) -> str:
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        high, low, code, plain = match.groups()
        if high:
            return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
        if code:
            number = int(code, 16)
            if number == 0 or 0xD800 <= number <= 0xDFFF:
                raise _Bad(at + match.start(), f"\\u{code} is no character that a Str can hold")
            return chr(number)
        if plain not in _PLAIN:
            raise _Bad(at + match.start(), f"there is no escape \\{plain}")
        return _PLAIN[plain]

    return _ESCAPE.sub(character, text)


def _instead(token: _Token) -> str:
    if token.kind == _END:
        return ", found the end of the text"
    return f", found `{token.value}`" if token.kind == _MARK else ", found another value"


def _stray(text: str, at: int) -> str:
    char = text[at : at + 1]
    if char == '"':
        return "this string is never closed, or holds a control character"
    if char == "'":
        return "a string stands in double quotes"
    if char in "/#":
        return "JSON has no comments"
    return "expected a value, found " + (f"`{char}`" if char.isprintable() else f"the character U+{ord(char):04X}")
