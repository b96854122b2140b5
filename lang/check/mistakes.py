"""Every mistake with names and types but a mismatch (mismatch.py): one dataclass each, and its words beside it.

A message says what was found, what was wanted, and one next step. Codes are explained in kiln.lang.codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from kiln.lang.check.failure import Context, Message, did_you_mean
from kiln.lang.check.infos import Site
from kiln.lang.check.mismatch import a
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Fn, Rec, Scheme, Type, prune


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{n}`" for n in names)


# ---- names ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnknownName:
    name: str
    known: tuple[str, ...]
    what: str = "name"

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        code = {"type": "K0210", "type variable": "K0210", "constructor": "K0211"}.get(self.what, "K0200")
        help_ = did_you_mean(self.name, self.known)
        if help_ is None and self.name == "raw":
            help_ = '`raw(…)` is for a hole of sh"…": it puts a text into the script unquoted'
        return Message(code, f"there is no {self.what} `{self.name}` here", "not declared, nor imported", help=help_)


@dataclass(frozen=True, slots=True)
class DeclaredTwice:
    name: str
    first: Site
    what: str = "name"

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"the {self.what} `{self.name}` is declared twice"
        return Message(
            "K0201", title, "again here", others=((self.first, "first declared here"),), help="rename one of them"
        )


@dataclass(frozen=True, slots=True)
class NotExported:
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
        notes = () if help_ or not self.exported else (f"it exports {_list(self.exported[:12])}",)
        return Message("K0202", f"{self.module} has no `{self.name}`", "not exported", notes, help=help_)


@dataclass(frozen=True, slots=True)
class UnknownModule:
    source: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "a library's module is `std/…`, a file is `./name.kiln`, relative to this one"
        return Message("K0203", f"there is no module `{self.source}`", "can't be imported", help=help_)


@dataclass(frozen=True, slots=True)
class ModuleAsValue:
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = f"name what is meant in it: `{self.name}.…`"
        return Message("K0212", f"`{self.name}` is a module, not a value", "used as a value", help=help_)


@dataclass(frozen=True, slots=True)
class TypeAsValue:
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "a type stands behind `:`; a value of a record type is written { … }"
        return Message("K0212", f"`{self.name}` is a type, not a value", "used as a value", help=help_)


@dataclass(frozen=True, slots=True)
class LabelTwiceHere:
    label: str
    what: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0213", f"the {self.what} `{self.label}` comes twice", "again here", help="remove or rename one of them"
        )


@dataclass(frozen=True, slots=True)
class NeedsItself:
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


# ---- declared types ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TypeArguments:
    name: str
    wanted: int
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0324", f"{self.name} takes {_count(self.wanted, 'type')}", f"{self.found} given")


def _count(n: int, what: str) -> str:
    return f"no {what}s" if n == 0 else f"one {what}" if n == 1 else f"{n} {what}s"


@dataclass(frozen=True, slots=True)
class RowWanted:
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


@dataclass(frozen=True, slots=True)
class UnevenRow:
    variable: str
    first: tuple[str, ...]
    second: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        one, other = _list(self.first) or "no field", _list(self.second) or "no field"
        return Message(
            "K0326",
            f"`..{self.variable}` stands behind different fields in one signature",
            notes=(f"behind {one} here, and behind {other} there; so a field could come twice",),
            help=f"let `..{self.variable}` follow the same fields wherever it occurs",
        )


@dataclass(frozen=True, slots=True)
class DefaultInPlace:
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


@dataclass(frozen=True, slots=True)
class BadConstraint:
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


@dataclass(frozen=True, slots=True)
class AliasLoop:
    chain: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        chain = " → ".join(self.chain)
        return Message(
            "K0329",
            f"the type `{self.chain[0]}` stands for itself",
            notes=(chain,),
            help="a type may contain itself in a record's field or a variant only",
        )


@dataclass(frozen=True, slots=True)
class OutputNamedField:
    label: str
    output: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        from kiln.lang.check.mismatch import label_twice

        title, code, notes, help_ = label_twice(self.label, self.output)
        return Message(code, title, notes=tuple(notes), help=help_)


@dataclass(frozen=True, slots=True)
class ExternHere:
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = "give it a body: `fn f(…) = …;`"
        return Message("K0331", f"`{self.name}` is extern, which only the standard library may be", help=help_)


@dataclass(frozen=True, slots=True)
class SignatureNeeded:
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


@dataclass(frozen=True, slots=True)
class TypeUnknown:
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


# ---- records ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoSuchField:
    """`owner` has no field `label`; `rigid` is the signature's variable that might have had it."""

    owner: Type
    label: str
    known: tuple[str, ...]
    rigid: str | None = None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        owner = prune(self.owner)
        what = "output" if type(owner) is Con and owner.name in ("Pkg", "Drv") else "field"
        title = f"{a(p.show(owner))} has no {what} `{self.label}`"
        if self.rigid is not None:
            note = f"`{self.rigid}` may be anything, so it isn't known to have `{self.label}`"
            help_: str | None = f"name the {what} in the signature: {{{self.label}: …, ..{self.rigid}}}"
            return Message("K0302", title, notes=(note,), help=help_)
        help_ = did_you_mean(self.label, self.known)
        notes = (f"it has {_list(self.known[:16])}",) if self.known and help_ is None else ()
        return Message("K0302", title, "not there", notes, help=help_)


