"""`kiln pin` and what other commands do with what it wrote, as a user sees them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pinned import AUTHOR

MAIN = 'import "toolbox" as tb;\npub let default: Out(File) = write_file("greeting.txt", tb.text);\n'


def lib(text):
    return {"main.kiln": f'pub let text: Str = "{text}";\n'}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(remote):
    """What lies in the remote folder, over HTTP; git reads it by its dumb protocol."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(remote.folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def lock(home):
    with open(os.path.join(home.work, "kiln.lock"), encoding="utf-8") as file:
        return file.read()


def test_a_branch_over_http(home, remote, server):
    home.extra["no_proxy"] = "127.0.0.1"
    repository = remote.repository("r")
    first = repository.commit(lib("one"))
    repository.git("update-server-info")
    home.write("main.kiln", MAIN)
    done = home.kiln("pin", "add", "toolbox", f"git+{server}/r/.git?ref=main").expect()
    assert done.out.startswith(f"toolbox git+{server}/r/.git?rev={first} ref=main tree=blake3:")
    assert 'pinned in kiln.lock: import "toolbox" as toolbox;' in done.err
    assert lock(home) == f"kiln.lock 1\n\nmodule {done.out}"
    home.kiln("realise", "main.kiln", "--progress", "none").expect()
    second = repository.commit(lib("two"))
    repository.git("update-server-info")
    done = home.kiln("pin", "update").expect()
    assert done.out == f"toolbox {first[:12]} → {second[:12]}\n"
    assert "1 of 1 changed" in done.err
    assert home.kiln("pin", "update", "toolbox").expect().out == ""
    home.kiln("realise", "main.kiln", "--offline", "--progress", "none").expect()
    with open(os.path.join(home.work, "result"), encoding="utf-8") as file:
        assert file.read() == "two"


def test_an_archive_over_http_and_offline_afterwards(home, remote, server):
    home.extra["no_proxy"] = "127.0.0.1"
    remote.archive("t.tar.gz", {f"t-1/{name}": text for name, text in lib("one").items()})
    home.write("main.kiln", MAIN)
    home.kiln("pin", "add", "toolbox", f"{server}/t.tar.gz").expect()
    assert " strip=1 file=blake3:" in lock(home)
    home.store = os.path.join(home.folder, "empty")
    done = home.kiln("check", "main.kiln", "--offline").expect(9)
    assert "error[K0521]" in done.err
    done = home.kiln("check", "main.kiln").expect()
    assert "fetching the module toolbox" in done.err
    os.unlink(remote.folder / "t.tar.gz")
    home.kiln("check", "main.kiln", "--offline").expect()
    home.kiln("eval", "main.kiln#default", "--offline").expect()


def test_a_changed_archive_is_exit_code_5_until_it_is_pinned_again(home, remote):
    address = remote.archive("t.tar.gz", lib("one"))
    home.write("main.kiln", MAIN)
    home.kiln("pin", "add", "toolbox", address).expect()
    old = lock(home)
    home.store = os.path.join(home.folder, "empty")
    remote.archive("t.tar.gz", lib("two"))
    done = home.kiln("realise", "main.kiln").expect(5)
    assert "error[K0501]" in done.err and "kiln.lock:3:1" in done.err
    assert home.kiln("check", "--json").expect(5).document["error"]["code"] == "K0501"
    assert home.kiln("pin", "update").expect().out.startswith("toolbox ")
    assert lock(home) != old
    home.kiln("check").expect()
    tree = lock(home).rpartition("tree=blake3:")[2].strip()
    home.write("kiln.lock", lock(home).replace(tree, "0" * 64))
    done = home.kiln("check").expect(5)
    assert "error[K0520]" in done.err and tree in done.err and "0" * 64 in done.err


def test_an_answer_holds_while_the_lock_does(home, remote):
    """What `realise` kept is used again only while kiln.lock, or its absence, is as it was."""
    home.write("sub/main.kiln", MAIN)
    home.kiln("pin", "add", "toolbox", remote.archive("one.tar.gz", lib("one"))).expect()
    target = ("sub/main.kiln", "--json", "--no-link", "--progress", "none")

    def text():
        (row,) = home.kiln("realise", *target).expect().document["data"]["results"]
        with open(row["physical"], encoding="utf-8") as file:
            return file.read()

    assert text() == "one"
    assert text() == "one"
    home.kiln("pin", "add", "toolbox", remote.archive("two.tar.gz", lib("two"))).expect()
    assert text() == "two"
    home.write("sub/kiln.lock", "kiln.lock 1\n")
    home.kiln("-C", "sub", "pin", "add", "toolbox", remote.archive("three.tar.gz", lib("three"))).expect()
    assert text() == "three"
    os.unlink(os.path.join(home.work, "sub/kiln.lock"))
    assert text() == "two"


