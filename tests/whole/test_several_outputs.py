"""Several outputs, and what a build can get wrong about them."""

from __future__ import annotations

import os

import pytest


def package(script, outputs="out = Tree, doc = File", types="out: Tree, doc: File"):
    body = "".join(f"    {line}\n" for line in script.splitlines())
    return f"""import "std/c" as c;

pub let default: c.Package({{}}, {{}}, {{ {types} }}) = c.package({{
  name = "made", version = "1", tc = c.shell, deps = {{}}, opts = {{}}, outputs = {{ {outputs} }},
  script = fn(b) => sh\"""
{body}    \""",
}});
"""


def realise(home, code=0, *words, **outputs):
    home.write("main.kiln", package(*words, **outputs))
    return home.kiln("realise", "main.kiln").expect(code)


GOOD = "mkdir %{b.out}\necho %{b.out} > %{b.doc}\necho '#!/bin/sh' > %{b.out}/self\necho %{b.out} >> %{b.out}/self"


def test_each_output_has_a_path_and_a_link(builder):
    done = realise(builder, 0, GOOD)
    assert [line.rpartition("/")[2].partition("-")[2] for line in done.lines] == ["made-1", "made-1-doc"]
    links = [os.path.realpath(os.path.join(builder.work, name)) for name in ("result", "result-2")]
    assert links == done.lines
    with open(links[1], encoding="ascii") as file:
        assert file.read().strip() == f"/kiln/store/{os.path.basename(links[0])}"
    shown = builder.kiln("show", "main.kiln#default.doc").expect().out
    assert f"references /kiln/store/{os.path.basename(links[0])}" in shown
    builder.kiln("verify", "main.kiln").expect()


def test_a_reference_to_oneself_is_rewritten(builder):
    done = realise(builder, 0, GOOD)
    with open(os.path.join(done.lines[0], "self"), encoding="ascii") as file:
        assert file.read().splitlines()[1] == f"/kiln/store/{os.path.basename(done.lines[0])}"


def test_one_output_of_several_can_be_asked_for(builder):
    builder.write("main.kiln", package(GOOD))
    done = builder.kiln("realise", "main.kiln#default.doc").expect()
    assert [line.rpartition("-")[2] for line in done.lines] == ["doc"]
    builder.kiln("realise", "main.kiln#default.man").expect(3)


WRONG = {
    "an output that is missing": ("mkdir %{b.out}", "K0452", ("no output `doc`", "main.kiln:")),
    "a folder for a file": ("mkdir %{b.out} %{b.doc}", "K0453", ("`doc`", "a regular file", "a folder")),
    "a file for a folder": ("touch %{b.out} %{b.doc}", "K0453", ("`out`", "a folder", "a file")),
    "a link for a file": ("mkdir %{b.out}; ln -s /x %{b.doc}", "K0453", ("`doc`", "a regular file")),
    "something beside the outputs": (
        "mkdir %{b.out}; touch %{b.doc} /kiln/store/mine",
        "K0452",
        ("/kiln/store", "mine"),
    ),
    "a fifo in an output": ("mkdir %{b.out}; touch %{b.doc}; mkfifo %{b.out}/pipe", "K0704", ("pipe",)),
}


@pytest.mark.parametrize(("script", "code", "said"), WRONG.values(), ids=WRONG)
def test_outputs_that_are_refused(builder, script, code, said):
    done = realise(builder, 4, script)
    assert done.out == "" and f"error[{code}]" in done.err
    for words in said:
        assert words in done.err
    assert not any("made-1" in name for name in os.listdir(builder.objects))
    assert (
        "main.kiln:" in done.err
        and "made-1" in done.err
        and "help: " in done.err
        and "; kiln debug made-1-" in done.err
    )
    assert builder.kiln("debug", "--", "ls", "/kiln/store").expect().out.count("made-1") >= 1
    builder.kiln("doctor").expect()


def test_outputs_that_refer_to_each_other(builder):
    script = (
        "mkdir -p %{b.out}/share %{b.dev}/lib\necho %{b.dev} > %{b.out}/share/one\necho %{b.out} > %{b.dev}/lib/two"
    )
    done = realise(builder, 4, script, outputs="out = Tree, dev = Tree", types="out: Tree, dev: Tree")
    assert "error[K0705]" in done.err
    assert "share/one" in done.err and "lib/two" in done.err
    assert "the outputs of made-1 cannot be stored" in done.err and "log   " in done.err
    assert builder.kiln("debug", "--", "sh", "-c", "ls /kiln/store/*made-1/share").expect().out == "one\n"
    assert not any("made-1" in name for name in os.listdir(builder.objects))
    builder.kiln("doctor").expect()
