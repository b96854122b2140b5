"""Build logs: what was written is read, whole or cut off anywhere, while it is written and after."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.interpreter.sandbox.logs import FLUSH_BYTES, LogReader, LogWriter, NotALog, read_log


@given(st.lists(st.binary(max_size=300) | st.just(b"x" * FLUSH_BYTES * 2), max_size=8))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, pieces):
    path = str(tmp_path_factory.mktemp("log") / "log")
    with LogWriter(path) as log:
        for piece in pieces:
            log.write(piece)
    assert read_log(path) == b"".join(pieces)


def test_a_log_cut_off_anywhere_gives_what_is_whole(tmp_path):
    path = str(tmp_path / "log")
    ends = {}
    with LogWriter(path) as log:
        for number in range(5):
            log.write(b"line %d\n" % number)
            log.flush()
            ends[os.path.getsize(path)] = number + 1
    with open(path, "rb") as file:
        whole = file.read()
    lines = [b"line %d\n" % number for number in range(5)]
    for size in range(len(whole) + 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        count = max((number for end, number in ends.items() if end <= size), default=0)
        with LogReader(str(tmp_path / "cut")) as reader:
            assert b"".join(piece.data for piece in reader.pieces()) == b"".join(lines[:count])
            assert reader.ended == (size == len(whole))


def test_a_log_is_followed_while_it_grows(tmp_path):
    path = str(tmp_path / "log")
    log = LogWriter(path)
    with LogReader(path) as reader:
        assert list(reader.pieces()) == [] and reader.began > 0
        log.write(b"one")
        assert list(reader.pieces()) == []
        log.write(b"")
        assert [piece.data for piece in reader.pieces()] == [b"one"]
        log.write(b"two")
        log.close()
        pieces = list(reader.pieces())
        assert [piece.data for piece in pieces] == [b"two"] and reader.ended
        assert list(reader.pieces()) == []


def test_times_do_not_run_backwards(tmp_path):
    path = str(tmp_path / "log")
    with LogWriter(path) as log:
        for _ in range(20):
            log.write(b".")
            log.flush()
    with LogReader(path) as reader:
        times = [piece.at for piece in reader.pieces()]
    assert len(times) == 20 and times == sorted(times)


def test_a_new_log_leaves_the_old_one_to_its_reader(tmp_path):
    path = str(tmp_path / "log")
    with LogWriter(path) as log:
        log.write(b"old")
    with LogReader(path) as reader:
        with LogWriter(path) as log:
            log.write(b"new")
        assert [piece.data for piece in reader.pieces()] == [b"old"]
    assert read_log(path) == b"new"


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_the_zstd_program_prints_it(tmp_path):
    path = str(tmp_path / "log.zst")
    with LogWriter(path) as log:
        log.write(b"one\n")
        log.flush()
        log.write(b"two\n")
    assert subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout == b"one\ntwo\n"


def test_a_frame_of_zstd_can_be_read_by_any_decoder(tmp_path):
    from kiln.interpreter.sandbox.logs import zstd

    path = tmp_path / "log"
    with LogWriter(str(path)) as log:
        log.write(b"one\n")
        log.flush()
        log.write(b"two\n")
    assert zstd.decompress(path.read_bytes()) == b"one\ntwo\n"


def _changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


# offset → what stands there instead; the piece's entry begins at 38: its kind at 46, length at 51, packed at 55
DAMAGE = {
    "not a log": (0, b"PK\x03\x04"),
    "another version": (17, b"\x02"),
    "no entry": (38, b"\0\0\0\0"),
    "an unknown entry": (46, b"Z"),
    "a longer piece": (51, b"\x09"),
    "a shorter piece": (51, b"\x01"),
    "a bomb": (51, b"\xff\xff\xff\x7f"),
    "no zstd": (59, b"\0\0\0\0"),
}


@pytest.mark.parametrize("at, value", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_log_is_refused(tmp_path, at, value):
    path = tmp_path / "log"
    with LogWriter(str(path)) as log:
        log.write(b"line")
    assert read_log(str(path)) == b"line"
    path.write_bytes(_changed(path.read_bytes(), at, value))
    with pytest.raises(NotALog):
        read_log(str(path))
