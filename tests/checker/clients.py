"""One face for producers of several makers: send a run of records, report what became of each.

All are configured alike: idempotent, acks=all, the same timeouts, no compression.
"""

from __future__ import annotations

import asyncio
import functools
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from kproducer import KafkaProducer
from kproducer._core.completion import SendManyResult
from kproducer.errors import KafkaError
from kproducer.types import RecordMetadata
from tests.checker.history import NO_OFFSET, History, Outcome, Stream

DELIVERY_TIMEOUT_MS: Final = 120_000
REQUEST_TIMEOUT_MS: Final = 5_000
MAX_BLOCK_MS: Final = 120_000
LINGER_MS: Final = 5

_POLL_S: Final = 0.01
_CALLBACKS_IN: Final = 4  # calls: one sends with callbacks, the others with send_many
_CLOSE_S: Final = 180.0


class Client(Protocol):
    """A producer under test."""

    def send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        """Send records accepted by the stream; returns how many the client took, the others were refused."""

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Deliver what was taken, and end; every record has been reported afterwards."""


Factory: TypeAlias = Callable[[str, str, History], Client]  # bootstrap servers, topic


def classify(error: KafkaError) -> tuple[Outcome, str]:
    """What a failure of ours says about the record."""
    return Outcome.FAIL if error.persisted == "no" else Outcome.INFO, f"{error.name}/{error.persisted}"


class KproducerClient:
    """Ours: three calls of four with send_many, whose results are polled; the fourth with a callback per record.

    Args:
        producer: closed by `close`.
        topic: where to.
        history: for its clock and for refusals.
    """

    def __init__(self, producer: KafkaProducer, topic: str, history: History) -> None:
        self._producer = producer
        self._topic = topic
        self._history = history
        self._random = random.Random(topic)
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[tuple[SendManyResult, Stream, int]]] = {}
        self._is_closed = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="reaper", daemon=True)
        self._reaper.start()

    def send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        """Send with one of the two calls; see Client."""
        if self._random.randrange(_CALLBACKS_IN) == 0:
            return self._send_each(stream, first, values, keys, timestamp_ms)
        result: SendManyResult | None
        try:
            result = self._producer.send_many(
                self._topic, values, keys, partition=stream.partition, timestamp_ms=timestamp_ms
            )
        except KafkaError as error:
            self._history.refusals[error.name] += 1
            result = getattr(error, "partial_result", None)
        if result is None or result.count == 0:
            return 0
        with self._lock:
            self._waiting.setdefault(stream.partition, deque()).append((result, stream, first))
        return result.count

    def _send_each(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        for index, (value, key) in enumerate(zip(values, keys, strict=True)):
            report = functools.partial(self._report, stream, first + index)
            try:
                self._producer.produce(
                    self._topic, value, key, None, stream.partition, timestamp_ms, on_delivery=report
                )
            except KafkaError as error:
                self._history.refusals[error.name] += 1
                return index
        return len(values)

    def _report(
        self, stream: Stream, n: int, metadata: RecordMetadata | None, error: KafkaError | None
    ) -> None:
        now = self._history.now_ms()
        if metadata is not None:
            stream.ok(n, metadata.offset, now)
            return
        assert error is not None
        outcome, cause = classify(error)
        (stream.fail if outcome is Outcome.FAIL else stream.info)(n, cause, now)

    def _reap(self) -> None:
        while not self._is_closed.wait(_POLL_S):
            self._settle()

    def _settle(self) -> None:
        with self._lock:
            queues = list(self._waiting.values())
        for queue in queues:
            while queue and queue[0][0].done():
                self._settle_one(*queue.popleft())

    def _settle_one(self, result: SendManyResult, stream: Stream, first: int) -> None:
        now, errors = self._history.now_ms(), result.errors()
        if not errors:
            [offset] = result.offsets.values()
            stream.ok_run(first, result.count, offset, now)
        elif len(errors) == result.count:
            stream.settled_run(first, [classify(error) for error in errors], now)
        else:
            stream.counted_run(first, result.count, [classify(error) for error in errors], now)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Close the producer; see Client."""
        try:
            self._producer.close(timeout_s)
        finally:
            self._is_closed.set()
            self._reaper.join(timeout_s)
            self._settle()


