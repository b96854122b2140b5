"""What signing costs at import, and that every code is explained."""

from __future__ import annotations

import subprocess
import sys

import kiln.store.provenance.errors as errors
from kiln.store.errors import StoreError
from kiln.store.provenance.codes import CODES

HEAVY = {
    "nacl",
    "asyncio",
    "logging",
    "tempfile",
    "subprocess",
    "argparse",
    "lark",
    "fsspec",
    "git",
    "importlib.metadata",
    "datetime",
    "calendar",
    "cryptography",
}
PROGRAM = """
import sys
before = set(sys.modules)
import kiln.store.provenance.keys, kiln.store.provenance.keyfile, kiln.store.provenance.trust
import kiln.store.provenance.dsse, kiln.store.provenance.statement, kiln.store.provenance.slsa
print(" ".join(set(sys.modules) - before))
"""


def test_importing_what_signs_brings_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "kiln.store.provenance.slsa" in loaded
    assert not loaded & HEAVY


def test_every_code_of_trust_is_explained() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, StoreError)]
    assert len(classes) > 10
    used = {item.code for item in classes} - {"K0700"}
    assert used - {"K0601", "K0603"} == set(CODES) - {"K0601", "K0602", "K0603"}
    for title, explanation in CODES.values():
        assert title and len(explanation) > 80 and explanation.endswith(".")
