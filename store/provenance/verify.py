"""Verifying an envelope: a sequence of checks without I/O, each of which may stop it.

The rules, by the numbers that docs/spec/provenance.md gives them. Nothing of a payload is parsed before V3.

    V1  the envelope has its form; one of Kiln's is in canonical form, so that a statement has one file
    V2  a signature is by a trusted key
    V3  it is good, and so is every other that names a trusted key
    V4  the payload is an in-toto statement
    V5  the statement is of version 1, each subject with a name of its own, sha256 and blake3
    V6  the predicate is a build's provenance, a resolution or a verdict, and has its form
    V7  the build had no external parameter that is not known
    V8  the recipe's bytes have the digest that is claimed
    V9  the key may speak for that builder, or make that kind of statement
    V10 the recipe is the one that the caller asked about
    V11 the recipe for people, the dependencies and the outputs are what its bytes say
    V12 every digest known of a subject is the one that the caller found
    V13 every statement that this one names is there, and says what this one says of it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, assert_never

from kiln.store.digest import EnvelopeDigest, ObjectId, ResolvedDigest
from kiln.store.errors import BadEnvelope, Untrusted
from kiln.store.paths import OutputName
from kiln.store.provenance import dsse, resolution, slsa, verdict
from kiln.store.provenance.errors import (
    DependencyMismatch,
    RecipeMismatch,
    SubjectMismatch,
    UntrustedBuilder,
    WrongType,
)
from kiln.store.provenance.facts import BuildFacts, Dependency, FetchFacts, Provenance, RecipeForm
from kiln.store.provenance.plainjson import Json, canonical
from kiln.store.provenance.resolution import Resolution, read_resolution
from kiln.store.provenance.slsa_read import read_provenance
from kiln.store.provenance.statement import (
    PAYLOAD_TYPE,
    DigestSet,
    Statement,
    envelope_digest,
    parse_statement,
)
from kiln.store.provenance.trust import Policy, Scope, TrustedKey, barred_error
from kiln.store.provenance.verdict import Verdict, read_verdict

Said: TypeAlias = BuildFacts | FetchFacts | Resolution | Verdict


class DecodedRecipe(NamedTuple):
    """What canonical recipe bytes say: the data that a statement shows, the input objects, the outputs."""

    data: Mapping[str, Json]
    inputs: frozenset[ObjectId]
    outputs: frozenset[OutputName]


Decode: TypeAlias = Callable[[RecipeForm, bytes], DecodedRecipe]
"""The caller's, as the store knows no derivation. Raises ValueError for bytes that are no recipe."""


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """What trusted keys have signed. `data` is the envelope's file, `signers` those whose word counted.

    The facts are kept rather than the JSON they were read from: a closure may hold ten thousand of these.
    """

    digest: EnvelopeDigest
    signers: tuple[TrustedKey, ...]
    said: Said
    data: bytes = field(repr=False)

    @property
    def statement(self) -> Statement:
        """The statement as it stands in the verified bytes; read again at each call."""
        return parse_statement(dsse.parse(self.data).payload)

    @property
    def provenance(self) -> Provenance:
        """Raises WrongType if this is not about a build or a fetch."""
        if isinstance(self.said, BuildFacts | FetchFacts):
            return self.said
        raise WrongType("not a build's provenance", expected=slsa.PREDICATE_TYPE, found=self.statement.predicate_type)

    @property
    def links(self) -> tuple[EnvelopeDigest, ...]:
        """The envelopes that this one names, each once, in its order."""
        return links_of(self.said)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller knows from elsewhere; a field that is None or empty asks nothing.

    `subjects` are digests that were computed from bytes, by a subject's name. With `every_output`, each output
    of the statement must be among them. `below` holds verified envelopes that dependencies may name; with it,
    each that is named must be there.
    """

    resolved: ResolvedDigest | None = None
    subjects: Mapping[str, DigestSet] = field(default_factory=dict)
    every_output: bool = False
    below: Mapping[EnvelopeDigest, VerifiedStatement] | None = None
    decode: Decode | None = None


def verify_envelope(data: bytes, policy: Policy, *, strict: bool = True) -> VerifiedStatement:
    """Rules V1 to V9. With `strict` off, an envelope in another spelling of JSON is taken too.

    Raises BadEnvelope, Untrusted, BadSignature, RevokedKey, ExpiredKey, WrongType, UnknownParameter, RecipeMismatch,
    UntrustedBuilder.
    """
    envelope = dsse.parse(data)
    if strict:
        check_canonical(envelope, data)
    verified = _verify_signatures(envelope, policy)
    check_payload_type(verified)
    statement = parse_statement(verified.payload)
    said = read_predicate(statement)
    signers = check_scope(tuple(policy.by_id[keyid] for keyid in verified.keyids), said)
    return VerifiedStatement(envelope_digest(data), signers, said, data)


def _verify_signatures(envelope: dsse.Envelope, policy: Policy) -> dsse.Verified:
    """V2 and V3; a signer that the policy bars is told from one that it doesn't know."""
    try:
        return dsse.verify(envelope, policy.by_id)
    except Untrusted:
        for keyid, _ in envelope.signatures:
            if keyid in policy.barred:
                raise barred_error(policy.barred[keyid]) from None
        raise


