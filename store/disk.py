"""The few system calls that Python does not have, and what a full disk looks like.

`sync_filesystem` is syncfs(2): since Linux 5.8 it also reports write-back errors that happened since the
descriptor was opened, so the descriptor must be older than the writes it answers for. `rename_new` is
renameat2(2) with RENAME_NOREPLACE.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kiln.store.errors import NoSpace, StoreError

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_SYNC_WRITE = 2
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system answers when a disk, a quota or the limit on file sizes is used up."""
REMEDIES: dict[int, tuple[str, str]] = {
    errno.EROFS: (
        "the store's file system is read-only",
        "remount it writable, then run the same command again",
    ),
    errno.EIO: (
        "the store's disk failed",
        "look at the kernel's messages (dmesg) and mend or replace the disk, then run kiln store verify",
    ),
    errno.ENOMEM: (
        "there is not enough memory",
        "free memory, or raise the limit (ulimit -v), then run the same command again",
    ),
    errno.EMFILE: (
        "this process has too many files open",
        "raise the limit (ulimit -n), or use a smaller -j, then run the same command again",
    ),
}
"""What the system answers, in words, and what to do about it."""
_libc: Any = None


def _library() -> Any:
    global _libc
    if _libc is None:
        import ctypes

        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def _call(function: str, *arguments: object) -> None:
    import ctypes

    if getattr(_library(), function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def sync_filesystem(fd: int) -> None:
    """Write out everything of the file system that `fd` lies on. Raises OSError when any write-back failed."""
    _call("syncfs", fd)


def start_writing(fd: int, offset: int, length: int) -> None:
    """Have the kernel begin to write a range of a file out, without waiting; a hint, and never an error."""
    with suppress(OSError, AttributeError):
        _call("sync_file_range", fd, _off64(offset), _off64(length), _SYNC_WRITE)


def _off64(number: int) -> object:
    import ctypes

    return ctypes.c_int64(number)


def rename_new(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
    """Rename without replacing. Raises FileExistsError when the target is there.

    File systems without the flag (EINVAL) get a check and a plain rename; a directory still never replaces
    another that holds anything.
    """
    try:
        _call("renameat2", source_fd, source, target_fd, target, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        if exists_at(target_fd, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target)) from None
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)


def exchange(one_fd: int, one: bytes, other_fd: int, other: bytes) -> None:
    """Let two entries of one file system change places, at once. Raises OSError, also where that can't be done."""
    _call("renameat2", one_fd, one, other_fd, other, _RENAME_EXCHANGE)


def exists_at(dir_fd: int, name: bytes) -> bool:
    """Whether the directory has an entry of this name, whatever it is."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn a full disk into NoSpace, and any other failure of the system into a StoreError that says when."""
    try:
        yield
    except OSError as error:
        raise explain(error, doing) from error


def explain(error: OSError, doing: str) -> StoreError:
    """The store's word for a failed system call."""
    place = error.filename
    where = f": {os.fsdecode(place)!r}" if isinstance(place, str | bytes) else ""
    if error.errno in FULL:
        return NoSpace(
            f"no space left while {doing}{where}",
            found=error.strerror,
            help="free space or inodes on the store's file system, then run the same command again",
        )
    what, remedy = REMEDIES.get(error.errno or 0, ("failed", None))
    separator = " while" if remedy is None else ", while"
    return StoreError(f"{what}{separator} {doing}{where}", found=error.strerror or str(error), help=remedy)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte; os.write may stop early."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_file(path: str | bytes, dir_fd: int | None = None) -> bytes:
    """A whole small file, never through a symlink."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def open_directory(path: str | bytes, dir_fd: int | None = None) -> int:
    """A descriptor of a directory, never through a symlink in the last component."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
