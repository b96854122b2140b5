"""Reading a source that stays where it is, and that others may be writing to: what `ingest` does at each step.

A source is copied with one reading, and what it was is remembered (see `sourcememo`). A file that changes while it is
read is noticed by its times, and what changes between its reading and the end by a last look at all of them: what
was copied is the tree as it was at one moment.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from kiln.store.bigcopy import copy_big
from kiln.store.disk import open_directory
from kiln.store.errors import Refused
from kiln.store.failpoint import failpoint
from kiln.store.ingest import (
    MANY_THREADS,
    Measure,
    finish_directory,
    finish_file,
    finish_link,
    hash_file,
    open_regular,
    read_link,
    show_path,
)
from kiln.store.layout import Owner
from kiln.store.manifest import FileNode, LinkNode
from kiln.store.sourcememo import SourceMemo, now, pack_facts
from kiln.store.tree import Event, Select, Step, walk

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Recall(Measure):
    """Read only, and only what is not remembered as it is (see `sourcememo`)."""

    def __init__(self, memo: SourceMemo) -> None:
        super().__init__()
        self._memo = memo
        memo.begin()

    def enter(self, event: Event) -> None:
        self._memo.enter(event.path, os.fstat(event.fd).st_dev)

    def file(self, event: Event) -> FileNode:
        facts = os.stat(event.name, dir_fd=event.fd, follow_symlinks=False)
        if not event.path:
            self._memo.enter(b"", facts.st_dev)
        node = self._memo.recall(event.name, facts)
        if node is None:
            node = self._read(event)
        if not event.path:
            self._memo.leave()
        return node

    def _read(self, event: Event) -> FileNode:
        read_at = now()
        fd, before = open_regular(event)
        try:
            size, digest = hash_file(fd, before.st_size, event.path)
            _check_unchanged(before, os.fstat(fd), size, event.path)
        finally:
            os.close(fd)
        node = FileNode(size, digest, bool(before.st_mode & 0o111))
        self._memo.note(event.name, before, node, read_at)
        return node

    def leave(self, event: Event) -> None:
        self._memo.leave()


class Copy:
    """Into `target`, a new name in the folder `target_fd`. The source is only read."""

    prepare: Callable[[int, bytes], None] | None = None

    def __init__(self, target_fd: int, target: bytes, owner: Owner, memo: SourceMemo | None = None) -> None:
        self._target = target
        self._owner = owner
        self._memo = memo
        self.facts: dict[bytes, bytes] = {}
        if memo is not None:
            memo.begin()
        self._fd = os.dup(target_fd)
        os.set_inheritable(self._fd, False)

    def close(self) -> None:
        os.close(self._fd)

    def _name(self, event: Event) -> bytes:
        return event.name if event.path else self._target

    def enter(self, event: Event) -> None:
        os.mkdir(self._name(event), 0o755, dir_fd=self._fd)
        inner = open_directory(self._name(event), self._fd)
        os.close(self._fd)
        self._fd = inner
        self._owner.take(inner)
        facts = os.fstat(event.fd)
        self.facts[event.path] = pack_facts(facts)
        if self._memo is not None:
            self._memo.enter(event.path, facts.st_dev)

    def file(self, event: Event) -> FileNode:
        read_at = now()
        fd, before = open_regular(event)
        try:
            executable = bool(before.st_mode & 0o111)
            out = os.open(self._name(event), _MAKE, 0o600, dir_fd=self._fd)
            try:
                if before.st_size >= MANY_THREADS:
                    size, digest = copy_big(fd, out)
                else:
                    size, digest = hash_file(fd, before.st_size, event.path, None, out)
                finish_file(out, executable, self._owner)
            finally:
                os.close(out)
            _check_unchanged(before, os.fstat(fd), size, event.path)
        finally:
            os.close(fd)
        failpoint("ingest:file-copied")
        self.facts[event.path] = pack_facts(before)
        node = FileNode(size, digest, executable)
        if self._memo is not None:
            self._note(event, before, node, read_at)
        return node

    def _note(self, event: Event, facts: os.stat_result, node: FileNode, read_at: int) -> None:
        assert self._memo is not None
        if event.path:
            self._memo.note(event.name, facts, node, read_at)
            return
        self._memo.enter(b"", facts.st_dev)
        self._memo.note(event.name, facts, node, read_at)
        self._memo.leave()

    def link(self, event: Event) -> LinkNode:
        node = read_link(event, None)
        os.symlink(node.target, self._name(event), dir_fd=self._fd)
        finish_link(self._fd, self._name(event), self._owner)
        return node

    def leave(self, event: Event) -> None:
        finish_directory(self._fd, is_top=not event.path)
        outer = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = outer
        if self._memo is not None:
            self._memo.leave()


def check_same(parent_fd: int, top: bytes, facts: dict[bytes, bytes], select: Select | None) -> None:
    """That nothing changed since a `Copy` read it: what was copied is then the tree as it was at one moment.

    Raises Refused, naming what changed, and OSError.
    """
    for event in walk(parent_fd, top, select=select):
        if event.step in (Step.ENTER, Step.FILE):
            found = (
                os.fstat(event.fd)
                if event.step is Step.ENTER
                else os.stat(event.name, dir_fd=event.fd, follow_symlinks=False)
            )
            if facts.get(event.path) != pack_facts(found):
                raise _changed(event.path)


def _check_unchanged(before: os.stat_result, after: os.stat_result, size: int, path: bytes) -> None:
    same = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    if not same or size != before.st_size:
        raise _changed(path)


def _changed(path: bytes) -> Refused:
    return Refused(
        "a source changed while it was being read",
        found=show_path(path or b"."),
        help="stop what writes it, then run the same command again",
    )
