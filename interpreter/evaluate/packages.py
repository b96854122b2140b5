"""What can be built, as values: derivations, packages, fetched files, sources.

None of them is worked out when it is made. `p.out` gives an OutValue that names its owner; what a build runs, and
with it the digest, is found when something asks for it (`derive.Resolver`). So a package that an override
replaces is never derived, and a chain of a hundred thousand packages needs no deep stack.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from kiln.interpreter.derivation import Credential, Fixed, Limits, OutputSpec, SourceObject
from kiln.interpreter.evaluate.values import OutValue, Record, Text, Value
from kiln.interpreter.imports import is_library
from kiln.store.digest import DrvDigest

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.mistakes import HiddenPackage

Site: TypeAlias = tuple[str, int]
"""A line of generated code, which `units.Positions` turns into a place in a Kiln file."""

USER_CODE = "<kiln "
LIBRARY_CODE = "<std "
DIRECT = "<let "
"""Of a let without code: its number instead of a file, and an offset instead of a line."""
DIRECT_FRAMES: set[CodeType] = set()
"""Whose frames compute a let without code: `unit` and `at` are among their locals."""
_FRAMES = 24


def call_site() -> Site | None:
    """The innermost line of Kiln code on the stack outside the library, else the innermost one."""
    frame = sys._getframe(1)
    library: Site | None = None
    for _ in range(_FRAMES):
        name = frame.f_code.co_filename
        if name.startswith(USER_CODE):
            return name, frame.f_lineno
        if library is None and name.startswith(LIBRARY_CODE):
            library = name, frame.f_lineno
        if frame.f_code in DIRECT_FRAMES:
            unit, at = frame.f_locals["unit"], frame.f_locals["at"]
            if not is_library(unit.module.id):
                return f"{DIRECT}{unit.id}>", at
        below = frame.f_back
        if below is None:
            break
        frame = below
    return library


class Plan(NamedTuple):
    """What a derivation will be, before the digests of its inputs are known."""

    name: str
    builder: Text | str | tuple[str, int]
    """A program, or a builtin's name and version."""
    args: tuple[str | Text, ...]
    env: tuple[tuple[str, str | Text], ...]
    """Sorted, as links and secrets are."""
    links: tuple[tuple[str, str | Text], ...]
    outputs: tuple[OutputSpec, ...]
    limits: Limits
    secrets: tuple[str, ...] = ()
    """By name: the sandbox has each as a file."""


class Buildable:
    """What an OutValue may belong to. `origin` is found once, by the resolver."""

    __slots__ = ("__dict__", "busy", "origin", "site")

    origin: DrvDigest | SourceObject | None
    busy: bool
    """Guarded by the resolver: it is on the path of what is being worked out."""
    site: Site | None

    def __init__(self) -> None:
        self.origin = None
        self.busy = False
        self.site = call_site()

    def __getattr__(self, name: str) -> OutValue:
        """The output `l` for the attribute `l_`; the checker has shown that there is one."""
        if name.startswith("_") or not name.endswith("_"):
            raise AttributeError(name)
        found = self.__dict__[name] = OutValue(self, name[:-1])
        return found


class Drv(Buildable):
    """A derivation. `make_plan` finds what it runs, given itself as the owner of its own outputs."""

    __slots__ = ("limits", "make_plan", "mentions", "name", "plan")

    def __init__(self, name: str, make_plan: Callable[[Drv], Plan]) -> None:
        super().__init__()
        self.name = name
        self.make_plan = make_plan
        self.plan: Plan | None = None
        self.limits: Limits | None = None
        """Of its plan, once it has its origin."""
        self.mentions: tuple[OutValue, ...] = ()
        """The outputs of others in the plan's texts."""

    def planned(self, limits: Limits) -> None:
        """It has its derivation. Drop what that was made from: of a large graph, a third of all memory."""
        self.limits = limits
        self.plan = None
        self.make_plan = _made_before


def _made_before(own: Drv) -> Plan:
    raise AssertionError(own.name)


class Pkg(Buildable):
    """A recipe and the function that builds from it."""

    __slots__ = ("build", "drv", "hides", "recipe")

    def __init__(
        self,
        recipe: Record,
        build: Callable[[Record], Value],
        hides: tuple[HiddenPackage, FunctionType] | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.build = build
        self.hides = hides
        """The mistake that it is to derive this, and the function of the recipe that makes it one."""
        self.drv: Drv | Pkg | None = None


class Fetch(Buildable):
    """A file fixed by its content."""

    __slots__ = ("credentials", "fixed", "sources")

    def __init__(
        self, fixed: Fixed, sources: tuple[str, ...], credentials: tuple[tuple[str, Credential], ...] = ()
    ) -> None:
        super().__init__()
        self.fixed = fixed
        self.sources = sources
        self.credentials = credentials


class Selection(NamedTuple):
    """Which entries of a folder a source takes; all of them if nothing is said."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = False


class Source(Buildable):
    """A folder of the user's own, or one file if `selection` is None."""

    __slots__ = ("name", "path", "selection")

    def __init__(self, path: str, name: str, selection: Selection | None) -> None:
        super().__init__()
        self.path = path
        self.name = name
        self.selection = selection


def title(owner: Buildable) -> str:
    """What messages call it: the same before and after it was derived."""
    match owner:
        case Drv(name=name):
            return f"`{name}`"
        case Pkg(label=str(label)):  # one that was restored
            return label
        case Pkg(recipe=recipe):
            named = getattr(recipe, "name_", None)
            return f"`{named}`" if isinstance(named, str) else "a package"
        case Fetch(fixed=fixed):
            return f"`{fixed.name}`"
        case Source(name=name):
            return f"`{name}`"
        case _:
            raise AssertionError(owner)
