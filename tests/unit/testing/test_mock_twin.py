"""MockProducer and KafkaProducer side by side: the same calls give the same results and the same errors."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from kproducer import (
    ConfigError,
    ConsumerGroupMetadata,
    Headers,
    Interceptor,
    KafkaError,
    KafkaProducer,
    KafkaTimeoutError,
    OffsetAndMetadata,
    ProducerRecord,
    RecordFuture,
    RecordMetadata,
    SendManyResult,
    TopicPartition,
)
from kproducer.partitioners import PARTITIONERS, RoundRobinPartitioner
from kproducer.testing import MockProducer, MockRecordFuture, MockSendManyResult
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.bad_input.records import BAD_RECORDS

Call: TypeAlias = Callable[[KafkaProducer], object]

TOPICS = {"t": 3, "one": 1}
COLUMN = memoryview(b"aabbcc").cast("B", [3, 2])
QUICK = {"max_block_ms": 10_000, "linger_ms": 0}


@pytest.fixture(scope="module")
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        for topic, partitions in TOPICS.items():
            broker.cluster.create_topic(topic, [1] * partitions)
        yield broker


@pytest.fixture
def make_both(broker: ScriptedBroker) -> Iterator[Callable[..., tuple[KafkaProducer, MockProducer]]]:
    """Makes the two of one configuration."""
    made: list[KafkaProducer] = []

    def make(**config: Any) -> tuple[KafkaProducer, MockProducer]:
        settings = {"bootstrap_servers": str(broker.address)} | QUICK | config
        real, mock = KafkaProducer(**settings), MockProducer(settings, partitions=TOPICS)
        made.extend((real, mock))
        return real, mock

    yield make
    for producer in made:
        try:
            producer.close(0)
        except KafkaError:
            pass  # what the test left undelivered


def told(call: Call, producer: KafkaProducer) -> object:
    """What a call returned or raised, in a form that two producers share."""
    try:
        result = call(producer)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other has to raise it too
        partial = getattr(error, "partial_result", None)
        facts = {
            name: value
            for name, value in vars(error).items()
            if name not in ("partial_result", "elapsed_ms", "__notes__")
        }
        notes = getattr(error, "__notes__", [])
        return type(error), str(error), facts, notes, partial and partial.count
    if isinstance(result, RecordFuture):
        return result.result(10)
    if isinstance(result, SendManyResult):
        return result.wait(10).count, result.failed, result.first_error, set(result.offsets)
    return result


# --- the interface ----------------------------------------------------------------------------------------------


def public(cls: type) -> dict[str, Any]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    """The parameters; `self` alone may be positional only, as that of a method in C is."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]


@pytest.mark.parametrize(
    ("real", "mock"),
    [(KafkaProducer, MockProducer), (RecordFuture, MockRecordFuture), (SendManyResult, MockSendManyResult)],
    ids=["producer", "future", "result"],
)
def test_the_mock_has_every_public_name_with_its_signature(real: type, mock: type) -> None:
    # Made of public calls alone, so that the real one's serves both.
    composed = {"transaction", "from_env", "from_properties"} if real is KafkaProducer else set()
    for name, member in public(real).items():
        if name not in composed:
            assert name in vars(mock), f"{mock.__name__} inherits {name}, which needs a broker"
        if callable(member):
            assert shape(getattr(mock, name)) == shape(member), name
        else:
            assert not callable(getattr(mock, name)), name


def test_the_mock_is_made_as_a_producer_is() -> None:
    ours, theirs = shape(MockProducer), shape(KafkaProducer)
    assert [p for p in ours if p[0] not in ("auto_complete", "partitions")] == theirs
    assert isinstance(MockProducer(), KafkaProducer)


# --- calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_RECORDS)
@pytest.mark.parametrize("call", ["send", "produce"])
def test_bad_arguments_are_refused_with_the_same_words(make_both: Any, name: str, call: str) -> None:
    bad = BAD_RECORDS[name].arguments

    def send(producer: KafkaProducer) -> object:
        arguments = {key: value() if inspect.isfunction(value) else value for key, value in bad.items()}
        return getattr(producer, call)(**{"topic": "t", "value": b"v", **arguments})

    real, mock = make_both()
    expected = told(send, real)
    assert isinstance(expected, tuple)
    assert told(send, mock) == expected
    assert mock.history == []


