"""What an application may choose for when things go wrong, from send() to the scripted broker and back."""

from __future__ import annotations

import base64
import gc
import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kproducer import (
    BufferExhaustedError,
    ConfigError,
    KafkaError,
    KafkaProducer,
    RecordDroppedError,
    RecordMetadata,
    UnobservedDeliveryError,
)
from kproducer.errors import InvalidRecordError, NotEnoughReplicasError
from kproducer.protocol.messages.produce import PRODUCE, ProduceResponse, TopicProduceResponse
from tests.fakes.scripted_broker import Received, ScriptedBroker, Silent
from tests.unit.core.world import (
    MakeProducer,
    failing,
    gated,
    open_descriptors,
    records_of,
    refuse,
    values_of,
    wait_until,
)
from tests.wire.decoder import DecodedRecord

SMALL: dict[str, Any] = {"buffer_memory": 64 * 1024, "batch_size": 16 * 1024}


def refuse_topic(broker: ScriptedBroker, name: str, code: int = 87) -> None:
    """Refuse every batch of one topic; the others are appended."""
    append, refusing = broker.default(PRODUCE), refuse(code)

    def handler(request: Received) -> ProduceResponse:
        answers: list[TopicProduceResponse] = []
        for topic in request.body.topic_data:
            found = broker.cluster.by_id(topic.topic_id)
            answer = refusing if (found.name if found else topic.name) == name else append
            answers += answer(replace(request, body=replace(request.body, topic_data=(topic,)))).responses
        return ProduceResponse(responses=tuple(answers))

    broker.on(PRODUCE, handler)


# --- buffer.full.policy -------------------------------------------------------------------------------------


def fill(producer: KafkaProducer, topic: str = "one", size: int = 60 * 1024) -> None:
    """Use buffer.memory up with one record that the broker does not acknowledge."""
    producer.produce(topic, b"x" * size)


def test_raise_does_not_wait_for_memory_and_the_producer_serves_on(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, buffer_full_policy="raise", max_block_ms=60_000, **SMALL)
    producer.partitions_for("one")
    with gated(broker):
        fill(producer)
        broker.wait_for(PRODUCE)
        began = time.monotonic()
        with pytest.raises(BufferExhaustedError, match=r"buffer\.full\.policy=raise") as caught:
            producer.produce("one", b"v")
        assert time.monotonic() - began < 5
        assert caught.value.persisted == "no"
    producer.flush(10)
    assert producer.send("one", b"v").result(10).offset == 1
    assert producer.metrics()["producer-metrics"]["buffer-exhausted-total"] == 1


def test_raise_still_waits_for_metadata(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_full_policy="raise")
    assert producer.send("one", b"v").result(10).offset == 0


