"""What a name stands for, and what stands behind a dot.

A name's meaning goes into `Facts.names` as core. A field of a value of unknown type makes the value a record at
once: there are no goals left for later, whose errors would come late and far away.
"""

from __future__ import annotations

from kiln.lang import core
from kiln.lang.check import mistakes, mistakes_builds, mistakes_values
from kiln.lang.check.body import Body, Env, mismatch
from kiln.lang.check.clash import Clash, LabelTwice, NoField
from kiln.lang.check.failure import Poisoned, Spanned, failure
from kiln.lang.check.infos import ConInfo
from kiln.lang.check.interface import Interface
from kiln.lang.check.names import Local, Value
from kiln.lang.check.rows import flat, supply, variable_of
from kiln.lang.check.types import (
    FILE,
    STR,
    SUBJECT,
    TREE,
    Con,
    Fn,
    FnParam,
    Rec,
    Row,
    RowMap,
    TVar,
    Type,
    instantiate,
    is_named,
    mapped,
    out_of,
    prune,
)
from kiln.lang.check.unify import bind, row_binder, unify
from kiln.lang.check.world import KIND_CONSTANTS, World
from kiln.lang.syntax import ast

Meaning = Local | Value | ConInfo | Con
"""A local, a top-level value, a constructor, or a kind."""


# ---- names ------------------------------------------------------------------------------------


def module_behind(body: Body, env: Env, e: ast.Expr) -> str | None:
    """The import's alias that `e` is."""
    if type(e) is not ast.Var or e.name in env:
        return None
    if e.name in body.scope.modules:
        return e.name
    if e.name in body.scope.missing:
        raise Poisoned
    return None


def find_name(body: Body, env: Env, node: Spanned, name: str) -> Type:
    """The type of a lower-case name; also used for puns, whose node is the field."""
    local = env.get(name)
    if local is not None:
        body.facts.names[id(node)] = core.Local(node.start, local.core_name)
        return local.type
    return find_global(body, node, None, name)


def meaning(body: Body, node: Spanned, module: str | None, name: str) -> Value | ConInfo | Con:
    """What `name`, or `module.name`, is; a lower-case name is a value, an upper-case one any of the others."""
    found = _in_module(body, node, module, name) if module is not None else _in_scope(body, name)
    if found is not None:
        return found
    if module is None:
        raise _unknown(body, node, name)
    interface = body.scope.modules[module]
    exported = (*interface.values, *interface.types)
    raise failure(mistakes.NotExported(name, module, exported, name in interface.private), node)


def _in_scope(body: Body, name: str) -> Value | ConInfo | Con | None:
    scope = body.scope
    if not name[:1].isupper():
        return scope.value(name)
    return scope.constructors.get(name) or scope.value(name) or KIND_CONSTANTS.get(name)


def _in_module(body: Body, node: Spanned, module: str, name: str) -> Value | ConInfo | None:
    if name[:1].isupper():
        interface: Interface = body.scope.modules[module]
        con = interface.constructor(name)
        if con is not None:
            return con
    return body.scope.member(module, name)


def _unknown(body: Body, node: Spanned, name: str) -> Exception:
    scope = body.scope
    if name in scope.missing:
        return Poisoned()
    if name in scope.modules:
        return failure(mistakes.ModuleAsValue(name), node)
    if name[:1].isupper():
        if name in scope.types:
            return failure(mistakes.TypeAsValue(name), node)
        return failure(mistakes.UnknownName(name, tuple(scope.constructors), "constructor"), node)
    return failure(mistakes.UnknownName(name, scope.known_values()), node)


def find_global(body: Body, node: Spanned, module: str | None, name: str) -> Type:
    """The type of a top-level name as a value."""
    found = meaning(body, node, module, name)
    names = body.facts.names
    match found:
        case Value():
            target = core.Global(node.start, found.module, found.name)
            t = body.value_type(node, found)
            if found.kind == "set" and type(t) is Fn and not t.params:
                names[id(node)] = core.Call(node.start, target, ())
                return t.result  # a set without parameters is named where it is meant, without a call
            names[id(node)] = target
            return t
        case ConInfo():
            kind = declared_kind(found)
            if kind is not None:
                names[id(node)] = core.Construct(node.start, kind, ())
                return Con("Kind", (instantiate(found.scheme).result,))  # type: ignore[union-attr]
            if found.params:
                return constructor_value(body, node, found)
            names[id(node)] = core.Construct(node.start, found.name, ())
            return instantiate(found.scheme)
        case Con():
            names[id(node)] = core.Construct(node.start, name, ())
            return found


