"""Builders that are part of Kiln: `unpack` and `write`, each with its version in the derivation's digest.

    unpack/1  [archive, "strip=N"]            the archive's tree, without its N outermost folders
    write/1   [text, "executable=0|1"]        a file that holds the text, references and all
    attest/1, provenance/1, sbom/1, verify/1  about attestations: attesting.py

They read verified objects and write into the store's own folder; a builtin that this version doesn't have is an
error, never a guess.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping

from kiln.interpreter.derivation import Builtin, Derivation, SourceObject, Template, render
from kiln.interpreter.errors import RealiseError
from kiln.interpreter.events import Warned
from kiln.interpreter.workshop import Workshop
from kiln.store.info import ObjectInfo
from kiln.store.paths import STORE_DIR

_LINKS = 40
"""How many links may stand on one way, as in Linux."""


class UnknownBuiltin(RealiseError):
    """A derivation of another version of Kiln."""

    code = "K0455"


def run_builtin(workshop: Workshop, drv: Derivation) -> ObjectInfo:
    """Make the one output of a resolved derivation with a builtin. Raises UnknownBuiltin, UnpackError, StoreError."""
    match drv.builder:
        case Builtin("unpack", 1, (archive, option)):
            return _unpack(workshop, drv, archive, _number(drv, option, "strip"))
        case Builtin("write", 1, (text, option)):
            return _write(workshop, drv, text, executable=_number(drv, option, "executable") == 1)
        case Builtin(name, version, args):
            made = _attested(workshop, drv, name, args) if version == 1 else None
            if made is not None:
                return made
            raise UnknownBuiltin(
                f"{drv.name} wants the builtin {name}/{version}, which this version of Kiln doesn't have",
                expected="unpack/1, write/1, attest/1, provenance/1, sbom/1 or verify/1, with their arguments",
            )
        case _:
            raise AssertionError(drv.name)


def _attested(workshop: Workshop, drv: Derivation, name: str, args: tuple[Template, ...]) -> ObjectInfo | None:
    from kiln.interpreter.attesting import run_attesting  # most graphs attest nothing

    return run_attesting(workshop, drv, name, args)


def _unpack(workshop: Workshop, drv: Derivation, archive: Template, strip: int) -> ObjectInfo:
    from kiln.interpreter.fetch.unpack import unpack

    tree = os.path.join(workshop.store.new_temp("unpack"), "tree")
    for warning in unpack(_physical(workshop, drv, archive), tree, strip).warnings:
        workshop.emit(Warned(f"{drv.name}: {warning}"))
    return workshop.store.add_object(tree, drv.name, move=True)


def _write(workshop: Workshop, drv: Derivation, text: Template, *, executable: bool) -> ObjectInfo:
    path = os.path.join(workshop.store.new_temp("write"), "file")
    with open(path, "xb") as file:
        file.write(render(text, drv, {}).encode("utf-8"))
    os.chmod(path, 0o555 if executable else 0o444)
    references = [item.id for item in drv.inputs if isinstance(item, SourceObject)]
    return workshop.store.add_object(path, drv.name, references=references, move=True)


def _physical(workshop: Workshop, drv: Derivation, template: Template) -> str:
    """Where the file that a template names lies on this machine: an input, and a path below it.

    Links on the way are followed as a builder in the sandbox would see them, so that one that leads out of the
    inputs' closure reads nothing of this machine.
    """
    named = render(template, drv, {})
    inputs = workshop.store.closure(item.id for item in drv.inputs if isinstance(item, SourceObject))
    places = {info.path.base: workshop.store.physical(info.path) for info in inputs}
    logical = named
    for _ in range(_LINKS):
        found = _look(places, logical)
        if found is None:
            break
        physical, link = found
        if link is None:
            return physical
        logical = link
    raise RealiseError(
        f"{drv.name} names a file that is not among its inputs",
        expected="a file of an input, or a link to one",
        found=named if logical == named else f"{named}, which leads to {logical}",
    )


def _look(places: Mapping[str, str], logical: str) -> tuple[str, str | None] | None:
    """Where a logical path lies; or, of the first link on its way, what the path is with that link followed."""
    path = posixpath.normpath(logical)
    base, *below = path.removeprefix(STORE_DIR + "/").split("/")
    if not path.startswith(STORE_DIR + "/") or base not in places:
        return None
    here, shown = places[base], f"{STORE_DIR}/{base}"
    while True:
        if os.path.islink(here):
            return here, posixpath.join(posixpath.dirname(shown), os.readlink(here), *below)
        if not below:
            return here, None
        name = below.pop(0)
        here, shown = f"{here}/{name}", f"{shown}/{name}"


def _number(drv: Derivation, option: Template, name: str) -> int:
    text = render(option, drv, {})
    key, _, value = text.partition("=")
    if key != name or not value.isdecimal():
        raise UnknownBuiltin(
            f"{drv.name} has an option that this version doesn't know", found=text, expected=f"{name}=N"
        )
    return int(value)
