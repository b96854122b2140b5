"""Planning, on graphs made by hand and a knowledge that is a dictionary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kiln.interpreter.derivation import (
    BuildStep,
    DrvOutput,
    InputRef,
    OutputSpec,
    Program,
    SourceObject,
    Step,
    derivation,
    drv_digest,
)
from kiln.interpreter.plan import Known, closure, in_order, make_plan
from kiln.store.digest import DrvDigest, ObjectId
from kiln.store.paths import OutputName

OUT = OutputName("out")


class Memory:
    """What a store knows, held in dictionaries; counts the questions it is asked."""

    def __init__(self) -> None:
        self.ways: dict[DrvDigest, list[Known]] = {}
        self.absent: set[SourceObject] = set()
        self.questions = 0

    def known(self, drvs: Collection[DrvDigest]) -> Mapping[DrvDigest, Sequence[Known]]:
        self.questions += 1
        return {drv: self.ways[drv] for drv in drvs if drv in self.ways}

    def present(self, item: SourceObject) -> bool:
        return item not in self.absent

    def is_contested(self) -> bool:
        return False


def made(name: str) -> SourceObject:
    return SourceObject(ObjectId(name.encode().ljust(32, b".")), name)


class Graph(dict[DrvDigest, Step]):
    """A graph by names: `add("b", "a")` takes `a`'s `out`."""

    def add(self, name: str, *needs: DrvDigest) -> DrvDigest:
        inputs = [DrvOutput(need, OUT) for need in needs]
        args = tuple((InputRef(place),) for place in range(len(inputs)))
        drv = derivation(
            name=name, builder=Program(("/bin/sh",), args), inputs=inputs, outputs=[OutputSpec(OUT, "tree")]
        )
        digest = drv_digest(drv)
        self[digest] = BuildStep(digest, drv)
        return digest


def plan_of(graph: Graph, memory: Memory, *targets: DrvDigest) -> list[str]:
    plan = make_plan(graph, [DrvOutput(drv, OUT) for drv in targets], memory)
    return [step.derivation.name for drv in plan.todo if isinstance(step := graph[drv], BuildStep)]


def test_nothing_known_runs_everything_inputs_first() -> None:
    graph = Graph()
    a = graph.add("a")
    b = graph.add("b", a)
    c = graph.add("c", a, b)
    assert plan_of(graph, Memory(), c) == ["a", "b", "c"]


def test_a_known_target_is_taken_without_looking_at_its_inputs() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    b = graph.add("b", a)
    memory.ways[b] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("b1")})]
    memory.absent.add(made("a1"))
    assert plan_of(graph, memory, b) == []
    assert memory.questions == 1


def test_one_lost_record_costs_its_own_step_alone() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    b = graph.add("b", a)
    c = graph.add("c", b)
    memory.ways[a] = [Known({}, {OUT: made("a1")})]
    memory.ways[c] = []
    memory.ways[b] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("b1")})]
    assert plan_of(graph, memory, c) == ["c"]


def test_a_plan_never_mixes_two_results_of_one_derivation() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    left, right = graph.add("left", a), graph.add("right", a)
    memory.ways[left] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("left1")})]
    memory.ways[right] = [Known({DrvOutput(a, OUT): made("a2")}, {OUT: made("right2")})]
    plan = make_plan(graph, [DrvOutput(left, OUT), DrvOutput(right, OUT)], memory)
    assert plan.pins[DrvOutput(a, OUT)] == made("a1")
    assert plan.todo == (right,), "the second is run against what the first was made from"


def test_the_way_that_agrees_is_chosen_among_several() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    left, right = graph.add("left", a), graph.add("right", a)
    memory.ways[left] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("left1")})]
    memory.ways[right] = [
        Known({DrvOutput(a, OUT): made("a2")}, {OUT: made("right2")}),
        Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("right1")}),
    ]
    plan = make_plan(graph, [DrvOutput(left, OUT), DrvOutput(right, OUT)], memory)
    assert plan.todo == ()
    assert plan.pins[DrvOutput(right, OUT)] == made("right1")


def test_a_pinned_input_that_is_gone_is_run_where_something_needs_it() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    left, right = graph.add("left", a), graph.add("right", a)
    memory.ways[left] = [Known({DrvOutput(a, OUT): made("a1")}, {OUT: made("left1")})]
    memory.absent.add(made("a1"))
    plan = make_plan(graph, [DrvOutput(left, OUT), DrvOutput(right, OUT)], memory)
    assert plan.todo == (a, right)
    assert plan.pinned_by[DrvOutput(a, OUT)] == {left}


def test_a_distrusted_derivation_is_run() -> None:
    graph, memory = Graph(), Memory()
    a = graph.add("a")
    memory.ways[a] = [Known({}, {OUT: made("a1")})]
    assert make_plan(graph, [DrvOutput(a, OUT)], memory, distrust=[a]).todo == (a,)


def test_depth_costs_no_stack_and_a_question_a_level() -> None:
    graph, memory = Graph(), Memory()
    last = graph.add("n0")
    for number in range(1, 3000):
        last = graph.add(f"n{number}", last)
    assert len(plan_of(graph, memory, last)) == 3000
    assert memory.questions == 3000
    assert closure(graph, [last])[-1] == last
    assert in_order(graph, set(graph))[-1] == last
