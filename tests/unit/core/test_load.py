"""Many threads, many records, long idling: order, memory and wake-ups."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.sink import Sink
from kproducer import KafkaProducer, RecordFuture
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, counters, open_descriptors, records_of

THREADS = 16
MIB = 1 << 20


def resident_bytes() -> int:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- threads ------------------------------------------------------------------------------------------------


def test_sixteen_threads_share_a_producer_and_each_keeps_its_order(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, batch_size=2000)
    each = 1000

    def send(thread: int) -> None:
        for n in range(each):
            (producer.produce if n % 2 else producer.send)("t", b"%d %d" % (thread, n), partition=n % 3)

    run_threads(send)
    producer.flush(20)
    for partition in range(3):
        seen: dict[int, list[int]] = defaultdict(list)
        for record in records_of(broker, "t", partition):
            thread, n = map(int, (record.value or b"").split())
            seen[thread].append(n)
        expected = list(range(partition, each, 3))
        assert all(seen[thread] == expected for thread in range(THREADS))


def test_sixteen_threads_at_full_speed_lose_and_double_nothing(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=2 * MIB)
    each = 20_000
    heard = [0] * THREADS

    def send(thread: int) -> None:
        def note(metadata: object, error: object) -> None:
            heard[thread] += 1

        for n in range(each):
            producer.produce("bench", b"x" * 100, on_delivery=note if n % 10 == 0 else None)
        if thread % 4 == 0:
            producer.flush(20)

    run_threads(send)
    producer.flush(20)
    stats = sink.stats()
    assert (stats.records, stats.sequence_errors, stats.bad) == (THREADS * each, 0, 0)
    assert heard == [each // 10] * THREADS


def run_threads(target: object) -> None:
    """Run `target(number)` in sixteen threads; fail if one raised or hangs."""
    assert callable(target)
    problems: list[Exception] = []

    def run(number: int) -> None:
        try:
            target(number)
        except Exception as problem:  # noqa: BLE001  # whatever it is, the test is to fail with it
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems


# --- memory -------------------------------------------------------------------------------------------------


def futures_alive() -> int:
    """Live RecordFutures that the collector knows of."""
    return sum(type(thing) is RecordFuture for thing in gc.get_objects())


def test_a_million_records_leave_nothing_behind(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=4 * MIB)
    heard = 0

    def note(metadata: object, error: object) -> None:
        nonlocal heard
        heard += 1

    def work(records: int) -> None:
        for n in range(0, records, 10):
            producer.send_many("bench", [b"x" * 100] * 6)
            producer.produce("bench", b"x" * 100, headers=[("h", b"1")])
            producer.produce("bench", b"x" * 100, b"key", on_delivery=note)
            producer.send("bench", b"x" * 100)
            future = producer.send("bench", bytearray(100))
            if n % 10_000 == 0:
                future.add_done_callback(lambda f: None)
        producer.flush(20)

    work(200_000)
    gc.collect()
    before = resident_bytes()
    work(1_000_000)
    gc.collect()
    assert futures_alive() == 0
    assert heard == 120_000
    assert sink.stats().records == 1_200_000
    assert resident_bytes() - before < 4 * MIB
    found = counters(producer)
    assert found["buffer_available_bytes"] == found["buffer_total_bytes"]


def test_making_and_closing_producers_leaves_nothing_behind(sink: Sink) -> None:
    def use() -> None:
        with KafkaProducer(bootstrap_servers=sink.bootstrap_servers) as producer:
            producer.send("bench", b"v", on_delivery=lambda m, e: None).result(10)

    for _ in range(10):
        use()
    gc.collect()
    memory, descriptors = resident_bytes(), open_descriptors()
    for _ in range(40):
        use()
    gc.collect()
    assert open_descriptors() <= descriptors
    assert resident_bytes() - memory < 4 * MIB


@pytest.mark.timeout(180)
def test_ten_million_records_stay_within_buffer_memory_and_64_mib(sink: Sink, make: MakeProducer) -> None:
    records, buffer_memory = 10_000_000, 32 * MIB
    producer = make(sink, buffer_memory=buffer_memory)
    producer.send("bench", b"warm").result(10)
    gc.collect()
    before = resident_bytes()
    peak = before

    def values() -> Iterator[bytes]:
        nonlocal peak
        value = b"x" * 100
        for n in range(records):
            if n % 100_000 == 0:
                peak = max(peak, resident_bytes())
            yield value

    result = producer.send_many("bench", values()).wait(60)
    peak = max(peak, resident_bytes())
    assert (result.count, result.failed) == (records, 0)
    assert sink.stats().records == records + 1
    assert peak - before < buffer_memory + 64 * MIB


# --- idling -------------------------------------------------------------------------------------------------


def idle(producer: KafkaProducer, seconds: float) -> None:
    """Assert under 10 wake-ups a second and under 0.5 % of a core while nothing is sent."""
    time.sleep(0.3)  # the last answers, timers and naps of the work before
    polls, began = counters(producer)["pump_polls"], time.monotonic()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    elapsed = time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    assert (counters(producer)["pump_polls"] - polls) / elapsed < 10
    assert (after.ru_nvcsw - usage.ru_nvcsw) / elapsed < 10
    assert cpu / elapsed < 0.005


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_an_idle_producer_sleeps(sink: Sink, make: MakeProducer, seconds: float) -> None:
    producer = make(sink)
    producer.send_many("bench", [b"x" * 100] * 50_000).wait(10)
    producer.send("bench", b"v", on_delivery=lambda m, e: None).result(10)
    producer.flush(10)
    idle(producer, seconds)
    assert producer.send("bench", b"v").result(10).has_offset
