"""Full buffers, expiry and memory that is not to be had: who waits, what is told, and whose bytes are on the wire."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from kproducer import BufferExhaustedError, KafkaProducer, KafkaTimeoutError, RecordFuture
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import Direction, FaultProxy, Hold
from tests.fakes.scripted_broker import Silent
from tests.faults.stage import TOPIC, Stage, late, sequences, stage
from tests.unit.core.world import counters, wait_until

_ROOT = Path(__file__).parents[2]
_KIB = 1024
_SMALL = 256 * _KIB


def _memory_is_back(producer: KafkaProducer) -> bool:
    found = counters(producer)
    return found["buffer_available_bytes"] == found["buffer_total_bytes"]


def _fill(producer: KafkaProducer, value: bytes, partition: int) -> list[RecordFuture]:
    """Send until the memory is used up."""
    futures: list[RecordFuture] = []
    while True:
        try:
            futures.append(producer.send(TOPIC, value, partition=partition))
        except BufferExhaustedError:
            return futures


# --- full -----------------------------------------------------------------------------------------------------


@pytest.mark.row("F37")
def test_a_full_buffer_blocks_for_max_block_ms_and_is_empty_after_the_drain() -> None:
    with stage() as on, on.producer(buffer_memory=_SMALL, max_block_ms=400) as producer:
        broker = on.brokers[0]
        hold = threading.Event()
        append = broker.default(PRODUCE)
        broker.on(PRODUCE, lambda request: append(request) if hold.wait(20) else Silent())
        futures = _fill(producer, bytes(1000), 0)
        began = time.monotonic()
        with pytest.raises(BufferExhaustedError) as caught:
            producer.send(TOPIC, bytes(1000), partition=0)
        assert 0.35 < time.monotonic() - began < 1.4
        assert caught.value.persisted == "no"
        hold.set()
        for future in futures:
            future.result(10)
        producer.flush(10)
        assert _memory_is_back(producer)
        assert len(on.values()) == len(futures)


@pytest.mark.row("F37")
def test_a_big_record_is_not_starved_by_a_stream_of_small_ones() -> None:
    with stage(partitions=2) as on:
        producer_of = on.producer(
            buffer_memory=_SMALL, batch_size=4096, max_request_size=10**6, max_block_ms=20_000
        )
        with producer_of as producer:
            is_over = threading.Event()
            sent = [0] * 4

            def stream(number: int) -> None:
                while not is_over.is_set():
                    producer.produce(TOPIC, bytes(1000), partition=0)
                    sent[number] += 1

            threads = [threading.Thread(target=stream, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            try:
                wait_until(lambda: counters(producer)["buffer_available_bytes"] < 8192, "the buffer is full")
                for n in range(5):
                    big = producer.send(TOPIC, bytes([n]) * (_SMALL - 8 * _KIB), partition=1)
                    assert big.result(10).offset == n
            finally:
                is_over.set()
                for thread in threads:
                    thread.join(20)
            assert not any(thread.is_alive() for thread in threads)
            producer.flush(20)
            assert len(on.values(0)) == sum(sent)
            assert _memory_is_back(producer)


@pytest.mark.row("F37")
def test_those_who_wait_for_memory_are_served_in_the_order_of_their_arrival() -> None:
    with stage() as on, on.producer(buffer_memory=_SMALL, batch_size=0, max_block_ms=20_000) as producer:
        broker = on.brokers[0]
        hold = threading.Event()
        append = broker.default(PRODUCE)
        broker.on(PRODUCE, lambda request: append(request) if hold.wait(20) else Silent())
        big = _SMALL - 4 * _KIB
        producer.send(TOPIC, bytes(big), partition=0)
        threads = []
        for n in range(5):
            # Each needs nearly all of the memory, so only one is served at a time.
            value = b"%d" % n + bytes(big)
            threads.append(
                threading.Thread(target=producer.send, args=(TOPIC, value), kwargs={"partition": 0})
            )
            threads[-1].start()
            threads[-1].join(0.1)  # nothing tells that a thread has begun to wait
            assert threads[-1].is_alive()
        hold.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        producer.flush(10)
        values = [value or b"" for value in on.values()]
        assert [value[:1] for value in values[1:]] == [b"%d" % n for n in range(5)]
        assert _memory_is_back(producer)


# --- no memory ------------------------------------------------------------------------------------------------


@pytest.mark.row("F37")
def test_memory_that_the_system_refuses_is_a_memory_error_and_the_producer_serves_on() -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from kproducer import KafkaProducer
        size = 192 << 20
        value = bytes(size)
        with KafkaProducer(bootstrap_servers=sys.argv[1], buffer_memory=1 << 30, max_request_size=1 << 29) as producer:
            assert producer.send(sys.argv[2], b"0", partition=0).result(10).offset == 0
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
            for call in (producer.send, producer.produce, lambda *a, **k: producer.send_many(a[0], [a[1]], **k)):
                try:
                    call(sys.argv[2], value, partition=0)
                except MemoryError:
                    continue
                sys.exit("no MemoryError")
            future = producer.send(sys.argv[2], b"1", partition=0)
            assert future.result(10).offset == 1
            counters = producer._runtime.pump.counters()
            assert counters["buffer_available_bytes"] == counters["buffer_total_bytes"], counters
    """
    with stage() as on:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), on.bootstrap_servers, TOPIC],
            cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert on.values() == [b"0", b"1"]


