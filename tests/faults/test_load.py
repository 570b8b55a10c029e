"""Much at once: quotas (F46), many threads (F50), many partitions, topics and sizes (F51)."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from kproducer import KafkaProducer
from kproducer.errors import IllegalStateError, KafkaError, ProducerClosedError
from kproducer.testing import KafkaCluster
from kproducer.types import RecordMetadata
from tests.faults.admin import set_producer_quota
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, stage
from tests.faults.workload import Workload
from tests.wire.decoder import DecodedRecord, decode_batch

# --- F46: quotas ------------------------------------------------------------------------------------------------


@pytest.mark.row("F46")
@pytest.mark.chaos
def test_a_quota_slows_down_and_times_nothing_out(harmed3: KafkaCluster, matrix: Recorder) -> None:
    topic = f"quota-{uuid.uuid4().hex[:8]}"
    harmed3.create_topic(topic, 3, 3)
    set_producer_quota(harmed3, "throttled", 50_000)
    try:
        with KafkaProducer(
            bootstrap_servers=harmed3.bootstrap_servers, client_id="throttled", request_timeout_ms=3_000,
            delivery_timeout_ms=60_000,
        ) as producer:  # fmt: skip
            workload = Workload(producer, topic, 3, rate=2_000, size=200)
            workload.start()
            time.sleep(4)
            assert producer.metrics()["producer-metrics"]["produce-throttle-time-total"] > 0
            set_producer_quota(harmed3, "throttled", None)
            freed = time.monotonic()
            time.sleep(4)
            workload.stop()
            producer.flush(30)
            assert producer.metrics()["producer-metrics"]["connection-close-total"] == 0
    finally:
        set_producer_quota(harmed3, "throttled", None)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(freed) < 10


# --- F50: many threads ------------------------------------------------------------------------------------------

_THREADS: Final = 16
_SECONDS: Final = 2.0


class _Crowd:
    """Threads that do everything at once on one producer, and what became of their records."""

    def __init__(self, producer: KafkaProducer, partitions: int) -> None:
        self.accepted = [0] * _THREADS
        self.outcomes: list[dict[int, list[RecordMetadata | None]]] = [
            defaultdict(list) for _ in range(_THREADS)
        ]
        self.surprises: list[Exception] = []
        self._producer = producer
        self._partitions = partitions
        self._ends_at = time.monotonic() + _SECONDS
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(_THREADS)]

    def run(self, close_after_s: float) -> None:
        """Let all work, close the producer from several threads in the middle of it, and wait for all."""
        for thread in self._threads:
            thread.start()
        time.sleep(close_after_s)
        closers = [threading.Thread(target=self._producer.close) for _ in range(3)]
        for thread in (*closers, *self._threads):
            if thread in closers:
                thread.start()
        for thread in (*closers, *self._threads):
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        try:
            while time.monotonic() < self._ends_at:
                self._act(number, chance)
        except ProducerClosedError:
            return
        except Exception as error:  # noqa: BLE001  # looked at by the test
            self.surprises.append(error)

    def _act(self, number: int, chance: random.Random) -> None:
        draw = chance.random()
        if draw < 0.90:
            self._send(number, chance.randrange(self._partitions))
        elif draw < 0.92:
            self._producer.flush(20)
        elif draw < 0.96:
            self._producer.metrics()
        elif draw < 0.98:
            self._producer.partitions_for(TOPIC)
        else:
            time.sleep(chance.random() * 0.005)

    def _send(self, number: int, partition: int) -> None:
        n = self.accepted[number]

        def done(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
            self.outcomes[number][n].append(metadata)

        self._producer.produce(TOPIC, b"%d %d" % (number, n), partition=partition, on_delivery=done)
        self.accepted[number] = n + 1


@pytest.mark.row("F50")
@pytest.mark.parametrize("brokers", [1, 3])
def test_sixteen_threads_send_flush_ask_and_close_at_once(brokers: int) -> None:
    partitions = 4
    with stage(brokers=brokers, partitions=partitions) as on, on.producer(batch_size=1_000) as producer:
        crowd = _Crowd(producer, partitions)
        crowd.run(close_after_s=_SECONDS * 0.8)
        assert crowd.surprises == []
        assert sum(crowd.accepted) > 1_000
        with pytest.raises((ProducerClosedError, IllegalStateError)):
            producer.send(TOPIC, b"late")
        for number in range(_THREADS):
            outcomes = crowd.outcomes[number]
            assert sorted(outcomes) == list(range(crowd.accepted[number]))
            assert all(len(told) == 1 and told[0] is not None for told in outcomes.values())
        logged = [
            [tuple(map(int, (value or b"").split())) for value in on.values(p)] for p in range(partitions)
        ]
        assert sum(map(len, logged)) == sum(crowd.accepted)
        for log in logged:
            for number in range(_THREADS):
                own = [record[1] for record in log if record[0] == number]
                assert own == sorted(set(own))


# --- F51: many partitions, topics, sizes ------------------------------------------------------------------------

_MANY: Final = 10_000


def _threads_and_descriptors() -> tuple[int, int]:
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.row("F51")
def test_ten_thousand_partitions_get_their_records_and_leave_nothing_behind() -> None:
    with stage(brokers=3, partitions=_MANY) as on:
        before = _threads_and_descriptors()
        connections = sum(broker.connections for broker in on.brokers)
        with on.producer(buffer_memory=64 << 20, batch_size=1_024, delivery_timeout_ms=60_000) as producer:
            for turn in range(2):
                for partition in range(_MANY):
                    producer.produce(TOPIC, b"%d" % turn, partition=partition)
            producer.flush(60)
            metrics = producer.metrics()["producer-metrics"]
            assert metrics["record-error-total"] == 0
            assert metrics["buffer-available-bytes"] == metrics["buffer-total-bytes"]
        assert all(on.topic.next_offsets[partition] == 2 for partition in range(_MANY))
        assert all(on.values(partition) == [b"0", b"1"] for partition in range(0, _MANY, 997))
        assert sum(broker.connections for broker in on.brokers) - connections <= 5
        deadline = time.monotonic() + 5
        while _threads_and_descriptors()[0] > before[0] + 4 and time.monotonic() < deadline:
            time.sleep(0.05)  # the scripted brokers' own threads end a moment later
        assert _threads_and_descriptors()[0] <= before[0] + 4


@pytest.mark.row("F51")
def test_a_thousand_topics_are_found_and_written_to() -> None:
    with stage() as on, on.producer() as producer:
        names = [f"topic-{n}" for n in range(1_000)]
        for name in names:
            on.cluster.create_topic(name, [1, 1])
        began = time.monotonic()
        for name in names:
            producer.produce(name, b"0", partition=0)
        for name in names:
            producer.produce(name, b"1", partition=1)
        producer.flush(30)
        assert time.monotonic() - began < 30
        assert producer.metrics()["producer-metrics"]["record-error-total"] == 0
        assert all(on.cluster.topics[name].next_offsets == {0: 1, 1: 1} for name in names)


_ROUND_TRIPS: Final = """
    import sys, time
    from kproducer import KafkaProducer
    with KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=0) as producer:
        for partition in range(int(sys.argv[2])):
            producer.produce("faults", b"warm", partition=partition)
        producer.flush(60)
        cpu = time.process_time()
        for n in range(1000):
            producer.send("faults", b"record", partition=n % 10).result(20)
        print(time.process_time() - cpu)
