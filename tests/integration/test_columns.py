"""send_columns() and the ingest of tables against real Kafka; everything is read back by confluent-kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaProducer
from kproducer._core.hashing import murmur2_partition
from kproducer.cli import main
from kproducer.testing import KafkaCluster
from tests.integration.readback import Seen, new_topic, read_all

REASON = "needs the dependency group `columns`, which `make dev` installs"
np: Any = pytest.importorskip("numpy", reason=REASON)
pa: Any = pytest.importorskip("pyarrow", reason=REASON)
pq: Any = pytest.importorskip("pyarrow.parquet", reason=REASON)
pl: Any = pytest.importorskip("polars", reason=REASON)
pd: Any = pytest.importorskip("pandas", reason=REASON)

PARTITIONS = 4
ROWS = 20_000
KEYS = [b"key %d" % (n * 7919 % 5003) if n % 11 else None for n in range(ROWS)]
VALUES = [f"value {n} " + "x" * (n % 50) if n % 13 else None for n in range(ROWS)]
HEADERS = [[("n", b"%d" % n), ("null", None)] if n % 3 == 0 else None for n in range(ROWS)]
STAMPS = [1_700_000_000_000 + n for n in range(ROWS)]
CHOSEN = [n * 31 % PARTITIONS for n in range(ROWS)]


def expected(partition: int) -> list[tuple[object, ...]]:
    return [
        (
            None if VALUES[n] is None else str(VALUES[n]).encode(),
            KEYS[n],
            tuple(HEADERS[n] or ()),
            STAMPS[n],
        )
        for n in range(ROWS)
        if CHOSEN[n] == partition
    ]


def found(seen: list[Seen], partition: int) -> list[tuple[object, ...]]:
    return [(s.value, s.key, s.headers, s.timestamp_ms) for s in seen if s.partition == partition]


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_every_part_of_every_row_is_read_back(kafka: KafkaCluster, codec: str) -> None:
    topic = new_topic()
    kafka.create_topic(topic, PARTITIONS)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type=codec) as producer:
        result = producer.send_columns(
            topic,
            pl.Series(VALUES),
            keys=pa.chunked_array([pa.array(KEYS[:777]), pa.array(KEYS[777:])]),
            headers=pa.array(HEADERS, pa.map_(pa.string(), pa.binary())),
            partitions=np.array(CHOSEN, "i4"),
            timestamps_ms=pd.Series(pd.to_datetime(STAMPS, unit="ms")),
        ).wait(60)
        assert (result.count, result.failed_rows()) == (ROWS, [])
        assert result.base_offsets() == {(topic, p): [(0, CHOSEN.count(p))] for p in range(PARTITIONS)}
    seen = read_all(kafka.bootstrap_servers, topic, PARTITIONS)
    for partition in range(PARTITIONS):
        assert found(seen, partition) == expected(partition)


def test_keys_of_a_column_land_where_keys_of_send_do(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic, PARTITIONS)
    keys = [b"user-%d" % n for n in range(ROWS)]
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        producer.send_columns(topic, np.array(keys), np.array(keys)).wait(60)
    seen = read_all(kafka.bootstrap_servers, topic, PARTITIONS)
    assert len(seen) == ROWS
    assert all(s.key == s.value and s.partition == murmur2_partition(s.key or b"", PARTITIONS) for s in seen)
    for partition in range(PARTITIONS):
        in_order = [s.key for s in seen if s.partition == partition]
        assert in_order == [key for key in keys if murmur2_partition(key, PARTITIONS) == partition]


def test_columns_in_a_transaction_are_seen_when_it_is_committed(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    rows = np.array([b"%d" % n for n in range(1000)])
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send_columns(topic, rows)
        producer.abort_transaction()
        with producer.transaction():
            producer.send_columns(topic, rows)
    # The watermark counts markers and aborted records, too.
    seen = read_all(kafka.bootstrap_servers, topic, count=1000)
    assert [s.value for s in seen] == rows.tolist()


def test_a_parquet_file_is_ingested(kafka: KafkaCluster, tmp_path: Path) -> None:
    topic = new_topic()
    kafka.create_topic(topic, PARTITIONS)
    table = pa.table(
        {
            "body": VALUES,
            "key": pa.array(KEYS, pa.binary()),
            "part": pa.array(CHOSEN, pa.int32()),
            "at": pa.array(STAMPS, pa.timestamp("ms")),
            "tags": pa.array(HEADERS, pa.map_(pa.string(), pa.binary())),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=3000)
    common = [
        "ingest",
        "--bootstrap-server",
        kafka.bootstrap_servers,
        "--topic",
        topic,
        "--format",
        "parquet",
    ]
    names = ["--value-column", "body", "--key-column", "key", "--partition-column", "part"]
    more = ["--timestamp-column", "at", "--header-column", "tags", str(tmp_path / "rows.parquet")]
    assert main([*common, *names, *more]) == 0
    seen = read_all(kafka.bootstrap_servers, topic, PARTITIONS)
    for partition in range(PARTITIONS):
        assert found(seen, partition) == expected(partition)
