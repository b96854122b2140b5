"""Two stores, two users, and a web server between them that nobody trusts: the examples come across signed.

The reader is another user id where root runs the tests. Nothing is built on the far side; `kiln verify` accepts the
closure, and `kiln reproduce` builds again what came, and says MATCH.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.home import PACKAGES, Home, target
from tests.support.lyingserver import LyingServer

TOPS = ("app", "sqlite", "hello", "lua")
"""Between them the examples' whole graph."""


def test_the_examples_come_across(first: Home, ordinary: Home, tmp_path) -> None:
    folder = str(tmp_path / "team")
    first.kiln("cache", "push", *map(target, PACKAGES), "--to", folder, "--name", "team").expect()
    key = first.kiln("key", "show").expect().out.split()[0]
    reader = ordinary
    with LyingServer(folder) as server:
        reader.extra["no_proxy"] = "127.0.0.1"
        reader.kiln("cache", "use", server.url, "--yes", "--key", key).expect()
        done = reader.kiln("realise", *map(target, TOPS), "--no-link", "--progress", "json").expect()
        events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
        finished = {event["name"]: event for event in events if event["event"] == "StepFinished"}
        assert finished and {(item["verdict"], item["source"]) for item in finished.values()} == {("cached", "team")}
        pulled = reader.kiln("--json", "cache", "pull", *map(target, TOPS)).expect().document["data"]
        assert pulled["missing"] == [] and pulled["taken"] == 0
    logs = Path(reader.store, "logs")
    assert not logs.is_dir() or not os.listdir(logs), "nothing was built here"
    for name in TOPS:
        reader.kiln("verify", target(name)).expect()
        ours, theirs = (home.kiln("realise", target(name), "--no-link").expect().lines for home in (reader, first))
        assert [os.path.basename(line) for line in ours] == [os.path.basename(line) for line in theirs]
    assert reader.kiln("reproduce", target("lua")).expect().lines[0].startswith("MATCH ")
