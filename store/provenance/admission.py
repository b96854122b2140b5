"""Whether what others say of a build is enough to take it: the policy's rules, without I/O.

What is judged is one claim, or one resolution, and the signatures that are offered under the very same bytes; what
else a witness says decides nothing. Each signature passes these rules in order, or does not count:

    T1  its key is one of the policy's
    T2  the key is not revoked
    T3  nor has it expired
    T4  its word is taken from the cache that offers it, and for what it speaks of; where it is not known what kind
        of step that is, for all that it may be
    T5  the signature is good

Then all of them together:

    T6  as many distinct keys, of as many distinct operators, as the policy's threshold asks for

A good signature by one of this builder's own keys is enough alone: what it signed was built here. Signatures are
only checked until there are enough.

What was admitted before, and lies in the own store, is asked again whenever it is to be used, by `still_counts`: T1
to T4 and T6 as of today. Its signatures were checked when it came; where it came from plays no part any more.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar, assert_never

from kiln.store.errors import BadSignature, Untrusted
from kiln.store.provenance.errors import KeyOutOfPlace, TooFewKeys, UntrustedBuilder
from kiln.store.provenance.trust import Policy, Scope, TrustedKey, barred_error
from kiln.store.records import (
    Claim,
    Resolution,
    Verifier,
    Witness,
    verify_resolution,
    verify_witness,
)

ANY_STEP = frozenset({Scope.SANDBOXED, Scope.BUILTIN, Scope.FETCH})
"""What a step may be that a claim speaks of."""
R = TypeVar("R", Witness, Resolution)


class Offer(NamedTuple, Generic[R]):
    """A record, and the name here of the cache that offers it; None where it lies in the own store."""

    record: R
    cache: str | None


class Rule(enum.Enum):
    """The rules above, as a refusal names them."""

    KNOWN = "T1 a key that is trusted here"
    NOT_REVOKED = "T2 not revoked"
    NOT_EXPIRED = "T3 not expired"
    PLACE = "T4 trusted for this cache"
    SCOPE = "T4 trusted for what it speaks of"
    GOOD = "T5 a good signature"
    ENOUGH = "T6 enough keys and operators"


@dataclass(frozen=True, slots=True)
class Admission(Generic[R]):
    """The offers that were enough, and whose they are, in the same order."""

    offers: tuple[Offer[R], ...]
    keys: tuple[TrustedKey, ...]

    @property
    def word(self) -> str:
        """On whose word, for people and records."""
        return ", ".join(key.name for key in self.keys)


@dataclass(frozen=True, slots=True)
class Failed:
    """One offer that does not count. `key` is None where the policy does not know it."""

    rule: Rule
    keyid: str
    cache: str | None
    key: TrustedKey | None

    @property
    def signer(self) -> str:
        return str(self.key) if self.key is not None else f"ed25519:{self.keyid[:8]}…{self.keyid[-4:]}"

    def __str__(self) -> str:
        return f"{self.signer}, from {self.cache or 'this store'}: fails {self.rule.value}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the offers are not enough. `good` are the keys that count, where there are some but too few."""

    rule: Rule
    what: str
    failed: tuple[Failed, ...]
    good: tuple[TrustedKey, ...]
    threshold: int
    trusted: tuple[TrustedKey, ...]

    def error(self) -> BadSignature:
        """The refusal as an error that names the cache and the rule."""
        place, found = self._place(), "; ".join(map(str, self.failed[:4])) or "no signature"
        wanted = ", ".join(map(str, self.trusted[:4])) or "no key is trusted for caches here"
        build = "kiln trust list shows whose word counts; without it, it is built here"
        match self.rule:
            case Rule.KNOWN:
                return Untrusted(
                    f"{place} {self.what} signed by a key that is not trusted here",
                    found=found,
                    expected=wanted,
                    help=build,
                )
            case Rule.NOT_REVOKED | Rule.NOT_EXPIRED:
                key = next(item.key for item in self.failed if item.key is not None and item.rule is self.rule)
                return barred_error(key, f"{place} {self.what} ")
            case Rule.PLACE:
                return KeyOutOfPlace(
                    f"{place} {self.what} signed by a key that is not trusted for this cache", found=found, help=build
                )
            case Rule.SCOPE:
                return UntrustedBuilder(
                    f"{place} {self.what} signed by a key that is not trusted for it", found=found, help=build
                )
            case Rule.GOOD:
                return BadSignature(f"{place} {self.what} whose signature does not verify", found=found, help=build)
            case Rule.ENOUGH:
                have = ", ".join(f"{key} of {key.run_by}" for key in self.good)
                return TooFewKeys(
                    f"{place} {self.what} that too few keys vouch for",
                    expected=f"{self.threshold} keys of {self.threshold} operators",
                    found="; ".join([have, *map(str, self.failed[:4])]),
                    help="kiln challenge TARGET shows who says what",
                )
            case _:
                assert_never(self.rule)

    def _place(self) -> str:
        names = list(dict.fromkeys(item.cache for item in self.failed if item.cache is not None))
        return f"the cache {', '.join(names[:3])} offers" if names else "there is"


