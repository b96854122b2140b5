"""`kiln realise TARGET...`: take targets from the store, or make them; print the paths that open on this host.

With nothing to do this is the warm path: its options are read by hand, its answers come from what was kept, and no
parser, checker, evaluator, fetcher or sandbox is imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kiln.commands import GLOBAL_DEFAULTS
from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.answers import Target
from kiln.interpreter.asking import Asked, Request, recall_all
from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.plan import Plan
from kiln.paths import cache_root

if TYPE_CHECKING:
    import argparse


@dataclass(slots=True)
class Options:
    """The command's own options; the names are argparse's."""

    targets: list[str] = field(default_factory=list)
    jobs: int | None = None
    keep_going: bool = False
    offline: bool = False
    no_cache: bool = False
    dry_run: bool = False
    out_link: str | None = None
    no_link: bool = False
    trace: str | None = None


_FLAGS = {
    "--keep-going": "keep_going",
    "--offline": "offline",
    "--no-cache": "no_cache",
    "--dry-run": "dry_run",
    "--no-link": "no_link",
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}


def quick_arguments(argv: list[str]) -> tuple[Options, dict[str, Any]] | None:
    """The options where they are plain; None where argparse should see them."""
    options, shared = Options(), dict(GLOBAL_DEFAULTS)
    rest = iter(argv)
    for word in rest:
        if word in _FLAGS:
            name = _FLAGS[word]
            if name in shared:
                shared[name] = True
            else:
                setattr(options, name, True)
        elif word in ("-j", "--store", "-C", "--out-link"):
            value = next(rest, None)
            if value is None or (word == "-j" and not value.isdecimal()):
                return None
            _set(options, shared, word, value)
        elif word.startswith("-"):
            return None
        else:
            options.targets.append(word)
    if options.no_link and options.out_link is not None:
        return None
    return (options, shared) if options.targets and options.jobs != 0 else None


def _set(options: Options, shared: dict[str, Any], word: str, value: str) -> None:
    if word == "-j":
        options.jobs = int(value)
    elif word == "--out-link":
        options.out_link = value
    else:
        shared["store" if word == "--store" else "directory"] = value


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="FILE[#attribute]")
    parser.add_argument("-j", dest="jobs", type=jobs, metavar="N", help="builds at once; by default one a core")
    parser.add_argument("--keep-going", action="store_true", help="after a failure, go on with what doesn't need it")
    parser.add_argument("--offline", action="store_true", help="fetch nothing")
    parser.add_argument("--no-cache", action="store_true", help="take nothing from a binary cache")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    link = parser.add_mutually_exclusive_group()
    link.add_argument("--out-link", metavar="PATH", help="the link to the result (result)")
    link.add_argument("--no-link", action="store_true", help="make no link")
    parser.add_argument(
        "--sandbox-engine", choices=("own", "bubblewrap"), help="what makes sandboxes; nothing falls back to another"
    )
    parser.add_argument("--trace", metavar="FILE", help="write every event as a line of JSON")
    from kiln.budgets import budget_option

    budget_option(parser)


def jobs(text: str) -> int:
    """The value of `-j`: one or more. Raises ValueError."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(text)
    return int(text)


def run(args: Any, context: Context) -> int:
    requests = [Request.parse(text) for text in args.targets]
    ledger = context.ledger()
    found = None if args.dry_run else recall_all(requests, ledger, cache_root())
    if found is not None:
        asked, plan = found
    elif args.dry_run:
        from kiln.commands.making import dry_run

        return dry_run(requests, args, context)
    else:
        from kiln.commands.making import make_requests

        asked, plan = make_requests(requests, args, context)
    _report(asked, plan, args, context)
    return Exit.OK


def _report(asked: Asked, plan: Plan, args: Any, context: Context) -> None:
    rows = [_row(target, plan, context) for target in asked.wanted]
    context.end_progress()
    for row in rows:
        context.console.result(row["physical"])
    if not args.no_link:
        _link(rows, args.out_link or "result", context)
    context.console.document("realise", {"results": rows} if context.console.json else None)


def _row(target: Target, plan: Plan, context: Context) -> dict[str, str]:
    made = target.item if isinstance(target.item, SourceObject) else plan.pins[target.item]
    below = f"/{target.sub}" if target.sub else ""
    output = "out" if isinstance(target.item, SourceObject) else str(target.item.output)
    return {
        "target": target.label,
        "output": output,
        "path": f"{made.path}{below}",
        "physical": context.store().physical(made.path) + below,
        "object": str(made.id),
    }


def _link(rows: list[dict[str, str]], name: str, context: Context) -> None:
    """`result` for the first, `result-2` … for the others; a link is a root that keeps its object."""
    from kiln.store.digest import ObjectId
    from kiln.store.errors import StoreError

    for number, row in enumerate(rows, 1):
        place = name if number == 1 else f"{name}-{number}"
        if os.path.lexists(place) and not os.path.islink(place):
            raise Stop("K0904", f"{place} is in the way of the result's link", help="--out-link PATH, or --no-link")
        try:
            context.store().add_root(os.path.abspath(place), ObjectId.parse(row["object"]))
        except StoreError as error:
            if error.code != "K0700":
                raise
            help = "the result is in the store; --out-link PATH links it elsewhere, --no-link nowhere"
            raise Stop("K0700", f"the link {place} cannot be made", found=error.found, help=help) from error
