"""Many small requests as few larger ones: neighbours in one file are fetched together and taken apart again.

Pieces of one file, sorted by where they begin, go into one fetch while the gap before the next is at most `GAP` and
the whole stays within `MOST`: at 40 ms a round trip, the bytes of a gap cost less than another request. A piece that
is larger than `MOST` is a fetch alone. A whole file is a fetch alone.

Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kiln.store.cache.backend import Request

GAP = 64 * 1024
MOST = 4 << 20


class Fetch(NamedTuple):
    """One request to make: `length` bytes from `offset`, or a whole file of at most `length`; and what it answers."""

    path: str
    offset: int | None
    length: int
    answers: tuple[Request, ...]

    def take_apart(self, data: bytes) -> Iterator[tuple[Request, bytes]]:
        """What came, as the answer to each request."""
        if self.offset is None or len(self.answers) == 1:
            for request in self.answers:
                yield request, data
            return
        view = memoryview(data)
        for request in self.answers:
            start = (request.offset or 0) - self.offset
            yield request, bytes(view[start : start + request.length])


def coalesce(requests: Iterable[Request], *, gap: int = GAP, most: int = MOST) -> list[Fetch]:
    """The fetches that answer the requests, in the order in which their files are first asked for."""
    by_path: dict[str, list[Request]] = {}
    for request in requests:
        by_path.setdefault(request.path, []).append(request)
    return [fetch for group in by_path.values() for fetch in _of_one_file(group, gap, most)]


def _of_one_file(group: Sequence[Request], gap: int, most: int) -> Iterator[Fetch]:
    whole = [request for request in group if request.offset is None]
    for request in dict.fromkeys(whole):
        yield Fetch(request.path, None, request.length, tuple(item for item in whole if item == request))
    parts = sorted((request for request in group if request.offset is not None), key=_place)
    run: list[Request] = []
    start = end = 0
    for request in parts:
        begin, stop = _place(request)
        if run and (begin > end + gap or max(stop, end) - start > most):
            yield Fetch(run[0].path, start, end - start, tuple(run))
            run = []
        if not run:
            start = end = begin
        run.append(request)
        end = max(end, stop)
    if run:
        yield Fetch(run[0].path, start, end - start, tuple(run))


def _place(request: Request) -> tuple[int, int]:
    start = request.offset or 0
    return start, start + request.length
