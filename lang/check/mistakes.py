"""Mistakes with names, declared types and signatures: one dataclass each, and its words beside it.

A message says what was found, what was wanted, and one next step. Codes are explained in kiln.lang.codes. Further
mistakes: mismatch.py, mistakes_values.py, mistakes_builds.py.
"""

from __future__ import annotations

from kiln.lang.check.failure import Context, Message, did_you_mean
from kiln.lang.check.infos import Site
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Scheme, Type
from kiln.lang.check.words import counted, listed
from kiln.lang.rare import Rare


class UnknownName(Rare):
    name: str
    known: tuple[str, ...]
    what: str = "name"

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        code = {"type": "K0210", "type variable": "K0210", "constructor": "K0211"}.get(self.what, "K0200")
        help_ = did_you_mean(self.name, self.known)
        if help_ is None and self.name == "raw":
            help_ = '`raw(…)` is for a hole of sh"…": it puts a text into the script unquoted'
        return Message(code, f"there is no {self.what} `{self.name}` here", "not declared, nor imported", help=help_)


class DeclaredTwice(Rare):
    name: str
    first: Site
    what: str = "name"

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"the {self.what} `{self.name}` is declared twice"
        return Message(
            "K0201", title, "again here", others=((self.first, "first declared here"),), help="rename one of them"
        )


class NotExported(Rare):
    """`private`: the module has it, without `pub`."""

    name: str
    module: str
    exported: tuple[str, ...]
    private: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.private:
            help_: str | None = f"write `pub` in front of it in {self.module}"
            return Message("K0202", f"`{self.name}` is private to {self.module}", "not exported", help=help_)
        help_ = did_you_mean(self.name, self.exported)
        notes = () if help_ or not self.exported else (f"it exports {listed(self.exported[:12])}",)
        return Message("K0202", f"{self.module} has no `{self.name}`", "not exported", notes, help=help_)


class UnknownModule(Rare):
    source: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "a library's module is `std/…`, a file is `./name.kiln`, relative to this one"
        return Message("K0203", f"there is no module `{self.source}`", "can't be imported", help=help_)


class ModuleAsValue(Rare):
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = f"name what is meant in it: `{self.name}.…`"
        return Message("K0212", f"`{self.name}` is a module, not a value", "used as a value", help=help_)


class TypeAsValue(Rare):
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "a type stands behind `:`; a value of a record type is written { … }"
        return Message("K0212", f"`{self.name}` is a type, not a value", "used as a value", help=help_)


class LabelTwiceHere(Rare):
    label: str
    what: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0213", f"the {self.what} `{self.label}` comes twice", "again here", help="remove or rename one of them"
        )


class NeedsItself(Rare):
    """Types of declarations that need each other and say none."""

    chain: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        chain = " → ".join(f"`{n}`" for n in self.chain)
        return Message(
            "K0209",
            f"the type of `{self.chain[0]}` needs itself",
            notes=(f"{chain}",),
            help="write the type of one of them",
        )


class TypeArguments(Rare):
    name: str
    wanted: int
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0324", f"{self.name} takes {counted(self.wanted, 'type')}", f"{self.found} given")


class RowWanted(Rare):
    """A type stands where a row of outputs does (`row`), or the other way round."""

    row: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.row:
            return Message(
                "K0325", "a row is wanted here, not a type", "not a row", help="write {out: Tree, …}, or a variable"
            )
        return Message(
            "K0325",
            "a variable for a row is used as a type",
            "stands for a row elsewhere",
            help="a row stands behind `..`, or in Kinds, Outs, Drv and Pkg",
        )


class UnevenRow(Rare):
    variable: str
    first: tuple[str, ...]
    second: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        one, other = listed(self.first) or "no field", listed(self.second) or "no field"
        return Message(
            "K0326",
            f"`..{self.variable}` stands behind different fields in one signature",
            notes=(f"behind {one} here, and behind {other} there; so a field could come twice",),
            help=f"let `..{self.variable}` follow the same fields wherever it occurs",
        )


class DefaultInPlace(Rare):
    label: str
    optional: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        what = "an optional field" if self.optional else "a default"
        help_ = "declare the record: `type T = { … };`"
        return Message(
            "K0327",
            f"{what} belongs to a declared type",
            f"`{self.label}` stands in a type written in place",
            help=help_,
        )


class BadConstraint(Rare):
    variable: str
    constraint: str | None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.constraint is None:
            return Message("K0328", f"the signature has no variable `{self.variable}`", "not in the signature")
        return Message(
            "K0328",
            f"there is no constraint `{self.constraint}`",
            "unknown",
            help="the two constraints are Data and Emit",
        )


class AliasLoop(Rare):
    chain: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        chain = " → ".join(self.chain)
        return Message(
            "K0329",
            f"the type `{self.chain[0]}` stands for itself",
            notes=(chain,),
            help="a type may contain itself in a record's field or a variant only",
        )


class OutputNamedField(Rare):
    label: str
    output: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        from kiln.lang.check.mismatch import label_twice

        title, code, notes, help_ = label_twice(self.label, self.output)
        return Message(code, title, notes=tuple(notes), help=help_)


class ExternHere(Rare):
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "give it a body: `fn f(…) = …;`"
        return Message("K0331", f"`{self.name}` is extern, which only the standard library may be", help=help_)


class SignatureNeeded(Rare):
    """`line` is what to paste, where the type is known."""

    name: str
    what: str
    line: str | None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = f"paste: {self.line}" if self.line else "write the types of its parameters and of its result"
        return Message(
            "K0319",
            f"the {self.what} `{self.name}` is pub, so it needs its whole type",
            "part of the type is missing",
            help=help_,
        )


class TypeUnknown(Rare):
    name: str
    scheme: Type | Scheme

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        note = f"so far it is {p.show(self.scheme)}"
        return Message(
            "K0316",
            f"the type of `{self.name}` isn't known",
            "no use says it",
            (note,),
            help=f"write its type: `{self.name}: … = …`",
        )


class SetParameter(Rare):
    name: str
    set_name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0319",
            f"the parameter `{self.name}` of the set {self.set_name} needs a type",
            help=f"write `{self.name}: …`",
        )


class NotASet(Rare):
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0310",
            "only a set can be extended",
            "not a set",
            help="write `extends Name(…)` with the set's arguments",
        )


class TooDeep(Rare):
    limit: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0390",
            "this is nested too deeply",
            help=f"at most {self.limit} levels: give parts of it names of their own",
        )


class TypeTooLarge(Rare):
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "declare types for parts of it, and use their names"
        return Message("K0390", f"the type of `{self.name}` is too large", "its type is found here", help=help_)
