"""`kiln trust list --holds`: what the store has from caches, and on whose word it stands.

An object is listed whose claims nobody but others have signed; what was built here, too, stands on its own. Whether
the word counts today is said of each: what does not is not used again, and is built or taken anew when it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.store.info import ObjectInfo
from kiln.store.provenance.admission import ANY_STEP, still_counts
from kiln.store.provenance.trust import Policy
from kiln.store.store import Store
from kiln.store.tables import Witnessed


class Held(NamedTuple):
    """An object, those who vouch for it with the caches that gave their word, and whether that is enough today."""

    info: ObjectInfo
    words: tuple[str, ...]
    counts: bool


def show_holds(context: Context) -> int:
    """Tell of every such object."""
    rows = list(holds(context.store(), context.policy()))
    for row in rows:
        note = "" if row.counts else "  not used again: its word does not count"
        context.console.result(f"{row.info.path}  {escape(', '.join(row.words))}{note}")
    if not rows:
        context.console.say("nothing here stands on anybody else's word")
    objects = [
        {"path": str(row.info.path), "object": str(row.info.id), "words": list(row.words), "counts": row.counts}
        for row in rows
    ]
    context.console.document("trust-holds", {"objects": objects})
    return Exit.OK


def holds(store: Store, policy: Policy) -> Iterator[Held]:
    """What stands on the word of others, in the order of ids."""
    infos = store.all_objects()
    said = store.producers_for_many([info.id for info in infos])
    for info in infos:
        rows = said.get(info.id, [])
        if rows and all(row.origin == "substituted" for row in rows):
            yield Held(info, _words(policy, rows), _counts(policy, rows))


def _counts(policy: Policy, rows: Iterable[Witnessed]) -> bool:
    """Whether one claim at least is still admitted, for some kind of step."""
    signers: dict[bytes, list[str]] = {}
    for row in rows:
        signers.setdefault(row.claim.digest, []).append(row.witness.keyid)
    return any(still_counts(policy, keyids, ANY_STEP) for keyids in signers.values())


def _words(policy: Policy, rows: Iterable[Witnessed]) -> tuple[str, ...]:
    known = {**policy.barred, **policy.by_id}
    words: dict[str, None] = {}
    for row in rows:
        key = known.get(row.witness.keyid)
        name = key.name if key is not None else f"ed25519:{row.witness.keyid[:8]}…{row.witness.keyid[-4:]}"
        words[f"{name}, from {row.source.name}" if row.source is not None else name] = None
    return tuple(words)
