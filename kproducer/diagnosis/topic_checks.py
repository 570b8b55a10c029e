"""Judges what a survey found of a topic: permission, leaders, replicas against acks, sizes, timestamps, keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from kproducer.config import ProducerConfig
from kproducer.config.values import ACKS_ALL
from kproducer.diagnosis.facts import Survey, TopicFacts
from kproducer.diagnosis.findings import Finding, error, note, warning
from kproducer.errors import AuthorizationError, UnknownTopicOrPartitionError
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.types import PartitionInfo

_SHOWN_PARTITIONS: Final = 5
# From Kafka 3.7 on, min.insync.replicas counts no higher than the topic has replicas.
_PRODUCE_OF_3_7: Final = 10


def check_topic(config: ProducerConfig, survey: Survey, topic: TopicFacts) -> Iterator[Finding]:
    """Yield what stands between a producer of this configuration and this topic."""
    subject = f"topic {topic.name}"
    if topic.error is not None:
        yield _why_absent(config, survey, topic, subject)
        return
    yield from _check_permission(topic, subject)
    yield from _check_leaders(survey, topic, subject)
    if topic.settings.error is not None:
        text = f"its settings cannot be read: {type(topic.settings.error).__name__}: {topic.settings.error.message}"
        yield note("settings-unknown", subject, text, "grant DESCRIBE_CONFIGS to have them checked")
    yield from _check_replicas(config, survey, topic, subject)
    yield from _check_sizes(config, topic, subject)
    yield from _check_timestamps(survey, topic, subject)
    if "compact" in (topic.settings.values.get("cleanup.policy") or ""):
        yield note("compacted", subject, "it is compacted: records without a key are refused")


def _why_absent(config: ProducerConfig, survey: Survey, topic: TopicFacts, subject: str) -> Finding:
    assert topic.error is not None
    if isinstance(topic.error, AuthorizationError):
        return error(
            "topic-hidden", subject, "this principal may not see it", "grant DESCRIBE and WRITE on the topic"
        )
    if not isinstance(topic.error, UnknownTopicOrPartitionError):
        return error("topic-unavailable", subject, f"{type(topic.error).__name__}: {topic.error.message}")
    creators = [
        broker
        for broker in survey.brokers
        if broker.settings.values.get("auto.create.topics.enable") == "true"
    ]
    if config.allow_auto_create_topics and creators:
        return warning(
            "topic-unknown",
            subject,
            "it does not exist; the first send() creates it, with the brokers' defaults",
            "create it with the partitions and replicas that it needs",
        )
    return error("topic-unknown", subject, "it does not exist, and send() does not create it", "create it")


def _check_permission(topic: TopicFacts, subject: str) -> Iterator[Finding]:
    if topic.may_write is False:
        yield error("write-denied", subject, "this principal may not write to it", "grant WRITE on the topic")
    elif topic.may_write is None:
        yield note("permission-unknown", subject, "brokers before 2.3 do not tell who may write")


# --- leaders ------------------------------------------------------------------------------------------------


def _check_leaders(survey: Survey, topic: TopicFacts, subject: str) -> Iterator[Finding]:
    without = [partition for partition in topic.partitions if not partition.has_leader]
    if without:
        yield error(
            "no-leader",
            subject,
            f"{_listed(without)} no leader: records wait there until delivery.timeout.ms",
            "start the brokers of the replicas",
        )
    moved = [p for p in topic.partitions if p.has_leader and p.replicas and p.leader != p.replicas[0]]
    back = [partition for partition in moved if partition.replicas[0] in partition.in_sync_replicas]
    if back:
        yield warning(
            "not-preferred-leader",
            subject,
            f"{_listed(back)} a leader other than the preferred replica, which is in sync",
            "elect the preferred leaders (kafka-leader-election)",
        )
    yield from _check_skew(survey, topic, subject)


def _check_skew(survey: Survey, topic: TopicFacts, subject: str) -> Iterator[Finding]:
    led = Counter(partition.leader for partition in topic.partitions if partition.has_leader)
    if len(topic.partitions) < len(survey.brokers) or not led:
        return
    node_id, most = led.most_common(1)[0]
    fair = -(-len(topic.partitions) // len(survey.brokers))
    if most > 2 * fair:
        yield warning(
            "skewed-leaders",
            subject,
            f"broker {node_id} leads {most} of {len(topic.partitions)} partitions, where {fair} would be its share "
            f"of {len(survey.brokers)} brokers",
            "spread the replicas (kafka-reassign-partitions)",
        )


# --- replicas and acks --------------------------------------------------------------------------------------


def _check_replicas(
    config: ProducerConfig, survey: Survey, topic: TopicFacts, subject: str
) -> Iterator[Finding]:
    lagging = [p for p in topic.partitions if len(p.in_sync_replicas) < len(p.replicas)]
    if lagging:
        yield warning("under-replicated", subject, f"{_listed(lagging)} replicas that are not in sync")
    replicas = min((len(partition.replicas) for partition in topic.partitions), default=0)
    if replicas == 1 and len(survey.brokers) > 1:
        yield warning(
            "one-replica",
            subject,
            "it has one replica: what that broker loses is lost",
            "raise the replication factor to 3",
        )
    least = topic.settings.number("min.insync.replicas")
    if least is None:
        return
    if config.acks != ACKS_ALL:
        if least > 1:
            yield warning(
                "acks-below-all",
                subject,
                f"min.insync.replicas={least} counts for nothing with acks={config.acks}: acknowledged records may "
                "be lost with their leader",
                "set acks=all",
            )
        return
    yield from _check_min_isr(survey, topic, subject, least, replicas)


def _check_min_isr(
    survey: Survey, topic: TopicFacts, subject: str, least: int, replicas: int
) -> Iterator[Finding]:
    counts_replicas = _counts_replicas(survey)
    if least > replicas:
        found = warning if counts_replicas else error
        effect = (
            f"the brokers count it as {replicas}" if counts_replicas else "every write with acks=all fails"
        )
        yield found(
            "min-isr-above-replicas",
            subject,
            f"min.insync.replicas={least}, but it has {replicas} replica{'' if replicas == 1 else 's'}: {effect}",
            "lower min.insync.replicas or raise the replication factor",
        )
        if not counts_replicas:
            return
    needed = min(least, replicas)
    short = [p for p in topic.partitions if p.has_leader and len(p.in_sync_replicas) < needed]
    if short:
        yield error(
            "too-few-in-sync",
            subject,
            f"{_listed(short)} fewer replicas in sync than min.insync.replicas={least}: writes with acks=all fail",
            "start the brokers of its replicas",
        )
    if replicas > 1 and needed == replicas:
        yield warning(
            "no-replica-to-spare",
            subject,
            f"min.insync.replicas={least} of {replicas} replicas: one broker that is down stops all writes",
            f"set min.insync.replicas={replicas - 1}",
        )
    if replicas > 1 and least == 1:
        yield warning(
            "acks-by-leader-alone",
            subject,
            "min.insync.replicas=1: acks=all may mean the leader alone, and acknowledged records be lost with it",
            "set min.insync.replicas=2",
        )


def _counts_replicas(survey: Survey) -> bool:
    spoken = [
        broker.versions.ranges.get(PRODUCE.key) for broker in survey.brokers if broker.versions is not None
    ]
    return bool(spoken) and all(found is not None and found.high >= _PRODUCE_OF_3_7 for found in spoken)


# --- sizes, timestamps --------------------------------------------------------------------------------------


def _check_sizes(config: ProducerConfig, topic: TopicFacts, subject: str) -> Iterator[Finding]:
    largest = topic.settings.number("max.message.bytes")
    if largest is None:
        return
    if config.batch_size > largest:
        yield warning(
            "batch-too-large",
            subject,
            f"batch.size={config.batch_size} is above max.message.bytes={largest}: full batches are refused once and "
            "sent again in parts, unless compression makes them fit",
            f"set batch.size={largest} or less",
        )
    elif config.max_request_size > largest:
        yield warning(
            "record-too-large",
            subject,
            f"max.request.size={config.max_request_size} is above max.message.bytes={largest} (message.max.bytes of "
            "the broker): a record between the two is refused by the broker, after it was sent",
            f"set max.request.size={largest} or less, or raise max.message.bytes",
        )


def _check_timestamps(survey: Survey, topic: TopicFacts, subject: str) -> Iterator[Finding]:
    skew_ms = survey.clock.skew_ms
    if skew_ms is None or topic.settings.values.get("message.timestamp.type") == "LogAppendTime":
        return
    # Our clock behind theirs makes records old, ahead of it makes them come from the future.
    name = f"message.timestamp.{'before' if skew_ms > 0 else 'after'}.max.ms"
    limit_ms = topic.settings.number(name)
    if limit_ms is not None and abs(skew_ms) - survey.clock.uncertainty_ms > limit_ms:
        yield error(
            "timestamp-refused",
            subject,
            f"the clocks differ by {abs(skew_ms) / 1000:.1f} s, more than {name}={limit_ms}: the broker refuses "
            "records with this machine's time",
            "synchronise the clocks",
        )


def _listed(partitions: Sequence[PartitionInfo]) -> str:
    """The subject of a sentence: "partition 3 has" or "partitions 0, 1 and 7 more have"."""
    numbers = [str(partition.partition) for partition in partitions]
    if len(numbers) == 1:
        return f"partition {numbers[0]} has"
    shown, more = numbers[:_SHOWN_PARTITIONS], len(numbers) - _SHOWN_PARTITIONS
    if more > 0:
        return f"partitions {', '.join(shown)} and {more} more have"
    return f"partitions {', '.join(shown[:-1])} and {shown[-1]} have"
