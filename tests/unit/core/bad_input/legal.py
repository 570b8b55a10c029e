"""What the list calls legal: a record arrives, with a warning or without."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from kproducer import KafkaProducer
from tests.unit.core.bad_input.rows import Legal


class Index:
    """A number that is no int, as NumPy's are."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


class Name(StrEnum):
    """A str that is not exactly one, as many keep their names."""

    TRACE = "trace"


def _made_of(**config: Any) -> Callable[[str], KafkaProducer]:
    return lambda server: KafkaProducer(bootstrap_servers=server, **config)


def _of_servers(*servers: str) -> Callable[[str], KafkaProducer]:
    return lambda server: KafkaProducer(bootstrap_servers=[*(s or server for s in servers)])


def _of_a_mapping_that_changes(server: str) -> KafkaProducer:
    servers = [server]
    mapping: dict[str, object] = {"bootstrap.servers": servers, "client.id": "first"}
    producer = KafkaProducer(mapping)
    servers[:] = ["127.0.0.1:1"]
    mapping.clear()
    assert producer.config.client_id == "first"
    return producer


def _send(**arguments: Any) -> Callable[[KafkaProducer], object]:
    given: Mapping[str, Any] = {"topic": "one", "value": b"good"} | arguments
    return lambda producer: producer.produce(**given)


def _send_amid_collections(producer: KafkaProducer) -> None:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for n in range(100):
            producer.send("one", b"good", headers=[(f"{n}", b"")], on_delivery=lambda metadata, error: None)
    finally:
        gc.set_threshold(*before)


def _of_a_partitioner_that_sends(server: str) -> KafkaProducer:
    def choose(topic: str, key: object, value: object, count: int) -> int:
        if key is None:
            producer.produce("one", b"good", b"inner")
        return 0

    producer = KafkaProducer(bootstrap_servers=server, partitioner_class=choose)
    return producer


class First:
    """Sends all to the first partition."""

    def partition(self, topic: str, key: object, value: object, count: int) -> int:
        return 0


def _slowly(*arguments: object) -> int:
    time.sleep(0.05)
    return 0


LEGAL: Final[dict[str, Legal]] = {
    "numbers with an index": Legal("B2", _made_of(batch_size=Index(5000), linger_ms=Index(0))),
    "numbers as text": Legal("B2", _made_of(batch_size=" +5000 ", linger_ms="0")),
    "blanks around servers": Legal("B3", lambda server: KafkaProducer(bootstrap_servers=f" {server} ,")),
    "a server named twice": Legal("B3", _of_servers("", ""), warning="bootstrap.servers names 127.0.0.1:"),
    "one server of two cannot be resolved": Legal("B3", _of_servers("nowhere.invalid:9092", "")),
    "idempotence by default yields to acks": Legal(
        "B4", _made_of(acks=1), warning="idempotence is off because of acks=1"
    ),
    "delivery timeout by default is raised": Legal(
        "B7", _made_of(request_timeout_ms=130_000), warning="delivery.timeout.ms is raised to 130005"
    ),
    "batch size 0": Legal("B8", _made_of(batch_size=0)),
    "buffer below a batch": Legal(
        "B9",
        _made_of(buffer_memory=2000, max_request_size=1000),
        warning="buffer.memory=2000 holds no batch of batch.size=16384",
    ),
    "buffer below a request": Legal(
        "B9",
        _made_of(buffer_memory=500_000),
        warning="buffer.memory=500000 is less than max.request.size=1048576",
    ),
    "a class as a serializer": Legal("B12", _made_of(value_serializer=bytes)),
    "a class as a partitioner": Legal("B12", _made_of(partitioner_class=First), before=_send()),
    "the mapping changes": Legal("B13", _of_a_mapping_that_changes),
    "timestamp in seconds": Legal("B18", _made_of(), before=_send(timestamp_ms=int(time.time()))),
    "timestamp of 1970": Legal("B18", _made_of(), before=_send(timestamp_ms=0)),
    "headers as a dict": Legal("B19", _made_of(), before=_send(headers={"a": b"1", "b": None})),
    "a header's key of an enumeration": Legal("B19", _made_of(), before=_send(headers=[(Name.TRACE, b"1")])),
    "100,000 headers": Legal("B19", _made_of(), before=_send(headers=[("h", b"")] * 100_000)),
    "a partitioner that blocks": Legal("B25", _made_of(partitioner_class=_slowly), before=_send()),
    "a partitioner that sends": Legal("B25", _of_a_partitioner_that_sends, before=_send()),
    "collections during appends": Legal("B27", _made_of(), before=_send_amid_collections),
}
