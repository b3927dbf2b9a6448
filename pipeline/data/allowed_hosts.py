"""Which hosts shards may come from, checked on the very address that is connected to."""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.errors import SecurityError

_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637: newer than some Pythons
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class AllowedHosts:
    """host: where the data set is. named: the allow-list; empty allows `host` alone. below: names under a host count.

    An address that is not public is allowed only where its very host is named. section: of the recipe, for messages.
    """

    host: str
    named: frozenset[str] = frozenset()
    below: bool = False
    section: str = "data"

    def check_host(self, host: str) -> None:
        """Raises SecurityError for a host that may not be contacted."""
        allowed = self.named or {self.host}
        if host not in allowed and not (self.below and any(host.endswith(f".{name}") for name in allowed)):
            raise SecurityError(
                f"{host} is not an allowed host",
                code="SEC_URL_HOST",
                field=f"{self.section}.allowed_hosts",
                expected=sorted(allowed),
                got=host,
                fix=f"add it to {self.section}.allowed_hosts if you trust it",
            )

    def check_address(self, host: str, address: str) -> None:
        """Raises SecurityError where `host` has a private, loopback, link-local or other address that is not public."""
        if host not in self.named and not is_public(address):
            raise SecurityError(
                f"{host} has the address {address}, which is not public",
                code="SEC_URL_ADDRESS",
                field=f"{self.section}.allowed_hosts",
                got=address,
                fix=f"add {host} to {self.section}.allowed_hosts if you trust it",
            )


def is_public(address: str) -> bool:
    """True for unicast addresses of the public Internet; IPv4 inside IPv6 is judged as IPv4.

    6to4 (2002::/16) is never public: it is deprecated (RFC 7526), and Python's releases disagree about it.

    >>> is_public("93.184.216.34"), is_public("::ffff:127.0.0.1"), is_public("169.254.169.254")
    (True, False, False)
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # other ways of writing one (127.1) are never needed
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour is not None or ip.is_site_local or ip in _DOCUMENTATION:
            return False
        ip = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class GuardedResolver(AbstractResolver):
    """Resolves allowed hosts only and refuses the answer if any address in it is forbidden.

    aiohttp connects to the addresses returned here, so a name cannot change its mind in between (DNS rebinding).
    """

    def __init__(self, hosts: AllowedHosts, resolver: Callable[[], AbstractResolver]) -> None:
        self._hosts, self._make = hosts, resolver
        self._resolver: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises SecurityError."""
        self._hosts.check_host(host.lower())
        if self._resolver is None:
            self._resolver = self._make()
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._hosts.check_address(host.lower(), result["host"])
        return found

    async def close(self) -> None:
        """Close the resolver that does the work."""
        if self._resolver is not None:
            await self._resolver.close()


def system_resolver() -> AbstractResolver:
    """The resolver of this machine; needs a running event loop."""
    return aiohttp.ThreadedResolver()
