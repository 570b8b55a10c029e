"""A producer that keeps what it is given, and fails what the test wants to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Self, cast

from kproducer import (
    Column,
    KafkaError,
    Metrics,
    ProducerRecord,
    RecordMetadata,
    RecordTooLargeError,
    UnobservedDeliveryError,
    read_columns,
)

Hook = Callable[["FakeProducer"], None]
Headers = Sequence[tuple[str, bytes | None]]
OnDelivery = Callable[[RecordMetadata | None, KafkaError | None], object]


class FakeResult:
    """The answer to one `send_many`."""

    def __init__(self, producer: FakeProducer, count: int, failed: int) -> None:
        self.producer = producer
        self.count = count
        self.failed = failed
        self.first_error = KafkaError("refused by the test") if failed else None
        self.waits = 0

    def wait(self, timeout: float | None = None) -> FakeResult:
        self.waits += 1
        self.producer.on_wait(self.producer)
        return self


class FakeFuture:
    """The answer to one `send`."""

    def __init__(self, error: KafkaError | None) -> None:
        self.error = error

    def result(self, timeout: float | None = None) -> None:
        if self.error is not None:
            raise self.error


class FakeProducer:
    """Has the methods which the commands use."""

    def __init__(
        self,
        *,
        fails: Callable[[bytes], bool] = lambda value: False,
        is_too_large: Callable[[bytes], bool] = lambda value: False,
        on_send: Hook = lambda producer: None,
        on_wait: Hook = lambda producer: None,
    ) -> None:
        self.config: dict[str, str] = {}
        self.values: list[bytes | None] = []
        self.keys: list[bytes | None] = []
        self.headers: list[Headers | None] = []
        self.records: list[ProducerRecord] = []  # as columns had them, those that failed too
        self.sizes: list[int] = []  # rows of each call with columns
        self.calls: list[str] = []
        self.unobserved = 0
        self.topics: set[str] = set()
        self.results: list[FakeResult] = []
        self.closed_with: list[float | None] = []
        self.fails = fails
        self.is_too_large = is_too_large
        self.on_send = on_send
        self.on_wait = on_wait
        self.close_error: KafkaError | None = None

    def __call__(self, config: dict[str, str]) -> FakeProducer:
        """Stands for the class: the factory that a command is given."""
        self.config = config
        return self

    def send_many(
        self, topic: str, values: Iterable[bytes | None], keys: Iterable[bytes | None] | None = None
    ) -> FakeResult:
        batch: list[bytes | None] = []
        key_iterator = repeat(None) if keys is None else iter(keys)
        self.topics.add(topic)
        for value, key in zip(values, key_iterator, strict=False):
            if self.is_too_large(value or b""):
                error = RecordTooLargeError()
                error.partial_result = self._result(batch)  # type: ignore[attr-defined]
                raise error
            batch.append(value)
            self.values.append(value)
            self.keys.append(key)
        self.on_send(self)
        return self._result(batch)

    def send_columns(self, topic: str, values: Column, **columns: Any) -> FakeResult:
        records = list(read_columns(topic, values, **columns))
        self.sizes.append(len(records))
        self.records += records
        return self.send_many(
            topic,
            [cast("bytes | None", record.value) for record in records],
            [cast("bytes | None", record.key) for record in records],
        )

    def send_lines(self, topic: str, data: memoryview) -> FakeResult:
        lines = bytes(data).split(b"\n")
        return self.send_many(topic, lines if lines[-1] else lines[:-1])

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, headers: Headers | None = None
    ) -> FakeFuture:
        return FakeFuture(self._append(topic, value, key, headers))

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        error = self._append(topic, value, key, headers)
        if on_delivery is not None:
            on_delivery(None if error else RecordMetadata(topic, 0), error)
        elif error is not None:
            self.unobserved += 1

    def _append(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Headers | None
    ) -> KafkaError | None:
        if self.is_too_large(value or b""):
            raise RecordTooLargeError
        self.topics.add(topic)
        self.values.append(value)
        self.keys.append(key)
        self.headers.append(headers)
        self.on_send(self)
        return KafkaError("refused by the test") if self.fails(value or b"") else None

    def flush(self, timeout: float | None = None) -> None:
        self.calls.append("flush")
        if self.unobserved:
            raise UnobservedDeliveryError(
                count=self.unobserved,
                first_error=KafkaError("refused"),
                by_partition={("t", 0): self.unobserved},
            )

    def init_transactions(self) -> None:
        self.calls.append("init")

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def commit_transaction(self) -> None:
        self.calls.append("commit")

    def _result(self, batch: list[bytes | None]) -> FakeResult:
        result = FakeResult(self, len(batch), sum(self.fails(value or b"") for value in batch))
        self.results.append(result)
        return result

    def metrics(self) -> Metrics:
        return {
            "producer-metrics": {
                "batch-size-avg": 16000.0,
                "compression-rate-avg": 0.4,
                "request-latency-run-p99": 3.0,
            }
        }

    def close(self, timeout: float | None = None) -> None:
        self.closed_with.append(timeout)
        if self.close_error is not None:
            raise self.close_error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
