"""Facts to make statements of: one build with two outputs, one fetch; keys whose seeds are published."""

from __future__ import annotations

import hashlib

from kiln.store.digest import BlobDigest, EnvelopeDigest, ObjectId, RootDigest, blob_digest
from kiln.store.paths import OutputName, StorePath
from kiln.store.provenance.facts import (
    HERMETIC_NEEDS,
    BuildFacts,
    Dependency,
    FetchFacts,
    FileFact,
    LogFact,
    Mode,
    Output,
    Recipe,
    RecipeForm,
    Run,
    Usage,
)
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.statement import Content
from kiln.store.provenance.trust import Policy

BUILDER = SecretKey.of(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
"""RFC 8032, section 7.1, test 1."""
STRANGER = SecretKey.of(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
"""The same, test 2."""

OWN = Policy.of(own=[BUILDER.public_key])
BUILT = 1795250000
"""2026-11-21, a little after eight in the morning, UTC."""


def digest32(seed: str) -> bytes:
    return hashlib.sha256(seed.encode()).digest()


def content(seed: str) -> Content:
    data = seed.encode()
    return Content(hashlib.sha256(data).digest(), blob_digest(data))


def output(name: str, store_name: str, *files: str, kind: str = "tree") -> Output:
    object_id = ObjectId(digest32(f"object {store_name}"))
    return Output(
        name=OutputName.parse(name),
        path=StorePath.of(object_id, store_name),
        kind="tree" if kind == "tree" else "file",
        object_id=object_id,
        root=RootDigest(digest32(f"root {store_name}")),
        content=content(f"archive {store_name}"),
        size=4096,
        files=tuple(FileFact(path, content(f"{store_name}/{path}")) for path in files),
    )


def dependency(made: Output, envelope: EnvelopeDigest | None, *, source: bool = False) -> Dependency:
    known = None if source else made.content
    return Dependency(made.path, made.object_id, made.root, known, envelope)


def run(mode: Mode = Mode.SANDBOXED) -> Run:
    enforced = {} if mode is Mode.FETCH else dict.fromkeys(HERMETIC_NEEDS, True)
    return Run(
        mode=mode,
        version="0.1.0",
        invocation_id="0f6c1a5e-3b0d-4a1f-9a53-6f7f1f6d2c10",
        started=BUILT,
        finished=BUILT + 9,
        enforced=enforced,
        log=LogFact(content("log"), 3),
        usage=Usage(cpu_us=1_200_000, wall_us=2_500_000, max_rss=104_857_600),
    )


def fetch_facts() -> FetchFacts:
    recipe = Recipe(
        RecipeForm.FIXED,
        b"\x95\x01\xb1lua-5.4.4.tar.gz\xc2\xa6sha256\xc4\x04lua!",
        {"name": "lua-5.4.4.tar.gz", "executable": False, "algorithm": "sha256", "value": "6c756121"},
    )
    return FetchFacts(
        recipe=recipe,
        output=output("out", "lua-5.4.4.tar.gz", kind="file"),
        sources=("debian:pool/main/l/lua5.4/lua5.4_5.4.4.orig.tar.gz", "https://lua.example/lua-5.4.4.tar.gz"),
        location="https://mirror.example/pool/main/l/lua5.4/lua5.4_5.4.4.orig.tar.gz",
        run=run(Mode.FETCH),
    )


def build_facts(source_envelope: EnvelopeDigest | None = None) -> BuildFacts:
    fetched = fetch_facts().output
    own_source = output("out", "lua-patches")
    recipe = Recipe(
        RecipeForm.DERIVATION,
        b"\x9a\x01canonical bytes of lua",
        {"name": "lua-5.4.4", "system": "x86_64-linux", "env": {"CFLAGS": "-O2"}, "args": ["-c", "make"]},
    )
    return BuildFacts(
        recipe=recipe,
        outputs=(output("doc", "lua-5.4.4-doc"), output("out", "lua-5.4.4", "bin/lua", "bin/luac")),
        dependencies=(
            dependency(fetched, source_envelope or EnvelopeDigest(digest32("an envelope"))),
            dependency(own_source, None, source=True),
        ),
        run=run(),
        epoch=1,
        profile="standard",
        limits={"time": 3600, "silence": 1200, "log": 67108864},
    )


def blob(seed: str) -> BlobDigest:
    return blob_digest(seed.encode())
