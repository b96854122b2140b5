"""bubblewrap as the engine that was asked for: what it builds, what is said of it, what it can't do."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess

import pytest

from tests.support.debian import debian_program
from tests.support.processes import descendants, wait_until_gone

pytestmark = pytest.mark.needs_namespaces

MADE = """\
import "std/c" as c;

pub type Made = c.Package({}, { script: Text }, { out: File });

fn made(name: Str, script: Text) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = {}, opts = { script }, outputs = { out = File },
  script = fn(b) => sh\"""
    %{raw(b.opts.script)}
    echo %{b.name} > %{b.out}
    \""",
});

let good = made("good", "echo building; id -u");
let bad = made("bad", "echo kept > note; exit 3");
let few = made("few", "true") with { limits = { processes = 4 } };
let slow = made("slow", "echo begun; sleep 100 & sleep 100");
"""


@pytest.fixture
def wrapped(ordinary):
    """A user with bubblewrap in PATH: the test's own, and none that this machine may have."""
    folder = os.path.join(ordinary.folder, "bin")
    os.mkdir(folder)
    for name in os.listdir("/usr/bin"):
        if name != "bwrap":
            os.symlink(f"/usr/bin/{name}", f"{folder}/{name}")
    os.symlink(debian_program("bwrap"), f"{folder}/bwrap")
    ordinary.extra["PATH"] = folder
    ordinary.write("main.kiln", MADE)
    return ordinary


def statement(home, target):
    envelope = json.loads(home.kiln("show", target, "--provenance").expect().out)
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]["runDetails"]


def test_both_engines_make_the_same(wrapped):
    path = wrapped.kiln("realise", "main.kiln#good", "--sandbox-engine", "bubblewrap").expect().lines[0]
    with open(path) as file:
        assert file.read() == "good\n"
    assert wrapped.kiln("log").expect().out == "building\n1000\n"
    found = statement(wrapped, "main.kiln#good")
    assert found["builder"]["id"].endswith("/bubblewrap/v1")
    assert "no time namespace" in json.dumps(found) and '"hermetic": false' in json.dumps(found)
    assert wrapped.kiln("verify", "main.kiln#good").expect().code == 0
    wrapped.kiln("reproduce", "main.kiln#good").expect()
    wrapped.kiln("reproduce", "main.kiln#good", "--sandbox-engine", "bubblewrap").expect()


def test_the_environment_chooses_it(wrapped):
    wrapped.extra["KILN_SANDBOX_ENGINE"] = "bubblewrap"
    wrapped.kiln("realise", "main.kiln#good").expect()
    assert statement(wrapped, "main.kiln#good")["builder"]["id"].endswith("/bubblewrap/v1")
    wrapped.extra["KILN_SANDBOX_ENGINE"] = "docker"
    done = wrapped.kiln("realise", "main.kiln#bad").expect(10)
    assert "error[K0808]: there is no sandbox engine docker" in done.err and "own or bubblewrap" in done.err


def test_a_build_that_fails(wrapped):
    done = wrapped.kiln("realise", "main.kiln#bad", "--sandbox-engine", "bubblewrap").expect(4)
    assert "found     exit code 3" in done.err
    release = os.uname().release  # our own engine hides it
    assert wrapped.kiln("debug", "--", "sh", "-c", "uname -r; cat note").expect().out == f"{release}\nkept\n"
    assert wrapped.kiln("debug", "--print").expect().lines[0].startswith("engine   bubblewrap")


def test_what_it_does_not_hold(wrapped):
    wrapped.kiln("realise", "main.kiln#few", "--sandbox-engine", "bubblewrap").expect()
    assert '"processes is not limited"' in json.dumps(statement(wrapped, "main.kiln#few"))


def test_without_the_program_nothing_else_is_tried(wrapped):
    os.unlink(os.path.join(wrapped.folder, "bin/bwrap"))
    done = wrapped.kiln("realise", "main.kiln#good", "--sandbox-engine", "bubblewrap").expect(10)
    assert "error[K0808]: bubblewrap was asked for, and there is no program bwrap here" in done.err


def test_one_that_cannot_is_no_reason_for_another(wrapped):
    program = os.path.join(wrapped.folder, "bin/bwrap")
    os.unlink(program)
    with open(program, "w") as file:
        file.write("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2; exit 1\n")
    os.chmod(program, 0o755)
    done = wrapped.kiln("realise", "main.kiln#good", "--sandbox-engine", "bubblewrap").expect(10)
    assert "error[K0808]: bubblewrap can't make this sandbox" in done.err
    assert "No permissions to create a new namespace" in done.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_it(wrapped, how):
    command = ("realise", "main.kiln#slow", "-v", "--progress", "plain", "--sandbox-engine", "bubblewrap")
    running = wrapped.start(*command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert any(b"begun" in line for line in running.stderr)
    started = descendants(running.pid)
    assert len(started) >= 4
    running.send_signal(how)
    running.stderr.read()
    assert running.wait() == (130 if how == signal.SIGINT else -9)
    assert wait_until_gone(started) == set()
