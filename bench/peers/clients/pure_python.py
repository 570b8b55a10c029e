"""The clients in pure Python: kafka-python and aiokafka."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.peers.clients.base import CLOSE_TIMEOUT_S, public_name, python_names, version_of
from bench.peers.job import Job


class KafkaPython:
    """kafka-python: `send()` in a loop, futures dropped."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        self._producer: Any = public_name("kafka", "KafkaProducer")(**python_names(job, "batch_size"))
        self.version = version_of("kafka")
        self._topic = job.topic

    def send_all(self, values: list[bytes]) -> int:
        send, topic = self._producer.send, self._topic
        for value in values:
            send(topic, value)
        return len(values)

    def flush(self) -> None:
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


class KafkaPythonFuture(KafkaPython):
    """kafka-python: `send()` for each record, its future kept and asked for its result."""

    def send_all(self, values: list[bytes]) -> int:
        send, topic = self._producer.send, self._topic
        for future in [send(topic, value) for value in values]:
            future.get(CLOSE_TIMEOUT_S)
        return len(values)


async def start_aiokafka(job: Job) -> Any:
    """Return a started producer with the settings of a job."""
    producer = public_name("aiokafka", "AIOKafkaProducer")(**python_names(job, "max_batch_size"))
    await producer.start()
    return producer


class Aiokafka:
    """aiokafka: `await send()` in one task, futures dropped."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        self._loop = asyncio.new_event_loop()
        self._producer = self._loop.run_until_complete(start_aiokafka(job))
        self.version = version_of("aiokafka")
        self._topic = job.topic

    def send_all(self, values: list[bytes]) -> int:
        self._loop.run_until_complete(self._send_all(values))
        return len(values)

    async def _send_all(self, values: list[bytes]) -> None:
        send, topic = self._producer.send, self._topic
        for value in values:
            await send(topic, value)

    def flush(self) -> None:
        self._loop.run_until_complete(self._producer.flush())

    def close(self) -> None:
        self._loop.run_until_complete(self._producer.stop())
        self._loop.close()


class AiokafkaFuture(Aiokafka):
    """aiokafka: `await send()` for each record, its future kept and awaited."""

    async def _send_all(self, values: list[bytes]) -> None:
        send, topic = self._producer.send, self._topic
        for future in [await send(topic, value) for value in values]:
            await future
