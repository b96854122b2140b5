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
from typing import TYPE_CHECKING, NamedTuple

from kiln.interpreter.answers import file_digest, untouched
from kiln.interpreter.asking import Asked, Reading, Request, head_state
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

if TYPE_CHECKING:
    import git

    from kiln.interpreter.evaluate.packages import Selection


class Tree(NamedTuple):
    """Where a build file lies: the top of its work tree, or its own folder, and what state that is in."""

    top: str
    state: SourceState


def record_targets(
    workshop: Workshop, requests: Sequence[Request], asked: Asked, trees: Sequence[Tree | None], plan: Plan
) -> None:
    """Sign and keep a statement for each derivation that a request names. `trees` are those of `trees_of`."""
    for request, targets, program, tree in zip(requests, asked.targets, asked.programs, trees, strict=True):
        if program is None or tree is None:
            continue
        drvs = dict.fromkeys(target.item.drv for target in targets if isinstance(target.item, DrvOutput))
        for drv in drvs:
            _record(workshop, request, tree, program.lock, asked.graph[drv], plan)


def trees_of(requests: Sequence[Request], asked: Asked) -> list[Tree | None]:
    """The state of the work tree that holds each build file; None for a request that was recalled.

    To be called before anything is built: while it is, another commit may be checked out.
    """
    return [
        None if program is None or reading is None else tree_of(request.file, program, reading)
        for request, program, reading in zip(requests, asked.programs, asked.readings, strict=True)
    ]


def tree_of(file: str, program: Program, reading: Reading) -> Tree:
    """The state of the work tree that holds a build file: a commit only where that holds all that was read."""
    folder = os.path.dirname(os.path.realpath(file))
    digest = Digest(program.sources_digest())
    top = work_tree(folder)
    if top is None or _REDIRECTED & os.environ.keys():
        return Tree(top or folder, Dirty(digest))
    commit, clean, uri = _git_state(top, program, reading)
    if commit is None:
        return Tree(top, Dirty(digest))
    settled = clean and head_state(file) == reading.head and _unchanged(program, reading)
    return Tree(top, Commit(commit, uri) if settled else Dirty(digest, commit))


_REDIRECTED = frozenset(("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"))
"""With one of these, as in git's hooks, git would speak of something else."""
_COARSE_NS = 10_000_000
"""By how much the clock of a file system may be late."""


def _unchanged(program: Program, reading: Reading) -> bool:
    """Whether what was read is still there as it was read: git has looked at it after evaluation."""
    try:
        return all(file_digest(path) == digest for path, digest in program.sources if os.path.isabs(path)) and all(
            untouched(path, reading.began - _COARSE_NS) for path, _ in reading.sources
        )
    except OSError:
        return False


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


def _git_state(top: str, program: Program, reading: Reading) -> tuple[str | None, bool, str | None]:
    """The commit, whether it holds all that was read as it is there, and where the repository may be had."""
    import git

    try:
        with git.Repo(top) as repo:
            commit = repo.head.commit.hexsha
            clean = not repo.is_dirty(untracked_files=True) and _holds(repo, top, program, reading)
            uri = next((remote.url for remote in repo.remotes if remote.name == "origin"), None)
            return commit, clean, uri
    except (ValueError, OSError, git.GitError):
        return None, False, None


def _holds(repo: git.Repo, top: str, program: Program, reading: Reading) -> bool:
    """Whether all that was read is tracked, in a tree where nothing differs: what git ignores is in no commit."""
    files = [path for path, _ in program.sources if os.path.isabs(path)]
    files += [path for path, selection in reading.sources if selection is None]
    real = [os.path.realpath(path) for path in files]
    folders = [(os.path.realpath(path), selection) for path, selection in reading.sources if selection is not None]
    if not all(path == top or path.startswith(top + "/") for path in (*real, *(path for path, _ in folders))):
        return False
    if len(_listed(repo, "--cached", real)) != len(set(real)):
        return False
    return not any(_takes_ignored(repo, top, folder, selection) for folder, selection in folders)


def _takes_ignored(repo: git.Repo, top: str, folder: str, selection: Selection) -> bool:
    from kiln.interpreter.selecting import selector

    select = selector(folder, selection)
    below = (
        os.path.relpath(os.path.join(top, name), folder)
        for name in _listed(repo, "--others", [folder], "--ignored", "--exclude-standard")
    )
    return any(select is None or select(os.fsencode(name), False) for name in below)


def _listed(repo: git.Repo, which: str, paths: Sequence[str], *options: str) -> list[str]:
    """What `git ls-files` names of these paths, each once, relative to the work tree."""
    literal = [f":(top,literal){os.path.relpath(path, repo.working_dir)}" for path in sorted(set(paths))]
    text: str = repo.git.ls_files("-z", which, *options, "--", *literal) if literal else ""
    return sorted({name for name in text.split("\0") if name})
