"""send_columns(): rows of columns become the same records as those of send(), and one result tells of them all."""

from __future__ import annotations

import array
import gc
import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.sink import Sink
from kproducer import (
    BufferExhaustedError,
    InvalidTopicError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    RecordTooLargeError,
    UnobservedDeliveryError,
)
from kproducer._core.hashing import murmur2_partition
from kproducer.protocol.messages.produce import PRODUCE, PartitionProduceResponse
from tests.fakes.scripted_broker import Received, ScriptedBroker
from tests.unit.core.arrow_by_hand import ArrayByHand, StreamByHand
from tests.unit.core.world import (
    FATAL_TO_A_BATCH,
    MakeProducer,
    failing,
    gated,
    interrupted,
    records_of,
    values_of,
)

WIDTH = 8
VALUES = [b"%08d" % n for n in range(5000)]


def rows(values: list[bytes]) -> memoryview:
    """The same as a column, of the standard library alone."""
    return memoryview(b"".join(values)).cast("B", [len(values), WIDTH])


COLUMN = rows(VALUES)


def test_rows_arrive_in_order(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    result = producer.send_columns("one", COLUMN).wait(10)
    assert (result.count, result.failed, result.failed_rows()) == (5000, 0, [])
    assert result.base_offsets() == {("one", 0): [(0, 5000)]}
    assert values_of(broker, "one") == VALUES


def test_send_many_hands_columns_over(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    producer.send_many("t", COLUMN, rows(VALUES[::-1]), [("h", b"1")], 2, 77).wait(10)
    found = [(r.value, r.key, r.headers, r.timestamp) for r in records_of(broker, "t", 2)]
    assert found == [
        (value, key, (("h", b"1"),), 77) for value, key in zip(VALUES, VALUES[::-1], strict=True)
    ]


def test_keys_choose_the_partitions_that_they_choose_in_send(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    result = producer.send_columns("t", COLUMN, COLUMN).wait(10)
    expected: list[list[bytes]] = [[], [], []]
    for value in VALUES:
        expected[murmur2_partition(value, 3)].append(value)
    assert [values_of(broker, "t", p) for p in range(3)] == expected
    assert result.base_offsets() == {("t", p): [(0, len(expected[p]))] for p in range(3)}
    assert result.offsets == dict.fromkeys(result.base_offsets(), 0)


def test_partitions_and_timestamps_by_row(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    chosen = [n // 7 % 3 for n in range(5000)]
    stamps = [10_000 + n for n in range(5000)]
    producer.send_columns("t", COLUMN, None, None, array.array("i", chosen), array.array("q", stamps)).wait(
        10
    )
    for p in range(3):
        found = [(r.value, r.timestamp) for r in records_of(broker, "t", p)]
        assert found == [(VALUES[n], stamps[n]) for n in range(5000) if chosen[n] == p]


def test_rows_without_a_time_have_that_of_the_call(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    before = int(time.time() * 1000)
    producer.send_columns("one", COLUMN).wait(10)
    after = int(time.time() * 1000)
    assert all(before <= record.timestamp <= after for record in records_of(broker, "one"))


def test_chunks_of_columns_need_not_fit_each_other(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    words = [b"%d" % n for n in range(1000)]
    values = StreamByHand([words[:1], [], words[1:700], words[700:]])
    keys = StreamByHand([words[:333], words[333:]])
    producer.send_columns("one", values, keys).wait(10)
    assert [(r.value, r.key) for r in records_of(broker, "one")] == [(word, word) for word in words]
    assert values.released.count("array") == 4
    assert keys.released.count("array") == 2


def test_no_rows_are_a_result_too(producer: KafkaProducer) -> None:
    result = producer.send_columns("one", COLUMN[:0], COLUMN[:0])
    assert (result.count, result.done(), result.offsets, result.failed_rows()) == (0, True, {}, [])


def test_topics_are_checked_even_without_rows(producer: KafkaProducer) -> None:
    with pytest.raises(InvalidTopicError):
        producer.send_columns("a b", COLUMN[:0])


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_bad_columns_send_nothing(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    bad: list[tuple[tuple[Any, ...], type[Exception]]] = [
        ((VALUES,), TypeError),
        ((COLUMN, COLUMN[1:]), ValueError),
        ((COLUMN, None, None, array.array("i", [-1] * 5000)), ValueError),
        ((COLUMN, None, [("h", 1)]), TypeError),
        ((StreamByHand([[b"a"]] * 3, fails_at=2),), OSError),
    ]
    for arguments, error in bad:
        with pytest.raises(error) as caught:
            producer.send_columns("one", *arguments)
        assert not hasattr(caught.value, "partial_result")
    producer.flush(10)
    assert values_of(broker, "one") == []
    assert producer.send_columns("one", COLUMN).wait(10).count == 5000


def test_a_row_that_is_too_large_leaves_those_before_it_accepted(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    column = ArrayByHand([[b"a", b"b", bytes(2_000_000), b"c"]])
    with pytest.raises(RecordTooLargeError, match="record of 2000000 bytes") as caught:
        producer.send_columns("one", column)
    assert caught.value.__notes__ == [
        "send_columns: the 2 records before it were accepted; see partial_result"
    ]
    accepted = caught.value.partial_result  # type: ignore[attr-defined]
    assert (accepted.wait(10).count, accepted.failed_rows()) == (2, [])
    assert values_of(broker, "one") == [b"a", b"b"]
    assert sorted(column.released) == ["array", "schema"]


def test_a_partition_that_is_not_there_times_out_at_its_row(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, max_block_ms=200)
    with pytest.raises(KafkaTimeoutError, match="has 3 partitions, so no partition 3") as caught:
        producer.send_columns("t", COLUMN[:100], partitions=array.array("i", [*[1] * 70, 3, *[1] * 29]))
    assert caught.value.partial_result.wait(10).count == 70  # type: ignore[attr-defined]
    assert values_of(broker, "t", 1) == VALUES[:70]


def test_a_full_buffer_raises_when_it_is_not_to_be_waited_for(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, buffer_memory=65_536, buffer_full_policy="raise")
    with gated(broker), pytest.raises(BufferExhaustedError) as caught:
        producer.send_columns("one", COLUMN)
    accepted = caught.value.partial_result  # type: ignore[attr-defined]
    assert 0 < accepted.wait(10).count < 5000
    assert values_of(broker, "one") == VALUES[: accepted.count]


def test_a_closed_producer_refuses_columns(producer: KafkaProducer) -> None:
    producer.close()
    with pytest.raises(ProducerClosedError):
        producer.send_columns("one", COLUMN[:0])


def refusing(broker: ScriptedBroker, partition: int) -> Callable[[Received], Any]:
    """Write everything, and refuse what went to one partition."""
    answer = broker.default(PRODUCE)

    def handler(request: Received) -> Any:
        response = answer(request)
        topics = [
            replace(
                topic,
                partition_responses=tuple(
                    PartitionProduceResponse(index=partition, error_code=FATAL_TO_A_BATCH, base_offset=-1)
                    if told.index == partition
                    else told
                    for told in topic.partition_responses
                ),
            )
            for topic in response.responses
        ]
        return replace(response, responses=tuple(topics))

    return handler


@pytest.mark.parametrize("bad", range(3))
def test_failed_rows_are_those_of_the_partition_that_refused(
    broker: ScriptedBroker, producer: KafkaProducer, bad: int
) -> None:
    broker.on(PRODUCE, refusing(broker, bad))
    chosen = random.Random(5).choices(range(3), k=5000)
    result = producer.send_columns("t", COLUMN, None, None, array.array("i", chosen))
    assert result.failed_rows() == [row for row, partition in enumerate(chosen) if partition == bad]
    assert result.failed == chosen.count(bad)
    assert result.base_offsets() == {("t", p): [(0, chosen.count(p))] for p in range(3) if p != bad}


def test_every_row_of_a_call_that_fails_is_told(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        result = producer.send_columns("t", COLUMN, COLUMN)
        assert result.failed_rows() == list(range(5000))
        assert result.base_offsets() == {}
        assert result.failed == 5000
    del result
    producer.flush(10)


def test_failures_that_nobody_asked_for_are_raised_by_the_next_flush(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        result = producer.send_columns("t", COLUMN, COLUMN).wait(10)
        result.base_offsets()  # asks where records are, not whether any failed
        del result
        gc.collect()
        with pytest.raises(UnobservedDeliveryError, match="5000 records"):
            producer.flush(10)


def test_rows_of_send_many_are_found_again_too(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        assert producer.send_many("t", iter(VALUES), VALUES).failed_rows() == list(range(5000))
    result = producer.send_many("t", VALUES, VALUES).wait(10)
    assert sum(count for runs in result.base_offsets().values() for _, count in runs) == 5000


# --- rows as objects ----------------------------------------------------------------------------------------------


def test_serializers_and_partitioners_get_each_row_as_bytes(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    seen: list[object] = []

    def serialize(data: object) -> bytes | None:
        seen.append(data)
        return None if data is None else bytes(data)[::-1]  # type: ignore[call-overload]

    producer = make(
        broker,
        value_serializer=serialize,
        partitioner_class=lambda topic, key, value, count: int(key) % count,
    )
    stamps = array.array("q", range(100, 200))
    producer.send_columns("t", COLUMN[:100], COLUMN[:100], {"h": b"1"}, None, stamps).wait(10)
    assert seen == VALUES[:100]
    for p in range(3):
        found = [(r.value, r.key, r.headers, r.timestamp) for r in records_of(broker, "t", p)]
        assert found == [
            (VALUES[n][::-1], VALUES[n], (("h", b"1"),), 100 + n) for n in range(100) if n % 3 == p
        ]


def test_send_many_gives_a_serializer_the_items_of_a_column(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, value_serializer=lambda number: b"<%d>" % number)
    producer.send_many("one", array.array("i", [1, 2])).wait(10)
    assert values_of(broker, "one") == [b"<1>", b"<2>"]
    with pytest.raises(TypeError, match="headers"):
        producer.send_columns("one", COLUMN, headers=COLUMN)


# --- a long call --------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_call_that_never_waits(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=256 << 20, batch_size=1 << 20)
    column = memoryview(bytes(30_000_000 * 4)).cast("B", [30_000_000, 4])
    producer.send("bench", b"warm").result(10)
    with interrupted(0.2) as sent, pytest.raises(KeyboardInterrupt) as caught:
        producer.send_columns("bench", column)
    late = time.monotonic() - sent[0]
    assert caught.value.partial_result.count > 0  # type: ignore[attr-defined]
    assert late < 2, f"{late:.3f} s after Ctrl-C"


def column_call(producer: KafkaProducer) -> Callable[[], object]:
    column = memoryview(bytes(10_000_000 * 4)).cast("B", [10_000_000, 4])
    return lambda: producer.send_columns("bench", column)


def list_call(producer: KafkaProducer) -> Callable[[], object]:
    values = [b"abcd"] * 5_000_000
    return lambda: producer.send_many("bench", values)


def keyed_call(producer: KafkaProducer) -> Callable[[], object]:
    values = [b"abcd"] * 1_000_000
    return lambda: producer.send_many("bench", values, keys=values)


def lines_call(producer: KafkaProducer) -> Callable[[], object]:
    block = b"abcd\n" * 5_000_000
    return lambda: producer.send_lines("bench", block)


@pytest.mark.parametrize("prepare", [column_call, list_call, keyed_call, lines_call])
def test_other_threads_have_their_turn_during_a_long_call(
    sink: Sink, make: MakeProducer, prepare: Callable[[KafkaProducer], Callable[[], object]]
) -> None:
    producer = make(sink, buffer_memory=256 << 20, batch_size=1 << 20)
    producer.send("bench", b"warm").result(10)
    call = prepare(producer)
    ticks: list[float] = []
    stops = threading.Event()

    def tick() -> None:
        while not stops.is_set():
            ticks.append(time.monotonic())
            time.sleep(0)

    thread = threading.Thread(target=tick)
    thread.start()
    while not ticks:
        time.sleep(0.001)
    began = time.monotonic()
    call()
    ended = time.monotonic()
    stops.set()
    thread.join()
    pauses = [b - a for a, b in itertools.pairwise([began, *(t for t in ticks if began < t < ended), ended])]
    assert max(pauses) < max(0.1, (ended - began) / 2), f"{len(pauses) - 1} turns in {ended - began:.3f} s"


def test_a_wait_for_memory_ends_with_ctrl_c(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_memory=65_536)
    with gated(broker), interrupted(0.3), pytest.raises(KeyboardInterrupt) as caught:
        producer.send_columns("one", COLUMN)
    assert 0 < caught.value.partial_result.count < 5000  # type: ignore[attr-defined]