def verify_build(data: bytes, policy: Policy, expected: Expected, *, strict: bool = True) -> VerifiedStatement:
    """Rules V1 to V13 for an envelope about a build or a fetch.

    Raises what `verify_envelope` does, RecipeMismatch, SubjectMismatch and DependencyMismatch.
    """
    verified = verify_envelope(data, policy, strict=strict)
    check_build(verified, expected)
    return verified


def check_build(verified: VerifiedStatement, expected: Expected) -> None:
    """Rules V10 to V13 for what `verify_envelope` has let through."""
    facts = verified.provenance
    if expected.resolved is not None:
        check_resolved(facts, expected.resolved)
    if expected.decode is not None:
        check_recipe(facts, expected.decode)
    check_subjects(facts, expected.subjects)
    if expected.every_output:
        check_complete(facts, expected.subjects)
    if expected.below is not None:
        check_below(facts, expected.below)


def check_canonical(envelope: dsse.Envelope, data: bytes) -> None:
    """V1: evidence is named by the digest of its file, so one statement must not have two."""
    if dsse.emit(envelope) != data:
        raise BadEnvelope(
            "an envelope that is not in canonical form",
            expected="one line of JSON, keys sorted, no white space, and a newline",
            found="the same in another spelling",
            help="use the file as it was written, not a copy that was formatted",
        )


def check_payload_type(verified: dsse.Verified) -> None:
    """V4."""
    if verified.payload_type != PAYLOAD_TYPE:
        raise WrongType(
            "an envelope that holds no statement", expected=PAYLOAD_TYPE, found=verified.payload_type[:200]
        )


def read_predicate(statement: Statement) -> Said:
    """V6 to V8."""
    match statement.predicate_type:
        case slsa.PREDICATE_TYPE:
            return read_provenance(statement)
        case resolution.PREDICATE_TYPE:
            return read_resolution(statement)
        case verdict.PREDICATE_TYPE:
            return read_verdict(statement)
    raise WrongType(
        "a statement of a kind that this version does not know",
        expected=", ".join((slsa.PREDICATE_TYPE, resolution.PREDICATE_TYPE, verdict.PREDICATE_TYPE)),
        found=statement.predicate_type[:200],
    )


def check_scope(signers: tuple[TrustedKey, ...], said: Said) -> tuple[TrustedKey, ...]:
    """V9: the signers that may say this. SLSA, "Verifying artifacts", step 1: key and builder as a pair."""
    scope = scope_of(said)
    allowed = tuple(signer for signer in signers if scope in signer.scopes)
    if not allowed:
        may = "; ".join(
            f"{signer}: {', '.join(item.value for item in Scope if item in signer.scopes)}" for signer in signers
        )
        raise UntrustedBuilder(
            f"a trusted key speaks of what it is not trusted for: {scope.value}",
            expected=f"a key that is trusted for {scope.value}",
            found=may,
            help="kiln trust list   shows what each key is trusted for",
        )
    return allowed


def scope_of(said: Said) -> Scope:
    """What a key must be trusted for, to say this."""
    match said:
        case BuildFacts() | FetchFacts():
            return Scope(said.run.mode.value)
        case Resolution():
            return Scope.RESOLVE
        case Verdict():
            return Scope.VERDICT
        case _:
            assert_never(said)


def check_resolved(facts: Provenance, resolved: ResolvedDigest) -> None:
    """V10."""
    if facts.recipe.digest != resolved:
        raise RecipeMismatch(
            "the statement is about another derivation", expected=str(resolved), found=str(facts.recipe.digest)
        )


