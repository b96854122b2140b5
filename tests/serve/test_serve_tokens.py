"""The file of tokens: its format, and that it is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiln.serve.tokens import BadTokenFile, TokenFile, format_tokens, new_token, parse_tokens, token_digest

GOOD = f"# comment\n\nwrite {'a' * 64} ci expires=2027-01-31\nread {'b' * 64} laptops\n"


def test_what_is_read_is_written_again() -> None:
    tokens = parse_tokens(GOOD)
    assert [token.name for token in tokens] == ["ci", "laptops"]
    assert parse_tokens(format_tokens(tokens)) == tokens


@pytest.mark.parametrize(
    "line",
    [
        "write",
        f"admin {'a' * 64} x",
        f"write {'a' * 63} x",
        f"write {'A' * 64} x",
        f"write {'c' * 64} x expires=soon",
        f"write {'c' * 64} x expires=2027-02-30",
        f"write {'c' * 64} x expires=2027-01-01 more",
        f"write {'c' * 64} na/me",
        f"write {'a' * 64} again",
        f"write {'c' * 64} ci",
    ],
)
def test_a_line_that_is_wrong_is_named(line: str) -> None:
    with pytest.raises(BadTokenFile, match="line 5"):
        parse_tokens(GOOD + line)


def test_a_day_of_grace_ends_with_the_day() -> None:
    token = parse_tokens(GOOD)[0]
    assert not token.is_expired("2027-01-31")
    assert token.is_expired("2027-02-01")


def test_a_token_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    secret, digest = new_token()
    path = tmp_path / "tokens"
    path.write_text(f"write {digest} ci\n")
    tokens = TokenFile(str(path))
    assert token_digest(secret) == digest
    assert secret not in path.read_text()
    found = tokens.find(secret)
    assert found is not None and found.name == "ci"
    assert tokens.find(secret + "x") is None
    assert tokens.find(digest) is None


def test_a_changed_file_is_read_again_and_a_lost_one_opens_nothing(tmp_path: Path) -> None:
    secret, digest = new_token()
    path = tmp_path / "tokens"
    path.write_text(f"write {digest} ci\n")
    tokens = TokenFile(str(path))
    path.write_text("# nobody any more\n")
    assert tokens.find(secret) is None
    os.unlink(path)
    with pytest.raises(BadTokenFile):
        tokens.find(secret)


def test_two_tokens_are_never_equal() -> None:
    assert len({new_token()[0] for _ in range(100)}) == 100
