"""Another user's store, read as a local cache: nothing of it is trusted, nothing of it is changed.

Only the small files are read, never the index: LMDB's readers write into its lock file, which another user may
not, and without that a reader sees pages change under it. An object's small file proves that its id follows from
its manifest; its bytes are hashed while they are copied. Records are what they claim to be, with signatures that
whoever uses them has to check.

What is listed is listed once, when it is first asked for; a store that grows meanwhile is opened again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from kiln.store.closure import order_into
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, blob_digest
from kiln.store.disk import disk_errors, read_file
from kiln.store.errors import Damaged, NotInStore, StoreError
from kiln.store.info import ObjectInfo
from kiln.store.layout import FORMAT, Layout, Owner
from kiln.store.meta import ObjectMeta
from kiln.store.paths import HASH_CHARS, StorePath, base32
from kiln.store.recordfile import decode_record_files
from kiln.store.records import Resolution
from kiln.store.tables import Witnessed
from kiln.store.verify import Problem, read_meta, verify_object


class StoreReader:
    """A store that is only read. Make one with `open`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.root = layout.root
        self.store_dir = layout.store
        self._names: dict[str, str] | None = None
        self._claims: dict[ResolvedDigest, list[Witnessed]] | None = None
        self._resolutions: dict[DrvDigest, list[Resolution]] = {}

    @classmethod
    def open(cls, root: str) -> StoreReader:
        """Raises NotInStore (no store there, or not to be read), StoreError (of another version)."""
        try:
            facts = os.stat(root)
            found = read_file(f"{root}/format")
            os.listdir(f"{root}/objects-meta")
        except OSError as error:
            raise NotInStore("there is no store here that this user can read", found=f"{root!r}: {error}") from None
        if found != FORMAT:
            raise StoreError("this store was written by another version of Kiln", found=repr(found[:80]))
        return cls(Layout(os.path.realpath(root), Owner(facts.st_uid, facts.st_gid)))

    def physical(self, path: StorePath) -> str:
        """Where an object lies on this machine."""
        return f"{self.store_dir}/{path.base}"

    def info(self, object_id: ObjectId) -> ObjectInfo | None:
        """What is here under an id, proven by its small file; None also where that is damaged."""
        base = self._bases().get(base32(object_id))
        if base is None:
            return None
        try:
            info = read_meta(self.layout, base).info
        except StoreError:
            return None
        return info if info.id == object_id else None

    def by_path(self, path: StorePath) -> ObjectInfo | None:
        try:
            return read_meta(self.layout, path.base).info
        except StoreError:
            return None

    def meta(self, object_id: ObjectId) -> ObjectMeta:
        """Raises NotInStore, Damaged."""
        base = self._bases().get(base32(object_id))
        if base is None:
            raise NotInStore("no such object in that store", found=str(object_id))
        meta = read_meta(self.layout, base)
        if meta.info.id != object_id:
            raise Damaged("an object's small file is another object's", found=base)
        return meta

    def closure(self, ids: Iterable[ObjectId]) -> list[ObjectInfo]:
        """References before referrers. Raises NotInStore."""
        ordered: dict[ObjectId, ObjectInfo] = {}
        for start in ids:
            order_into(ordered, start, self._require)
        return list(ordered.values())

    def verify(self, object_id: ObjectId) -> list[Problem]:
        """Read an object whole and say what is wrong with it. Raises NotInStore, Damaged."""
        return verify_object(self.layout, self.meta(object_id).info)

    def claims_for(self, resolved: ResolvedDigest) -> list[Witnessed]:
        """Claims with their witnesses, as somebody else keeps them: signatures are not checked here."""
        return self._records().get(resolved, [])

    def resolutions_for(self, drvs: Iterable[DrvDigest]) -> dict[DrvDigest, list[Resolution]]:
        self._records()
        return {drv: self._resolutions[drv] for drv in drvs if drv in self._resolutions}

    def envelope(self, digest: EnvelopeDigest) -> bytes:
        """Raises NotInStore, Damaged."""
        path = f"{self.layout.envelopes}/{digest.hex()}.json"
        with disk_errors("reading an envelope"):
            try:
                data = read_file(path)
            except FileNotFoundError:
                raise NotInStore("no such envelope in that store", found=str(digest)) from None
        if bytes(blob_digest(data)) != bytes(digest):
            raise Damaged("an envelope's file was changed", found=path)
        return data

    def _require(self, object_id: ObjectId) -> ObjectInfo:
        info = self.info(object_id)
        if info is None:
            raise NotInStore("no such object in that store", found=str(object_id))
        return info

    def _bases(self) -> dict[str, str]:
        if self._names is None:
            with disk_errors("reading another store"):
                self._names = {name[:HASH_CHARS]: name for name in os.listdir(self.layout.meta)}
        return self._names

    def _records(self) -> dict[ResolvedDigest, list[Witnessed]]:
        if self._claims is None:
            self._claims = {}
            with disk_errors("reading another store"):
                for name in sorted(os.listdir(self.layout.records)):
                    try:
                        records = decode_record_files(name, read_file(f"{self.layout.records}/{name}"))
                    except (StoreError, FileNotFoundError):
                        continue
                    for record in records:
                        if isinstance(record, Resolution):
                            self._resolutions.setdefault(record.drv, []).append(record)
                        else:
                            self._claims.setdefault(record.claim.resolved, []).append(record)
        return self._claims
