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
    seen: set[str] = set()
    stack: list[Type | Row] = [t]
    while stack:
        node = stack.pop()
        if isinstance(node, Row):
            stack.extend(flat(node)[0].values())
            continue
        node = prune(node)
        match node:
            case Con():
                stack.extend(node.args)
                if node.args and node.name not in seen:
                    seen.add(node.name)
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
