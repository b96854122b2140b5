"""`kiln challenge TARGET`: what caches and the own store say that a target is, and who disagrees.

What is compared are claims about one resolved derivation: the very same recipe, with the very same inputs. Each is
signed by a builder's key; one key's word counts once, wherever it is found. A signature that is not good, or whose
key nobody names, says nothing and is shown as such. Trust plays no part: a stranger may well be the one who is right.

The exit code is 0 where two or more say the same and none says another, 7 where they differ, and 8 where there is
nothing to compare with. Keys of one operator are one, and so are all keys that nobody but one cache's card names:
whoever keeps it can make as many as he likes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kiln.commands.cachelook import Shown, look
from kiln.commands.cachepush import find_cache
from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.naming import Named, find
from kiln.problems import Problem, problem_json, show_problem
from kiln.store.cache.believed import Believed
from kiln.store.cache.errors import CacheError
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.settings import Setting, open_setting
from kiln.store.digest import DrvDigest, ResolvedDigest
from kiln.store.errors import BadSignature, StoreError
from kiln.store.paths import OutputName
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.records import Claim, Witness, verify_witness

LOCAL = "this store"


class Voice(NamedTuple):
    """One witness: where it was found, whose it is, and whether the signature is good.

    `operator` is whom an agreement counts: of a key that is not known here, the cache whose card names it.
    """

    place: str
    keyid: str
    signer: str
    operator: str
    good: bool
    claim: Claim


@dataclass(frozen=True, slots=True)
class Compared:
    """All that is said of one output of one resolved derivation."""

    label: str
    resolved: ResolvedDigest
    output: OutputName
    voices: tuple[Voice, ...]

    @property
    def claims(self) -> list[Claim]:
        """The different claims that somebody's good signature stands under."""
        return list(dict.fromkeys(voice.claim for voice in self.voices if voice.good))

    @property
    def verdict(self) -> str:
        if len(self.claims) > 1:
            return "DIFFERENT"
        return "EQUAL" if len({voice.operator for voice in self.voices if voice.good}) > 1 else "ALONE"


class _Known(NamedTuple):
    """A key, what it is called, and whom it counts for."""

    key: PublicKey
    name: str
    operator: str


