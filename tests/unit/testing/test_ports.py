"""Ports for brokers."""

from __future__ import annotations

import socket

from kproducer.testing.ports import find_free_ports


def test_ports_differ_and_can_be_bound() -> None:
    ports = find_free_ports(18)

    assert len(set(ports)) == 18
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_ports_are_below_the_ephemeral_range() -> None:
    """A client that dials a dead broker on an ephemeral port may reach itself and hold the port."""
    assert max(find_free_ports(18)) < 32_768
