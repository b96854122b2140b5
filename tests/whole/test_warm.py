"""`kiln realise` with nothing to do: what it imports is held here, since that is nearly all the time it takes."""

from __future__ import annotations

import os
import time

from tests.support.home import target

GOLDEN = os.path.join(os.path.dirname(__file__), "golden", "warm-modules.txt")
FORBIDDEN = (
    "aiohttp",
    "argparse",
    "asyncio",
    "ctypes",
    "email",
    "fsspec",
    "git",
    "http",
    "importlib.metadata",
    "json",
    "kiln.interpreter.evaluate",
    "kiln.interpreter.fetch",
    "kiln.interpreter.making",
    "kiln.interpreter.modules",
    "kiln.interpreter.realise",
    "kiln.interpreter.sandbox",
    "kiln.lang",
    "kiln.progress",
    "kiln.store.provenance",
    "lark",
    "logging",
    "nacl",
    "pathlib",
    "selectors",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "tomllib",
    "urllib",
    "uuid",
    "zstandard",
)
"""Neither these nor what lies below them."""
_RUN = """
import sys
before = set(sys.modules)
from kiln.__main__ import run
code = run(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""


def warm(home, *words):
    """A realisation that has nothing to do, and the modules that it imported."""
    command = ("realise", target("lua"), *words)
    home.kiln(*command).expect()
    done = home.run([*home.prefix, *home.python, "-c", _RUN, *command]).expect()
    return done, done.err.split()


def test_nothing_heavy_is_imported(first):
    done, modules = warm(first, "--no-link")
    assert done.lines == [line for line in done.lines if os.path.exists(os.path.join(line, "bin/lua"))]
    heavy = [name for name in modules for bad in FORBIDDEN if name == bad or name.startswith(f"{bad}.")]
    assert heavy == []


def test_the_result_link_costs_no_heavy_import(first):
    _, modules = warm(first)
    assert not {"argparse", "subprocess", "tempfile", "pathlib", "shutil", "logging"} & set(modules)
    assert not any(name.startswith(("kiln.lang.", "kiln.interpreter.evaluate", "nacl")) for name in modules)


def test_kiln_s_own_modules_on_that_path(first):
    _, modules = warm(first, "--no-link")
    found = "".join(f"{name}\n" for name in modules if name.partition(".")[0] == "kiln")
    if os.environ.get("KILN_UPDATE_GOLDEN") == "1":
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.write(found)
    with open(GOLDEN, encoding="utf-8") as file:
        assert found == file.read()


def test_wall_time_is_reported(first, record_property):
    """The best of several runs, for whoever reads the report; no machine fails for being slow."""
    warm(first, "--no-link")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        first.kiln("realise", target("lua"), "--no-link").expect()
        times.append(time.perf_counter() - began)
    record_property("warm_realise_ms", round(min(times) * 1000))
    assert len(times) == 5
