"""What is known while one declaration's bodies are checked.

`Facts` are side tables by the identity of syntax nodes: what a node was decided to be. The types of nodes are known
only when the declaration's inference is over, so core is made from the facts in a second pass (elaborate.py).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from kiln.lang import core
from kiln.lang.check import mistakes
from kiln.lang.check.annotations import Annotations, Variables
from kiln.lang.check.clash import Clash
from kiln.lang.check.failure import Failure, InPart, Poisoned, Spanned, failure
from kiln.lang.check.infos import Mode, VariantInfo
from kiln.lang.check.mismatch import TypeMismatch
from kiln.lang.check.names import Local, Namer, Scope, Value
from kiln.lang.check.subsume import subsume
from kiln.lang.check.types import Type, instantiate
from kiln.lang.check.unify import unify
from kiln.lang.check.world import World
from kiln.lang.syntax import ast

Env: TypeAlias = dict[str, Local]
How: TypeAlias = Literal["as is", "some", "option", "option, to a default", "default", "none"]
"""How a field or an argument is given: `l = e`; the same, made an Option; `l? = e`; the same for a parameter
that has a
default; left to the default; absent."""


class Given(NamedTuple):
    """A field or an argument; `value` is None where nothing is written for it."""

    label: str | None
    value: ast.Expr | ast.Field | None
    how: How


class RecordPlan(NamedTuple):
    """`declared` owns the defaults."""

    declared: str | None
    fields: tuple[Given, ...]


class CallPlan(NamedTuple):
    """`target` is the callee, or None: the callee is the value of the call's own expression.

    For a known callee `args` has one entry a parameter, in order; for a value those that are given.
    """

    kind: Literal["fn", "construct", "method", "value"]
    target: core.Global | None
    name: str
    args: tuple[Given, ...]


class LambdaParam(NamedTuple):
    core_name: str
    label: str | None
    mode: Mode


class EditPlan(NamedTuple):
    how: How
    type: Type


class WithPlan(NamedTuple):
    package: bool
    edits: tuple[EditPlan, ...]


class Facts:
    __slots__ = (
        "calls", "holes", "lambdas", "members", "names", "overlays", "patterns", "pipes", "records", "types",
        "variants", "withs",
    )  # fmt: skip

    def __init__(self) -> None:
        self.names: dict[int, core.Expr] = {}
        """Names, puns, `cc.x` and bare constructors: what they stand for."""
        self.calls: dict[int, CallPlan] = {}
        self.records: dict[int, RecordPlan] = {}
        self.lambdas: dict[int, tuple[LambdaParam, ...]] = {}
        self.patterns: dict[int, core.CorePattern] = {}
        self.variants: dict[int, VariantInfo] = {}
        """By the identity of a ConPattern: the variant that it is of."""
        self.holes: dict[int, core.HoleKind] = {}
        self.types: dict[int, Type] = {}
        """Of what `++` makes, and of strings."""
        self.withs: dict[int, WithPlan] = {}
        self.overlays: dict[int, tuple[str, str]] = {}
        self.members: set[int] = set()
        """Each `s.l` whose `s` is a set."""
        self.pipes: dict[int, ast.Call] = {}
        """The call that a pipe is."""


class RecipeField(NamedTuple):
    """`value` is a field whose value is the name itself where the field is written so. `handed` is what a call that
    gives a package is given, which may or may not end in its recipe.
    """

    label: str
    value: ast.Expr | ast.Field
    type: Type
    handed: bool = False


class Body:
    """One declaration, while it is checked."""

    __slots__ = (
        "annotations", "facts", "instantiated", "lets", "locals", "namer", "recipe_fields", "recipe_literals",
        "scope", "source", "sources", "variables", "world",
    )  # fmt: skip

    def __init__(self, scope: Scope, world: World, annotations: Annotations, variables: Variables) -> None:
        self.scope = scope
        self.world = world
        self.annotations = annotations
        self.variables = variables
        self.facts = Facts()
        self.namer = Namer()
        self.instantiated: list[tuple[Type, Spanned]] = []
        """Types in which a row's variable was instantiated: they are expanded once at the end (K0330)."""
        self.recipe_literals: set[int] = set()
        """Record literals that become recipes although no declared type says so."""
        self.recipe_fields: list[RecipeField] = []
        """What is given to the fields of recipes; those that are functions are looked into at the end (K0318)."""
        self.locals: dict[str, Local] = {}
        self.sources: dict[str, ast.Expr] = {}
        """What a local is, or is a part of, unless it is a parameter."""
        self.source: ast.Expr | None = None
        """Of the pattern that is being bound."""
        self.lets: dict[tuple[core.ModuleId, str], Value] = {}
        """The top-level lets that were used."""

    def bind(self, env: Env, name: str, t: Type) -> Local:
        """Bind `name` in `env`, which must be the caller's own."""
        local = Local(self.namer.name(name), t)
        env[name] = self.locals[local.core_name] = local
        if self.source is not None:
            self.sources[local.core_name] = self.source
        return local

    def value_type(self, node: Spanned, value: Value) -> Type:
        """The type of one use of a top-level value."""
        if value.kind == "let":
            self.lets[value.module, value.name] = value
        if value.broken:
            raise Poisoned
        scheme = value.scheme
        if scheme is None:
            if value.mono is None:
                raise failure(mistakes.NeedsItself((value.name,)), node)
            return value.mono
        if not scheme.vars:
            return scheme.type
        t = instantiate(scheme)
        self.watch(t, node, any(v.kind == "row" for v in scheme.vars))
        return t

    def watch(self, t: Type, node: Spanned, rows: bool) -> None:
        if rows:
            self.instantiated.append((t, node))

    def annotation(self, node: ast.Type) -> Type:
        return self.annotations.type(node, self.variables)

    def relate(self, node: Spanned, found: Type, wanted: Type, what: str | None = None) -> None:
        """A `found` stands where a `wanted` is; raises Failure, blaming `node`, which is `what`."""
        if found is wanted or (found, wanted) in self.world.fitting:
            return
        try:
            subsume(self.world, found, wanted)
        except Clash as clash:
            raise mismatch(node, found, wanted, clash, what) from None
        if found.ground and wanted.ground:
            self.world.fitting.add((found, wanted))

    def equal(self, node: Spanned, found: Type, wanted: Type, what: str | None = None) -> None:
        try:
            unify(self.world, found, wanted)
        except Clash as clash:
            raise mismatch(node, found, wanted, clash, what) from None


def mismatch(node: Spanned, found: Type, wanted: Type, clash: Clash, what: str | None = None) -> Failure:
    made = failure(TypeMismatch(found, wanted, clash.problem, tuple(clash.trail)), node)
    return made if what is None else made.within(InPart(what))
