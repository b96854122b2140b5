"""Builders that are part of Kiln: `unpack` and `write`, each with its version in the derivation's digest.

    unpack/1  [archive, "strip=N"]            the archive's tree, without its N outermost folders
    write/1   [text, "executable=0|1"]        a file that holds the text, references and all

They read verified objects and write into the store's own folder; a builtin that this version doesn't have is an
error, never a guess.
"""

from __future__ import annotations

import os

from kiln.interpreter.derivation import Builtin, Derivation, SourceObject, Template, render
from kiln.interpreter.errors import RealiseError
from kiln.interpreter.events import Warned
from kiln.interpreter.workshop import Workshop
from kiln.store.info import ObjectInfo


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
        case Builtin(name, version, _):
            raise UnknownBuiltin(
                f"{drv.name} wants the builtin {name}/{version}, which this version of Kiln doesn't have",
                expected="unpack/1 or write/1, with their arguments",
            )
        case _:
            raise AssertionError(drv.name)


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
    """Where the file that a template names lies on this machine: an input, and a path below it."""
    logical = render(template, drv, {})
    for item in drv.inputs:
        assert isinstance(item, SourceObject)
        prefix = str(item.path)
        if logical == prefix or logical.startswith(prefix + "/"):
            return workshop.store.physical(item.path) + logical[len(prefix) :]
    raise RealiseError(f"{drv.name} names a file that is not among its inputs", found=logical)


def _number(drv: Derivation, option: Template, name: str) -> int:
    text = render(option, drv, {})
    key, _, value = text.partition("=")
    if key != name or not value.isdecimal():
        raise UnknownBuiltin(
            f"{drv.name} has an option that this version doesn't know", found=text, expected=f"{name}=N"
        )
    return int(value)
