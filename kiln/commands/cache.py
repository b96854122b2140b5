"""`kiln cache …`: places that hold what was built, for others and for later.

Each action is a module of its own, `cache<action>.py`, with `arguments(parser)` and `run(args, context)`; it is
imported when it is the one that is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from kiln.context import Context

ACTIONS = {
    "use": "take what is built elsewhere from this cache; shows its keys, and asks before it trusts one",
    "list": "the caches you use, in the order in which they are asked",
    "remove": "use a cache no longer",
    "push": "bring what was built here into a cache",
    "pull": "take targets from caches, with the evidence of how they were built",
    "status": "what a cache is like, what is there of a target, and what would move",
    "serve": "let others read a cache over the web, and upload to it",
    "gc": "remove from a cache what it need not keep",
    "token": "make a token with which somebody may upload to `kiln cache serve`",
}
_ELSEWHERE = {
    ("token", "arguments"): ("cacheserve", "token_arguments"),
    ("token", "run"): ("cacheserve", "run_token"),
}
"""Functions that live in another action's module."""


def arguments(parser: argparse.ArgumentParser) -> None:
    base: Any = type(parser)

    class Late(base):  # type: ignore[misc]
        """An action's parser, which learns its arguments when it is chosen."""

        learn: Any = None

        def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None, **rest: Any) -> Any:
            learn, self.learn = self.learn, None
            if learn is not None:
                learn(self)
            return super().parse_known_args(args, namespace, **rest)

    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Late)
    for action, summary in ACTIONS.items():
        made = actions.add_parser(action, help=summary, description=summary, allow_abbrev=False)
        made.learn = _function(action, "arguments")


def run(args: argparse.Namespace, context: Context) -> int:
    return int(_function(args.action, "run")(args, context))


def _function(action: str, name: str) -> Callable[..., Any]:
    module, function = _ELSEWHERE.get((action, name), (f"cache{action}", name))

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f"kiln.commands.{module}"), function)(*arguments)

    return call
