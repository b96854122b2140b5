"""Declarations that were checked: neither read nor checked again while they, and what they name, are the same.

`lang.check.memory.Memory` over the entry of a module as it was last kept (modules.py), which may be of another text.
A row of it, one a declaration in the file's order, is a tuple:

    text        digest of the declaration's text
    outline     what the text says before anything is looked up; None for a type, a set and an import
    signature   None, or (key, type or None, recipes): by the text and the names in its signature
    body        None, or (key, type or None, recipes, members or None, type in words or None, first, count):
                by the texts of its group and the names in them; the core is blobs first … first + count of the module

A type is a pair: its bytes, and the declared types that it names. Digests have 16 bytes. Places are relative to the
declaration, so that a row holds wherever it stands; the same text may stand twice. A type in words holds for the
names that the module gives to types, which have a digest of their own.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from kiln.interpreter.caching.core import Facts, StoredDecls, pack_decl
from kiln.interpreter.caching.interfaces import TYPES
from kiln.interpreter.caching.meanings import HasPacked, Meanings, PackedScheme, short_digest
from kiln.lang.check.infos import MemberInfo, Site
from kiln.lang.check.memory import CorePart, KeptBody, MadeBody, Part, Signed, Unread
from kiln.lang.check.names import Scope
from kiln.lang.check.outline import Outline
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Scheme
from kiln.lang.check.world import World
from kiln.lang.core import CoreDecl, DeclKey, ModuleId
from kiln.lang.syntax import ast, chunks
from kiln.lang.syntax.lexer import find_forbidden
from kiln.lang.syntax.parser import parse_chunk

_DOCUMENTS: Final = re.compile(r"##(?!#)")
_Type: TypeAlias = "tuple[bytes, tuple[str, ...]]"
_Signature: TypeAlias = "tuple[bytes, _Type | None, tuple[str, ...]]"
_Body: TypeAlias = "tuple[bytes, _Type | None, tuple[str, ...], bytes | None, str | None, int, int]"


class Earlier(NamedTuple):
    """What is kept of a module: its rows as bytes, and its core."""

    rows: bytes
    keys: tuple[DeclKey, ...]
    blobs: tuple[bytes, ...]
    facts: tuple[Facts, ...]


class _Blobs(NamedTuple):
    """Core that was kept: some of the declarations of the earlier module."""

    keys: tuple[DeclKey, ...]
    blobs: tuple[bytes, ...]
    facts: tuple[Facts, ...]


class _Scheme(HasPacked):
    """A type that is read when it is looked at; equal bytes are one type."""

    def __init__(self, packed: PackedScheme, read: dict[bytes, Scheme]) -> None:
        self.packed = packed
        self._read = read

    def read(self) -> Scheme:
        found = self._read.get(self.packed.data)
        if found is None:
            found = self._read[self.packed.data] = TYPES.unpack(self.packed.data)
        return found


class _Row:
    """A row while it is made."""

    __slots__ = ("body", "outline", "signature")

    def __init__(self) -> None:
        self.outline: Outline | None = None
        self.signature: _Signature | None = None
        self.body: tuple[object, ...] | None = None
        """As in the format, but for the last three."""


class Declarations:
    """Remembers one module with a text. Implements `Memory`."""

    def __init__(self, id: ModuleId, text: str, earlier: Earlier | None) -> None:
        self._id = id
        self._text = text
        self._earlier = earlier
        self._digests: dict[int, bytes] = {}
        self._outlines: dict[bytes, Outline] = {}
        self._signatures: dict[bytes, _Signature] = {}
        self._bodies: dict[bytes, _Body] = {}
        self._words = self._words_now = b""
        self._read: dict[bytes, Scheme] = {}
        self._packed: dict[bytes, _Scheme] = {}
        self._rows: dict[int, _Row] = {}
        self._signed = b""
        self._asked: list[bytes] = []
        """The keys of the signature and of the bodies that were asked for last."""
        self._unread: list[Unread] = []
        self._shown: Mapping[str, str] = {}
        self._counts: dict[int, tuple[int, int]] = {}
        if earlier is not None:
            self._words, rows = marshal.loads(earlier.rows)
            for digest, known, signature, body in rows:
                if known is not None:
                    self._outlines[digest] = Outline(*known)
                if signature is not None:
                    self._signatures[signature[0]] = signature
                if body is not None:
                    self._bodies[body[0]] = body

    # ---- reading ------------------------------------------------------------------------------

    def module(self, path: str) -> ast.Module | None:
        """The declarations of the file that have to be read; None where something is wrong with it."""
        text = self._text
        preamble, parts = chunks.split(text)
        if chunks.preamble_stray(text, preamble) != preamble or find_forbidden(text, preamble) is not None:
            return None
        found: list[ast.Chunk] = []
        for start, end in parts:
            known = self._outlines.get(self._digest(start, end))
            if known is not None:
                self._unread.append(Unread(start, end, known))
                continue
            decl = parse_chunk(text[start:end])
            if not isinstance(decl, ast.Decl):
                return None
            found.append(ast.Chunk(start, end, decl))
        return ast.Module(path, text, chunks.preamble_doc(text, preamble), tuple(found))

    @property
    def unread(self) -> Sequence[Unread]:
        return self._unread

    def _digest(self, start: int, end: int) -> bytes:
        found = self._digests.get(start)
        if found is None:
            text = _without_comments_behind(self._text[start:end])
            found = self._digests[start] = short_digest(text.encode("utf-8", "surrogatepass"))
        return found

    def _row(self, start: int) -> _Row:
        found = self._rows.get(start)
        if found is None:
            found = self._rows[start] = _Row()
        return found

    # ---- names --------------------------------------------------------------------------------

    def begin(self, scope: Scope, world: World, printer: Printer) -> None:
        self._meanings = Meanings(scope, world)
        names = ([(alias, i.module) for alias, i in scope.modules.items()], list(scope.types.items()))
        self._words_now = short_digest(repr(names).encode("utf-8", "surrogatepass"))

    def changed(self) -> None:
        self._meanings.changed()

    def outlined(self, start: int, outline: Outline) -> None:
        self._row(start).outline = outline

    def _scheme(self, kept: _Type) -> _Scheme:
        data, names = kept
        found = self._packed.get(data)
        if found is None:
            found = self._packed[data] = _Scheme(PackedScheme(data, short_digest(data), names), self._read)
        return found

    def _type(self, scheme: Scheme | None) -> _Type | None:
        if scheme is None:
            return None
        packed = self._meanings.packed(scheme)
        return packed.data, packed.names

    # ---- signatures ---------------------------------------------------------------------------

    def signature(self, start: int, end: int, outline: Outline) -> Signed | None:
        key = short_digest(self._digest(start, end) + self._meanings.of(outline.signature))
        self._signed = key
        row = self._row(start)
        known = self._signatures.get(key)
        if known is None:
            return None
        row.signature = known
        _, kept, recipes = known
        return Signed(None if kept is None else self._scheme(kept), recipes)

    def keep_signature(self, start: int, scheme: Scheme | None, recipes: tuple[str, ...]) -> None:
        self._row(start).signature = self._signed, self._type(scheme), recipes

    # ---- bodies -------------------------------------------------------------------------------

    def bodies(self, group: Sequence[Part]) -> Sequence[KeptBody] | None:
        parts = [self._digest(p.start, p.end) + self._meanings.of(p.names) for p in group]
        if len(group) == 1:
            self._asked = [short_digest(b"body" + parts[0])]
        else:
            whole = short_digest(b"group" + b"".join([len(p).to_bytes(8, "little") + p for p in parts]))
            self._asked = [short_digest(whole + place.to_bytes(8, "little")) for place in range(len(group))]
        known = [self._bodies.get(key) for key in self._asked]
        found: list[KeptBody] = []
        for body, part in zip(known, group, strict=True):
            if body is None:
                return None
            found.append(self._kept(body, part.start))
        for body, part in zip(known, group, strict=True):
            assert body is not None
            self._row(part.start).body = body[:4]
        return found

    def _kept(self, body: _Body, start: int) -> KeptBody:
        _, kept, recipes, members, shown, first, count = body
        assert self._earlier is not None
        old, some = self._earlier, slice(first, first + count)
        core = _Blobs(old.keys[some], old.blobs[some], old.facts[some])
        scheme = None if kept is None else self._scheme(kept)
        words = shown if self._words == self._words_now else None
        return KeptBody(core, recipes, scheme, self._members(members, start), words)

    def keep_bodies(self, group: Sequence[Part], made: Sequence[MadeBody]) -> None:
        for key, part, body in zip(self._asked, group, made, strict=True):
            members = _packed_members(body.members, part.start) if body.members else None
            self._row(part.start).body = key, self._type(body.scheme), body.recipes, members

    def _members(self, data: bytes | None, start: int) -> Mapping[str, MemberInfo]:
        if data is None:
            return {}
        rows = TYPES.unpack(data)
        return {label: MemberInfo(t, False, Site(self._id, start + a, start + b)) for label, t, a, b in rows}

    # ---- what came out ------------------------------------------------------------------------

    def decls(self, parts: Sequence[tuple[int, CorePart]]) -> Sequence[CoreDecl]:
        keys: list[DeclKey] = []
        blobs: list[bytes] = []
        facts: list[Facts] = []
        starts: list[int] = []
        fresh: dict[int, CoreDecl] = {}
        for start, part in parts:
            if isinstance(part, _Blobs):
                kept = part
            else:
                assert isinstance(part, tuple)
                fresh.update(enumerate(part, len(keys)))
                kept = _Blobs(*zip(*map(pack_decl, part), strict=True)) if part else _Blobs((), (), ())
            self._counts[start] = len(keys), len(kept.keys)
            keys += kept.keys
            blobs += kept.blobs
            facts += kept.facts
            starts += [start] * len(kept.keys)
        return StoredDecls(tuple(keys), tuple(blobs), tuple(starts), tuple(facts), fresh)

    def shown(self, types: Mapping[str, str]) -> None:
        self._shown = types

    def packed(self) -> bytes:
        """The rows of the module as it is now."""
        rows = [self._packed_row(start, row) for start, row in sorted(self._rows.items())]
        return marshal.dumps((self._words_now, rows))

    def _packed_row(self, start: int, row: _Row) -> tuple[object, ...]:
        outline = None if row.outline is None else tuple(row.outline)
        body: tuple[object, ...] | None = None
        if row.body is not None and start in self._counts:
            name = "" if row.outline is None else row.outline.name
            body = (*row.body, self._shown.get(name), *self._counts[start])
        return self._digests[start], outline, row.signature, body


def _without_comments_behind(text: str) -> str:
    """A declaration's text reaches to the next: comments in column 0 behind it belong to neither.

    Those that are a mistake do: documentation of nothing, and what no file may hold.
    """
    end = len(text)
    last = text.rfind("\n")
    while last >= 0 and text.startswith("#", last + 1) and _DOCUMENTS.match(text, last + 1) is None:
        end = len(text[:last].rstrip())
        last = text.rfind("\n", 0, end)
    behind = text[end:]
    return text if behind and find_forbidden(behind, len(behind)) is not None else text[:end]


def _packed_members(members: Mapping[str, MemberInfo], start: int) -> bytes:
    rows = [(label, m.type, m.site.start - start, m.site.end - start) for label, m in members.items()]
    return TYPES.pack(tuple(rows))
