"""A commit's tree, as one file: the canonical archive of what git has under that commit id.

    fetch     into a new bare repository: the commit alone (depth 1) where the server allows it, else
              everything it has (dumb HTTP, old servers)
    list      `git ls-tree`: modes, object ids, sizes, names
    write     the blobs as they are: no checkout filter, no line endings, no export-ignore, no export-subst
    archive   `kiln.store.archive.canonical_tar` of that tree; the pin speaks of these bytes

git runs with an environment and a HOME of its own: no user or system configuration, no hooks, no credential
helper, no prompt, and one allowed protocol, that of the address. From outside come PATH, the proxy variables,
the certificates and `~/.netrc`. Submodules are not followed: each is an empty directory, and told; what one
holds is a source of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from kiln.interpreter.fetch.config import Limits
from kiln.interpreter.fetch.entries import Directory, Entry, File, Symlink, parse_path, shown
from kiln.interpreter.fetch.errors import Outcome
from kiln.interpreter.fetch.sink import Sink
from kiln.interpreter.fetch.source import GitSource
from kiln.interpreter.fetch.streams import CHUNK, MAX_BYTES, Budget
from kiln.interpreter.fetch.treewriter import TreeWriter

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_CERTIFICATES = ("GIT_SSL_CAINFO", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_SIGNS = (
    (Outcome.UNREACHABLE, ("could not resolve", "couldn't resolve", "unable to look up")),
    (Outcome.UNREACHABLE, ("refused", "failed to connect", "couldn't connect", "unable to connect")),
    (Outcome.UNREACHABLE, ("timed out", "unreachable", "certificate", "no route")),
    (Outcome.REFUSED, ("authentication", "could not read username", "terminal prompts", "error: 403")),
    (Outcome.MISSING, ("not found", "does not exist", "does not appear to be", "not exported", "error: 404")),
    (Outcome.BROKEN, ("early eof", "hung up", "too slow", "operation too slow", "rpc failed")),
)


class GitFailed(Exception):
    """A commit that could not be had."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome, self.detail = outcome, detail


class _Item(NamedTuple):
    mode: bytes
    oid: str
    size: int
    name: bytes


def fetch_commit(source: GitSource, sink: Sink, limits: Limits, env: Mapping[str, str]) -> tuple[str, ...]:
    """Write the archive of the commit's tree into the sink; what the user should know about it.

    Works in `<the sink's path>.git` and `.tree`, which are gone afterwards. Raises GitFailed, CannotKeep,
    and UnpackError for a tree that no directory can hold.
    """
    repository, tree = sink.path + ".git", sink.path + ".tree"
    try:
        git = _Git(source, repository, limits, env)
        git.fetch()
        items = git.list()
        os.mkdir(tree)
        with TreeWriter(tree, Budget(MAX_BYTES)) as writer, git.blobs() as blobs:
            for entry in _entries(items, blobs):
                writer.add(entry)
        _archive(tree, sink)
        return _submodules(items)
    finally:
        shutil.rmtree(repository, ignore_errors=True)
        shutil.rmtree(tree, ignore_errors=True)


def list_refs(source: GitSource, folder: str, limits: Limits, env: Mapping[str, str]) -> dict[str, str]:
    """Every ref of the repository with its commit id, and HEAD; a tag's is what it points to in the end.

    `source.rev` is not looked at; `folder` is on a disk where something can be written, and is gone afterwards.
    Raises GitFailed.
    """
    try:
        return _Git(source, folder, limits, env).refs()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _entries(items: list[_Item], blobs: _Blobs) -> Iterator[Entry]:
    for item in items:
        path = parse_path(item.name)
        match item.mode:
            case b"040000" | b"160000":
                yield Directory(path)
            case b"120000":
                yield Symlink(path, b"".join(blobs.read(item)))
            case _:
                yield File(path, item.mode == b"100755", item.size, blobs.read(item))


def _submodules(items: list[_Item]) -> tuple[str, ...]:
    names = [shown(item.name) for item in items if item.mode == b"160000"]
    if not names:
        return ()
    return (f"submodules are left as empty directories: {', '.join(names[:10])}",)


def _archive(tree: str, sink: Sink) -> None:
    from kiln.store.archive import canonical_tar

    canonical_tar(tree, sink.write)


