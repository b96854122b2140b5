"""`make demo`: the main job once, from nothing, each command shown as one would type it, and how long it took.

Everything goes into `.demo/` beside this checkout: its own store, cache and key. Nothing outside is touched.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLACE = os.path.join(HERE, ".demo")
LUA = "examples/lua.kiln"


def main() -> int:
    began = time.monotonic()
    clear(PLACE)
    say("A sandbox needs user namespaces; this machine:")
    kiln("doctor")
    say("Tools are fetched by digest and unpacked; tcc compiles itself to its fixpoint; then make, zlib and lua:")
    trace = os.path.join(PLACE, "trace.jsonl")
    kiln("realise", "examples/make.kiln", "examples/zlib.kiln", LUA, "--no-link", "--trace", trace)
    build, fetched = measure(trace)
    say("What was built runs, with /kiln/store in sight:")
    kiln("run", LUA, "--", "-e", "print('hello from ' .. _VERSION)")
    say("Hashes, signatures and provenance, checked offline:")
    kiln("verify", LUA)
    say("Everything that lua was built from, as signed envelopes in one file:")
    closure = os.path.join(PLACE, "lua.jsonl")
    with open(closure, "wb") as file:
        kiln("show", LUA, "--provenance", "--closure", output=file.fileno(), into=closure)
    say("From that file alone, in a fresh store: no build file is read, and every output is compared:")
    kiln("reproduce", closure)
    total = time.monotonic() - began
    print(f"\ndemo: {total:.1f} s in all; the build part {build:.1f} s; {fetched / 1e6:.1f} MB fetched")
    return 0


def kiln(*words: str, output: int | None = None, into: str | None = None) -> None:
    """Run one command, showing it; ends the demo where it fails."""
    shown = " ".join(
        shlex.quote(word) for word in ("kiln", *(os.path.relpath(w) if w.startswith(PLACE) else w for w in words))
    )
    print(f"\n$ {shown}{' > ' + os.path.relpath(into) if into else ''}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "kiln", *words], cwd=HERE, env=environment(), stdout=output, check=False
    )
    print(f"  ({time.monotonic() - began:.1f} s)", flush=True)
    if done.returncode:
        print(f"demo: the command above ended with exit code {done.returncode}", file=sys.stderr)
        sys.exit(done.returncode)


def environment() -> dict[str, str]:
    """The user's own, with every folder of Kiln's inside the demo's."""
    folders = {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
    kept = {name: value for name, value in os.environ.items() if name != "KILN_STORE"}
    return {**kept, **{name: os.path.join(PLACE, folder) for name, folder in folders.items()}}


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def measure(trace: str) -> tuple[float, int]:
    """Seconds in which something was unpacked or built, and the bytes that were fetched."""
    with open(trace, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    ended = [event for event in events if event["event"] == "StepFinished"]
    work = [(event["time"] - event["seconds"], event["time"]) for event in ended if event["kind"] != "fetch"]
    store = os.path.join(PLACE, "data", "kiln", "store")
    names = [os.path.basename(path) for event in ended if event["kind"] == "fetch" for path in event["paths"]]
    return covered(work), sum(os.path.getsize(os.path.join(store, name)) for name in names)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans of time."""
    total, reached = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def clear(folder: str) -> None:
    """Remove what an earlier demo left; a store's folders are read-only."""
    if os.path.isdir(folder):
        for path, folders, _ in os.walk(folder):
            for name in folders:
                place = os.path.join(path, name)
                if not os.path.islink(place):
                    os.chmod(place, 0o755)
        subprocess.run(["rm", "-rf", "--", folder], check=True)
    os.makedirs(folder)


if __name__ == "__main__":
    sys.exit(main())
