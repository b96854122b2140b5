"""The option `--budget`, which `eval`, `realise` and `test` have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from kiln.interpreter.evaluate.budget import Budget


def budget_option(parser: argparse.ArgumentParser, what: str = "the evaluation") -> None:
    """Add the option; `what` is that which the budget is for."""
    shown = "SECONDS[,MB][,Nsteps]"
    parser.add_argument("--budget", type=_budget, metavar=shown, help=f"end {what} after this time, memory, or work")


def _budget(text: str) -> Budget:
    from argparse import ArgumentTypeError

    from kiln.interpreter.evaluate.budget import Budget

    try:
        return Budget.parse(text)
    except ValueError:
        wanted = "SECONDS or SECONDS,MB or steps, such as 10, 2.5,512 or 1000000steps"
        raise ArgumentTypeError(f"expected {wanted}; found {text!r}") from None
