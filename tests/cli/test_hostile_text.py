"""Text from outside that would steer a terminal: it is shown, and shown as what it is."""

from __future__ import annotations

import json
import os

import pytest

CLEAR = "\x1b[2J"
TITLE = "\x1b]0;owned\x07"
TURNED = "\u202egnp.exe"


def harmless(done):
    for text in (done.out, done.err):
        assert not {char for char in text if ord(char) < 0x20 and char != "\n" and char != "\t"}, repr(text)
        assert "\u202e" not in text and "\x7f" not in text and "\x9b" not in text
    return done


def failing(home):
    script = r"printf '\033[2J\033]0;owned\007\233error: bad\r\342\200\256x\n'; exit 1"
    home.write(
        "main.kiln",
        f"""import "std/c" as c;

pub let default: c.Package({{}}, {{}}, {{ out: File }}) = c.package({{
  name = "loud", version = "1", tc = c.shell, deps = {{}}, opts = {{}}, outputs = {{ out = File }},
  script = fn(b) => sh\"""
    : %{{b.out}}
    {script}
    \""",
}});
""",
    )


@pytest.mark.parametrize("words", ((), ("-v",), ("--json",), ("--progress", "json"), ("--progress", "none")))
def test_a_builder_s_log(builder, words):
    failing(builder)
    done = harmless(builder.kiln("realise", "main.kiln", *words).expect(4))
    assert "owned" in done.out + done.err


def test_a_builder_s_log_on_a_terminal(builder):
    from tests.support.terminal import on_terminal

    failing(builder)
    shown = on_terminal(builder, "realise", "main.kiln")
    assert shown.code == 4
    assert TITLE.encode() not in shown.raw and b"\x9berror" not in shown.raw
    assert shown.title == ""


def test_the_log_command_shows_and_raw_does_not_change(builder):
    failing(builder)
    builder.kiln("realise", "main.kiln").expect(4)
    shown = harmless(builder.kiln("log", "last").expect())
    assert "\\x1b[2J" in shown.out
    raw = builder.kiln("log", "last", "--raw").expect()
    assert CLEAR + TITLE in raw.out


@pytest.mark.parametrize("command", ("realise", "eval", "show", "verify", "run", "reproduce", "log"))
@pytest.mark.parametrize("attribute", (CLEAR, TITLE, TURNED, "a\nb"))
def test_an_attribute_s_name(home, command, attribute):
    home.write("main.kiln", 'pub let default: Out(File) = write_file("x", "y");\n')
    done = harmless(home.kiln(command, f"main.kiln#{attribute}"))
    assert done.code in (2, 3) and done.out == ""


@pytest.mark.parametrize("command", ("realise", "check", "eval", "show", "init"))
def test_a_file_s_name(home, command):
    done = harmless(home.kiln(command, f"no{CLEAR}{TURNED}.kiln"))
    assert done.code in (0, 2, 3)


def test_a_build_file_s_own_text(home):
    home.write("main.kiln", f'pub let default: Int = "{CLEAR}";\n')
    harmless(home.kiln("check").expect(3))
    home.write("main.kiln", f'# {TITLE}\npub let default: Int = "x";\n')
    harmless(home.kiln("check").expect(3))


def test_an_option_and_a_command(home):
    harmless(home.kiln(f"re{CLEAR}").expect(2))
    harmless(home.kiln("realise", f"--{TITLE}").expect(2))
    harmless(home.kiln("explain", CLEAR).expect(2))
    harmless(home.kiln("-C", f"no{TITLE}", "check").expect(10))
    harmless(home.kiln("--store", f"/dev/null/{TITLE}", "doctor").expect(10))


def test_a_string_s_value(home):
    home.write("main.kiln", 'pub let text: Str = "\\u{1b}[2J";\n')
    harmless(home.kiln("eval", "main.kiln#text").expect())
    document = home.kiln("eval", "main.kiln#text", "--json").expect()
    assert json.loads(document.out)["data"] == CLEAR


def test_a_name_inside_a_damaged_object(builder):
    builder.write("main.kiln", "pub let default: Out(Tree) = source(`./src`);\n")
    builder.write("src/a.txt", "a")
    path = builder.kiln("realise", "main.kiln").expect().lines[0]
    os.chmod(path, 0o755)
    with open(os.path.join(path, f"new{CLEAR}"), "w", encoding="ascii"):
        pass
    harmless(builder.kiln("doctor", "--contents").expect(10))
