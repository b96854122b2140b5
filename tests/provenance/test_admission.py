"""Which words are enough to take something from a cache, and what is said where they are not."""

from __future__ import annotations

import pytest

from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest
from kiln.store.paths import OutputName
from kiln.store.provenance.admission import Admission, Offer, Refusal, Rule, admits, admits_resolution
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import USUAL, Policy, Scope, TrustedKey
from kiln.store.records import Pin, make_claim, sign_resolution, sign_witness

OWN, CI, LAB, THIEF = (SecretKey.of(bytes([number]) * 32) for number in (1, 2, 3, 4))
TODAY = "2026-11-21"
OUT = OutputName.parse("out")


def claim(number=7):
    return make_claim(
        ResolvedDigest(bytes([1]) * 32), OUT, ObjectId(bytes([number]) * 32), RootDigest(bytes([2]) * 32), 5, []
    )


def offer(key, cache="team", of=None, **change):
    made = sign_witness(key, of or claim(), EnvelopeDigest(bytes(32)), started=1, finished=2)
    return Offer(made._replace(**change), cache)


def trusted(key, name, **options):
    return TrustedKey(key.public_key, name, **options)


def policy(*keys, **options):
    return Policy.of(keys, own=[OWN.public_key], today=TODAY, **options)


def rule_of(found):
    assert isinstance(found, Refusal), found
    return found.rule


CI_TRUSTED = trusted(CI, "ci")


def test_one_trusted_key_is_enough():
    found = admits(policy(CI_TRUSTED), claim(), [offer(THIEF), offer(CI)])
    assert isinstance(found, Admission)
    assert [item.record.keyid for item in found.offers] == [CI.keyid] and found.word == "ci"


def test_the_own_key_is_enough_alone_whatever_is_asked_for():
    found = admits(policy(CI_TRUSTED, threshold=3), claim(), [offer(CI), offer(OWN, None)])
    assert isinstance(found, Admission) and found.keys[0].keyid == OWN.keyid


REFUSED = {
    "an unknown key": ([CI_TRUSTED], [offer(THIEF)], Rule.KNOWN, "K0602"),
    "nobody": ([CI_TRUSTED], [], Rule.KNOWN, "K0602"),
    "revoked": ([trusted(CI, "ci", revoked="2026-11-20")], [offer(CI)], Rule.NOT_REVOKED, "K0662"),
    "revoked from tomorrow": ([trusted(CI, "ci", revoked="2026-11-22")], [offer(CI)], Rule.NOT_REVOKED, "K0662"),
    "expired": ([trusted(CI, "ci", expires="2026-11-20")], [offer(CI)], Rule.NOT_EXPIRED, "K0663"),
    "another cache": ([trusted(CI, "ci", caches=frozenset({"lab"}))], [offer(CI)], Rule.PLACE, "K0664"),
    "no builder": ([trusted(CI, "ci", scopes=frozenset({Scope.RESOLVE}))], [offer(CI)], Rule.SCOPE, "K0608"),
    "another claim": ([CI_TRUSTED], [offer(CI, of=claim(8))], Rule.GOOD, "K0601"),
    "a forged signature": ([CI_TRUSTED], [offer(CI, signature=bytes(64))], Rule.GOOD, "K0601"),
    "another's name": ([CI_TRUSTED], [offer(THIEF, keyid=CI.keyid)], Rule.GOOD, "K0601"),
    "changed behind the signature": ([CI_TRUSTED], [offer(CI, finished=3)], Rule.GOOD, "K0601"),
}


@pytest.mark.parametrize(("keys", "offers", "rule", "code"), REFUSED.values(), ids=list(REFUSED))
def test_a_refusal_names_its_rule_and_the_cache(keys, offers, rule, code):
    found = admits(policy(*keys), claim(), offers)
    assert rule_of(found) is rule
    error = found.error()
    assert error.code == code and (not offers or "team" in error.message or "team" in (error.found or ""))
    assert error.help is not None


def test_the_last_day_counts():
    assert isinstance(admits(policy(trusted(CI, "ci", expires=TODAY)), claim(), [offer(CI)]), Admission)


