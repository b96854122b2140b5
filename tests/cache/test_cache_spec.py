"""The example in docs/spec/cache.md is what the code writes, byte for byte.

python -m tests.cache.test_cache_spec      prints the blocks
"""

from __future__ import annotations

import json
import os
import re
from unittest import mock

import pytest

from kiln.store.cache import card, framing, head, pack, rows, segment
from kiln.store.cache.objectrecord import ObjectRecord, Sliced, encode_record
from kiln.store.digest import ResolvedDigest, blob_digest
from kiln.store.info import ObjectInfo
from kiln.store.manifest import FileNode, ManifestBuilder, object_id
from kiln.store.meta import ObjectMeta
from kiln.store.provenance.keys import SecretKey

SPEC = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "spec", "cache.md")
KEY = SecretKey.of(bytes(range(32)))
MADE, LIFETIME = 1_795_249_800, 90 * 86400


def hexdump(data: bytes) -> str:
    """Sixteen bytes a line, and what of them is text."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:04x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)


def example() -> dict[str, str]:
    """The same cache whatever the version of zstd: everything is stored raw."""
    with mock.patch.object(pack, "compress", raw), mock.patch.object(segment, "compress", raw):
        return made_example()


def raw(data: bytes) -> tuple[int, bytes]:
    return framing.RAW, data


def made_example() -> dict[str, str]:
    """A cache with one object, the file `hi\\n` under the name hi."""
    content = b"hi\n"
    node = FileNode(len(content), blob_digest(content), False)
    manifest = ManifestBuilder().finish(node)
    identity = object_id("hi", manifest, [], [])
    meta = ObjectMeta(ObjectInfo(identity, manifest.root, "hi", len(content), (), "file"), manifest, ())
    first = pack.PackWriter()
    first.add(pack.TEXT, content)
    blobs = first.finish()
    record = encode_record(ObjectRecord(meta, {node.digest: Sliced(blobs.places[0])}))
    second = pack.PackWriter()
    second.add(pack.RECORDS, record)
    records = second.finish()
    made_by = ResolvedDigest(blob_digest(b"some resolved derivation"))
    table = {
        rows.key(rows.BLOBS, node.digest): rows.encode_blob(Sliced(blobs.places[0])),
        rows.key(rows.OBJECTS, identity): rows.encode_object(rows.ObjectRow(3, records.places[0], (made_by,))),
        rows.key(rows.TARGETS, identity): rows.encode_target(rows.TargetRow(MADE * 1000, "hi.kiln", (identity,), ())),
    }
    made = segment.write_segment(table)
    index = segment.decode_index(made.footer)
    said = head.Head("team", 1, MADE, MADE + LIFETIME, (head.SegmentEntry.of(made),))
    uploader = card.sign_uploader(card.Uploader("team", KEY.public_key, "ci", MADE), KEY)
    return {
        blobs.path: hexdump(blobs.data),
        "object record": hexdump(record),
        records.path: hexdump(records.data[-(len(records.data) - index_end(records)) :]),
        "value of B": hexdump(table[rows.key(rows.BLOBS, node.digest)]),
        "value of O": hexdump(table[rows.key(rows.OBJECTS, identity)]),
        "value of T": hexdump(table[rows.key(rows.TARGETS, identity)]),
        made.path: hexdump(made.data[index.frames[-1].offset + index.frames[-1].stored :]),
        "payload of the head": head.encode_head(said).decode(),
        head.head_path(KEY.public_key.keyid): head.sign_head(said, KEY).decode().rstrip("\n"),
        "kiln-cache.json": card.encode_card(card.make_card("team", frozenset([uploader]))).decode().rstrip("\n"),
    }


def index_end(made: pack.Pack) -> int:
    rows_of = pack.check_pack(made.digest, made.data)
    return rows_of[-1].offset + rows_of[-1].stored


def blocks() -> dict[str, str]:
    """The blocks of the document's example: a line with the name in backticks, then a fenced block."""
    with open(SPEC, encoding="utf-8") as file:
        text = file.read()
    return {
        name: body.rstrip("\n")
        for name, body in re.findall(r"^`([^`\n]+)`[^\n]*\n\n```\n(.*?)```", text, re.M | re.S)
    }


@pytest.mark.parametrize("name", list(example()))
def test_the_example_is_what_is_written(name):
    assert blocks().get(name) == example()[name]


def test_the_examples_head_is_one():
    found = json.loads(example()["payload of the head"])
    assert found["schema"] == head.SCHEMA and found["version"] == 1


@pytest.mark.parametrize(
    "number",
    [
        ("512 KiB", pack.MAX_FRAME),
        ("16 MiB", pack.MAX_PACK),
        ("64 KiB", segment.TARGET),
        ("8 MiB", rows.MAX_VALUE),
    ],
)
def test_limits_are_the_documents(number):
    with open(SPEC, encoding="utf-8") as file:
        text = file.read()
    amount, unit = number[0].split()
    assert int(amount) * {"KiB": 1 << 10, "MiB": 1 << 20}[unit] == number[1] and number[0] in text


if __name__ == "__main__":
    for title, shown in example().items():
        print(f"`{title}`\n\n```\n{shown}\n```\n")
