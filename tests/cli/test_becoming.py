"""`kiln run` becomes its program also where a thread is left, such as that of a download."""

from __future__ import annotations

import os

import pytest

_SCRIPT = """
import sys, threading
from kiln.commands.run import resume
if sys.argv[1] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
resume(sys.argv[2:])
"""


@pytest.mark.needs_namespaces
@pytest.mark.parametrize("left", ("nothing", "threads"))
def test_the_program_sees_the_store(ordinary, left):
    program = ordinary.write("tools/greet", '#!/bin/sh\necho "$0 $*"\nexit 42\n')
    os.chmod(program, 0o755)
    words = (os.path.dirname(program), "/kiln/store/greet", "a b", "--json")
    done = ordinary.run([*ordinary.prefix, *ordinary.python, "-c", _SCRIPT, left, *words]).expect(42)
    assert done.out == "/kiln/store/greet a b --json\n"


@pytest.mark.parametrize("left", ("nothing", "threads"))
def test_a_program_that_is_not_there(ordinary, left):
    words = (ordinary.work, "/kiln/store/nothing")
    done = ordinary.run([*ordinary.prefix, *ordinary.python, "-c", _SCRIPT, left, *words]).expect(10)
    assert "error[K0807]" in done.err
    assert "Traceback" not in done.err
