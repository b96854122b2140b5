"""A cache's card, `kiln-cache.json`: what it is called, and who uploads to it. It decides no trust.

    {"name":"team","revocations":[…],"rotations":[…],"schema":"kiln.cache/1","uploaders":[…]}

is canonical JSON and a newline. Each item of the lists is a DSSE envelope (an object, as in its own file), which its
own key has signed, so that whoever can write the card can leave out or bring back, but not invent. Payloads are
canonical JSON:

    application/vnd.kiln.cache-uploader+json, signed by `key`
        {"cache":"team","key":"ed25519:…","made":"2026-11-21T08:30:00Z","name":"ci","schema":"kiln.cache-uploader/1"}
    application/vnd.kiln.key-rotation+json, signed by the keys `from` *and* `to`
        {"from":"ed25519:…","made":"…","schema":"kiln.key-rotation/1","to":"ed25519:…"}
    application/vnd.kiln.key-revocation+json, signed by `key`
        {"key":"ed25519:…","made":"…","reason":"the laptop was stolen","schema":"kiln.key-revocation/1"}

An uploader's head lies at `heads/<key id>.json`. A rotation says that `to` speaks for whom `from` spoke; the first
signature is the old holder's will, the second shows that the new key is somebody's. A revocation stands for good
and takes effect whoever shows it. Items are sorted by their envelopes' bytes; the card holds each once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from kiln.store.cache.head import check_cache_name
from kiln.store.errors import BadEnvelope
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import BadKey
from kiln.store.provenance.fields import Fields, format_time
from kiln.store.provenance.keys import PublicKey, Signer
from kiln.store.provenance.plainjson import Json, canonical, read_json

CARD_PATH = "kiln-cache.json"
SCHEMA = "kiln.cache/1"
MAX_CARD = 1 << 20
MAX_UPLOADERS = 256
UPLOADER_TYPE = "application/vnd.kiln.cache-uploader+json"
ROTATION_TYPE = "application/vnd.kiln.key-rotation+json"
REVOCATION_TYPE = "application/vnd.kiln.key-revocation+json"
_MAX_ITEM = 16 * 1024
T = TypeVar("T")


class Uploader(NamedTuple):
    """Who uploads to a cache, in his own words; `made` is seconds since 1970."""

    cache: str
    key: PublicKey
    name: str
    made: int


class Rotation(NamedTuple):
    """`new` speaks from now on for whom `old` spoke."""

    old: PublicKey
    new: PublicKey
    made: int


class Revocation(NamedTuple):
    """Nothing that `key` says is to be believed any more."""

    key: PublicKey
    made: int
    reason: str


class Card(NamedTuple):
    """Every item's own signature has been verified. `envelopes` are the items as they came."""

    name: str
    uploaders: tuple[Uploader, ...] = ()
    rotations: tuple[Rotation, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    envelopes: frozenset[bytes] = frozenset()

    def uploader(self, keyid: str) -> Uploader | None:
        """The latest that a key says of itself."""
        mine = [item for item in self.uploaders if item.key.keyid == keyid]
        return max(mine, key=lambda item: item.made, default=None)


def sign_uploader(uploader: Uploader, signer: Signer) -> bytes:
    """The envelope of an uploader's entry; the key must be the signer's."""
    fields = {
        "schema": "kiln.cache-uploader/1",
        "cache": uploader.cache,
        "key": str(uploader.key),
        "name": uploader.name,
        "made": format_time(uploader.made),
    }
    return dsse.emit(dsse.sign(canonical(fields), UPLOADER_TYPE, signer))


def sign_rotation(rotation: Rotation, old: Signer, new: Signer) -> bytes:
    """The envelope of a rotation, with both signatures."""
    fields = {
        "schema": "kiln.key-rotation/1",
        "from": str(rotation.old),
        "to": str(rotation.new),
        "made": format_time(rotation.made),
    }
    one, two = (dsse.sign(canonical(fields), ROTATION_TYPE, signer) for signer in (old, new))
    return dsse.emit(dsse.Envelope(one.payload, one.payload_type, one.signatures + two.signatures))


def sign_revocation(revocation: Revocation, signer: Signer) -> bytes:
    """The envelope of a revocation; the key must be the signer's."""
    fields = {
        "schema": "kiln.key-revocation/1",
        "key": str(revocation.key),
        "made": format_time(revocation.made),
        "reason": revocation.reason,
    }
    return dsse.emit(dsse.sign(canonical(fields), REVOCATION_TYPE, signer))


def open_uploader(data: bytes) -> Uploader:
    """An entry that its own key has signed. Raises BadEnvelope, BadSignature."""
    return _open(data, UPLOADER_TYPE, _read_uploader, lambda item: (item.key,))


def open_rotation(data: bytes) -> Rotation:
    """A rotation that both its keys have signed. Raises BadEnvelope, BadSignature."""
    return _open(data, ROTATION_TYPE, _read_rotation, lambda item: (item.old, item.new))


def open_revocation(data: bytes) -> Revocation:
    """A revocation that its own key has signed. Raises BadEnvelope, BadSignature."""
    return _open(data, REVOCATION_TYPE, _read_revocation, lambda item: (item.key,))


def make_card(name: str, envelopes: frozenset[bytes]) -> Card:
    """A card of these envelopes. Raises BadEnvelope, BadSignature for one that is none of ours."""
    found: dict[str, list[bytes]] = {UPLOADER_TYPE: [], ROTATION_TYPE: [], REVOCATION_TYPE: []}
    for data in sorted(envelopes):
        kind = dsse.parse(data).payload_type
        if kind not in found:
            raise BadEnvelope("an item of a cache's card of no known kind", found=repr(kind[:80]))
        found[kind].append(data)
    return Card(
        check_cache_name(name),
        tuple(map(open_uploader, found[UPLOADER_TYPE])),
        tuple(map(open_rotation, found[ROTATION_TYPE])),
        tuple(map(open_revocation, found[REVOCATION_TYPE])),
        envelopes,
    )


def encode_card(card: Card) -> bytes:
    lists: dict[str, list[Json]] = {UPLOADER_TYPE: [], ROTATION_TYPE: [], REVOCATION_TYPE: []}
    for data in sorted(card.envelopes):
        lists[dsse.parse(data).payload_type].append(read_json(data, "an item of a cache's card", _MAX_ITEM))
    form = {
        "schema": SCHEMA,
        "name": card.name,
        "uploaders": lists[UPLOADER_TYPE],
        "rotations": lists[ROTATION_TYPE],
        "revocations": lists[REVOCATION_TYPE],
    }
    return canonical(form) + b"\n"


def decode_card(data: bytes) -> Card:
    """Read a card and verify every item by its own key. Raises BadEnvelope, BadSignature."""
    fields = Fields(read_json(data, "a cache's card", MAX_CARD), "card")
    if fields.text("schema") != SCHEMA:
        raise BadEnvelope("a cache's card of another version", expected=SCHEMA)
    name = fields.text("name")
    lists = {kind: fields.items(field, _envelope, limit=MAX_UPLOADERS) for kind, field in _LISTS.items()}
    fields.done()
    for kind, items in lists.items():
        if any(dsse.parse(item).payload_type != kind for item in items):
            raise BadEnvelope("an item of a cache's card in another's place", expected=kind)
    card = make_card(name, frozenset(item for items in lists.values() for item in items))
    if encode_card(card) != data:
        raise BadEnvelope("a cache's card that is not in canonical form")
    return card


_LISTS = {UPLOADER_TYPE: "uploaders", ROTATION_TYPE: "rotations", REVOCATION_TYPE: "revocations"}


def _envelope(value: Json, where: str) -> bytes:
    data = canonical(value) + b"\n"
    if len(data) > _MAX_ITEM:
        raise BadEnvelope(f"{where} is too large", expected=f"at most {_MAX_ITEM} bytes")
    if dsse.emit(dsse.parse(data)) != data:
        raise BadEnvelope(f"{where} is not in canonical form")
    return data


def _open(data: bytes, kind: str, read: Callable[[Fields], T], signers: Callable[[T], tuple[PublicKey, ...]]) -> T:
    """What an envelope says, if each key that it must be signed by has signed it."""
    envelope = dsse.parse(data)
    if envelope.payload_type != kind:
        raise BadEnvelope("an envelope of another kind", expected=kind, found=repr(envelope.payload_type[:80]))
    fields = Fields(read_json(envelope.payload, "a statement about a key", _MAX_ITEM), "statement")
    item = read(fields)
    fields.done()
    for key in signers(item):
        only: Mapping[str, PublicKey] = {key.keyid: key}
        dsse.verify(envelope, only)
    return item


def _read_uploader(fields: Fields) -> Uploader:
    _schema(fields, "kiln.cache-uploader/1")
    return Uploader(
        check_cache_name(fields.text("cache")), _key(fields, "key"), _line(fields, "name", 64), fields.time("made")
    )


def _read_rotation(fields: Fields) -> Rotation:
    _schema(fields, "kiln.key-rotation/1")
    rotation = Rotation(_key(fields, "from"), _key(fields, "to"), fields.time("made"))
    if rotation.old == rotation.new:
        fields.refuse("another key", str(rotation.new), "to")
    return rotation


def _read_revocation(fields: Fields) -> Revocation:
    _schema(fields, "kiln.key-revocation/1")
    return Revocation(_key(fields, "key"), fields.time("made"), _line(fields, "reason", 200))


def _schema(fields: Fields, wanted: str) -> None:
    if (found := fields.text("schema")) != wanted:
        fields.refuse(wanted, found, "schema")


def _key(fields: Fields, name: str) -> PublicKey:
    text = fields.text(name)
    try:
        return PublicKey.parse(text)
    except BadKey:
        fields.refuse("ed25519: and 43 characters of base64url", text, name)


def _line(fields: Fields, name: str, limit: int) -> str:
    text = fields.text(name)
    if len(text) > limit or not text.isprintable():
        fields.refuse(f"one line of at most {limit} printable characters", text, name)
    return text
