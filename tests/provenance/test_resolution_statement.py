"""Resolutions: what binds a commit, a file and an attribute to what was built."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from provenance_samples import BUILDER, BUILT, OWN, blob, build_facts, digest32

from kiln.store.digest import Digest, DrvDigest, EnvelopeDigest
from kiln.store.errors import BadEnvelope, StoreError
from kiln.store.provenance.errors import UntrustedBuilder
from kiln.store.provenance.resolution import (
    Commit,
    Dirty,
    Resolution,
    SourceState,
    recipe_content,
    resolution_statement,
)
from kiln.store.provenance.statement import sign_statement
from kiln.store.provenance.trust import Policy, Scope, TrustedKey
from kiln.store.provenance.verify import verify_envelope

COMMIT = "0123456789abcdef0123456789abcdef01234567"


CLEAN = Commit(COMMIT)


def resolution(source: SourceState = CLEAN, build: EnvelopeDigest | None = None) -> Resolution:
    recipe = build_facts().recipe
    return Resolution(
        source=source,
        file="pkgs/app.kiln",
        attribute="lua",
        lock=blob("lock"),
        unresolved=DrvDigest(digest32("unresolved")),
        resolved=recipe.digest,
        name="lua-5.4.4",
        content=recipe_content(recipe),
        build=build,
        version="0.1.0",
        resolved_on=BUILT,
    )


@pytest.mark.parametrize(
    "said",
    [
        resolution(),
        resolution(Commit("a" * 64, "https://git.example/app.git")),
        resolution(Dirty(Digest(digest32("tree")))),
        resolution(Dirty(Digest(digest32("tree")), COMMIT)),
        resolution(build=EnvelopeDigest(digest32("build"))),
        replace(resolution(), lock=None, attribute=""),
    ],
)
def test_a_resolution_comes_back_from_its_statement(said: Resolution) -> None:
    verified = verify_envelope(sign_statement(resolution_statement(said), BUILDER), OWN)
    assert verified.said == said
    assert verified.links == ((said.build,) if said.build else ())


def test_its_subject_is_the_derivation() -> None:
    made: Any = resolution_statement(resolution())
    (subject,) = made["subject"]
    assert subject["digest"]["kilnResolved"] == build_facts().recipe.digest.hex()
    assert {"sha256", "blake3"} < subject["digest"].keys()


def test_a_repositorys_password_is_not_said() -> None:
    made: Any = resolution_statement(resolution(Commit(COMMIT, "https://me:pw@git.example/app.git")))
    assert made["predicate"]["source"]["uri"] == "https://git.example/app.git"


@pytest.mark.parametrize(
    "said",
    [
        resolution(Commit("HEAD")),
        resolution(Commit(COMMIT[:12])),
        resolution(Dirty(Digest(digest32("tree")), "main")),
        replace(resolution(), file="/home/me/app.kiln"),
        replace(resolution(), file="../app.kiln"),
        replace(resolution(), file="a/../../app.kiln"),
    ],
)
def test_what_would_not_mean_the_same_elsewhere_is_refused(said: Resolution) -> None:
    with pytest.raises(BadEnvelope):
        resolution_statement(said)


Change = Callable[[Any], None]
ROWS: list[tuple[str, Change]] = [
    ("another derivation than the subject", lambda s: s["predicate"].update(resolved=f"blake3:{'0' * 64}")),
    ("a digest that is none", lambda s: s["predicate"].update(unresolved="blake3:x")),
    ("an unknown field", lambda s: s["predicate"].update(x=1)),
    ("an unknown field of the source", lambda s: s["predicate"]["source"].update(x=1)),
    ("an unknown source", lambda s: s["predicate"]["source"].update(kind="svn")),
    ("a file outside", lambda s: s["predicate"].update(file="/etc/passwd")),
    ("no word on the lock file", lambda s: s["predicate"].pop("lock")),
    ("a lock file without blake3", lambda s: s["predicate"].update(lock={"sha256": "0" * 64})),
    ("no subject", lambda s: s["subject"].clear()),
    ("a subject without kilnResolved", lambda s: s["subject"][0]["digest"].pop("kilnResolved")),
    ("two subjects", lambda s: s["subject"].append({**s["subject"][0], "name": "x"})),
]


@pytest.mark.parametrize("change", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_wrong_resolution_is_refused(change: Change) -> None:
    statement: Any = copy.deepcopy(resolution_statement(resolution()))
    change(statement)
    with pytest.raises(StoreError) as caught:
        verify_envelope(sign_statement(statement, BUILDER), OWN)
    assert caught.value.code == "K0603", caught.value.message


def test_resolving_needs_a_key_that_is_trusted_for_it() -> None:
    data = sign_statement(resolution_statement(resolution()), BUILDER)
    builds_only = Policy.of([TrustedKey(BUILDER.public_key, "ci", frozenset({Scope.SANDBOXED}))])
    with pytest.raises(UntrustedBuilder, match="resolve"):
        verify_envelope(data, builds_only)
