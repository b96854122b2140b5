"""Two users with a folder between them that nobody trusts: realise, pull, verify and reproduce on the far side."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.home import Home, target


def key_of(home: Home) -> str:
    return next(word for word in home.kiln("key", "show").expect().out.split() if word.startswith("ed25519:"))


@pytest.fixture
def shared(first: Home, tmp_path) -> str:
    """A cache with lua and busybox, pushed by who built them."""
    folder = str(tmp_path / "team")
    first.kiln("cache", "push", target("lua"), target("busybox"), "--to", folder).expect()
    return folder


@pytest.fixture
def reader(first: Home, mirrors, shared: str, tmp_path) -> Home:
    """Another user, who trusts the builder's key in that cache."""
    home = Home(str(tmp_path / "reader"), mirrors)
    home.kiln("cache", "use", shared, "--yes", "--key", key_of(first)).expect()
    return home


def test_nothing_is_built_and_it_is_known_where_it_came_from(reader: Home, shared: str) -> None:
    planned = reader.kiln("realise", target("lua"), "--dry-run").expect()
    assert planned.lines == ["take    lua-5.4.4"]
    done = reader.kiln("realise", target("lua"), "--no-link", "--progress", "json").expect()
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    [finished] = [event for event in events if event["event"] == "StepFinished"]
    assert (finished["verdict"], finished["source"], finished["kind"]) == ("cached", "team", "take")
    assert os.path.exists(os.path.join(done.lines[0], "bin/lua"))
    shown = reader.kiln("--json", "show", target("lua")).expect().document["data"]["targets"][0]
    assert shown["taken from"] == f"team ({shared})"
    again = reader.kiln("realise", target("lua"), "--no-link").expect()
    assert again.lines == done.lines and "cached" not in again.err


def test_the_verdict_names_the_cache(reader: Home) -> None:
    done = reader.kiln("realise", target("busybox"), "--no-link", "--progress", "plain").expect()
    [line] = [line for line in done.err.splitlines() if line.split()[2:4] == ["cached", "team"]]
    assert line.startswith("✔ busybox")


def test_without_caches_nothing_is_taken(reader: Home) -> None:
    for option in ("--no-cache", "--offline"):
        planned = reader.kiln("realise", target("lua"), "--dry-run", option).expect()
        assert "take    lua-5.4.4" not in planned.lines and "build   lua-5.4.4" in planned.lines


def test_pull_brings_what_verify_and_reproduce_need(reader: Home) -> None:
    reader.kiln("realise", target("busybox"), "--no-link").expect()
    early = reader.kiln("verify", target("busybox"))
    assert early.code != 0 and "kiln cache pull" in early.err
    pulled = reader.kiln("--json", "cache", "pull", target("busybox")).expect().document["data"]
    assert pulled["envelopes"] > 0 and pulled["missing"] == [] and pulled["taken"] == 0
    reader.kiln("verify", target("busybox")).expect()
    done = reader.kiln("reproduce", target("busybox")).expect()
    assert done.lines[0].startswith("MATCH ")


def test_pull_makes_nothing(reader: Home) -> None:
    done = reader.kiln("cache", "pull", target("zlib")).expect(9)
    assert "K0679" in done.err and "zlib" in done.err
    assert (
        not os.path.isdir(os.path.join(reader.store, "logs")) or os.listdir(os.path.join(reader.store, "logs")) == []
    )
    alone = reader.kiln("cache", "pull", target("lua"), "--no-evidence").expect()
    assert "0 envelopes" not in alone.err and "1 taken" in alone.err


def test_who_trusts_nobody_takes_nothing(mirrors, shared: str, tmp_path) -> None:
    home = Home(str(tmp_path / "stranger"), mirrors, extra={"KILN_CACHES": f"team {shared}"})
    planned = home.kiln("realise", target("lua"), "--dry-run").expect()
    assert "take    lua-5.4.4" not in planned.lines
    done = home.kiln("cache", "pull", target("lua"), "--from", shared).expect(9)
    assert "K0679" in done.err
