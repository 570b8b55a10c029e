"""Who is told of the metrics, and when; what a callback that raises does to the others."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping

import pytest

from kproducer.client.transaction_state import Call
from kproducer.config import parse_config
from kproducer.engine.statistics import (
    CALL_COUNTERS,
    METADATA_WAIT,
    CallTimes,
    Statistics,
    StatisticsTeller,
    make_teller,
)
from kproducer.metrics.table import PRODUCER
from kproducer.metrics.view import Subject
from kproducer.types import Metrics
from tests.unit.engine.world import Clock
from tests.unit.metrics.test_windows import FakeSource

TOLD: Metrics = {PRODUCER: {"record-send-total": 1}}


def teller_of(callback: object, source: FakeSource | None = None) -> StatisticsTeller:
    config = parse_config(
        {"bootstrap.servers": "h:1"}, {"statistics_interval_ms": 1000, "statistics_callback": callback}
    )
    teller = make_teller(config, "me", source or FakeSource(), lambda: TOLD, 0)
    assert teller is not None
    return teller


def test_nobody_is_told_without_an_interval() -> None:
    config = parse_config({"bootstrap.servers": "h:1"}, {})
    assert make_teller(config, "me", FakeSource(), lambda: TOLD, 0) is None


def test_the_callback_gets_the_metrics_once_each_interval() -> None:
    told: list[Metrics] = []
    teller = teller_of(told.append)
    counts = []
    for now in (0, 999, 1000, 1001, 1999, 2000, 9000, 9001):
        teller.tell_if_due(now)
        counts.append(len(told))
    assert counts == [0, 0, 1, 1, 1, 2, 3, 3]  # what was missed is not made up for
    assert told[0] is TOLD
    assert (teller.wait_ms(9500), teller.wait_ms(10_500)) == (500, 0)


@pytest.mark.parametrize("error", [RuntimeError("mine"), SystemExit()])
def test_a_callback_that_raises_is_logged_and_called_again(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Metrics] = []

    def callback(metrics: Metrics) -> None:
        calls.append(metrics)
        raise error

    teller = teller_of(callback)
    teller.tell_if_due(1000)
    teller.tell_if_due(2000)
    assert len(calls) == 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in errors] == ["the statistics callback of producer me failed"] * 2
    assert errors[0].exc_info is not None
    assert errors[0].exc_info[1] is error


def test_a_line_is_written_when_the_logger_wants_it(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    teller = teller_of(None, source)
    teller.tell_if_due(1000)
    caplog.set_level(logging.INFO, "kproducer.statistics")
    source.add("records_acked", 300)
    teller.tell_if_due(2000)
    assert [record.name for record in caplog.records] == ["kproducer.statistics"]
    assert caplog.messages[0].startswith(
        "me: 150 records/s, "
    )  # since the beginning: no line was asked for before


class SlowSource(FakeSource):
    """Threads that would read at the same time are found out."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = 0
        self.most_readers = 0

    def read(self) -> Mapping[str, Subject]:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        found = super().read()
        time.sleep(0.0001)
        self.readers -= 1
        return found


def test_many_threads_may_ask_while_windows_begin() -> None:
    clock, source = Clock(), SlowSource()
    config = parse_config({"bootstrap.servers": "h:1"}, {"metrics_sample_window_ms": 100})
    statistics = Statistics(source, config, clock)
    found: list[float] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(
                target=lambda: found.extend(statistics.metrics()[PRODUCER]["batch-total"] for _ in range(50))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for _ in range(200):
            clock.now += 60
            source.add("batches_sent", 1)
            statistics.work(clock.now)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (len(found), source.most_readers) == (200, 1)
    assert statistics.metrics()[PRODUCER]["batch-total"] == 200


def test_windows_begin_when_the_control_thread_works() -> None:
    clock, source = Clock(), FakeSource()
    statistics = Statistics(source, parse_config({"bootstrap.servers": "h:1"}, {}), clock)
    assert statistics.deadline() == 30_000
    source.add("records_acked", 60)
    statistics.work(29_999)
    statistics.work(30_000)
    statistics.work(60_000)
    clock.now = 60_000
    assert statistics.deadline() == 90_000
    assert statistics.metrics()[PRODUCER]["record-send-rate"] == 0


def test_the_time_of_a_call_is_counted_whatever_comes_of_it() -> None:
    clock = Clock()
    times = CallTimes(clock)
    with times.count(METADATA_WAIT):
        clock.now += 2.5

    def commit() -> None:
        with times.count(CALL_COUNTERS[Call.COMMIT]):
            clock.now += 1
            raise KeyError

    with pytest.raises(KeyError):
        commit()
    spent = {name: ns for name, ns in times.counts().items() if ns}
    assert spent == {METADATA_WAIT: 2_500_000, "txn_commit_ns": 1_000_000}
    assert set(times.counts()) == {METADATA_WAIT, *CALL_COUNTERS.values()}
