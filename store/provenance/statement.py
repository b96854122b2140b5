"""in-toto Statements, version 1: what is said (a predicate) of which artifacts (subjects).

    {"_type": "https://in-toto.io/Statement/v1",
     "subject": [{"name": "/kiln/store/…-lua-5.4.4", "digest": {"sha256": "…", "blake3": "…", …}, …}],
     "predicateType": "https://slsa.dev/provenance/v1",
     "predicate": {…}}

Every subject has both `sha256` and `blake3`: the second is not among in-toto's names of algorithms, so it never
stands alone. Two algorithms are Kiln's own, and digests of a structure rather than of one file's bytes:
`kilnObject` is an object's id, `kilnRoot` its Merkle root as it lies on disk.

Digests **agree** if every algorithm that both sides know has the same value, and there is at least one: one match
beside one mismatch is a mismatch. The reader refuses fields that the specification does not have, as in-toto's
own parser does; what Kiln adds stands in annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from kiln.store.digest import BlobDigest, EnvelopeDigest, ObjectId, ResolvedDigest, RootDigest, blob_digest
from kiln.store.errors import BadEnvelope
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import WrongType
from kiln.store.provenance.fields import Fields
from kiln.store.provenance.keys import Signer
from kiln.store.provenance.plainjson import Json, canonical, read_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_SUBJECTS = 65536

_HEX_LENGTHS = {
    "sha256": (64,),
    "blake3": (64,),
    "kilnObject": (64,),
    "kilnRoot": (64,),
    "kilnResolved": (64,),
    "sha512": (128,),
    "gitTree": (40, 64),
    "gitCommit": (40, 64),
}
_HEX = frozenset("0123456789abcdef")


class Content(NamedTuple):
    """The two digests of a file's bytes, or of a tree's canonical archive. `sha256` is 32 bytes."""

    sha256: bytes
    blake3: BlobDigest


@dataclass(frozen=True, slots=True)
class DigestSet:
    """Digests by algorithm, in lower-case hexadecimal."""

    values: Mapping[str, str]

    @classmethod
    def of(
        cls,
        content: Content | None = None,
        *,
        object_id: ObjectId | None = None,
        root: RootDigest | None = None,
        resolved: ResolvedDigest | None = None,
    ) -> Self:
        values: dict[str, str] = {}
        if content is not None:
            values = {"sha256": content.sha256.hex(), "blake3": content.blake3.hex()}
        named = (("kilnObject", object_id), ("kilnRoot", root), ("kilnResolved", resolved))
        values.update((name, digest.hex()) for name, digest in named if digest is not None)
        return cls(values)

    def raw(self, algorithm: str) -> bytes | None:
        """The digest's bytes, or None if it is not there."""
        value = self.values.get(algorithm)
        return None if value is None else bytes.fromhex(value)

    @property
    def content(self) -> Content | None:
        """The digests of the bytes, if both are there."""
        sha256, blake3 = self.raw("sha256"), self.raw("blake3")
        return None if sha256 is None or blake3 is None else Content(sha256, BlobDigest(blake3))

    def covers(self, expected: DigestSet) -> bool:
        """Whether every digest of `expected` is here, with the same value."""
        return all(self.values.get(name) == value for name, value in expected.values.items())

    def difference(self, other: DigestSet) -> str | None:
        """The first algorithm in which the two differ; `""` if they have none in common; None if they agree."""
        common = sorted(self.values.keys() & other.values.keys())
        if not common:
            return ""
        return next((name for name in common if self.values[name] != other.values[name]), None)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """in-toto's ResourceDescriptor, version 1, less `content`: what is meant, by its digests, name or place."""

    name: str | None = None
    uri: str | None = None
    digest: DigestSet = DigestSet({})
    media_type: str | None = None
    download_location: str | None = None
    annotations: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The descriptor's object, without the fields that are not set."""
        fields: dict[str, Json] = {
            "name": self.name,
            "uri": self.uri,
            "digest": dict(self.digest.values) or None,
            "mediaType": self.media_type,
            "downloadLocation": self.download_location,
            "annotations": dict(self.annotations) or None,
        }
        return {key: value for key, value in fields.items() if value is not None}

    @classmethod
    def read(cls, value: Json, where: str) -> Self:
        """Raises BadEnvelope."""
        fields = Fields(value, where)
        read = cls(
            name=fields.optional_text("name"),
            uri=fields.optional_text("uri"),
            digest=read_digests(fields.take("digest"), f"{where}.digest") if fields.has("digest") else DigestSet({}),
            media_type=fields.optional_text("mediaType"),
            download_location=fields.optional_text("downloadLocation"),
            annotations=fields.mapping("annotations", _any) if fields.has("annotations") else {},
        )
        fields.done()
        if read.uri is None and not read.digest.values:
            raise BadEnvelope(f"{where} names nothing", expected="a digest or a uri", found="neither")
        return read


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement. Subjects have distinct names; the predicate is not yet read."""

    subjects: tuple[Descriptor, ...]
    predicate_type: str
    predicate: Json

    def subject(self, name: str) -> Descriptor | None:
        return next((subject for subject in self.subjects if subject.name == name), None)


def make_statement(subjects: list[Descriptor], predicate_type: str, predicate: dict[str, Json]) -> dict[str, Json]:
    """The statement's object, ready for `sign_statement`. Raises BadEnvelope for too many subjects."""
    if len(subjects) > MAX_SUBJECTS:
        raise BadEnvelope(
            "a statement about too many files", expected=f"at most {MAX_SUBJECTS} subjects", found=str(len(subjects))
        )
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject.to_json() for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def sign_statement(statement: Mapping[str, Json], signer: Signer) -> bytes:
    """The bytes of the envelope's file. Raises BadEnvelope for one that no reader would take."""
    data = dsse.emit(dsse.sign(canonical(statement), PAYLOAD_TYPE, signer))
    if len(data) > dsse.MAX_ENVELOPE:
        raise BadEnvelope(
            "a statement is too large", expected=f"at most {dsse.MAX_ENVELOPE} bytes", found=f"{len(data)} bytes"
        )
    return data


