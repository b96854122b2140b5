"""What `kiln explain` says about K05xx: fetching and unpacking."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0500": (
        "something from outside could not be had",
        "The root of what goes wrong in fetching; one of the codes after it says what.",
    ),
    "K0501": (
        "the download does not match its declared hash",
        """A file came from a source, and its digest is not the one that the build file declares. Nothing of it
was admitted. Every other source of the pin was tried too, and none gave the right file.

The file is kept at the place that the message names. Either the source has changed the file behind its
address, or the download was damaged or replaced on its way, or the pin was written for another file. Where a
registry promises a digest of its own, the message says whether the file that came is the promised one.

Look at the file first. Only if it is what you meant, write its digest into the build file; never because the
build then goes on.""",
    ),
    "K0502": (
        "a source address that does not parse",
        """A source is one of

    debian:pool/main/t/tcc/tcc_0.9.27-1_amd64.deb     a path in Debian's pool, at any mirror
    pypi:ninja/ninja-1.13.2.tar.gz                    a project and one of its files
    npm:better-sqlite3@12.11.1                        a package (npm:@scope/name@1.2.3) and its version
    https://host/path                                 an address; http:// is safe too, the digest is pinned
    file:///path/to/file                              a file of this machine
    git+https://host/path?rev=<commit id>             one commit; also git+http, git+git and git+file

Versions are exact and commit ids complete: what moves cannot be pinned. A user and a password belong in
~/.netrc, not in a build file.""",
    ),
    "K0503": (
        "no source has the file",
        """Every source of the pin was tried, at every mirror that is known, and none delivered the file. The
message lists each place with what happened there.

`not there` and `refused` speak of the source: a pool drops old files, and addresses change. Give the pin
another source that keeps the file; all of them are tried in order. `an answer that cannot be used` speaks of
the server, or of something between it and you that answers in its place.""",
    ),
    "K0504": (
        "a setting for fetching that cannot be used",
        """A mirror is not an address, the configuration file does not parse, or a variable such as CURL_CA_BUNDLE
names a file that holds no certificates. The message names the setting; correct it, or remove it.""",
    ),
    "K0505": (
        "a file that this machine cannot write or read",
        """A download or an unpacked archive could not be put on disk: the disk or its inodes are used up, or a
permission is missing. The message has the system's own words.""",
    ),
    "K0506": (
        "no source can be reached",
        """Every source of the pin was tried, at every mirror that is known, and the network failed at each. The
message lists each place with what happened there.

`not reached`, `too slow`, `too busy` and `broken off` speak of the network: look at it, at http_proxy,
https_proxy and no_proxy, and at the certificates (SSL_CERT_FILE). `no mirror known` speaks of this machine:
set one in Kiln's configuration,

    # ~/.config/kiln/config.toml
    [mirrors]
    debian = ["http://mirror.example/debian/"]

or in KILN_MIRROR_DEBIAN, KILN_MIRROR_PYPI, KILN_MIRROR_NPM. Otherwise Kiln asks apt-get, pip and npm which
they use. `not tried` says that `--offline` was given.""",
    ),
    "K0510": (
        "an archive that cannot be unpacked",
        "The root of what goes wrong in unpacking; one of the codes after it says what.",
    ),
    "K0511": (
        "not an archive that Kiln unpacks",
        """Kiln tells a format by its bytes: tar, plain or compressed with gzip, xz, zstd or bzip2; zip; ar, and
Debian packages. A file that begins with `<!DOCTYPE` is a web page: its address led to one instead of to the
file. A single compressed file is not an archive; fetch it, and decompress it in a build.""",
    ),
    "K0512": (
        "an archive with an entry that escapes",
        """An entry would be written, or lead, outside the tree: an absolute name, `..`, a name below a symlink, a
relative symlink that climbs above the tree; or it has no place in one: a device, a fifo, a control character
in its name. The whole archive is refused.

Absolute symlinks are kept as they are, since Debian's packages have them: a symlink is data, and nothing is
ever written through one.""",
    ),
    "K0513": (
        "an archive that unpacks to too much",
        """More than 16 GiB, 2^20 entries, or (beyond 64 MiB) 1,000 bytes for each byte of the archive: only a
decompression bomb does that. The limits are part of `unpack` version 1, so that an archive unpacks on every
machine or on none.""",
    ),
    "K0514": (
        "a damaged archive",
        """The archive is cut off, does not fit its own checksums, contradicts itself, or has bytes after its end.
Its digest matched the pin, so that the file is what was pinned: it was damaged before that. Fetch it again
from its author, compare the digests, and correct the pin.""",
    ),
    "K0515": (
        "a feature of an archive that Kiln does not unpack",
        """Sparse files, several volumes, incremental backups, encryption, or a rare compression in a zip. Unpack it
in a build of your own, with a tool that can.""",
    ),
    "K0516": (
        "two entries for one name",
        """An archive has one name twice, a file where it also has a directory, or two names that differ only in
Unicode's normal form. Which of the two would win differs between tools, which is how an archive shows one file
to a reviewer and another to a build. Names that differ only in case are allowed.""",
    ),
    "K0517": (
        "nothing is left below the leading components",
        """`strip = N` drops the first N components of every name. An entry has no more than that: look into the
archive (`tar tf`), and give a smaller number.""",
    ),
    "K0520": (
        "a remote module's tree is not the pinned one",
        """The files of a remote module were fetched, and the digest of their tree is not the one that kiln.lock says,
or the import's own pin. Nothing of them was admitted, and nothing was evaluated.

What was pinned has changed behind its address, or the pin was edited by hand. If the change is meant, `kiln pin
update NAME` writes the new digest: look at the difference that git shows before you commit it.""",
    ),
    "K0521": (
        "a remote module is not in the store",
        """Remote modules are fetched once; from then on they are in the store, and need no network. This one is not
there yet, and `--offline` was given. Run the command once without it.""",
    ),
}
