"""A build that failed: its log, its tree, and its sandbox entered by hand, as its builder saw it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.support.processes import descendants, wait_until_gone

pytestmark = pytest.mark.needs_namespaces

BROKEN = """\
import "std/c" as c;

pub type Made = c.Package({}, { script: Text }, { out: File });

fn made(name: Str, script: Text) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = {}, opts = { script }, outputs = { out = File },
  script = fn(b) => sh\"""
    %{raw(b.opts.script)}
    echo > %{b.out}
    \""",
});

let broken = made("broken", "echo made > made; echo -e '\\\\e]0;title\\\\007no end'; env > environment; exit 3");
let short = made("short", "head -c 50000000 /dev/zero > large; sleep 60") with { limits = { disk = 10000000 } };
let slow = made("slow", "echo first; sleep 1; printf begun; sleep 1.5; echo ' and ended'");
"""


@pytest.fixture
def failed(builder):
    """A user whose build has failed."""
    builder.write("main.kiln", BROKEN)
    builder.kiln("realise", "main.kiln#broken").expect(4)
    return builder


def kept(home):
    return sorted(os.listdir(os.path.join(home.store, "failed")))


def test_the_message_names_log_and_sandbox(builder):
    builder.write("main.kiln", BROKEN)
    done = builder.kiln("realise", "main.kiln#broken").expect(4)
    label = kept(builder)[0]
    assert f"help: kiln log {label}; kiln debug {label}" in done.err
    assert done.err.count("broken-1") == done.err.count(label) + 3  # started, failed, the error: each once
    assert builder.kiln("log", label).expect().out == builder.kiln("log", "main.kiln#broken").expect().out
    assert builder.kiln("debug", label, "--", "cat", "made").expect().out == "made\n"


def test_a_log_cannot_give_orders_to_a_terminal(failed):
    assert failed.kiln("log").expect().out == "\\x1b]0;title\\x07no end\n"
    assert failed.kiln("log", "--raw").expect().out == "\x1b]0;title\x07no end\n"
    document = failed.kiln("log", "--json").expect().document
    assert document["data"]["ended"] is True and document["data"]["text"] == "\x1b]0;title\x07no end\n"


def test_the_sandbox_is_the_same(failed):
    """Environment, inputs, user, mounts and what /proc says: as the builder had them."""
    script = "env > /tmp/now; diff environment /tmp/now; id -u; pwd; hostname; ls -d /home 2>&1; cat /proc/version"
    done = failed.kiln("debug", "--", "/bin/sh", "-c", script)
    assert done.out.splitlines()[-5:] == [
        "1000", "/build", "localhost", "ls: /home: No such file or directory",
        "Linux version 5.12.0 (kiln) #1 SMP PREEMPT",
    ]  # fmt: skip
    assert not [line for line in done.out.splitlines() if line.startswith(("-", "+")) and "SHLVL" not in line[:7]]


def test_the_tree_is_the_builders_and_stays_as_it_is_left(failed):
    failed.kiln("debug", "main.kiln#broken", "--", "sh", "-c", "echo more >> made").expect()
    assert failed.kiln("debug", "--", "cat", "made").expect().out == "made\nmore\n"
    out = os.path.join(failed.store, "failed", kept(failed)[0], "out")
    assert os.listdir(out) == []


def test_the_builder_again(failed):
    done = failed.kiln("debug", "--again")
    assert (done.code, done.out) == (3, "\x1b]0;title\x07no end\n")


def test_its_end_is_the_commands(failed):
    assert failed.kiln("debug", "--", "sh", "-c", "exit 9").code == 9
    assert failed.kiln("debug", "--", "sh", "-c", "kill -9 $$").code == 137


