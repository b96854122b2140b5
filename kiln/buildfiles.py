"""The build files that a command works on where it is given none."""

from __future__ import annotations

import os

from kiln.console import Stop


def build_files(named: list[str]) -> list[str]:
    """The files that were named, or every build file below the working folder. Raises Stop where there is none."""
    files = [file for name in named for file in _meant(name)] if named else _below(".")
    if not files:
        raise Stop("K0903", "there is no build file here", expected="a file that ends in .kiln", help="kiln init")
    return files


def _meant(name: str) -> list[str]:
    """`std` is the whole library."""
    if name != "std" or os.path.exists(name):
        return [name]
    from kiln.interpreter.opening import library_names

    return list(library_names())


def _below(start: str) -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk(start):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.startswith("result"))
        found += [os.path.relpath(os.path.join(folder, name)) for name in sorted(names) if name.endswith(".kiln")]
    return found
