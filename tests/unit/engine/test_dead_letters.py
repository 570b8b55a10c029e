"""Where dead letters go: what is written, what is dropped and counted, and that nothing raises or comes back."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kproducer._core.letters import DeadLetter
from kproducer.engine.dead_letters import FileSink, TopicSink, headers_of, line_of
from kproducer.errors import (
    BufferExhaustedError,
    ConfigError,
    InvalidRecordError,
    KafkaError,
    ProducerClosedError,
    RecordTooLargeError,
)
from kproducer.types import RecordMetadata

ERROR = InvalidRecordError("no key", topic="t", partition=2, broker=1, attempts=1, persisted="no")
LETTER = DeadLetter("t", 2, 1_700_000_000_000, b"key", b"value", (("own", b"1"), ("own", None)), ERROR)
MANY = 1 << 20


class Clock:
    """Seconds that only a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Appender:
    """Takes letters, or raises what the test says."""

    def __init__(self) -> None:
        self.wants = 0
        self.taken: list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]] = []
        self.settle: list[Callable[[RecordMetadata | None, KafkaError | None], object]] = []
        self.error: KafkaError | None = None

    def want(self) -> None:
        self.wants += 1

    def put(
        self,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        on_delivery: Callable[[RecordMetadata | None, KafkaError | None], object],
    ) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append((value, key, headers))
        self.settle.append(on_delivery)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def appender() -> Appender:
    return Appender()


# --- topic --------------------------------------------------------------------------------------------------


def test_a_letter_keeps_the_record_and_says_where_it_came_from(appender: Appender) -> None:
    sink = TopicSink("dead", appender, MANY)
    sink.start()
    sink.take([LETTER])
    assert appender.wants == 1
    ((value, key, headers),) = appender.taken
    assert (value, key) == (b"value", b"key")
    assert list(headers) == [
        ("own", b"1"),
        ("own", None),
        ("__kproducer.errors.topic", b"t"),
        ("__kproducer.errors.partition", b"2"),
        ("__kproducer.errors.timestamp", b"1700000000000"),
        ("__kproducer.errors.code", b"87"),
        ("__kproducer.errors.exception.name", b"InvalidRecordError"),
        ("__kproducer.errors.exception.message", b"no key"),
        ("__kproducer.errors.persisted", b"no"),
    ]


def test_letters_are_pending_until_they_have_an_outcome(appender: Appender) -> None:
    sink = TopicSink("dead", appender, MANY)
    sink.take([LETTER, LETTER])
    assert sink.is_pending
    appender.settle[0](RecordMetadata("dead", 0), None)
    assert (sink.is_pending, sink.written) == (True, 1)
    appender.settle[1](None, ERROR)
    assert (sink.is_pending, sink.written, sink.dropped) == (False, 1, 1)
    assert len(appender.taken) == 2  # the failed one was not sent again, nor made a letter


def test_no_more_than_max_bytes_are_in_flight(appender: Appender) -> None:
    sink = TopicSink("dead", appender, 1000)
    sink.take([LETTER] * 5)
    assert (len(appender.taken), sink.dropped) == (2, 3)
    appender.settle[0](RecordMetadata("dead", 0), None)
    sink.take([LETTER])
    assert (len(appender.taken), sink.dropped) == (3, 3)


def test_after_a_failed_append_no_letter_waits_for_a_while(appender: Appender, clock: Clock) -> None:
    sink = TopicSink("dead", appender, MANY, clock)
    appender.error = BufferExhaustedError("full")
    sink.take([LETTER])
    appender.error = None
    sink.take([LETTER, LETTER])
    assert (appender.taken, sink.dropped, sink.is_pending) == ([], 3, False)
    clock.now += 1
    sink.take([LETTER])
    assert len(appender.taken) == 1


def test_a_letter_that_is_too_large_delays_no_other(appender: Appender, clock: Clock) -> None:
    sink = TopicSink("dead", appender, MANY, clock)
    appender.error = RecordTooLargeError("too large")
    sink.take([LETTER])
    appender.error = None
    sink.take([LETTER])
    assert (len(appender.taken), sink.dropped) == (1, 1)


