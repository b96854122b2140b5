"""`kiln explain CODE`: what an error's code means, with an example where one helps."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from importlib import import_module

from kiln.console import Stop
from kiln.context import Context

_FOLDERS = (
    "kiln.lang.syntax.codes",
    "kiln.lang.codes",
    "kiln.interpreter.evaluate.codes",
    "kiln.interpreter.codes",
    "kiln.interpreter.fetch.codes",
    "kiln.interpreter.sandbox.codes",
    "kiln.store.codes",
    "kiln.store.provenance.codes",
    "kiln.store.cache.codes",
    "kiln.serve.codes",
    "kiln.codes",
)


def all_codes() -> dict[str, tuple[str, str]]:
    """Every code of every folder: its title and its explanation."""
    codes: dict[str, tuple[str, str]] = {}
    for folder in _FOLDERS:
        codes.update(import_module(folder).CODES)
    return dict(sorted(codes.items()))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="K0301 and the like; without one, all are listed")


def run(args: argparse.Namespace, context: Context) -> int:
    codes = all_codes()
    if args.code is None:
        for code, (title, _) in codes.items():
            context.console.result(f"{code}  {title}")
        context.console.document("explain", {code: title for code, (title, _) in codes.items()})
        return 0
    code = args.code.upper()
    if code.isdecimal():
        code = f"K{code:0>4}"
    if code not in codes:
        near = get_close_matches(code, codes, 1)
        raise Stop(
            "K0902", f"there is no error code {args.code}", help=f"kiln explain {near[0] if near else ''}".strip()
        )
    title, text = codes[code]
    context.console.result(f"{code}: {title}\n\n{text.rstrip()}")
    context.console.document("explain", {"code": code, "title": title, "text": text})
    return 0
