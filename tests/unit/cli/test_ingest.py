"""The ingest command with a producer that only remembers."""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaError, UnobservedDeliveryError
from kproducer.cli import main
from tests.unit.cli.fake_producer import FakeProducer


def ingest(producer: FakeProducer, *arguments: str | Path) -> int:
    common = ["ingest", "--bootstrap-server", "host:9092", "--topic", "logs"]
    return main([*common, *map(str, arguments)], producer_factory=producer)


@pytest.fixture
def two_lines(tmp_path: Path) -> Path:
    path = tmp_path / "two.log"
    path.write_bytes(b"one\r\ntwo")
    return path


def set_stdin(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=stream))


def test_every_line_of_every_file_is_sent_to_the_topic(two_lines: Path) -> None:
    producer = FakeProducer()

    assert ingest(producer, two_lines, two_lines) == 0

    assert producer.values == [b"one\r", b"two", b"one\r", b"two"]
    assert producer.topics == {"logs"}
    assert producer.closed_with == [None]


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = FakeProducer()
    set_stdin(monkeypatch, io.BytesIO(b"a\nb\n"))

    assert ingest(producer, "-") == 0

    assert producer.values == [b"a", b"b"]


def test_a_statistics_interval_is_a_property_and_its_lines_go_to_standard_error(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = FakeProducer()
    logger = logging.getLogger("kproducer.statistics")
    try:
        ingest(producer, "--statistics-interval-ms", "500", two_lines)
        ingest(producer, "--statistics-interval-ms", "500", two_lines)
        logger.info("me: 1 records/s")
    finally:
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)

    assert producer.config["statistics.interval.ms"] == "500"
    assert capsys.readouterr().err.count("me: 1 records/s\n") == 1


def test_producer_properties_reach_the_producer(two_lines: Path) -> None:
    producer = FakeProducer()

    ingest(producer, "--producer-property", "linger.ms=5", "--producer-property", "x=a=b", two_lines)

    assert producer.config == {"bootstrap.servers": "host:9092", "linger.ms": "5", "x": "a=b"}


def test_a_property_without_a_value_is_a_usage_error(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        ingest(FakeProducer(), "--producer-property", "linger.ms", two_lines)

    assert caught.value.code == 2
    assert "'linger.ms' has no value" in capsys.readouterr().err


def test_keys_come_from_the_named_field(tmp_path: Path) -> None:
    producer = FakeProducer()
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"u":"x"}\n{"u":"y"}\n')

    assert ingest(producer, "--format", "ndjson", "--key-field", "u", path) == 0

    assert producer.keys == [b"x", b"y"]


