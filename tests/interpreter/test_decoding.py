"""Bytes that are no derivation in canonical form are refused, whatever they would do if they were taken."""

from __future__ import annotations

import msgpack
import pytest

from kiln.interpreter.derivation import (
    InputRef,
    NotCanonical,
    OutputRef,
    OutputSpec,
    Program,
    SourceObject,
    decode,
    derivation,
    encode,
)
from kiln.store.digest import ObjectId
from kiln.store.paths import OutputName

GOOD = derivation(
    name="made-1",
    builder=Program(("/bin/sh",), (("-c",), ("cp ", InputRef(0), " ", OutputRef(0)))),
    inputs=[SourceObject(ObjectId(bytes([1]) * 32), "a"), SourceObject(ObjectId(bytes([2]) * 32), "b")],
    outputs=[OutputSpec(OutputName("out"), "tree"), OutputSpec(OutputName("doc"), "file")],
    env={"A": ("x",), "B": (InputRef(1),)},
    links={"/bin/sh": (InputRef(0), "/bin/sh")},
)
NAME, SYSTEM, BUILDER, ENV, INPUTS, OUTPUTS, SANDBOX, LINKS, SECRETS = range(1, 10)


def changed(place, value):
    fields = msgpack.unpackb(encode(GOOD))
    fields[place] = value(fields[place]) if callable(value) else value
    return msgpack.packb(fields)


def test_what_was_encoded_is_decoded():
    assert decode(encode(GOOD)) == GOOD


BAD = {
    "a name that is a path": changed(NAME, "../../x"),
    "an input's name that is a path": changed(INPUTS, [[1, bytes(32), "a/b"]] * 2),
    "a short digest": changed(INPUTS, lambda items: [[1, b"short", "a"], items[1]]),
    "inputs out of order": changed(INPUTS, lambda items: items[::-1]),
    "an input twice": changed(INPUTS, lambda items: [items[0], items[0], items[1]]),
    "a variable twice": changed(ENV, [["A", ["x"]], ["A", ["y"]]]),
    "variables out of order": changed(ENV, [["B", ["x"]], ["A", ["y"]]]),
    "an output twice": changed(OUTPUTS, [["out", "tree", 0], ["out", "tree", 0]]),
    "outputs out of order": changed(OUTPUTS, lambda items: items[::-1]),
    "no output": changed(OUTPUTS, []),
    "a kind that there is not": changed(OUTPUTS, [["out", "socket", 0]]),
    "an input that there is not": changed(BUILDER, [0, [[0, 7]], []]),
    "an input before the first": changed(BUILDER, [0, [[0, -1]], []]),
    "an output that there is not": changed(BUILDER, [0, [[1, 2]], []]),
    "a place that is no number": changed(BUILDER, [0, [[0, True]], []]),
    "an empty part": changed(BUILDER, [0, ["", "a"], []]),
    "two texts side by side": changed(BUILDER, [0, ["a", "b"], []]),
    "a version that is no number": changed(BUILDER, [1, "unpack", True, []]),
    "an epoch that is no number": changed(SANDBOX, [True, "standard"]),
    "a secret twice": changed(SECRETS, ["a", "a"]),
    "another version": changed(0, 2),
    "more behind it": encode(GOOD) + b"\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_refused(data):
    with pytest.raises(NotCanonical):
        decode(data)
