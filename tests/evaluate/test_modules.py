"""Loading: where imports lead, in which order modules are checked, and what is said of those that can't be."""

from __future__ import annotations

import os

import pytest
from evaluate_cases import RecordingHost

from kiln.interpreter.evaluate.builtins import EXTERNS
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.imports import library_modules
from kiln.interpreter.modules import Loader
from kiln.lang.core import CoreFn
from kiln.lang.report import CompileError, render
from kiln.store.digest import blob_digest


def write(folder: os.PathLike[str], files: dict[str, str]) -> str:
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return next(iter(files))


def refused(path: str) -> list[str]:
    with pytest.raises(CompileError) as caught:
        Loader().load(path)
    return [render(report) for report in caught.value.reports]


def test_values_come_through_imports(tmp_path: os.PathLike[str]) -> None:
    root = write(
        tmp_path,
        {
            "app/main.kiln": 'import "../lib/a.kiln" as a;\nimport { two, Pair } from "./sub/b.kiln";\n'
            "let x = [a.one, two, (Pair(1): Pair).n];".replace("(Pair(1): Pair).n", "match Pair(3) { Pair(n) => n }"),
            "lib/a.kiln": 'import { two as zwei } from "../app/sub/b.kiln";\npub let one: Int = zwei - 1;',
            "app/sub/b.kiln": "pub let two: Int = 2;\npub type Pair = | Pair(n: Int);",
        },
    )
    program = Loader().load(root)
    assert Evaluator(program, RecordingHost()).value(program.root, "x") == (1, 2, 3)
    order = [os.path.basename(name) for name in program.modules]
    assert order == ["prelude", "b.kiln", "a.kiln", "main.kiln"]


def test_what_was_read_is_recorded(tmp_path: os.PathLike[str]) -> None:
    texts = {
        "m.kiln": 'import "./l.kiln" as l;\nimport "std/fetch" as fetch;\nlet x = l.x;',
        "l.kiln": "pub let x: Int = 1;",
    }
    program = Loader().load(write(tmp_path, texts))
    digests = dict(program.sources)
    for name, text in texts.items():
        assert digests[os.path.join(tmp_path, name)] == blob_digest(text.encode())
    assert [path for path in digests if not os.path.isabs(path)] == ["std/fetch.kiln", "std/prelude.kiln"]


def test_the_digest_of_sources_does_not_say_where_they_lie(tmp_path: os.PathLike[str]) -> None:
    files = {"p/m.kiln": 'import "../l.kiln" as l;\nlet x = l.x;', "l.kiln": "pub let x: Int = 1;"}
    found = []
    for folder in ("one", "two"):
        write(tmp_path, {f"{folder}/{name}": text for name, text in files.items()})
        found.append(Loader().load(f"{folder}/p/m.kiln").sources_digest())
    assert found[0] == found[1]
    write(tmp_path, {"two/l.kiln": "pub let x: Int = 2;"})
    assert Loader().load("two/p/m.kiln").sources_digest() != found[0]


def test_a_byte_order_mark_is_no_text(tmp_path: os.PathLike[str]) -> None:
    with open("bom.kiln", "wb") as file:
        file.write(b"\xef\xbb\xbflet x = 1;\n")
    program = Loader().load("bom.kiln")
    assert Evaluator(program, RecordingHost()).value(program.root, "x") == 1
    with open("bom.kiln", "rb") as file:
        assert dict(program.sources)[program.root] == blob_digest(file.read())


CYCLE = {
    "a.kiln": 'import "./b.kiln" as b;\npub let x: Int = b.x;',
    "b.kiln": 'import "./c.kiln" as c;\npub let x: Int = c.x;',
    "c.kiln": 'import "./a.kiln" as a;\npub let x: Int = a.x;',
}


def test_a_cycle_shows_its_chain(tmp_path: os.PathLike[str]) -> None:
    (found,) = refused(write(tmp_path, CYCLE))
    assert (
        found
        == """\
error[K0204]: these modules import each other
  --> c.kiln:1:8
1| import "./a.kiln" as a;
          ^^^^^^^^^^ this import closes the circle
  a.kiln
    imports b.kiln
    imports c.kiln
    imports a.kiln
help: move what both need into a module of its own"""
    )