def test_a_scope_that_is_asked_for():
    fetcher = policy(trusted(CI, "ci", scopes=frozenset({Scope.FETCH})))
    assert isinstance(admits(fetcher, claim(), [offer(CI)], scope=Scope.FETCH), Admission)
    assert rule_of(admits(fetcher, claim(), [offer(CI)], scope=Scope.SANDBOXED)) is Rule.SCOPE
    assert rule_of(admits(policy(CI_TRUSTED), claim(), [offer(CI)], scope=Scope.RELAXED)) is Rule.SCOPE
    assert {Scope.SANDBOXED, Scope.BUILTIN, Scope.FETCH, Scope.RESOLVE} <= USUAL


class TestThreshold:
    LAB = trusted(LAB, "lab", operator="them")
    CI = trusted(CI, "ci", operator="us")

    def test_two_keys_of_two_operators(self):
        found = admits(
            policy(self.CI, self.LAB, threshold=2), claim(), [offer(CI), offer(THIEF), offer(LAB, "other")]
        )
        assert isinstance(found, Admission) and {key.name for key in found.keys} == {"ci", "lab"}

    def test_one_key_twice_counts_once(self):
        found = admits(policy(self.CI, self.LAB, threshold=2), claim(), [offer(CI), offer(CI, "other"), offer(CI)])
        assert rule_of(found) is Rule.ENOUGH and found.error().code == "K0661"

    def test_two_keys_of_one_operator_count_once(self):
        same = trusted(LAB, "lab", operator="us")
        assert rule_of(admits(policy(self.CI, same, threshold=2), claim(), [offer(CI), offer(LAB)])) is Rule.ENOUGH

    def test_a_key_without_an_operator_is_its_own(self):
        both = policy(trusted(CI, "ci"), trusted(LAB, "lab"), threshold=2)
        assert isinstance(admits(both, claim(), [offer(CI), offer(LAB)]), Admission)
        named = policy(trusted(CI, "ci"), trusted(LAB, "lab", operator="ci"), threshold=2)
        assert rule_of(admits(named, claim(), [offer(CI), offer(LAB)])) is Rule.ENOUGH

    def test_a_mixed_set_is_no_set(self):
        found = admits(policy(self.CI, self.LAB, threshold=2), claim(), [offer(CI), offer(LAB, of=claim(8))])
        assert rule_of(found) is Rule.ENOUGH and [item.rule for item in found.failed] == [Rule.GOOD]

    def test_a_revoked_key_is_none(self):
        gone = trusted(LAB, "lab", operator="them", revoked=TODAY)
        assert rule_of(admits(policy(self.CI, gone, threshold=2), claim(), [offer(CI), offer(LAB)])) is Rule.ENOUGH


class TestResolutions:
    DRV, RESOLVED = DrvDigest(bytes([5]) * 32), ResolvedDigest(bytes([6]) * 32)

    def made(self, key, cache="team", pins=(), **change):
        found = sign_resolution(key, self.DRV, self.RESOLVED, pins, made=1)
        return Offer(found._replace(**change), cache)

    def test_enough_and_not(self):
        assert isinstance(admits_resolution(policy(CI_TRUSTED), [self.made(CI)]), Admission)
        assert rule_of(admits_resolution(policy(CI_TRUSTED), [self.made(THIEF)])) is Rule.KNOWN
        assert rule_of(admits_resolution(policy(CI_TRUSTED), [self.made(CI, made=2)])) is Rule.GOOD
        assert rule_of(admits_resolution(policy(CI_TRUSTED), [])) is Rule.KNOWN
        both = policy(CI_TRUSTED, trusted(LAB, "lab"), threshold=2)
        assert rule_of(admits_resolution(both, [self.made(CI), self.made(CI, "other")])) is Rule.ENOUGH
        assert isinstance(admits_resolution(both, [self.made(CI), self.made(LAB)]), Admission)

    def test_a_builder_alone_may_not_resolve(self):
        builder = policy(trusted(CI, "ci", scopes=frozenset({Scope.SANDBOXED})))
        assert rule_of(admits_resolution(builder, [self.made(CI)])) is Rule.SCOPE

    def test_those_that_differ_are_judged_apart(self):
        pin = Pin(DrvDigest(bytes(32)), OUT, ObjectId(bytes(32)), "x")
        with pytest.raises(ValueError, match="apart"):
            admits_resolution(policy(CI_TRUSTED), [self.made(CI), self.made(CI, pins=[pin])])
