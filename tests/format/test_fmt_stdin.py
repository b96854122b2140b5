"""`kiln fmt -`: stdin to stdout, and what stdout holds when there is nothing good to write."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def fmt(data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "kiln", "fmt", "-", *options], input=data, capture_output=True)


@pytest.mark.parametrize(
    ("data", "options", "code", "out", "err"),
    [
        (b"let\txx=1;\r\n", (), 0, b"let xx = 1;\n", b""),
        (b"\xef\xbb\xbflet x=1;", (), 0, b"let x = 1;\n", b""),
        (b"", (), 0, b"", b""),
        (b"let x=1;", ("--check",), 3, b"stdin\n", b"error[K0907]: 1 file is not formatted"),
        (b"let x = 1;\n", ("--check",), 0, b"", b""),
        (b"let x = ;\n", (), 3, b"", b"stdin:1:9"),
        (b"let x = \xff;\n", (), 3, b"", b"stdin:1:9"),
        (b"let x = " + b"[" * 5000 + b"]" * 5000 + b";\n", (), 3, b"", b"error[K0390]"),
    ],
)
def test_stdin(data: bytes, options: tuple[str, ...], code: int, out: bytes, err: bytes) -> None:
    done = fmt(data, *options)
    assert (done.returncode, done.stdout) == (code, out), done.stderr.decode()
    assert err in done.stderr


def test_difference() -> None:
    done = fmt(b"let x=1;", "--diff")
    assert done.returncode == 3
    assert b"-let x=1;\n\\ No newline at end of file\n+let x = 1;\n" in done.stdout


def test_json() -> None:
    done = fmt(b"let x=1;", "--json")
    assert json.loads(done.stdout)["data"] == {"files": ["-"], "changed": ["-"], "problems": []}
