"""Taking an object from another store by its id: copied, hashed on the way, and refused unless it is that object.

A copy that does not have the manifest's root, or whose self-references are not where the id says, never gets near
the store. So it does not matter whose the other store is.
"""

from __future__ import annotations

import os

from kiln.store.commit import Staged
from kiln.store.copying import Copy
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory
from kiln.store.errors import Damaged
from kiln.store.ingest import ingest
from kiln.store.meta import ObjectMeta
from kiln.store.reader import StoreReader
from kiln.store.session import Session
from kiln.store.trash import to_trash
from kiln.store.verify import wrong_places


def stage_borrowed(session: Session, other: StoreReader, object_id: ObjectId) -> Staged:
    """Copy one object into the session's folder. Raises NotInStore, Damaged, Refused, NoSpace, StoreError."""
    return stage_as(session, other.meta(object_id), other.store_dir)


def stage_as(session: Session, meta: ObjectMeta, folder: str) -> Staged:
    """The same from any folder where the object's entry lies. Raises Damaged when it is not that object."""
    target = session.fresh("copy-").encode()
    with disk_errors("copying from another store"):
        parent_fd = open_directory(folder)
        visitor = Copy(session.fd, target, session.layout.owner)
        try:
            found = ingest(parent_fd, meta.info.path.base.encode(), visitor)
        finally:
            visitor.close()
            os.close(parent_fd)
        staged = Staged(meta, session.path, target)
        if found.manifest.root == meta.info.root and not wrong_places(staged.physical, meta):
            return staged
        to_trash(session.layout, session.fd, target)
    raise Damaged("an object in another store is not what it should be", found=f"{folder}/{meta.info.path.base}")
