"""Which engine makes sandboxes: Kiln's own, or the one that was asked for by name. There is no falling back."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kiln.interpreter.sandbox.errors import NoEngine
from kiln.interpreter.sandbox.helper import Engine

OWN, BUBBLEWRAP = "own", "bubblewrap"
ENGINES = (OWN, BUBBLEWRAP)
VARIABLE = "KILN_SANDBOX_ENGINE"


def engine_name(asked: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The name that an option gives, or else the environment. Raises NoEngine."""
    name = asked or environment.get(VARIABLE) or OWN
    if name not in ENGINES:
        raise NoEngine(f"there is no sandbox engine {name}", expected=" or ".join(ENGINES), help=f"unset {VARIABLE}")
    return name


def make_engine(name: str) -> Engine | None:
    """The engine; None for this process's shared launcher. Raises NoEngine where it is not on this machine."""
    if name != BUBBLEWRAP:
        return None
    from kiln.interpreter.sandbox.bubblewrap import Bubblewrap

    return Bubblewrap()