class _Git:
    """git, run through GitPython in a clean environment on one bare repository."""

    def __init__(self, source: GitSource, repository: str, limits: Limits, env: Mapping[str, str]) -> None:
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # read when GitPython is imported
        from git import Git

        shutil.rmtree(repository, ignore_errors=True)
        os.makedirs(os.path.join(repository, "home"), mode=0o700)
        self._source = source
        self._limits = limits
        self._repository = repository
        self._git = Git(repository)
        self._command = ["env", "-i", *_environment(source, repository, env), "git"]
        _write_config(source, os.path.join(repository, "home"), limits, env)

    def fetch(self) -> None:
        """Have the commit. Raises GitFailed."""
        self._run("init", "--quiet", "--bare", "--template=", *_object_format(self._source.rev), ".")
        common = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        url, rev = self._source.url, self._source.rev
        try:
            self._run(*common, "--depth=1", "--", url, rev)
        except GitFailed as alone:
            if alone.outcome in (Outcome.UNREACHABLE, Outcome.LOCAL, Outcome.STALLED):
                raise
            self._run(*common, "--", url, "+refs/*:refs/kiln/*")
        try:
            self._run("rev-parse", "--quiet", "--verify", f"{rev}^{{commit}}")
        except GitFailed:
            raise GitFailed(Outcome.MISSING, f"the repository has no commit {rev}") from None

    def refs(self) -> dict[str, str]:
        """What `git ls-remote` prints; the line `REF^{}` of an annotated tag follows the tag's own."""
        self._run("init", "--quiet", "--bare", "--template=", ".")
        printed = self._run("ls-remote", "--quiet", "--", self._source.url).decode("utf-8", "replace")
        pairs = (line.split("\t", 1) for line in printed.splitlines() if "\t" in line)
        return {name.removesuffix("^{}"): oid for oid, name in pairs}

    def list(self) -> list[_Item]:
        """Every directory, file, symlink and submodule of the commit."""
        printed = self._run("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", self._source.rev)
        return [_item(line) for line in printed.split(b"\0") if line]

    def blobs(self) -> _Blobs:
        import subprocess

        process: Any = self._git.execute(
            [*self._command, "cat-file", "--batch"], as_process=True, istream=subprocess.PIPE
        )
        return _Blobs(process)

    def _run(self, *arguments: str) -> bytes:
        from git.exc import GitCommandError, GitCommandNotFound

        try:
            printed: Any = self._git.execute(
                [*self._command, *arguments],
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=self._limits.git,
            )
            return bytes(printed)
        except GitCommandNotFound:
            raise GitFailed(Outcome.LOCAL, "env(1) is not there") from None
        except GitCommandError as error:
            raise _failed(error.status, str(error.stderr)) from None


class _Blobs:
    """`git cat-file --batch`: an object id a line goes in; a line with id, type and size, the bytes and a
    line end come out."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self._in: IO[bytes] = process.proc.stdin
        self._out: IO[bytes] = process.proc.stdout

    def __enter__(self) -> _Blobs:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._out.close()
        process = self._process.proc
        process.stderr.close()
        process.wait()

    def read(self, item: _Item) -> Iterator[bytes]:
        self._in.write(item.oid.encode() + b"\n")
        self._in.flush()
        head = self._out.readline().split()
        if head[1:2] != [b"blob"] or int(head[2]) != item.size:
            raise GitFailed(Outcome.BAD_ANSWER, f"git does not give the blob {item.oid}")
        left = item.size
        while left:
            piece = self._out.read(min(left, CHUNK))
            if not piece:
                raise GitFailed(Outcome.BAD_ANSWER, f"git broke off in the blob {item.oid}")
            left -= len(piece)
            yield piece
        self._out.read(1)


def _item(line: bytes) -> _Item:
    """`MODE TYPE OID SIZE\\tNAME`; the size of what is no blob is `-`."""
    head, _, name = line.partition(b"\t")
    mode, _, oid, size = head.split()
    return _Item(mode, oid.decode(), 0 if size == b"-" else int(size), name)


def _object_format(rev: str) -> tuple[str, ...]:
    return ("--object-format=sha256",) if len(rev) == 64 else ()


def _environment(source: GitSource, repository: str, env: Mapping[str, str]) -> list[str]:
    """All that git sees of the environment, as `NAME=value` for env(1)."""
    home = os.path.join(repository, "home")
    values = {
        "PATH": env.get("PATH", os.defpath),
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LC_ALL": "C",
        "GIT_DIR": repository,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": source.transport,
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    for name in _PROXIES:
        for variant in (name, name.upper()):
            if env.get(variant):
                values[variant] = env[variant]
    bundle = next((env[name] for name in _CERTIFICATES if env.get(name)), None)
    if bundle is not None:
        values["GIT_SSL_CAINFO"] = bundle
    return [f"{name}={value}" for name, value in values.items()]


def _write_config(source: GitSource, home: str, limits: Limits, env: Mapping[str, str]) -> None:
    """The one configuration that git reads. A repository of this machine may belong to another user: it is
    read, and nothing in it is run."""
    lines = [
        "[protocol]\n\tallow = never",
        f'[protocol "{source.transport}"]\n\tallow = always',
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\taskPass = false",
        "[credential]\n\thelper =",
        "[submodule]\n\trecurse = false",
        "[gc]\n\tauto = 0",
        f"[http]\n\tlowSpeedLimit = {limits.floor}\n\tlowSpeedTime = {max(1, int(limits.silence))}",
    ]
    if source.transport == "file":
        path = unquote(urlsplit(source.url).path)
        for folder in (path, path.rstrip("/") + "/.git"):
            lines.append(f"[safe]\n\tdirectory = {_quoted(folder)}")
    with open(os.path.join(home, ".gitconfig"), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(lines) + "\n")
    netrc = os.path.join(env.get("HOME", "/"), ".netrc")
    if os.path.isfile(netrc):
        os.symlink(netrc, os.path.join(home, ".netrc"))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _failed(status: object, stderr: str) -> GitFailed:
    said = stderr.strip().removeprefix("stderr: ").strip("'")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    detail = "; ".join(lines[-3:])[:400] or f"git ended with {status}"
    if "timeout" in stderr.lower() and "was killed" in stderr.lower():
        return GitFailed(Outcome.STALLED, "git took too long")
    if status == 127:
        return GitFailed(Outcome.LOCAL, "git is not installed")
    text = stderr.lower()
    for outcome, signs in _SIGNS:
        if any(sign in text for sign in signs):
            return GitFailed(outcome, detail)
    return GitFailed(Outcome.BAD_ANSWER, detail)
