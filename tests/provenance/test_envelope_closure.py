"""Files of envelopes: complete, without extras, each line named above; every tampering is refused."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provenance_samples import BUILDER, OWN, STRANGER, build_facts, content, digest32, fetch_facts
from test_resolution_statement import resolution

from kiln.store.digest import EnvelopeDigest, ObjectId, RootDigest, blob_digest
from kiln.store.errors import Damaged, NotInStore, StoreError, Untrusted
from kiln.store.paths import OutputName, StorePath
from kiln.store.provenance import closure, dsse
from kiln.store.provenance.closure import read_closure, write_closure
from kiln.store.provenance.errors import BadClosure, DependencyMismatch
from kiln.store.provenance.facts import BuildFacts, Dependency, Output, Recipe, RecipeForm
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.resolution import recipe_content, resolution_statement
from kiln.store.provenance.slsa import build_statement
from kiln.store.provenance.statement import envelope_digest, sign_statement


class Shelf:
    """Envelopes by digest, in memory."""

    def __init__(self) -> None:
        self.files: dict[EnvelopeDigest, bytes] = {}

    def put(self, data: bytes) -> EnvelopeDigest:
        digest = envelope_digest(data)
        self.files[digest] = data
        return digest

    def read(self, digest: EnvelopeDigest) -> bytes:
        if digest not in self.files:
            raise NotInStore("no such envelope", expected=str(digest))
        return self.files[digest]


def made(name: str) -> Output:
    object_id = ObjectId(digest32(name))
    return Output(
        OutputName("out"),
        StorePath.of(object_id, name),
        "tree",
        object_id,
        RootDigest(digest32(name)),
        content(name),
        1,
    )


def build(
    shelf: Shelf, name: str, below: list[tuple[Output, EnvelopeDigest]], signer: SecretKey = BUILDER
) -> EnvelopeDigest:
    facts = replace(
        build_facts(),
        recipe=Recipe(RecipeForm.DERIVATION, name.encode(), {"name": name}),
        outputs=(made(name),),
        dependencies=tuple(
            Dependency(item.path, item.object_id, item.root, item.content, digest) for item, digest in below
        ),
    )
    return shelf.put(sign_statement(build_statement(facts), signer))


def diamond() -> tuple[Shelf, EnvelopeDigest]:
    """a needs b, c and d; b and c need d; c needs b; d was fetched."""
    shelf = Shelf()
    fetched = fetch_facts().output
    d = shelf.put(sign_statement(build_statement(fetch_facts()), BUILDER))
    b = build(shelf, "b-1", [(fetched, d)])
    c = build(shelf, "c-1", [(fetched, d), (made("b-1"), b)])
    a = build(shelf, "a-1", [(made("c-1"), c), (made("b-1"), b), (fetched, d)])
    return shelf, a


def names(statements: object) -> list[str]:
    return [str(item.provenance.outputs[0].path.name) for item in statements]  # type: ignore[attr-defined]


SHELF, TARGET = diamond()
LINES = list(write_closure(TARGET, SHELF.read))


def read(lines: list[bytes], target: EnvelopeDigest | None = TARGET) -> closure.Closure:
    return read_closure(io.BytesIO(b"".join(lines)), OWN, target)


def test_a_closure_is_the_envelopes_one_after_another() -> None:
    assert LINES[0] == SHELF.files[TARGET]
    assert sorted(LINES) == sorted(SHELF.files.values())
    for known in (TARGET, None):
        whole = read(LINES, known)
        assert whole.target == TARGET
        assert {digest: item.data for digest, item in whole.statements.items()} == SHELF.files


def test_bottom_up_puts_everything_after_what_it_names() -> None:
    assert names(read(LINES).bottom_up()) == ["lua-5.4.4.tar.gz", "b-1", "c-1", "a-1"]


@given(st.permutations(LINES[1:]))
def test_only_orders_that_name_first_are_taken(rest: list[bytes]) -> None:
    named = {TARGET}
    fits = True
    for line in [LINES[0], *rest]:
        fits = fits and envelope_digest(line) in named
        named.update(closure.unverified_links(line))
    if fits:
        assert len(read([LINES[0], *rest]).statements) == 4
    else:
        with pytest.raises(BadClosure, match="not named"):
            read([LINES[0], *rest])


@pytest.mark.parametrize("left_out", range(4))
def test_a_missing_line_is_noticed(left_out: int) -> None:
    with pytest.raises(BadClosure) as caught:
        read([line for at, line in enumerate(LINES) if at != left_out])
    assert caught.value.code == "K0613"


@pytest.mark.parametrize("again", range(4))
def test_a_line_twice_is_refused(again: int) -> None:
    with pytest.raises(BadClosure, match="stands above"):
        read([*LINES, LINES[again]])


def test_a_line_that_nothing_names_is_refused_before_it_is_looked_into() -> None:
    shelf = Shelf()
    build(shelf, "x-1", [])
    for extra in (*shelf.files.values(), b"not even JSON\n", b"\n"):
        with pytest.raises(BadClosure, match="not named"):
            read([*LINES, extra])


def test_another_target_is_refused() -> None:
    with pytest.raises(BadClosure, match="begins with another"):
        read(LINES, EnvelopeDigest(bytes(32)))


@pytest.mark.parametrize("data", [b"", LINES[0][:-1], b"".join(LINES)[:-1]])
def test_an_empty_or_cut_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadClosure):
        read_closure(io.BytesIO(data), OWN)


WHOLE = b"".join(LINES)


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= change
    with pytest.raises(StoreError):
        read_closure(io.BytesIO(bytes(data)), OWN, TARGET)


def test_size_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closure, "MAX_ENVELOPES", 3)
    with pytest.raises(BadClosure, match="too large"):
        read(LINES)
    monkeypatch.setattr(closure, "MAX_ENVELOPES", 4)
    assert len(read(LINES).statements) == 4
    monkeypatch.setattr(closure, "MAX_BYTES", len(WHOLE) - 1)
    with pytest.raises(BadClosure, match="too large"):
        read(LINES)
    monkeypatch.setattr(closure, "MAX_BYTES", len(WHOLE))
    monkeypatch.setattr(dsse, "MAX_ENVELOPE", max(map(len, LINES)) - 1)
    with pytest.raises(BadClosure, match="too large"):
        read(LINES)


def test_a_stranger_deep_below_is_noticed() -> None:
    shelf = Shelf()
    low = build(shelf, "low-1", [], STRANGER)
    top = build(shelf, "top-1", [(made("low-1"), low)])
    with pytest.raises(Untrusted):
        read(list(write_closure(top, shelf.read)), top)


def test_a_dependency_that_its_envelope_does_not_know_is_noticed() -> None:
    shelf = Shelf()
    low = build(shelf, "low-1", [])
    top = build(shelf, "top-1", [(made("other-1"), low)])
    with pytest.raises(DependencyMismatch, match="something else"):
        read(list(write_closure(top, shelf.read)), top)


def test_a_resolution_stands_above_its_build() -> None:
    build_recipe = Recipe(RecipeForm.DERIVATION, b"a-1", {"name": "a-1"})
    said = replace(
        resolution(build=TARGET), resolved=build_recipe.digest, content=recipe_content(build_recipe), name="a-1"
    )
    shelf, _ = diamond()
    top = shelf.put(sign_statement(resolution_statement(said), BUILDER))
    assert len(read(list(write_closure(top, shelf.read)), top).statements) == 5
    wrong = shelf.put(sign_statement(resolution_statement(resolution(build=TARGET)), BUILDER))
    with pytest.raises(DependencyMismatch, match="another derivation"):
        read(list(write_closure(wrong, shelf.read)), wrong)


def test_the_writer_says_what_it_lacks_or_finds_damaged() -> None:
    shelf, target = diamond()
    lost = next(digest for digest in shelf.files if digest != target)
    kept = shelf.files.pop(lost)
    with pytest.raises(NotInStore):
        list(write_closure(target, shelf.read))
    shelf.files[lost] = kept.replace(b"a", b"b", 1)
    with pytest.raises(Damaged):
        list(write_closure(target, shelf.read))


def test_a_chain_far_deeper_than_pythons_stack() -> None:
    shelf = Shelf()
    last = build(shelf, "n0", [])
    for at in range(1, 3000):
        last = build(shelf, f"n{at}", [(made(f"n{at - 1}"), last)])
    whole = read(list(write_closure(last, shelf.read)), last)
    assert names(whole.bottom_up())[:2] == ["n0", "n1"]
    assert len(whole.bottom_up()) == 3000


def test_the_order_of_the_writer_does_not_depend_on_how_files_are_kept() -> None:
    shuffled = Shelf()
    items = list(SHELF.files.values())
    random.Random(7).shuffle(items)
    for data in items:
        shuffled.put(data)
    assert list(write_closure(TARGET, shuffled.read)) == LINES


def test_digests_are_plain_blake3_of_the_lines() -> None:
    assert [blob_digest(line) for line in LINES] == list(read(LINES).statements)
    assert isinstance(read(LINES).statements[TARGET].provenance, BuildFacts)
