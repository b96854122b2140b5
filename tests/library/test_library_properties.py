"""The library's functions of lists, strings, maps and paths beside Python's."""

from __future__ import annotations

import itertools
import posixpath
import re
import string as python_string
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_programs import functions

from kiln.interpreter.evaluate.mistakes import Failure, OutsideDomain
from kiln.interpreter.evaluate.values import NONE, Record, some

LIST = functions(
    'import "std/list" as list;',
    {
        "list.slice": "fn(List(Int), Int, to?: Int) -> List(Int)",
        "list.take": "fn(List(Int), Int) -> List(Int)",
        "list.drop": "fn(List(Int), Int) -> List(Int)",
        "list.take_while": "fn(List(Int), fn(Int) -> Bool) -> List(Int)",
        "list.drop_while": "fn(List(Int), fn(Int) -> Bool) -> List(Int)",
        "list.chunks": "fn(List(Int), Int) -> List(List(Int))",
        "list.zip": "fn(List(Int), List(Str)) -> List(list.Pair(Int, Str))",
        "list.enumerate": "fn(List(Str)) -> List(list.Indexed(Str))",
        "list.partition": "fn(List(Int), fn(Int) -> Bool) -> list.Parts(Int)",
        "list.group_by": "fn(List(Int), fn(Int) -> Str) -> Map(List(Int))",
        "list.sort_by": "fn(List(Str), fn(Str) -> Str) -> List(Str)",
        "list.sort_ints": "fn(List(Int)) -> List(Int)",
        "list.sort_with": "fn(List(Int), fn(Int, Int) -> Bool) -> List(Int)",
        "list.sum": "fn(List(Int)) -> Int",
        "list.minimum": "fn(List(Int)) -> Option(Int)",
        "list.index_of": "fn(List(Int), Int) -> Option(Int)",
        "list.intersperse": "fn(List(Int), Int) -> List(Int)",
        "list.fold_right": "fn(List(Str), Str, fn(Str, Str) -> Str) -> Str",
        "list.between": "fn(Int, Int) -> List(Int)",
    },
)
STRING = functions(
    'import "std/string" as string;',
    {
        "string.index_of": "fn(Str, Str) -> Option(Int)",
        "string.last_index_of": "fn(Str, Str) -> Option(Int)",
        "string.count": "fn(Str, Str) -> Int",
        "string.characters": "fn(Str) -> List(Str)",
        "string.lines": "fn(Str) -> List(Str)",
        "string.words": "fn(Str) -> List(Str)",
        "string.trim_start": "fn(Str) -> Str",
        "string.trim_end": "fn(Str) -> Str",
        "string.reverse": "fn(Str) -> Str",
        "string.pad_start": "fn(Str, Int, fill: Str) -> Str",
        "string.pad_end": "fn(Str, Int, fill: Str) -> Str",
        "string.drop_prefix": "fn(Str, Str) -> Str",
        "string.drop_suffix": "fn(Str, Str) -> Str",
        "string.split_once": "fn(Str, Str) -> Option(string.Halves)",
        "string.codes": "fn(Str) -> List(Int)",
        "string.from_codes": "fn(List(Int)) -> Str",
        "string.compare_versions": "fn(Str, Str) -> Int",
    },
)
PATH = functions(
    'import "std/path" as path;',
    {
        "path.join": "fn(List(Str)) -> Str",
        "path.normalise": "fn(Str) -> Str",
        "path.base_name": "fn(Str) -> Str",
        "path.folder": "fn(Str) -> Str",
        "path.relative": "fn(Str, Str) -> Str",
        "path.is_inside": "fn(Str, Str) -> Bool",
        "path.extension": "fn(Str) -> Str",
    },
)

numbers = st.lists(st.integers(-20, 20), max_size=20)
places = st.integers(-3, 25)
texts = st.text(st.sampled_from("ab. \t\n\ré日A0"), max_size=15)
words = st.text(st.sampled_from("ab"), min_size=1, max_size=3)
paths = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.d"]), max_size=6).map(
    lambda parts: re.sub("^/+", "/", "/".join(parts))
)
plain = st.lists(st.sampled_from(["a", "b", "c"]), max_size=5).map("/".join)


