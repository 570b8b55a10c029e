"""The rows of the table, as data: who is compared with whom, at what, and what is to come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bench.peers.job import Job
from bench.peers.payload import ROOT
from bench.peers.runner import Contestant
from bench.peers.targets import KafkaPlace, SinkPlace
from bench.table.scenario import AT_LEAST, AT_MOST, OWN, WITHIN, Goal, Row, Scenario

CONFLUENT = "confluent-kafka"
CONFLUENT_FULL = "confluent-kafka, poll when full"
CONFLUENT_THREAD = "confluent-kafka, poll thread"
JAVA = "Java ProducerPerformance"
AIOKAFKA = "aiokafka"
KAFKA_PYTHON = "kafka-python"
LIMIT = "replay: the server's limit"

DEFAULT_DATA = "../shared/data"
BATCHES = {"16k": 16_384, "128k": 131_072, "own": None}
BATCH_TEXTS = {"16k": "batch.size 16 KiB", "128k": "batch.size 128 KiB", "own": "each its own batch.size"}
LARGE_BATCH = BATCHES["128k"]
MOST_RECORDS, MOST_BYTES = 3_000_000, 300_000_000
MIB = 1024 * 1024
SINK, KAFKA = SinkPlace(), KafkaPlace()
LOG_RECORDS = 2_000_000
BUFFER_MIB = 32  # the default of buffer.memory


@dataclass(frozen=True)
class Means:
    """What the caller has that not every machine has.

    Args:
        data: folder with the real logs, relative to the repository. Default ../shared/data.
        free_threaded: a Python without GIL that can import kproducer. Default None.
    """

    data: str = DEFAULT_DATA
    free_threaded: str | None = None


def all_rows(means: Means | None = None) -> tuple[Row, ...]:
    """Return every row, in the order of the page."""
    means = means or Means()
    return (
        produce_row(),
        kafka_row(),
        burners_row(),
        wire_row(),
        callback_latency_row(),
        callback_row(),
        future_row(),
        many_row(),
        bulk_row(),
        codec_row(means),
        threads_row(means),
        topics_row(),
        start_row(),
        memory_row(),
    )


def _records(size: int) -> int:
    return min(MOST_RECORDS, MOST_BYTES // size)


def _contestant(name: str, client: str, **settings: Any) -> Contestant:
    return Contestant(name, Job(client, **settings))


def _burners(count: int) -> str:
    return "1 burner" if count == 1 else f"{count} burners"


def produce_row() -> Row:
    """`produce()` on the sink."""
    targets = {100: (8.0, 1 / 8), 1024: (4.0, 1 / 4)}
    return Row(
        "produce",
        "produce() on the sink",
        "One thread, one `produce()` a record, no key, no callback, 6 partitions, `linger.ms=5`, no codec.",
        tuple(
            Scenario(
                f"produce-{size}-{name}",
                f"produce(), {size:,} B, {BATCH_TEXTS[name]}, sink",
                SINK,
                tuple(
                    _contestant(who, client, size=size, batch_size=batch_size, records=_records(size))
                    for who, client in ((OWN, "kproducer"), (CONFLUENT, "confluent"), (LIMIT, "replay"))
                ),
                (
                    Goal("rate", AT_LEAST, rate, (CONFLUENT,)),
                    Goal("cpu", AT_MOST, cpu, (CONFLUENT,)),
                ),
            )
            for size, (rate, cpu) in targets.items()
            for name, batch_size in BATCHES.items()
        ),
        plots=("rate", "cpu"),
    )


def kafka_row() -> Row:
    """`produce()` on a real broker."""
    return Row(
        "kafka",
        "produce() on a real broker",
        "The same on Kafka 4.4, one broker, 6 partitions, `acks=all`, idempotent. The limit is a raw socket "
        "that replays batches encoded beforehand, of the same size, five requests in flight; with each "
        "client's own `batch.size` it replays 128 KiB and is no goal.",
        tuple(_kafka_scenario(size, name) for size in (100, 1024) for name in BATCHES),
        plots=("rate", "cpu"),
    )


def _kafka_scenario(size: int, name: str) -> Scenario:
    clients = ((OWN, "kproducer"), (CONFLUENT, "confluent"), (JAVA, "java"), (LIMIT, "replay"))
    limit = Goal("rate", AT_LEAST, 0.85 if size == 100 else 0.9, (LIMIT,))
    cpu = Goal("cpu", AT_MOST, 1 / 6, (CONFLUENT,))
    rates = (
        Goal("rate", AT_LEAST, 2.5, (CONFLUENT,)),
        Goal("rate", AT_LEAST, 4, (JAVA,)),
        Goal("cpu", AT_MOST, 1 / 12, (JAVA,)),
    )
    return Scenario(
        f"kafka-{size}-{name}",
        f"produce(), {size:,} B, {BATCH_TEXTS[name]}, real Kafka",
        KAFKA,
        tuple(
            _contestant(who, client, size=size, batch_size=BATCHES[name], records=_records(size))
            for who, client in clients
        ),
        (*(() if name == "own" else (limit,)), cpu, *(rates if size == 100 else ())),
    )


def burners_row() -> Row:
    """Flat out beside threads that burn CPU in Python."""
    return Row(
        "burners",
        "Flat out beside threads that burn CPU in Python",
        "One thread sends 100 B records as fast as it can, 1 or 2 others do json work and never call the "
        "client. confluent-kafka runs three loops, and the best one counts: `poll(0)` every 10,000 records, "
        "`poll` only when its queue is full, a thread that polls. The fair share of the GIL beside 1 or 2 "
        "threads is 1/2 or 1/3.",
        (*(_burners_on_kafka(burners, bound) for burners, bound in ((1, 4.0), (2, 6.0))), _burners_on_sink()),
        columns=("rate", "rss_mib"),  # the CPU of the process is mostly the burners'
    )


def _burners_on_kafka(burners: int, bound: float) -> Scenario:
    loops = {
        CONFLUENT: "confluent",
        CONFLUENT_FULL: "confluent-poll-when-full",
        CONFLUENT_THREAD: "confluent-poll-thread",
    }
    # More than confluent-kafka's queue of a million, or it would never be full.
    shared: dict[str, Any] = {"batch_size": LARGE_BATCH, "burners": burners, "records": 1_500_000}
    return Scenario(
        f"burners-kafka-{burners}",
        f"produce() beside {_burners(burners)}, 100 B, real Kafka",
        KAFKA,
        (
            _contestant(OWN, "kproducer", **shared),
            *(_contestant(name, client, **shared) for name, client in loops.items()),
        ),
        (Goal("rate", AT_LEAST, bound, tuple(loops)),),
    )


def _burners_on_sink() -> Scenario:
    names = {burners: f"{OWN} beside {burners}" for burners in (1, 2)}
    alone = _contestant(OWN, "kproducer", batch_size=LARGE_BATCH, records=MOST_RECORDS)
    return Scenario(
        "burners-sink",
        "produce() beside burners against produce() alone, 100 B, sink",
        SINK,
        (
            alone,
            *(Contestant(name, replace(alone.job, burners=burners)) for burners, name in names.items()),
        ),
        tuple(
            Goal("rate", AT_LEAST, 0.8 / (1 + burners), (OWN,), of=name) for burners, name in names.items()
        ),
    )


def wire_row() -> Row:
    """Wire latency."""
    shared: dict[str, Any] = {
        "measure": "wire",
        "records": 3000,
        "per_second": 200,
        "linger_ms": 0,
        "warmup": 200,
    }
    return Row(
        "wire",
        "Wire latency",
        "From the call to the arrival of its request at the sink (both stamped on `CLOCK_MONOTONIC`): 200 "
        "records/s of 100 B, `linger.ms=0`, one partition, beside 0, 1 and 2 threads that burn CPU in "
        "Python.",
        tuple(
            Scenario(
                f"wire-{burners}",
                f"wire latency at 200 records/s beside {_burners(burners)}",
                SinkPlace(partitions=1, stamp=True),
                (
                    _contestant(OWN, "kproducer", burners=burners, **shared),
                    _contestant(CONFLUENT, "confluent", burners=burners, **shared),
                ),
                (
                    Goal("p50_ms", AT_MOST, 1.0, (CONFLUENT,)),
                    Goal("p99_ms", AT_MOST, 1.2, (CONFLUENT,)),
                ),
            )
            for burners in (0, 1, 2)
        ),
        columns=("p50_ms", "p99_ms", "p999_ms"),
        plots=("p50_ms", "p99_ms"),
        is_logarithmic=True,
    )


def callback_latency_row() -> Row:
    """Send to callback."""
    clients = {OWN: "kproducer", CONFLUENT: "confluent", AIOKAFKA: "aiokafka"}
    shared: dict[str, Any] = {
        "measure": "callback",
        "records": 100_000,
        "per_second": 5000,
        "linger_ms": 0,
        "warmup": 5000,
    }
    percentiles = ("p50_ms", "p99_ms", "p999_ms")
    return Row(
        "latency",
        "Send to callback",
        "5,000 records/s of 100 B, `linger.ms=0`, real Kafka, a delivery callback each. confluent-kafka has "
        "a thread of its own that polls. aiokafka sleeps in its event loop, whose timer ticks in "
        "milliseconds, so it sends what has become due meanwhile at once.",
        (
            Scenario(
                "latency",
                "send to callback at 5,000 records/s, real Kafka",
                KAFKA,
                tuple(_contestant(name, client, **shared) for name, client in clients.items()),
                tuple(Goal(metric, AT_MOST, 1.0, (CONFLUENT, AIOKAFKA)) for metric in percentiles),
            ),
        ),
        columns=(*percentiles, "cpu"),
        plots=percentiles,
        is_logarithmic=True,
    )


def callback_row() -> Row:
    """`send()` with a callback each."""
    shared: dict[str, Any] = {"batch_size": LARGE_BATCH, "records": 2_000_000}
    return Row(
        "callback",
        "send() with a delivery callback each",
        "100 B, `batch.size` 128 KiB, sink.",
        (
            Scenario(
                "callback",
                "send() with a delivery callback each, 100 B, sink",
                SINK,
                (
                    _contestant(OWN, "kproducer-callback", **shared),
                    _contestant(CONFLUENT, "confluent-callback", **shared),
                ),
                (Goal("rate", AT_LEAST, 4, (CONFLUENT,)),),
            ),
        ),
    )


def future_row() -> Row:
    """`send()` with a future each."""
    return Row(
        "future",
        "send() with a future each",
        "100 B, `batch.size` 128 KiB, sink. Every future is kept, and asked for its result when all records "
        "are sent. The slower clients send fewer records.",
        (
            Scenario(
                "future",
                "send() with a future each, kept and asked, 100 B, sink",
                SINK,
                (
                    _contestant(OWN, "kproducer-future", batch_size=LARGE_BATCH, records=1_000_000),
                    _contestant(AIOKAFKA, "aiokafka-future", batch_size=LARGE_BATCH, records=200_000),
                    _contestant(
                        KAFKA_PYTHON,
                        "kafka-python-future",
                        batch_size=LARGE_BATCH,
                        records=40_000,
                        warmup=2000,
                    ),
                ),
                (
                    Goal("rate", AT_LEAST, 25, (KAFKA_PYTHON,)),
                    Goal("rate", AT_LEAST, 12, (AIOKAFKA,)),
                ),
            ),
        ),
        is_logarithmic=True,
    )


def many_row() -> Row:
    """A list in one call."""
    shared: dict[str, Any] = {"batch_size": LARGE_BATCH, "records": MOST_RECORDS}
    return Row(
        "many",
        "send_many() of a list",
        "100 B, `batch.size` 128 KiB, sink; against `produce_batch` of 10,000 records, whose dictionaries "
        "are made in the clock, as it changes them.",
        (
            Scenario(
                "many",
                "send_many() of a list, 100 B, sink",
                SINK,
                (
                    _contestant(OWN, "kproducer-many", **shared),
                    _contestant(CONFLUENT, "confluent-batch", **shared),
                ),
                (Goal("rate", AT_LEAST, 8, (CONFLUENT,)),),
            ),
        ),
    )


def bulk_row() -> Row:
    """Columns in one call."""
    return Row(
        "bulk",
        "send_columns() against a raw socket",
        "Rows of a buffer (as of a NumPy array of two dimensions), `batch.size` 128 KiB, sink; against a raw "
        "socket that moves batches encoded beforehand to the same sink, whose bytes are as many: the target is "
        "half of its bytes per second.",
        tuple(
            Scenario(
                f"bulk-{size}",
                f"send_columns(), {size:,} B, sink",
                SINK,
                (
                    _contestant(OWN, "kproducer-columns", size=size, **_bulk(size)),
                    _contestant(LIMIT, "replay", size=size, **_bulk(size)),
                ),
                (Goal("mb_s", AT_LEAST, 0.5, (LIMIT,)),),
            )
            for size in (100, 1024)
        ),
        columns=("mb_s", "rate", "cpu", "rss_mib"),
        plots=("mb_s",),
    )


def _bulk(size: int) -> dict[str, Any]:
    """More records than elsewhere: these two are over soon."""
    return {"batch_size": LARGE_BATCH, "records": 4 * _records(size)}


def codec_row(means: Means) -> Row:
    """Compression of real logs."""
    tried: dict[str, dict[str, tuple[int | None, ...]]] = {
        "zstd": dict.fromkeys((CONFLUENT, JAVA), (None, 1, 2, 3, 4, 5)),
        "lz4": {CONFLUENT: (None, 3, 6, 9), JAVA: (None, 1, 3, 6, 12)},
    }
    is_there = any((ROOT / means.data).rglob("*.log"))
    return Row(
        "codec",
        "Compression of real logs",
        "Lines of twelve system logs (loghub), shuffled, `batch.size` 128 KiB, sink. kproducer has its "
        "default level; each peer the level, of those tried, at which its records take nearest to as many "
        "bytes, which must be within 2 %. (Java and librdkafka count a batch by compressed bytes or "
        "otherwise, so their batches differ.)",
        tuple(
            Scenario(
                f"codec-{codec}",
                f"{codec} on real logs, equal ratio, sink",
                SINK,
                tuple(
                    _contestant(
                        name,
                        client,
                        codec=codec,
                        lines_of=means.data,
                        batch_size=LARGE_BATCH,
                        records=LOG_RECORDS,
                    )
                    for name, client in ((OWN, "kproducer"), (CONFLUENT, "confluent"), (JAVA, "java"))
                ),
                (
                    *(Goal("rate", AT_LEAST, 1.3, (peer,)) for peer in (CONFLUENT, JAVA)),
                    *(Goal("record_bytes", WITHIN, 0.02, (peer,)) for peer in (CONFLUENT, JAVA)),
                ),
                levels=levels,
                missing=None if is_there else f"no *.log below {means.data}: name a folder with --data",
            )
            for codec, levels in tried.items()
        ),
        columns=("rate", "cpu", "record_bytes"),
    )


def threads_row(means: Means) -> Row:
    """Several application threads on one producer."""
    no_interpreter = None if means.free_threaded else "needs --free-threaded PYTHON"
    return Row(
        "threads",
        "Four application threads on one producer",
        "100 B, `batch.size` 128 KiB, sink, `produce()`; the same number of records in all.",
        (
            _threads("threads", "4 app threads against one, with the GIL, sink", 0.95, None),
            replace(
                _threads(
                    "threads-free",
                    "4 app threads against one, free-threaded, sink",
                    1.6,
                    means.free_threaded,
                ),
                missing=no_interpreter,
            ),
        ),
    )


def _threads(identity: str, text: str, bound: float, interpreter: str | None) -> Scenario:
    one = Job(
        "kproducer",
        batch_size=LARGE_BATCH,
        records=MOST_RECORDS,
        interpreter=interpreter,
    )
    alone = f"{OWN}, 1 thread"
    return Scenario(
        identity,
        text,
        SINK,
        (Contestant(alone, one), Contestant(f"{OWN}, 4 threads", replace(one, threads=4))),
        (Goal("rate", AT_LEAST, bound, (alone,), of=f"{OWN}, 4 threads"),),
    )


def topics_row() -> Row:
    """Many topics and partitions."""
    return Row(
        "topics",
        "Many topics and partitions",
        "100 B, a random key of 8 bytes each, topics of 10 partitions, `buffer.memory` 256 MiB, sink, the same loop "
        "for all; the warm-up sends to every topic, so all of them are known. One line knows 5,000 topics (50,000 "
        "partitions) and sends to one. With `linger.ms=5` ten thousand partitions get batches of a record or two, "
        "whatever the client; with 500 they fill.",
        (_topics("topics", 5), _topics("topics-linger", 500)),
        columns=("rate", "cpu", "rss_mib", "batch_records"),
        plots=("rate", "cpu"),
    )


def _topics(identity: str, linger_ms: float) -> Scenario:
    one, thousand, known = "1 topic", "1,000 topics", "1 topic, 5,000 known"
    counts = {one: 1, "100 topics": 100, thousand: 1000}
    shared: dict[str, Any] = {
        "records": MOST_RECORDS,
        "buffer_memory": 256 * MIB,
        "linger_ms": linger_ms,
    }
    return Scenario(
        identity,
        f"random keys, topics x 10 partitions, linger.ms={linger_ms:g}, sink",
        SinkPlace(topics=5000, partitions=10),
        (
            *(
                _contestant(name, "kproducer-topics", topics=count, known_topics=count, **shared)
                for name, count in counts.items()
            ),
            _contestant(known, "kproducer-topics", known_topics=5000, **shared),
        ),
        (
            Goal("rate", AT_LEAST, 0.5, (one,), of=thousand),
            Goal("rate", AT_LEAST, 0.95, (one,), of=known),
            Goal("cpu", AT_MOST, 1.05, (one,), of=known),
        ),
    )


def start_row() -> Row:
    """The first record of a process."""
    shared: dict[str, Any] = {"measure": "start", "records": 10, "warmup": 1, "linger_ms": 0}
    return Row(
        "start",
        "Import, construct, first acknowledgement",
        "Fresh interpreters, ten a round, of which the median counts; the interpreter's own start is not in "
        "it. Sink, `linger.ms=0`.",
        (
            Scenario(
                "start",
                "import + construct + first ack, sink",
                SINK,
                (
                    _contestant(OWN, "kproducer", **shared),
                    _contestant(CONFLUENT, "confluent", **shared),
                ),
                (Goal("start_ms", AT_MOST, 1.5, (CONFLUENT,)),),
            ),
        ),
        columns=("import_ms", "construct_ms", "first_ack_ms", "start_ms"),
        plots=("start_ms",),
    )


def memory_row() -> Row:
    """Resident memory."""
    job = Job("kproducer", records=10_000_000, chunk=4096)
    ways = {
        "memory": ("sink", SINK),
        "memory-full": (
            "sink that answers 5 ms late: the buffer is full all the time",
            SinkPlace(delay_ms=5),
        ),
    }
    return Row(
        "memory",
        "Resident memory",
        "`produce()` of ten million records of 100 B; the largest resident memory of the process, "
        "interpreter included. `buffer.memory` is 32 MiB, the default.",
        tuple(
            Scenario(
                identity,
                f"resident memory at 10,000,000 records, {text}",
                place,
                (Contestant(OWN, job),),
                (Goal("rss_mib", AT_MOST, BUFFER_MIB + 48),),
            )
            for identity, (text, place) in ways.items()
        ),
        plots=(),
    )
