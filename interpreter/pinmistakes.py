"""What can be wrong with remote modules and pins: mistakes are values; `report` is the one place with their words."""

from __future__ import annotations

import difflib
from typing import NamedTuple, TypeAlias, assert_never

from kiln.interpreter.fetch.errors import FetchError
from kiln.interpreter.lock import PIN_FORM, Conflicted, LockFault, Pin, PinFault
from kiln.lang.report import Place, Report
from kiln.store.errors import StoreError


class Pinned(NamedTuple):
    """A tree's pin; `place` is the lock's line, None for a pin that an import carries."""

    name: str
    pin: Pin
    place: Place | None = None


class NotRemote(NamedTuple):
    """A source that no remote module can have."""

    source: str


class Unpinned(NamedTuple):
    """`locks` are the locks that were asked, `known` the names in them."""

    source: str
    locks: tuple[str, ...]
    known: tuple[str, ...]


class PinUnwanted(NamedTuple):
    """A pin beside the name of a file or of a library's module."""

    source: str


class PinnedTwice(NamedTuple):
    """One source with two pins in one file."""

    source: str


class BadPin(NamedTuple):
    fault: PinFault


class BadLock(NamedTuple):
    """`tree` is the remote tree whose own lock it is."""

    fault: LockFault | Conflicted
    place: Place
    tree: str | None = None


class LockUnreadable(NamedTuple):
    name: str
    problem: str


class NoModule(NamedTuple):
    """A tree without the file `sub`; `known` are its build files."""

    source: str
    sub: str
    known: tuple[str, ...]
    pinned: Pinned


class Escapes(NamedTuple):
    """A remote tree's import or path that leads out of the tree."""

    tree: str
    text: str


class NotOpened(NamedTuple):
    name: str
    error: FetchError | StoreError
    pinned: Pinned


class NoTrees(NamedTuple):
    """A program that is loaded where there is no store."""

    name: str


PinMistake: TypeAlias = (
    NotRemote | Unpinned | PinUnwanted | PinnedTwice | BadPin | BadLock | LockUnreadable | NoModule | Escapes
    | NotOpened | NoTrees
)  # fmt: skip


def report(mistake: PinMistake, place: Place | None) -> Report:
    """The report of a mistake at an import, or of a command that reads a lock (`place` None)."""
    match mistake:
        case NotRemote(source):
            title = f"`{source}` is not the name of a module"
            return Report("K0206", title, place, "names nothing", (), (), _instead_of(source))
        case Unpinned():
            return _unpinned(mistake, place)
        case PinUnwanted(source):
            title = f"`{source}` has a pin, and is no remote module"
            label = "the library's and your own files are not pinned"
            return Report("K0221", title, place, label, (), (), "take the `@` and what follows it out")
        case PinnedTwice(source):
            title = f"`{source}` is imported with two pins"
            return Report("K0221", title, place, "another pin than above", (), (), "write one import, or one pin")
        case BadPin(fault):
            notes = (f"expected {fault.expected}", f"found    {fault.found}")
            help = f"a pin is {PIN_FORM}"
            return Report("K0221", f"the pin does not parse: {fault.problem}", place, "", notes, (), help)
        case BadLock():
            return _bad_lock(mistake)
        case LockUnreadable(name, problem):
            return Report("K0220", f"{name} cannot be read: {problem}", place, "", (), (), "check its permissions")
        case NoModule():
            return _no_module(mistake, place)
        case Escapes(tree, text):
            title = f"the remote module `{tree}` reaches out of its tree"
            help = "what it needs from its user comes in by an argument"
            return Report("K0223", title, place, f"`{text}` is not in the tree", (), (), help)
        case NotOpened():
            return _not_opened(mistake, place)
        case NoTrees(name):
            title = f"the remote module `{name}` is not looked at here"
            return Report("K0206", title, place, "there is no store to have it from")
        case _:
            assert_never(mistake)


def _instead_of(source: str) -> str:
    if ":" in source:
        return f"an address is pinned under a name: kiln pin add NAME {source}"
    return 'a remote module is named like "toolbox" or "toolbox/sub"'


def _unpinned(mistake: Unpinned, place: Place | None) -> Report:
    source, locks, known = mistake
    near = difflib.get_close_matches(source, known, 1)
    where = " and ".join(locks)
    if not locks:
        note = "there is no kiln.lock beside this file, or above it"
    elif not known:
        note = f"{where} pins no module"
    else:
        note = f"{where} pins {', '.join(sorted(known))}"
    name = source.split("/")[0]
    help = f'did you mean "{near[0]}"?' if near else f"pin it: kiln pin add {name} ADDRESS"
    return Report("K0206", f"nothing pins the remote module `{source}`", place, "not in a lock", (note,), (), help)


def _bad_lock(mistake: BadLock) -> Report:
    fault, line, tree = mistake
    help = None if tree is None else f"tell the author of {tree}; a pin in your own kiln.lock comes before its lock"
    match fault:
        case Conflicted():
            title = "a merge left its marks in kiln.lock"
            help = help or "keep the lines of one side; then kiln pin update NAME brings an entry up to date"
            return Report("K0220", title, line, "two branches changed what follows", (), (), help)
        case LockFault(problem=problem, expected=expected, found=found):
            notes = (f"expected {expected}", f"found    {found}")
            return Report("K0220", problem, line, "", notes, (), help or _mended(fault, line))


def _mended(fault: LockFault, line: Place) -> str:
    """What to do about a line of one's own lock."""
    copied = line.text[line.start :].startswith("copy ")
    if fault.line == 1:
        return "take back the kiln.lock that version control has, or use the version of Kiln that wrote it"
    if fault.name is None:
        return "take the line out, and pin again what it was"
    if fault.twice:
        return "take one of the two out" + ("" if copied else f"; kiln pin update {fault.name} renews the other")
    return "take the entry out; then " + (
        f"kiln pin copy {fault.name}" if copied else f"kiln pin add {fault.name} ADDRESS"
    )


def _no_module(mistake: NoModule, place: Place | None) -> Report:
    source, sub, known, pinned = mistake
    label = f"the tree has no {sub}"
    note = (
        f"it has {', '.join(known[:12])}{' and more' if len(known) > 12 else ''}" if known else "it has no build file"
    )
    near = difflib.get_close_matches(sub, known, 1) or known[:1]
    help = None
    if near:
        inner = near[0].removesuffix(".kiln")
        help = f'write "{pinned.name if inner == "main" else f"{pinned.name}/{inner}"}"'
    return Report("K0222", f"there is no remote module `{source}`", place, label, (note,), _line_of(pinned), help)


def _not_opened(mistake: NotOpened, place: Place | None) -> Report:
    error = mistake.error
    notes = [f"expected {error.expected}"] if error.expected else []
    notes += [f"found    {error.found}"] if error.found else []
    notes += [*getattr(error, "notes", ())]
    others = _line_of(mistake.pinned)
    return Report(error.code, error.message, place, "imported here", tuple(notes), others, error.help)


def _line_of(pinned: Pinned) -> tuple[tuple[Place, str], ...]:
    return () if pinned.place is None else ((pinned.place, "pinned here"),)
