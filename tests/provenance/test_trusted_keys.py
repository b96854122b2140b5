"""The file of trusted keys: read back as written, and refused when a line is not what it must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from provenance_samples import BUILDER, STRANGER

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
)

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
        (f"{LINE}\n{OTHER.keyid} {OTHER} ci", "an earlier line has"),
        (f"{LINE}\n{CI.keyid} {CI} other", "an earlier line has"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_it(text: str, message: str) -> None:
    with pytest.raises(BadTrustFile, match=message) as caught:
        parse_trusted(text, "trusted-keys")
    assert caught.value.message.startswith(f"trusted-keys, line {text.count(chr(10)) + 1}: ")
    assert caught.value.code == "K0606"


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
