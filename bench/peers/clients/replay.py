"""The broker's own limit: batches encoded before the clock starts, replayed by a raw socket.

What remains is one `sendall` per request, so the rate is the broker's (or the sink's) and no client's.
"""

from __future__ import annotations

import time

from bench.peers.job import Job
from bench.peers.wire import Connection, fill_batch, produce_errors, produce_frame

IN_FLIGHT = 5  # as max.in.flight.requests.per.connection of the clients
DISTINCT_FRAMES = 2
OWN_BATCH_SIZE = 131_072  # larger batches gain nothing on the broker any more


class ReplayClient:
    """Sends acks=all requests with one pre-encoded batch for each partition, five in flight."""

    version = "raw socket"
    warms_up = True
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        self._frames: list[tuple[bytes, int]] = []
        size_bytes = job.batch_size if job.batch_size is not None else OWN_BATCH_SIZE
        # A pool that is shorter than a batch would make the batch smaller than asked for.
        values = pool * (1 + 2 * size_bytes // sum(map(len, pool)))
        for turn in range(DISTINCT_FRAMES):
            self._frames.append(_make_frame(job, values[turn * len(values) // 4 :], size_bytes))
        self._connection = Connection(job.bootstrap_servers)
        self._unanswered = 0

    def send_all(self, values: list[bytes]) -> int:
        """Send at least `len(values)` records in whole requests and return how many they were."""
        sent, turn = 0, 0
        while sent < len(values):
            if self._unanswered == IN_FLIGHT:
                self._await_one()
            frame, records = self._frames[turn % DISTINCT_FRAMES]
            self._connection.send(frame)
            self._unanswered += 1
            sent += records
            turn += 1
        return sent

    def flush(self) -> None:
        """Wait for the answers that are missing."""
        while self._unanswered:
            self._await_one()

    def _await_one(self) -> None:
        errors = [code for code in produce_errors(self._connection.receive()) if code]
        if errors:
            raise RuntimeError(f"the broker refused a replayed batch: error codes {errors}")
        self._unanswered -= 1

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _make_frame(job: Job, values: list[bytes], size_bytes: int) -> tuple[bytes, int]:
    batches, total = {}, 0
    batch, count = fill_batch(values, size_bytes, int(time.time() * 1000))
    for index in range(job.partitions):
        batches[index] = batch
        total += count
    return produce_frame(job.topic, batches), total
