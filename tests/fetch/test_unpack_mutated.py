"""Good archives with bytes changed: each either unpacks or is refused in our own words, and never reaches
outside its tree."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from rawarchives import ZipEntry, ar, ar_member, deb, pax, tar, tar_header, tar_member, zipped

from kiln.interpreter.fetch.entries import Directory, File, parse_path
from kiln.interpreter.fetch.errors import Collision, Escapes, UnpackError
from kiln.interpreter.fetch.streams import Budget
from kiln.interpreter.fetch.treewriter import TreeWriter
from kiln.interpreter.fetch.unpack import unpack

TAR = tar(
    tar_member(b"d/", kind=b"5"),
    tar_member(b"d/file", b"content" * 100, mode=0o755),
    tar_member(b"d/link", kind=b"2", link=b"file"),
    tar_member(b"d/hard", kind=b"1", link=b"d/file"),
    pax(path=b"d/from pax", mtime=b"1.5"),
    tar_member(b"short", b"x"),
    tar_member(b"././@LongLink", b"n" * 120 + b"\0", b"L"),
    tar_header(b"long", b"5"),
)
ZIP = zipped(
    ZipEntry(b"a", b"stored"),
    ZipEntry(b"d/b", b"deflated" * 9, method=8, packed=zlib.compress(b"deflated" * 9, wbits=-15)),
    ZipEntry(b"link", b"a", mode=0o120777),
    comment=b"comment",
)
BASES = [
    TAR,
    ZIP,
    ar(ar_member(b"//", b"a_long_name_of_a_member/\n"), ar_member(b"/0", b"x"), ar_member(b"b/", b"yz")),
    deb(lzma.compress(TAR), b"data.tar.xz"),
    gzip.compress(TAR),
    bz2.compress(TAR),
]
EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9000), st.binary(max_size=12), st.sampled_from(b"/.\0\x80\xff017")),
    min_size=1,
    max_size=4,
)


def edited(data, edits):
    changed = bytearray(data)
    for kind, at, some, byte in edits:
        at %= max(len(changed), 1)
        match kind:
            case 0:
                changed[at : at + 1] = bytes([byte])
            case 1:
                changed[at : at + len(some)] = some
            case 2:
                changed[at:at] = some
            case _:
                del changed[at : at + 1 + len(some) * 50]
    return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(base=st.sampled_from(BASES), edits=EDITS, strip=st.integers(0, 1))
def test_a_changed_archive_is_unpacked_or_refused(tmp_path_factory, base, edits, strip):
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "archive").write_bytes(edited(base, edits))
    try:
        unpack(str(folder / "archive"), str(folder / "tree"), strip)
        wanted = ["archive", "tree"]
    except UnpackError:
        wanted = ["archive"]
    assert sorted(os.listdir(folder)) == wanted


@given(st.binary(max_size=60))
def test_a_name_is_refused_or_stays_below(raw):
    try:
        parts = parse_path(raw)
    except Escapes:
        return
    assert all(part and b"/" not in part and part not in (b".", b"..") for part in parts)
    root = b"/top/of/tree"
    assert os.path.normpath(b"/".join((root, *parts))).startswith(root)


def test_the_writer_alone_follows_no_link(tmp_path):
    """Even where the rules for names had a hole: the writer's own wall."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "file").write_text("mine")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    refused = 0
    for entry in [
        File((b"link", b"new"), False, 1, iter([b"x"])),
        Directory((b"link", b"new")),
        File((b"file",), False, 1, iter([b"x"])),
    ]:
        with TreeWriter(str(root), Budget(1)) as writer:
            try:
                writer.add(entry)
            except Collision:
                refused += 1
    assert refused == 3
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "mine"