class _Asked(NamedTuple):
    """A cache that answered: its reader, and the keys that it names."""

    setting: Setting
    reader: CacheReader
    uploaders: tuple[Shown, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="FILE[#attribute], a store path, or a link to one")
    parser.add_argument(
        "--cache", action="append", default=[], metavar="CACHE", help="by name or address; without it, all you use"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    targets = find(args.target, context)
    settings = [find_cache(context, name) for name in args.cache] or list(context.caches().caches)
    asked = list(_ask_all(settings, context))
    try:
        compared = [item for named in targets for item in _compare(named, asked, context)]
    finally:
        for cache in asked:
            cache.reader.backend.close()
    for item in compared:
        _show(item, context)
    problem = _problem(compared, targets)
    data = {"caches": [item.setting.name for item in asked], "outputs": list(map(_json, compared))}
    context.console.document("challenge", data, error=None if problem is None else problem_json(problem))
    if problem is None:
        return Exit.OK
    show_problem(context.console, problem)
    return problem.exit


def _ask_all(settings: Sequence[Setting], context: Context) -> Iterator[_Asked]:
    """Every cache that answers, believed in all its uploaders: what strangers say is wanted too."""
    policy, memory, used = context.policy(), context.memory(), context.caches()
    for setting in settings:
        backend = open_setting(setting, lone=used.is_lone(setting))
        try:
            looked = look(backend, policy, memory)
        except CacheError as error:
            if setting.required:
                raise
            context.console.warn(f"{error.message}: it is left out ({error.found or error.code})")
            backend.close()
            continue
        keys = [TrustedKey(shown.key, shown.name) for shown in looked.uploaders]
        yield _Asked(setting, CacheReader(backend, Believed(Policy.of(keys))), looked.uploaders)


def _compare(named: Named, asked: Sequence[_Asked], context: Context) -> Iterator[Compared]:
    resolved = list(dict.fromkeys([*_resolved_here(named, context), *_resolved_there(named.drv, asked)]))
    voices: dict[tuple[ResolvedDigest, OutputName], list[Voice]] = {}
    for voice in [*_local(resolved, context), *_remote(resolved, asked, context)]:
        voices.setdefault((voice.claim.resolved, voice.claim.output), []).append(voice)
    for (digest, output), said in sorted(voices.items()):
        yield Compared(named.label, digest, output, tuple(dict.fromkeys(said)))


def _resolved_here(named: Named, context: Context) -> Iterator[ResolvedDigest]:
    """What the target was made from, as this store knows it."""
    if named.drv is not None:
        found = context.ledger().resolved_of(named.drv)
        if found is not None:
            yield found
    if named.info is not None:
        for item in context.store().producers(named.info.id):
            yield item.claim.resolved


def _resolved_there(drv: DrvDigest | None, asked: Iterable[_Asked]) -> Iterator[ResolvedDigest]:
    """What caches say that it resolves to; what is not the same derivation is compared apart."""
    if drv is None:
        return
    for item in asked:
        for resolution in item.reader.resolutions([drv]).get(drv, ()):
            yield resolution.resolved


def _local(resolved: Iterable[ResolvedDigest], context: Context) -> Iterator[Voice]:
    keys = _keys_here(context)
    for digest in resolved:
        for item in context.store().claims_for(digest):
            place = LOCAL if item.source is None else f"{LOCAL}, from {item.source.name}"
            yield _voice(place, item.claim, item.witness, keys)


def _remote(resolved: Sequence[ResolvedDigest], asked: Iterable[_Asked], context: Context) -> Iterator[Voice]:
    for item in asked:
        keys = {
            str(shown.key.keyid): _Known(shown.key, shown.name, f"the cache {item.setting.name}")
            for shown in item.uploaders
        }
        keys.update(_keys_here(context))
        for rows in item.reader.claims(resolved).values():
            for row in rows:
                for witness in row.witnesses:
                    yield _voice(item.setting.name, row.claim, witness, keys)


def _keys_here(context: Context) -> dict[str, _Known]:
    policy = context.policy()
    known = {**policy.barred, **policy.by_id}.items()
    return {keyid: _Known(key.key, key.name, f"operator {key.run_by}") for keyid, key in known}


def _voice(place: str, claim: Claim, witness: Witness, keys: dict[str, _Known]) -> Voice:
    short = f"ed25519:{witness.keyid[:8]}…{witness.keyid[-4:]}"
    if witness.keyid not in keys:
        return Voice(place, witness.keyid, f"{short}, a key that nobody names", "", False, claim)
    key, name, operator = keys[witness.keyid]
    try:
        verify_witness(claim, witness, key)
    except BadSignature:
        return Voice(place, witness.keyid, f"{name} {short}, whose signature does not verify", operator, False, claim)
    return Voice(place, witness.keyid, f"{name} {short}", operator, True, claim)


def _show(item: Compared, context: Context) -> None:
    console = context.console
    console.result(f"{item.verdict:<10}{escape(item.label)} {item.output}  {item.resolved.short}")
    claims = list(dict.fromkeys(voice.claim for voice in item.voices))
    for claim in claims:
        console.result(f"  {_path(claim, context)}  root {claim.root.short}  {claim.size} bytes")
        for voice in item.voices:
            if voice.claim == claim:
                console.result(f"    {escape(voice.place)}: {escape(voice.signer)}")


def _path(claim: Claim, context: Context) -> str:
    try:
        info = context.store().info(claim.object)
    except StoreError:
        info = None
    return str(info.path) if info is not None else f"object {claim.object.short}"


def _problem(compared: Sequence[Compared], targets: Sequence[Named]) -> Problem | None:
    different = [item for item in compared if item.verdict == "DIFFERENT"]
    alone = [item for item in compared if item.verdict == "ALONE"]
    if different:
        item = different[0]
        return Problem(
            "K0670",
            f"{item.label}: {len(item.claims)} different results are claimed for output {item.output}",
            Exit.NOT_REPRODUCIBLE,
            found="; ".join(f"{claim.object.short} by {_who(item, claim)}" for claim in item.claims[:4]),
            expected="one result of one derivation",
            help="kiln reproduce TARGET   builds it again, and compares",
        )
    if alone or not compared:
        label = alone[0].label if alone else targets[0].label
        return Problem(
            "K0671",
            f"{label}: fewer than two builders say anything of it",
            Exit.INCONCLUSIVE,
            found=_who(alone[0], None) if alone else "nobody",
            expected="claims by keys of two operators",
            help="ask more caches: --cache URL; or build it again: kiln reproduce TARGET",
        )
    return None


def _who(item: Compared, claim: Claim | None) -> str:
    names = [f"{voice.signer} ({voice.place})" for voice in item.voices if claim is None or voice.claim == claim]
    return ", ".join(dict.fromkeys(names)) or "nobody"


def _json(item: Compared) -> dict[str, Any]:
    return {
        "target": item.label,
        "resolved": str(item.resolved),
        "output": str(item.output),
        "verdict": item.verdict,
        "voices": [
            {
                "place": voice.place,
                "keyid": voice.keyid,
                "good": voice.good,
                "object": str(voice.claim.object),
                "root": str(voice.claim.root),
            }
            for voice in item.voices
        ],
    }
