"""Signals: Ctrl-C is obeyed at once, a storm of timers is not noticed, appends stay whole (F44)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kproducer import KafkaError, KafkaProducer, KafkaTimeoutError
from kproducer.protocol.messages.produce import PRODUCE
from tests.fakes.scripted_broker import Silent
from tests.faults.stage import TOPIC, late, stage
from tests.unit.core.world import counters, interrupted

_STORM_S = 0.001


@contextmanager
def _storm(handler: Callable[[int, object], object]) -> Iterator[None]:
    """SIGALRM every millisecond."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, _STORM_S, _STORM_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.row("F44")
def test_a_storm_of_signals_changes_nothing() -> None:
    heard = 0

    def count(number: int, frame: object) -> None:
        nonlocal heard
        heard += 1

    with stage(partitions=2) as on, on.producer(buffer_memory=300_000, batch_size=4096) as producer:
        append = on.brokers[0].default(PRODUCE)
        on.brokers[0].on(PRODUCE, late(append, 5))
        with _storm(count):
            futures = [producer.send(TOPIC, b"%06d" % n + bytes(200), partition=n % 2) for n in range(4_000)]
            assert producer.partitions_for(TOPIC)
            with pytest.raises(KafkaTimeoutError):
                producer.flush(0)
            producer.flush(30)
            many = producer.send_many(TOPIC, [b"many"] * 500, partition=0)
            many.wait(20)
            producer.close(20)
        assert heard > 50
        assert [future.result(0).offset for future in futures] == [n // 2 for n in range(4_000)]
        assert many.failed == 0
        assert len(on.values(0)) == 2_500


class _StopError(Exception):
    """Raised out of a signal handler."""


@pytest.mark.row("F44")
def test_a_send_that_a_signal_interrupts_has_accepted_its_record_or_not_taken_it() -> None:
    def stop(number: int, frame: object) -> None:
        raise _StopError

    with stage() as on, on.producer(buffer_memory=200_000, batch_size=2048) as producer:
        append = on.brokers[0].default(PRODUCE)
        on.brokers[0].on(PRODUCE, late(append, 2))
        accepted: set[int] = set()
        unsure: set[int] = set()
        before = signal.signal(signal.SIGALRM, stop)
        try:
            for n in range(3_000):
                unsure.add(n)
                signal.setitimer(signal.ITIMER_REAL, 0.000_2 if n % 7 else 0)
                try:
                    producer.produce(TOPIC, b"%d" % n + bytes(500), partition=0)
                    accepted.add(n)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except _StopError:
                    continue
            signal.setitimer(signal.ITIMER_REAL, 0)
        except _StopError:  # between two statements of ours
            pass
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        producer.flush(20)
        found = [int((value or b"").rstrip(b"\0")) for value in on.values()]
        assert found == sorted(set(found)), "once each, in order"
        assert accepted <= set(found) <= unsure
        last = len(found)
        assert producer.send(TOPIC, b"0", partition=0).result(10).offset == last
        producer.flush(10)
        stats = counters(producer)
        assert stats["buffer_available_bytes"] == stats["buffer_total_bytes"]


@pytest.mark.row("F44")
@pytest.mark.parametrize("call", ["send", "flush", "close", "partitions_for", "result"])
def test_ctrl_c_is_obeyed_within_200_ms_and_the_producer_is_usable_or_closed(call: str) -> None:
    with stage() as on, on.producer(max_block_ms=20_000, request_timeout_ms=1_000) as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, Silent())
        future = producer.send(TOPIC, b"1", partition=0)
        calls: dict[str, Callable[[], object]] = {
            "send": lambda: producer.send("no-such-topic", b""),
            "flush": producer.flush,
            "close": producer.close,
            "partitions_for": lambda: producer.partitions_for("no-such-topic"),
            "result": future.result,
        }
        with interrupted(0.3) as sent, pytest.raises(KeyboardInterrupt):
            calls[call]()
        assert time.monotonic() - sent[0] < 0.2
        if call == "close":
            _assert_closed(producer)
            assert future.done()
        else:
            assert future.result(10).offset == 1
            assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2


def _assert_closed(producer: KafkaProducer) -> None:
    with pytest.raises(KafkaError, match="closed"):
        producer.send(TOPIC, b"2", partition=0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kproducer-")]
