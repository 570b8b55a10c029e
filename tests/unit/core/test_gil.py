"""The sending path never takes the GIL: all arrives and is acknowledged while Python cannot run at all."""

from __future__ import annotations

import ctypes
import operator
import sys
import time
from functools import partial
from typing import Any

import pytest

from bench.sink import Sink
from tests.unit.core.world import MakeProducer, counters

RECORDS = 200_000
VALUE = b"x" * 100
DELAY_MS = 20
HOLD_US = 2_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="usleep is POSIX")
def test_all_is_sent_and_acknowledged_while_c_holds_the_gil(make: MakeProducer) -> None:
    with Sink(delay_ms=DELAY_MS, stamp=True) as sink:
        producer = make(sink)
        for partition in range(6):  # warm: connected, sequences begun, gates open
            producer.send("bench", b"warm", partition=partition).result(10)
        pump = producer._runtime.pump
        warm = counters(producer)["records_acked"]
        sink.reset()
        hold = partial(ctypes.PyDLL(None).usleep, HOLD_US)  # PyDLL does not let the GIL go

        for n in range(RECORDS):
            producer.produce("bench", VALUE, partition=n % 6)
        began = time.monotonic_ns()
        # No byte code runs between the two calls: the GIL was not let go when the counters are read.
        steps: list[Any] = [hold, pump.counters]
        _, found = list(map(operator.call, steps))
        ended = time.monotonic_ns()

        assert ended - began >= HOLD_US * 1000
        assert found["records_acked"] - warm == RECORDS
        assert found["records_failed"] == 0
        stamps = sink.stamps()
        assert sum(stamp.records for stamp in stamps) == RECORDS
        assert max(stamp.ns for stamp in stamps) < ended
        # Before the hold at most what was in flight; after its first answers are due, only what they set free.
        after_answers = sum(stamp.records for stamp in stamps if stamp.ns > began + 2 * DELAY_MS * 1_000_000)
        assert after_answers > RECORDS / 2, f"only {after_answers} records left after answers were parsed"
        assert sink.stats().sequence_errors == 0
