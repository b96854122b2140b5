"""The harness of benchmarks works: on tiny sizes, without a peer, and never asking how long anything took."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.groups import builds, caching, evaluation, graph, scale, storing
from bench.inputs import PROGRAMS, graph_nodes, kiln_graph, kiln_long, nix_graph
from bench.peers.own import Kiln
from bench.places import Work
from bench.plot import chart
from bench.results import Measure, Results, Row, comparison, load, table
from bench.session import Session, Sizes, find_busybox
from bench.timing import Command, Failed, Run, measure

TINY = Sizes(
    graphs=(60,), builds=(), built=(60,), long=3000, big=1 << 16, files=120, shared=(60,), dead=60, deep=120, many=3,
    scales=(10, 60), added=2, launches=2, runs=1, slow_runs=1,
)  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Session:
    work = Work(str(tmp_path))
    made = Session(work, None, TINY, Results(silent=True), find_busybox(), patience=0)
    made.peers.append(Kiln(work, None, made.busybox))
    return made


def _measured(session: Session) -> dict[str, Row]:
    return {row.measure: row for row in session.results.rows()}


class TestGroups:
    def test_evaluation_checks_the_values_of_all_programs(self, session: Session) -> None:
        evaluation.run(session)
        names = _measured(session)
        assert "fib 27, less start" in names
        assert "parse and check, unchanged" in names

    def test_a_wrong_value_stops_the_group(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = tuple(program._replace(value="1") for program in PROGRAMS[:1])
        monkeypatch.setattr(evaluation, "PROGRAMS", wrong)
        with pytest.raises(Failed, match="196418"):
            evaluation.run(session)

    def test_a_graph_is_the_same_cold_and_again(self, session: Session) -> None:
        graph.run(session)
        assert {row.size for row in session.results.rows() if row.measure.startswith("graph")} == {"60"}

    def test_the_store_is_populated_without_builds(self, session: Session) -> None:
        storing._closure(session, 60)
        assert _measured(session)["query a closure"].runs == 1

    def test_a_populated_graph_is_taken_as_built(self, session: Session) -> None:
        (peer,) = session.peers
        peer.fresh()
        peer.populate(60)
        assert measure(peer.build(60), 0).out.strip().endswith("-root")
        assert measure(peer.verify(), 0).out == ""

    def test_what_nothing_needs_is_collected(self, session: Session) -> None:
        storing._collect(session, 60)
        (peer,) = session.peers
        assert _measured(session)["collect, all dead"].amount == 60
        assert (
            measure(Command((*peer.collect().argv, "--json"), peer.collect().env, "/"), 0).out.count("/kiln/store/")
            == 0
        )

    def test_small_objects_come_through_a_line(self, session: Session) -> None:
        (peer,) = session.peers
        caching._small(session, peer, 60)
        caching._deep(session, peer)
        names = _measured(session)
        assert names["fetch small objects, 40 ms away"].runs == 1
        assert sum(name.startswith("fetch a target of a deep graph") for name in names) == 2

    def test_what_moved_is_counted(self, session: Session) -> None:
        caching._moved(session, session.peers[0], "pushed", 7 << 20)
        assert session.results.notes[-1].endswith("7 MiB (at most 6: ✘)")

    @pytest.mark.needs_namespaces
    def test_a_growing_store_is_drawn(self, session: Session) -> None:
        scale.run(session)
        drawn = chart(session.results.rows())
        assert drawn is not None and drawn.count("<polyline") == len(scale.NAMES) and drawn.count("<circle") == 8
        assert len([note for note in session.results.notes if "times (at most 2" in note]) == len(scale.NAMES)
        assert chart([]) is None

    @pytest.mark.needs_namespaces
    def test_a_member_of_a_closure_has_a_price(self, session: Session) -> None:
        builds._members(session, 3)
        assert any("µs (at most 25" in note for note in session.results.notes)

    def test_trees_and_files_are_added_and_verified(self, session: Session) -> None:
        storing._big_file(session)
        storing._tree(session, memory=False)
        assert {"add a file again, unchanged", "verify small files, disk"} <= _measured(session).keys()


class TestInputs:
    def test_every_node_is_needed_once_it_can_be(self) -> None:
        nodes = graph_nodes(173)
        assert len(nodes) == 173
        assert {name for node in nodes for name in node.needs} == {node.name for node in nodes[:-1]}

    def test_inputs_stand_before_what_needs_them(self) -> None:
        seen: set[str] = set()
        for node in graph_nodes(230):
            assert seen.issuperset(node.needs)
            seen.add(node.name)

    def test_both_languages_say_the_same_graph(self) -> None:
        for node in graph_nodes(120):
            assert f'mk("{node.name}", [{", ".join(node.needs)}])' in kiln_graph(120, "/b")
            assert f'mk "{node.name}" [ {" ".join(node.needs)} ]' in nix_graph(120, "/b")

    def test_a_long_file_is_about_as_long_as_asked(self) -> None:
        assert 50_000 <= len(kiln_long(50_000)) < 52_000


class TestGraph:
    def test_members_of_closures(self) -> None:
        """Two layers of fifty: each of the second needs three of the first, and the root all."""
        nodes = graph_nodes(101)
        direct = sum(len(node.needs) for node in nodes[:-1])
        assert builds.closure_members(101) == direct + 100
        assert builds.closure_members(3) == 2


class TestTiming:
    def test_a_command_is_run_with_its_own_environment_and_input(self) -> None:
        code = "import os, sys; print(sorted(k for k in os.environ if k == 'A'), sys.stdin.read())"
        found = measure(Command((sys.executable, "-c", code), {"A": "1"}, stdin="given"), 0)
        assert found.out == "['A'] given\n"
        assert found.peak > 1 and found.wall > 0

    def test_a_failure_shows_what_the_command_said(self) -> None:
        with pytest.raises(Failed, match="exit code 3: it broke"):
            measure(
                Command((sys.executable, "-c", "import sys; print('it broke', file=sys.stderr); sys.exit(3)"), {}), 0
            )

    def test_a_missing_command_is_a_failure_too(self) -> None:
        with pytest.raises(Failed, match="No such file"):
            measure(Command(("/nonexistent/program",), {}), 0)


def _run(wall: float, others: float = 0.0) -> Run:
    return Run(wall, wall, 10.0, others)


class TestResults:
    def test_medians_are_of_quiet_runs_where_there_are_three(self) -> None:
        results = Results(silent=True)
        for run in (_run(1.0), _run(3.0), _run(2.0), _run(90.0, others=1.5)):
            results.add(Measure("m"), "kiln", run)
        (row,) = results.rows()
        assert (row.median, row.runs, row.noisy) == (2.0, 3, False)

    def test_a_row_without_enough_quiet_runs_is_marked(self) -> None:
        results = Results(silent=True)
        for run in (_run(1.0), _run(3.0), _run(8.0, others=1.5)):
            results.add(Measure("m"), "kiln", run)
        (row,) = results.rows()
        assert (row.median, row.noisy) == (3.0, True)
        assert "~" in table([row])

    def test_the_table_says_how_many_times_faster_and_whether_that_is_the_goal(self) -> None:
        results = Results(silent=True)
        for peer, wall in (("kiln", 0.5), ("nix", 2.0)):
            results.add(Measure("met", goal=4), peer, _run(wall))
            results.add(Measure("missed", goal=5), peer, _run(wall))
        lines = table(results.rows()).splitlines()
        assert [line.split()[-1] for line in lines if "nix" in line] == ["✔", "✘"]
        assert sum("4.00×" in line for line in lines) == 2

    def test_what_a_row_may_take(self) -> None:
        results = Results(silent=True)
        results.add(Measure("m", most=0.5, peak=20), "kiln", _run(1.0))
        assert "500.0 ms ✘ 20 MiB ✔" in table(results.rows())

    def test_the_start_is_taken_off_each_run(self) -> None:
        assert _run(3.0).less(_run(1.0)).wall == 2.0

    def test_saved_figures_are_compared(self, tmp_path: Path) -> None:
        for name, wall in (("a.json", 4.0), ("b.json", 2.0)):
            results = Results(silent=True)
            results.add(Measure("m", "1,000"), "kiln", _run(wall))
            results.save(str(tmp_path / name))
        before, after = load(str(tmp_path / "a.json")), load(str(tmp_path / "b.json"))
        assert "2.00×" in comparison(before, after)


class TestCommand:
    def test_results_are_compared_from_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results = Results(silent=True)
        results.add(Measure("m"), "kiln", _run(1.0))
        results.save(str(tmp_path / "a.json"))
        assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
        assert "1.00×" in capsys.readouterr().out

    @pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"schema": "kiln.bench/1", "rows": [{"peer": 1}]}'])
    def test_another_file_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "x.json"
        file.write_text(text)
        assert main(["compare", str(file), str(file)]) == 1

    def test_without_the_peer_the_figures_are_kilns_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", _path_with_busybox_alone(tmp_path))
        monkeypatch.setattr("bench.__main__.QUICK", TINY)
        saved = tmp_path / "r.json"
        words = ["graph", "--quick", "--silent", "--work", str(tmp_path), "--json", str(saved)]
        assert main(words) == 0
        assert "Nix is not installed" in capsys.readouterr().out
        assert {row["peer"] for row in json.loads(saved.read_text())["rows"]} == {"kiln"}


def _path_with_busybox_alone(folder: Path) -> str:
    place = folder / "path"
    place.mkdir()
    os.symlink(find_busybox(), place / "busybox")
    return f"{place}:/bin-without-nix"
