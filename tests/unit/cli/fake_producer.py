"""A producer that keeps what it is given, and fails what the test wants to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Self

from kproducer import KafkaError, RecordTooLargeError

Hook = Callable[["FakeProducer"], None]


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
        self.values: list[bytes] = []
        self.keys: list[bytes | None] = []
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
        self, topic: str, values: Iterable[bytes], keys: Iterable[bytes | None] | None = None
    ) -> FakeResult:
        batch: list[bytes] = []
        key_iterator = repeat(None) if keys is None else iter(keys)
        self.topics.add(topic)
        for value, key in zip(values, key_iterator, strict=False):
            if self.is_too_large(value):
                error = RecordTooLargeError()
                error.partial_result = self._result(batch)  # type: ignore[attr-defined]
                raise error
            batch.append(value)
            self.values.append(value)
            self.keys.append(key)
        self.on_send(self)
        return self._result(batch)

    def send_lines(self, topic: str, data: memoryview) -> FakeResult:
        lines = bytes(data).split(b"\n")
        return self.send_many(topic, lines if lines[-1] else lines[:-1])

    def _result(self, batch: list[bytes]) -> FakeResult:
        result = FakeResult(self, len(batch), sum(map(self.fails, batch)))
        self.results.append(result)
        return result

    def metrics(self) -> dict[str, float]:
        return {"batch-size-avg": 16000.0, "compression-rate-avg": 0.4, "request-latency-p99": 3.0}

    def close(self, timeout: float | None = None) -> None:
        self.closed_with.append(timeout)
        if self.close_error is not None:
            raise self.close_error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
