"""The command line's entry: finds the command, runs it, turns what it raises into a message and an exit code.

The path of a `realise` with nothing to do is kept free of every import that it doesn't need.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from kiln.console import Console
from kiln.exits import Exit


def main() -> None:
    """`kiln …`."""
    _open_streams()
    _end(run(sys.argv[1:]))


def realise() -> None:
    """`realise …`, the same as `kiln realise …`."""
    _open_streams()
    _end(run(["realise", *sys.argv[1:]]))


def _end(code: int) -> NoReturn:
    """End this process. What evaluation made is left to the kernel.

    Otherwise the interpreter looks through all of it for circles, several times, before it ends: a quarter of what
    a graph of 10,000 takes.
    """
    gc.freeze()
    try:
        sys.stdout.flush()
    except (
        OSError
    ) as error:  # What is left in the buffer is written nowhere, or the interpreter would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if code == Exit.OK and not isinstance(error, BrokenPipeError):
            code = _fail(error, Console())
    sys.exit(code)


def _open_streams() -> None:
    """Where a standard stream is closed, open nothing in its place: else the next file would become it."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor, inheritable=True)
                os.close(null)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def run(argv: list[str]) -> int:
    """Run one command; the exit code. Writes to stdout and stderr."""
    console = Console(json="--json" in argv)

    def command() -> int:
        from kiln.commands import dispatch

        return dispatch(argv, console)

    return guarded(command, console)


def guarded(command: Callable[[], int], console: Console) -> int:
    """Run something to its exit code; what it raises is shown, and has a code of its own."""
    try:
        return command()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else Exit.USAGE
    except KeyboardInterrupt:
        return _interrupted(console)
    except Exception as error:
        return _fail(error, console)


def _interrupted(console: Console) -> int:
    from kiln.commands import current_console

    console = current_console() or console
    message = "interrupted: nothing half-done is left behind"
    console.tell(message)
    console.document(console.command or "error", None, error={"code": "K0910", "message": message})
    return Exit.INTERRUPTED


def _fail(error: Exception, console: Console) -> int:
    from kiln.commands import current_console
    from kiln.problems import problem_json, problems_of, show_problem

    console = current_console() or console
    problems = problems_of(error, colour=console.colour)
    if not problems:
        return _bug(error, console)
    for problem in problems:
        show_problem(console, problem)
    console.document(console.command or "error", None, error=problem_json(problems[0]))
    return problems[0].exit


def _bug(error: Exception, console: Console) -> int:
    import traceback

    from kiln.console import escape

    for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
        console.tell(escape(line))
    console.tell(f"error[K9999]: a bug in Kiln: {type(error).__name__}: {escape(str(error))}")
    console.tell("help: nothing was lost; please report it with the lines above")
    return Exit.BUG


if __name__ == "__main__":
    main()
