"""Names to addresses; blocks, so it runs on a helper thread unless the name is an address already."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from kproducer.errors import NetworkError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that a socket can connect to.

    family: AF_INET or AF_INET6.
    sockaddr: what `socket.connect` takes.
    """

    family: int
    sockaddr: tuple[Any, ...]  # the shape belongs to the family

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(host: str, port: int) -> list[Endpoint]:
    """Return all addresses of a name, in the system's order of preference (KIP-602); blocks.

    Raises:
        NetworkError: the name cannot be resolved.
    """
    return _lookup(host, port, flags=0)


def resolve_literal(host: str, port: int) -> list[Endpoint] | None:
    """Return the address if `host` is a literal one, else None; never blocks."""
    try:
        return _lookup(host, port, flags=socket.AI_NUMERICHOST)
    except NetworkError:
        return None


def _lookup(host: str, port: int, *, flags: int) -> list[Endpoint]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags | socket.AI_NUMERICSERV)
    except (OSError, UnicodeError) as error:  # UnicodeError: an empty or overlong label
        raise NetworkError(f"cannot resolve {host}: {error}", persisted="no") from error
    endpoints = {Endpoint(family, sockaddr): None for family, _, _, _, sockaddr in found}
    if not endpoints:
        raise NetworkError(f"cannot resolve {host}: it has no address", persisted="no")
    return list(endpoints)
