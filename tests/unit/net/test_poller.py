"""The selector behind the control loop."""

from __future__ import annotations

import socket
import time

from kproducer.net.poller import Ready, SelectorPoller


def test_owner_of_a_readable_socket_is_told() -> None:
    left, right = socket.socketpair()
    poller = SelectorPoller()
    with left, right:
        poller.watch(left.fileno(), "owner", write=False)
        assert poller.poll(0) == []
        right.send(b"x")
        assert poller.poll(1000) == [Ready("owner", readable=True, writable=False)]
        poller.watch(left.fileno(), "owner", write=True)
        assert poller.poll(1000) == [Ready("owner", readable=True, writable=True)]
        poller.forget(left.fileno())
        poller.forget(left.fileno())
        assert poller.poll(0) == []
    poller.close()


def test_reused_descriptor_gets_its_new_owner() -> None:
    left, right = socket.socketpair()
    poller = SelectorPoller()
    with left, right:
        poller.watch(left.fileno(), "old", write=True)
        poller.watch(left.fileno(), "new", write=True)
        assert [ready.owner for ready in poller.poll(0)] == ["new"]
    poller.close()


def test_poll_waits_for_its_timeout() -> None:
    poller = SelectorPoller()
    start = time.monotonic()
    assert poller.poll(20) == []
    assert time.monotonic() - start >= 0.019
    poller.close()


def test_closed_poller_forgets_quietly() -> None:
    poller = SelectorPoller()
    poller.close()
    poller.forget(7)
