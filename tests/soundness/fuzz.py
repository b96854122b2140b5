"""The fuzzer: `python -m tests.soundness.fuzz [--inputs N] [--seed S] [--jobs J]`.

Input number i of seed S is always the same, whatever is run beside it. Each is parsed, checked and, where nothing is
wrong with it, evaluated (oracle.py). A fault is printed with its input, made as small as lines, tokens and characters
can be left out. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tests.soundness.mutate import an_input
from tests.soundness.oracle import Verdict, judge

SLOW: Final = 5.0
"""Seconds of CPU that no input may take."""
_STRIDE: Final = 500


class Found(NamedTuple):
    """A fault, and the number of its input."""

    number: int
    source: bytes
    fault: str


class Tally(NamedTuple):
    refused: int
    ran: int
    codes: collections.Counter[str]


def examine(source: bytes) -> Verdict:
    """The oracle's verdict, in which slowness is a fault too."""
    began = time.process_time()
    verdict = judge(source)
    took = time.process_time() - began
    if verdict.fault is None and took > SLOW and "K0418" not in verdict.codes:
        return verdict._replace(fault=f"slow: {took:.1f} s")
    return verdict


def fuzz(seed: int, first: int, last: int) -> tuple[Tally, list[Found]]:
    """Examine the inputs `first` to before `last`."""
    tally = Tally(0, 0, collections.Counter())
    found: list[Found] = []
    for number in range(first, last):
        source = an_input(seed, number)
        verdict = examine(source)
        tally.codes.update(set(verdict.codes))
        tally = tally._replace(refused=tally.refused + (not verdict.ran), ran=tally.ran + verdict.ran)
        if verdict.fault is not None:
            found.append(Found(number, source, verdict.fault))
    return tally, found


def kind_of(fault: str) -> str:
    """What two faults of one cause have in common: the exception and the innermost line."""
    lines = fault.strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    head = re.sub(r"\d+|`[^`]*`|'[^']*'", "…", lines[0])[:60]
    return f"{head} @ {places[-1] if places else ''}"


def minimise(source: bytes, same: Callable[[bytes], bool], seconds: float = 20.0) -> bytes:
    """A smaller input of which `same` still holds: lines, then words, then characters are left out, in halves."""
    deadline = time.monotonic() + seconds
    text = source.decode("utf-8", "surrogateescape")
    for pattern in (r"[^\n]*\n|[^\n]+", r"\w+|\s+|[^\w\s]", r"(?s)."):
        text = "".join(_fewer(re.findall(pattern, text), same, deadline))
    return text.encode("utf-8", "surrogateescape")


def _fewer(parts: list[str], same: Callable[[bytes], bool], deadline: float) -> list[str]:
    size = max(1, len(parts) // 2)
    while size and time.monotonic() < deadline:
        at, changed = 0, False
        while at < len(parts) and time.monotonic() < deadline:
            tried = parts[:at] + parts[at + size :]
            if same("".join(tried).encode("utf-8", "surrogateescape")):
                parts, changed = tried, True
            else:
                at += size
        if not changed:
            size //= 2
    return parts


def told(found: Found, seed: int) -> str:
    """A fault with its smallest input."""
    kind = kind_of(found.fault)

    def same(source: bytes) -> bool:
        fault = examine(source).fault
        return fault is not None and kind_of(fault) == kind

    small = minimise(found.source, same)
    shown = small.decode("utf-8", "backslashreplace")
    return f"==== seed {seed}, input {found.number}\n{shown}\n---- {examine(small).fault or found.fault}\n"


def _part(job: tuple[int, int, int]) -> tuple[Tally, list[Found]]:
    return fuzz(*job)


def _parts(seed: int, first: int, inputs: int, jobs: int) -> Iterator[tuple[Tally, list[Found]]]:
    end = first + inputs
    work = [(seed, at, min(at + _STRIDE, end)) for at in range(first, end, _STRIDE)]
    if jobs == 1:
        yield from map(_part, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=40) as pool:
        yield from pool.imap(_part, work)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soundness.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(argv)
    began, done, kinds = time.monotonic(), 0, collections.Counter[str]()
    total = Tally(0, 0, collections.Counter())
    for tally, found in _parts(args.seed, args.first, args.inputs, args.jobs):
        total = Tally(total.refused + tally.refused, total.ran + tally.ran, total.codes + tally.codes)
        done += tally.refused + tally.ran
        for item in found:
            kinds[kind_of(item.fault)] += 1
            if kinds[kind_of(item.fault)] == 1:
                print(told(item, args.seed), flush=True)
        if done % 20_000 < _STRIDE:
            rate = done / (time.monotonic() - began)
            print(f"{done:,} inputs, {rate:.0f} a second, {sum(kinds.values())} faults", file=sys.stderr, flush=True)
    print(f"{done:,} inputs of seed {args.seed}: {total.refused:,} refused, {total.ran:,} ran")
    print(f"codes: {', '.join(f'{code} {count:,}' for code, count in sorted(total.codes.items()))}")
    print(f"faults: {sum(kinds.values())}, of {len(kinds)} kinds")
    for kind, count in kinds.most_common():
        print(f"  {count:>6,}  {kind}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
