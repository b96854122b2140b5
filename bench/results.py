"""All runs of a session, and what is made of them: rows, a table, a file that later sessions are compared with.

A row is what one peer did at one measure and one size. Its figures are medians of the quiet runs where there are
at least three of them or no run was noisy, else of all runs, and then the row is marked `~`.

The file is one JSON object, written to be read again by `load`:

    {"schema": "kiln.bench/1", "when": "2026-11-21T02:00:00Z", "machine": "2 processors, 23 GiB",
     "notes": [...], "rows": [{"measure": "fib 27", "size": "", "peer": "kiln", "median": 0.171, ...}, ...]}
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.timing import Run

SCHEMA = "kiln.bench/1"
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured. `goal` is how many times faster than the peer it is meant to be.

    `most` and `peak` are what it may take at the most, in seconds and in MiB, whatever a peer takes.
    """

    name: str
    size: str = ""
    goal: float | None = None
    unit: str = ""
    amount: float = 0
    """How many of `unit` one run does, for the rate; 0 where a rate says nothing."""
    most: float | None = None
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one peer. Times in seconds, peak in MiB."""

    measure: str
    size: str
    peer: str
    median: float
    least: float
    most: float
    cpu: float
    peak: float
    runs: int
    others: float
    noisy: bool
    rate: str = ""
    amount: float = 0
    goal: float | None = None
    allowed: float | None = None
    allowed_peak: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.measure, self.size, self.peer


@dataclass(slots=True)
class Results:
    """What was measured so far. `silent` keeps progress off stderr."""

    silent: bool = False
    runs: dict[tuple[Measure, str], list[Run]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, measure: Measure, peer: str, run: Run) -> None:
        self.runs.setdefault((measure, peer), []).append(run)
        what = f"{measure.name} [{measure.size}]" if measure.size else measure.name
        self._say(f"  {peer:<5} {what}: {seconds(run.wall).strip()}, {run.peak:.0f} MiB, others {run.others:.2f}")

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._say(f"  note: {text}")

    def median(self, name: str, size: str, peer: str) -> float | None:
        """Seconds of what was measured before, for what follows from two measures; None if it was not."""
        found = [_row(what, who, runs) for (what, who), runs in self.runs.items()]
        return next((row.median for row in found if row.key == (name, size, peer)), None)

    def per(self, name: str, size: str, peer: str, amount: float) -> float | None:
        """Seconds for one of `amount`; None if it was not measured."""
        whole = self.median(name, size, peer)
        return None if whole is None else whole / amount

    def verdict(self, text: str, found: float, most: float, unit: str) -> None:
        """A note about a figure that follows from others, and its bound."""
        self.note(f"{text}: {found:.3g} {unit} (at most {most:g}: {mark(found <= most)})")

    def rows(self) -> list[Row]:
        """In the order in which measures were first run, peers side by side."""
        measures = dict.fromkeys(measure for measure, _ in self.runs)
        return [
            _row(measure, peer, runs)
            for wanted in measures
            for (measure, peer), runs in self.runs.items()
            if measure == wanted
        ]

    def save(self, path: str) -> None:
        document = {
            "schema": SCHEMA,
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(),
            "notes": self.notes,
            "rows": [asdict(row) for row in self.rows()],
        }
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")

    def _say(self, text: str) -> None:
        if not self.silent:
            print(text, file=sys.stderr, flush=True)


def load(path: str) -> list[Row]:
    """The rows of a saved file. Raises ValueError for another kind of file, OSError."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"{path} holds no results of this harness (schema {SCHEMA})")
    try:
        return [Row(**fields) for fields in document["rows"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} has a row that cannot be read: {error}") from error


def table(rows: Sequence[Row], first: str = "kiln") -> str:
    """The rows as text. The last columns say how many times faster `first` is than the peer, and what is wanted.

    The same by processor time suffers less from what else the machine does; it counts what the command waited for,
    and so not what a daemon or a launcher did for it.
    """
    own = {(row.measure, row.size): row for row in rows if row.peer == first}
    lines = [
        f"{'measure':<44} {'size':>9} {'peer':>5}  {'median':>10} {'least':>10} {'most':>10} {'cpu':>10} "
        f"{'peak MiB':>8} {'runs':>4} {'others':>6} {'faster':>8} {'by cpu':>8} {'goal':>18}  rate"
    ]
    for row in rows:
        mine = own.get((row.measure, row.size))
        faster = by_cpu = goal = ""
        if row.peer == first:
            goal = _bounds(row)
        elif mine is not None:
            faster, goal = _ratio(row, mine)
            by_cpu = _times(row.cpu, mine.cpu)
        lines.append(
            f"{row.measure:<44} {row.size:>9} {row.peer:>5} {'~' if row.noisy else ' '}{seconds(row.median)} "
            f"{seconds(row.least)} {seconds(row.most)} {seconds(row.cpu)} {row.peak:>8.0f} {row.runs:>4} "
            f"{row.others:>6.2f} {faster:>8} {by_cpu:>8} {goal:>18}  {row.rate}".rstrip()
        )
    return "\n".join(lines)


def comparison(before: Sequence[Row], after: Sequence[Row]) -> str:
    """Two sessions, row by row: how many times faster the second is. Sessions on a busy machine differ by half."""
    old = {row.key: row for row in before}
    lines = [f"{'measure':<44} {'size':>9} {'peer':>5}  {'before':>10}  {'after':>10}   faster  peak MiB"]
    for row in after:
        was = old.get(row.key)
        if was is None:
            continue
        lines.append(
            f"{row.measure:<44} {row.size:>9} {row.peer:>5} {'~' if was.noisy else ' '}{seconds(was.median)} "
            f"{'~' if row.noisy else ' '}{seconds(row.median)} {_times(was.median, row.median):>8}  "
            f"{was.peak:.0f} → {row.peak:.0f}"
        )
    shared = old.keys() & {row.key for row in after}
    only = len(old) + len(after) - 2 * len(shared)
    return "\n".join([*lines, *([f"{only} rows are in one of the two alone"] if only else [])])


def seconds(value: float) -> str:
    """Ten characters wide."""
    if abs(value) >= 1:
        return f"{value:>8.2f} s"
    if abs(value) >= 0.001:
        return f"{value * 1e3:>7.1f} ms"
    return f"{value * 1e6:>7.0f} µs"


def machine() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} processors, {memory} GiB"


