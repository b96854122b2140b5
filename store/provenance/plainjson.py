"""JSON in one canonical form, and a reader that takes nothing doubtful.

Canonical is RFC 8785 (JCS) over a smaller set of values: objects with text keys, arrays, text, true, false,
null, and whole numbers of at most 53 bits. No white space, keys sorted by their UTF-16 code units, UTF-8 out:

    {"a":[1,true],"b":"é"}

The reader refuses what two parsers could read in two ways: a key given twice, NaN and infinity, a byte order
mark, text that is not UTF-8 or holds a lone surrogate, numbers beyond 53 bits, more than 64 levels.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from kiln.store.errors import BadEnvelope

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH = 64
MAX_INT = 2**53 - 1

_SORTED = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_AS_GIVEN = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def canonical(value: object) -> bytes:
    """The one form of `value` in UTF-8. Raises BadEnvelope for a value that has none."""
    ascii_keys = _check(value)
    text = _SORTED.encode(value) if ascii_keys else _AS_GIVEN.encode(_in_utf16_order(value))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadEnvelope(
            "text that has no UTF-8 form", expected="Unicode scalar values", found=repr(text[error.start])
        ) from None


def read_json(data: bytes, what: str, limit: int, *, floats: bool = False) -> Json:
    """Parse JSON strictly. `what` names it in messages; `limit` is in bytes. Raises BadEnvelope."""
    if len(data) > limit:
        raise BadEnvelope(f"{what} is too large", expected=f"at most {limit} bytes", found=f"{len(data)} bytes")
    try:
        value: Json = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=float if floats else _no_float,
        )
    except UnicodeDecodeError as error:
        raise BadEnvelope(f"{what} is not UTF-8", found=f"byte {error.start}") from None
    except RecursionError:
        raise BadEnvelope(f"{what} is nested too deeply", expected=f"at most {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise BadEnvelope(f"{what} is not JSON", expected="one JSON value", found=str(error)[:120]) from None
    _check(value, floats=floats)
    if b"\\u" in data:
        _no_surrogates(value, what)
    return value


def _check(value: object, *, floats: bool = False) -> bool:
    """Refuse what has no canonical form; say whether every key is ASCII."""
    ascii_keys = True
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for item in level:
            kind = type(item)
            if kind is str or kind is bool or item is None:
                continue
            if kind is dict:
                keys = list(item)  # type: ignore[call-overload]
                if not all(type(key) is str for key in keys):
                    raise BadEnvelope("an object key that is not text", expected="text", found=repr(keys)[:80])
                ascii_keys = ascii_keys and all(map(str.isascii, keys))
                below.extend(item.values())  # type: ignore[attr-defined]
            elif kind is list or kind is tuple:
                below.extend(item)  # type: ignore[arg-type]
            elif kind is int:
                if not -MAX_INT <= item <= MAX_INT:  # type: ignore[operator]
                    raise BadEnvelope("a number beyond 53 bits", expected=f"at most {MAX_INT}", found="a larger one")
            elif not (isinstance(item, str) or (floats and kind is float)):
                raise BadEnvelope("a value that has no canonical form", found=kind.__name__)
        if not below:
            return ascii_keys
        level = below
    raise BadEnvelope("a value is nested too deeply", expected=f"at most {MAX_DEPTH} levels")


def _in_utf16_order(value: object) -> object:
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be", "surrogatepass"))
        return {key: _in_utf16_order(item) for key, item in pairs}
    if isinstance(value, list | tuple):
        return [_in_utf16_order(item) for item in value]
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadEnvelope("a JSON object gives a key twice", expected="each key once", found=repr(twice[:80]))
    return made


def _no_constant(text: str) -> Json:
    raise ValueError(f"{text} is not a JSON number")


def _no_float(text: str) -> Json:
    raise ValueError(f"{text[:40]} is not a whole number")


def _no_surrogates(value: Json, what: str) -> None:
    try:
        _AS_GIVEN.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise BadEnvelope(f"{what} holds a lone surrogate", expected="Unicode scalar values") from None
