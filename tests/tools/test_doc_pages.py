"""kiln doc: a page of each kind as a golden file, and the library's pages as a whole.

KILN_UPDATE_GOLDEN=1 writes the golden files anew.
"""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln.interpreter.opening import library_names, open_module
from kiln.pages.html import INDEX, write_pages
from kiln.pages.markdown import markdown
from kiln.pages.module import Page, page_of
from kiln.pages.signature import pieces
from kiln.pages.text import Bullets, Code, Paragraph, blocks, summary, words

GOLDEN = Path(__file__).parent / "golden"


def page(title: str) -> Page:
    program, module = open_module(title if title.startswith("std/") else str(GOLDEN / title))
    return page_of(program, module, title)


@pytest.fixture(scope="module")
def library() -> list[Page]:
    return [page(name) for name in library_names()]


def compare(name: str, found: str) -> None:
    path = GOLDEN / name
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


def test_a_page_in_markdown() -> None:
    compare("sample.md", markdown(page("sample.kiln")))


def test_a_page_in_html() -> None:
    compare("sample.html", write_pages([page("sample.kiln"), page("std/list")], "Sample")["sample.kiln.html"])


def test_an_index() -> None:
    compare("index.html", write_pages([page("sample.kiln"), page("std/list")], "Sample <1>")[INDEX])


class Checker(HTMLParser):
    """Every element is closed, no id comes twice, nothing runs and nothing is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "link", "b"), tag
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.links += [str(value) for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_link_of_the_library_leads_somewhere(library: list[Page]) -> None:
    checked: dict[str, Checker] = {}
    for name, text in write_pages(library, "The library").items():
        checker = checked[name] = Checker()
        checker.feed(text)
        assert not checker.open
        assert len(set(checker.ids)) == len(checker.ids)
    for name, checker in checked.items():
        for link in checker.links:
            file, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(name), file)) if file else name
            assert target in checked, (name, link)
            assert not anchor or anchor in checked[target].ids, (name, link)


def test_a_type_leads_to_the_module_that_has_it(library: list[Page]) -> None:
    text = write_pages(library, "The library")["std/json.html"]
    assert '<a class="type" href="result.html#type.Result">Result</a>' in text
    assert '<a class="type" href="#type.Decoder">Decoder</a>' in text


def test_what_is_exported_is_on_the_page(library: list[Page]) -> None:
    for shown in library:
        program, module = open_module(shown.module)
        interface = program.interfaces[module]
        assert {item.name for item in shown.items} == {*interface.values, *interface.types}


def test_a_signature_is_made_up_of_its_pieces(library: list[Page]) -> None:
    for shown in library:
        for item in shown.items:
            assert "".join(piece.text for piece in pieces(item.signature, shown.names)) == item.signature


def test_no_signature_has_what_stands_behind_its_declaration(library: list[Page]) -> None:
    for shown in [*library, page("sample.kiln")]:
        for text in [
            *(item.signature for item in shown.items),
            *(e for part in shown.sections for e in part.examples),
        ]:
            assert not text.rstrip().endswith(";") and "----" not in text, text


def test_blocks() -> None:
    text = "a `b`\nc\n\n- one\n  more\n- two\n\n    code\n\n      more\n\nend"
    assert blocks(text) == [
        Paragraph("a `b`\nc"),
        Bullets(("one\nmore", "two")),
        Code("code\n\n  more"),
        Paragraph("end"),
    ]


@given(st.text(st.sampled_from("ab`- \n<&"), max_size=40))
def test_no_text_is_lost(text: str) -> None:
    shown = "\n".join(["\n".join(b.items) if isinstance(b, Bullets) else b.text for b in blocks(text)])
    assert sorted(shown.replace("-", "").split()) == sorted(text.replace("-", "").split())
    assert "".join(word.text for word in words(text)).replace("`", "").split() == text.replace("`", "").split()


def test_summaries() -> None:
    assert summary("One thing.\nAnother thing.") == "One thing."
    assert summary("    code") == summary(None) == ""
    assert summary("What e.g.x is") == "What e.g.x is"