def test_losses_are_logged_at_most_every_ten_seconds(
    appender: Appender, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = TopicSink("dead", appender, 1, clock)
    for _ in range(1000):
        sink.take([LETTER])
    clock.now += 10
    sink.take([LETTER])
    assert [record.getMessage() for record in caplog.records] == [
        f"{count} dead letters were not written to topic dead: errors.dead.letter.queue.max.bytes=1 are in flight"
        for count in (1, 1000)
    ]
    sink.take([LETTER])
    sink.close()
    assert caplog.records[-1].getMessage().startswith("1 dead letters")
    assert sink.dropped == 1002


def test_nothing_raises_after_the_end(appender: Appender) -> None:
    sink = TopicSink("dead", appender, MANY)
    appender.error = ProducerClosedError("closed")
    sink.take([LETTER])
    sink.close()
    sink.take([LETTER])
    assert sink.dropped == 2


def test_a_failure_without_a_code_has_a_null_header() -> None:
    headers = dict(headers_of(LETTER._replace(error=KafkaError("odd"))))
    assert headers["__kproducer.errors.code"] is None


# --- file ---------------------------------------------------------------------------------------------------


def lines_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead.ndjson"


def test_a_line_holds_the_record_and_the_error(path: Path) -> None:
    sink = FileSink(str(path), MANY)
    sink.take([LETTER, LETTER._replace(key=None, value=b"\xff\x00", headers=())])
    sink.close()
    first, second = lines_in(path)
    assert first == {
        "topic": "t",
        "partition": 2,
        "timestamp_ms": 1_700_000_000_000,
        "key": base64.b64encode(b"key").decode(),
        "key_text": "key",
        "value": base64.b64encode(b"value").decode(),
        "value_text": "value",
        "headers": [{"name": "own", "value": "MQ==", "value_text": "1"}, {"name": "own", "value": None}],
        "error": "InvalidRecordError",
        "error_name": "INVALID_RECORD",
        "code": 87,
        "message": "no key",
        "persisted": "no",
        "attempts": 1,
        "broker": 1,
    }
    assert (second["key"], second["value"], second["headers"]) == (None, "/wA=", [])
    assert "value_text" not in second
    assert (sink.written, sink.dropped, sink.is_pending) == (2, 0, False)


@pytest.mark.parametrize("text", ["", "плюс", 'a "quoted"\n\tline', "\u2028", "\x1b[31m", "\x00"])
def test_every_text_makes_exactly_one_line(text: str) -> None:
    line = line_of(LETTER._replace(value=text.encode(), error=InvalidRecordError(text)))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert base64.b64decode(found["value"]).decode() == text
    assert found.get("value_text", text) == text


def test_control_characters_are_not_shown_as_text() -> None:
    assert "value_text" not in json.loads(line_of(LETTER._replace(value=b"\x1b[31m")))


def test_lines_are_appended_and_a_torn_one_is_ended_first(path: Path) -> None:
    path.write_bytes(b'{"torn":')
    sink = FileSink(str(path), MANY)
    sink.take([LETTER])
    sink.close()
    again = FileSink(str(path), MANY)
    again.take([LETTER])
    again.close()
    torn, *whole = path.read_bytes().splitlines()
    assert torn == b'{"torn":'
    assert [json.loads(line)["partition"] for line in whole] == [2, 2]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_new_file_is_its_owners_alone(path: Path) -> None:
    FileSink(str(path), MANY).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_grows_by_max_bytes_and_no_more(path: Path) -> None:
    path.write_bytes(b"\n" * 5000)
    limit = len(line_of(LETTER)) * 2 + 10
    sink = FileSink(str(path), limit)
    sink.take([LETTER] * 3)
    sink.take([LETTER._replace(value=None)])
    sink.close()
    assert (sink.written, sink.dropped) == (2, 2)
    assert path.stat().st_size - 5000 <= limit


@pytest.mark.parametrize("name", ["absent/dead.ndjson", "."])
def test_a_file_that_cannot_be_opened_is_a_wrong_configuration(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be opened for writing"):
        FileSink(str(tmp_path / name), MANY)


def test_a_full_disk_costs_the_letters_and_leaves_whole_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FileSink(str(path), MANY)
    write = os.write
    calls = 0

    def half_then_full(fd: int, data: bytes | memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half_then_full)
    sink.take([LETTER])
    monkeypatch.undo()
    sink.take([LETTER])
    sink.close()
    assert (sink.written, sink.dropped) == (1, 1)
    assert json.loads(path.read_bytes().splitlines()[-1])["partition"] == 2
    assert "No space left on device" in caplog.text
