"""`python -m bench [GROUP …]`: Kiln beside Nix, in one run; prints a table, saves the figures.

    python -m bench                      every group, at the sizes of the goals (about an hour on two quiet cores)
    python -m bench eval graph --quick   some groups, at small sizes (minutes)
    python -m bench compare A B          two saved files, row by row

Needs Nix (Debian: nix-bin) for ratios, and a static busybox (busybox-static). Builds in Nix's sandbox need root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.groups import builds, caching, evaluation, graph, scale, storing
from bench.places import Work
from bench.plot import chart
from bench.results import Results, comparison, load, machine, table
from bench.session import QUICK, Session, Sizes, find_busybox, memory_folder, open_peers
from bench.timing import PATIENCE, Failed

GROUPS: dict[str, Callable[[Session], None]] = {
    "eval": evaluation.run,
    "graph": graph.run,
    "build": builds.run,
    "store": storing.run,
    "cache": caching.run,
    "scale": scale.run,
}
_RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def main(words: Sequence[str]) -> int:
    """Exit code 0 when everything that was asked for was measured."""
    if words[:1] == ["compare"]:
        return _compare(words[1:])
    parser = _parser()
    args = parser.parse_args(words)
    if unknown := set(args.groups) - GROUPS.keys():
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    results = Results(silent=args.silent)
    results.note(machine())
    complete = _measure(args, results)
    print(table(results.rows()))
    for note in results.notes:
        print(f"note: {note}")
    place = args.json or os.path.join(_RESULTS, time.strftime("%Y%m%d-%H%M%S.json", time.gmtime()))
    results.save(place)
    print(f"saved: {place}")
    picture = chart(results.rows())
    if picture is not None:
        drawn = os.path.splitext(place)[0] + ".svg"
        with open(drawn, "w", encoding="utf-8") as file:
            file.write(picture)
        print(f"saved: {drawn}")
    return 0 if complete else 1


def _measure(args: argparse.Namespace, results: Results) -> bool:
    """Run the groups. One that fails is noted, and the others go on; an interrupt ends them, and keeps what is."""
    complete = True
    with Work(args.work) as work:
        memory = memory_folder()
        try:
            session = Session(work, memory, _sizes(args), results, find_busybox(), patience=args.patience)
            open_peers(session, tuple(args.peers))
            for name in args.groups or GROUPS:
                results.note(f"{name}: {time.strftime('%H:%M:%S')}")
                try:
                    GROUPS[name](session)
                except Failed as failed:
                    complete = False
                    results.note(f"{name} stopped: {failed}")
        except KeyboardInterrupt:
            complete = False
            results.note("interrupted")
        finally:
            if memory is not None:
                memory.__exit__()
    return complete


def _sizes(args: argparse.Namespace) -> Sizes:
    sizes = QUICK if args.quick else Sizes()
    if args.runs is not None:
        sizes = replace(sizes, runs=args.runs, slow_runs=args.runs)
    if args.most is not None:
        most = args.most
        sizes = replace(
            sizes,
            graphs=_up_to(most, sizes.graphs), builds=_up_to(most, sizes.builds), built=_up_to(most, sizes.built),
            shared=_up_to(most, sizes.shared), scales=_up_to(most, sizes.scales),
            many=min(most, sizes.many), deep=min(most, sizes.deep), dead=min(most, sizes.dead),
        )  # fmt: skip
    return sizes


def _up_to(most: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in sizes if size <= most)


def _compare(words: Sequence[str]) -> int:
    if len(words) != 2:
        print("usage: python -m bench compare BEFORE.json AFTER.json", file=sys.stderr)
        return 2
    try:
        before, after = map(load, words)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(comparison(before, after))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each measure, instead of five or three")
    parser.add_argument("--most", type=int, metavar="N", help="no graph of more derivations than that")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS", help="how long a run waits for a quiet moment"
    )
    parser.add_argument("--peers", nargs="+", choices=("kiln", "nix"), default=("kiln", "nix"))
    parser.add_argument("--work", metavar="DIR", help="a folder for stores and inputs, about 12 GB; not a tmpfs")
    parser.add_argument("--json", metavar="FILE", help="where to save (bench/results/, by the time)")
    parser.add_argument("--silent", action="store_true", help="no progress on stderr")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # folders are removed at either
    sys.exit(main(sys.argv[1:]))
