"""Mistakes with records, calls, operators and strings (see mistakes.py)."""

from __future__ import annotations

from kiln.lang.check.failure import Context, Message, did_you_mean
from kiln.lang.check.infos import Site
from kiln.lang.check.mismatch import this_is
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Fn, Rec, Type, prune
from kiln.lang.check.words import a, counted, listed
from kiln.lang.rare import Rare


class NoSuchField(Rare):
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
        if what == "output" and self.label.startswith("override"):
            help_ = 'a package is changed by `p with { version = "2", deps.zlib = … }`'
        notes = (f"it has {listed(self.known[:16])}",) if self.known and help_ is None else ()
        return Message("K0302", title, "not there", notes, help=help_)


_METHODS = {"len": "length", "append": "concat", "format": "join", "strip": "trim", "keys": "keys", "get": "map_get"}
"""What other languages' methods are called here."""


class NoFields(Rare):
    """`functions` are the names of values that may be called."""

    owner: Type
    label: str
    functions: tuple[str, ...] = ()

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"{a(p.show(self.owner))} has no fields, so no `{self.label}`"
        match prune(self.owner):
            case Con(name="Option"):
                help_: str | None = "it may be absent: take it apart with `match` first"
            case Con(name="Out") if self.label in ("file", "dir"):
                help_ = "only an Out(Tree) has folders"
            case _ if _METHODS.get(self.label, self.label) in self.functions:
                name = _METHODS.get(self.label, self.label)
                help_ = f"`{name}` is a function, and no method: `{name}(…)`, or `x |> {name}(…)`"
            case Con(name="List"):
                help_ = "take an item first, or use a comprehension: [x.… for x in …]"
            case Con(name="Map"):
                help_ = f'a Map is read with map_get(…, "{self.label}")'
            case Fn():
                help_ = "call the function first"
            case _:
                help_ = None
        return Message("K0302", title, this_is(self.owner, p), help=help_)


class NotCalled(Rare):
    """A method that is named and not called."""

    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        if self.name == "with_subject":
            help_ = "give it the subject to add: .with_subject(subject(…))"
        else:
            help_ = f'give it the path inside the output: .{self.name}("…")'
        return Message("K0361", f"`{self.name}` is a method and must be called", "not called", help=help_)


class OpenSpread(Rare):
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = "only a record whose fields are all known can be spread into another"
        return Message("K0307", title, this_is(self.found, p), help="write its type where it comes from")


class MissingField(Rare):
    labels: tuple[str, ...]
    owner: Type
    declared: Site | None
    given: tuple[str, ...]

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        what = "the field" if len(self.labels) == 1 else "the fields"
        owner = "" if type(prune(self.owner)) is Rec and self.owner.alias is None else f" of {p.show(self.owner)}"
        title = f"{what} {listed(self.labels)}{owner} {'is' if len(self.labels) == 1 else 'are'} missing"
        others = (
            ((self.declared, f"`{self.labels[0]}` is declared here, without a default"),) if self.declared else ()
        )
        label = "not in this record"
        notes = () if self.declared else ("a type written in place has no defaults",)
        return Message("K0308", title, label, notes, others, f"add `{self.labels[0]} = …`")


class UnknownField(Rare):
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
        notes = (f"it has {listed(self.known)}",) if help_ is None and self.known else ()
        return Message("K0302", title, "not there", notes, help=help_)


class RecordForOther(Rare):
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
            case Con(name="Bool" | "Int" | "Str" | "Text"):
                help_ = "braces make a record; grouped is written ( … )"
        return Message("K0301", title, "this is a record", help=help_)


class NotOptional(Rare):
    label: str
    what: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0333",
            f"the {self.what} `{self.label}` is not optional, so it takes no Option",
            "`? =` hands an Option on",
            help=f"write `{self.label} = …` with a value that is there",
        )


class NotAFunction(Rare):
    found: Type

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0360", f"{a(p.show(self.found))} can't be called", "not a function")


class NoLabel(Rare):
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
        if self.label in ("sha256", "sha512", "integrity", "checksum", "md5") and "hash" in self.known:
            help_ = 'what a file is fixed by is `hash = "sha256:<64 hexadecimal digits>"`'
        notes = (f"it takes {listed(self.known)}",) if self.known and help_ is None else ()
        return Message(
            "K0309", f"`{self.callee}` takes no argument `{self.label}`", "not a parameter", notes, help=help_
        )


class TooManyArguments(Rare):
    callee: str
    wanted: int
    found: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"`{self.callee}` takes {counted(self.wanted, 'argument')}, and {self.found} are given"
        help_ = "`range(3)` is [0, 1, 2]; another start is added: [n + 1 for n in range(3)]"
        return Message("K0309", title, "one too many", help=help_ if self.callee == "range" else None)


class MissingArguments(Rare):
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


class LambdaParameters(Rare):
    found: int
    wanted: Type
    takes: int

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        title = f"a function of {counted(self.takes, 'parameter')} is wanted, and this one has {self.found}"
        return Message("K0305", title, notes=(f"wanted: {p.show(self.wanted)}",))


class OperatorOn(Rare):
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
        elif self.op == "++" and type(found) is Con and found.name in ("Int", "Bool"):
            help_ = 'turn it into text with to_str(…), or put it into a string: "%{…}"'
        elif self.op == "++" and type(found) is Con and found.name == "Out":
            help_ = 'put it into a string: "%{…}"'
        elif self.op == "%" and type(found) is Con and found.name in ("Str", "Text"):
            help_ = 'a value is put into a string by a hole: "%{…}"'
        return Message(
            "K0322", f"`{self.op}` is for {wants}, not for {a(p.show(found))}", f"this is {p.show(found)}", help=help_
        )


class OperatorUnknown(Rare):
    op: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0323", f"what `{self.op}` joins isn't known here", help="write the type of one side: (e: List(Str))"
        )


class CantInterpolate(Rare):
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
                    'join it first: join(…, separator = " "); in a script, sh"…", its items become words'
                    if not self.shell
                    else "only a list of Str, Text or outputs can be words"
                )
            case Con(name="Option"):
                help_ = "it may be absent: take it apart with `match`"
            case Con(name="Secret"):
                help_ = "a Secret never becomes text: pass it to what accepts secrets"
            case _:
                help_ = None
        return Message("K0340", f"{a(p.show(self.found))} can't stand in {where}", this_is(self.found, p), help=help_)


class ListNotBare(Rare):
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


class UnknownTag(Rare):
    tag: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message("K0343", f"there is no kind of string `{self.tag}`", help='the one that exists is sh"…"')


class ShellFields(Rare):
    """`${b.out}` in a script."""

    name: str

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0105",
            f"`${{{self.name}}}` puts nothing into a script",
            "the shell's variables have no fields",
            help=f"write `%{{{self.name}}}` for the value of `{self.name}`",
        )


class UnclosedQuote(Rare):
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        return Message(
            "K0342",
            "the quotes of this script don't close",
            "a \"…\", '…' or here-document goes to its end",
            help="close it inside the same sh string",
        )


class ParameterMayBeAbsent(Rare):
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
