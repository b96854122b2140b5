"""`kiln cache push [TARGET …]`: bring what was built here into a cache, for all who trust this builder's key.

Targets are realised first; with `--all` everything that was built or taken here goes, with `--watch` whatever is
built from now on, too. A line of the user's `caches` with `push=after-build` has each build end with a push of what
it was for and of all that was built on the way, so that whoever changes a leaf builds the leaf alone; what was
fetched or unpacked stays here, as anybody has it from where it is pinned. A push that fails then is one warning, and
never fails the build.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from kiln.commands.sizes import days, show_size
from kiln.console import Console, Stop, escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.paths import cache_root, config_root

if TYPE_CHECKING:
    from kiln.interpreter.asking import Asked, Request
    from kiln.interpreter.plan import Plan
    from kiln.store.cache.backend import Backend
    from kiln.store.cache.push import Progress, Pushed
    from kiln.store.cache.selection import Selection, Wanted
    from kiln.store.cache.settings import Setting, Settings
    from kiln.store.cache.upstream import Identity, Upstream
    from kiln.store.digest import ObjectId
    from kiln.store.store import Store

_INTERVAL = 2.0
_SHARE = 9
"""How many times as long as it works a watcher rests."""
_REPORT_EVERY = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    from kiln.commands.realise import jobs

    parser.add_argument("targets", nargs="*", metavar="TARGET", help="FILE[#attribute], a store path, a link to one")
    parser.add_argument("--to", metavar="CACHE", help="a name of `kiln cache list`, a folder, or an address")
    parser.add_argument("--all", action="store_true", help="everything that was built or taken here")
    parser.add_argument("--watch", action="store_true", help="and then whatever is built, until Ctrl-C")
    parser.add_argument("--build-inputs", action="store_true", help="and what targets were built from, if it is here")
    parser.add_argument("--no-evidence", action="store_true", help="without the envelopes of the build closure")
    parser.add_argument("--dry-run", action="store_true", help="say what would move and how many bytes")
    parser.add_argument("--anew", action="store_true", help="as if nothing were there: mends a cache that lost files")
    parser.add_argument("--name", metavar="NAME", help="what a new cache is called (from its address)")
    parser.add_argument("--as", dest="uploader", metavar="NAME", help="what the cache calls you (this host's name)")
    parser.add_argument("--good-for", type=days, default=90.0, metavar="DAYS", help="when readers ask for more (90)")
    parser.add_argument("-j", dest="jobs", type=jobs, metavar="N", help="builds at once; by default one a core")
    parser.set_defaults(trace=None, offline=False, no_cache=False, keep_going=False, push_after=False)


def run(args: argparse.Namespace, context: Context) -> int:
    if bool(args.targets) == bool(args.all or args.watch):
        raise Stop("K0900", "kiln cache push: targets, or --all, or --watch", help="kiln cache push --help")
    setting = find_cache(context, args.to, pushing=True)
    identity = identity_of(context, args.uploader)
    backend = _pretended(setting) if args.dry_run else open_for_upload(setting, make=True)
    try:
        wanted = _wanted(args, context) if args.targets else []
        if args.watch:
            return _watch(args, context, backend, identity)
        pushed = _push(args, context, backend, identity, _selected(args, context, wanted))
    finally:
        backend.close()
    _tell(context.console, pushed, setting.name)
    context.console.document("cache-push", {"cache": setting.name, "address": setting.url, **_facts(pushed)})
    return Exit.OK


def _selected(args: argparse.Namespace, context: Context, wanted: Sequence[Wanted]) -> Selection:
    from kiln.store.cache.selection import select_all, select_targets

    evidence = not args.no_evidence
    if args.all:
        return select_all(context.store(), evidence=evidence)
    return select_targets(context.store(), wanted, evidence=evidence, build_inputs=args.build_inputs)


def _push(
    args: argparse.Namespace, context: Context, backend: Backend, identity: Identity, selection: Selection
) -> Pushed:
    from kiln.store.cache.push import Options, push

    upstream = open_upstream(context, backend, identity, args.name)
    if args.anew:
        upstream.begin_anew()
    options = Options(args.dry_run, int(args.good_for * 86400), _reporter(context.console))
    return push(context.store(), upstream, identity, selection, options)


def _wanted(args: argparse.Namespace, context: Context) -> list[Wanted]:
    """The objects of targets: made first, or by path what is there."""
    from kiln.commands.storeuse import find_object
    from kiln.store.cache.selection import Wanted

    paths = [text for text in args.targets if _is_object(text, context)]
    files = [text for text in args.targets if text not in paths]
    found = [Wanted(info.id) for info in (find_object(context.store(), text) for text in paths)]
    return [*found, *(_made(files, args, context) if files else ())]


def _is_object(text: str, context: Context) -> bool:
    from kiln.store.paths import STORE_DIR

    place = os.path.realpath(text) if os.path.islink(text) else text
    return place.startswith((STORE_DIR + "/", context.store().store_dir + "/"))


def _made(texts: Sequence[str], args: argparse.Namespace, context: Context) -> list[Wanted]:
    from kiln.commands.making import make_requests
    from kiln.interpreter.asking import Request, recall_all

    requests = [Request.parse(text) for text in texts]
    asked, plan = recall_all(requests, context.ledger(), cache_root()) or make_requests(requests, args, context)
    return objects_of(requests, asked, plan)


def objects_of(requests: Sequence[Request], asked: Asked, plan: Plan) -> list[Wanted]:
    """What requests came to, each under the name it was asked for by: folder, file and attribute.

    What failed is left out.
    """
    from kiln.interpreter.derivation import SourceObject
    from kiln.store.cache.selection import Wanted

    found = []
    for request, targets in zip(requests, asked.targets, strict=True):
        file = os.path.join(*os.path.abspath(request.file).split("/")[-2:])
        for target in targets:
            made = target.item if isinstance(target.item, SourceObject) else plan.pins.get(target.item)
            if made is not None:
                found.append(Wanted(made.id, f"{file}#{target.label}"))
    return found


def built_of(asked: Asked, plan: Plan) -> list[ObjectId]:
    """What the plan's steps built, as far as they ended well."""
    from kiln.interpreter.realise import step_kind

    built = {drv for drv in plan.todo if step_kind(asked.graph[drv]) in ("build", "write")}
    return [made.id for item, made in plan.pins.items() if item.drv in built]


