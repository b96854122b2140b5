"""Pushing: all that is selected arrives whole, nothing is sent twice, what is cut short is finished by the next."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.card import decode_card
from kiln.store.cache.casing import CaseClash
from kiln.store.cache.errors import CacheError, CacheLied, Conflict
from kiln.store.cache.head import head_path
from kiln.store.cache.merging import MANY_SEGMENTS
from kiln.store.cache.objectrecord import Chunked, blobs_of
from kiln.store.cache.selection import NotShared, Wanted, select_all, select_targets
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged
from kiln.store.store import Store
from tests.cache.cache_samples import (
    ME,
    OTHER,
    envelope_of,
    files_of,
    made,
    push_all,
    push_targets,
    random_file,
    record,
    self_mentioning,
    show,
    upstream,
)
from tests.store.store_samples import Link, Script, add, run_python, start_python

BIG = 5 << 20


def test_a_target_goes_with_all_it_refers_to_and_all_that_is_said(store: Store, place: str, backend: Backend) -> None:
    source = add(store, place, "source", b"int main;")
    compiler = made(store, place, "compiler", {"cc": Script(b"#!cc")}, pins=[source])
    library = made(store, place, "library", b"lib", pins=[compiler])
    tool = made(
        store,
        place,
        "tool",
        {"bin": Link("lib"), "x": b"see " + str(library.path).encode()},
        [library],
        pins=[compiler, library],
    )
    unrelated = made(store, place, "unrelated", b"not wanted")
    pushed = push_targets(store, backend, [tool])
    assert (pushed.objects, pushed.there, pushed.version) == (2, 0, 1)
    shown = show(backend)
    assert shown.table(b"O").keys() == {tool.id, library.id}
    for info in (tool, library):
        shown.check(info.id)
        assert shown.record(info.id).meta == store.meta(info.id)
    assert len(shown.table(b"C")) == len(shown.table(b"R")) == 3  # the compiler's, too, though its bytes stayed
    envelopes = {bytes(blob_digest(envelope_of(info))): envelope_of(info) for info in (compiler, library, tool)}
    assert {name: shown.at(rows.decode_envelope(value)) for name, value in shown.table(b"E").items()} == envelopes
    [target] = [rows.decode_target(value) for value in shown.table(b"T").values()]
    assert target.label == "tool" and set(target.closure) == {tool.id, library.id}
    assert set(target.evidence) == set(envelopes)
    assert unrelated.id not in shown.table(b"O")
    card = decode_card(backend.get("kiln-cache.json", limit=1 << 20))
    assert card.name == "team" and [item.key for item in card.uploaders] == [ME.public_key]


def test_objects_name_the_derivations_they_came_from(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    push_all(store, folder)
    shown = show(folder)
    [resolved] = shown.table(b"C")
    assert [bytes(item) for item in rows.decode_object(shown.rows[b"O" + info.id]).resolved] == [resolved]
    [claim] = rows.decode_claims(*next(iter(shown.table(b"C").items())))  # type: ignore[arg-type]
    assert claim.claim.object == info.id and len(claim.witnesses) == 1


def test_without_evidence_no_envelope_goes(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    assert push_targets(store, folder, [info], evidence=False).envelopes == 0
    shown = show(folder)
    assert not shown.table(b"E")
    assert [rows.decode_target(value).evidence for value in shown.table(b"T").values()] == [()]
    assert push_targets(store, folder, [info]).envelopes == 1
    assert len(show(folder).table(b"E")) == 1


def test_pushing_again_moves_nothing(store: Store, place: str, backend: Backend) -> None:
    made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    first = push_all(store, backend)
    before = files_of(backend)
    again = push_all(store, backend)
    assert first.objects == 1 and first.sent > BIG
    assert again.nothing and (again.there, again.sent, again.files, again.version) == (1, 0, 0, first.version)
    assert files_of(backend) == before


def test_a_changed_byte_moves_little(store: Store, place: str, folder: Backend) -> None:
    data = bytearray(random_file(16 << 20))
    made(store, place, "one", bytes(data))
    push_all(store, folder)
    data[8 << 20] ^= 1
    two = made(store, place, "two", bytes(data))
    pushed = push_all(store, folder)
    assert pushed.objects == 1 and pushed.sent < 8 << 20
    assert b"".join(show(folder).check(two.id).values()) == bytes(data)


def test_equal_files_of_different_objects_go_once(store: Store, place: str, folder: Backend) -> None:
    shared, large = os.urandom(60_000), random_file(BIG)
    made(store, place, "one", {"a": shared, "b": large})
    first = push_all(store, folder)
    two = made(store, place, "two", {"c": shared, "d": large, "e": b"new"})
    assert push_all(store, folder).sent < 5_000 < first.sent
    show(folder).check(two.id)


def test_versions_of_what_mentions_itself_share_their_bytes(store: Store, folder: Backend) -> None:
    one = self_mentioning(store, "tool", b"1", 3 << 20)
    first = push_all(store, folder)
    two = self_mentioning(store, "tool", b"2", 3 << 20)
    second = push_all(store, folder)
    assert second.objects == 1 and second.sent < 5_000 < first.sent
    for info in (one, two):
        contents = show(folder).check(info.id)
        assert not any(info.path.hash.encode() in data for data in contents.values())


def test_a_mention_across_the_border_of_two_windows_is_zeroed(store: Store, folder: Backend) -> None:
    info = self_mentioning(store, "tool", b"1", (8 << 20) - 16)
    push_all(store, folder)
    record = show(folder).record(info.id)
    assert any(isinstance(blob, Chunked) for blob in record.blobs.values())
    assert not any(info.path.hash.encode() in data for data in show(folder).check(info.id).values())


def test_many_small_objects_take_few_files(store: Store, place: str, folder: Backend) -> None:
    infos = [add(store, place, f"thing-{n}", {"n": b"%d" % n, "same": b"same"}) for n in range(60)]
    for info in infos:
        record(store, info)
    pushed = push_all(store, folder)
    assert pushed.objects == 60 and pushed.files <= 4
    shown = show(folder)
    for info in infos:
        shown.check(info.id)


def test_strange_objects(store: Store, place: str, backend: Backend) -> None:
    infos = [
        made(store, place, "empty-file", b""),
        made(store, place, "empty-folder", {}),
        made(store, place, "one-file", Script(b"#!/bin/sh")),
        made(store, place, "link", Link("nowhere")),
        made(store, place, "odd-names", {b"\xff\xfe": b"1", b" ": b"2", b"-rf": b"3", "é": b"4"}),
        made(
            store, place, "edges", {"a": bytes(1 << 20), "b": random_file(1 << 20), "c": random_file((1 << 20) + 1)}
        ),
    ]
    push_all(store, backend)
    shown = show(backend)
    for info in infos:
        shown.check(info.id)
        assert shown.record(info.id).meta == store.meta(info.id)
    assert not shown.record(infos[0].id).blobs


def test_a_dry_run_says_what_would_move_and_writes_nothing(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    would = push_all(store, folder, dry_run=True)
    assert files_of(folder) == {}
    did = push_all(store, folder)
    assert (would.objects, would.files, would.sent) == (did.objects, did.files, did.sent)
    assert would.dry_run and not did.dry_run
    assert push_all(store, folder, dry_run=True).nothing


def test_progress_is_told(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    told = []
    push_all(store, folder, on_progress=told.append)
    assert [(item.objects, item.of) for item in told] == [(1, 1)]


# What stays here.


def test_what_was_made_with_secrets_stays(store: Store, place: str, folder: Backend) -> None:
    private = made(store, place, "private", b"key", degraded=["secrets"])
    above = made(store, place, "above", b"see " + str(private.path).encode(), [private])
    open_one = made(store, place, "open", b"x")
    for info in (private, above):
        with pytest.raises(NotShared, match="secrets") as caught:
            push_targets(store, folder, [info])
        assert str(private.path) in str(caught.value.found)
    assert files_of(folder) == {}
    pushed = push_all(store, folder)
    assert {info.id for info in pushed.withheld} == {private.id, above.id}
    shown = show(folder)
    assert shown.table(b"O").keys() == {open_one.id}
    said = {row.claim.object for k, v in shown.table(b"C").items() for row in rows.decode_claims(k, v)}  # type: ignore[arg-type]
    assert private.id not in said
    assert bytes(blob_digest(envelope_of(private))) not in shown.table(b"E")


def test_names_that_differ_by_case_stay(store: Store, place: str, folder: Backend) -> None:
    clash = made(store, place, "clash", {"sub": {"Readme": b"1", "README": b"2"}})
    with pytest.raises(CaseClash) as caught:
        push_targets(store, folder, [clash])
    assert "Readme" in str(caught.value.found) and "README" in str(caught.value.found)
    assert not [path for path in files_of(folder) if path.startswith(("heads/", "x/"))]


def test_what_is_damaged_here_is_not_pushed(store: Store, place: str, folder: Backend) -> None:
    for tree in ({"f": b"right"}, {"f": random_file(BIG)}):
        info = made(store, place, f"thing-{len(tree['f'])}", tree)
        victim = f"{store.physical(info.path)}/f"
        os.chmod(victim, 0o644)
        with open(victim, "r+b") as file:
            file.write(b"W")
        with pytest.raises(Damaged, match="damaged") as caught:
            push_targets(store, folder, [info])
        assert caught.value.help == "kiln store repair"
        with open(victim, "ab") as file:
            file.write(b"longer")
        with pytest.raises(Damaged):
            push_targets(store, folder, [info])
    assert head_path(ME.public_key.keyid) not in files_of(folder)


# Several uploaders.


def test_two_uploaders_share_bytes_and_stand_by_themselves(store: Store, place: str, backend: Backend) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    push_all(store, backend, ME)
    second = push_all(store, backend, OTHER, trusted=[ME])
    assert second.objects == 0 and second.sent < 3_000  # the segment alone
    for key in (ME, OTHER):
        show(backend, key).check(info.id)
    card = decode_card(backend.get("kiln-cache.json", limit=1 << 20))
    assert {item.key for item in card.uploaders} == {ME.public_key, OTHER.public_key}


def test_an_uploader_whose_key_does_not_count_saves_nothing(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", {"big": random_file(BIG), "small": b"x"})
    push_all(store, folder, ME)
    second = push_all(store, folder, OTHER)
    assert second.objects == 1 and second.envelopes == 1
    show(folder, OTHER).check(info.id)


def test_two_machines_with_one_key_lose_nothing(place: str, backend: Backend) -> None:
    with Store.open(f"{place}/one") as one, Store.open(f"{place}/two") as two:
        first = [made(one, place, f"first-{n}", b"%d" % n) for n in range(3)]
        second = [made(two, place, f"second-{n}", b"%d" % n) for n in range(3)]
        failures: list[BaseException] = []

        def work(store: Store) -> None:
            try:
                push_all(store, backend)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(store,)) for store in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        for store in (one, two):
            push_all(store, backend)  # whatever the race took away is there now
        shown = show(backend)
        for info in (*first, *second):
            shown.check(info.id)


def test_a_head_that_another_replaced_meanwhile_is_tried_again(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    refusals = [Conflict("another head", cache="team"), Conflict("another head", cache="team")]
    plain = folder.put

    def put(path: str, data: bytes, *, replace: bool = False) -> bool:
        if replace and path.startswith("heads/") and refusals:
            raise refusals.pop()
        return plain(path, data, replace=replace)

    folder.put = put  # type: ignore[method-assign]
    assert push_all(store, folder).version == 1 and not refusals


def test_segments_are_merged_when_there_are_many(store: Store, place: str, folder: Backend) -> None:
    infos = []
    for number in range(MANY_SEGMENTS + 4):
        infos.append(made(store, place, f"thing-{number}", b"%d" % number))
        push_all(store, folder)
    shown = show(folder)
    assert len(shown.head.segments) <= MANY_SEGMENTS
    assert len(shown.head.retired) >= 2
    for info in infos:
        shown.check(info.id)
    assert push_all(store, folder).nothing


def test_what_was_taken_from_elsewhere_goes_on_with_its_witnesses(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x", key=OTHER)
    record(store, info, key=ME)
    push_all(store, folder)
    [(resolved, value)] = show(folder).table(b"C").items()
    [row] = rows.decode_claims(resolved, value)  # type: ignore[arg-type]
    assert {item.keyid for item in row.witnesses} == {ME.keyid, OTHER.keyid}


def test_a_second_origin_of_an_object_is_added(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    push_all(store, folder)
    from tests.store.store_samples import Key, claim_of, witness_of

    claim = claim_of(info, "another way")
    store.put_witness(claim, witness_of(claim, Key(3), envelope_of(info)))
    pushed = push_all(store, folder)
    assert pushed.objects == 0 and pushed.records >= 1
    assert claim.resolved in rows.decode_object(show(folder).rows[b"O" + info.id]).resolved


def test_a_head_is_signed_again_before_it_expires(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    assert push_all(store, folder, lifetime=1000).version == 1
    assert push_all(store, folder, lifetime=1000).version == 1
    again = push_all(store, folder, lifetime=90 * 86400)
    assert again.version == 2 and again.sent == 0


def test_a_damaged_head_is_named(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    push_all(store, folder)
    folder.put(head_path(ME.public_key.keyid), b"{}", replace=True)
    with pytest.raises(CacheLied, match="damaged") as caught:
        upstream(folder)
    assert "heads/" in str(caught.value.found)


def test_a_segment_that_was_changed_is_noticed(store: Store, place: str, folder: Backend) -> None:
    made(store, place, "thing", b"x")
    push_all(store, folder)
    [path] = [path for path in files_of(folder) if path.startswith("x/")]
    data = bytearray(folder.get(path, limit=1 << 20))
    for at in (3, -30):
        wrong = bytearray(data)
        wrong[at] ^= 1
        folder.put(path, bytes(wrong), replace=True)
        with pytest.raises(CacheLied):
            push_all(store, folder)


# Interruptions.

PUSHER = """
import os, signal, sys
from kiln.store import failpoint
from kiln.store.cache.backend import open_backend
from kiln.store.store import Store
from tests.cache.cache_samples import push_all
place, point, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def die(name):
    global count
    if name == point:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
