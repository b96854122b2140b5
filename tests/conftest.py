"""What all tests share: surroundings for `kiln`, and what is dear to make, made once a session.

Nothing here skips: where a download or a namespace is refused, the test that needs it fails and says so.
"""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.support.home import PACKAGES, Home, target
from tests.support.nobody import Nobody, find_nobody
from tests.support.pool import lay_pool, mirrors_of
from tests.support.room import VARIABLE, keep_apart, once, open_room, remove_room

_ROOM = pytest.StashKey[str]()


def pytest_configure(config):
    # A shell's background job ignores Ctrl-C, and so would all that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if VARIABLE not in os.environ:
        config.stash[_ROOM] = open_room()
    keep_apart()


def pytest_unconfigure(config):
    if _ROOM in config.stash:
        remove_room(config.stash[_ROOM])


@pytest.fixture(scope="session")
def mirrors():
    """Mirrors on disk that hold everything the examples download. Needs the network once, in a machine's life."""
    return mirrors_of(once("pool", lambda path: lay_pool(path, map(target, PACKAGES))))


@pytest.fixture(scope="session")
def shell_home(mirrors):
    """A user whose store holds std/c's busybox and nothing else; tests copy it, with his key."""

    def make(path: str) -> None:
        Home(path, mirrors).kiln("realise", target("busybox"), "--no-link").expect()

    return once("shell", make)


@pytest.fixture
def home(tmp_path):
    """A user without a store, a mirror or a network."""
    return Home(str(tmp_path))


@pytest.fixture
def builder(tmp_path, mirrors, shell_home):
    """A user whose store holds a shell to build with."""
    home = Home(str(tmp_path), mirrors)
    for name in ("store", "config/kiln/keys"):
        home.run(["cp", "-a", os.path.join(shell_home, name), os.path.join(home.folder, name)]).expect()
    return home


@pytest.fixture(scope="session")
def first(mirrors):
    """A user who has built every package, two at a time."""

    def make(path: str) -> None:
        Home(path, mirrors).kiln("realise", *map(target, PACKAGES), "--no-link", "-j", "2").expect()

    return Home(once("first", make), mirrors)


@pytest.fixture(scope="session")
def second(mirrors):
    """Another user, on another path, who has built them one at a time; unprivileged where root runs the tests."""
    nobody = nobody_else()

    def make(path: str) -> None:
        home = nobody.home(path, mirrors) if nobody else Home(path, mirrors)
        home.kiln("realise", *map(target, PACKAGES), "--no-link", "-j", "1").expect()

    path = once("second-on-a-longer-path", make)
    return nobody.home(path, mirrors) if nobody else Home(path, mirrors)


@pytest.fixture
def ordinary(request, mirrors):
    """A user who is not root, without a store."""
    name = re.sub("[^a-z0-9]", "-", request.node.name.lower())
    folder = os.path.join(os.environ[VARIABLE], f"ordinary-{os.getpid()}-{name}")
    nobody = nobody_else()
    home = nobody.home(folder, mirrors) if nobody else Home(folder, mirrors)
    yield home
    os.chmod(home.work, 0o755)


def nobody_else() -> Nobody | None:
    """The unprivileged user, where there can be one."""
    if os.geteuid() != 0:
        return None

    def look(path: str) -> None:
        user = find_nobody(os.environ[VARIABLE])
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{user.python}\n{user.path}")

    with open(once("nobody", look), encoding="utf-8") as file:
        python, path = file.read().split("\n")
    return Nobody(python, path)
