"""The sample of the language's design: it checks, it evaluates, and what overrides it reaches all that it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_program import Built, Sample

from kiln.interpreter.derivation import BuildStep, DrvOutput
from kiln.interpreter.evaluate.evaluator import EvaluationError
from kiln.lang.report import CompileError, render
from kiln.store.paths import OutputName

DEPS = {"zlib-1.3.1", "openssl-3.3.1"}
PLAIN = """\
./configure --prefix=<out> --with-zlib=<zlib-1.3.1 dev> --with-tls=<openssl-3.3.1 dev> --with-openssl \
--enable-http --enable-ftp
make -j"${KILN_JOBS:-1}" && make test > <log>/check.txt
make install
"""

BASE = "\nlet base = Pkgs(linux64);\n"


def own(built: Built) -> str:
    """The part of the script that the sample wrote, behind std/c's preparation."""
    return built.script.partition(" {} +\n")[2].lstrip("\n")


def test_it_checks_and_its_tests_pass(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    assert [verdict.passed for verdict in sample.evaluator.run_tests(sample.root)] == [True]
    types = sample.program.modules[sample.root].types
    assert {name: types[name] for name in ("curl", "hardened", "image", "review")} == {
        "curl": "fn(tc: cc.Toolchain, zlib: cc.Lib, tls: cc.Lib, opts?: CurlOpts) -> Curl",
        "hardened": "Pkgs",
        "image": "Out(oci.Image)",
        "review": "Attestation(Review)",
    }


def test_what_it_comes_to(tmp_path: Path) -> None:
    sample = Sample(tmp_path, BASE)
    plain = sample.built("base.curl")
    assert own(plain) == PLAIN
    assert plain.name == "curl-8.9.1" and plain.inputs.keys() >= DEPS
    assert plain.env["TRIPLE"] == "x86_64-linux-gnu"
    assert plain.script.startswith("cp -r <curl-8.9.1 out> src\n")
    image = sample.built("image")
    assert image.script == (
        "printf '%s\\n' <curl-8.9.1 out> <openssl-3.3.2 out> -- <curl-8.9.1 out>/bin/curl > <out>"
    )
    assert image.inputs["curl-8.9.1"] == sample.built("hardened.curl").digest
    assert sample.show("review") == (
        '<attestation "https://example.org/review/v1" { predicate = { log = <output curl.log/check.txt>, '
        'reviewer = "r1", ticket = "SEC-142" }, signer = <key "release-key">, subjects = [<subject image>] }>'
    )


def test_an_attestation_is_built_as_a_file(tmp_path: Path) -> None:
    sample = Sample(tmp_path, "let both = { image, reviews = [review] };")
    (made,) = sample.evaluator.targets(sample.evaluator.value(sample.root, "review"), "review")
    both = sample.evaluator.targets(sample.evaluator.value(sample.root, "both"), "both")
    assert [target.label for target in both] == ["both.image", "both.reviews[0]"]
    assert both[1].item == made.item == DrvOutput(made.item.drv, OutputName("out"))
    step = sample.evaluator.graph[made.item.drv]
    assert isinstance(step, BuildStep) and step.place == "curl.kiln:72:39"
    drv = step.derivation
    image, curl = sample.built("image"), sample.built("hardened.curl")
    assert set(drv.inputs) == {DrvOutput(image.digest, OutputName("out")), DrvOutput(curl.digest, OutputName("log"))}
    assert drv.builder.args[:2] == (("https://example.org/review/v1",), ("release-key",)) and not drv.secrets


@pytest.mark.parametrize(
    ("attribute", "words"),
    [("about", "it is the subject of an attestation"), ("handle", "it is the name of a secret")],
)
def test_nothing_else_of_an_attestation_is_a_build(tmp_path: Path, attribute: str, words: str) -> None:
    sample = Sample(tmp_path, 'let about = subject(image);\nlet handle = secret("release-key");')
    with pytest.raises(EvaluationError) as caught:
        sample.evaluator.targets(sample.evaluator.value(sample.root, attribute), attribute)
    assert caught.value.report.code == "K0411" and words in caught.value.report.title


def test_no_other_file_is_an_image(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        Sample(tmp_path, 'let wrong: Out(oci.Image) = write_file("image.tar", "");')
    assert "File is not oci.Image" in "".join(map(render, caught.value.reports))


def test_an_attestation_as_json_has_names_alone(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    assert json.loads(sample.evaluator.json(sample.evaluator.value(sample.root, "review"))) == {
        "kind": "https://example.org/review/v1",
        "predicate": {
            "log": {"name": "curl", "output": "log", "sub": "check.txt"},
            "reviewer": "r1",
            "ticket": "SEC-142",
        },
        "signer": '<key "release-key">',
        "subjects": [{"name": "image", "output": "out"}],
    }


def test_the_overlay_changes_what_it_must(tmp_path: Path) -> None:
    sample = Sample(tmp_path, BASE)
    plain, plain_tls = sample.built("base.curl"), sample.built("base.openssl")
    hard, hard_tls = sample.built("hardened.curl"), sample.built("hardened.openssl")
    assert (plain_tls.name, hard_tls.name) == ("openssl-3.3.1", "openssl-3.3.2")
    assert "VERSION=3.3.2 " in own(hard_tls) and "cve-2026-1.patch" in hard_tls.script
    assert "cve-2026-1.patch" not in plain_tls.script
    assert own(hard) == PLAIN.replace("openssl-3.3.1", "openssl-3.3.2")
    assert hard.inputs["openssl-3.3.2"] == hard_tls.digest
    assert "openssl-3.3.1" not in hard.inputs
    assert hard.inputs["zlib-1.3.1"] == plain.inputs["zlib-1.3.1"] == sample.built("hardened.zlib").digest
    assert hard.digest != plain.digest and sample.built("base.curl") == plain


OVERRIDES = {
    'version = "9.0"': "curl-9.0",
    "opts.tls = NoTls": "--without-ssl",
    "opts.tls = OpenSsl(fips = true)": "--enable-fips",
    'opts.protocols += ["gopher"]': "--enable-ftp --enable-gopher",
    'opts = { tls = MbedTls, protocols = ["ws"] }': "--with-mbedtls --enable-ws",
    "deps.zlib = base.openssl": "--with-zlib=<openssl-3.3.1 dev>",
    'deps.tls = base.openssl with { version = "4" }': "--with-tls=<openssl-4 dev>",
    "deps = { zlib = base.zlib, tls = base.zlib }": "--with-tls=<zlib-1.3.1 dev>",
    "patches = [`./cve-2026-1.patch`]": "in <cve-2026-1.patch>",
    "patches += [`./cve-2026-1.patch`]": "in <cve-2026-1.patch>",
    "src = fn(b) => b.deps.zlib.out.dir(b.version)": "<zlib-1.3.1 out>/8.9.1 src",
    'script = fn(b) => sh"only %{b.log} %{b.name}"': "only <log> curl",
}


@pytest.mark.parametrize("edit", OVERRIDES)
def test_a_field_that_is_overridden_changes_the_script(tmp_path: Path, edit: str) -> None:
    sample = Sample(tmp_path, f"{BASE}let changed = base.curl with {{ {edit} }};\n")
    plain, changed = sample.built("base.curl"), sample.built("changed")
    assert OVERRIDES[edit] in changed.script and OVERRIDES[edit] not in plain.script
    assert changed.digest != plain.digest


def test_what_else_a_recipe_has(tmp_path: Path) -> None:
    """The fields whose place is beside the script, or outside the identity of the build."""
    more = """
let name = base.curl with { name = "kurl" };
let tc = base.curl with { tc.shell = "/bin/other", tc.env += ["X" => "1"] };
let tools = base.curl with { tools = fn(b) => [b.deps.zlib.out] };
let outputs = base.curl with { outputs = { out = Tree, log = Tree } };
let limits = base.curl with { limits = { time = 60 } };
"""
    sample = Sample(tmp_path, BASE + more)
    plain = sample.built("base.curl")
    assert sample.built("name").name == "kurl-8.9.1"
    tc = sample.built("tc")
    assert (tc.program, tc.env["X"], tc.env["TRIPLE"]) == ("/bin/other", "1", plain.env["TRIPLE"])
    assert sample.built("tools").env["PATH"] == f"<zlib-1.3.1 out>/bin:{plain.env['PATH']}"
    assert sample.built("outputs").digest == plain.digest
    assert plain.time == 3600 and sample.built("limits").digest == plain.digest


def test_overrides_compose(tmp_path: Path) -> None:
    more = """
let one = base.curl with { version = "1", opts.protocols += ["a"] };
let two = one with { opts.protocols += ["b"], deps.tls = base.openssl with { version = "4" } };
let three = two with { version = "3", deps.tls = (base.openssl with { version = "5" }) with { patches = [] } };
let undone = three with {
  version = "8.9.1", opts.protocols = base_protocols, deps.tls = base.openssl,
};
let base_protocols = ["http", "ftp"];
let at_once = base.curl with {
  version = "3", opts.protocols += ["a"], opts.protocols += ["b"], deps.tls = base.openssl with { version = "5" },
};
"""
    sample = Sample(tmp_path, BASE + more)
    one, two, three = (sample.built(name) for name in ("one", "two", "three"))
    assert (one.name, two.name, three.name) == ("curl-1", "curl-1", "curl-3")
    assert "--enable-ftp --enable-a\n" in one.script and "--enable-ftp --enable-a --enable-b\n" in two.script
    assert "openssl-3.3.1 dev" in one.script and "openssl-4 dev" in two.script and "openssl-5 dev" in three.script
    assert sample.built("at_once").digest == three.digest
    assert sample.built("undone").digest == sample.built("base.curl").digest


def test_overlays_compose(tmp_path: Path) -> None:
    more = """
let twice = hardened with (self, super) {
  openssl = super.openssl with { version = "3.3.9" },
  zlib = super.zlib with { version = "2" },
};
let final = twice with (self, super) { curl = super.curl with { opts.tls = NoTls } };
let own_tc = hardened with (self, super) { tc = super.tc with { shell = "/bin/other" } };
"""
    sample = Sample(tmp_path, BASE + more)
    tls, curl, final = (sample.built(name) for name in ("twice.openssl", "twice.curl", "final.curl"))
    assert "VERSION=3.3.9 " in tls.script and "cve-2026-1.patch" in tls.script
    assert "--with-zlib=<zlib-2 dev> --with-tls=<openssl-3.3.9 dev> --with-openssl " in curl.script
    assert curl.inputs["openssl-3.3.9"] == tls.digest
    assert own(final) == own(curl).replace("--with-openssl", "--without-ssl")
    for name in ("zlib", "openssl", "curl"):
        assert sample.built(f"own_tc.{name}").program == "/bin/other"
    assert sample.built("hardened.curl").script.count("openssl-3.3.2") == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("let x = hardened with (self, super) { opensl = super.openssl };", "K0306"),
        ("let x = hardened.curl with { deps.tls = hardened.openssl.out };", "K0301"),
        ('let x = hardened.curl with { deps.tls.version = "1" };', "K0313"),
        ("let x = hardened.curl.doc;", "K0302"),
        ('let x = "%{secret("release-key")}";', "K0340"),
        ("let x: Attestation(Review) = review.with_subject(image);", "K0301"),
    ],
)
def test_mistakes_in_it_are_found_before_anything_runs(tmp_path: Path, more: str, code: str) -> None:
    with pytest.raises(CompileError) as caught:
        Sample(tmp_path, f"\n{more}\n")
    assert [report.code for report in caught.value.reports] == [code]
