"""The store's invariants, all of them, checked on one snapshot of the index, while others build and collect:

1  what is registered is there, with a small file that proves itself and says the same
2  its references are registered, and know it as a referrer; nothing else claims to refer
3  what lies in store/ is registered, unless a running process is just committing or collecting it
4  claims, their two indexes and their witnesses name each other
5  every object is in the log once
6  the envelope of every witness that was made here is there
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

from kiln.store import tables
from kiln.store.commit import decode_intent
from kiln.store.digest import ObjectId
from kiln.store.disk import read_file
from kiln.store.errors import StoreError
from kiln.store.index import Environment, Txn
from kiln.store.info import ObjectInfo, decode_row
from kiln.store.layout import Layout
from kiln.store.passage import sole_passage
from kiln.store.records import Claim, decode_claim
from kiln.store.session import INTENT
from kiln.store.verify import Problem, read_meta, verify_object

Numbers: TypeAlias = dict[bytes, bytes]
"""Each object's number in the log. None is given twice."""
Broken: TypeAlias = list[tuple[ObjectInfo, list[Problem]]]


def check_store(layout: Layout, index: Environment, *, contents: bool) -> list[Problem]:
    """Everything that breaks an invariant. With `contents`, every object is read whole. Others go on meanwhile."""
    entries = sorted(os.listdir(layout.store))
    infos, numbers, problems = index.view(_index_problems)
    broken = _disk_problems(layout, infos, contents=contents)
    missing = _missing_envelopes(layout, index)
    registered = {info.path.base for info in infos}
    strangers = [name for name in entries if name not in registered]
    if strangers:
        strangers = _strangers(layout, index, strangers)
    if strangers or missing:
        # Nobody is in the middle of anything now.
        with sole_passage(layout):
            strangers = _strangers(layout, index, strangers)
            missing = _missing_envelopes(layout, index) if missing else []
    problems += _still_registered(index, numbers, broken)
    problems += [Problem(name, "it is in the store but not registered") for name in strangers]
    return problems + missing


def _still_registered(index: Environment, numbers: Numbers, broken: Broken) -> list[Problem]:
    """The problems of objects that were registered for as long as they were looked at.

    One that was collected meanwhile could not be read, and may be here again. It has another number then.
    """
    if not broken:
        return []
    now = index.view(_numbers)
    return [
        problem for info, found in broken if numbers.get(info.id) == now.get(info.id) is not None for problem in found
    ]


def _strangers(layout: Layout, index: Environment, names: Iterable[str]) -> list[str]:
    """Those of these entries that are there, and neither registered nor on their way in or out."""
    # In this order: a commit removes its intent when its objects are registered, not before.
    moving = _moving(layout)
    now, leaving = index.view(lambda txn: ({info.path.base for info in _infos(txn)}, _leaving(txn)))
    return [
        name for name in names if name not in moving | now | leaving and os.path.lexists(f"{layout.store}/{name}")
    ]


def _moving(layout: Layout) -> set[str]:
    """What the commits that run now are about to register."""
    found: set[str] = set()
    for session in os.listdir(layout.temp):
        with suppress(FileNotFoundError):
            for name in os.listdir(f"{layout.temp}/{session}"):
                if name.startswith(INTENT):
                    with suppress(FileNotFoundError):
                        found.update(decode_intent(read_file(f"{layout.temp}/{session}/{name}")).objects)
    return found


def _leaving(txn: Txn) -> set[str]:
    """What a collection has taken out of the index and not moved yet."""
    return {key.decode() for key, _ in txn.items(tables.TRASH)}


def _numbers(txn: Txn) -> Numbers:
    return {value: key for key, value in txn.items(tables.LOG)}


def _infos(txn: Txn) -> list[ObjectInfo]:
    return [decode_row(key, row) for key, row in txn.items(tables.OBJECTS)]


