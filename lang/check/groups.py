"""The order in which items are inferred: strongly connected components, those that are needed first.

Tarjan's algorithm in a loop (*Depth-first search and linear graph algorithms*, 1972), since a chain of needs
may be longer than Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def components(needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Each component in the order of `needs`, behind every one that it needs. Unknown names are passed over."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    found: list[list[str]] = []
    place = {name: i for i, name in enumerate(needs)}
    for root in needs:
        if root in number:
            continue
        work = [(root, iter(needs[root]))]
        _enter(root, number, low, stack, on_stack)
        while work:
            name, rest = work[-1]
            for other in rest:
                if other not in place:
                    continue
                if other not in number:
                    _enter(other, number, low, stack, on_stack)
                    work.append((other, iter(needs[other])))
                    break
                if other in on_stack:
                    low[name] = min(low[name], number[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[name])
                if low[name] == number[name]:
                    found.append(_leave(name, stack, on_stack, place))
    return found


def _enter(name: str, number: dict[str, int], low: dict[str, int], stack: list[str], on_stack: set[str]) -> None:
    number[name] = low[name] = len(number)
    stack.append(name)
    on_stack.add(name)


def _leave(name: str, stack: list[str], on_stack: set[str], place: Mapping[str, int]) -> list[str]:
    group: list[str] = []
    while True:
        other = stack.pop()
        on_stack.remove(other)
        group.append(other)
        if other == name:
            return sorted(group, key=place.__getitem__)