def declared_kind(con: ConInfo) -> str | None:
    """The kind that `Image(File)` is made of. No value has the type File, so that it can be no other constructor:
    named alone it is a kind of its own, whose outputs are files."""
    if len(con.params) != 1 or con.params[0].label is not None:
        return None
    held = con.params[0].type
    return held.name if type(held) is Con and held.name in KIND_CONSTANTS else None


def constructor_value(body: Body, node: Spanned, con: ConInfo) -> Type:
    """A constructor with fields that is not called: a function that makes it."""
    params: list[core.CoreParam] = []
    args: list[core.Expr] = []
    for p in con.params:
        name = body.namer.name(p.label or "value")
        params.append(core.CoreParam(name, p.label, "optional" if p.optional else "required", None))
        args.append(core.Local(node.start, name))
    made = core.Construct(node.start, con.name, tuple(args))
    body.facts.names[id(node)] = core.Function(node.start, tuple(params), made)
    return instantiate(con.scheme)


# ---- fields -----------------------------------------------------------------------------------

METHODS = {"file": FILE, "dir": TREE}
"""Methods of an output: from a path inside it to an output of this kind."""
METHOD_OWNERS = {"file": "Out", "dir": "Out", "with_subject": "Attestation"}
"""Whose method each is; no two types have one of the same name."""


def method_of(t: Type, label: str) -> Fn | None:
    if type(t) is not Con or METHOD_OWNERS.get(label) != t.name:
        return None
    if label == "with_subject":
        return Fn((FnParam("subject", SUBJECT, False),), t)
    if label == "dir" and not is_named(prune(t.args[0]), "Tree"):  # type: ignore[arg-type]
        return None
    return Fn((FnParam("sub", STR, False),), out_of(METHODS[label]))


def type_of_label(body: Body, node: Spanned, owner: Type, label: ast.Name) -> Type:
    """The type of `owner.label`: a field, an output of a package, a member of a set."""
    owner = prune(owner)
    name = label.text
    if type(owner) is TVar:
        return _field_of_unknown(body, node, owner, label)
    if type(owner) is Con:
        if owner.name in ("Pkg", "Drv"):
            return _field(body, owner, mapped("Out", owner.args[-1]).row, label)  # type: ignore[arg-type]
        if body.world.set_info(owner) is not None:
            body.facts.members.add(id(node))
            return member_type(body, owner, label)
        if owner.name == "Attestation" and name == "as_file":
            return out_of(FILE)
    method = method_of(owner, name)
    if method is not None:
        raise failure(mistakes_values.NotCalled(name), label)
    record = body.world.expanded(owner)
    if record is None:
        raise failure(mistakes_values.NoFields(owner, name, body.scope.known_values()), label)
    return _field(body, owner, record.row, label)


def _field_of_unknown(body: Body, node: Spanned, owner: TVar, label: ast.Name) -> Type:
    if owner.rigid is not None:
        raise failure(mistakes_values.NoSuchField(owner, label.text, (), owner.rigid), label)
    t = TVar()
    try:
        bind(body.world, owner, Rec(Row({label.text: t}, TVar("row"))))
    except Clash as clash:
        raise mismatch(node, owner, owner, clash) from None
    return t


def _field(body: Body, owner: Type, row: Row, label: ast.Name) -> Type:
    name = label.text
    try:
        fields, tail = flat(row)
        found = fields.get(name)
        if found is not None:
            return found
        return _from_tail(body.world, row, name)
    except Clash as clash:
        match clash.problem:
            case NoField():
                var = variable_of(tail)
                rigid = var.rigid if type(var) is TVar else None
                raise failure(mistakes_values.NoSuchField(owner, name, tuple(fields), rigid), label) from None
            case LabelTwice(twice, output):
                raise failure(mistakes.OutputNamedField(twice, output), label) from None
        raise mismatch(label, owner, owner, clash) from None


def _from_tail(world: World, row: Row, name: str) -> Type:
    """Have the tail supply the field; behind a RowMap it is an Out or a Kind at once."""
    _, tail = flat(row)
    t: Type = Con(tail.constructor, (TVar(),)) if type(tail) is RowMap else TVar()

    def equal(a: Type, b: Type) -> None:
        unify(world, a, b)

    supply(row, {name: t}, equal, row_binder(world))
    return t


def member_type(body: Body, owner: Con, label: ast.Name) -> Type:
    """The type of a set's member: its own, or one of those that it extends."""
    chain = body.world.set_chain(owner.name)
    for info in chain:
        member = info.members.get(label.text)
        if member is not None:
            return member.type
        waiting = body.world.untyped.get(info.id)
        if waiting is not None and label.text in waiting:
            raise waiting[label.text](label)
    known = tuple(name for info in chain for name in info.members)
    set_name = chain[0].id.rpartition("#")[2]
    raise failure(mistakes_builds.NoMember(set_name, label.text, known), label)