def check_recipe(facts: Provenance, decode: Decode) -> None:
    """V11: what people read, what is fetched and what is compared must be what was hashed."""
    try:
        decoded = decode(facts.recipe.form, facts.recipe.encoded)
    except ValueError as error:
        raise RecipeMismatch(
            "the recipe's bytes are not a recipe", expected=f"a {facts.recipe.form.value}", found=str(error)[:200]
        ) from error
    if canonical(decoded.data) != canonical(facts.recipe.data):
        raise RecipeMismatch(
            "the recipe that is shown is not the one whose bytes were hashed",
            expected="recipe and recipeBytes that say the same",
            found="two recipes",
        )
    _same_sets("dependencies", decoded.inputs, {item.object_id for item in facts.dependencies})
    _same_sets("outputs", decoded.outputs, {output.name for output in facts.outputs})


def _same_sets(what: str, said: Set[object], found: Set[object]) -> None:
    if said != found:
        raise RecipeMismatch(
            f"the {what} are not those of the recipe",
            expected=", ".join(sorted(map(str, said))[:8]) or "none",
            found=", ".join(sorted(map(str, found))[:8]) or "none",
        )


def check_subjects(facts: Provenance, found: Mapping[str, DigestSet]) -> None:
    """V12: every digest that both sides know, not any."""
    named = {str(subject.name): subject.digest for subject in slsa.output_subjects(facts.outputs)}
    for name, digests in found.items():
        said = named.get(name)
        if said is None:
            raise SubjectMismatch(
                "the statement does not speak of an output", expected=name, found=", ".join(list(named)[:8])
            )
        differs = said.difference(digests)
        if differs is not None:
            raise SubjectMismatch(
                f"{name} is not what the statement names",
                expected=f"{differs}:{said.values[differs]}" if differs else "a digest that both sides know",
                found=f"{differs}:{digests.values[differs]}" if differs else "none",
                help="do not use it; get it again, or build it here",
            )


def check_complete(facts: Provenance, found: Mapping[str, DigestSet]) -> None:
    """V12, the other way round: every output was looked at."""
    missing = [str(output.path) for output in facts.outputs if str(output.path) not in found]
    if missing:
        raise SubjectMismatch(
            "an output that the statement names was not found", expected=missing[0], found=f"{len(missing)} missing"
        )


def check_below(said: Said, below: Mapping[EnvelopeDigest, VerifiedStatement]) -> None:
    """V13: each envelope that is named is in `below`, and says what is said of it."""
    match said:
        case BuildFacts():
            for item in said.dependencies:
                if item.envelope is not None:
                    _check_dependency(item, _named(item.envelope, below, str(item.path)))
        case FetchFacts():
            return
        case Resolution():
            if said.build is not None:
                _check_about(_named(said.build, below, said.name), said.resolved)
        case Verdict():
            _check_about(_named(said.envelope, below, said.outputs[0].name), said.resolved)
        case _:
            assert_never(said)


def _named(digest: EnvelopeDigest, below: Mapping[EnvelopeDigest, VerifiedStatement], what: str) -> VerifiedStatement:
    verified = below.get(digest)
    if verified is None:
        raise DependencyMismatch(f"the envelope about {what} is not there", expected=str(digest), found="none")
    return verified


def _check_about(verified: VerifiedStatement, resolved: ResolvedDigest) -> None:
    found = verified.provenance.recipe.digest
    if found != resolved:
        raise DependencyMismatch(
            "an envelope that is named is about another derivation", expected=str(resolved), found=str(found)
        )


def _check_dependency(item: Dependency, verified: VerifiedStatement) -> None:
    outputs = verified.said.outputs if isinstance(verified.said, BuildFacts | FetchFacts) else ()
    output = next((output for output in outputs if output.path == item.path), None)
    if output is None:
        raise DependencyMismatch(
            "a dependency's envelope speaks of something else",
            expected=str(item.path),
            found=", ".join(str(output.path) for output in outputs) or "no build",
        )
    if not output.digests.covers(item.digests):
        raise DependencyMismatch(
            f"{item.path} is not what its own envelope says",
            expected=str(dict(output.digests.values)),
            found=str(dict(item.digests.values)),
        )


def links_of(said: Said) -> tuple[EnvelopeDigest, ...]:
    """The envelopes that a statement names, each once."""
    match said:
        case BuildFacts():
            return tuple(dict.fromkeys(item.envelope for item in said.dependencies if item.envelope))
        case FetchFacts():
            return ()
        case Resolution():
            return () if said.build is None else (said.build,)
        case Verdict():
            return (said.envelope,)
        case _:
            assert_never(said)
