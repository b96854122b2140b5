"""Many files of a few MiB: none of them costs a round trip of its own, in either direction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from kiln.store.cache import bigreceive
from kiln.store.cache.backend import Answer, Backend, Request
from kiln.store.cache.believed import Believed
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.receive import Receiver
from kiln.store.info import ObjectInfo
from kiln.store.provenance.trust import EVERYTHING, Policy, TrustedKey
from kiln.store.store import Store
from tests.cache.cache_samples import ME, made, push_all, random_file, show

FILES = 20
SIZE = (1 << 20) + 1000


def tree(store: Store, place: str) -> ObjectInfo:
    return made(store, place, "tree", {f"f{n}": random_file(SIZE, n) for n in range(FILES)})


def reader_of(backend: Backend, told: list[str]) -> CacheReader:
    policy = Policy.of([TrustedKey(ME.public_key, "me", EVERYTHING)], own=[])
    return CacheReader(backend, Believed(policy), told.append)


def test_chunks_of_many_files_are_one_question(
    store: Store, place: str, folder: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tree(store, place)
    push_all(store, folder)
    questions: list[int] = []
    plain = folder.get_many

    def get_many(requests: Iterable[Request]) -> Iterator[Answer]:
        asked = list(requests)
        if any(request.path.startswith("c/") for request in asked):
            questions.append(len(asked))
        return plain(asked)

    folder.get_many = get_many  # type: ignore[method-assign]
    for at_once, expected in ((96, 1), (8, 3)):
        monkeypatch.setattr(bigreceive, "OPEN_AT_ONCE", at_once)
        questions.clear()
        told: list[str] = []
        with Store.open(f"{place}/bob{at_once}") as bob:
            [staged] = Receiver(bob).receive({info.id: [reader_of(folder, told)]})
            assert staged.meta.info == info and not told
            bob.admit([staged])
            assert bob.verify(info.id) == []
        assert len(questions) == expected and sum(questions) >= FILES


def test_a_wrong_chunk_spoils_its_own_file_alone(store: Store, place: str, folder: Backend) -> None:
    info = tree(store, place)
    push_all(store, folder)
    wrong = next(folder.listing("c/"))
    folder.put(wrong.path, bytes(wrong.size), replace=True)
    told: list[str] = []
    asked: list[str] = []
    plain = folder.get_many

    def get_many(requests: Iterable[Request]) -> Iterator[Answer]:
        wanted = list(requests)
        asked.extend(request.path for request in wanted if request.path.startswith("c/"))
        return plain(wanted)

    folder.get_many = get_many  # type: ignore[method-assign]
    with Store.open(f"{place}/bob") as bob:
        assert Receiver(bob).receive({info.id: [reader_of(folder, told)]}) == []
    assert any("could not be put together" in text for text in told)
    assert [path for path in set(asked) if asked.count(path) > 1] == [wrong.path]


def test_a_push_looks_for_many_files_at_once(store: Store, place: str, folder: Backend) -> None:
    info = tree(store, place)
    together = threading.Barrier(FILES // 2, timeout=60)
    plain = folder.reuse_many

    def reuse_many(paths: Iterable[str]) -> set[str]:
        together.wait()  # until so many questions are under way; else the barrier breaks
        return plain(paths)

    folder.reuse_many = reuse_many  # type: ignore[method-assign]
    push_all(store, folder)
    show(folder).check(info.id)
