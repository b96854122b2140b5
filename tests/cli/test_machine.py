"""Exit code 10: what this machine, or this user, can't do; with what would have to change."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.processes import descendants

BUILD = """\
import "std/c" as c;

pub let text: Out(File) = write_file("text", "made without a sandbox");
pub let default: c.Package({}, {}, { out: File }) = c.package({
  name = "made", version = "1", tc = c.shell, deps = {}, opts = {}, outputs = { out = File },
  script = fn(b) => sh\"""echo text > %{b.out}\""",
});
"""
_NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'


@pytest.fixture
def refused(ordinary):
    """An ordinary user on a machine that lets nobody make user namespaces."""
    prefix = ("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", _NO_NAMESPACES, "sh")
    ordinary.prefix = (*ordinary.prefix, *prefix)
    ordinary.write("main.kiln", BUILD)
    return ordinary


def test_a_machine_without_namespaces(refused):
    done = refused.kiln("realise", "main.kiln").expect(10)
    assert "error[K0801]" in done.err and "max_user_namespaces" in done.err and "help:" in done.err
    assert done.out == ""
    assert not any(name.endswith("-made-1") for name in os.listdir(refused.objects))


def test_what_needs_no_sandbox_is_made_there(refused):
    assert refused.kiln("realise", "main.kiln#text").expect().out.endswith("-text\n")


def test_doctor_says_what_to_change(refused):
    done = refused.kiln("doctor").expect(10)
    assert "✘ max_user_namespaces" in done.out and "remedy: sysctl -w user.max_user_namespaces=" in done.out
    document = refused.kiln("doctor", "--json").expect(10).document
    assert [finding["blocking"] for finding in document["data"]["machine"]] == [True]


def test_another_user_s_store(ordinary):
    ordinary.write("main.kiln", BUILD)
    done = ordinary.kiln("realise", "main.kiln#text", "--store", "/").expect(10)
    assert "error[K0708]" in done.err


def test_a_folder_that_can_not_be_written(ordinary):
    ordinary.write("main.kiln", BUILD)
    os.chmod(ordinary.work, 0o555)
    done = ordinary.kiln("realise", "main.kiln#text").expect(10)
    assert "Permission denied" in done.err


def test_root_does_not_build_for_a_store_of_its_own(builder):
    """An ordinary user does: the store is his, and so are the builds."""
    builder.write("main.kiln", BUILD)
    store = os.path.join(builder.folder, "own")
    os.mkdir(store)
    done = builder.kiln("realise", "main.kiln", "--store", store)
    if os.geteuid() == 0:
        assert "error[K0806]" in done.expect(10).err
    else:
        done.expect()


def test_a_store_that_root_makes_is_not_root_s(home):
    home.write("main.kiln", BUILD)
    home.kiln("realise", "main.kiln#text").expect()
    owners = {os.lstat(os.path.join(place, name)).st_uid for place, _, names in os.walk(home.store) for name in names}
    assert owners == {30033 if os.geteuid() == 0 else os.geteuid()}


def test_every_command_ends_without_a_process_left(builder):
    builder.write("main.kiln", BUILD)
    entry = "import os, sys; from kiln.__main__ import run; code = run(sys.argv[1:]); sys.stdout.flush(); input()"
    import subprocess

    running = subprocess.Popen(
        [sys.executable, "-c", entry, "realise", "main.kiln"],
        cwd=builder.work,
        env=builder.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert b"-made-1" in running.stdout.readline()
    left = descendants(running.pid)
    running.communicate(b"\n")
    assert running.returncode == 0
    from tests.support.processes import wait_until_gone

    assert wait_until_gone(left) == set()
