"""What a builder leaves: references found, scratch hashes rewritten, outputs in order, bad ones refused."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import Link, Script, add, built, read, scratch

from kiln.store.errors import ReferenceCycle, Refused
from kiln.store.hidden import HiddenMention
from kiln.store.ingest import CHUNK
from kiln.store.patch import patched
from kiln.store.paths import OutputName
from kiln.store.store import Store

OUT, DEV, DOC = map(OutputName, ("out", "dev", "doc"))


def test_references_and_own_path(store: Store, place: str) -> None:
    used = add(store, place, "used", b"u")
    add(store, place, "unused", b"n")
    closure = store.all_objects()
    own = scratch("p")
    tree = {
        "bin": {"p": Script(f"{own}/lib:{used.path}\n".encode())},
        "link": Link(f"{own}/bin/p"),
        "plain": b"nothing",
        "both": Link(f"../../{used.path.base}"),
    }
    info = store.add_outputs([built(store, "p", "out", tree)], closure)[OUT]
    physical = store.physical(info.path)
    assert info.references == (used.id,)
    assert read(f"{physical}/bin/p") == f"{info.path}/lib:{used.path}\n".encode()
    assert os.readlink(f"{physical}/link") == f"{info.path}/bin/p"
    assert {(place.path, place.offsets) for place in store.meta(info.id).places} == {
        (b"bin/p", (12,)),
        (b"link", (12,)),
    }
    assert stat.S_IMODE(os.stat(f"{physical}/bin/p").st_mode) == 0o555
    assert stat.S_IMODE(os.stat(f"{physical}/bin").st_mode) == 0o555
    assert store.check(contents=True) == []


def test_identity_does_not_depend_on_the_scratch_path(store: Store, place: str) -> None:
    """Two builds of equal bytes at equal scratch paths are one object, and the id has no scratch in it."""
    tree = {"self": str(scratch("p")).encode()}
    first = store.add_outputs([built(store, "p", "out", tree)], [])[OUT]
    again = store.add_outputs([built(store, "p", "out", tree)], [])[OUT]
    assert first == again
    shifted = store.add_outputs([built(store, "p", "out", {"self": b"/" + tree["self"]})], [])[OUT]
    assert shifted.id != first.id


def test_zeros_are_not_a_self_reference(store: Store) -> None:
    """The offsets are part of the id: zeros in the place of a mention make another object."""
    mentions = store.add_outputs([built(store, "p", "out", {"f": scratch("p").hash.encode()})], [])[OUT]
    zeros = store.add_outputs([built(store, "p", "out", {"f": bytes(32)})], [])[OUT]
    assert mentions.id != zeros.id


def test_outputs_refer_to_each_other_in_order(store: Store) -> None:
    out, dev, doc = scratch("p"), scratch("p-dev"), scratch("p-doc")
    outputs = [
        built(store, "p-dev", "dev", {"pc": f"prefix={out} doc={doc} me={dev}".encode()}),
        built(store, "p-doc", "doc", b"no mention"),
        built(store, "p", "out", {"doc": Link(str(doc)), "two": f"{doc}{doc}".encode()}),
    ]
    infos = store.add_outputs(outputs, [])
    assert read(store.physical(infos[DEV].path) + "/pc").decode() == (
        f"prefix={infos[OUT].path} doc={infos[DOC].path} me={infos[DEV].path}"
    )
    assert infos[OUT].references == (infos[DOC].id,)
    assert infos[DEV].references == tuple(sorted((infos[DOC].id, infos[OUT].id)))
    assert [info.name for info in store.closure([infos[DEV].id])] == ["p-doc", "p", "p-dev"]
    assert store.check(contents=True) == []


def test_a_cycle_names_a_file_on_each_edge(store: Store) -> None:
    outputs = [
        built(store, "p", "out", {"bin": {"p": str(scratch("p-dev")).encode()}}),
        built(store, "p-dev", "dev", {"lib": {"p.pc": str(scratch("p")).encode()}}),
    ]
    with pytest.raises(ReferenceCycle) as caught:
        store.add_outputs(outputs, [])
    assert caught.value.found == "dev mentions out in 'lib/p.pc'; out mentions dev in 'bin/p'"
    assert store.all_objects() == []


def test_a_scratch_hash_in_a_file_name_is_refused(store: Store) -> None:
    for name in (scratch("p").hash, f"x-{scratch('p-dev').hash}-y"):
        outputs = [
            built(store, "p", "out", {"d": {name: b"x"}}),
            built(store, "p-dev", "dev", {}),
        ]
        with pytest.raises(Refused, match="in a file's name") as caught:
            store.add_outputs(outputs, [])
        assert f"d/{name}" in (caught.value.found or "")


def test_a_closure_hash_in_a_file_name_is_a_reference(store: Store, place: str) -> None:
    used = add(store, place, "used", b"u")
    info = store.add_outputs([built(store, "p", "out", {used.path.base: b""})], [used])[OUT]
    assert info.references == (used.id,)


def test_self_references_can_be_forbidden(store: Store) -> None:
    tree = {"etc": {"conf": b"1234" + str(scratch("p")).encode()}}
    with pytest.raises(Refused, match="forbids") as caught:
        store.add_outputs([built(store, "p", "out", tree, forbid_self=True)], [])
    assert caught.value.found == "'etc/conf' at byte 16"
    assert store.add_outputs([built(store, "p", "out", {"a": b"x"}, forbid_self=True)], [])[OUT].kind == "tree"


def test_overlapping_mentions_are_refused(store: Store) -> None:
    own = scratch("p").hash
    for at in range(1, 32):
        if own[:at] == own[-at:]:
            text = own + own[at:]
            break
    else:
        own_bytes = own.encode()
        text = ""
        other = next(name for name in (f"p-{number}" for number in range(10_000)) if scratch(name).hash[0] == own[-1])
        outputs = [
            built(store, "p", "out", {"f": own_bytes + scratch(other).hash[1:].encode()}),
            built(store, other, "dev", {}),
        ]
        with pytest.raises(Refused, match="overlap"):
            store.add_outputs(outputs, [])
    if text:
        with pytest.raises(Refused, match="overlap"):
            store.add_outputs([built(store, "p", "out", {"f": text.encode()})], [])


@pytest.mark.parametrize("tree,kind", [({}, "file"), (b"x", "tree"), (Link("x"), "tree"), (Link("x"), "file")])
def test_the_kind_must_be_the_declared_one(store: Store, tree: object, kind: str) -> None:
    output = built(store, "p", "out", tree)  # type: ignore[arg-type]
    wrong = type(output)(output.name, output.source, output.scratch, output.store_name, kind)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="not what was declared") as caught:
        store.add_outputs([wrong], [])
    assert caught.value.expected == f"a {kind}"


def test_a_file_output_that_mentions_itself(store: Store) -> None:
    own = scratch("p")
    info = store.add_outputs([built(store, "p", "out", Script(f"#!{own}\n".encode()))], [])[OUT]
    assert read(store.physical(info.path)) == f"#!{info.path}\n".encode()
    assert stat.S_IMODE(os.stat(store.physical(info.path)).st_mode) == 0o555
    assert store.check(contents=True) == []


def test_mentions_across_every_border_of_pieces(store: Store, place: str) -> None:
    used, own = add(store, place, "used", b"u"), scratch("p")
    tree = {str(cut): b"\n" * (CHUNK - cut) + own.hash.encode() + used.path.hash.encode() for cut in range(0, 66, 13)}
    info = store.add_outputs([built(store, "p", "out", tree)], [used])[OUT]
    for cut in range(0, 66, 13):
        text = read(f"{store.physical(info.path)}/{cut}")
        assert text == b"\n" * (CHUNK - cut) + info.path.hash.encode() + used.path.hash.encode()
    assert info.references == (used.id,) and store.check(contents=True) == []


def test_many_mentions_in_one_file(store: Store) -> None:
    own = scratch("p")
    info = store.add_outputs([built(store, "p", "out", {"f": f"{own}\n".encode() * 50_000})], [])[OUT]
    assert read(f"{store.physical(info.path)}/f") == f"{info.path}\n".encode() * 50_000


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first", b"nothing")
        archive.writestr("second", data)
    return buffer.getvalue()


def test_paths_inside_compressed_files_are_told(store: Store, place: str) -> None:
    used, own = add(store, place, "used", b"u"), scratch("p")
    text = b"x" * 70_000 + f"{own}:{used.path}".encode()
    tree = {
        "man": {"p.1.gz": gzip.compress(b"first") + gzip.compress(text)},
        "p.jar": zipped(str(own).encode()),
        "clean.gz": gzip.compress(b"nothing"),
        "not.gz": b"\x1f\x8bgarbage",
        "not.zip": b"PK\x03\x04garbage",
        "torn.gz": gzip.compress(text)[:40],
    }
    staged = store.stage_outputs([built(store, "p", "out", tree)], [used])
    assert {item for _, item in staged.hidden} == {
        HiddenMention(b"man/p.1.gz", own),
        HiddenMention(b"man/p.1.gz", used.path),
        HiddenMention(b"p.jar", own),
    }
    assert staged.infos[OUT].references == ()


def test_nothing_is_registered_before_commit(store: Store) -> None:
    staged = store.stage_outputs([built(store, "p", "out", {"f": str(scratch("p")).encode()})], [])
    assert store.all_objects() == []
    info = staged.infos[OUT]
    assert str(info.path).encode() == read(f"{staged.staged[0][1].physical}/f")
    assert store.commit(staged) == {OUT: info}
    assert store.all_objects() == [info]


@given(st.data())
def test_patching_is_slice_assignment(data: st.DataObject) -> None:
    text = data.draw(st.binary(min_size=32, max_size=300))
    starts = sorted(data.draw(st.sets(st.integers(0, len(text) - 4).map(lambda at: at // 4 * 4))))
    patches = [(start, bytes([65 + number % 26]) * 4) for number, start in enumerate(starts)]
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text))))})
    pieces = [text[start:end] for start, end in itertools.pairwise(cuts)]
    expected = bytearray(text)
    for start, new in patches:
        expected[start : start + 4] = new
    assert b"".join(patched(pieces, patches)) == bytes(expected)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(["own", "sibling", "used", "\n", "x" * 40, "0" * 33]), max_size=12))
def test_rewriting_is_replacing(store: Store, place: str, parts: list[str]) -> None:
    used, own, sibling = add(store, place, "used", b"u"), scratch("p"), scratch("p-dev")
    words = {"own": own.hash, "sibling": sibling.hash, "used": used.path.hash}
    text = "-".join(words.get(part, part) for part in parts)
    outputs = [built(store, "p", "out", {"d": {"f": text.encode()}}), built(store, "p-dev", "dev", b"d")]
    infos = store.add_outputs(outputs, [used])
    final = text.replace(own.hash, infos[OUT].path.hash).replace(sibling.hash, infos[DEV].path.hash)
    assert read(f"{store.physical(infos[OUT].path)}/d/f").decode() == final
    wanted = {infos[DEV].id} & ({infos[DEV].id} if "sibling" in parts else set())
    assert set(infos[OUT].references) == wanted | ({used.id} if "used" in parts else set())
    assert store.verify(infos[OUT].id) == []
