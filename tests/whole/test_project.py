"""From `kiln init` to a program that runs, in a store that has the tools."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.home import Home, target


@pytest.fixture
def project(first, tmp_path):
    """A new project of the user who has everything."""
    folder = str(tmp_path / "project")
    first.kiln("init", folder).expect()
    return first, folder


def test_the_c_program_runs(project):
    user, folder = project
    done = user.kiln("run", "main.kiln#hello", cwd=folder).expect()
    assert done.out == "Hello from version 1.0\n"


def test_its_own_tests_and_types_hold(project):
    user, folder = project
    user.kiln("check", cwd=folder).expect()
    types = user.kiln("eval", "main.kiln", "--type", "--json", cwd=folder).expect().document["data"]["types"]
    assert types["default"] == "Out(File)"


def test_an_override_on_the_way_rebuilds(project):
    user, folder = project
    with open(os.path.join(folder, "main.kiln"), "a", encoding="utf-8") as file:
        file.write('\npub let later: Hello = hello with { version = "2.0" };\n')
    assert user.kiln("run", "main.kiln#later", cwd=folder).expect().out == "Hello from version 2.0\n"
    assert user.kiln("run", "main.kiln#hello", cwd=folder).expect().out == "Hello from version 1.0\n"


PROGRAMS = {
    "lua": (("--program", "lua"), ("-e", "print(_VERSION, 6 * 7)"), "Lua 5.4\t42\n"),
    "sqlite": ((), (":memory:", "select 6 * 7"), "42\n"),
    "hello": ((), ("--greeting=built by Kiln",), "built by Kiln\n"),
}


@pytest.mark.parametrize(("name", "options", "args", "printed"), [(name, *rest) for name, rest in PROGRAMS.items()])
def test_what_was_built_runs(first, name, options, args, printed):
    assert first.kiln("run", *options, target(name), "--", *args).expect().out == printed


def test_what_was_built_runs_as_an_ordinary_user(second):
    assert second.kiln("run", target("hello"), "--", "--greeting=hi").expect().out == "hi\n"


def test_it_needs_no_store_path_on_the_host(first):
    """Static programs: the physical path is enough."""
    lua = first.kiln("realise", target("lua"), "--no-link").expect().lines[0]
    done = Home.run(first, [f"{lua}/bin/lua", "-v"]).expect()
    assert done.out.startswith("Lua 5.4.4")


def test_the_user_s_folder_may_be_full_of_other_things(project):
    """What `source(…)` takes decides, and an untracked file elsewhere changes nothing."""
    user, folder = project
    before = user.kiln("realise", "main.kiln#hello", "--no-link", "--json", cwd=folder).expect().document
    with open(os.path.join(folder, "notes.txt"), "w", encoding="utf-8") as file:
        file.write("mine")
    after = user.kiln("realise", "main.kiln#hello", "--no-link", "--json", cwd=folder).expect().document
    assert json.dumps(before) == json.dumps(after)
