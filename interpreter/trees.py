"""Remote modules' trees: fetched and unpacked into the store once, compared with their pin, kept by a root.

    pin ──its id follows from the tree's digest──► in the store?  yes ──verify──► folder
                                                   no  ──fetch, unpack, hash, compare, add──► folder

Every tree is an object under one name, so that its id follows from its root digest alone: the store is asked
without any table of what was fetched. A tree is hashed whole before anything in it is read, each time it is opened,
so that neither an address nor a disk can change what a pin means.

What keeps it from being collected is a link in `<cache>/pins/<BLAKE3 of the keeper's path, 32 digits>/`, named by
the tree's digest; the keeper is the project's kiln.lock, or a build file with a pin of its own. The folder's entry
`keeper` is a link to it: where that leads nowhere the project is gone, and its roots are taken away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from blake3 import blake3

from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.errors import NotHere, TreeDiffers, Unreachable
from kiln.interpreter.lock import Pin
from kiln.store.digest import BlobDigest, ObjectId, RootDigest
from kiln.store.disk import open_directory
from kiln.store.errors import Damaged, NotInStore
from kiln.store.info import ObjectInfo
from kiln.store.ingest import Measure, ingest
from kiln.store.manifest import Manifest, object_id
from kiln.store.store import Store

if TYPE_CHECKING:
    from kiln.interpreter.fetch.config import FetchConfig
    from kiln.interpreter.fetch.fetch import Fetched

TREE_NAME: Final = "kiln-module"
_KEEPER: Final = "keeper"


class Brought(NamedTuple):
    """A tree that was fetched for the first time. `file` is None for git's."""

    tree: RootDigest
    file: BlobDigest | None
    strip: int
    folder: str


