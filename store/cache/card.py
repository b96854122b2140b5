"""A cache's card, `kiln-cache.json`: what it is called, and who uploads to it. It decides no trust.

    {"name":"team","revocations":[…],"rotations":[…],"schema":"kiln.cache/1","uploaders":[…]}

is canonical JSON and a newline. Each item of the lists is a DSSE envelope (an object, as in its own file), which its
own key has signed, so that whoever can write the card can leave out or bring back, but not invent. Rotations and
revocations are those of `store/provenance/succession.py`. An uploader's entry has the payload type
`application/vnd.kiln.cache-uploader+json` and is signed by `key`:

    {"cache":"team","key":"ed25519:…","made":"2026-11-21T08:30:00Z","name":"ci","schema":"kiln.cache-uploader/1"}

His head lies at `heads/<key id>.json`. In each list the items are sorted by their envelopes' bytes, each once.
"""

from __future__ import annotations

from typing import NamedTuple

from kiln.store.cache.head import check_cache_name
from kiln.store.errors import BadEnvelope
from kiln.store.provenance import dsse
from kiln.store.provenance.errors import BadKey
from kiln.store.provenance.fields import Fields, format_time
from kiln.store.provenance.keys import PublicKey, Signer
from kiln.store.provenance.plainjson import Json, canonical, read_json
from kiln.store.provenance.succession import (
    REVOCATION_TYPE,
    ROTATION_TYPE,
    Revocation,
    Rotation,
    read_succession,
)

CARD_PATH = "kiln-cache.json"
SCHEMA = "kiln.cache/1"
MAX_CARD = 1 << 20
MAX_UPLOADERS = 256
UPLOADER_TYPE = "application/vnd.kiln.cache-uploader+json"
_MAX_ITEM = 16 * 1024


class Uploader(NamedTuple):
    """Who uploads to a cache, in his own words; `made` is seconds since 1970."""

    cache: str
    key: PublicKey
    name: str
    made: int


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


def open_uploader(data: bytes) -> Uploader:
    """An entry that its own key has signed. Raises BadEnvelope, BadSignature."""
    envelope = dsse.parse(data)
    if envelope.payload_type != UPLOADER_TYPE:
        raise BadEnvelope("not an uploader's entry", expected=UPLOADER_TYPE, found=repr(envelope.payload_type[:80]))
    uploader = _read_uploader(Fields(read_json(envelope.payload, "an uploader's entry", _MAX_ITEM), "uploader"))
    dsse.verify(envelope, {uploader.key.keyid: uploader.key})
    return uploader


def make_card(name: str, envelopes: frozenset[bytes]) -> Card:
    """A card of these envelopes. Raises BadEnvelope, BadSignature, BadSuccession for one that is none of ours."""
    found: dict[str, list[bytes]] = {UPLOADER_TYPE: [], ROTATION_TYPE: [], REVOCATION_TYPE: []}
    for data in sorted(envelopes):
        kind = dsse.parse(data).payload_type
        if kind not in found:
            raise BadEnvelope("an item of a cache's card of no known kind", found=repr(kind[:80]))
        found[kind].append(data)
    rotations, revocations = (tuple(map(read_succession, found[kind])) for kind in (ROTATION_TYPE, REVOCATION_TYPE))
    return Card(
        check_cache_name(name),
        tuple(map(open_uploader, found[UPLOADER_TYPE])),
        tuple(item for item in rotations if isinstance(item, Rotation)),
        tuple(item for item in revocations if isinstance(item, Revocation)),
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
    """Read a card and verify every item by its own key. Raises BadEnvelope, BadSignature, BadSuccession."""
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


def _read_uploader(fields: Fields) -> Uploader:
    _schema(fields, "kiln.cache-uploader/1")
    cache, key = check_cache_name(fields.text("cache")), _key(fields, "key")
    uploader = Uploader(cache, key, _line(fields, "name", 64), fields.time("made"))
    fields.done()
    return uploader


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
