"""Waits for sockets: a selector whose keys are the objects that own them. Control thread only."""

from __future__ import annotations

import math
import selectors
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ready:
    """A registered owner whose descriptor can be read or written."""

    owner: object
    readable: bool
    writable: bool


class Poller(Protocol):
    """Tells which descriptors are ready."""

    def watch(self, fd: int, owner: object, *, write: bool) -> None:
        """Wait for readable, and for writable if asked; replaces what was asked before."""

    def forget(self, fd: int) -> None:
        """Wait no more; before the descriptor is closed or given away."""

    def poll(self, timeout_ms: float) -> list[Ready]:
        """Return who is ready, after at most `timeout_ms`; infinity waits for ever."""

    def close(self) -> None: ...


class SelectorPoller:
    """The platform's best selector."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, owner: object, *, write: bool) -> None:
        """See Poller."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        known = self._selector.get_map().get(fd)
        if known is None:
            self._selector.register(fd, events, owner)
        elif known.events != events or known.data is not owner:
            self._selector.modify(fd, events, owner)

    def forget(self, fd: int) -> None:
        """See Poller."""
        known = self._selector.get_map()
        if known and fd in known:  # a closed selector has None for a map
            self._selector.unregister(fd)

    def poll(self, timeout_ms: float) -> list[Ready]:
        """See Poller."""
        # A selector rounds up to its own resolution, so a positive rest never becomes a busy loop.
        timeout = None if math.isinf(timeout_ms) else max(0.0, timeout_ms / 1000)
        return [
            Ready(key.data, bool(events & selectors.EVENT_READ), bool(events & selectors.EVENT_WRITE))
            for key, events in self._selector.select(timeout)
        ]

    def close(self) -> None:
        """Release the selector's own descriptor."""
        self._selector.close()
