"""Planning: pure, printable, refusing what contradicts itself, the same after its trip over the wire."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from sandbox_room import OUT, path_of

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.errors import BadSpec
from kiln.interpreter.sandbox.operations import decode_plan, encode_plan
from kiln.interpreter.sandbox.plan import plan_sandbox, show_plan
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec, decode_spec, encode_spec

STORE = "/home/ada/.local/share/kiln/store"
USER, ROOT = Identity(1001, 1002, as_root=False), Identity(30000, 30000, as_root=True)
SPEC = SandboxSpec(
    inputs=tuple((f"{STORE}/{path_of(name).base}", path_of(name)) for name in ("zlib", "busybox")),
    outputs=((OUT, path_of("lua")),),
    build_dir="/home/ada/.local/share/kiln/.tmp/1/build",
    out_dir="/home/ada/.local/share/kiln/.tmp/1/out",
    argv=(f"{path_of('busybox')}/bin/busybox", "sh", "-c", "make"),
    env=(("CFLAGS", "-O2"), ("PATH", "/kiln/bin")),
    links=(("/usr/bin/env", f"{path_of('busybox')}/bin/busybox"), ("/bin/sh", f"{path_of('busybox')}/bin/busybox")),
    limits=Limits(1, 2, 3),
)
GOLDEN = os.path.join(os.path.dirname(__file__), "golden")


@pytest.mark.parametrize("name, identity", [("user", USER), ("root", ROOT)])
def test_the_plan_as_it_is_shown(name, identity):
    shown = "\n".join(show_plan(plan_sandbox(SPEC, identity))) + "\n"
    path = os.path.join(GOLDEN, f"plan-{name}.txt")
    if os.environ.get("KILN_UPDATE_GOLDEN"):
        with open(path, "w") as file:
            file.write(shown)
    with open(path) as file:
        assert shown == file.read()


@pytest.mark.parametrize("identity", [USER, ROOT])
def test_a_plan_is_the_same_after_the_wire(identity):
    odd = replace(SPEC, env=(("NAME", "not UTF-8: \udcff\udc80, not ASCII: ü, line\nfeed"),))
    plan = plan_sandbox(odd, identity)
    assert decode_plan(encode_plan(plan)) == plan


def test_a_spec_is_the_same_after_its_json():
    assert decode_spec(encode_spec(SPEC)) == SPEC


def test_secrets_are_in_no_text():
    spec = replace(SPEC, secrets=(("token", "hidden"),))
    assert "hidden" not in repr(spec) + encode_spec(spec).decode() + "".join(show_plan(plan_sandbox(spec, USER)))
    assert decode_spec(encode_spec(spec)).secrets == ()


def test_the_plan_is_the_same_for_root_and_user_but_for_how_it_is_entered():
    user, root = plan_sandbox(SPEC, USER), plan_sandbox(SPEC, ROOT)
    copies = [step for step in root.enter if type(step).__name__ == "CopyTree"]
    assert [step for step in user.inside if step not in copies] == list(root.inside)
    assert user.builder == root.builder


BAD = {
    "no program": {"argv": ()},
    "another name": {"inputs": ((f"{STORE}/zlib", path_of("zlib")),)},
    "a relative place": {"inputs": ((path_of("zlib").base, path_of("zlib")),)},
    "an input twice": {"inputs": SPEC.inputs[:1] * 2},
    "an output that is an input": {"outputs": ((OUT, path_of("zlib")),)},
    "a variable without a name": {"env": (("", "x"),)},
    "a variable with =": {"env": (("A=B", "x"),)},
    "zero in an argument": {"argv": ("/bin/sh", "a\0b")},
    "zero in a variable": {"env": (("A", "a\0b"),)},
    "zero in a link": {"links": (("/bin/sh", "a\0b"),)},
    "a relative link": {"links": (("bin/sh", "x"),)},
    "a link upwards": {"links": (("/bin/../proc/x", "x"),)},
    "a link at the root": {"links": (("/", "x"),)},
    "a link over proc": {"links": (("/proc/x", "x"),)},
    "a link in the store": {"links": (("/kiln/store/x", "x"),)},
    "a link in the build": {"links": (("/build/x", "x"),)},
    "a link in place of a folder": {"links": (("/tmp", "x"),)},
    "a link in place of etc": {"links": (("/etc", "x"),)},
    "a link over the users": {"links": (("/etc/passwd", "x"),)},
    "a link below a link": {"links": (("/bin", "x"), ("/bin/sh", "y"))},
    "a link twice": {"links": (("/bin/sh", "x"), ("/bin/sh", "y"))},
    "a secret in a folder": {"secrets": (("a/b", "x"),)},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_a_spec_that_contradicts_itself_is_refused(changes):
    with pytest.raises(BadSpec) as caught:
        plan_sandbox(replace(SPEC, **changes), USER)
    assert caught.value.message


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"inputs": 1}', b"\xff", encode_spec(SPEC)[:-2]])
def test_a_damaged_description_is_refused(data):
    with pytest.raises(BadSpec):
        decode_spec(data)
