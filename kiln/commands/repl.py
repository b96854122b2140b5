"""`kiln repl [FILE]`: a session that reads declarations and expressions, and prints values and types.

No error ends it. Where stdin is no terminal there are no prompts, so that a script can drive it; the exit code is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from kiln.console import Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.latehost import LateHost
from kiln.problems import problems_of, show_problem

if TYPE_CHECKING:
    from kiln.interpreter.session import Session
    from kiln.lang.syntax.complete import Reader, Reading

_HELP: Final = """\
an expression          its value and its type
a declaration          `let x = 1;`, `fn f(x: Int) -> Int = x + 1;`, `import "std/list" as list;`, a type, a set;
                       it takes the place of the one that had its name; a test is run at once
:type EXPRESSION       its type, without computing it
:load FILE             begin anew with a file's declarations
:list                  what was declared
:reset                 forget it
:help                  this
:quit                  the end (or Ctrl-D)
A line that is not finished goes on in the next; an empty line ends it."""
_SHOWN: Final = 4000  # characters of a value on a terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="begin with this file's declarations")


def run(args: argparse.Namespace, context: Context) -> int:
    from kiln.lang.syntax.complete import Reader

    if context.console.json:
        raise Stop("K0900", "kiln repl: a session has no JSON document", help="kiln eval --expr EXPRESSION --json")
    repl = _Repl(_session(context), Reader(), context)
    if args.file is not None:
        repl.load(args.file)
    repl.run(_lines(repl.session))
    return Exit.OK


class _Repl:
    """Reads until the end. Every answer is one line on stdout, every mistake a message on stderr."""

    def __init__(self, session: Session, reader: Reader, context: Context) -> None:
        self.session = session
        self._reader = reader
        self._context = context

    def run(self, lines: _Lines) -> None:
        """Answer what comes, until `:quit` or the end of the input."""
        while True:
            try:
                text = self._next(lines)
                if text is None or text.strip() in (":quit", ":q", ":exit"):
                    break
                self._answer(text)
            except KeyboardInterrupt:
                with contextlib.suppress(KeyboardInterrupt):  # it is pressed twice more often than once
                    self._context.console.tell("\ninterrupted")
            except Exception as error:
                self._failed(error)
        lines.close()

    def load(self, path: str) -> None:
        """Begin anew with a file, or say why not."""
        try:
            count = self.session.load(path)
            self._print(f"{count} {'declaration' if count == 1 else 'declarations'} from {path}")
        except Exception as error:
            self._failed(error)

    # ---- reading --------------------------------------------------------------------------------

    def _next(self, lines: _Lines) -> str | None:
        """The next whole input, or None at the end."""
        from kiln.lang.syntax.complete import Reading

        text = lines.read("> ")
        if text is None or text.lstrip().startswith(":"):
            return text
        while self._reading(text) is Reading.UNFINISHED:
            line = lines.read("… ")
            if line is None or not line.strip():
                break
            text += f"\n  {line}"  # only a declaration's first word may stand in column 0
        return text

    def _reading(self, text: str) -> Reading:
        """A single line needs no `;` behind its declaration."""
        from kiln.lang.syntax.complete import Reading

        found = self._reader.reading(text)
        if found is Reading.UNFINISHED and "\n" not in text and self._reader.closes(text):
            return Reading.DECLARATION
        return found

    # ---- answering ------------------------------------------------------------------------------

    def _answer(self, text: str) -> None:
        from kiln.lang.syntax.complete import Reading

        if text.lstrip().startswith(":"):
            return self._command(*_split(text.strip()))
        found = self._reader.reading(text)
        if found is Reading.BLANK:
            return None
        if found is Reading.EXPRESSION or (found is Reading.UNFINISHED and not self._reader.closes(text)):
            return self._evaluate(text)
        return self._declare(text if found is Reading.DECLARATION else f"{text}\n  ;")

    def _evaluate(self, text: str) -> None:
        expression = self.session.expression(text)
        value = escape(expression.show())
        if sys.stdout.isatty() and len(value) > _SHOWN:
            value = f"{value[:_SHOWN]}… ({len(value):,} characters)"
        self._print(f"{value} : {expression.type}")

    def _declare(self, text: str) -> None:
        taken = self.session.declare(text)
        if taken.verdict is None:
            self._print(taken.line)
            return
        self._print(f"{'✔' if taken.verdict.passed else '✘'} {escape(taken.line)}")
        if taken.verdict.report is not None:
            from kiln.lang.report import CompileError

            self._failed(CompileError([taken.verdict.report]))

    def _command(self, name: str, rest: str) -> None:
        match name:
            case ":type" | ":t" | ":load" | ":l" if not rest:
                raise Stop("K0900", f"{name} needs something behind it", help=":help shows what")
            case ":type" | ":t":
                self._print(self.session.expression(rest).type)
            case ":load" | ":l":
                self.load(rest)
            case ":list":
                self._print(self.session.text.rstrip("\n"))
            case ":reset":
                self.session = _session(self._context)
            case ":help" | ":h" | ":?":
                self._print(_HELP)
            case _:
                raise Stop("K0900", f"there is no command {escape(name)} in a session", help=":help lists them")

    def _print(self, text: str) -> None:
        if text:
            self._context.console.write(text + "\n")

    def _failed(self, error: Exception) -> None:
        console = self._context.console
        problems = problems_of(error, colour=console.colour)
        for problem in problems:
            show_problem(console, problem)
        if not problems:
            console.tell(f"error[K9999]: a bug in Kiln: {type(error).__name__}: {error}")


def _session(context: Context) -> Session:
    from kiln.interpreter.session import Session

    return Session(".", LateHost(context), context.trees())


def _split(text: str) -> tuple[str, str]:
    name, _, rest = text.partition(" ")
    return name, rest.strip()


# ---- where lines come from ------------------------------------------------------------------------


class _Lines:
    """Lines of a file or a pipe, without prompts."""

    def __init__(self) -> None:
        reconfigure = getattr(sys.stdin, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="surrogateescape")

    def read(self, prompt: str) -> str | None:
        """The next line without its end, or None where there is no more."""
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None

    def close(self) -> None:
        """Nothing is kept."""


class _Prompted(_Lines):
    """Lines of a terminal: edited, remembered and completed by readline, where Python has it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        from kiln.paths import cache_root

        self._path = f"{cache_root()}/repl-history"
        self._session = session
        try:
            import readline
        except ImportError:
            self._readline = None
            return
        self._readline = readline
        readline.set_completer(self._complete)
        readline.set_completer_delims(' \t\n()[]{},;=+-*/%<>!|&"`.')
        readline.parse_and_bind("tab: complete")
        with contextlib.suppress(OSError):  # the first session has none
            readline.read_history_file(self._path)

    def read(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except EOFError:
            sys.stdout.write("\n")
            return None

    def close(self) -> None:
        if self._readline is None:
            return
        self._readline.set_history_length(2000)
        with contextlib.suppress(OSError):  # a session without a place for its history is none the worse
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._readline.write_history_file(self._path)

    def _complete(self, word: str, state: int) -> str | None:
        from kiln.interpreter.evaluate.builtins import EXTERNS

        known = [name.rpartition("/")[2] for name in EXTERNS if name.startswith("std/prelude/")]
        found = [name for name in sorted({*known, *self._session.names}) if name.startswith(word)]
        return found[state] if state < len(found) else None


def _lines(session: Session) -> _Lines:
    return _Prompted(session) if sys.stdin.isatty() else _Lines()
