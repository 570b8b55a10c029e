"""kproducer's own ways to send."""

from __future__ import annotations

import random
from itertools import cycle
from typing import Any

from bench.peers.clients.base import java_names, public_name, version_of
from bench.peers.job import Job
from bench.peers.payload import repeat_to, topic_names

FUTURE_TIMEOUT_S = 120
DISTINCT_KEYS = 65_536
COLUMN_BYTES = 64 * 1024 * 1024


def make_producer(job: Job) -> Any:
    """Return a producer with the settings of a job."""
    settings = java_names(job)
    if job.buffer_memory is not None:
        settings["buffer.memory"] = job.buffer_memory
    return public_name("kproducer", "KafkaProducer")(settings)


class KproducerProduce:
    """kproducer: `produce()` in a loop, no future and no callback."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        self._producer = make_producer(job)
        self.version = version_of("kproducer")
        self._topic = job.topic

    def send_all(self, values: list[bytes]) -> int:
        produce, topic = self._producer.produce, self._topic
        for value in values:
            produce(topic, value)
        return len(values)

    def flush(self) -> None:
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


class KproducerSendMany(KproducerProduce):
    """kproducer: one `send_many()` of the whole list."""

    def send_all(self, values: list[bytes]) -> int:
        self._producer.send_many(self._topic, values)
        return len(values)


class KproducerColumns(KproducerProduce):
    """kproducer: `send_columns()` of a buffer with a row for each value, made before the clock starts."""

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        super().__init__(job, pool)
        rows = max(1, min(job.records, COLUMN_BYTES // job.size))
        self._column = memoryview(b"".join(repeat_to(pool, rows))).cast("B", [rows, job.size])

    def send_all(self, values: list[bytes]) -> int:
        for sent in range(0, len(values), len(self._column)):
            self._producer.send_columns(self._topic, self._column[: len(values) - sent])
        return len(values)


class KproducerCallback(KproducerProduce):
    """kproducer: `send()` with a delivery callback for each record."""

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        super().__init__(job, pool)
        self._errors: list[object] = []

    def send_all(self, values: list[bytes]) -> int:
        send, topic, on_delivery = self._producer.send, self._topic, self._on_delivery
        for value in values:
            send(topic, value, on_delivery=on_delivery)
        return len(values)

    def _on_delivery(self, metadata: object, error: object) -> None:
        if error is not None:
            self._errors.append(error)

    def flush(self) -> None:
        self._producer.flush()
        if self._errors:
            raise RuntimeError(f"{len(self._errors)} records failed, first: {self._errors[0]}")


class KproducerFuture(KproducerProduce):
    """kproducer: `send()` for each record, its future kept and asked for its result."""

    def send_all(self, values: list[bytes]) -> int:
        send, topic = self._producer.send, self._topic
        for future in [send(topic, value) for value in values]:
            future.result(FUTURE_TIMEOUT_S)
        return len(values)


class KproducerTopics(KproducerProduce):
    """kproducer: `produce()` with a random key to a random one of many topics."""

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        super().__init__(job, pool)
        # The first call is the warm-up: it makes the producer learn every topic that it is to know.
        self._turns = [_keyed(job.known_topics), _keyed(job.topics)]

    def send_all(self, values: list[bytes]) -> int:
        produce = self._producer.produce
        places = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        for value, (topic, key) in zip(values, cycle(places), strict=False):
            produce(topic, value, key)
        return len(values)


def _keyed(topics: int) -> list[tuple[str, bytes]]:
    """Return pairs of topic and key: each topic once, in order, and then at random."""
    rng, names = random.Random(1), topic_names(topics)
    chosen = names + rng.choices(names, k=max(0, DISTINCT_KEYS - topics))
    return [(name, rng.randbytes(8)) for name in chosen]
