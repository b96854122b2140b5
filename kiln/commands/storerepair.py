"""`kiln store repair`: damaged objects are made whole, or taken out, so that nothing uses them.

In this order, and no further than is needed: from what the object itself and the pool still hold, from other stores,
from the caches that you use, by building again from the envelope. What comes is hashed before it takes its place, so
that nobody has to be trusted. What can't be had is in quarantine afterwards.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from kiln.console import escape
from kiln.context import Context, make_store
from kiln.exits import Exit
from kiln.scratch import scratch_store
from kiln.store.digest import EnvelopeDigest
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo

if TYPE_CHECKING:
    from kiln.interpreter.workshop import Workshop
    from kiln.store.commit import Staged
    from kiln.store.reader import StoreReader


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="sources", action="append", default=[], metavar="STORE", help="a store to take them from"
    )
    parser.add_argument("--offline", action="store_true", help="ask no cache, fetch nothing")
    parser.add_argument("--no-rebuild", action="store_true", help="build nothing again")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.store.store import Store

    with ExitStack() as stack:
        elsewhere = _Elsewhere(context, stack, offline=args.offline, rebuild=not args.no_rebuild)
        repaired = context.store().repair([Store.open_readonly(place) for place in args.sources], elsewhere)
        context.end_progress()
    groups = {
        "mended": repaired.mended,
        "lost": repaired.lost,
        "useless": repaired.useless,
        "returned": repaired.returned,
    }
    for word, infos in groups.items():
        for info in infos:
            context.console.result(f"{word:<9}{info.path}")
    counts = ", ".join(f"{len(infos)} {word}" for word, infos in groups.items())
    context.console.say(f"{repaired.checked} objects: {counts}")
    if repaired.lost:
        context.console.say("what was lost is in quarantine; kiln realise makes it again")
    rows = {word: [str(info.path) for info in infos] for word, infos in groups.items()}
    context.console.document("store-repair", {"checked": repaired.checked, **rows})
    return Exit.HASH if repaired.lost else Exit.OK


class _Elsewhere:
    """The user's caches, and a store that is thrown away in which things are built again."""

    def __init__(self, context: Context, stack: ExitStack, *, offline: bool, rebuild: bool) -> None:
        self._context = context
        self._stack = stack
        self._offline = offline
        self._rebuild = rebuild

    def bring(self, wanting: Sequence[ObjectInfo]) -> Iterator[Staged]:
        from kiln.store.cache.receive import Receiver

        context = self._context
        opener = None if self._offline else context.cache_opener(context.store(), context.console.warn)
        if opener is None:
            return
        holders = opener().holders([info.id for info in wanting])
        receiver = Receiver(context.store())
        for staged in receiver.receive(holders):
            source = receiver.sources[staged.meta.info.id]
            context.console.say(f"{escape(staged.meta.info.name)}: from the cache {escape(source.name)}")
            yield staged

    def remake(self, wanting: Sequence[ObjectInfo]) -> Iterable[StoreReader]:
        """Those that have an envelope here."""
        from kiln.interpreter.ledger import Ledger
        from kiln.store.store import Store

        context = self._context
        ledger = Ledger(context.store(), context.policy_now)
        envelopes = {info: ledger.producer(info.id) for info in wanting} if self._rebuild else {}
        wanted = {info: envelope for info, envelope in envelopes.items() if envelope is not None}
        if not wanted:
            return []
        root = scratch_store(self._stack)
        store = self._stack.enter_context(make_store(root))
        workshop = context.workshop(context.progress(), offline=self._offline, store=store)
        for info, envelope in wanted.items():
            if store.info(info.id) is None:
                self._build(workshop, info, envelope)
        return [Store.open_readonly(root)]

    def _build(self, workshop: Workshop, info: ObjectInfo, envelope: EnvelopeDigest) -> None:
        from kiln.interpreter.errors import RealiseError
        from kiln.interpreter.reproduce import reproduce
        from kiln.store.provenance.closure import read_closure, write_closure

        own = self._context.store()
        try:
            text = b"".join(write_closure(envelope, own.envelope))
            found = reproduce(workshop, read_closure(io.BytesIO(text), self._context.policy()), [own])
        except (RealiseError, StoreError) as error:
            self._context.console.warn(f"{info.name} can't be built again: {error}")
            return
        if workshop.store.info(info.id) is None:
            self._context.console.warn(f"{info.name} was built again, and is another: {found.verdict.reason}")
