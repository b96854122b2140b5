"""A clock that is ten years ahead, or behind, for a while: whole commands go on, and what is held stays."""

from __future__ import annotations

import os

import pytest

STEPPED = """
import sys, time
step = int(sys.argv.pop(1))
real, real_ns = time.time, time.time_ns
time.time, time.time_ns = (lambda: real() + step), (lambda: real_ns() + step * 10**9)
from kiln.__main__ import main
main()
"""
DECADE = 10 * 365 * 86_400
BUILD = """\
pub let text: Out(File) = write_file("text", "the same at any time");
pub let other: Out(File) = write_file("other", "made while the clock was wrong");
"""


def stepped(home, step, *words):
    """`kiln …` with its clock that many seconds ahead."""
    return home.run([*home.prefix, *home.python, "-c", STEPPED, str(step), *words])


@pytest.mark.parametrize("step", [DECADE, -DECADE])
def test_whole_commands(ordinary, step):
    ordinary.write("main.kiln", BUILD)
    before = ordinary.kiln("realise", "main.kiln#text").expect(0).out
    ordinary.kiln("realise", "main.kiln#text", "--no-link").expect(0)
    again = stepped(ordinary, step, "realise", "main.kiln#text", "--no-link").expect(0)
    assert again.out == before and "built" not in again.err
    made = stepped(ordinary, step, "realise", "main.kiln#other", "--out-link", "other").expect(0).out
    stepped(ordinary, step, "store", "verify").expect(0)
    stepped(ordinary, step, "verify", "main.kiln#text").expect(0)
    stepped(ordinary, step, "store", "gc", "--older-than", "30").expect(0)
    stepped(ordinary, step, "store", "gc").expect(0)
    assert ordinary.kiln("realise", "main.kiln#text", "--no-link").expect(0).out == before
    again = ordinary.kiln("realise", "main.kiln#other", "--no-link").expect(0)
    assert again.out == made and "built" not in again.err
    ordinary.kiln("verify", "main.kiln#other").expect(0)
    ordinary.kiln("store", "verify").expect(0)


def test_what_a_step_forwards_throws_away_is_bounded(ordinary):
    """Logs and failed trees are kept for a while, and the last of them at any age."""
    ordinary.write("main.kiln", BUILD)
    ordinary.kiln("realise", "main.kiln#text").expect(0)
    for folder, number in (("logs", 120), ("failed", 30)):
        os.makedirs(f"{ordinary.store}/{folder}", exist_ok=True)
        owner = os.stat(ordinary.store)
        os.chown(f"{ordinary.store}/{folder}", owner.st_uid, owner.st_gid)
        for count in range(number):
            with open(f"{ordinary.store}/{folder}/{count:064x}.log.zst", "wb") as file:
                file.write(b"log")
    stepped(ordinary, DECADE, "store", "gc").expect(0)
    assert len(os.listdir(f"{ordinary.store}/logs")) >= 100
    assert len(os.listdir(f"{ordinary.store}/failed")) == 20
