"""Builds where Kiln itself runs in somebody's container; and where there can be none, what is said of it.

A container is made of what it consists of: a user namespace in which its user is root and no other user exists, and
mounts of its own.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs_namespaces

MADE = """\
import "std/c" as c;

pub type Made = c.Package({}, {}, { out: File });

pub let default: Made = c.package({
  name = "made", version = "1", tc = c.shell, deps = {}, opts = {}, outputs = { out = File },
  script = fn(b) => sh\"""
    { id -u; id -g; hostname; } > %{b.out}
    \""",
});
"""


@pytest.fixture
def contained(ordinary):
    """A user inside such a container; call it with what is done to the container before."""
    ordinary.write("main.kiln", MADE)
    before = ordinary.prefix

    def contain(script=":"):
        entered = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
        ordinary.prefix = (*before, *entered, "sh", "-euc", f'{script}; exec "$@"', "contained")
        return ordinary

    return contain


def test_a_container_whose_root_is_an_ordinary_user(contained):
    home = contained()
    path = home.kiln("realise", "main.kiln").expect().lines[0]
    with open(path) as file:
        assert file.read().split() == ["1000", "100", "localhost"]
    assert "✔ sandbox" in home.kiln("doctor").expect().out


def test_outside_and_inside_make_the_same(contained, ordinary):
    outside = ordinary.kiln("realise", "main.kiln").expect().lines
    home = contained()
    assert home.kiln("realise", "main.kiln").expect().lines == outside
    home.kiln("reproduce", "main.kiln").expect()


REFUSALS = {
    "no user namespaces": (
        "echo 0 > /proc/sys/user/max_user_namespaces",
        "user.max_user_namespaces is 0",
        "sysctl -w user.max_user_namespaces=15000",
    ),
    "a masked proc": (
        "mount --bind /dev/null /proc/uptime",
        "something is mounted over /proc/uptime, as in a container",
        "start the container with --security-opt systempaths=unconfined",
    ),
}


@pytest.mark.parametrize(("script", "found", "remedy"), REFUSALS.values(), ids=REFUSALS)
def test_where_there_can_be_no_sandbox_the_switch_is_named(contained, script, found, remedy):
    home = contained(script)
    done = home.kiln("realise", "main.kiln").expect(10)
    assert "error[K0801]: this machine refuses the namespaces that a sandbox needs" in done.err
    assert found in done.err and f"help: {remedy}" in done.err
    assert done.out == ""
    doctor = home.kiln("doctor").expect(10)
    assert found in doctor.out and remedy in doctor.out
