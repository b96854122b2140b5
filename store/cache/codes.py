"""What `kiln explain` says of caches: K0652 to K0659 what goes wrong with one, K0665 to K0671 whose word it brings.

K0660 to K0664 are in store/provenance/codes.py.
"""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0652": (
        "a cache does not answer",
        "No connection could be made, or an answer did not begin, stalled or came too slowly, or the server"
        " said over and over that it is busy. The cache is asked no more for a while, and the build goes on"
        " without it: what it would have given is taken from the next cache, or built here. `kiln cache"
        " status` asks it again. How long it is waited for is bounded: the option `patience=SECONDS` of its"
        " line in `caches` changes the bound.",
    ),
    "K0653": (
        "an answer of a cache that cannot be right",
        "More bytes than were allowed or asked for, fewer, another range, an encoding that was not asked for, a loop"
        " of redirects, or a redirect to another scheme. Nothing of it was used. Something between here and the cache"
        " may answer in its place; or the file is damaged there, and its next upload mends it.",
    ),
    "K0654": (
        "a file that is not in a cache",
        "The cache's own records name a file that it does not have: it was collected, or an upload was broken off."
        " What it would have given is taken from the next cache, or built here.",
    ),
    "K0655": (
        "a cache that does not let you in",
        "The cache wants credentials, or does not accept those that it got. They come from the place where its kind"
        " looks for them: permissions for a folder, KILN_CACHE_TOKEN or the host's password in ~/.netrc for a web"
        " server, the AWS variables and files for S3. Kiln keeps none.",
    ),
    "K0656": (
        "something that this kind of cache cannot do",
        "A plain web server can be read from and not written to, and shows no list of its files. Upload to the folder"
        " or bucket behind it, or run `kiln cache serve` there.",
    ),
    "K0657": (
        "two uploads met in one cache",
        "Another upload with the same key replaced the head of the cache while this one was under way, again and"
        " again. Nothing is lost: push once more.",
    ),
    "K0658": (
        "an upload that the server did not admit",
        "`kiln cache serve` verifies the signatures and bytes of an upload before anybody can read them, and one did"
        " not hold. The message has the server's own reason. Nothing of this upload is visible.",
    ),
    "K0659": (
        "an address or a setting of a cache that cannot be used",
        "A cache is a folder, or an address such as https://host/path, s3://bucket/path, or another that fsspec"
        " opens. User and password never stand in it. The file `caches` in Kiln's configuration folder has one cache"
        " a line: name, address, options; KILN_CACHES takes the place of the file.",
    ),
    "K0665": (
        "a cache that shows an older state than before",
        "The signed head of a cache counts its versions, and this machine has seen a later one. Somebody shows an"
        " old state, perhaps to hide that something was replaced or revoked; or the cache was restored from a"
        " copy. What it says is not used, and the build goes on without it. Who holds the key mends it by pushing"
        " once more. If the cache was made anew on purpose, `kiln cache remove` and `kiln cache use` forget what"
        " was seen.",
    ),
    "K0666": (
        "a cache whose head has expired",
        "Each push signs a head that is good for a while. This one is older: either nothing was pushed for long,"
        " or somebody shows an old state for ever. What it says is not used, and the build goes on without it. Who"
        " holds the key mends it by pushing once more. Look at this machine's clock, too.",
    ),
    "K0667": (
        "a cache that shows two states as one",
        "Two heads by one key have the same version and say different things. Not everybody is shown the same; or"
        " two machines push with one key and one of them did not see the other. What it says is not used. Push"
        " once more; each machine wants a key of its own.",
    ),
    "K0668": (
        "what was seen of caches can't be read",
        "The file `caches-seen` in Kiln's state folder has a line that this version does not know. Kiln does not"
        " pass over it, since it may be what tells a rollback. Without the file, everything is seen for the first"
        " time again.",
    ),
    "K0669": (
        "a key that nobody has confirmed",
        "`kiln cache use` trusts a cache's key only when you say that you have compared it, with whoever holds"
        " it, over a way that you trust. A script says so with `--yes --key KEY`, the whole key. Nothing was"
        " written.",
    ),
    "K0670": (
        "caches disagree about a target",
        "For the very same resolved derivation, one says that it makes this, another that it makes that. Either"
        " the build is not reproducible, or somebody replaced its result. `kiln reproduce` tells which: it builds"
        " again and compares.",
    ),
    "K0671": (
        "nothing to compare a target with",
        "Fewer than two of the places that were asked say anything of this target, or of the same resolved"
        " derivation.",
    ),
    "K0672": (
        "another cache in a cache's place",
        "A cache has a name, which each head is signed with, and this machine has seen another one at this address."
        " Whoever pushes to two caches signs heads for both; were one shown in the other's place, an old state would"
        " not be noticed. Nothing is taken from it. If the cache was made anew on purpose, `kiln cache remove` and"
        " `kiln cache use` forget what was seen.",
    ),
    "K0674": (
        "an object that is not shared",
        "What a build made that was given secrets is not pushed, and neither is what refers to it: its builder's"
        " witness says so. Push what does not need it; who needs it realises it with secrets of their own.",
    ),
    "K0675": (
        "names that differ by case alone",
        "Some file systems take two such names in one folder for one, and one file would replace the other there. An"
        " object like that can be used where it was built, but is not pushed. Rename one of the two in the build.",
    ),
    "K0676": (
        "nothing that collection may touch",
        "`kiln cache gc` removes what no head names. It must see every file and every head of the cache: one that"
        " cannot be listed, or has a head that does not parse or a segment that is missing, is left as it is. Remove"
        " the head of an uploader who is gone by hand, or have its holder push again.",
    ),
}
