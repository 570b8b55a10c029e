"""Every metric, declared once: its name, unit and meaning, and how it follows from the counters.

`python -m kproducer.metrics.reference` writes the tables of docs/metrics.md from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from kproducer.metrics.view import Times, View

PRODUCER: Final = "producer-metrics"
NODE: Final = "producer-node-metrics"
TOPIC: Final = "producer-topic-metrics"
PARTITION: Final = "producer-partition-metrics"

Formula = Callable[[View], float]
_NS_PER_MS: Final = 1_000_000


class Metric(NamedTuple):
    """What stands under one name in a group of `metrics()`.

    name: as there. One that ends in -total only grows; all others may fall.
    unit: records, bytes, ms and so on; of a rate, of a second.
    doc: what it tells.
    is_java: whether Java's producer has it under this name.
    value: how it follows from the counters; for the producer itself.
    """

    name: str
    unit: str
    doc: str
    is_java: bool
    value: Formula


def _pair(stem: str, unit: str, counter: str, doc: str, *, is_java: bool = True) -> tuple[Metric, Metric]:
    return (
        Metric(f"{stem}-rate", f"{unit}/s", doc, is_java, lambda v: v.rate(counter)),
        Metric(f"{stem}-total", unit, doc, is_java, lambda v: v.total(counter)),
    )


def _times(stem: str, histogram: str, doc: str, *, is_java: bool = True) -> tuple[Metric, ...]:
    def of(suffix: str, what: str, pick: Callable[[Times], float], *, in_java: bool = False) -> Metric:
        return Metric(f"{stem}-{suffix}", "ms", f"{what} {doc}", in_java, lambda v: pick(v.times(histogram)))

    return (
        of("avg", "Mean of", lambda times: times.avg, in_java=is_java),
        of("max", "Largest", lambda times: times.max, in_java=is_java),
        of("p50", "Median of", lambda times: times.p50),
        of("p95", "95 % are at most this:", lambda times: times.p95),
        of("p99", "99 % are at most this:", lambda times: times.p99),
        of("p99.9", "99.9 % are at most this:", lambda times: times.p99_9),
    )


def _run_times(stem: str, histogram: str) -> tuple[Metric, ...]:
    def of(suffix: str, pick: Callable[[Times], float]) -> Metric:
        doc = f"As {stem}-{suffix}, since the producer was made."
        return Metric(f"{stem}-run-{suffix}", "ms", doc, False, lambda v: pick(v.run_times(histogram)))

    return (
        of("avg", lambda times: times.avg),
        of("max", lambda times: times.max),
        of("p50", lambda times: times.p50),
        of("p95", lambda times: times.p95),
        of("p99", lambda times: times.p99),
        of("p99.9", lambda times: times.p99_9),
    )


def _gauge(name: str, unit: str, counter: str, doc: str, *, is_java: bool = True) -> Metric:
    return Metric(name, unit, doc, is_java, lambda v: v.total(counter))


def _mean(name: str, unit: str, part: str, whole: str, doc: str, *, is_java: bool = True) -> Metric:
    return Metric(name, unit, doc, is_java, lambda v: v.mean(part, whole))


def _largest(name: str, unit: str, what: str, doc: str) -> Metric:
    return Metric(name, unit, doc, True, lambda v: v.largest(what))


def _throttle(*, is_java: bool) -> tuple[Metric, ...]:
    return (
        Metric("produce-throttle-time-avg", "ms",
               "Time for which an answer told the producer to send nothing: the mean of all answers.",
               is_java, lambda v: v.mean("throttle_ns", "responses") / _NS_PER_MS),
        Metric("produce-throttle-time-max", "ms", "The longest such time.",
               is_java, lambda v: v.largest("throttle_ns") / _NS_PER_MS),
        Metric("produce-throttle-time-total", "ms", "All such times together.",
               False, lambda v: v.total("throttle_ns") / _NS_PER_MS),
    )  # fmt: skip


def _network(*, is_java: bool = True) -> tuple[Metric, ...]:
    return (
        *_pair("request", "requests", "requests", "Produce requests that were sent.", is_java=is_java),
        *_pair("response", "responses", "responses", "Answers to them.", is_java=is_java),
        _mean("request-size-avg", "bytes", "request_bytes", "requests", "Mean size of a Produce request."),
        _largest("request-size-max", "bytes", "request_bytes", "Largest Produce request."),
        *_pair("outgoing-byte", "bytes", "outgoing_bytes", "Bytes written to produce connections."),
        *_pair("incoming-byte", "bytes", "incoming_bytes", "Bytes read from produce connections."),
    )


def _records(*, is_java: bool) -> tuple[Metric, ...]:
    """Of the producer, of a topic and of a partition; of a partition Java has none."""
    return (
        *_pair("record-send", "records", "records_acked", "Records that were acknowledged.", is_java=is_java),
        *_pair("record-error", "records", "records_failed", "Records that failed for good.", is_java=is_java),
        *_pair("record-retry", "records", "record_retries",
               "Records that were sent again, counted each time.", is_java=is_java),
    )  # fmt: skip


def _batches(*, has_java_size: bool = False) -> tuple[Metric, ...]:
    return (
        *_pair("batch", "batches", "batches_sent", "Batches that were sent, those sent again included.", is_java=False),
        _mean("batch-size-avg", "bytes", "wire_bytes", "batches_sent", "Mean size of a batch as sent.",
              is_java=has_java_size),
        _mean("records-per-batch-avg", "records", "records_sent", "batches_sent", "Mean number of records of a batch.",
              is_java=False),
    )  # fmt: skip


def _skew(view: View) -> float:
    records = view.total("records_acked")
    return view.total("most_records") * view.total("partitions") / records if records else 1.0


def _queued(view: View) -> float:
    # One that expired in flight has its outcome before its answer.
    return max(0, view.total("batches_pending") - view.total("batches_in_flight"))


_ACKED_BYTES: Final = "Bytes of acknowledged batches, after compression."
_COMPRESSION: Final = "Size of batches as sent by their size before compression; 1 without."
_IN_FLIGHT: Final = _gauge(
    "batches-in-flight",
    "batches",
    "batches_in_flight",
    "Batches that were sent and not answered yet.",
    is_java=False,
)
_QUEUED: Final = Metric(
    "batches-queued", "batches", "Batches that are open or wait to be sent, also again.", False, _queued
)

# One argument a line would make this table three screens longer.
# fmt: off
ALL_METRICS: Final[Mapping[str, tuple[Metric, ...]]] = {
    PRODUCER: (
        *_records(is_java=True),
        *_pair("byte", "bytes", "bytes_acked", _ACKED_BYTES, is_java=False),
        *_batches(has_java_size=True),
        _largest("batch-size-max", "bytes", "batch_bytes", "Largest batch as sent."),
        *_pair("batch-split", "splits", "batch_splits", "Batches that were too large for the broker, and were cut."),
        _mean("compression-rate-avg", "ratio", "wire_bytes", "raw_bytes", _COMPRESSION),
        _mean("record-size-avg", "bytes", "raw_bytes", "records_sent",
              "Mean size of a record before compression, its share of the batch's header included."),
        _largest("record-size-max", "bytes", "record_bytes", "Largest record as encoded, before compression."),
        _mean("records-per-request-avg", "records", "records_sent", "requests", "Mean number of records of a request."),

        *_times("record-queue-time", "queue", "times from a batch's first record to its first sending."),
        *_times("request-latency", "request", "times from a Produce request to its answer."),
        *_times("record-delivery-time", "delivery",
                "times from a batch's first record to its acknowledgement, retries included.", is_java=False),
        *_run_times("record-queue-time", "queue"),
        *_run_times("request-latency", "request"),
        *_run_times("record-delivery-time", "delivery"),

        *_network(),
        Metric("network-io-rate", "operations/s", "Requests and answers.", True,
               lambda v: v.rate("requests") + v.rate("responses")),
        Metric("network-io-total", "operations", "Requests and answers.", True,
               lambda v: v.total("requests") + v.total("responses")),
        _gauge("requests-in-flight", "requests", "requests_in_flight", "Requests without an answer yet."),
        *_throttle(is_java=True),
        _gauge("connection-count", "connections", "connections", "Produce connections that are open."),
        *_pair("connection-creation", "connections", "connections_adopted", "Produce connections that were opened."),
        *_pair("connection-close", "connections", "connections_closed", "Produce connections that were closed."),

        _gauge("buffer-total-bytes", "bytes", "buffer_total_bytes", "buffer.memory."),
        _gauge("buffer-available-bytes", "bytes", "buffer_available_bytes", "What is free of it."),
        Metric("bufferpool-wait-ratio", "ratio", "Time that threads waited for memory, by the time that passed.", True,
               lambda v: v.rate("buffer_wait_ns") / 1e9),
        _gauge("bufferpool-wait-time-ns-total", "ns", "buffer_wait_ns", "Time that threads waited for memory."),
        *_pair("buffer-exhausted", "waits", "buffer_exhausted", "Waits for memory that ended in BufferExhaustedError."),
        _gauge("waiting-threads", "threads", "buffer_waiting", "Threads that wait for memory."),

        Metric("metadata-age", "s", "Age of the newest answer about the cluster.", True,
               lambda v: v.total("metadata_age_ms") / 1000),
        _gauge("metadata-wait-time-ns-total", "ns", "metadata_wait_ns", "Time that callers waited for metadata."),
        _gauge("flush-time-ns-total", "ns", "flush_ns",
               "Time that callers waited for outcomes in flush(), close() and commit_transaction()."),
        _gauge("txn-init-time-ns-total", "ns", "txn_init_ns", "Time in init_transactions()."),
        _gauge("txn-begin-time-ns-total", "ns", "txn_begin_ns", "Time in begin_transaction()."),
        _gauge("txn-send-offsets-time-ns-total", "ns", "txn_send_offsets_ns", "Time in send_offsets_to_transaction()."),
        _gauge("txn-commit-time-ns-total", "ns", "txn_commit_ns", "Time in commit_transaction()."),
        _gauge("txn-abort-time-ns-total", "ns", "txn_abort_ns", "Time in abort_transaction()."),

        _gauge("record-dropped-total", "records", "records_dropped",
               "Records that made room for newer ones (buffer.full.policy=drop-oldest).", is_java=False),
        _gauge("dead-letter-total", "records", "dead_letters", "Refused records that became dead letters.",
               is_java=False),
        _gauge("dead-letter-dropped-total", "records", "dead_letters_dropped",
               "Dead letters for which no room was left.", is_java=False),
        _gauge("sequence-gap-total", "gaps", "sequence_gaps",
               "Times that records may be missing in front of those that follow.", is_java=False),
        _gauge("late-ack-total", "batches", "late_acks", "Batches that were acknowledged after they had expired.",
               is_java=False),
        _gauge("protocol-error-total", "connections", "protocol_errors",
               "Connections that were closed because of an answer that makes no sense.", is_java=False),
    ),
    NODE: (
        *_times("request-latency", "request", "times from a Produce request to this broker to its answer."),
        *_network(),
        _gauge("requests-in-flight", "requests", "requests_in_flight", "Requests without an answer yet.",
               is_java=False),
        *_throttle(is_java=False),
    ),
    TOPIC: (
        *_records(is_java=True),
        *_pair("byte", "bytes", "bytes_acked", _ACKED_BYTES),
        _mean("compression-rate", "ratio", "wire_bytes", "raw_bytes", _COMPRESSION),
        *_batches(),
        _IN_FLIGHT,
        _QUEUED,
        _gauge("partition-count", "partitions", "partitions", "Partitions of the topic.", is_java=False),
        Metric("record-skew", "ratio",
               "Records of the fullest partition by the mean of all, since the producer was made: 1 is even.",
               False, _skew),
    ),
    PARTITION: (
        *_records(is_java=False),
        *_pair("byte", "bytes", "bytes_acked", _ACKED_BYTES, is_java=False),
        _mean("compression-rate", "ratio", "wire_bytes", "raw_bytes", _COMPRESSION, is_java=False),
        *_batches(),
        _IN_FLIGHT,
        _QUEUED,
        Metric("last-offset", "offset", "Offset of the last record that was acknowledged; -1 for none.", False,
               lambda v: v.total("next_offset") - 1),
    ),
}
# fmt: on
