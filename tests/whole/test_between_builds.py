"""What one build leaves behind is nothing that the next one of the same command could see."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs_namespaces

BUILDS = """\
import "std/c" as c;

pub type Made = c.Package({ first: Out(File) }, { script: Text }, { out: File });

fn made(name: Str, first: Out(File), script: Text) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = { first }, opts = { script }, outputs = { out = File },
  script = fn(b) => sh\"""
    test -f %{b.deps.first}
    stat -c '%a %F' /kiln/store > %{b.out}
    %{raw(b.opts.script)}
    cat %{b.out}
    \""",
});

let base: Out(File) = write_file("base", "x");
let shuts = made("shuts", base, "chmod 700 /kiln/store");
let locks = made("locks", shuts.out, "chmod 111 /kiln/store; chmod 0 /build");
pub let looks: Made = made("looks", locks.out, "true");
"""


def test_the_folder_of_the_store(ordinary):
    """It is lent to one build after another: each finds it as if it were new, and none is ended by its mode."""
    ordinary.write("main.kiln", BUILDS)
    done = ordinary.kiln("realise", "main.kiln#looks", "-j1", "--no-link").expect()
    with open(done.lines[0]) as file:
        assert file.read() == "755 directory\n"
