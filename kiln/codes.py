"""The command line's own error codes, for `kiln explain`."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0807": (
        "this machine refused a file operation",
        "A file or a folder could not be read, written or made. The message names it and says what the system said.",
    ),
    "K0900": (
        "a command was called in a way it doesn't know",
        "`kiln COMMAND --help` shows the options and arguments of a command.",
    ),
    "K0901": ("there is no such command", "`kiln --help` lists the commands."),
    "K0902": ("there is no such error code", "`kiln explain` without a code lists them all."),
    "K0903": (
        "the target is not known here",
        "A target is FILE[#attribute], a path in the store, or a result link. `kiln realise` makes one.",
    ),
    "K0904": (
        "something is in the way",
        "A file or folder that Kiln would have to replace is there, and Kiln did not make it. Move it away, or name "
        "another place.",
    ),
    "K0905": (
        "the target has no program to run",
        "`kiln run` starts `bin/NAME` of the target's `out`: the only program there, or the one that has the "
        "target's name. Name another with `--program NAME`.",
    ),
    "K0906": (
        "kiln.lock can't be changed so",
        "The name is no name of a remote module, is not in kiln.lock, or is that of a file that can't be copied: one "
        "outside the project, larger than 16 MiB, or no text. `kiln pin list` shows what there is.",
    ),
    "K0907": (
        "a build file is not formatted",
        "`kiln fmt --check` and `kiln fmt --diff` found files that `kiln fmt` would change. There is one style "
        "and no option: run `kiln fmt` on them.",
    ),
    "K0908": (
        "no failed build is kept",
        "The tree of a build that fails is kept with a description of its sandbox: the ten newest of the last week. "
        "Nothing is kept of a build that was given secrets, or where the disk is nearly full.",
    ),
    "K0909": (
        "a failed build's sandbox can't be entered",
        "`kiln debug` makes the sandbox of a failed build again, from the objects that it was given. They may be "
        "gone meanwhile, as a kept tree keeps none of them alive; or none of them has a shell, and a program "
        "has to be named.",
    ),
    "K0910": (
        "interrupted",
        "Ctrl-C, or a signal that asks to end. Builds that ran are ended with all their processes and leave nothing; "
        "what was made before is in the store, so that the same command goes on where this one was.",
    ),
    "K9999": (
        "a bug in Kiln",
        "Kiln ran into something that it should have handled. Nothing in the store is changed by it. Please report "
        "what the message shows.",
    ),
}
