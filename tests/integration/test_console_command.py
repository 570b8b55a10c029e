"""`kproducer console` and Kafka's ConsoleProducer over the same input: the topics hold the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kproducer.testing import KafkaCluster
from tests.integration.java_tools import run_java_tool
from tests.integration.readback import new_topic, read_all

PARTITIONS = 3
CONSOLE = (sys.executable, "-m", "kproducer.cli", "console")

Content = list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool left behind: partition, key, value and headers of each record, by partition and offset."""

    code: int
    content: Content
    errors: str


def console(*arguments: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CONSOLE, *arguments], input=data, capture_output=True, timeout=100, check=False)


def java_console(*arguments: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return run_java_tool("ConsoleProducer", *arguments, data=data)


def outcome(
    kafka: KafkaCluster, tool: Callable[..., Any], partitions: int, data: bytes, *arguments: str
) -> Outcome:
    topic = new_topic()
    kafka.create_topic(topic, partitions)
    done = tool("--bootstrap-server", kafka.bootstrap_servers, "--topic", topic, *arguments, data=data)
    seen = read_all(kafka.bootstrap_servers, topic, partitions)
    content = [(record.partition, record.key, record.value, record.headers) for record in seen]
    return Outcome(done.returncode, content, done.stderr.decode())


def reader(*properties: str) -> list[str]:
    return [text for name in properties for text in ("--reader-property", name)]


PLAIN = "\n\n b \nc\r\nd\re\n\ufeffbom\nna\u00efve \U0001f600\t:\nno newline at the end".encode()
KEYED = (
    "".join(f"key-{n % 500}=>value {n}\n" for n in range(5000)).encode()
    + "=>v\nk=>\n=>\nna\u00efve=>a=>b\n".encode()
)
RICH = (
    b"h1:v1,h2:a:b\tk\tv\twith a tab\n"
    b"h:1,h:2,h:\t\t\n"
    b",:x,,\tno pair\tv\n"
    b"\tk\tempty headers\n"
    b"NULL\tNULL\tNULL\n"
    b"h:NULL,g:NULLs\tk\tNULL\n"
    b"h:1\tkey is missing\n"
    b"nothing at all\n"
    b"\n"
)
REGEX = b"a:1;b:2,c:3\tv\n;a:1\tleading\na:1,;\ttrailing\n"
CASES = {
    "plain": (1, PLAIN, []),
    "keyed": (PARTITIONS, KEYED, reader("parse.key=true", "key.separator==>")),
    "rich": (
        1,
        RICH,
        reader("parse.key=true", "parse.headers=true", "null.marker=NULL", "ignore.error=true"),
    ),
    "regex": (1, REGEX, reader("parse.headers=true", "headers.separator=[;,]", "ignore.error=TRUE")),
    "sync": (1, b"a\nb\n\n", ["--sync", "--compression-codec", "lz4"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_topic_holds_what_kafkas_own_tool_writes(kafka: KafkaCluster, case: str) -> None:
    partitions, data, arguments = CASES[case]

    theirs = outcome(kafka, java_console, partitions, data, *arguments)
    ours = outcome(kafka, console, partitions, data, *arguments)

    assert theirs.content
    assert ours.content == theirs.content
    assert (ours.code, theirs.code) == (0, 0), ours.errors


@pytest.mark.parametrize(
    ("properties", "data"),
    [
        (("parse.key=true", "key.separator=:"), b"a:1\nb:2\nsecret\nc:3\n"),
        (("parse.key=true", "parse.headers=true"), b"h:1\tk\tv\nsecret\tk\tv\nh:1\tk\tv\n"),
    ],
)
def test_a_missing_separator_ends_both_tools_at_the_same_line(
    kafka: KafkaCluster, properties: tuple[str, ...], data: bytes
) -> None:
    theirs = outcome(kafka, java_console, 1, data, *reader(*properties))
    ours = outcome(kafka, console, 1, data, *reader(*properties))

    assert ours.content == theirs.content
    assert (ours.code, theirs.code) == (1, 1)
    message = ours.errors.removeprefix("kproducer console: ").partition(" found")[0]
    assert f"{message} found" in theirs.errors
    assert "secret" not in ours.errors


def test_a_properties_file_made_for_kafkas_tool_is_taken(kafka: KafkaCluster, tmp_path: Path) -> None:
    path = tmp_path / "producer.properties"
    path.write_text(
        "# Java's rules\ncompression.type: zstd\nlinger.ms=\\\n    1\n! no entry\nclient.id na\\u00efve\n"
        "key.serializer=org.apache.kafka.common.serialization.StringSerializer\n"
    )

    for flag in ("--producer.config", "--command-config"):
        ours = outcome(kafka, console, 1, b"a\n", flag, str(path))

        assert ours == Outcome(0, [(0, None, b"a", ())], "")


def test_bytes_that_are_no_utf_8_stay_as_they_are(kafka: KafkaCluster) -> None:
    ours = outcome(kafka, console, 1, b"\xff\xfe:\x80\n", *reader("parse.key=true", "key.separator=:"))

    assert ours.content == [(0, b"\xff\xfe", b"\x80", ())]


def test_a_record_that_the_broker_refuses_is_told_while_the_input_goes_on(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic, 1)
    allowed = ["--command-property", "max.request.size=20000000", "--max-memory-bytes", "33554432"]
    with subprocess.Popen(
        [*CONSOLE, "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic, *allowed],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"x" * 2_000_000 + b"\n")
        child.stdin.flush()
        line = child.stderr.readline()  # the input is still open
        child.stdin.write(b"after\n")
        child.stdin.close()

        assert child.wait(60) == 1
    assert b"1 record was not delivered: RecordTooLargeError" in line
    assert [record.value for record in read_all(kafka.bootstrap_servers, topic)] == [b"after"]


def test_a_line_goes_out_at_once_and_ctrl_c_delivers_the_rest(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic, 1)
    with subprocess.Popen(
        [*CONSOLE, "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b"first\nunfinished")
        child.stdin.flush()
        values = wait_for_values(kafka, topic, 1)
        os.kill(child.pid, signal.SIGINT)

        assert child.wait(60) == 130
    assert values == [b"first"]
    assert [record.value for record in read_all(kafka.bootstrap_servers, topic)] == [b"first"]


def wait_for_values(kafka: KafkaCluster, topic: str, count: int) -> list[bytes | None]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        seen = read_all(kafka.bootstrap_servers, topic)
        if len(seen) >= count:
            return [record.value for record in seen]
        time.sleep(0.1)
    raise AssertionError(f"{topic} has fewer than {count} records")
