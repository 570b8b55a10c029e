"""Addresses of brokers: what bootstrap.servers takes."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import Final, NamedTuple

from kproducer.config.values import RefusedError, entries_of

logger = logging.getLogger(__name__)


class HostPort(NamedTuple):
    """Address of a broker; host without the brackets of an IPv6 literal."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Hosts:
    """A list of broker addresses, or their text with commas."""

    allowed: Final = "host:port, [ipv6]:port or PLAINTEXT://host:port, as a list or joined by commas"
    type: Final = "list"

    def parse(self, value: object) -> tuple[HostPort, ...]:
        """See ValueKind."""
        entries = entries_of(value)
        if any("@" in entry for entry in entries):  # before one is quoted: what precedes it may be a password
            raise RefusedError("it takes no user name or password")
        found: dict[HostPort, None] = {}
        for entry in entries:
            address = _host_port(entry)
            if address in found:
                logger.warning("bootstrap.servers names %s more than once", address)
            found[address] = None
        if not found:
            raise RefusedError("it is empty")
        return tuple(found)


def _host_port(entry: str) -> HostPort:
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.upper() != "PLAINTEXT":
        raise RefusedError(f"entry {entry!r} has a scheme other than PLAINTEXT://")
    host, colon, port = rest.rpartition(":")
    if not colon or re.fullmatch(r"[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        raise RefusedError(f"entry {entry!r} has no port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return HostPort(_ipv6(entry, host[1:-1]), int(port))
    if ":" in host:
        raise RefusedError(f"entry {entry!r} needs brackets around its IPv6 address: [{host}]:{port}")
    if re.fullmatch(r"[0-9A-Za-z._-]+", host) is None:
        raise RefusedError(f"entry {entry!r} has no valid host name")
    return HostPort(host, int(port))


def _ipv6(entry: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise RefusedError(f"entry {entry!r} has no valid IPv6 address") from None
