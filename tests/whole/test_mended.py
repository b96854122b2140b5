"""`kiln store repair` with nothing of an object left on this machine: from a cache, or by building again."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.trace import traced

pytestmark = pytest.mark.needs_namespaces

FILES = """\
import "std/c" as c;

pub type Made = c.Package({ below: List(Out(File)) }, { script: Text }, { out: File });

fn made(name: Str, script: Text, below: List(Out(File)) = []) -> Made = c.package({
  name = name, version = "1", tc = c.shell, deps = { below }, opts = { script }, outputs = { out = File },
  script = fn(b) => sh\"""
    : %{["%{file}" for file in b.deps.below]}
    %{raw(b.opts.script)} > %{b.out}
    \""",
});

let lower: Made = made("lower", "echo lower");
pub let default: Made = made("upper", "echo upper %{lower.out}", below = [lower.out]);
pub let changing: Made = made("changing", "head -c 8 /dev/urandom");
"""


@pytest.fixture
def realised(builder):
    """What was built, both referring to each other, and where the lower one lies."""
    builder.write("main.kiln", FILES)
    builder.kiln("realise", "main.kiln").expect()
    return builder


def object_of(home, name: str) -> str:
    (line,) = [line for line in home.kiln("store", "ls").expect().lines if line.split()[0].endswith(f"-{name}-1")]
    return os.path.join(home.store, "store", os.path.basename(line.split()[0]))


def damage(path: str) -> None:
    os.chmod(path, 0o644)
    with open(path, "w", encoding="ascii") as file:
        file.write("damaged")


def check_whole(home, path: str) -> None:
    with open(path, encoding="ascii") as file:
        assert file.read() == "lower\n"
    home.kiln("store", "verify").expect()
    assert traced(home, "main.kiln")[0] == {}, "nothing has to be made again"


def test_by_building_again(realised):
    path = object_of(realised, "lower")
    damage(path)
    done = realised.kiln("store", "repair", "--json").expect()
    data = json.loads(done.out)["data"]
    assert data["lost"] == [] and len(data["mended"]) == 1
    check_whole(realised, path)


def test_from_a_cache_without_building(realised):
    realised.kiln("cache", "push", "main.kiln", "--to", "./cache", "--name", "team").expect()
    realised.kiln("cache", "use", "./cache", "--yes").expect()
    path = object_of(realised, "lower")
    damage(path)
    done = realised.kiln("store", "repair", "--no-rebuild").expect()
    assert "lower-1: from the cache team" in done.err and "building" not in done.err
    assert [line.split()[0] for line in done.lines] == ["mended"]
    check_whole(realised, path)


def test_what_nobody_can_give_is_taken_out(realised):
    damage(object_of(realised, "lower"))
    done = realised.kiln("store", "repair", "--offline", "--no-rebuild").expect(5)
    assert sorted(line.split()[0] for line in done.lines) == ["lost", "useless"]
    realised.kiln("store", "verify").expect()
    steps, _ = traced(realised, "main.kiln")
    assert steps == {"lower-1": "built", "upper-1": "built"}


def test_what_comes_out_otherwise_is_lost_and_said_so(builder):
    builder.write("main.kiln", FILES)
    builder.kiln("realise", "main.kiln#changing").expect()
    damage(object_of(builder, "changing"))
    done = builder.kiln("store", "repair").expect(5)
    assert [line.split()[0] for line in done.lines] == ["lost"]
    assert "changing-1 was built again, and is another" in done.err
