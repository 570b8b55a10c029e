"""What one client is asked to do in one run, and what came of it: the words between runner and worker."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One run of one client in one fresh process; the last five fields are filled in by the place it runs at."""

    client: str
    measure: str = "rate"  # a name in worker.MEASURES
    records: int = 100_000  # inside the clock
    size: int = 100  # bytes of each value
    lines_of: str | None = None  # folder whose log lines are the values instead
    batch_size: int | None = None  # batch.size in bytes for every client; None: the client's own default
    linger_ms: float = 5
    codec: str = "none"
    level: int | None = None  # of the codec; None: the client's own default
    buffer_memory: int | None = None  # buffer.memory in bytes, kproducer only; None: its default
    warmup: int = 10_000  # records sent and flushed before the clock starts
    chunk: int | None = None  # values handed over at once; None: all of them in one list
    per_second: int = 0  # pace of the measures of latency
    threads: int = 1  # application threads that send
    burners: int = 0  # threads that burn CPU in Python and never call the client
    topics: int = 1  # topics that records are spread over
    known_topics: int = 1  # topics that the warm-up is spread over, so that the client knows them
    interpreter: str | None = None  # a free-threaded Python; None: the one that runs the benchmark
    bootstrap_servers: str = ""
    topic: str = "bench"
    partitions: int = 6


@dataclass(frozen=True)
class Measured:
    """What a worker measured from the first send to the return of flush."""

    sent: int  # warm-up included
    timed: int  # records inside the clock
    seconds: float
    cpu_s: float  # user and system, of every thread of the client's process (and of the JVM, for Java)
    rss_mib: float  # largest resident memory
    version: str
    values: dict[str, float] = field(default_factory=dict)  # further figures by name
    sent_ns: list[int] = field(default_factory=list)  # each hand-over on CLOCK_MONOTONIC, for wire latency
