"""The option `--budget`, which `eval`, `realise` and `test` have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from kiln.interpreter.evaluate.budget import Budget


def budget_option(parser: argparse.ArgumentParser, what: str = "the evaluation") -> None:
    """Add the option; `what` is that which the budget is for."""
    shown = "SECONDS[,MB]"
    parser.add_argument("--budget", type=_budget, metavar=shown, help=f"end {what} after this time, or memory")


def _budget(text: str) -> Budget:
    from argparse import ArgumentTypeError

    from kiln.interpreter.evaluate.budget import Budget

    try:
        return Budget.parse(text)
    except ValueError:
        raise ArgumentTypeError(f"expected SECONDS or SECONDS,MB, such as 10 or 2.5,512; found {text!r}") from None
