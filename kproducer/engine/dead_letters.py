"""Where records go that a broker refused for good: a topic or a file of JSON lines. Runs on the delivery thread.

Nothing here is recursive: what cannot be written is counted and logged, and that is its end.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from kproducer._core.accumulator import LetterAppender
from kproducer._core.letters import DeadLetter, LetterSink
from kproducer._core.pump import Pump
from kproducer.config import ProducerConfig
from kproducer.errors import ConfigError, KafkaError, RecordTooLargeError
from kproducer.types import RecordMetadata

logger = logging.getLogger(__name__)

# Named after Kafka Connect's `__connect.errors.` (KIP-298) and Kafka Streams' `__streams.errors.` (KIP-1034).
HEADER_PREFIX: Final = "__kproducer.errors."

_LOG_EVERY_S: Final = 10.0
_PATIENCE_MS: Final = 5_000  # for metadata and memory: more would hold up the callbacks behind
_PAUSE_S: Final = 1.0  # after an append that failed: else each letter would wait as long
_HEADERS_BYTES: Final = 400  # about what the headers of a letter add
_OWNER_ONLY: Final = 0o600  # the file holds payloads


class DeadLetters(LetterSink, Protocol):
    """A sink with a life and counts.

    written: letters acknowledged, or in the file. dropped: letters that were not.
    """

    @property
    def written(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    def start(self) -> None:
        """Begin; the pump runs."""
        ...

    def close(self) -> None:
        """End; the delivery thread has ended."""
        ...


def make_dead_letters(
    config: ProducerConfig, pump: Pump, explain_topic: Callable[[str], KafkaError | str | None]
) -> DeadLetters | None:
    """Return the sink that the configuration asks for, None for none.

    explain_topic: topic name -> why it has no metadata.

    Raises:
        ConfigError: the file cannot be opened.
    """
    max_bytes = config.errors_dead_letter_queue_max_bytes
    if config.errors_dead_letter_queue_topic_name is not None:
        appender = LetterAppender()
        patience_ms = min(config.max_block_ms, _PATIENCE_MS)
        topic = config.errors_dead_letter_queue_topic_name
        appender.open(pump, topic, patience_ms, explain_topic, lambda: "dead letters do not wait longer")
        return TopicSink(topic, appender, max_bytes)
    if config.errors_dead_letter_queue_file is not None:
        return FileSink(config.errors_dead_letter_queue_file, max_bytes)
    return None


class _Losses:
    """Counts dropped letters and logs them, but not each."""

    def __init__(self, place: str, clock: Callable[[], float]) -> None:
        self.count = 0
        self._place = place
        self._clock = clock
        self._unsaid = 0
        self._silent_until = 0.0

    def add(self, count: int, reason: object) -> None:
        """Count letters that are lost for a reason."""
        self.count += count
        self._unsaid += count
        if self._clock() >= self._silent_until:
            self.say(reason)

    def say(self, reason: object) -> None:
        """Log what was not logged yet."""
        if self._unsaid:
            logger.warning("%d dead letters were not written to %s: %s", self._unsaid, self._place, reason)
            self._unsaid = 0
            self._silent_until = self._clock() + _LOG_EVERY_S


# --- topic --------------------------------------------------------------------------------------------------


class LetterProducer(Protocol):
    """What appends letters to their topic; see `_core.accumulator.LetterAppender`."""

    def want(self) -> None: ...
    def put(
        self,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        on_delivery: Callable[[RecordMetadata | None, KafkaError | None], object],
    ) -> None: ...


class TopicSink:
    """Sends letters as records of a topic: key, value and headers of the original, and where it came from.

    Args:
        topic: name, for messages.
        appender: takes the letters; raises KafkaError at once or after a bounded wait.
        max_bytes: of letters without an acknowledgement.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        topic: str,
        appender: LetterProducer,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.written = 0
        self._appender: LetterProducer | None = appender
        self._max_bytes = max_bytes
        self._clock = clock
        self._losses = _Losses(f"topic {topic}", clock)
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._paused_until = 0.0

    @property
    def dropped(self) -> int:
        """Letters that are lost."""
        return self._losses.count

    @property
    def is_pending(self) -> bool:
        """Whether letters have no outcome yet."""
        return self._in_flight > 0

    def start(self) -> None:
        """Ask for the topic's metadata early."""
        if self._appender is not None:
            self._appender.want()

    def close(self) -> None:
        """Let the core go, which the appender holds."""
        self._appender = None
        self._losses.say("the producer is closed")

    def take(self, letters: Sequence[DeadLetter]) -> None:
        """Append letters in order."""
        for letter in letters:
            try:
                self._put(letter)
            except KafkaError as error:
                self._losses.add(1, error)
                if not isinstance(error, RecordTooLargeError):
                    self._paused_until = self._clock() + _PAUSE_S

    def _put(self, letter: DeadLetter) -> None:
        size = _size_of(letter)
        if self._clock() < self._paused_until:
            self._losses.add(1, "another one could not be sent a moment ago")
        elif self._in_flight_bytes + size > self._max_bytes:
            self._losses.add(1, f"errors.dead.letter.queue.max.bytes={self._max_bytes} are in flight")
        elif self._appender is None:
            self._losses.add(1, "the producer is closed")
        else:
            self._appender.put(letter.value, letter.key, headers_of(letter), partial(self._settled, size))
            self._in_flight += 1
            self._in_flight_bytes += size

    def _settled(self, size: int, metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        self._in_flight_bytes -= size
        if error is None:
            self.written += 1
        else:
            self._losses.add(1, error)
        self._in_flight -= 1


def headers_of(letter: DeadLetter) -> tuple[tuple[str, bytes | None], ...]:
    """Return the headers of a letter: those of the record, then ours; numbers are decimal text."""
    error = letter.error
    facts = (
        ("topic", letter.topic),
        ("partition", letter.partition),
        ("timestamp", letter.timestamp_ms),
        ("code", error.code),
        ("exception.name", type(error).__name__),
        ("exception.message", error.message),
        ("persisted", error.persisted),
    )
    ours = tuple((HEADER_PREFIX + name, None if fact is None else str(fact).encode()) for name, fact in facts)
    return letter.headers + ours


def _size_of(letter: DeadLetter) -> int:
    size = len(letter.key or b"") + len(letter.value or b"") + len(letter.error.message) + _HEADERS_BYTES
    return size + sum(len(name) + len(value or b"") for name, value in letter.headers)


# --- file ---------------------------------------------------------------------------------------------------


class FileSink:
    """Appends letters to a file, a JSON object on each line, with one write for each list.

    Args:
        path: made if need be, readable by its owner only.
        max_bytes: by which the file may grow.
        clock: seconds of a monotonic clock.

    Raises:
        ConfigError: the file cannot be opened for writing.
    """

    is_pending = False

    def __init__(self, path: str, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.written = 0
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._losses = _Losses(f"file {path}", clock)
        try:
            self._is_torn = _ends_in_a_line(Path(path))
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_TRANSLATION, _OWNER_ONLY)
        except OSError as error:
            raise ConfigError(
                f"errors.dead.letter.queue.file={path!r} cannot be opened for writing: {error.strerror}"
            ) from error

    @property
    def dropped(self) -> int:
        """Letters that are lost."""
        return self._losses.count

    def start(self) -> None:
        """Nothing: the file is open."""

    def close(self) -> None:
        """Close the file."""
        self._losses.say("the producer is closed")
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def take(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters in order, as many as there is room for."""
        lines: list[bytes] = []
        for letter in letters:
            line = line_of(letter)
            if len(line) > self._room:
                reason = f"it grew by errors.dead.letter.queue.max.bytes={self._max_bytes}"
                self._losses.add(len(letters) - len(lines), reason)
                self._room = 0  # no smaller one overtakes a larger one
                break
            self._room -= len(line)
            lines.append(line)
        if lines:
            self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        data = memoryview(b"\n" * self._is_torn + b"".join(lines))
        try:
            while data:  # a file system that fills up writes a part
                self._is_torn = True
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._losses.add(len(lines), error.strerror)
        else:
            self._is_torn = False
            self.written += len(lines)


_NO_TRANSLATION: Final = getattr(os, "O_BINARY", 0)  # Windows would write two bytes for each line's end


def _ends_in_a_line(path: Path) -> bool:
    """Tell whether a file was left in the middle of a line: whoever wrote it was killed, or had no room."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def line_of(letter: DeadLetter) -> bytes:
    """Return the line of a letter: bytes as base64, and as text too where they are clean UTF-8."""
    error = letter.error
    fields = {
        "topic": letter.topic,
        "partition": letter.partition,
        "timestamp_ms": letter.timestamp_ms,
        **_field("key", letter.key),
        **_field("value", letter.value),
        "headers": [{"name": name, **_field("value", value)} for name, value in letter.headers],
        "error": type(error).__name__,
        "error_name": error.name,
        "code": error.code,
        "message": error.message,
        "persisted": error.persisted,
        "attempts": error.attempts,
        "broker": error.broker,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _field(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    found: dict[str, str | None] = {name: base64.b64encode(data).decode("ascii")}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return found
    if text.isprintable() or all(c.isprintable() or c in "\t\r\n" for c in text):
        found[f"{name}_text"] = text
    return found