def test_drop_oldest_makes_room_and_reports_every_record(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(
        broker,
        buffer_full_policy="drop-oldest",
        linger_ms=0,
        max_in_flight_requests_per_connection=1,
        **SMALL,
    )
    producer.send("t", b"warm", partition=0).result(10)
    heard: list[tuple[int, KafkaError | None]] = []

    def hear(number: int) -> Any:
        return lambda _metadata, error: heard.append((number, error))

    with gated(broker):
        began = time.monotonic()
        for number in range(200):
            producer.produce("t", b"%03d" % number + b"x" * 4000, partition=0, on_delivery=hear(number))
        assert time.monotonic() - began < 20
    producer.flush(20)
    dropped = [number for number, error in heard if error is not None]
    kept = [number for number, error in heard if error is None]
    assert len(heard) == 200
    assert len(dropped) > 100
    assert all(type(error) is RecordDroppedError for _, error in heard if error is not None)
    assert {error.persisted for _, error in heard if error is not None} == {"no"}
    assert 199 in kept  # the newest are kept
    assert producer.metrics()["producer-metrics"]["record-dropped-total"] == len(dropped)
    assert [int(value[:3]) for value in values_of(broker, "t", 0)[1:] if value] == sorted(kept)


def test_dropped_records_without_a_listener_are_raised_by_flush(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, buffer_full_policy="drop-oldest", **SMALL)
    producer.partitions_for("one")
    with gated(broker):
        for _ in range(40):
            producer.produce("one", b"x" * 4000)
    with pytest.raises(UnobservedDeliveryError) as caught:
        producer.flush(20)
    assert type(caught.value.first_error) is RecordDroppedError
    assert caught.value.count == producer.metrics()["producer-metrics"]["record-dropped-total"] > 0


def test_drop_oldest_waits_when_all_is_in_flight(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_full_policy="drop-oldest", max_block_ms=200, **SMALL)
    producer.partitions_for("one")
    with gated(broker):
        fill(producer)
        broker.wait_for(PRODUCE)
        with pytest.raises(BufferExhaustedError, match=r"max\.block\.ms=200"):
            producer.produce("one", b"v")
    producer.flush(10)
    assert producer.metrics()["producer-metrics"]["record-dropped-total"] == 0


def produce_until_refused(producer: KafkaProducer, topic: str) -> None:
    """What is accepted until the producer has ended fails with it."""
    for _ in range(1000):
        producer.produce(topic, b"later", on_delivery=lambda _metadata, error: None)
        time.sleep(0.01)


# --- not.enough.replicas.policy, on.sequence.gap ------------------------------------------------------------


def test_too_few_replicas_fail_at_the_first_answer(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, not_enough_replicas_policy="fail")
    with failing(broker, 19):
        error = producer.send("one", b"v").exception(10)
    assert type(error) is NotEnoughReplicasError
    assert (error.attempts, error.persisted) == (1, "no")
    assert producer.send("one", b"v").result(10).offset == 0


@pytest.mark.parametrize("policy", ["continue", "fail"])
def test_a_hole_in_the_log_is_told_and_ends_the_producer_if_so_chosen(
    broker: ScriptedBroker, make: MakeProducer, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    producer = make(broker, on_sequence_gap=policy)
    producer.send("one", b"before").result(10)
    broker.push(PRODUCE, refuse(45))
    future = producer.send("one", b"behind")
    if policy == "continue":
        assert future.result(10).offset == 1
        assert caplog.text.count("one-0: records whose outcome is not known") == 1
    else:
        first = future.exception(10)
        assert first is not None
        assert first.persisted == "no"
        with pytest.raises(KafkaError, match=r"on\.sequence\.gap=fail") as caught:
            produce_until_refused(producer, "one")
        assert caught.value.fatal
        assert values_of(broker, "one") == [b"before"]
    assert producer.metrics()["producer-metrics"]["sequence-gap-total"] == 1


# --- dead letters: topic ------------------------------------------------------------------------------------


@pytest.fixture
def letters(broker: ScriptedBroker) -> ScriptedBroker:
    """The broker with a topic for dead letters; it refuses what goes to topic one."""
    broker.cluster.create_topic("dead", [1])
    refuse_topic(broker, "one")
    return broker


def header(record: DecodedRecord, name: str) -> bytes | None:
    return dict(record.headers)[f"__kproducer.errors.{name}"]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_refused_record_is_in_the_dead_letter_topic_when_flush_or_close_returns(
    letters: ScriptedBroker, make: MakeProducer, end: str
) -> None:
    producer = make(letters, errors_dead_letter_queue_topic_name="dead")
    future = producer.send("one", b"value", b"key", [("own", b"1"), ("null", None)], 0, 1_700_000_000_000)
    getattr(producer, end)(20)
    (letter,) = records_of(letters, "dead")
    assert (letter.value, letter.key) == (b"value", b"key")
    assert list(letter.headers)[:2] == [("own", b"1"), ("null", None)]
    assert header(letter, "topic") == b"one"
    assert header(letter, "partition") == b"0"
    assert header(letter, "timestamp") == b"1700000000000"
    assert header(letter, "code") == b"87"
    assert header(letter, "exception.name") == b"InvalidRecordError"
    assert type(future.exception(0)) is InvalidRecordError  # the record's own future has it all the same
    assert producer.metrics()["producer-metrics"]["dead-letter-total"] == 1


def test_letters_keep_the_order_of_their_records(letters: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(letters, errors_dead_letter_queue_topic_name="dead", batch_size=1000)
    values = [b"%04d" % number for number in range(1000)]
    result = producer.send_many("one", values)
    producer.send_many("t", values)
    producer.flush(30)
    assert result.failed == 1000
    assert values_of(letters, "dead") == values
    assert len(values_of(letters, "t")) == 1000


def test_a_topic_that_takes_long_to_appear_gets_its_letters_even_while_closing(
    letters: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(letters, errors_dead_letter_queue_topic_name="late")
    future = producer.send("one", b"v")
    timer = threading.Timer(0.3, letters.cluster.create_topic, ("late", [1]))
    timer.start()
    producer.close(20)
    timer.join()
    assert values_of(letters, "late") == [b"v"]
    assert future.exception(0) is not None


@pytest.mark.parametrize("code", [87, 29])
def test_failed_letters_are_counted_and_never_routed_again(
    broker: ScriptedBroker, make: MakeProducer, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    broker.cluster.create_topic("dead", [1])
    producer = make(broker, errors_dead_letter_queue_topic_name="dead")
    with failing(broker, code):
        future = producer.send("one", b"v")
        producer.send("dead", b"the application's own").exception(10)
        producer.flush(20)
        before = len(broker.received(PRODUCE))
        producer.flush(20)
        assert len(broker.received(PRODUCE)) == before
    found = producer.metrics()["producer-metrics"]
    assert (found["dead-letter-total"], found["dead-letter-dropped-total"]) == (0, 1)
    assert "1 dead letters were not written to topic dead" in caplog.text
    assert future.exception(0) is not None


def test_only_a_refusal_for_good_makes_a_letter(letters: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(
        letters,
        errors_dead_letter_queue_topic_name="dead",
        delivery_timeout_ms=300,
        request_timeout_ms=300,
        linger_ms=0,
    )
    producer.partitions_for("t")
    with gated(letters):
        expired = producer.send("t", b"v").exception(10)
    assert expired is not None
    producer.flush(10)
    assert values_of(letters, "dead") == []


def test_close_does_not_hang_on_letters_that_nobody_takes(
    letters: ScriptedBroker, make: MakeProducer
) -> None:
    refusing = refuse()
    producer = make(letters, errors_dead_letter_queue_topic_name="dead")
    producer.flush(10)

    def only_one(request: Received) -> Any:
        name = request.body.topic_data[0].name or letters.cluster.by_id(request.body.topic_data[0].topic_id)
        is_dead = getattr(name, "name", name) == "dead"
        return Silent() if is_dead else refusing(request)

    letters.on(PRODUCE, only_one)
    future = producer.send("one", b"v")
    began = time.monotonic()
    producer.close(0.5)
    assert time.monotonic() - began < 8
    assert future.exception(0) is not None


def test_buffered_memory_is_whole_after_letters(letters: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(letters, errors_dead_letter_queue_topic_name="dead", compression_type="gzip")
    producer.send_many("one", [b"v" * 100] * 500)
    with pytest.raises(UnobservedDeliveryError):
        producer.flush(20)
    found = producer.metrics()["producer-metrics"]
    assert found["buffer-available-bytes"] == found["buffer-total-bytes"]
    assert found["dead-letter-total"] == 500


# --- dead letters: file -------------------------------------------------------------------------------------


def test_a_refused_record_is_in_the_file_when_flush_returns(
    letters: ScriptedBroker, make: MakeProducer, tmp_path: Path
) -> None:
    path = tmp_path / "dead.ndjson"
    producer = make(letters, errors_dead_letter_queue_file=path)
    assert path.exists()
    producer.send("one", b"\xff", b"key", [("h", b"1")], timestamp_ms=7).exception(10)
    producer.flush(10)
    (line,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert base64.b64decode(line["value"]) == b"\xff"
    assert (line["topic"], line["partition"], line["timestamp_ms"], line["code"]) == ("one", 0, 7, 87)
    assert (line["key_text"], line["error_name"], line["attempts"]) == ("key", "INVALID_RECORD", 1)


def test_a_file_serves_a_producer_that_has_failed_for_good(
    broker: ScriptedBroker, make: MakeProducer, tmp_path: Path
) -> None:
    producer = make(broker, errors_dead_letter_queue_file=tmp_path / "dead.ndjson")
    with failing(broker, 31):
        assert producer.send("one", b"v").exception(10) is not None
    producer.close(10)
    assert json.loads((tmp_path / "dead.ndjson").read_text())["code"] == 31


def test_a_file_that_cannot_be_opened_fails_the_construction(broker: ScriptedBroker, tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(ConfigError, match=r"errors\.dead\.letter\.queue\.file"):
        KafkaProducer(bootstrap_servers=str(broker.address), errors_dead_letter_queue_file=tmp_path)
    gc.collect()
    assert open_descriptors() <= before


@pytest.mark.parametrize("place", ["topic_name", "file"])
def test_a_closed_producer_leaves_no_descriptor(
    letters: ScriptedBroker, make: MakeProducer, tmp_path: Path, place: str
) -> None:
    value = "dead" if place == "topic_name" else str(tmp_path / "dead.ndjson")
    gc.collect()
    before = open_descriptors()
    producer = make(letters, **{f"errors_dead_letter_queue_{place}": value})
    producer.send("one", b"v").exception(10)
    producer.close(10)
    wait_until(lambda: gc.collect() >= 0 and open_descriptors() <= before + 4, "the sockets are closed")


def test_letters_come_after_the_callback_and_a_callback_that_raises_costs_none(
    letters: ScriptedBroker, make: MakeProducer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dead.ndjson"
    sizes: list[int] = []

    def on_delivery(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        sizes.append(path.stat().st_size)
        raise RuntimeError("a bug of the application")

    producer = make(letters, errors_dead_letter_queue_file=path)
    caplog.set_level(logging.CRITICAL)
    producer.produce("one", b"v", on_delivery=on_delivery)
    producer.flush(10)
    assert sizes == [0]
    assert len(path.read_text().splitlines()) == 1
