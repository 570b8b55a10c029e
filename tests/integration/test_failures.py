"""Choices for when things go wrong, against real Kafka; letters are read back by another client."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaProducer, RecordDroppedError, UnobservedDeliveryError
from kproducer.errors import InvalidRecordError, RecordTooLargeError
from kproducer.testing import KafkaCluster
from tests.integration.readback import Seen, new_topic, read_all

PREFIX = "__kproducer.errors."


def producing(cluster: KafkaCluster, **config: Any) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, **config)


@pytest.fixture
def compacted(kafka: KafkaCluster) -> str:
    """A compacted topic, which takes no record without a key."""
    topic = new_topic()
    kafka.create_topic(topic, config={"cleanup.policy": "compact"})
    return topic


def errors_of(letter: Seen) -> dict[str, str | None]:
    return {
        name.removeprefix(PREFIX): None if value is None else value.decode()
        for name, value in letter.headers
        if name.startswith(PREFIX)
    }


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_only_records_without_a_key_become_letters_of_a_compacted_topic(
    kafka: KafkaCluster, compacted: str, codec: str
) -> None:
    dead = new_topic()
    kafka.create_topic(dead)
    keys = [None if number % 5 == 2 else b"k" for number in range(100)]
    values = [b"%d" % number for number in range(100)]
    with producing(kafka, errors_dead_letter_queue_topic_name=dead, compression_type=codec) as producer:
        futures = [
            producer.send(compacted, value, key, [("n", value)], timestamp_ms=1_700_000_000_000)
            for value, key in zip(values, keys, strict=True)
        ]
        producer.flush(60)
        letters = read_all(kafka.bootstrap_servers, dead)
        assert [letter.value for letter in letters] == [
            v for v, k in zip(values, keys, strict=True) if k is None
        ]
        found = producer.metrics()["producer-metrics"]
    assert (found["dead-letter-total"], found["dead-letter-dropped-total"]) == (20, 0)
    assert {type(future.exception(0)) for future in futures} == {InvalidRecordError, type(None)}
    assert len(read_all(kafka.bootstrap_servers, compacted)) == 80
    first = letters[0]
    assert (first.key, first.headers[0]) == (None, ("n", b"2"))
    told = errors_of(first)
    assert (told["topic"], told["partition"], told["timestamp"]) == (compacted, "0", "1700000000000")
    assert (told["code"], told["exception.name"], told["persisted"]) == ("87", "InvalidRecordError", "no")
    assert "key" in str(told["exception.message"])


def test_a_dead_letter_topic_is_made_when_it_is_needed(kafka: KafkaCluster, compacted: str) -> None:
    dead = new_topic()
    producer = producing(kafka, errors_dead_letter_queue_topic_name=dead)
    producer.produce(compacted, b"v")
    with pytest.raises(UnobservedDeliveryError):
        producer.close(60)
    assert [letter.value for letter in read_all(kafka.bootstrap_servers, dead)] == [b"v"]


def test_letters_go_to_a_file(kafka: KafkaCluster, compacted: str, tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    with producing(kafka, errors_dead_letter_queue_file=path) as producer:
        future = producer.send(compacted, b"v", headers=[("h", None)])
        good = producer.send(compacted, b"v", b"key")
        producer.flush(60)
        (line,) = [json.loads(line) for line in path.read_text().splitlines()]
        assert good.exception(0) is None
        assert future.exception(0) is not None
    assert (line["topic"], line["code"], line["error_name"]) == (compacted, 87, "INVALID_RECORD")
    assert (line["key"], line["value_text"], line["headers"]) == (None, "v", [{"name": "h", "value": None}])


def test_a_letter_that_its_own_topic_refuses_is_counted_and_that_is_its_end(
    kafka: KafkaCluster, compacted: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    dead = new_topic()
    kafka.create_topic(dead, config={"cleanup.policy": "compact"})
    with producing(kafka, errors_dead_letter_queue_topic_name=dead) as producer:
        futures = [producer.send(compacted, b"v") for _ in range(10)]
        producer.flush(60)
        found = producer.metrics()["producer-metrics"]
        assert all(future.exception(0) for future in futures)
    assert (found["dead-letter-total"], found["dead-letter-dropped-total"]) == (0, 10)
    assert read_all(kafka.bootstrap_servers, dead) == []
    assert f"not written to topic {dead}" in caplog.text


def test_a_record_too_large_for_its_topic_is_a_letter_in_a_topic_that_takes_it(kafka: KafkaCluster) -> None:
    topic, dead = new_topic(), new_topic()
    kafka.create_topic(topic, config={"max.message.bytes": 10_000})
    kafka.create_topic(dead)
    with producing(kafka, errors_dead_letter_queue_topic_name=dead) as producer:
        small = [producer.send(topic, b"s") for _ in range(5)]
        large = producer.send(topic, b"l" * 20_000)
        small += [producer.send(topic, b"s") for _ in range(5)]
        producer.flush(60)
        assert type(large.exception(0)) is RecordTooLargeError
        assert [future.exception(0) for future in small] == [None] * 10
    assert [letter.value for letter in read_all(kafka.bootstrap_servers, dead)] == [b"l" * 20_000]


def test_drop_oldest_keeps_the_newest_in_order(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    count = 20_000
    outcomes: list[Any] = [None] * count

    def hear(number: int) -> Any:
        def on_delivery(metadata: object, error: object) -> None:
            outcomes[number] = metadata if error is None else error

        return on_delivery

    with producing(
        kafka,
        buffer_full_policy="drop-oldest",
        buffer_memory=256 * 1024,
        max_in_flight_requests_per_connection=1,
    ) as producer:
        for number in range(count):
            producer.produce(topic, b"%05d" % number + b"x" * 500, on_delivery=hear(number))
        producer.flush(60)
        dropped = [number for number in range(count) if isinstance(outcomes[number], RecordDroppedError)]
        assert producer.metrics()["producer-metrics"]["record-dropped-total"] == len(dropped) > 0
    seen = [int((record.value or b"")[:5]) for record in read_all(kafka.bootstrap_servers, topic)]
    assert seen == [number for number in range(count) if not isinstance(outcomes[number], RecordDroppedError)]
    assert seen[-1] == count - 1
