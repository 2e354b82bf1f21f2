"""Connections to public addresses only, so that a stranger's URL cannot reach our own network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore
import httpx

_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefusedError(Exception):
    """No address of the host is a public one."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    Private, loopback, link-local, multicast, reserved and unspecified ones are not, nor are IPv6
    addresses that stand for such an IPv4 address.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.is_site_local:
            return False
        parsed = _embedded_ipv4(parsed) or parsed
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class PublicTransport(httpx.AsyncHTTPTransport):
    """httpx's transport, connecting to public addresses only.

    The address is checked that is then connected to, for every connection: a name that resolves
    otherwise the second time, or a redirect, gains nothing.
    """

    def __init__(self, *, limits: httpx.Limits) -> None:
        """Opens nothing yet."""
        super().__init__(limits=limits, trust_env=False)
        # httpx has no argument for it, though its pool has.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_PublicBackend(),
        )


class _PublicBackend(httpcore.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise AddressRefusedError(f"{host} is {', '.join(addresses)}, not a public address")
        for address in public[:-1]:
            try:
                return await super().connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await super().connect_tcp(public[-1], port, timeout, local_address, socket_options)
