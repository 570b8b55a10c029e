"""Outcomes of a MockProducer's records: a Delivery each, which futures and results look at."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Self

from kproducer import (
    KafkaError,
    KafkaTimeoutError,
    RecordFuture,
    RecordMetadata,
    SendManyResult,
    UnobservedDeliveryError,
)
from kproducer.testing.mock_arguments import CheckedRecord, check_callback, check_timeout

logger = logging.getLogger(__name__)

OnDelivery = Callable[[RecordMetadata | None, KafkaError | None], object]

_CREATE_TIME: Final = 0


class Delivery:
    """What is known of one record that was accepted.

    Args:
        is_watched: a callback was given, or a future or result was handed out.
    """

    def __init__(
        self,
        ledger: Ledger,
        topic: str,
        partition: int,
        record: CheckedRecord,
        on_delivery: OnDelivery | None,
        *,
        is_watched: bool,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.timestamp_ms = (
            time.time_ns() // 1_000_000 if record.timestamp_ms is None else record.timestamp_ms
        )
        self.key_size = -1 if record.key is None else len(record.key)
        self.value_size = -1 if record.value is None else len(record.value)
        self.on_delivery = on_delivery
        self.metadata: RecordMetadata | None = None
        self.error: KafkaError | None = None
        self.settled = threading.Event()
        self.ledger = ledger
        self.is_watched = is_watched
        self.done_callbacks: list[Callable[[], object]] = []

    def settle(self, offset: int, error: KafkaError | None) -> None:
        """Give the record its outcome; called by the ledger, under its lock."""
        self.error = error
        if error is None:
            self.metadata = RecordMetadata(
                self.topic,
                self.partition,
                offset,
                self.timestamp_ms,
                _CREATE_TIME,
                self.key_size,
                self.value_size,
            )
        self.settled.set()

    def outcome(self) -> RecordMetadata:
        """Return the metadata of a settled record, or raise its error."""
        if self.error is not None:
            raise self.error
        assert self.metadata is not None
        return self.metadata


class Ledger:
    """Failures that nobody heard of, and callbacks that wait for their turn; any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._unobserved: list[Delivery] = []
        self._calls: list[tuple[Delivery, Callable[[], object]]] = []
        self._caller: int | None = None

    @property
    def is_in_callback(self) -> bool:
        """Whether this thread runs a callback."""
        return self._caller == threading.get_ident()

    def settle(self, delivery: Delivery, offset: int, error: KafkaError | None) -> None:
        """Give a record its outcome and queue its callbacks; `run_callbacks` runs them."""
        with self.lock:
            delivery.settle(offset, error)
            if error is not None and not delivery.is_watched:
                self._unobserved.append(delivery)
            on_delivery = delivery.on_delivery
            if on_delivery is not None:
                self._calls.append((delivery, lambda: on_delivery(delivery.metadata, delivery.error)))
            self._calls += [(delivery, fn) for fn in delivery.done_callbacks]
            delivery.done_callbacks.clear()

    def listen(self, delivery: Delivery, fn: Callable[[], object]) -> None:
        """Call `fn` when the record has its outcome, or now if it has."""
        with self.lock:
            if not delivery.settled.is_set():
                delivery.done_callbacks.append(fn)
                return
        _call(delivery, fn)

    def unwatch(self, delivery: Delivery) -> None:
        """Take note that a future was dropped before anybody asked it."""
        with self.lock:
            delivery.is_watched = False
            if delivery.error is not None:
                self._unobserved.append(delivery)

    def run_callbacks(self) -> None:
        """Run what is queued, one after the other, as the delivery thread would; not from within a callback."""
        while True:
            with self.lock:
                if self._caller is not None or not self._calls:
                    return  # another thread is at it, or this one is, further up
                self._caller = threading.get_ident()
                calls, self._calls = self._calls, []
            try:
                for delivery, fn in calls:
                    _call(delivery, fn)
            finally:
                self._caller = None

    def raise_unobserved(self) -> None:
        """Raise one UnobservedDeliveryError for the failures that nobody listened to since the last call."""
        failed = self.take_unobserved()
        if not failed:
            return
        by_partition: dict[tuple[str, int], int] = {}
        for delivery in failed:
            place = (delivery.topic, delivery.partition)
            by_partition[place] = by_partition.get(place, 0) + 1
        first = failed[0].error
        assert first is not None
        raise UnobservedDeliveryError(count=len(failed), first_error=first, by_partition=by_partition)

    def take_unobserved(self) -> list[Delivery]:
        """Return the failures that nobody listened to, once."""
        with self.lock:
            failed, self._unobserved = self._unobserved, []
        return failed


def _call(delivery: Delivery, fn: Callable[[], object]) -> None:
    try:
        fn()
    except BaseException:  # a callback's edge: logged with its record, the next one runs
        logger.exception("delivery callback failed for %s-%d", delivery.topic, delivery.partition)