def test_a_key_field_of_plain_lines_is_a_usage_error(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(FakeProducer(), "--key-field", "u", two_lines) == 2
    assert "needs --format ndjson or csv" in capsys.readouterr().err


def test_the_summary_tells_records_bytes_and_topic(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(FakeProducer(), two_lines)

    out = capsys.readouterr().out
    assert out.startswith("Delivered 2 records to topic logs from 8 B in ")
    assert out.count("\n") == 1


def test_a_failed_record_is_counted_and_makes_the_exit_code_1(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(FakeProducer(fails=lambda value: value == b"two"), two_lines) == 1

    out = capsys.readouterr().out
    assert "Delivered 1 record " in out
    assert "Failed: 1 record; first: KafkaError: refused by the test" in out


def test_a_line_that_cannot_be_keyed_is_counted_and_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"u":"x"}\n' + b"secret\n" * 10)

    assert ingest(FakeProducer(), "--format", "ndjson", "--key-field", "u", path) == 1

    out = capsys.readouterr().out
    assert "Not sent: 10 lines" in out
    assert f"  {path}: line 2 is not JSON" in out
    assert out.count("is not JSON") == 5
    assert "secret" not in out


@pytest.mark.parametrize(("name", "problem"), [("missing", "No such file"), (".", "is a directory")])
def test_nothing_is_sent_if_a_file_cannot_be_read(
    two_lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, problem: str
) -> None:
    producer = FakeProducer()

    assert ingest(producer, two_lines, tmp_path / name) == 1

    assert producer.values == []
    assert problem in capsys.readouterr().err


def test_a_wrong_configuration_is_one_line_and_exit_code_1(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_config: dict[str, str]) -> FakeProducer:
        raise KafkaError("unknown key 'linger'")

    code = main(
        ["ingest", "--bootstrap-server", "h:1", "--topic", "t", str(two_lines)], producer_factory=refuse
    )

    assert code == 1
    assert capsys.readouterr().err == "kproducer ingest: unknown key 'linger'\n"


def test_a_send_that_raises_ends_the_run_and_says_what_is_left(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_producer: FakeProducer) -> None:
        raise KafkaError("no memory in max.block.ms")

    assert ingest(FakeProducer(on_send=refuse), two_lines, two_lines) == 1

    out = capsys.readouterr().out
    assert "Stopped: KafkaError: no memory in max.block.ms" in out
    assert f"Left: all of {two_lines}, all of {two_lines}" in out


def test_a_record_that_is_too_large_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"u":1}\n{"u":2,"large":1}\n{"u":3}\n{"u":4,"large":1}\n{"u":5}\n{"u":6}\n')
    producer = FakeProducer(is_too_large=lambda value: b"large" in value)

    assert ingest(producer, "--format", "ndjson", "--key-field", "u", path) == 1

    assert list(zip(producer.keys, producer.values, strict=True)) == [
        (key, b'{"u":%s}' % key) for key in (b"1", b"3", b"5", b"6")
    ]
    out = capsys.readouterr().out
    assert "Delivered 4 records" in out
    assert "Failed: 2 records; first: RecordTooLargeError: " in out


def test_failures_that_show_up_at_the_end_make_the_exit_code_1(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = FakeProducer()
    producer.close_error = UnobservedDeliveryError(
        count=3, first_error=KafkaError("too old"), by_partition={("logs", 0): 3}
    )

    assert ingest(producer, two_lines) == 1
    assert "Failed: 3 records; first: KafkaError: too old" in capsys.readouterr().out


def test_a_csv_file_without_the_key_column_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")

    assert ingest(FakeProducer(), "--format", "csv", "--key-field", "c", path) == 1
    assert "no column 'c'; it has a, b" in capsys.readouterr().out


def test_answers_are_awaited_before_too_much_is_under_way(
    two_lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kproducer.cli.ingest._MAX_PENDING", 3)
    waits_before_the_last_send: list[int] = []

    def count_waits(producer: FakeProducer) -> None:
        waits_before_the_last_send.append(sum(result.waits for result in producer.results))

    ingest(FakeProducer(on_send=count_waits), *[two_lines] * 5)

    assert waits_before_the_last_send[-1] >= 1


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_drains_and_says_what_is_left(
    two_lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.log"
    large.write_bytes(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 30_000)
    producer = FakeProducer(on_send=lambda _: interrupt())

    assert ingest(producer, large, two_lines) == 130

    output = capsys.readouterr()
    sent = len(producer.values)
    assert 0 < sent < 30_001
    assert f"Delivered {sent:,} records" in output.out
    assert f"Left: 2.5 MB of {large}, all of {two_lines}" in output.out
    assert "press Ctrl-C again" in output.err
    assert producer.closed_with == [None]


def test_the_second_interrupt_stops_at_once_and_counts_what_has_no_answer(
    two_lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = FakeProducer(on_send=lambda _: interrupt(), on_wait=lambda _: interrupt())

    assert ingest(producer, two_lines) == 130

    assert "Without an answer: 1 record;" in capsys.readouterr().out
    assert producer.closed_with == [0.0]


def test_an_interrupt_breaks_a_read_that_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"a\nb\nunfinished")
    producer = FakeProducer(on_send=lambda _: threading.Timer(0.1, interrupt).start())
    with os.fdopen(read_end, "rb") as stream:
        set_stdin(monkeypatch, stream)

        assert ingest(producer, "-") == 130

    os.close(write_end)
    assert producer.values == [b"a", b"b"]
    assert "Left: the rest of standard input" in capsys.readouterr().out


def test_handlers_are_put_back_after_the_run(two_lines: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    ingest(FakeProducer(), two_lines)

    assert signal.getsignal(signal.SIGINT) is before
