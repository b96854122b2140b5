"""What this machine has seen of caches, so that none can take it back: the newest heads, rotations, revocations.

A text file, `caches-seen` in Kiln's state folder, one fact a line; addresses are percent-encoded:

    kiln-caches-seen 1
    cache https://cache.example/team team
    head https://cache.example/team 74c1…4916 7 5e0a…91bc 2026-11-21T08:30:00Z
    rotation ed25519:11qYAYKx… ed25519:PUAXw-hD… 2026-11-21T08:30:00Z
    revocation ed25519:11qYAYKx… 2027-03-01T12:00:00Z

`cache` has the address of a cache and the name that its heads call it; `head` the address, the key id, the version,
the BLAKE3 of the head's file, and when it was made.
Rotations stand in the order in which they were accepted; the first for a key is the one that counts.

With it, a head is judged by these rules; one that fails is not used, and neither is anything that it alone names:

    H1  it has not expired (a freeze: an old state is shown for ever)
    H2  its version is not below the newest that was seen (a rollback)
    H3  of one version there is one head (a fork: not everybody is shown the same)
    H4  a head that was seen before is not missing (a rollback to before its first push)
    H5  an address goes on showing the cache of the same name (another cache of the same uploaders in its place)

The file can be removed: everything is then seen for the first time, which `kiln doctor` says. Each change is merged
into what another process wrote meanwhile. A line that does not parse is an error, as it may hide a rollback.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote

from kiln.store.cache.errors import BadMemory, HeadExpired, HeadForked, HeadMissing, HeadRolledBack, OtherCache
from kiln.store.cache.head import check_cache_name
from kiln.store.errors import StoreError
from kiln.store.provenance.errors import BadSuccession
from kiln.store.provenance.keys import KeyId, PublicKey
from kiln.store.provenance.succession import Revocation, Rotation, check_rotation, succeed
from kiln.store.provenance.trust import Policy

HEADER = "kiln-caches-seen 1"
MAX_BYTES = 8 << 20
_KEYID = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class SeenHead(NamedTuple):
    """A head as it was seen: version, BLAKE3 of its file in hexadecimal, when it was made (RFC 3339)."""

    version: int
    digest: str
    made: str


@dataclass(slots=True)
class Facts:
    """What the file says. Names by the cache's address, heads by that and the key id."""

    names: dict[str, str] = field(default_factory=dict)
    heads: dict[tuple[str, str], SeenHead] = field(default_factory=dict)
    rotations: list[Rotation] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)

    def merge(self, other: Facts) -> None:
        """Take in what another process has seen, and saved first; the newest head and the first rotation win."""
        self.names.update(other.names)
        for key, head in other.heads.items():
            mine = self.heads.get(key)
            if mine is None or head.version > mine.version:
                self.heads[key] = head
        known = {item.old.keyid for item in other.rotations}
        self.rotations = [*other.rotations, *(item for item in self.rotations if item.old.keyid not in known)]
        revoked = {item.key.keyid for item in self.revocations}
        self.revocations += [item for item in other.revocations if item.key.keyid not in revoked]