def test_the_statement_names_the_lock(home, remote):
    from kiln.store.digest import blob_digest

    home.kiln("pin", "add", "toolbox", remote.archive("one.tar.gz", lib("one"))).expect()
    home.write("main.kiln", MAIN)
    home.write("plain.kiln", 'pub let default: Out(File) = write_file("a", "b");\n')
    expected = {"main.kiln": {"blake3": blob_digest(lock(home).encode()).hex()}, "plain.kiln": None}
    for name, wanted in expected.items():
        home.kiln("realise", name, "--no-link", "--progress", "none").expect()
        assert said(home, name) == wanted


def said(home, name):
    import base64

    envelope = json.loads(home.kiln("show", name, "--resolution").expect().out.splitlines()[0])
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]["lock"]


def test_inline_list_and_remove(home, remote):
    address = remote.archive("t.tar.gz", lib("one"))
    done = home.kiln("pin", "add", "my-tools/x", address, "--inline").expect()
    assert not os.path.exists(os.path.join(home.work, "kiln.lock"))
    home.write(
        "main.kiln", done.out.replace("my-tools/x", "tools").replace(" as x;", " as tb;") + MAIN.split("\n")[1]
    )
    home.kiln("check", "main.kiln").expect()
    home.kiln("pin", "add", "a", address).expect()
    home.kiln("pin", "add", "b", address).expect()
    home.write("package-lock.json", "{}\n")
    home.kiln("pin", "copy", "package-lock.json").expect()
    done = home.kiln("pin", "list").expect()
    assert [line.split(" ")[0] for line in done.lines] == ["a", "b", "package-lock.json"]
    assert "not fetched" not in done.out and done.lines[2].endswith("(as the file)")
    document = home.kiln("pin", "list", "--json").expect().document
    assert [row["here"] for row in document["data"]["modules"]] == [True, True]
    home.kiln("pin", "remove", "a", "package-lock.json").expect()
    assert [line.split(" ")[0] for line in home.kiln("pin", "list").expect().lines] == ["b"]
    done = home.kiln("pin", "remove", "a").expect(2)
    assert "error[K0906]: kiln.lock has no entry `a`" in done.err


def test_copies_are_what_evaluation_sees(home):
    home.write("main.kiln", 'import "std/lock" as lock;\npub let x: Str = lock.lock_file("web/Cargo.lock");\n')
    assert "error[K0404]: kiln.lock has no copy of web/Cargo.lock" in home.kiln("eval", "main.kiln#x").expect(3).err
    home.write("web/Cargo.lock", "version = 3")
    home.kiln("pin", "copy", "web/Cargo.lock").expect()
    assert home.kiln("eval", "main.kiln#x").expect().out == '"version = 3"\n'
    home.write("web/Cargo.lock", "version = 4\n")
    assert home.kiln("eval", "main.kiln#x").expect().out == '"version = 3"\n'
    assert "(the file has changed: kiln pin update)" in home.kiln("pin", "list").expect().out
    home.kiln("pin", "update").expect()
    assert home.kiln("eval", "main.kiln#x").expect().out == '"version = 4\\n"\n'
    os.unlink(os.path.join(home.work, "web/Cargo.lock"))
    assert "its copy is left as it is" in home.kiln("pin", "update").expect().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("add", "std/x", "file:///x"), 2, "error[K0906]: `std/x` is no name for a remote module"),
        (("add", "x.kiln", "file:///x"), 2, "error[K0906]"),
        (("add", "x", "gopher://x"), 3, "error[K0502]"),
        (("add", "x", "file:///nowhere/x.tar.gz"), 4, "error[K0503]"),
        (("add", "x", "git+file:///nowhere/x"), 4, "error[K0503]"),
        (("add", "x", "git+https://example.org/x?branch=y"), 3, "error[K0502]: a git address ends in one ref"),
        (("add", "x", "git+https://example.org/x?rev=abc"), 3, "error[K0502]: a git source names one commit in full"),
        (("update", "y"), 2, "error[K0906]: kiln.lock has no entry `y`"),
        (("copy", "../outside"), 2, "error[K0906]: ../outside can't be copied: it lies outside the project"),
        (("copy", "binary"), 2, "error[K0906]: binary can't be copied: it is not text in UTF-8"),
        (("copy", "missing"), 10, "error[K0807]"),
        (("sign",), 2, "error[K0900]"),
        ((), 2, "error[K0900]"),
    ],
)
def test_what_cannot_be_done(home, words, code, says):
    with open(os.path.join(home.work, "binary"), "wb") as file:
        file.write(b"\xff\0")
    done = home.kiln("pin", *words).expect(code)
    assert says in done.err
    assert done.out == ""
    assert not os.path.exists(os.path.join(home.work, "kiln.lock"))