def _ratio(peer: Row, mine: Row) -> tuple[str, str]:
    if mine.goal is None:
        return _times(peer.median, mine.median), ""
    met = mine.median > 0 and peer.median / mine.median >= mine.goal
    return _times(peer.median, mine.median), f"{mine.goal:g}× {mark(met)}"


def _bounds(row: Row) -> str:
    """Whether what it may take at the most is kept: `8 s ✔ 200 MiB ✘`."""
    parts: list[str] = []
    if row.allowed is not None:
        parts.append(f"{seconds(row.allowed).strip()} {mark(row.median <= row.allowed)}")
    if row.allowed_peak is not None:
        parts.append(f"{row.allowed_peak:g} MiB {mark(row.peak <= row.allowed_peak)}")
    return " ".join(parts)


def mark(met: bool) -> str:
    return "✔" if met else "✘"


def _times(slow: float, fast: float) -> str:
    return f"{slow / fast:.2f}×" if fast > 0 and slow > 0 else "–"


def _used(runs: Sequence[Run]) -> tuple[Sequence[Run], bool]:
    """The runs that count, and whether noisy ones are among them."""
    quiet = [run for run in runs if run.quiet]
    if len(quiet) >= min(_ENOUGH, len(runs)):
        return quiet, False
    return runs, True


def _row(measure: Measure, peer: str, runs: Sequence[Run]) -> Row:
    used, noisy = _used(runs)
    median = statistics.median(run.wall for run in used)
    rate = f"{measure.amount / median:,.4g} {measure.unit}/s" if measure.amount and median > 0 else ""
    return Row(
        measure=measure.name,
        size=measure.size,
        peer=peer,
        median=median,
        least=min(run.wall for run in runs),
        most=max(run.wall for run in used),
        cpu=statistics.median(run.cpu for run in used),
        peak=statistics.median(run.peak for run in used),
        runs=len(used),
        others=statistics.median(run.others for run in used),
        noisy=noisy,
        rate=rate,
        amount=measure.amount,
        goal=measure.goal,
        allowed=measure.most,
        allowed_peak=measure.peak,
    )
