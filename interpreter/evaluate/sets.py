"""Sets: lazy fixpoints, built in layers.

    set Pkgs(sys) { a; b }                 layers (Pkgs)
    set Mine(sys) extends Pkgs(sys) { c }  layers (Pkgs, Mine)
    s with (self, super) { b }             layers (…s's own, the overlay)

A set's value is a view of its layers: the final one sees all of them, `super` in layer i those below i. A member
is found in the topmost layer of the view that has it, and evaluated with the final view as `self`; each view
remembers what its members came to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from kiln.interpreter.evaluate.mistakes import Failure, NeedsItself
from kiln.interpreter.evaluate.values import Value

MemberFn: TypeAlias = Callable[..., Value]


class Layer:
    """The members of one `set` (of its parameters `env`) or of one overlay (`env` None)."""

    __slots__ = ("env", "link", "members", "name")

    def __init__(
        self,
        name: str,
        members: dict[str, MemberFn | None],
        env: tuple[Value, ...] | None,
        link: Callable[[str], MemberFn] | None = None,
    ) -> None:
        self.name = name
        self.members = members
        """By attribute; shared by all layers of one `set`; None until `link` has compiled it."""
        self.env = env
        self.link = link


class SetValue:
    """A view of layers: those below `height`."""

    __slots__ = ("below", "done", "final", "height", "layers")

    def __init__(self, layers: tuple[Layer, ...], height: int | None = None, final: SetValue | None = None) -> None:
        self.layers = layers
        self.height = len(layers) if height is None else height
        self.final = self if final is None else final
        self.done: dict[str, Value] = {}
        self.below: dict[int, SetValue] = {}
        """The views that overlays of this final set have as `super`, by height."""

    def __getattr__(self, name: str) -> Value:
        """The member `l` for the attribute `l_`; the checker has shown that there is one."""
        if name.startswith("_") or not name.endswith("_"):
            raise AttributeError(name)
        return member(self, name)

    def labels(self) -> list[str]:
        """The members' names, sorted."""
        found: set[str] = set()
        for layer in self.layers[: self.height]:
            found.update(layer.members)
        return sorted(name[:-1] for name in found)

    def overlaid(self, layer: Layer) -> SetValue:
        """The set with one layer more on top of what this view sees."""
        return SetValue((*self.layers[: self.height], layer))


class _Busy:
    """Stands in `done` for a member that is being computed."""


_BUSY = _Busy()


def member(view: SetValue, name: str) -> Value:
    """The member with the attribute `name`, computed when it is first asked for. Raises Failure."""
    done = view.done
    value = done.get(name)
    if value is not None:
        if value is _BUSY:
            raise Failure(_chain(view, name))
        return value
    layers = view.layers
    height = view.height
    while True:
        height -= 1
        layer = layers[height]
        if name in layer.members:
            break
    compute = layer.members[name]
    if compute is None:
        assert layer.link is not None
        compute = layer.link(name)
    final = view.final
    if layer.env is not None:
        second: Value = layer.env
    else:
        second = final.below.get(height)
        if second is None:
            second = final.below[height] = SetValue(layers, height, final)
    done[name] = _BUSY
    try:
        value = compute(final, second)
    except BaseException:
        del done[name]
        raise
    done[name] = value
    return value


def _chain(view: SetValue, name: str) -> NeedsItself:
    """Who asks for whom, from the frames of `member` between the first time and now."""
    import sys

    steps: list[tuple[SetValue, str]] = []
    frame = sys._getframe(2)
    code = member.__code__
    while frame is not None:
        if frame.f_code is code:
            step = (frame.f_locals["view"], frame.f_locals["name"])
            steps.append(step)
            if step[0] is view and step[1] == name:
                break
        assert frame.f_back is not None
        frame = frame.f_back
    names = [_step_title(where, label) for where, label in reversed(steps)]
    return NeedsItself((*names, _step_title(view, name)))


def _step_title(view: SetValue, name: str) -> str:
    return f"`{'self' if view.final is view else 'super'}.{name[:-1]}`"
