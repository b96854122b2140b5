"""`p with { a.b = e, xs += e }`: edits of a record, or of a package's recipe.

The base is R for a `Pkg(R, O)` and the type itself for a record; each path is followed through fields, and the
new value is checked against the type of the last one, with fills and coercions. The result has p's own type, so
a path that is not there is a mistake, and so is one that goes into another package: that one is overridden, and
assigned.
"""

from __future__ import annotations

from kiln.lang.check import mistakes_builds, mistakes_values
from kiln.lang.check.body import Body, EditPlan, Env, How, RecipeField, WithPlan
from kiln.lang.check.failure import Failure, InEdit, failure
from kiln.lang.check.infer import check, infer
from kiln.lang.check.infos import FieldInfo, Site
from kiln.lang.check.lookup import type_of_label
from kiln.lang.check.types import Con, Rec, TVar, Type, is_named, prune
from kiln.lang.syntax import ast

_APPENDABLE = ("List", "Map", "Str", "Text")


def infer_with(body: Body, env: Env, e: ast.With) -> Type:
    t = prune(infer(body, env, e.base))
    base = _base(body, e, t)
    package = is_named(t, "Pkg")
    edits = tuple([_edit(body, env, base, package, edit) for edit in e.edits])
    body.facts.withs[id(e)] = WithPlan(package, edits)
    return t


def _base(body: Body, e: ast.With, t: Type) -> Type:
    """What the paths begin in."""
    if type(t) is Con and t.name == "Drv":
        raise failure(mistakes_builds.EditForgotten(t), e.base)
    if type(t) is Con and t.name == "Pkg":
        recipe = prune(t.args[0])  # type: ignore[arg-type]
        if body.world.expanded(recipe) is None:
            raise failure(mistakes_builds.EditUnknown(recipe if type(recipe) is TVar else t, False), e.base)
        return recipe
    if type(t) is Rec or body.world.record(t) is not None:
        return t
    raise failure(mistakes_builds.EditUnknown(t, False), e.base)


def _edit(body: Body, env: Env, base: Type, package: bool, edit: ast.Edit) -> EditPlan:
    path = ".".join([n.text for n in edit.path])
    t, info, site = _follow(body, base, edit, path)
    optional = info is not None and info.mode == "optional"
    how: How = "as is"
    if edit.op == "?=":
        if not optional:
            raise failure(mistakes_values.NotOptional(path, "field"), edit)
        how = "option"
    elif edit.op == "+=":
        if not is_named(prune(t), *_APPENDABLE):
            raise failure(mistakes_builds.CantAppend(path, t), edit)
    elif optional:
        how = "some"
        assert info is not None
        option = prune(t)
        t = option.args[0] if type(option) is Con else t  # type: ignore[assignment]
    if package:
        body.recipe_fields.append(RecipeField(path, edit.value, t))
    try:
        check(body, env, edit.value, t)
    except Failure as f:
        raise f.within(InEdit(path, site)) from None
    return EditPlan(how, t)


def _follow(body: Body, base: Type, edit: ast.Edit, path: str) -> tuple[Type, FieldInfo | None, Site | None]:
    """The type at the end of the path, the declaration of its last field, and where that stands."""
    t: Type = base
    info: FieldInfo | None = None
    site: Site | None = None
    for number, label in enumerate(edit.path):
        t = prune(t)
        if is_named(t, "Pkg", "Drv"):
            inner = ".".join([n.text for n in edit.path[:number]])
            raise failure(mistakes_builds.EditInside(path, inner), edit)
        record = body.world.record(t)
        info = None if record is None else record.fields.get(label.text)
        site = info.site if info is not None else _written_at(t, label.text)
        t = type_of_label(body, label, t, label)
    return t, info, site


def _written_at(t: Type, label: str) -> Site | None:
    """Where a record type written in place says the field."""
    place = t.row.sites.get(label) if isinstance(t, Rec) and t.row.sites is not None else None
    return None if place is None else Site(*place)
