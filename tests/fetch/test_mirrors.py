"""Where mirrors come from: Kiln's configuration, then the machine's own clients."""

from __future__ import annotations

import os
import sys
from typing import ClassVar

import pytest

from kiln.interpreter.fetch import clients
from kiln.interpreter.fetch.config import FetchConfig, load_config
from kiln.interpreter.fetch.errors import BadConfig
from kiln.interpreter.fetch.mirrors import how_to_configure, mirrors


@pytest.fixture
def machine(tmp_path):
    """An environment whose PATH holds only the clients that a test writes."""

    class Machine:
        env: ClassVar = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
        etc = tmp_path / "apt"

        def client(self, name, script):
            path = tmp_path / "bin" / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

        def configure(self, text):
            path = tmp_path / "home" / ".config" / "kiln" / "config.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    (tmp_path / "bin").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    return Machine()


def test_configuration_comes_first_and_clients_last(machine):
    machine.configure('[mirrors]\ndebian = ["http://two.example/debian", "file:///srv/debian/"]\n')
    machine.env["KILN_MIRROR_DEBIAN"] = " http://one.example/debian "
    machine.client("apt-get", "echo http://three.example/debian; echo http://two.example/debian/")
    assert list(mirrors("debian", load_config(machine.env), machine.env)) == [
        "http://one.example/debian/",
        "http://two.example/debian/",
        "file:///srv/debian/",
        "http://three.example/debian/",
    ]


def test_a_client_is_asked_only_when_every_configured_mirror_was_used(machine, tmp_path):
    machine.client("npm", f"touch {tmp_path}/asked; echo https://registry.example")
    machine.env["KILN_MIRROR_NPM"] = "https://one.example"
    found = mirrors("npm", load_config(machine.env), machine.env)
    assert next(found) == "https://one.example/"
    assert not (tmp_path / "asked").exists()
    assert next(found) == "https://registry.example/"


def test_clients_can_be_left_out(machine):
    machine.configure('[mirrors]\nclients = false\npypi = "https://one.example/simple"\n')
    machine.client("npm", "echo https://registry.example")
    config = load_config(machine.env)
    assert list(mirrors("npm", config, machine.env)) == []
    assert list(mirrors("pypi", config, machine.env)) == ["https://one.example/simple/"]
    assert "KILN_MIRROR_NPM" in how_to_configure("npm", config)