class MockRecordFuture(RecordFuture):
    """What `MockProducer.send()` returns: a RecordFuture whose outcome the test decides.

    Args:
        is_asked: there is a callback, which hears of a failure even if the future is dropped.
    """

    def __init__(self, delivery: Delivery, *, is_asked: bool) -> None:
        self._delivery = delivery
        self._is_asked = is_asked

    def __del__(self) -> None:
        if not self._is_asked:
            self._delivery.ledger.unwatch(self._delivery)

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._delivery.settled.is_set()

    def result(self, timeout: float | None = None) -> RecordMetadata:
        """Return the RecordMetadata or raise the error, waiting up to `timeout` seconds (default None: for ever)."""
        self._wait(timeout)
        return self._delivery.outcome()

    def get(self, timeout: float | None = None) -> RecordMetadata:
        """The same as result()."""
        return self.result(timeout)

    def exception(self, timeout: float | None = None) -> KafkaError | None:
        """Return the error of a failed record, or None, waiting as result() does."""
        self._wait(timeout)
        return self._delivery.error

    def add_done_callback(self, fn: Callable[[RecordFuture], object]) -> None:
        """Call fn(future) when the outcome is known, or now if it is; what it raises is logged."""
        check_callback(fn, "callback")
        self._is_asked = True
        self._delivery.ledger.listen(self._delivery, lambda: fn(self))

    def cancel(self) -> bool:
        """False: a record that was accepted is not taken back."""
        return False

    def cancelled(self) -> bool:
        """False: see cancel()."""
        return False

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        return self._outcome_in_loop().__await__()

    async def _outcome_in_loop(self) -> RecordMetadata:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def end_wait() -> None:
            if not waiter.done():  # else its task was cancelled
                waiter.set_result(None)

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(end_wait)

        self._delivery.ledger.listen(self._delivery, wake)
        await waiter
        return self.result(0)

    def _wait(self, timeout: float | None) -> None:
        if not self._delivery.settled.wait(check_timeout(timeout, "for ever")):
            raise KafkaTimeoutError(
                f"no outcome within {timeout} s; the record is still on its way", persisted="maybe"
            )
        self._is_asked = True


class MockSendManyResult(SendManyResult):
    """What `MockProducer.send_many()` returns: a SendManyResult whose outcomes the test decides."""

    def __init__(self) -> None:
        self._deliveries: list[Delivery] = []
        self._is_asked = False

    def __del__(self) -> None:
        if not self._is_asked:
            for delivery in self._deliveries:
                delivery.ledger.unwatch(delivery)

    def note(self, delivery: Delivery) -> None:
        """Count a record in."""
        self._deliveries.append(delivery)

    @property
    def count(self) -> int:
        """How many records were accepted."""
        return len(self._deliveries)

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until every record has its outcome, up to `timeout` seconds (default None: for ever); return self."""
        seconds = check_timeout(timeout, "for ever")
        deadline = None if seconds is None else time.monotonic() + seconds
        for delivery in self._deliveries:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not delivery.settled.wait(left):
                raise KafkaTimeoutError(f"no outcome of all records within {timeout} s", persisted="maybe")
        return self

    def done(self) -> bool:
        """Whether every outcome is known."""
        return all(delivery.settled.is_set() for delivery in self._deliveries)

    def errors(self) -> list[KafkaError]:
        """Return the errors of the records that failed, in the order of partitions and offsets; waits."""
        self.wait()
        self._is_asked = True
        by_partition = sorted(self._deliveries, key=lambda delivery: delivery.partition)
        return [delivery.error for delivery in by_partition if delivery.error is not None]

    @property
    def failed(self) -> int:
        """How many records failed; waits for all outcomes."""
        return len(self.errors())

    @property
    def first_error(self) -> KafkaError | None:
        """The first error, or None; waits for all outcomes."""
        return next(iter(self.errors()), None)

    def failed_rows(self) -> list[int]:
        """Return the places of the records that failed among those of the call, ascending; waits."""
        self.wait()
        self._is_asked = True
        return [row for row, delivery in enumerate(self._deliveries) if delivery.error is not None]

    def base_offsets(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        """Return {(topic, partition): [(offset, count), ...]} of stretches of consecutive offsets; waits."""
        self.wait()
        found: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for delivery in self._deliveries:
            if delivery.metadata is not None:
                stretches = found.setdefault((delivery.topic, delivery.partition), [])
                offset, count = stretches[-1] if stretches else (0, 0)
                if count and delivery.metadata.offset == (offset if offset < 0 else offset + count):
                    stretches[-1] = (offset, count + 1)
                else:
                    stretches.append((delivery.metadata.offset, 1))
        return found

    @property
    def offsets(self) -> dict[tuple[str, int], int]:
        """{(topic, partition): offset of the first delivered record}; -1 with acks=0; waits for all outcomes."""
        self.wait()
        found: dict[tuple[str, int], int] = {}
        for delivery in self._deliveries:
            if delivery.metadata is not None:
                found.setdefault((delivery.topic, delivery.partition), delivery.metadata.offset)
        return found
