"""Names to addresses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from kproducer.errors import NetworkError
from kproducer.net.resolver import Endpoint, resolve, resolve_literal


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1:9092"), ("::1", "[::1]:9092")])
def test_literal_addresses_need_no_lookup(host: str, shown: str) -> None:
    found = resolve_literal(host, 9092)
    assert found is not None
    assert [str(endpoint) for endpoint in found] == [shown]


def test_names_are_not_literals() -> None:
    assert resolve_literal("localhost", 9092) is None


def test_all_addresses_are_kept_in_order_without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::2", 1, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 1)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 1)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert resolve("many", 1) == [
        Endpoint(socket.AF_INET6, ("::2", 1, 0, 0)),
        Endpoint(socket.AF_INET, ("10.0.0.1", 1)),
    ]


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), None])
def test_failure_names_the_host(monkeypatch: pytest.MonkeyPatch, failure: Exception | None) -> None:
    def lookup(*_: object, **__: object) -> list[Any]:
        if failure is not None:
            raise failure
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(NetworkError, match="cannot resolve nowhere"):
        resolve("nowhere", 1)
