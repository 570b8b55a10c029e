"""The parts of the demo: events, the check of what came back, and the report."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Self

import pytest

from kproducer.cli import demo, main
from kproducer.cli.demo_check import Checker, Message, murmur2, partition_of
from kproducer.cli.demo_events import event_id, event_key, generate_events
from tests.unit.cli.fake_producer import FakeProducer

PARTITIONS = 6


class Record:
    """A message as confluent-kafka gives it."""

    def __init__(self, key: bytes | None, value: bytes | None, partition: int) -> None:
        self._fields = (key, value, partition)

    def key(self) -> bytes | None:
        return self._fields[0]

    def value(self) -> bytes | None:
        return self._fields[1]

    def partition(self) -> int:
        return self._fields[2]

    def error(self) -> None:
        return None


def sent_records(count: int) -> tuple[Checker, list[Message]]:
    """A checker that expects some events, and the messages which a good producer makes of them."""
    [block] = generate_events(count)
    checker = Checker(PARTITIONS)
    checker.expect(block.values)
    pairs = zip(block.keys, block.values, strict=True)
    return checker, [Record(key, value, partition_of(key, PARTITIONS)) for key, value in pairs]


def test_events_are_json_with_their_id_and_user_where_the_check_looks() -> None:
    [block] = generate_events(500)

    for number, (key, value) in enumerate(zip(block.keys, block.values, strict=True)):
        document = json.loads(value)
        assert event_id(value) == number == int(document["id"])
        assert event_key(value) == key == document["user"].encode()
    assert {json.loads(value)["type"] for value in block.values} == {"click", "order", "user"}


def test_events_are_the_same_for_the_same_seed_whatever_the_number() -> None:
    [first], [second], [other] = generate_events(50), generate_events(50), generate_events(50, seed=2)

    assert first.values == second.values
    assert first.values != other.values


def test_blocks_add_up_and_continue_the_ids() -> None:
    blocks = list(generate_events(250, block_size=100))

    assert [len(block.values) for block in blocks] == [100, 100, 50]
    assert event_id(blocks[2].values[0]) == 200
    assert sum(sum(block.kinds.values()) for block in blocks) == 250


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_numbers_of_kafkas_own_tests(key: bytes, value: int) -> None:
    assert murmur2(key) == value & 0xFFFFFFFF


def test_a_faithful_return_has_clean_findings() -> None:
    checker, records = sent_records(1000)

    checker.see(records)

    assert checker.findings().are_clean
    assert checker.seen == 1000


def test_a_missing_record_is_lost() -> None:
    checker, records = sent_records(100)

    checker.see(records[:-1])

    assert checker.findings().lost == 1


def test_a_repeated_record_is_duplicated_and_nothing_else() -> None:
    checker, records = sent_records(100)

    checker.see([*records, records[0]])

    findings = checker.findings()
    assert (findings.duplicated, findings.lost, findings.disordered) == (1, 0, 0)


@pytest.mark.parametrize("change", ["value", "key", "null", "number"])
def test_a_changed_record_is_altered_and_lost(change: str) -> None:
    checker, records = sent_records(100)
    key, value = records[5].key(), records[5].value()
    assert key is not None
    assert value is not None
    changed = {
        "value": Record(key, value.replace(b"ts", b"tz"), 0),
        "key": Record(b"user-999999", value, 0),
        "null": Record(key, None, 0),
        "number": Record(key, b"x" * len(value), 0),
    }[change]

    checker.see([*records[:5], changed, *records[6:]])

    findings = checker.findings()
    assert (findings.altered, findings.lost) == (1, 1)


def test_two_records_of_one_key_in_the_wrong_order_are_disordered() -> None:
    checker, records = sent_records(2000)
    key = records[0].key()
    of_one_key = [record for record in records if record.key() == key]
    assert len(of_one_key) > 1

    checker.see(reversed(of_one_key))

    assert checker.findings().disordered == len(of_one_key) - 1


def test_a_record_in_another_partition_is_misplaced() -> None:
    checker, records = sent_records(100)
    home = records[0].partition()
    assert home is not None
    stray = Record(records[0].key(), records[0].value(), home + 1)

    checker.see([stray, *records[1:]])

    assert checker.findings().misplaced == 1


class FakeCluster:
    """Takes the place of real Kafka: remembers whether it was stopped."""

    is_running = False
    bootstrap_servers = "host:1"

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __enter__(self) -> Self:
        type(self).is_running = True
        return self

    def __exit__(self, *_: object) -> None:
        type(self).is_running = False

    def create_topic(self, name: str, partitions: int) -> None:
        assert partitions == PARTITIONS


class FakeConsumer:
    """Reads what a fake producer was given, as a faithful broker would hand it out."""

    def __init__(self, producer: FakeProducer, lost: int = 0) -> None:
        values = producer.values[lost:]
        keys = producer.keys[lost:]
        self._records = [
            Record(key, value, partition_of(key or b"", PARTITIONS))
            for key, value in zip(keys, values, strict=True)
        ]

    def get_watermark_offsets(self, partition: int, timeout: float) -> tuple[int, int]:
        return 0, sum(record.partition() == partition for record in self._records)

    def assign(self, _partitions: list[int]) -> None:
        pass

    def consume(self, count: int, _timeout: float) -> Iterator[Record]:
        taken, self._records = self._records[:count], self._records[count:]
        return iter(taken)

    def close(self) -> None:
        pass


def run_demo(
    monkeypatch: pytest.MonkeyPatch, producer: FakeProducer, lost: int = 0, records: int = 1000
) -> int:
    confluent: Any = types.ModuleType("confluent_kafka")
    confluent.Consumer = lambda _config: FakeConsumer(producer, lost)
    confluent.TopicPartition = lambda _topic, number, _offset: number
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", confluent)
    monkeypatch.setattr(demo, "KafkaCluster", FakeCluster)
    return main(["demo", "--records", str(records)], producer_factory=producer)


def test_a_faithful_run_prints_a_table_and_exits_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(monkeypatch, FakeProducer()) == 0

    table = capsys.readouterr().out
    assert "1,000 events through Apache Kafka and back" in table
    assert "1,000 of 1,000, key and value byte for byte" in table
    assert "✘" not in table
    assert len({len(line) for line in table.splitlines()}) == 1
    assert not FakeCluster.is_running


def test_a_lost_record_is_shown_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_READ_TIMEOUT_S", 0.01)

    assert run_demo(monkeypatch, FakeProducer(), lost=1) == 1
    assert "✘  999 of 1,000" in capsys.readouterr().out


def test_a_missing_extra_is_one_sentence_with_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)

    assert main(["demo"], producer_factory=FakeProducer()) == 1
    assert capsys.readouterr().err == (
        "kproducer: kproducer demo needs the package confluent-kafka: pip install 'kproducer[demo]'\n"
    )


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_wrong_number_of_records_is_a_usage_error(number: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--records", number])

    assert caught.value.code == 2