WitnessOffer: TypeAlias = "Offer[Witness]"
ResolutionOffer: TypeAlias = "Offer[Resolution]"


def admits(
    policy: Policy, claim: Claim, offers: Iterable[WitnessOffer], *, scope: Scope | None = None
) -> Admission[Witness] | Refusal:
    """Whether the witnesses are enough for the claim under which they stand.

    `scope` is the builder's mode where the caller knows it; else a key must be trusted for whatever it may be: a key
    for fetches alone would else decide what a build comes to.
    """

    def check(witness: Witness, key: Verifier) -> None:
        verify_witness(claim, witness, key)

    return _judge(policy, list(offers), f"{claim.output} of {claim.resolved.short}", _scopes(scope), check)


def admits_resolution(policy: Policy, offers: Iterable[ResolutionOffer]) -> Admission[Resolution] | Refusal:
    """Whether the resolutions, which must all say the same, are enough."""
    listed = list(offers)
    if len({(offer.record.drv, offer.record.resolved, offer.record.pins) for offer in listed}) > 1:
        raise ValueError("resolutions that differ are judged apart")
    what = f"a resolution of {listed[0].record.drv.short}" if listed else "no resolution"
    return _judge(policy, listed, what, frozenset({Scope.RESOLVE}), verify_resolution)


def still_counts(policy: Policy, keyids: Iterable[str], scopes: frozenset[Scope]) -> bool:
    """Whether these keys, whose good signatures stand under one record here, are enough today.

    A key counts that is trusted for one of `scopes`, which are what the record may be about as far as is known.
    """
    counting = [keyid for keyid in keyids if vouches(policy, keyid, scopes)]
    operators = {policy.by_id[keyid].run_by for keyid in counting}
    return len(operators) >= policy.threshold or not policy.own.isdisjoint(counting)


def vouches(policy: Policy, keyid: str, scopes: frozenset[Scope]) -> bool:
    """Whether a key's word counts today for one of these."""
    key = policy.by_id.get(keyid)
    return key is not None and not key.scopes.isdisjoint(scopes)


def _scopes(scope: Scope | None) -> frozenset[Scope]:
    return ANY_STEP if scope is None else frozenset({scope})


def _judge(
    policy: Policy,
    offers: Sequence[Offer[R]],
    what: str,
    scopes: frozenset[Scope],
    check: Callable[[R, Verifier], None],
) -> Admission[R] | Refusal:
    kept: list[tuple[Offer[R], TrustedKey]] = []
    failed: list[Failed] = []
    own_first = sorted(offers, key=lambda offer: offer.record.keyid not in policy.own)
    for offer in own_first:
        keyid = offer.record.keyid
        if any(keyid == key.keyid for _, key in kept):
            continue
        key = policy.by_id.get(keyid)
        rule = _before_signature(policy, offer, key, scopes) or _signature(offer.record, key, check)
        if rule is not None or key is None:
            failed.append(Failed(rule or Rule.KNOWN, keyid, offer.cache, key or policy.barred.get(keyid)))
            continue
        kept.append((offer, key))
        chosen = _enough(policy, kept)
        if chosen is not None:
            return Admission(tuple(item for item, _ in chosen), tuple(item for _, item in chosen))
    good = tuple(key for _, key in kept)
    rule = Rule.ENOUGH if good else _telling(failed)
    return Refusal(rule, what, tuple(failed), good, policy.threshold, tuple(policy.by_id.values()))


def _before_signature(
    policy: Policy, offer: Offer[R], key: TrustedKey | None, scopes: frozenset[Scope]
) -> Rule | None:
    """The first of T1 to T4 that does not hold."""
    if key is None:
        barred = policy.barred.get(offer.record.keyid)
        if barred is None:
            return Rule.KNOWN
        return Rule.NOT_REVOKED if barred.revoked is not None else Rule.NOT_EXPIRED
    if offer.cache is not None and key.caches is not None and offer.cache not in key.caches:
        return Rule.PLACE
    return None if scopes <= key.scopes else Rule.SCOPE


def _signature(record: R, key: TrustedKey | None, check: Callable[[R, Verifier], None]) -> Rule | None:
    if key is None:
        return Rule.KNOWN
    try:
        check(record, key)
    except BadSignature:
        return Rule.GOOD
    return None


def _enough(policy: Policy, kept: list[tuple[Offer[R], TrustedKey]]) -> list[tuple[Offer[R], TrustedKey]] | None:
    """An own key's alone; else one offer for each of as many operators as are asked for."""
    if kept[-1][1].keyid in policy.own:
        return [kept[-1]]
    by_operator: dict[str, tuple[Offer[R], TrustedKey]] = {}
    for item in kept:
        by_operator.setdefault(item[1].run_by, item)
    return list(by_operator.values()) if len(by_operator) >= policy.threshold else None


_TELLING = (Rule.GOOD, Rule.NOT_REVOKED, Rule.NOT_EXPIRED, Rule.PLACE, Rule.SCOPE, Rule.KNOWN)
"""Which failure a message speaks of, where there are several: the gravest first."""


def _telling(failed: Sequence[Failed]) -> Rule:
    return min((item.rule for item in failed), key=_TELLING.index, default=Rule.KNOWN)
