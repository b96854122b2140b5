"""Mistakes with packages, sets and patterns (see mistakes.py)."""

from __future__ import annotations

from kiln.lang.check.failure import Context, Message, did_you_mean
from kiln.lang.check.infos import Site
from kiln.lang.check.mismatch import this_is
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Type, prune
from kiln.lang.check.words import a, counted
from kiln.lang.rare import Rare


class EditUnknown(Rare):
    found: Type
    overlay: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.overlay:
            return Message(
                "K0310",
                "only a set takes `with (self, super)`",
                this_is(self.found, p),
                help="a package or a record is edited by `with { … }`",
            )
        found = prune(self.found)
        if type(found) is Con:
            return Message(
                "K0310",
                f"`with` can't edit {a(p.show(found))}",
                f"this is {p.show(found)}",
                help="it edits packages and records",
            )
        return Message(
            "K0310",
            "`with` needs to know what it edits",
            "its type isn't known here",
            help="write its type: a Pkg(…) or a record",
        )


class EditForgotten(Rare):
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        note = f"{p.show(self.found)} has forgotten its recipe"
        return Message(
            "K0304",
            "this package can't be overridden here",
            this_is(self.found, p),
            (note,),
            help="keep the type Pkg(…) from where it is made to here",
        )


class EditInside(Rare):
    path: str
    package: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0313",
            f"`{self.path}` goes into another package",
            f"`{self.package}` is a package of its own",
            help=f"override that one, and assign it: `{self.package} = p with {{ … }}`",
        )


class CantAppend(Rare):
    path: str
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0314",
            f"`+=` adds to a list, a map or a text, and `{self.path}` is {a(p.show(self.found))}",
            help="replace it with `=`",
        )


class MemberCycle(Rare):
    set_name: str
    chain: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        chain = " → ".join(f"`{n}`" for n in self.chain)
        first = self.chain[0]
        return Message(
            "K0315",
            f"the type of `{first}` in {self.set_name} depends on itself",
            notes=(chain,),
            help=f"write one of their types: `{first}: … = …`",
        )


class MemberTwice(Rare):
    parent: str
    label: str
    site: Site

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0317",
            f"{self.parent} already has a member `{self.label}`",
            "again here",
            others=((self.site, "first declared here"),),
            help="change it with `with (self, super) { … }`",
        )


class NoMember(Rare):
    set_name: str
    label: str
    known: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = did_you_mean(self.label, self.known)
        return Message(
            "K0306",
            f"the set {self.set_name} has no member `{self.label}`",
            "not a member",
            help=help_ or "new members are added by a set that `extends` it",
        )


class Captures(Rare):
    field: str
    name: str
    scalar: bool
    through: str | None
    """The local function that uses it, if that is not the field itself."""

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"`{self.field}` uses `{self.name}` from outside the recipe"
        through = () if self.through is None else (f"it does so through the local function `{self.through}`",)
        note = "an override edits the recipe and computes this function again: it would not reach what was captured"
        place = "`opts`" if self.scalar else "`deps`"
        return Message(
            "K0318",
            title,
            "captured here",
            (*through, note),
            help=f"put it into the recipe, for example into {place}, and read it from the function's parameter",
        )


class OverlayPath(Rare):
    member: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"an overlay gives `{self.member}` a new value as a whole"
        return Message("K0314", title, help=f"write `{self.member} = super.{self.member} with {{ … }}`")


class PatternFields(Rare):
    con: str
    wanted: tuple[str | None, ...]
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        shape = self.con + (f"({', '.join(n or '_' for n in self.wanted)})" if self.wanted else "")
        return Message(
            "K0350",
            f"{self.con} has {counted(len(self.wanted), 'field')}, and this pattern {self.found}",
            help=f"its shape is {shape}",
        )


class NotExhaustive(Rare):
    witness: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0351", f"this match forgets {self.witness}", help=f"add `{self.witness} => …`")


class NeverReached(Rare):
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0352",
            "this arm is never reached",
            "the arms above take every such value",
            help="remove it, or move it up",
        )


class MayNotMatch(Rare):
    witness: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0353", f"this pattern doesn't take {self.witness}", "a `let` must take every value", help="use `match`"
        )


class OptionsBind(Rare):
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0354",
            f"`{self.name}` is bound by some of these patterns only",
            help="every side of `|` must bind the same names",
        )
