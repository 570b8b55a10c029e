"""Plain sockets: options, partial writes, and the mapping of OSError."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from kproducer.errors import DisconnectError, NetworkError
from kproducer.net.resolver import Endpoint, resolve
from kproducer.net.transport import PlainTransport, SocketOptions


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def endpoint_of(listener: socket.socket) -> Endpoint:
    return Endpoint(socket.AF_INET, listener.getsockname())


@contextlib.contextmanager
def pair(
    listener: socket.socket,
    options: SocketOptions = SocketOptions(),  # noqa: B008  # frozen
) -> Iterator[tuple[PlainTransport, socket.socket]]:
    transport = PlainTransport(endpoint_of(listener), options)
    peer, _ = listener.accept()
    assert select.select([], [transport.fileno()], [], 5)[1]
    transport.finish_connect()
    try:
        yield transport, peer
    finally:
        transport.close()
        peer.close()


def test_bytes_go_both_ways_without_blocking(listener: socket.socket) -> None:
    with pair(listener) as (transport, peer):
        assert transport.receive() is None
        assert transport.send(b"ping") == 4
        assert peer.recv(10) == b"ping"
        peer.sendall(b"pong")
        assert select.select([transport.fileno()], [], [], 5)[0]
        assert transport.receive() == b"pong"


def test_options_are_set(listener: socket.socket) -> None:
    with (
        pair(listener, SocketOptions(send_buffer_bytes=20_000, receive_buffer_bytes=30_000)) as (
            transport,
            _,
        ),
        socket.socket(fileno=transport.detach()) as sock,
    ):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (
            20_000,
            40_000,
        )  # Linux doubles it
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (30_000, 60_000)


def test_detached_socket_is_non_blocking_and_survives_close(listener: socket.socket) -> None:
    with pair(listener) as (transport, peer):
        descriptor = transport.detach()
        transport.close()
        with socket.socket(fileno=descriptor) as sock:
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            sock.send(b"x")
            assert peer.recv(1) == b"x"


def test_full_kernel_buffer_takes_nothing(listener: socket.socket) -> None:
    with pair(listener, SocketOptions(send_buffer_bytes=10_000)) as (transport, _):
        chunk = b"x" * 1_000_000
        for _ in range(100):
            if transport.send(chunk) == 0:
                return
        pytest.fail("the kernel took 100 MB")


def test_end_of_stream_is_a_disconnect(listener: socket.socket) -> None:
    with pair(listener) as (transport, peer):
        peer.close()
        assert select.select([transport.fileno()], [], [], 5)[0]
        with pytest.raises(DisconnectError, match="closed the connection"):
            transport.receive()


def test_reset_is_a_disconnect(listener: socket.socket) -> None:
    with pair(listener) as (transport, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert select.select([transport.fileno()], [], [], 5)[0]
        with pytest.raises(DisconnectError, match="cannot receive from"):
            transport.receive()


def test_refused_connection_is_a_network_error_that_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        endpoint = endpoint_of(closed)
    with pytest.raises(NetworkError, match=f"cannot connect to {endpoint}.*Errno {errno.ECONNREFUSED}"):
        connect(endpoint)


def connect(endpoint: Endpoint) -> None:
    transport = PlainTransport(endpoint, SocketOptions())
    try:
        select.select([], [transport.fileno()], [], 5)
        transport.finish_connect()
    finally:
        transport.close()


def test_lack_of_descriptors_is_a_network_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("kproducer.net.transport.socket.socket", no_more)
    with pytest.raises(NetworkError, match="open a socket"):
        PlainTransport(Endpoint(socket.AF_INET, ("127.0.0.1", 1)), SocketOptions())


def test_unreachable_address_leaves_no_socket_open() -> None:
    # A multicast address is refused by connect() itself.
    with pytest.raises(NetworkError):
        PlainTransport(Endpoint(socket.AF_INET, ("224.0.0.1", 9)), SocketOptions())


def test_localhost_resolves() -> None:
    assert all(endpoint.sockaddr[1] == 9092 for endpoint in resolve("localhost", 9092))
