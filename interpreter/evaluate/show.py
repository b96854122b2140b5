"""Values as text: for people, as `kiln eval` prints them, and as JSON.

Both walk the value with a stack of their own, because data may be nested deeper than Python's stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.attestations import (
    PROVENANCE_KIND,
    SBOM_KIND,
    Attestation,
    AttestationOf,
    KeySigner,
    ProvenanceOf,
    SbomOf,
    SubjectOf,
)
from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.packages import Buildable, Drv, Pkg, title
from kiln.interpreter.evaluate.sets import SetValue
from kiln.interpreter.evaluate.values import (
    NONE,
    SOME_CLASS,
    OutValue,
    PathOf,
    Record,
    SecretHandle,
    Text,
    Value,
    Variant,
    text_of,
)


class _Group(NamedTuple):
    """A value with parts: what opens it, what stands before each part, what closes it."""

    begin: str
    parts: list[tuple[str, Value]]
    end: str


def show(value: Value) -> str:
    """The value in Kiln's own syntax where it has one, on one line; `<…>` for what has none."""
    return _write(value, _show_atom, _show_group)


def json_text(value: Value) -> str:
    """The value as JSON on one line.

    Records and maps are objects with sorted keys; `None` is null and `Some(x)` is x; another constructor is its
    name, or `{"name": [fields]}`; an output is `{"output": …}`; what has no data in it is a string `<…>`.
    """
    return _write(value, _json_atom, _json_group)


def predicate_text(value: Value) -> str | Text:
    """A predicate as JSON whose texts mention the outputs that they mention; an output is `{"\\u0000": "<path>"}`.

    Raises Failure for a number that JSON's other readers would not keep.
    """
    return text_of(tuple(_pieces(value, _predicate_atom, _json_group)))


def _write(value: Value, atom: Callable[[Value], str | None], group: Callable[[Value], _Group]) -> str:
    return "".join(_pieces(value, atom, group))


_Piece = TypeVar("_Piece", bound=str | Text)


def _pieces(
    value: Value, atom: Callable[[Value], _Piece | None], group: Callable[[Value], _Group]
) -> list[str | _Piece]:
    out: list[str | _Piece] = []
    pending: list[str | tuple[Value]] = [(value,)]  # text to write, or a value to look at
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        text = atom(item[0])
        if text is not None:
            out.append(text)
            continue
        begin, parts, end = group(item[0])
        out.append(begin)
        pending.append(end)
        for place in range(len(parts) - 1, -1, -1):
            lead, part = parts[place]
            pending.append((part,))
            pending.append(", " + lead if place else lead)
    return out


# What a build file may not hold as it is, and what its strings escape.
_ESCAPES: Final = {
    **{code: f"\\u{{{code:x}}}" for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), 0xFEFF)},
    **{code: f"\\u{{{code:x}}}" for code in range(0x2066, 0x206A)},
    **{
        ord(char): escape
        for char, escape in {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.items()
    },
}
_HOLE = re.compile(r"%(?=\{)")
_SHELL_NAME = re.compile(r"\$(?=\{[a-z_][a-z0-9_.]*\})")


def quoted(text: str) -> str:
    """A Str as Kiln writes it."""
    plain = _HOLE.sub("%%", text.translate(_ESCAPES))
    return f'"{_SHELL_NAME.sub(chr(92) + "$", plain) if "$" in plain else plain}"'


def _opaque(value: Value) -> str | None:
    match value:
        case Buildable():
            return f"<package {title(value).strip('`')}>"
        case SetValue():
            return "<set>"
        case SecretHandle(name=name):
            return f"<secret {quoted(name)}>"
        case KeySigner(secret=secret):
            return f"<key {quoted(secret.name)}>"
        case _ if callable(value):
            return "<function>"
        case _:
            return None


def _output(out: OutValue) -> str:
    owner = out.owner
    name = title(owner).strip("`")
    if isinstance(owner, Drv | Pkg) and out.output != "out":
        name = f"{name}.{out.output}"
    return f"{name}/{out.sub}" if out.sub else name


def _parts(value: Attestation) -> list[tuple[str, Value]]:
    match value:
        case AttestationOf():
            return [("predicate", value.predicate), ("signer", value.signer), ("subjects", value.subjects)]
        case SbomOf(out=out, signer=signer) if signer is not None:
            return [("signer", signer), ("subjects", (SubjectOf(out),))]
        case SbomOf(out=out) | ProvenanceOf(out=out):
            return [("subjects", (SubjectOf(out),))]
        case _:
            raise AssertionError(type(value))