# --- expiry ---------------------------------------------------------------------------------------------------


@pytest.mark.row("F38")
def test_expiry_tells_queued_from_sent_and_repeats_nothing_afterwards() -> None:
    with (
        stage() as on,
        on.producer(delivery_timeout_ms=700, request_timeout_ms=700, batch_size=200) as producer,
    ):
        broker = on.brokers[0]
        append = broker.default(PRODUCE)
        producer.send(TOPIC, b"warm", partition=0).result(10)
        broker.push(PRODUCE, late(lambda request: _appended_in_silence(append, request), 0), *[Silent()] * 20)
        sent = producer.send(TOPIC, b"appended", partition=0)
        broker.wait_for(PRODUCE, 2)
        queued = [producer.send(TOPIC, b"queued %d" % n + bytes(100), partition=0) for n in range(40)]
        with pytest.raises(KafkaTimeoutError) as caught:
            sent.result(10)
        assert caught.value.persisted == "maybe"
        persisted = []
        for future in queued:
            error = future.exception(10)
            assert isinstance(error, KafkaTimeoutError)
            persisted.append(error.persisted)
        assert persisted == sorted(persisted), "what was sent comes before what was not"
        assert persisted[-1] == "no"
        broker._scripts.clear()
        assert producer.send(TOPIC, b"after", partition=0).result(10).has_offset
        assert _memory_is_back(producer)
        values = on.values()
        assert values[:2] == [b"warm", b"appended"]
        assert values[-1] == b"after"
        assert len(values) == len(set(values)), "nothing twice"
        never_sent = {b"queued %d" % n + bytes(100) for n, said in enumerate(persisted) if said == "no"}
        assert never_sent.isdisjoint(values)


def _appended_in_silence(append: object, request: object) -> Silent:
    assert callable(append)
    append(request)
    return Silent()


_BIG = 8 * _KIB * _KIB  # more than the kernel takes for a reader that does not read


def _canary(partition: int, n: int, size: int) -> bytes:
    """A value that says whose it is, every byte of it, and that no codec makes smaller."""
    mark = b"%d:%d:" % (partition, n)
    return mark + random.Random(mark).randbytes(size)


def _is_canary_of(value: bytes | None, partition: int) -> bool:
    assert value is not None
    told, n, rest = value.split(b":", 2)
    return int(told) == partition and value == _canary(partition, int(n), len(rest))


@pytest.mark.row("F38")
def test_the_bytes_of_an_expired_batch_that_is_half_written_are_not_used_again() -> None:
    # KAFKA-19012: the record CRC does not cover the topic, so other data in its buffer would be appended there.
    with (
        stage(partitions=3) as on,
        FaultProxy(on.bootstrap_servers.split(",")) as proxy,
        on.producer(
            bootstrap_servers=proxy.bootstrap_servers, delivery_timeout_ms=2_000,
            request_timeout_ms=2_000, send_buffer_bytes=128 * _KIB, batch_size=_BIG + _KIB, buffer_memory=4 * _BIG,
            max_request_size=2 * _BIG, max_block_ms=100,
        ) as producer,
    ):  # fmt: skip
        on.topic.leaders[0] = -1
        for partition in (1, 2):
            producer.send(TOPIC, _canary(partition, 0, 100), partition=partition).result(10)
        # Sent half way through its life: it expires long before its request times out.
        doomed = producer.send(TOPIC, _canary(0, 1, _BIG), partition=0)
        time.sleep(1)
        hold = Hold()
        proxy.on(hold, direction=Direction.REQUEST)
        held = producer.send(TOPIC, _canary(1, 1, 100), partition=1)
        on.cluster.move(TOPIC, 0, 1)
        with pytest.raises(KafkaTimeoutError) as caught:
            doomed.result(10)
        assert (caught.value.persisted, caught.value.attempts) == ("maybe", 1)
        assert counters(producer)["outgoing_bytes"] < _BIG, "the batch is half written"
        assert not _memory_is_back(producer), "the socket still reads those bytes"
        others = _fill_with_canaries(producer)
        hold.release()
        for future in (held, *others):
            assert future.exception(10) is None or isinstance(future.exception(0), KafkaTimeoutError)
        assert producer.send(TOPIC, _canary(0, 3, 100), partition=0).result(10).has_offset
        producer.flush(10)
        assert _memory_is_back(producer)
        assert _canary(0, 1, _BIG) in on.values(0), "it went on to its end"
        _assert_all_belong(on)


def _fill_with_canaries(producer: KafkaProducer) -> list[RecordFuture]:
    futures: list[RecordFuture] = []
    try:
        for n in range(2, 10_000):
            futures.append(producer.send(TOPIC, _canary(2, n, _BIG), partition=2))  # noqa: PERF401
    except BufferExhaustedError:
        pass
    assert futures, "there was room for other records"
    return futures


def _assert_all_belong(on: Stage) -> None:
    for partition in range(3):
        values = on.values(partition)
        assert values
        assert all(_is_canary_of(value, partition) for value in values)
        assert len(values) == len(set(values)), "nothing twice"
    assert sequences(on.brokers[0].received(PRODUCE))
