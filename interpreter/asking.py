"""What a command's target comes to: FILE[#attribute] to derivations, by evaluation or from an answer that is kept.

request ──recall──► targets                          when nothing that was read has changed
        ──load, evaluate──► targets and their graph  else; the answer is kept once all is made and recorded
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from kiln.interpreter.answers import ABSENT, Answer, Target, file_digest, recall, remember
from kiln.interpreter.derivation import SourceObject, Step
from kiln.interpreter.ledger import Ledger
from kiln.interpreter.plan import Plan, take_all
from kiln.store.digest import DrvDigest
from kiln.store.store import Store

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.budget import Budget
    from kiln.interpreter.evaluate.evaluator import Evaluator
    from kiln.interpreter.evaluate.packages import Selection
    from kiln.interpreter.program import Program
    from kiln.interpreter.remote import Opener


class Request(NamedTuple):
    """A build file as the user named it, and the attribute in it; empty for its default."""

    file: str
    attribute: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `FILE[#attribute]`."""
        file, _, attribute = text.partition("#")
        return cls(file, attribute)

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(self.attribute.split(".")) if self.attribute else ()

    def __str__(self) -> str:
        return f"{self.file}#{self.attribute}" if self.attribute else self.file


class Reading(NamedTuple):
    """What evaluation read, and when it began, in ns: what says what is checked out, and the user's own sources."""

    began: int
    head: tuple[tuple[str, bytes], ...]
    sources: tuple[tuple[str, Selection | None], ...]


@dataclass(slots=True)
class Asked:
    """What requests came to; a program, a reading and an answer are None for one recalled."""

    targets: list[list[Target]] = field(default_factory=list)
    graph: dict[DrvDigest, Step] = field(default_factory=dict)
    programs: list[Program | None] = field(default_factory=list)
    readings: list[Reading | None] = field(default_factory=list)
    answers: list[Answer | None] = field(default_factory=list)
    evaluators: list[Evaluator] = field(default_factory=list)

    @property
    def wanted(self) -> list[Target]:
        return [target for group in self.targets for target in group]


def recall_all(requests: Sequence[Request], ledger: Ledger, cache: str) -> tuple[Asked, Plan] | None:
    """The targets and where they are, if every request has an answer that holds and all of it is in the store."""
    asked = Asked()
    for request in requests:
        answer = recall(cache, os.path.abspath(request.file), request.attribute)
        if answer is None:
            return None
        asked.targets.append(list(answer.targets))
        asked.programs.append(None)
        asked.readings.append(None)
        asked.answers.append(None)
    wanted = [target.item for target in asked.wanted]
    plan = take_all([item for item in wanted if not isinstance(item, SourceObject)], ledger)
    if plan is None or not all(ledger.present(item) for item in wanted if isinstance(item, SourceObject)):
        return None
    if ledger.is_contested():
        from kiln.interpreter.contested import losers

        if losers(ledger.store, plan, None):
            return None
    return asked, plan


def ask(
    requests: Sequence[Request],
    store: Store,
    trees: Opener | None = None,
    budget: Budget | None = None,
) -> Asked:
    """Evaluate the requests, each within the budget; remote modules come from `trees`.

    Raises CompileError, EvaluationError.
    """
    from kiln.lang.garbage import uncollected

    asked = Asked()
    with uncollected(keep=True):
        for request in requests:
            _ask(asked, request, store, trees, budget)
    return asked


def _ask(asked: Asked, request: Request, store: Store, trees: Opener | None, budget: Budget | None) -> None:
    began, head = time.time_ns(), head_state(request.file)
    host = StoreHost(store)
    evaluator, module = open_program(request, store, trees, budget, host)
    value = evaluator.select(module, request.path)
    name = request.attribute or evaluator.default_name(module)
    targets = evaluator.targets(value, name)
    asked.targets.append(targets)
    asked.evaluators.append(evaluator)
    asked.graph.update(evaluator.graph)
    asked.programs.append(evaluator.program)
    asked.readings.append(Reading(began, head, tuple(host.added)))
    files = tuple((path, bytes(digest)) for path, digest in evaluator.program.sources if os.path.isabs(path))
    files += tuple((path, ABSENT) for path in evaluator.program.absent)
    asked.answers.append(Answer(tuple(targets), (*files, *head), tuple(evaluator.sources)))


def keep_answers(requests: Sequence[Request], asked: Asked, cache: str) -> None:
    """Keep what was evaluated for the next time. Only where targets are made: to recall them records nothing."""
    for request, reading, answer in zip(requests, asked.readings, asked.answers, strict=True):
        if reading is not None and answer is not None:
            remember(cache, os.path.abspath(request.file), request.attribute, answer, reading.began)


def keep_values(asked: Asked) -> None:
    """Keep what lets came to, for when one of them is edited: to be called when all that is waited for is done."""
    for evaluator in asked.evaluators:
        evaluator.keep()


def head_state(build_file: str) -> tuple[tuple[str, bytes], ...]:
    """What says which commit is checked out: for another one, what the target stands for is said anew."""
    from kiln.interpreter.head import head_files

    places = head_files(os.path.dirname(os.path.abspath(build_file)))
    return tuple((place, file_digest(place) if os.path.lexists(place) else ABSENT) for place in places)


def open_program(
    request: Request,
    store: Store,
    trees: Opener | None = None,
    budget: Budget | None = None,
    host: StoreHost | None = None,
) -> tuple[Evaluator, str]:
    """The evaluator of a request's build file, and the file's module. Raises CompileError."""
    from kiln.interpreter.evaluate.evaluator import Evaluator
    from kiln.interpreter.modules import Loader

    program = Loader(trees=trees).load(request.file)
    return Evaluator(program, host or StoreHost(store), budget), program.root


class StoreHost:
    """Adds the sources that evaluation meets to a store. Implements `evaluate.host.Host`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.added: list[tuple[str, Selection | None]] = []

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        from kiln.interpreter.selecting import selector

        self.added.append((path, selection))
        folder = os.path.realpath(path)  # a link to a folder stands for the folder
        info = self._store.add_object(folder, name, move=False, select=selector(folder, selection))
        return SourceObject(info.id, info.name)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        self.added.append((path, None))
        info = self._store.add_object(os.path.realpath(path), name, move=False)
        return SourceObject(info.id, info.name)
