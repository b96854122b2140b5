"""The sample in a user's hands: its module pinned from a repository, and every command that reads a program."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sample_program import HERE, TOOLBOX

from tests.pins.pinned import Remote, Repository
from tests.support.home import Home


@pytest.fixture
def toolbox(tmp_path: Path) -> Repository:
    made = Remote(tmp_path / "remote").repository("toolbox")
    made.commit({path.name: path.read_text("utf-8") for path in TOOLBOX.iterdir()})
    return made


@pytest.fixture
def project(home: Home, toolbox: Repository) -> Home:
    """The sample's own files, with the toolbox pinned."""
    for name in ("curl.kiln", "oci.kiln", "cve-2026-1.patch"):
        home.write(name, (HERE / name).read_text("utf-8"))
    home.kiln("pin", "add", "toolbox", f"{toolbox.address}?ref=main").expect()
    return home


def test_without_a_pin_the_next_step_is_said(home: Home) -> None:
    home.write("curl.kiln", (HERE / "curl.kiln").read_text("utf-8"))
    home.write("oci.kiln", (HERE / "oci.kiln").read_text("utf-8"))
    done = home.kiln("check", "curl.kiln").expect(3)
    assert "K0206" in done.err and "kiln pin add toolbox ADDRESS" in done.err


def test_it_is_checked_tested_and_evaluated(project: Home) -> None:
    project.kiln("check", "curl.kiln").expect()
    assert "1 test: all passed" in project.kiln("test", "curl.kiln").expect().err
    assert project.kiln("eval", "curl.kiln#image").expect().out == "<output image>\n"
    assert project.kiln("eval", "--type", "curl.kiln#review").expect().out == "Attestation(Review)\n"
    assert "--prefix=" in project.kiln("show", "curl.kiln#hardened.curl", "--derivation").expect().out
    project.kiln("fmt", "--check", "curl.kiln", "oci.kiln").expect()


def test_it_needs_its_repository_once(project: Home, toolbox: Repository) -> None:
    """What was pinned is at hand from then on; the pin says what it is, wherever it came from."""
    online = project.kiln("eval", "curl.kiln#review").expect().out
    shutil.rmtree(toolbox.path)
    assert project.kiln("eval", "--offline", "curl.kiln#review").expect().out == online
    project.kiln("test", "--offline", "curl.kiln").expect()


def test_its_page_names_types_as_the_source_does(project: Home) -> None:
    shown = project.kiln("doc", "curl.kiln").expect().out
    assert "- `zlib: tb.Plain`" in shown and "- `curl: Curl`" in shown
    assert "type Tls =\n  | OpenSsl(fips: Bool)\n  | MbedTls\n  | NoTls\n```" in shown
