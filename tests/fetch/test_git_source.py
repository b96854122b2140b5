"""Commits over every transport: the same file each time, whatever the user's git is set up to do."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socketserver
import subprocess
import threading

import pytest
from webdouble import status

from kiln.interpreter.derivation import Fixed
from kiln.interpreter.fetch.errors import HashMismatch, NotDelivered, Outcome
from kiln.interpreter.fetch.fetch import fetch_fixed
from kiln.interpreter.fetch.unpack import unpack

AUTHOR = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}


GOLDEN = {
    "old": "dc6402a3a7bb14071e23cf8f36f0afcf7e2033eb93b5b936a7654e3f719ac1b0",
    "new": "03d57df91b0d7485891252c99ad7b6e575da38a69ff2cbdaecad726d951c45be",
}
"""The SHA-256 of the two commits' archives."""


class Repository:
    """A repository with two commits; `old` is no branch's tip."""

    def __init__(self, folder):
        self.work, self.bare = folder / "work", folder / "served" / "repo.git"
        self.env = {**AUTHOR, "HOME": str(folder)}
        self.work.mkdir()
        self.git("init", "-q", "-b", "main")
        (self.work / "README").write_text("old\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "old")
        self.old = self.git("rev-parse", "HEAD")
        (self.work / "README").write_text("new\n")
        (self.work / ".gitattributes").write_text("* text eol=crlf\nhidden export-ignore\nREADME export-subst\n")
        (self.work / "hidden").write_text("$Format:%H$\n")
        (self.work / "bin").mkdir()
        (self.work / "bin" / "run").write_text("#!/bin/sh\n")
        (self.work / "bin" / "run").chmod(0o755)
        (self.work / "bin" / "link").symlink_to("run")
        (self.work / "ümlaut").mkdir()
        (self.work / "ümlaut" / "large").write_bytes(b"0123456789" * 100_000)
        self.git("add", "-A")
        self.git("update-index", "--add", "--cacheinfo", f"160000,{self.old},module")
        self.git("commit", "-q", "-m", "new")
        self.new = self.git("rev-parse", "HEAD")
        self.publish()

    def git(self, *arguments, cwd=None, data=None):
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=cwd or self.work, env=self.env, input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def publish(self):
        self.bare.parent.mkdir(exist_ok=True)
        self.git("clone", "-q", "--bare", str(self.work), str(self.bare))
        self.git("update-server-info", cwd=self.bare)

    @property
    def url(self):
        return f"file://{self.bare}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("git"))


def smart(folder):
    """`git http-backend`, the CGI program of git itself (git-http-backend(1))."""

    def behave(handler):
        path, _, query = handler.path.partition("?")
        env = {
            **AUTHOR,
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        data = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        done = subprocess.run(["git", "http-backend"], env=env, input=data, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        code = int(fields.pop("Status", "200").split()[0])
        handler.answer(code, content, **{name.replace("-", "_"): value for name, value in fields.items()})

    return behave


def dumb(folder):
    """Plain files."""

    def behave(handler):
        path = folder / handler.path.partition("?")[0].lstrip("/")
        if path.is_file():
            handler.answer(200, path.read_bytes())
        else:
            handler.answer(404)

    return behave


@pytest.fixture
def daemon(repository):
    """git daemon behind a socket of its own, as inetd would run it."""

    class Serve(socketserver.BaseRequestHandler):
        def handle(self):
            command = ["git", "-c", "safe.directory=*", "daemon", "--inetd", "--export-all"]
            subprocess.run(
                [*command, f"--base-path={repository.bare.parent}", str(repository.bare.parent)],
                stdin=self.request,
                stdout=self.request,
                stderr=subprocess.DEVNULL,
                env={**AUTHOR, "HOME": "/nonexistent"},
                check=False,
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"git://127.0.0.1:{server.server_address[1]}/repo.git"
        server.shutdown()
        thread.join()


@pytest.fixture
def addresses(repository, web, other_web, daemon):
    web.otherwise = smart(repository.bare.parent)
    other_web.otherwise = dumb(repository.bare.parent)
    return {
        "file": repository.url,
        "daemon": daemon,
        "smart": web.url("/repo.git"),
        "dumb": other_web.url("/repo.git"),
    }


def get(folder, config, url, rev, sha256=None, env=None):
    """Fetch a commit; without a pin, by the digest that a first, failing fetch finds."""
    folder.mkdir(exist_ok=True)
    source = f"git+{url}?rev={rev}"
    dest = str(folder / "tree.tar")
    given = {"PATH": os.environ["PATH"], **(env or {})}
    if sha256 is None:
        with pytest.raises(HashMismatch) as caught:
            fetch_fixed(Fixed("tree.tar", False, "sha256", bytes(32)), [source], dest, config, env=given)
        sha256 = caught.value.found.removeprefix("sha256:")
    pin = Fixed("tree.tar", False, "sha256", bytes.fromhex(sha256))
    return fetch_fixed(pin, [source], dest, config, env=given)


def tree(fetched, folder):
    unpack(fetched.path, str(folder))
    return folder


def fails(folder, config, url, rev, env=None):
    folder.mkdir(exist_ok=True)
    pin = Fixed("tree.tar", False, "sha256", bytes(32))
    with pytest.raises(NotDelivered) as caught:
        fetch_fixed(
            pin,
            [f"git+{url}?rev={rev}"],
            str(folder / "tree.tar"),
            config,
            env={"PATH": os.environ["PATH"], **(env or {})},
        )
    assert os.listdir(folder) == []
    return caught.value.attempts[0]


@pytest.mark.parametrize("commit", ["old", "new"])
def test_every_transport_gives_the_same_bytes(repository, addresses, patient, tmp_path, commit):
    rev = getattr(repository, commit)
    digests = {name: get(tmp_path / name, patient, url, rev).sha256 for name, url in addresses.items()}
    assert len(set(digests.values())) == 1, digests


def test_the_tree_is_what_git_holds(repository, patient, tmp_path):
    fetched = get(tmp_path / "d", patient, repository.url, repository.new)
    root = tree(fetched, tmp_path / "out")
    assert (root / "README").read_bytes() == b"new\n"
    assert (root / "hidden").read_text() == "$Format:%H$\n"
    assert os.readlink(root / "bin" / "link") == "run"
    assert (root / "bin" / "run").stat().st_mode & 0o100
    assert not (root / "README").stat().st_mode & 0o100
    assert (root / "ümlaut" / "large").stat().st_size == 1_000_000
    assert os.listdir(root / "module") == []
    assert not (root / ".git").exists()
    assert fetched.warnings == ("submodules are left as empty directories: 'module'",)
    assert sorted(os.listdir(tmp_path / "d")) == [
        next(name for name in os.listdir(tmp_path / "d") if name.startswith("mismatch")),
        "tree.tar",
    ]


@pytest.mark.parametrize("commit", ["old", "new"])
def test_a_pin_of_a_commit_holds_for_ever(repository, patient, tmp_path, commit):
    """The bytes are those of GNU tar over git's tree; they may never change, or every pin of a commit breaks."""
    rev = getattr(repository, commit)
    fetched = get(tmp_path / "d", patient, repository.url, rev, GOLDEN[commit])
    options = "--format=pax --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 --mode=a=rX"
    options += " --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
    command = ["tar", "-c", *options.split(), "-C", str(tree(fetched, tmp_path / "out")), "."]
    data = subprocess.run(command, capture_output=True, check=True, env={**AUTHOR, "LC_ALL": "C"}).stdout
    assert hashlib.sha256(data).hexdigest() == GOLDEN[commit]


@pytest.mark.parametrize("transport", ["file", "daemon", "smart", "dumb"])
def test_a_commit_that_is_not_there(addresses, patient, tmp_path, transport):
    attempt = fails(tmp_path / "d", patient, addresses[transport], "0" * 39 + "1")
    assert attempt.outcome is Outcome.MISSING, attempt.detail


@pytest.mark.parametrize("transport", ["file", "daemon", "smart", "dumb"])
def test_a_repository_that_is_not_there(repository, addresses, patient, tmp_path, transport):
    url = addresses[transport].replace("repo.git", "other.git")
    attempt = fails(tmp_path / "d", patient, url, repository.new)
    assert attempt.outcome in (Outcome.MISSING, Outcome.REFUSED), attempt.detail


def test_a_tree_is_no_commit(repository, patient, tmp_path):
    rev = repository.git("rev-parse", "HEAD^{tree}")
    attempt = fails(tmp_path / "d", patient, repository.url, rev)
    assert attempt.outcome is Outcome.MISSING


def test_nobody_listens(repository, patient, tmp_path, other_web):
    url = other_web.url("/repo.git")
    other_web.close()
    attempt = fails(tmp_path / "d", patient, url, repository.new)
    assert attempt.outcome is Outcome.UNREACHABLE, attempt.detail
    assert attempt.is_network


def test_a_server_that_wants_a_password_gets_no_prompt(repository, patient, tmp_path, web):
    web.otherwise = status(401, WWW_Authenticate='Basic realm="x"')
    attempt = fails(tmp_path / "d", patient, web.url("/repo.git"), repository.new)
    assert attempt.outcome is Outcome.REFUSED, attempt.detail


def test_a_server_may_not_lead_to_another_transport(repository, patient, tmp_path, web):
    """The place that it leads to has the commit: were it followed, the fetch would bring a file."""

    def lead(handler):
        path = handler.path.removeprefix("/repo.git")
        handler.answer(302, Location=repository.url + path)

    web.otherwise = lead
    attempt = fails(tmp_path / "d", patient, web.url("/repo.git"), repository.new)
    assert attempt.outcome is Outcome.BAD_ANSWER, attempt.detail


def test_the_users_configuration_is_not_read(repository, patient, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    trap = tmp_path / "trap"
    (home / ".gitconfig").write_text(
        f'[url "file:///nonexistent"]\n\tinsteadOf = file://\n[core]\n\thooksPath = {home}\n'
        f"\tfsmonitor = touch {trap}\n[protocol]\n\tallow = never\n"
    )
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (home / hook).write_text(f"#!/bin/sh\ntouch {trap}\n")
        (home / hook).chmod(0o755)
    env = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_DIR": str(home),
        "GIT_OBJECT_DIRECTORY": str(home),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "protocol.allow",
        "GIT_CONFIG_VALUE_0": "never",
    }
    assert get(tmp_path / "d", patient, repository.url, repository.new, env=env).size > 0
    assert not trap.exists()


def test_the_environment_of_this_process_is_not_seen_by_git(repository, patient, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nonexistent")
    assert get(tmp_path / "d", patient, repository.url, repository.new).size > 0


def test_without_git(repository, patient, tmp_path):
    (tmp_path / "bin").mkdir()
    attempt = fails(tmp_path / "d", patient, repository.url, repository.new, env={"PATH": str(tmp_path / "bin")})
    assert (attempt.outcome, attempt.detail) == (Outcome.LOCAL, "git is not installed")


def test_offline_reads_local_repositories_alone(repository, patient, tmp_path, web):
    config = dataclasses.replace(patient, offline=True)
    attempt = fails(tmp_path / "d", config, web.url("/repo.git"), repository.new)
    assert attempt.outcome is Outcome.OFFLINE
    assert get(tmp_path / "d", config, repository.url, repository.new).size > 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_of_another_user_is_read(patient, tmp_path):
    repository = Repository(tmp_path)
    for folder, names, files in os.walk(repository.bare):
        for name in [".", *names, *files]:
            os.chown(os.path.join(folder, name), 12345, 12345)
    assert get(tmp_path / "d", patient, repository.url, repository.new).size > 0


@pytest.mark.parametrize("name", [b"..", b"a\nb"], ids=["climbs", "line end"])
def test_a_tree_that_no_directory_can_hold(patient, tmp_path, name):
    repository = Repository(tmp_path)
    blob = repository.git("hash-object", "-w", "--stdin", data=b"x")
    entry = b"100644 " + name + b"\0" + bytes.fromhex(blob)
    folder = repository.git("hash-object", "-t", "tree", "--literally", "-w", "--stdin", data=entry)
    rev = repository.git("commit-tree", folder, "-m", "hostile")
    repository.git("update-ref", "refs/heads/hostile", rev)
    attempt = fails(tmp_path / "d", patient, f"file://{repository.work}", rev)
    assert attempt.outcome is Outcome.BAD_ANSWER
    assert "entry" in attempt.detail


def test_a_repository_that_names_objects_by_sha256(patient, tmp_path):
    env = {**AUTHOR, "HOME": str(tmp_path)}

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=tmp_path / "r", env=env, check=True, capture_output=True)
        return done.stdout.decode().strip()

    (tmp_path / "r").mkdir()
    git("init", "-q", "--object-format=sha256")
    (tmp_path / "r" / "a").write_text("x")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    rev = git("rev-parse", "HEAD")
    assert len(rev) == 64
    assert get(tmp_path / "d", patient, f"file://{tmp_path}/r", rev).size > 0
