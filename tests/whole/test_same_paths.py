"""Two users, two places, one and two jobs: the same paths, today and on any other day and machine."""

from __future__ import annotations

import os

import pytest

from tests.support.home import PACKAGES, target

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "store-paths.txt")


def paths_of(home):
    """NAME.OUTPUT and the store path of each package."""
    document = home.kiln("realise", *map(target, PACKAGES), "--no-link", "--json").expect().document
    return {f"{row['target']} {row['output']}": row["path"] for row in document["data"]["results"]}


def test_two_users_on_two_paths_get_the_same(first, second):
    mine, theirs = paths_of(first), paths_of(second)
    assert mine == theirs
    assert first.objects != second.objects
    if os.geteuid() == 0:
        assert os.stat(first.objects).st_uid != os.stat(second.objects).st_uid


def test_paths_are_those_of_other_days_and_machines(first):
    found = "".join(f"{name} {path}\n" for name, path in sorted(paths_of(first).items()))
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.write(found)
    with open(GOLDEN, encoding="utf-8") as file:
        assert found == file.read()


def test_every_byte_is_equal(first, second):
    """Not the names alone: each object is read and hashed again, in both stores."""
    for home in (first, second):
        done = home.kiln("doctor", "--contents").expect()
        assert "✔ store" in done.out


@pytest.mark.parametrize("package", PACKAGES)
def test_reproduce_says_match(first, second, package, tmp_path):
    """What one user built, from his envelopes alone, by the other, who trusts his key and has the files."""
    closure = tmp_path / "closure.jsonl"
    closure.write_text(second.kiln("show", target(package), "--provenance", "--closure").expect().out)
    key = second.kiln("key", "show").expect().out.strip()
    done = first.kiln("reproduce", str(closure), "--key", key, "-j", "2", "--progress", "none").expect()
    assert done.lines and {line.partition(" ")[0] for line in done.lines} == {"MATCH"}
