"""One connection through the fault proxy: two lines of frames, and the answers that are owed.

Each line is run by a thread of its own, which alone writes to its sink; the request line hands forged answers to the
other one, so that answers leave in the order of their requests.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from kproducer.testing.answers import Address, is_answered, readdress, refusal
from kproducer.testing.effects import (
    Answer,
    BlackHole,
    Close,
    Drop,
    Duplicate,
    Effect,
    Hold,
    Reset,
    Rewrite,
    Trickle,
)
from kproducer.testing.frames import FrameCutter, RequestHead, correlation_id_of

logger = logging.getLogger(__name__)

_FRAME_LIMIT: Final = 256 * 1024 * 1024
_CHUNK: Final = 1 << 18
_POLL_S: Final = 0.05
_HOLD_LIMIT_S: Final = 120.0
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Direction(Enum):
    """Which way a frame goes."""

    REQUEST = auto()
    RESPONSE = auto()


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its answer; `forged` is the answer to give in place of the broker's, if the rules say so."""

    api_key: int
    api_version: int
    correlation_id: int
    broker: Address
    forged: bytes | None = None
    is_forwarded: bool = True


class Rules(Protocol):
    """What a pipe asks the proxy."""

    def fate_of(self, exchange: Exchange, direction: Direction, /) -> tuple[float, Effect | None]: ...
    def count(self, api_key: int, /) -> None: ...
    def move(self, broker: Address, /) -> Address: ...
    def forget(self, pipe: Pipe, /) -> None: ...


class Pipe:
    """A client's connection, and the one to the broker behind it."""

    def __init__(self, rules: Rules, broker: Address, client: socket.socket, server: socket.socket) -> None:
        self.broker = broker
        self.rules = rules
        self.is_over = False
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._open_lines = 2
        self._owed: dict[int, Exchange] = {}  # by correlation id, in the order of the requests
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_POLL_S)
        self._answers = _Line(self, Direction.RESPONSE, server, client)
        self.lines = (_Line(self, Direction.REQUEST, client, server), self._answers)

    def owe(self, exchange: Exchange) -> None:
        """Take note that the client waits for an answer."""
        with self._lock:
            self._owed[exchange.correlation_id] = exchange
        if not exchange.is_forwarded:
            self._answers.wake()

    def owe_nothing(self, exchange: Exchange) -> None:
        """Take note that the broker never got the request: it would answer the next one."""
        with self._lock:
            self._owed.pop(exchange.correlation_id, None)

    def take(self, correlation_id: int) -> Exchange | None:
        """Return what an answer of the broker's belongs to."""
        with self._lock:
            return self._owed.pop(correlation_id, None)

    def take_forged(self) -> list[Exchange]:
        """Return the forged answers that no answer of the broker's has to precede."""
        found = []
        with self._lock:
            for exchange in list(self._owed.values()):
                if exchange.is_forwarded:
                    break
                found.append(self._owed.pop(exchange.correlation_id))
        return found

    def reset(self) -> None:
        """End the connection with RST."""
        self.is_over = True
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        with contextlib.suppress(OSError):
            # SO_LINGER only works on the last close, and another thread may be in recv.
            self._server.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def close(self) -> None:
        """End the connection with FIN; a plain close() sends none while another thread reads."""
        self.is_over = True
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def end_line(self) -> None:
        """Take note that a line has ended, and with it the other."""
        self.close()
        with self._lock:
            self._open_lines -= 1
            if self._open_lines > 0:
                return
        self._client.close()
        self._server.close()
        self.rules.forget(self)


@dataclass(slots=True)
class _Due:
    """A frame, and when and how it goes on."""

    at: float
    exchange: Exchange
    effect: Effect | None
    frame: bytes


