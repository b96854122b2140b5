"""What tests download, once: a folder laid out like a Debian mirror and an npm registry, given as `file://` mirrors.

The pins are those of the build files, read by evaluating them. Each file comes through the real fetcher, from the
mirrors that this machine uses, and is checked against its pin. It is then kept by its digest in this user's cache
folder, where the next session finds it.

    POOL/debian/pool/main/…       as in Debian's archive
    POOL/npm/NAME/VERSION         {"dist": {"tarball": "file://POOL/tarballs/…"}}
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable

import pytest

from kiln.context import make_store
from kiln.interpreter.asking import Request, ask
from kiln.interpreter.derivation import FetchStep
from tests.support.room import downloads, remove_tree


def lay_pool(pool: str, targets: Iterable[str]) -> None:
    """Have every file that these targets need, readable by everyone. Fails the test where one can't be had."""
    for step in _pins(targets):
        kind, _, name = step.sources[0].partition(":")
        if kind == "debian":
            _lay(os.path.join(pool, kind, name), step)
        elif kind == "npm":
            package, _, version = name.rpartition("@")
            tarball = os.path.join(pool, "tarballs", f"{package}-{version}.tgz")
            _lay(tarball, step)
            document = os.path.join(pool, "npm", package, version)
            os.makedirs(os.path.dirname(document), exist_ok=True)
            with open(document, "w", encoding="utf-8") as file:
                json.dump({"dist": {"tarball": f"file://{tarball}"}}, file)
        else:
            raise AssertionError(f"no mirror can stand for {step.sources[0]}")


def mirrors_of(pool: str) -> dict[str, str]:
    """The mirrors that a pool stands for."""
    return {kind: f"file://{pool}/{kind}/" for kind in ("debian", "npm")}


def _pins(targets: Iterable[str]) -> list[FetchStep]:
    folder = tempfile.mkdtemp(prefix="kiln-pins-")
    try:
        with make_store(os.path.join(folder, "store")) as store:
            asked = ask([Request.parse(target) for target in targets], store)
        return [step for step in asked.graph.values() if isinstance(step, FetchStep)]
    finally:
        remove_tree(folder)


def _lay(path: str, step: FetchStep) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copyfile(_kept(step), path)
    os.chmod(path, 0o644)


def _kept(step: FetchStep) -> str:
    """The file in the cache folder that outlives the session."""
    path = os.path.join(downloads(), "files", step.fixed.value.hex())
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{os.getpid()}"
        _fetch(step, part)
        os.rename(part, path)
    return path


def _fetch(step: FetchStep, path: str) -> None:
    from kiln.interpreter.fetch.config import load_config
    from kiln.interpreter.fetch.errors import FetchError
    from kiln.interpreter.fetch.fetch import fetch_fixed

    try:
        fetch_fixed(step.fixed, step.sources, path, load_config(os.environ))
    except FetchError as error:
        said = "\n".join(f"  {attempt}" for attempt in error.attempts)
        pytest.fail(f"this test needs a download: {error}\n{said}", pytrace=False)
