"""Non-blocking plain sockets to brokers. Control thread only, until a socket is detached for the pump."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final, Protocol

from kproducer.errors import DisconnectError, NetworkError
from kproducer.net.resolver import Endpoint

SYSTEM_DEFAULT: Final = -1
_RECEIVE_SIZE: Final = 64 * 1024
_IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})
_LOST: Final = frozenset(
    {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENOTCONN, errno.ETIMEDOUT}
)


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """send.buffer.bytes and receive.buffer.bytes; -1 leaves the size to the operating system (default)."""

    send_buffer_bytes: int = SYSTEM_DEFAULT
    receive_buffer_bytes: int = SYSTEM_DEFAULT


class Transport(Protocol):
    """A byte stream to a broker that never blocks."""

    def fileno(self) -> int: ...

    def finish_connect(self) -> None:
        """Settle a connect that poll reported as writable; raise NetworkError if it failed."""

    def send(self, data: bytes) -> int:
        """Return how many bytes the kernel took, 0 if it takes none now; raise NetworkError."""

    def receive(self) -> bytes | None:
        """Return received bytes, None if there are none now; raise DisconnectError at the end."""

    def detach(self) -> int:
        """Give the descriptor away; the object is of no use afterwards."""

    def close(self) -> None: ...


class PlainTransport:
    """A TCP socket; it begins to connect when it is made.

    Raises:
        NetworkError: no socket can be had, or the address is unreachable.
    """

    def __init__(self, endpoint: Endpoint, options: SocketOptions) -> None:
        self._endpoint = endpoint
        try:
            self._socket = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as error:  # EMFILE among others: dialling again waits for the reconnect backoff
            raise self._failure("open a socket for", error) from error
        try:
            self._begin(options)
        except OSError as error:
            self._socket.close()
            raise self._failure("connect to", error) from error

    def _begin(self, options: SocketOptions) -> None:
        sock = self._socket
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Before connect: the size of the window is agreed upon in the handshake.
        if options.send_buffer_bytes != SYSTEM_DEFAULT:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
        if options.receive_buffer_bytes != SYSTEM_DEFAULT:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)
        code = sock.connect_ex(self._endpoint.sockaddr)
        if code not in _IN_PROGRESS:
            raise OSError(code, os.strerror(code))

    def fileno(self) -> int:
        """The descriptor, to poll."""
        return self._socket.fileno()

    def finish_connect(self) -> None:
        """See Transport."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise self._failure("connect to", OSError(code, os.strerror(code)))

    def send(self, data: bytes) -> int:
        """See Transport."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._failure("send to", error) from error

    def receive(self) -> bytes | None:
        """See Transport."""
        try:
            data = self._socket.recv(_RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise self._failure("receive from", error) from error
        if not data:
            raise DisconnectError(f"{self._endpoint} closed the connection")
        return data

    def detach(self) -> int:
        """See Transport."""
        return self._socket.detach()

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._socket.close()

    def _failure(self, stage: str, error: OSError) -> NetworkError:
        kind = DisconnectError if error.errno in _LOST else NetworkError
        return kind(f"cannot {stage} {self._endpoint}: {error}")