@dataclass(frozen=True, slots=True)
class NoFields:
    owner: Type
    label: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"{a(p.show(self.owner))} has no fields, so no `{self.label}`"
        match prune(self.owner):
            case Con(name="Option"):
                help_: str | None = "it may be absent: take it apart with `match` first"
            case Con(name="List"):
                help_ = "take an item first, or use a comprehension: [x.… for x in …]"
            case Con(name="Map"):
                help_ = f'a Map is read with map_get(…, "{self.label}")'
            case Fn():
                help_ = "call the function first"
            case Con(name="Out") if self.label in ("file", "dir"):
                help_ = "only an Out(Tree) has folders"
            case _:
                help_ = None
        return Message("K0302", title, f"this is {p.show(self.owner)}", help=help_)


@dataclass(frozen=True, slots=True)
class NotCalled:
    """A method that is named and not called."""

    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        help_ = f'give it the path inside the output: .{self.name}("…")'
        return Message("K0361", f"`{self.name}` is a method and must be called", "not called", help=help_)


@dataclass(frozen=True, slots=True)
class NoMember:
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


@dataclass(frozen=True, slots=True)
class OpenSpread:
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = "only a record whose fields are all known can be spread into another"
        return Message("K0307", title, f"this is {p.show(self.found)}", help="write its type where it comes from")


