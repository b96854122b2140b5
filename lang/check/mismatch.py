"""The words for two types that don't go together.

A message says what the value is *for* (its context), what it is, what was wanted and where that is declared;
where the types are large it shows the part that differs; and its help is one next step, chosen by the pair of
types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from kiln.lang.check.clash import (
    AtArgument,
    AtField,
    AtParameter,
    AtResult,
    Different,
    Infinite,
    LabelTwice,
    NoField,
    NoOutput,
    NoParameter,
    NotConstrained,
    NotIn,
    OutputForPackage,
    ParameterNeeded,
    Problem,
    RecipeForgotten,
    Rigid,
    RowsDiffer,
    Step,
)
from kiln.lang.check.failure import (
    Context,
    InAnnotation,
    InArgument,
    InBinding,
    InDefault,
    InEdit,
    InField,
    InFunction,
    InOverride,
    InPart,
    InResult,
    Message,
    did_you_mean,
)
from kiln.lang.check.infos import Site
from kiln.lang.check.rows import flat
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, TVar, Type, prune
from kiln.lang.check.words import a, listed

_FORGET = (
    "two packages are of one type only if their recipes are: write the type that both have, List(Lib) for "
    "example, and their recipes are forgotten"
)


@dataclass(frozen=True, slots=True)
class TypeMismatch:
    """An expression has type `found`, and `wanted` is asked for; `problem` is what differs, `trail` where in them.

    `chosen` names the argument that made the wanted type a Str, where one did, and how to write it as a Text.
    """

    found: Type
    wanted: Type
    problem: Problem
    trail: tuple[Step, ...] = ()
    chosen: tuple[str, str] | None = None

    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message:
        subject = _subject(contexts, p)
        title, code, notes, help_ = _explain(self, subject, p)
        different = _difference(self, p)
        return Message(
            code,
            title,
            this_is(self.found, p),
            tuple(([different] if different else []) + notes),
            _declared(contexts, self.wanted, p),
            help_,
        )


def _explain(m: TypeMismatch, subject: str, p: Printer) -> tuple[str, str, list[str], str | None]:
    """Title, code, notes and help."""
    wanted = f"{subject} isn't {_what(m.wanted, p)}"
    if AtArgument("Pkg", 0) in m.trail and not isinstance(m.problem, Rigid | LabelTwice):
        return wanted, "K0301", [], _FORGET
    match m.problem:
        case Different(found, want):
            return wanted, "K0301", [], _help(m, found, want, p)
        case RowsDiffer(found_row, wanted_row):
            note = f"one may have further fields ({p.show(found_row)}), the other {p.show(wanted_row)}"
            return wanted, "K0302", [note], None
        case NoField(label, row, found_lacks):
            return _no_field(m, label, row, found_lacks, subject, p)
        case NoOutput(label, found, _):
            outputs = _outputs(found)
            near = did_you_mean(label, outputs)
            note = f"its outputs are {listed(outputs)}" if outputs else "it has no outputs"
            return f"{subject} has no output `{label}`, which {a(p.show(m.wanted))} must have", "K0303", [note], near
        case RecipeForgotten(_, want):
            note = "a Drv has forgotten its recipe, so it can't be used where a package is edited"
            return wanted, "K0304", [note], f"keep the type {p.show(want)} from where the package is made to here"
        case OutputForPackage(_, want):
            help_ = f"drop the output's name: a package can be used as {a(p.show(want))}"
            return wanted, "K0301", [], help_
        case NoParameter(label, found, want):
            what = f"takes no argument `{label}`" if label else "takes fewer arguments by place"
            return (
                f"{subject} is called with arguments that the function doesn't take",
                "K0305",
                [f"the function {what}: it is {p.show(found)}, and {p.show(want)} is wanted"],
                None,
            )
        case ParameterNeeded(label, found, want):
            what = f"`{label}`" if label else "another argument"
            return (
                f"{subject} is a function that needs more than it would be given",
                "K0305",
                [f"the function needs {what}: it is {p.show(found)}, and {p.show(want)} is wanted"],
                None,
            )
        case Rigid(var, other):
            return _rigid(wanted, var, other, p)
        case Infinite():
            help_ = "recursive data is a declared record or a variant"
            return "this would need a type that contains itself", "K0312", [], help_
        case NotConstrained(var, constraint):
            help_ = f"add `where {var.rigid}: {constraint}` to the signature"
            return f"`{var.rigid}` is not known to be {constraint}", "K0320", [], help_
        case NotIn(t, constraint):
            return not_in_title(t, constraint, p), "K0321", [], not_in_help(t, constraint)
        case LabelTwice(label, output):
            return label_twice(label, output)
        case _:
            assert_never(m.problem)


def label_twice(label: str, output: bool) -> tuple[str, str, list[str], str | None]:
    if output:
        note = "what a build reads as its fields and its outputs stand in one record, so no name can come twice"
        return f"the output `{label}` has the name of another field", "K0330", [note], "rename the output"
    return f"the field `{label}` would come twice in one record", "K0330", [], "rename one of the two"


def not_in_title(t: Type, constraint: str, p: Printer) -> str:
    return f"{a(p.show(t))} is not {constraint}"


def not_in_help(t: Type, constraint: str) -> str | None:
    match prune(t):
        case Con(name="Text") if constraint == "Data":
            return "a Text carries outputs, so it can't be compared, measured or stored as data; use a Str"
        case Con(name="Secret"):
            return "a Secret is only a handle: pass it to what accepts secrets"
        case Con(name="Out" | "Pkg" | "Drv"):
            return "compare or store what it is made from instead, a name or a version"
        case Fn():
            return "a function can't be compared or stored; compare its results"
    if constraint == "Data":
        return "Data is Int, Bool, Str, Path, and lists, maps, options, records and variants of these"
    return None


def _no_field(
    m: TypeMismatch, label: str, row: Row, found_lacks: bool, subject: str, p: Printer
) -> tuple[str, str, list[str], str | None]:
    fields, tail = _read(row)
    rigid = _rigid_tail(tail)
    if rigid is not None:
        note = f"`{rigid}` may be anything, so it isn't known to have `{label}`"
        return (
            f"{subject} needs a field `{label}`",
            "K0302",
            [note],
            f"name the field in the signature: {{{label}: …, ..{rigid}}}",
        )
    known = tuple(fields)
    if found_lacks:
        title = f"{subject} has no field `{label}`, which {a(p.show(m.wanted))} has"
        if type(prune(m.found)) is Rec and type(prune(m.wanted)) is Con:
            where = f"write the type where the record is made (`: {p.show(m.wanted)}`)"
            filled = f"only a literal that is checked against a type is filled: {where}"
            return title, "K0302", [], did_you_mean(label, known) or filled
        return title, "K0302", [], did_you_mean(label, known)
    return (
        f"{subject} has a field `{label}`, which {a(p.show(m.wanted))} has not",
        "K0302",
        [],
        did_you_mean(label, known),
    )


def _rigid_tail(tail: object) -> str | None:
    from kiln.lang.check.rows import variable_of

    var = variable_of(tail)  # type: ignore[arg-type]
    return var.rigid if isinstance(var, TVar) else None


def _read(row: Row) -> tuple[dict[str, Type], object]:
    from kiln.lang.check.clash import Clash

    try:
        fields, tail = flat(row)
    except Clash:
        return dict(row.fields), None
    return dict(fields), tail


def _rigid(wanted: str, var: TVar, other: Type | Row, p: Printer) -> tuple[str, str, list[str], str | None]:
    note = f"`{var.rigid}` stands for any type, but here it would have to be {p.show(other)}"
    return (
        wanted,
        "K0311",
        [note],
        f"write {p.show(other)} for `{var.rigid}` in the signature, or make the body work for any type",
    )


def this_is(t: Type, p: Printer) -> str:
    """For the label beside the carets."""
    shown = p.show(t)
    return "its type isn't known here" if shown == "_" else f"this is {shown}"


def _what(wanted: Type, p: Printer) -> str:
    """What is wanted, as the end of a sentence; a record that is only known by its use is named by that."""
    t = prune(wanted)
    if type(t) is Rec and t.alias is None:
        fields, tail = _read(t.row)
        if tail is not None and _rigid_tail(tail) is None and fields:
            return f"a record with {listed(tuple(fields))}"
    return a(p.show(wanted))


# ---- the parts of a message -------------------------------------------------------------------


def _subject(contexts: tuple[Context, ...], p: Printer) -> str:
    """What the value was for, as the subject of a sentence."""
    if not contexts:
        return "this"
    match contexts[0]:
        case InArgument(callee, None, place, _):
            return f"argument {place} of `{callee}`"
        case InArgument(callee, label, _, _):
            return f"the argument `{label}` of `{callee}`"
        case InField(label, None, _):
            return f"the field `{label}`"
        case InField(label, owner, _):
            return f"the field `{label}` of {owner}"
        case InEdit(path, _):
            rest = contexts[1:]
            if rest and isinstance(rest[0], InOverride):
                return f"the override of `{rest[0].member}` changes `{path}` to something that"
            return f"`with` changes `{path}` to something that"
        case InOverride(member):
            return f"the override of `{member}`"
        case InResult(name):
            return f"what `{name}` gives"
        case InBinding(name):
            return f"`{name}`"
        case InFunction():
            return "what this function gives"
        case InPart(what):
            return what
        case InDefault(name):
            return f"the default of `{name}`"
        case InAnnotation():
            return "this"


def _declared(contexts: tuple[Context, ...], wanted: Type, p: Printer) -> tuple[tuple[Site, str], ...]:
    match contexts[0] if contexts else None:
        case InArgument(_, label, place, site) if site is not None:
            what = f"`{label}`" if label else f"parameter {place}"
            return ((site, f"{what} is declared here: {p.show(wanted)}"),)
        case InField(label, _, site) if site is not None:
            return ((site, f"`{label}` is declared here: {p.show(wanted)}"),)
        case InEdit(path, site) if site is not None:
            return ((site, f"`{path}` is declared here: {p.show(wanted)}"),)
    return ()


def _difference(m: TypeMismatch, p: Printer) -> str | None:
    if not m.trail or not isinstance(m.problem, Different | NoOutput | RecipeForgotten | OutputForPackage):
        return None
    where = "".join(_step(step) for step in m.trail)
    return f"the difference{where}: {p.show(m.problem.found)} is not {p.show(m.problem.wanted)}"


def _step(step: Step) -> str:
    match step:
        case AtField(label):
            return f", in the field `{label}`"
        case AtArgument("List" | "Option" | "Map" as name, _):
            return {"List": ", in the items", "Option": ", in the option", "Map": ", in the values"}[name]
        case AtArgument("Pkg", 0):
            return ", in the recipe"
        case AtArgument("Pkg" | "Drv", _):
            return ", in the outputs"
        case AtArgument("Out" | "Kind", _):
            return ", in the kind"
        case AtArgument(name, index):
            return f", in part {index + 1} of {name.rpartition('#')[2]}"
        case AtParameter(None, index):
            return f", in parameter {index + 1}"
        case AtParameter(label, _):
            return f", in the parameter `{label}`"
        case AtResult():
            return ", in the result"


_AS_CONDITIONS = {
    "Int": "`n != 0`", "Str": '`text != ""`', "List": "`length(xs) > 0`", "Map": "`length(keys(m)) > 0`",
    "Option": "`is_some(x)`, or `match`",
}  # fmt: skip


def _help(m: TypeMismatch, found: Type, wanted: Type, p: Printer) -> str | None:
    found, wanted = prune(found), prune(wanted)
    outer = not m.trail
    match found, wanted:
        case Con(name="Text"), Con(name="Str") if m.chosen is not None:
            which, written = m.chosen
            return f"{which} made it a Str: write {written} there"
        case Con(name="Text"), Con(name="Str"):
            return "a Text carries outputs and can't become a Str; annotate what it goes into as Text"
        case Con(name="Str"), Con(name="Path"):
            return "a path is written in backquotes: `./file`"
        case Con(name="Path"), Con(name="Str" | "Text"):
            return "a path never becomes text by itself: use source(…), and the output that it gives"
        case Con(name="Path"), Con(name="Out"):
            return "a path becomes an output through source(…) or source_file(…)"
        case Con(name="Int" | "Bool"), Con(name="Str" | "Text"):
            return 'turn it into text with to_str(…), or put it into a string: "%{…}"'
        case Con(name="Str"), Con(name="Int"):
            return "to_int(…) reads a number, and gives an Option"
        case Con(name=name), Con(name="Bool") if outer and name in _AS_CONDITIONS:
            return f"nothing is true by itself: write {_AS_CONDITIONS[name]}"
        case Con(name="Out"), Con(name="Str"):
            return '"%{…}" makes a Text of it; a Str can\'t carry an output'
        case Con(name="Out"), Con(name="Text"):
            return 'put it into a string: "%{…}"'
        case Con(name="Pkg" | "Drv"), Con(name="Out" | "Str" | "Text"):
            return f"name the output that is meant: {_one_of(_outputs(found))}"
        case _, Con(name="List") if outer:
            return "put it into a list: [ … ]"
        case Con(name="Option"), _ if outer:
            return "it may be absent: take it apart with `match`, or hand it on with `? =`"
        case _, Con(name="Option") if outer:
            return "write Some(…)"
        case _, Rec(row=Row(tail=RowMap(constructor="Kind"))) | Rec(row=Row(fields={"out": Con(name="Kind")})):
            return "outputs are named with their kinds: { out = Tree, log = File }"
        case Con(name="List"), Rec():
            return "a record is written { name = value }; the empty one is {}"
        case Con(name="Pkg" | "Drv"), Rec():
            return (
                "a parameter whose fields are used is taken as a record; if it is a package, write its type "
                "where it is declared"
            )
        case Rec(), Con() if outer:
            return None
        case Fn(), _ if outer:
            return "call it: a function stands where its result is wanted"
        case _, Fn(params=params) if outer:
            names = ", ".join([p.label or "x" for p in params])
            return f"a function is wanted: fn({names or ''}) => …"
    return None


def _outputs(t: Type) -> tuple[str, ...]:
    t = prune(t)
    if type(t) is Con and t.name in ("Pkg", "Drv"):
        row = t.args[-1]
        if isinstance(row, Row):
            return tuple(_read(row)[0])
    return ()


def _one_of(outputs: tuple[str, ...]) -> str:
    return " or ".join(f"`.{n}`" for n in outputs[:3]) if outputs else "`.out`"
