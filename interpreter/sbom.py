"""A bill of materials: what an output refers to, and what it was made from, as an SPDX 2.3 document.

Packages are objects: the output, its closure, and everything that the envelopes below it name, down to what was
fetched and the user's own sources. Each has its digests, what was fetched also the place it came from.

    output     DEPENDS_ON            what it refers to
    input      BUILD_DEPENDENCY_OF   what was made from it, directly

The document is a function of the output and of its evidence: its time is the first second of 1970, and its namespace
names the object. Of https://spdx.github.io/spdx-spec/v2.3/ (clauses 6, 7 and 11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kiln.interpreter.evidence import content_of
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import EnvelopeDigest, ObjectId
from kiln.store.info import ObjectInfo
from kiln.store.paths import StorePath
from kiln.store.provenance import dsse
from kiln.store.provenance.facts import BuildFacts, FetchFacts, public_uri
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.statement import DigestSet, parse_statement
from kiln.store.provenance.verify import read_predicate

SPDX = "https://spdx.dev/Document/v2.3"

_VERSIONED = re.compile(r"(.+?)[-_]([0-9][^-]*(?:-[0-9].*)?)")
_NO_ID = re.compile(r"[^A-Za-z0-9.-]")
_ADDRESS = re.compile(r"(?:https?|git\+https?|ssh|ftp)://\S+")
_ALGORITHMS = (("sha256", "SHA256"), ("blake3", "BLAKE3"))


class _Materials:
    """Packages and their relations, each once; `digests` of an object grow no smaller."""

    def __init__(self) -> None:
        self.packages: dict[ObjectId, dict[str, Json]] = {}
        self.relations: dict[tuple[str, str, str], None] = {}

    def add(self, path: StorePath, object_id: ObjectId, digests: DigestSet, place: str | None = None) -> str:
        """The package's id in the document."""
        name = path.base[33:]
        known = self.packages.setdefault(object_id, {"SPDXID": _spdx_id(path), "name": name})
        versioned = _VERSIONED.fullmatch(name)
        if versioned is not None:
            known.update(name=versioned[1], versionInfo=versioned[2])
        sums: list[Json] = [
            {"algorithm": spdx, "checksumValue": digests.values[own]}
            for own, spdx in _ALGORITHMS
            if own in digests.values
        ]
        if sums:
            known["checksums"] = sums
        known["filesAnalyzed"] = False
        known["comment"] = f"{path} is object {object_id}"
        if place is not None or "downloadLocation" not in known:
            known["downloadLocation"] = place or "NOASSERTION"
        return _spdx_id(path)

    def relate(self, left: str, relation: str, right: str) -> None:
        if left != right:
            self.relations[left, relation, right] = None


def document(workshop: Workshop, info: ObjectInfo) -> dict[str, Json]:
    """The document about one object of the store. Raises StoreError."""
    materials = _Materials()
    closure = {member.id: member for member in workshop.store.closure([info.id])}
    for member in closure.values():
        content = None if member.kind == "symlink" else content_of(workshop, member)
        own = materials.add(member.path, member.id, DigestSet.of(content))
        for reference in member.references:
            materials.relate(own, "DEPENDS_ON", _spdx_id(closure[reference].path))
    _add_evidence(workshop, materials, closure)
    top = _spdx_id(info.path)
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", top), *sorted(materials.relations)]
    packages: list[Json] = [*sorted(materials.packages.values(), key=lambda package: str(package["SPDXID"]))]
    return {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": info.name,
        "documentNamespace": f"https://kiln.example/spdx/{info.id.hex()}",
        "creationInfo": {"created": "1970-01-01T00:00:01Z", "creators": [f"Tool: kiln-{workshop.version}"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": left, "relationshipType": relation, "relatedSpdxElement": right}
            for left, relation, right in relations
        ],
    }


def _add_evidence(workshop: Workshop, materials: _Materials, members: Iterable[ObjectId]) -> None:
    """What the envelopes say of the members, and of all that those were made from."""
    found = (workshop.ledger.producer(member) for member in members)
    queue = list(dict.fromkeys(envelope for envelope in found if envelope is not None))
    seen: set[EnvelopeDigest] = set(queue)
    for envelope in queue:
        facts = read_predicate(parse_statement(dsse.parse(workshop.store.envelope(envelope)).payload))
        match facts:
            case FetchFacts(output=output):
                materials.add(output.path, output.object_id, output.digests, _place(facts))
            case BuildFacts():
                _add_build(materials, facts)
                below = [item.envelope for item in facts.dependencies if item.envelope is not None]
                queue += [item for item in below if item not in seen]
                seen.update(below)


def _add_build(materials: _Materials, facts: BuildFacts) -> None:
    made = [materials.add(output.path, output.object_id, output.digests) for output in facts.outputs]
    for item in facts.dependencies:
        used = materials.add(item.path, item.object_id, item.digests)
        for output in made:
            materials.relate(used, "BUILD_DEPENDENCY_OF", output)


def _place(facts: FetchFacts) -> str | None:
    """The address that the file was declared at; where none is an address, there is nothing to assert."""
    return next((public_uri(item) for item in facts.sources if _ADDRESS.fullmatch(item)), None)


def _spdx_id(path: StorePath) -> str:
    return "SPDXRef-" + _NO_ID.sub("-", path.base)
