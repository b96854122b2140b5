"""The commands: one module each, found by name, imported when it is run.

A command's module has `arguments(parser)` and `run(args, context) -> int`. `realise` alone has a parser of its
own before argparse's, because its warm path must stay short.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kiln.console import Console, Stop, escape
from kiln.context import Context
from kiln.exits import Exit

if TYPE_CHECKING:
    import argparse

COMMANDS: dict[str, str] = {
    "init": "start a project that builds offline in seconds",
    "realise": "build targets, or take them from the store; print their paths",
    "run": "realise a target and run its program",
    "eval": "show what a build file's value is",
    "check": "parse and type-check build files",
    "test": "run the tests of build files",
    "fmt": "format build files, in the one style",
    "doc": "pages for modules, from their comments and signatures",
    "repl": "a session: declarations and expressions, one by one",
    "show": "what is known of a target: its derivation, its provenance",
    "log": "what a builder wrote, also while it writes",
    "debug": "the sandbox of a build that failed, entered by hand",
    "pin": "pin remote modules, and copy lock files, into kiln.lock",
    "verify": "check hashes, signatures and provenance; build nothing",
    "reproduce": "build again from provenance alone, and compare",
    "cache": "share what is built, through any place that holds files",
    "challenge": "compare what caches and the own store say of a target",
    "key": "the key that signs what is built here",
    "trust": "whose word counts here, beside your own",
    "store": "look after the store: what it holds, whether it is whole, what may go",
    "explain": "what an error's code means",
    "doctor": "what this machine can do, and whether the store is sound",
}

_current: list[Console] = []


def current_console() -> Console | None:
    """The console of the command that runs, once its options are known."""
    return _current[-1] if _current else None


def dispatch(argv: list[str], console: Console) -> int:
    """Find the command, read its options, run it."""
    argv = _globals_last(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        (console.write if argv else console.tell)(overview())
        return Exit.OK if argv else Exit.USAGE
    if argv[0] in ("--version", "-V"):
        from kiln import __version__

        console.write(f"kiln {__version__}\n")
        return Exit.OK
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise _unknown(name)
    module = import_module(f"kiln.commands.{name}")
    if name == "realise":
        quick = module.quick_arguments(rest)
        if quick is not None:
            return _run(module, *quick)
    own, passed = _split(rest) if name in ("run", "debug") else (rest, [])
    args = _parser(name, module).parse_args(_globals_first(own))
    args.passed = passed
    return _run(module, args, _globals_of(args))


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """What stands before `--` and what stands behind it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def overview() -> str:
    """The help of `kiln` itself."""
    lines = [f"  {name:<11}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: kiln COMMAND …",
            "",
            *lines,
            "",
            "TARGET is FILE[#attribute], a store path, or the path of a result link.",
            "`kiln COMMAND --help` shows a command's options.",
            "",
        ]
    )


def _run(module: Any, args: Any, options: dict[str, Any]) -> int:
    console = Console(
        json=options["json"],
        quiet=options["quiet"],
        verbose=options["verbose"],
        colour=options["color"],
        command=module.__name__.rpartition(".")[2],
    )
    _current.append(console)
    if options["directory"] is not None:
        os.chdir(options["directory"])
    context = Context(console, progress=options["progress"], store=options["store"])
    context.offline = getattr(args, "offline", False)
    context.engine = getattr(args, "sandbox_engine", None)
    context.budget = getattr(args, "budget", None)
    try:
        return int(module.run(args, context))
    finally:
        context.close()


def _globals_last(argv: list[str]) -> list[str]:
    """`kiln --json realise x` is `kiln realise --json x`."""
    moved: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] not in ("-h", "--help", "--version", "-V"):
        moved.append(rest.pop(0))
        if moved[-1] in ("-C", "--store", "--progress", "--color") and rest:
            moved.append(rest.pop(0))
    return [rest[0], *moved, *rest[1:]] if rest else moved


def _globals_first(words: list[str]) -> list[str]:
    """`pin list --json` is `pin --json list`: an action's own parser doesn't know what stands everywhere."""
    first: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _EVERYWHERE or word.startswith(("--store=", "--progress=", "--color=")):
            first.append(word)
            if _EVERYWHERE.get(word):
                first += [value for value in [next(rest, None)] if value is not None]
        else:
            others.append(word)
    return [*first, *others]


_EVERYWHERE = {
    **dict.fromkeys(("--json", "-q", "--quiet", "-v", "--verbose"), False),
    **dict.fromkeys(("-C", "--store", "--progress", "--color"), True),
}
"""What stands everywhere, and whether a value follows it."""

GLOBAL_DEFAULTS: dict[str, Any] = {
    "json": False,
    "quiet": False,
    "verbose": False,
    "color": "auto",
    "progress": "auto",
    "directory": None,
    "store": None,
}


def _globals_of(args: Any) -> dict[str, Any]:
    return {key: getattr(args, key) for key in GLOBAL_DEFAULTS}


def _parser(name: str, module: Any) -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise Stop("K0900", f"kiln {name}: {message}", help=f"kiln {name} --help")

    parser = Parser(prog=f"kiln {name}", description=COMMANDS[name], allow_abbrev=False)
    module.arguments(parser)
    shared = parser.add_argument_group("everywhere")
    shared.add_argument("--json", action="store_true", help="one JSON document on stdout")
    shared.add_argument("--progress", choices=("auto", "tty", "plain", "json", "none"), default="auto")
    shared.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    shared.add_argument("-q", "--quiet", action="store_true", help="no progress")
    shared.add_argument("-v", "--verbose", action="store_true", help="builders' lines as they come")
    shared.add_argument("-C", dest="directory", metavar="DIR", help="work in this folder")
    shared.add_argument("--store", metavar="PATH", help="the store to use")
    return parser


_ELSEWHERE = {
    **dict.fromkeys(("build", "make", "install", "instantiate"), "realise"),
    **dict.fromkeys(("gc", "du", "ls"), "store"),
    **dict.fromkeys(("format", "lint"), "fmt"),
    **dict.fromkeys(("update", "lock", "add"), "pin"),
    "new": "init",
    "logs": "log",
    "docs": "doc",
    "info": "show",
    "query": "show",
}
"""What other tools call it."""


def _unknown(name: str) -> Stop:
    from difflib import get_close_matches

    near = [_ELSEWHERE[name]] if name in _ELSEWHERE else get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean `kiln {near[0]}`?" if near else "kiln --help lists the commands"
    return Stop("K0901", f"there is no command `{escape(name)}`", help=hint)
