"""`kproducer perf` and Kafka's ProducerPerformance with the same arguments: the same lines but for the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kproducer.cli import main
from kproducer.testing import KafkaCluster
from tests.integration.java_tools import run_java_tool
from tests.integration.readback import committed, new_topic, read_all


def perf(kafka: KafkaCluster, *arguments: str) -> tuple[int, str]:
    """Run the command on a new topic; returns its exit code and the topic."""
    topic = new_topic()
    kafka.create_topic(topic, 1)
    common = ["perf", "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic]
    return main([*common, *arguments]), topic


def shape(text: str) -> list[str]:
    """The lines with each number as the count of its decimals; kinds of metrics are another matter."""
    lines = text.split("\nMetric Name", maxsplit=1)[0].splitlines()
    return [re.sub(r"\d+(\.\d+)?", lambda match: f"<{len(match[1] or '.') - 1}>", line) for line in lines]


def test_the_lines_are_those_of_kafkas_own_tool(
    kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "payloads.txt"
    path.write_bytes("one\n\nna\u00efve\nlast".encode())
    arguments = ["--num-records", "300", "--throughput", "150", "--payload-file", str(path)]
    arguments += ["--warmup-records", "100", "--reporting-interval", "1000000", "--print-metrics"]

    code, topic = perf(kafka, *arguments)
    ours = capsys.readouterr().out
    theirs = run_java_tool(
        "ProducerPerformance", "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic, *arguments
    )

    assert (code, theirs.returncode) == (0, 0)
    assert shape(ours) == shape(theirs.stdout.decode())
    assert len(shape(ours)) == 5
    metrics = re.findall(
        r"^(producer-metrics:[\w-]+:\{client-id=[\w-]+\}) +: \d+\.\d{3}$", ours, re.MULTILINE
    )
    their_names = re.findall(r"^(producer-metrics:\S+)", theirs.stdout.decode(), re.MULTILINE)
    assert "producer-metrics:record-send-total:{client-id=perf-producer-client}" in {*metrics} & {
        *their_names
    }
    values = [record.value for record in read_all(kafka.bootstrap_servers, topic)]
    assert len(values) == 600
    assert {*values[:300]} == {*values[300:]} == {b"one", b"", "na\u00efve".encode(), b"last"}


def test_every_record_arrives_and_windows_add_up(
    kafka: KafkaCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    code, topic = perf(
        kafka,
        "--num-records",
        "100000",
        "--throughput",
        "-1",
        "--record-size",
        "100",
        "--reporting-interval",
        "20",
    )

    assert code == 0
    assert len(read_all(kafka.bootstrap_servers, topic)) == 100_000
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("100000 records sent, ")
    windows = [int(line.split()[0]) for line in lines[:-1]]
    assert windows
    assert sum(windows) <= 100_000
    assert all(line.endswith(" ms max latency.") for line in lines[:-1])


def test_transactions_are_committed(kafka: KafkaCluster) -> None:
    arguments = [
        "--num-records",
        "50",
        "--throughput",
        "500",
        "--payload-monotonic",
        "--transaction-duration-ms",
        "20",
    ]

    code, topic = perf(kafka, *arguments)

    assert code == 0
    assert committed(kafka.bootstrap_servers, topic) == [[b"%d" % number for number in range(50)]]


def test_records_that_the_broker_refuses_make_the_exit_code_1(
    kafka: KafkaCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--num-records", "3", "--throughput", "-1", "--record-size", "2000000"]

    code, topic = perf(kafka, *arguments, "--command-property", "max.request.size=20000000")

    assert code == 1
    output = capsys.readouterr()
    assert output.out.startswith("0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg latency")
    assert "3 records were not delivered; first: RecordTooLargeError" in output.err
    assert read_all(kafka.bootstrap_servers, topic) == []
