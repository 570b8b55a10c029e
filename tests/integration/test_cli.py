"""`kproducer ingest` and `kproducer demo` against real Kafka, read back by another client."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from pathlib import Path

import confluent_kafka
import pytest

from kproducer.cli import main
from kproducer.testing import KafkaCluster

PARTITIONS = 3
SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"
SHARED_FILES = sorted([*SHARED_DATA.glob("logs/*.log"), *SHARED_DATA.glob("*.ndjson")])


def ingest(kafka: KafkaCluster, *arguments: str | Path) -> tuple[int, str]:
    """Run the command on a new topic; returns its exit code and the topic."""
    topic = f"ingest-{uuid.uuid4().hex[:12]}"
    kafka.create_topic(topic, PARTITIONS)
    common = ["ingest", "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic]
    return main([*common, *map(str, arguments)]), topic


def read_all(kafka: KafkaCluster, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of every record of a topic."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "log_level": 0}
    )
    partitions = [confluent_kafka.TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
    stored = sum(consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in partitions)
    consumer.assign(partitions)
    records: list[tuple[bytes | None, bytes | None]] = []
    deadline = time.monotonic() + 30
    while len(records) < stored and time.monotonic() < deadline:
        records += [(message.key(), message.value()) for message in consumer.consume(5000, 0.2)]
    consumer.close()
    assert len(records) == stored
    return records


def test_lines_come_out_byte_for_byte(kafka: KafkaCluster, tmp_path: Path) -> None:
    lines = [
        b"",
        b"\r",
        b"\xff\xfe",
        "naïve".encode(),
        b"x" * 100_000,
        *(b"%d" % n for n in range(10_000)),
        b"end",
    ]
    path = tmp_path / "a.log"
    path.write_bytes(b"\n".join(lines))

    code, topic = ingest(kafka, path)

    assert code == 0
    assert Counter(value for _, value in read_all(kafka, topic)) == Counter(lines)


def test_keyed_lines_of_csv_and_ndjson_carry_their_keys(kafka: KafkaCluster, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"user,name\nu1,a\nu2,b\n")

    code, topic = ingest(kafka, "--format", "csv", "--key-field", "user", path)

    assert code == 0
    assert sorted(read_all(kafka, topic)) == [
        (b"u1", b'{"user":"u1","name":"a"}'),
        (b"u2", b'{"user":"u2","name":"b"}'),
    ]


def test_a_line_that_is_too_large_fails_alone(
    kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"before\n" + b"x" * 2_000_000 + b"\nafter\n")

    code, topic = ingest(kafka, path)

    assert code == 1
    assert sorted(read_all(kafka, topic)) == [(None, b"after"), (None, b"before")]
    out = capsys.readouterr().out
    assert "Delivered 2 records" in out
    assert "Failed: 1 record; first: RecordTooLargeError" in out


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"line\n")

    nowhere = ["--bootstrap-server", "127.0.0.1:1", "--producer-property", "max.block.ms=200"]
    code = main(["ingest", *nowhere, "--topic", "t", str(path)])

    assert code == 1
    out = capsys.readouterr().out
    assert "Stopped: KafkaTimeoutError" in out
    assert "127.0.0.1:1" in out
    assert f"Left: all of {path}" in out


@pytest.mark.skipif(not SHARED_FILES, reason="the folder ../shared/data with real input is not here")
def test_real_input_comes_out_byte_for_byte(kafka: KafkaCluster) -> None:
    expected = Counter(
        line for path in SHARED_FILES for line in path.read_bytes().removesuffix(b"\n").split(b"\n")
    )

    code, topic = ingest(kafka, "--producer-property", "compression.type=lz4", *SHARED_FILES)

    assert code == 0
    assert Counter(value for _, value in read_all(kafka, topic)) == expected


def test_the_demo_finds_every_event_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--records", "20000"]) == 0

    table = capsys.readouterr().out
    assert "20,000 of 20,000, key and value byte for byte" in table
    assert "not measured" not in table
