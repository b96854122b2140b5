"""What is to be pushed: objects with all they refer to, and everything that is said of how they came about.

An object goes with its references, direct or not, so that whoever has it can use it. What is *said* goes further:
from an object to the claims that it is the result of, from these to the resolutions that led there, from their pins
to the objects that went in, and so on down to the sources. Their bytes stay here, unless they are pushed for their
own sake; but a reader can follow a plan through them, and verify the evidence.

Whatever a build made that was given secrets stays here, with what refers to it; a witness says so among what was
degraded. Statements that bind a derivation to a tree with changes in it say nothing to others, and stay too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kiln.store.cache.errors import CacheError
from kiln.store.cache.rows import ClaimRow, ResolutionRow
from kiln.store.closure import order_into
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo
from kiln.store.records import ClaimDigest, Resolution, Witness
from kiln.store.standings import standings
from kiln.store.store import Store
from kiln.store.tables import Witnessed

NOT_SHARED = frozenset(("secrets", "dirty"))
"""Marks of a witness' `degraded` with which nobody is given what was made."""
EVERYTHING = "everything"


class NotShared(CacheError):
    """An object that was made with secrets, or that refers to one."""

    code = "K0674"


class Wanted(NamedTuple):
    """An object to be pushed for its own sake, and what the target is called; empty: as it is called there."""

    object: ObjectId
    label: str = ""


class Target(NamedTuple):
    """A target with all it needs. `name` is its object's, for a target without a label."""

    object: ObjectId
    name: str
    label: str
    closure: tuple[ObjectId, ...]
    evidence: tuple[EnvelopeDigest, ...]


@dataclass(slots=True)
class Selection:
    """What goes. `objects` come references first; `made_by` says what each is known to come from."""

    objects: list[ObjectInfo] = field(default_factory=list)
    made_by: dict[ObjectId, tuple[ResolvedDigest, ...]] = field(default_factory=dict)
    claims: dict[ResolvedDigest, list[ClaimRow]] = field(default_factory=dict)
    resolutions: dict[DrvDigest, ResolutionRow] = field(default_factory=dict)
    envelopes: list[EnvelopeDigest] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    withheld: list[ObjectInfo] = field(default_factory=list)
    """What was asked for with everything else and stays here."""


def select_targets(
    store: Store,
    wanted: Sequence[Wanted],
    *,
    evidence: bool = True,
    also: Collection[ObjectId] = (),
    build_inputs: bool = False,
) -> Selection:
    """These objects, and what belongs to them. Raises NotShared, NotInStore, StoreError.

    `also` go as targets of their own, as far as they may be shared; with `build_inputs` so does all that is here of
    what went into everything.
    """
    history = _History(store)
    asked = [item.object for item in wanted]
    more = dict.fromkeys(also)
    if build_inputs:
        more.update(dict.fromkeys(history.inputs([*asked, *more])))
    selection = Selection(objects=store.closure(asked))
    withheld, extra = _shareable(store, history, [item for item in more if store.info(item) is not None])
    history.reach([info.id for info in selection.objects])
    private = _private(selection.objects, history)
    if private:
        raise NotShared(
            "an object that was made with secrets is not pushed",
            found=", ".join(str(info.path) for info in selection.objects if info.id in private)[:400],
            help="push what does not need it; what is made with secrets is made where they are",
        )
    known = {info.id: info for info in selection.objects}
    for item in wanted:
        ordered: dict[ObjectId, ObjectInfo] = {}
        order_into(ordered, item.object, known.get)
        closure = tuple(ordered)
        said = history.evidence(history.reach(closure)) if evidence else []
        selection.targets.append(Target(item.object, known[item.object].name, item.label, closure, tuple(said)))
    selection.objects = list({info.id: info for info in (*selection.objects, *extra)}.values())
    selection.withheld = withheld
    covered = {member for target in selection.targets for member in target.closure}
    tops = [target for target in _tops(extra, history, evidence) if target.object not in covered]
    selection.targets += tops
    return _filled(selection, store, history, history.reach([info.id for info in selection.objects]), evidence)


def _shareable(
    store: Store, history: _History, items: Sequence[ObjectId]
) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
    """Of these objects those that stay here, and the closure of the others."""
    objects = store.closure(items)
    history.reach([info.id for info in objects])
    private = _private(objects, history)
    return (
        [info for info in objects if info.id in private],
        store.closure([item for item in items if item not in private]),
    )


def select_all(store: Store, only: Collection[ObjectId] | None = None, *, evidence: bool = True) -> Selection:
    """All that was built or taken here, or those of `only`, with what it refers to. Raises StoreError."""
    history = _History(store)
    infos = {info.id: info for info in store.all_objects()}
    chosen = [item for item in infos if only is None or item in only]
    history.reach(chosen)
    start = [item for item in chosen if history.producers.get(item)]
    ordered: dict[ObjectId, ObjectInfo] = {}
    for item in start:
        order_into(ordered, item, infos.get)
    made = history.reach(ordered)
    private = _private(list(ordered.values()), history)
    selection = Selection(objects=[info for info in ordered.values() if info.id not in private])
    selection.withheld = [ordered[item] for item in sorted(private)]
    selection.targets = _tops(selection.objects, history, evidence)
    return _filled(selection, store, history, made, evidence)


