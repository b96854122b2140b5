"""From a plan, all of whose inputs have their origins, to its derivation.

Inputs are put into their order before a template is written, so that it is written once, with the places that stay.
`interpreter.derivation.derivation` would make the same of it, in three times as long.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from kiln.interpreter.derivation import (
    SYSTEM,
    Builtin,
    Derivation,
    DrvOutput,
    Input,
    InputRef,
    OutputRef,
    OutputSpec,
    Part,
    Program,
    SourceObject,
    Template,
    input_bytes,
)
from kiln.interpreter.evaluate.mistakes import BadCommand, Failure
from kiln.interpreter.evaluate.packages import Drv, Plan
from kiln.interpreter.evaluate.values import OutValue, Text
from kiln.store.paths import OutputName

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def mentioned(plan: Plan, own: Drv) -> tuple[OutValue, ...]:
    """The outputs that the plan's texts mention, in their order, its own left out."""
    texts = [*plan.args, *[value for _, value in plan.env], *[value for _, value in plan.links]]
    if type(plan.builder) is not tuple:
        texts.insert(0, plan.builder)  # type: ignore[arg-type]
    parts = [part for text in texts if type(text) is Text for part in text.parts if type(part) is OutValue]
    return tuple(dict.fromkeys([part for part in parts if part.owner is not own]))


class Inputs:
    """The inputs that outputs stand for, each behind the bytes that it is sorted by. One for an evaluation."""

    def __init__(self) -> None:
        self._known: dict[OutValue, tuple[bytes, Input]] = {}

    def of(self, part: OutValue) -> tuple[bytes, Input]:
        found = self._known.get(part)
        if found is None:
            item = _input(part)
            found = self._known[part] = (input_bytes(item), item)
        return found


def _input(part: OutValue) -> Input:
    origin = part.owner.origin
    if isinstance(origin, SourceObject):
        return origin
    assert origin is not None
    return DrvOutput(origin, OutputName(part.output))


def derivation_of(own: Drv, plan: Plan, mentions: tuple[OutValue, ...], known: Inputs) -> Derivation:
    """The derivation that `own`'s plan comes to. Raises Failure."""
    known_as = [known.of(part) for part in mentions]
    items = dict(known_as)
    order = sorted(items)
    places = {data: InputRef(place) for place, data in enumerate(order)}
    outputs = sorted(plan.outputs, key=_name)
    writer = _Writer(own, {part: places[data] for part, (data, _) in zip(mentions, known_as, strict=True)}, outputs)
    args = tuple([writer.template(text) for text in plan.args])
    builder: Program | Builtin
    if type(plan.builder) is tuple:
        builder = Builtin(plan.builder[0], plan.builder[1], args)
    else:
        builder = Program(writer.template(plan.builder), args)  # type: ignore[arg-type]
    for name, _ in plan.env:
        if not _is_variable(name):
            raise _bad(own, f"its environment has a variable `{name}`", "use letters, digits and _")
    for path, _ in plan.links:
        if not _is_link(path):
            raise _bad(own, f"its link `{path}` is no absolute path", 'write it like "/bin/sh"')
    return Derivation(
        name=plan.name,
        system=SYSTEM,
        builder=builder,
        env=tuple([(name, writer.template(text)) for name, text in plan.env]),
        inputs=tuple([items[data] for data in order]),
        outputs=tuple(outputs),
        links=tuple([(path, writer.template(text)) for path, text in plan.links]),
        secrets=plan.secrets,
    )


class _Writer:
    """Writes the templates of one derivation."""

    __slots__ = ("_inputs", "_outputs", "_own")

    def __init__(self, own: Drv, inputs: dict[OutValue, InputRef], outputs: list[OutputSpec]) -> None:
        self._own = own
        self._inputs = inputs
        self._outputs = {spec.name: OutputRef(place) for place, spec in enumerate(outputs)}

    def template(self, text: str | Text) -> Template:
        """No two texts side by side, and none empty."""
        if type(text) is str:
            return (self._checked(text),) if text else ()
        parts: list[Part] = []
        for part in text.parts:  # type: ignore[union-attr]
            if type(part) is OutValue:
                parts.append(self._outputs[part.output] if part.owner is self._own else self._inputs[part])  # type: ignore[index]
                if part.sub:
                    parts.append("/" + part.sub)
            elif parts and type(parts[-1]) is str:
                parts[-1] += self._checked(part)  # type: ignore[arg-type]
            else:
                parts.append(self._checked(part))  # type: ignore[arg-type]
        return tuple(parts)

    def _checked(self, text: str) -> str:
        if "\0" in text:
            raise _bad(self._own, "a text has a NUL character in it", "take it out")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise _bad(self._own, "a text has half of a surrogate pair in it", "take it out") from None
        return text


def _bad(own: Drv, problem: str, help: str) -> Failure:
    return Failure(BadCommand(own.name, problem, help))


def _name(spec: OutputSpec) -> str:
    return spec.name


@functools.lru_cache(1024)
def _is_variable(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None


@functools.lru_cache(1024)
def _is_link(path: str) -> bool:
    first, *parts = path.split("/")
    return not first and bool(parts) and not any(part in ("", ".", "..") for part in parts) and "\0" not in path
