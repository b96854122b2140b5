"""Secrets in builds and in fetches: the one who needs a value has it, and it is nowhere else."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest

from kiln.interpreter.secrets import Guard, Redacted, SecretMissing, SecretValue, read_secret, variable_of
from tests.support.home import Home

VALUE = "s3cret-Value-of-a-token-0123"
HEAD = """
import "std/c" as c;
pub let default: c.Package({}, {}, { out: Tree }) = c.package({
  name = "built", version = "1", tc = c.shell, deps = {}, opts = {}, outputs = { out = Tree },
  secrets = [secret("token"), secret("token")],
  script = fn(b) => sh\"""
    OUT=%{b.out}
    mkdir "$OUT"
SCRIPT
    \""",
});
"""


def program(script: str) -> str:
    return HEAD.replace("SCRIPT", "".join(f"    {line}\n" for line in script.splitlines()).rstrip("\n"))


def everything(home: Home) -> bytes:
    """All that is in the user's folders but his secrets."""
    found = []
    for place, folders, names in os.walk(home.folder):
        folders[:] = [name for name in folders if name != "secrets"]
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found.append(file.read())
    return b"\n".join(found)


@pytest.fixture
def user(builder: Home, give: Any) -> Home:
    give(builder, "token", VALUE + "\n")
    return builder


def test_a_build_reads_a_secret_and_its_log_does_not_hold_it(user: Home) -> None:
    user.write("main.kiln", program('wc -c < /run/secrets/token > "$OUT/size"\ncat /run/secrets/token; echo; env'))
    done = user.kiln("realise", "main.kiln", "--json", "--no-link").expect()
    (row,) = done.document["data"]["results"]
    with open(os.path.join(row["physical"], "size"), encoding="ascii") as file:
        assert int(file.read()) == len(VALUE)
    log = user.kiln("log", "main.kiln").expect().out
    assert "[secret token]" in log and VALUE not in log + done.err
    assert VALUE.encode() not in everything(user)
    envelope = json.loads(user.kiln("show", "main.kiln", "--provenance", "--json").expect().out)
    said = base64.b64decode(envelope["payload"]).decode()
    assert '"secrets":["token"]' in said and '"degraded":["secrets"' in said and VALUE not in said


def test_a_value_is_in_no_digest(user: Home, give: Any) -> None:
    user.write("main.kiln", program("true"))
    first = user.kiln("realise", "main.kiln", "--no-link").expect()
    give(user, "token", "another-value-of-the-token")
    again = user.kiln("realise", "main.kiln", "--no-link").expect()
    assert first.out == again.out


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ('cat /run/secrets/token > "$OUT/a"', "the secret in a"),
        ('mkdir "$OUT/b"; ln -s "x/$(cat /run/secrets/token)" "$OUT/b/link"', "the secret in b/link"),
        ('touch "$OUT/$(cat /run/secrets/token)"', "the secret in [secret token]"),
    ],
)
def test_an_output_that_holds_a_secret_is_refused(user: Home, script: str, where: str) -> None:
    user.write("main.kiln", program(script))
    failed = user.kiln("realise", "main.kiln", "--no-link")
    assert "error[K0461]" in failed.err and where in failed.err and failed.code not in (0, 70)
    assert VALUE not in failed.err and VALUE.encode() not in everything(user)
    assert not any("built" in name for name in os.listdir(user.objects))


def test_nothing_of_a_failed_build_with_secrets_is_kept(user: Home) -> None:
    user.write("main.kiln", program("cp /run/secrets/token copy; cat copy; exit 3"))
    failed = user.kiln("realise", "main.kiln", "--no-link")
    assert "error[K0450]" in failed.err and "nowhere: the build was given secrets" in failed.err
    assert VALUE not in failed.err and VALUE.encode() not in everything(user)


def test_without_the_secret_nothing_is_built(user: Home) -> None:
    os.remove(os.path.join(user.folder, "config/kiln/secrets/token"))
    user.write("main.kiln", program("true"))
    failed = user.kiln("realise", "main.kiln", "--no-link")
    assert "error[K0460]: built-1 needs the secret `token`, which isn't here" in failed.err
    user.kiln("realise", "main.kiln", "--no-link", env={"KILN_SECRET_TOKEN": VALUE}).expect()