def _index_problems(txn: Txn) -> tuple[list[ObjectInfo], Numbers, list[Problem]]:
    infos = _infos(txn)
    problems = [*_reference_problems(txn, infos), *_claim_problems(txn)]
    logged = [value for _, value in txn.items(tables.LOG)]
    if sorted(logged) != [info.id for info in infos]:
        problems.append(Problem("log", "it does not name every object once"))
    return infos, _numbers(txn), problems


def _reference_problems(txn: Txn, infos: list[ObjectInfo]) -> list[Problem]:
    known = {info.id for info in infos}
    wanted = {(reference, info.id) for info in infos for reference in info.references}
    found = {(ObjectId(key), ObjectId(value)) for key, value in txn.items(tables.REFERRERS)}
    problems = [
        Problem(str(info.path), f"it refers to {reference.short}, which is not registered")
        for info in infos
        for reference in info.references
        if reference not in known
    ]
    problems += [Problem(pair[1].short, "its reference does not know it") for pair in sorted(wanted - found)]
    problems += [Problem(pair[1].short, "it is named as a referrer but is none") for pair in sorted(found - wanted)]
    return problems


def _claim_problems(txn: Txn) -> list[Problem]:
    problems = []
    claims = {}
    for digest, data in txn.items(tables.CLAIMS):
        try:
            claims[digest] = decode_claim(data)
        except StoreError as error:
            problems.append(Problem(digest.hex()[:12], error.message))
    for table, keys in (
        (tables.BY_RESOLVED, {(claim.resolved, digest) for digest, claim in claims.items()}),
        (tables.PRODUCERS, {(claim.object, digest) for digest, claim in claims.items()}),
    ):
        if {(key, value) for key, value in txn.items(table)} != {(bytes(k), v) for k, v in keys}:
            problems.append(Problem(table.name, "it does not name every claim once"))
    if _contested(claims.values()) - set(txn.items(tables.CONTESTED)):
        problems.append(Problem(tables.CONTESTED.name, "it does not name every output with two results"))
    for key, row in txn.items(tables.WITNESSES):
        claim = claims.get(key[:32])
        if claim is None:
            problems.append(Problem(key.hex()[64:76], "a witness without its claim"))
            continue
        try:
            tables.decode_witnessed(claim, row)
        except StoreError as error:
            problems.append(Problem(key.hex()[64:76], error.message))
    return problems


def _contested(claims: Iterable[Claim]) -> set[tuple[bytes, bytes]]:
    """What the table of outputs with more than one result has to hold."""
    results: dict[bytes, set[bytes]] = {}
    for claim in claims:
        results.setdefault(tables.contested_key(claim.resolved, claim.output), set()).add(claim.object)
    return {(key, item) for key, items in results.items() if len(items) > 1 for item in items}


def _disk_problems(layout: Layout, infos: list[ObjectInfo], *, contents: bool) -> Broken:
    look = verify_object if contents else _look
    found = [(info, look(layout, info)) for info in infos]
    return [(info, problems) for info, problems in found if problems]


def _look(layout: Layout, info: ObjectInfo) -> list[Problem]:
    """What can be seen without reading an object."""
    base, where = info.path.base, str(info.path)
    problems = []
    if not os.path.lexists(f"{layout.store}/{base}"):
        problems.append(Problem(where, "it is registered but not there"))
    try:
        if read_meta(layout, base).info != info:
            problems.append(Problem(where, "its small file and the index contradict each other"))
    except StoreError as error:
        problems.append(Problem(where, error.message))
    return problems


def _missing_envelopes(layout: Layout, index: Environment) -> list[Problem]:
    def body(txn: Txn) -> list[tables.Witnessed]:
        return tables.witnessed(txn, [key for key, _ in txn.items(tables.CLAIMS)])

    try:
        found = index.view(body)
    except StoreError as error:
        return [Problem("claims", error.message)]
    return [
        Problem(item.witness.envelope.short, "the envelope of a witness made here is missing")
        for item in found
        if item.origin == "built" and not os.path.lexists(f"{layout.envelopes}/{item.witness.envelope.hex()}.json")
    ]
