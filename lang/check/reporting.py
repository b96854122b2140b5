"""Mistakes to reports: words from mistakes.py and mismatch.py, places from declarations and their files."""

from __future__ import annotations

from collections.abc import Mapping

from kiln.lang.check.failure import Failure, Message
from kiln.lang.check.infos import Site
from kiln.lang.check.interface import Interface, SourceText
from kiln.lang.check.show import Printer
from kiln.lang.check.starts import declared_at
from kiln.lang.report import Place, Report
from kiln.lang.syntax import ast


class Reporter:
    """Collects the reports of one module, in the order of their places. One declaration tells about its first
    mistake.
    """

    def __init__(
        self, module: ast.Module, module_id: str, imports: Mapping[str, Interface], printer: Printer
    ) -> None:
        self._module = module
        self._id = module_id
        self._imports = imports
        self._printer = printer
        self._found: dict[tuple[int, str], Report] = {}

    def add(self, chunk: ast.Chunk, failed: Failure) -> None:
        message = failed.mistake.message(self._printer, tuple(failed.contexts))
        start, end = chunk.start + failed.start, chunk.start + failed.end
        place = Place(self._module.path, self._module.text, start, end)
        key = (chunk.start, "")
        if isinstance(chunk.decl, ast.Import):  # each of its names is imported by itself
            key = (chunk.start, f"{failed.start}")
        self._found.setdefault(key, self._report(message, place))

    def _report(self, m: Message, place: Place) -> Report:
        others = [(self._place(site), label) for site, label in m.others]
        known = tuple([(p, label) for p, label in others if p is not None])
        return Report(m.code, m.title, place, m.label, m.notes, known, m.help)

    def _place(self, site: Site) -> Place | None:
        source = self._source(site.module)
        if source is None or site.end == 0:
            return None
        base = declared_at(source.text, site.owner) if site.owner else 0
        return None if base is None else Place(source.path, source.text, base + site.start, base + site.end)

    def _source(self, module: str) -> SourceText | None:
        if module == self._id:
            return SourceText(self._module.path, self._module.text)
        for interface in self._imports.values():
            found = interface.sources.get(module)
            if found is not None:
                return found
        return None

    def reports(self) -> tuple[Report, ...]:
        return tuple(sorted(self._found.values(), key=lambda r: r.place.start if r.place else 0))
