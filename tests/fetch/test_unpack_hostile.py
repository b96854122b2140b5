"""Archives that attack: each is refused whole, with its own code, and nothing is left or written elsewhere."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from rawarchives import (
    END,
    ZipEntry,
    ar,
    ar_member,
    deb,
    pax,
    tar,
    tar_header,
    tar_member,
    zipped,
)

from kiln.interpreter.fetch import errors, streams
from kiln.interpreter.fetch.unpack import unpack

FILE = tar_member(b"a", b"content")
LINK = tar_member(b"a", kind=b"2", link=b"/etc")
BOMB = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB_BYTES = b"".join([BOMB.compress(bytes(1 << 20)) for _ in range(80)]) + BOMB.flush()

ESCAPES = {
    "absolute": tar(tar_member(b"/etc/passwd", b"x")),
    "absolute in ustar's prefix": tar(tar_member(b"passwd", b"x", prefix=b"/etc")),
    "absolute in a pax path": tar(pax(path=b"/etc/passwd"), tar_member(b"innocent", b"x")),
    "absolute in GNU's long name": tar(tar_member(b"././@LongLink", b"/etc/x\0", b"L"), FILE),
    "climbs": tar(tar_member(b"../x", b"x")),
    "climbs inside": tar(tar_member(b"a/../../x", b"x")),
    "climbs and comes back": tar(tar_member(b"a/../a/x", b"x")),
    "climbs in a pax path": tar(pax(path=b"a/../../x"), FILE),
    "climbs at the end": tar(tar_member(b"a/..", kind=b"5")),
    "through an absolute symlink": tar(LINK, tar_member(b"a/passwd", b"x")),
    "through a relative symlink": tar(
        tar_member(b"d", kind=b"5"), tar_member(b"a", kind=b"2", link=b"d"), tar_member(b"a/x", b"x")
    ),
    "directory through a symlink": tar(LINK, tar_member(b"a/new", kind=b"5")),
    "symlink through a symlink": tar(LINK, tar_member(b"a/new", kind=b"2", link=b"x")),
    "hard link through a symlink": tar(LINK, tar_member(b"b", b"x"), tar_member(b"a/b", kind=b"1", link=b"b")),
    "hard link to an absolute name": tar(tar_member(b"a", kind=b"1", link=b"/etc/passwd")),
    "hard link that climbs": tar(tar_member(b"a", kind=b"1", link=b"../../etc/passwd")),
    "symlink that climbs": tar(tar_member(b"a", kind=b"2", link=b"../x")),
    "symlink that climbs from below": tar(tar_member(b"d/a", kind=b"2", link=b"../../x")),
    "symlink that climbs after going down": tar(tar_member(b"a", kind=b"2", link=b"d/../../x")),
    "symlink to nothing": tar(tar_member(b"a", kind=b"2", link=b"")),
    "symlink with a NUL": tar(pax(linkpath=b"x\0y"), tar_member(b"a", kind=b"2", link=b"z")),
    "NUL in a pax path": tar(pax(path=b"a\0b"), FILE),
    "control character": tar(tar_member(b"a\x1b[2J", b"x")),
    "line end": tar(tar_member(b"a\nb", b"x")),
    "character device": tar(tar_header(b"null", b"3")),
    "block device": tar(tar_header(b"sda", b"4")),
    "fifo": tar(tar_header(b"pipe", b"6")),
    "component too long": tar(pax(path=b"x" * 256), FILE),
    "path too long": tar(pax(path=b"/".join([b"x" * 200] * 21)), FILE),
    "path too deep": tar(pax(path=b"/".join([b"x"] * 129)), FILE),
    "deb: climbs": deb(tar(tar_member(b"./../x", b"x"))),
    "deb: through a symlink": deb(tar(LINK, tar_member(b"./a/x", b"x"))),
    "ar: climbs": ar(ar_member(b"../x/", b"x")),
    "ar: absolute in the table": ar(ar_member(b"//", b"/etc/x/\n"), ar_member(b"/0", b"x")),
    "zip: climbs": zipped(ZipEntry(b"../x", b"x")),
    "zip: absolute": zipped(ZipEntry(b"/etc/passwd", b"x")),
    "zip: through a symlink": zipped(ZipEntry(b"a", b"/etc", mode=0o120777), ZipEntry(b"a/x", b"x")),
    "zip: symlink that climbs": zipped(ZipEntry(b"a", b"../x", mode=0o120777)),
    "zip: symlink with a NUL": zipped(ZipEntry(b"a", b"x\0y", mode=0o120777)),
    "zip: symlink as long as a file": zipped(ZipEntry(b"a", b"x" * 5000, mode=0o120777)),
    "zip: backslash": zipped(ZipEntry(b"..\\x", b"x")),
    "zip: NUL": zipped(ZipEntry(b"a\0.txt", b"x")),
    "zip: device": zipped(ZipEntry(b"null", mode=0o020666)),
}
COLLIDES = {
    "file twice": tar(FILE, FILE),
    "file twice, spelt in two ways": tar(tar_member(b"d/a", b"x"), tar_member(b"./d//a", b"y")),
    "file, then directory": tar(FILE, tar_member(b"a", kind=b"5")),
    "directory, then file": tar(tar_member(b"a/", kind=b"5"), FILE),
    "below a file": tar(FILE, tar_member(b"a/x", b"x")),
    "file where a directory was implied": tar(tar_member(b"a/x", b"x"), FILE),
    "symlink, then file": tar(LINK, FILE),
    "symlink, then directory": tar(LINK, tar_member(b"a/", kind=b"5")),
    "directory, then symlink": tar(tar_member(b"a/", kind=b"5"), LINK),
    "hard link over its file": tar(FILE, tar_member(b"a", kind=b"1", link=b"a")),
    "normal forms": tar(tar_member("é".encode(), b"x"), tar_member("e\u0301".encode(), b"y")),
    "normal forms of a directory": tar(tar_member("é/x".encode(), b"x"), tar_member("e\u0301/y".encode(), b"y")),
    "zip: file twice": zipped(ZipEntry(b"a", b"x"), ZipEntry(b"a", b"y")),
    "zip: file and directory": zipped(ZipEntry(b"a", b"x"), ZipEntry(b"a/b", b"y")),
    "ar: member twice": ar(ar_member(b"a/", b"x"), ar_member(b"a/", b"y")),
}
DAMAGED = {
    "cut off in a header": tar(FILE, FILE)[:1324],
    "cut off in the data": tar_header(b"a", size=1000) + bytes(512),
    "cut off in the padding": tar_header(b"a", size=10) + b"0123456789",
    "no end": FILE,
    "bytes after the end": tar(FILE) + b"x",
    "a header after the end": tar(FILE) + FILE,
    "checksum": tar(FILE)[: 512 + 512] + b"x" + FILE[1:] + END,
    "size that is no number": tar(tar_header(b"a", size_field=b"zzzzzzzzzzz\0")),
    "negative size": tar(FILE, tar_header(b"b", size_field=b"\xff" * 12)),
    "pax record of another length": tar(tar_member(b"p", b"99 path=x\n", b"x"), FILE),
    "pax record of length zero": tar(tar_member(b"p", b"0 path=x\n", b"x"), FILE),
    "pax record without a line end": tar(tar_member(b"p", b"9 path=xy", b"x"), FILE),
    "pax size that is no number": tar(pax(size=b"-1"), FILE),
    "pax records of a gigabyte": tar_header(b"p", b"x", size=1 << 30),
    "hard link to nothing": tar(tar_member(b"a", kind=b"1", link=b"b")),
    "hard link to a directory": tar(tar_member(b"d", kind=b"5"), tar_member(b"a", kind=b"1", link=b"d")),
    "hard link to a later file": tar(tar_member(b"a", kind=b"1", link=b"b"), tar_member(b"b", b"x")),
    "gzip cut off": gzip.compress(tar(FILE))[:-9],
    "gzip without its checksum": gzip.compress(tar(FILE))[:-8],
    "gzip with another checksum": gzip.compress(tar(FILE))[:-8] + bytes(8),
    "gzip with bytes behind": gzip.compress(tar(FILE)) + b"more",
    "gzip over a cut tar": gzip.compress(FILE),
    "deb without files": ar(ar_member(b"debian-binary", b"2.0\n")),
    "deb with its files twice": deb(tar(FILE)) + ar_member(b"data.tar", tar(FILE)),
    "deb cut off": deb(tar(FILE))[:-1],
    "ar cut off in a header": ar(ar_member(b"a/", b"xy"), b"short"),
    "ar with a size that is no number": ar(ar_member(b"a/", b"xy")).replace(b"2         `", b"two       `"),
    "ar name outside the table": ar(ar_member(b"//", b"x/\n"), ar_member(b"/99", b"x")),
    "zip cut off": zipped(ZipEntry(b"a", b"x"))[:-1],
    "zip with bytes behind": zipped(ZipEntry(b"a", b"x"), tail=b"more"),
    "zip with bytes before": b"PK\3\4" + zipped(ZipEntry(b"a", b"x")),
    "zip with two ends": zipped(ZipEntry(b"a", b"x"), comment=b"PK\5\6" + bytes(18)),
    "zip: crc": zipped(ZipEntry(b"a", b"x", crc=1)),
    "zip: two names": zipped(ZipEntry(b"a", b"x", local_name=b"b")),
    "zip: longer than it says": zipped(ZipEntry(b"a", b"x", method=8, packed=zlib.compress(b"xyz", wbits=-15))),
    "zip: shorter than it says": zipped(ZipEntry(b"a", b"xyz", method=8, packed=zlib.compress(b"x", wbits=-15))),
    "zip: garbage for deflate": zipped(ZipEntry(b"a", b"xyz", method=8, packed=b"\xff\xff\xff")),
    "zip: stored with two sizes": zipped(ZipEntry(b"a", b"xyz", size=2)),
    "zip: directory with data": zipped(ZipEntry(b"a/", b"x")),
    "zip: another count": zipped(ZipEntry(b"a", b"x"), count=2),
    "zip: fewer than there are": zipped(ZipEntry(b"a", b"x"), ZipEntry(b"b", b"x"), count=1),
    "zip: not the UTF-8 it says": zipped(ZipEntry(b"\xff", b"x", flags=1 << 11)),
}
UNSUPPORTED = {
    "sparse": tar(tar_header(b"a", b"S")),
    "sparse in pax": tar(tar_member(b"p", b"22 GNU.sparse.major=1\n", b"x"), FILE),
    "another volume": tar(tar_header(b"a", b"M")),
    "backup": tar(tar_header(b"a", b"D")),
    "unknown type": tar(tar_header(b"a", b"Z")),
    "deb of another format": ar(ar_member(b"debian-binary", b"9.0\n"), ar_member(b"data.tar", tar(FILE))),
    "deb packed in another way": deb(b"lzma", b"data.tar.lzma"),
    "zip: encrypted": zipped(ZipEntry(b"a", b"x", flags=1)),
    "zip: method": zipped(ZipEntry(b"a", b"x", method=1)),
}
NO_ARCHIVE = {
    "nothing": b"",
    "text": b"hello\n",
    "web page": b"<!DOCTYPE html><html></html>" + b" " * 600,
    "compressed text": gzip.compress(b"hello"),
    "lzip": b"LZIP\1",
}
TOO_LARGE = {
    "gzip bomb": BOMB_BYTES,
    "tar in a gzip bomb": gzip.compress(tar_header(b"a", size=80 << 20) + bytes(80 << 20) + END),
    "hard links of one large file": gzip.compress(
        tar_member(b"a", bytes(1 << 20))
        + b"".join(tar_member(b"b%d" % number, kind=b"1", link=b"a") for number in range(70))
        + END
    ),
    "zip bomb": zipped(
        ZipEntry(
            b"a",
            method=8,
            crc=0,
            size=1 << 31,
            packed=(lambda c: b"".join([c.compress(bytes(1 << 20)) for _ in range(80)]) + c.flush())(
                zlib.compressobj(9, zlib.DEFLATED, -15)
            ),
        )
    ),
}

CASES = [
    pytest.param(data, error, id=f"{error.__name__}: {name}")
    for error, table in [
        (errors.Escapes, ESCAPES),
        (errors.Collision, COLLIDES),
        (errors.DamagedArchive, DAMAGED),
        (errors.Unsupported, UNSUPPORTED),
        (errors.NotAnArchive, NO_ARCHIVE),
        (errors.TooLarge, TOO_LARGE),
    ]
    for name, data in table.items()
]


@pytest.mark.parametrize(("data", "error"), CASES)
def test_refused_whole(tmp_path, data, error):
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    with pytest.raises(errors.UnpackError) as caught:
        unpack(str(archive), str(tmp_path / "tree"))
    assert type(caught.value) is error, caught.value.message
    assert os.listdir(tmp_path) == ["archive"]


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_ENTRIES", 3)
    archive = tmp_path / "archive"
    archive.write_bytes(tar(*(tar_member(b"f%d" % number) for number in range(4))))
    with pytest.raises(errors.TooLarge, match="too many entries"):
        unpack(str(archive), str(tmp_path / "tree"))


def test_zip_entries_that_share_bytes(tmp_path):
    one, two = ZipEntry(b"a", b"x" * 100), ZipEntry(b"a", b"x" * 100)
    two.offset = 0
    archive = tmp_path / "archive"
    archive.write_bytes(zipped(one, two))
    with pytest.raises(errors.DamagedArchive, match="share bytes"):
        unpack(str(archive), str(tmp_path / "tree"))


def test_no_message_carries_an_escape_code(tmp_path):
    archive = tmp_path / "archive"
    archive.write_bytes(tar(tar_member(b"evil\x1b[31m", b"x")))
    with pytest.raises(errors.Escapes) as caught:
        unpack(str(archive), str(tmp_path / "tree"))
    assert "\x1b" not in f"{caught.value.message}{caught.value.found}"


def test_an_existing_empty_directory_is_left_empty(tmp_path):
    archive, tree = tmp_path / "archive", tmp_path / "tree"
    tree.mkdir()
    archive.write_bytes(tar(tar_member(b"d/a", b"x"), tar_member(b"../x", b"x")))
    with pytest.raises(errors.Escapes):
        unpack(str(archive), str(tree))
    assert os.listdir(tree) == []


def test_a_directory_with_something_in_it_is_not_touched(tmp_path):
    archive, tree = tmp_path / "archive", tmp_path / "tree"
    tree.mkdir()
    (tree / "mine").write_text("mine")
    archive.write_bytes(tar(FILE))
    with pytest.raises(errors.CannotKeep):
        unpack(str(archive), str(tree))
    assert os.listdir(tree) == ["mine"]
