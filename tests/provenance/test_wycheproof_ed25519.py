"""Project Wycheproof's Ed25519 vectors through our verifier, and keys of small order."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from kiln.store.provenance.keys import PublicKey

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.normpath(
    os.path.join(HERE, "..", "..", "..", "shared", "conformance", "wycheproof", "ed25519_test.json")
)

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]
"""Points whose order divides eight, as libsodium's and others' lists have them."""


def vectors() -> list[Any]:
    if not os.path.exists(VECTORS):
        return []
    with open(VECTORS, encoding="utf-8") as file:
        groups = json.load(file)["testGroups"]
    return [
        pytest.param(group["publicKey"]["pk"], test, id=f"{test['tcId']}-{test['result']}")
        for group in groups
        for test in group["tests"]
    ]


def test_the_vectors_are_there() -> None:
    if not vectors():
        pytest.skip("Wycheproof's vectors are not beside this checkout (shared/conformance/wycheproof)")
    assert len(vectors()) == 151


@pytest.mark.parametrize(("key", "test"), vectors())
def test_vector(key: str, test: dict[str, str]) -> None:
    verifier = PublicKey.of(bytes.fromhex(key))
    good = verifier.verify(bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
    assert good == (test["result"] == "valid"), test["comment"]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_key_of_small_order_verifies_nothing(point: str) -> None:
    """With such a key, R = identity and S = 0 would fit any message."""
    verifier = PublicKey.of(bytes.fromhex(point))
    for r in SMALL_ORDER:
        assert not verifier.verify(b"any message", bytes.fromhex(r) + bytes(32))
