"""Realising, with a make that is a function of the test's: what is planned again, and what ends it."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from test_plan import OUT, Graph, Memory, made

from kiln.interpreter import realise as module
from kiln.interpreter.derivation import DrvOutput
from kiln.interpreter.events import StepFailed
from kiln.interpreter.ledger import Realised
from kiln.interpreter.making import Made
from kiln.interpreter.plan import Known
from kiln.store.digest import EnvelopeDigest
from kiln.store.paths import OutputName

DOC = OutputName("doc")


def surroundings(memory, monkeypatch, make):
    """A workshop whose steps are made by `make(name)`, which gives the results' names by output."""
    events = []

    def making(workshop, one):
        results = make(one.recipe.name)
        outputs = {
            output: Realised(SimpleNamespace(id=made(name).id, name=name, path=name), EnvelopeDigest(bytes(32)))
            for output, name in results.items()
        }
        return Made(outputs, fresh=True)

    monkeypatch.setattr(module, "make", making)
    monkeypatch.setattr("kiln.interpreter.sandbox.helper.shared_launcher", lambda: None)
    memory.evidence = lambda item, made: None
    return SimpleNamespace(ledger=memory, emit=events.append, jobs=1, open_caches=None, engine="own"), events


def test_what_was_made_from_another_result_is_made_again(monkeypatch):
    """The first result of `a` is gone and its second differs, so that `b`, which is there, is made again."""
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    b = graph.add("b", a)
    top = graph.add("top", b, a)
    memory.ways[b] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("b1")})]
    memory.absent.add(made("a1"))
    workshop, events = surroundings(memory, monkeypatch, lambda name: {OUT: f"{name}2"})
    plan, tally = module.realise(workshop, graph, [DrvOutput(top, OUT)])
    assert tally.replanned == 1
    assert {key.drv: item.name for key, item in plan.pins.items()} == {a: "a2", b: "b2", top: "top2"}
    assert not [event for event in events if isinstance(event, StepFailed)]


def test_a_build_that_never_comes_out_twice_alike_ends_with_an_error_of_its_own(monkeypatch):
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    memory.ways[a] = [Known({}, {OUT: made("a1")})]
    numbers = itertools.count(2)
    workshop, _ = surroundings(memory, monkeypatch, lambda name: {OUT: (n := f"a{next(numbers)}"), DOC: f"{n}-doc"})
    with pytest.raises(module.Failed) as failed:
        module.realise(workshop, graph, [DrvOutput(a, OUT), DrvOutput(a, DOC)])
    (cause,) = failed.value.causes
    assert isinstance(cause, module.TwoResults) and cause.code == "K0456"