def _tops(objects: Sequence[ObjectInfo], history: _History, evidence: bool) -> list[Target]:
    """A target for each object that no other refers to, within bounds; the rest is one target together."""
    known = {info.id: info for info in objects}
    below = {item for info in objects for item in info.references}
    left = 8 * len(objects) + 65536
    targets: list[Target] = []
    covered: set[ObjectId] = set()
    for info in objects:
        if info.id in below or left <= 0:
            continue
        ordered: dict[ObjectId, ObjectInfo] = {}
        order_into(ordered, info.id, known.get)
        said = history.evidence(history.reach(ordered, limit=left)) if evidence else []
        left -= len(ordered) + len(said)
        if left > 0:
            targets.append(Target(info.id, info.name, "", tuple(ordered), tuple(said)))
            covered.update(ordered)
    rest = tuple(item for item in known if item not in covered)
    if rest:
        targets.append(Target(rest[-1], EVERYTHING, EVERYTHING, rest, ()))
    return targets


def _filled(
    selection: Selection, store: Store, history: _History, made: set[ResolvedDigest], evidence: bool
) -> Selection:
    here = {info.id for info in selection.objects}
    for object_id in here:
        found = {item.claim.resolved for item in history.producers.get(object_id, ())}
        selection.made_by[object_id] = tuple(sorted(found & made))
    for resolved in made:
        selection.claims[resolved] = _claim_rows(history.claims[resolved])
    by_drv: dict[DrvDigest, list[Resolution]] = {}
    for resolved in made:
        for resolution in history.by_resolved.get(resolved, ()):
            by_drv.setdefault(resolution.drv, []).append(resolution)
    noted: dict[EnvelopeDigest, None] = {}
    for drv, found_resolutions in by_drv.items():
        said = _standings(store, drv) if evidence else ()
        noted.update(dict.fromkeys(said))
        selection.resolutions[drv] = ResolutionRow(tuple(found_resolutions), said)
    if evidence:
        noted.update(dict.fromkeys(history.evidence(made)))
        selection.envelopes = [item for item in noted if store.has_envelope(item)]
    return selection


def _claim_rows(items: Iterable[Witnessed]) -> list[ClaimRow]:
    by_claim: dict[ClaimDigest, tuple[Witnessed, list[Witness]]] = {}
    for item in items:
        by_claim.setdefault(item.witness.claim, (item, []))[1].append(item.witness)
    return [ClaimRow(first.claim, tuple(witnesses)) for first, witnesses in by_claim.values()]


def _standings(store: Store, drv: DrvDigest) -> tuple[EnvelopeDigest, ...]:
    """The statements about a derivation that name a commit."""
    found = []
    for digest in standings(store.layout, drv):
        try:
            data = store.envelope(digest)
        except StoreError:
            continue
        if _names_commit(data):
            found.append(digest)
    return tuple(found)


def _names_commit(data: bytes) -> bool:
    """Whether a statement says that a clean commit stood for a derivation. Whose word it is its readers judge."""
    from kiln.store.provenance import dsse
    from kiln.store.provenance.resolution import Commit
    from kiln.store.provenance.resolution import Resolution as Standing
    from kiln.store.provenance.statement import parse_statement
    from kiln.store.provenance.verify import read_predicate

    try:
        said = read_predicate(parse_statement(dsse.parse(data).payload))
    except StoreError:
        return False
    return isinstance(said, Standing) and isinstance(said.source, Commit)


def _private(objects: Sequence[ObjectInfo], history: _History) -> set[ObjectId]:
    """Objects that are not shared, and those that refer to one; `objects` come references first."""
    found: set[ObjectId] = set()
    for info in objects:
        marked = any(NOT_SHARED & set(item.witness.degraded) for item in history.producers.get(info.id, ()))
        if marked or any(item in found for item in info.references):
            found.add(info.id)
    return found


class _History:
    """What the store's records say of how objects came about, read as it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.by_resolved: dict[ResolvedDigest, list[Resolution]] = {}
        for resolution in store.all_resolutions():
            self.by_resolved.setdefault(resolution.resolved, []).append(resolution)
        self.producers: dict[ObjectId, list[Witnessed]] = {}
        self.claims: dict[ResolvedDigest, list[Witnessed]] = {}

    def reach(self, objects: Iterable[ObjectId], limit: int | None = None) -> set[ResolvedDigest]:
        """The derivations that these objects came from, and those that their inputs came from, and so on."""
        reached: set[ResolvedDigest] = set()
        level = set(objects)
        seen = set(level)
        while level and (limit is None or len(reached) <= limit):
            self._load(level)
            made = {item.claim.resolved for obj in level for item in self.producers.get(obj, ())} - reached
            made = {item for item in made if self.is_shared(item)}
            reached |= made
            pins = {pin.object for item in made for found in self.by_resolved.get(item, ()) for pin in found.pins}
            level = pins - seen
            seen |= level
        return reached

    def inputs(self, objects: Iterable[ObjectId]) -> set[ObjectId]:
        """What went into these objects, and into that, as resolutions name it and claims know where it is from."""
        reached = self.reach(objects)
        pins = {pin.object for item in reached for found in self.by_resolved.get(item, ()) for pin in found.pins}
        return {item for item in pins if self.producers.get(item)}

    def _load(self, objects: Iterable[ObjectId]) -> None:
        missing = [item for item in objects if item not in self.producers]
        found = self._store.producers_for_many(missing)
        self.producers.update((item, found.get(item, [])) for item in missing)
        resolved = {item.claim.resolved for items in found.values() for item in items} - self.claims.keys()
        self.claims.update(self._store.claims_for_many(resolved))

    def is_shared(self, resolved: ResolvedDigest) -> bool:
        return not any(NOT_SHARED & set(item.witness.degraded) for item in self.claims.get(resolved, ()))

    def evidence(self, resolved: Iterable[ResolvedDigest]) -> list[EnvelopeDigest]:
        """The envelopes about these derivations."""
        found: Mapping[EnvelopeDigest, None] = dict.fromkeys(
            item.witness.envelope for made in sorted(resolved) for item in self.claims.get(made, ())
        )
        return list(found)
