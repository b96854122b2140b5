"""docs/tutorial-cache.md, followed to the letter: a folder, nginx, a bucket, `kiln cache serve`.

Blocks of the page are carried out in their order. A block of kind `console` has commands after `NAME$ `, each in a
shell of the machine NAME that stays open, and what they print: lines that must come in this order, where `…` stands
for anything, and alone on a line for any lines. What is in `console background` is left running. A block with the
name of a file is that file, on each machine. Port numbers are replaced by free ones.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.debian import debian_program
from tests.support.home import REPOSITORY, Home
from tests.support.room import VARIABLE

pytestmark = pytest.mark.needs_namespaces

PAGE = Path(REPOSITORY, "docs/tutorial-cache.md")
PORTS = ("8480", "8417")
"""What the page's servers listen at, in the order in which they are started."""
PATIENCE = 120


class Block(NamedTuple):
    kind: str
    name: str
    line: int
    text: str


class Command(NamedTuple):
    machine: str
    text: str
    line: int
    expected: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    pattern = re.compile(r"^```(\w+)(?: ([\w.-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for found in pattern.finditer(page):
        yield Block(found[1], found[2] or "", page.count("\n", 0, found.start()) + 1, found[3])


def commands(block: Block) -> Iterator[Command]:
    machine, text, line, expected = "", "", 0, list[str]()
    for number, content in enumerate(block.text.splitlines(), block.line + 1):
        prompt = re.match(r"(ci|ada|ben|web)\$ (.*)", content)
        if prompt is None:
            expected.append(content)
            continue
        if machine:
            yield Command(machine, text, line, tuple(expected))
        machine, text, line, expected = prompt[1], prompt[2], number, []
    yield Command(machine, text, line, tuple(expected))


class Machine:
    """A machine's user, with a shell that stays open."""

    def __init__(self, home: Home, extra: dict[str, str]) -> None:
        self.home = home
        self._shell = subprocess.Popen(
            ["bash", "--norc", "-s"],
            cwd=home.work,
            env={**home.env(), **extra, "PATH": f"{extra['TOOLS']}:{home.env()['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, list[str]]:
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\nstatus=$?; echo; echo @@$status@@\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if ended := re.fullmatch(r"@@(\d+)@@\n", line):
                return int(ended[1]), [item for item in lines if item]
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended: {lines}")

    def background(self, command: str) -> None:
        """Start it, and return when it listens."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null >background.log 2>&1 &\n")
        self._shell.stdin.flush()

    def close(self) -> None:
        """End the shell, and the servers that it started: they are in its process group."""
        os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.kill()
        self._shell.wait(PATIENCE)


def told(expected: tuple[str, ...], printed: list[str]) -> str | None:
    """The first expected line that did not come in its place; None where all did."""
    at, anywhere = 0, False
    for line in expected:
        if line == "…":
            anywhere = True
            continue
        pattern = re.compile(".*?".join(map(re.escape, line.split("…"))))
        while at < len(printed) and not pattern.fullmatch(printed[at]):
            if not anywhere:
                return line
            at += 1
        if at == len(printed):
            return line
        at, anywhere = at + 1, False
    return None if anywhere or at == len(printed) else f"nothing more, where {printed[at]!r} came"


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A service that speaks like S3, with a bucket; what a user's environment says of it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    script = "import s3fs; s3fs.S3FileSystem().mkdir('builds')"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **env}, check=True, timeout=PATIENCE)
    yield env
    server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens at {port}"
            time.sleep(0.05)


@pytest.fixture
def machines(mirrors: dict[str, str], shell_home: str, bucket: dict[str, str]) -> Iterator[dict[str, Machine]]:
    folder = Path(
        os.environ[VARIABLE], f"tutorial-{os.getpid()}"
    )  # where nginx's workers, who are not root, can read
    folder.mkdir(mode=0o755)
    tools = folder / "tools"
    tools.mkdir()
    os.symlink(debian_program("nginx"), tools / "nginx")
    (tools / "kiln").write_text(f'#!/bin/sh\nexec {sys.executable} -m kiln "$@"\n')
    (tools / "kiln").chmod(0o755)
    (folder / "share").mkdir()
    homes = {}
    for name in ("ci", "ada", "ben", "web"):
        homes[name] = Home(str(folder / name), mirrors)
    for name, part in (("ci", "store"), ("ci", "config/kiln/keys"), ("ben", "store")):
        homes[name].run(["cp", "-a", f"{shell_home}/{part}", f"{homes[name].folder}/{part}"]).expect()
    key, other = (homes[name].kiln("key", "show", "-q").expect().lines[0] for name in ("ci", "ben"))
    (folder / "share" / "kiln-cache").mkdir()
    os.symlink(folder / "share" / "kiln-cache", os.path.join(homes["web"].work, "kiln-cache"))
    extra = {"TOOLS": str(tools), "SHARE": str(folder / "share"), "WEB": homes["web"].work, "CI_KEY": key, **bucket}
    extra["BEN_KEY"] = other
    made = {name: Machine(home, extra) for name, home in homes.items()}
    yield made
    for machine in made.values():
        machine.close()


@pytest.mark.timeout(PATIENCE * 3)
def test_the_tutorial(machines: dict[str, Machine]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    ports = {port: free_port() for port in PORTS}
    for port, free in ports.items():
        page = page.replace(port, str(free))
    done, waiting = 0, iter(ports.values())
    for block in blocks(page):
        if block.kind != "console":
            for machine in machines.values():
                machine.home.write(block.name, block.text)
            continue
        for command in commands(block):
            done += 1
            machine = machines[command.machine]
            if block.name == "background":
                machine.background(command.text)
                wait_for(next(waiting))
                continue
            code, printed = machine.run(command.text)
            shown = "\n".join(printed)
            assert code == 0, f"line {command.line}: {command.text}\nended with {code}:\n{shown}"
            assert (lacking := told(command.expected, printed)) is None, (
                f"line {command.line}: {command.text}\nexpected {lacking!r} in\n{shown}"
            )
    assert done >= 20
