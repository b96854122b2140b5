"""Where a redirect of a cache may lead: to its own host and port, or to where anybody on the internet could ask.

Who answers for a cache is not trusted, and may be outside; whoever asks may be inside, beside servers that do as they
are told by a plain GET. So a redirect to another host or port is followed only to public addresses: not to this
machine, not to a private or link-local network, whether it is written as an address or as a name that leads there.
A name is judged by what it leads to at the moment of the connection. Where a proxy looks names up, the proxy decides.

A cache that is inside, and keeps its files on another host there, is used by that host's address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any

from yarl import URL

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


class InnerPlace(OSError):
    """A name that leads to an address that is not public."""


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. Raises ValueError for what is no address of a server."""
    found = URL(url, encoded=True)
    host = found.raw_host or ""
    if found.port == 0:
        raise ValueError("no port")
    if not _NAME.fullmatch(host):
        ipaddress.ip_address(host.partition("%")[0])
    return found.scheme, host.lower(), found.port


def is_inner(host: str) -> bool:
    """Whether a host, as it is written, is none that anybody could ask. A name that says nothing of it is not."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not address.is_global or address.is_multicast


def guarding_resolver(home: tuple[str, int | None]) -> AbstractResolver:
    """Looks names up; those of others than `home`, host and port, must lead to public addresses alone."""
    from aiohttp.abc import AbstractResolver
    from aiohttp.resolver import DefaultResolver

    class Guarding(AbstractResolver):
        def __init__(self) -> None:
            self._inner = DefaultResolver()

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            found = await self._inner.resolve(host, port, family)
            if (host.lower(), port) != home and any(is_inner(item["host"]) for item in found):
                raise InnerPlace(f"{host} is no public place")
            return found

        async def close(self) -> None:
            await self._inner.close()

    return Guarding()
