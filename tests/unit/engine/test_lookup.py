"""Name lookups on helper threads."""

from __future__ import annotations

import socket
import threading

import pytest

from kproducer.config import HostPort
from kproducer.engine.lookup import NameLookup
from kproducer.errors import NetworkError
from kproducer.net.resolver import Endpoint

FOUND = Endpoint(socket.AF_INET, ("10.0.0.1", 1))


def test_literal_is_answered_at_once() -> None:
    found = NameLookup(lambda: None).ask(HostPort("127.0.0.1", 9092))
    assert found == (Endpoint(socket.AF_INET, ("127.0.0.1", 9092)),)


def test_name_is_answered_later_with_a_wake() -> None:
    woken = threading.Event()
    lookup = NameLookup(woken.set, lambda host, port: [FOUND])
    assert lookup.ask(HostPort("name", 1)) is None
    assert woken.wait(5)
    (resolution,) = lookup.take()
    assert (resolution.address, resolution.endpoints) == (HostPort("name", 1), (FOUND,))
    assert lookup.take() == []


def test_one_dead_name_does_not_keep_others_waiting_and_is_asked_once() -> None:
    gate, woken = threading.Event(), threading.Event()
    calls = []

    def resolver(host: str, port: int) -> list[Endpoint]:
        calls.append(host)
        if host == "dead":
            gate.wait(5)
        else:
            woken.set()
        return [FOUND]

    lookup = NameLookup(lambda: None, resolver)
    lookup.ask(HostPort("dead", 1))
    lookup.ask(HostPort("dead", 1))
    lookup.ask(HostPort("alive", 1))
    assert woken.wait(5)
    assert calls.count("dead") == 1
    gate.set()


def test_failure_is_an_answer() -> None:
    woken = threading.Event()

    def resolver(host: str, port: int) -> list[Endpoint]:
        raise NetworkError("no such name")

    lookup = NameLookup(woken.set, resolver)
    lookup.ask(HostPort("name", 1))
    assert woken.wait(5)
    assert "no such name" in str(lookup.take()[0].error)


def test_lack_of_threads_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    lookup = NameLookup(lambda: None)
    lookup.ask(HostPort("name", 1))
    assert "can't start" in str(lookup.take()[0].error)
