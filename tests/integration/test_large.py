"""Large values through a real broker, read back by another client."""

from __future__ import annotations

import random

import pytest

from kproducer import KafkaProducer, RecordTooLargeError
from kproducer.large import AssembledRecord, ChunkAssembler, ChunkingSender, ClaimCheckSender, redeem
from kproducer.testing import KafkaCluster
from tests.integration.readback import read_all

VALUE = random.Random(1).randbytes(5_000_000)


def test_a_value_of_several_megabytes_comes_back_from_its_chunks(kafka: KafkaCluster) -> None:
    kafka.create_topic("large-chunks", partitions=3)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        with pytest.raises(RecordTooLargeError):
            producer.send("large-chunks", VALUE)
        sender = ChunkingSender(producer)
        places = sender.send("large-chunks", VALUE, b"key", [("h", b"1")]).result(60)
        sender.send("large-chunks", b"small", b"key").result(60)
    assert len(places) == 6
    assembler = ChunkAssembler()
    found = [
        assembler.add("large-chunks", record.partition, record.offset, record.value, record.headers)
        for record in read_all(kafka.bootstrap_servers, "large-chunks", partitions=3)
    ]
    complete = [record for record in found if record is not None]
    assert complete == [
        AssembledRecord(VALUE, (("h", b"1"),), places[0].offset, places[-1].offset),
        AssembledRecord(b"small", (), places[-1].offset + 1, places[-1].offset + 1),
    ]


def test_a_claim_is_redeemed(kafka: KafkaCluster) -> None:
    kafka.create_topic("large-claims")
    shelf: dict[str, bytes] = {}

    def store(topic: str, value: memoryview) -> str:
        shelf[topic] = bytes(value)
        return topic

    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        ClaimCheckSender(producer, store).send("large-claims", VALUE).result(60)
    (record,) = read_all(kafka.bootstrap_servers, "large-claims")
    assert record.value == b""
    assert redeem(record.value, record.headers, shelf.__getitem__) == VALUE
