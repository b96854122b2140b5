"""What `kiln explain` says of the codes K0601 to K0613, and K0660 to K0664."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0601": (
        "a signature does not verify",
        "An envelope or a record names a key that is trusted here, but its signature does not belong to these"
        " bytes. Either they were changed after they were signed, or someone forged them. Nothing was taken from"
        " it. Get it again from where it was made, or build here.",
    ),
    "K0602": (
        "signed by a key that is not trusted here",
        "The signature may well be good, but nobody has said that this key's word counts on this machine."
        " `kiln trust list` shows whose does. If you know who holds the key, and have compared its id over a way"
        " that you trust, add it with `kiln trust add`; otherwise build here.",
    ),
    "K0603": (
        "an envelope or statement has not the form it must have",
        "Kiln reads signed statements strictly: every field must be there and known, no key may be given twice,"
        " and Kiln's own envelopes have one spelling. A file that was reformatted, cut off or written by a newer"
        " version is refused. docs/spec/provenance.md describes the format.",
    ),
    "K0604": (
        "the file of secret keys is not safe to use",
        "Secret keys lie in a file that only you can read (0600), in a folder that only you can enter (0700);"
        " neither may be a symbolic link. If others could have read the file, restrict it and make a new key:"
        " what the old one signs can no longer be told from what they sign.",
    ),
    "K0605": (
        "not a public key",
        "A public key is written `ed25519:` and 43 characters, as `kiln key show` prints it, or as PEM. Its id is"
        " 64 hexadecimal digits.",
    ),
    "K0606": (
        "the file of trusted keys can't be used",
        "Each line of `trusted-keys` is a key's id, the key, a name, and options. A line that is not is an error"
        " rather than passed over, and so is a file that other users could write: whoever writes it decides whose"
        " builds you run.",
    ),
    "K0607": (
        "a statement of another kind",
        "The bytes were signed by a trusted key, but they are not the kind of statement that was asked for: another"
        " payload, statement version, predicate or build type. A newer Kiln may have made it.",
    ),
    "K0608": (
        "a trusted key speaks of what it is not trusted for",
        "Trust is given to a key for certain builders and statements: a key that is trusted for fetches can't"
        " vouch for a build, and one that is trusted for sandboxed builds can't for relaxed ones. The `for=` of"
        " its line in `trusted-keys` says for what.",
    ),
    "K0609": (
        "an output is not what the statement names",
        "Every digest that the statement gives was computed again, and one differs, or an output is missing. The"
        " file was changed, or it never was what that build made. Do not use it.",
    ),
    "K0610": (
        "a build with a parameter that is not known",
        "External parameters are what whoever started the build could choose. One that this version does not know"
        " could change anything, so the statement is refused. The version of Kiln that made it can judge it.",
    ),
    "K0611": (
        "the recipe is not the one it should be",
        "A statement carries its recipe as canonical bytes. They do not have the digest that the statement, or the"
        " plan, gives; or the recipe that is shown for people says something else than its bytes.",
    ),
    "K0612": (
        "a dependency is not what its own envelope says",
        "Each dependency names the envelope about how it was made. That envelope is missing, or speaks of another"
        " object. The chain from the target to its sources is broken there.",
    ),
    "K0613": (
        "a file of envelopes is not a closure",
        "Such a file begins with the target's envelope; every later line is named by one above it, and every"
        " envelope that is named is there once. This one lacks some, holds others, or was cut off.",
    ),
    "K0660": (
        "a rotation or a revocation that cannot be used",
        "A rotation says which key takes another's place, and is signed by both; a revocation is signed by the key"
        " that it revokes. This one has another form, or lacks a signature. It changes nothing here. Where two"
        " rotations name different successors of one key, neither is believed: ask whoever holds the key which of"
        " them is theirs, and write it with `kiln trust add`.",
    ),
    "K0661": (
        "fewer keys agree than are asked for",
        "`threshold K` in `trusted-keys` asks that K keys of K operators vouch for the very same claim before"
        " anything is taken from a cache. So many were not found: two keys of one operator count once, and so does"
        " one key twice. It is built here instead. `kiln challenge` shows who says what.",
    ),
    "K0662": (
        "signed by a key that is revoked",
        "The key's line in `trusted-keys` has `revoked=`, or its holder has published a revocation that the key"
        " itself signed. Nothing that it ever signed counts, as nobody can tell when it was signed. What it vouched"
        " for is taken on another key's word, or built here.",
    ),
    "K0663": (
        "signed by a key that has expired",
        "The key's line in `trusted-keys` has `expires=`, and that day is over. If its holder still has it alone,"
        " set another day; otherwise remove the line.",
    ),
    "K0664": (
        "a key that is not trusted for this cache",
        "The key's line in `trusted-keys` has `cache=`, which names the caches that its word is taken from, and this"
        " is another. The same may be there by a key that is trusted for it; otherwise it is built here.",
    ),
}
