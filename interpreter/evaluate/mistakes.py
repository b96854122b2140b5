"""What can go wrong in an evaluation, as values, and their text.

Each mistake is one named tuple of facts. Its words are written in `wording` and nowhere else; where it happened
is added from the trace, which is why no mistake holds a place.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, assert_never

from kiln.lang.rare import Rare


class TooDeep(Rare):
    limit: int


class DivisionByZero(Rare):
    pass


class DuplicateKey(Rare):
    key: str


class AssertionFailed(Rare):
    message: str


class FailCalled(Rare):
    message: str


class NeedsItself(Rare):
    """`chain` begins and ends with the same name."""

    chain: tuple[str, ...]


class BadHash(Rare):
    text: str


class BadAddress(Rare):
    """A fetch's source that is none; the facts are the fetcher's own."""

    problem: str
    found: str
    expected: str
    help: str | None


class BadStoreName(Rare):
    what: str
    """`package`, `file`, `output` …"""
    name: str
    expected: str


class LeavesOutput(Rare):
    sub: str
    problem: str


class BadCommand(Rare):
    package: str
    problem: str
    help: str


class SourceUnreadable(Rare):
    """`found` is which of its files it is about, and what of it, where it is not the source itself."""

    path: str
    problem: str
    found: str | None = None
    expected: str | None = None
    help: str = "a path is relative to the build file that it stands in"


class NotBuildable(Rare):
    what: str
    choices: tuple[str, ...]


class UnknownAttribute(Rare):
    name: str
    where: str
    nearest: str | None
    choices: tuple[str, ...]


class OutOfMemory(Rare):
    pass


class TooLarge(Rare):
    """One value that would be larger than any may be."""

    what: str
    most: str


class TestFailed(Rare):
    title: str
    left: str | None
    """Both sides as text, if the test's body is `left == right`."""
    right: str | None


class HiddenPackage(Rare):
    """`name` is what the function calls it, if that is known, and `made` the line that makes the function."""

    field: str
    what: str
    name: str | None
    made: tuple[str, int]


class UnsafeHole(Rare):
    problem: str


class OutsideDomain(Rare):
    function: str
    problem: str


class BudgetSpent(Rare):
    what: str
    """`2 seconds`, `512 MiB of memory`"""


Mistake: TypeAlias = (
    TooDeep | DivisionByZero | DuplicateKey | AssertionFailed | FailCalled | NeedsItself | BadHash | BadAddress
    | BadStoreName
    | LeavesOutput | BadCommand | SourceUnreadable | NotBuildable | UnknownAttribute | OutOfMemory | TooLarge
    | TestFailed | HiddenPackage | UnsafeHole | OutsideDomain | BudgetSpent
)  # fmt: skip


class Failure(Exception):
    """Ends an evaluation. Only the facade catches it, and makes an EvaluationError of it."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake)
        self.mistake = mistake


class Wording(NamedTuple):
    """A mistake's text: `label` stands beside the place, `notes` below it."""

    code: str
    title: str
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None


