"""Every way in which a signed statement can be wrong, and the code that it is refused with.

Each row changes the one good statement, signs it again with the trusted key, and names the code: so that no
row is caught by its signature.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from provenance_samples import (
    BUILDER,
    OWN,
    STRANGER,
    build_facts,
    content,
    digest32,
    fetch_facts,
    run,
)

from kiln.store.digest import ObjectId, ResolvedDigest, RootDigest
from kiln.store.errors import StoreError
from kiln.store.paths import OutputName
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import (
    DependencyMismatch,
    RecipeMismatch,
    SubjectMismatch,
    UntrustedBuilder,
    WrongType,
)
from kiln.store.provenance.facts import Mode, RecipeForm
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.statement import PAYLOAD_TYPE, DigestSet, sign_statement
from kiln.store.provenance.trust import Policy, Scope, TrustedKey
from kiln.store.provenance.verify import Decode, DecodedRecipe, Expected, verify_build, verify_envelope

Change = Callable[[Any], None]


def definition(statement: Any) -> Any:
    return statement["predicate"]["buildDefinition"]


def put(*path: str | int, value: Any) -> Change:
    def change(statement: Any) -> None:
        place = statement
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def drop(*path: str | int) -> Change:
    def change(statement: Any) -> None:
        place = statement
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def swap_outputs(statement: Any) -> None:
    first, second = statement["subject"][0], statement["subject"][1]
    first["name"], second["name"] = second["name"], first["name"]


def twice(statement: Any) -> None:
    statement["subject"].append(copy.deepcopy(statement["subject"][0]))


DEFINITION = ("predicate", "buildDefinition")
EXTERNAL = (*DEFINITION, "externalParameters")
DETAILS = ("predicate", "runDetails")
DEPENDENCY = (*DEFINITION, "resolvedDependencies", 0)
ENFORCED = (*DETAILS, "byproducts", 0, "annotations", "enforced")
STARTED = (*DETAILS, "metadata", "startedOn")
NOWHERE = "/kiln/store/" + "0" * 32 + "-x"
BUILDERS = "https://kiln.example/builders"
TYPES = "https://kiln.example/buildtypes"
OTHER = base64.b64encode(b"\x9a\x01canonical bytes of lub").decode()

ROWS: list[tuple[str, str, Change]] = [
    ("another statement version", "K0607", put("_type", value="https://in-toto.io/Statement/v0.1")),
    ("no statement type", "K0603", drop("_type")),
    ("an unknown field beside the statement's", "K0603", put("extra", value=1)),
    ("another predicate", "K0607", put("predicateType", value="https://slsa.dev/provenance/v0.2")),
    ("no predicate", "K0603", drop("predicate")),
    ("a predicate that is no object", "K0603", put("predicate", value=[])),
    ("no subjects", "K0603", put("subject", value=[])),
    ("subjects that are no list", "K0603", put("subject", value={})),
    ("a subject twice", "K0603", twice),
    ("a subject without name", "K0603", drop("subject", 0, "name")),
    ("a subject without sha256", "K0603", drop("subject", 0, "digest", "sha256")),
    ("a subject without blake3", "K0603", drop("subject", 0, "digest", "blake3")),
    ("a file without sha256", "K0603", drop("subject", 2, "digest", "sha256")),
    ("a subject without digests", "K0603", drop("subject", 0, "digest")),
    ("a short sha256", "K0603", put("subject", 0, "digest", "sha256", value="ab")),
    ("an upper-case sha256", "K0603", put("subject", 0, "digest", "sha256", value="A" * 64)),
    ("a digest that is a number", "K0603", put("subject", 0, "digest", "sha256", value=1)),
    ("an unknown field of a subject", "K0603", put("subject", 0, "size", value=1)),
    ("an unknown annotation of an output", "K0603", put("subject", 0, "annotations", "x", value=1)),
    ("an output without object id", "K0603", drop("subject", 0, "digest", "kilnObject")),
    ("a path of another object", "K0603", swap_outputs),
    ("an output of another kind", "K0603", put("subject", 0, "annotations", "kind", value="symlink")),
    ("an output's name that is none", "K0603", put("subject", 0, "annotations", "output", value="Out")),
    ("an output twice", "K0603", put("subject", 1, "annotations", "output", value="doc")),
    ("a negative size", "K0603", put("subject", 0, "annotations", "size", value=-1)),
    ("a file of no output", "K0603", put("subject", 2, "name", value="/bin/sh")),
    ("an unknown external parameter", "K0610", put(*EXTERNAL, "debug", value=True)),
    ("no recipe", "K0603", drop(*EXTERNAL, "recipe")),
    ("no recipe bytes", "K0603", drop(*EXTERNAL, "recipeBytes")),
    ("recipe bytes that are no base64", "K0603", put(*EXTERNAL, "recipeBytes", value="*")),
    ("other recipe bytes", "K0611", put(*EXTERNAL, "recipeBytes", value=OTHER)),
    ("another recipe digest", "K0611", put(*EXTERNAL, "digest", value={"kilnResolved": "0" * 64})),
    ("a recipe digest of another kind", "K0611", put(*EXTERNAL, "digest", value={"sha256": "0" * 64})),
    ("sources of what was not fetched", "K0610", put(*EXTERNAL, "sources", value=[])),
    ("an unknown build type", "K0607", put(*DEFINITION, "buildType", value="https://other.example/v1")),
    ("a fetch's build type", "K0611", put(*DEFINITION, "buildType", value=f"{TYPES}/fetch/v1")),
    ("an unknown internal parameter", "K0603", put(*DEFINITION, "internalParameters", "x", value=1)),
    ("an unknown sandbox field", "K0603", put(*DEFINITION, "internalParameters", "sandbox", "x", value=1)),
    ("an epoch that is true", "K0603", put(*DEFINITION, "internalParameters", "sandbox", "epoch", value=True)),
    ("no prefix", "K0603", drop(*DEFINITION, "internalParameters", "prefix")),
    ("an unknown field of the definition", "K0603", put(*DEFINITION, "x", value=1)),
    ("an unknown field of the predicate", "K0603", put("predicate", "x", value=1)),
    ("a dependency without root", "K0603", drop(*DEPENDENCY, "digest", "kilnRoot")),
    ("a dependency's path of another object", "K0603", put(*DEPENDENCY, "name", value=NOWHERE)),
    ("an envelope that is no digest", "K0603", put(*DEPENDENCY, "annotations", "envelope", value="x")),
    ("an unknown annotation of a dependency", "K0603", put(*DEPENDENCY, "annotations", "x", value="x")),
    ("an unknown builder", "K0607", put(*DETAILS, "builder", "id", value=f"{BUILDERS}/trusted/v1")),
    ("no builder version", "K0603", drop(*DETAILS, "builder", "version")),
    ("a day that is not in the calendar", "K0603", put(*STARTED, value="2026-02-30T00:00:00Z")),
    ("a time in another zone", "K0603", put(*STARTED, value="2026-02-20T00:00:00+01:00")),
    ("no sandbox byproduct", "K0603", put(*DETAILS, "byproducts", value=[])),
    ("a claim to be hermetic that does not follow", "K0603", put(*ENFORCED, "seccomp", value=False)),
    ("a flag that is no flag", "K0603", put(*ENFORCED, "seccomp", value="yes")),
    ("a byproduct twice", "K0603", put(*DETAILS, "byproducts", 1, "name", value="sandbox")),
]


@pytest.mark.parametrize(("code", "change"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_wrong_statement_is_refused(code: str, change: Change) -> None:
    statement: Any = copy.deepcopy(build_statement(build_facts()))
    change(statement)
    with pytest.raises(StoreError) as caught:
        verify_envelope(sign_statement(statement, BUILDER), OWN)
    assert caught.value.code == code, caught.value.message


FETCH_ROWS: list[tuple[str, str, Change]] = [
    ("no sources", "K0603", drop(*EXTERNAL, "sources")),
    ("a source that is no text", "K0603", put(*EXTERNAL, "sources", value=[1])),
    ("an unknown parameter", "K0610", put(*EXTERNAL, "insecure", value=True)),
    ("another file than the subject", "K0603", put(*DEPENDENCY, "digest", "sha256", value="0" * 64)),
    ("from nowhere", "K0603", put(*DEFINITION, "resolvedDependencies", value=[])),
    ("an internal parameter", "K0603", put(*DEFINITION, "internalParameters", "x", value=1)),
    ("a build's build type", "K0611", put(*DEFINITION, "buildType", value=f"{TYPES}/derivation/v1")),
]


@pytest.mark.parametrize(("code", "change"), [row[1:] for row in FETCH_ROWS], ids=[row[0] for row in FETCH_ROWS])
def test_a_wrong_statement_about_a_fetch_is_refused(code: str, change: Change) -> None:
    statement: Any = copy.deepcopy(build_statement(fetch_facts()))
    change(statement)
    with pytest.raises(StoreError) as caught:
        verify_envelope(sign_statement(statement, BUILDER), OWN)
    assert caught.value.code == code, caught.value.message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"_type":"https://in-toto.io/Statement/v1","_type":"https://in-toto.io/Statement/v1"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"a":1e3}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
    ],
)
def test_a_signed_payload_that_is_doubtful_json_is_refused(payload: bytes) -> None:
    data = dsse.emit(dsse.sign(payload, PAYLOAD_TYPE, BUILDER))
    with pytest.raises(StoreError) as caught:
        verify_envelope(data, OWN)
    assert caught.value.code == "K0603"


def test_a_payload_of_another_type_is_refused() -> None:
    payload = json.dumps(build_statement(build_facts())).encode()
    with pytest.raises(WrongType):
        verify_envelope(dsse.emit(dsse.sign(payload, "application/json", BUILDER)), OWN)


def trusted_for(*scopes: Scope) -> Policy:
    return Policy.of([TrustedKey(BUILDER.public_key, "ci", frozenset(scopes))])


@pytest.mark.parametrize("mode", list(Mode))
def test_a_key_speaks_only_for_the_builders_it_is_trusted_for(mode: Mode) -> None:
    facts = replace(build_facts(), run=replace(run(), mode=mode))
    data = sign_statement(build_statement(facts), BUILDER)
    own = Scope(mode.value)
    assert verify_envelope(data, trusted_for(own)).signers[0].name == "ci"
    others = [scope for scope in Scope if scope is not own]
    with pytest.raises(UntrustedBuilder) as caught:
        verify_envelope(data, trusted_for(*others))
    assert caught.value.code == "K0608" and mode.value in caught.value.message


def test_of_two_signers_the_one_that_may_speak_counts() -> None:
    statement = build_statement(build_facts())
    one = dsse.parse(sign_statement(statement, STRANGER))
    two = dsse.parse(sign_statement(statement, BUILDER))
    both = dsse.emit(dsse.Envelope(one.payload, one.payload_type, one.signatures + two.signatures))
    policy = Policy.of(
        [TrustedKey(STRANGER.public_key, "fetcher", frozenset({Scope.FETCH})), TrustedKey(BUILDER.public_key, "ci")]
    )
    assert [signer.name for signer in verify_envelope(both, policy).signers] == ["ci"]


GOOD = sign_statement(build_statement(build_facts()), BUILDER)
OUTPUTS = {str(output.path): output.digests for output in build_facts().outputs}
OUT = str(build_facts().outputs[1].path)


def decoded(**changes: Any) -> Decode:
    facts = build_facts()
    recipe = DecodedRecipe(
        data=facts.recipe.data,
        inputs=frozenset(item.object_id for item in facts.dependencies),
        outputs=frozenset(item.name for item in facts.outputs),
    )

    def decode(form: RecipeForm, data: bytes) -> DecodedRecipe:
        assert (form, data) == (RecipeForm.DERIVATION, facts.recipe.encoded)
        return recipe._replace(**changes)

    return decode


def test_everything_that_the_caller_knows_is_compared() -> None:
    files = {f"{OUT}/bin/lua": DigestSet.of(content("lua-5.4.4/bin/lua"))}
    expected = Expected(
        resolved=build_facts().recipe.digest,
        subjects=OUTPUTS | files,
        every_output=True,
        decode=decoded(),
    )
    verified = verify_build(GOOD, OWN, expected)
    assert verified.provenance == build_facts()
    assert len(verified.links) == 1


@pytest.mark.parametrize("algorithm", ["sha256", "blake3", "kilnObject", "kilnRoot"])
def test_one_digest_that_differs_is_enough(algorithm: str) -> None:
    found = dict(OUTPUTS[OUT].values)
    found[algorithm] = "0" * 64
    with pytest.raises(SubjectMismatch) as caught:
        verify_build(GOOD, OWN, Expected(subjects={OUT: DigestSet(found)}))
    assert caught.value.code == "K0609"
    assert caught.value.expected == f"{algorithm}:{OUTPUTS[OUT].values[algorithm]}"
    assert caught.value.found == f"{algorithm}:{'0' * 64}"


def test_digests_with_nothing_in_common_do_not_agree() -> None:
    with pytest.raises(SubjectMismatch, match="not what the statement names"):
        verify_build(GOOD, OWN, Expected(subjects={OUT: DigestSet({"sha512": "0" * 128})}))


def test_an_output_that_is_not_named_is_refused() -> None:
    with pytest.raises(SubjectMismatch, match="does not speak of"):
        verify_build(GOOD, OWN, Expected(subjects={NOWHERE: OUTPUTS[OUT]}))


def test_an_output_that_was_not_looked_at_is_refused_where_all_are_asked_for() -> None:
    with pytest.raises(SubjectMismatch, match="was not found"):
        verify_build(GOOD, OWN, Expected(subjects={OUT: OUTPUTS[OUT]}, every_output=True))


def test_a_statement_about_another_derivation_is_refused() -> None:
    with pytest.raises(RecipeMismatch, match="another derivation"):
        verify_build(GOOD, OWN, Expected(resolved=ResolvedDigest(bytes(32))))


def test_a_recipe_that_is_shown_differently_is_refused() -> None:
    with pytest.raises(RecipeMismatch, match="shown"):
        verify_build(GOOD, OWN, Expected(decode=decoded(data={"name": "lua-5.4.5"})))


def test_bytes_that_are_no_recipe_are_refused() -> None:
    def decode(form: RecipeForm, data: bytes) -> DecodedRecipe:
        raise ValueError("not a derivation of version 1")

    with pytest.raises(RecipeMismatch, match="not a recipe") as caught:
        verify_build(GOOD, OWN, Expected(decode=decode))
    assert caught.value.found == "not a derivation of version 1"


@pytest.mark.parametrize(("what", "names"), [("inputs", {ObjectId(bytes(32))}), ("outputs", {OutputName("out")})])
def test_dependencies_and_outputs_must_be_those_of_the_recipe(what: str, names: set[Any]) -> None:
    with pytest.raises(RecipeMismatch, match="not those of the recipe"):
        verify_build(GOOD, OWN, Expected(decode=decoded(**{what: frozenset(names)})))


def test_dependencies_are_compared_with_their_own_envelopes() -> None:
    below = verify_envelope(sign_statement(build_statement(fetch_facts()), BUILDER), OWN)
    data = sign_statement(build_statement(build_facts(below.digest)), BUILDER)
    verify_build(data, OWN, Expected(below={below.digest: below}))
    with pytest.raises(DependencyMismatch, match="is not there"):
        verify_build(data, OWN, Expected(below={}))


@pytest.mark.parametrize("what", ["root", "content", "object"])
def test_a_dependency_that_its_envelope_does_not_know_is_refused(what: str) -> None:
    changed = fetch_facts()
    wrong = {
        "root": replace(changed.output, root=RootDigest(bytes(32))),
        "content": replace(changed.output, content=content("other bytes")),
        "object": replace(
            changed.output,
            object_id=(other := ObjectId(digest32("other"))),
            path=type(changed.output.path).of(other, changed.output.path.name),
        ),
    }[what]
    below = verify_envelope(sign_statement(build_statement(replace(changed, output=wrong)), BUILDER), OWN)
    data = sign_statement(build_statement(build_facts(below.digest)), BUILDER)
    with pytest.raises(DependencyMismatch) as caught:
        verify_build(data, OWN, Expected(below={below.digest: below}))
    assert caught.value.code == "K0612"