class Trees:
    """Opens remote trees for one command. `say` is told before something is fetched, `warn` of what came with it."""

    def __init__(
        self,
        store: Store,
        cache: str,
        *,
        offline: bool = False,
        say: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.offline = offline
        self._pins = os.path.join(cache, "pins")
        self._say = say
        self._warn = warn
        self._verified: set[ObjectId] = set()

    def has(self, tree: RootDigest) -> bool:
        """Whether it is in the store."""
        return self._info(tree) is not None

    def open(self, name: str, pin: Pin, keeper: str) -> str:
        """The absolute folder of the pinned tree, fetched if it has to be, and kept for `keeper`'s sake.

        Raises FetchError (TreeDiffers, NotHere, HashMismatch and what fetching raises), StoreError.
        """
        info = self._info(pin.tree)
        if info is None:
            info = self._bring(name, pin)
        elif info.id not in self._verified:
            self._verify(name, info)
        self._verified.add(info.id)
        self._keep(info, keeper)
        return self.store.physical(info.path)

    def bring_first(self, name: str, address: str, *, git: bool, strip: int | None) -> Brought:
        """Fetch what nobody has pinned yet, and add its tree. Raises FetchError, StoreError.

        Without `strip`, an archive's one outermost folder is dropped.
        """
        from kiln.interpreter.fetch.fetch import fetch_first

        folder = self.store.new_temp("module")
        fetched = fetch_first(_file_name(name), address, os.path.join(folder, "file"), self._config())
        self._tell(name, fetched)
        strip = 0 if git else strip
        tree = self._unpack(name, fetched.path, folder, strip or 0)
        if strip is None and _is_wrapped(tree):
            strip = 1
            tree = self._unpack(name, fetched.path, folder, strip)
        info = self.store.add_object(tree, TREE_NAME, move=True)
        self._verified.add(info.id)
        return Brought(info.root, None if git else fetched.blake3, strip or 0, self.store.physical(info.path))

    def folder(self, tree: RootDigest) -> str:
        """Where a tree lies that is in the store. Raises NotInStore."""
        return self.store.physical(self._present(tree).path)

    def keep(self, tree: RootDigest, keeper: str) -> None:
        """Keep it for the sake of a keeper, which is there. Raises NotInStore, StoreError."""
        self._keep(self._present(tree), keeper)

    def release(self, tree: RootDigest, keeper: str) -> None:
        """Keep it no longer for this keeper's sake."""
        link = os.path.join(self._roots_of(keeper), tree.hex())
        if os.path.islink(link):
            os.unlink(link)

    def _present(self, tree: RootDigest) -> ObjectInfo:
        info = self._info(tree)
        if info is None:
            raise NotInStore("no such tree in this store", found=str(tree))
        return info

    def _info(self, tree: RootDigest) -> ObjectInfo | None:
        info = self.store.info(object_id(TREE_NAME, Manifest(tree, ()), (), ()))
        return info if info is not None and os.path.isdir(self.store.physical(info.path)) else None

    def _verify(self, name: str, info: ObjectInfo) -> None:
        found = tree_digest(self.store.physical(info.path))
        if found != info.root:
            raise Damaged(
                f"the remote module `{name}` was changed in the store",
                expected=str(info.root),
                found=f"{found} at {self.store.physical(info.path)}",
                help="kiln store verify",
            )

    def _bring(self, name: str, pin: Pin) -> ObjectInfo:
        folder = self.store.new_temp("module")
        try:
            fetched = self._fetch(name, pin, os.path.join(folder, "file"))
        except Unreachable as error:
            if not self.offline:
                raise
            raise NotHere(
                f"the remote module `{name}` is not in the store, and nothing may be fetched",
                expected=str(pin.tree),
                found="not fetched yet",
                help="run the command once without --offline",
            ) from error
        self._tell(name, fetched)
        tree = self._unpack(name, fetched.path, folder, pin.strip)
        found = tree_digest(tree)
        if found != pin.tree:
            raise TreeDiffers(
                f"the tree of the remote module `{name}` is not the pinned one",
                expected=str(pin.tree),
                found=str(found),
                help=f"if the change is meant: kiln pin update {name}",
                notes=(f"from {pin.address}",),
            )
        return self.store.add_object(tree, TREE_NAME, move=True)

    def _fetch(self, name: str, pin: Pin, dest: str) -> Fetched:
        from kiln.interpreter.fetch.fetch import fetch_first, fetch_fixed

        if not self.offline:
            self._say(f"fetching the module {name}")
        if pin.file is None:
            return fetch_first(_file_name(name), pin.address, dest, self._config())
        fixed = Fixed(_file_name(name), False, "blake3", bytes(pin.file))
        return fetch_fixed(fixed, (pin.address,), dest, self._config())

    def _unpack(self, name: str, archive: str, folder: str, strip: int) -> str:
        from kiln.interpreter.fetch.unpack import unpack

        tree = os.path.join(folder, f"tree-{strip}")
        shutil.rmtree(tree, ignore_errors=True)
        for warning in unpack(archive, tree, strip).warnings:
            self._warn(f"{name}: {warning}")
        return tree

    def _tell(self, name: str, fetched: Fetched) -> None:
        for warning in fetched.warnings:
            self._warn(f"{name}: {warning}")

    def _config(self) -> FetchConfig:
        from kiln.interpreter.fetch.config import load_config

        keep = os.path.join(self.store.root, "failed")
        self.store.layout.make_folder(keep)
        return load_config(os.environ, offline=self.offline, keep_dir=keep)

    # ---- roots --------------------------------------------------------------------------------

    def _roots_of(self, keeper: str) -> str:
        return os.path.join(self._pins, blake3(os.fsencode(keeper)).hexdigest()[:32])

    def _keep(self, info: ObjectInfo, keeper: str) -> None:
        folder = self._roots_of(keeper)
        link = os.path.join(folder, info.root.hex())
        if os.path.islink(link) and os.readlink(link) == self.store.physical(info.path):
            return
        self._forget_the_gone()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        mark = os.path.join(folder, _KEEPER)
        with contextlib.suppress(FileExistsError):
            os.symlink(keeper, mark)
        self.store.add_root(link, info.id)

    def _forget_the_gone(self) -> None:
        if not os.path.isdir(self._pins):
            return
        with os.scandir(self._pins) as entries:
            folders = [entry.path for entry in entries if os.path.islink(os.path.join(entry.path, _KEEPER))]
        for folder in folders:
            if not os.path.exists(os.path.join(folder, _KEEPER)):
                shutil.rmtree(folder, ignore_errors=True)


def tree_digest(path: str) -> RootDigest:
    """The root digest of a directory as it lies there. Raises OSError, Refused."""
    parent_fd = open_directory(os.path.dirname(path))
    try:
        return ingest(parent_fd, os.fsencode(os.path.basename(path)), Measure()).manifest.root
    finally:
        os.close(parent_fd)


def build_files(folder: str) -> tuple[str, ...]:
    """The build files of a tree: relative paths, sorted."""
    found: list[str] = []
    for here, folders, names in os.walk(folder):
        folders.sort()
        inner = os.path.relpath(here, folder)
        prefix = "" if inner == "." else inner + "/"
        found += [prefix + name for name in names if name.endswith(".kiln")]
    return tuple(sorted(found))


def _is_wrapped(tree: str) -> bool:
    """Whether an archive has everything in one folder."""
    with os.scandir(tree) as entries:
        tops = list(entries)
    return len(tops) == 1 and tops[0].is_dir(follow_symlinks=False)


def _file_name(name: str) -> str:
    """A name that a fetched file may have."""
    return name.replace("/", "-")[:100]
