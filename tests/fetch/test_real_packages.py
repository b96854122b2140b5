"""Real packages through the machine's own clients: needs a network on which apt, pip and npm work.

The four Debian packages are the tiny toolchain's.
"""

from __future__ import annotations

import os
import threading

import pytest

from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.config import load_config
from kiln.interpreter.fetch.errors import FetchError
from kiln.interpreter.fetch.fetch import fetch_fixed
from kiln.interpreter.fetch.unpack import unpack

TOOLCHAIN = {
    "debian:pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_amd64.deb": (
        "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744",
        "bin/busybox",
    ),
    "debian:pool/main/t/tcc/tcc_0.9.27+git20200814.62c30a4a-1_amd64.deb": (
        "86f491f0deafd195ca7bd822aceb184cf8e44b86f79ea81b7a1874bc4e95867a",
        "usr/bin/tcc",
    ),
    "debian:pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb": (
        "ba4f88f73dbc3ae9055f3c20f4523bfdbaf1ad13ff95e258924f77d20b4fbedf",
        "lib/x86_64-linux-gnu/libc.so.6",
    ),
    "debian:pool/main/m/musl/musl-dev_1.2.3-1_amd64.deb": (
        "7c34f29a0c1aa12f6da1d25ed6de6fe6bbd9e048ee76b3dcb88c5e51fb65507f",
        "usr/lib/x86_64-linux-musl/crt1.o",
    ),
}
REGISTRIES = {
    "npm:better-sqlite3@12.11.1": (
        "ebf0ed75a7a59dbcb3b24bbd014ef49d9f15bc328e4adcbf516f2a8fadfa2835",
        "package/deps/sqlite3/sqlite3.c",
    ),
    "pypi:lark/lark-1.3.1-py3-none-any.whl": (
        "c629b661023a014c37da873b4ff58a817398d12635d3bbb2c5a03be7fe5d1e12",
        "lark/lark.py",
    ),
}


def fetched(source, sha256, folder):
    """The file, or a failure that lists every place that was asked."""
    name = source.rpartition("/")[2]
    try:
        pin = Fixed(name, False, "sha256", bytes.fromhex(sha256))
        return fetch_fixed(pin, [source], str(folder / name), load_config(os.environ))
    except FetchError as error:
        places = "\n  ".join(map(str, error.attempts))
        pytest.fail(f"{source} could not be had; is there a network?\n  {error.message}\n  {places}")


def test_the_toolchain_is_fetched_and_unpacked(tmp_path):
    """Four packages at once, by path and digest alone."""
    trees = {}

    def work(source, sha256):
        found = fetched(source, sha256, tmp_path)
        trees[source] = tmp_path / sha256
        unpack(found.path, str(trees[source]))

    threads = [threading.Thread(target=work, args=(source, sha256)) for source, (sha256, _) in TOOLCHAIN.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = [source for source in TOOLCHAIN if source not in trees]
    if missing:
        fetched(missing[0], TOOLCHAIN[missing[0]][0], tmp_path)
    for source, (_, inside) in TOOLCHAIN.items():
        with open(trees[source] / inside, "rb") as file:
            assert file.read(4) == b"\x7fELF", source


@pytest.mark.parametrize("source", REGISTRIES)
def test_a_file_of_a_registry(tmp_path, source):
    sha256, inside = REGISTRIES[source]
    found = fetched(source, sha256, tmp_path)
    unpack(found.path, str(tmp_path / "tree"))
    assert (tmp_path / "tree" / inside).stat().st_size > 1000
