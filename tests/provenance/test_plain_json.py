"""Canonical JSON: one form for one value, equal to other implementations where they overlap."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from kiln.store.errors import BadEnvelope
from kiln.store.provenance.plainjson import MAX_DEPTH, MAX_INT, canonical, read_json

text = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_it_reads_back_and_is_stable(value: object) -> None:
    data = canonical(value)
    assert read_json(data, "it", 1 << 20) == value
    assert canonical(json.loads(data)) == data


@given(
    st.recursive(
        st.booleans()
        | st.integers(-MAX_INT, MAX_INT)
        | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF)),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_", max_size=5), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_without_control_characters_it_is_what_securesystemslib_writes(value: object) -> None:
    assert canonical(value) == encode_canonical(value).encode()


def test_keys_are_sorted_by_utf16_as_rfc_8785_has_them() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}
    assert list(json.loads(canonical(value))) == ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert canonical([value]) == b"[" + canonical(value) + b"]"


def test_strings_are_escaped_as_rfc_8785_has_them() -> None:
    assert canonical('€$\x0f\nA\'B"\\\\"/\x7f') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"'.encode()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        MAX_INT + 1,
        -MAX_INT - 1,
        b"x",
        {1: 2},
        {None: 1},
        {"a": {"b": object()}},
        "\ud800",
        {"\udfff": 1},
    ],
)
def test_a_value_without_a_form_is_refused(value: object) -> None:
    with pytest.raises(BadEnvelope):
        canonical(value)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_depth_is_bounded_both_ways() -> None:
    deep = read_json(nested(MAX_DEPTH), "it", 1 << 20)
    assert canonical(deep) == nested(MAX_DEPTH)
    with pytest.raises(BadEnvelope, match="deep"):
        read_json(nested(MAX_DEPTH + 2), "it", 1 << 20)
    with pytest.raises(BadEnvelope, match="deep"):
        canonical([[deep]])
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(BadEnvelope, match="deep"):
        canonical(circle)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1,]",
        b"1 2",
        b"'a'",
        b"NaN",
        b"-Infinity",
        b"1.5",
        b"1e2",
        b"01",
        b"9007199254740992",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'"\\ud83d"',
        b'{"\\udc00":1}',
        b'"\x01"',
        b'"\xc0\x80"',
        b"\xff\xfe1\x00",
        b"\xef\xbb\xbf1",
    ],
)
def test_doubtful_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        read_json(data, "it", 1 << 20)


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert read_json(b'"\\ud83d\\ude00"', "it", 100) == "😀"


def test_size_is_bounded_before_parsing() -> None:
    with pytest.raises(BadEnvelope, match="too large"):
        read_json(b'"' + b"a" * 100 + b'"', "it", 100)
