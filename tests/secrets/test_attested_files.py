"""Attestations as files: signed statements about what was made, and outputs that can't be had without one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import pytest

from kiln.store.provenance import dsse
from kiln.store.provenance.keys import PublicKey
from kiln.store.provenance.statement import parse_statement
from tests.support.home import Home

PROGRAM = """
let page: Out(File) = write_file("page", "hello\\n");
let other: Out(File) = write_file("other", "other of %{page}\\n");
let folder: Out(Tree) = source(`./folder`);
let signer = key(secret("release-key"));

pub type Review = { by: Str, log: Out(File), note: Text, stars: List(Option(Int)) };
pub let review: Attestation(Review) = attest(
  subjects  = [subject(page), subject(folder), subject(folder.file("a/b")), subject(folder.dir("a"))],
  kind      = "https://example.org/review/v1",
  predicate = { by = "r1 \\"é\\"", log = other, note = "of %{page}\\n", stars = [Some(5), None] },
  signer,
);
pub let more: Attestation(Review) = review.with_subject(subject(other));
pub let consumer: Out(File) = write_file("consumer", "see %{review.as_file}\\n");

fn checked(threshold: Int, kind: Str) -> Out(File) =
  verify(
    review, { keys = ["KEY", "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"], threshold, kind }, of = page,
  );
pub let good: Out(File) = checked(1, "https://example.org/review/v1");
pub let two: Out(File) = checked(2, "https://example.org/review/v1");
pub let kind: Out(File) = checked(1, "https://example.org/test/v1");
pub let inner: Out(File) = verify(review, { keys = ["KEY"] }, of = folder.file("a/b"));
pub let unsaid: Out(File) = verify(review, { keys = ["KEY"] }, of = other);
pub let stranger: Out(File) =
  verify(review, { keys = ["ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"] }, of = page);

pub let made: Attestation(Provenance) = provenance(other);
pub let trusted: Out(File) =
  verify(made, { keys = ["BUILDER"], kind = "https://slsa.dev/provenance/v1" }, of = other);
pub let bill: Attestation(Sbom) = sbom(other, signer = signer);
pub let own_bill: Attestation(Sbom) = sbom(other);
pub let number: Attestation(Int) = attest(subjects = [subject(page)], kind = "x:y", predicate = 1, signer);
pub let absent: Attestation(Int) =
  attest(subjects = [subject(folder.file("none"))], kind = "x:y", predicate = 1, signer);
pub let nowhere: Attestation(Map(Int)) =
  attest(subjects = [subject(folder.file("none"))], kind = "x:y", predicate = ["a" => 1], signer);
