"""Keys: ids and PEM as other projects have them, texts that parse back, and what is refused."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from provenance_samples import BUILDER
from securesystemslib.signer import SSlibKey

from kiln.store.provenance.errors import BadKey
from kiln.store.provenance.keys import KeyId, PublicKey, SecretKey

SEEDS = st.binary(min_size=32, max_size=32)


@given(SEEDS)
def test_the_key_id_is_that_of_securesystemslib(seed: bytes) -> None:
    ours = SecretKey.of(seed).public_key
    theirs = SSlibKey.from_crypto(ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key())
    assert ours.keyid == theirs.keyid
    assert ours.raw.hex() == theirs.keyval["public"]


@given(SEEDS)
def test_pem_is_what_cryptography_reads_and_writes(seed: bytes) -> None:
    ours = SecretKey.of(seed).public_key
    theirs = serialization.load_pem_public_key(ours.pem.encode())
    assert isinstance(theirs, ed25519.Ed25519PublicKey)
    assert theirs.public_bytes_raw() == ours.raw
    written = theirs.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    assert written == ours.pem
    assert PublicKey.from_pem(written) == ours


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_our_pem() -> None:
    done = subprocess.run(
        ["openssl", "pkey", "-pubin", "-noout", "-text"],
        input=BUILDER.public_key.pem.encode(),
        capture_output=True,
        check=True,
    )
    assert b"ED25519 Public-Key" in done.stdout
    assert b"d7:5a:98:01:82:b1:0a:b7" in done.stdout


@given(SEEDS)
def test_a_public_key_parses_back_from_its_text(seed: bytes) -> None:
    key = SecretKey.of(seed).public_key
    assert PublicKey.parse(str(key)) == key


@given(SEEDS, st.binary(max_size=200))
def test_a_signature_is_the_one_that_cryptography_makes(seed: bytes, data: bytes) -> None:
    key = SecretKey.of(seed)
    made = key.sign(data)
    assert made.keyid == key.public_key.keyid
    assert made.sig == ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(data)
    assert key.public_key.verify(data, made.sig)
    assert not key.public_key.verify(data + b"x", made.sig)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR",
        "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp",
        "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n",
        "rsa:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadKey):
        PublicKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        BUILDER.public_key.pem.replace("MCow", "MCox"),
        BUILDER.public_key.pem.replace("Ro=", "Rp="),
        BUILDER.public_key.pem + BUILDER.public_key.pem,
        BUILDER.public_key.pem.replace("PUBLIC", "PRIVATE"),
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_other_pem_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        PublicKey.from_pem(text)


def test_an_x25519_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import x25519

    theirs = x25519.X25519PrivateKey.generate().public_key()
    text = theirs.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(BadKey):
        PublicKey.from_pem(text)


def test_a_secret_key_shows_nothing_of_itself() -> None:
    seed = "9d61b19deffd5a60"
    assert seed not in repr(BUILDER) and str(bytes.fromhex(seed)) not in repr(BUILDER)


@pytest.mark.parametrize("text", ["", "74C1", "g" * 64, "a" * 63, "A" * 64])
def test_a_key_id_is_64_lower_case_digits(text: str) -> None:
    with pytest.raises(BadKey):
        KeyId.parse(text)


def test_the_short_form_shows_both_ends_of_the_id() -> None:
    assert BUILDER.public_key.short == "ed25519:74c181c7…4916"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_signature_or_key_of_another_length_is_refused(length: int) -> None:
    assert not BUILDER.public_key.verify(b"data", bytes(length))
    with pytest.raises(BadKey):
        PublicKey.of(bytes(length))
    with pytest.raises(BadKey):
        SecretKey.of(bytes(length))