failpoint.armed = die
with Store.open(f"{place}/store") as store:
    push_all(store, open_backend(f"{place}/cache"))
print("done")
"""
STEPS = [
    "push:chunk 1",
    "push:chunk 4",
    "push:pack 1",
    "push:pack 2",
    "push:content 1",
    "push:segment 1",
    "push:head 1",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_push_that_is_killed_is_finished_by_the_next(place: str, folder: Backend, step: str) -> None:
    with Store.open(f"{place}/store") as store:
        infos = [
            made(store, place, "big", {"big": random_file(BIG), "text": b"text " * 100}),
            made(store, place, "small", b"x"),
        ]
    ended = run_python(PUSHER, place, *step.split())
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    visible = head_path(ME.public_key.keyid) in files_of(folder)
    assert visible == (step == "push:head 1")
    orphans = set(files_of(folder))
    with Store.open(f"{place}/store") as store:
        pushed = push_all(store, folder)
        assert orphans <= set(files_of(folder)) or visible
        shown = show(folder)
        for info in infos:
            shown.check(info.id)
    named = set(files_of(folder)) - {"kiln-cache.json"}
    assert pushed.nothing == visible
    if not visible:
        assert not [path for path in orphans if path not in named and path != "kiln-cache.json"]


def test_chunks_of_a_killed_push_are_not_sent_again(place: str, folder: Backend) -> None:
    with Store.open(f"{place}/store") as store:
        made(store, place, "big", random_file(BIG))
    assert run_python(PUSHER, place, "push:content", "1").returncode == -signal.SIGKILL
    with Store.open(f"{place}/store") as store:
        pushed = push_all(store, folder)
        assert pushed.objects == 1 and pushed.sent < 10_000


def test_a_chunk_that_is_collected_while_it_is_reused_is_sent(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "big", random_file(BIG))
    assert push_all(store, folder).objects == 1
    folder.delete(head_path(ME.public_key.keyid))
    chunks = [path for path in files_of(folder) if path.startswith("c/")]
    plain, taken = folder.put_many, []

    def put_many(files):
        count = plain(files)
        if not taken:
            taken.append(chunks[0])
            folder.delete(chunks[0])
        return count

    folder.put_many = put_many  # type: ignore[method-assign]
    push_all(store, folder)
    assert taken
    show(folder).check(info.id)


def test_many_pushers_at_once_are_all_right(place: str, folder: Backend) -> None:
    with Store.open(f"{place}/store") as store:
        infos = [made(store, place, f"thing-{n}", {"f": b"%d" % n, "big": random_file(2 << 20)}) for n in range(3)]
    running = [start_python(PUSHER, place, "none", "1") for _ in range(3)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert out == "done\n", err
    shown = show(folder)
    for info in infos:
        shown.check(info.id)


# Selections.


def test_everything_is_targets_that_cover_all(store: Store, place: str) -> None:
    base = made(store, place, "base", b"base")
    tops = [made(store, place, f"top-{n}", b"see " + str(base.path).encode() + b"%d" % n, [base]) for n in range(4)]
    source = add(store, place, "source", b"never built")
    selection = select_all(store)
    assert {info.id for info in selection.objects} == {base.id, *(info.id for info in tops)}
    assert {target.object for target in selection.targets} == {info.id for info in tops}
    assert source.id not in {info.id for info in selection.objects}
    order = [info.id for info in selection.objects]
    assert order.index(base.id) < min(order.index(info.id) for info in tops)
    only = select_all(store, {tops[0].id})
    assert {info.id for info in only.objects} == {base.id, tops[0].id}


def test_a_target_twice_is_one(store: Store, place: str, folder: Backend) -> None:
    info = made(store, place, "thing", b"x")
    selection = select_targets(store, [Wanted(info.id, "one"), Wanted(info.id, "two\n\x1b[31m")])
    assert len(selection.objects) == 1
    push_targets(store, folder, [info, info])
    assert len(show(folder).table(b"T")) == 1


def test_blobs_of_a_manifest_are_those_that_travel(store: Store, place: str) -> None:
    info = made(store, place, "thing", {"a": b"1", "b": b"1", "e": b""})
    assert blobs_of(store.meta(info.id)) == {blob_digest(b"1"): 1}


def test_a_cache_that_is_not_there_is_an_error(store: Store, place: str) -> None:
    from kiln.store.cache.backend import open_backend

    with pytest.raises(CacheError):
        push_all(store, open_backend(f"{place}/nowhere"))
