"""What a target stands for: the statement that binds a commit, a file and an attribute to a resolved derivation.

A build's own statement speaks of the resolved derivation, which other commits may reuse. This one is made each
time a target is evaluated; where the tree is not clean, or is no git tree, it says so, with the digest of the
build files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from kiln.interpreter.asking import Asked, Request
from kiln.interpreter.derivation import BuildStep, Derivation, DrvOutput, FetchStep, Fixed, Step, resolve
from kiln.interpreter.evidence import digest_of_made
from kiln.interpreter.head import work_tree
from kiln.interpreter.plan import Plan
from kiln.interpreter.program import Program
from kiln.interpreter.recipe import recipe_of
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import BlobDigest, Digest, EnvelopeDigest
from kiln.store.errors import StoreError
from kiln.store.provenance.resolution import (
    Commit,
    Dirty,
    Resolution,
    SourceState,
    recipe_content,
    resolution_statement,
)
from kiln.store.provenance.statement import sign_statement
from kiln.store.provenance.verify import verify_envelope
from kiln.store.standings import add_standing, standings


class Tree(NamedTuple):
    """Where a build file lies: the top of its work tree, or its own folder, and what state that is in."""

    top: str
    state: SourceState


def record_targets(workshop: Workshop, requests: Sequence[Request], asked: Asked, plan: Plan) -> None:
    """Sign and keep a statement for each derivation that a request names."""
    for request, targets, program in zip(requests, asked.targets, asked.programs, strict=True):
        if program is None:
            continue
        tree = tree_of(request.file, program)
        drvs = dict.fromkeys(target.item.drv for target in targets if isinstance(target.item, DrvOutput))
        for drv in drvs:
            _record(workshop, request, tree, program.lock, asked.graph[drv], plan)


def tree_of(file: str, program: Program) -> Tree:
    """The state of the work tree that holds a build file."""
    folder = os.path.dirname(os.path.realpath(file))
    digest = Digest(program.sources_digest())
    top = work_tree(folder)
    if top is None:
        return Tree(folder, Dirty(digest))
    commit, clean, uri = _git_state(top)
    if commit is None:
        return Tree(top, Dirty(digest))
    return Tree(top, Commit(commit, uri) if clean else Dirty(digest, commit))


def _record(
    workshop: Workshop, request: Request, tree: Tree, lock: BlobDigest | None, step: Step, plan: Plan
) -> None:
    made = resolved_recipe(step, plan)
    if made is None:
        return
    recipe = recipe_of(made)
    realised = workshop.ledger.realised(digest_of_made(made))
    said = Resolution(
        source=tree.state,
        file=os.path.relpath(os.path.realpath(request.file), tree.top),
        attribute=request.attribute,
        lock=lock,
        unresolved=step.digest,
        resolved=recipe.digest,
        name=made.name,
        content=recipe_content(recipe),
        build=next((item.envelope for item in realised.values()), None),
        version=workshop.version,
        resolved_on=int(time.time()),
    )
    store = workshop.store
    if not any(_says_same(workshop, envelope, said) for envelope in standings(store.layout, step.digest)):
        envelope = store.put_envelope(sign_statement(resolution_statement(said), workshop.signer))
        add_standing(store.layout, step.digest, envelope)


def _says_same(workshop: Workshop, envelope: EnvelopeDigest, said: Resolution) -> bool:
    """Whether a kept statement says this already, at whatever time."""
    try:
        kept = verify_envelope(workshop.store.envelope(envelope), workshop.policy).said
    except StoreError:
        return False
    return isinstance(kept, Resolution) and replace(kept, resolved_on=said.resolved_on) == said


def resolved_recipe(step: Step, plan: Plan) -> Derivation | Fixed | None:
    """What a step came down to in this plan; None where an input's pin is not known."""
    match step:
        case FetchStep():
            return step.fixed
        case BuildStep():
            inputs = [item for item in step.derivation.inputs if isinstance(item, DrvOutput)]
            if any(item not in plan.pins for item in inputs):
                return None
            return resolve(step.derivation, plan.pins)


def _git_state(top: str) -> tuple[str | None, bool, str | None]:
    """The commit, whether nothing differs from it, and where the repository may be had."""
    import git

    try:
        with git.Repo(top) as repo:
            commit = repo.head.commit.hexsha
            clean = not repo.is_dirty(untracked_files=True)
            uri = next((remote.url for remote in repo.remotes if remote.name == "origin"), None)
            return commit, clean, uri
    except (ValueError, OSError, git.GitError):
        return None, False, None
