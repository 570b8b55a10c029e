"""MockProducer beside KafkaProducer on a real Kafka: one script of transactions, the same answers line by line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from kproducer import (
    Headers,
    Interceptor,
    KafkaProducer,
    OffsetAndMetadata,
    RecordMetadata,
    TopicPartition,
)
from kproducer.testing import KafkaCluster, MockProducer
from tests.integration.readback import committed, new_topic
from tests.unit.testing.test_mock_twin import told

Step = Callable[[KafkaProducer, str], object]

PATIENCE_S: Final = 60.0

SCRIPT: Final[list[tuple[str, Step]]] = [
    ("begin too early", lambda p, t: p.begin_transaction()),
    ("init", lambda p, t: p.init_transactions(PATIENCE_S)),
    ("init again", lambda p, t: p.init_transactions(PATIENCE_S)),
    ("commit nothing", lambda p, t: p.commit_transaction(PATIENCE_S)),
    ("abort nothing", lambda p, t: p.abort_transaction(PATIENCE_S)),
    ("send outside", lambda p, t: p.send(t, b"outside")),
    ("begin", lambda p, t: p.begin_transaction()),
    ("begin again", lambda p, t: p.begin_transaction()),
    ("init inside", lambda p, t: p.init_transactions(PATIENCE_S)),
    ("send", lambda p, t: p.send(t, b"v", timestamp_ms=1).result(PATIENCE_S)[2:]),
    ("no offsets", lambda p, t: p.send_offsets_to_transaction({}, "g", PATIENCE_S)),
    ("offsets", lambda p, t: p.send_offsets_to_transaction({TopicPartition(t, 0): OffsetAndMetadata(1)}, t)),
    ("commit", lambda p, t: p.commit_transaction(PATIENCE_S)),
    ("commit again", lambda p, t: p.commit_transaction(PATIENCE_S)),
    ("begin a second", lambda p, t: p.begin_transaction()),
    ("produce", lambda p, t: p.produce(t, b"dropped")),
    ("abort", lambda p, t: p.abort_transaction(PATIENCE_S)),
    ("begin a third", lambda p, t: p.begin_transaction()),
    ("a wrong type", lambda p, t: p.send(t, "text")),
    ("too large", lambda p, t: p.send("none-of-these", bytes(2 << 20))),
    ("send after it", lambda p, t: p.send(t, b"late")),
    ("offsets after it", lambda p, t: p.send_offsets_to_transaction({TopicPartition(t, 0): 1}, "g", PATIENCE_S)),
    ("commit after it", lambda p, t: p.commit_transaction(PATIENCE_S)),
    ("begin after it", lambda p, t: p.begin_transaction()),
    ("abort after it", lambda p, t: p.abort_transaction(PATIENCE_S)),
    ("abort again", lambda p, t: p.abort_transaction(PATIENCE_S)),
    ("begin a last", lambda p, t: p.begin_transaction()),
    ("send many", lambda p, t: p.send_many(t, [b"1", b"2"]).count),
    ("close", lambda p, t: p.close()),
    ("commit closed", lambda p, t: p.commit_transaction(PATIENCE_S)),
    ("init closed", lambda p, t: p.init_transactions(PATIENCE_S)),
    ("abort closed", lambda p, t: p.abort_transaction(PATIENCE_S)),
]  # fmt: skip


def _told(step: Step, producer: KafkaProducer, topic: str) -> object:
    """What a step returned or raised; a cause that went through C has its code in the text once more."""
    result = told(lambda producer: step(producer, topic), producer)
    if not isinstance(result, tuple) or not isinstance(result[0], type):
        return result
    return (result[0], re.sub(r" \([A-Z_]+, code [^)]*\)", "", str(result[1])), *result[2:])


class Hearing(Interceptor):
    """Notes whose outcomes it hears, and its end. What an abort drops may have been acknowledged just before."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        self.heard.append(metadata.topic)

    def close(self) -> None:
        self.heard.append("close")


def test_a_script_of_transactions_goes_the_same_way(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    config = {"transactional_id": topic, "bootstrap_servers": kafka.bootstrap_servers, "linger_ms": 0}
    of_real, of_mock = Hearing(), Hearing()
    real = KafkaProducer(config, interceptor_classes=of_real)
    mock = MockProducer(config, interceptor_classes=of_mock)

    expected = {name: _told(step, real, topic) for name, step in SCRIPT}
    found = {name: _told(step, mock, topic) for name, step in SCRIPT}

    differing = [name for name in found if found[name] != expected[name]]
    assert {name: found[name] for name in differing} == {name: expected[name] for name in differing}
    assert [[record.value for record in mock.history]] == committed(kafka.bootstrap_servers, topic)
    assert of_mock.heard == of_real.heard
    assert of_real.heard[-1] == "close"
