"""A source that cannot be used: the message names which of its files it is about, and what of it."""

from __future__ import annotations

import os
import socket

import pytest

BUILD = """\
pub let all: Out(Tree) = source(`./src`);
pub let some: Out(Tree) = source(`./src`, include = ["*.c"]);
pub let chosen: Out(Tree) = source(`./src`, gitignore = true);
pub let without: Out(Tree) = source(`./src`, include = ["*.c"], exclude = ["/inner"]);
"""


def project(home):
    """A source of one file and one folder."""
    home.write("main.kiln", BUILD)
    home.write("src/a.c", "int a;\n")
    home.write("src/inner/b.c", "int b;\n")
    return os.path.join(home.work, "src")


def refused(home, name):
    done = home.kiln("realise", f"main.kiln#{name}", "--no-link").expect(3)
    assert done.out == "" and "error[K0410]: the source `" in done.err
    return done.err


@pytest.mark.parametrize("name", ["all", "some", "chosen"])
def test_a_folder_that_may_not_be_read(ordinary, name):
    """What may be wanted of it nobody knows: it is never passed over."""
    src = project(ordinary)
    os.chmod(f"{src}/inner", 0)
    said = refused(ordinary, name)
    assert "ermission denied" in said and "inner" in said and "exclude" in said
    assert ordinary.kiln("realise", "main.kiln#without", "--no-link").expect().lines
    os.chmod(f"{src}/inner", 0o755)


def test_a_file_that_may_not_be_read(ordinary):
    src = project(ordinary)
    os.chown(f"{src}/a.c", os.geteuid(), -1)
    os.chmod(f"{src}/a.c", 0)
    said = refused(ordinary, "all")
    assert "found Permission denied: 'a.c' in '" in said


def test_a_socket_and_a_fifo(home):
    src = project(home)
    os.mkfifo(f"{src}/inner/pipe")
    said = refused(home, "all")
    assert "an object cannot hold a fifo" in said and "  found 'inner/pipe'" in said
    os.unlink(f"{src}/inner/pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(src)  # an address holds 107 bytes
        bound.bind("plug")
    said = refused(home, "all")
    assert "an object cannot hold a socket" in said and "  found 'plug'" in said
    assert "help: remove it; from a source, `exclude` leaves it out" in said


def test_a_file_that_changes_while_it_is_read(home):
    src = project(home)
    change = (
        "import os, sys; from kiln.store import failpoint; from kiln.__main__ import run\n"
        f"failpoint.armed = lambda name: name == 'ingest:file-copied' and os.utime({src + '/a.c'!r}, (1, 1))\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    done = home.run([*home.python, "-c", change, "realise", "main.kiln#all", "--no-link"]).expect(3)
    assert "a source changed while it was being read" in done.err and "  found 'a.c'" in done.err
    assert "help: stop what writes it" in done.err


def test_an_ignore_file_that_would_wait(home):
    src = project(home)
    os.mkfifo(f"{src}/inner/.gitignore")
    said = refused(home, "chosen")
    assert "an ignore file is no regular file" in said and "inner/.gitignore" in said
