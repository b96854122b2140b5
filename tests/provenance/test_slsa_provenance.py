"""Provenance: facts go into a statement and come out equal; a golden file holds its bytes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provenance_samples import BUILDER, OWN, build_facts, content, digest32, fetch_facts, output, run

from kiln.store.digest import EnvelopeDigest, ObjectId, RootDigest
from kiln.store.errors import BadEnvelope
from kiln.store.paths import OutputName, StorePath
from kiln.store.provenance import dsse, statement
from kiln.store.provenance.facts import (
    HERMETIC_NEEDS,
    BuildFacts,
    Dependency,
    FetchFacts,
    FileFact,
    LogFact,
    Mode,
    Output,
    Provenance,
    Recipe,
    RecipeForm,
    Run,
    Usage,
    file_name,
    public_uri,
)
from kiln.store.provenance.plainjson import canonical
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.slsa_read import read_provenance
from kiln.store.provenance.slsa_v02 import build_statement_v02
from kiln.store.provenance.statement import Content, parse_statement, sign_statement
from kiln.store.provenance.verify import verify_envelope

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def golden(name: str, data: bytes) -> bytes:
    """The file's bytes; KILN_UPDATE_GOLDEN=1 writes it first."""
    path = os.path.join(GOLDEN, name)
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        with open(path, "wb") as file:
            file.write(data)
    with open(path, "rb") as file:
        return file.read()


