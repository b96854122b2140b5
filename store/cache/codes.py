"""What `kiln explain` says of caches: K0652 to K0659 what goes wrong with one, K066x whose word it brings.

K0652 to K0659 are raised by store/cache/errors.py.
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
}
