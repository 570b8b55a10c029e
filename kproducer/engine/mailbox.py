"""Commands from app threads to the control thread, and the replies that they wait for.

Any thread posts; only the control thread takes. `post` is lock-free: a deque and a byte on a socket.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from kproducer.client.transaction_state import Call, Ticket
from kproducer.errors import ForkError, ProducerClosedError
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, PartitionInfo, TopicPartition

T = TypeVar("T")

# Signals are handled between two waits; a thread's own wait may not be interruptible everywhere.
_SLICE_S: Final = 0.1
_DRAIN_SIZE: Final = 4096


class Reply(Generic[T]):
    """A result that an app thread waits for; set once, by the control thread."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()  # between the last moment of a wait and the handing over
        self._value: T | None = None
        self._error: BaseException | None = None
        self.is_abandoned = False

    def set_result(self, value: T) -> bool:
        """Hand over the value and wake the waiter; False if it waits no more."""
        return self._settle(value, None)

    def set_error(self, error: BaseException) -> bool:
        """Hand over an error and wake the waiter; False if it waits no more."""
        return self._settle(None, error)

    def wait(self, timeout_s: float) -> T:
        """Return the value, or raise the error.

        Raises:
            TimeoutError: nothing came in time; the reply is abandoned.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while not self._done.wait(min(_SLICE_S, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline and not self._is_answered():
                    raise TimeoutError
        except BaseException:
            self._is_answered()
            raise
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # set together with _done, and T may include None

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        with self._lock:
            if self.is_abandoned:
                return False
            self._value, self._error = value, error
            self._done.set()
            return True

    def _is_answered(self) -> bool:
        """Whether the answer came at the last moment; if not, none is taken any more."""
        with self._lock:
            self.is_abandoned = self.is_abandoned or not self._done.is_set()
            return not self.is_abandoned


@dataclass(frozen=True, slots=True)
class PartitionsFor:
    """Asks for the partitions of a topic."""

    topic: str
    reply: Reply[tuple[PartitionInfo, ...]] = field(default_factory=Reply)


@dataclass(slots=True, eq=False)
class Transact:
    """A call of the transaction API; the control thread sets the ticket."""

    call: Call
    offsets: Mapping[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    group: ConsumerGroupMetadata | None = None
    reply: Reply[None] = field(default_factory=Reply)
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The caller waits no more."""

    command: Transact


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the control thread; the pump has been stopped already."""


Command: TypeAlias = PartitionsFor | Transact | GiveUp | Close


class Mailbox:
    """The queue and its wake-up."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._is_closed = False
        self._pid = os.getpid()

    def fileno(self) -> int:
        """A descriptor that polls readable after `post` or `wake`."""
        return self._receiver.fileno()

    def post(self, command: Command) -> None:
        """Leave a command.

        Raises:
            ProducerClosedError: nobody takes commands any more.
            ForkError: this process is a fork of the producer's.
        """
        if os.getpid() != self._pid:
            raise ForkError("the producer was made before a fork; make another in this process")
        self._commands.append(command)
        if self._is_closed:  # after the append: `close` takes what was left before it looked
            raise ProducerClosedError("the producer is closed")
        self.wake()

    def wake(self) -> None:
        """Make the control thread look, from any thread."""
        try:
            self._sender.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # full: it is awake anyway; closed: nobody is left to wake

    def take(self) -> list[Command]:
        """Return the commands in order, and empty the wake-up; control thread only."""
        self._drain()
        taken = []
        while self._commands:
            taken.append(self._commands.popleft())
        return taken

    def close(self, error: BaseException) -> None:
        """Take no more commands and fail those that wait with `error`."""
        self._is_closed = True
        for command in self.take():
            if isinstance(command, PartitionsFor | Transact):
                command.reply.set_error(error)
        self.abandon()

    def abandon(self) -> None:
        """Close the sockets; after a fork these are copies, and the parent does not notice."""
        self._receiver.close()
        self._sender.close()

    def _drain(self) -> None:
        try:
            while len(self._receiver.recv(_DRAIN_SIZE)) == _DRAIN_SIZE:
                pass
        except OSError:
            pass  # nothing to read
