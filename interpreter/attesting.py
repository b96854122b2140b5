"""Builtins about attestations: each takes outputs and gives a file, an envelope of one line; or checks one.

    attest/1      [kind, key, predicate, subject …]     a statement with this predicate, signed by the key
    provenance/1  [output]                              the envelope about the build that made the output
    sbom/1        [output, key]                         an SPDX document about the output (interpreter/sbom.py)
    verify/1      [output, attestation, policy]         the output itself, if the attestation of it is good

`key` is a secret's name, or empty for the key that signs builds here. The predicate is JSON in which an object with
the one key U+0000 stands for an output, by its path: a statement names outputs by their digests, so that it has an
in-toto resource descriptor in that place. The policy is JSON:

    {"keys": ["ed25519:…"], "kind": null, "threshold": 1}

A secret that signs holds an Ed25519 key: its 32 bytes in base64url, or a file of Kiln's secret keys, of which the
active one signs (`kiln key new`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from blake3 import blake3

from kiln.interpreter.derivation import Derivation, SourceObject, Template, render
from kiln.interpreter.errors import RealiseError
from kiln.interpreter.evidence import content_at, content_of
from kiln.interpreter.workshop import Workshop
from kiln.store.digest import BlobDigest
from kiln.store.errors import StoreError
from kiln.store.info import ObjectInfo
from kiln.store.paths import STORE_DIR
from kiln.store.provenance import dsse
from kiln.store.provenance.keys import PublicKey, SecretKey, Signer, from_base64url
from kiln.store.provenance.statement import (
    PAYLOAD_TYPE,
    Content,
    Descriptor,
    DigestSet,
    Statement,
    make_statement,
    parse_statement,
    sign_statement,
)

OUTPUT_MARK = "\0"
"""The key of an object that stands for an output: no Str of Kiln holds this character."""


class NotAttested(RealiseError):
    """An attestation that can't be made."""

    code = "K0462"


class NotVerified(RealiseError):
    """An attestation that isn't good, or doesn't say what the policy wants."""

    code = "K0463"


class Named(NamedTuple):
    """An output as an argument names it: the object, the path that is shown for it, and where that lies."""

    info: ObjectInfo
    shown: str
    physical: str

    @property
    def whole(self) -> bool:
        return self.shown == str(self.info.path)


def run_attesting(workshop: Workshop, drv: Derivation, name: str, args: tuple[Template, ...]) -> ObjectInfo | None:
    """What the builtin `name`, version 1, makes; None if there is none of this name with so many arguments."""
    match name, args:
        case "attest", (_, _, _, _, *_):
            return run_attest(workshop, drv, args)
        case "provenance", (_,):
            return run_provenance(workshop, drv, args)
        case "sbom", (_, _):
            return run_sbom(workshop, drv, args)
        case "verify", (_, _, _):
            return run_verify(workshop, drv, args)
        case _:
            return None


def run_attest(workshop: Workshop, drv: Derivation, args: tuple[Template, ...]) -> ObjectInfo:
    """Raises NotAttested, SecretMissing, StoreError."""
    kind, key, predicate, *subjects = args
    named = [_named(workshop, drv, subject) for subject in subjects]
    said = _predicate(workshop, drv, render(predicate, drv, {}))
    about = {item.shown: _descriptor(workshop, item) for item in named}
    signer = _signer(workshop, drv, render(key, drv, {}))
    data = sign_statement(make_statement(list(about.values()), render(kind, drv, {}), said), signer)
    return _write(workshop, drv, data, keeps=True)


def run_provenance(workshop: Workshop, drv: Derivation, args: tuple[Template, ...]) -> ObjectInfo:
    """Raises NotAttested, StoreError."""
    item = _named(workshop, drv, args[0])
    envelope = workshop.ledger.producer(item.info.id)
    if envelope is None:
        raise NotAttested(f"nothing here says how {item.shown} was made", found="an object without an envelope")
    return _write(workshop, drv, workshop.store.envelope(envelope), keeps=False)


def run_sbom(workshop: Workshop, drv: Derivation, args: tuple[Template, ...]) -> ObjectInfo:
    """Raises NotAttested, SecretMissing, StoreError."""
    from kiln.interpreter.sbom import SPDX, document

    item = _named(workshop, drv, args[0])
    signer = _signer(workshop, drv, render(args[1], drv, {}))
    statement = make_statement([_descriptor(workshop, item)], SPDX, document(workshop, item.info))
    return _write(workshop, drv, sign_statement(statement, signer), keeps=False)


def run_verify(workshop: Workshop, drv: Derivation, args: tuple[Template, ...]) -> ObjectInfo:
    """The output itself: no byte is copied. Raises NotVerified, StoreError."""
    out, attestation, policy = args
    item, rules = _named(workshop, drv, out), json.loads(render(policy, drv, {}))
    with open(_named(workshop, drv, attestation).physical, "rb") as file:
        data = file.read(dsse.MAX_ENVELOPE + 1)
    statement = _signed_by(data, rules, item.shown)
    if rules["kind"] not in (None, statement.predicate_type):
        raise _unverified(item.shown, "its attestation says something else", rules["kind"], statement.predicate_type)
    digests = DigestSet.of(_content(workshop, item))
    if not any(subject.digest.difference(digests) is None for subject in statement.subjects):
        names = ", ".join(str(subject.name) for subject in statement.subjects[:3])
        raise _unverified(item.shown, "its attestation is about something else", item.shown, names)
    return item.info


