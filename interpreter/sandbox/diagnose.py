"""Why a sandbox could not be made: a failed step turned into an error that names the remedy."""

from __future__ import annotations

import errno
import os
from typing import Any

from kiln.interpreter.sandbox.errors import NamespacesRefused, NoEngine, ProgramMissing, SandboxError, SetupFailed
from kiln.interpreter.sandbox.machine import Finding
from kiln.interpreter.sandbox.spec import SandboxSpec

_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.ENOSYS, errno.EINVAL)
_NAMESPACE_STEPS = ("EnterNamespaces", "OwnMounts", "Root", "Proc", "StartClocks", "RaiseLoopback")


def explain_failure(failed: dict[str, Any], spec: SandboxSpec, findings: list[Finding]) -> SandboxError:
    """The error for a `failed` message of the launcher, on a machine where `findings` stand in the way."""
    step, number = str(failed["step"]), int(failed["errno"])
    found = f"{step}: {failed['call']} ({failed['subject']})"
    if step == "Exec":
        return _program(spec, number)
    if step == "Bubblewrap":
        return NoEngine(
            "bubblewrap can't make this sandbox",
            found=str(failed["call"]),
            help="; ".join(finding.remedy for finding in findings) or "leave out --sandbox-engine",
        )
    if step in _NAMESPACE_STEPS and number in _REFUSALS:
        return NamespacesRefused(
            "this machine refuses the namespaces that a sandbox needs",
            found="; ".join([found, *(finding.found for finding in findings)]),
            help="; ".join(finding.remedy for finding in findings) or "kiln doctor",
        )
    return SetupFailed("a sandbox could not be made", found=found, help="kiln doctor")


def _program(spec: SandboxSpec, number: int) -> ProgramMissing:
    program = spec.argv[0]
    if number == errno.ENOENT:
        return ProgramMissing(
            f"no program {program} in the sandbox",
            expected="a path in one of the inputs, or one of `links`",
            found="no such file; or the interpreter that it names is missing",
            help="add the package that holds it to the derivation's inputs",
        )
    return ProgramMissing(
        f"the sandbox can't execute {program}",
        expected="an executable file for x86_64, on a file system that isn't mounted noexec",
        found=os.strerror(number),
    )
