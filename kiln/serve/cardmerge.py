"""The card in force and the one that came, as one: what belongs to keys that are known here, and nothing else.

Who uploads must have a key that the server trusts. A rotation or a revocation says something of keys: it is taken if
one of them is trusted here, was (revoked, expired), or is tied to one that is by the rotations that came, each of
which both keys have signed. Anybody can make keys and have them say things of themselves; such items would fill the
card until no reader could read it.
"""

from __future__ import annotations

from kiln.serve.names import CARD
from kiln.serve.refusal import Refused
from kiln.store.cache.card import Card, decode_card, encode_card, make_card
from kiln.store.errors import StoreError
from kiln.store.provenance.trust import Policy


def merge_cards(old: Card | None, came: Card, policy: Policy) -> Card:
    """The card to write. Raises Refused, StoreError."""
    if old is not None and old.name != came.name:
        raise _refused(f"this cache is called {old.name}, not {came.name}")
    for uploader in came.uploaders:
        if uploader.cache != came.name:
            raise _refused(f"an uploader's entry for the cache {uploader.cache}, not {came.name}")
        if uploader.key.keyid not in policy.by_id and (old is None or old.uploader(uploader.key.keyid) is None):
            message = f"an uploader's key that this server does not trust: {uploader.key.keyid}"
            raise Refused("signature", message, status=422, path=CARD)
    _check_known(old, came, policy)
    merged = make_card(came.name, came.envelopes | (old.envelopes if old is not None else frozenset()))
    try:
        return decode_card(encode_card(merged))
    except StoreError as error:
        raise _refused(f"there is no room for it on this cache's card: {error.message}") from None


def _check_known(old: Card | None, came: Card, policy: Policy) -> None:
    """Rotations and revocations are of known keys, or on the card already."""
    known = set(policy.by_id) | set(policy.barred)
    left = list(came.rotations)
    while tied := [item for item in left if {item.old.keyid, item.new.keyid} & known]:
        known.update(key.keyid for item in tied for key in (item.old, item.new))
        left = [item for item in left if item not in tied]
    had = (set(old.rotations), set(old.revocations)) if old is not None else (set(), set())
    strange = [item.old.keyid for item in left if item not in had[0]]
    strange += [item.key.keyid for item in came.revocations if item.key.keyid not in known and item not in had[1]]
    if strange:
        message = f"a rotation or revocation of a key that this server does not know: {min(strange)}"
        raise Refused("signature", message, status=422, path=CARD)


def _refused(message: str) -> Refused:
    return Refused("card", message, status=422, path=CARD)
