"""send_many(): any iterable, one result, flat memory."""

from __future__ import annotations

import gc
import itertools
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench.sink import Sink
from kproducer import (
    InvalidTopicError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    ProducerRecord,
    RecordTooLargeError,
    SendManyResult,
    UnobservedDeliveryError,
)
from kproducer.errors import InvalidRecordError
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, failing, gated, records_of, values_of, wait_until

VALUES = [b"%d" % n for n in range(2000)]


@pytest.mark.parametrize("wrap", [list, tuple, iter, lambda values: (value for value in values)])
def test_any_iterable_of_values_arrives_in_order(
    broker: ScriptedBroker, producer: KafkaProducer, wrap: Any
) -> None:
    result = producer.send_many("one", wrap(VALUES)).wait(10)
    assert result.count == 2000
    assert result.offsets == {("one", 0): 0}
    assert (result.failed, result.first_error, result.errors(), result.done()) == (0, None, [], True)
    assert values_of(broker, "one") == VALUES


def test_keys_go_with_values_and_the_rest_is_for_all(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    producer.send_many("t", VALUES[:3], iter(VALUES[3:6]), [("h", b"1")], 2, 77).wait(10)
    assert [(r.value, r.key, r.headers, r.timestamp) for r in records_of(broker, "t", 2)] == [
        (VALUES[n], VALUES[n + 3], (("h", b"1"),), 77) for n in range(3)
    ]


def test_offsets_are_the_first_ones_of_each_partition(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    producer.send_many("t", VALUES, VALUES).wait(10)
    counts = [len(values_of(broker, "t", p)) for p in range(3)]
    result = producer.send_many("t", VALUES, VALUES).wait(10)
    assert result.offsets == {("t", p): counts[p] for p in range(3)}


def test_nothing_at_all_is_a_result_too(producer: KafkaProducer) -> None:
    result = producer.send_many("one", [])
    assert (result.count, result.done(), result.offsets, result.failed) == (0, True, {}, 0)


@pytest.mark.parametrize(
    ("values", "keys", "text", "accepted"),
    [
        ([b"a", b"b", b"c"], [b"k"], "keys has fewer items than values", 1),
        ([b"a"], [b"k", b"l"], "keys has more items than values", 1),
        ([b"a", b"b"], [], "keys has fewer items than values", 0),
        ([], [b"k"], "keys has more items than values", 0),
    ],
)
def test_too_few_or_too_many_keys_are_refused(
    broker: ScriptedBroker,
    producer: KafkaProducer,
    values: list[bytes],
    keys: list[bytes],
    text: str,
    accepted: int,
) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        producer.send_many("one", values, keys)
    assert caught.value.__notes__ == [
        f"send_many: the {accepted} records before it were accepted; see partial_result"
    ]
    producer.flush(10)
    assert values_of(broker, "one") == values[:accepted]


def _raising() -> Iterator[bytes]:
    yield b"a"
    yield b"b"
    raise LookupError("no more")


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ([b"a", b"b", "text", b"c"], TypeError, "value must be bytes-like or None, not str"),
        ([b"a", b"b", 5], TypeError, "not int"),
        ([b"a", b"b", bytes(2_000_000)], ValueError, "max.request.size"),
        (_raising, LookupError, "no more"),
    ],
)
def test_what_goes_wrong_in_the_middle_says_how_many_were_accepted(
    broker: ScriptedBroker, producer: KafkaProducer, values: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        producer.send_many("one", values() if callable(values) else values)
    assert caught.value.__notes__ == ["send_many: the 2 records before it were accepted; see partial_result"]
    accepted = caught.value.partial_result  # type: ignore[attr-defined]
    assert (accepted.wait(10).count, accepted.offsets, accepted.failed) == (2, {("one", 0): 0}, 0)
    assert values_of(broker, "one") == [b"a", b"b"]


def test_failures_before_the_exception_are_not_lost(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        with pytest.raises(TypeError):
            producer.send_many("one", [b"a", b"b", 5])
        gc.collect()
        with pytest.raises(UnobservedDeliveryError, match="2 records"):
            producer.flush(10)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("one", None), TypeError),
        (("one", 5), TypeError),
        (("one", b"bytes are ints"), TypeError),
        (("one", "text"), TypeError),
        (("one", [b"a"], 5), TypeError),
        (("one", [b"a"], b"k"), TypeError),
        ((None, [b"a"]), TypeError),
        (("a b", [b"a"]), InvalidTopicError),
        ((ProducerRecord("one", b"v"), [b"a"]), TypeError),
        (("one", [b"a"], None, None, -1), ValueError),
        (("one", [b"a"], None, None, None, -1), ValueError),
        (("one", [b"a"], None, 5), TypeError),
    ],
)
def test_bad_arguments_send_nothing(
    broker: ScriptedBroker, producer: KafkaProducer, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        producer.send_many(*arguments)
    producer.flush(10)
    assert values_of(broker, "one") == []
    assert producer.send_many("one", [b"good"]).wait(10).count == 1


def test_wait_times_out_and_can_be_repeated(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with gated(broker):
        result = producer.send_many("one", VALUES)
        assert not result.done()
        with pytest.raises(KafkaTimeoutError):
            result.wait(0.05)
    assert result.wait(10) is result


def test_failures_are_counted_and_told_once(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        result = producer.send_many("t", VALUES, VALUES)
        assert result.failed == 2000
        assert isinstance(result.first_error, InvalidRecordError)
        assert len(result.errors()) == 2000
        assert result.offsets == {}
    del result
    producer.flush(10)


def test_failures_that_were_never_read_are_raised_by_the_next_flush(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        result = producer.send_many("t", VALUES, VALUES).wait(10)
        producer.flush(10)  # the result may still be read
        assert result.done()
        del result
        with pytest.raises(UnobservedDeliveryError, match="2000 records"):
            producer.flush(10)


def test_results_are_made_by_send_many_alone() -> None:
    with pytest.raises(TypeError, match="made by send_many"):
        SendManyResult()
    assert SendManyResult.__new__(SendManyResult).done()


def test_records_of_other_threads_in_between_do_not_confuse_the_result(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    def values() -> Iterator[bytes]:
        for n in range(1000):
            if n % 3 == 0:
                producer.produce("one", b"other")
            yield b"own"

    with failing(broker):
        result = producer.send_many("one", values())
        assert result.failed == 1000
        with pytest.raises(UnobservedDeliveryError, match="334 records"):
            producer.flush(10)


def test_closing_in_the_middle_ends_the_call(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    def values() -> Iterator[bytes]:
        yield b"a"
        producer.close()
        yield b"b"

    with pytest.raises(ProducerClosedError) as caught:
        producer.send_many("one", values())
    assert caught.value.__notes__ == ["send_many: the 1 records before it were accepted; see partial_result"]
    assert values_of(broker, "one") == [b"a"]


def test_an_endless_generator_takes_flat_memory(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=4 << 20)
    value = b"x" * 100
    peaks: list[int] = []

    def values() -> Iterator[bytes]:
        for n in itertools.count():
            if n in (500_000, 5_000_000):
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            if len(peaks) == 2:
                return
            yield value

    began = time.monotonic()
    result = producer.send_many("bench", values()).wait(30)
    assert (result.count, result.failed) == (5_000_000, 0)
    assert set(result.offsets.values()) == {0}
    assert peaks[1] - peaks[0] < 2048, f"KiB more after {time.monotonic() - began:.1f} s: {peaks}"


def test_send_lines_makes_a_record_of_each_line(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    result = producer.send_lines("one", memoryview(b"one\n\ntwo\r\nlast without an end"))
    assert result.wait(10).count == 4
    assert producer.send_lines("one", b"").count == 0
    assert producer.send_lines("one", b"\n").wait(10).count == 1
    assert values_of(broker, "one") == [b"one", b"", b"two\r", b"last without an end", b""]


def test_a_line_that_is_too_large_leaves_those_before_it_accepted(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with pytest.raises(RecordTooLargeError) as caught:
        producer.send_lines("one", b"fits\n" + b"x" * 2_000_000 + b"\nafter")
    assert caught.value.partial_result.wait(10).count == 1  # type: ignore[attr-defined]
    assert values_of(broker, "one") == [b"fits"]


@pytest.mark.parametrize("config", [{}, {"value_serializer": bytes}])
def test_send_lines_of_a_closed_producer_refuses_even_no_line_at_all(
    broker: ScriptedBroker, make: MakeProducer, config: dict[str, Any]
) -> None:
    producer = make(broker, **config)
    producer.close()
    for data in (b"", b"line\n"):
        with pytest.raises(ProducerClosedError):
            producer.send_lines("one", data)


def test_a_list_that_loses_its_values_during_the_call_sends_none_of_them_changed(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    values = [b"%05d" % n + bytes(400) for n in range(400)]
    given = [bytes(bytearray(value)) for value in values]  # referenced by the list alone
    producer = make(
        broker, buffer_memory=32 * 1024, batch_size=16 * 1024, max_request_size=16 * 1024, linger_ms=0
    )
    producer.partitions_for("one")
    with gated(broker) as gate:
        others: list[bytes] = []

        def take_all() -> None:
            wait_until(
                lambda: producer.metrics()["producer-metrics"]["buffer-available-bytes"] < 16 * 1024,
                "wait for memory",
            )
            given.clear()
            others.extend(b"%05d" % -n + bytes(400) for n in range(1000))  # where those were
            gate.open()

        thief = threading.Thread(target=take_all)
        thief.start()
        result = producer.send_many("one", given)
        thief.join()
        result.wait(10)
    sent = values_of(broker, "one")
    assert sent == values[: len(sent)]
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        assert 0 < len(sent) < 400
    else:
        assert len(sent) == 400  # without a GIL the call begins with a copy of the list


def test_lines_have_their_headers_once_even_from_a_generator(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    producer.send_lines("one", b"a\nb\n", (pair for pair in [("h", b"1")])).wait(10)  # type: ignore[arg-type]
    assert [record.headers for record in records_of(broker, "one")] == [(("h", b"1"),)] * 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("",), InvalidTopicError), (("one", None, -1), ValueError), (("one", None, None, -1), ValueError)],
)
def test_lines_to_nowhere_are_refused_even_if_there_are_none(
    producer: KafkaProducer, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        producer.send_lines(arguments[0], b"", *arguments[1:])
