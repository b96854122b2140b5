"""Sets and overlays.

A set is a nominal type; `self` has it. Annotated members have their type before any body is looked at. The others are
inferred in the order of the `self.x` that their text shows, each alone: were they a group that unifies, `a =
f(self.b)` with an `f` that takes a Lib would silently make `b` a Lib, and lose its recipe. So a cycle among
them is a mistake, and one written type breaks it. The order is found in a loop: a chain may have thousands of
members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kiln.lang.check import mistakes, mistakes_builds
from kiln.lang.check.body import Body, Env
from kiln.lang.check.failure import Failure, InBinding, InOverride, Spanned, failure
from kiln.lang.check.groups import components
from kiln.lang.check.infer import check, infer
from kiln.lang.check.infos import MemberInfo, Site
from kiln.lang.check.lookup import member_type
from kiln.lang.check.types import Con, Type, free_variables, generalise, prune
from kiln.lang.syntax import ast


class SetBodies:
    """The members of one set, while they are checked. `info.members` grows as their types become known."""

    def __init__(self, body: Body, decl: ast.SetDecl, type_name: str, members: dict[str, MemberInfo]) -> None:
        self.body = body
        self.decl = decl
        self.type_name = type_name
        self.members = members

    def site(self, start: int, node: Spanned) -> Site:
        return Site(self.body.scope.module, start + node.start, start + node.end)

    def check(self, env: Env, start: int) -> None:
        """`env` has `self` and the set's parameters. Raises Failure or Poisoned at the first mistake."""
        waiting = {m.name.text: m for m in self.decl.members if m.type is None}
        order = self._order(waiting)
        self.body.world.untyped[self.type_name] = dict.fromkeys(waiting, self._used_too_early())
        for name in order:
            self._infer(env, waiting[name], start)
        for m in self.decl.members:
            if m.type is not None:
                self._check(env, m)

    def _order(self, waiting: dict[str, ast.Member]) -> list[str]:
        """The members without a type, each behind those that it needs."""
        needs = {name: [x for x in self_uses(m.body) if x in waiting] for name, m in waiting.items()}
        order: list[str] = []
        for group in components(needs):
            if len(group) > 1 or group[0] in needs[group[0]]:
                chain = cycle_in(group, needs)
                raise failure(mistakes_builds.MemberCycle(self.decl.name.text, chain), waiting[chain[0]].name)
            order.extend(group)
        return order

    def _used_too_early(self) -> Callable[[Spanned], Exception]:
        """A use that the text does not show as `self.x`, such as `f(self)` in a function that is inferred later."""

        def raised(node: Spanned) -> Exception:
            label = node.text if isinstance(node, ast.Name) else "self"
            return failure(mistakes_builds.MemberCycle(self.decl.name.text, (label, label)), node)

        return raised

    def _infer(self, env: Env, m: ast.Member, start: int) -> None:
        t = infer(self.body, dict(env), m.body)
        if free_variables(t):
            raise failure(mistakes.TypeUnknown(m.name.text, t), m.name)
        found = generalise(t).type
        if self.body.world.measure.is_too_large(found):
            raise failure(mistakes.TypeTooLarge(m.name.text), m.name)
        self.members[m.name.text] = MemberInfo(found, False, self.site(start, m.name))
        del self.body.world.untyped[self.type_name][m.name.text]

    def _check(self, env: Env, m: ast.Member) -> None:
        try:
            check(self.body, dict(env), m.body, self.members[m.name.text].type)
        except Failure as f:
            raise f.within(InBinding(m.name.text)) from None


def self_uses(e: ast.Expr) -> Iterator[str]:
    """The labels of every `self.x` in the text of a member."""
    stack: list[object] = [e]
    while stack:
        node = stack.pop()
        if type(node) is ast.Get and type(node.base) is ast.Var and node.base.name == "self":
            yield node.label.text
        elif isinstance(node, tuple):
            stack.extend([x for x in node if isinstance(x, tuple)])


def cycle_in(group: list[str], needs: dict[str, list[str]]) -> tuple[str, ...]:
    """A cycle among the members of one strongly connected component, its first name repeated at the end."""
    inside = set(group)
    path = [group[0]]
    places = {group[0]: 0}
    while True:
        following = next(x for x in needs[path[-1]] if x in inside)
        if following in places:
            return (*path[places[following] :], following)
        places[following] = len(path)
        path.append(following)


# ---- overlays ---------------------------------------------------------------------------------


def infer_overlay(body: Body, env: Env, e: ast.Overlay) -> Type:
    """`s with (self, super) { m = e }`: both names have the set's type, and so has the result."""
    t = prune(infer(body, env, e.base))
    if type(t) is not Con or body.world.set_info(t) is None:
        raise failure(mistakes_builds.EditUnknown(t, True), e.base)
    inner = dict(env)
    self_local = body.bind(inner, e.self_name.text, t)
    super_local = body.bind(inner, e.super_name.text, t)
    body.facts.overlays[id(e)] = (self_local.core_name, super_local.core_name)
    seen: set[str] = set()
    for edit in e.edits:
        _override(body, inner, t, edit, seen)
    return t


def _override(body: Body, env: Env, t: Con, edit: ast.Edit, seen: set[str]) -> None:
    label = edit.path[0]
    if label.text in seen:
        raise failure(mistakes.LabelTwiceHere(label.text, "member"), label)
    seen.add(label.text)
    wanted = member_type(body, t, label)
    if len(edit.path) > 1 or edit.op != "=":
        raise failure(mistakes_builds.OverlayPath(label.text), edit)
    try:
        check(body, env, edit.value, wanted)
    except Failure as f:
        raise f.within(InOverride(label.text)) from None
