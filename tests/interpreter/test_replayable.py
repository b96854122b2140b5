"""What a replay refuses before it builds, and the limits that it takes from a statement."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kiln.interpreter.derivation import (
    Limits,
    OutputSpec,
    Program,
    SandboxProfile,
    derivation,
)
from kiln.interpreter.errors import NotReplayable
from kiln.interpreter.reproduce import _check_replayable, _limits
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import BuildFacts

USUAL = derivation(
    name="made", builder=Program(("/bin/sh",), ()), inputs=[], outputs=[OutputSpec(OutputName("out"), "tree")]
)


def test_usual_surroundings_are_taken():
    _check_replayable(SimpleNamespace(recipe=USUAL))


@pytest.mark.parametrize(
    "other",
    [
        replace(USUAL, system="aarch64-linux"),
        replace(USUAL, sandbox=SandboxProfile(epoch=2)),
        replace(USUAL, sandbox=SandboxProfile(profile="relaxed")),
        replace(USUAL, secrets=("token",)),
    ],
)
def test_other_surroundings_are_refused(other):
    with pytest.raises(NotReplayable, match="can't make again"):
        _check_replayable(SimpleNamespace(recipe=other))


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ({}, Limits()),
        ({"time": 7200, "silence": 60, "log": 5}, Limits(7200, 60, 5)),
        ({"time": 7200}, Limits(time=7200)),
        ({"time": 0}, Limits(time=1)),
    ],
)
def test_limits_are_those_of_the_statement(said, limits):
    facts = BuildFacts(None, (), (), None, 1, "standard", said)  # type: ignore[arg-type]
    assert _limits(facts) == limits
