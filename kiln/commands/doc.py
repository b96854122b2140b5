"""`kiln doc [FILE|std...] [--out DIR]`: pages for modules, from their comments and signatures."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from kiln.buildfiles import build_files
from kiln.console import Stop
from kiln.context import Context
from kiln.exits import Exit

if TYPE_CHECKING:
    from kiln.pages.module import Page


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="build files, std/MODULE or std; by default every *.kiln below here"
    )
    parser.add_argument("--out", metavar="DIR", help="write HTML pages here, instead of Markdown to stdout")
    parser.add_argument("--title", default="Modules", help="the heading of the index")


def run(args: argparse.Namespace, context: Context) -> int:
    pages = list({page.module: page for page in [_page(file, context) for file in build_files(args.files)]}.values())
    if args.out is None:
        _print(pages, context)
        return Exit.OK
    from kiln.pages.html import write_pages

    _apart(pages)
    if os.path.lexists(args.out) and not os.path.isdir(args.out):
        raise Stop("K0904", f"{args.out} is no folder", expected="a folder, or a place for one", help="name another")
    written = [_write(args.out, name, text) for name, text in write_pages(pages, args.title).items()]
    for path in written:
        context.console.result(path)
    context.console.document("doc", {"files": written})
    context.console.say(f"{len(pages)} {'page' if len(pages) == 1 else 'pages'} and an index")
    return Exit.OK


def _apart(pages: list[Page]) -> None:
    """Two files of one name, both from elsewhere, would have one page."""
    by_title = {page.title: page for page in pages}
    other = next((page for page in pages if by_title[page.title] is not page), None)
    if other is not None:
        raise Stop(
            "K0900",
            f"two pages would both be {other.title}.html: {other.module} and {by_title[other.title].module}",
            help="run kiln doc in the folder above both files",
        )


def _page(file: str, context: Context) -> Page:
    from kiln.interpreter.opening import open_module
    from kiln.pages.module import page_of

    program, module = open_module(file, context.trees())
    return page_of(program, module, _title(file, module))


def _title(file: str, module: str) -> str:
    """What a page is called, which is also where it is written: below the folder of pages, whatever the file."""
    if module.startswith("std/"):
        return module
    relative = os.path.relpath(file)
    return os.path.basename(file) if relative.startswith("..") else relative.replace(os.sep, "/")


def _print(pages: list[Page], context: Context) -> None:
    from kiln.pages.markdown import markdown

    context.console.result("\n".join(markdown(page) for page in pages).rstrip("\n"))
    if not context.console.json:
        return
    data = [
        {
            "module": page.title,
            "doc": page.doc,
            "items": [
                {"kind": item.kind, "name": item.name, "signature": item.signature, "doc": item.doc}
                for item in page.items
            ],
        }
        for page in pages
    ]
    context.console.document("doc", {"pages": data})


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, *name.split("/"))
    if os.path.isdir(path):
        raise Stop("K0904", f"{path} is a folder", expected="a place for a page", help="name another --out")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
