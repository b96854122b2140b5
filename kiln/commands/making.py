"""The part of `realise` that has something to do: evaluate, plan, make, record what the targets stand for."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.asking import Asked, Request, ask, keep_answers, keep_values
from kiln.interpreter.derivation import DrvOutput, SourceObject
from kiln.interpreter.events import Event, Sink
from kiln.interpreter.plan import Plan
from kiln.interpreter.realise import (
    Failed,
    Tally,
    open_substituter,
    plan_with,
    realise,
    step_kind,
    step_name,
)
from kiln.paths import cache_root


def make_requests(requests: Sequence[Request], args: Any, context: Context) -> tuple[Asked, Plan]:
    """Evaluate and make the requests. Raises what they raise; of failed steps, the first in the graph's order."""
    from kiln.interpreter.standing import record_targets, trees_of

    began = time.monotonic()
    asked = ask(requests, context.store(), context.trees(), context.budget)
    standing = trees_of(requests, asked)
    gc.freeze()  # it lives until the process ends: the collector need not look at it again while builds run
    items = [target.item for target in asked.wanted]
    wanted = [item for item in items if not isinstance(item, SourceObject)]
    try:
        with _ended_by_signals(), _sink(context, args.trace) as sink:
            workshop = context.workshop(sink, jobs=args.jobs, offline=args.offline, caches=_may_ask(args))
            plan, tally = realise(workshop, asked.graph, wanted, keep_going=args.keep_going)
    except Failed as failed:
        keep_values(asked)
        if args.keep_going:
            _push(requests, asked, failed.plan, args, context)
        raise _told(context, failed) from failed
    record_targets(workshop, requests, asked, standing, plan)
    keep_answers(requests, asked, cache_root())
    _push(requests, asked, plan, args, context)
    context.console.say(_summary(asked, plan, tally, time.monotonic() - began))
    keep_values(asked)
    return asked, plan


def _push(requests: Sequence[Request], asked: Asked, plan: Plan, args: Any, context: Context) -> None:
    """Bring what was made to the caches that want it, unless the command is one that does not."""
    if getattr(args, "push_after", True):
        from kiln.commands.cachepush import push_after_build

        push_after_build(requests, asked, plan, context, offline=args.offline)


def dry_run(requests: Sequence[Request], args: Any, context: Context) -> int:
    """Say what would be done."""
    asked = ask(requests, context.store(), context.trees(), context.budget)
    wanted = [target.item for target in asked.wanted if isinstance(target.item, DrvOutput)]
    workshop = context.workshop(context.progress(), offline=args.offline, caches=_may_ask(args))
    plan = plan_with(workshop, asked.graph, wanted, open_substituter(workshop, asked.graph))
    context.end_progress()
    taken = dict.fromkeys(item.drv for item in plan.offered)
    rows = [{"name": step_name(asked.graph[drv]), "kind": "take"} for drv in taken]
    rows += [{"name": step_name(asked.graph[drv]), "kind": step_kind(asked.graph[drv])} for drv in plan.todo]
    for row in rows:
        context.console.result(f"{row['kind']:<8}{row['name']}")
    context.console.document("realise", {"steps": rows})
    return Exit.OK


def _may_ask(args: Any) -> bool:
    """Whether caches may be asked; a command without the option asks them."""
    return not getattr(args, "no_cache", False)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """What asks a process to end does what Ctrl-C does, unless somebody (nohup) has it ignored."""
    import signal

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    asked = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in asked:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in asked:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _sink(context: Context, trace: str | None) -> Iterator[Sink]:
    """Where events go; taken down at the end, whatever the end is."""
    progress = context.progress()
    with ExitStack() as stack:
        stack.callback(context.end_progress)
        if trace is None:
            yield progress
            return
        import json

        from kiln.interpreter.events import event_json

        file = stack.enter_context(open(trace, "w", encoding="utf-8"))

        def both(event: Event) -> None:
            file.write(json.dumps({"schema": "kiln.event/1", "time": time.time(), **event_json(event)}) + "\n")
            progress(event)

        yield both


def raise_first(context: Context, failed: Failed) -> NoReturn:
    """Raise the first failure, the others having been shown."""
    raise _told(context, failed) from failed


def _told(context: Context, failed: Failed) -> Exception:
    """Show every failure but the first, which is raised for the command's end."""
    from kiln.problems import problems_of, show_problem

    for cause in failed.causes[1:]:
        for problem in problems_of(cause, colour=context.console.colour):
            show_problem(context.console, problem)
    return failed.causes[0]


def _summary(asked: Asked, plan: Plan, tally: Tally, seconds: float) -> str:
    items = [target.item for target in asked.wanted]
    made = [item.name if isinstance(item, SourceObject) else plan.pins[item].name for item in items]
    name = ", ".join(list(dict.fromkeys(made))[:4]) + (", …" if len(set(made)) > 4 else "")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.verdicts.items())) or "nothing to do"
    return f"✔ {name}: {counts} ({seconds:.1f}s)"