GOOD_CALLS: dict[str, Call] = {
    "all parts": lambda p: p.send("t", b"v", b"k", [("h", b"1"), ("h", None)], 2, 1234),
    "nulls": lambda p: p.send("t", None, None, partition=0, timestamp_ms=1),
    "empties": lambda p: p.send("t", b"", b"", {}, partition=0, timestamp_ms=1),
    "buffers": lambda p: p.send("t", bytearray(b"v"), memoryview(b"key"), timestamp_ms=1),
    "ints as a buffer": lambda p: p.send("one", memoryview(struct.pack("3i", 1, 2, 3)).cast("i"), timestamp_ms=1),
    "a record": lambda p: p.send(ProducerRecord("t", b"v", b"k", [("a", b"1")], None, 5)),
    "by key": lambda p: [p.send("t", b"v", b"key-%d" % n, timestamp_ms=1).result(10)[:2] for n in range(50)],
    "produce": lambda p: p.produce("t", b"v"),
    "send_many": lambda p: p.send_many("t", [b"1", None, bytearray(b"3")], [b"a", b"b", None], partition=1),
    "send_many of nothing": lambda p: p.send_many("t", []),
    "send_many of a bad topic and nothing": lambda p: p.send_many("", []),
    "send_many of columns": lambda p: p.send_many("t", COLUMN, COLUMN, [("h", b"1")], 1, 77),
    "send_many of a column and a list": lambda p: p.send_many("t", memoryview(b"ab"), [b"k", b"l"]),
    "send_columns": lambda p: p.send_columns("t", COLUMN, COLUMN, None, memoryview(b"\0" * 12).cast("i"), 77),
    "send_columns, what became of it": lambda p: [
        len(p.send_columns("one", COLUMN).base_offsets()), p.send_columns("one", COLUMN).failed_rows(),
    ],
    "send_lines": lambda p: p.send_lines("one", b"a\nb\n\nc"),
    "send_lines of nothing": lambda p: p.send_lines("one", b""),
    "send_lines that ends in a newline": lambda p: p.send_lines("one", memoryview(b"a\n\n")),
    "flush": lambda p: p.flush(10),
    "flush for ever": lambda p: p.flush(1e300),
}  # fmt: skip
WRONG_CALLS: dict[str, Call] = {
    "partitions of a number": lambda p: p.partitions_for(5),  # type: ignore[arg-type]
    "partitions of a bad name": lambda p: p.partitions_for("a b"),
    "fewer keys": lambda p: p.send_many("t", [b"1", b"2"], [b"a"]),
    "more keys": lambda p: p.send_many("t", [b"1"], [b"a", b"b"]),
    "a bad value in the middle": lambda p: p.send_many("t", [b"1", 2, b"3"]),
    "keys that are none": lambda p: p.send_many("t", [b"1"], 5),  # type: ignore[arg-type]
    "values that are none": lambda p: p.send_many("t", 5),  # type: ignore[arg-type]
    "a column of bytes": lambda p: p.send_columns("t", b"abc"),
    "a column of one dimension": lambda p: p.send_columns("t", memoryview(b"abc")),
    "a longer column": lambda p: p.send_columns("t", COLUMN, memoryview(b"abcdef").cast("H")[1:]),
    "a column to nowhere": lambda p: p.send_columns("", COLUMN),
    "a column of bad headers": lambda p: p.send_columns("t", COLUMN, headers=[("h", 1)]),  # type: ignore[list-item]
    "a column of a bad partition": lambda p: p.send_columns("t", COLUMN, partitions=-1),
    "a row too large": lambda p: p.send_columns("t", memoryview(bytes(1048576 * 2)).cast("B", [2, 1048576])),
    "lines of text": lambda p: p.send_lines("t", "text"),  # type: ignore[arg-type]
    "lines not contiguous": lambda p: p.send_lines("t", memoryview(b"abcdef")[::2]),
    "lines to nowhere": lambda p: p.send_lines("", b""),
    "lines of bad headers": lambda p: p.send_lines("t", b"a\nb", headers=[("h", 1)]),  # type: ignore[list-item]
    "lines of a bad partition": lambda p: p.send_lines("t", b"", partition=-1),
    "a line too large": lambda p: p.send_lines("t", b"a\n" + bytes(1048576)),
    "flush negative": lambda p: p.flush(-1),
    "flush NaN": lambda p: p.flush(float("nan")),
    "flush text": lambda p: p.flush("1"),  # type: ignore[arg-type]
    "flush bool": lambda p: p.flush(True),
    "close negative": lambda p: p.close(-1),
    "future negative": lambda p: p.send("t", b"v").result(-1),
    "future text": lambda p: p.send("t", b"v").exception("1"),  # type: ignore[arg-type]
    "future callback": lambda p: p.send("t", b"v").add_done_callback(5),  # type: ignore[arg-type]
    "result negative": lambda p: p.send_many("t", [b"v"]).wait(-1),
    "no transactional.id": lambda p: p.begin_transaction(),
    "no transactional.id, with": lambda p: p.transaction().__enter__(),
    "init without transactional.id": lambda p: p.init_transactions(1),
    "init negative": lambda p: p.init_transactions(-1),
    "offsets by text": lambda p: p.send_offsets_to_transaction({"t": 1}, "g"),  # type: ignore[dict-item]
    "offsets of a bad topic": lambda p: p.send_offsets_to_transaction({TopicPartition("", 1): 1}, "g"),
    "offsets of no partition": lambda p: p.send_offsets_to_transaction({("t", "1"): 1}, "g"),  # type: ignore[dict-item]
    "offsets of partition -1": lambda p: p.send_offsets_to_transaction({TopicPartition("t", -1): 1}, "g"),
    "offset text": lambda p: p.send_offsets_to_transaction({TopicPartition("t", 1): "1"}, "g"),  # type: ignore[dict-item]
    "offset bool": lambda p: p.send_offsets_to_transaction({TopicPartition("t", 1): True}, "g"),
    "offset negative": lambda p: p.send_offsets_to_transaction({TopicPartition("t", 1): -1}, "g"),
    "position negative": lambda p: p.send_offsets_to_transaction(
        {TopicPartition("t", 1): OffsetAndMetadata(-1)}, "g"
    ),
    "group None": lambda p: p.send_offsets_to_transaction({}, None),  # type: ignore[arg-type]
    "group empty": lambda p: p.send_offsets_to_transaction({}, ""),
    "group without member": lambda p: p.send_offsets_to_transaction({}, ConsumerGroupMetadata("g", 1)),
    "pickled": lambda p: p.__reduce__(),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD_CALLS)
