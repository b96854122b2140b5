"""Recipes as provenance shows them: the canonical bytes, and the same as JSON for people and other tools.

A template is a list of strings and of `{"input": place}` and `{"output": name}`. The JSON is a function of the
bytes (`decode_recipe`), so that a verifier can hold the two against each other; only the bytes are hashed.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgpack

from kiln.interpreter.derivation import (
    Builtin,
    Derivation,
    DrvOutput,
    Fixed,
    InputRef,
    NotCanonical,
    OutputRef,
    Program,
    SourceObject,
    Template,
    decode,
    encode,
    encode_fixed,
)
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import Recipe, RecipeForm
from kiln.store.provenance.verify import DecodedRecipe

Json: TypeAlias = Any


def recipe_of(made: Derivation | Fixed) -> Recipe:
    """What a statement holds of a resolved derivation or a fixed file."""
    if isinstance(made, Fixed):
        return Recipe(RecipeForm.FIXED, encode_fixed(made), fixed_json(made))
    return Recipe(RecipeForm.DERIVATION, encode(made), derivation_json(made))


def decode_recipe(form: RecipeForm, encoded: bytes) -> DecodedRecipe:
    """What canonical bytes say, for a verifier. Raises NotCanonical."""
    made = read_recipe(form, encoded)
    data = recipe_of(made).data
    if isinstance(made, Fixed):
        return DecodedRecipe(data, frozenset(), frozenset({OutputName("out")}))
    inputs = frozenset(item.id for item in made.inputs if isinstance(item, SourceObject))
    return DecodedRecipe(data, inputs, frozenset(spec.name for spec in made.outputs))


def read_recipe(form: RecipeForm, encoded: bytes) -> Derivation | Fixed:
    """Canonical bytes as what they stand for. Raises NotCanonical."""
    return decode(encoded) if form is RecipeForm.DERIVATION else decode_fixed(encoded)


def decode_fixed(encoded: bytes) -> Fixed:
    """Read the canonical bytes of a fixed file. Raises NotCanonical."""
    try:
        match msgpack.unpackb(encoded):
            case [1, str(name), bool(executable), ("blake3" | "sha256") as algorithm, bytes(value)] if (
                len(value) == 32
            ):
                fixed = Fixed(name, executable, algorithm, value)
            case _:
                raise NotCanonical("not a fixed file of version 1")
    except (ValueError, msgpack.UnpackException) as error:
        raise NotCanonical(f"not a fixed file: {error}") from error
    if encode_fixed(fixed) != encoded:
        raise NotCanonical("a fixed file that is not in canonical form")
    return fixed


def fixed_json(fixed: Fixed) -> dict[str, Json]:
    return {
        "name": fixed.name,
        "executable": fixed.executable,
        "digest": {fixed.algorithm: fixed.value.hex()},
    }


def derivation_json(drv: Derivation) -> dict[str, Json]:
    """A derivation for people, resolved or not."""

    def shown(template: Template) -> list[Json]:
        return [_part(part, drv) for part in template]

    match drv.builder:
        case Program(program, args):
            builder: dict[str, Json] = {"program": shown(program), "args": [shown(item) for item in args]}
        case Builtin(name, version, args):
            builder = {"builtin": name, "version": version, "args": [shown(item) for item in args]}
    return {
        "name": drv.name,
        "system": drv.system,
        "builder": builder,
        "env": {key: shown(value) for key, value in drv.env},
        "inputs": [_input(item) for item in drv.inputs],
        "outputs": [
            {"name": str(spec.name), "kind": spec.kind, "selfReferences": spec.self_refs == 0} for spec in drv.outputs
        ],
        "sandbox": {"epoch": drv.sandbox.epoch, "profile": drv.sandbox.profile},
        "links": {key: shown(value) for key, value in drv.links},
        "secrets": list(drv.secrets),
    }


def _part(part: str | InputRef | OutputRef, drv: Derivation) -> Json:
    match part:
        case str():
            return part
        case InputRef(place):
            return {"input": place}
        case OutputRef(place):
            return {"output": str(drv.outputs[place].name)}


def _input(item: DrvOutput | SourceObject) -> Json:
    match item:
        case DrvOutput(drv, output):
            return {"derivation": str(drv), "output": str(output)}
        case SourceObject(object_id, _):
            return {"object": str(object_id), "path": str(item.path)}
