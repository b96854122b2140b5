"""What `kiln explain` says about the store's errors."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0700": (
        "the store cannot be used",
        "A system call on the store's folder failed, or the folder is not a store that this version can read. The "
        "message says which file and what the system answered. Nothing that was registered is lost: run "
        "`kiln doctor`, mend the cause, and run the same command again.",
    ),
    "K0701": (
        "a name or digest that does not parse",
        "Names in store paths have 1 to 200 characters of A-Z a-z 0-9 + - . _ ? = and do not begin with a dot. "
        "Output names are a lower-case letter, then lower-case letters, digits and underscores. Digests are "
        "`blake3:` and 64 hexadecimal digits.",
    ),
    "K0702": (
        "not in this store",
        "An object, record or envelope was asked for that this store does not hold. It may be in another store or "
        "cache, or may have been collected. Realise the target again to have it.",
    ),
    "K0703": (
        "damaged data in the store",
        "Bytes on disk are not what their digest says, or a record does not parse. Damaged objects are never used. "
        "`kiln store verify` reads everything and names what is wrong. `kiln store repair` makes damaged objects "
        "whole from other stores (--from), or takes them out, so that they are built again. `kiln store "
        "rebuild-index` makes the index again from the objects' own small files; the old one stays until that is "
        "done, and nobody else may have the store open meanwhile. An index that is missing over a store that is not "
        "empty is damage, too.",
    ),
    "K0704": (
        "something that an object cannot hold",
        "Objects hold directories, files and symlinks. Devices, sockets and fifos are refused, and so is the hash of "
        "a build path in a file's name, a mention of itself where the recipe forbids it, and a source that changes "
        "while it is read. The message names the file.",
    ),
    "K0705": (
        "outputs that refer to each other in a circle",
        "The outputs of one build become separate objects, and an object's hash covers those that it refers to, so "
        "two outputs cannot each mention the other. The message names a file for each mention. Move one of these "
        "files to the other output, or give the build one output.",
    ),
    "K0706": (
        "the store is locked by another process",
        "Writing to the index takes milliseconds, and one process at a time does it. Another one has held the lock "
        "for longer than the limit, most likely because it was stopped. The message names it: continue it, or end "
        "it; ending it loses nothing that was registered.",
    ),
    "K0707": (
        "no space left on the store's disk",
        "The disk, its inodes, a quota or a limit on file sizes is used up. What was registered is whole, and what "
        "was being written is removed when the store is opened next. Free some space and run the command again: "
        "`kiln store gc` works on a full disk, too, from a few MiB that the store keeps for that.",
    ),
    "K0708": (
        "the store belongs to another user",
        "A store has one owning user id, since who can write its folders could change registered objects. Use a "
        "store of your own (`--store`), or run as the owner.",
    ),
}
