"""Rotation and revocation: what a key says of itself, who must have signed it, and what follows from it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kiln.store.provenance import dsse
from kiln.store.provenance.errors import BadSuccession
from kiln.store.provenance.keychange import load_successions, revoke, rotate
from kiln.store.provenance.keyfile import open_keys
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.plainjson import canonical
from kiln.store.provenance.succession import (
    REVOCATION_TYPE,
    ROTATION_TYPE,
    Revocation,
    Rotation,
    check_rotation,
    read_succession,
    sign_revocation,
    sign_rotation,
    succeed,
)
from kiln.store.provenance.trust import Policy, TrustedKey
from kiln.store.provenance.trustedit import adding, change

OLD, NEW, THIEF, NEXT = (SecretKey.of(bytes([number]) * 32) for number in (1, 2, 3, 4))
WHEN = "2026-11-21T08:30:00Z"
TODAY = "2026-11-21"
LINE = TrustedKey(OLD.public_key, "ci", caches=frozenset({"team"}), expires="2027-01-01")


def rotation(old=OLD, new=NEW):
    found = read_succession(sign_rotation(old, new, WHEN))
    assert isinstance(found, Rotation)
    return found


def revocation(key=OLD):
    found = read_succession(sign_revocation(key, WHEN, "lost"))
    assert isinstance(found, Revocation)
    return found


def policy(*lines):
    return Policy.of(lines or [LINE], today=TODAY)


def test_both_are_read_back():
    assert rotation() == Rotation(OLD.public_key, NEW.public_key, WHEN)
    assert revocation() == Revocation(OLD.public_key, WHEN, "lost")
    assert sign_rotation(OLD, NEW, WHEN).count(b"\n") == 1


def signed(payload, kind, *keys):
    data = canonical(payload) if isinstance(payload, dict) else payload
    made = [dsse.sign(data, kind, key) for key in keys]
    return dsse.emit(dsse.Envelope(data, kind, tuple(item for one in made for item in one.signatures)))


FIELDS = {"schema": "kiln.rotation/1", "old": str(OLD.public_key), "new": str(NEW.public_key), "made": WHEN}
GONE = {"schema": "kiln.revocation/1", "key": str(OLD.public_key), "made": WHEN, "reason": ""}


@pytest.mark.parametrize(
    "data",
    [
        signed(FIELDS, ROTATION_TYPE, NEW),
        signed(FIELDS, ROTATION_TYPE, OLD),
        signed(FIELDS, ROTATION_TYPE, OLD, THIEF),
        signed(FIELDS, REVOCATION_TYPE, OLD, NEW),
        signed(FIELDS, "application/json", OLD, NEW),
        signed({**FIELDS, "more": 1}, ROTATION_TYPE, OLD, NEW),
        signed({**FIELDS, "made": "yesterday"}, ROTATION_TYPE, OLD, NEW),
        signed({**FIELDS, "new": FIELDS["old"]}, ROTATION_TYPE, OLD),
        signed({**FIELDS, "new": "ed25519:AAAA"}, ROTATION_TYPE, OLD, NEW),
        signed({**FIELDS, "schema": "kiln.rotation/2"}, ROTATION_TYPE, OLD, NEW),
        signed(b"[]", ROTATION_TYPE, OLD, NEW),
        signed(b"{", ROTATION_TYPE, OLD, NEW),
        signed(GONE, REVOCATION_TYPE, THIEF),
        signed({**GONE, "reason": "x" * 201}, REVOCATION_TYPE, OLD),
        signed({**GONE, "reason": "x" * 9000}, REVOCATION_TYPE, OLD),
        sign_rotation(OLD, NEW, WHEN).replace(b'"sig":"', b'"sig":"AAAA'),
        b"",
        b"{}\n",
    ],
)
def test_another_form_or_a_missing_signature_is_refused(data):
    with pytest.raises(BadSuccession) as caught:
        read_succession(data)
    assert caught.value.code == "K0660"


def test_the_successor_is_trusted_as_the_old_key_is():
    found = succeed(policy(), [rotation()], [])
    heir = found.by_id[NEW.keyid]
    assert (heir.name, heir.caches, heir.expires, heir.run_by) == ("ci", LINE.caches, LINE.expires, LINE.run_by)
    assert heir.succeeds == OLD.keyid and OLD.keyid in found.by_id
    assert NEXT.keyid in succeed(policy(), [rotation(), rotation(NEW, NEXT)], []).by_id


def test_a_stranger_names_nobody():
    assert succeed(policy(), [rotation(THIEF, NEW)], []).by_id.keys() == {OLD.keyid}
    assert not check_rotation(policy(), [], rotation(THIEF, NEW))


def test_a_revocation_holds_and_leaves_the_successor():
    found = succeed(policy(), [rotation()], [revocation()])
    assert found.by_id.keys() == {NEW.keyid} and found.barred[OLD.keyid].revoked == TODAY


def test_an_own_key_can_revoke_itself():
    mine = Policy.of(own=[OLD.public_key, NEW.public_key], today=TODAY)
    found = succeed(mine, [], [revocation()])
    assert found.own == {NEW.keyid} and OLD.keyid in found.barred


@pytest.mark.parametrize("line", [{"revoked": "2026-01-01"}, {"expires": "2026-01-01"}])
def test_a_key_that_does_not_count_names_no_successor(line):
    barred = policy(TrustedKey(OLD.public_key, "ci", **line))
    assert not succeed(barred, [rotation()], []).by_id
    with pytest.raises(BadSuccession, match="counts no longer"):
        check_rotation(barred, [], rotation())


def test_a_second_successor_is_refused():
    assert check_rotation(policy(), [], rotation())
    with pytest.raises(BadSuccession, match="different successors"):
        check_rotation(policy(), [rotation()], rotation(OLD, THIEF))


def test_a_line_that_revokes_the_successor_wins():
    gone = TrustedKey(NEW.public_key, "bad", revoked="2026-11-20")
    assert NEW.keyid not in succeed(policy(LINE, gone), [rotation()], []).by_id


def test_rotating_the_own_key(tmp_path):
    path = str(tmp_path / "keys" / "builder.key")
    first = open_keys(path).public_keys[0]
    ring = rotate(path).ring
    again = rotate(path).ring
    assert ring.public_keys[1:] == (first,) and again.public_keys[1:] == ring.public_keys
    assert open_keys(path) == again and os.stat(path).st_mode & 0o777 == 0o600
    found = [read_succession(line) for line in load_successions(path)]
    assert [(item.old, item.new) for item in found] == [
        (first, ring.public_keys[0]), (ring.public_keys[0], again.public_keys[0])
    ]  # fmt: skip
    assert again.signer().public_key == again.public_keys[0]


def test_a_rotation_that_was_not_signed_is_signed_by_the_next(tmp_path):
    path = str(tmp_path / "keys" / "builder.key")
    rotate(path)
    os.unlink(tmp_path / "keys" / "successions")  # as if the process had died between the key and its rotation
    assert len(rotate(path).signed) == 2


def test_only_a_retired_key_is_revoked(tmp_path):
    path = str(tmp_path / "keys" / "builder.key")
    old = rotate(path).ring.public_keys[1]
    for keyid in (open_keys(path).active.public_key.keyid, "f" * 64):
        with pytest.raises(BadSuccession, match="only a key of this builder"):
            revoke(path, keyid, "")
    found = read_succession(revoke(path, old.keyid, "stolen"))
    assert isinstance(found, Revocation) and found.key == old
    assert len(load_successions(path)) == 2 and len(rotate(path).signed) == 1


def test_many_commands_change_the_trusted_keys_at_once(tmp_path):
    """None loses another's line: this was a race once."""
    path = str(tmp_path / "trusted-keys")
    program = (
        "import sys\n"
        "from kiln.store.provenance.keys import SecretKey\n"
        "from kiln.store.provenance.trust import TrustedKey\n"
        "from kiln.store.provenance.trustedit import adding, change\n"
        "for n in range(5):\n"
        "    key = SecretKey.of(bytes([int(sys.argv[2]), n]) * 16).public_key\n"
        "    change(sys.argv[1], adding(TrustedKey(key, f'key-{sys.argv[2]}-{n}')))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, path, str(number)]) for number in range(1, 5)]
    assert [process.wait() for process in running] == [0] * 4
    change(path, adding(TrustedKey(SecretKey.of(bytes([9]) * 32).public_key, "last")))
    with open(path) as file:
        assert len([line for line in file if not line.startswith("#")]) == 21
