"""A place that lists files without an end is given up, and nothing is removed from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from kiln.store.cache import sweep
from kiln.store.cache.backend import Backend, Entry, open_backend


class Endless:
    """A backend whose listing never ends; what else is asked of it is an error."""

    name, url = "team", "memory://endless"

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        return (Entry(f"{prefix}{number}", 1, 0.0) for number in itertools.count())


@pytest.mark.parametrize("prefix", ["heads/", "c/", "p/", "x/"])
def test_a_listing_without_an_end(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setattr(sweep, "MAX_LISTED", 1000)
    listed = sweep.listed(Endless(), prefix)  # type: ignore[arg-type]
    with pytest.raises(sweep.Uncollectable, match="the cache team lists files without an end") as caught:
        for _ in listed:
            pass
    assert caught.value.found == f"more than 1000 below {prefix}"


@pytest.mark.parametrize("kind", ["folder", "fsspec"])
def test_more_files_than_may_be_are_not_collected(monkeypatch: pytest.MonkeyPatch, tmp_path, kind: str) -> None:
    (tmp_path / "c" / "00").mkdir(parents=True)
    for number in range(9):
        (tmp_path / "c" / "00" / f"{number}").write_bytes(b"")
    backend: Backend = open_backend(str(tmp_path) if kind == "folder" else f"local://{tmp_path}", name="team")
    assert len(list(sweep.listed(backend, "c/"))) == 9
    monkeypatch.setattr(sweep, "MAX_LISTED", 8)
    with pytest.raises(sweep.Uncollectable, match="without an end"):
        list(sweep.listed(backend, "c/"))
    assert len(list((tmp_path / "c" / "00").iterdir())) == 9
    backend.close()