def test_a_module_that_imports_itself(tmp_path: os.PathLike[str]) -> None:
    (found,) = refused(write(tmp_path, {"a.kiln": 'import "./a.kiln" as a;\nlet x = a.x;'}))
    assert found.startswith("error[K0204]: a.kiln imports itself\n  --> a.kiln:1:8")


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("std/cc", "K0205", 'help: did you mean "std/c"?'),
        ("std/../c", "K0205", "the library has no module"),
        ("std/", "K0205", "the library has no module"),
        ("toolbox", "K0206", "help: pin it: kiln pin add toolbox ADDRESS"),
        ("https://example.org/x.tar", "K0206", "help: an address is pinned under a name"),
        ("lib.kiln", "K0207", 'help: write "./lib.kiln"'),
        ("/abs/lib.kiln", "K0207", "help: begin with `./` or `../`"),
        ("./lib", "K0207", 'help: write "./lib.kiln"'),
        ("", "K0207", "names nothing"),
        ("./missing.kiln", "K0208", "there is no file missing.kiln"),
        ("./folder.kiln", "K0208", "folder.kiln is a folder"),
        ("./main.kiln/x.kiln", "K0208", "there is no file"),
    ],
)
def test_an_import_that_leads_nowhere(tmp_path: os.PathLike[str], source: str, code: str, words: str) -> None:
    os.mkdir("folder.kiln")
    root = write(tmp_path, {"main.kiln": f'import "{source}" as m;\nlet x = m.y + 1 / "a";'})
    (found,) = refused(root)
    assert found.startswith(f"error[{code}]")
    assert "--> main.kiln:1:8" in found
    assert words in found


@pytest.mark.parametrize(
    ("path", "words"),
    [("missing.kiln", "there is no file missing.kiln"), (".", ". is a folder"), ("latin.kiln", "UTF-8")],
)
def test_the_file_that_a_command_names(path: str, words: str) -> None:
    with open("latin.kiln", "wb") as file:
        file.write(b'let x = "caf\xe9";\n')
    (found,) = refused(path)
    assert words in found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: os.PathLike[str]) -> None:
    root = write(tmp_path, {"a.kiln": "let x = 1;"})
    os.chmod(root, 0)
    (found,) = refused(root)
    assert "a.kiln cannot be read: permission denied" in found


def test_mistakes_of_all_modules_come_together(tmp_path: os.PathLike[str]) -> None:
    """Each where it is, and none for a module that only imports one with mistakes."""
    root = write(
        tmp_path,
        {
            "main.kiln": 'import "./a.kiln" as a;\nimport "./b.kiln" as b;\nlet x: Str = a.x + b.x;',
            "a.kiln": "pub let x: Int = ;\nlet y = 1;",
            "b.kiln": 'pub let x: Int = "one";\npub let y: Str = 2;',
        },
    )
    found = refused(root)
    assert [line.split("\n")[1].strip() for line in found] == [
        "--> a.kiln:1:18",
        "--> b.kiln:1:18",
        "--> b.kiln:2:18",
    ]


def test_the_library_is_sound_and_every_extern_is_there() -> None:
    loader = Loader()
    names = library_modules(loader.library)
    assert {"std/c", "std/fetch"} <= set(names)
    with open("all.kiln", "w", encoding="utf-8") as file:
        file.writelines(f'import "{name}" as m{place};\n' for place, name in enumerate(names))
    program = loader.load("all.kiln")
    declared = {
        f"{module.id}/{decl.name}"
        for module in program.modules.values()
        for decl in module.decls
        if isinstance(decl, CoreFn) and decl.body is None
    }
    assert declared == set(EXTERNS)
    results = [result for name in names for result in Evaluator(program, RecordingHost()).run_tests(name)]
    assert [result.title for result in results if not result.passed] == []
