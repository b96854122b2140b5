"""What `kiln explain` says of serving a cache: K0680 to K0684."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0680": (
        "a cache that cannot be served",
        "The folder is not there or can't be written, the address is taken or not this machine's, or what serving"
        " needs is not installed: pip install 'kiln-build[serve]'.",
    ),
    "K0681": (
        "a file of tokens that does not parse",
        "Each line is: read or write, the SHA-256 of the token, a name, and perhaps expires=YYYY-MM-DD. `kiln cache"
        " token` adds one. While the file is wrong the server answers no request that shows a token.",
    ),
    "K0683": (
        "a token that the server does not accept",
        "Uploads, and reads where the server was started with --require-token, need a token: in KILN_CACHE_TOKEN, or"
        " as the host's password in ~/.netrc. This one is not in the server's file of tokens, has expired, or may"
        " only read.",
    ),
    "K0684": (
        "an upload that was refused",
        "The server verifies an upload before anybody can read it: names by their bytes, signatures by keys that it"
        " trusts, objects by their ids. Or a limit was reached: the size of a file or an upload, the pace, the room"
        " in quarantine. Nothing of the upload is visible.",
    ),
}
