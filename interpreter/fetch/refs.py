"""Git addresses that follow a branch or a tag, and the commit that one names now.

    git+https://host/path               what HEAD is
    git+https://host/path?ref=v2        the branch or tag v2; `refs/heads/v2` where both are there
    git+https://host/path?rev=<commit>  that commit

A ref is looked up once, when it is pinned; what is fetched is always a commit (`source.GitSource`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from kiln.interpreter.fetch.config import FetchConfig
from kiln.interpreter.fetch.errors import Attempt, BadSource, NotDelivered, Outcome, Unreachable
from kiln.interpreter.fetch.source import GitSource, parse_source, redact

HEAD: Final = "HEAD"
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*")
_NO_COMMIT: Final = "0" * 40


class GitAddress(NamedTuple):
    """`base` is the address without a query; one of `ref` and `rev` is there."""

    base: str
    ref: str | None
    rev: str | None

    def at(self, rev: str) -> str:
        """The address of one commit, as `parse_source` reads it."""
        return f"{self.base}?rev={rev}"


def is_git(address: str) -> bool:
    return address.startswith("git+")


def parse_git_address(text: str) -> GitAddress:
    """Raises BadSource."""
    base, mark, query = text.partition("?")
    key, _, value = query.partition("=")
    if not mark:
        key, value = "ref", HEAD
    if key not in ("ref", "rev") or (key == "ref" and not _is_ref(value)):
        raise BadSource(
            "a git address ends in one ref or one commit", found=repr(redact(text)[:200]), expected="?ref=… or ?rev=…"
        )
    parse_source(f"{base}?rev={value if key == 'rev' else _NO_COMMIT}")
    return GitAddress(base, value, None) if key == "ref" else GitAddress(base, None, value)


def find_commit(address: GitAddress, folder: str, config: FetchConfig, env: Mapping[str, str]) -> str:
    """The commit that the address is at now; `folder` is used, and gone afterwards.

    Raises Unreachable, NotDelivered, BadSource.
    """
    if address.rev is not None:
        return address.rev
    source = parse_source(address.at(_NO_COMMIT))
    assert isinstance(source, GitSource) and address.ref is not None
    return _choose(address.base, address.ref, _refs(source, folder, config, env))


def _refs(source: GitSource, folder: str, config: FetchConfig, env: Mapping[str, str]) -> dict[str, str]:
    from kiln.interpreter.fetch.git import GitFailed, list_refs  # GitPython: 70 ms

    if config.offline and source.transport != "file":
        attempt = Attempt(source.url, source.url, Outcome.OFFLINE, "", tries=0)
        raise Unreachable("no ref can be looked up offline", attempts=(attempt,), help="run it without --offline")
    try:
        return list_refs(source, folder, config.limits, env)
    except GitFailed as error:
        attempt = Attempt(source.url, source.url, error.outcome, error.detail)
        failure = Unreachable if attempt.is_network else NotDelivered
        raise failure("the repository does not say what its refs are", attempts=(attempt,)) from None


def _choose(base: str, ref: str, refs: Mapping[str, str]) -> str:
    names = [ref] if ref == HEAD or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    found = {name: refs[name] for name in names if name in refs}
    if not found:
        raise _no_such_ref(base, ref, refs)
    if len(set(found.values())) > 1:
        raise BadSource(
            f"`{ref}` is a branch and a tag, at two commits",
            found=", ".join(f"{name} {commit[:12]}" for name, commit in found.items()),
            expected="one of them",
            help=f"write {base}?ref=refs/heads/{ref}",
        )
    return next(iter(found.values()))


def _no_such_ref(base: str, ref: str, refs: Mapping[str, str]) -> NotDelivered:
    known = [name.removeprefix("refs/heads/").removeprefix("refs/tags/") for name in refs if name != HEAD]
    near = difflib.get_close_matches(ref, known, 1)
    return NotDelivered(
        f"the repository has no branch or tag `{ref}`",
        found=", ".join(sorted(known)[:12]) or "an empty repository",
        expected=ref,
        help=f"write {base}?ref={near[0]}" if near else None,
    )


def _is_ref(text: str) -> bool:
    return bool(_REF.fullmatch(text)) and ".." not in text and not text.endswith(("/", ".", ".lock"))
