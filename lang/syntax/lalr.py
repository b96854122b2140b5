"""The LALR(1) loop: a table of integers, the tokens of one declaration, and the actions.

The stack is three lists: the states, the offset where each symbol on it begins, and the values of those symbols
that have one. It is the only thing that grows with nesting: nothing here recurses, whatever the input.

Expressions are stratified in the grammar, so a lone name would be reduced eleven times (atom, postfix, … expr),
nearly always without an action. Such a chain depends only on the state below it, the symbol it begins with and the
next token; so where it ends is worked out once for each such triple and kept in `climbs`.

Which actions are called, and on what, depends on the kinds of the tokens alone, and in a long file many declarations
are alike. So for short ones that is kept, too, from the second time on: a `Way`, found by running the loop on the
tokens' numbers, with actions that write down what they are called on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from kiln.lang.syntax.table import ACCEPT, ParseTable
from kiln.lang.syntax.tokens import Tokens

Action: TypeAlias = Callable[..., Any]
Reduction: TypeAlias = tuple[int, int, int, Action | None, tuple[int, ...]]
"""(symbols, values among them, column of the left side, action, pads), as `table.Production`."""

_SHORT: Final = 100
"""Tokens of a declaration whose way is kept."""
_WAYS: Final = 2000
"""Ways that are kept at most."""


class Step(NamedTuple):
    """One call of an action: the tokens where its text begins and ends, and the slots that it takes.

    Slots are the values of the tokens and then those of the steps. The last token has no value, and is each pad.
    """

    action: Action
    first: int
    last: int
    taken: tuple[int, ...]


Way: TypeAlias = tuple[Step, ...]


class Stuck(Exception):
    """No action for the token at `index`."""

    def __init__(self, index: int) -> None:
        self.index = index


class Parser:
    """A table with its actions; parses any number of declarations."""

    __slots__ = ("climbs", "met", "reductions", "table", "ways")

    def __init__(self, table: ParseTable, action: Callable[[str], Action]) -> None:
        self.table = table
        self.climbs: dict[int, int] = {}
        self.met: set[bytes] = set()
        """The kinds of declarations that came once."""
        self.ways: dict[bytes, Way] = {}
        """By the kinds of those that came again."""
        self.reductions: tuple[Reduction, ...] = tuple(
            (p.symbols, p.values, p.target, action(p.action) if p.action else None, p.pads) for p in table.productions
        )

    def parse(self, tokens: Tokens) -> Any:
        """The value of the whole. Raises Stuck, and whatever an action raises."""
        if len(tokens.kinds) > _SHORT:
            return self._run(tokens, self.reductions)
        key = bytes(tokens.kinds)
        way = self.ways.get(key)
        if way is not None:
            return _followed(way, tokens)
        value = self._run(tokens, self.reductions)
        if key not in self.met:
            self.met.add(key)
        elif len(self.ways) < _WAYS:
            self.ways[key] = self._way(tokens)
        return value

    def _way(self, tokens: Tokens) -> Way:
        """How tokens are parsed that have a whole, by their kinds."""
        count = len(tokens.kinds)
        steps: list[Step] = []

        def noting(action: Action) -> Action:
            def note(first: int, last: int, *taken: int | None) -> int:
                steps.append(
                    Step(action, first, last, tuple([count - 1 if slot is None else slot for slot in taken]))
                )
                return count + len(steps) - 1

            return note

        numbered = Tokens()
        numbered.kinds = tokens.kinds
        numbered.starts = numbered.ends = list(range(count))
        numbered.values = [None if value is None else place for place, value in enumerate(tokens.values)]
        self._run(numbered, tuple([(*r[:3], r[3] and noting(r[3]), r[4]) for r in self.reductions]))
        return tuple(steps)

    def _run(self, tokens: Tokens, reductions: tuple[Reduction, ...]) -> Any:
        cells, width, climbs = self.table.cells, self.table.width, self.climbs
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


def _followed(way: Way, tokens: Tokens) -> Any:
    """The value of tokens whose way is known."""
    starts, ends = tokens.starts, tokens.ends
    slots = tokens.values.copy()
    for action, first, last, taken in way:
        if len(taken) == 1:
            slots.append(action(starts[first], ends[last], slots[taken[0]]))
        else:
            slots.append(action(starts[first], ends[last], *[slots[slot] for slot in taken]))
    return slots[-1]
