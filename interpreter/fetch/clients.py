"""What the machine's own clients know: the mirrors of apt, the index of pip, the registry of npm.

A client is asked by running it, without a shell, with a time limit and with its own environment; one that is
absent, fails or takes too long knows nothing. No address is built into Kiln.

apt: `apt-get indextargets` prints the base addresses of the lists that were downloaded. Where none ever was,
the files that apt reads are read: one-line `sources.list` (sources.list(5)) and deb822 `.sources`. Of apt's
methods http, https, file, copy and mirror+file are understood (a list of addresses in a file, apt-transport-
mirror(1)); the others, and addresses with a `+` method, are left to apt.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping

_TIME = 20.0
_PIP = """
from pip._internal.configuration import Configuration
settings = Configuration(isolated=False)
settings.load()
found = {}
for key, value in settings.items():
    found.update(value if isinstance(value, dict) else {key: value})
for key in (":env:.index-url", "download.index-url", "install.index-url", "global.index-url"):
    if found.get(key):
        print(found[key])
        break
else:
    from pip._internal.models.index import PyPI
    print(PyPI.simple_url)
"""


def debian_mirrors(env: Mapping[str, str], folder: str = "/etc/apt") -> tuple[str, ...]:
    """Base addresses of the Debian archives that apt is set up with, in apt's order, each once."""
    printed = _ask(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], env).splitlines()
    found = _usable(printed) or _usable(_listed_in(folder))
    return tuple(dict.fromkeys(found))


def pypi_index(env: Mapping[str, str]) -> tuple[str, ...]:
    """The one index that pip would use; extra indexes are not followed."""
    given = env.get("PIP_INDEX_URL", "").strip()
    if given:
        return (given,)
    for python in dict.fromkeys([sys.executable, "python3"]):
        address = _ask([python, "-c", _PIP], env).strip()
        if address:
            return (address,)
    return ()


def npm_registry(env: Mapping[str, str]) -> tuple[str, ...]:
    """The registry that npm would use."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if env.get(name, "").strip():
            return (env[name].strip(),)
    printed = _ask(["npm", "config", "get", "registry"], env).strip()
    if printed and printed != "undefined":
        return (printed,)
    return tuple(_npmrc(os.path.join(env.get("HOME", "/"), ".npmrc")))


def one_line_sources(text: str) -> Iterator[str]:
    """The addresses of `deb` lines in a sources.list."""
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", " ", line.partition("#")[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            yield words[1]


def deb822_sources(text: str) -> Iterator[str]:
    """The addresses of enabled `deb` stanzas in a .sources file."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in (
            "no",
            "false",
        ):
            yield from fields.get("uris", "").split()


def _fields(stanza: str) -> dict[str, str]:
    """A deb822 stanza: `Name: value`, continued by lines that begin with a space; `#` lines are comments."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = fields.get(name, "") + " " + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _ask(command: list[str], env: Mapping[str, str]) -> str:
    import subprocess

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIME,
            cwd="/",
            env=dict(env),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _listed_in(folder: str) -> Iterator[str]:
    """The addresses in apt's own files, in the order in which apt reads them."""
    parts = os.path.join(folder, "sources.list.d")
    try:
        names = sorted(os.listdir(parts))
    except OSError:
        names = []
    for path in (os.path.join(folder, "sources.list"), *(os.path.join(parts, name) for name in names)):
        if path.endswith(".list"):
            yield from one_line_sources(_text(path))
        elif path.endswith(".sources"):
            yield from deb822_sources(_text(path))


def _usable(addresses: Iterable[str]) -> list[str]:
    found: list[str] = []
    for address in map(str.strip, addresses):
        scheme, _, rest = address.partition(":")
        match scheme:
            case "http" | "https" | "file":
                found.append(address)
            case "copy":
                found.append("file:" + rest)
            case "mirror+file":
                found.extend(_usable(_mirror_list("/" + rest.strip("/"))))
            case _:
                pass
    return found


def _mirror_list(path: str) -> list[str]:
    lines = (line.partition("#")[0].split() for line in _text(path).splitlines())
    return [words[0] for words in lines if words]


def _npmrc(path: str) -> Iterator[str]:
    for line in _text(path).splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == "registry":
            yield value.strip().strip("\"'")


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