@dataclass(frozen=True, slots=True)
class MissingField:
    labels: tuple[str, ...]
    owner: Type
    declared: Site | None
    given: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        what = "the field" if len(self.labels) == 1 else "the fields"
        owner = "" if type(prune(self.owner)) is Rec and self.owner.alias is None else f" of {p.show(self.owner)}"
        title = f"{what} {_list(self.labels)}{owner} {'is' if len(self.labels) == 1 else 'are'} missing"
        others = (
            ((self.declared, f"`{self.labels[0]}` is declared here, without a default"),) if self.declared else ()
        )
        label = "not in this record"
        notes = () if self.declared else ("a type written in place has no defaults",)
        return Message("K0308", title, label, notes, others, f"add `{self.labels[0]} = …`")


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A literal has a field that the wanted record has not."""

    label: str
    owner: Type
    known: tuple[str, ...]
    rigid: str | None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"{a(p.show(self.owner))} has no field `{self.label}`"
        if self.rigid is not None:
            note = f"`{self.rigid}` may be anything, so it isn't known to have `{self.label}`"
            return Message(
                "K0302",
                title,
                "not there",
                (note,),
                help=f"name the field in the signature: {{{self.label}: …, ..{self.rigid}}}",
            )
        help_ = did_you_mean(self.label, self.known)
        notes = (f"it has {_list(self.known)}",) if help_ is None and self.known else ()
        return Message("K0302", title, "not there", notes, help=help_)


@dataclass(frozen=True, slots=True)
class RecordForOther:
    wanted: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        from kiln.lang.check.mismatch import _subject

        title = f"{_subject(contexts, p)} isn't {a(p.show(self.wanted))}"
        help_ = None
        match prune(self.wanted):
            case Con(name="Map"):
                help_ = 'a Map is written ["key" => value, …]'
            case Con(name="List"):
                help_ = "a list is written [ … ]"
        return Message("K0301", title, "this is a record", help=help_)


@dataclass(frozen=True, slots=True)
class NotOptional:
    label: str
    what: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0333",
            f"the {self.what} `{self.label}` is not optional, so it takes no Option",
            "`? =` hands an Option on",
            help=f"write `{self.label} = …` with a value that is there",
        )


# ---- functions and calls ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotAFunction:
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0360", f"{a(p.show(self.found))} can't be called", "not a function")


@dataclass(frozen=True, slots=True)
class NoLabel:
    callee: str
    label: str
    known: tuple[str, ...]
    given: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.given:
            return Message(
                "K0309", f"`{self.callee}` is given `{self.label}` twice", "again here", help="remove one of the two"
            )
        help_ = did_you_mean(self.label, self.known)
        notes = (f"it takes {_list(self.known)}",) if self.known and help_ is None else ()
        return Message(
            "K0309", f"`{self.callee}` takes no argument `{self.label}`", "not a parameter", notes, help=help_
        )


@dataclass(frozen=True, slots=True)
class TooManyArguments:
    callee: str
    wanted: int
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"`{self.callee}` takes {_count(self.wanted, 'argument')}, and {self.found} are given"
        return Message("K0309", title, "one too many")


@dataclass(frozen=True, slots=True)
class MissingArguments:
    callee: str
    labels: tuple[str | None, ...]
    site: Site | None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        names = ", ".join(f"`{n}`" if n else "an argument by place" for n in self.labels)
        others = ((self.site, "declared here"),) if self.site else ()
        first = self.labels[0]
        return Message(
            "K0309",
            f"`{self.callee}` also needs {names}",
            "called here",
            (),
            others,
            f"add `{first} = …`" if first else None,
        )


@dataclass(frozen=True, slots=True)
class LambdaParameters:
    found: int
    wanted: Type
    takes: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"a function of {_count(self.takes, 'parameter')} is wanted, and this one has {self.found}"
        return Message("K0305", title, notes=(f"wanted: {p.show(self.wanted)}",))


# ---- operators and strings --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperatorOn:
    op: str
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        found = prune(self.found)
        wants = {
            "++": "lists, maps and strings",
            "<": "Int or Str",
            "<=": "Int or Str",
            ">": "Int or Str",
            ">=": "Int or Str",
        }.get(self.op, "Int")
        help_ = None
        if self.op == "+" and type(found) is Con and found.name in ("Str", "Text", "List", "Map"):
            help_ = "strings, lists and maps are joined by `++`"
        elif self.op == "++" and type(found) is Rec:
            help_ = "a record is changed by `r with { … }`, or by a literal with `..r`"
        return Message(
            "K0322", f"`{self.op}` is for {wants}, not for {a(p.show(found))}", f"this is {p.show(found)}", help=help_
        )


@dataclass(frozen=True, slots=True)
class OperatorUnknown:
    op: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0323", f"what `{self.op}` joins isn't known here", help="write the type of one side: (e: List(Str))"
        )


@dataclass(frozen=True, slots=True)
class CantInterpolate:
    found: Type
    shell: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        where = "a shell script" if self.shell else "a string"
        match prune(self.found):
            case Con(name="Path"):
                help_: str | None = "make an output of it first: source(…) or source_file(…)"
            case Con(name="Pkg" | "Drv"):
                help_ = "name the output that is meant, as in %{p.out}"
            case Con(name="Bool"):
                help_ = "use to_str(…), or `if`"
            case Con(name="List"):
                help_ = (
                    'join it first: join(…, " ")'
                    if not self.shell
                    else "only a list of Str, Text or outputs can be words"
                )
            case Con(name="Option"):
                help_ = "it may be absent: take it apart with `match`"
            case Con(name="Secret"):
                help_ = "a Secret never becomes text: pass it to what accepts secrets"
            case _:
                help_ = None
        return Message(
            "K0340", f"{a(p.show(self.found))} can't stand in {where}", f"this is {p.show(self.found)}", help=help_
        )


@dataclass(frozen=True, slots=True)
class ListNotBare:
    context: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        where = {
            "double": 'inside "…"',
            "single": "inside '…'",
            "heredoc": "in a here-document",
            "verbatim": "in a here-document",
            "comment": "in a comment",
        }.get(self.context, "here")
        return Message(
            "K0341",
            f"a list becomes several words, which it can't {where}",
            "a list",
            help="put the hole outside of the quotes, with blanks around it, or join the list",
        )


@dataclass(frozen=True, slots=True)
class UnknownTag:
    tag: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0343", f"there is no kind of string `{self.tag}`", help='the one that exists is sh"…"')


@dataclass(frozen=True, slots=True)
class UnclosedQuote:
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0342",
            "the quotes of this script don't close",
            "a \"…\", '…' or here-document goes to its end",
            help="close it inside the same sh string",
        )


# ---- packages and sets ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EditUnknown:
    found: Type
    overlay: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.overlay:
            return Message(
                "K0310",
                "only a set takes `with (self, super)`",
                f"this is {p.show(self.found)}",
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


@dataclass(frozen=True, slots=True)
class EditForgotten:
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        note = f"{p.show(self.found)} has forgotten its recipe"
        return Message(
            "K0304",
            "this package can't be overridden here",
            f"this is {p.show(self.found)}",
            (note,),
            help="keep the type Pkg(…) from where it is made to here",
        )


@dataclass(frozen=True, slots=True)
class EditInside:
    path: str
    package: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0313",
            f"`{self.path}` goes into another package",
            f"`{self.package}` is a package of its own",
            help=f"override that one, and assign it: `{self.package} = p with {{ … }}`",
        )


@dataclass(frozen=True, slots=True)
class CantAppend:
    path: str
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0314",
            f"`+=` adds to a list, a map or a text, and `{self.path}` is {a(p.show(self.found))}",
            help="replace it with `=`",
        )


@dataclass(frozen=True, slots=True)
class MemberCycle:
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


@dataclass(frozen=True, slots=True)
class MemberTwice:
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


@dataclass(frozen=True, slots=True)
class Captures:
    field: str
    name: str
    scalar: bool

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"`{self.field}` uses `{self.name}` from outside the recipe"
        note = "an override edits the recipe and computes this function again: it would not reach what was captured"
        place = "`opts`" if self.scalar else "`deps`"
        return Message(
            "K0318",
            title,
            "captured here",
            (note,),
            help=f"put it into the recipe, for example into {place}, and read it from the function's parameter",
        )


# ---- patterns ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PatternFields:
    con: str
    wanted: tuple[str | None, ...]
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        shape = self.con + (f"({', '.join(n or '_' for n in self.wanted)})" if self.wanted else "")
        return Message(
            "K0350",
            f"{self.con} has {_count(len(self.wanted), 'field')}, and this pattern {self.found}",
            help=f"its shape is {shape}",
        )


@dataclass(frozen=True, slots=True)
class NotExhaustive:
    witness: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0351", f"this match forgets {self.witness}", help=f"add `{self.witness} => …`")


@dataclass(frozen=True, slots=True)
class NeverReached:
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0352",
            "this arm is never reached",
            "the arms above take every such value",
            help="remove it, or move it up",
        )


@dataclass(frozen=True, slots=True)
class MayNotMatch:
    witness: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0353", f"this pattern doesn't take {self.witness}", "a `let` must take every value", help="use `match`"
        )


@dataclass(frozen=True, slots=True)
class OptionsBind:
    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0354",
            f"`{self.name}` is bound by some of these patterns only",
            help="every side of `|` must bind the same names",
        )


@dataclass(frozen=True, slots=True)
class TooDeep:
    limit: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0390",
            "this is nested too deeply",
            help=f"at most {self.limit} levels: give parts of it names of their own",
        )


@dataclass(frozen=True, slots=True)
class ParameterMayBeAbsent:
    name: str
    wanted: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"`{self.name}` may be left out by the caller, so it needs a default or `?:`"
        return Message(
            "K0305",
            title,
            notes=(f"wanted: {p.show(self.wanted)}",),
            help=f"write `{self.name}?: T`, or `{self.name}: T = …`",
        )


@dataclass(frozen=True, slots=True)
class OverlayPath:
    member: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"an overlay gives `{self.member}` a new value as a whole"
        return Message("K0314", title, help=f"write `{self.member} = super.{self.member} with {{ … }}`")


@dataclass(frozen=True, slots=True)
class SetParameter:
    name: str
    set_name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0319",
            f"the parameter `{self.name}` of the set {self.set_name} needs a type",
            help=f"write `{self.name}: …`",
        )


@dataclass(frozen=True, slots=True)
class NotASet:
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0310",
            "only a set can be extended",
            "not a set",
            help="write `extends Name(…)` with the set's arguments",
        )
