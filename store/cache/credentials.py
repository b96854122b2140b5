"""Who we are to a web server: a token that was given, or what the user's netrc file says of the host.

`~/.netrc`, or the file that NETRC names, as curl and git read it; a `default` entry is not used, since it would
be shown to any host. From the environment, KILN_CACHE_TOKEN_<NAME> is for the cache of that name (in capitals, `_`
for what is no letter or digit). KILN_CACHE_TOKEN may write, and is shown in two cases alone: to where something is
pushed to, and to the one cache that is used here, where there is one. One that is named on the command line, or
looked at by `kiln cache use`, may be anybody's: it is shown none but its own.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from typing import NamedTuple


class Credentials(NamedTuple):
    """What is known for a host: a bearer token, or a user and password."""

    token: str | None = None
    user: str | None = None
    password: str | None = None

    def header(self, *, bearer: bool) -> str | None:
        """The value of `Authorization`. With `bearer`, a password alone is taken for a token."""
        if self.token is not None:
            return f"Bearer {self.token}"
        if self.password is None:
            return None
        if bearer or not self.user:
            return f"Bearer {self.password}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def credentials_for(host: str, token: str | None) -> Credentials:
    """The token if there is one, else what the netrc file has for the host."""
    if token is not None:
        return Credentials(token)
    import netrc

    path = os.environ.get("NETRC") or os.path.join(os.path.expanduser("~"), ".netrc")
    try:
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return Credentials()
    return Credentials() if found is None else Credentials(None, found[0], found[2])


def token_of(name: str, *, pushing: bool, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that the environment has for the cache of this name."""
    own = environment.get("KILN_CACHE_TOKEN_" + re.sub(r"[^A-Z0-9]", "_", name.upper()))
    return (own or (environment.get("KILN_CACHE_TOKEN") if pushing else None)) or None
