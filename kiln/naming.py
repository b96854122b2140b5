"""Targets as commands name them: FILE[#attribute], a store path, a result link, or what lies below one.

A target comes down to an object, and where possible to the envelope about it and the derivation behind it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kiln.console import Stop
from kiln.context import Context
from kiln.interpreter.derivation import DrvOutput, SourceObject, Step
from kiln.store.digest import DrvDigest, EnvelopeDigest
from kiln.store.errors import BadName
from kiln.store.info import ObjectInfo
from kiln.store.paths import STORE_DIR, StorePath


@dataclass(frozen=True, slots=True)
class Named:
    """What a target is. `step` and `drv` are there for a build file's; `info` where it is in the store."""

    label: str
    info: ObjectInfo | None
    envelope: EnvelopeDigest | None
    drv: DrvDigest | None = None
    step: Step | None = None


def find(text: str, context: Context) -> list[Named]:
    """Everything that a target names. Raises Stop, and what evaluation raises."""
    path = _store_path(text, context)
    return [_from_path(text, path, context)] if path is not None else _from_file(text, context)


def find_made(text: str, context: Context) -> list[tuple[Named, ObjectInfo]]:
    """The same, all of which has to be in the store."""
    found = find(text, context)
    missing = [named.label for named in found if named.info is None]
    if missing:
        raise Stop(
            "K0903",
            f"{missing[0]} has not been realised here",
            help=f"kiln realise {text}",
        )
    return [(named, named.info) for named in found if named.info is not None]


def _store_path(text: str, context: Context) -> StorePath | None:
    """A path in the store, logical or physical, or a link to one; what is below an object counts for it."""
    store = context.store()
    physical = os.path.realpath(store.store_dir)
    for prefix, whole in ((STORE_DIR, text), (physical, os.path.abspath(text)), (physical, _followed(text))):
        if whole.startswith(prefix + "/"):
            base = whole[len(prefix) + 1 :].partition("/")[0]
            try:
                return StorePath.parse(base)
            except BadName as error:
                raise Stop("K0903", f"{text} is not a store path", expected=error.expected) from None
    return None


def _followed(text: str) -> str:
    """A path as far as its first link, followed: `result/bin/lua` lies in the object that `result` shows."""
    whole = os.path.abspath(text)
    parts = whole.split("/")
    for depth in range(2, len(parts) + 1):
        here = "/".join(parts[:depth])
        if os.path.islink(here):
            target = os.path.join(os.path.dirname(here), os.readlink(here))
            return os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target), *parts[depth:])
    return whole


def _from_path(text: str, path: StorePath, context: Context) -> Named:
    info = context.store().by_path(path)
    if info is None:
        raise Stop("K0702", f"{path} is not in this store", help="kiln realise FILE makes what a build file names")
    made = context.ledger().producer(info.id)
    return Named(path.name, info, made)


def _from_file(text: str, context: Context) -> list[Named]:
    from kiln.interpreter.asking import Request, ask

    request = Request.parse(text)
    if not os.path.exists(request.file):
        raise Stop(
            "K0903",
            f"{request.file}: there is no such file, store path or result link",
            expected="FILE[#attribute], a store path, or the path of a result link",
        )
    asked = ask([request], context.store(), context.trees())
    store = context.store()
    named: list[Named] = []
    for target in asked.wanted:
        if isinstance(target.item, SourceObject):
            named.append(Named(target.label, store.info(target.item.id), None))
            continue
        named.append(_realised(target.label, target.item, asked.graph[target.item.drv], context))
    return named


def _realised(label: str, item: DrvOutput, step: Step, context: Context) -> Named:
    resolved = context.ledger().resolved_of(item.drv)
    made = context.ledger().realised(resolved).get(item.output) if resolved is not None else None
    if made is None:
        return Named(label, None, None, item.drv, step)
    return Named(label, made.info, made.envelope, item.drv, step)