"""


def _cpu_of_round_trips(partitions: int) -> float:
    with stage(partitions=partitions) as on:
        command = [sys.executable, "-c", textwrap.dedent(_ROUND_TRIPS), on.bootstrap_servers, str(partitions)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        return float(done.stdout)


@pytest.mark.row("F51")
@pytest.mark.chaos
def test_a_record_costs_no_more_among_ten_thousand_partitions_than_among_ten() -> None:
    assert _cpu_of_round_trips(_MANY) < 2.5 * _cpu_of_round_trips(10) + 0.05


@pytest.mark.row("F51")
def test_records_of_a_byte_and_of_a_megabyte_share_a_partition() -> None:
    big = os.urandom(1_000_000)
    with stage(partitions=2) as on, on.producer(buffer_memory=8 << 20, linger_ms=5) as producer:
        expected: list[list[bytes]] = [[], []]
        for n in range(60):
            value = big if n % 6 == 0 else b"%d" % (n % 10)
            expected[n % 2].append(value)
            producer.produce(TOPIC, value, partition=n % 2)
        producer.flush(30)
        metrics = producer.metrics()["producer-metrics"]
        assert metrics["buffer-available-bytes"] == metrics["buffer-total-bytes"]
        assert [[r.value for b in on.topic.batches[p] for r in _records(b)] for p in (0, 1)] == expected


def _records(batch: bytes) -> tuple[DecodedRecord, ...]:
    return decode_batch(batch, check_crc=False).records
