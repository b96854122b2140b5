"""Resolutions: which state of which build file stands behind a resolved derivation.

A build's statement speaks of a resolved derivation, because other commits may reuse what it made. This one binds
a commit, a file and an attribute to it, and is made on each realisation:

    {"source": {"kind": "commit", "commit": "<40 or 64 hex>", "uri": "https://…"},
     "file": "app.kiln", "attribute": "hello",
     "lock": {"blake3": "<hex>"} | null,
     "unresolved": "blake3:<hex>", "resolved": "blake3:<hex>",
     "build": "blake3:<digest of the envelope about the build>" | null,
     "resolver": {"version": "0.1.0", "resolvedOn": "2026-11-21T08:30:00Z"}}

A source that is no commit is `{"kind": "dirty", "digest": "blake3:<hex>", "base": "<commit>" | null}`: the digest
of the build files as they were, and the commit that they were changed from. The one subject is the resolved
derivation's canonical bytes; its `kilnResolved` is the digest under which claims are made.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from kiln.store.digest import BlobDigest, Digest, DrvDigest, EnvelopeDigest, ResolvedDigest, blob_digest
from kiln.store.errors import BadEnvelope
from kiln.store.provenance.errors import WrongType
from kiln.store.provenance.facts import Recipe, public_uri
from kiln.store.provenance.fields import Fields, format_time
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.statement import Content, Descriptor, DigestSet, Statement, make_statement, read_digests

PREDICATE_TYPE = "https://kiln.example/predicates/resolution/v1"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Commit:
    """A clean tree. `uri` is where the repository may be had, if that is known."""

    commit: str
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Dirty:
    """A tree with changes, or one without a version control: the digest of its build files."""

    digest: Digest
    base: str | None = None


SourceState: TypeAlias = Commit | Dirty


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the statement says. `file` is relative to the root of the tree; `attribute` may be empty.

    `name` and `content` are of the resolved derivation: its name, and the digests of its canonical bytes.
    `resolved_on` is in seconds since 1970.
    """

    source: SourceState
    file: str
    attribute: str
    lock: BlobDigest | None
    unresolved: DrvDigest
    resolved: ResolvedDigest
    name: str
    content: Content
    build: EnvelopeDigest | None
    version: str
    resolved_on: int


def recipe_content(recipe: Recipe) -> Content:
    """The digests of a recipe's canonical bytes, for `Resolution.content`."""
    return Content(hashlib.sha256(recipe.encoded).digest(), blob_digest(recipe.encoded))


def resolution_statement(said: Resolution) -> dict[str, Json]:
    """The statement, ready to be signed. Raises BadEnvelope for a file outside the tree or a bad commit."""
    _check(said)
    predicate: dict[str, Json] = {
        "source": _source(said.source),
        "file": said.file,
        "attribute": said.attribute,
        "lock": None if said.lock is None else {"blake3": said.lock.hex()},
        "unresolved": str(said.unresolved),
        "resolved": str(said.resolved),
        "build": None if said.build is None else str(said.build),
        "resolver": {"version": said.version, "resolvedOn": format_time(said.resolved_on)},
    }
    digests = DigestSet.of(said.content, resolved=said.resolved)
    return make_statement([Descriptor(name=said.name, digest=digests)], PREDICATE_TYPE, predicate)


def read_resolution(statement: Statement) -> Resolution:
    """The resolution of a verified statement. Raises WrongType, BadEnvelope."""
    if statement.predicate_type != PREDICATE_TYPE:
        raise WrongType("not a resolution", expected=PREDICATE_TYPE, found=statement.predicate_type[:200])
    fields = Fields(statement.predicate, "predicate")
    resolver = fields.inner("resolver")
    name, content, subject = _read_subject(statement)
    said = Resolution(
        source=_read_source(fields.inner("source")),
        file=fields.text("file"),
        attribute=fields.long_text("attribute"),
        lock=_read_lock(fields),
        unresolved=fields.parsed("unresolved", DrvDigest.parse),
        resolved=fields.parsed("resolved", ResolvedDigest.parse),
        name=name,
        content=content,
        build=fields.optional("build", lambda: fields.parsed("build", EnvelopeDigest.parse)),
        version=resolver.text("version"),
        resolved_on=resolver.time("resolvedOn"),
    )
    resolver.done()
    fields.done()
    if subject != said.resolved:
        raise BadEnvelope("the subject is another derivation", expected=str(said.resolved), found=str(subject))
    _check(said)
    return said


def _source(source: SourceState) -> dict[str, Json]:
    match source:
        case Commit(commit, uri):
            place: dict[str, Json] = {} if uri is None else {"uri": public_uri(uri)}
            return {"kind": "commit", "commit": commit, **place}
        case Dirty(digest, base):
            return {"kind": "dirty", "digest": str(digest), "base": base}
        case _:
            assert_never(source)


def _read_source(fields: Fields) -> SourceState:
    kind = fields.text("kind")
    source: SourceState
    if kind == "commit":
        source = Commit(fields.text("commit"), fields.optional_text("uri"))
    elif kind == "dirty":
        source = Dirty(fields.parsed("digest", Digest.parse), fields.optional("base", lambda: fields.text("base")))
    else:
        fields.refuse("commit or dirty", kind, "kind")
    fields.done()
    return source


def _read_lock(fields: Fields) -> BlobDigest | None:
    def read() -> BlobDigest:
        raw = read_digests(fields.take("lock"), "predicate.lock").raw("blake3")
        if raw is None:
            raise BadEnvelope("predicate.lock lacks a digest", expected="blake3")
        return BlobDigest(raw)

    return fields.optional("lock", read)


def _read_subject(statement: Statement) -> tuple[str, Content, ResolvedDigest]:
    subject = statement.subjects[0]
    raw, content = subject.digest.raw("kilnResolved"), subject.digest.content
    if len(statement.subjects) != 1 or raw is None or content is None or subject.name is None:
        raise BadEnvelope("a resolution has one subject", expected="a resolved derivation, with kilnResolved")
    return subject.name, content, ResolvedDigest(raw)


def _check(said: Resolution) -> None:
    if said.file.startswith("/") or ".." in said.file.split("/"):
        raise BadEnvelope(
            "a build file outside its tree", expected="a relative path without ..", found=repr(said.file)
        )
    commit = said.source.commit if isinstance(said.source, Commit) else said.source.base
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise BadEnvelope("not a commit", expected="40 or 64 hexadecimal digits", found=repr(commit[:80]))
