"""What one machine is and another is not must not change a byte: a probe writes down all that it sees, twice.

The second machine is made of what an ordinary user can change about this one: host name, the clocks since
the start, the kernel's release (as old programs are shown it), how many processors there are and how many a process
may use, limits, priority, environment, places, and how many builds run at once. Another /proc can't be had: where a
part of it is covered the kernel mounts no new one (test_containers), and of the new one no sandbox shows more than
fixed text (tests/sandbox/golden/probe.txt).
"""

from __future__ import annotations

import os

import pytest

from tests.support.home import REPOSITORY

pytestmark = pytest.mark.needs_namespaces

BUILD = """\
import "std/c" as c;

pub type Made = c.Package({ probe: Out(Tree) }, {}, { out: File });

pub let default: Made = c.package({
  name = "probe", version = "1", tc = c.shell, deps = { probe = source(`./`, include = ["probe.sh"]) }, opts = {},
  outputs = { out = File },
  script = fn(b) => sh\"""
    sh %{b.deps.probe}/probe.sh > %{b.out}
    {
      cat /proc/cpuinfo /proc/meminfo /proc/stat /proc/sys/kernel/random/boot_id
      nproc; echo $KILN_JOBS
      ls -A / /dev /etc /proc/sys; hostname; dnsdomainname; cut -d. -f1 /proc/uptime; uname -a; id; ulimit -a
      stat -c '%n %a %u %g %h' /build /tmp /kiln/store/*; date -r %{b.deps.probe}/probe.sh +%s; tty || true
    } >> %{b.out}
    \""",
});
"""
OTHER = (
    "mount --bind ../online /sys/devices/system/cpu/online; test $(getconf _NPROCESSORS_ONLN) = 64; "
    "hostname other-machine; ulimit -Sn 300; ulimit -Ss 4096; "
    'ulimit -c unlimited || true; umask 077; cd /; exec nice -n 5 setarch --uname-2.6 taskset -c 0 "$@"'
)


def realise(home, *options):
    """The store path that comes out, which says what every byte is."""
    done = home.kiln("realise", os.path.join(home.work, "main.kiln"), "--no-link", *options, "--json").expect()
    return done.document["data"]["results"][0]


def test_another_machine(ordinary):
    home = ordinary
    home.write("main.kiln", BUILD)
    with open(os.path.join(REPOSITORY, "tests/sandbox/probe.sh")) as file:
        home.write("probe.sh", file.read())
    here = realise(home, "-j", "1")
    home.write("../online", "0-63\n")
    before = home.prefix
    apart = ("--user", "--map-root-user", "--mount", "--uts", "--time", "--boottime=99999999", "--monotonic=99999")
    home.prefix = (*before, "unshare", *apart, "--fork", "sh", "-euc", OTHER, "other")
    home.store = os.path.join(home.folder, "tmp", "on-a-longer-path", "store")
    os.makedirs(os.path.dirname(home.store))
    if os.geteuid() == 0:
        os.chown(os.path.dirname(home.store), 65534, 65534)
    home.extra |= {
        "LANG": "de_DE.UTF-8",
        "TZ": "Asia/Tokyo",
        "USER": "somebody",
        "MAKEFLAGS": "-j99",
        "CFLAGS": "-O0",
    }
    there = realise(home)
    assert os.path.realpath(there["physical"]) != os.path.realpath(here["physical"])
    with open(here["physical"]) as one, open(there["physical"]) as other:
        assert other.read() == one.read()
    assert there["path"] == here["path"] and there["object"] == here["object"]
