"""A TCP proxy on loopback that knows Kafka's frames: put it between a client and brokers, then break things.

It listens once for each broker and rewrites the addresses in answers, so that the client stays behind it. Without
rules nothing else is changed. Two threads for each connection; rules may be added at any time from any thread.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import TracebackType
from typing import Final, Self

from kproducer.config import HostPort
from kproducer.protocol.frames import FrameSplitter
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from tests.faults.effects import BlackHole, Close, Drop, Duplicate, Effect, Hold, Reset, Rewrite, Trickle

_FRAME_LIMIT: Final = 256 * 1024 * 1024
_POLL_S: Final = 0.05
_HOLD_LIMIT_S: Final = 120.0
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_HINTS_SINCE: Final = 10


class Direction(Enum):
    """Which way a frame goes."""

    REQUEST = auto()
    RESPONSE = auto()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and what its answer belongs to; `nth` counts requests of its API through this proxy from 1."""

    api_key: int
    api_version: int
    correlation_id: int
    nth: int
    connection: int
    broker: HostPort


@dataclass(slots=True)
class Rule:
    """When to apply an effect; `hits` says how often it was."""

    effect: Effect
    api_key: int | None
    direction: Direction
    broker: HostPort | None
    skip: int
    times: int | None
    hits: int = 0

    def applies(self, exchange: Exchange, direction: Direction) -> bool:
        """Whether this frame is hit; counts it."""
        if direction is not self.direction or self.api_key not in (None, exchange.api_key):
            return False
        if self.broker not in (None, exchange.broker) or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.hits += 1
        return True


