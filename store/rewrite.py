"""From what a builder wrote to objects: scratch hashes become the hashes of the objects themselves.

Each output was built at a scratch path, and may mention its own, those of its siblings, and any member of the
input closure. All outputs are read once, which finds every mention and hashes every file. Then the outputs are
put in an order in which each comes after those it mentions, and for each:

    1  mentions of siblings get the siblings' final hashes, its own get zeros: that gives the id (see `manifest`)
    2  its own get the hash of that id, and the files that change are written anew

A circle among outputs has no such order and is an error that names a file on each edge. A file *name* cannot
be rewritten without moving what other files look for, so a scratch hash in one is refused; so are two mentions
that overlap. Mentions of the input closure are references and stay as they are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kiln.store.commit import Staged
from kiln.store.digest import ObjectId
from kiln.store.disk import disk_errors, open_directory
from kiln.store.errors import ReferenceCycle, Refused
from kiln.store.hidden import HiddenMention, Suspects, hidden_mentions
from kiln.store.info import ObjectInfo, sorted_references
from kiln.store.ingest import (
    CaseCollision,
    Ingested,
    Normalise,
    ingest,
    show_path,
)
from kiln.store.layout import Owner
from kiln.store.manifest import ZEROS, SelfPlace, object_id, replaced
from kiln.store.meta import ObjectMeta, kind_of
from kiln.store.patch import TreeAt, split
from kiln.store.paths import HASH_CHARS, OutputName, StorePath, base32, check_name
from kiln.store.scan import Hit, Scanner


@dataclass(frozen=True, slots=True)
class BuiltOutput:
    """What a builder left. `source` is where it lies on this machine, on the store's file system.

    `scratch` is the path it was built at; `store_name` is the name that its object's path will carry, and must
    be the scratch path's, so that rewriting changes no length.
    """

    name: OutputName
    source: str
    scratch: StorePath
    store_name: str
    kind: Literal["tree", "file"]
    forbid_self: bool = False


class _Read(NamedTuple):
    """An output, read and normalised. `hits` are in the order of paths and offsets."""

    output: BuiltOutput
    found: Ingested
    hits: tuple[Hit, ...]
    named: tuple[bytes, ...]
    """Hashes of the closure that stand in names of files."""
    hidden: tuple[HiddenMention, ...]


@dataclass(frozen=True, slots=True)
class StagedOutputs:
    """Objects ready for commit, each after those it refers to, and what a user should be told."""

    staged: tuple[tuple[OutputName, Staged], ...]
    collisions: tuple[tuple[OutputName, CaseCollision], ...]
    hidden: tuple[tuple[OutputName, HiddenMention], ...] = ()
    """Compressed files with store paths inside, which no reference keeps and no rewriting reaches."""

    @property
    def infos(self) -> dict[OutputName, ObjectInfo]:
        return {name: item.meta.info for name, item in self.staged}


def stage_outputs(outputs: Sequence[BuiltOutput], closure: Iterable[ObjectInfo], owner: Owner) -> StagedOutputs:
    """Read, order and rewrite the outputs of one build. The builder must be gone.

    `closure` is every object that the builder could see. Raises Refused, ReferenceCycle, NoSpace, StoreError.
    """
    paths = {info.path: info.id for info in closure}
    members = {path.hash.encode(): object_id for path, object_id in paths.items()}
    scratch = {output.scratch.hash.encode(): output for output in outputs}
    targets = [*paths, *(output.scratch for output in outputs)]
    reads = {output.name: _read(output, scratch, targets, owner) for output in outputs}
    done: dict[bytes, ObjectInfo] = {}
    staged = []
    for name in _order(reads, scratch):
        item = _finish(reads[name], members, done, owner)
        done[reads[name].output.scratch.hash.encode()] = item.meta.info
        staged.append((name, item))
    collisions = [(name, item) for name, read in reads.items() for item in read.found.collisions]
    hidden = [(name, item) for name, read in reads.items() for item in read.hidden]
    return StagedOutputs(tuple(staged), tuple(collisions), tuple(hidden))


def _read(
    output: BuiltOutput, scratch: Mapping[bytes, BuiltOutput], targets: Sequence[StorePath], owner: Owner
) -> _Read:
    check_name(output.store_name)
    if output.store_name != output.scratch.name:
        raise Refused(
            "an output's object must be named like its scratch path",
            expected=output.scratch.name,
            found=output.store_name,
        )
    named: list[bytes] = []
    scanner = Scanner(target.hash for target in targets)
    suspects = Suspects(scanner.feed)

    def watch_name(path: bytes, name: bytes) -> None:
        for _, target in scanner.find(name):
            if target in scratch:
                raise Refused(
                    f"output {output.name} has the hash of its build path in a file's name",
                    found=show_path(path),
                    help="give the file a name that does not contain the output's path",
                )
            named.append(target)

    with disk_errors(f"reading output {output.name}"):
        folder, entry = split(output.source)
        parent_fd = open_directory(folder)
        try:
            visitor = Normalise(owner, suspects.feed)
            found = ingest(parent_fd, entry, visitor, watch_name=watch_name)
        except Refused as error:
            if not error.message.startswith("output "):
                error.message = f"in output {output.name}, {error.message}"
            raise
        finally:
            os.close(parent_fd)
        with TreeAt(output.source) as top:
            hidden = hidden_mentions(suspects.paths, top.open, targets) if suspects.paths else []
    kind = kind_of(found.node)
    if kind != output.kind:
        raise Refused(
            f"output {output.name} is not what was declared", expected=f"a {output.kind}", found=f"a {kind}"
        )
    read = _Read(output, found, tuple(scanner.hits), tuple(named), tuple(hidden))
    _check_self(read)
    _check_overlaps(read, scratch)
    return read


def _check_self(read: _Read) -> None:
    own = read.output.scratch.hash.encode()
    hit = next((hit for hit in read.hits if hit.target == own), None)
    if read.output.forbid_self and hit is not None:
        raise Refused(
            f"output {read.output.name} mentions its own path, which its recipe forbids",
            found=f"{show_path(hit.path)} at byte {hit.offset}",
            help="remove the mention, or allow self-references in the recipe",
        )


def _check_overlaps(read: _Read, scratch: Mapping[bytes, BuiltOutput]) -> None:
    last = Hit(b"", -HASH_CHARS, b"")
    for hit in read.hits:
        if hit.target not in scratch:
            continue
        if hit.path == last.path and hit.offset - last.offset < HASH_CHARS and last.target:
            raise Refused(
                f"output {read.output.name} has two build paths that overlap",
                found=f"{show_path(hit.path)} at byte {hit.offset}",
            )
        last = hit


def _order(reads: Mapping[OutputName, _Read], scratch: Mapping[bytes, BuiltOutput]) -> list[OutputName]:
    """Each output after those it mentions; by name where that leaves a choice. Raises ReferenceCycle."""
    edges = {name: _mentions(read, scratch) for name, read in reads.items()}
    ordered: list[OutputName] = []
    waiting = sorted(reads)
    while waiting:
        ready = next((name for name in waiting if not (edges[name].keys() - set(ordered))), None)
        if ready is None:
            raise _cycle(edges, waiting)
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _mentions(read: _Read, scratch: Mapping[bytes, BuiltOutput]) -> dict[OutputName, Hit]:
    """The siblings that an output mentions, each with the first place."""
    found: dict[OutputName, Hit] = {}
    for hit in read.hits:
        sibling = scratch.get(hit.target)
        if sibling is not None and sibling.name != read.output.name:
            found.setdefault(sibling.name, hit)
    return found


def _cycle(edges: Mapping[OutputName, Mapping[OutputName, Hit]], waiting: Sequence[OutputName]) -> ReferenceCycle:
    chain = [waiting[0]]
    while True:
        following = min(name for name in edges[chain[-1]] if name in waiting)
        if following in chain:
            chain = [*chain[chain.index(following) :], following]
            break
        chain.append(following)
    steps = [
        f"{name} mentions {after} in {show_path(edges[name][after].path)}"
        for name, after in itertools.pairwise(chain)
    ]
    return ReferenceCycle(
        "the outputs of this build refer to each other in a circle",
        expected="outputs that can be put in an order",
        found="; ".join(steps),
        help="move one of these files into the other output, or give the build one output",
    )


def _finish(read: _Read, members: Mapping[bytes, ObjectId], done: Mapping[bytes, ObjectInfo], owner: Owner) -> Staged:
    own = read.output.scratch.hash.encode()
    siblings = {key: info.path.hash.encode() for key, info in done.items()}
    changed = _changed(read.hits, {own, *siblings})
    references = sorted_references(
        [
            *(members[hit.target] for hit in read.hits if hit.target in members),
            *(members[target] for target in read.named),
            *(done[hit.target].id for hit in read.hits if hit.target in done),
        ]
    )
    name = read.output.store_name
    with disk_errors(f"rewriting output {read.output.name}"), TreeAt(read.output.source) as top:
        places = [
            SelfPlace(path, offsets, top.preview(path, hits, {own: ZEROS, **siblings}))
            for path, hits in changed.items()
            if (offsets := tuple(hit.offset for hit in hits if hit.target == own))
        ]
        # The id needs the siblings' hashes in files that do not mention this output, too.
        plain = {
            path: top.preview(path, hits, siblings)
            for path, hits in changed.items()
            if all(hit.target != own for hit in hits)
        }
        modulo_siblings = replaced(read.found.manifest, plain)
        identity = object_id(name, modulo_siblings, places, references)
        final = {own: base32(identity).encode(), **siblings}
        nodes = {path: top.write(path, hits, final, owner) for path, hits in changed.items()}
    manifest = replaced(read.found.manifest, nodes)
    info = ObjectInfo(identity, manifest.root, name, read.found.size, references, kind_of(read.found.node))
    meta = ObjectMeta(info, manifest, tuple(sorted(places)))
    return Staged(meta, *split(read.output.source))


def _changed(hits: Iterable[Hit], rewritten: set[bytes]) -> dict[bytes, list[Hit]]:
    found: dict[bytes, list[Hit]] = {}
    for hit in hits:
        if hit.target in rewritten:
            found.setdefault(hit.path, []).append(hit)
    return found