# Which cache, and who pushes.


def settings_of(context: Context) -> Settings:
    from kiln.store.cache.settings import load_settings

    return load_settings(os.path.join(config_root(), "caches"))


def find_cache(context: Context, named: str | None, *, pushing: bool = False) -> Setting:
    """The cache that is named, by name or address; without one, the one that is pushed to, or the only one."""
    from kiln.store.cache.settings import Setting, check_address, name_of, plain_address

    settings = settings_of(context)
    if named is None:
        some = [item for item in settings.caches if item.push] if pushing else []
        candidates = some or list(settings.caches)
        if len(candidates) == 1:
            return candidates[0]
        found = ", ".join(item.name for item in candidates) or "none"
        raise Stop("K0905", "which cache?", expected="--to NAME or --to ADDRESS", found=escape(found))
    named = plain_address(named)
    known = settings.find(named)
    if known is not None:
        return known
    if "://" not in named and "/" not in named and not os.path.isdir(named):
        raise Stop(
            "K0903", f"no cache is called {escape(named)}", help="kiln cache list; a folder is written ./folder"
        )
    url = named if "://" in named else os.path.abspath(os.path.expanduser(named))
    check_address(url, "--to")
    return Setting(name_of(url, settings.caches), url)


def open_for_upload(setting: Setting, *, make: bool = False) -> Backend:
    """The backend of a cache. A folder that isn't there is made, where the folder above it is."""
    from kiln.store.cache.settings import open_setting

    if make and "://" not in setting.url and not os.path.lexists(setting.url):
        if not os.path.isdir(os.path.dirname(setting.url)):
            raise Stop("K0903", f"there is no folder {escape(os.path.dirname(setting.url))} to make a cache in")
        os.mkdir(setting.url)
    return open_setting(setting, pushing=True)


def _pretended(setting: Setting) -> Backend:
    """For a dry run: a folder that isn't there yet is a cache with nothing in it."""
    from kiln.store.cache.backend import open_backend

    new = "://" not in setting.url and not os.path.lexists(setting.url)
    return open_backend(f"memory://{setting.name}", name=setting.name) if new else open_for_upload(setting)


def identity_of(context: Context, name: str | None) -> Identity:
    from kiln.store.cache.upstream import Identity
    from kiln.store.provenance.keychange import load_successions

    text = name or re.sub(r"[^A-Za-z0-9._@-]+", "-", socket.gethostname()).strip("-.")[:64] or "builder"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", text):
        raise Stop(
            "K0900", "not a name for an uploader", expected="letters, digits and . _ @ -, at most 64", found=text
        )
    return Identity(context.keys().signer(), text, load_successions(context.key_file()))


def open_upstream(context: Context, backend: Backend, identity: Identity, name: str | None = None) -> Upstream:
    from kiln.store.cache.settings import name_of
    from kiln.store.cache.upstream import Upstream

    called = name or re.sub(r"[^A-Za-z0-9._-]+", "-", name_of(backend.url)).strip("-._") or "cache"
    trusted = frozenset(map(str, context.policy().by_id))
    return Upstream.open(backend, identity, trusted, name=called, now=int(time.time()))


# Watching.


