"""The console command with a producer that only remembers."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaError, __version__
from kproducer.cli import main
from tests.unit.cli.fake_producer import FakeProducer

KEYED = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
HEADERS = ("--reader-property", "parse.headers=true")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command over an input."""

    def run(producer: FakeProducer, data: bytes, *arguments: str) -> int:
        set_stdin(monkeypatch, io.BytesIO(data))
        common = ["console", "--bootstrap-server", "host:9092", "--topic", "orders"]
        return main([*common, *arguments], producer_factory=producer)

    return run


def set_stdin(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=stream))


def test_each_line_is_a_value_and_empty_ones_are_empty_values(console: Any) -> None:
    producer = FakeProducer()

    assert console(producer, b"a\n\n b \r\nc\rd\n\xff\nend") == 0

    assert producer.values == [b"a", b"", b" b ", b"c", b"d", b"\xff", b"end"]
    assert producer.topics == {"orders"}
    assert producer.closed_with == [None]


def test_keys_are_parted_from_values(console: Any) -> None:
    producer = FakeProducer()

    assert console(producer, b"k:v\nl:w\n", *KEYED) == 0

    assert list(zip(producer.keys, producer.values, strict=True)) == [(b"k", b"v"), (b"l", b"w")]


@pytest.mark.parametrize("flag", ["--property", "--reader-property"])
def test_the_old_name_of_a_reader_property_is_taken(console: Any, flag: str) -> None:
    producer = FakeProducer()

    console(producer, b"k\tv\n", flag, "parse.key=true")

    assert producer.keys == [b"k"]


def test_a_statistics_interval_is_a_property(console: Any) -> None:
    producer = FakeProducer()
    logger = logging.getLogger("kproducer.statistics")
    try:
        console(producer, b"v\n", "--statistics-interval-ms", "500")
    finally:
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)

    assert producer.config["statistics.interval.ms"] == "500"


def test_headers_and_nulls_reach_the_producer(console: Any) -> None:
    producer = FakeProducer()

    assert console(producer, b"h:1,h:N\tN\nN\tv\n", *HEADERS, "--reader-property", "null.marker=N") == 0

    assert producer.values == [None, b"v"]
    assert producer.headers == [[("h", b"1"), ("h", None)], None]


def test_an_unreadable_line_ends_the_run_after_those_before_it(
    console: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = FakeProducer()

    assert console(producer, b"a:1\nb:2\nsecret\nc:3\n", *KEYED) == 1

    assert producer.keys == [b"a", b"b"]
    assert producer.closed_with == [None]
    error = capsys.readouterr().err
    assert (
        error
        == "kproducer console: No key separator found on line number 3; what comes after it is not sent\n"
    )


@pytest.mark.parametrize("arguments", [(), HEADERS])
def test_a_record_that_is_not_delivered_is_told_and_makes_the_exit_code_1(
    console: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    producer = FakeProducer(fails=lambda value: value == b"bad")

    assert console(producer, b"h:1\tgood\nh:1\tbad\n" if arguments else b"good\nbad\n", *arguments) == 1

    assert "1 record was not delivered: KafkaError: refused by the test" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), HEADERS])