def test_refs_are_chosen_by_name(home, remote):
    repository = remote.repository("r")
    first = repository.commit(lib("one"))
    repository.git("tag", "-a", "-m", "v", "v1")
    repository.git("branch", "both")
    second = repository.commit(lib("two"))
    repository.git("tag", "both")

    def rev(query):
        done = home.kiln("pin", "add", "toolbox", repository.address + query).expect()
        return done.out.partition("rev=")[2].split(" ")[0], "ref=" in done.out

    assert rev("") == (second, True)
    assert rev("?ref=v1") == (first, True)
    assert rev("?ref=refs/heads/both") == (first, True)
    assert rev(f"?rev={first}") == (first, False)
    assert "0 of 1 changed" in home.kiln("pin", "update").expect().err
    done = home.kiln("pin", "add", "x", repository.address + "?ref=both").expect(3)
    assert "`both` is a branch and a tag" in done.err
    done = home.kiln("pin", "add", "x", repository.address + "?ref=mian").expect(4)
    assert "no branch or tag `mian`" in done.err and done.err.rstrip().endswith("?ref=main")


def test_a_tree_without_modules(home, remote):
    done = home.kiln("pin", "add", "x", remote.archive("n.tar.gz", {"README": "none"})).expect(3)
    assert "error[K0222]" in done.err
    done = home.kiln("pin", "add", "x", remote.archive("l.tar.gz", {"lib/a.kiln": "", "b": ""})).expect()
    assert 'import one of its modules, "x/lib/a"' in done.err


def test_the_import_that_is_shown_names_a_module_that_is_there(home, remote):
    repository = remote.repository("r")
    repository.commit({"words.kiln": 'pub let text: Str = "one";\n'})
    done = home.kiln("pin", "add", "toolbox", repository.address).expect()
    shown = done.err.rpartition("pinned in kiln.lock: ")[2]
    assert shown == 'import "toolbox/words" as words;\n'
    home.write("main.kiln", f"{shown}pub let default: Str = words.text;\n")
    assert home.kiln("eval", "main.kiln").expect().out == '"one"\n'


def test_merge_marks_stop_every_command(home):
    home.write("kiln.lock", "kiln.lock 1\n\n<<<<<<< HEAD\n=======\n>>>>>>> x\n")
    home.write("main.kiln", 'import "toolbox" as t;\n')
    for words in (("pin", "list"), ("pin", "update"), ("check", "main.kiln"), ("realise", "main.kiln")):
        done = home.kiln(*words).expect(3)
        assert "error[K0220]: a merge left its marks in kiln.lock\n  --> kiln.lock:3:1" in done.err


def test_two_commands_at_once_lose_nothing(home, remote):
    names = [f"m{number}" for number in range(4)]
    addresses = {name: remote.archive(f"{name}.tar.gz", lib(name)) for name in names}
    home.kiln("key", "show").expect()
    running = [
        home.start("pin", "add", name, addresses[name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in names
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert [line.split(" ")[0] for line in home.kiln("pin", "list").expect().lines] == names


def test_the_lock_is_made_at_the_top_of_the_work_tree(home, remote):
    subprocess.run(["git", "init", "-q"], cwd=home.work, env={**AUTHOR, "HOME": home.work}, check=True)
    os.makedirs(os.path.join(home.work, "a/b"))
    address = remote.archive("t.tar.gz", lib("x"))
    home.kiln("-C", "a/b", "pin", "add", "toolbox", address).expect()
    assert lock(home).startswith("kiln.lock 1\n")


def test_a_tree_that_two_names_have_is_kept_for_the_other(home, remote):
    from kiln.store.store import Store

    address = remote.archive("t.tar.gz", lib("x"))
    for name in ("a", "b"):
        home.kiln("pin", "add", name, address).expect()
    for name, roots in (("a", 1), ("b", 0)):
        home.kiln("pin", "remove", name).expect()
        with Store.open(home.store) as store:
            assert len(store.roots()) == roots