def pretty(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def test_the_statement_about_a_build_is_the_golden_one() -> None:
    made = pretty(build_statement(build_facts()))
    assert made == golden("build.statement.json", made)


def test_the_statement_about_a_fetch_is_the_golden_one() -> None:
    made = pretty(build_statement(fetch_facts()))
    assert made == golden("fetch.statement.json", made)


def test_the_envelope_is_the_golden_one_and_still_verifies() -> None:
    made = sign_statement(build_statement(build_facts()), BUILDER)
    stored = golden("build.envelope.json", made)
    assert made == stored
    assert verify_envelope(stored, OWN).said == build_facts()


def test_the_older_statement_is_the_golden_one() -> None:
    made = pretty([build_statement_v02(build_facts()), build_statement_v02(fetch_facts())])
    assert made == golden("statement.v02.json", made)


ALL = dict.fromkeys(HERMETIC_NEEDS, True)
names = st.from_regex(r"[A-Za-z0-9_+=?-][A-Za-z0-9_+=?.-]{0,30}", fullmatch=True)
raw = st.binary(min_size=32, max_size=32)
contents = st.builds(lambda seed: content(seed.hex()), raw)
sizes = st.integers(0, 2**53 - 1)
times = st.integers(0, 253402300799)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
recipes_of = st.dictionaries(st.text(max_size=10), plain, max_size=5)


@st.composite
def outputs(draw: st.DrawFn, name: str) -> Output:
    object_id = ObjectId(draw(raw))
    files = draw(st.lists(st.binary(min_size=1, max_size=12), max_size=3, unique=True))
    return Output(
        name=OutputName.parse(name),
        path=StorePath.of(object_id, f"{draw(names)}-{name}"),
        kind=draw(st.sampled_from(["tree", "file"])),
        object_id=object_id,
        root=RootDigest(draw(raw)),
        content=draw(contents),
        size=draw(sizes),
        files=tuple(FileFact(f"bin/{file_name(file)}", draw(contents)) for file in files),
    )


@st.composite
def dependencies(draw: st.DrawFn) -> Dependency:
    object_id = ObjectId(draw(raw))
    return Dependency(
        path=StorePath.of(object_id, draw(names)),
        object_id=object_id,
        root=RootDigest(draw(raw)),
        content=draw(st.none() | contents),
        envelope=draw(st.none() | raw.map(EnvelopeDigest)),
        location=draw(st.none() | st.sampled_from(["https://cache.example/x", "file:///srv/x"])),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    return Run(
        mode=draw(st.sampled_from(Mode)),
        version=draw(st.text(min_size=1, max_size=10)),
        invocation_id=draw(st.text(min_size=1, max_size=40)),
        started=draw(times),
        finished=draw(times),
        enforced=draw(st.dictionaries(st.text(min_size=1, max_size=12), st.booleans(), max_size=4)),
        degraded=tuple(draw(st.lists(st.text(max_size=12), max_size=3))),
        log=draw(st.none() | st.builds(LogFact, contents, sizes)),
        usage=draw(st.none() | st.builds(Usage, sizes, sizes, sizes)),
    )


@st.composite
def builds(draw: st.DrawFn) -> BuildFacts:
    kinds = draw(st.lists(st.sampled_from(["out", "dev", "lib", "doc"]), min_size=1, max_size=3, unique=True))
    return BuildFacts(
        recipe=Recipe(RecipeForm.DERIVATION, draw(st.binary(max_size=64)), draw(recipes_of)),
        outputs=tuple(draw(outputs(name)) for name in kinds),
        dependencies=tuple(draw(st.lists(dependencies(), max_size=3))),
        run=draw(runs()),
        epoch=draw(st.integers(0, 99)),
        profile=draw(names),
        limits=draw(st.dictionaries(names, sizes, max_size=3)),
    )


def read_back(facts: Provenance) -> Provenance:
    return read_provenance(parse_statement(canonical(build_statement(facts))))


@given(builds())
def test_a_builds_facts_come_back_from_its_statement(facts: BuildFacts) -> None:
    assert read_back(facts) == facts


@given(st.data())
def test_a_fetchs_facts_come_back_from_its_statement(data: st.DataObject) -> None:
    sources = ("https://a.example/x?download=1", "git+ssh://git@b.example/r?rev=abc")
    facts = FetchFacts(
        recipe=Recipe(RecipeForm.FIXED, data.draw(st.binary(max_size=64)), data.draw(recipes_of)),
        output=data.draw(outputs("out")),
        sources=sources,
        location=data.draw(st.sampled_from([*sources, "https://mirror.example/x"])),
        run=data.draw(runs()),
    )
    assert read_back(facts) == facts


@pytest.mark.parametrize(
    ("enforced", "degraded", "hermetic"),
    [
        ({}, (), False),
        ({"network_namespace": True}, (), False),
        (ALL, (), True),
        (ALL | {"network_namespace": False}, (), False),
        ({need: True for need in ALL if need != "seccomp"}, (), False),
        (ALL | {"fixed_addresses": False}, (), True),
        (ALL, ("rlimit 3: 8388608 instead of 67108864",), False),
    ],
)
def test_hermetic_follows_from_what_was_enforced(
    enforced: dict[str, bool], degraded: tuple[str, ...], hermetic: bool
) -> None:
    facts = replace(build_facts(), run=replace(run(), enforced=enforced, degraded=degraded))
    predicate: Any = build_statement(facts)["predicate"]
    sandbox = predicate["runDetails"]["byproducts"][0]["annotations"]
    assert sandbox["hermetic"] is hermetic
    older: Any = build_statement_v02(facts)["predicate"]
    assert older["metadata"]["completeness"]["materials"] is hermetic
    assert older["metadata"]["reproducible"] is False


@pytest.mark.parametrize(
    ("given_uri", "shown"),
    [
        ("https://user:secret@host.example/a?b=c#frag", "https://host.example/a?b=c"),
        ("https://token@host.example", "https://host.example"),
        ("git+ssh://git@host.example/r?rev=1", "git+ssh://git@host.example/r?rev=1"),
        ("git+ssh://git:secret@host.example/r", "git+ssh://git@host.example/r"),
        ("debian:pool/main/l/lua/lua.tar.gz", "debian:pool/main/l/lua/lua.tar.gz"),
        ("https://host.example/@scope/pkg", "https://host.example/@scope/pkg"),
        ("https://user:pa@ss@host.example/x", "https://host.example/x"),
    ],
)
def test_a_uri_loses_what_may_be_secret(given_uri: str, shown: str) -> None:
    assert public_uri(given_uri) == shown


def test_no_credential_of_a_mirror_reaches_a_statement() -> None:
    facts = replace(
        fetch_facts(),
        sources=("https://me:hunter2@lua.example/lua.tar.gz?rev=4",),
        location="https://other:hunter2@mirror.example/lua.tar.gz?token=hunter2",
    )
    text = canonical(build_statement(facts)).decode()
    assert "hunter2" not in text
    assert "https://lua.example/lua.tar.gz?rev=4" in text and "https://mirror.example/lua.tar.gz" in text


def test_file_names_beyond_ascii_are_written_as_bytes() -> None:
    assert file_name(b"bin/caf\xc3\xa9 50%\n") == "bin/caf%c3%a9%2050%25%0a"
    assert file_name(b"bin/lua-5.4_x+y") == "bin/lua-5.4_x+y"


def test_subjects_name_outputs_and_their_files() -> None:
    made: Any = build_statement(build_facts())
    out = str(output("out", "lua-5.4.4").path)
    assert [item["name"] for item in made["subject"]][1:] == [out, f"{out}/bin/lua", f"{out}/bin/luac"]
    for item in made["subject"]:
        assert {"sha256", "blake3"} <= item["digest"].keys()


def test_a_source_of_the_users_own_has_no_sha256_and_no_envelope() -> None:
    made: Any = build_statement(build_facts())
    fetched, source = made["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert fetched["annotations"]["envelope"].startswith("blake3:")
    assert set(source) == {"name", "digest"} and set(source["digest"]) == {"kilnObject", "kilnRoot"}


def test_what_no_reader_would_take_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadEnvelope, match="where the file came from"):
        build_statement(replace(fetch_facts(), location=""))
    made = build_statement(build_facts())
    monkeypatch.setattr(dsse, "MAX_ENVELOPE", len(sign_statement(made, BUILDER)) - 1)
    with pytest.raises(BadEnvelope, match="too large"):
        sign_statement(made, BUILDER)
    monkeypatch.setattr(statement, "MAX_SUBJECTS", 3)
    with pytest.raises(BadEnvelope, match="too many files"):
        build_statement(build_facts())


def test_content_is_both_digests() -> None:
    assert isinstance(content("x"), Content) and len(digest32("x")) == 32
