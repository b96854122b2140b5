"""The file of trusted keys: read back as written, and refused when a line is not what it must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from provenance_samples import BUILDER, STRANGER

from kiln.store.errors import NotInStore
from kiln.store.provenance.errors import BadTrustFile
from kiln.store.provenance.trust import (
    EVERYTHING,
    OWN,
    USUAL,
    Policy,
    Scope,
    TrustedKey,
    format_trusted,
    load_policy,
    load_trusted,
    parse_trusted,
    parse_trusted_file,
)
from kiln.store.provenance.trustedit import adding, change, removing, with_threshold

CI, OTHER = BUILDER.public_key, STRANGER.public_key
LINE = f"{CI.keyid} {CI} ci"


def test_lines_with_and_without_options() -> None:
    text = f"# ours\n\n{LINE} for=fetch,relaxed added=2026-11-21\n{OTHER.keyid}  {OTHER}\tteam@example.org\n"
    first, second = parse_trusted(text)
    assert first == TrustedKey(CI, "ci", frozenset({Scope.FETCH, Scope.RELAXED}), "2026-11-21")
    assert second == TrustedKey(OTHER, "team@example.org", USUAL)
    assert Scope.RELAXED not in USUAL
    assert parse_trusted(format_trusted([first, second])) == (first, second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "not a trusted key"),
        (f"{CI} ci", "not a trusted key"),
        (f"{CI.keyid} {CI}", "not a trusted key"),
        (f"{CI.keyid} {CI} -ci", "not a trusted key"),
        (f"{CI.keyid} {CI} {'n' * 65}", "not a trusted key"),
        (f"{CI.keyid[:-1]} {CI} ci", "not a key id"),
        (f"{CI.keyid} {str(CI)[:-1]} ci", "not 32 bytes"),
        (f"{CI.keyid} rsa:AAAA ci", "not a public key"),
        (f"{OTHER.keyid} {CI} ci", "not that of the key"),
        (f"{LINE} for=everything", "not what a key can be trusted for"),
        (f"{LINE} for=", "not what a key can be trusted for"),
        (f"{LINE} since=2027-01-01", "an option that this version does not know"),
        (f"{LINE} added=yesterday", "an option that this version does not know"),
        (f"{LINE} for=fetch for=relaxed", "an option that this version does not know"),
        (f"{LINE} trusted", "an option that this version does not know"),
        (f"{LINE} expires=2026-02-30", "an option that this version does not know"),
        (f"{LINE} expires=never", "an option that this version does not know"),
        (f"{LINE} expires=2026-11-21 expires=2027-11-21", "an option that this version does not know"),
        (f"{LINE} revoked=", "an option that this version does not know"),
        (f"{LINE} revoked", "an option that this version does not know"),
        (f"{LINE} cache=", "an option that this version does not know"),
        (f"{LINE} cache=team,,lab", "an option that this version does not know"),
        (f"{LINE} cache=team,team", "an option that this version does not know"),
        (f"{LINE} cache=../team", "an option that this version does not know"),
        (f"{LINE} operator=two words", "an option that this version does not know"),
        (f"{LINE} operator=a/b", "an option that this version does not know"),
        (f"{LINE} succeeds=74c1", "an option that this version does not know"),
        (f"{LINE} For=fetch", "an option that this version does not know"),
        (f"{LINE}\nthreshold", "not a threshold"),
        (f"{LINE}\nthreshold 0", "not a threshold"),
        (f"{LINE}\nthreshold -1", "not a threshold"),
        (f"{LINE}\nthreshold 17", "not a threshold"),
        (f"{LINE}\nthreshold two", "not a threshold"),
        (f"{LINE}\nthreshold 2 2", "not a threshold"),
        ("threshold 2\nthreshold 1", "not a threshold"),
        (f"{LINE}\n{OTHER.keyid} {OTHER} ci", "an earlier line has"),
        (f"{LINE}\n{CI.keyid} {CI} other", "an earlier line has"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_it(text: str, message: str) -> None:
    with pytest.raises(BadTrustFile, match=message) as caught:
        parse_trusted(text, "trusted-keys")
    assert caught.value.message.startswith(f"trusted-keys, line {text.count(chr(10)) + 1}: ")
    assert caught.value.code == "K0606"


def test_every_option_and_a_threshold() -> None:
    options = f"for=fetch cache=lab,team operator=us added=2026-11-21 expires=2027-01-01 succeeds={OTHER.keyid}"
    found = parse_trusted_file(f"threshold 2\n{LINE} {options}\n{OTHER.keyid} {OTHER} lab revoked=2026-11-20\n")
    first, second = found.keys
    assert (found.threshold, first.caches, first.run_by) == (2, frozenset({"lab", "team"}), "us")
    assert (first.expires, first.succeeds, second.revoked, second.run_by) == (
        "2027-01-01", OTHER.keyid, "2026-11-20", "lab"
    )  # fmt: skip
    assert parse_trusted_file(format_trusted(found.keys, 2)) == found
    policy = Policy.of(found.keys, threshold=2, today="2027-01-02")
    assert not policy.by_id and policy.barred.keys() == {CI.keyid, OTHER.keyid}


def test_a_line_that_revokes_an_own_key_holds() -> None:
    policy = Policy.of([TrustedKey(CI, "old", revoked="2026-11-20")], own=[CI, OTHER])
    assert policy.own == {OTHER.keyid} and policy.barred.keys() == {CI.keyid}


def test_a_change_leaves_the_rest_of_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trusted-keys"
    path.write_text(f"# mine\n\n{LINE}   cache=team\n#  {OTHER} not yet\n")
    change(str(path), adding(TrustedKey(OTHER, "lab")))
    change(str(path), with_threshold(2))
    assert path.read_text() == (
        f"# mine\nthreshold 2\n\n{LINE}   cache=team\n#  {OTHER} not yet\n{OTHER.keyid} {OTHER} lab\n"
    )
    change(str(path), removing("lab"))
    change(str(path), with_threshold(1))
    assert path.read_text() == f"# mine\n\n{LINE}   cache=team\n#  {OTHER} not yet\n"
    for name in ("ci two", "-x", "n" * 65, ""):
        with pytest.raises(BadTrustFile, match="not a name"):
            change(str(path), adding(TrustedKey(OTHER, name)))
    with pytest.raises(NotInStore):
        change(str(path), removing("nobody"))


def test_no_file_trusts_the_own_key_alone(tmp_path: Path) -> None:
    policy = load_policy(str(tmp_path / "trusted-keys"), [CI])
    assert policy == Policy.of(own=[CI])
    assert policy.by_id == {CI.keyid: TrustedKey(CI, OWN, EVERYTHING)} and policy.own == {CI.keyid}


def test_the_own_key_is_trusted_for_everything_whatever_a_line_says(tmp_path: Path) -> None:
    path = tmp_path / "trusted-keys"
    path.write_text(f"{LINE} for=fetch\n{OTHER.keyid} {OTHER} team\n")
    path.chmod(0o644)
    policy = load_policy(str(path), [CI])
    assert policy.by_id[CI.keyid].scopes == EVERYTHING
    assert policy.by_id[OTHER.keyid] == TrustedKey(OTHER, "team", USUAL)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "trusted-keys"
    path.write_text(LINE)
    path.chmod(mode)
    with pytest.raises(BadTrustFile, match="written by others"):
        load_trusted(str(path))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(BadTrustFile):
            load_trusted(str(path))


@pytest.mark.parametrize("data", [b"\xff", b"#" * (1024 * 1024 + 1)], ids=["not ASCII", "too large"])
def test_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trusted-keys"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(BadTrustFile, match="not a file of trusted keys"):
        load_trusted(str(path))


def test_a_key_is_shown_with_its_name() -> None:
    assert str(TrustedKey(CI, "ci")) == 'ed25519:74c181c7…4916 "ci"'
