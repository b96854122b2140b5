"""What the store's records say of derivations, where one was built twice and came out differently."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.ledger import Ledger
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.provenance.trust import Policy
from kiln.store.records import Witness, make_claim
from kiln.store.tables import Witnessed

OUT, DOC = OutputName("out"), OutputName("doc")
RESOLVED = ResolvedDigest(b"r" * 32)


def object_id(name: str) -> ObjectId:
    return ObjectId(name.encode().ljust(32, b"."))


def witnessed(build: int, output: OutputName, name: str) -> Witnessed:
    claim = make_claim(RESOLVED, output, object_id(name), RootDigest(bytes(32)), 1, ())
    witness = Witness(
        claim=claim.digest, keyid="0" * 64, envelope=EnvelopeDigest(bytes([build]) * 32), sandbox=b"", degraded=(),
        started=1, finished=2, resources=(), signature=bytes(64),
    )  # fmt: skip
    return Witnessed(claim, witness, "built")


class Records:
    """As much of a store as a ledger asks."""

    def __init__(self, rows: list[Witnessed], gone: Iterable[str] = ()) -> None:
        self.rows, self.gone = rows, {object_id(name) for name in gone}

    def claims_for_many(self, wanted: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, list[Witnessed]]:
        return {RESOLVED: self.rows} if RESOLVED in set(wanted) else {}

    def pin(self, ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectInfo]:
        return {
            item: ObjectInfo(item, RootDigest(bytes(32)), item.rstrip(b".").decode(), 1, (), "file")
            for item in ids
            if item not in self.gone
        }

    def resolutions_for(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[object]]:
        return {}


TWICE = [
    witnessed(1, OUT, "out1"), witnessed(1, DOC, "doc1"), witnessed(2, OUT, "out2"), witnessed(2, DOC, "doc2")
]  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ((), {"out1", "doc1"}),
        (("doc1",), {"out2", "doc2"}),
        (("out1",), {"out2", "doc2"}),
        (("doc1", "doc2"), {"out1"}),
        (("out1", "doc2"), {"doc1"}),
        (("out1", "doc1", "out2", "doc2"), set()),
    ],
)
def test_outputs_of_two_builds_are_never_put_together(gone, expected):
    ledger = Ledger(Records(TWICE, gone), Policy.of)  # type: ignore[arg-type]
    assert {item.info.name for item in ledger.realised(RESOLVED).values()} == expected


def test_a_plan_may_choose_the_build_that_agrees_with_it():
    drv = DrvDigest(RESOLVED)  # as with a fetch, whose one digest serves for both
    known = Ledger(Records(TWICE, ["doc1"]), Policy.of).known([drv])[drv]  # type: ignore[arg-type]
    assert [way.outputs for way in known] == [
        {OUT: SourceObject(object_id("out2"), "out2"), DOC: SourceObject(object_id("doc2"), "doc2")},
        {OUT: SourceObject(object_id("out1"), "out1")},
    ]
