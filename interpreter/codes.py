"""The interpreter's own error codes, for `kiln explain`."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0450": (
        "a build failed",
        "The builder ended with an error. The message shows the first line that looks like one and the last lines "
        "of the log; `kiln log last` shows all of it. The failed tree is kept where the message says, so that you "
        "can look at `config.log` and the like. Nothing of a failed build is in the store.",
    ),
    "K0451": (
        "a build reached a limit",
        "A builder may run and be silent for a time, and use so much log, memory, disk and processes. Its recipe "
        "sets them (`limits = { time = 7200 }`, seconds; sizes in bytes) outside the derivation's digest: to raise "
        "one rebuilds nothing.",
    ),
    "K0452": (
        "a build made no output",
        "The builder ended well, but one of the declared outputs isn't there. Every output has to be made by the "
        "script, at the path that its interpolation gives: `mkdir -p %{b.out}`.",
    ),
    "K0453": (
        "an output is of the wrong kind",
        "An output declared `File` has to be a regular file, and one declared `Tree` a folder.",
    ),
    "K0454": (
        "the view of /kiln/store is refused",
        "`kiln run` and `kiln shell` show a program the store at /kiln/store by namespaces of its own. The machine "
        "refuses them; `kiln doctor` says which switch does that.",
    ),
    "K0455": (
        "a builtin that this version doesn't have",
        "A derivation names a builder that is part of Kiln, in a version or with options that this Kiln doesn't "
        "know. Another version made it: use that one, or realise the target from its build file.",
    ),
    "K0456": (
        "a build gives another result each time",
        "Something that is needed was made from an earlier result of this build, which is gone, and building it "
        "again keeps giving another. A closure never mixes two results of one derivation, so nothing was put "
        "together. What was built is kept: the same command may well succeed. `kiln reproduce` shows what differs.",
    ),
    "K0460": (
        "a secret is not here, or can't be used",
        'A build file names secrets and never holds them. The value of `secret("release-key")` is read when '
        "something is made with it: from the variable KILN_SECRET_RELEASE_KEY, or else from the file release-key in "
        "the folder kiln/secrets of your configuration (~/.config), which nobody else may be able to read. It has 8 "
        "bytes at least, so that it can be looked for in logs and outputs.",
    ),
    "K0461": (
        "a build wrote a secret into an output",
        "A build that is given secrets finds each as /run/secrets/NAME. Outputs are read by everybody, so they are "
        "searched for the values, and one that holds a value is refused; nothing of the build is kept. In a log the "
        "value is replaced by `[secret NAME]`.",
    ),
    "K0462": (
        "an attestation can't be made",
        "`.as_file` signs a statement about outputs. There is no envelope about the output that provenance is asked "
        "of, a subject names nothing in its output, or the secret holds no key: `kiln key new` prints one.",
    ),
    "K0463": (
        "an attestation isn't what the policy wants",
        "`verify(attestation, policy, of)` gives the output only if enough of the policy's keys have signed the "
        "attestation, it is of the policy's kind, and one of its subjects has the output's digests. The message says "
        "which of these fails.",
    ),
    "K0650": (
        "a replay lacks something",
        "`kiln reproduce` works from envelopes alone: the target's and those of everything it was built from, as "
        "`kiln show TARGET --provenance --closure` writes them. One is missing, or says something that this "
        "version of Kiln can't replay.",
    ),
    "K0651": (
        "the rebuild differs",
        "A build from the same inputs gave another result. The message names the first derivation, in the order "
        "of the build, whose inputs were equal and whose output was not, and the files that differ.",
    ),
    "K0677": (
        "a resolution of another derivation",
        "A cache offers a signed resolution that says which resolved derivation stands for one of yours. Kiln "
        "computes that itself from the recipe and the inputs that the resolution names, and something else came out: "
        "it is valid for another derivation, or was made by another version. It isn't taken.",
    ),
    "K0678": (
        "a cache did not bring what it offered",
        "The cache's index named an object, and no cache could give all of its bytes: files are missing or damaged "
        "there, or it went down meanwhile. The targets are planned again without it, so that it's made here or taken "
        "from elsewhere. This is shown only where that went on and on.",
    ),
    "K0679": (
        "no cache has it",
        "`kiln cache pull` takes targets and makes nothing. No cache that you use offers this one on the word of "
        "keys that you trust, with all that it needs when it runs. `kiln cache status TARGET` shows what each has; "
        "`kiln realise` makes what is missing.",
    ),
}
