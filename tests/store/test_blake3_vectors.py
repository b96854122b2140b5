"""The BLAKE3 we use is BLAKE3: its authors' vectors, which lie beside the repository."""

from __future__ import annotations

import json
import os

import pytest
from blake3 import blake3
from store_samples import REPOSITORY

from kiln.store.ingest import hash_file

VECTORS = os.path.join(os.path.dirname(REPOSITORY), "shared", "conformance", "blake3", "test_vectors.json")


def vectors() -> dict[str, object]:
    if not os.path.exists(VECTORS):
        pytest.skip("the conformance folder with BLAKE3's vectors is not here")
    with open(VECTORS, encoding="utf-8") as file:
        found: dict[str, object] = json.load(file)
        return found


def test_plain_and_derive_key_modes() -> None:
    data = vectors()
    cases = data["cases"]
    context = data["context_string"]
    assert isinstance(cases, list) and isinstance(context, str) and len(cases) > 30
    for case in cases:
        message = bytes(at % 251 for at in range(case["input_len"]))
        assert blake3(message).hexdigest() == case["hash"][:64]
        assert blake3(message, derive_key_context=context).hexdigest() == case["derive_key"][:64]


def test_files_are_hashed_like_bytes(place: str) -> None:
    cases = vectors()["cases"]
    assert isinstance(cases, list)
    for case in cases:
        message = bytes(at % 251 for at in range(case["input_len"]))
        with open(f"{place}/file", "w+b") as file:
            file.write(message)
            file.seek(0)
            size, digest = hash_file(file.fileno(), len(message), b"file")
        assert (size, digest.hex()) == (len(message), case["hash"][:64])


def test_large_files_take_the_threaded_way(place: str) -> None:
    message = os.urandom(1 << 20) * 20
    with open(f"{place}/file", "w+b") as file:
        file.write(message)
        file.seek(0)
        size, digest = hash_file(file.fileno(), len(message), b"file")
    assert (size, bytes(digest)) == (len(message), blake3(message).digest())
