"""Programs of Debian packages that a test runs: the installed one, or else one unpacked into the session's room.

Unpacking needs no root, installs nothing and starts no service: `apt-get` with a state of its own downloads what this
system's sources name, and `dpkg-deb` unpacks it. Where that can't be done the test fails and says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.room import once

_PACKAGES = {"nginx": ("nginx", "nginx-common"), "bwrap": ("bubblewrap",)}
_PATIENCE = 300


def debian_program(name: str) -> str:
    """The path of `nginx` or `bwrap`. Fails the test where there is none to be had."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is not None:
        return found
    folder = once(f"debian-{name}", lambda path: _unpack(name, path))
    return next(path for bin in ("usr/sbin", "usr/bin") if os.path.exists(path := os.path.join(folder, bin, name)))


def _unpack(name: str, folder: str) -> None:
    packages = _PACKAGES[name]
    apt = os.path.join(folder, "apt")
    for part in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(apt, part))
    options = [f"-oDir::State::lists={apt}/lists", f"-oDir::Cache={apt}/cache", "-oAPT::Sandbox::User=", "-qq"]
    try:
        for words in (["update"], ["download", *packages]):
            _run(["apt-get", *options, *words], apt)
        for file in sorted(os.listdir(apt)):
            if file.endswith(".deb"):
                _run(["dpkg-deb", "-x", file, folder], apt)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or error
        pytest.fail(f"this test needs {name} (apt-get install {packages[0]}), which could not be had: {detail}")


def _run(words: list[str], folder: str) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, timeout=_PATIENCE)
