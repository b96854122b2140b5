"""What is built again after a change, and what is not: steps counted from the trace."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.support.home import Done
from tests.support.trace import traced, verdicts

CHAIN = """\
import "std/c" as c;

pub type Made = c.Package({ below: List(Out(File)) }, { script: Text }, { out: File });

fn made(name: Str, script: Text, below: List(Out(File)) = []) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = { below }, opts = { script }, outputs = { out = File },
  script = fn(b) => sh\"""
    : %{["%{file}" for file in b.deps.below]}
    %{raw(b.opts.script)} > %{b.out}
    \""",
});

let lowest: Made = made("lowest", "echo lowest");
let middle: Made = made("middle", "cat %{lowest.out}", below = [lowest.out]);
pub let default: Made = made("top", "cat %{middle.out}", below = [middle.out]);
"""


def test_equal_output_of_a_changed_script_rebuilds_nothing_above(builder):
    builder.write("main.kiln", CHAIN)
    steps, before = traced(builder, "main.kiln")
    assert steps == {"lowest-1": "built", "middle-1": "built", "top-1": "built"}
    builder.write("main.kiln", CHAIN.replace("echo lowest", "# a remark\\n    echo lowest"))
    steps, after = traced(builder, "main.kiln")
    assert steps == {"lowest-1": "built", "middle-1": "unchanged", "top-1": "unchanged"}
    assert before.out == after.out
    assert traced(builder, "main.kiln")[0] == {}


def test_another_output_rebuilds_all_above(builder):
    builder.write("main.kiln", CHAIN)
    traced(builder, "main.kiln")
    builder.write("main.kiln", CHAIN.replace("echo lowest", "echo other"))
    steps, _ = traced(builder, "main.kiln")
    assert steps == {"lowest-1": "built", "middle-1": "built", "top-1": "built"}
    builder.write("main.kiln", CHAIN)
    assert traced(builder, "main.kiln")[0] == {}


def test_a_remark_in_the_build_file_builds_nothing(builder):
    builder.write("main.kiln", CHAIN)
    traced(builder, "main.kiln")
    builder.write("main.kiln", "# a remark\n" + CHAIN)
    assert traced(builder, "main.kiln")[0] == {}


SOURCE = """\
import "std/c" as c;

pub let default: c.Package({}, {}, { out: File }) = c.package({
  name = "copy", version = "1", tc = c.shell, deps = {}, opts = {}, outputs = { out = File },
  src = fn(b) => source(`./src`, exclude = ["*.o"]),
  script = fn(b) => sh\"""cat a.txt folder/b.txt > %{b.out}\""",
});
"""


def test_a_changed_source_rebuilds_and_a_touched_one_does_not(builder):
    builder.write("main.kiln", SOURCE)
    first = builder.write("src/a.txt", "a\n")
    builder.write("src/folder/b.txt", "b\n")
    built = {"copy-1": "built"}
    steps, before = traced(builder, "main.kiln")
    assert steps == built
    for time in (1, 2_000_000_000):
        os.utime(first, (time, time))
        os.utime(os.path.dirname(first), (time, time))
        assert traced(builder, "main.kiln")[0] == {}
    builder.write("src/left-out.o", "an object\n")
    assert traced(builder, "main.kiln")[0] == {}
    builder.write("src/a.txt", "c\n")
    steps, after = traced(builder, "main.kiln")
    assert steps == built and after.out != before.out
    with open(os.path.join(builder.work, "result"), encoding="ascii") as file:
        assert file.read() == "c\nb\n"
    os.chmod(first, 0o755)
    assert traced(builder, "main.kiln")[0] == built
    builder.write("src/new.txt", "")
    assert traced(builder, "main.kiln")[0] == built
    os.unlink(os.path.join(builder.work, "src/new.txt"))
    os.chmod(first, 0o644)
    builder.write("src/a.txt", "a\n")
    steps, again = traced(builder, "main.kiln")
    assert steps == {} and again.out == before.out


def test_the_folder_that_it_lies_in_changes_nothing(builder):
    builder.write("main.kiln", SOURCE)
    builder.write("src/a.txt", "a\n")
    builder.write("src/folder/b.txt", "b\n")
    _, before = traced(builder, "main.kiln")
    shutil.copytree(builder.work, os.path.join(builder.work, "moved"), symlinks=True)
    steps, after = traced(builder, "moved/main.kiln")
    assert steps == {} and before.out == after.out


def test_two_at_once_build_it_once(builder):
    builder.write("main.kiln", CHAIN.replace("echo lowest", "sleep 1; echo lowest"))
    traces = [os.path.join(builder.folder, f"trace{number}") for number in range(3)]
    running = [
        builder.start(
            "realise", "main.kiln", "--no-link", "--trace", trace, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for trace in traces
    ]
    ended = [process.communicate() for process in running]
    done = [
        Done(process.returncode, out.decode(), err.decode()).expect()
        for process, (out, err) in zip(running, ended, strict=True)
    ]
    assert len({each.out for each in done}) == 1
    seen = [step for trace in traces for step in verdicts(trace)]
    assert sorted(step for step in seen if step[1] == "built") == [
        ("lowest-1", "built"), ("middle-1", "built"), ("top-1", "built"),
    ]  # fmt: skip
    assert {verdict for _, verdict in seen} <= {"built", "unchanged"}
