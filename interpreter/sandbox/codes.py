"""The sandbox's error codes, for `kiln explain`."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0800": (
        "a sandbox failed",
        "A build's sandbox could not be run to its end. The message names what happened; `kiln doctor` checks "
        "the machine.",
    ),
    "K0801": (
        "this machine refuses the namespaces that a sandbox needs",
        "A build sees nothing of the host because the kernel gives it namespaces of its own. Some machines let only "
        "root make them, and most containers let nobody. The message names the switch that is off here. Kiln never "
        "builds without a sandbox instead, as the result would depend on the machine without anyone noticing.",
    ),
    "K0802": (
        "a step of making the sandbox failed",
        "The kernel refused a step for a reason of its own: an input that is gone, a full disk, a kernel older than "
        "Linux 5.12. The message names the step and the system call.",
    ),
    "K0803": (
        "the builder's program is not in the sandbox",
        "A sandbox holds the inputs of the derivation, its links, and nothing of the host: there is no /usr/bin. The "
        "program's path must lie in an input, and so must the interpreter that a script's first line names.",
    ),
    "K0804": (
        "a sandbox that contradicts itself",
        "Two inputs with one path, an output that is also an input, a link into a folder that the sandbox keeps for "
        "itself (/proc, /dev, /build, /tmp, /kiln), or a zero byte in an argument.",
    ),
    "K0805": (
        "a process that watches over a build was killed",
        "Kiln launches builds from a small process of its own. It, or the one that watches over this build, is gone; "
        "the build's processes ended with it. Nothing was registered. The usual reason is a machine that ran out of "
        "memory.",
    ),
    "K0808": (
        "the sandbox engine that was asked for does not work here",
        "`--sandbox-engine bubblewrap` builds with the program bwrap, for machines where it may make user namespaces "
        "and others may not. It has to be installed, and to be able to; the message says what it said. Kiln's own "
        "engine hides more of the machine, and is the usual one.",
    ),
    "K0806": (
        "root owns the store that root builds for",
        "A build never runs as root. Started by root, Kiln builds as the user who owns the store, so that owner must "
        "be another user.",
    ),
}
