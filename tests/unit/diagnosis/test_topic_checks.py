"""What is said of a topic, from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer.config import ProducerConfig
from kproducer.diagnosis.facts import ClockFacts, Settings, TopicFacts
from kproducer.diagnosis.topic_checks import check_topic
from kproducer.errors import TopicAuthorizationError, UnknownServerError, UnknownTopicOrPartitionError
from tests.unit.diagnosis.world import broker, config, partition, settings, spread, survey, topic, versions

STRICT = (broker(1, settings=Settings({"auto.create.topics.enable": "false"})),)


def found(facts: TopicFacts, cfg: ProducerConfig | None = None, **of_survey: Any) -> list[tuple[str, str]]:
    findings = check_topic(cfg or config(), survey(topics=(facts,), **of_survey), facts)
    return [(finding.code, finding.severity.value) for finding in findings]


def text(facts: TopicFacts, cfg: ProducerConfig | None = None, **of_survey: Any) -> str:
    (finding,) = check_topic(cfg or config(), survey(topics=(facts,), **of_survey), facts)
    assert finding.subject == "topic t"
    return finding.text


def test_a_good_topic_has_no_findings() -> None:
    assert found(topic()) == []


# --- is it there, and may it be written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "cfg", "of_survey", "expected"),
    [
        (UnknownTopicOrPartitionError(), {}, {}, ("topic-unknown", "warning")),
        (UnknownTopicOrPartitionError(), {"allow_auto_create_topics": False}, {}, ("topic-unknown", "error")),
        (UnknownTopicOrPartitionError(), {}, {"brokers": STRICT}, ("topic-unknown", "error")),
        (TopicAuthorizationError(), {}, {}, ("topic-hidden", "error")),
        (UnknownServerError(), {}, {}, ("topic-unavailable", "error")),
    ],
)  # fmt: skip
def test_a_topic_without_metadata_has_its_reason(
    error: Exception, cfg: dict[str, Any], of_survey: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert found(topic(error=error, partitions=(), settings=Settings()), config(**cfg), **of_survey) == [
        expected
    ]


def test_who_may_not_write_is_told() -> None:
    assert found(topic(may_write=False)) == [("write-denied", "error")]
    assert found(topic(may_write=None)) == [("permission-unknown", "note")]


def test_settings_that_cannot_be_read_are_no_reason_to_stop() -> None:
    facts = topic(settings=Settings(error=TopicAuthorizationError()), may_write=False)
    assert found(facts) == [("write-denied", "error"), ("settings-unknown", "note")]


# --- leaders ------------------------------------------------------------------------------------------------


def test_a_partition_without_leader_is_an_error() -> None:
    assert found(topic(partitions=(*spread(3), partition(3, leader=-1)))) == [("no-leader", "error")]


@pytest.mark.parametrize(
    ("numbers", "start"),
    [
        ([2], "partition 2 has no leader"),
        ([0, 4], "partitions 0 and 4 have no leader"),
        (range(5), "partitions 0, 1, 2, 3 and 4 have no leader"),
        (range(8), "partitions 0, 1, 2, 3, 4 and 3 more have no leader"),
    ],
)
def test_partitions_are_listed_up_to_five(numbers: Any, start: str) -> None:
    assert text(topic(partitions=tuple(partition(n, leader=-1) for n in numbers))).startswith(start)


def test_a_leader_that_is_not_the_preferred_one_is_told_once_that_one_is_in_sync() -> None:
    moved = partition(0, leader=2)
    assert found(topic(partitions=(moved,))) == [("not-preferred-leader", "warning")]
    still_away = moved._replace(in_sync_replicas=(2, 3))
    assert found(topic(partitions=(still_away,))) == [("under-replicated", "warning")]


def test_a_broker_that_leads_more_than_twice_its_share_is_told() -> None:
    assert found(topic(partitions=tuple(partition(n) for n in range(5)))) == [("skewed-leaders", "warning")]
    assert found(topic(partitions=tuple(partition(n) for n in range(2)))) == []  # fewer than brokers
    uneven = (
        *(partition(n) for n in range(4)),
        *(p._replace(partition=4 + p.partition) for p in spread(3)[1:]),
    )
    assert found(topic(partitions=uneven)) == []
    assert text(topic(partitions=tuple(partition(n) for n in range(9)))) == (
        "broker 1 leads 9 of 9 partitions, where 3 would be its share of 3 brokers"
    )


# --- replicas and acks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "in_sync", "min_isr", "acks", "expected"),
    [
        (3, 3, 2, "all", []),
        (3, 3, 1, "all", [("acks-by-leader-alone", "warning")]),
        (3, 3, 3, "all", [("no-replica-to-spare", "warning")]),
        (3, 2, 2, "all", [("under-replicated", "warning")]),
        (3, 1, 2, "all", [("under-replicated", "warning"), ("too-few-in-sync", "error")]),
        (1, 1, 1, "all", [("one-replica", "warning")]),
        (1, 1, 2, "all", [("one-replica", "warning"), ("min-isr-above-replicas", "warning")]),
        (2, 2, 3, "all", [("min-isr-above-replicas", "warning"), ("no-replica-to-spare", "warning")]),
        (3, 3, 2, "1", [("acks-below-all", "warning")]),
        (3, 3, 2, "0", [("acks-below-all", "warning")]),
        (3, 3, 1, "1", []),
        (3, 1, 2, "1", [("under-replicated", "warning"), ("acks-below-all", "warning")]),
    ],
)
def test_replicas_are_held_against_acks(
    replicas: int, in_sync: int, min_isr: int, acks: str, expected: list[tuple[str, str]]
) -> None:
    ids = (1, 2, 3)
    facts = topic(
        partitions=(partition(0, replicas=ids[:replicas], in_sync_replicas=ids[:in_sync]),),
        settings=settings(min_insync_replicas=str(min_isr)),
    )
    assert found(facts, config(acks=acks)) == expected


def test_brokers_before_3_7_take_min_isr_at_its_word() -> None:
    facts = topic(partitions=(partition(0, replicas=(1,)),), settings=settings(min_insync_replicas="2"))
    old = tuple(broker(n, versions=versions(Produce=9)) for n in (1, 2))
    assert found(facts, brokers=old)[1:] == [("min-isr-above-replicas", "error")]
    mixed = (old[0], broker(2))
    assert found(facts, brokers=mixed)[1:] == [("min-isr-above-replicas", "error")]
    unknown = (broker(1, error=UnknownServerError(), versions=None), broker(2, versions=versions(Produce=10)))
    assert found(facts, brokers=unknown)[1:] == [("min-isr-above-replicas", "warning")]


def test_one_replica_is_no_finding_where_there_is_one_broker() -> None:
    facts = topic(partitions=(partition(0, replicas=(1,)),), settings=settings(min_insync_replicas="1"))
    assert found(facts, brokers=(broker(1),)) == []


def test_a_partition_without_leader_is_not_counted_as_too_few_in_sync() -> None:
    assert found(topic(partitions=(partition(0, leader=-1, in_sync_replicas=(3,)),))) == [
        ("no-leader", "error"),
        ("under-replicated", "warning"),
    ]


# --- sizes, timestamps, keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1_048_588, []),
        (1_048_576, []),
        (1_048_575, [("record-too-large", "warning")]),
        (16_384, [("record-too-large", "warning")]),
        (16_383, [("batch-too-large", "warning")]),
    ],
)
def test_sizes_are_held_against_the_topics_limit(largest: int, expected: list[tuple[str, str]]) -> None:
    assert found(topic(settings=settings(max_message_bytes=str(largest)))) == expected


@pytest.mark.parametrize(
    ("skew_ms", "before", "after", "kind", "expected"),
    [
        (-10_000, "5000", "5000", "CreateTime", [("timestamp-refused", "error")]),
        (10_000, "5000", "5000", "CreateTime", [("timestamp-refused", "error")]),
        (-10_000, "5000", "50000", "CreateTime", []),
        (10_000, "50000", "5000", "CreateTime", []),
        (10_000, "5000", "5000", "LogAppendTime", []),
        (-5_010, "5000", "5000", "CreateTime", []),  # within what the measurement may be wrong by
        (10_000, None, None, "CreateTime", []),
        (None, "5000", "5000", "CreateTime", []),
    ],
)
def test_a_clock_that_is_so_wrong_that_records_are_refused_is_an_error(
    skew_ms: float | None, before: str | None, after: str | None, kind: str, expected: list[tuple[str, str]]
) -> None:
    facts = topic(
        settings=settings(
            message_timestamp_before_max_ms=before,
            message_timestamp_after_max_ms=after,
            message_timestamp_type=kind,
        )
    )
    assert found(facts, clock=ClockFacts(skew_ms, 20.0)) == expected


def test_a_compacted_topic_is_noted() -> None:
    assert found(topic(settings=settings(cleanup_policy="compact,delete"))) == [("compacted", "note")]
