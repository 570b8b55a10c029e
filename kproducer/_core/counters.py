"""What the pump counts for each partition, batch by batch; the names and their order are those of csrc/kp_stats.h."""

from __future__ import annotations

from typing import NamedTuple


class PartitionCounters(NamedTuple):
    """Counts since the topic was first asked for.

    records_sent, batches_sent: in requests; those sent again count again.
    raw_bytes, wire_bytes: of those batches before and after compression.
    record_retries: records sent again.
    records_acked, batches_acked, records_failed, batches_failed: by their outcome.
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
