"""What a recipe's functions may use (K0318).

An override edits the recipe and computes its functions again, so whatever they depend on must be in the
recipe. A function literal in a field of a recipe may use its own parameters, top-level functions and constants,
and local functions. Not any other local (also a plain string: `fn mk(version: Str) = package({version, src =
fn(b) => …%{version}…})` would miss an override of `version`), nor a top-level value that carries outputs. The
types are looked at when the declaration ends: a parameter's may not be known before.
"""

from __future__ import annotations

from kiln.lang.check import mistakes_builds
from kiln.lang.check.body import Body, Frame
from kiln.lang.check.failure import failure
from kiln.lang.check.infos import AliasInfo, RecordInfo, SetInfo, VariantInfo
from kiln.lang.check.names import Local, Value
from kiln.lang.check.types import Con, Fn, Rec, Row, RowMap, TVar, Type, prune
from kiln.lang.check.world import World
from kiln.lang.syntax import ast

_CARRIES = frozenset({"Out", "Text", "Pkg", "Drv", "Attestation", "Subject"})


def entered(body: Body, e: ast.Lambda) -> Frame | None:
    """Begin to note what `e` uses, if it is a field of a recipe."""
    field = body.recipe_fields.get(id(e))
    if field is None:
        return None
    frame = Frame(field, body.namer.count, [])
    body.frames.append(frame)
    return frame


def left(body: Body, frame: Frame | None) -> None:
    if frame is not None:
        body.frames.remove(frame)
        body.seen_frames.append(frame)


def check_captures(body: Body) -> None:
    """To be called when the types of the declaration are known. Raises Failure."""
    for frame in body.seen_frames:
        for node, what in frame.uses:
            if isinstance(what, Local):
                if what.serial <= frame.serial and type(prune(what.type)) is not Fn:
                    name = node.name if isinstance(node, ast.Var) else what.core_name
                    scalar = not carries(body.world, what.type)
                    raise failure(mistakes_builds.Captures(frame.field, name, scalar), node)
            elif _carried(body.world, what):
                raise failure(mistakes_builds.Captures(frame.field, what.name, False), node)


def _carried(world: World, value: Value) -> bool:
    if value.kind != "let":
        return False
    t = value.scheme.type if value.scheme is not None else value.mono
    return t is not None and carries(world, t)


def carries(world: World, t: Type) -> bool:
    """Whether a value of this type may hold an output; a function is not looked into."""
    seen: set[str] = set()
    stack: list[Type | Row | RowMap | TVar | None] = [t]
    while stack:
        node = stack.pop()
        match node:
            case Con():
                if node.name in _CARRIES:
                    return True
                stack.extend(node.args)
                if node.name not in seen:
                    seen.add(node.name)
                    info = world.infos.get(node.name)
                    if isinstance(info, SetInfo):
                        return True
                    stack.extend(_parts(info))
            case Rec():
                stack.append(node.row)
            case Row():
                stack.extend(node.fields.values())
                stack.append(node.tail if isinstance(node.tail, Row | RowMap | TVar) else None)
            case RowMap():
                if node.constructor == "Out":
                    return True
                stack.append(node.row)
            case TVar():
                stack.append(node.link)
            case _:
                pass
    return False


def _parts(info: RecordInfo | VariantInfo | AliasInfo | SetInfo | None) -> list[Type | Row | RowMap | TVar | None]:
    match info:
        case RecordInfo():
            tail = info.tail if isinstance(info.tail, RowMap) else None
            return [*[f.type for f in info.fields.values()], tail]
        case VariantInfo():
            return [p.type for con in info.constructors.values() for p in con.params]
    return []