def _watch(args: argparse.Namespace, context: Context, backend: Backend, identity: Identity) -> int:
    """Push what there is, with --all, and then what comes, until interrupted. A failure is told once."""
    from kiln.store.cache.selection import select_all
    from kiln.store.errors import StoreError

    store, evidence = context.store(), not args.no_evidence
    began, _ = store.registered_after(0)
    known = frozenset(item.digest for item in store.all_resolutions())
    version = -1 if args.all else store.version()
    context.console.say(f"watching {store.root}: what is built goes to {escape(backend.name)}; Ctrl-C ends it")
    failing, took = False, 0.0
    while True:
        now, started = store.version(), time.monotonic()
        if now != version:
            only = None if args.all else _news(store, began, known)
            try:
                pushed = _push(args, context, backend, identity, select_all(store, only, evidence=evidence))
            except StoreError as error:
                if not failing:
                    context.console.warn(f"not pushed to {backend.name}, and tried again: {error.message}")
                failing = True
            else:
                version, failing = now, False
                if not pushed.nothing:
                    _tell(context.console, pushed, backend.name)
            took = time.monotonic() - started
        time.sleep(max(_INTERVAL, _SHARE * took))


def _news(store: Store, began: int, known: Collection[bytes]) -> frozenset[ObjectId]:
    """Objects that were registered since the log stood at `began`, or that resolutions led to that were not known.

    A changed recipe often gives the object that there was: then what is said of it is new.
    """
    said = {item.resolved for item in store.all_resolutions() if item.digest not in known}
    claimed = store.claims_for_many(said)
    return frozenset(store.registered_after(began)[1]) | {
        item.claim.object for found in claimed.values() for item in found
    }


# After a build.


def push_after_build(
    requests: Sequence[Request], asked: Asked, plan: Plan, context: Context, *, offline: bool = False
) -> None:
    """Push what was asked for, and built, to the caches that want it. A failure is one warning, never the build's."""
    from kiln.store.errors import StoreError

    try:
        caches = [item for item in settings_of(context).caches if item.push]
    except StoreError as error:
        context.console.warn(f"nothing was pushed: {error.message}")
        return
    if not caches:
        return
    if offline:
        names = ", ".join(item.name for item in caches)
        context.console.say(f"nothing was pushed to {escape(names)}: --offline; kiln cache push does it later")
        return
    wanted, built = objects_of(requests, asked, plan), built_of(asked, plan)
    for setting in caches if wanted or built else ():
        try:
            _push_quietly(setting, wanted, built, context)
        except (StoreError, OSError, Stop) as error:
            context.console.warn(f"not pushed to {setting.name}: {getattr(error, 'message', error)}")


def _push_quietly(setting: Setting, wanted: Sequence[Wanted], built: Sequence[ObjectId], context: Context) -> None:
    from kiln.store.cache.push import push
    from kiln.store.cache.selection import select_targets

    backend = open_for_upload(setting)
    try:
        identity = identity_of(context, None)
        upstream = open_upstream(context, backend, identity)
        selection = select_targets(context.store(), wanted, also=built)
        _tell(context.console, push(context.store(), upstream, identity, selection), setting.name)
    finally:
        backend.close()


# Telling.


def _reporter(console: Console) -> Callable[[Progress], None]:
    last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_EVERY:
            last = time.monotonic()
            console.say(f"  {progress.objects} of {progress.of} objects, {show_size(progress.sent)} sent")

    return report


def _tell(console: Console, pushed: Pushed, cache: str) -> None:
    name = escape(cache)
    if pushed.withheld:
        count = len(pushed.withheld)
        console.say(f"  {count} objects stay here: they were made with secrets, or refer to one that was")
    if pushed.nothing:
        console.say(f"✔ {name}: nothing to push; {_count(pushed.there, 'object')} there already")
        return
    would = "would be pushed" if pushed.dry_run else "pushed"
    moved = f"{_count(pushed.files, 'file')} of {show_size(pushed.sent)}"
    new = f"{_count(pushed.objects, 'object')} ({show_size(pushed.content)})" if pushed.objects else "records"
    evidence = f" with {_count(pushed.envelopes, 'envelope')}" if pushed.envelopes else ""
    there = f"; {_count(pushed.there, 'object')} there already" if pushed.there else ""
    console.say(f"✔ {name}: {new}{evidence} {would} in {moved}{there}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _facts(pushed: Pushed) -> dict[str, object]:
    return {
        "dryRun": pushed.dry_run,
        "objects": pushed.objects,
        "there": pushed.there,
        "content": pushed.content,
        "envelopes": pushed.envelopes,
        "records": pushed.records,
        "files": pushed.files,
        "sent": pushed.sent,
        "version": pushed.version,
        "withheld": [str(info.path) for info in pushed.withheld],
    }
