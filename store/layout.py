"""The folders of a store, and who may open it.

    <root>/format         "kiln store 1\\n"
           store/         one entry for each object: <32 characters>-<name>
           objects-meta/  one small file for each object, named alike: what `rebuild-index` reads
           records/       claims with their witnesses, and resolutions: one file each, named by digest
           envelopes/     DSSE envelopes, <64 hex>.json, kept for ever
           index/         LMDB: critical/ and disposable/
           .tmp/          one folder for each running process that writes; .trash/ what waits to be unlinked
           pool/          big files that objects share (see `pool`); quarantine/ what `repair` took out
           reserve/       room for the day on which the disk is full (see `reserve`)
           partial/       big files from caches that did not arrive whole (see `cache/bigblob`)
           locks/ roots/ logs/ keys/

Everything but format, index and keys can be read by other users; only the owner of <root> writes. The owner
may be another user than the process only when the process is root, who then gives every file to the owner.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from kiln.store.disk import disk_errors, read_file
from kiln.store.errors import NotInStore, NotOwner, StoreError

FORMAT = b"kiln store 1\n"
_FOLDERS = ("store", "objects-meta", "records", "envelopes", "index", ".tmp", ".trash", "locks", "roots", "logs")
_PRIVATE = ("keys",)


class Owner(NamedTuple):
    """Who owns a store's files. Only root can give files away; anybody else's are their own already."""

    uid: int
    gid: int

    def take(self, fd: int) -> None:
        if os.geteuid() == 0:
            os.fchown(fd, self.uid, self.gid)

    def take_at(self, dir_fd: int | None, name: str | bytes) -> None:
        """The same by name, not following a symlink."""
        if os.geteuid() == 0:
            os.chown(name, self.uid, self.gid, dir_fd=dir_fd, follow_symlinks=False)


class Layout(NamedTuple):
    """Where things are, and whose."""

    root: str
    owner: Owner

    @property
    def store(self) -> str:
        return f"{self.root}/store"

    @property
    def meta(self) -> str:
        return f"{self.root}/objects-meta"

    @property
    def records(self) -> str:
        return f"{self.root}/records"

    @property
    def envelopes(self) -> str:
        return f"{self.root}/envelopes"

    @property
    def critical(self) -> str:
        return f"{self.root}/index/critical"

    @property
    def disposable(self) -> str:
        return f"{self.root}/index/disposable"

    @property
    def temp(self) -> str:
        return f"{self.root}/.tmp"

    @property
    def trash(self) -> str:
        return f"{self.root}/.trash"

    @property
    def locks(self) -> str:
        return f"{self.root}/locks"

    @property
    def roots(self) -> str:
        return f"{self.root}/roots"

    @property
    def logs(self) -> str:
        return f"{self.root}/logs"

    @property
    def keys(self) -> str:
        return f"{self.root}/keys"

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """A folder that may be there already."""
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            return
        os.chmod(path, mode)  # Whatever the umask is: a build's user must be able to pass through.
        self.owner.take_at(None, path)


def open_layout(root: str, *, create: bool) -> Layout:
    """Check that this is a store of this user's, and make one where there is none.

    Raises NotOwner, NotInStore (no store there and `create` is false), StoreError (something else lies there).
    """
    with disk_errors("opening the store"):
        try:
            facts = os.stat(root)
        except FileNotFoundError:
            if not create:
                raise NotInStore("there is no store here", found=repr(root)) from None
            os.makedirs(root, 0o755, exist_ok=True)
            facts = os.stat(root)
        layout = Layout(os.path.realpath(root), Owner(facts.st_uid, facts.st_gid))
        _check_owner(layout, facts)
        try:
            _check_format(layout, read_file(f"{layout.root}/format"))
        except FileNotFoundError:
            _create(layout, create)
    return layout


def _check_owner(layout: Layout, facts: os.stat_result) -> None:
    if not stat.S_ISDIR(facts.st_mode):
        raise StoreError("the store's place is not a folder", found=repr(layout.root))
    uid = os.geteuid()
    if uid not in (0, facts.st_uid):
        raise NotOwner(
            "this store belongs to another user",
            expected=f"user id {facts.st_uid}, the owner of {layout.root!r}",
            found=f"user id {uid}",
            help="give a store of your own with --store, or run as its owner",
        )


def _check_format(layout: Layout, found: bytes) -> None:
    if found != FORMAT:
        raise StoreError(
            "this store was written by another version of Kiln",
            expected=repr(FORMAT.decode()),
            found=repr(found[:80].decode("utf-8", "replace")),
            help="use the version that made it, or another --store",
        )


def _create(layout: Layout, create: bool) -> None:
    """Make what is missing. Several processes may do this at once, so that every step may find itself done."""
    known = {"format", *_FOLDERS, *_PRIVATE}
    strange = [name for name in os.listdir(layout.root) if name not in known and not name.startswith("format.")]
    if strange:
        raise StoreError(
            "this folder is not a store and not empty",
            expected="an empty folder, or a store",
            found=f"{layout.root!r} with {sorted(strange)[0]!r} in it",
            help="name a folder that does not exist yet",
        )
    if not create:
        raise NotInStore("there is no store here", found=repr(layout.root))
    for name in _FOLDERS:
        layout.make_folder(f"{layout.root}/{name}")
    for name in _PRIVATE:
        layout.make_folder(f"{layout.root}/{name}", 0o700)
    layout.make_folder(f"{layout.locks}/sessions")
    layout.make_folder(f"{layout.locks}/builds")
    draft = f"{layout.root}/format.{os.getpid()}.{os.urandom(4).hex()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, FORMAT)
        layout.owner.take(fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, f"{layout.root}/format")
