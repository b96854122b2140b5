"""What is shown while something is made: live lines on a terminal, one line an event elsewhere."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.terminal import on_terminal

MANY = """\
import "std/c" as c;

pub type Made = c.Package({ below: List(Out(File)) }, {}, { out: File });

fn made(number: Int, below: List(Out(File)) = []) -> Made = c.package({
  name = "step%{number}", version = "1", tc = c.shell, deps = { below }, opts = {}, outputs = { out = File },
  script = fn(b) => sh\"""
    echo "building %{b.name}, a line that is far too long for a terminal of this size, and then some more of it"
    sleep 0.4
    echo %{["%{file}" for file in b.deps.below]} > %{b.out}
    \""",
});

pub let default: Made = made(99, below = [made(number).out for number in range(14)]);
"""
FEW = MANY.replace("range(14)", "range(2)").replace("sleep 0.4", "")
LIVE = "⏵ step"
VERDICT = "✔ step[0-9]+-1 "
"""How lines begin; the last line of all has a colon behind the name."""


@pytest.fixture
def many(builder):
    builder.write("main.kiln", MANY)
    return builder


@pytest.fixture
def few(builder):
    builder.write("main.kiln", FEW)
    return builder


def verdicts(lines):
    return [line for line in lines if re.match(VERDICT, line)]


def test_live_lines_on_a_terminal(many):
    shown = on_terminal(many, "realise", "main.kiln", "-j", "14", columns=60, rows=24)
    assert shown.code == 0
    live = [sum(line.startswith(LIVE) for line in frame) for frame in shown.frames]
    assert 1 <= max(live) <= 9
    assert live[-1] == 0
    status = [line for frame in shown.frames for line in frame if "running" in line]
    assert any("14 running" in line for line in status)
    assert len(verdicts(shown.above)) == len(set(verdicts(shown.above))) == 15
    assert "15 built" in next(line for line in shown.above if line.startswith("✔ step99-1: "))
    assert "".join(shown.above[-2:]).endswith("-step99-1")


def test_no_line_is_left_behind_or_wrapped(many):
    """With wrapping, a repaint would go up by too few lines and leave pieces of live lines above."""
    shown = on_terminal(many, "realise", "main.kiln", "-j", "3", columns=40, rows=12)
    assert not [line for line in shown.above if "│" in line or "running" in line]
    assert len(verdicts(shown.above)) == 15


def test_one_line_an_event_elsewhere(few):
    done = few.kiln("realise", "main.kiln", "-j", "4").expect()
    lines = done.err.splitlines()
    assert len(done.lines) == 1 and "\x1b" not in done.err
    assert len([line for line in lines if line.startswith(LIVE)]) == 3
    assert len(verdicts(lines)) == 3
    assert not any("far too long" in line for line in lines)


def test_builders_lines_where_they_are_asked_for(few):
    done = few.kiln("realise", "main.kiln", "-v").expect()
    assert sum("far too long" in line for line in done.err.splitlines()) == 3
    assert "far too long" not in done.out


def test_quiet(few):
    done = few.kiln("realise", "main.kiln", "-q").expect()
    assert done.err == "" and len(done.lines) == 1


def test_quiet_tells_of_failures(builder):
    builder.write("main.kiln", FEW.replace("echo %{[", "exit 3; echo %{["))
    done = builder.kiln("realise", "main.kiln", "-q").expect(4)
    assert done.err.startswith("error[K0450]") and done.out == ""


def test_events_as_json_lines(few):
    done = few.kiln("realise", "main.kiln", "--progress", "json").expect()
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events if event["event"] == "Planned"] == ["Planned"]
    assert len([event for event in events if event["event"] == "StepFinished"]) == 3
    assert {event["event"] for event in events} >= {"Planned", "StepStarted", "LogLine", "StepFinished"}


def test_the_trace_is_versioned_json_lines_with_times(few):
    few.kiln("realise", "main.kiln", "--trace", "trace.jsonl", "--progress", "none").expect()
    with open(f"{few.work}/trace.jsonl", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    assert {event["schema"] for event in events} == {"kiln.event/1"}
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    started = {event["drv"] for event in events if event["event"] == "StepStarted"}
    assert started == {event["drv"] for event in events if event["event"] == "StepFinished"} and len(started) == 3


COLOUR = b"\x1b[32m"
REPAINT = b"\x1b[J"


@pytest.mark.parametrize(
    ("env", "words", "colour", "repaint"),
    (
        ({}, (), True, True),
        ({"NO_COLOR": "1"}, (), False, True),
        ({"TERM": "dumb"}, (), False, False),
        ({"CI": "true"}, (), False, False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True, True),
        ({}, ("--color", "never"), False, True),
        ({}, ("--progress", "plain"), True, False),
        ({"TERM": "dumb"}, ("--progress", "tty"), False, True),
        ({}, ("--progress", "none"), False, False),
        ({}, ("-q",), False, False),
    ),
)
def test_what_the_environment_asks_for(builder, env, words, colour, repaint):
    builder.write("main.kiln", MANY.replace("range(14)", "range(1)"))
    shown = on_terminal(builder, "realise", "main.kiln", *words, env=env)
    assert shown.code == 0
    assert (COLOUR in shown.raw, REPAINT in shown.raw) == (colour, repaint)


def test_the_first_failure_in_the_graph_s_order_gives_the_exit_code(builder):
    """Whatever the number of jobs, and whichever failed first."""
    wrong = "sha256:" + "0" * 64
    builder.write("data", "x")
    builder.write(
        "main.kiln",
        MANY.replace("sleep 0.4", "sleep 0.%{length(b.deps.below)}; exit 3")
        .replace("made(number).out for number in range(14)", "o for o in [made(1).out, wrong, made(2).out]")
        .replace('import "std/c" as c;', 'import "std/c" as c;\nimport "std/fetch" as fetch;')
        + f'let wrong: Out(File) = fetch.file("file://{builder.work}/data", hash = "{wrong}");\n',
    )
    ends = [builder.kiln("realise", "main.kiln", "--keep-going", "-j", jobs) for jobs in ("1", "2", "4")]
    assert len({done.code for done in ends}) == 1 and ends[0].code in (4, 5)
    for done in ends:
        assert done.err.count("error[K0450]") == 2 and done.err.count("error[K0501]") == 1
        assert "not tried" in done.err and done.out == ""
