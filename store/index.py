"""An LMDB environment that many processes and threads share.

The rules, which come from LMDB and from what went wrong for others:

1. A process opens an environment once: LMDB's locks break otherwise. `Environment.shared` counts users.
2. An environment is never used across fork: a fork waits until no transaction runs, the child closes what it
   inherited and may open its own. Every access checks the process id.
3. Never WRITEMAP: a full disk would then be a SIGBUS. Synchronous commits, as LMDB does by default.
4. The map grows when it is full, and is read again when another process grew it. It can only be resized while
   this process has no transaction, so transactions are counted; a `view` must not be nested in another.
5. Write transactions are taken under an advisory lock with a time limit: LMDB's own mutex would wait for ever
   for a stopped process. No file is read or written inside a transaction, and a body may run twice.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import lmdb

from kiln.store.disk import FULL, REMEDIES, disk_errors
from kiln.store.errors import Damaged, NoSpace, StoreError, StoreLocked
from kiln.store.layout import Layout
from kiln.store.locks import WRITE_LIMIT, FileLock
from kiln.store.openlock import hold_open

T = TypeVar("T")
FIRST_MAP = 32 << 20
"""Bytes of address space to begin with; doubled whenever it is full."""
_SMALLEST_MAP = 1 << 20
_READERS = 1024
_LOCK_BYTES = 64 * _READERS + 4096
_FORK_LIMIT = 10.0
"""Seconds that a fork waits for transactions of other threads."""
DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)


class Table(NamedTuple):
    """A part of the environment's one tree: the keys that begin with the byte `prefix`.

    LMDB's own named databases need a write transaction to be opened in, so that a reader would wait for a
    writer. `many`: a key holds several values of 32 bytes, which stand behind it in the tree's key.
    """

    prefix: bytes
    name: str
    many: bool = False


_VALUE_BYTES = 32


class Txn:
    """A transaction: what bodies of `view` and `update` are given. It must not outlive the body."""

    __slots__ = ("_cursor", "_txn")

    def __init__(self, txn: Any) -> None:
        self._txn = txn
        self._cursor: Any = None  # One serves every range of a transaction: making one costs as much as a look-up.

    def get(self, table: Table, key: bytes) -> bytes | None:
        value: bytes | None = self._txn.get(table.prefix + key)
        return value

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Store; in a table of many values, add."""
        if table.many:
            assert len(value) == _VALUE_BYTES, table.name
            self._txn.put(table.prefix + key + value, b"")
        else:
            self._txn.put(table.prefix + key, value)

    def delete(self, table: Table, key: bytes, value: bytes = b"") -> bool:
        """Remove a key, or one of its many values; whether it was there."""
        return bool(self._txn.delete(table.prefix + key + value))

    def append(self, table: Table, value: bytes, above: int = 0) -> int:
        """Add under the next number, more than `above`; the key is that number in 8 bytes, big-endian."""
        cursor = self._txn.cursor()
        last = b""
        if cursor.set_range(bytes((table.prefix[0] + 1,))):
            last = cursor.key() if cursor.prev() else b""
        elif cursor.last():
            last = cursor.key()
        number = max(above, int.from_bytes(last[1:], "big") if last.startswith(table.prefix) else 0) + 1
        self._txn.put(table.prefix + number.to_bytes(8, "big"), value)
        return number

    def values(self, table: Table, key: bytes) -> list[bytes]:
        """All values of one key of a table of many values, in order."""
        return [found[-_VALUE_BYTES:] for found, _ in self._range(table.prefix + key)]

    def prefixed(self, table: Table, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs whose key begins with `prefix`, in order."""
        return [(key[1:], value) for key, value in self._range(table.prefix + prefix)]

    def after(self, table: Table, key: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs of the table whose key comes after `key`, in order."""
        found = []
        cursor = self._txn.cursor()
        if cursor.set_range(table.prefix + key + b"\0"):
            for at, value in cursor.iternext():
                if not at.startswith(table.prefix):
                    break
                found.append((at[1:], value))
        return found

    def first_at(self, table: Table, key: bytes) -> bytes | None:
        """The first key of the table that is `key` or comes after it."""
        cursor = self._txn.cursor()
        if not cursor.set_range(table.prefix + key):
            return None
        found: bytes = cursor.key()
        return found[1:] if found.startswith(table.prefix) else None

    def items(self, table: Table) -> list[tuple[bytes, bytes]]:
        """Every pair, in order; a key with many values once for each."""
        if table.many:
            return [(key[1:-_VALUE_BYTES], key[-_VALUE_BYTES:]) for key, _ in self._range(table.prefix)]
        return self.prefixed(table, b"")

    def _range(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self._txn.cursor()
        found: list[tuple[bytes, bytes]] = []
        if cursor.set_range(prefix):
            for item in cursor.iternext():
                if not item[0].startswith(prefix):
                    break
                found.append(item)
        return found


class Environment:
    """One environment of this process. Make one with `shared`, and `close` it as often."""

    _open: ClassVar[dict[str, Environment]] = {}  # guarded by _guard
    _inherited: ClassVar[list[Any]] = []
    """What a forked child could not close: kept for ever, so that nothing finalises it."""
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, layout: Layout, path: str, first_map: int) -> None:
        self.path = path
        self._layout = layout
        self._users = 0
        self._pid = os.getpid()
        self._state = threading.Condition()
        self._active = 0
        self._growing = False
        self._quiet = False
        self._writing = threading.Lock()
        self._lock = FileLock(layout, f"{layout.locks}/{os.path.basename(path)}.write")
        self._critical = path == layout.critical
        self._held = hold_open(layout) if self._critical else -1
        try:
            self._env = self._load(first_map)
        except BaseException:
            self._let_go()
            raise

    @classmethod
    def shared(cls, layout: Layout, path: str, first_map: int = FIRST_MAP) -> Environment:
        """This process' environment at `path`, made if it is not there. Raises Damaged, NoSpace, StoreError."""
        with cls._guard:
            found = cls._open.get(path)
            if found is None:
                found = cls._open[path] = cls(layout, path, first_map)
            found._users += 1
            return found

    def close(self) -> None:
        with self._guard:
            self._users -= 1
            if self._users == 0 and self._pid == os.getpid():
                del self._open[self.path]
                self._env.close()
                self._let_go()

    def _let_go(self) -> None:
        """Have this process no longer counted among those who have the index open."""
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)

    def _load(self, first_map: int, spare: int = 2) -> Any:
        size = self._size()
        if size == 0 and self._critical and _holds_anything(self._layout) and self._size() == 0:
            raise Damaged(
                "the index is missing, and the store is not empty",
                found=f"nothing in {self.path!r}",
                help="kiln store rebuild-index",
            )
        if size == 0:
            self._layout.make_folder(self.path)
        self._allocate_lock_file()
        try:
            env = lmdb.open(
                self.path,
                map_size=max(first_map, spare * size),
                max_readers=_READERS,
                subdir=True,
                mode=0o644,
            )
        except lmdb.Error as error:
            raise self._explain(error) from error
        self._check_length(env)
        for name in ("data.mdb", "lock.mdb"):
            self._layout.owner.take_at(None, f"{self.path}/{name}")
        return env

    def _size(self) -> int:
        try:
            return os.stat(f"{self.path}/data.mdb").st_size
        except FileNotFoundError:
            return 0

    def _check_length(self, env: Any) -> None:
        """A file that was cut short would be a SIGBUS where its last pages are read."""
        needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        found = os.stat(f"{self.path}/data.mdb").st_size
        if found < needed:
            env.close()
            raise Damaged(
                "the index is damaged: its file was cut short",
                expected=f"{needed} bytes",
                found=f"{found} bytes in {self.path!r}",
                help="kiln store rebuild-index",
            )

    def _allocate_lock_file(self) -> None:
        """Give the table of readers its blocks now: it is mapped, and a full disk would be a SIGBUS later."""
        with disk_errors("opening the index"):
            fd = os.open(f"{self.path}/lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                if os.fstat(fd).st_blocks * 512 < _LOCK_BYTES:
                    os.posix_fallocate(fd, 0, _LOCK_BYTES)
            finally:
                os.close(fd)

    def view(self, body: Callable[[Txn], T]) -> T:
        """Run `body` on a snapshot. Never waits for a writer. Raises Damaged, StoreError."""
        while True:
            self._enter()
            try:
                with self._env.begin() as txn:
                    return body(Txn(txn))
            except lmdb.MapResizedError:
                pass
            except lmdb.Error as error:
                raise self._explain(error) from error
            finally:
                self._leave()
            self._resize(0)

    def update(self, body: Callable[[Txn], T], limit: float = WRITE_LIMIT) -> T:
        """Run `body` in a write transaction that is durable when this returns; it may run more than once.

        Raises StoreLocked (naming the holder) after `limit` seconds, NoSpace, Damaged, StoreError.
        """
        self._check_process()
        if not self._writing.acquire(timeout=limit):
            raise StoreLocked(f"another thread has held the index's write lock for more than {limit:.0f} s")
        try:
            self._lock.acquire("the index's write lock", limit)
            try:
                return self._update(body)
            finally:
                self._lock.release()
        finally:
            self._writing.release()

    def _update(self, body: Callable[[Txn], T]) -> T:
        while True:
            self._enter()
            grow = -1
            try:
                with self._env.begin(write=True) as txn:
                    return body(Txn(txn))
            except lmdb.MapFullError:
                grow = 2 * int(self._env.info()["map_size"])
            except lmdb.MapResizedError:
                grow = 0
            except lmdb.Error as error:
                raise self._explain(error) from error
            finally:
                self._leave()
            self._resize(grow)

    def version(self) -> int:
        """The number of the last transaction that wrote, of any process."""
        self._enter()
        try:
            return int(self._env.info()["last_txnid"])
        finally:
            self._leave()

    def check_readers(self) -> int:
        """Free the reader slots of dead processes, which would keep old pages alive; how many."""
        self._check_process()
        return int(self._env.reader_check())

    def _enter(self) -> None:
        self._check_process()
        with self._state:
            while self._growing:
                self._state.wait()
            self._active += 1

    def _leave(self) -> None:
        with self._state:
            self._active -= 1
            self._state.notify_all()

    def _resize(self, size: int) -> None:
        """Set the map's size (0: what another process made it) once no transaction of this process runs."""
        with self._state:
            while self._growing:
                self._state.wait()
            self._growing = True
            try:
                while self._active:
                    self._state.wait()
                self._env.set_mapsize(size)
            except lmdb.Error as error:
                self._open_again()
                raise self._explain(error) from error
            finally:
                self._growing = False
                self._state.notify_all()

    def _open_again(self) -> None:
        """After a map could not be made larger there is none at all, and whoever reads would read nowhere."""
        self._env.close()
        self._env = self._load(_SMALLEST_MAP, spare=1)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise StoreError("a store was used across a fork", help="open the store again in the child process")

    def _explain(self, error: lmdb.Error) -> StoreError:
        text = str(error)
        if isinstance(error, lmdb.DiskError) or any(os.strerror(code) in text for code in FULL):
            return NoSpace(
                "no space left while writing the index",
                found=text,
                help="free space on the store's file system, then run the same command again",
            )
        found = f"{self.path!r}: {text}"
        if isinstance(error, DAMAGE):
            return Damaged("the index is damaged", found=found, help="kiln store rebuild-index")
        if isinstance(error, lmdb.PanicError):  # Only this process is concerned: nothing was written half.
            return StoreError(
                "the index cannot be used any more since an earlier write failed",
                found=found,
                help="mend what that message said, then run the same command again",
            )
        for code, (what, remedy) in REMEDIES.items():
            if os.strerror(code) in text:
                return StoreError(f"{what}, while using the index", found=found, help=remedy)
        return StoreError("the index cannot be used", found=found, help="kiln doctor")

    def _pause(self) -> None:
        """Let no transaction begin, and wait for those that run; not for ever, should one of them be forking."""
        deadline = time.monotonic() + _FORK_LIMIT
        with self._state:
            self._state.wait_for(lambda: not self._growing, _FORK_LIMIT)
            self._growing = True
            while self._active and (left := deadline - time.monotonic()) > 0:
                self._state.wait(left)
            self._quiet = not self._active

    def _resume(self) -> None:
        with self._state:
            self._growing = False
            self._state.notify_all()


def _holds_anything(layout: Layout) -> bool:
    """Whether something was ever registered here: the index is made before the first object comes."""
    for folder in (layout.store, layout.records):
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return True
    return False


def _before_fork() -> None:
    Environment._guard.acquire()
    for item in Environment._open.values():
        item._pause()


def _after_fork_in_parent() -> None:
    for item in Environment._open.values():
        item._resume()
    Environment._guard.release()


def _after_fork_in_child() -> None:
    """Close what was inherited, so that the child can open its own.

    Closing also ends what transactions the library knows of, and would clear the parent's slots in the table of
    readers with them: hence the pause. An environment that could not be paused is left open and useless.
    """
    for item in Environment._open.values():
        if item._quiet:
            item._env.close()
            item._let_go()
        else:
            Environment._inherited.append(item)
    Environment._open.clear()
    Environment._guard.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
