"""Two latencies of a paced stream: from the call to the wire, and from the call to the delivery callback.

A record is handed over when it is due; one that is late is handed over at once, and its time counts from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from bench.peers.burners import burning
from bench.peers.clients import CLIENTS, confluent, own
from bench.peers.clients.base import CLOSE_TIMEOUT_S, version_of
from bench.peers.clients.pure_python import start_aiokafka
from bench.peers.job import Job, Measured
from bench.peers.payload import make_values, repeat_to
from bench.peers.rate import warm_up
from bench.peers.usage import cpu_seconds, peak_rss_mib

PERCENTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


def percentiles_ms(latencies_ns: Sequence[int]) -> dict[str, float]:
    """Return the percentiles of latencies in nanoseconds as milliseconds, by name."""
    ordered = sorted(latencies_ns)
    last = len(ordered) - 1
    return {name: ordered[min(last, int(share * len(ordered)))] / 1e6 for name, share in PERCENTILES.items()}


def due(count: int, per_second: int) -> Iterator[int]:
    """Yield 0 to `count` - 1, each when it is due."""
    start = time.perf_counter()
    for index in range(count):
        wait_s = start + index / per_second - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        yield index


def measure_wire(job: Job) -> Measured:
    """Hand records over one by one; the target's stamps tell when each arrived."""
    pool = make_values(job)
    values = repeat_to(pool, job.records)
    client = CLIENTS[job.client](job, pool)
    warmed = warm_up(client, job, pool)
    sent_ns: list[int] = []
    with burning(job.burners):
        cpu_start, start = cpu_seconds(), time.perf_counter()
        for index in due(job.records, job.per_second):
            one = [values[index]]
            sent_ns.append(time.monotonic_ns())
            client.send_all(one)
        client.flush()
        seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    rss_mib = round(peak_rss_mib(), 1)
    client.close()
    return Measured(
        warmed + job.records, job.records, seconds, cpu_s, rss_mib, client.version, sent_ns=sent_ns
    )


def measure_callback(job: Job) -> Measured:
    """Hand records over one by one; each client's callback tells when it is acknowledged."""
    if job.client == "aiokafka":
        return asyncio.run(_measure_aiokafka(job))
    values = repeat_to(make_values(job), max(job.records, job.warmup))
    sender = SENDERS[job.client](job)
    with burning(job.burners):
        for index in due(job.warmup, job.per_second):
            sender.send(values[index])
        sender.flush()
        sender.latencies_ns.clear()
        cpu_start, start = cpu_seconds(), time.perf_counter()
        for index in due(job.records, job.per_second):
            sender.send(values[index])
        sender.flush()
        seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    sender.close()
    return _measured(job, sender, seconds, cpu_s)


class Timed(Protocol):
    """What has latencies to tell."""

    version: str
    latencies_ns: list[int]
    errors: list[object]


def _measured(job: Job, timed: Timed, seconds: float, cpu_s: float) -> Measured:
    if timed.errors:
        raise RuntimeError(f"{len(timed.errors)} records failed, first: {timed.errors[0]}")
    if len(timed.latencies_ns) != job.records:
        raise RuntimeError(f"{len(timed.latencies_ns)} callbacks for {job.records} records")
    values = percentiles_ms(timed.latencies_ns)
    rss_mib = round(peak_rss_mib(), 1)
    return Measured(job.warmup + job.records, job.records, seconds, cpu_s, rss_mib, timed.version, values)


class Sender(Timed, Protocol):
    """Sends one record and keeps the time until its callback."""

    def send(self, value: bytes) -> None:
        """Send `value` now."""

    def flush(self) -> None:
        """Wait until every callback has run."""

    def close(self) -> None:
        """Release the connection."""


class KproducerSender:
    """kproducer: `send()` with `on_delivery`, which runs on its delivery thread."""

    def __init__(self, job: Job) -> None:
        self._producer = own.make_producer(job)
        self.version = version_of("kproducer")
        self.latencies_ns: list[int] = []
        self.errors: list[object] = []
        self._topic = job.topic

    def send(self, value: bytes) -> None:
        began = time.monotonic_ns()

        def on_delivery(metadata: object, error: object) -> None:
            self.latencies_ns.append(time.monotonic_ns() - began)
            if error is not None:
                self.errors.append(error)

        self._producer.send(self._topic, value, on_delivery=on_delivery)

    def flush(self) -> None:
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


class ConfluentSender:
    """confluent-kafka: `produce` with `on_delivery`, which a thread of its own polls for."""

    def __init__(self, job: Job) -> None:
        self._producer: Any = confluent.make_producer(job)
        self._thread = confluent.PollThread(self._producer)
        self.version = version_of("confluent_kafka")
        self.latencies_ns: list[int] = []
        self.errors: list[object] = []
        self._topic = job.topic

    def send(self, value: bytes) -> None:
        began = time.monotonic_ns()

        def on_delivery(error: object, message: object) -> None:
            self.latencies_ns.append(time.monotonic_ns() - began)
            if error is not None:
                self.errors.append(error)

        self._producer.produce(self._topic, value, on_delivery=on_delivery)

    def flush(self) -> None:
        self._producer.flush(CLOSE_TIMEOUT_S)

    def close(self) -> None:
        self._thread.stop()


SENDERS: dict[str, Callable[[Job], Sender]] = {"kproducer": KproducerSender, "confluent": ConfluentSender}


class AiokafkaSender:
    """aiokafka: `await send()`, a done callback on the future."""

    def __init__(self, job: Job, producer: Any) -> None:
        self._producer = producer
        self.version = version_of("aiokafka")
        self.latencies_ns: list[int] = []
        self.errors: list[object] = []
        self._topic = job.topic

    async def send(self, value: bytes) -> None:
        """Send `value` now."""
        began = time.monotonic_ns()

        def on_done(future: asyncio.Future[object]) -> None:
            self.latencies_ns.append(time.monotonic_ns() - began)
            if future.exception() is not None:
                self.errors.append(future.exception())

        (await self._producer.send(self._topic, value)).add_done_callback(on_done)

    async def send_paced(self, values: list[bytes], per_second: int) -> None:
        """Send all values, each when it is due, and wait for their callbacks."""
        start = time.perf_counter()
        for index, value in enumerate(values):
            wait_s = start + index / per_second - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await self.send(value)
        await self._producer.flush()
        await asyncio.sleep(0)  # callbacks of done futures run in the loop's next turn


async def _measure_aiokafka(job: Job) -> Measured:
    values = repeat_to(make_values(job), max(job.records, job.warmup))
    producer = await start_aiokafka(job)
    sender = AiokafkaSender(job, producer)
    with burning(job.burners):
        await sender.send_paced(values[: job.warmup], job.per_second)
        sender.latencies_ns.clear()
        cpu_start, start = cpu_seconds(), time.perf_counter()
        await sender.send_paced(values[: job.records], job.per_second)
        seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    await producer.stop()
    return _measured(job, sender, seconds, cpu_s)
