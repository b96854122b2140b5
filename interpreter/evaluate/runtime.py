"""What generated code calls by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from kiln.interpreter.evaluate import shell
from kiln.interpreter.evaluate.captures import hidden_around
from kiln.interpreter.evaluate.mistakes import (
    AssertionFailed,
    DuplicateKey,
    Failure,
    NeedsItself,
    TooLarge,
    UnsafeHole,
)
from kiln.interpreter.evaluate.packages import Pkg
from kiln.interpreter.evaluate.sets import Layer, MemberFn, SetValue, member
from kiln.interpreter.evaluate.show import show
from kiln.interpreter.evaluate.values import OutValue, Record, Text, Value, equal, spread, text_of

_BITS: Final = 1 << 20
_HUGE: Final = 1 << _BITS


class Absent:
    """Passed for an argument that was left out."""

    __slots__ = ()


class SetShape(NamedTuple):
    """A declared `set`: its members, which all its values share, and what compiles one."""

    name: str
    members: dict[str, MemberFn | None]
    link: Callable[[str], MemberFn]


def new_set(shape: SetShape, env: tuple[Value, ...], parent: SetValue | None) -> SetValue:
    layer = Layer(shape.name, shape.members, env, lambda name: _linked(shape, name))
    return SetValue((layer,)) if parent is None else parent.overlaid(layer)


def _linked(shape: SetShape, name: str) -> MemberFn:
    found = shape.members[name] = shape.link(name)
    return found


def overlay(base: SetValue, members: dict[str, MemberFn | None]) -> SetValue:
    return base.overlaid(Layer("an overlay", members, None))


def rederive(package: Pkg, recipe: Record) -> Pkg:
    return Pkg(recipe, package.build, hidden_around(recipe, package))


def put(entries: dict[str, Value], key: str, value: Value) -> None:
    if key in entries:
        raise Failure(DuplicateKey(key))
    entries[key] = value


def product(left: int, right: int) -> int:
    """Squares of squares would soon take CPython days, in one step that no budget interrupts."""
    made = left * right
    if -_HUGE < made < _HUGE:
        return made
    raise Failure(TooLarge("this product", f"{_BITS:,} bits, some 315,000 digits"))


def failed(message: str | Text) -> NoReturn:
    raise Failure(AssertionFailed(message if isinstance(message, str) else show(message)[1:-1]))


def needs_itself(chain: tuple[str, ...]) -> NoReturn:
    raise Failure(NeedsItself(chain))


def unsafe(problem: str) -> NoReturn:
    raise Failure(UnsafeHole(problem))


def unmatched(value: Value) -> NoReturn:
    raise AssertionError(f"no arm of an exhaustive match took {show(value)}")


def compared(left: Value, right: Value) -> tuple[bool, Value, Value]:
    return equal(left, right), left, right


def quoted(value: str | Text | OutValue, rule: shell.Quote) -> str | Text | OutValue:
    return rule(value) if type(value) is str else shell.quote(value, rule)


HELPERS: Final[dict[str, Any]] = {
    "_ABSENT": Absent(),
    "_type": type, "_len": len, "_tuple": tuple, "_str": str, "_int": int, "_range": range,
    "_equal": equal, "_text": text_of, "_spread": spread, "_member": member,
    "_new_set": new_set, "_overlay": overlay, "_rederive": rederive, "_put": put,
    "_product": product,
    "_failed": failed, "_unsafe": unsafe, "_unmatched": unmatched, "_compared": compared,
    "_sh": quoted, "_sh_list": shell.quote_list, "_sh_ends": shell.check_heredoc,
    "_sh_bare": shell.word, "_sh_redirected": shell.redirected_word, "_sh_double": shell.in_double,
    "_sh_single": shell.in_single, "_sh_heredoc": shell.in_heredoc,
    "_sh_verbatim": shell.verbatim, "_sh_wrapping": shell.in_wrapping, "_sh_comment": shell.in_comment,
}  # fmt: skip
