"""kiln.lock: reading gives back what was written, the documented example is one, and merges are safe."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pinned import AUTHOR, lock_of, pin_of

from kiln.interpreter import lock
from kiln.interpreter.lock import Conflicted, Copy, Lock, LockFault, Pin, PinFault, parse_lock, parse_pin, render
from kiln.store.digest import BlobDigest, RootDigest

TREE = RootDigest(bytes(32))
FILE = BlobDigest(b"\1" * 32)
REV = "4f1c" * 10
GIT = f"git+https://example.org/toolbox.git?rev={REV}"
WEB = "https://example.org/logging-2.1.tar.gz"

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,6}(/[a-z0-9][a-z0-9_]{0,4}){0,2}", fullmatch=True).filter(
    lock.is_module_name
)
digests = st.binary(min_size=32, max_size=32)
refs = st.sampled_from([None, "HEAD", "v1/x"])
pins = st.one_of(
    st.builds(lambda tree, ref: Pin(GIT, RootDigest(tree), ref=ref), digests, refs),
    st.builds(
        lambda tree, file, strip: Pin(WEB, RootDigest(tree), BlobDigest(file), strip),
        digests, digests, st.integers(0, 99),
    ),
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=60)
lines = st.lists(st.sampled_from(["", "a", "| b", "\\", "\r", "<<<<<<< x", "module x y"]), max_size=6).map("\n".join)


@given(
    st.dictionaries(names, pins, max_size=4),
    st.dictionaries(names.map(lambda name: name + ".json"), (texts | lines).map(Copy), max_size=3),
)
def test_reading_gives_back_what_was_written(modules, copies):
    whole = Lock(modules, copies)
    text = render(whole)
    assert parse_lock(text) == whole
    assert render(parse_lock(text)) == text


def test_the_order_of_entries_is_free_to_read():
    head, *entries = lock_of("a", "b", "c").split("\n\n")
    mixed = "\n\n".join([head, *(entry.rstrip("\n") for entry in reversed(entries))]) + "\n"
    assert render(parse_lock(mixed)) == lock_of("a", "b", "c")


def test_the_documented_example_is_a_lock():
    example = re.search(r"\n((?:    .*\n|\n)+)\n`module NAME", lock.__doc__)[1]
    text = re.sub(r"^    ", "", example, flags=re.MULTILINE).strip("\n") + "\n"
    text = text.replace("<64 hex>", "ab" * 32).replace("<40 hex>", "cd" * 20)
    found = parse_lock(text)
    assert (
        isinstance(found, LockFault)
        and found.problem == "the copy of `web/package-lock.json` is not what its digest says"
    )
    text = text.replace(f"package-lock.json blake3:{'ab' * 32}", f"package-lock.json {found.found}")
    whole = parse_lock(text)
    assert isinstance(whole, Lock)
    assert render(whole) == text
    assert sorted(whole.modules) == ["logging", "toolbox"]
    assert whole.copies["web/package-lock.json"].text == '{\n  "lockfileVersion": 3\n}\n'


@pytest.mark.parametrize(
    ("pin", "problem"),
    [
        (f"{GIT}", "a pin says what its tree is"),
        (f"{GIT} tree=blake3:12", "the tree of a pin does not parse"),
        (f"{GIT} strip=1 tree={TREE}", "a git address has no file and no strip"),
        (f"{GIT} tree={TREE} ref=main", "a pin's fields come once each, and in one order"),
        (f"{GIT} tree={TREE} tree={TREE}", "a pin's fields come once each, and in one order"),
        (f"{GIT}  tree={TREE}", "this is no field of a pin"),
        (f"{WEB} tree={TREE}", "the pin of an archive says what its file is"),
        (f"{WEB} ref=main file={FILE} tree={TREE}", "only a git address follows a ref"),
        (f"{WEB} strip=0 file={FILE} tree={TREE}", "the strip of a pin does not parse"),
        (f"gopher://x file={FILE} tree={TREE}", "Kiln fetches nothing by the scheme gopher:"),
        (f"git+https://x/y?ref=main tree={TREE}", "a git source names one commit in full"),
        ("", "a source begins with its scheme"),
    ],
)
def test_a_pin_that_does_not_parse(pin, problem):
    found = parse_pin(pin)
    assert isinstance(found, PinFault)
    assert found.problem == problem


def test_two_branches_that_pin_different_things_merge(tmp_path):
    """Neighbouring entries changed on two branches; where git can't tell, its marks are seen."""

    def git(*words, check=True):
        env = {**AUTHOR, "HOME": str(tmp_path)}
        return subprocess.run(["git", *words], cwd=tmp_path, env=env, capture_output=True, check=check)

    def commit(text, message):
        (tmp_path / "kiln.lock").write_text(text)
        git("add", "kiln.lock")
        git("commit", "-q", "-m", message)

    base = {name: pin_of(name) for name in ("a", "b", "c")}
    git("init", "-q", "-b", "main")
    commit(render(Lock(base)), "base")
    git("checkout", "-q", "-b", "other")
    commit(render(Lock({**base, "b": pin_of("b2")})), "other")
    git("checkout", "-q", "main")
    commit(render(Lock({**base, "a": pin_of("a2")})), "mine")
    git("merge", "-q", "other")
    merged = parse_lock((tmp_path / "kiln.lock").read_text())
    assert merged == Lock({"a": pin_of("a2"), "b": pin_of("b2"), "c": base["c"]})
    git("checkout", "-q", "-b", "third", "HEAD~1")
    commit(render(Lock({**base, "b": pin_of("b3")})), "third")
    assert git("merge", "-q", "main", check=False).returncode
    assert isinstance(parse_lock((tmp_path / "kiln.lock").read_text()), Conflicted)


def test_what_union_merge_doubles_is_seen():
    text = lock_of("a") + "\n" + lock_of("a").split("\n\n")[1]
    found = parse_lock(text)
    assert isinstance(found, LockFault)
    assert (found.line, found.name, found.twice) == (5, "a", True)


def test_the_specification_shows_the_same_example():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "docs/spec/kiln-lock.md"), encoding="utf-8") as file:
        spec = file.read()
    example = re.search(r"\n((?:    .*\n|\n)+)\n`module NAME", lock.__doc__)[1]
    assert re.sub(r"^    ", "", example, flags=re.MULTILINE).strip("\n") in spec
