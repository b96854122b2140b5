"""`kill -9` at any moment, and the same command again."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.support.processes import descendants, wait_until_gone

BUILD = """\
import "std/c" as c;

pub type Made = c.Package({ below: List(Out(File)) }, {}, { out: File });

fn made(name: Str, below: List(Out(File)) = []) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = { below }, opts = {}, outputs = { out = File },
  script = fn(b) => sh\"""
    : %{["%{file}" for file in b.deps.below]}
    (sleep 1000) &
    echo started %{b.name}
    sleep 1
    echo %{b.name} > %{b.out}
    echo ended %{b.name}
    \""",
});

let one: Made = made("one");
pub let default: Made = made("two", below = [one.out]);
"""

MOMENTS = {
    "before anything is built": "one-1 ",
    "in the first build": "started one",
    "when a builder has ended": "ended one",
    "when one is registered": "✔ one-1",
    "in the second build": "started two",
    "when the last builder has ended": "ended two",
    "when all is registered": "✔ two-1",
}


def kill_at(home, moment, delay=0.0):
    """Start the command, kill it when its messages reach a moment; all that it had started."""
    running = home.start(
        "realise", "main.kiln", "-v", "--progress", "plain", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    for line in running.stderr:
        if moment in line.decode():
            break
    else:
        pytest.fail(f"the build never came to: {moment}")
    time.sleep(delay)
    started = descendants(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    running.stderr.close()
    return started


def check_sound(home):
    done = home.kiln("doctor", "--contents").expect()
    assert "✘" not in done.out
    assert os.listdir(os.path.join(home.store, ".tmp")) == []


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_the_same_command_again_succeeds(builder, moment):
    builder.write("main.kiln", BUILD)
    started = kill_at(builder, moment)
    assert wait_until_gone(started) == set()
    done = builder.kiln("realise", "main.kiln").expect()
    assert [line.rpartition("-")[2] for line in done.lines] == ["1"]
    with open(os.path.join(builder.work, "result"), encoding="ascii") as file:
        assert file.read() == "two\n"
    check_sound(builder)
    builder.kiln("verify", "main.kiln").expect()


def test_many_kills_in_the_commit_of_quick_builds(builder):
    """Delays that fall anywhere in a chain of quick steps, the last one after its end."""
    text = "".join(
        f'let f{n}: Out(File) = write_file("f{n}", "{n} %{{f{n - 1}}}");\n'
        if n
        else 'let f0: Out(File) = write_file("f0", "0");\n'
        for n in range(60)
    )
    builder.write("main.kiln", text + "pub let default: Out(File) = f59;\n")
    for number in range(12):
        kill_at(builder, f"✔ f{number * 3} ", delay=number * 0.001)
        check_sound(builder)
    builder.kiln("realise", "main.kiln").expect()
    check_sound(builder)
    builder.kiln("verify", "main.kiln").expect()


def test_killed_in_a_download(home):
    """A download that is cut off leaves nothing that the next one trips over."""
    import hashlib
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    body, stall, asked = b"x" * 100_000, threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:50_000])
            asked.set()
            stall.wait(60)
            self.wfile.write(body[50_000:])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home.extra["no_proxy"] = "127.0.0.1"
    pin = hashlib.sha256(body).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/file"
    home.write(
        "main.kiln",
        f'import "std/fetch" as f;\npub let default: Out(File) = f.file("{url}", hash = "sha256:{pin}");\n',
    )
    try:
        running = home.start("realise", "main.kiln", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert asked.wait(60)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        stall.set()
        home.kiln("realise", "main.kiln").expect()
        check_sound(home)
    finally:
        stall.set()
        server.shutdown()
        server.server_close()


def test_who_waits_for_a_stopped_builder_says_so_and_can_be_interrupted(builder):
    builder.write("main.kiln", BUILD)
    words = ("realise", "main.kiln", "-v")
    first = builder.start(*words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    second = None
    try:
        assert any(b"started one" in line for line in first.stderr)
        first.send_signal(signal.SIGSTOP)
        second = builder.start(*words, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        waits = next(line for line in second.stderr if b"waits for" in line)
        assert b"waits for process %d (" % first.pid in waits
        second.send_signal(signal.SIGINT)
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (130, b"")
        assert b"interrupted" in err and b"Traceback" not in err
    finally:
        first.send_signal(signal.SIGCONT)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)
        if second is not None:
            second.kill()
            second.wait()
    builder.kiln("realise", "main.kiln").expect()
    check_sound(builder)


def test_interrupted(builder):
    """Ctrl-C: exit code 130, nothing left running, and the command can be given again."""
    builder.write("main.kiln", BUILD)
    running = builder.start("realise", "main.kiln", "-v", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    for line in running.stderr:
        if b"started one" in line:
            break
    started = descendants(running.pid)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, b"")
    assert b"interrupted" in err and b"Traceback" not in err
    assert wait_until_gone(started) == set()
    builder.kiln("realise", "main.kiln").expect()
    check_sound(builder)
