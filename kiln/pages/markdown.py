"""A page as Markdown, for a terminal or a file of one's own."""

from __future__ import annotations

from kiln.pages.module import Item, Page, Section


def markdown(page: Page) -> str:
    """The page; its headings begin at the first level."""
    parts = [f"# {page.title}", *([page.doc] if page.doc else [])]
    for section in page.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}"] if section.title else []
    for item in section.items:
        parts += _item(item)
    if section.examples:
        parts.append(_code("\n".join(section.examples)))
    return parts


def _item(item: Item) -> list[str]:
    parts = [f"### {item.name}", _code(item.signature), *([item.doc] if item.doc else [])]
    for member in item.members:
        parts.append(_member(member))
    return parts


def _member(member: Item) -> str:
    doc = "" if member.doc is None else "  \n  " + member.doc.replace("\n", "\n  ")
    return f"- `{member.signature}`{doc}"


def _code(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}kiln\n{text}\n{fence}"
