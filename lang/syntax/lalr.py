"""The LALR(1) loop: a table of integers, the tokens of one declaration, and the actions.

The stack is three lists: the states, the offset where each symbol on it begins, and the values of those symbols
that have one. It is the only thing that grows with nesting: nothing here recurses, whatever the input.

Expressions are stratified in the grammar, so a lone name would be reduced eleven times (atom, postfix, … expr),
nearly always without an action. Such a chain depends only on the state below it, the symbol it begins with and the
next token; so where it ends is worked out once for each such triple and kept in `climbs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kiln.lang.syntax.table import ACCEPT, ParseTable
from kiln.lang.syntax.tokens import Tokens

Action: TypeAlias = Callable[..., Any]


class Stuck(Exception):
    """No action for the token at `index`."""

    def __init__(self, index: int) -> None:
        self.index = index


class Parser:
    """A table with its actions; parses any number of declarations."""

    __slots__ = ("climbs", "reductions", "table")

    def __init__(self, table: ParseTable, action: Callable[[str], Action]) -> None:
        self.table = table
        self.climbs: dict[int, int] = {}
        self.reductions = tuple(
            (p.symbols, p.values, p.target, action(p.action) if p.action else None, p.pads) for p in table.productions
        )

    def parse(self, tokens: Tokens) -> Any:
        """The value of the whole. Raises Stuck, and whatever an action raises."""
        cells, width, climbs, reductions = self.table.cells, self.table.width, self.climbs, self.reductions
        kinds, starts, ends, token_values = tokens.kinds, tokens.starts, tokens.ends, tokens.values
        states, begins, values = [0], [0], []
        state, index, end = 0, 0, 0
        kind = kinds[0]
        while True:
            cell = cells[state + kind]
            if cell > 0:
                states.append(cell)
                begins.append(starts[index])
                end = ends[index]
                value = token_values[index]
                if value is not None:
                    values.append(value)
                state = cell
                index += 1
                kind = kinds[index]
            elif cell < ACCEPT:
                count, taken, target, action, pads = reductions[-cell]
                if count > 1:
                    del states[-count:]
                    del begins[1 - count :]
                else:
                    del states[-1]
                if action is not None:
                    if taken:
                        taken_values = values[-taken:]
                        del values[-taken:]
                        for pad in pads:
                            taken_values.insert(pad, None)
                        values.append(action(begins[-1], end, *taken_values))
                    else:
                        values.append(action(begins[-1], end, *(None for _ in pads)))
                below = states[-1]
                key = (below + target) * width + kind
                climbed = climbs.get(key)
                if climbed is None:
                    climbed = climbs[key] = self._climb(below, cells[below + target], kind)
                state = climbed
                states.append(state)
            elif cell == ACCEPT:
                return values[-1]
            else:
                raise Stuck(index)

    def _climb(self, below: int, state: int, kind: int) -> int:
        """The state in which a chain of reductions of one symbol to one, without an action, ends."""
        cells = self.table.cells
        while (cell := cells[state + kind]) < ACCEPT:
            count, _, target, action, _ = self.reductions[-cell]
            if count != 1 or action is not None:
                break
            state = cells[below + target]
        return state
