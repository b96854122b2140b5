"""No output may have the name of a field that stands in one record with it (K0330).

Looked for once, when a declaration ends, in every type that it instantiated: a declared record is expanded, and
`flat` raises where its own fields and its outputs meet.
"""

from __future__ import annotations

from kiln.lang.check.rows import flat
from kiln.lang.check.types import Con, Fn, Rec, Row, Type, prune
from kiln.lang.check.world import World


def check_rows(world: World, t: Type | Row) -> None:
    """Raises Clash(LabelTwice)."""
    if t.ground and type(t) is Con and (not t.args or id(t) in world.sound):
        return
    seen: set[tuple[object, ...]] = set()
    looked_at: list[Con] = []
    stack: list[Type | Row] = [t]
    while stack:
        node = stack.pop()
        if isinstance(node, Row):
            stack.extend(flat(node)[0].values())
            continue
        node = prune(node)
        match node:
            case Con():
                if not node.args or id(node) in world.sound:
                    continue
                if node.ground:
                    looked_at.append(node)
                stack.extend(node.args)
                key = _key(node)
                if key not in seen:
                    seen.add(key)
                    record = world.expanded(node)
                    if record is not None:
                        stack.append(record)
            case Rec():
                stack.append(node.row)
            case Fn():
                stack.extend([p.type for p in node.params])
                stack.append(node.result)
            case _:
                pass
    world.sound.update({id(c): c for c in looked_at})


def _key(t: Con) -> tuple[object, ...]:
    """The declaration and the labels of its rows: all that decides whether its own fields meet an output."""
    return (t.name, *[tuple(flat(a)[0]) for a in t.args if isinstance(a, Row)])