def wording(mistake: Mistake) -> Wording:
    """The text of a mistake."""
    match mistake:
        case TooDeep(limit):
            return Wording(
                "K0401", f"the recursion is deeper than {limit:,} calls", "this call is one too many",
                help="check that every call comes closer to the case that ends it; `fold` walks a list without it",
            )  # fmt: skip
        case DivisionByZero():
            return Wording(
                "K0402", "division by zero", "the right side is 0",
                help="test it first: `if n == 0 then … else a / n`",
            )  # fmt: skip
        case DuplicateKey(key):
            return Wording(
                "K0403", f"the key {_quoted(key)} occurs twice in this map", "the second time is here",
                help="to let one map override another, join them: `defaults ++ changes`",
            )  # fmt: skip
        case AssertionFailed(message):
            return Wording("K0404", message or "an assertion failed", "this was false")
        case FailCalled(message):
            return Wording("K0404", message or "`fail` was called", "the evaluation was ended here")
        case NeedsItself(chain):
            return _needs_itself(chain)
        case BadHash(text):
            return _bad_hash(text)
        case BadAddress(problem, found, expected, help):
            return Wording(
                "K0502", problem, "fetched here", (f"found {found}", f"expected {expected}"), help
            )  # fmt: skip
        case BadStoreName(what, name, expected):
            return Wording(
                "K0407", f"{_quoted(name)} cannot be the name of {_a(what)}", "named here",
                (f"expected {expected}",), "leave out or replace the other characters",
            )  # fmt: skip
        case LeavesOutput(sub, problem):
            return Wording(
                "K0408", f"{_quoted(sub)} is no path inside an output: {problem}",
                help='write it relative to the output, without `..`: `out.file("share/doc/readme")`',
            )  # fmt: skip
        case BadCommand(package, problem, help):
            return Wording("K0409", f"`{package}` cannot be built: {problem}", "made here", help=help)
        case SourceUnreadable(path, problem, found, expected, help):
            facts = (("found", found), ("expected", expected))
            return Wording(
                "K0410", f"the source `{path}` cannot be used: {problem}", "asked for here",
                tuple(f"{name} {fact}" for name, fact in facts if fact is not None), help,
            )  # fmt: skip
        case NotBuildable(what, choices):
            return _not_buildable(what, choices)
        case UnknownAttribute(name, where, nearest, choices):
            return _unknown_attribute(name, where, nearest, choices)
        case OutOfMemory():
            return Wording(
                "K0413", "the evaluation ran out of memory", "this was too large to be made",
                help="look for a list or string that grows on every step",
            )  # fmt: skip
        case TooLarge(what, most):
            return Wording(
                "K0413", f"{what} is too large", "this was too large to be made", (f"the limit is {most}",),
                "look for a number that is multiplied, or a count that is computed, on every step",
            )  # fmt: skip
        case TestFailed(title, left, right):
            notes = () if left is None else (f"left   {left}", f"right  {right}")
            return Wording("K0414", f"the test {_quoted(title)} failed", "this is false", notes)
        case HiddenPackage(field, what, name):
            called = "" if name is None else f", `{name}`,"
            return Wording(
                "K0415", f"the recipe's function `{field}` hides {what}{called} that no override could reach",
                "made here",
                help="put it into `deps` or `opts`, and read it from the function's argument",
            )  # fmt: skip
        case UnsafeHole(problem):
            return Wording(
                "K0416", f"the value of this hole cannot be written safely: {problem}",
                help="move the hole, or hand the value over in `env` and write `${NAME}`",
            )  # fmt: skip
        case OutsideDomain(function, problem):
            return Wording("K0417", f"`{function}` {problem}", "called here")
        case BudgetSpent(what):
            return Wording(
                "K0418", f"the evaluation took more than {what}", "this was being computed",
                help="look for a loop that never ends; if the work is what it should be, give a larger `--budget`",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def _quoted(text: str) -> str:
    short = text if len(text) <= 60 else text[:57] + "…"
    return '"' + short.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _needs_itself(chain: tuple[str, ...]) -> Wording:
    name = chain[0] if chain else "it"
    if len(chain) <= 2:
        return Wording(
            "K0405", f"{name} needs itself", "needed again here, while it is being computed",
            help="in an overlay, write `super` for the member below",
        )  # fmt: skip
    shown = chain if len(chain) <= 12 else (*chain[:6], f"… {len(chain) - 11} more …", *chain[-5:])
    return Wording(
        "K0405", f"{name} needs itself", "needed again here, while it is being computed",
        (shown[0], *(f"  needs {step}" for step in shown[1:])), "one of these needs must go",
    )  # fmt: skip


def _bad_hash(text: str) -> Wording:
    expected = 'expected "blake3:<64 hexadecimal digits>" or "sha256:<64 hexadecimal digits>"'
    digits = text.rpartition(":")[2]
    bare = ":" not in text and len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text)
    if bare:
        advice = f'say which hash it is: "sha256:{text[:8]}…" or "blake3:{text[:8]}…"'
    elif text.startswith("sha256-"):
        advice = _in_hexadecimal(text.removeprefix("sha256-"))
    elif digits != digits.lower():
        advice = "write the digits in lower case"
    elif text.startswith(("sha256:", "blake3:")):
        advice = f"there are {len(digits)} characters behind the colon; 64 hexadecimal digits are needed"
    else:
        advice = "`b3sum FILE` prints the digits of a BLAKE3 hash, `sha256sum FILE` those of SHA-256"
    return Wording("K0406", f"{_quoted(text)} is not the hash of a file", "given here", (expected,), advice)


def _in_hexadecimal(text: str) -> str:
    """What to write for the base64 of npm, of Bazel and of Nix."""
    import binascii

    try:
        digest = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        digest = b""
    if len(digest) != 32:
        return "this is base64; write the hexadecimal digits that `sha256sum` prints"
    return f'this is base64; in hexadecimal it is "sha256:{digest.hex()}"'


def _not_buildable(what: str, choices: tuple[str, ...]) -> Wording:
    if choices:
        listed = ", ".join(choices[:12]) + (f" and {len(choices) - 12} more" if len(choices) > 12 else "")
        return Wording("K0411", what, notes=(f"it has {listed}",), help=f"name one: `#{choices[0]}`")
    return Wording("K0411", what, help="a package, a derivation or an output can be built, or a set that holds some")


def _unknown_attribute(name: str, where: str, nearest: str | None, choices: tuple[str, ...]) -> Wording:
    notes = (f"it has {', '.join(choices[:12])}" + (" …" if len(choices) > 12 else ""),) if choices else ()
    help = f"did you mean `{nearest}`?" if nearest else None
    return Wording("K0412", f"{where} has no `{name}`", notes=notes, help=help)
