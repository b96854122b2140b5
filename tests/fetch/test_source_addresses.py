"""Source addresses: what parses to what, and what is told where nothing does."""

from __future__ import annotations

import pytest

from kiln.interpreter.fetch.errors import BadSource
from kiln.interpreter.fetch.source import (
    DebianSource,
    FileSource,
    GitSource,
    NpmSource,
    PypiSource,
    UrlSource,
    parse_source,
    redact,
)

REV = "0123456789abcdef0123456789abcdef01234567"
REV256 = REV + "0" * 24

GOOD = {
    "debian:pool/main/t/tcc/tcc_0.9.27+git20200814.62c30a4a-1_amd64.deb": DebianSource(
        "", "pool/main/t/tcc/tcc_0.9.27+git20200814.62c30a4a-1_amd64.deb"
    ),
    "debian:pool/main/libz/zlib/zlib_1.2.13.dfsg~rc1.orig.tar.xz": DebianSource(
        "", "pool/main/libz/zlib/zlib_1.2.13.dfsg~rc1.orig.tar.xz"
    ),
    "pypi:Foo_Bar.baz/foo_bar_baz-1.0-py3-none-any.whl": PypiSource(
        "", "foo-bar-baz", "foo_bar_baz-1.0-py3-none-any.whl"
    ),
    "npm:better-sqlite3@12.11.1": NpmSource("", "better-sqlite3", "12.11.1"),
    "npm:@types/node@1.2.3-rc.1+build": NpmSource("", "@types/node", "1.2.3-rc.1+build"),
    "npm:JSONStream@1.3.5": NpmSource("", "JSONStream", "1.3.5"),
    "https://host/a/b.tar.gz": UrlSource("", "https://host/a/b.tar.gz"),
    "https://host:8443/a?b=c&d=%20#frag": UrlSource("", "https://host:8443/a?b=c&d=%20"),
    "http://[::1]:80/a": UrlSource("", "http://[::1]:80/a"),
    "HTTPS://host/a": UrlSource("", "https://host/a"),
    "file:///a%20b/%C3%A9": FileSource("", "/a b/é".encode()),
    "file://localhost/a": FileSource("", b"/a"),
    f"git+https://host/x.git?rev={REV}": GitSource("", "https", "https://host/x.git", REV),
    f"git+http://127.0.0.1:80/x?rev={REV256}": GitSource("", "http", "http://127.0.0.1:80/x", REV256),
    f"git+git://host/x?rev={REV}": GitSource("", "git", "git://host/x", REV),
    f"git+file:///srv/x.git?rev={REV}": GitSource("", "file", "file:///srv/x.git", REV),
}

BAD = {
    "": "begins with its scheme",
    "hello.tar.gz": "begins with its scheme",
    "/etc/passwd": "begins with its scheme",
    "ftp://host/x": "by the scheme ftp:",
    "git+ssh://git@host/x": "by the scheme git+ssh:",
    "debian:main/t/tcc.deb": "Debian's pool",
    "debian:pool/../etc/passwd": "Debian's pool",
    "debian:pool/./x": "Debian's pool",
    "debian:pool//x": "Debian's pool",
    "debian:/pool/main/x": "Debian's pool",
    "debian:pool/main/x%2fy": "Debian's pool",
    "debian:pool/main/x?y": "Debian's pool",
    "pypi:ninja": "project and the name of one of its files",
    "pypi:ninja/": "project and the name of one of its files",
    "pypi:../x/y": "project and the name of one of its files",
    "pypi:ninja/a/b": "project and the name of one of its files",
    "npm:x": "one exact version",
    "npm:x@latest": "one exact version",
    "npm:x@^1.2.3": "one exact version",
    "npm:x@1.2": "one exact version",
    "npm:@scope@1.2.3": "one exact version",
    "npm:../x@1.2.3": "one exact version",
    "npm:@a/b/c@1.2.3": "one exact version",
    "https://": "needs a host",
    "https:///x": "needs a host",
    "https://host:99999/x": "not an address",
    "https://[::1/x": "not an address",
    "https://host/a b": "printable ASCII",
    "https://host/é": "printable ASCII",
    "https://host/a\nb": "printable ASCII",
    "https://user:secret@host/x": "no user and no password",
    "file:relative": "absolute path",
    "file:/one/slash": "absolute path",
    "file://otherhost/x": "absolute path",
    "file:///x?y": "absolute path",
    "file:///a%00b": "absolute path",
    "git+https://host/x": "one commit in full",
    "git+https://host/x?rev=main": "one commit in full",
    f"git+https://host/x?rev={REV[:12]}": "one commit in full",
    f"git+https://host/x?rev={REV.upper()}": "one commit in full",
    f"git+https://host/x?ref={REV}": "one commit in full",
    f"git+https://host/x?rev={REV}&x=y": "one commit in full",
    f"git+https://user:secret@host/x?rev={REV}": "no user and no password",
    f"git+file:x?rev={REV}": "absolute path",
}


@pytest.mark.parametrize(("text", "wanted"), GOOD.items())
def test_parses(text, wanted):
    found = parse_source(text)
    assert found.text == text
    assert type(found) is type(wanted)
    for name in wanted.__slots__[1:]:
        assert getattr(found, name) == getattr(wanted, name)


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_does_not_parse(text, message):
    with pytest.raises(BadSource) as caught:
        parse_source(text)
    error = caught.value
    assert message in error.message
    assert error.expected and error.found
    assert error.code == "K0502"


def test_a_password_is_never_shown():
    for text in BAD:
        if "secret" in text:
            with pytest.raises(BadSource) as caught:
                parse_source(text)
            assert "secret" not in f"{caught.value.message}{caught.value.found}{caught.value.help}"
    assert redact("https://user:secret@host:1/a@b") == "https://host:1/a@b"