def option(value: object) -> object:
    return NONE if value is None else some(value)


def found_at(place: int) -> object:
    """What str.find says."""
    return option(None if place < 0 else place)


def same(found: object, wanted: object) -> bool:
    """Options are compared by what is in them."""
    if found is NONE or wanted is NONE:
        return found is wanted
    return bool(found._0 == wanted._0)  # type: ignore[attr-defined]


@given(numbers, places, places)
def test_parts_of_a_list(items: list[int], start: int, end: int) -> None:
    row = tuple(items)
    low, high = max(0, start), max(0, end)
    assert LIST["list.slice"](row, start, end) == row[low:high]
    assert LIST["list.take"](row, start) == row[:low]
    assert LIST["list.drop"](row, start) == row[low:]


@given(numbers, st.integers(-5, 5))
def test_beginnings_of_a_list(items: list[int], limit: int) -> None:
    def below(item: int) -> bool:
        return item < limit

    row = tuple(items)
    assert LIST["list.take_while"](row, below) == tuple(itertools.takewhile(below, row))
    assert LIST["list.drop_while"](row, below) == tuple(itertools.dropwhile(below, row))
    parts = LIST["list.partition"](row, below)
    assert (parts.yes_, parts.no_) == (tuple(filter(below, row)), tuple(itertools.filterfalse(below, row)))


@given(numbers, st.integers(1, 6))
def test_chunks(items: list[int], size: int) -> None:
    wanted = tuple([tuple(items[at : at + size]) for at in range(0, len(items), size)])
    assert LIST["list.chunks"](tuple(items), size) == wanted


@given(numbers, st.lists(texts, max_size=8))
def test_side_by_side(left: list[int], right: list[str]) -> None:
    pairs = LIST["list.zip"](tuple(left), tuple(right))
    assert [(pair.first_, pair.second_) for pair in pairs] == list(zip(left, right, strict=False))
    numbered = LIST["list.enumerate"](tuple(right))
    assert [(item.index_, item.value_) for item in numbered] == list(enumerate(right))


@given(numbers)
def test_orders(items: list[int]) -> None:
    row = tuple(items)
    assert LIST["list.sort_ints"](row) == tuple(sorted(row))

    def before(x: int, y: int) -> bool:
        return x % 5 < y % 5

    wanted = sorted(row, key=cmp_to_key(lambda x, y: x % 5 - y % 5))
    assert LIST["list.sort_with"](row, before) == tuple(wanted)
    assert same(LIST["list.minimum"](row), option(min(row, default=None)))


@given(st.lists(texts, max_size=12))
def test_order_by_a_key(items: list[str]) -> None:
    assert LIST["list.sort_by"](tuple(items), lambda text: text[:1]) == tuple(
        sorted(items, key=lambda text: text[:1])
    )


@given(numbers)
def test_a_bad_order_loses_nothing(items: list[int]) -> None:
    assert sorted(LIST["list.sort_with"](tuple(items), lambda x, y: True)) == sorted(items)


@given(numbers, st.integers(-3, 3))
def test_looking_and_folding(items: list[int], item: int) -> None:
    row = tuple(items)
    assert same(LIST["list.index_of"](row, item), option(row.index(item) if item in row else None))
    assert LIST["list.sum"](row) == sum(row)
    joined = list(itertools.chain.from_iterable((item, x) for x in row))[1:]
    assert LIST["list.intersperse"](row, item) == tuple(joined)
    assert LIST["list.between"](item, item + len(row)) == tuple(range(item, item + len(row)))
    named = LIST["list.fold_right"](tuple(map(str, row)), "", lambda one, made: f"({one}{made})")
    assert named == "".join(f"({x}" for x in row) + ")" * len(row)


@given(numbers)
def test_groups(items: list[int]) -> None:
    found = LIST["list.group_by"](tuple(items), lambda item: str(item % 3))
    assert found == {key: tuple([x for x in items if str(x % 3) == key]) for key in {str(x % 3) for x in items}}