def _signed_by(data: bytes, rules: Mapping[str, Any], shown: str) -> Statement:
    """What enough of the policy's keys have signed."""
    keys = [PublicKey.parse(text) for text in rules["keys"]]
    try:
        verified = dsse.verify(dsse.parse(data), {key.keyid: key for key in keys})
        if verified.payload_type != PAYLOAD_TYPE:
            raise _unverified(shown, "what is signed is no statement", PAYLOAD_TYPE, verified.payload_type)
        statement = parse_statement(verified.payload)
    except StoreError as error:
        raise _unverified(shown, error.message, error.expected, error.found) from error
    if len(verified.keyids) < rules["threshold"]:
        wanted = f"signatures by {rules['threshold']} of the policy's keys"
        raise _unverified(shown, "too few have signed its attestation", wanted, f"{len(verified.keyids)}")
    return statement


def _unverified(shown: str, message: str, expected: str | None, found: str | None) -> NotVerified:
    return NotVerified(f"{shown} can't be used: {message}", expected=expected, found=found)


# ---- arguments ------------------------------------------------------------------------------------


def _named(workshop: Workshop, drv: Derivation, template: Template) -> Named:
    """The output that an argument names, which is an input. Links on the way are not followed."""
    shown = render(template, drv, {})
    base, _, sub = shown.removeprefix(STORE_DIR + "/").partition("/")
    info = _inputs(workshop, drv).get(base)
    if info is None:
        raise NotAttested(f"{drv.name} names a file that is not among its inputs", found=shown)
    physical = workshop.store.physical(info.path)
    for part in sub.split("/") if sub else ():
        physical = os.path.join(physical, part)
        if os.path.islink(physical) or not os.path.lexists(physical):
            raise NotAttested(
                f"{shown} can't be spoken of", expected="a file or a folder of the output",
                found="a link" if os.path.islink(physical) else "nothing of this name",
            )  # fmt: skip
    return Named(info, shown, physical)


def _inputs(workshop: Workshop, drv: Derivation) -> dict[str, ObjectInfo]:
    infos = workshop.store.infos(item.id for item in drv.inputs if isinstance(item, SourceObject))
    return {info.path.base: info for info in infos.values()}


def _content(workshop: Workshop, item: Named) -> Content:
    if item.whole:
        return content_of(workshop, item.info)
    if not os.path.isdir(item.physical):
        return content_at(item.physical)
    from kiln.store.archive import tar_pieces

    sha256, plain = hashlib.sha256(), blake3()
    for piece in tar_pieces(item.physical):
        sha256.update(piece)
        plain.update(piece)
    return Content(sha256.digest(), BlobDigest(plain.digest()))


def _descriptor(workshop: Workshop, item: Named) -> Descriptor:
    content = _content(workshop, item)
    if item.whole:
        return Descriptor(name=item.shown, digest=DigestSet.of(content, object_id=item.info.id, root=item.info.root))
    return Descriptor(name=item.shown, digest=DigestSet.of(content))


def _predicate(workshop: Workshop, drv: Derivation, text: str) -> dict[str, Any]:
    """The predicate, with a descriptor in the place of each output."""
    try:
        read = json.loads(text)
    except RecursionError:
        raise NotAttested(f"the predicate of {drv.name} is nested too deeply", expected="at most 64 levels") from None
    top = {"": read}
    pending: list[Any] = [top]
    while pending:
        holder = pending.pop()
        for key, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
            if isinstance(value, dict) and value.keys() == {OUTPUT_MARK}:
                named = _named(workshop, drv, (value[OUTPUT_MARK],))
                holder[key] = _descriptor(workshop, named).to_json()
            elif isinstance(value, dict | list):
                pending.append(value)
    return read if isinstance(read, dict) else {}


def _signer(workshop: Workshop, drv: Derivation, name: str) -> Signer:
    """Raises SecretMissing, NotAttested."""
    if not name:
        return workshop.signer
    value = workshop.secret(name, drv.name).data
    try:
        return _key(value.decode("ascii"), name)
    except (StoreError, UnicodeDecodeError):
        raise NotAttested(
            f"the secret `{name}` holds no key that can sign",
            expected="the 32 bytes of an Ed25519 key in base64url, or a file of Kiln's secret keys",
            found="something else (not shown)",
            help="`kiln key new` prints a new one",
        ) from None


def _key(text: str, name: str) -> SecretKey:
    if text.startswith("kiln-secret-keys"):
        from kiln.store.provenance.keyfile import parse_keys

        return parse_keys(text, f"the secret {name}").signer()
    return SecretKey.of(from_base64url(text))


def _write(workshop: Workshop, drv: Derivation, data: bytes, *, keeps: bool) -> ObjectInfo:
    """The file in the store; with `keeps` it keeps what it speaks of alive."""
    path = os.path.join(workshop.store.new_temp("attest"), "file")
    with open(path, "xb") as file:
        file.write(data)
    os.chmod(path, 0o444)
    references = [item.id for item in drv.inputs if isinstance(item, SourceObject)] if keeps else []
    return workshop.store.add_object(path, drv.name, references=references, move=True)
