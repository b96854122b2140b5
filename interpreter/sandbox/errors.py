"""What can go wrong around a sandbox: one root, one class a kind of failure.

A builder that fails, or runs into a limit, is no error: it is a `SandboxResult`.
"""

from __future__ import annotations


class SandboxError(Exception):
    """Root of the sandbox's errors.

    `code` is stable and known to `kiln explain`; `found` and `expected` are facts, not sentences;
    `help` is one safe next step.
    """

    code = "K0800"

    def __init__(
        self, message: str, *, found: str | None = None, expected: str | None = None, help: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.help = help


class NamespacesRefused(SandboxError):
    """This machine doesn't let this user make the namespaces that a sandbox consists of."""

    code = "K0801"


class SetupFailed(SandboxError):
    """A step of the plan failed for another reason: a full disk, a missing input, an old kernel."""

    code = "K0802"


class ProgramMissing(SandboxError):
    """The builder's program does not exist inside the sandbox, or can't be executed there."""

    code = "K0803"


class BadSpec(SandboxError):
    """A sandbox that can't be planned: a link over an input, an output that is an input, a NUL byte."""

    code = "K0804"


class HelperDied(SandboxError):
    """The process that launches sandboxes, or the one that watches over this one, was killed."""

    code = "K0805"


class NoEngine(SandboxError):
    """The sandbox's engine that was asked for is not on this machine, or can't make sandboxes."""

    code = "K0808"


class StoreOwnedByRoot(SandboxError):
    """A build never runs as root, so that root's builds need a store that another user id owns."""

    code = "K0806"