def test_good_calls_give_the_same_result(make_both: Any, name: str) -> None:
    real, mock = make_both()
    expected, found = told(GOOD_CALLS[name], real), told(GOOD_CALLS[name], mock)
    if isinstance(expected, RecordMetadata) and isinstance(found, RecordMetadata):
        expected, found = expected._replace(offset=0), found._replace(offset=0)
    assert found == expected


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_wrong_calls_raise_the_same_error(make_both: Any, name: str) -> None:
    real, mock = make_both()
    expected = told(WRONG_CALLS[name], real)
    assert isinstance(expected, tuple)
    assert told(WRONG_CALLS[name], mock) == expected


@pytest.mark.parametrize(
    ("topic", "partition", "reason"),
    [("none", None, "has no metadata"), ("none", 5, "has no metadata"), ("t", 3, "has 3 partitions")],
)
def test_what_is_not_there_times_out_at_once(
    make_both: Any, topic: str, partition: int | None, reason: str
) -> None:
    for producer in make_both(max_block_ms=300):
        assert len(producer.partitions_for("t")) == 3
        with pytest.raises(KafkaTimeoutError, match=f"{reason}.* after max.block.ms=300") as caught:
            producer.send(topic, b"v", partition=partition)
        assert (caught.value.topic, caught.value.persisted) == (topic, "no")


def test_partitions_of_a_topic_that_is_not_there_time_out(make_both: Any) -> None:
    for producer in make_both(max_block_ms=300):
        with pytest.raises(KafkaTimeoutError, match="no metadata of topic none in time") as caught:
            producer.partitions_for("none")
        assert (caught.value.topic, caught.value.persisted) == ("none", "no")


