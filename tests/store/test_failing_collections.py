"""A collection that fails on the way says why, and the next one finishes what it left."""

from __future__ import annotations

import errno
import os

import pytest
from store_samples import add

from kiln.store import failpoint
from kiln.store.collect import Policy
from kiln.store.errors import StoreError
from kiln.store.store import Store

COLLECT = [point for point in failpoint.POINTS if point.startswith("collect:")]


@pytest.mark.parametrize("point", COLLECT)
def test_failing_on_the_way(place: str, point: str) -> None:
    with Store.open(f"{place}/store") as store:
        kept = add(store, place, "kept", b"kept")
        store.add_root(f"{place}/result", kept.id)
        add(store, place, "dead", {"f": b"dead"})

    def fail(name: str) -> None:
        if name == point:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Store.open(f"{place}/store") as store:
        failpoint.armed = fail
        with pytest.raises(StoreError, match="the store's disk failed, while"):
            store.collect(Policy())
        failpoint.armed = None
        assert store.check(contents=True) == []
    with Store.open(f"{place}/store") as store:
        assert store.check(contents=True) == []
        store.collect(Policy())
        assert [info.name for info in store.all_objects()] == ["kept"]
        assert os.listdir(store.layout.store) == [kept.path.base]
        assert store.check(contents=True) == []
