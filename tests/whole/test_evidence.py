"""What is signed about a build, read by other people's tools."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess

import pytest

from tests.support.home import target


@pytest.fixture(scope="module")
def envelope(first):
    """The envelope about lua."""
    return json.loads(first.kiln("show", target("lua"), "--provenance").expect().out)


@pytest.fixture(scope="module")
def statement(envelope):
    return json.loads(base64.b64decode(envelope["payload"]))


@pytest.fixture(scope="module")
def lua(first):
    """Where lua lies on this host."""
    return first.kiln("realise", target("lua"), "--no-link").expect().lines[0]


def test_securesystemslib_verifies_it(first, envelope):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    pem = first.kiln("key", "show", "--pem").expect().out
    key = SSlibKey.from_crypto(load_pem_public_key(pem.encode()))
    Envelope.from_dict(copy.deepcopy(envelope)).verify([key], 1)
    assert [signature["keyid"] for signature in envelope["signatures"]] == [key.keyid]


def test_securesystemslib_refuses_a_changed_one(first, envelope):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    key = SSlibKey.from_crypto(load_pem_public_key(first.kiln("key", "show", "--pem").out.encode()))
    payload = base64.b64decode(envelope["payload"]).replace(b"lua", b"lub", 1)
    changed = {**copy.deepcopy(envelope), "payload": base64.b64encode(payload).decode()}
    with pytest.raises(VerificationError):
        Envelope.from_dict(changed).verify([key], 1)


def test_its_digest_of_lua_is_what_sha256sum_prints(statement, lua):
    printed = subprocess.run(["sha256sum", f"{lua}/bin/lua"], capture_output=True, text=True, check=True).stdout
    subject = next(item for item in statement["subject"] if item["name"].endswith("-lua-5.4.4/bin/lua"))
    assert subject["digest"]["sha256"] == printed.split()[0]


def test_its_digest_of_the_tree_is_that_of_tar(statement, lua):
    """The canonical archive, as GNU tar writes it."""
    script = (
        'tar --create --directory "$1" --sort=name --format=pax --pax-option=delete=atime,delete=ctime'
        " --owner=0 --group=0 --numeric-owner --mtime=@1 . | sha256sum"
    )
    done = subprocess.run(["sh", "-c", script, "sh", lua], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()[0]) == 64
    assert statement["subject"][0]["name"] == f"/kiln/store/{os.path.basename(lua)}"


def test_what_kind_of_statement_it_is(envelope, statement):
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(statement["predicate"]) == {"buildDefinition", "runDetails"}


def test_dependencies_are_the_inputs_with_their_digests(first, statement):
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    names = {item["name"].partition("-")[2] for item in dependencies}
    assert names == {"busybox-1.35.0", "cc-1", "make-4.3", "lua5.4_5.4.4"}
    lines = first.kiln("show", target("lua"), "--provenance", "--closure").expect().lines
    told = {}
    for line in lines:
        payload = json.loads(base64.b64decode(json.loads(line)["payload"]))
        told.update({subject["name"]: subject["digest"] for subject in payload["subject"]})
    for item in dependencies:
        assert item["digest"] == told[item["name"]]
        assert item["annotations"]["envelope"].startswith("blake3:")


def test_the_builder_and_what_it_enforced(statement):
    details = statement["predicate"]["runDetails"]
    assert details["builder"]["id"].endswith("/builders/sandboxed/v1")
    assert details["builder"]["version"]["kiln"]
    assert details["metadata"]["startedOn"] <= details["metadata"]["finishedOn"]
    sandbox = next(item for item in details["byproducts"] if item["name"] == "sandbox")["annotations"]
    assert sandbox["hermetic"] is True
    wanted = {"network_namespace", "mount_namespace", "pid_namespace", "user_namespace", "seccomp", "no_capabilities"}
    assert {name for name in wanted if sandbox["enforced"].get(name) is not True} == set()


def test_a_fetch_says_where_from_and_claims_no_sandbox(first):
    path = next(name for name in os.listdir(first.objects) if name.endswith("-lua5.4_5.4.4.orig.tar.gz"))
    shown = json.loads(first.kiln("show", f"/kiln/store/{path}", "--provenance").expect().out)
    statement = json.loads(base64.b64decode(shown["payload"]))
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"]["sources"][0].startswith("debian:pool/main/l/lua5.4/")
    fetched = definition["resolvedDependencies"][0]
    assert fetched["uri"] == definition["externalParameters"]["sources"][0]
    assert fetched["digest"]["sha256"] == statement["subject"][0]["digest"]["sha256"]
    assert details["builder"]["id"].endswith("/builders/fetch/v1")
    sandbox = next(item for item in details["byproducts"] if item["name"] == "sandbox")["annotations"]
    assert "network_namespace" not in sandbox["enforced"]


def test_a_closure_of_another_user_is_refused_until_his_key_is_trusted(first, home):
    closure = os.path.join(home.folder, "closure.jsonl")
    with open(closure, "w", encoding="utf-8") as file:
        file.write(first.kiln("show", target("busybox"), "--provenance", "--closure").expect().out)
    home.mirrors = first.mirrors
    refused = home.kiln("reproduce", closure).expect(6)
    assert "error[K0602]" in refused.err and refused.out == ""
    with open(os.path.join(home.folder, "config/kiln/trusted-keys"), "w", encoding="utf-8") as file:
        file.write(first.kiln("key", "show", "--trust").expect().out)
    done = home.kiln("reproduce", closure, "--progress", "none").expect()
    assert done.out.startswith("MATCH ")


def test_a_changed_envelope_is_refused(first, home):
    lines = first.kiln("show", target("busybox"), "--provenance", "--closure").expect().lines
    changed = json.loads(lines[0])
    payload = base64.b64decode(changed["payload"]).replace(b"busybox-1.35.0", b"busybox-1.35.1")
    changed["payload"] = base64.b64encode(payload).decode()
    with open(os.path.join(home.folder, "config/kiln/trusted-keys"), "w", encoding="utf-8") as file:
        file.write(first.kiln("key", "show", "--trust").expect().out)
    home.write("closure.jsonl", "\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    home.kiln("reproduce", "closure.jsonl").expect(6)


def test_a_changed_object_is_found(builder):
    builder.write("main.kiln", 'pub let default: Out(File) = write_file("file", "text");')
    path = builder.kiln("realise", "main.kiln").expect().lines[0]
    os.chmod(path, 0o644)
    with open(path, "w", encoding="ascii") as file:
        file.write("tex+")
    done = builder.kiln("verify", "main.kiln").expect(5)
    assert "error[K0703]" in done.err and done.out == ""
    assert "✘" in builder.kiln("doctor", "--contents").expect(10).out


def test_a_resolution_binds_commit_file_and_attribute(builder):
    """The statement above the build's own: which commit of whose tree asked for it."""
    builder.write("main.kiln", 'pub let one: Out(File) = write_file("file", "text");\n')
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    builder.write(".gitignore", "/result\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        builder.run([*git, *words]).expect()
    commit = builder.run(["git", "rev-parse", "HEAD"]).expect().out.strip()
    builder.kiln("realise", "main.kiln#one").expect()
    shown = builder.kiln("show", "main.kiln#one", "--resolution").expect()
    said = base64.b64decode(json.loads(shown.lines[0])["payload"]).decode()
    assert commit in said and '"main.kiln"' in said and '"one"' in said
