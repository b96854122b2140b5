"""Pushing while others collect and thin out: what lies there counts as reused, and nothing that is named is lost."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from kiln.store import failpoint
from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.errors import Conflict
from kiln.store.cache.head import head_path
from kiln.store.cache.sweep import Retention, retain, sweep
from kiln.store.store import Store
from tests.cache.cache_samples import (
    ME,
    NOW,
    files_of,
    identity,
    made,
    push_all,
    push_targets,
    random_file,
    show,
    upstream,
)

BIG = 5 << 20
DAYS = 2 * 86400
STEPS = ["push:content", "push:segment", "push:head"]


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pushed is pushed at one time: so a segment that is made again has its name again."""
    monkeypatch.setattr("kiln.store.cache.push.time", SimpleNamespace(time=lambda: NOW, monotonic=time.monotonic))


class Died(Exception):
    pass


def at_step(step: str, work) -> None:
    """Do something once, when a push comes to a step."""

    def reached(name: str) -> None:
        if name == step:
            failpoint.armed = None
            work()

    failpoint.armed = reached


def die() -> None:
    raise Died


def grow_old(backend: Backend) -> None:
    then = time.time() - DAYS
    for path in files_of(backend):
        os.utime(f"{backend.url}/{path}", (then, then))


def killed_push(store: Store, backend: Backend, step: str) -> set[str]:
    """A push that ended before its head, long ago; what it left."""
    at_step(step, die)
    with pytest.raises(Died):
        push_all(store, backend)
    grow_old(backend)
    left = {path for path in files_of(backend) if path[:2] in ("c/", "p/", "x/")}
    assert left and head_path(ME.public_key.keyid) not in files_of(backend)
    return left


@pytest.mark.parametrize("step", STEPS)
def test_a_collection_beside_a_push_that_goes_on_takes_nothing_it_names(
    store: Store, place: str, folder: Backend, step: str
) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    left = killed_push(store, folder, "push:segment")
    assert {path[0] for path in left} == {"c", "p", "x"}
    swept = []
    at_step(step, lambda: swept.append(sweep(folder)))
    pushed = push_all(store, folder)
    assert len(swept) == 1 and pushed.objects == 1
    show(folder).check(info.id)
    sweep(folder)
    show(folder).check(info.id)


@pytest.mark.parametrize("kind", ["c", "p", "x"])
@pytest.mark.parametrize("step", STEPS)
def test_what_is_lost_although_it_was_there_is_sent_again(
    store: Store, place: str, folder: Backend, step: str, kind: str
) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    left = killed_push(store, folder, "push:segment")
    lost = [path for path in left if path[0] == kind]
    at_step(step, lambda: [folder.delete(path) for path in lost])
    push_all(store, folder)
    assert set(lost) <= files_of(folder).keys()
    show(folder).check(info.id)
    assert push_all(store, folder).nothing


def test_what_lies_there_is_neither_sent_again_nor_counted(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    killed_push(store, folder, "push:segment")
    pushed = push_all(store, folder)
    assert (pushed.objects, pushed.files, pushed.sent) == (1, 0, 0)


def test_a_dry_run_makes_nothing_look_new(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", random_file(BIG))
    killed_push(store, folder, "push:content")
    push_all(store, folder, dry_run=True)
    assert all((entry.mtime or 0) < time.time() - DAYS / 2 for entry in folder.listing("c/"))


def test_a_collector_leaves_what_was_found_by_an_uploader_meanwhile(folder: Backend) -> None:
    path = "p/aa/" + "a" * 64
    folder.put(path, b"pack")
    grow_old(folder)
    plain = folder.delete

    def delete(name: str, *, before: float | None = None) -> bool:
        assert folder.reuse_many([name]) == {name}
        return plain(name, before=before)

    folder.delete = delete  # type: ignore[method-assign]
    sweep(folder)
    assert folder.exists_many([path]) == {path}


def test_what_others_made_is_written_again_when_it_is_old(folder: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.put("p/aa/old", b"pack")
    grow_old(folder)
    folder.put("p/aa/new", b"pack")

    def denied(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("kiln.store.cache.folderbackend.os.utime", denied)
    assert folder.reuse_many(["p/aa/old", "p/aa/new"]) == {"p/aa/new"}
    assert folder.put_many([("p/aa/old", b"pack"), ("p/aa/new", b"pack")]) == {"p/aa/new"}
    assert all((entry.mtime or 0) > time.time() - DAYS / 2 for entry in folder.listing("p/"))


def test_retention_by_the_same_key_while_it_pushes_leaves_no_hole(store: Store, place: str, folder: Backend) -> None:
    base = made(store, place, "base", b"base")
    old = made(store, place, "old", b"old", [base])
    push_targets(store, folder, [old])
    new = made(store, place, "new", b"new", [base])
    nothing = Retention(targets=frozenset())
    dropped = []
    at_step("push:content", lambda: dropped.extend(retain(upstream(folder), identity(), nothing).dropped))
    push_targets(store, folder, [new])
    assert dropped == [(old.id, "old")]
    assert show(folder).table(rows.OBJECTS).keys() == {base.id, new.id}
    for info in (base, new):
        show(folder).check(info.id)


def test_a_push_by_the_same_key_while_it_thins_out_keeps_what_it_counts_on(
    store: Store, place: str, folder: Backend
) -> None:
    base = made(store, place, "base", b"base")
    old = made(store, place, "old", b"old", [base])
    push_targets(store, folder, [old])
    new = made(store, place, "new", b"new", [base])
    at_step("retain:segment", lambda: push_targets(store, folder, [new]))
    done = retain(upstream(folder), identity(), Retention(targets=frozenset([new.id])))
    assert done.dropped == [(old.id, "old")]
    assert show(folder).table(rows.OBJECTS).keys() == {base.id, new.id}


def test_a_key_that_is_thinned_out_all_the_time_is_told(store: Store, place: str, folder: Backend) -> None:
    base = made(store, place, "base", b"base")
    nothing = Retention(targets=frozenset())

    def again(name: str) -> None:
        if name == "push:content":
            failpoint.armed = None
            retain(upstream(folder), identity(), nothing)
            push_targets(store, folder, [made(store, place, f"more-{time.monotonic_ns()}", b"x", [base])])
            failpoint.armed = again

    push_targets(store, folder, [made(store, place, "old", b"old", [base])])
    failpoint.armed = again
    with pytest.raises(Conflict, match="changed the same tables") as caught:
        push_targets(store, folder, [made(store, place, "new", b"new", [base])])
    assert caught.value.help
