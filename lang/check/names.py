"""Names: what a name in this module's text may stand for.

Values are looked for among the locals, this module's own items, what it imports by name, and the prelude, in this
order; types and constructors likewise. `cc.x` is looked up in the module that `cc` is the alias of, unless a
local has that name.

In core every binder of a declaration has a name of its own, so shadowing ends here (`Namer`).
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping

from kiln.lang.check.infos import ConInfo, ParamInfo, Site, ValueInfo, ValueKind, VariantInfo
from kiln.lang.check.interface import Interface
from kiln.lang.check.types import Scheme, Type
from kiln.lang.check.world import OPTION
from kiln.lang.core import ModuleId

PRELUDE: ModuleId = "std/prelude"


class Local:
    """A name bound in a declaration; no other in it has the same `core_name`."""

    __slots__ = ("core_name", "type")

    def __init__(self, core_name: str, type: Type) -> None:
        self.core_name = core_name
        self.type = type


class Value:
    """A top-level value, of this module or another.

    `scheme` is None until the type is known; while its group is inferred `mono` is its one type. `broken`: its
    declaration has a mistake, and no type that could be used.
    """

    __slots__ = ("broken", "kind", "module", "mono", "name", "params", "scheme", "site")

    def __init__(
        self, module: ModuleId, name: str, kind: ValueKind, site: Site, params: tuple[ParamInfo, ...] | None = None
    ) -> None:
        self.module = module
        self.name = name
        self.kind = kind
        self.site = site
        self.params = params
        self.scheme: Scheme | None = None
        self.mono: Type | None = None
        self.broken = False


def imported_value(module: ModuleId, info: ValueInfo) -> Value:
    value = Value(module, info.name, info.kind, info.site, info.params)
    value.scheme = info.scheme
    return value


class Scope:
    """The names of one module."""

    __slots__ = (
        "_prelude",
        "_values",
        "alias_sites",
        "broken_types",
        "constructors",
        "missing",
        "module",
        "modules",
        "own",
        "types",
    )

    def __init__(self, module: ModuleId, prelude: Interface | None) -> None:
        self.module = module
        self.modules: dict[str, Interface] = {}
        """Import aliases."""
        self.alias_sites: dict[str, Site] = {}
        """Where each import's alias, or name, stands."""
        self.own: dict[str, Value] = {}
        self._values: dict[str, Value] = {}
        self.types: dict[str, str] = {}
        """Type names, the prelude's too, each with its id."""
        self.constructors: dict[str, ConInfo] = dict(OPTION.constructors)
        self.missing: set[str] = set()
        """Aliases and names whose import failed: they were told about once."""
        self.broken_types: set[str] = set()
        self._prelude = prelude
        if prelude is not None:
            self.types.update(prelude.types)
            self.constructors.update(exported_constructors(prelude))

    def value(self, name: str) -> Value | None:
        found = self.own.get(name)
        if found is not None:
            return found
        found = self._values.get(name)
        if found is None and self._prelude is not None:
            info = self._prelude.values.get(name)
            if info is not None:
                found = self._values[name] = imported_value(self._prelude.module, info)
        return found

    def import_value(self, name: str, value: Value) -> None:
        self._values[name] = value

    def member(self, alias: str, name: str) -> Value | None:
        """The value `name` that the module behind `alias` exports."""
        key = f"{alias}.{name}"
        found = self._values.get(key)
        if found is None:
            interface = self.modules[alias]
            info = interface.values.get(name)
            if info is not None:
                found = self._values[key] = imported_value(interface.module, info)
        return found

    def known_values(self) -> tuple[str, ...]:
        names = dict.fromkeys(self.own)
        names.update(dict.fromkeys(n for n in self._values if "." not in n))
        names.update(dict.fromkeys(self.modules))
        if self._prelude is not None:
            names.update(dict.fromkeys(self._prelude.values))
        return tuple(names)


def exported_constructors(interface: Interface) -> Mapping[str, ConInfo]:
    found: dict[str, ConInfo] = {}
    for name in interface.types.values():
        info = interface.infos[name]
        if isinstance(info, VariantInfo):
            found.update(info.constructors)
    return found


class Namer:
    """Gives each binder of a declaration a name of its own: a Python identifier, no keyword, no underscore in
    front.
    """

    __slots__ = ("_numbers", "_taken")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        base = wanted.lstrip("_") or "x"
        if base not in self._taken and base.isidentifier() and not keyword.iskeyword(base):
            self._taken.add(base)
            return base
        if not base.isidentifier():
            base = f"x{base}"
        number = self._numbers.get(base, 2)
        while f"{base}_{number}" in self._taken:
            number += 1
        self._numbers[base] = number + 1
        name = f"{base}_{number}"
        self._taken.add(name)
        return name
