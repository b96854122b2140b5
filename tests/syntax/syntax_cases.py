"""Case files of the syntax tests, and trees as text.

A case file holds cases parted by lines of `====`; a case is Kiln, a line `----`, and what comes out of it. Text
before the first `====` is a comment. With KILN_UPDATE_GOLDEN=1 in the environment the second halves are written
anew, to be read as a diff.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import NamedTuple

from kiln.lang.syntax import ast

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
UPDATE = os.environ.get("KILN_UPDATE_GOLDEN") == "1"


class Case(NamedTuple):
    file: str
    number: int
    source: str
    expected: str

    @property
    def name(self) -> str:
        return f"{self.file}-{self.number}"


def read_cases(*files: str) -> list[Case]:
    cases = []
    for file in files:
        with open(os.path.join(FOLDER, file), encoding="utf-8") as opened:
            blocks = opened.read().split("====\n")[1:]
        for number, block in enumerate(blocks):
            source, _, expected = block.partition("----\n")
            cases.append(Case(file, number, source, expected))
    return cases


def check_case(case: Case, produce: Callable[[str], str]) -> None:
    """Compare, or with KILN_UPDATE_GOLDEN=1 rewrite the case in its file."""
    found = produce(case.source).rstrip("\n") + "\n"
    if not UPDATE:
        assert found == case.expected, f"\n{found}"
        return
    path = os.path.join(FOLDER, case.file)
    with open(path, encoding="utf-8") as opened:
        blocks = opened.read().split("====\n")
    blocks[case.number + 1] = f"{case.source}----\n{found}"
    with open(path, "w", encoding="utf-8") as opened:
        opened.write("====\n".join(blocks))


def tree(node: object) -> str:
    """A tree without its places: `(Let (PVar "x") - (Int 1) (Var "x"))`. Not for trees deeper than Python's stack."""
    if node is None:
        return "-"
    if isinstance(node, ast.Name):
        return node.text
    if isinstance(node, str):
        return json.dumps(node, ensure_ascii=False)
    if isinstance(node, tuple):
        names = getattr(node, "_fields", None)
        if names is None:
            return "[" + " ".join(map(tree, node)) + "]"
        parts = [
            tree(getattr(node, name))
            for name in names
            if name not in ("start", "end", "at", "source_start", "source_end")
        ]
        return "(" + " ".join((type(node).__name__, *parts)) + ")"
    return str(node)


FEEL = '''
import "std/cc"    as cc;
import "std/oci"   as oci;
import "std/fetch" as fetch;
import "toolbox"   as tb;            # remote: address and tree hash are in kiln.lock

## Which TLS library curl links against.
pub type Tls = | OpenSsl(fips: Bool) | MbedTls | NoTls;

pub type CurlOpts = {
  tls: Tls = OpenSsl(fips = false),  # a default: may be left out of a literal
  http3: Bool = false,
  protocols: List(Str) = ["http", "ftp"],
  ca?: Path,                         # optional: reads as Option(Path)
};

fn flags(o: CurlOpts) -> List(Str) =
  [ ..match o.tls {
      OpenSsl(fips) => ["--with-openssl", ..if fips then ["--enable-fips"] else []],
      MbedTls       => ["--with-mbedtls"],
      NoTls         => ["--without-ssl"],
    },
    ..["--enable-%{p}" for p in o.protocols if p != "https"],
  ];

pub type Curl = cc.Package({ zlib: cc.Lib, tls: cc.Lib }, CurlOpts, { out: Tree, log: Tree });

## Builds curl. Three required labels and an optional one.
## What a recipe computes is a function of the recipe (`b`), so that an override reaches it.
pub fn curl(tc: cc.Toolchain, zlib: cc.Lib, tls: cc.Lib, opts: CurlOpts = {}) -> Curl =
  cc.package({
    name = "curl", version = "8.9.1", tc, opts,
    deps = { zlib, tls },
    outputs = { out = Tree, log = Tree },
    src = fn(b) => fetch.tarball("https://curl.se/download/curl-%{b.version}.tar.xz", hash = "blake3:5d1e7a…"),
    script = fn(b) => sh"""
      ./configure --prefix=%{b.out} --with-zlib=%{b.deps.zlib.dev} %{flags(b.opts)}
      make -j"${KILN_JOBS:-1}" && make test > %{b.log}/check.txt
      make install
      """,
  });

pub set Pkgs(sys: System) {
  tc      = tb.llvm(sys);
  zlib    = tb.zlib(tc = self.tc);
  openssl = tb.openssl(tc = self.tc);
  curl: Curl = curl(tc = self.tc, zlib = self.zlib, tls = self.openssl);
}

## An overlay: the same type as Pkgs. `self` is the final set, `super` the one below.
let hardened = Pkgs(linux64) with (self, super) {
  openssl = super.openssl with { patches += [`./cve-2026-1.patch`], version = "3.3.2" },
  curl    = super.curl with { deps.tls = self.openssl },
};

pub let image: Out(oci.Image) = oci.image(
  layers     = [oci.layer(o) for o in [hardened.curl.out, hardened.openssl.out]],
  entrypoint = ["%{hardened.curl.out}/bin/curl"],   # Text: it carries the dependency
);

pub type Review = { reviewer: Str, ticket: Str, log: Out(File) };

pub let review: Attestation(Review) = attest(
  subjects  = [subject(image)],
  kind      = "https://example.org/review/v1",
  predicate = { reviewer = "r1", ticket = "SEC-142", log = hardened.curl.log.file("check.txt") },
  signer    = key(secret("release-key")),           # a handle: in no hash, read by no evaluator
);

test "NoTls drops ssl" = flags({ tls = NoTls, protocols = [] }) == ["--without-ssl"];
'''
