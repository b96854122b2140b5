"""Pushing: statements about commits, how often a cache is asked, and what --watch does."""

from __future__ import annotations

import signal
import subprocess

import pytest

from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.errors import CacheError
from kiln.store.cache.head import head_path
from kiln.store.cache.push import push
from kiln.store.cache.selection import select_all
from kiln.store.provenance.resolution import (
    Commit,
    Dirty,
    Resolution,
    SourceState,
    recipe_content,
    resolution_statement,
)
from kiln.store.provenance.statement import sign_statement
from kiln.store.standings import add_standing
from kiln.store.store import Store
from tests.cache.cache_samples import (
    ME,
    OTHER,
    files_of,
    identity,
    made,
    push_all,
    push_targets,
    random_file,
    record,
    show,
    upstream,
)
from tests.provenance.provenance_samples import build_facts
from tests.store.store_samples import add
from tests.support.home import Home

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def standing(store: Store, drv, source: SourceState) -> bytes:
    """Note what a derivation stands for; the envelope's digest."""
    recipe = build_facts().recipe
    said = Resolution(
        source=source,
        file="app.kiln",
        attribute="default",
        lock=None,
        unresolved=drv,
        resolved=recipe.digest,
        name="app",
        content=recipe_content(recipe),
        build=None,
        version="1",
        resolved_on=1_700_000_000,
    )
    envelope = store.put_envelope(sign_statement(resolution_statement(said), ME))
    add_standing(store.layout, drv, envelope)
    return bytes(envelope)


def test_statements_about_commits_go_and_those_about_changed_trees_stay(
    store: Store, place: str, folder: Backend
) -> None:
    info = add(store, place, "thing", b"x")
    drv = record(store, info).drv
    clean = standing(store, drv, Commit(COMMIT))
    dirty = standing(store, drv, Dirty(drv, COMMIT))
    push_all(store, folder)
    shown = show(folder)
    row = rows.decode_resolutions(drv, shown.rows[b"R" + drv])
    assert [bytes(item) for item in row.standings] == [clean]
    assert clean in shown.table(b"E") and dirty not in shown.table(b"E")
    assert shown.at(rows.decode_envelope(shown.table(b"E")[clean])).startswith(b'{"payload"')
    later = standing(store, drv, Commit(COMMIT[::-1]))
    assert push_all(store, folder).envelopes == 1
    row = rows.decode_resolutions(drv, show(folder).rows[b"R" + drv])
    assert {bytes(item) for item in row.standings} == {clean, later}


def test_a_push_asks_a_few_times_however_many_segments_and_objects_there_are(
    store: Store, place: str, folder: Backend
) -> None:
    infos = []
    for number in range(6):
        infos.append(made(store, place, f"thing-{number}", b"%d" % number))
        push_all(store, folder)
    assert len(show(folder).head.segments) == 6
    for number in range(6, 40):
        infos.append(made(store, place, f"thing-{number}", b"%d" % number))
    asked: list[str] = []
    for name in ("get", "get_many", "ranges", "exists_many"):
        plain = getattr(folder, name)

        def counted(*arguments, _plain=plain, _name=name, **options):
            asked.append(_name)
            return _plain(*arguments, **options)

        setattr(folder, name, counted)
    assert push_targets(store, folder, infos).objects == 34
    assert len(asked) <= 10, asked


def test_watching_pushes_what_is_built_until_it_is_interrupted(home: Home) -> None:
    both = (f'pub let {name}: Out(File) = write_file("{name}", "{name[:2]}");\n' for name in ("one", "two"))
    home.write("main.kiln", "".join(both))
    home.kiln("realise", "main.kiln#one", "--no-link").expect()
    words = ["cache", "push", "--watch", "--all", "--to", "./cache", "--name", "team"]
    watcher = home.start(*words, stderr=subprocess.PIPE)
    try:
        assert watcher.stderr is not None
        assert b"watching" in watcher.stderr.readline()
        assert b"1 object (2 B)" in watcher.stderr.readline()
        home.kiln("realise", "main.kiln#two", "--no-link").expect()
        assert b"1 object (2 B) with 1 envelope pushed" in watcher.stderr.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(60) == 130
    finally:
        watcher.kill()
        watcher.communicate()


def test_another_uploaders_damaged_tables_hinder_nobody(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    push_all(store, folder, OTHER)
    [segment] = [path for path in files_of(folder) if path.startswith("x/")]
    made(store, place, "mine", b"mine")
    for damage in ("changed", "gone"):
        if damage == "changed":
            folder.put(segment, bytes(files_of(folder)[segment]), replace=True)
        else:
            folder.delete(segment)
        pushed = push_all(store, folder, ME, trusted=[OTHER])
        show(folder).check(info.id)
        folder.delete(head_path(ME.public_key.keyid))
        assert pushed.objects == 2


def test_a_cache_that_lost_files_is_mended_by_a_push_anew(store: Store, place: str, folder: Backend) -> None:
    infos = [made(store, place, f"thing-{n}", {"big": random_file(2 << 20, n), "f": b"%d" % n}) for n in range(2)]
    push_all(store, folder)
    for path in files_of(folder):
        if path.startswith(("x/", "p/")):
            folder.delete(path)
    with pytest.raises(CacheError):
        push_all(store, folder)
    given = upstream(folder)
    given.begin_anew()
    pushed = push(store, given, identity(), select_all(store))
    assert (pushed.objects, pushed.version) == (2, 2)
    for info in infos:
        show(folder).check(info.id)
    assert push_all(store, folder).nothing


def test_a_large_index_is_several_segments(
    store: Store, place: str, folder: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiln.store.cache.segment.FULL", 4_000)
    infos = [made(store, place, f"thing-{n}", b"%d" % n) for n in range(12)]
    push_all(store, folder)
    assert len(show(folder).head.segments) > 2
    for info in infos:
        show(folder).check(info.id)
    assert push_all(store, folder).nothing