def test_xdg_config_home_is_honoured(machine, tmp_path):
    (tmp_path / "xdg" / "kiln").mkdir(parents=True)
    (tmp_path / "xdg" / "kiln" / "config.toml").write_text('[mirrors]\nnpm = "https://xdg.example/"\n')
    config = load_config({**machine.env, "XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert config.mirrors["npm"] == ("https://xdg.example/",)


@pytest.mark.parametrize(
    "text",
    [
        "[mirrors\n",
        "[mirrors]\nclients = 1\n",
        "[mirrors]\ndebian = 1\n",
        "[mirrors]\ndebian = [1]\n",
        '[mirrors]\ndebian = "mirror.example"\n',
        '[mirrors]\ndebian = "ftp://mirror.example/"\n',
        '[mirrors]\ndebian = "http://mirror.example:port/"\n',
        '[mirrors]\ndebian = "http://mirror.example/?x"\n',
        '[mirrors]\nubuntu = "http://mirror.example/"\n',
        'mirrors = "http://mirror.example/"\n',
    ],
)
def test_a_configuration_with_a_mistake_is_told(machine, text):
    machine.configure(text)
    with pytest.raises(BadConfig) as caught:
        load_config(machine.env)
    assert caught.value.found


def test_a_mirrors_password_is_never_shown(machine):
    machine.env["KILN_MIRROR_NPM"] = "https://user:secret@mirror.example/?x"
    with pytest.raises(BadConfig) as caught:
        load_config(machine.env)
    assert "secret" not in f"{caught.value.message}{caught.value.found}"


def test_apt_is_asked_with_the_arguments_it_documents(machine, tmp_path):
    machine.client("apt-get", f'printf "%s\\n" "$@" >{tmp_path}/arguments; echo http://m.example/debian/')
    assert clients.debian_mirrors(machine.env, str(machine.etc)) == ("http://m.example/debian/",)
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]


LISTED = """
# deb http://commented.example/debian x main
deb http://one.example/debian bookworm main   # first
deb [arch=amd64 signed-by=/a.gpg] http://two.example/debian bookworm main contrib
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb
"""
STANZAS = """# a comment
Types: deb deb-src
URIs: http://three.example/debian
  https://four.example/debian
# another
Suites: bookworm

Types: deb-src
URIs: http://source.example/

Enabled: no
Types: deb
URIs: http://disabled.example/

types: deb
uris: copy:/srv/copy file:/srv/file mirror+file:@LIST@ tor+http://onion.example/
"""


@pytest.mark.parametrize("script", ["exit 100", "exit 0", "sleep 0; printf ''", None])
def test_the_files_of_apt_are_read_where_apt_knows_nothing(machine, tmp_path, script):
    if script is not None:
        machine.client("apt-get", script)
    (tmp_path / "mirrors.txt").write_text("# list\nhttp://five.example/debian\tpriority:1\n")
    (machine.etc / "sources.list").write_text(LISTED)
    (machine.etc / "sources.list.d" / "b.sources").write_text(
        STANZAS.replace("@LIST@", str(tmp_path / "mirrors.txt"))
    )
    (machine.etc / "sources.list.d" / "a.list").write_text("deb http://one.example/debian sid main\n")
    (machine.etc / "sources.list.d" / "c.list.disabled").write_text("deb http://no.example/ sid main\n")
    assert clients.debian_mirrors(machine.env, str(machine.etc)) == (
        "http://one.example/debian",
        "http://two.example/debian",
        "http://three.example/debian",
        "https://four.example/debian",
        "file:/srv/copy",
        "file:/srv/file",
        "http://five.example/debian",
    )


def test_a_file_address_of_apt_is_a_mirror(machine):
    machine.client("apt-get", "echo file:/srv/debian/")
    assert list(mirrors("debian", FetchConfig(), machine.env)) == ["file:///srv/debian/"]


def test_the_index_of_pip(machine, tmp_path):
    given = {**machine.env, "PIP_INDEX_URL": "https://env.example/simple"}
    assert clients.pypi_index(given) == ("https://env.example/simple",)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://conf.example/simple\nextra-index-url = https://extra.example/\n")
    asked = {**machine.env, "PIP_CONFIG_FILE": str(config)}
    assert clients.pypi_index(asked) == ("https://conf.example/simple",)


def test_pips_own_default_is_its_last_word(machine):
    (address,) = clients.pypi_index({**machine.env, "PIP_CONFIG_FILE": os.devnull})
    assert address.startswith("https://")


def test_without_pip_no_index_is_known(machine, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert clients.pypi_index(machine.env) == ()


def test_the_registry_of_npm(machine, tmp_path):
    machine.client("npm", 'echo "npm warn" >&2; [ "$*" = "config get registry" ] && echo https://r.example/')
    assert clients.npm_registry(machine.env) == ("https://r.example/",)
    given = {**machine.env, "npm_config_registry": "https://env.example/"}
    assert clients.npm_registry(given) == ("https://env.example/",)


def test_without_npm_its_file_is_read_and_nothing_is_guessed(machine, tmp_path):
    assert clients.npm_registry(machine.env) == ()
    (tmp_path / "home" / ".npmrc").write_text("//r.example/:_authToken=x\nregistry = https://rc.example/\n")
    assert clients.npm_registry(machine.env) == ("https://rc.example/",)


def test_a_client_that_hangs_is_given_up(machine, monkeypatch):
    monkeypatch.setattr(clients, "_TIME", 0.2)
    machine.env["PATH"] += ":/usr/bin:/bin"
    machine.client("npm", "exec sleep 30")
    assert clients.npm_registry(machine.env) == ()