def envelope_digest(data: bytes) -> EnvelopeDigest:
    """Plain BLAKE3 of an envelope's file, newline included."""
    return EnvelopeDigest(blob_digest(data))


def parse_statement(payload: bytes) -> Statement:
    """Read verified bytes. Raises BadEnvelope, or WrongType for another version."""
    fields = Fields(read_json(payload, "the statement", dsse.MAX_ENVELOPE), "statement")
    kind = fields.text("_type")
    if kind != STATEMENT_TYPE:
        raise WrongType("not a statement of a version that is known", expected=STATEMENT_TYPE, found=kind)
    subjects = fields.items("subject", _read_subject, limit=MAX_SUBJECTS)
    read = Statement(subjects, fields.text("predicateType"), fields.take("predicate"))
    fields.done()
    if not subjects or len({subject.name for subject in subjects}) != len(subjects):
        raise BadEnvelope("a statement's subjects must be told apart", expected="one or more, each name once")
    return read


def read_digests(value: Json, where: str) -> DigestSet:
    """A DigestSet whose known algorithms have their length. Raises BadEnvelope."""
    if not isinstance(value, dict) or not value:
        raise BadEnvelope(f"{where} is not a set of digests", expected="an object", found=repr(value)[:120])
    for name, digits in value.items():
        if not isinstance(digits, str) or not digits or not _HEX.issuperset(digits):
            raise BadEnvelope(f"{where}.{name[:40]} is not a digest", expected="lower-case hexadecimal digits")
        lengths = _HEX_LENGTHS.get(name)
        if lengths is not None and len(digits) not in lengths:
            raise BadEnvelope(
                f"{where}.{name} has not its length", expected=f"{lengths[0]} digits", found=f"{len(digits)}"
            )
    return DigestSet({name: str(digits) for name, digits in value.items()})


def _read_subject(value: Json, where: str) -> Descriptor:
    subject = Descriptor.read(value, where)
    if subject.name is None:
        raise BadEnvelope(f"{where} has no name", expected="a name")
    missing = [name for name in ("sha256", "blake3") if name not in subject.digest.values]
    if missing:
        raise BadEnvelope(
            f"{where} must have both digests",
            expected="sha256 and blake3",
            found=", ".join(sorted(subject.digest.values)) or "none",
        )
    return subject


def _any(value: Json, _where: str) -> Json:
    return value