class FaultProxy:
    """Stands in for brokers.

    Args:
        brokers: addresses of the real ones, as `host:port`.
        receive_buffer_bytes: of each connection of a client, default the system's; a small one is a small window.

    Use it as a context manager; `bootstrap_servers` is what the client gets.
    """

    def __init__(self, brokers: Iterable[str], *, receive_buffer_bytes: int | None = None) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._counts: dict[int, int] = {}
        self._is_stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pipes: set[_Pipe] = set()
        self._refused: set[HostPort] = set()
        self._receive_buffer_bytes = receive_buffer_bytes
        self.connections = 0
        self._listeners = {_host_port(broker): socket.create_server(("127.0.0.1", 0)) for broker in brokers}
        self._addresses = {
            broker: HostPort("127.0.0.1", listener.getsockname()[1])
            for broker, listener in self._listeners.items()
        }

    def __enter__(self) -> Self:
        for broker, listener in self._listeners.items():
            listener.settimeout(_POLL_S)
            if self._receive_buffer_bytes is not None:  # accepted sockets inherit it
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
            self._spawn(self._accept, broker, listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_stopping.set()
        with self._lock:
            rules = list(self._rules)
        for rule in rules:
            if isinstance(rule.effect, Hold):
                rule.effect.release()
        self.cut()
        for listener in self._listeners.values():
            listener.close()
        for thread in self._threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in self._threads), "a thread of the proxy did not end"

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the proxy, one for each broker."""
        return ",".join(f"{address.host}:{address.port}" for address in self._addresses.values())

    # --- faults ------------------------------------------------------------------------------------------

    def on(
        self,
        effect: Effect,
        *,
        api_key: int | None = PRODUCE.key,
        direction: Direction = Direction.RESPONSE,
        broker: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Rule:
        """Apply an effect to frames to come.

        Args:
            api_key: which API, default Produce, None for any.
            direction: default: answers.
            broker: `host:port` of the real broker, default: all.
            skip: frames that pass unharmed first, default 0.
            times: how many are hit, default 1, None for all.
        """
        rule = Rule(effect, api_key, direction, None if broker is None else _host_port(broker), skip, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules; what is held is released."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            if isinstance(rule.effect, Hold):
                rule.effect.release()

    def cut(self, broker: str | None = None) -> None:
        """Close the connections to a broker, default to all of them, with FIN."""
        with self._lock:
            pipes = [p for p in self._pipes if broker is None or p.broker == _host_port(broker)]
        for pipe in pipes:
            pipe.close()

    def refuse(self, *brokers: str) -> None:
        """Close each new connection to these brokers at once; without any: refuse none."""
        with self._lock:
            self._refused = {_host_port(broker) for broker in brokers}

    def requests(self, api_key: int) -> int:
        """How many requests of an API came through."""
        with self._lock:
            return self._counts.get(api_key, 0)

    # --- inside ------------------------------------------------------------------------------------------

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="fault-proxy", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self, broker: HostPort, listener: socket.socket) -> None:
        while not self._is_stopping.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._connect(broker, client)

    def _connect(self, broker: HostPort, client: socket.socket) -> None:
        with self._lock:
            is_refused = broker in self._refused
        try:
            if is_refused:
                raise ConnectionRefusedError
            server = socket.create_connection(broker, timeout=5)
        except OSError:
            client.close()
            return
        with self._lock:
            self.connections += 1
            pipe = _Pipe(self, self.connections, broker, client, server)
            self._pipes.add(pipe)
        self._spawn(pipe.run, Direction.REQUEST)
        self._spawn(pipe.run, Direction.RESPONSE)

    def effect_on(self, exchange: Exchange, direction: Direction) -> Effect | None:
        """What happens to this frame."""
        with self._lock:
            return next((rule.effect for rule in self._rules if rule.applies(exchange, direction)), None)

    def count(self, api_key: int) -> int:
        """Number a request."""
        with self._lock:
            self._counts[api_key] = self._counts.get(api_key, 0) + 1
            return self._counts[api_key]

    def forget(self, pipe: _Pipe) -> None:
        """Take note that a connection is over."""
        with self._lock:
            self._pipes.discard(pipe)

    def readdress(self, exchange: Exchange, frame: bytes) -> bytes:
        """Put the proxy's addresses in place of the brokers' in an answer, size field included."""
        if exchange.api_key == METADATA.key:
            _, told = METADATA.decode_response(frame[4:], exchange.api_version)
            brokers = tuple(replace(b, port=self._port(b.host, b.port)) for b in told.brokers)
            answer = replace(told, brokers=brokers)
            return METADATA.encode_response(
                answer, exchange.api_version, correlation_id=exchange.correlation_id
            )
        if exchange.api_key == FIND_COORDINATOR.key:
            _, found = FIND_COORDINATOR.decode_response(frame[4:], exchange.api_version)
            moved = replace(
                found,
                port=self._port(found.host, found.port),
                coordinators=tuple(replace(c, port=self._port(c.host, c.port)) for c in found.coordinators),
            )
            return FIND_COORDINATOR.encode_response(
                moved, exchange.api_version, correlation_id=exchange.correlation_id
            )
        if exchange.api_key == PRODUCE.key and exchange.api_version >= _HINTS_SINCE:
            _, produced = PRODUCE.decode_response(frame[4:], exchange.api_version)
            endpoints = tuple(replace(e, port=self._port(e.host, e.port)) for e in produced.node_endpoints)
            if endpoints:
                hinted = replace(produced, node_endpoints=endpoints)
                return PRODUCE.encode_response(
                    hinted, exchange.api_version, correlation_id=exchange.correlation_id
                )
        return frame

    def _port(self, host: str, port: int) -> int:
        known = self._addresses.get(HostPort(host, port))
        return port if known is None else known.port

    def is_stopping(self) -> bool:
        """Whether the proxy ends."""
        return self._is_stopping.is_set()


class _Pipe:
    """One connection through the proxy."""

    def __init__(
        self, proxy: FaultProxy, number: int, broker: HostPort, client: socket.socket, server: socket.socket
    ) -> None:
        self.broker = broker
        self._proxy = proxy
        self._number = number
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._open_ends = 2
        self._waiting: dict[int, Exchange] = {}
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_POLL_S)

    def run(self, direction: Direction) -> None:
        """Carry frames one way until an end closes."""
        is_request = direction is Direction.REQUEST
        source, sink = (self._client, self._server) if is_request else (self._server, self._client)
        splitter = FrameSplitter(limit=_FRAME_LIMIT)
        is_deaf = False
        try:
            while not self._proxy.is_stopping():
                try:
                    data = source.recv(1 << 18)
                except TimeoutError:
                    continue
                if not data:
                    break
                for body in splitter.feed(data):
                    is_deaf = is_deaf or not self._carry(sink, direction, struct.pack(">i", len(body)) + body)
        except OSError:
            pass  # closed by either end, or by a rule
        finally:
            self._end()

    def _carry(self, sink: socket.socket, direction: Direction, frame: bytes) -> bool:
        """Deal with one frame; returns whether the direction is still open to more."""
        exchange = self._note_request(frame) if direction is Direction.REQUEST else self._match(frame)
        if exchange is None:
            _send(sink, frame)
            return True
        if direction is Direction.RESPONSE:
            frame = self._proxy.readdress(exchange, frame)
        return self._apply(self._proxy.effect_on(exchange, direction), sink, frame)

    def _apply(self, effect: Effect | None, sink: socket.socket, frame: bytes) -> bool:
        match effect:
            case None:
                _send(sink, frame)
            case Drop():
                pass
            case Duplicate():
                _send(sink, frame + frame)
            case Rewrite():
                _send(sink, effect.change(frame))
            case Hold():
                effect.wait(_HOLD_LIMIT_S)
                _send(sink, frame)
            case Trickle():
                gate = threading.Event()
                for at in range(0, len(frame), effect.piece):
                    _send(sink, frame[at : at + effect.piece])
                    gate.wait(effect.pause_ms / 1000)
            case Reset():
                self.reset()
            case Close():
                self.close()
            case BlackHole():
                return False
        return True

    def _note_request(self, frame: bytes) -> Exchange:
        api_key, api_version, correlation_id = struct.unpack_from(">hhi", frame, 4)
        exchange = Exchange(
            api_key, api_version, correlation_id, self._proxy.count(api_key), self._number, self.broker
        )
        with self._lock:
            self._waiting[correlation_id] = exchange
        return exchange

    def _match(self, frame: bytes) -> Exchange | None:
        (correlation_id,) = struct.unpack_from(">i", frame, 4)
        with self._lock:
            return self._waiting.pop(correlation_id, None)

    def reset(self) -> None:
        """End the connection with RST."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        with contextlib.suppress(OSError):
            # SO_LINGER only works on the last close, and another thread may be in recv.
            self._server.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def close(self) -> None:
        """End the connection with FIN; a plain close() sends none while another thread reads."""
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        self.close()
        with self._lock:
            self._open_ends -= 1
            is_over = self._open_ends == 0
        if is_over:
            self._client.close()
            self._server.close()
            self._proxy.forget(self)


def _send(sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except TimeoutError:
            continue  # the reader is slow; recv shares the short timeout


def _host_port(address: str) -> HostPort:
    host, _, port = address.rpartition(":")
    return HostPort(host, int(port))
