"""Free TCP ports for brokers that die and come back."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

# Below the ephemeral range of Linux and macOS: a client that dials a dead broker on an ephemeral port can get
# connected to itself, and then the restarted broker finds its port taken.
_RANGE = range(12_000, 32_000)
_ATTEMPTS = 1_000


def find_free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 on which nobody listens; OSError if there are too few."""
    ports: list[int] = []
    with ExitStack() as held:  # held until all are found, so that they differ
        for port in random.SystemRandom().sample(_RANGE, _ATTEMPTS):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    if len(ports) < count:
        raise OSError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop} on 127.0.0.1")
    return ports