"""


@pytest.fixture
def user(home: Home, give: Any) -> Home:
    """Someone with a key to sign with."""
    made = home.kiln("key", "new", "--json").expect().document["data"]
    give(home, "release-key", made["secret"])
    builder = home.kiln("key", "show").expect().lines[0]
    home.write("main.kiln", PROGRAM.replace("KEY", made["key"]).replace("BUILDER", builder))
    home.write("folder/a/b", "b\n")
    home.extra["SIGNED_BY"] = made["key"]
    return home


def realised(user: Home, name: str) -> str:
    (row,) = user.kiln("realise", f"main.kiln#{name}", "--no-link", "--json").expect().document["data"]["results"]
    return str(row["physical"])


def statement(path: str, key: str) -> Any:
    with open(path, "rb") as file:
        data = file.read()
    public = PublicKey.parse(key)
    assert data.endswith(b"\n") and data.count(b"\n") == 1
    return parse_statement(dsse.verify(dsse.parse(data), {public.keyid: public}).payload)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_attestation_is_realised_as_a_signed_statement(user: Home) -> None:
    said = statement(realised(user, "review"), user.extra["SIGNED_BY"])
    assert said.predicate_type == "https://example.org/review/v1"
    page, folder, file, inner = said.subjects
    assert page.digest.values["sha256"] == sha256(b"hello\n")
    assert file.digest.values["sha256"] == sha256(b"b\n") and file.name == f"{folder.name}/a/b"
    assert {"kilnObject", "kilnRoot"} <= folder.digest.values.keys()
    assert inner.digest.values["sha256"] not in (folder.digest.values["sha256"], file.digest.values["sha256"])
    log = said.predicate.pop("log")
    assert log["digest"]["sha256"] == sha256(f"other of {page.name}\n".encode())
    assert said.predicate == {"by": 'r1 "é"', "note": f"of {page.name}\n", "stars": [5, None]}


def test_the_file_keeps_what_it_speaks_of_and_is_made_once(user: Home) -> None:
    first = realised(user, "review")
    assert realised(user, "review") == realised(user, "review.as_file") == first
    assert len(statement(realised(user, "more"), user.extra["SIGNED_BY"]).subjects) == 5
    with open(realised(user, "consumer"), encoding="utf-8") as file:
        assert os.path.basename(first) in file.read()
    user.kiln("realise", "main.kiln#review", "--out-link", "review").expect()
    user.kiln("store", "gc").expect()
    assert any(name.endswith("-page") for name in os.listdir(user.objects))


def test_no_key_and_no_value_of_one_is_anywhere(user: Home) -> None:
    realised(user, "review")
    with open(os.path.join(user.folder, "config/kiln/secrets/release-key"), "rb") as file:
        seed = file.read().split()[-1]
    forms = [seed, base64.urlsafe_b64decode(seed + b"=")]
    for folder in (user.store, os.path.join(user.folder, "cache")):
        for place, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        data = file.read()
                    assert not any(form in data for form in forms), path


def test_an_output_is_had_by_its_attestation_alone(user: Home) -> None:
    assert realised(user, "good") == realised(user, "page")
    assert realised(user, "inner").endswith("-folder/a/b")
    assert realised(user, "trusted") == realised(user, "other")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two", ["too few have signed", "expected  signatures by 2 of the policy's keys"]),
        ("kind", ["says something else", "expected  https://example.org/test/v1", "found     https://example.org/review/v1"]),
        ("unsaid", ["is about something else"]),
        ("stranger", ["no signature is by a key that is trusted here"]),
    ],
)  # fmt: skip
def test_an_attestation_that_is_not_what_the_policy_wants(user: Home, name: str, words: list[str]) -> None:
    failed = user.kiln("realise", f"main.kiln#{name}", "--no-link")
    assert "error[K0463]" in failed.err and failed.code not in (0, 70) and not failed.out
    assert all(word in failed.err for word in words), failed.err


def test_provenance_and_the_bill_of_materials(user: Home) -> None:
    builder = user.kiln("key", "show").expect().lines[0]
    made = statement(realised(user, "made"), builder)
    assert made.predicate_type == "https://slsa.dev/provenance/v1"
    for name, key in (("bill", user.extra["SIGNED_BY"]), ("own_bill", builder)):
        bill = statement(realised(user, name), key)
        assert bill.predicate_type == "https://spdx.dev/Document/v2.3"
        document = bill.predicate
        names = {package["SPDXID"]: package["name"] for package in document["packages"]}
        assert sorted(names.values()) == ["other", "page"]
        related = {
            (names.get(row["spdxElementId"]), row["relationshipType"], names.get(row["relatedSpdxElement"]))
            for row in document["relationships"]
        }
        assert related == {
            (None, "DESCRIBES", "other"), ("other", "DEPENDS_ON", "page"), ("page", "BUILD_DEPENDENCY_OF", "other"),
        }  # fmt: skip
        assert all(package["checksums"][0]["algorithm"] == "SHA256" for package in document["packages"])


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("number", "K0417", "a predicate that is no record and no map"),
        ("nowhere", "K0462", "can't be spoken of"),
    ],
)
def test_what_can_not_be_attested(user: Home, name: str, code: str, words: str) -> None:
    failed = user.kiln("realise", f"main.kiln#{name}", "--no-link")
    assert f"error[{code}]" in failed.err and words in failed.err and failed.code not in (0, 70)


def test_a_secret_that_is_no_key_or_not_there(user: Home, give: Any) -> None:
    path = give(user, "release-key", "no key at all")
    failed = user.kiln("realise", "main.kiln#review", "--no-link")
    assert "error[K0462]" in failed.err and "kiln key new" in failed.err and "no key at all" not in failed.err
    os.remove(path)
    failed = user.kiln("realise", "main.kiln#review", "--no-link")
    assert "error[K0460]" in failed.err and "KILN_SECRET_RELEASE_KEY" in failed.err and path in failed.err


def test_a_key_in_the_environment(user: Home) -> None:
    path = os.path.join(user.folder, "config/kiln/secrets/release-key")
    with open(path, encoding="utf-8") as file:
        seed = file.read().split()[-1]
    os.remove(path)
    done = user.kiln("realise", "main.kiln#review", "--no-link", "--json", env={"KILN_SECRET_RELEASE_KEY": seed})
    (row,) = done.expect().document["data"]["results"]
    assert statement(row["physical"], user.extra["SIGNED_BY"]).predicate["by"] == 'r1 "é"'
    with open(row["physical"], "rb") as file:
        assert json.loads(file.read())["signatures"][0]["keyid"] == PublicKey.parse(user.extra["SIGNED_BY"]).keyid


def test_what_stands_on_an_attestation_is_replayed_and_the_signature_is_not(user: Home) -> None:
    realised(user, "trusted")
    realised(user, "consumer")
    for name in ("trusted", "consumer"):
        done = user.kiln("reproduce", f"main.kiln#{name}")
        assert done.code == 0, done.err
    failed = user.kiln("reproduce", "main.kiln#review")
    assert "error[K0650]" in failed.err and "is a signed file" in failed.err and failed.code not in (0, 70)
