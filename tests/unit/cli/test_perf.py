"""The perf command with a producer that only remembers, and its lines from known latencies."""

from __future__ import annotations

import re
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaError
from kproducer.cli import main
from kproducer.cli.perf_payload import random_letters, split_payloads
from kproducer.cli.perf_stats import Stats, format_metrics, percentiles
from tests.unit.cli.fake_producer import FakeProducer

TOTAL = re.compile(
    r"(\d+)( steady state)? records sent, \d+\.\d{6} records/sec \(\d+\.\d\d MB/sec\), \d+\.\d\d ms avg latency, "
    r"\d+\.\d\d ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99\.9th\."
)


def perf(producer: Any, *arguments: str | Path, records: int = 5, throughput: str = "-1") -> int:
    common = ["perf", "--bootstrap-server", "host:9092", "--topic", "t", "--throughput", throughput]
    return main([*common, "--num-records", str(records), *map(str, arguments)], producer_factory=producer)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps += 1
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The command's time: a pause passes at once and is remembered."""
    clock = Clock()
    time = types.SimpleNamespace(monotonic=clock, sleep=clock.sleep)
    monkeypatch.setattr("kproducer.cli.perf.time", time)
    return clock


def test_monotonic_values_count_up(capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer()

    assert perf(producer, "--payload-monotonic") == 0

    assert producer.values == [b"0", b"1", b"2", b"3", b"4"]
    assert producer.config == {"bootstrap.servers": "host:9092", "client.id": "perf-producer-client"}
    match = TOTAL.fullmatch(capsys.readouterr().out.strip())
    assert match is not None
    assert match[1] == "5"


def test_random_values_are_capital_letters_of_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer()

    perf(producer, "--record-size", "100", records=50)

    assert all(re.fullmatch(rb"[A-Z]{100}", value or b"") for value in producer.values)
    assert len(set(producer.values)) == 50


def test_random_values_go_on_when_the_pool_is_used_up() -> None:
    take = random_letters(3_000_000)

    values = [take(0, 1)[0] for _ in range(8)]

    assert {len(value) for value in values} == {3_000_000}
    assert len(set(values)) == 8


def test_values_are_drawn_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer()
    path = tmp_path / "payloads.txt"
    path.write_bytes("one\n\nnaïve\n".encode())

    assert perf(producer, "--payload-file", path, records=100) == 0

    assert set(producer.values) == {b"one", b"", "naïve".encode()}
    out = capsys.readouterr().out
    assert out.startswith(f"Reading payloads from: {path}\nNumber of records read: 3\n100 records sent, ")


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        (b"a||b||", [b"a", b"b"]),
        (b"||a", [b"a"]),
        (b"a||||b", [b"a", b"", b"b"]),
        (b"||||", [b""]),
        (b"||", []),
    ],
)
def test_a_delimiter_at_either_end_parts_nothing(data: bytes, pieces: list[bytes]) -> None:
    assert split_payloads(data, b"||") == pieces


def test_a_file_without_values_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.txt"
    path.touch()

    assert perf(FakeProducer(), "--payload-file", path) == 1
    assert "empty.txt: file does not exist, or is empty" in capsys.readouterr().err


def test_properties_come_from_files_and_several_at_a_time(tmp_path: Path) -> None:
    producer = FakeProducer()
    path = tmp_path / "client.properties"
    path.write_text("acks=1\nlinger.ms=7\nclient.id=mine\n")

    perf(
        producer,
        "--payload-monotonic",
        "--producer.config",
        path,
        "--producer-props",
        "acks=all",
        "retries=3",
    )

    assert producer.config == {
        "bootstrap.servers": "host:9092",
        "client.id": "mine",
        "acks": "all",
        "linger.ms": "7",
        "retries": "3",
    }


def test_transactions_are_begun_and_committed(capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer()

    assert perf(producer, "--payload-monotonic", "--transactional-id", "tx-1") == 0

    assert producer.config["transactional.id"] == "tx-1"
    assert producer.calls == ["init", "begin", "commit", "flush"]


def test_a_transaction_lasts_no_longer_than_it_is_told_to(clock: Clock) -> None:
    producer = FakeProducer()

    perf(producer, "--payload-monotonic", "--transaction-duration-ms", "250", records=10, throughput="10")

    assert producer.calls == ["init", *["begin", "commit"] * 3, "flush"]
    assert producer.config["transactional.id"].startswith("performance-producer-")


def test_the_throughput_is_kept(clock: Clock) -> None:
    perf(FakeProducer(), "--payload-monotonic", records=20, throughput="10")

    assert clock.now == pytest.approx(102.0)
    assert clock.naps == 20


def test_pauses_too_short_to_be_slept_are_saved_up(clock: Clock) -> None:
    perf(FakeProducer(), "--payload-monotonic", records=50_000, throughput="50000")

    assert clock.now == pytest.approx(101.0)
    assert 0 < clock.naps <= 1000


def test_after_the_warmup_a_second_summary_follows(capsys: pytest.CaptureFixture[str]) -> None:
    assert perf(FakeProducer(), "--payload-monotonic", "--warmup-records", "2") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Warmup first 2 records. Steady state results will print after the complete test summary."
    )
    totals = [TOTAL.fullmatch(line) for line in lines[1:]]
    assert [(match[1], match[2]) for match in totals if match] == [("5", None), ("3", " steady state")]


