"""Each byte of a small cache flipped in turn: nothing else is read from it than what was pushed.

All bytes, one after the other, with readers alone: what a reader yields is either what it yields of the cache as it
was, or nothing. `test_cache_hostile` has whole builds for a sample of the bytes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from taking_graphs import Graph, Users

from kiln.store.cache.backend import Backend, open_backend
from kiln.store.cache.believed import Believed
from kiln.store.cache.errors import CacheError
from kiln.store.cache.objectrecord import Sliced
from kiln.store.cache.reader import CacheReader
from kiln.store.digest import DrvDigest
from kiln.store.provenance.trust import Policy, TrustedKey


class Shown:
    """What a reader yields of all that a cache has to say of one derivation."""

    def __init__(self, backend: Backend, policy: Policy, drv: DrvDigest) -> None:
        self.warnings: list[str] = []
        self.facts: set[object] = set()
        self._reader = CacheReader(backend, Believed(policy), self.warnings.append)
        try:
            self._read(drv)
        except CacheError as error:
            self.warnings.append(error.message)

    def _read(self, drv: DrvDigest) -> None:
        reader = self._reader
        resolutions = reader.resolutions([drv]).get(drv, [])
        self.facts.update(resolutions)
        claims = [row for rows in reader.claims([item.resolved for item in resolutions]).values() for row in rows]
        self.facts.update((row.claim, row.witnesses) for row in claims)
        rows = reader.objects([row.claim.object for row in claims])
        self.facts.update(rows)
        records = reader.records(rows)
        self.facts.update((item, record.meta.info) for item, record in records.items())
        places = {
            (item, digest): place.place
            for item, record in records.items()
            for digest, place in record.blobs.items()
            if isinstance(place, Sliced)
        }
        self.facts.update(reader.read(places))
        envelopes = reader.envelopes([witness.envelope for row in claims for witness in row.witnesses])
        self.facts.update(envelopes.items())


@pytest.mark.parametrize("part", range(4))
def test_each_byte(place: str, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """In four tests, so that processes share them."""
    users, graph = Users(place, monkeypatch), Graph()
    only = graph.add("only")
    alice = users.add(b"a")
    alice.realise(graph, only)
    folder = f"{place}/shared"
    alice.push(open_backend(folder))
    users.close()
    policy = Policy.of([TrustedKey(alice.key.public_key, "alice")])
    backend = open_backend(folder, name="team")
    honest = Shown(backend, policy, only)
    assert len(honest.facts) >= 6 and honest.warnings == []
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
        data = path.read_bytes()
        for at in range(part, len(data), 4):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            found = Shown(backend, policy, only)
            assert found.facts <= honest.facts, f"{path} at {at}"
            assert found.facts == honest.facts or any("team" in text for text in found.warnings), f"{path} at {at}"
        path.write_bytes(data)
