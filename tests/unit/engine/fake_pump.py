"""A pump that remembers the commands it was given and tells the events that a test puts in."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from kproducer._core.events import Action, Event, Stopped
from kproducer.errors import KafkaError


class Command(NamedTuple):
    """A call: its name and its arguments by name."""

    name: str
    args: dict[str, Any]


class FakePump:
    """Stands in for `_core.pump.Pump`; thread-safe."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.commands: list[Command] = []
        self.is_abandoned = False
        self.failed_by_stop = 0
        self._events: deque[Event] = deque()
        self._news = threading.Condition()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._is_stopped = threading.Event()
        self.fail_take_events: BaseException | None = None

    # --- for tests ---------------------------------------------------------------------------------------

    def tell(self, *events: Event) -> None:
        """Put events in and wake the control thread."""
        self._events.extend(events)
        self._sender.send(b"\0")

    def calls(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of all calls of a name."""
        with self._news:
            return [command.args for command in self.commands if command.name == name]

    def wait_for(self, name: str, count: int = 1, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        """Wait until a command has been given so often."""
        with self._news:
            self._news.wait_for(lambda: len(self.calls(name)) >= count, timeout_s)
        found = self.calls(name)
        assert len(found) >= count, f"{len(found)} {name} came, not {count}: {self.commands}"
        return found

    def close_adopted(self) -> None:
        """Close the sockets that were given to the pump."""
        for args in self.calls("adopt"):
            socket.socket(fileno=args["fd"]).close()

    def close(self) -> None:
        """Close the fake's own sockets."""
        self._receiver.close()
        self._sender.close()

    def _note(self, name: str, **args: Any) -> None:
        with self._news:
            self.commands.append(Command(name, args))
            self._news.notify_all()

    # --- the pump's interface ----------------------------------------------------------------------------

    def start(self) -> None:
        self._note("start")

    def event_fileno(self) -> int:
        return self._receiver.fileno()

    def take_events(self) -> list[Event]:
        if self.fail_take_events is not None:
            raise self.fail_take_events
        try:
            self._receiver.recv(4096)
        except BlockingIOError:
            pass
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def adopt(self, node: int, conn_gen: int, fd: int, produce_version: int) -> None:
        self._note("adopt", node=node, conn_gen=conn_gen, fd=fd, produce_version=produce_version)

    def drop(self, node: int, conn_gen: int, drain: bool) -> None:
        self._note("drop", node=node, conn_gen=conn_gen, drain=drain)

    def topic(self, topic: str, topic_id: bytes | None, leaders: Sequence[tuple[int, int]]) -> None:
        self._note("topic", topic=topic, topic_id=topic_id, leaders=list(leaders))

    def topic_error(self, topic: str, code: int, message: str | None) -> None:
        self._note("topic_error", topic=topic, code=code, message=message)

    def fail_partition(
        self, topic: str, partition: int, code: int, message: str | None, *, is_refusal: bool = False
    ) -> None:
        self._note("fail_partition", topic=topic, partition=partition, code=code)

    def verdict(
        self,
        topic: str,
        partition: int,
        batch_id: int,
        action: Action,
        *,
        code: int = 0,
        message: str | None = None,
        persisted: int = 0,
        record_errors: Sequence[tuple[int, int, str | None]] = (),
        is_refusal: bool = False,
    ) -> None:
        self._note(
            "verdict",
            topic=topic,
            partition=partition,
            batch_id=batch_id,
            action=action,
            code=code,
            persisted=persisted,
            record_errors=tuple(record_errors),
            is_refusal=is_refusal,
        )

    def resume(self, topic: str, partition: int, hold_gen: int, delay_ms: int, new_epoch: bool) -> None:
        self._note(
            "resume",
            topic=topic,
            partition=partition,
            hold_gen=hold_gen,
            delay_ms=delay_ms,
            new_epoch=new_epoch,
        )

    def producer_id(self, producer_id: int, epoch: int) -> None:
        self._note("producer_id", producer_id=producer_id, epoch=epoch)

    def txn_begin(self, gen: int, is_v2: bool) -> None:
        self._note("txn_begin", gen=gen, is_v2=is_v2)

    def txn_allow(self, gen: int, topic: str, partition: int) -> None:
        self._note("txn_allow", gen=gen, topic=topic, partition=partition)

    def txn_seal(self, gen: int) -> None:
        self._note("txn_seal", gen=gen)

    def txn_drop(self, gen: int, message: str | None, failure: KafkaError | None = None) -> None:
        self._note("txn_drop", gen=gen, message=message)

    def txn_over(self) -> None:
        self._note("txn_over")

    def topics_used(self) -> list[str]:
        return []

    def fail_all(self, code: int, message: str, fatal: bool) -> None:
        self._note("fail_all", code=code, message=message, fatal=fatal)

    def stop(self) -> None:
        self._note("stop")
        self.tell(Stopped(0))
        self._is_stopped.set()

    def join(self, timeout_ms: int) -> bool:
        return self._is_stopped.wait(timeout_ms / 1000)

    def set_threads(self, control: int | None = None, delivery: int | None = None) -> None:
        self._note("set_threads", control=control, delivery=delivery)

    def close_appends(self) -> None:
        self._note("close_appends")

    def flush(self, timeout_ms: float | None = None) -> bool:
        self._note("flush", timeout_ms=timeout_ms)
        return True

    def counters(self) -> dict[str, int]:
        return {"records_failed": self.failed_by_stop if self._is_stopped.is_set() else 0}

    def raise_unobserved(self) -> None:
        self._note("raise_unobserved")

    def stop_delivery(self) -> None:
        self._note("stop_delivery")

    def abandon(self) -> None:
        self.is_abandoned = True