def test_what_is_piped_in(failed):
    running = failed.start("debug", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = running.communicate(b"cat made; echo $((6 * 7))\n", timeout=60)
    assert (running.returncode, out) == (0, b"made\n42\n"), err
    assert b"the sandbox of broken-1 (exit code 3" in err


def test_the_plan(failed):
    lines = failed.kiln("debug", "--print").expect().lines
    assert "inside   make it the root, read-only, and drop the old one" in lines
    assert any(line.startswith("builder  /kiln/store/") for line in lines)
    document = failed.kiln("debug", "--print", "--json").expect().document
    assert document["data"]["end"] == "exit code 3" and document["data"]["plan"][:9] == lines[:9]


def test_nothing_failed(builder):
    done = builder.kiln("debug").expect(2)
    assert "error[K0908]: no failed build is kept here" in done.err
    done = builder.kiln("log", "--failed").expect(2)
    assert "error[K0908]" in done.err


def test_inputs_that_are_gone(failed):
    folder = os.path.join(failed.store, "failed", kept(failed)[0])
    path = os.path.join(folder, "sandbox.json")
    with open(path) as file:
        facts = json.load(file)
    gone = facts["sandbox"]["inputs"][0]
    gone[0] = gone[0].replace(gone[1], "0" * 32 + "-gone")
    gone[1] = "0" * 32 + "-gone"
    with open(path, "w") as file:
        json.dump(facts, file)
    done = failed.kiln("debug").expect(2)
    assert "error[K0909]" in done.err and "/kiln/store/00000000" in done.err


def test_a_sandbox_without_a_shell(failed):
    folder = os.path.join(failed.store, "failed", kept(failed)[0])
    path = os.path.join(folder, "sandbox.json")
    with open(path) as file:
        facts = json.load(file)
    facts["sandbox"] |= {"inputs": [], "links": [], "argv": ["/kiln/store/" + "0" * 32 + "-x/bin/make"]}
    with open(path, "w") as file:
        json.dump(facts, file)
    done = failed.kiln("debug").expect(2)
    assert "has a shell" in done.err and "--again" in done.err


def test_a_file_that_is_no_description_is_passed_over(failed):
    folder = os.path.join(failed.store, "failed", kept(failed)[0])
    with open(os.path.join(folder, "sandbox.json"), "w") as file:
        file.write('{"schema": "kiln.failed/1", "sandbox": {"argv": 5}}')
    assert "error[K0908]" in failed.kiln("debug").expect(2).err


def test_a_limit_is_named_with_its_remedy(builder):
    builder.write("main.kiln", BROKEN)
    done = builder.kiln("realise", "main.kiln#short").expect(4)
    assert "error[K0451]: short-1 took more of the disk than it may: 10000000 bytes" in done.err
    assert "help: limits = { disk = 20000000 } in its recipe gives it more" in done.err
    assert builder.kiln("debug", "--", "ls").expect().out == "large\n"


def test_only_the_newest_trees_stay(builder):
    names = [f"n{number:02}" for number in range(12)]
    lets = "".join(f'let {name} = made("{name}", "exit 1");\n' for name in names)
    builder.write("main.kiln", BROKEN + lets)
    builder.kiln("realise", "-j1", "--keep-going", *(f"main.kiln#{name}" for name in names)).expect(4)
    assert len(kept(builder)) == 10
    shutil.rmtree(os.path.join(builder.store, "failed", kept(builder)[0]))
    assert len(builder.kiln("debug", "last", "--print").expect().lines) > 10


def test_a_log_is_followed_as_it_grows(builder):
    builder.write("main.kiln", BROKEN)
    building = builder.start("realise", "main.kiln#slow", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: "first" in builder.kiln("log").out)
    assert "goes on" in builder.kiln("log", "main.kiln#slow").err
    following = builder.start("log", "-f", stdout=subprocess.PIPE)
    parts = []
    while part := os.read(following.stdout.fileno(), 4096):
        parts.append(part)
    assert b"".join(parts) == b"first\nbegun and ended\n"
    assert len(parts) > 1
    assert following.wait() == building.wait() == 0
    times = builder.kiln("log", "--times").expect().lines
    assert [line[14:] for line in times] == ["first", "begun and ended"] and times[0][2] == times[0][5] == ":"


def test_a_log_whose_writer_was_killed(builder):
    builder.write("main.kiln", BROKEN)
    building = builder.start("realise", "main.kiln#slow", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: "first" in builder.kiln("log").out)
    following = builder.start("log", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started = descendants(building.pid)
    building.send_signal(signal.SIGKILL)
    building.wait()
    out, err = following.communicate(timeout=30)
    assert out.startswith(b"first\n") and b"whoever wrote it was killed" in err
    assert wait_until_gone(started) == set()


def test_on_a_terminal(failed):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    mode = termios.tcgetattr(theirs)
    running = failed.start("debug", stdin=theirs, stdout=theirs, stderr=theirs)
    read_until(ours, b"$ ")
    os.write(ours, b"stty size; [ -t 1 ] && echo a termi''nal\n")
    assert b"40 100\r\na terminal\r\n" in read_until(ours, b"terminal\r\n")
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    os.kill(running.pid, signal.SIGWINCH)
    os.write(ours, b"sleep 0.2; stty size; cat\n")
    # what is typed now comes back twice: from the terminal, and from cat
    read_until(ours, b"50 120\r\n")
    os.write(ours, b"twice\n")
    read_until(ours, b"twice\r\ntwice\r\n")
    os.write(ours, b"\x03")  # to cat, and not to kiln
    read_until(ours, b"$ ")
    os.write(ours, b"exit 5\n")
    assert running.wait(30) == 5
    assert termios.tcgetattr(theirs) == mode
    os.close(ours)
    os.close(theirs)


def read_until(terminal, end):
    """What a terminal showed, until it shows `end`."""
    shown = b""
    while end not in shown:
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 4096)
    return shown


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
