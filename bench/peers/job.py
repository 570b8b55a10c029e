"""What one client is asked to do in one run, and what came of it: the words between runner and worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One run of one client in one fresh process."""

    client: str
    bootstrap_servers: str
    topic: str
    partitions: int
    size: int  # bytes of each value
    records: int  # inside the clock
    warmup: int  # records sent and flushed before the clock starts
    batch_size: int | None  # batch.size in bytes for every client; None: the client's own default
    linger_ms: float


@dataclass(frozen=True)
class Measured:
    """What a worker measured from the first send to the return of flush."""

    sent: int  # warm-up included
    timed: int  # records inside the clock
    seconds: float
    cpu_s: float  # user and system, of every thread of the client's process (and of the JVM, for Java)
    max_rss_mb: float
    version: str
