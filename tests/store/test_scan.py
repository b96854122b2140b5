"""The scanner finds what a naive one finds, whatever the bytes and however they come."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from kiln.store.paths import ALPHABET
from kiln.store.scan import Scanner

TARGETS = ["0" * 32, "0123456789abcdfghjkmnpqrsvwxyz01", "abababababababababababababababab", "z" * 31 + "0"]
EXPRESSION = re.compile(rf"[{ALPHABET}]{{32,}}".encode())


def naive(data: bytes, targets: list[str]) -> list[tuple[int, bytes]]:
    wanted = [target.encode() for target in targets]
    return [(at, item) for at in range(len(data)) for item in wanted if data.startswith(item, at)]


def by_expression(data: bytes, targets: list[str]) -> list[tuple[int, bytes]]:
    wanted = {target.encode() for target in targets}
    return [
        (at, data[at : at + 32])
        for run in EXPRESSION.finditer(data)
        for at in range(run.start(), run.end() - 31)
        if data[at : at + 32] in wanted
    ]


def in_pieces(data: bytes, cuts: list[int], targets: list[str]) -> list[tuple[int, bytes]]:
    scanner = Scanner(targets)
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(borders):
        scanner.feed(b"file", start, data[start:end])
    return [(hit.offset, hit.target) for hit in scanner.hits]


targets = st.lists(st.text(ALPHABET, min_size=32, max_size=32), max_size=4).map(lambda more: TARGETS + more)
noise = st.one_of(
    st.binary(max_size=40),
    st.text(ALPHABET, max_size=200).map(str.encode),
    st.sampled_from([b"0", b"ab", b"z"]).flatmap(lambda unit: st.integers(0, 300).map(lambda n: unit * n)),
)


@given(st.data())
def test_equal_to_naive_in_any_pieces(data: st.DataObject) -> None:
    wanted = data.draw(targets)
    parts = data.draw(st.lists(st.one_of(noise, st.sampled_from([item.encode() for item in wanted])), max_size=8))
    text = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, 5000), max_size=6))
    expected = sorted(naive(text, wanted))
    assert sorted(set(in_pieces(text, cuts, wanted))) == sorted(set(expected))
    assert sorted(set(by_expression(text, wanted))) == sorted(set(expected))


def test_found_once_across_every_border() -> None:
    target = TARGETS[1].encode()
    data = b"-" * 40 + target + b"-" * 40
    for cut in range(1, len(data)):
        assert in_pieces(data, [cut], TARGETS) == [(40, target)]
    assert in_pieces(data, list(range(len(data))), TARGETS) == [(40, target)]


def test_files_do_not_run_into_each_other() -> None:
    target = TARGETS[1].encode()
    scanner = Scanner(TARGETS)
    scanner.feed(b"a", 0, b"-" + target[:20])
    scanner.feed(b"b", 0, target[20:] + b"-")
    assert scanner.hits == []


def test_a_run_of_megabytes_is_searched() -> None:
    target = "0123456789abcdfghjkmnpqrsvwxyz01"
    data = b"a" * 3_000_001 + target.encode() + b"b" * 1_000_000
    assert list(Scanner([target]).find(data)) == [(3_000_001, target.encode())]


def test_nothing_to_look_for_finds_nothing() -> None:
    scanner = Scanner([])
    scanner.feed(b"file", 0, b"0" * 100)
    assert scanner.hits == []
