"""Builds as `kiln log` and `kiln debug` name them: `last`, a failed build's label, or a target.

A build's log and a failed build's tree are kept under the digest of what was built, so that a target that failed is
found by what it resolves to; a label, `hello-2.10-3f9c0a1b2c3d`, is what a failure's message gives.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from kiln.console import Stop
from kiln.context import Context
from kiln.interpreter.kept import Kept, kept_trees
from kiln.naming import Named, find

_LABEL = re.compile(r"[^/#]+-([0-9a-f]{12})")
_SUFFIX = ".log.zst"


class Logged(NamedTuple):
    """A log's file, and what was built: 64 hexadecimal digits."""

    path: str
    resolved: str


def find_log(target: str, context: Context, *, failed: bool = False) -> Logged:
    """The log of a target's build; with `failed`, of one whose tree is kept. Raises Stop, and as evaluation does."""
    logs = _logs(context)
    if failed:
        kept = find_kept(target, context)
        logs = [log for log in logs if log.resolved == kept.resolved]
    elif target == "last":
        if not logs:
            raise Stop("K0903", "nothing has been built in this store", help="kiln realise FILE")
    else:
        wanted = _resolved(target, context)
        logs = [log for log in logs if log.resolved.startswith(wanted)]
    if not logs:
        raise Stop("K0903", f"there is no log of {target}", help="only what was built here has one; kiln show TARGET")
    return logs[0]


def find_kept(target: str, context: Context) -> Kept:
    """The kept tree of a target's failed build. Raises Stop, and what evaluation raises."""
    trees = kept_trees(context.store().root)
    if target != "last":
        wanted = _resolved(target, context)
        trees = [kept for kept in trees if kept.resolved.startswith(wanted)]
    if not trees:
        others = ", ".join(os.path.basename(kept.folder) for kept in kept_trees(context.store().root)[:5])
        raise Stop(
            "K0908",
            "no failed build is kept here" if target == "last" else f"no failed build of {target} is kept here",
            found=f"kept: {others}" if others else None,
            help="kiln realise FILE keeps the tree of what fails",
        )
    return trees[0]


def _logs(context: Context) -> list[Logged]:
    """Every log, the newest first."""
    folder = os.path.join(context.store().root, "logs")
    found: list[tuple[int, Logged]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                found.append((entry.stat().st_mtime_ns, Logged(entry.path, entry.name.removesuffix(_SUFFIX))))
    return [log for _, log in sorted(found, reverse=True)]


def _resolved(target: str, context: Context) -> str:
    """The digest under which a target's build is kept, or how it begins. Raises Stop, and what evaluation raises."""
    label = _LABEL.fullmatch(target)
    if label is not None and not os.path.lexists(target):
        return label[1]
    for named in find(target, context):
        resolved = _resolved_of(named, context)
        if resolved is not None:
            return resolved
    raise Stop("K0903", f"{target} was not built here", help=f"kiln realise {target}")


def _resolved_of(named: Named, context: Context) -> str | None:
    """The resolved derivation: as it was built, or as it would be, where that failed."""
    from kiln.interpreter.derivation import BuildStep
    from kiln.store.provenance.verify import verify_envelope

    if named.envelope is not None:
        verified = verify_envelope(context.store().envelope(named.envelope), context.policy())
        return verified.provenance.recipe.digest.hex()
    if isinstance(named.step, BuildStep):
        resolved = context.ledger().would_resolve(named.step.derivation)
        return resolved.hex() if resolved is not None else None
    return None