class _Line:
    """Carries the frames of one direction."""

    def __init__(self, pipe: Pipe, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        self._pipe = pipe
        self._direction = direction
        self._source = source
        self._sink = sink
        self._cutter = FrameCutter(_FRAME_LIMIT)
        self._due: deque[_Due] = deque()
        self._is_deaf = False
        self._bell, self._ringer = socket.socketpair()
        for sock in (self._bell, self._ringer):
            sock.setblocking(False)

    def wake(self) -> None:
        """Have the line look for forged answers; any thread."""
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody waits
            self._ringer.send(b"\0")

    def run(self) -> None:
        """Carry frames until an end closes."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._source, selectors.EVENT_READ, self._receive)
                selector.register(self._bell, selectors.EVENT_READ, self._answer_bell)
                while not self._pipe.is_over:
                    for key, _ in selector.select(self._nap()):
                        key.data()
                    self._carry_due()
        except (OSError, EOFError):
            pass  # closed by either end, or by a rule
        except ValueError as error:
            if not self._pipe.is_over:  # a closed socket cannot be selected
                logger.error("the fault proxy closes a connection to %s: %s", self._pipe.broker, error)
        finally:
            self._pipe.end_line()
            self._bell.close()
            self._ringer.close()

    def _nap(self) -> float:
        if not self._due:
            return _POLL_S
        return min(_POLL_S, max(0.0, self._due[0].at - time.monotonic()))

    def _receive(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except TimeoutError:
            return
        if not data:
            raise EOFError
        for frame in self._cutter.feed(data):
            if self._is_deaf:
                return
            if self._direction is Direction.REQUEST:
                self._take_request(frame)
            else:
                self._take_answer(frame)

    def _answer_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(_CHUNK)
        self._take_forged()

    def _take_request(self, frame: bytes) -> None:
        head = RequestHead.of(frame)
        exchange = Exchange(head.api_key, head.api_version, head.correlation_id, self._pipe.broker)
        self._pipe.rules.count(head.api_key)
        delay_s, effect = self._pipe.rules.fate_of(exchange, self._direction)
        if isinstance(effect, Answer):
            exchange.forged = refusal(frame, effect.code)
            exchange.is_forwarded = effect.forwards
        self._queue(delay_s, exchange, effect, frame)

    def _take_answer(self, frame: bytes) -> None:
        exchange = self._pipe.take(correlation_id_of(frame))
        if exchange is None:  # nobody asked for it; the client will say so
            nobody = Exchange(-1, -1, -1, self._pipe.broker)
            self._queue(0.0, nobody, None, frame)
            return
        self._give_answer(exchange, exchange.forged or frame)
        self._take_forged()

    def _take_forged(self) -> None:
        for exchange in self._pipe.take_forged():
            assert exchange.forged is not None
            self._give_answer(exchange, exchange.forged)

    def _give_answer(self, exchange: Exchange, frame: bytes) -> None:
        moved = readdress(frame, exchange.api_key, exchange.api_version, self._pipe.rules.move)
        delay_s, effect = self._pipe.rules.fate_of(exchange, self._direction)
        self._queue(delay_s, exchange, effect, moved)

    def _queue(self, delay_s: float, exchange: Exchange, effect: Effect | None, frame: bytes) -> None:
        self._due.append(_Due(time.monotonic() + delay_s, exchange, effect, frame))
        self._carry_due()  # before the next frame is judged: this one may be the last

    def _carry_due(self) -> None:
        # Only the first one's time is asked: none overtakes it, however short its own delay is.
        while self._due and self._due[0].at <= time.monotonic():
            due = self._due.popleft()
            if self._is_deaf:
                continue
            is_request = self._direction is Direction.REQUEST
            if is_request and is_answered(due.frame):  # noted before it leaves: the answer may be quick
                self._pipe.owe(due.exchange)
            self._apply(due)

    def _apply(self, due: _Due) -> None:
        match due.effect:
            case Reset():
                self._pipe.reset()
            case Close():
                self._pipe.close()
            case BlackHole():
                self._is_deaf = True
            case Hold():
                due.effect.wait(_HOLD_LIMIT_S)
                self._send(due.frame)
            case Trickle(piece=piece, pause_ms=pause_ms):
                for at in range(0, len(due.frame), piece):
                    self._send(due.frame[at : at + piece])
                    time.sleep(pause_ms / 1000)
            case _:
                frame = _changed(due)
                if not frame and due.exchange.is_forwarded:
                    self._pipe.owe_nothing(due.exchange)
                self._send(frame)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sink.send(view) :]
            except TimeoutError:
                continue  # the reader is slow; recv shares the short timeout


def _changed(due: _Due) -> bytes:
    """What goes on in place of the frame."""
    match due.effect:
        case Drop():
            return b""
        case Duplicate():
            return due.frame + due.frame
        case Rewrite(change=change):
            return change(due.frame)
        case Answer(forwards=is_forwarded):
            return due.frame if is_forwarded else b""
        case _:
            return due.frame
