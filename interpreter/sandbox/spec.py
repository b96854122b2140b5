"""What a sandbox is to hold: the facts about one build, before it is planned.

As JSON, for keeping beside a failed build:

    {"inputs": [["/home/ada/…/store/3v9q…-zlib-1.3", "3v9q…-zlib-1.3"], …], "outputs": [["out", "7h2k…-lua-5.4"]],
     "build_dir": …, "out_dir": …, "argv": […], "env": [[name, value] …], "links": [[path, target] …],
     "limits": {"time": 3600, "silence": 1200, …}, "tmp_dir": null}

Secrets are never part of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from kiln.interpreter.derivation import AMOUNTS, Limits
from kiln.interpreter.sandbox.errors import BadSpec
from kiln.store.errors import StoreError
from kiln.store.paths import OutputName, StorePath


class Identity(NamedTuple):
    """Who builds: the user and group outside, and whether root has to step down to them."""

    uid: int
    gid: int
    as_root: bool


_NO_OTHER_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One build's sandbox.

    `inputs`: the closure's members, each with its physical path, whose last component is the store path's.
    `outputs`: each output's scratch path. `build_dir` (shown as /build) and `out_dir` (shown as /kiln/store) are
    empty directories on the store's file system that the build's user owns or root hands over; `tmp_dir` likewise
    as /tmp, or None for a tmpfs. `argv[0]` is a path inside.
    """

    inputs: tuple[tuple[str, StorePath], ...]
    outputs: tuple[tuple[OutputName, StorePath], ...]
    build_dir: str
    out_dir: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    limits: Limits = _NO_OTHER_LIMITS
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tmp_dir: str | None = None


def encode_spec(spec: SandboxSpec) -> bytes:
    """The spec's JSON without its secrets."""
    return json.dumps(
        {
            "inputs": [[physical, path.base] for physical, path in spec.inputs],
            "outputs": [[output, path.base] for output, path in spec.outputs],
            "build_dir": spec.build_dir,
            "out_dir": spec.out_dir,
            "argv": spec.argv,
            "env": spec.env,
            "links": spec.links,
            "limits": spec.limits.amounts(),
            "tmp_dir": spec.tmp_dir,
        }
    ).encode()


def decode_spec(data: bytes) -> SandboxSpec:
    """Read a spec's JSON. Raises BadSpec."""
    try:
        fields = json.loads(data)
        time, silence, log, memory, processes, disk = (int(fields["limits"].get(name, 0)) for name in AMOUNTS)
        return SandboxSpec(
            inputs=tuple((str(physical), StorePath.parse(base)) for physical, base in fields["inputs"]),
            outputs=tuple((OutputName.parse(name), StorePath.parse(base)) for name, base in fields["outputs"]),
            build_dir=str(fields["build_dir"]),
            out_dir=str(fields["out_dir"]),
            argv=tuple(map(str, fields["argv"])),
            env=tuple((str(name), str(value)) for name, value in fields["env"]),
            links=tuple((str(path), str(target)) for path, target in fields["links"]),
            limits=Limits(time, silence, log, memory, processes, disk),
            tmp_dir=None if fields["tmp_dir"] is None else str(fields["tmp_dir"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError, StoreError) as error:
        raise BadSpec("not a sandbox's description", found=str(error)) from error
