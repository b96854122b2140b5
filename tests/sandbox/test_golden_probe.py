"""One golden file of all that a builder sees: the same when root builds and when an ordinary user does.

KILN_UPDATE_GOLDEN=1 writes it anew; the change is reviewed as a diff, and raises the sandbox's epoch.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

import pytest
from sandbox_room import BUILD_ID, Room, busybox, path_of

import kiln
from kiln.interpreter.sandbox.helper import Launcher

pytestmark = pytest.mark.needs_namespaces

HERE = os.path.dirname(__file__)
GOLDEN = os.path.join(HERE, "golden", "probe.txt")
USER, GROUP, OTHER_GROUPS = 30018, 30019, [30020, 30021]


def probe(folder: str, owner: int | None, launcher: Launcher) -> str:
    """What the probe prints in a room of its own below `folder`."""
    room = Room(folder, owner, launcher)
    shell = room.add_busybox()
    tree = room.add_tree("a-tree-input", {"file": b"1", "folder/executable": b"2"})
    room.add_file("a-file-input", b"3", mode=0o444)
    room.add_symlink("a-symlink-input", f"{tree}/file")
    with open(os.path.join(HERE, "probe.sh")) as file:
        script = file.read()
    link = (("/bin/sh", f"{shell}/bin/busybox"),)
    ran = room.run("/bin/sh", "-c", script, links=link, env=(("KILN_TEST", "1"),))
    assert ran.result.status == "ok", ran
    assert all(ran.result.enforced.values()) and ran.result.degraded == ()
    return ran.text.replace(path_of("busybox").hash, "<busybox>").lstrip("\n")


def probe_as_user(folder: str) -> str:
    """The same, of a process that is no root, has no capability, and is in other groups too."""
    os.chown(folder, USER, GROUP)
    busybox()
    source = _copy_source(folder)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(OTHER_GROUPS)
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(USER, USER, USER)
            with Launcher(_any_python(), source) as launcher:
                text = probe(os.path.join(folder, "room"), None, launcher)
            with os.fdopen(writing, "w") as file:
                file.write(text)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error} {getattr(error, 'found', '')}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


@pytest.fixture
def open_folder():
    """A folder that others may enter: pytest's own belong to the user alone."""
    folder = tempfile.mkdtemp(prefix="kiln-probe-")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_world_inside_is_the_golden_one(tmp_path):
    tmp_path.chmod(0o700)
    with Launcher() as launcher:
        found = probe(str(tmp_path / "room"), BUILD_ID if os.geteuid() == 0 else None, launcher)
    if os.environ.get("KILN_UPDATE_GOLDEN"):
        with open(GOLDEN, "w") as file:
            file.write(found)
    with open(GOLDEN) as file:
        assert found == file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is what this run is")
def test_an_ordinary_user_sees_the_same_world(open_folder):
    found = probe_as_user(open_folder)
    with open(GOLDEN) as file:
        assert found == file.read()


def _any_python() -> str:
    """A Python that this user may execute: root's own may lie below its home."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(python, os.X_OK):
            return python
    raise AssertionError("no Python here that an ordinary user can execute; install python3 for all users")


def _copy_source(folder: str) -> str:
    """A copy of what the launcher imports, as another user may not be able to read this one."""
    package = next(iter(kiln.__path__))
    copy = os.path.join(folder, "source")
    for inner in ("", "interpreter"):
        os.makedirs(os.path.join(copy, "kiln", inner), exist_ok=True)
        shutil.copy(os.path.join(package, inner, "__init__.py"), os.path.join(copy, "kiln", inner))
    sandbox = os.path.join("kiln", "interpreter", "sandbox")
    shutil.copytree(os.path.join(package, "interpreter", "sandbox"), os.path.join(copy, sandbox))
    return copy
