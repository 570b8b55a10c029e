"""Bugs that came back in the history of other clients, one test for each that no other test covers.

docs/bug_classes.md says which test covers which class.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaProducer, KafkaTimeoutError, RecordTooLargeError
from kproducer.engine.sender import Sender
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import FaultProxy
from tests.fakes.scripted_broker import Silent
from tests.faults.stage import TOPIC, Stage, answered, late, sequences, stage
from tests.unit.core.test_load import resident_bytes
from tests.unit.core.world import counters, refuse, wait_until

_ROOT = Path(__file__).parents[2]
_MIB = 1 << 20


def _memory_is_back(producer: KafkaProducer) -> bool:
    found = counters(producer)
    return found["buffer_available_bytes"] == found["buffer_total_bytes"]


# --- sequences, order, splits (T3, T5, T6) --------------------------------------------------------------------


def test_sequences_go_on_when_metadata_forgets_the_topic_for_a_while() -> None:
    # librdkafka 1.9.0: restarted at 0, so the broker took new batches for old ones.
    with stage() as on, on.producer(metadata_max_age_ms=100) as producer:
        for n in range(3):
            producer.send(TOPIC, b"%d" % n, partition=0).result(10)
        with on.cluster.lock:
            hidden = on.cluster.topics.pop(TOPIC)
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(3, 50)]
        time.sleep(1)
        assert not any(future.done() for future in futures)
        with on.cluster.lock:
            on.cluster.topics[TOPIC] = hidden
        assert [future.result(10).offset for future in futures] == list(range(3, 50))
        assert on.values() == [b"%d" % n for n in range(50)]
        assert {epoch for epoch, _ in sequences(on.brokers[0].received(PRODUCE))} == {0}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_both_halves_of_a_split_batch_keep_every_part_of_their_records(codec: str) -> None:
    headers: list[list[tuple[str, bytes | None]]] = [[], [("h", None)], [("h", b"1"), ("h", b"1"), ("", b"")]]
    keys = [None, b"", b"key"]
    with stage() as on, on.producer(linger_ms=300, compression_type=codec) as producer:
        on.brokers[0].push(PRODUCE, answered(10), answered(10))
        heard: list[int] = []
        futures = [
            producer.send(
                TOPIC, bytes(100) + b"%d" % n, keys[n % 3], headers=headers[n % 3], partition=0,
                timestamp_ms=1_000_000 - 7 * n, on_delivery=lambda m, e: heard.append(-1 if m is None else m.offset),
            )
            for n in range(60)
        ]  # fmt: skip
        assert [future.result(10).offset for future in futures] == list(range(60))
        assert [future.result(0).timestamp_ms for future in futures] == [1_000_000 - 7 * n for n in range(60)]
        producer.flush(10)
        assert heard == list(range(60))
        assert len(on.batches()) >= 3
        records = [record for batch in on.batches() for record in batch.records]
        assert [record.value for record in records] == [bytes(100) + b"%d" % n for n in range(60)]
        assert [record.key for record in records] == [keys[n % 3] for n in range(60)]
        assert [list(record.headers) for record in records] == [headers[n % 3] for n in range(60)]
        assert _memory_is_back(producer)


@pytest.mark.parametrize(
    "config", [{}, {"enable_idempotence": False, "max_in_flight_requests_per_connection": 1}]
)
def test_a_retry_under_backoff_with_a_move_of_the_leader_keeps_the_order(config: dict[str, Any]) -> None:
    with stage(brokers=2) as on:
        with on.producer(
            batch_size=200, retry_backoff_ms=200, retry_backoff_max_ms=200, **config
        ) as producer:
            first = on.brokers[0]
            producer.send(TOPIC, b"0", partition=0).result(10)
            first.push(PRODUCE, answered(19))
            futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(1, 100)]
            first.wait_for(PRODUCE, 2)
            on.cluster.move(TOPIC, 0, 2)
            assert [future.result(10).offset for future in futures] == list(range(1, 100))
        assert on.values() == [b"%d" % n for n in range(100)]


# --- the buffer's limit (T9) ----------------------------------------------------------------------------------


def test_a_tiny_buffer_with_a_long_linger_never_locks_up() -> None:
    with stage(partitions=4) as on:
        config = {"buffer_memory": 200_000, "batch_size": 16_384, "linger_ms": 10_000, "max_block_ms": 15_000}
        with on.producer(**config) as producer:
            accepted = [0] * 6

            def work(number: int) -> None:
                for n in range(300):
                    if n % 50 == 10:
                        with pytest.raises(RecordTooLargeError):
                            producer.send(TOPIC, bytes(250_000))
                    if n % 50 == 20:
                        with pytest.raises(TypeError):
                            producer.send(TOPIC, object())
                    size = 60_000 if n % 60 == 30 else 1_000
                    producer.produce(TOPIC, bytes(size), partition=(number + n) % 4)
                    accepted[number] += 1

            began = time.monotonic()
            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert time.monotonic() - began < 10, "somebody waited for linger"
            producer.flush(5)
            assert sum(len(on.values(p)) for p in range(4)) == sum(accepted) == 1_800
            assert _memory_is_back(producer)


# --- delays (T16, T17) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.1, 0.35])
def test_flush_keeps_its_deadline(timeout: float) -> None:
    with stage() as on, on.producer() as producer:
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        producer.produce(TOPIC, b"v", partition=0)
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError):
            producer.flush(timeout)
        assert timeout <= time.monotonic() - began < timeout + 0.05


def test_large_records_do_not_wait_for_linger_each() -> None:
    with stage() as on, on.producer(linger_ms=500, batch_size=16_384) as producer:
        producer.send(TOPIC, bytes(10), partition=0).result(10)
        began = time.monotonic()
        for _ in range(20):
            producer.send(TOPIC, bytes(50_000), partition=0)
        producer.flush(10)
        assert time.monotonic() - began < 1


def test_no_record_waits_for_a_timer_that_is_not_its_own() -> None:
    # Bursts after a pause, a new topic, a new partition, after a metadata refresh: librdkafka lost 1 s in each.
    linger_s = 0.005
    with stage(partitions=2) as on, on.producer(linger_ms=5, metadata_max_age_ms=300) as producer:
        producer.send(TOPIC, b"warm", partition=0).result(10)
        took: list[float] = []

        def timed(topic: str, partition: int) -> None:
            began = time.monotonic()
            producer.send(topic, b"v", partition=partition).result(10)
            took.append(time.monotonic() - began)

        for n in range(60):
            time.sleep(0.02)
            timed(TOPIC, 0)
            timed(TOPIC, 1)
            if n % 20 == 0:
                on.cluster.create_topic(f"new-{n}", [1])
                timed(f"new-{n}", 0)
        assert max(took) < 0.5
        assert statistics.median(took) < linger_s + 0.015


# --- loops (T18) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["outage", "throttled", "expired"])
def test_trouble_is_waited_out_without_spinning(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    turns = 0
    run_once = Sender.run_once

    def counted(self: Sender, now: float) -> None:
        nonlocal turns
        turns += 1
        run_once(self, now)

    monkeypatch.setattr(Sender, "run_once", counted)
    config: dict[str, object] = {
        "retry_backoff_ms": 100,
        "retry_backoff_max_ms": 1000,
        "reconnect_backoff_ms": 50,
    }
    config |= {"reconnect_backoff_max_ms": 1000}
    if trouble == "expired":
        config |= {"delivery_timeout_ms": 600, "request_timeout_ms": 600}
    with (
        stage() as on,
        FaultProxy(on.bootstrap_servers.split(",")) as proxy,
        on.producer(bootstrap_servers=proxy.bootstrap_servers, **config) as producer,
    ):
        producer.send(TOPIC, b"0", partition=0).result(10)
        _bring(trouble, on, proxy)
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(100)]
        time.sleep(0.8)
        polls, before, cpu, began = counters(producer)["pump_polls"], turns, _cpu_s(), time.monotonic()
        time.sleep(2)
        elapsed = time.monotonic() - began
        assert (counters(producer)["pump_polls"] - polls) / elapsed < 50
        assert (turns - before) / elapsed < 50
        assert (_cpu_s() - cpu) / elapsed < 0.10, "the fakes poll in this process too"
        assert any(not future.done() for future in futures) or trouble != "outage"


def _bring(trouble: str, on: Stage, proxy: FaultProxy) -> None:
    broker = on.brokers[0]
    if trouble == "outage":
        proxy.refuse(on.bootstrap_servers)
        proxy.cut()
    elif trouble == "throttled":
        append = broker.default(PRODUCE)

        def throttled(request: Any) -> Any:
            answer: Any = append(request)
            return type(answer)(responses=answer.responses, throttle_time_ms=5_000)

        broker.on(PRODUCE, throttled)
    else:
        broker.on(PRODUCE, lambda request: Silent())


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# --- time (T20, T21) ------------------------------------------------------------------------------------------


def test_a_process_that_was_stopped_does_not_expire_what_was_acknowledged_meanwhile() -> None:
    script = """
        import sys
        from kproducer import KafkaProducer
        producer = KafkaProducer(
            bootstrap_servers=sys.argv[1], delivery_timeout_ms=1000, request_timeout_ms=900, linger_ms=0)
        producer.send(sys.argv[2], b"warm", partition=0).result(10)
        futures = [producer.send(sys.argv[2], b"%d" % n, partition=0) for n in range(100)]
        print("sent", flush=True)
        for future in futures:
            future.result(10)
        producer.close()
    """
    with stage() as on:
        append = on.brokers[0].default(PRODUCE)
        on.brokers[0].push(PRODUCE, append)
        on.brokers[0].on(PRODUCE, late(append, 300))
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), on.bootstrap_servers, TOPIC],
            cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "sent\n"
            on.brokers[0].wait_for(PRODUCE, 2)
            os.kill(child.pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(child.pid, signal.SIGCONT)
            _, said = child.communicate(timeout=30)
        finally:
            child.kill()
            child.wait(10)
        assert (child.returncode, said) == (0, "")
        assert len(on.values()) == 101


def test_a_frozen_clock_of_a_test_suite_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # As freezegun does it: the clocks say the same for ever, by whatever name of a module they are called.
    with (
        stage() as on,
        FaultProxy(on.bootstrap_servers.split(",")) as proxy,
        on.producer(bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        producer.send(TOPIC, b"0", partition=0).result(10)
        with monkeypatch.context() as frozen:
            _freeze(frozen)
            proxy.refuse(on.bootstrap_servers)
            proxy.cut()
            futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(1, 20)]
            threading.Event().wait(0.5)
            proxy.refuse()
            assert [future.result(5).offset for future in futures] == list(range(1, 20))
            producer.flush(5)


def _freeze(frozen: pytest.MonkeyPatch) -> None:
    """Replace the clocks in the time module, and wherever one of our modules holds them under a name."""
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
        real = getattr(time, name)
        now = real()
        for module in [
            time,
            *(sys.modules[m] for m in sorted(sys.modules) if m.split(".")[0] == "kproducer"),
        ]:
            for held in [key for key, value in vars(module).items() if value is real]:
                frozen.setattr(module, held, lambda now=now: now)


# --- leaks (T22) ----------------------------------------------------------------------------------------------


def test_errors_leave_nothing_behind() -> None:
    with stage() as on, on.producer(buffer_memory=2 * _MIB, max_block_ms=5_000, linger_ms=1) as producer:
        broker = on.brokers[0]
        append = broker.default(PRODUCE)
        turn = 0

        def mood(request: Any) -> Any:
            nonlocal turn
            turn += 1
            on.topic.batches[0].clear()
            broker.requests.clear()
            return refuse()(request) if turn % 100 == 0 else append(request)

        broker.on(PRODUCE, mood)

        def work(records: int) -> None:
            for n in range(records):
                callback = _fails if n % 100 == 50 else None
                producer.produce(TOPIC, bytes(100), headers=[("h", b"v")], partition=0, on_delivery=callback)
                if n % 100 == 0:
                    with pytest.raises(RecordTooLargeError):
                        producer.send(TOPIC, bytes(3 * _MIB), headers=[("h", b"v")], on_delivery=callback)
            wait_until(lambda: _memory_is_back(producer), "all records have an outcome", 30)

        work(40_000)
        gc.collect()
        objects, resident = len(gc.get_objects()), resident_bytes()
        work(120_000)
        gc.collect()
        assert len(gc.get_objects()) - objects < 500
        assert resident_bytes() - resident < 6 * _MIB


def _fails(metadata: object, error: object) -> None:
    if error is not None:
        raise LookupError("planted")