@given(texts, words)
def test_places_in_a_string(text: str, part: str) -> None:
    assert same(STRING["string.index_of"](text, part), found_at(text.find(part)))
    assert same(STRING["string.last_index_of"](text, part), found_at(text.rfind(part)))
    assert STRING["string.count"](text, part) == text.count(part)
    halves = STRING["string.split_once"](text, part)
    before, found, after = text.partition(part)
    assert (halves is NONE) == (not found)
    if isinstance(inner := getattr(halves, "_0", None), Record):
        assert (inner.before_, inner.after_) == (before, after)  # type: ignore[attr-defined]


@given(texts)
def test_parts_of_a_string(text: str) -> None:
    blanks = python_string.whitespace
    assert STRING["string.characters"](text) == tuple(text)
    assert STRING["string.words"](text) == tuple(text.split())
    assert STRING["string.trim_start"](text) == text.lstrip(blanks)
    assert STRING["string.trim_end"](text) == text.rstrip(blanks)
    assert STRING["string.reverse"](text) == text[::-1]
    ends = text.replace("\r\n", "\n").split("\n")
    assert STRING["string.lines"](text) == tuple(ends[:-1] if ends[-1] == "" else ends)


@given(texts, words, st.integers(-2, 20))
def test_a_changed_string(text: str, part: str, width: int) -> None:
    assert STRING["string.drop_prefix"](text, part) == text.removeprefix(part)
    assert STRING["string.drop_suffix"](text, part) == text.removesuffix(part)
    assert STRING["string.pad_start"](text, width, "x") == text.rjust(width, "x")
    assert STRING["string.pad_end"](text, width, "x") == text.ljust(width, "x")


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_code_points(text: str) -> None:
    found = STRING["string.codes"](text)
    assert found == tuple(map(ord, text))
    assert STRING["string.from_codes"](found) == text


@pytest.mark.parametrize("number", [0, -1, 0xD800, 0xDFFF, 0x110000, 10**50])
def test_no_code_point(number: int) -> None:
    with pytest.raises(Failure) as caught:
        STRING["string.from_codes"]((number,))
    assert isinstance(caught.value.mistake, OutsideDomain)


versions = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@given(versions, versions)
def test_versions_of_numbers(left: list[int], right: list[int]) -> None:
    found = STRING["string.compare_versions"](".".join(map(str, left)), ".".join(map(str, right)))
    assert found == (left > right) - (left < right)


@given(st.lists(st.text(st.sampled_from("0129.-ab"), max_size=6), min_size=3, max_size=3))
def test_versions_are_an_order(texts: list[str]) -> None:
    compare = STRING["string.compare_versions"]
    one, two, three = texts
    assert compare(one, two) == -compare(two, one)
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0


@given(paths, paths)
def test_paths(one: str, two: str) -> None:
    assert PATH["path.normalise"](one) == posixpath.normpath(one)
    bare = one.rstrip("/")
    assert PATH["path.base_name"](one) == posixpath.basename(bare)
    folder = posixpath.dirname(bare) or ("/" if one.startswith("/") else ".")
    assert posixpath.normpath(PATH["path.folder"](one)) == posixpath.normpath(folder)
    if two:  # Python's join keeps an empty last part as a slash
        assert PATH["path.normalise"](PATH["path.join"]((one, two))) == posixpath.normpath(
            PATH["path.join"]((one, two))
        )
        assert PATH["path.join"]((one, two)) == posixpath.join(one, two)


@given(plain, plain, st.booleans())
def test_from_one_path_to_another(path: str, start: str, absolute: bool) -> None:
    root = "/" if absolute else ""
    found = PATH["path.relative"](root + path, root + start)
    assert found == posixpath.relpath(f"/{path}", f"/{start}")
    assert PATH["path.is_inside"](root + path, root + start) == (not found.startswith(".."))


@given(st.sampled_from(["a", "a.b", ".a", "a.b.c", "..", "a.", ".a.b"]), paths)
def test_extensions(name: str, folder: str) -> None:
    found = PATH["path.extension"](f"{folder}/{name}")
    wanted = posixpath.splitext(name)[1]
    assert found == ("" if wanted == "." else wanted)
