"""The bare socket client, against a socket that answers what the test says."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kproducer.testing.probe import fetch_api_versions, fetch_metadata, request_topic

METADATA_ANSWER = (
    struct.pack(">ii", 1, 0)  # correlation id, throttle time
    + struct.pack(">iih", 2, 1, 1) + b"h" + struct.pack(">ih", 9092, -1)
    + struct.pack(">ih", 3, 1) + b"h" + struct.pack(">ih", 9093, 1) + b"r"
    + struct.pack(">h", 1) + b"c" + struct.pack(">i", 3)
    + struct.pack(">ihh", 1, 0, 1) + b"t" + b"\0"
    + struct.pack(">i", 2)
    + struct.pack(">hii", 0, 0, 3) + struct.pack(">iiiii", 2, 3, 1, 1, 3)
    + struct.pack(">hii", 5, 1, -1) + struct.pack(">iii", 1, 3, 0)
)  # fmt: skip
CREATION_ANSWER = struct.pack(">iiih", 1, 0, 1, 1) + b"t" + struct.pack(">hh", 36, 6) + b"exists"


def framed(answer: bytes) -> bytes:
    return struct.pack(">i", len(answer)) + answer


@contextmanager
def broker_saying(raw: bytes, requests: list[bytes] | None = None) -> Iterator[int]:
    """A port on which one connection gets `raw`, byte by byte, after its request."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
                request = connection.recv(size, socket.MSG_WAITALL)
                if requests is not None:
                    requests.append(request)
                for byte in raw:
                    connection.send(bytes((byte,)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def test_metadata_tells_brokers_controller_and_leaders() -> None:
    with broker_saying(framed(METADATA_ANSWER)) as port:
        state = fetch_metadata(port, ("t",))

    assert state.brokers == {1, 3}
    assert state.controller == 3
    assert state.topics["t"].leaders == {0: 3, 1: -1}


def test_a_partition_without_a_leader_is_not_ready() -> None:
    with broker_saying(framed(METADATA_ANSWER)) as port:
        topic = fetch_metadata(port, ("t",)).topics["t"]

    assert not topic.has_leaders(2)


def test_metadata_request_creates_no_topic() -> None:
    requests: list[bytes] = []
    with broker_saying(framed(METADATA_ANSWER), requests) as port:
        fetch_metadata(port, ("t",))

    assert requests[0].endswith(struct.pack(">ih", 1, 1) + b"t\0")


def test_creation_returns_code_and_message() -> None:
    with broker_saying(framed(CREATION_ANSWER)) as port:
        assert request_topic(port, "t", 1, 1, {}) == (36, "exists")


def test_creation_request_carries_the_configuration() -> None:
    requests: list[bytes] = []
    with broker_saying(framed(CREATION_ANSWER), requests) as port:
        request_topic(port, "t", 6, 3, {"a": "b"})

    topic = struct.pack(">ih", 1, 1) + b"t" + struct.pack(">ihi", 6, 3, 0)
    assert topic + struct.pack(">ih", 1, 1) + b"a" + struct.pack(">h", 1) + b"b" in requests[0]


def test_api_versions_are_ranges_by_key() -> None:
    answer = struct.pack(">ihihhhhhh", 1, 0, 2, 0, 3, 12, 3, 0, 13)
    with broker_saying(framed(answer)) as port:
        assert fetch_api_versions(port) == {0: (3, 12), 3: (0, 13)}


@pytest.mark.parametrize("cut", range(4, len(METADATA_ANSWER)))
def test_an_answer_cut_anywhere_is_a_connection_error(cut: int) -> None:
    with broker_saying(framed(METADATA_ANSWER[:cut])) as port, pytest.raises(ConnectionError):
        fetch_metadata(port)


def test_a_closed_connection_is_a_connection_error() -> None:
    with broker_saying(b"\0\0") as port, pytest.raises(ConnectionError, match="closed"):
        fetch_metadata(port)


@pytest.mark.parametrize("size", [-1, 3, 1 << 30])
def test_an_absurd_size_is_refused_before_it_is_read(size: int) -> None:
    with broker_saying(struct.pack(">i", size)) as port, pytest.raises(ConnectionError, match=str(size)):
        fetch_metadata(port)


def test_a_socket_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TimeoutError):
        fetch_metadata(server.getsockname()[1], timeout_s=0.05)
