"""Rules that hold while records are sent: Java's R10, R12 and R14, and those of a bundle. R11 and R13: test_send.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from kproducer import BundleViolationError, KafkaProducer
from kproducer._core.accumulator import RecordAppender
from kproducer._core.events import TxnFailed
from kproducer.config import parse_config
from kproducer.engine.runtime import make_pump
from kproducer.producer import _make_prepare
from kproducer.protocol.messages.produce import PRODUCE
from tests.fakes.scripted_broker import ScriptedBroker, Silent
from tests.unit.core.world import MakeProducer, records_of, values_of


def test_level_of_a_codec_is_used_for_that_codec_only(broker: ScriptedBroker, make: MakeProducer) -> None:
    text = bytes(range(64)) * 200
    sizes = []
    for level in (1, 9):
        producer = make(
            broker, compression_type="gzip", compression_gzip_level=level, compression_zstd_level=22
        )
        producer.send("one", text).result(10)
        with broker.cluster.lock:
            sizes.append(len(broker.cluster.topics["one"].batches[0][-1]))
    assert sizes[1] < sizes[0] < len(text)


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2, 2), (5, 3)])
def test_no_more_requests_are_unanswered_than_allowed(
    broker: ScriptedBroker, make: MakeProducer, limit: int, expected: int
) -> None:
    producer = make(
        broker,
        max_in_flight_requests_per_connection=limit,
        enable_idempotence=False,
        linger_ms=0,
        batch_size=0,
    )
    producer.partitions_for("one")
    broker.on(PRODUCE, lambda request: Silent())
    futures = [producer.send("one", b"%d" % n) for n in range(3)]
    with pytest.raises(TimeoutError):
        futures[-1].result(0.5)
    assert [request.api_key for request in broker.requests].count(PRODUCE.key) == expected


def test_an_empty_key_is_a_key_and_always_goes_to_one_partition(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, batch_size=0, linger_ms=0)
    partitions = {producer.send("t", b"", key=b"").result(10).partition for _ in range(12)}
    assert len(partitions) == 1
    assert {record.key for record in records_of(broker, "t")} == {b""}


# --- bundles ------------------------------------------------------------------------------------------------


@pytest.fixture
def bundled(broker: ScriptedBroker, make: MakeProducer, tmp_path: Path) -> KafkaProducer:
    """A producer that may send to topics o* and must give the header id."""
    path = tmp_path / "bundle.toml"
    path.write_text('name = "b"\n[required]\nheaders = ["id"]\n[allowed]\ntopics = ["o*"]\n')
    return make(broker, bundle_file=path)


HEADERS = {"id": b"7"}


def test_record_that_keeps_the_rules_arrives(broker: ScriptedBroker, bundled: KafkaProducer) -> None:
    bundled.send("one", b"1", headers=HEADERS).result(10)
    assert bundled.send_many("one", [b"2", b"3"], headers=HEADERS).count == 2
    assert bundled.send_lines("one", b"4\n5\n", headers=HEADERS).count == 2
    bundled.flush(10)
    assert values_of(broker, "one") == [b"1", b"2", b"3", b"4", b"5"]
    assert {record.headers for record in records_of(broker, "one")} == {(("id", b"7"),)}


@pytest.mark.parametrize(
    ("topic", "headers", "rule"), [("t", HEADERS, "allowed.topics"), ("one", None, "required.headers")]
)
def test_every_way_to_send_keeps_the_rules(
    broker: ScriptedBroker,
    bundled: KafkaProducer,
    topic: str,
    headers: dict[str, bytes | None] | None,
    rule: str,
) -> None:
    ways = (
        lambda: bundled.send(topic, b"1", headers=headers),
        lambda: bundled.produce(topic, b"1", headers=headers),
        lambda: bundled.send_many(topic, [b"1"], headers=headers),
        lambda: bundled.send_lines(topic, b"1\n", headers=headers),
    )
    for way in ways:
        with pytest.raises(BundleViolationError) as caught:
            way()
        assert (caught.value.rule, caught.value.topic) == (rule, topic)
    bundled.send("one", b"good", headers=HEADERS).result(10)
    assert values_of(broker, "one") == [b"good"]
    assert values_of(broker, "t") == []


def test_a_record_that_breaks_a_rule_dooms_its_transaction(tmp_path: Path) -> None:
    path = tmp_path / "bundle.toml"
    path.write_text('name = "b"\n[allowed]\ntopics = ["one"]\n')
    with KafkaProducer(bootstrap_servers="127.0.0.1:1", bundle_file=path) as producer:
        prepare = _make_prepare(producer.config, producer._runtime, None)
    pump = make_pump(parse_config({"bootstrap.servers": "127.0.0.1:1", "transactional.id": "tx"}), "bundled")
    appender = RecordAppender()
    appender._set_up(pump, 10, prepare, lambda topic: None, lambda: "full")
    pump.txn_begin(1, True)
    with pytest.raises(BundleViolationError):
        appender.produce("t", b"1")
    assert [type(event) for event in pump.take_events()] == [TxnFailed]


def test_rules_come_before_serializers(broker: ScriptedBroker, make: MakeProducer, tmp_path: Path) -> None:
    path = tmp_path / "bundle.toml"
    path.write_text('name = "b"\n[allowed]\ntopics = ["one"]\n')
    seen: list[object] = []

    def serialize(value: str) -> bytes:
        seen.append(value)
        return value.encode()

    producer = make(broker, bundle_file=path, value_serializer=serialize)
    with pytest.raises(BundleViolationError):
        producer.send("t", "no")
    producer.send("one", "yes").result(10)
    assert seen == ["yes"]


def test_without_a_bundle_nothing_stands_before_the_append(producer: KafkaProducer) -> None:
    assert _make_prepare(producer.config, producer._runtime, None) is None


# --- where a configuration may come from ----------------------------------------------------------------------


def test_a_producer_may_be_made_from_a_file(broker: ScriptedBroker, tmp_path: Path) -> None:
    path = tmp_path / "producer.properties"
    path.write_text(
        f"# as a Java program has it\nbootstrap.servers : {broker.address}\nlinger.ms=1\nacks = all\n"
        "value.serializer = org.apache.kafka.common.serialization.StringSerializer\n"
    )
    with KafkaProducer.from_properties(path, linger_ms=2) as producer:
        assert (producer.config.linger_ms, producer.config.acks) == (2, -1)
        producer.send("one", "ä").result(10)
    assert values_of(broker, "one") == ["ä".encode()]


def test_a_producer_may_be_made_from_the_environment(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPRODUCER_BOOTSTRAP_SERVERS", str(broker.address))
    monkeypatch.setenv("KPRODUCER_LINGER_MS", "1")
    monkeypatch.setenv("KPRODUCER_PROFILE", "throughput")
    with KafkaProducer.from_env(batch_size=100) as producer:
        cfg = producer.config
        assert (cfg.linger_ms, cfg.batch_size, cfg.compression_type) == (1, 100, "snappy")
        producer.send("one", b"1").result(10)


def test_the_environment_is_not_read_unless_asked_for(
    broker: ScriptedBroker, make: MakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPRODUCER_LINGER_MS", "nonsense")
    assert make(broker).config.linger_ms == 5
