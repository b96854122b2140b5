"""Pages as HTML: one file a module and an index, each whole in itself, without scripts.

All text is escaped where it becomes HTML, in `_text`, and nowhere else. A page may load nothing: its policy allows
the style that it carries, and no more.
"""

from __future__ import annotations

import html
import posixpath
from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from kiln.lang.core import ModuleId
from kiln.pages.module import Item, Page, Section
from kiln.pages.signature import pieces
from kiln.pages.text import Block, Bullets, Code, Paragraph, blocks, summary, words

INDEX: Final = "index.html"
_STYLE: Final = """\
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --soft: #6a6a70; --line: #e4e4e8; --wash: #f6f6f8;
  --link: #0b57a4; --word: #8a3a00; --type: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6ea; --paper: #17181b; --soft: #9a9aa3; --line: #2e3036;
  --wash: #1f2125; --link: #7ab7ff; --word: #e8a36c; --type: #7fd19b; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem 1.25rem 5rem; }
nav { font-size: .9rem; color: var(--soft); }
h1 { font-size: 1.7rem; margin: .6rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
h3 a, h2 a { color: inherit; text-decoration: none; }
a { color: var(--link); }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
p code, li code, td code { background: var(--wash); border-radius: 3px; padding: .1em .3em; }
pre { background: var(--wash); border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; margin: .5rem 0; }
pre.signature { border-left: 3px solid var(--line); }
pre a { text-decoration: none; }
pre a:hover { text-decoration: underline; }
.word { color: var(--word); } .type { color: var(--type); } .comment { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
summary { color: var(--soft); font-size: .9rem; cursor: pointer; }
ul.names { columns: 12rem; padding-left: 1.1rem; font-size: .92rem; }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def file_name(title: str) -> str:
    """The file of the page with this title: `std/list` is std/list.html."""
    return f"{title}.html"


def write_pages(pages: Sequence[Page], heading: str) -> dict[str, str]:
    """Every page and the index: the text of each file by its path."""
    files = {page.module: file_name(page.title) for page in pages}
    made = {file_name(page.title): _Writer(page, files).whole() for page in pages}
    return {INDEX: _index(pages, heading), **made}


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _document(title: str, body: list[str]) -> str:
    head = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>",
        f"<style>\n{_STYLE}</style>",
        "<main>",
    ]
    return "\n".join([*head, *body, "</main>", "</html>", ""])


def _index(pages: Sequence[Page], heading: str) -> str:
    rows = [
        f'<tr><td><a href="{_text(file_name(page.title))}"><code>{_text(page.title)}</code></a></td>'
        f"<td>{_plain(summary(page.doc))}</td></tr>"
        for page in pages
    ]
    return _document(heading, [f"<h1>{_text(heading)}</h1>", "<table>", *rows, "</table>"])


def _plain(text: str) -> str:
    return "".join(f"<code>{_text(word.text)}</code>" if word.code else _text(word.text) for word in words(text))


class _Writer:
    """Writes one page. `files` are the pages that there are, by module."""

    def __init__(self, page: Page, files: Mapping[ModuleId, str]) -> None:
        self._page = page
        self._files = files
        self._own = {item.name: item for item in page.items}

    def whole(self) -> str:
        page = self._page
        body = [f'<nav><a href="{self._to(INDEX)}">all modules</a></nav>', f"<h1>{_text(page.title)}</h1>"]
        body += self._blocks(page.doc)
        names = [f'<li><a href="#{_anchor(item)}"><code>{_text(item.name)}</code></a></li>' for item in page.items]
        body += ['<ul class="names">', *names, "</ul>"] if len(names) > 3 else []
        for place, section in enumerate(page.sections):
            body += self._section(section, place)
        return _document(page.title, body)

    def _section(self, section: Section, place: int) -> list[str]:
        made = []
        if section.title:
            made.append(f'<h2 id="section-{place}"><a href="#section-{place}">{_text(section.title)}</a></h2>')
        for item in section.items:
            made += self._item(item)
        if section.examples:
            code = _text("\n".join(section.examples))
            made.append(f"<details><summary>examples, which run as tests</summary><pre>{code}</pre></details>")
        return made

    def _item(self, item: Item) -> list[str]:
        anchor = _anchor(item)
        made = [f'<h3 id="{anchor}"><a href="#{anchor}"><code>{_text(item.name)}</code></a></h3>']
        made += [self._signature(item.signature), *self._blocks(item.doc)]
        for member in item.members:
            made += [self._signature(member.signature), *self._blocks(member.doc)]
        return made

    def _signature(self, signature: str) -> str:
        parts = []
        for piece in pieces(signature, self._page.names):
            text = _text(piece.text)
            target = None if piece.target is None else self._files.get(piece.target[0])
            if target is not None and piece.target is not None:
                here = piece.target[0] == self._page.module
                where = ("" if here else self._to(target)) + f"#type.{_text(piece.target[1])}"
                parts.append(f'<a class="type" href="{where}">{text}</a>')
            elif piece.kind == "plain":
                parts.append(text)
            else:
                parts.append(f'<span class="{"word" if piece.kind == "keyword" else piece.kind}">{text}</span>')
        return f'<pre class="signature">{"".join(parts)}</pre>'

    def _blocks(self, doc: str | None) -> list[str]:
        return [self._block(block) for block in blocks(doc or "")]

    def _block(self, block: Block) -> str:
        match block:
            case Paragraph(text):
                return f"<p>{self._words(text)}</p>"
            case Bullets(items):
                return "<ul>" + "".join(f"<li>{self._words(item)}</li>" for item in items) + "</ul>"
            case Code(text):
                return f"<pre>{_text(text)}</pre>"
            case _:
                assert_never(block)

    def _words(self, text: str) -> str:
        return "".join(self._code(word.text) if word.code else _text(word.text) for word in words(text))

    def _code(self, text: str) -> str:
        """Code in a paragraph: a link, where it is the name of something that has a place."""
        code = f"<code>{_text(text)}</code>"
        item = self._own.get(text)
        if item is not None:
            return f'<a href="#{_anchor(item)}">{code}</a>'
        target = self._files.get(text)
        return code if target is None else f'<a href="{self._to(target)}">{code}</a>'

    def _to(self, file: str) -> str:
        return _text(posixpath.relpath(file, posixpath.dirname(file_name(self._page.title)) or "."))


def _anchor(item: Item) -> str:
    """Types and values have names of their own, so a type's anchor has a mark."""
    return f"type.{_text(item.name)}" if item.kind in ("type", "set") else _text(item.name)
