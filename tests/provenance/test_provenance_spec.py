"""The examples of docs/spec/provenance.md are what the code writes and reads."""

from __future__ import annotations

import os
import re

from provenance_samples import BUILDER, OWN, build_facts

from kiln.store.provenance.codes import CODES
from kiln.store.provenance.facts import HERMETIC_NEEDS, Mode, RecipeForm
from kiln.store.provenance.keyfile import parse_keys
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.plainjson import canonical, read_json
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.trust import Scope, parse_trusted
from kiln.store.provenance.verify import verify_envelope

SPEC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "spec", "provenance.md")
with open(SPEC, encoding="utf-8") as _file:
    TEXT = _file.read()


def example(kind: str) -> str:
    found: list[str] = re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, kind
    return found[0]


def test_the_statement() -> None:
    assert canonical(read_json(example("json statement").encode(), "it", 1 << 20)) == canonical(
        build_statement(build_facts())
    )


def test_the_envelope() -> None:
    assert verify_envelope(example("json envelope").encode(), OWN).said == build_facts()


def test_the_keys() -> None:
    assert PublicKey.from_pem(example("pem")) == BUILDER.public_key
    assert parse_keys(example("keyfile")).signer() == BUILDER
    (trusted,) = parse_trusted(example("trusted-keys"))
    assert (trusted.key, trusted.name) == (BUILDER.public_key, "ci")
    assert trusted.scopes == {Scope.SANDBOXED, Scope.FETCH}


def test_every_name_that_the_code_knows_is_written_down() -> None:
    names = [*HERMETIC_NEEDS, *(mode.value for mode in Mode), *(scope.value for scope in Scope)]
    for name in names:
        assert f"`{name}`" in TEXT, name
    for form in RecipeForm:
        assert f"`{form.build_type}`" in TEXT
    for code in set(CODES) - {"K0604", "K0605", "K0606"}:
        assert code in TEXT, code
