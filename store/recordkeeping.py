"""The part of a store that answers what is said of its objects: claims, witnesses, resolutions, envelopes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kiln.store import tables
from kiln.store.acyclic import no_cycles
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.disk import disk_errors, read_file
from kiln.store.errors import Damaged, NotInStore
from kiln.store.index import Txn
from kiln.store.opened import Opened
from kiln.store.records import Resolution
from kiln.store.tables import Witnessed


class RecordKeeping(Opened):
    """Reading records. All of a question is answered from one snapshot of the index."""

    def claims_for(self, resolved: ResolvedDigest) -> list[Witnessed]:
        """Every (claim, witness, origin) about a resolved derivation."""
        return self._index.view(lambda txn: tables.claims_for(txn, resolved))

    def claims_for_many(self, resolved: Iterable[ResolvedDigest]) -> dict[ResolvedDigest, list[Witnessed]]:
        """The same for many, on one snapshot; derivations without any are left out."""
        wanted = list(resolved)

        def body(txn: Txn) -> dict[ResolvedDigest, list[Witnessed]]:
            return {item: found for item in wanted if (found := tables.claims_for(txn, item))}

        with no_cycles():
            return self._index.view(body)

    def producers(self, object_id: ObjectId) -> list[Witnessed]:
        """Every (claim, witness, origin) of which this object is the result."""
        return self._index.view(lambda txn: tables.producers_of(txn, object_id))

    def producers_for_many(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, list[Witnessed]]:
        """The same for many, on one snapshot; objects that nobody says anything of are left out."""
        wanted = list(object_ids)

        def body(txn: Txn) -> dict[ObjectId, list[Witnessed]]:
            return {item: found for item in wanted if (found := tables.producers_of(txn, item))}

        with no_cycles():
            return self._index.view(body)

    def all_resolutions(self) -> list[Resolution]:
        """Every resolution that is kept."""
        with no_cycles():
            return self._index.view(tables.all_resolutions)

    def resolutions_for(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Resolution]]:
        """Every resolution of these derivations, in one look-up; derivations without any are left out."""
        wanted = list(drvs)

        def body(txn: Txn) -> dict[DrvDigest, list[Resolution]]:
            return {drv: found for drv in wanted if (found := tables.resolutions_for(txn, drv))}

        with no_cycles():
            return self._index.view(body)

    def contests(self) -> list[tuple[ObjectId, ...]]:
        """Objects that claims give for one output of one derivation, for each output that has more than one."""
        return self._index.view(tables.contests)

    def has_envelope(self, digest: EnvelopeDigest) -> bool:
        """Whether an envelope's file is here."""
        return os.path.isfile(f"{self.layout.envelopes}/{digest.hex()}.json")

    def envelope(self, digest: EnvelopeDigest) -> bytes:
        """An envelope's bytes. Raises NotInStore, Damaged."""
        from kiln.store.digest import blob_digest

        with disk_errors("reading an envelope"):
            try:
                data = read_file(f"{self.layout.envelopes}/{digest.hex()}.json")
            except FileNotFoundError:
                raise NotInStore(
                    "no such envelope in this store",
                    found=str(digest),
                    help="evidence of what came from a cache comes with: kiln cache pull TARGET",
                ) from None
        if bytes(blob_digest(data)) != bytes(digest):
            raise Damaged("an envelope's file was changed", found=f"{self.layout.envelopes}/{digest.hex()}.json")
        return data
