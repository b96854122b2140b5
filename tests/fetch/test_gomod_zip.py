"""The zip files of Go's module test suite (golang.org/x/mod, zip/testdata): hostile names, and good trees whose
content digest (`h1:`, Go's dirhash) is given there."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import pytest
from rawarchives import ZipEntry, zipped

from kiln.interpreter.fetch import errors
from kiln.interpreter.fetch.unpack import unpack

DATA = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "gomod-zip" / "zip" / "testdata"
NAMES = sorted(str(path.relative_to(DATA)) for path in DATA.glob("unzip/*.txt"))
NAMES += sorted(str(path.relative_to(DATA)) for path in DATA.glob("check_zip/*.txt"))

pytestmark = pytest.mark.skipif(not NAMES, reason=f"the conformance data of Go's modules are not at {DATA}")

REFUSED = {
    "unzip/dup_file.txt": errors.Collision,
    "unzip/dup_file_and_dir.txt": errors.Collision,
    "unzip/prefix_only.txt": errors.Collision,
    "check_zip/various.txt": errors.Escapes,
}
"""What no tree can hold. The other refusals there are rules of Go's modules, not of zip files."""


def members(path):
    """The files of a txtar archive, and its comment."""
    parts = re.split(rb"^-- (.*) --\n", path.read_bytes(), flags=re.MULTILINE)
    files = [(name, data) for name, data in zip(parts[1::2], parts[2::2], strict=True) if name != b"want"]
    return parts[0].decode("latin-1"), files


def go_dirhash(root):
    """`h1:` and SHA-256, in base 64, of lines `<sha256>  <name>` sorted by name."""
    names = sorted(
        os.path.relpath(os.path.join(folder, name), root) for folder, _, files in os.walk(root) for name in files
    )
    lines = "".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


@pytest.mark.parametrize("name", NAMES)
def test_go_module_zip(tmp_path, name):
    comment, files = members(DATA / name)
    archive, tree = tmp_path / "module.zip", tmp_path / "tree"
    archive.write_bytes(zipped(*(ZipEntry(entry, data) for entry, data in files)))
    if name in REFUSED:
        with pytest.raises(REFUSED[name]):
            unpack(str(archive), str(tree))
        assert not tree.exists()
        return
    result = unpack(str(archive), str(tree))
    assert result.entries == len(files)
    wanted = re.search(r"^hash=(h1:.*)$", comment, re.MULTILINE)
    if wanted:
        assert go_dirhash(tree) == wanted[1]
    if "case_conflict" in name:
        assert len(result.warnings) == 1