class Memory:
    """The facts of one file. `save` writes what is new; without a path nothing is kept."""

    def __init__(self, path: str | None, facts: Facts, *, is_new: bool) -> None:
        self._path = path
        self._facts = facts
        self._changed = False
        self.is_new = is_new
        """Whether there was no file: everything is seen for the first time."""

    @classmethod
    def load(cls, path: str) -> Memory:
        """The memory in a file, which may be absent. Raises BadMemory."""
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return cls(path, Facts(), is_new=True)
        except OSError as error:
            raise _bad(path, error.strerror or "cannot be read") from None
        return cls(path, parse_facts(data, path), is_new=False)

    @classmethod
    def none(cls) -> Memory:
        """A memory that forgets."""
        return cls(None, Facts(), is_new=True)

    def newest(self, url: str, keyid: KeyId) -> SeenHead | None:
        """The newest head of a key that was seen in the cache at this address."""
        return self._facts.heads.get((url, keyid))

    def check_head(
        self,
        name: str,
        url: str,
        key: PublicKey,
        *,
        version: int,
        digest: str,
        expires: int,
        now: float | None = None,
    ) -> None:
        """Rules H1 to H3, for a head whose signature is good. `expires` and `now` are seconds since 1970.

        Raises HeadExpired, HeadRolledBack, HeadForked.
        """
        if expires < (time.time() if now is None else now):
            day = time.strftime("%Y-%m-%d", time.gmtime(expires))
            raise HeadExpired(
                f"the cache {name} shows a head of {key.short} that has expired: H1, it may be frozen",
                cache=name,
                found=f"version {version}, expired {day}",
                expected="a head that was renewed since",
                help="whoever holds the key pushes anything: that renews it",
            )
        seen = self.newest(url, key.keyid)
        if seen is not None and version < seen.version:
            raise HeadRolledBack(
                f"the cache {name} shows an older head of {key.short} than before: H2, a rollback",
                cache=name,
                found=f"version {version}",
                expected=f"version {seen.version} of {seen.made}, or a later one",
                help="if the cache was restored from a copy, push once more with that key",
            )
        if seen is not None and version == seen.version and digest != seen.digest:
            raise HeadForked(
                f"the cache {name} shows two heads of {key.short} of one version: H3, a fork",
                cache=name,
                found=f"version {version}, {digest[:16]}…",
                expected=f"{seen.digest[:16]}…",
                help="push once more with that key; if it happens again, somebody else may have the key",
            )

    def check_missing(self, name: str, url: str, key: PublicKey) -> None:
        """Rule H4, where the cache has no head of a key. Raises HeadMissing."""
        seen = self.newest(url, key.keyid)
        if seen is not None:
            raise HeadMissing(
                f"the cache {name} has no head of {key.short} any more: H4, a rollback",
                cache=name,
                expected=f"version {seen.version} of {seen.made}, or a later one",
                help=f"if the cache was made anew: kiln cache remove {name}, then kiln cache use {url}",
            )

    def check_name(self, name: str, url: str, card: str) -> None:
        """Rule H5: the cache at an address calls itself as it did. Raises OtherCache."""
        seen = self._facts.names.get(url)
        if seen is not None and seen != card:
            raise OtherCache(
                f"the cache {name} shows another cache in its place: H5",
                cache=name,
                found=f"one that calls itself {card}",
                expected=f"the one that called itself {seen}",
                help=f"if it was made anew: kiln cache remove {name}, then kiln cache use {url}",
            )

    def note_name(self, url: str, card: str) -> None:
        """Remember which cache is at an address; a head of a key that counts has said so."""
        if url not in self._facts.names:
            self._facts.names[url] = card
            self._changed = True

    def note_head(self, url: str, keyid: KeyId, head: SeenHead) -> None:
        """Remember a head that was accepted."""
        seen = self.newest(url, keyid)
        if seen is None or head.version > seen.version:
            self._facts.heads[url, keyid] = head
            self._changed = True

    def forget(self, url: str) -> None:
        """Forget the heads of a cache that is no longer used; written at once, as it cannot be merged."""

        def without(facts: Facts) -> None:
            facts.names.pop(url, None)
            facts.heads = {key: head for key, head in facts.heads.items() if key[0] != url}

        self._rewrite(without)

    def policy(self, policy: Policy) -> Policy:
        """The policy with the rotations and revocations that were seen."""
        facts = self._facts
        return succeed(policy, facts.rotations, facts.revocations) if facts.rotations or facts.revocations else policy

    def learn(
        self, policy: Policy, rotations: Iterable[Rotation], revocations: Iterable[Revocation]
    ) -> tuple[Policy, list[BadSuccession]]:
        """Take in what a cache's card says, of keys that count here; the policy after it, and what was refused.

        `policy` is one that `policy` has made. Signatures must have been checked (`read_succession`). Revocations
        come first: when something was signed is known from its signer alone, so that a rotation which is seen
        together with its key's revocation may be a thief's. Of two successors of one key that are seen
        together, neither is taken. A chain is followed to its end, whatever the order.
        """
        refused: list[BadSuccession] = []
        waiting = [item for item in dict.fromkeys(rotations) if item not in self._facts.rotations]
        revoking = list(revocations)
        while True:
            policy = self._revoke(policy, revoking)
            concerned = [item for item in waiting if item.old.keyid in {**policy.by_id, **policy.barred}]
            if not concerned:
                return policy, refused
            waiting = [item for item in waiting if item not in concerned]
            for rotation in concerned:
                try:
                    accepted = check_rotation(policy, [*self._facts.rotations, *concerned], rotation)
                except BadSuccession as error:
                    refused.append(error)
                    continue
                if accepted:
                    self._facts.rotations.append(rotation)
                    policy = succeed(policy, [rotation], [])
                    self._changed = True

    def _revoke(self, policy: Policy, revocations: Iterable[Revocation]) -> Policy:
        gone = {item.key.keyid for item in self._facts.revocations}
        for revocation in revocations:
            if revocation.key.keyid in policy.by_id and revocation.key.keyid not in gone:
                self._facts.revocations.append(revocation)
                policy = succeed(policy, [], [revocation])
                self._changed = True
        return policy

    def save(self) -> None:
        """Write what is new, merged with what others wrote. Raises OSError, StoreLocked, BadMemory."""
        if self._changed:
            self._rewrite(lambda facts: None)
            self._changed = False

    def _rewrite(self, change: Callable[[Facts], None]) -> None:
        if self._path is None:
            return
        from kiln.store.textfile import editing, replace

        with editing(self._path):
            self._facts.merge(Memory.load(self._path)._facts)
            change(self._facts)
            replace(self._path, format_facts(self._facts), mode=0o600)


