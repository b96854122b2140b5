"""How a build ends: its exit code, its signal, its outputs."""

from __future__ import annotations

import os

import pytest
import static_elf
from sandbox_room import OUT, path_of

from kiln.interpreter.sandbox.errors import ProgramMissing, SetupFailed

pytestmark = pytest.mark.needs_namespaces


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_the_builders(room, code):
    program = room.add_file("program", static_elf.exits(code))
    result = room.run(str(program)).result
    assert (result.status, result.code) == (("exit", code) if code else ("ok", 0))


def test_a_builder_that_a_signal_ends(room):
    program = room.add_file("program", static_elf.repeats(static_elf.Call(62, (0, 15))))
    result = room.run(str(program)).result
    assert (result.status, result.code) == ("signal", 15)


def test_usage_is_measured(room):
    result = room.run(str(room.add_file("program", static_elf.exits(0)))).result
    assert 0 < result.usage.cpu < 60 and 0 < result.usage.wall < 60 and result.usage.maxrss > 0


OUTPUTS = {
    "made in place": ('mkdir "$out"; echo hi > "$out/file"', "tree"),
    "moved there": ('mkdir x; echo hi > x/file; mv x "$out"', "tree"),
    "without write permission": ('mkdir "$out"; echo hi > "$out/file"; chmod 555 "$out"', "tree"),
    "a file": ('echo hi > "$out"', "file"),
    "a file moved there": ('echo hi > x; mv x "$out"', "file"),
    "a symlink": ('ln -s elsewhere "$out"', "symlink"),
}


@pytest.mark.parametrize("script, kind", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
def test_an_output_comes_to_lie_in_the_output_folder(room, script, kind, kept, mount_points):
    room.add_busybox()
    spec = room.spec(room.script(script))
    result = room.run_spec(spec, mount_points=mount_points if kept else None).result
    assert result.ok, result
    assert result.outputs == {OUT: os.path.join(spec.out_dir, path_of("result").base)}
    found = result.outputs[OUT]
    if kind == "symlink":
        assert os.readlink(found) == "elsewhere"
    else:
        with open(found if kind == "file" else f"{found}/file") as file:
            assert file.read() == "hi\n"
    assert os.listdir(spec.out_dir) == [path_of("result").base]


def test_an_output_that_is_missing_is_named(shell):
    result = shell("true").result
    assert (result.status, result.ok, result.missing) == ("ok", False, (OUT,))


def test_an_entry_that_nobody_declared_is_named(shell):
    result = shell('echo > "$out"; echo > /kiln/store/else; echo > /kiln/store/.hidden').result
    assert (result.ok, result.undeclared) == (False, (".hidden", "else"))


def test_a_symlink_among_the_inputs_is_the_same_symlink(room, shell):
    link = room.add_symlink("link", f"{path_of('busybox')}/bin")
    ran = shell(f'[ -x {link}/busybox ]; readlink {link}; echo > "$out"')
    assert ran.result.ok and ran.text == f"{path_of('busybox')}/bin\n"


def test_a_program_that_is_not_there(room):
    with pytest.raises(ProgramMissing, match="no program /bin/true"):
        room.run("/bin/true")


def test_a_program_that_is_not_executable(room):
    program = room.add_file("program", b"text", mode=0o444)
    with pytest.raises(ProgramMissing, match="can't execute"):
        room.run(str(program))


def test_an_input_that_is_gone(room):
    program = room.add_file("program", static_elf.exits(0))
    room.inputs.append(path_of("gone"))
    with pytest.raises(SetupFailed) as caught:
        room.run(str(program))
    assert "gone" in str(caught.value.found)
