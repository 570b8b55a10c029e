"""What the pump counts for each partition, batch by batch, in the order of csrc/kp_stats.h; a histogram of times."""

from __future__ import annotations

from typing import NamedTuple


class PartitionCounters(NamedTuple):
    """Counts since the topic was first asked for.

    records_sent, batches_sent: in requests; those sent again count again.
    raw_bytes, wire_bytes: of those batches before and after compression.
    record_retries: records sent again.
    records_acked, batches_acked, records_failed, batches_failed: by their outcome.
    bytes_acked: of those batches as they were sent, after compression.
    batches_pending, batches_in_flight: at this moment, without an outcome and without an answer.
    next_offset: the last acknowledged one and 1; 0 for none.
    """

    records_sent: int
    batches_sent: int
    raw_bytes: int
    wire_bytes: int
    record_retries: int
    records_acked: int
    records_failed: int
    batches_acked: int
    batches_failed: int
    bytes_acked: int
    batches_pending: int
    batches_in_flight: int
    next_offset: int


class Histogram(NamedTuple):
    """Times since the producer was made.

    buckets: how many were within each of `readings.BUCKET_LIMITS_US`.
    sum_ns, max_ns: of all of them.
    """

    buckets: tuple[int, ...]
    sum_ns: int
    max_ns: int
