"""The closure of an envelope as one file: JSON lines, the target first.

    {"payload":"…","payloadType":"application/vnd.in-toto+json","signatures":[…]}     the target
    {"payload":"…","payloadType":"application/vnd.in-toto+json","signatures":[…]}     what it names
    …

Each line is an envelope's file, so its BLAKE3, newline included, is the envelope's digest. Every line after the
first is named by one above it, and every envelope that a line names is there once: a reader can refuse a line
before it looks into it, and knows at the end that nothing is missing. The writer goes breadth-first.

Digests name digests, so there is no cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from kiln.store.digest import EnvelopeDigest
from kiln.store.errors import Damaged
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import BadClosure
from kiln.store.provenance.statement import envelope_digest, parse_statement
from kiln.store.provenance.trust import Policy
from kiln.store.provenance.verify import (
    VerifiedStatement,
    check_below,
    links_of,
    read_predicate,
    verify_envelope,
)

MAX_ENVELOPES = 1_000_000
MAX_BYTES = 4 * 1024**3


class Lines(Protocol):
    """A binary file open for reading."""

    def readline(self, limit: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Closure:
    """Verified envelopes by digest, in the order of the file."""

    target: EnvelopeDigest
    statements: Mapping[EnvelopeDigest, VerifiedStatement]

    def bottom_up(self) -> list[VerifiedStatement]:
        """Every statement after all that it names; the target is last."""
        done: dict[EnvelopeDigest, VerifiedStatement] = {}
        stack = [(self.target, iter(self.statements[self.target].links))]
        entered = {self.target}
        while stack:
            digest, links = stack[-1]
            below = next((link for link in links if link not in entered), None)
            if below is None:
                stack.pop()
                done[digest] = self.statements[digest]
            else:
                entered.add(below)
                stack.append((below, iter(self.statements[below].links)))
        return list(done.values())


def write_closure(target: EnvelopeDigest, read: Callable[[EnvelopeDigest], bytes]) -> Iterator[bytes]:
    """The lines of the file. `read` gives an envelope's bytes by digest, and raises if it has none.

    What is read here decides nothing but which files are copied; whoever reads the file verifies.
    Raises Damaged for bytes that are not what their digest says, BadEnvelope, and what `read` raises.
    """
    queue, named = [target], {target}
    for digest in queue:
        data = read(digest)
        if envelope_digest(data) != digest:
            raise Damaged("an envelope is not what its digest says", expected=str(digest))
        for link in unverified_links(data):
            if link not in named:
                named.add(link)
                queue.append(link)
        yield data


def unverified_links(data: bytes) -> tuple[EnvelopeDigest, ...]:
    """The envelopes that an envelope names, whoever signed it: for finding files, never for trust."""
    return links_of(read_predicate(parse_statement(dsse.parse(data).payload)))


def read_closure(file: Lines, policy: Policy, target: EnvelopeDigest | None = None) -> Closure:
    """Read and verify the whole file: every signature, every link, and that nothing is missing.

    `target` is the envelope that must stand first, if the caller knows. Raises BadClosure, DependencyMismatch
    and what `verify_envelope` raises.
    """
    wanted = set() if target is None else {target}
    statements: dict[EnvelopeDigest, VerifiedStatement] = {}
    first: EnvelopeDigest | None = target
    for number, line in enumerate(_lines(file), 1):
        digest = envelope_digest(line)
        if first is None:
            first = digest
            wanted.add(digest)
        if digest not in wanted or (number == 1 and digest != first):
            raise _not_wanted(number, digest, first if number == 1 else None, digest in statements)
        verified = verify_envelope(line, policy)
        wanted.remove(digest)
        statements[digest] = verified
        wanted.update(link for link in verified.links if link not in statements)
    if first is None or wanted:
        raise _missing(wanted)
    for verified in statements.values():
        check_below(verified.said, statements)
    return Closure(first, statements)


def _lines(file: Lines) -> Iterator[bytes]:
    total = 0
    for _ in range(MAX_ENVELOPES):
        line = file.readline(dsse.MAX_ENVELOPE + 1)
        if not line:
            return
        total += len(line)
        if len(line) > dsse.MAX_ENVELOPE or total > MAX_BYTES:
            raise BadClosure(
                "a file of envelopes is too large",
                expected=f"at most {dsse.MAX_ENVELOPE} bytes a line, {MAX_BYTES} in all",
            )
        if not line.endswith(b"\n"):
            raise BadClosure("a file of envelopes ends within a line", expected="a newline at the end")
        yield line
    if file.readline(1):
        raise BadClosure("a file of envelopes is too large", expected=f"at most {MAX_ENVELOPES} lines")


def _not_wanted(number: int, digest: EnvelopeDigest, target: EnvelopeDigest | None, again: bool) -> BadClosure:
    if target is not None:
        return BadClosure("the file begins with another envelope", expected=str(target), found=str(digest))
    return BadClosure(
        f"line {number} holds an envelope that stands above" if again else f"line {number} is not named by one above",
        expected="envelopes that lines above it name, each once",
        found=str(digest),
    )


def _missing(wanted: set[EnvelopeDigest]) -> BadClosure:
    if not wanted:
        return BadClosure("a file of envelopes is empty", expected="one line or more")
    return BadClosure(
        "a file of envelopes does not hold all that they name",
        expected=str(min(wanted)),
        found=f"{len(wanted)} missing",
        help="write it again where it was made: kiln show TARGET --provenance --closure",
    )