def make_kproducer(bootstrap_servers: str, topic: str, history: History) -> Client:
    """Ours."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        linger_ms=LINGER_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=MAX_BLOCK_MS,
    )
    return KproducerClient(producer, topic, history)


class ConfluentClient:
    """confluent-kafka; its callbacks run in a thread that polls."""

    def __init__(self, bootstrap_servers: str, topic: str, history: History) -> None:
        import confluent_kafka  # noqa: PLC0415, RUF100  # each peer is imported only where it is measured

        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "request.timeout.ms": REQUEST_TIMEOUT_MS,
                "socket.timeout.ms": REQUEST_TIMEOUT_MS,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._history = history
        self._is_closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="poller", daemon=True)
        self._poller.start()

    def send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        """Send each record; see Client."""
        for index, (value, key) in enumerate(zip(values, keys, strict=True)):
            report = functools.partial(self._report, stream, first + index)
            while True:
                try:
                    self._producer.produce(
                        self._topic, value, key, stream.partition, on_delivery=report, timestamp=timestamp_ms
                    )
                    break
                except BufferError:  # the queue is full: it raises where others block
                    self._is_closed.wait(_POLL_S)
        return len(values)

    def _report(self, stream: Stream, n: int, error: Any, message: Any) -> None:
        now = self._history.now_ms()
        if error is None:
            stream.ok(n, message.offset(), now)
        elif error.name() == "MSG_SIZE_TOO_LARGE":
            stream.fail(n, error.name(), now)
        else:  # Python is not told librdkafka's message status
            stream.info(n, error.name(), now)

    def _poll(self) -> None:
        while not self._is_closed.is_set():
            self._producer.poll(0.1)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Flush; see Client."""
        self._producer.flush(timeout_s)
        self._is_closed.set()
        self._poller.join(timeout_s)


class KafkaPythonClient:
    """kafka-python."""

    def __init__(self, bootstrap_servers: str, topic: str, history: History) -> None:
        import kafka  # noqa: PLC0415, RUF100
        import kafka.errors  # noqa: PLC0415, RUF100

        self._errors = kafka.errors
        self._producer = kafka.KafkaProducer(
            bootstrap_servers=bootstrap_servers.split(","),
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            max_block_ms=MAX_BLOCK_MS,
        )
        self._topic = topic
        self._history = history

    def send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        """Send each record; see Client."""
        for index, (value, key) in enumerate(zip(values, keys, strict=True)):
            try:
                future = self._producer.send(
                    self._topic, value, key, partition=stream.partition, timestamp_ms=timestamp_ms
                )
            except self._errors.KafkaError as error:
                self._history.refusals[type(error).__name__] += 1
                return index
            future.add_callback(functools.partial(self._acked, stream, first + index))
            future.add_errback(functools.partial(self._failed, stream, first + index))
        return len(values)

    def _acked(self, stream: Stream, n: int, metadata: Any) -> None:
        stream.ok(n, metadata.offset, self._history.now_ms())

    def _failed(self, stream: Stream, n: int, error: Exception) -> None:
        is_definite = isinstance(error, self._errors.MessageSizeTooLargeError)
        (stream.fail if is_definite else stream.info)(n, type(error).__name__, self._history.now_ms())

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Close; see Client."""
        try:
            self._producer.flush(timeout_s)
        except self._errors.KafkaError as error:
            self._history.refusals[f"flush: {type(error).__name__}"] += 1
        self._producer.close(timeout=5)


class AiokafkaClient:
    """aiokafka, in a loop of its own."""

    def __init__(self, bootstrap_servers: str, topic: str, history: History) -> None:
        self._topic = topic
        self._history = history
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aiokafka", daemon=True)
        self._thread.start()
        self._producer = self._call(self._start(bootstrap_servers), _CLOSE_S)

    async def _start(self, bootstrap_servers: str) -> Any:
        import aiokafka  # noqa: PLC0415, RUF100

        # Its one timeout is that of a request and of a batch's life: the longer of ours, or every fault would expire.
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            request_timeout_ms=DELIVERY_TIMEOUT_MS,
        )
        await producer.start()
        return producer

    def _call(self, work: Any, timeout_s: float) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        """Send each record in the loop; see Client."""
        taken: int = self._call(self._send(stream, first, values, keys, timestamp_ms), _CLOSE_S)
        return taken

    async def _send(
        self,
        stream: Stream,
        first: int,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        timestamp_ms: int,
    ) -> int:
        from aiokafka.errors import KafkaError as AiokafkaError  # noqa: PLC0415, RUF100

        for index, (value, key) in enumerate(zip(values, keys, strict=True)):
            try:
                future = await self._producer.send(
                    self._topic, value, key, partition=stream.partition, timestamp_ms=timestamp_ms
                )
            except AiokafkaError as error:
                self._history.refusals[type(error).__name__] += 1
                return index
            future.add_done_callback(functools.partial(self._report, stream, first + index))
        return len(values)

    def _report(self, stream: Stream, n: int, future: asyncio.Future[Any]) -> None:
        now = self._history.now_ms()
        if future.cancelled():
            stream.info(n, "cancelled", now)
        elif (error := future.exception()) is not None:
            stream.info(n, type(error).__name__, now)
        else:
            metadata = future.result()
            stream.ok(n, NO_OFFSET if metadata is None else metadata.offset, now)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Stop the producer and the loop; see Client."""
        try:
            self._call(self._producer.stop(), timeout_s)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


CLIENTS: Final[dict[str, Factory]] = {
    "kproducer": make_kproducer,
    "confluent-kafka": ConfluentClient,
    "kafka-python": KafkaPythonClient,
    "aiokafka": AiokafkaClient,
}
