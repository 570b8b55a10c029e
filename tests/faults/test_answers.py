"""Produce answers that are well formed and odd: unknown tags, partitions too many, too few, twice, elsewhere (F12)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from tests.fakes.scripted_broker import Body, Received, ScriptedBroker
from tests.faults.stage import TOPIC, stage

pytestmark = pytest.mark.row("F12")

Change = Callable[[ProduceResponse], ProduceResponse]

_UNKNOWN_TAGS = b"\x02" + b"\x4d\x05other" + b"\x4e\x00"  # tag 77 with five bytes, tag 78 with none
_NO_TAGS = b"\x00"
_NO_ERRORS_NO_MESSAGE = b"\x01\x00"


def _partition(index: int, code: int = 0, base_offset: int = 0) -> PartitionProduceResponse:
    return PartitionProduceResponse(index=index, error_code=code, base_offset=base_offset)


def _edit_topic(edit: Callable[[TopicProduceResponse], TopicProduceResponse]) -> Change:
    return lambda answer: replace(answer, responses=tuple(map(edit, answer.responses)))


def _with_extra(topic: TopicProduceResponse) -> TopicProduceResponse:
    extra = (_partition(7, 87, -1), _partition(-1), _partition(2**31 - 1))
    return replace(topic, partition_responses=(*extra, *topic.partition_responses))


def _with_repeated(topic: TopicProduceResponse) -> TopicProduceResponse:
    again = tuple(replace(part, error_code=87, base_offset=-1) for part in topic.partition_responses)
    return replace(topic, partition_responses=(*topic.partition_responses, *again))


def _with_other_topic(answer: ProduceResponse) -> ProduceResponse:
    other = TopicProduceResponse(
        name="other", topic_id=UUID(int=99), partition_responses=(_partition(0, 87, -1),)
    )
    return replace(answer, responses=(other, *answer.responses))


def _under_other_topic(topic: TopicProduceResponse) -> TopicProduceResponse:
    return replace(topic, name="other", topic_id=UUID(int=99))


ODD: dict[str, Change] = {
    "partitions that nobody asked for": _edit_topic(_with_extra),
    "a topic that nobody asked for": _with_other_topic,
    "a partition twice, the second time refused": _edit_topic(_with_repeated),
    "another topic in place of ours": _edit_topic(_under_other_topic),
    "no topic at all": lambda answer: ProduceResponse(),
    "a topic without partitions": _edit_topic(lambda topic: replace(topic, partition_responses=())),
}


def _changed(broker: ScriptedBroker, change: Change) -> Callable[[Received], ProduceResponse]:
    append = broker.default(PRODUCE)
    return lambda request: change(append(request))


def _with_unknown_tags(broker: ScriptedBroker) -> Callable[[Received], Body]:
    """Append, and answer with tags that nobody knows in each place that can have some; versions 13 and up."""
    append = broker.default(PRODUCE)

    def answer(request: Received) -> Body:
        good: ProduceResponse = append(request)
        (topic,) = good.responses
        (part,) = topic.partition_responses
        partition = struct.pack(">ihqqq", part.index, part.error_code, part.base_offset, -1, 0)
        partitions = b"\x02" + partition + _NO_ERRORS_NO_MESSAGE + _UNKNOWN_TAGS
        topics = b"\x02" + topic.topic_id.bytes + partitions + _UNKNOWN_TAGS
        return Body(_UNKNOWN_TAGS + topics + struct.pack(">i", 0) + _UNKNOWN_TAGS)

    return answer


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_neither_loses_nor_repeats_nor_fails_a_record(name: str) -> None:
    completed: list[Any] = []
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, _changed(broker, ODD[name]))
        producer.produce(TOPIC, b"1", partition=0, on_delivery=lambda *outcome: completed.append(outcome))
        producer.flush(10)
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
        assert [(metadata.offset, error) for metadata, error in completed] == [(1, None)]
        assert on.values() == [b"0", b"1", b"2"]


def test_tags_that_nobody_knows_are_skipped_on_the_same_connection() -> None:
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, _with_unknown_tags(broker))
        assert [producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset for n in (1, 2)] == [1, 2]
        assert len({request.connection for request in broker.received(PRODUCE)}) == 1
        assert len(broker.received(PRODUCE)) == 3