@pytest.mark.parametrize("size", range(-2, 3))
@pytest.mark.parametrize("headers", [None, [("h", b"x" * 70)], {f"h{n}": None for n in range(70)}])
def test_the_largest_record_is_the_same(make_both: Any, size: int, headers: Any) -> None:
    settings = {"max_request_size": 2_000}
    extra = 0 if headers is None else {1: 1 + 1 + 1 + 2 + 70, 70: 2 + 60 * 5 + 10 * 4}[len(headers)]

    def send(producer: KafkaProducer) -> object:
        return (
            producer.send("one", bytes(2_000 - 93 - extra + size), None, headers, timestamp_ms=1)
            .result(10)
            ._replace(offset=0)
        )

    real, mock = make_both(**settings)
    assert told(send, mock) == told(send, real)


def raises(value: Any) -> bytes:
    raise LookupError("not today")


class ByKeyLength:
    def partition(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int) -> int:
        return len(key or b"") % partition_count


STEPS: dict[str, Mapping[str, Any]] = {
    "serializers": {"value_serializer": lambda v: f"{v}".encode(), "key_serializer": lambda k: k and k * 2},
    "a value serializer that raises": {"value_serializer": raises},
    "a key serializer that raises": {"key_serializer": raises},
    "a serializer of text": {"value_serializer": str},
    "a partitioner": {"partitioner_class": lambda topic, key, value, count: len(key or b"") % count},
    "a partitioner out of range": {"partitioner_class": lambda topic, key, value, count: count},
    "a partitioner of text": {"partitioner_class": lambda *_: "1"},
    "a partitioner that raises": {"partitioner_class": raises},
    "a partitioner object": {"partitioner_class": ByKeyLength()},
    "a partitioner class": {"partitioner_class": RoundRobinPartitioner},
    "no acks": {"acks": 0, "enable_idempotence": False},
}
STEP_CALLS: dict[str, Call] = {
    "send": lambda p: p.send("t", b"value", b"key", timestamp_ms=1).result(10)._replace(offset=0),
    "send to a partition": lambda p: p.send("t", b"v", b"k", None, 1, 1).result(10)._replace(offset=0),
    "send to nowhere": lambda p: p.send(5, b"v"),  # type: ignore[arg-type]
    "send_many": lambda p: p.send_many("one", [b"1", b"2"]),
    "send_lines": lambda p: p.send_lines("one", b"1\n2\n"),
    "send_columns": lambda p: p.send_columns("one", COLUMN, COLUMN),
    "send_many of a column": lambda p: p.send_many("one", memoryview(bytes(8)).cast("i"), None, None, 0),
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("call", STEP_CALLS)
def test_serializers_and_partitioners_are_called_and_judged_alike(
    make_both: Any, steps: str, call: str
) -> None:
    real, mock = make_both(**STEPS[steps])
    assert told(STEP_CALLS[call], mock) == told(STEP_CALLS[call], real)


def test_without_acks_offsets_are_not_known(make_both: Any) -> None:
    for producer in make_both(acks=0, enable_idempotence=False):
        assert producer.send("one", b"v", timestamp_ms=1).result(10) == RecordMetadata(
            "one", 0, -1, 1, 0, -1, 1
        )


# --- interceptors -----------------------------------------------------------------------------------------------


class Witness(Interceptor):
    """Notes what an interceptor is told, and in which order; `change` makes another record of one."""

    def __init__(self, change: Callable[[ProducerRecord], Any] = lambda record: record) -> None:
        self.change = change
        self.seen: list[object] = []

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        self.seen.append(("send", record))
        return self.change(record)  # type: ignore[no-any-return]  # some are wrong on purpose

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        place = metadata._replace(offset=min(metadata.offset, 0))
        self.seen.append(("outcome", place, type(error), str(error), headers))

    def close(self) -> None:
        self.seen.append("close")

    def take(self) -> list[object]:
        """What was seen since the last call: records, then outcomes, which come when they come."""
        seen, self.seen = self.seen, []
        return sorted(seen, key=lambda fact: ("send", "outcome", "c").index(fact[0]))  # type: ignore[index]


class Broken(Interceptor):
    """Raises wherever it can."""

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        raise LookupError("not today")

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        raise LookupError("not today")

    def close(self) -> None:
        raise LookupError("not today")


CHANGES: dict[str, Callable[[ProducerRecord], Any]] = {
    "nothing": lambda record: record,
    "all": lambda record: ProducerRecord("one", b"other", b"k", [("h", b"1")], 0, 5),
    "headers of a dict": lambda record: record._replace(headers={"h": b"1"}),  # type: ignore[arg-type]
    "no record": lambda record: None,
    "a bad topic": lambda record: record._replace(topic="a b"),
    "a bad value": lambda record: record._replace(value=5),
    "a bad partition": lambda record: record._replace(partition=-1),
    "too large": lambda record: record._replace(value=bytes(2_000_000), partition=1),
    "an exception": lambda record: 1 / 0,
}
INTERCEPTED: dict[str, Call] = {
    "send": lambda p: p.send("t", b"v", b"k", {"a": b"b"}, 1, 1).result(10)._replace(offset=0),
    "produce": lambda p: p.produce("t", b"v", None, None, 1, 1),
    "a record": lambda p: p.produce(ProducerRecord("t", b"v", None, [("h", None)], 1, 1)),
    "send_many": lambda p: p.send_many("t", [b"1", b"2"], [b"a", None], None, 1, 1),
    "send_lines": lambda p: p.send_lines("t", b"1\n2\n", None, 1, 1),
    "no callback": lambda p: p.send("t", b"v", on_delivery=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("call", INTERCEPTED)
def test_interceptors_see_and_hear_the_same(make_both: Any, change: str, call: str) -> None:
    first, last = Witness(CHANGES[change]), Witness()
    found = []
    for producer in make_both(interceptor_classes=[Broken(), first, last]):
        result = told(INTERCEPTED[call], producer)
        producer.flush(10)
        producer.close(10)
        producer.close(10)
        found.append((result, first.take(), last.take()))
    assert found[0] == found[1]
    assert found[0][1][-1] == "close"
    assert found[0][1].count("close") == 1


@pytest.mark.parametrize("is_raising", [False, True])
def test_an_interceptor_hears_before_the_callback(make_both: Any, is_raising: bool) -> None:
    witness = Witness()
    found = []
    for producer in make_both(interceptor_classes=[*([Broken()] if is_raising else []), witness]):
        heard: list[object] = []
        producer.produce(
            "one", b"v", timestamp_ms=1, on_delivery=lambda *_, heard=heard: heard.append(len(witness.seen))
        )
        producer.flush(10)
        found.append((heard, witness.take()))
    assert found[0] == found[1]
    assert found[0][0] == [2]


def test_interceptors_are_checked_alike(make_both: Any) -> None:
    same = Witness()
    wrong: list[Any] = [[Witness], [object()], [same, same], "com.example.Audit"]
    for classes in wrong:
        texts = []
        for make in (KafkaProducer, MockProducer):
            with pytest.raises(ConfigError) as caught:
                make(bootstrap_servers="localhost:1", interceptor_classes=classes)
            texts.append(str(caught.value).replace(repr(same), "it"))
        assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["send", "produce", "send_many", "send_lines"])
@pytest.mark.parametrize("call", ["kept", "another topic", "no header"])
def test_the_rules_of_a_bundle_hold_in_both(make_both: Any, tmp_path: Path, name: str, call: str) -> None:
    path = tmp_path / "bundle.toml"
    path.write_text('name = "b"\n[required]\nheaders = ["id"]\n[allowed]\ntopics = ["o*"]\n')
    topic = "t" if call == "another topic" else "one"
    headers = None if call == "no header" else [("id", b"1")]
    given: Any = {"send_many": [b"v"], "send_lines": b"v\n"}.get(name, b"v")

    def send(producer: KafkaProducer) -> object:
        result = getattr(producer, name)(topic, given, headers=headers, timestamp_ms=1)
        return result.result(10)._replace(offset=0) if name == "send" else result

    real, mock = make_both(bundle_file=path)
    assert told(send, mock) == told(send, real)


# --- partitioners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitioner", [name for name in PARTITIONERS if name != "random"])
def test_keys_go_where_the_core_puts_them(make_both: Any, partitioner: str) -> None:
    real, mock = make_both(partitioner=partitioner)
    for size in (1, 2, 3, 4, 5, 8, 9, 100):
        key = bytes(n * 101 % 256 for n in range(size))
        assert mock.send("t", b"", key).result(10).partition == real.send("t", b"", key).result(10).partition


@pytest.mark.parametrize("partitioner", PARTITIONERS)
@pytest.mark.parametrize("key", [None, b""])
def test_records_without_a_key_are_spread_by_the_same_partitioners(
    make_both: Any, partitioner: str, key: bytes | None
) -> None:
    real, mock = make_both(partitioner=partitioner, batch_size=0)
    spread = [
        {producer.send("t", b"v", key).result(10).partition for _ in range(30)} for producer in (real, mock)
    ]
    assert spread[0] == spread[1]


# --- life -------------------------------------------------------------------------------------------------------


AFTER_CLOSE: dict[str, Call] = {
    "send": lambda p: p.send("t", b"v"),
    "produce": lambda p: p.produce("", 5),
    "send_many": lambda p: p.send_many("t", [b"v"]),
    "send_many of nothing": lambda p: p.send_many("t", []),
    "send_lines": lambda p: p.send_lines(5, 5),  # type: ignore[arg-type]
    "send_columns": lambda p: p.send_columns(5, 5),  # type: ignore[arg-type]
    "flush": lambda p: p.flush(),
    "close": lambda p: p.close(),
    "partitions_for": lambda p: p.partitions_for("t"),
    "begin": lambda p: p.begin_transaction(),
    "with": lambda p: p.__exit__(None, None, None),
}


@pytest.mark.parametrize("name", AFTER_CLOSE)
@pytest.mark.parametrize("config", [{}, {"transactional_id": "x"}], ids=["plain", "transactional"])
def test_a_closed_producer_is_closed_to_the_same_calls(make_both: Any, name: str, config: Any) -> None:
    real, mock = make_both(**config)
    for producer in (real, mock):
        producer.close(0)
    assert told(AFTER_CLOSE[name], mock) == told(AFTER_CLOSE[name], real)


BEFORE_INIT: dict[str, Call] = {
    "begin": lambda p: p.begin_transaction(),
    "with": lambda p: p.transaction().__enter__(),
    "commit": lambda p: p.commit_transaction(),
    "abort": lambda p: p.abort_transaction(),
    "offsets": lambda p: p.send_offsets_to_transaction({TopicPartition("t", 0): 1}, "g"),
    "no offsets": lambda p: p.send_offsets_to_transaction({}, "g"),
    "send": lambda p: p.send("t", b"v"),
    "a bad record": lambda p: p.send("", 5),
    "send_many": lambda p: p.send_many("t", [b"v"]),
    "lines of a bad partition": lambda p: p.send_lines("t", b"x", partition=-1),
}


@pytest.mark.parametrize("name", BEFORE_INIT)
def test_a_transaction_has_its_order(make_both: Any, name: str) -> None:
    real, mock = make_both(transactional_id="x")
    expected = told(BEFORE_INIT[name], real)
    assert isinstance(expected, tuple)
    assert told(BEFORE_INIT[name], mock) == expected


IN_CALLBACK: dict[str, Call] = {
    "flush": lambda p: p.flush(),
    "close": lambda p: p.close(),
    "begin": lambda p: p.begin_transaction(),
    "partitions_for": lambda p: len(p.partitions_for("t")),
    "produce": lambda p: p.produce("one", b"v"),
}


@pytest.mark.parametrize("name", IN_CALLBACK)
def test_a_callback_may_call_the_same(make_both: Any, name: str) -> None:
    found = []
    for producer in make_both():
        seen: list[object] = []

        def listen(metadata: Any, error: Any, producer: Any = producer, seen: list[object] = seen) -> None:
            seen.append((error, told(IN_CALLBACK[name], producer)))

        producer.produce("t", b"v", on_delivery=listen)
        producer.flush(10)
        found.append(seen)
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_a_mock_is_made_of_the_environment_and_of_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPRODUCER_CLIENT_ID", "of the environment")
    (tmp_path / "p.properties").write_text("client.id=of a file\n")
    for mock, name in (
        (MockProducer.from_env(), "of the environment"),
        (MockProducer.from_properties(tmp_path / "p.properties"), "of a file"),
    ):
        assert mock.config.client_id == name
        assert mock.send("t", b"v").result(0).offset == 0
