"""confluent-kafka: its documented loops."""

from __future__ import annotations

import threading
from typing import Any

from bench.peers.clients.base import CLOSE_TIMEOUT_S, java_names, public_name, version_of
from bench.peers.job import Job

POLL_EVERY = 10_000


def make_producer(job: Job) -> Any:
    """Return a producer with the settings of a job."""
    settings = java_names(job)
    if job.level is not None:
        settings["compression.level"] = settings.pop(f"compression.{job.codec}.level")
    # Its default queue of 100,000 records makes the loop wait (0.67 M/s on the sink against 1.6 M/s).
    settings["queue.buffering.max.messages"] = 1_000_000
    return public_name("confluent_kafka", "Producer")(settings)


class ConfluentProduce:
    """confluent-kafka: `produce`, no callback, `poll(0)` every 10,000 records, `poll(0.1)` when full."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        self._producer = make_producer(job)
        self.version = version_of("confluent_kafka")
        self._topic = job.topic

    def send_all(self, values: list[bytes]) -> int:
        poll = self._producer.poll
        for start in range(0, len(values), POLL_EVERY):
            self._produce(values[start : start + POLL_EVERY])
            poll(0)
        return len(values)

    def _produce(self, values: list[bytes]) -> None:
        produce, poll, topic = self._producer.produce, self._producer.poll, self._topic
        for value in values:
            while True:
                try:
                    produce(topic, value)
                    break
                except BufferError:
                    poll(0.1)

    def flush(self) -> None:
        left = self._producer.flush(CLOSE_TIMEOUT_S)
        if left:
            raise RuntimeError(f"{left} records were not delivered within {CLOSE_TIMEOUT_S} s")

    def close(self) -> None:
        del self._producer


class ConfluentPollWhenFull(ConfluentProduce):
    """confluent-kafka: as `ConfluentProduce`, but it polls only when its queue is full."""

    def send_all(self, values: list[bytes]) -> int:
        self._produce(values)
        return len(values)


class ConfluentPollThread(ConfluentProduce):
    """confluent-kafka: as `ConfluentProduce`, but a thread of its own polls all the time."""

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        super().__init__(job, pool)
        self._thread = PollThread(self._producer)

    def send_all(self, values: list[bytes]) -> int:
        self._produce(values)
        return len(values)

    def close(self) -> None:
        self._thread.stop()
        super().close()


class PollThread:
    """Serves the delivery reports of a confluent-kafka producer until `stop()`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._producer.poll(0.1)

    def stop(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join()


class ConfluentCallback(ConfluentProduce):
    """confluent-kafka: as `ConfluentProduce`, with a delivery callback for each record."""

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        super().__init__(job, pool)
        self._errors: list[object] = []

    def _on_delivery(self, error: object, message: object) -> None:
        if error is not None:
            self._errors.append(error)

    def _produce(self, values: list[bytes]) -> None:
        produce, poll, topic, on_delivery = (
            self._producer.produce,
            self._producer.poll,
            self._topic,
            self._on_delivery,
        )
        for value in values:
            while True:
                try:
                    produce(topic, value, on_delivery=on_delivery)
                    break
                except BufferError:
                    poll(0.1)

    def flush(self) -> None:
        super().flush()
        if self._errors:
            raise RuntimeError(f"{len(self._errors)} records failed, first: {self._errors[0]}")


class ConfluentBatch(ConfluentProduce):
    """confluent-kafka: `produce_batch` of 10,000 records; its dictionaries are made within the clock."""

    def send_all(self, values: list[bytes]) -> int:
        produce_batch, poll, topic = self._producer.produce_batch, self._producer.poll, self._topic
        for start in range(0, len(values), POLL_EVERY):
            messages = [{"value": value} for value in values[start : start + POLL_EVERY]]
            while messages:
                produce_batch(topic, messages)
                messages = [{"value": message["value"]} for message in messages if "_error" in message]
                poll(0.1 if messages else 0)
        return len(values)
