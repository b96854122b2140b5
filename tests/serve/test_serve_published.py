"""What of an upload becomes the cache's: what was verified, and is named by a head that counts here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kiln.serve.admission import Admitter
from kiln.serve.quarantine import FOLDER, Upload
from kiln.serve.refusal import Refused
from kiln.store.cache import rows
from kiln.store.cache.backend import open_backend
from kiln.store.cache.card import CARD_PATH, decode_card, encode_card, make_card
from kiln.store.cache.chunking import chunk_digest, chunk_path
from kiln.store.cache.framing import SegmentDigest
from kiln.store.cache.head import Head, SegmentEntry, head_path, open_head, sign_head
from kiln.store.cache.pack import PackWriter
from kiln.store.cache.segment import read_segment, write_segment
from kiln.store.cache.sweep import sweep
from kiln.store.digest import Digest, EnvelopeDigest, blob_digest
from kiln.store.provenance import dsse
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.succession import sign_revocation, sign_rotation
from kiln.store.provenance.trust import Policy
from tests.serve.builders import Builder, admit, files

KEY, NEXT, THIEF = (SecretKey.of(letter * 32) for letter in (b"k", b"n", b"t"))
DAY = "2026-11-21T08:30:00Z"


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    made = Builder(tmp_path / "builder", KEY)
    made.make("thing", {"file": os.urandom(3000), "big": os.urandom(2 << 20)})
    return made


@pytest.fixture
def policy(builder: Builder) -> Policy:
    return Policy.of([builder.trusted()])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache" / FOLDER).mkdir(parents=True)
    return tmp_path / "cache"


def refused(cache: Path, folder: Path, policy: Policy) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(cache, folder, policy)
    return caught.value


def put(folder: Path, *made: tuple[str, bytes]) -> Path:
    for path, data in made:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def pack_of(data: bytes) -> tuple[str, bytes]:
    writer = PackWriter()
    writer.add(1, data)
    pack = writer.finish()
    return pack.path, pack.data


def signed(*segments: bytes | SegmentEntry, version: int = 1) -> tuple[str, bytes]:
    entries = tuple(item for item in segments if isinstance(item, SegmentEntry))
    return head_path(KEY.public_key.keyid), sign_head(Head("team", version, 1, 1 << 34, entries), KEY)


class TestFilesThatNoHeadNames:
    def test_they_are_shown_to_nobody(self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy) -> None:
        put(cache, (CARD_PATH, (builder.upload(tmp_path / "first") / CARD_PATH).read_bytes()))
        before = files(cache)
        stray = pack_of(b"whatever somebody wants to offer here")
        assert admit(cache, put(tmp_path / "up", stray), policy) == {"files": 1}
        assert files(cache) == before
        assert (cache / FOLDER / "kept/ci" / stray[0]).read_bytes() == stray[1]

    def test_not_even_beside_files_that_one_names(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        stray = pack_of(b"smuggled")
        folder = put(builder.upload(tmp_path / "up"), stray)
        wanted = files(folder)
        admit(cache, folder, policy)
        assert files(cache) == {path: data for path, data in wanted.items() if path != stray[0]}

    def test_a_head_that_comes_later_names_them(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        """A large upload comes in several commits: card, packs and chunks, segments, at last the head."""
        whole = files(builder.upload(tmp_path / "up"))
        seen = []
        for number, kinds in enumerate([(CARD_PATH,), ("p/", "c/"), ("x/",), ("heads/",)]):
            part = put(tmp_path / f"part{number}", *((p, d) for p, d in whole.items() if p.startswith(kinds)))
            admit(cache, part, policy)
            seen.append(len(files(cache)))
        assert seen == [1, 1, 1, len(whole)]
        assert files(cache) == whole
        assert not [path for path in (cache / FOLDER / "kept").rglob("*") if path.is_file()]

    def test_what_a_segment_of_an_earlier_commit_needs_is_asked_for(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        """The segment comes first and its head later: what it refers to must be there all the same."""
        whole = files(builder.upload(tmp_path / "up"))
        (segment,) = (path for path in whole if path.startswith("x/"))
        table = read_segment_rows(segment, whole[segment])
        lacking = write_segment({name: value for name, value in table.items() if name[:1] != rows.ENVELOPES})
        admit(
            cache, put(tmp_path / "one", *((p, d) for p, d in whole.items() if p[:2] in ("p/", "c/", "ki"))), policy
        )
        admit(cache, put(tmp_path / "two", (lacking.path, lacking.data)), policy)
        head = open_head(whole[head_path(KEY.public_key.keyid)], KEY.public_key, "team")
        named = sign_head(head._replace(segments=(SegmentEntry.of(lacking),)), KEY)
        before = files(cache)
        found = refused(cache, put(tmp_path / "three", (head_path(KEY.public_key.keyid), named)), policy)
        assert found.rule == "closure" and "an envelope" in found.message
        assert files(cache) == before

    def test_a_conflict_leaves_them_for_the_next_head(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        admit(cache, builder.upload(tmp_path / "one"), policy)
        builder.make("second")
        whole = files(builder.upload(tmp_path / "two", cache))
        path = head_path(KEY.public_key.keyid)
        head = open_head(whole[path], KEY.public_key, "team")
        early = put(tmp_path / "early", *whole.items(), (path, sign_head(head._replace(version=1), KEY)))
        assert refused(cache, early, policy).status == 409
        admit(cache, put(tmp_path / "head", (path, whole[path])), policy)
        assert files(cache) == whole


def read_segment_rows(path: str, data: bytes) -> dict[bytes, bytes]:
    return read_segment(SegmentDigest(Digest.parse(path[-64:])), data)[1]


class TestFilesThatAreThere:
    def test_one_that_is_wrong_is_mended(self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy) -> None:
        whole = files(builder.upload(tmp_path / "up"))
        wrong = {path: b"POISON" for path in whole if path[:2] in ("p/", "c/", "x/")}
        put(cache, *wrong.items())
        admit(cache, tmp_path / "up", policy)
        assert files(cache) == whole

    def test_a_head_that_is_none_is_in_nobodys_way(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        whole = files(builder.upload(tmp_path / "up"))
        put(cache, (head_path(KEY.public_key.keyid), b"POISON"))
        admit(cache, tmp_path / "up", policy)
        assert files(cache) == whole

    def test_another_form_of_a_chunk_stays(self, cache: Path, tmp_path: Path, policy: Policy) -> None:
        """A chunk is named by its content: whose compressor came first is all the same."""
        builder = Builder(tmp_path / "even", KEY)
        builder.make("even", {"big": bytes(3 << 20)})
        whole = files(builder.upload(tmp_path / "up"))
        chunk = next(path for path in whole if path.startswith("c/"))
        raw = next(bytes(size << 10) for size in (256, 1024, 2048, 3072, 4096) if name_of(bytes(size << 10)) == chunk)
        put(cache, (chunk, raw))
        admit(cache, tmp_path / "up", policy)
        assert files(cache) == {**whole, chunk: raw}

    def test_a_server_killed_with_a_head_half_written_is_in_no_collections_way(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admit(cache, builder.upload(tmp_path / "one"), policy)
        builder.make("second")
        whole = builder.upload(tmp_path / "two", cache)
        real = os.replace

        def killed(source: str, target: str) -> None:
            if target.startswith(str(cache / "heads")):
                raise KeyboardInterrupt
            real(source, target)

        monkeypatch.setattr("kiln.serve.publishing.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            admit(cache, whole, policy)
        assert sweep(open_backend(str(cache)))


def name_of(content: bytes) -> str:
    return chunk_path(chunk_digest(content))


class TestBombs:
    """A few hundred bytes of rows that would unpack to gigabytes are refused before anything is joined."""

    @pytest.mark.parametrize("table", [rows.ENVELOPES, rows.OBJECTS, rows.BLOBS])
    def test_a_place_of_many_slices(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy, table: bytes
    ) -> None:
        admit(cache, builder.upload(tmp_path / "one"), policy)
        writer = PackWriter()
        writer.add(1, bytes(512 << 10))
        pack = writer.finish()
        place = pack.places[0] * 4096
        value = {
            rows.ENVELOPES: rows.encode_envelope(place),
            rows.OBJECTS: rows.encode_object(rows.ObjectRow(1, place, ())),
            rows.BLOBS: rows.pack_fields([0, rows.place_fields(place)]),
        }[table]
        segment = write_segment({table + bytes(32): value})
        head = signed(SegmentEntry.of(segment), version=9)
        up = put(tmp_path / "up", (pack.path, pack.data), (segment.path, segment.data), head)
        assert len(pack.data) + len(segment.data) < 10_000
        found = refused(cache, up, policy)
        assert "more content than" in found.message or "not in chunks" in found.message

    def test_a_segment_whose_rows_unpack_to_more_than_any(self, cache: Path, tmp_path: Path, policy: Policy) -> None:
        table = {rows.TARGETS + bytes([number]) * 32: bytes(7 << 20) for number in range(16)}
        segment = write_segment(table)
        assert len(segment.data) < 100_000
        put(cache, (CARD_PATH, encode_card(make_card("team", frozenset()))))
        found = refused(cache, put(tmp_path / "up", (segment.path, segment.data)), policy)
        assert "more rows than are taken" in found.message

    def test_work_without_an_end(self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy) -> None:
        admitter = Admitter(str(cache), lambda: policy, patience=-1)
        with pytest.raises(Refused) as caught:
            admitter(Upload(str(builder.upload(tmp_path / "up")), str(cache / FOLDER / "kept/ci")))
        assert caught.value.rule == "work"
        assert files(cache) == {}

    def test_a_server_that_ends(self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy) -> None:
        admitter = Admitter(str(cache), lambda: policy)
        admitter.stopping.set()
        with pytest.raises(Refused) as caught:
            admitter(Upload(str(builder.upload(tmp_path / "up")), str(cache / FOLDER / "kept/ci")))
        assert (caught.value.rule, caught.value.status) == ("ending", 503)


class TestCards:
    def test_what_strangers_say_of_themselves_is_refused(self, cache: Path, tmp_path: Path, policy: Policy) -> None:
        put(cache, (CARD_PATH, encode_card(make_card("team", frozenset()))))
        stranger, other = (SecretKey.of(os.urandom(32)) for _ in range(2))
        before = files(cache)
        for number, item in enumerate([sign_revocation(stranger, DAY, "x"), sign_rotation(stranger, other, DAY)]):
            card = encode_card(make_card("team", frozenset([item])))
            found = refused(cache, put(tmp_path / f"up{number}", (CARD_PATH, card)), policy)
            assert found.rule == "signature" and "does not know" in found.message
        assert files(cache) == before

    def test_a_card_that_no_reader_could_read_is_not_written(
        self, cache: Path, tmp_path: Path, policy: Policy
    ) -> None:
        """Also where one who is trusted here ties ever more keys to his own."""
        heirs = [SecretKey.of(os.urandom(32)) for _ in range(400)]
        said = [sign_rotation(KEY, heir, DAY) for heir in heirs]
        put(cache, (CARD_PATH, encode_card(make_card("team", frozenset()))))
        statuses = []
        for number in range(2):
            card = encode_card(make_card("team", frozenset(said[number * 200 : number * 200 + 200])))
            with pytest.raises(Refused) as caught:
                admit(cache, put(tmp_path / f"up{number}", (CARD_PATH, card)), policy)
            statuses.append(caught.value.status)
            decode_card((cache / CARD_PATH).read_bytes())
        assert statuses == [422, 422]

    def test_a_revocation_holds_for_the_server(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        admit(cache, builder.upload(tmp_path / "one"), policy)
        builder.make("second")
        builder.successions = (sign_revocation(KEY, DAY, "stolen"),)
        before = files(cache)
        found = refused(cache, builder.upload(tmp_path / "two", cache), policy)
        assert "revoked" in found.message
        assert files(cache) == before
        card = put(tmp_path / "card", (CARD_PATH, (tmp_path / "two" / CARD_PATH).read_bytes()))
        admit(cache, card, policy)  # the word itself is taken, and holds from then on
        builder.successions = ()
        assert "revoked" in refused(cache, builder.upload(tmp_path / "three", cache), policy).message

    def test_an_announced_successor_uploads(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        admit(cache, builder.upload(tmp_path / "one"), policy)
        heir = Builder(tmp_path / "heir", NEXT)
        heir.make("third")
        with pytest.raises(Refused, match="does not trust"):
            admit(cache, heir.upload(tmp_path / "two", cache), policy)
        heir.successions = (sign_rotation(KEY, NEXT, DAY),)
        admit(cache, heir.upload(tmp_path / "three", cache), policy)
        assert (cache / head_path(NEXT.public_key.keyid)).exists()

    def test_a_second_successor_is_refused_for_good(
        self, cache: Path, tmp_path: Path, builder: Builder, policy: Policy
    ) -> None:
        """Which came first is remembered beside the cache, whoever takes the first from the card."""
        admit(cache, builder.upload(tmp_path / "one"), policy)
        builder.successions = (sign_rotation(KEY, NEXT, DAY),)
        builder.make("second")
        admit(cache, builder.upload(tmp_path / "two", cache), policy)
        shutil.copy(tmp_path / "one" / CARD_PATH, cache / CARD_PATH)
        thief = Builder(tmp_path / "thief", THIEF)
        thief.make("bad")
        thief.successions = (sign_rotation(KEY, THIEF, DAY),)
        assert "different successors" in refused(cache, thief.upload(tmp_path / "three"), policy).message


def test_envelopes_of_keys_that_do_not_count_here(
    cache: Path, tmp_path: Path, builder: Builder, policy: Policy
) -> None:
    """A trusted uploader's head does not make another's evidence good."""
    admit(cache, builder.upload(tmp_path / "one"), policy)
    envelope = dsse.emit(dsse.sign(b"{}", "application/vnd.in-toto+json", THIEF))
    writer = PackWriter()
    writer.add(3, envelope)
    pack = writer.finish()
    digest = EnvelopeDigest(blob_digest(envelope))
    segment = write_segment({rows.key(rows.ENVELOPES, digest): rows.encode_envelope(pack.places[0])})
    up = put(tmp_path / "up", (pack.path, pack.data), (segment.path, segment.data))
    put(up, signed(SegmentEntry.of(segment), version=9))
    assert refused(cache, up, policy).status == 422
