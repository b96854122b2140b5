"""The functions that the prelude declares `extern`, by `module/name`.

Each takes one argument a parameter, in their order; an optional one is an Option. Those that call back do so from
Python code, never from C, so that Kiln's recursion goes through them without using the C stack.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any, Final

from kiln.interpreter.derivation import Fixed, Limits, OutputSpec
from kiln.interpreter.evaluate.attestations import (
    KeySigner,
    SubjectOf,
    attest,
    provenance,
    sbom,
    secret,
    verify,
    with_subject,
)
from kiln.interpreter.evaluate.captures import hidden_around
from kiln.interpreter.evaluate.credentials import credentials
from kiln.interpreter.evaluate.derive import drv_of_spec, store_name
from kiln.interpreter.evaluate.library import LIBRARY
from kiln.interpreter.evaluate.mistakes import (
    BadAddress,
    BadHash,
    FailCalled,
    Failure,
    LeavesOutput,
    OutsideDomain,
    TooLarge,
)
from kiln.interpreter.evaluate.packages import Drv, Fetch, Pkg, Plan, Selection, Source
from kiln.interpreter.evaluate.show import json_text
from kiln.interpreter.evaluate.values import (
    NONE,
    SOME_CLASS,
    OutValue,
    PathOf,
    Record,
    Text,
    Value,
    Variant,
    equal,
    key_of,
    some,
    text_of,
)
from kiln.store.paths import OutputName

# ---- builds -----------------------------------------------------------------------------------

_OUT = OutputName("out")
_HASH = re.compile(r"(blake3|sha256):([0-9a-f]{64})")
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_+=?.-]")


def derive(spec: Record) -> Drv:
    return drv_of_spec(spec)


def pkg(recipe: Record, build: Callable[[Record], Value]) -> Pkg:
    return Pkg(recipe, build, hidden_around(recipe, None))


def fetch_file(name: str, sources: tuple[str, ...], hash: str, executable: bool, credential: Variant) -> OutValue:
    found = _HASH.fullmatch(hash)
    if found is None:
        raise Failure(BadHash(hash))
    if not sources:
        raise Failure(OutsideDomain("fetch_file", f"was given no source for `{name}`"))
    algorithm = "blake3" if found[1] == "blake3" else "sha256"
    fixed = Fixed(store_name(name, "file"), executable, algorithm, bytes.fromhex(found[2]))  # type: ignore[arg-type]
    for source in sources:
        _check_source(source)
    shown = () if credential is NONE else credentials(sources, credential._0)  # type: ignore[attr-defined]
    return OutValue(Fetch(fixed, sources, shown), "out")


def _check_source(text: str) -> None:
    """Raises Failure for an address that nothing could be fetched from."""
    from kiln.interpreter.fetch.errors import BadSource
    from kiln.interpreter.fetch.source import parse_source

    try:
        parse_source(text)
    except BadSource as error:
        raise Failure(BadAddress(error.message, error.found or "", error.expected or "", error.help)) from None


def unpack(archive: OutValue, name: str, strip: int) -> OutValue:
    if strip < 0:
        raise Failure(OutsideDomain("unpack", f"cannot strip {strip} folders"))
    plan = Plan(
        store_name(name, "tree"),
        ("unpack", 1),
        (Text((archive,)), f"strip={strip}"),
        (),
        (),
        (OutputSpec(_OUT, "tree"),),
        Limits(),
    )
    return OutValue(Drv(name, lambda own: plan), "out")


def write_file(name: str, text: str | Text, executable: bool) -> OutValue:
    plan = Plan(
        store_name(name, "file"),
        ("write", 1),
        (text, f"executable={int(executable)}"),
        (),
        (),
        (OutputSpec(_OUT, "file"),),
        Limits(),
    )
    return OutValue(Drv(name, lambda own: plan), "out")


def source(
    path: PathOf, name: Variant, include: tuple[str, ...], exclude: tuple[str, ...], gitignore: bool
) -> OutValue:
    selection = Selection(include, exclude, gitignore)
    return OutValue(Source(path.path, _source_name(path, name), selection), "out")


def source_file(path: PathOf, name: Variant) -> OutValue:
    return OutValue(Source(path.path, _source_name(path, name), None), "out")


def _source_name(path: PathOf, name: Variant) -> str:
    if type(name) is SOME_CLASS:
        return store_name(name._0, "source")  # type: ignore[attr-defined]
    # From the text alone: `.` would be the name of the folder that a checkout happens to lie in.
    bare = posixpath.basename(posixpath.normpath(path.text))
    return _UNNAMEABLE.sub("-", bare).lstrip(".")[:200] or "source"


_LONGEST: Final = 100_000_000
"""Numbers in a range: it is made in one step, which no budget interrupts."""


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "more than 10^18"


# ---- lists ------------------------------------------------------------------------------------


def map_list(items: tuple[Value, ...], f: Callable[[Value], Value]) -> tuple[Value, ...]:
    return tuple([f(item) for item in items])


def filter_list(items: tuple[Value, ...], keep: Callable[[Value], bool]) -> tuple[Value, ...]:
    return tuple([item for item in items if keep(item)])


def fold(items: tuple[Value, ...], start: Value, step: Callable[[Value, Value], Value]) -> Value:
    for item in items:
        start = step(start, item)
    return start


def concat(lists: tuple[tuple[Value, ...], ...]) -> tuple[Value, ...]:
    return tuple([item for items in lists for item in items])


def reverse(items: tuple[Value, ...]) -> tuple[Value, ...]:
    return items[::-1]


def any_item(items: tuple[Value, ...], holds: Callable[[Value], bool]) -> bool:
    for item in items:  # noqa: SIM110 - `any` would call back from C
        if holds(item):
            return True
    return False


def all_items(items: tuple[Value, ...], holds: Callable[[Value], bool]) -> bool:
    for item in items:  # noqa: SIM110
        if not holds(item):
            return False
    return True


def find(items: tuple[Value, ...], holds: Callable[[Value], bool]) -> Variant:
    for item in items:
        if holds(item):
            return some(item)
    return NONE


def nth(items: tuple[Value, ...], index: int) -> Variant:
    return some(items[index]) if 0 <= index < len(items) else NONE


def includes(items: tuple[Value, ...], item: Value) -> bool:
    return any(equal(found, item) for found in items)


def unique(items: tuple[Value, ...]) -> tuple[Value, ...]:
    seen: set[object] = set()
    kept: list[Value] = []
    for item in items:
        key = key_of(item)
        if key not in seen:
            seen.add(key)
            kept.append(item)
    return tuple(kept)


def sort(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(items))


def range_list(count: int) -> tuple[int, ...]:
    if count > _LONGEST:
        raise Failure(TooLarge(f"a list of {_short(count)} numbers", f"{_LONGEST:,}"))
    return tuple(range(count))


# ---- strings: the same on every version of Python, so of ASCII's letters and blanks alone --------

_BLANKS: Final = " \t\n\r\f\v"
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_INTEGER = re.compile(r"-?[0-9]+")


def to_str(value: Value) -> str:
    if type(value) is int:
        return str(value)
    return value if type(value) is str else json_text(value)


def to_int(text: str) -> Variant:
    return some(int(text)) if _INTEGER.fullmatch(text) else NONE


def join(parts: tuple[str, ...], separator: str) -> str:
    return separator.join(parts)


def join_text(parts: tuple[str | Text, ...], separator: str | Text) -> str | Text:
    pieces: list[str | Text | OutValue] = []
    for place, part in enumerate(parts):
        if place:
            pieces.append(separator)
        pieces.append(part)
    return text_of(tuple(pieces))


def split(text: str, separator: str) -> tuple[str, ...]:
    if not separator:
        raise Failure(OutsideDomain("split", "needs a separator of one character at least"))
    return tuple(text.split(separator))


def contains(text: str, part: str) -> bool:
    return part in text


def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def replace(text: str, old: str, new: str) -> str:
    if not old:
        raise Failure(OutsideDomain("replace", "needs one character at least to look for"))
    return text.replace(old, new)


def trim(text: str) -> str:
    return text.strip(_BLANKS)


def lower(text: str) -> str:
    return text.translate(_LOWER)


def upper(text: str) -> str:
    return text.translate(_UPPER)


def size(text: str) -> int:
    return len(text)


def slice_text(text: str, start: int, end: Variant) -> str:
    stop = len(text) if end is NONE else max(0, end._0)  # type: ignore[attr-defined]
    return text[max(0, start) : stop]


# ---- maps -------------------------------------------------------------------------------------


def map_get(entries: dict[str, Value], key: str) -> Variant:
    found = entries.get(key)
    return NONE if found is None else some(found)


def map_has(entries: dict[str, Value], key: str) -> bool:
    return key in entries


def map_set(entries: dict[str, Value], key: str, value: Value) -> dict[str, Value]:
    return {**entries, key: value}


def map_remove(entries: dict[str, Value], key: str) -> dict[str, Value]:
    return {name: value for name, value in entries.items() if name != key}


def keys(entries: dict[str, Value]) -> tuple[str, ...]:
    return tuple(sorted(entries))


def values(entries: dict[str, Value]) -> tuple[Value, ...]:
    return tuple([entries[key] for key in sorted(entries)])


# ---- errors -----------------------------------------------------------------------------------


def fail(message: str) -> Value:
    raise Failure(FailCalled(message))


# ---- methods ----------------------------------------------------------------------------------


def out_inside(out: OutValue, sub: str) -> OutValue:
    """`out.file(sub)`, `out.dir(sub)`."""
    if not sub:
        return out
    parts = sub.split("/")
    problem = None
    if not parts[0]:
        problem = "it begins at the root"
    elif ".." in parts:
        problem = "it has `..` in it"
    elif "" in parts[:-1] or "." in parts or "\0" in sub:
        problem = "it is not in its shortest form"
    if problem is not None:
        raise Failure(LeavesOutput(sub, problem))
    return out.inside(posixpath.normpath(sub))


METHODS: Final[dict[str, Callable[..., Any]]] = {
    "Out.file": out_inside,
    "Out.dir": out_inside,
    "Attestation.with_subject": with_subject,
}

_PRELUDE: Final[dict[str, Callable[..., Any]]] = {
    "derive": derive, "pkg": pkg, "fetch_file": fetch_file, "unpack": unpack,
    "write_file": write_file,
    "source": source, "source_file": source_file,
    "secret": secret, "key": KeySigner, "subject": SubjectOf, "attest": attest,
    "provenance": provenance, "sbom": sbom, "verify": verify,
    "length": len, "map": map_list, "filter": filter_list, "fold": fold, "concat": concat,
    "reverse": reverse, "any": any_item, "all": all_items, "find": find, "nth": nth,
    "includes": includes, "unique": unique, "sort": sort, "range": range_list,
    "to_str": to_str, "to_int": to_int, "join": join, "join_text": join_text, "split": split,
    "contains": contains, "starts_with": starts_with, "ends_with": ends_with, "replace": replace,
    "trim": trim, "lower": lower, "upper": upper, "size": size, "slice": slice_text,
    "map_get": map_get, "map_has": map_has, "map_set": map_set, "map_remove": map_remove,
    "keys": keys, "values": values,
    "fail": fail,
}  # fmt: skip

EXTERNS: Final = {**{f"std/prelude/{name}": function for name, function in _PRELUDE.items()}, **LIBRARY}
