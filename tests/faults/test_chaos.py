"""Brokers killed and paused under load, again and again; prints what was seen (run with -s).

KPRODUCER_CHAOS_SECONDS (default 60) and KPRODUCER_CHAOS_SEED (default 1) choose the length and the schedule.
"""

from __future__ import annotations

import os
import time
import uuid

import pytest

from kproducer import KafkaProducer
from kproducer.testing import KafkaCluster
from tests.faults.matrix import Recorder
from tests.faults.nemesis import Nemesis
from tests.faults.workload import Verdict, Workload

_SECONDS = float(os.environ.get("KPRODUCER_CHAOS_SECONDS", "60"))
_SEED = int(os.environ.get("KPRODUCER_CHAOS_SEED", "1"))
_PARTITIONS = 6


# (request.timeout.ms, delivery.timeout.ms): longer than any fault, and shorter than most of them.
PATIENT = (5_000, 120_000)
IMPATIENT = (1_000, 1_500)


@pytest.mark.chaos
@pytest.mark.timeout(_SECONDS + 300)
@pytest.mark.parametrize("timeouts", [PATIENT, IMPATIENT], ids=["patient", "impatient"])
@pytest.mark.row("F1", "F3")
def test_nothing_is_lost_repeated_or_reordered_while_brokers_die_and_freeze(
    harmed3: KafkaCluster, timeouts: tuple[int, int], matrix: Recorder
) -> None:
    topic = f"chaos-{uuid.uuid4().hex[:8]}"
    harmed3.create_topic(topic, _PARTITIONS, 3)
    producer = KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers,
        request_timeout_ms=timeouts[0],
        delivery_timeout_ms=timeouts[1],
        max_block_ms=120_000,
    )
    workload = Workload(producer, topic, _PARTITIONS, rate=20_000)
    nemesis = Nemesis(harmed3, topic, _PARTITIONS, seed=_SEED)
    began = time.monotonic()
    workload.start()
    nemesis.start()
    time.sleep(_SECONDS)
    nemesis.stop()
    healed = time.monotonic()
    time.sleep(5)
    workload.stop()
    elapsed = time.monotonic() - began
    producer.close(60)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    _print_report(workload, nemesis, verdict, began, elapsed)
    assert verdict.faults == {}
    assert verdict.acknowledged + verdict.failed == verdict.accepted
    assert verdict.failed == 0 or timeouts is IMPATIENT, verdict.causes
    assert workload.recovery_s(healed) < 5


def _print_report(
    workload: Workload, nemesis: Nemesis, verdict: Verdict, began: float, elapsed: float
) -> None:
    print(f"\nseed {_SEED}, {elapsed:.0f} s, {len(nemesis.deeds)} faults")
    for deed in nemesis.deeds:
        print(
            f"  {deed.began - began:6.1f} s {deed.fault.name.lower():5} broker {deed.broker}"
            f" for {deed.healed - deed.began:4.1f} s; all partitions acknowledged again"
            f" {workload.recovery_s(deed.began):5.2f} s after the fault,"
            f" {workload.recovery_s(deed.healed):5.2f} s after the healing"
        )
    print(f"  longest time without an ack: {max(h.longest_gap_s() for h in workload.histories):.2f} s")
    print(f"  {verdict}")