# ---- values ---------------------------------------------------------------------------------------


def test_where_values_come_from(tmp_path: Any, give: Any) -> None:
    home = Home(str(tmp_path))
    folder = os.path.dirname(give(home, "a.b-c", "from the file\r\n"))
    assert variable_of("a.b-c") == "KILN_SECRET_A_B_C"
    assert read_secret("a.b-c", folder, {}, user="x").data == b"from the file"
    assert read_secret("a.b-c", folder, {"KILN_SECRET_A_B_C": "from outside"}, user="x").data == b"from outside"
    assert "from" not in repr(read_secret("a.b-c", folder, {}, user="x"))


@pytest.mark.parametrize(
    ("value", "mode", "words"),
    [
        ("short", 0o600, "5 bytes"),
        ("", 0o600, "0 bytes"),
        ("nul\0 inside it", 0o600, "a NUL character"),
        ("x" * 65537, 0o600, "more bytes"),
        ("long enough", 0o640, "mode 0640"),
    ],
)
def test_values_that_are_refused(tmp_path: Any, give: Any, value: str, mode: int, words: str) -> None:
    path = give(Home(str(tmp_path)), "token", value)
    os.chmod(path, mode)
    with pytest.raises(SecretMissing) as caught:
        read_secret("token", os.path.dirname(path), {}, user="x")
    assert caught.value.found == words
    assert not value or value not in f"{caught.value} {caught.value.help} {caught.value.expected}"


def test_a_folder_or_a_fifo_is_no_secret(tmp_path: Any) -> None:
    os.mkdir(tmp_path / "folder", 0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("folder", "fifo"):
        with pytest.raises(SecretMissing):
            read_secret(name, str(tmp_path), {}, user="x")


PEM = "-----BEGIN X-----\nMC4CAQAwBQYDK2VwBCIEIJ1\nshort\nAnotherLineOfTheKey==\n-----END X-----"
SECRETS = (SecretValue("token", VALUE.encode()), SecretValue("pem", PEM.encode()), SecretValue("aa", b"aaaaaaaaab"))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_log_in_pieces(step: int) -> None:
    said = f"a {VALUE} b {PEM} c AnotherLineOfTheKey== d aaaaaaaaaaaaaaab e short {VALUE[:-1]}".encode()
    written: list[bytes] = []
    log = Redacted(Guard(SECRETS), written.append)
    for at in range(0, len(said), step):
        log.write(said[at : at + step])
    log.close()
    whole = b"".join(written).decode()
    left = f"a [secret token] b [secret pem] c [secret pem] d aaaaaa[secret aa] e short {VALUE[:-1]}"
    assert whole == left


def test_a_pause_passes_and_holds_back_what_may_be_a_secret() -> None:
    written: list[bytes] = []
    log = Redacted(Guard(SECRETS), written.append)
    log.write(b"x " + VALUE[:5].encode())
    log.write(b"")
    assert written == [b"x ", b""]
    log.write(VALUE[5:].encode())
    log.close()
    assert b"".join(written) == b"x [secret token]"


def test_a_secret_across_the_pieces_of_a_file(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * ((1 << 20) - 5) + VALUE.encode() + b"y" * 100)
    assert Guard(SECRETS).in_tree(str(path)) == ("token", "")
    path.write_bytes(b"x" * (1 << 20) + VALUE[:-1].encode())
    assert Guard(SECRETS).in_tree(str(path)) is None


def test_what_was_made_with_secrets_is_not_pushed(user: Home) -> None:
    user.write("main.kiln", program("true"))
    user.kiln("realise", "main.kiln", "--no-link").expect()
    os.mkdir(os.path.join(user.work, "cache"))
    failed = user.kiln("cache", "push", "main.kiln", "--to", "./cache")
    assert failed.code not in (0, 70) and "secrets" in failed.err, failed.err
    held = [name for _, _, names in os.walk(os.path.join(user.work, "cache")) for name in names]
    assert not any(name.endswith(".pack") for name in held), held
