"""ProducerConfig: every key that is built, declared once; not_built.py has the others. Frozen, so any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from kproducer.config.addresses import HostPort, Hosts
from kproducer.config.keys import Key
from kproducer.config.not_built import NOT_BUILT_KEYS
from kproducer.config.profiles import PROFILES
from kproducer.config.values import (
    ACKS_ALL,
    INT_MAX,
    LONG_MAX,
    MAX_DURATION_MS,
    Acks,
    Choice,
    FilePath,
    Flag,
    Function,
    KafkaString,
    Name,
    Objects,
    PartitionerClass,
    TopicName,
    ValueKind,
    Whole,
)
from kproducer.interfaces import Interceptor, Partitioner, PartitionerObject, Serializer, StatisticsCallback
from kproducer.partitioners import PARTITIONERS

if TYPE_CHECKING:
    from kproducer.config.record_rules import RecordRules

_INT: Final = Whole(0, INT_MAX)
_POSITIVE_INT: Final = Whole(1, INT_MAX)
_BUFFER_SIZE: Final = Whole(-1, INT_MAX)
_DURATION: Final = Whole(0, LONG_MAX, clip_to=MAX_DURATION_MS)
_POSITIVE_DURATION: Final = Whole(1, LONG_MAX, clip_to=MAX_DURATION_MS)


# Any: the type checker is to believe the annotation of the field that this default belongs to.
def _key(
    name: str,
    kind: ValueKind,
    default: object,
    doc: str,
    *,
    aliases: tuple[str, ...] = (),
    kip: int | None = None,
) -> Any:
    return field(default=default, metadata={"key": Key(name, kind, default, doc, aliases, kip)})


# One argument a line would make this table three screens longer.
# fmt: off


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProducerConfig:
    """Plain values of all keys, checked and with the rules between them applied; made by `parse_config`.

    idempotence_note: why idempotence was switched off although nobody asked for that; empty otherwise.
    adjustments: a sentence for each value that a rule between keys changed; that note among them.
    origins: dotted name -> "given", "profile ..." or "bundle ..."; a key that is missing has its default.
    record_rules: what the bundle asks of every record; None for nothing.
    """

    profile: str | None = _key(
        "profile", Choice(tuple(PROFILES), may_be_none=True), None,
        "Named bundle of settings that stand in for the defaults; docs/profiles.md tells what each sets.",
    )
    bundle_file: str | None = _key(
        "bundle.file", FilePath(), None,
        "TOML file of an organisation's own settings and rules (docs/profiles.md).",
    )

    bootstrap_servers: tuple[HostPort, ...] = _key(
        "bootstrap.servers", Hosts(), MISSING,
        "Brokers to ask first; the others are learnt from them.",
        aliases=("metadata.broker.list",),
    )
    client_id: str = _key(
        "client.id", KafkaString(), "",
        "Name shown in the brokers' logs, quotas and metrics; empty for a generated producer-N.",
    )
    client_dns_lookup: str = _key(
        "client.dns.lookup", Choice(("use_all_dns_ips",), ("resolve_canonical_bootstrap_servers_only",)),
        "use_all_dns_ips",
        "How names are resolved: every address of a name is tried before it counts as unreachable.", kip=602,
    )
    security_protocol: str = _key(
        "security.protocol", Choice(("PLAINTEXT",), ("SSL", "SASL_PLAINTEXT", "SASL_SSL"), ignores_case=True),
        "PLAINTEXT",
        "How brokers are spoken to.",
    )

    transactional_id: str | None = _key(
        "transactional.id", Name(), None,
        "Name that makes the producer transactional: its transactions survive it, and a second producer of the "
        "same name fences the first; None for no transactions.", kip=98,
    )
    transaction_timeout_ms: int = _key(
        "transaction.timeout.ms", _POSITIVE_INT, 60_000,
        "Time after which the coordinator aborts a transaction that is still open, and fences its producer.",
        kip=98,
    )

    acks: int = _key(
        "acks", Acks(), ACKS_ALL,
        "Acknowledgements that make a record delivered: all in-sync replicas, the leader (1), or none (0).",
        aliases=("request.required.acks",), kip=679,
    )
    enable_idempotence: bool = _key(
        "enable.idempotence", Flag(), True,
        "Whether brokers drop duplicates and keep the order across retries.", kip=679,
    )
    retries: int = _key(
        "retries", _INT, INT_MAX,
        "How often a batch is sent again after a retriable error, within delivery.timeout.ms.",
        aliases=("message.send.max.retries",), kip=91,
    )
    max_in_flight_requests_per_connection: int = _key(
        "max.in.flight.requests.per.connection", _POSITIVE_INT, 5,
        "Unanswered Produce requests per broker: at most 5 with idempotence; 1 keeps the order without it.",
        aliases=("max.in.flight",),
    )
    delivery_timeout_ms: int = _key(
        "delivery.timeout.ms", _INT, 120_000,
        "Time from send() to success or failure; at least linger.ms + request.timeout.ms.",
        aliases=("message.timeout.ms",), kip=91,
    )
    request_timeout_ms: int = _key(
        "request.timeout.ms", _INT, 30_000,
        "Time that a broker has to answer a request before its connection is closed.",
        aliases=("socket.timeout.ms",),
    )

    linger_ms: int = _key(
        "linger.ms", Whole(0, LONG_MAX, clip_to=INT_MAX), 5,
        "Time that a batch waits for more records; held at 2147483647 as in Java.",
        aliases=("queue.buffering.max.ms",), kip=1030,
    )
    batch_size: int = _key(
        "batch.size", _INT, 16_384,
        "Bytes at which a batch of one partition is full; 0 puts every record in a batch of its own.",
    )
    buffer_memory: int = _key(
        "buffer.memory", Whole(0, LONG_MAX), 33_554_432,
        "Bytes of records not yet delivered, at most; send() waits when they are used up.",
        aliases=("queue.buffering.max.kbytes",),
    )
    max_block_ms: int = _key(
        "max.block.ms", _DURATION, 60_000,
        "Time that send() may wait for metadata and memory.",
    )
    buffer_full_policy: str = _key(
        "buffer.full.policy", Choice(("block", "raise", "drop-oldest")), "block",
        "What send() does when buffer.memory is used up: wait up to max.block.ms, raise BufferExhaustedError "
        "at once, or let the oldest records that were never sent fail with RecordDroppedError to make room.",
    )
    max_request_size: int = _key(
        "max.request.size", _INT, 1_048_576,
        "Bytes of a request, and of a record before compression, at most.",
        aliases=("message.max.bytes",),
    )
    compression_type: str = _key(
        "compression.type", Choice(("none", "gzip", "snappy", "lz4", "zstd")), "none",
        "Codec of batches.", aliases=("compression.codec",), kip=110,
    )
    compression_gzip_level: int = _key(
        "compression.gzip.level", Whole(1, 9, special=-1), -1,
        "Level of gzip, -1 for zlib's own default; checked even if another codec is used.", kip=390,
    )
    compression_lz4_level: int = _key(
        "compression.lz4.level", Whole(1, 17), 9,
        "Level of lz4; checked even if another codec is used.", kip=390,
    )
    compression_zstd_level: int = _key(
        "compression.zstd.level", Whole(-131_072, 22), 3,
        "Level of zstd; checked even if another codec is used.", kip=390,
    )

    not_enough_replicas_policy: str = _key(
        "not.enough.replicas.policy", Choice(("retry", "fail")), "retry",
        "What is done when fewer replicas are in sync than min.insync.replicas: send again until "
        "delivery.timeout.ms, or fail the records at the first answer.",
    )
    on_sequence_gap: str = _key(
        "on.sequence.gap", Choice(("continue", "fail")), "continue",
        "What is done when records may be missing in front of those that follow: go on under another producer "
        "epoch, with a warning, or end the producer, so that nothing overtakes the gap.",
        aliases=("enable.gapless.guarantee",),
    )
    errors_dead_letter_queue_topic_name: str | None = _key(
        "errors.dead.letter.queue.topic.name", TopicName(), None,
        "Topic that gets the records that a broker refused for good, their origin and error in headers.",
    )
    errors_dead_letter_queue_file: str | None = _key(
        "errors.dead.letter.queue.file", FilePath(), None,
        "File that gets them instead, a JSON object on each line; opened, and made if need be, at construction.",
    )
    errors_dead_letter_queue_max_bytes: int = _key(
        "errors.dead.letter.queue.max.bytes", Whole(1, LONG_MAX), 16_777_216,
        "Bytes of dead letters that may wait to be written, and by which the file may grow; others are dropped, "
        "counted and logged.",
    )

    key_serializer: Serializer | None = _key(  # noqa: RUF009  # the call makes a field()
        "key.serializer", Function(is_serializer=True), None,
        "Turns each key into bytes; without one keys are bytes or None.",
    )
    value_serializer: Serializer | None = _key(  # noqa: RUF009  # the call makes a field()
        "value.serializer", Function(is_serializer=True), None,
        "Turns each value into bytes; without one values are bytes or None.",
    )
    partitioner: str = _key(
        "partitioner", Choice(PARTITIONERS), PARTITIONERS[0],
        "How keys are hashed, by librdkafka's names; the default is Java's way. docs/partitioning.md compares them.",
    )
    partitioner_class: Partitioner | PartitionerObject | type | None = _key(  # noqa: RUF009  # the call makes a field()
        "partitioner.class", PartitionerClass(), None,
        "Chooses the partition of records that name none, instead of the built-in partitioner.",
        kip=794,
    )
    partitioner_ignore_keys: bool = _key(
        "partitioner.ignore.keys", Flag(), False,
        "Whether the built-in partitioner treats records with a key like those without.", kip=794,
    )
    partitioner_adaptive_partitioning_enable: bool = _key(
        "partitioner.adaptive.partitioning.enable", Flag(), True,
        "Whether partitions with long queues get fewer of the records without a key.", kip=794,
    )
    partitioner_availability_timeout_ms: int = _key(
        "partitioner.availability.timeout.ms", _DURATION, 0,
        "Time after which partitions whose broker takes nothing get no records without a key; 0 for never. Without "
        "adaptive partitioning it has no effect.", kip=794,
    )

    interceptor_classes: tuple[Interceptor, ...] = _key(
        "interceptor.classes", Objects("a list of interceptors"), (),
        "Instances that see each record before it is serialized, and each outcome, in this order.",
        kip=42,
    )

    allow_auto_create_topics: bool = _key(
        "allow.auto.create.topics", Flag(), True,
        "Whether brokers may create a topic that is asked for; Java's producer always lets them.",
    )
    metadata_max_age_ms: int = _key(
        "metadata.max.age.ms", _DURATION, 300_000,
        "Age at which metadata is fetched again although nothing went wrong.",
        aliases=("topic.metadata.refresh.interval.ms",),
    )
    metadata_max_idle_ms: int = _key(
        "metadata.max.idle.ms", Whole(5_000, LONG_MAX, clip_to=MAX_DURATION_MS), 300_000,
        "Time after which a topic that gets no records is forgotten.", kip=526,
    )
    metadata_recovery_strategy: str = _key(
        "metadata.recovery.strategy", Choice(("rebootstrap", "none"), ignores_case=True), "rebootstrap",
        "What is done when no known broker can be reached: start again from bootstrap.servers, or nothing.",
        kip=899,
    )
    metadata_recovery_rebootstrap_trigger_ms: int = _key(
        "metadata.recovery.rebootstrap.trigger.ms", _DURATION, 300_000,
        "Time without metadata after which the recovery strategy acts.", kip=1102,
    )

    reconnect_backoff_ms: int = _key(
        "reconnect.backoff.ms", _DURATION, 50,
        "First delay before a broker is dialled again; given alone, it is also the last.",
    )
    reconnect_backoff_max_ms: int = _key(
        "reconnect.backoff.max.ms", _DURATION, 1_000,
        "Longest delay before a broker is dialled again.", kip=144,
    )
    retry_backoff_ms: int = _key(
        "retry.backoff.ms", _DURATION, 100,
        "First delay before a failed request is sent again.", kip=580,
    )
    retry_backoff_max_ms: int = _key(
        "retry.backoff.max.ms", _DURATION, 1_000,
        "Longest delay before a failed request is sent again.", kip=580,
    )
    socket_connection_setup_timeout_ms: int = _key(
        "socket.connection.setup.timeout.ms", _POSITIVE_DURATION, 10_000,
        "Time that the first attempt to connect to a broker may take.", kip=601,
    )
    socket_connection_setup_timeout_max_ms: int = _key(
        "socket.connection.setup.timeout.max.ms", _POSITIVE_DURATION, 30_000,
        "Time that an attempt to connect may take after several failed ones.", kip=601,
    )
    connections_max_idle_ms: int = _key(
        "connections.max.idle.ms", Whole(-1, LONG_MAX, clip_to=MAX_DURATION_MS), 540_000,
        "Time after which an unused connection is closed; -1 for never.",
    )
    # Unlike Java (131072 and 32768): setting a size switches the kernel's autotuning off, and 128 KiB in
    # flight hold a link of 50 ms round trip at 2.6 MB/s.
    send_buffer_bytes: int = _key(
        "send.buffer.bytes", _BUFFER_SIZE, -1,
        "SO_SNDBUF of connections; -1 leaves it to the operating system.",
        aliases=("socket.send.buffer.bytes",),
    )
    receive_buffer_bytes: int = _key(
        "receive.buffer.bytes", _BUFFER_SIZE, -1,
        "SO_RCVBUF of connections; -1 leaves it to the operating system.",
        aliases=("socket.receive.buffer.bytes",),
    )

    metrics_num_samples: int = _key(
        "metrics.num.samples", _POSITIVE_INT, 2,
        "Windows that rates, means and maxima of metrics() are of, the one under way among them.",
    )
    metrics_sample_window_ms: int = _key(
        "metrics.sample.window.ms", _DURATION, 30_000,
        "Length of such a window, at least 100.",
    )
    metrics_recording_level: str = _key(
        "metrics.recording.level", Choice(("INFO", "DEBUG", "TRACE")), "INFO",
        "What metrics() tells: INFO the producer, its brokers and topics; DEBUG and TRACE every partition too.",
        kip=105,
    )
    statistics_interval_ms: int = _key(
        "statistics.interval.ms", Whole(0, 86_400_000), 0,
        "Time between two calls of statistics.callback and two lines of the logger kproducer.statistics (at "
        "INFO); 0 for neither.",
    )
    statistics_callback: StatisticsCallback | None = _key(  # noqa: RUF009  # the call makes a field()
        "statistics.callback", Function(takes_class=False), None,
        "Takes what metrics() returns, on the delivery thread.",
    )

    idempotence_note: str = ""
    adjustments: tuple[str, ...] = field(default=(), compare=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    record_rules: RecordRules | None = field(default=None, compare=False)

    def effective(self) -> dict[str, object]:
        """Return the values in use by dotted name, as `parse_config` takes them; secrets are masked."""
        return {key.name: _presentable(key, getattr(self, key.field_name)) for key in KEYS.values()}

    def describe(self) -> str:
        """Return the values in use as text, each with where it comes from, and what was changed by itself and why.

        Secrets are masked.
        """
        width = max(map(len, KEYS))
        lines = [
            f"{key.name:{width}} = {self._shown(key)}  ({self.origins.get(key.name, 'default')})"
            for key in KEYS.values()
        ]
        return "\n".join(lines + [f"# {sentence}" for sentence in self.adjustments])

    def _shown(self, key: Key) -> str:
        value = getattr(self, key.field_name)
        return key.show(", ".join(map(str, value)) if isinstance(value, tuple) else value)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{key.field_name}={key.show(value)}"
            for key in KEYS.values()
            if (value := getattr(self, key.field_name)) != key.default
        )
        return f"ProducerConfig({shown})"


def _presentable(key: Key, value: object) -> object:
    if key.is_secret:
        return "***"
    return [str(address) for address in value] if isinstance(value, tuple) else value


# fmt: on


KEYS: Final[Mapping[str, Key]] = {
    key.name: key for f in fields(ProducerConfig) if (key := f.metadata.get("key")) is not None
}
NOT_BUILT: Final[Mapping[str, Key]] = {key.name: key for key in NOT_BUILT_KEYS}
ALL_KEYS: Final[Mapping[str, Key]] = {**KEYS, **NOT_BUILT}