def _kind(value: Attestation) -> str:
    match value:
        case AttestationOf(kind=kind):
            return kind
        case SbomOf():
            return SBOM_KIND
        case _:
            return PROVENANCE_KIND


def _show_atom(value: Value) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return quoted(value)
        case Text(parts=parts):
            return '"' + "".join(
                quoted(part)[1:-1] if isinstance(part, str) else f"%{{{_output(part)}}}" for part in parts
            ) + '"'  # fmt: skip
        case OutValue():
            return f"<output {_output(value)}>"
        case SubjectOf(out=out):
            return f"<subject {_output(out)}>"
        case PathOf(text=text):
            return f"`{text}`"
        case _:
            return _opaque(value)


def _show_group(value: Value) -> _Group:
    match value:
        case tuple():
            return _Group("[", [("", item) for item in value], "]")
        case dict():
            if not value:
                return _Group("[=>", [], "]")
            return _Group("[", [(f"{quoted(key)} => ", value[key]) for key in sorted(value)], "]")
        case Record():
            if not value.labels:
                return _Group("{", [], "}")
            return _Group("{ ", [(f"{label} = ", item) for label, item in value.items()], " }")
        case Variant():
            fields = value.fields()
            if not fields:
                return _Group(value.con, [], "")
            return _Group(f"{value.con}(", [("", item) for item in fields], ")")
        case Attestation():
            parts = [(f"{name} = ", item) for name, item in _parts(value)]
            return _Group(f"<attestation {quoted(_kind(value))} {{ ", parts, " }>")
        case _:
            raise AssertionError(type(value))


def _json_atom(value: Value) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Text(parts=parts):
            return json.dumps(
                "".join(part if isinstance(part, str) else f"%{{{_output(part)}}}" for part in parts),
                ensure_ascii=False,
            )
        case OutValue():
            return json.dumps(_json_output(value), ensure_ascii=False)
        case SubjectOf(out=out):
            return json.dumps(_json_output(out), ensure_ascii=False)
        case PathOf(text=text):
            return json.dumps(text, ensure_ascii=False)
        case _ if value is NONE:
            return "null"
        case Variant() if not value.arity:
            return json.dumps(value.con)
        case _:
            opaque = _opaque(value)
            return None if opaque is None else json.dumps(opaque, ensure_ascii=False)


_MOST_JSON: Final = 2**53 - 1


def _predicate_atom(value: Value) -> str | Text | None:
    match value:
        case Text(parts=parts):
            pieces = [json.dumps(part)[1:-1] if isinstance(part, str) else _path(part) for part in parts]
            return text_of(('"', *pieces, '"'))
        case OutValue():
            return text_of(('{"\\u0000": "', _path(value), '"}'))
        case int() if not -_MOST_JSON <= value <= _MOST_JSON:
            problem = (
                "was given a predicate with a number beyond 53 bits, which readers of JSON don't keep: use a Str"
            )
            raise Failure(OutsideDomain("attest", problem))
        case str():
            return json.dumps(value)
        case _:
            return _json_atom(value)


def _path(out: OutValue) -> str | Text:
    """The path of an output, to stand inside a JSON string."""
    whole = OutValue(out.owner, out.output)
    return text_of((whole, "/" + json.dumps(out.sub)[1:-1])) if out.sub else text_of((whole,))


def _json_output(out: OutValue) -> dict[str, str]:
    found = {"name": title(out.owner).strip("`"), "output": out.output}
    if out.sub:
        found["sub"] = out.sub
    origin = out.owner.origin
    if isinstance(origin, SourceObject):
        found["object"] = str(origin.id)
    elif origin is not None:
        found["derivation"] = str(origin)
    return found


def _json_group(value: Value) -> _Group:
    match value:
        case tuple():
            return _Group("[", [("", item) for item in value], "]")
        case dict():
            pairs = [(json.dumps(key, ensure_ascii=False) + ": ", value[key]) for key in sorted(value)]
            return _Group("{", pairs, "}")
        case Record():
            return _Group("{", [(json.dumps(label) + ": ", item) for label, item in value.items()], "}")
        case Variant():
            if type(value) is SOME_CLASS:
                return _Group("", [("", value.fields()[0])], "")
            return _Group("{" + json.dumps(value.con) + ": [", [("", item) for item in value.fields()], "]}")
        case Attestation():
            parts = [(json.dumps(name) + ": ", item) for name, item in _parts(value)]
            return _Group(f'{{"kind": {json.dumps(_kind(value), ensure_ascii=False)}, ', parts, "}")
        case _:
            raise AssertionError(type(value))