def test_flat_out_one_callback_speaks_for_a_group_and_all_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    producer = FakeProducer()

    assert perf(producer, "--payload-monotonic", "--warmup-records", "50001", records=100_001) == 0

    assert producer.values == [b"%d" % number for number in range(100_001)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("100001 records sent, ")
    assert lines[2].startswith("50000 steady state records sent, ")


@pytest.mark.parametrize("records", [1_000, 100_000])
def test_records_that_failed_are_not_counted_and_make_the_exit_code_1(
    capsys: pytest.CaptureFixture[str], records: int
) -> None:
    producer = FakeProducer(fails=lambda value: value.endswith(b"00"))

    assert perf(producer, "--payload-monotonic", "--warmup-records", "50", records=records) == 1

    output = capsys.readouterr()
    failed = records // 100 - 1  # "0" has one digit
    lines = output.out.splitlines()
    assert lines[1].startswith(f"{records - failed} records sent, ")
    assert lines[2].startswith(f"{records - failed - 50} steady state records sent, ")
    assert f"{failed} records were not delivered; first: KafkaError: refused" in output.err


def test_a_producer_that_takes_no_more_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_producer: FakeProducer) -> None:
        raise KafkaError("no metadata in max.block.ms")

    producer = FakeProducer(on_send=refuse)

    assert perf(producer, "--payload-monotonic") == 1

    assert producer.closed_with == [0.0]
    assert capsys.readouterr().err == "kproducer: no metadata in max.block.ms\n"


def test_metrics_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    perf(FakeProducer(), "--payload-monotonic", "--print-metrics")

    assert "\nproducer-metrics:batch-size-avg:{client-id=perf-producer-client}          : 16000.000\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--payload-monotonic", "--num-records", "0"), "0 is not 1 or more"),
        (("--record-size", "0"), "0 is not 1 or more"),
        (("--payload-monotonic", "--throughput", "0"), "0 is neither above 0 nor -1"),
        (("--payload-monotonic", "--transaction-duration-ms", "0"), "0 is not 1 or more"),
        (("--payload-monotonic", "--reporting-interval", "0"), "0 is not 1 or more"),
        (("--payload-monotonic", "--record-size", "1"), "not allowed with argument"),
        ((), "one of the arguments --record-size --payload-file --payload-monotonic is required"),
    ],
)
def test_wrong_options_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        perf(FakeProducer(), *arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_warmup_of_all_records_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert perf(FakeProducer(), "--payload-monotonic", "--warmup-records", "5") == 2
    assert "--warmup-records must be fewer than --num-records" in capsys.readouterr().err


def test_a_window_ends_with_the_first_answer_after_its_time() -> None:
    lines: list[str] = []
    stats = Stats(1000, 100.0, show=lines.append)

    for latency_ms, now in ((10, 100.5), (20, 100.9), (60, 102.0), (7, 102.5)):
        stats.record(latency_ms, 100, 1 << 20, now)

    assert lines == [
        "300 records sent, 150.0 records/sec (1.50 MB/sec), 30.0 ms avg latency, 60.0 ms max latency."
    ]
    assert stats.total_line(104.0) == (
        "400 records sent, 100.000000 records/sec (1.00 MB/sec), 24.25 ms avg latency, 60.00 ms max latency, "
        "20 ms 50th, 60 ms 95th, 60 ms 99th, 60 ms 99.9th."
    )


def test_in_steady_state_its_own_windows_are_printed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--payload-monotonic", "--warmup-records", "20", "--reporting-interval", "1000")

    perf(FakeProducer(), *arguments, records=50, throughput="10")

    windows = capsys.readouterr().out.splitlines()[1:-2]
    assert [line.split(",")[0] for line in windows] == [
        "11 records sent",
        "In steady state.",
        "11 records sent",
        "10 records sent",
    ]


def test_without_an_acknowledgement_there_is_no_mean() -> None:
    assert Stats(1000, 100.0).total_line(100.0) == (
        "0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg latency, 0.00 ms max latency, "
        "0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th."
    )


def test_percentiles_are_those_of_a_sorted_list() -> None:
    latencies = [3] * 940 + [8] * 50 + [9] * 9 + [70]

    found = percentiles(Counter(latencies))

    assert found == [sorted(latencies)[int(share * 1000)] for share in (0.5, 0.95, 0.99, 0.999)]


def test_tags_of_metrics_are_written_as_java_does() -> None:
    keys = ("node-metrics.node-1", "topic-metrics.a.b-c", "partition-metrics.a.b-c-12")
    table = format_metrics({f"producer-{key}": {"n": 1.0} for key in keys}, "me")
    assert [line.split(" : ")[0].rstrip() for line in table.splitlines()[2:]] == [
        "producer-node-metrics:n:{client-id=me, node-id=node-1}",
        "producer-partition-metrics:n:{client-id=me, topic=a.b-c, partition=12}",
        "producer-topic-metrics:n:{client-id=me, topic=a.b-c}",
    ]


def test_the_table_of_metrics_is_sorted_and_aligned() -> None:
    assert format_metrics({"producer-metrics": {"b": 2.0, "a-long": 1.5}}, "me") == (
        "\n"
        "Metric Name                              Value\n"
        "producer-metrics:a-long:{client-id=me} : 1.500\n"
        "producer-metrics:b:{client-id=me}      : 2.000"
    )
