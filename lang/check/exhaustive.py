"""Whether patterns take every value, and a value that they forget (Maranget, *Warnings for pattern matching*, 2007).

A matrix has a row for each arm and a column for each value that is still to be looked at. `missing` splits by the
heads of the first column: if they make up a whole signature, each head in turn is specialised; else one that is not
there is the witness. Int and Str never have a whole signature. A list's heads are its lengths: each up to the
longest pattern, and "longer". Records have one head, with the fields that any row names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from kiln.lang.check.infos import VariantInfo
from kiln.lang.core import (
    AnyPattern,
    BindPattern,
    ConPattern,
    CorePattern,
    EqualPattern,
    ListPattern,
    OrPattern,
    RecordPattern,
)

Witness: TypeAlias = str
Variants: TypeAlias = Mapping[int, VariantInfo]
Matrix: TypeAlias = Sequence[Sequence[CorePattern]]
ANY = AnyPattern()


class Head(NamedTuple):
    """A way for the first column to look: how many columns it opens, and how it is written."""

    key: object
    arity: int
    text: str
    labels: tuple[str, ...] = ()


def missing(rows: Matrix, variants: Variants) -> Witness | None:
    """A value of one column that no row takes."""
    found = _missing([list(r) for r in _opened(rows)], 1, variants)
    return None if found is None else found[0]


def is_useful(rows: Matrix, row: Sequence[CorePattern], variants: Variants) -> bool:
    """Whether `row` takes a value that none of `rows` does."""
    opened = [list(r) for r in _opened(rows)]
    return any(_useful(opened, list(r), variants) for r in _opened([row]))


def _opened(rows: Matrix) -> Iterator[Sequence[CorePattern]]:
    """Rows without `|` in the first column."""
    for row in rows:
        if row and isinstance(row[0], OrPattern):
            yield from _opened([[option, *row[1:]] for option in row[0].options])
        else:
            yield row


def _is_any(p: CorePattern) -> bool:
    return isinstance(p, AnyPattern | BindPattern)


def _missing(rows: list[list[CorePattern]], width: int, variants: Variants) -> list[Witness] | None:
    if width == 0:
        return None if rows else []
    heads, whole = _heads(rows, variants)
    many = len(heads) > _FEW and not isinstance(heads[0].key, int)
    narrow = _by_head(rows, heads) if many else None
    for head in heads:
        narrowed = _specialised(rows, head) if narrow is None else narrow[head.key]
        found = _missing(narrowed, head.arity + width - 1, variants)
        if found is not None:
            return [_written(head, found[: head.arity]), *found[head.arity :]]
    if whole:
        return None
    found = _missing([list(r[1:]) for r in _opened(rows) if _is_any(r[0])], width - 1, variants)
    return None if found is None else [_other(rows, heads, variants), *found]


_FEW = 16


def _by_head(rows: Matrix, heads: Sequence[Head]) -> dict[object, list[list[CorePattern]]]:
    """`_specialised` for each constant or constructor at once: a match over many would be quadratic without."""
    found: dict[object, list[list[CorePattern]]] = {head.key: [] for head in heads}
    for row in _opened(rows):
        match row[0]:
            case EqualPattern(value):
                found[type(value), value].append(list(row[1:]))
            case ConPattern(con, args):
                found[con].append([*args, *row[1:]])
            case _:
                for head in heads:
                    found[head.key].append([*[ANY] * head.arity, *row[1:]])
    return found


def _useful(rows: list[list[CorePattern]], row: list[CorePattern], variants: Variants) -> bool:
    if not row:
        return not rows
    if isinstance(row[0], OrPattern):
        return any(_useful(rows, [option, *row[1:]], variants) for option in row[0].options)
    heads, whole = _heads([*rows, row], variants)
    if not _is_any(row[0]) or whole:
        for head in heads:
            narrowed = _specialised([row], head)
            if narrowed and _useful(_specialised(rows, head), narrowed[0], variants):
                return True
        return False
    return _useful([list(r[1:]) for r in _opened(rows) if _is_any(r[0])], row[1:], variants)


def _heads(rows: list[list[CorePattern]], variants: Variants) -> tuple[list[Head], bool]:
    """The heads to look at in the first column, and whether they are all there can be."""
    firsts = [r[0] for r in _opened(rows) if not _is_any(r[0])]
    if not firsts:
        return [], False
    match firsts[0]:
        case ConPattern():
            return _constructors(firsts, variants)
        case RecordPattern():
            return [_record_head(firsts)], True
        case ListPattern():
            return _lengths(firsts), True
        case _:
            return _constants(firsts)


def _constructors(firsts: list[CorePattern], variants: Variants) -> tuple[list[Head], bool]:
    info = variants[id(firsts[0])]
    seen = {p.con for p in firsts if isinstance(p, ConPattern)}
    heads = [Head(c.name, len(c.params), c.name) for c in info.constructors.values() if c.name in seen]
    return heads, len(heads) == len(info.constructors)


def _record_head(firsts: list[CorePattern]) -> Head:
    labels: dict[str, None] = {}
    for p in firsts:
        if isinstance(p, RecordPattern):
            labels.update(dict.fromkeys(label for label, _ in p.fields))
    return Head("record", len(labels), "", tuple(labels))


def _lengths(firsts: list[CorePattern]) -> list[Head]:
    longest = max(len(p.items) for p in firsts if isinstance(p, ListPattern))
    exact = [Head(n, n, "") for n in range(longest + 1)]
    return [*exact, Head("longer", longest + 1, "")]


def _constants(firsts: list[CorePattern]) -> tuple[list[Head], bool]:
    values = dict.fromkeys((type(p.value), p.value) for p in firsts if isinstance(p, EqualPattern))
    heads = [Head(key, 0, _constant(key[1])) for key in values]
    whole = {(bool, True), (bool, False)} <= values.keys()
    return heads, whole


def _constant(value: int | str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _specialised(rows: Matrix, head: Head) -> list[list[CorePattern]]:
    """The rows whose first column may look like `head`, with its columns opened."""
    found: list[list[CorePattern]] = []
    for row in _opened(rows):
        columns = _columns(row[0], head)
        if columns is not None:
            found.append([*columns, *row[1:]])
    return found


def _columns(p: CorePattern, head: Head) -> list[CorePattern] | None:
    match p:
        case ConPattern(con, args):
            return list(args) if con == head.key else None
        case RecordPattern(fields):
            named = dict(fields)
            return [named.get(label, ANY) for label in head.labels]
        case ListPattern(items, rest):
            if rest is None:
                return list(items) if len(items) == head.key else None
            if len(items) > head.arity:
                return None
            return [*items, *([ANY] * (head.arity - len(items)))]
        case EqualPattern(value):
            return [] if (type(value), value) == head.key else None
        case _:
            return [ANY] * head.arity


def _written(head: Head, parts: list[Witness]) -> Witness:
    if head.key == "record":
        shown = [f"{label} = {part}" for label, part in zip(head.labels, parts, strict=True) if part != "_"]
        return "{" + ", ".join(shown) + "}" if shown else "_"
    if head.key == "longer":
        return "[" + ", ".join([*parts, ".."]) + "]"
    if isinstance(head.key, int) and not head.text:
        return "[" + ", ".join(parts) + "]"
    return head.text + (f"({', '.join(parts)})" if parts else "")


def _other(rows: list[list[CorePattern]], heads: list[Head], variants: Variants) -> Witness:
    """How a value looks that has none of the heads."""
    for row in _opened(rows):
        first = row[0]
        if isinstance(first, ConPattern):
            seen = {h.key for h in heads}
            info = variants[id(first)]
            con = next(c for c in info.constructors.values() if c.name not in seen)
            return con.name + (f"({', '.join('_' * len(con.params))})" if con.params else "")
        if isinstance(first, EqualPattern) and isinstance(first.value, bool):
            return "false" if first.value else "true"
    return "_"
