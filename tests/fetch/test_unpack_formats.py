"""Archives that other programs write: what comes out is what they put in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rawarchives import END, ZipEntry, ar, ar_member, deb, pax, tar, tar_header, tar_member, zipped

from kiln.interpreter.fetch import errors
from kiln.interpreter.fetch.unpack import unpack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TREE = {
    b"README": b"read me\n",
    b"bin/run": b"#!/bin/sh\n",
    b"empty": b"",
    b"large": bytes(range(256)) * 3000,
    "ö/ü".encode(): b"umlauts",
    b"deep/" + b"d" * 90 + b"/" + b"e" * 90 + b"/file": b"a long name",
}


def read_back(root):
    """path -> (kind, executable or target, bytes) for everything below a directory."""
    found = {}
    for folder, names, files in os.walk(os.fsencode(root)):
        for name in names + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, os.fsencode(root))
            if os.path.islink(path):
                found[key] = ("symlink", os.readlink(path), b"")
            elif os.path.isdir(path):
                found[key] = ("directory", "", b"")
            else:
                with open(path, "rb") as file:
                    found[key] = ("file", bool(os.stat(path).st_mode & 0o100), file.read())
    return found


def files_of(root):
    return {name: entry[2] for name, entry in read_back(root).items() if entry[0] == "file"}


def unpacked(tmp_path, data, strip=0):
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    tree = tmp_path / "tree"
    return unpack(str(archive), str(tree), strip), tree


def python_tar(form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in TREE.items():
            member = tarfile.TarInfo(os.fsdecode(name))
            member.size, member.mode = len(data), 0o755 if name == b"bin/run" else 0o640
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


PLAIN = python_tar()
COMPRESSED = {
    "plain": PLAIN,
    "gz": gzip.compress(PLAIN),
    "gz in two members": gzip.compress(PLAIN[:5000]) + gzip.compress(PLAIN[5000:]),
    "gz with zeros behind": gzip.compress(PLAIN) + bytes(700),
    "xz": lzma.compress(PLAIN),
    "xz in two streams": lzma.compress(PLAIN[:5000]) + lzma.compress(PLAIN[5000:]),
    "bz2": bz2.compress(PLAIN),
    "bz2 in two streams": bz2.compress(PLAIN[:5000]) + bz2.compress(PLAIN[5000:]),
    "zst": zstd.compress(PLAIN),
    "zst in two frames": zstd.compress(PLAIN[:5000]) + zstd.compress(PLAIN[5000:]),
    "deb, xz": deb(lzma.compress(PLAIN), b"data.tar.xz"),
    "deb, zst": deb(zstd.compress(PLAIN), b"data.tar.zst"),
    "deb, gz": deb(gzip.compress(PLAIN), b"data.tar.gz/"),
    "gnu": python_tar(tarfile.GNU_FORMAT),
    "ustar": python_tar(tarfile.USTAR_FORMAT),
}


@pytest.mark.parametrize("data", COMPRESSED.values(), ids=COMPRESSED.keys())
def test_each_format_gives_the_tree(tmp_path, data):
    result, tree = unpacked(tmp_path, data)
    assert files_of(tree) == TREE
    assert result.size == sum(map(len, TREE.values()))
    assert read_back(tree)[b"bin/run"][1] is True
    assert read_back(tree)[b"README"][1] is False


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "zst"])
def test_a_compressed_tar_that_is_cut_anywhere_is_refused(tmp_path, kind):
    data = COMPRESSED[kind]
    for number, end in enumerate([*range(20, len(data), len(data) // 20), len(data) - 1]):
        archive = tmp_path / f"archive{number}"
        archive.write_bytes(data[:end])
        with pytest.raises((errors.DamagedArchive, errors.NotAnArchive)):
            unpack(str(archive), str(tmp_path / "tree"))
        assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_by_pythons_zipfile(tmp_path, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in TREE.items():
            info = zipfile.ZipInfo(os.fsdecode(name))
            info.external_attr = (0o100755 if name == b"bin/run" else 0o100644) << 16
            info.compress_type = method
            archive.writestr(info, data)
    _, tree = unpacked(tmp_path, out.getvalue())
    assert files_of(tree) == TREE
    assert read_back(tree)[b"bin/run"][1] is True


def test_zip_written_as_a_stream_and_with_zip64_fields(tmp_path):
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self):
            return True

        def write(self, piece):
            self.data += bytes(piece)
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in TREE.items():
            with archive.open(os.fsdecode(name), "w", force_zip64=True) as file:
                file.write(data)
    _, tree = unpacked(tmp_path, pipe.data)
    assert files_of(tree) == TREE


def test_zip_with_zstandard_symlink_comment_and_foreign_names(tmp_path):
    data = zipped(
        ZipEntry(b"z", TREE[b"large"], method=93, packed=zstd.compress(TREE[b"large"])),
        ZipEntry(b"d", b"x", method=8, packed=zlib.compress(b"x", wbits=-15)),
        ZipEntry(b"link", b"z", mode=0o120777),
        ZipEntry(b"caf\x82", b"code page 437", made_by=0),
        ZipEntry(b"folder/", mode=0o040755),
        comment=b"PK\5\6 in a comment",
    )
    _, tree = unpacked(tmp_path, data)
    found = read_back(tree)
    assert found[b"z"] == ("file", False, TREE[b"large"])
    assert found[b"link"][:2] == ("symlink", b"z")
    assert found["café".encode()][2] == b"code page 437"
    assert found[b"folder"][0] == "directory"


def test_an_empty_zip_and_an_empty_tar(tmp_path):
    for number, data in enumerate([zipped(), END, gzip.compress(bytes(10240))]):
        folder = tmp_path / str(number)
        folder.mkdir()
        result, tree = unpacked(folder, data)
        assert (result.entries, os.listdir(tree)) == (0, [])


def test_an_ar_that_is_no_deb_gives_its_members(tmp_path):
    _, tree = unpacked(
        tmp_path,
        ar(
            ar_member(b"/", b"symbols"),
            ar_member(b"//", b"a_name_longer_than_sixteen.o/\n"),
            ar_member(b"short.o/", b"odd"),
            ar_member(b"/0", b"long"),
            ar_member(b"#1/8", b"bsd.o\0\0\0data"),
        ),
    )
    assert files_of(tree) == {
        b"short.o": b"odd",
        b"a_name_longer_than_sixteen.o": b"long",
        b"bsd.o": b"data",
    }


def test_names_links_and_old_headers(tmp_path):
    _, tree = unpacked(
        tmp_path,
        tar(
            pax(b"g", comment=b"of the whole archive"),
            tar_member(b"./", kind=b"5"),
            tar_member(b"v7", b"old", magic=bytes(8), kind=b"\0"),
            tar_member(b"v7dir/", magic=bytes(8), kind=b"\0"),
            tar_member(b"base256", b"data", size_field=b"\x80" + (4).to_bytes(11, "big")),
            tar_member(b"././@LongLink", b"n" * 150 + b"\0", b"L", magic=b"ustar  \0"),
            tar_member(b"././@LongLink", b"t" * 150 + b"\0", b"K", magic=b"ustar  \0"),
            tar_member(b"n" * 100, kind=b"2", link=b"t" * 100, magic=b"ustar  \0"),
            tar_member(b"hard", kind=b"1", link=b"./v7"),
            pax(linkpath=b"n" * 150),
            tar_member(b"hard link to a symlink", kind=b"1", link=b"n" * 100),
            tar_member(b"absolute", kind=b"2", link=b"/lib/ld.so"),
            tar_member(b"d/up", kind=b"2", link=b"../v7"),
            pax(path=b"from pax \xff", size=b"3"),
            tar_member(b"other", b"abc"),
            tar_header(b"label", b"V"),
        ),
    )
    found = read_back(tree)
    assert found[b"v7"] == found[b"hard"] == ("file", False, b"old")
    assert os.stat(tree / "v7").st_ino != os.stat(tree / "hard").st_ino
    assert found[b"v7dir"][0] == "directory"
    assert found[b"base256"][2] == b"data"
    assert found[b"n" * 150] == found[b"hard link to a symlink"] == ("symlink", b"t" * 150, b"")
    assert found[b"absolute"][1] == b"/lib/ld.so"
    assert found[b"d/up"][1] == b"../v7"
    assert found[b"from pax \xff"][2] == b"abc"


def test_modes_do_not_depend_on_archive_or_umask(tmp_path):
    data = tar(
        tar_member(b"setuid", b"x", mode=0o6755),
        tar_member(b"private", b"x", mode=0o600),
        tar_member(b"closed/file", b"x", mode=0o000),
        tar_member(b"closed", kind=b"5", mode=0o1000),
    )
    modes = []
    for number, umask in enumerate([0o000, 0o077]):
        folder = tmp_path / str(number)
        folder.mkdir()
        before = os.umask(umask)
        try:
            _, tree = unpacked(folder, data)
        finally:
            os.umask(before)
        modes.append({name: stat.S_IMODE(os.stat(tree / name).st_mode) for name in os.listdir(tree)})
        modes[-1]["."] = stat.S_IMODE(os.stat(tree).st_mode)
    assert modes[0] == modes[1] == {"setuid": 0o755, "private": 0o644, "closed": 0o755, ".": 0o755}


def test_names_that_differ_in_case_are_kept_and_told(tmp_path):
    result, tree = unpacked(tmp_path, tar(tar_member(b"d/xt_dscp.h", b"1"), tar_member(b"d/xt_DSCP.h", b"2")))
    assert len(os.listdir(tree / "d")) == 2
    assert result.differ_in_case == ((b"d/xt_dscp.h", b"d/xt_DSCP.h"),)
    assert "differ only in case" in result.warnings[0]


STRIPPED = tar(
    tar_member(b"pkg-1/", kind=b"5"),
    tar_member(b"pkg-1/a", b"x"),
    tar_member(b"pkg-1/d/hard", kind=b"1", link=b"pkg-1/a"),
)


def test_strip_drops_leading_components(tmp_path):
    _, tree = unpacked(tmp_path, STRIPPED, strip=1)
    assert files_of(tree) == {b"a": b"x", b"d/hard": b"x"}


@pytest.mark.parametrize("strip", [2, 3])
def test_strip_that_leaves_no_name(tmp_path, strip):
    with pytest.raises(errors.NothingLeft):
        unpacked(tmp_path, STRIPPED, strip)


def test_a_symlink_may_not_climb_above_the_stripped_tree(tmp_path):
    data = tar(tar_member(b"pkg/d/l", kind=b"2", link=b"../../x"))
    unpacked(tmp_path, data)
    with pytest.raises(errors.Escapes):
        unpack(str(tmp_path / "archive"), str(tmp_path / "stripped"), 1)


NAMES = st.text(
    st.characters(min_codepoint=33, exclude_characters="/\x7f", max_codepoint=0x2FF), min_size=1, max_size=60
)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=5).map("/".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(PATHS, st.binary(max_size=2000), max_size=6),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_what_tarfile_writes_comes_back(tmp_path_factory, files, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    folder = tmp_path_factory.mktemp("tar")
    try:
        _, tree = unpacked(folder, out.getvalue())
    except errors.Collision:
        return  # one name is the directory of another, or its twin
    assert files_of(tree) == {name.encode(): data for name, data in files.items()}


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax"], ["--format=v7"], ["--format=ustar"]])
def test_what_gnu_tar_writes_comes_back(tmp_path, options):
    source = tmp_path / "source"
    for name, data in TREE.items():
        if "v7" not in options[0] or len(name) < 90:
            path = os.path.join(os.fsencode(source), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
    os.link(source / "README", source / "hard")
    os.symlink("README", source / "link")
    os.chmod(source / "bin" / "run", 0o755)
    subprocess.run(["tar", *options, "-cf", "archive.tar", "-C", "source", "."], cwd=tmp_path, check=True)
    unpack(str(tmp_path / "archive.tar"), str(tmp_path / "tree"))
    assert read_back(tmp_path / "tree") == read_back(source)
