"""Rows that an uploader whose word counts has signed, and that are none, are refused and never crash."""

from __future__ import annotations

import msgpack
import pytest

from kiln.store.cache.hints import objects_in, resolved_in
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged
from kiln.store.manifest import FileNode, check_manifest, directory_digest, encode_directory
from kiln.store.meta import decode_meta

FILE = FileNode(3, blob_digest(b"abc"), False)
ALONE = encode_directory([(b"", FILE)])
ODD = [
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    *map(msgpack.packb, (None, {"a": 1}, {0: [1]}, [], [{}], [[]], [[b""]], [[[b"", 0]]])),
    msgpack.packb([[msgpack.packb({"a": 1}), 0]]),
    msgpack.packb([[msgpack.packb({"a": 1})]]),
    msgpack.packb([[msgpack.packb([1, msgpack.packb({2: b"x"})])]]),
]  # fmt: skip


@pytest.mark.parametrize("row", ODD)
def test_a_hint_of_a_row_of_another_form_is_none(row):
    assert list(resolved_in(row)) == [] and list(objects_in(row)) == []


@pytest.mark.parametrize("offset", [float("inf"), float("nan"), -5, 2**63, "1", None, []])
def test_a_place_that_is_none(offset):
    fields = [1, bytes(32), "hi", 1, 3, [], [[b"", [offset], ALONE]], directory_digest(ALONE), [ALONE]]
    with pytest.raises(Damaged):
        decode_meta(msgpack.packb(fields))


def test_a_name_that_is_empty_is_that_of_one_file_alone():
    check_manifest(directory_digest(ALONE), [ALONE])
    two = encode_directory([(b"", FILE), (b"x", FILE)])
    with pytest.raises(Damaged, match="a name that is empty"):
        check_manifest(directory_digest(two), [two])
