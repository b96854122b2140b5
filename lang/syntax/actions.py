"""What a production makes of the values of its symbols: one function an action of kiln.lark.

An action gets the offsets where the production begins and ends, then a value for each named token and rule in it,
None for an absent `[x]`. It may raise Refused: what no grammar of one token's lookahead says well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from kiln.lang.syntax import ast, strings
from kiln.lang.syntax.ast import Expr, Name, Pattern, Type

if TYPE_CHECKING:
    from kiln.lang.syntax.mistakes import Mistake

Op: TypeAlias = tuple[int, str]


class Refused(Exception):
    """A mistake that an action found."""

    def __init__(self, mistake: Mistake) -> None:
        self.mistake = mistake


def one(_start: int, _end: int, item: Any) -> list[Any]:
    return [item]


def more(_start: int, _end: int, items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


def same(_start: int, _end: int, value: Any) -> Any:
    return value


def start(_start: int, _end: int, decl: ast.Decl) -> ast.Decl:
    return decl


# ---- names and documentation --------------------------------------------------------------------


def name(start: int, end: int, text: str) -> Name:
    return Name(start, end, text)


def label_true(start: int, end: int) -> Name:
    return Name(start, end, "true")


def label_false(start: int, end: int) -> Name:
    return Name(start, end, "false")


def doc(_start: int, _end: int, blocks: list[str]) -> str:
    return "\n".join(map(strings.doc_text, blocks))


# ---- declarations -------------------------------------------------------------------------------


def import_module(start: int, end: int, source: ast.Str, pin: ast.Str | None, alias: Name) -> ast.Import:
    return _import(start, end, source, pin, alias, ())


def import_names(
    start: int, end: int, names: list[ast.ImportName], source: ast.Str, pin: ast.Str | None
) -> ast.Import:
    return _import(start, end, source, pin, None, tuple(names))


def _import(
    start: int, end: int, source: ast.Str, pin: ast.Str | None, alias: Name | None, names: tuple[ast.ImportName, ...]
) -> ast.Import:
    text = _constant(source, "the source of an import")
    pinned = None if pin is None else _constant(pin, "a pin")
    return ast.Import(start, end, text, source.start, source.end, pinned, alias, names)


def import_name(start: int, end: int, own: Name, alias: Name | None) -> ast.ImportName:
    return ast.ImportName(start, end, own, alias or own)


def type_decl(
    start: int,
    end: int,
    doc: str | None,
    pub: str | None,
    own: Name,
    params: list[Name] | None,
    body: Type | tuple[ast.Variant, ...],
) -> ast.TypeDecl:
    return ast.TypeDecl(start, end, own, tuple(params or ()), body, pub is not None, doc)


def variants(_start: int, _end: int, items: list[ast.Variant]) -> tuple[ast.Variant, ...]:
    return tuple(items)


def variant(
    start: int, end: int, before: str | None, behind: str | None, own: Name, params: list[ast.TypeParam] | None
) -> ast.Variant:
    text = before if behind is None else behind if before is None else f"{before}\n{behind}"
    return ast.Variant(start, end, own, tuple(params or ()), text)


Signature: TypeAlias = tuple[Name, tuple[ast.Param, ...], Type | None, tuple[ast.Where, ...]]


def signature(
    _start: int, _end: int, own: Name, params: list[ast.Param], result: Type | None, where: list[ast.Where] | None
) -> Signature:
    return own, tuple(params), result, tuple(where or ())


def fn_decl(start: int, end: int, doc: str | None, pub: str | None, head: Signature, body: Expr) -> ast.FnDecl:
    own, params, result, where = head
    return ast.FnDecl(start, end, own, params, result, where, body, pub is not None, doc)


def extern_decl(start: int, end: int, doc: str | None, pub: str | None, head: Signature) -> ast.FnDecl:
    own, params, result, where = head
    return ast.FnDecl(start, end, own, params, result, where, None, pub is not None, doc)


def bound(start: int, end: int, variable: Name, constraint: Name) -> ast.Where:
    return ast.Where(start, end, variable, constraint)


def params(_start: int, _end: int, items: list[ast.Param] | None) -> list[ast.Param]:
    return items or []


def param(start: int, end: int, doc: str | None, own: Name, type_: Type | None) -> ast.Param:
    return ast.Param(start, end, own, False, type_, None, doc)


def param_default(start: int, end: int, doc: str | None, own: Name, type_: Type, default: Expr) -> ast.Param:
    return ast.Param(start, end, own, False, type_, default, doc)


def param_optional(start: int, end: int, doc: str | None, own: Name, type_: Type) -> ast.Param:
    return ast.Param(start, end, own, True, type_, None, doc)


def let_decl(
    start: int, end: int, doc: str | None, pub: str | None, own: Name, type_: Type | None, body: Expr
) -> ast.LetDecl:
    return ast.LetDecl(start, end, own, type_, body, pub is not None, doc)


def set_decl(
    start: int,
    end: int,
    doc: str | None,
    pub: str | None,
    own: Name,
    params: list[ast.Param] | None,
    parent: ast.Call | ast.Con | ast.GetCon | None,
    members: list[ast.Member] | None,
) -> ast.SetDecl:
    return ast.SetDecl(start, end, own, tuple(params or ()), parent, tuple(members or ()), pub is not None, doc)


def member(start: int, end: int, doc: str | None, own: Name, type_: Type | None, body: Expr) -> ast.Member:
    return ast.Member(start, end, own, type_, body, doc)


def test_decl(start: int, end: int, title: ast.Str, body: Expr) -> ast.TestDecl:
    return ast.TestDecl(start, end, _constant(title, "the title of a test"), body)


# ---- types --------------------------------------------------------------------------------------


def type_name(start: int, end: int, own: str, args: list[Type] | None) -> ast.TypeName:
    return ast.TypeName(start, end, None, own, tuple(args or ()))


def type_qualified(start: int, end: int, qualifier: str, own: str, args: list[Type] | None) -> ast.TypeName:
    return ast.TypeName(start, end, qualifier, own, tuple(args or ()))


def type_var(start: int, end: int, own: str) -> ast.TypeVar:
    return ast.TypeVar(start, end, own)


def type_mapped(start: int, end: int, own: str, args: list[Type]) -> ast.TypeName:
    if own not in ("Outs", "Kinds") or len(args) != 1 or not isinstance(args[0], ast.TypeVar):
        from kiln.lang.syntax import mistakes

        raise Refused(mistakes.BadRowRest(start, end))
    return ast.TypeName(start, end, None, own, tuple(args))


def type_record(start: int, end: int, items: list[ast.RowField | Type] | None) -> ast.TypeRecord:
    fields = tuple(item for item in items or () if isinstance(item, ast.RowField))
    rests = [item for item in items or () if not isinstance(item, ast.RowField)]
    if len(rests) > 1:
        from kiln.lang.syntax import mistakes

        raise Refused(
            mistakes.SecondSpread(rests[1].start, rests[1].end, rests[0].start, rests[0].end, "record type")
        )
    return ast.TypeRecord(start, end, fields, rests[0] if rests else None)


def row_field(start: int, end: int, doc: str | None, own: Name, type_: Type, default: Expr | None) -> ast.RowField:
    return ast.RowField(start, end, own, False, type_, default, doc)


def row_optional(start: int, end: int, doc: str | None, own: Name, type_: Type) -> ast.RowField:
    return ast.RowField(start, end, own, True, type_, None, doc)


def type_fn(start: int, end: int, params: list[ast.TypeParam] | None, result: Type) -> ast.TypeFn:
    return ast.TypeFn(start, end, tuple(params or ()), result)


def type_param_place(start: int, end: int, type_: Type) -> ast.TypeParam:
    return ast.TypeParam(start, end, None, False, type_)


def type_param_label(start: int, end: int, own: Name, type_: Type) -> ast.TypeParam:
    return ast.TypeParam(start, end, own, False, type_)


def type_param_optional(start: int, end: int, own: Name, type_: Type) -> ast.TypeParam:
    return ast.TypeParam(start, end, own, True, type_)


# ---- patterns -----------------------------------------------------------------------------------


def pattern_or(start: int, end: int, options: list[Pattern], last: Pattern) -> ast.POr:
    return ast.POr(start, end, (*options, last))


def pattern_var(start: int, end: int, own: str) -> ast.PVar:
    return ast.PVar(start, end, own)


def pattern_wild(start: int, end: int) -> ast.PWild:
    return ast.PWild(start, end)


def pattern_int(start: int, end: int, text: str) -> ast.PInt:
    return ast.PInt(start, end, int(text))


def pattern_negative(start: int, end: int, _minus: Op, text: str) -> ast.PInt:
    return ast.PInt(start, end, -int(text))


def pattern_str(start: int, end: int, value: ast.Str) -> ast.PStr:
    return ast.PStr(start, end, _constant(value, "a pattern"))


def pattern_true(start: int, end: int) -> ast.PBool:
    return ast.PBool(start, end, True)


def pattern_false(start: int, end: int) -> ast.PBool:
    return ast.PBool(start, end, False)


def pattern_args(_start: int, _end: int, items: list[ast.PArg] | None) -> list[ast.PArg]:
    return items or []


def pattern_con(start: int, end: int, own: str, args: list[ast.PArg] | None) -> ast.PCon:
    return ast.PCon(start, end, None, own, tuple(args or ()))


def pattern_qualified(start: int, end: int, qualifier: str, own: str, args: list[ast.PArg] | None) -> ast.PCon:
    return ast.PCon(start, end, qualifier, own, tuple(args or ()))


def pattern_arg_place(start: int, end: int, pattern: Pattern) -> ast.PArg:
    return ast.PArg(start, end, None, pattern)


def pattern_arg_label(start: int, end: int, own: Name, pattern: Pattern) -> ast.PArg:
    return ast.PArg(start, end, own, pattern)


def pattern_record(start: int, end: int, fields: list[ast.PField] | None) -> ast.PRecord:
    return ast.PRecord(start, end, tuple(fields or ()))


def pattern_field(start: int, end: int, own: Name, pattern: Pattern) -> ast.PField:
    return ast.PField(start, end, own, pattern)


def pattern_pun(start: int, end: int, own: Name) -> ast.PField:
    return ast.PField(start, end, own, ast.PVar(start, end, own.text))


def pattern_rest(start: int, end: int, own: str | None) -> ast.PRest:
    return ast.PRest(start, end, own)


def pattern_list(start: int, end: int, items: list[Pattern | ast.PRest] | None) -> ast.PList:
    rests = [item for item in items or () if isinstance(item, ast.PRest)]
    if not items or not rests:
        return ast.PList(start, end, tuple(item for item in items or () if not isinstance(item, ast.PRest)), None)
    rest = items[-1]
    if len(rests) > 1 or not isinstance(rest, ast.PRest):
        from kiln.lang.syntax import mistakes

        raise Refused(mistakes.RestNotLast(rests[0].start, rests[0].end))
    return ast.PList(start, end, tuple(item for item in items if not isinstance(item, ast.PRest)), rest)


# ---- expressions --------------------------------------------------------------------------------


def let_in(start: int, end: int, pattern: Pattern, type_: Type | None, value: Expr, body: Expr) -> ast.Let:
    return ast.Let(start, end, pattern, type_, value, body)


def if_else(start: int, end: int, condition: Expr, then: Expr, otherwise: Expr) -> ast.If:
    return ast.If(start, end, condition, then, otherwise)


def lambda_(start: int, end: int, params: list[ast.Param], result: Type | None, body: Expr) -> ast.Lambda:
    return ast.Lambda(start, end, tuple(params), result, body)


def assert_(start: int, end: int, condition: Expr, message: Expr, body: Expr) -> ast.Assert:
    return ast.Assert(start, end, condition, message, body)


def pipe(start: int, end: int, left: Expr, right: Expr) -> ast.Pipe:
    return ast.Pipe(start, end, left, right)


def binary(start: int, end: int, left: Expr, op: Op, right: Expr) -> ast.Binary:
    return ast.Binary(start, end, op[1], op[0], left, right)


def not_(start: int, end: int, operand: Expr) -> ast.Unary:
    return ast.Unary(start, end, "!", operand)


def negate(start: int, end: int, _minus: Op, operand: Expr) -> ast.Unary:
    return ast.Unary(start, end, "-", operand)


def with_edits(start: int, end: int, base: Expr, edits: list[ast.Edit] | None) -> ast.With:
    return ast.With(start, end, base, tuple(edits or ()))


def overlay(
    start: int, end: int, base: Expr, self_name: Name, super_name: Name, edits: list[ast.Edit] | None
) -> ast.Overlay:
    for edit in edits or ():
        if len(edit.path) > 1 or edit.op != "=":
            from kiln.lang.syntax import mistakes

            raise Refused(mistakes.OverlayEdit(edit.start, edit.value.start, edit.path[0].text, super_name.text))
    return ast.Overlay(start, end, base, self_name, super_name, tuple(edits or ()))


def edit_set(start: int, end: int, path: list[Name], value: Expr) -> ast.Edit:
    return ast.Edit(start, end, tuple(path), "=", value)


def edit_optional(start: int, end: int, path: list[Name], value: Expr) -> ast.Edit:
    return ast.Edit(start, end, tuple(path), "?=", value)


def edit_add(start: int, end: int, path: list[Name], value: Expr) -> ast.Edit:
    return ast.Edit(start, end, tuple(path), "+=", value)


def get(start: int, end: int, base: Expr, own: Name) -> ast.Get:
    return ast.Get(start, end, base, own)


def get_con(start: int, end: int, base: Expr, own: Name) -> ast.GetCon:
    return ast.GetCon(start, end, base, own)


def call(start: int, end: int, fn: Expr, args: list[ast.Arg] | None) -> ast.Call:
    return ast.Call(start, end, fn, tuple(args or ()))


def arg_place(start: int, end: int, value: Expr) -> ast.Arg:
    return ast.Arg(start, end, None, False, value)


def arg_label(start: int, end: int, own: Name, value: Expr) -> ast.Arg:
    return ast.Arg(start, end, own, False, value)


def arg_optional(start: int, end: int, own: Name, value: Expr) -> ast.Arg:
    return ast.Arg(start, end, own, True, value)


def var(start: int, end: int, own: str) -> ast.Var:
    return ast.Var(start, end, own)


def con(start: int, end: int, own: str) -> ast.Con:
    return ast.Con(start, end, own)


def integer(start: int, end: int, text: str) -> ast.Int:
    return ast.Int(start, end, int(text))


def true(start: int, end: int) -> ast.Bool:
    return ast.Bool(start, end, True)


def false(start: int, end: int) -> ast.Bool:
    return ast.Bool(start, end, False)


def path_lit(start: int, end: int, text: str) -> ast.PathLit:
    return ast.PathLit(start, end, text)


def annotated(start: int, end: int, expr: Expr, type_: Type) -> ast.Annotated:
    return ast.Annotated(start, end, expr, type_)


def list_empty(start: int, end: int) -> ast.ListLit:
    return ast.ListLit(start, end, ())


def list_lit(start: int, end: int, items: list[Expr | ast.Spread]) -> ast.ListLit:
    return ast.ListLit(start, end, tuple(items))


def list_comp(start: int, end: int, item: Expr | ast.Spread, clauses: list[ast.For | ast.When]) -> ast.ListComp:
    return ast.ListComp(start, end, item, tuple(clauses))


def map_empty(start: int, end: int) -> ast.MapLit:
    return ast.MapLit(start, end, ())


def map_lit(start: int, end: int, entries: list[ast.MapEntry]) -> ast.MapLit:
    return ast.MapLit(start, end, tuple(entries))


def map_comp(start: int, end: int, entry: ast.MapEntry, clauses: list[ast.For | ast.When]) -> ast.MapComp:
    return ast.MapComp(start, end, entry.key, entry.value, tuple(clauses))


def spread(start: int, end: int, expr: Expr) -> ast.Spread:
    return ast.Spread(start, end, expr)


def map_entry(start: int, end: int, key: Expr, value: Expr) -> ast.MapEntry:
    return ast.MapEntry(start, end, key, value)


def for_clause(start: int, end: int, pattern: Pattern, source: Expr) -> ast.For:
    return ast.For(start, end, pattern, source)


def when_clause(start: int, end: int, condition: Expr) -> ast.When:
    return ast.When(start, end, condition)


def record(start: int, end: int, items: list[ast.Field | ast.Spread] | None) -> ast.Record:
    fields = tuple(item for item in items or () if isinstance(item, ast.Field))
    rests = [item for item in items or () if isinstance(item, ast.Spread)]
    if len(rests) > 1:
        from kiln.lang.syntax import mistakes

        raise Refused(mistakes.SecondSpread(rests[1].start, rests[1].end, rests[0].start, rests[0].end, "record"))
    return ast.Record(start, end, fields, rests[0] if rests else None)


def field(start: int, end: int, own: Name, value: Expr) -> ast.Field:
    return ast.Field(start, end, own, False, value)


def field_optional(start: int, end: int, own: Name, value: Expr) -> ast.Field:
    return ast.Field(start, end, own, True, value)


def field_pun(start: int, end: int, own: Name) -> ast.Field:
    return ast.Field(start, end, own, False, None)


def match_(start: int, end: int, subject: Expr, arms: list[ast.Arm] | None) -> ast.Match:
    return ast.Match(start, end, subject, tuple(arms or ()))


def arm(start: int, end: int, pattern: Pattern, guard: Expr | None, body: Expr) -> ast.Arm:
    return ast.Arm(start, end, pattern, guard, body)


# ---- strings ------------------------------------------------------------------------------------


def string_plain(start: int, end: int, text: str) -> ast.Str:
    return ast.Str(start, end, None, (text,) if text else ())


def hole(start: int, end: int, expr: Expr) -> ast.Hole:
    return ast.Hole(start, end, expr)


def string_parts(start: int, end: int, opener: tuple[str | None, str], parts: list[str | ast.Hole] | None) -> ast.Str:
    tag, quotes = opener
    if parts is not None and strings.mixes_indentation(quotes, parts):
        from kiln.lang.syntax import mistakes

        raise Refused(mistakes.MixedIndentation(start, start + len(tag or "") + len(quotes)))
    return ast.Str(start, end, tag, strings.literal(tag, quotes, parts or []))


def _constant(value: ast.Str, what: str) -> str:
    """The text of a string that must be known without evaluation."""
    for part in value.parts:
        if isinstance(part, ast.Hole):
            from kiln.lang.syntax import mistakes

            raise Refused(mistakes.HoleInConstant(part.start, part.end, what))
    if value.tag is not None:
        from kiln.lang.syntax import mistakes

        raise Refused(mistakes.TagOnConstant(value.start, value.end, value.tag, what))
    return "".join(part for part in value.parts if isinstance(part, str))