def parse_facts(data: bytes, path: str) -> Facts:
    """Read the format above. Raises BadMemory."""
    lines = data.decode("ascii", "replace").split("\n")
    if len(data) > MAX_BYTES or lines[0] != HEADER:
        raise _bad(path, "another first line, or more than 8 MiB")
    facts = Facts()
    for number, line in enumerate(lines[1:], 2):
        if line:
            _parse_line(line, facts, f"{path}, line {number}")
    return facts


def format_facts(facts: Facts) -> str:
    """The text of the file."""
    lines = [HEADER]
    lines += [f"cache {quote(url, safe=_SAFE)} {name}" for url, name in sorted(facts.names.items())]
    for (url, keyid), head in sorted(facts.heads.items()):
        lines.append(f"head {quote(url, safe=_SAFE)} {keyid} {head.version} {head.digest} {head.made}")
    lines += [f"rotation {item.old} {item.new} {item.made}" for item in facts.rotations]
    lines += [f"revocation {item.key} {item.made}" for item in facts.revocations]
    return "\n".join(lines) + "\n"


_SAFE = "/:@!$&'()*+,;=~?[]"


def _parse_line(line: str, facts: Facts, where: str) -> None:
    try:
        match line.split(" "):
            case ["head", url, keyid, version, digest, made] if (
                _KEYID.fullmatch(keyid) and _KEYID.fullmatch(digest) and version.isdecimal() and _TIME.fullmatch(made)
            ):
                facts.heads[unquote(url), keyid] = SeenHead(int(version[:18]), digest, made)
                return
            case ["cache", url, name] if name:
                facts.names[unquote(url)] = check_cache_name(name)
                return
            case ["rotation", old, new, made] if _TIME.fullmatch(made):
                facts.rotations.append(Rotation(PublicKey.parse(old), PublicKey.parse(new), made))
                return
            case ["revocation", key, made] if _TIME.fullmatch(made):
                facts.revocations.append(Revocation(PublicKey.parse(key), made))
                return
    except StoreError:
        pass
    raise _bad(where, repr(line[:120]))


def _bad(where: str, found: str) -> BadMemory:
    return BadMemory(
        f"{where}: not what Kiln remembers of caches",
        found=found,
        help="look at it; if it is removed, rollbacks before today go unnoticed, and nothing else is lost",
    )