def test_a_record_that_is_too_large_fails_alone(
    console: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    producer = FakeProducer(is_too_large=lambda value: value == b"large")
    data = b"a\nlarge\nb\n" if not arguments else b"h:1\ta\nh:1\tlarge\nh:1\tb\n"

    assert console(producer, data, *arguments) == 1

    assert producer.values == [b"a", b"b"]
    assert "1 record was not delivered: RecordTooLargeError" in capsys.readouterr().err


def test_many_failures_are_summed_up(console: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert console(FakeProducer(fails=lambda value: True), b"h:1\tv\n" * 1500, *HEADERS) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "kproducer console: 1,500 records were not delivered in all"


def test_a_producer_that_takes_no_more_ends_the_run(console: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_producer: FakeProducer) -> None:
        raise KafkaError("no metadata in max.block.ms")

    assert console(FakeProducer(on_send=refuse), b"a\n") == 1

    assert (
        "KafkaError: no metadata in max.block.ms; what comes after it is not sent" in capsys.readouterr().err
    )


def test_sync_waits_for_each_answer_and_ends_with_the_first_failure(
    console: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = FakeProducer(fails=lambda value: value == b"bad")

    assert console(producer, b"a\nbad\nb\n", "--sync") == 1

    assert producer.values == [b"a", b"bad"]
    assert producer.config["linger.ms"] == "0"
    assert "refused by the test" in capsys.readouterr().err


def test_every_flag_is_the_producer_property_of_kafkas_tool(console: Any) -> None:
    producer = FakeProducer()
    flags = {
        "--timeout": "linger.ms",
        "--request-required-acks": "acks",
        "--request-timeout-ms": "request.timeout.ms",
        "--message-send-max-retries": "retries",
        "--retry-backoff-ms": "retry.backoff.ms",
        "--socket-buffer-size": "send.buffer.bytes",
        "--max-memory-bytes": "buffer.memory",
        "--batch-size": "batch.size",
        "--metadata-expiry-ms": "metadata.max.age.ms",
        "--max-block-ms": "max.block.ms",
        "--compression-codec": "compression.type",
    }
    arguments = [text for flag in flags for text in (flag, f"value of {flag}")]

    console(producer, b"", *arguments)

    assert producer.config == {
        "bootstrap.servers": "host:9092",
        "client.id": "console-producer",
        **{key: f"value of {flag}" for flag, key in flags.items()},
    }


def test_the_older_name_of_batch_size_wins_as_in_kafkas_tool(console: Any) -> None:
    producer = FakeProducer()

    console(producer, b"", "--max-partition-memory-bytes", "2", "--batch-size", "1")

    assert producer.config["batch.size"] == "2"


def test_a_compression_codec_without_a_name_is_gzip(console: Any) -> None:
    producer = FakeProducer()

    console(producer, b"", "--compression-codec", "--sync")

    assert producer.config["compression.type"] == "gzip"


@pytest.mark.parametrize("config", ["--command-config", "--producer.config"])
@pytest.mark.parametrize("prop", ["--command-property", "--producer-property"])
def test_a_flag_wins_over_a_property_and_that_over_the_file(
    console: Any, tmp_path: Path, config: str, prop: str
) -> None:
    producer = FakeProducer()
    path = tmp_path / "client.properties"
    path.write_text(
        "acks: 0\nretries 1\nlinger.ms=\\\n  7\nbootstrap.servers=elsewhere:1\n"
        "key.serializer=org.apache.kafka.common.serialization.StringSerializer\n"
    )

    console(
        producer, b"", config, str(path), prop, "acks=1", prop, "retries=2", "--message-send-max-retries", "3"
    )

    assert producer.config == {
        "bootstrap.servers": "host:9092",
        "client.id": "console-producer",
        "acks": "1",
        "retries": "3",
        "linger.ms": "7",
    }


def test_the_readers_own_file_is_read_and_the_command_line_wins(console: Any, tmp_path: Path) -> None:
    producer = FakeProducer()
    path = tmp_path / "reader.properties"
    path.write_text("parse.key=true\nkey.separator=;\n")

    console(producer, b"k:v\n", "--reader-config", str(path), "--reader-property", "key.separator=:")

    assert producer.keys == [b"k"]


def test_a_mistyped_reader_property_is_told(console: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert console(FakeProducer(), b"a\n", "--property", "parse.keys=true") == 0
    assert "did you mean 'parse.key'?" in capsys.readouterr().err


def test_a_line_reader_of_ones_own_is_refused(console: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        console(FakeProducer(), b"a\n", "--line-reader", "com.example.Reader")

    assert caught.value.code == 2
    assert "'com.example.Reader' is a Java class, which cannot be run here" in capsys.readouterr().err


def test_the_line_reader_that_is_the_default_may_be_named(console: Any) -> None:
    producer = FakeProducer()

    assert console(producer, b"a\n", "--line-reader", "org.apache.kafka.tools.LineMessageReader") == 0
    assert producer.values == [b"a"]


def test_version_is_the_one_of_kproducer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["console", "--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"kproducer {__version__}\n"


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("arguments", [(), KEYED, ("--sync",)])
def test_an_interrupt_delivers_what_was_read_and_drops_the_unfinished_line(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"a:1\nb:2\nunfin:ished")

    def interrupt_after_the_last(producer: FakeProducer) -> None:
        if len(producer.values) == 2:
            threading.Timer(0.1, interrupt).start()

    producer = FakeProducer(on_send=interrupt_after_the_last)
    with os.fdopen(read_end, "rb") as stream:
        set_stdin(monkeypatch, stream)

        code = main(
            ["console", "--bootstrap-server", "h:1", "--topic", "t", *arguments], producer_factory=producer
        )

    os.close(write_end)
    assert code == 130
    assert len(producer.values) == 2
    assert producer.closed_with == [None]


def test_an_interrupt_while_answers_are_awaited_stops_at_once(
    console: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    is_closed = threading.Event()

    class Stuck(FakeProducer):
        def close(self, timeout: float | None = None) -> None:
            super().close(timeout)
            is_closed.set()

    def wait(_producer: FakeProducer) -> None:
        interrupt()
        is_closed.wait(10)

    producer = Stuck(on_wait=wait)

    assert console(producer, b"a\n") == 130

    assert producer.closed_with == [0.0]
    assert "records without an answer may have been delivered" in capsys.readouterr().err


def test_answers_that_take_long_are_told_of_and_waited_for(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    is_told, is_closed = threading.Event(), threading.Event()
    was_closed: list[bool] = []

    def say(text: str) -> None:
        said.append(text)
        is_told.set()

    def wait(_producer: FakeProducer) -> None:
        assert is_told.wait(10)
        was_closed.append(is_closed.wait(0.1))

    class Closing(FakeProducer):
        def close(self, timeout: float | None = None) -> None:
            is_closed.set()

    monkeypatch.setattr("kproducer.cli.console._say", say)
    monkeypatch.setattr("kproducer.cli.console._PATIENCE_S", 0.01)

    assert console(Closing(on_wait=wait), b"a\n") == 0
    assert said == ["waiting for the answers to what was read; press Ctrl-C to stop at once"]
    assert was_closed == [False]


def test_a_person_who_types_sees_a_prompt_and_each_line_goes_out_at_once() -> None:
    pty = pytest.importorskip("pty", reason="this system has no terminals")
    controller, terminal = pty.openpty()
    program = (
        "import sys; from kproducer.cli import main; from tests.unit.cli.fake_producer import FakeProducer\n"
        "producer = FakeProducer(on_send=lambda p: print('sent', p.values[-1], flush=True))\n"
        "sys.exit(main(['console', '--bootstrap-server', 'h:1', '--topic', 't'], producer_factory=producer))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    try:
        screen = read_until(controller, b">")
        os.write(controller, b"first\n")
        screen += read_until(controller, b"\n>")
        os.write(controller, b"\x04")  # Ctrl-D at the beginning of a line: the end of the input
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(controller)

    assert b"sent b'first'" in screen


def read_until(descriptor: int, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += os.read(descriptor, 1024)
    return seen
