"""Small pieces of sentences."""

from __future__ import annotations


def listed(names: tuple[str, ...]) -> str:
    return ", ".join([f"`{n}`" for n in names])


def counted(n: int, what: str) -> str:
    return f"no {what}s" if n == 0 else f"one {what}" if n == 1 else f"{n} {what}s"


def a(shown: str) -> str:
    """`a cc.Lib`, `an Int`; a type without a name as it is."""
    if shown.startswith("fn("):
        return f"a function, {shown}"
    if shown[:1] in "{[_":
        return shown
    if shown[:1].islower() and "." not in shown:  # a variable of the signature
        return f"`{shown}`"
    return ("an " if shown[:1] in "AEIOUaeio" else "a ") + shown
