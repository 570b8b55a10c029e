"""What each kind of value takes and refuses."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.config import INT_MAX, LONG_MAX, MAX_DURATION_MS, HostPort, parse_config
from kproducer.errors import ConfigError
from kproducer.partitioners import RoundRobinPartitioner
from tests.unit.config.world import message_of, parse


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ("7", 7), (" +7 ", 7), ("7\x1e", 7), (0, 0), (str(INT_MAX), INT_MAX)]
)
def test_whole_numbers_may_be_text(value: object, expected: int) -> None:
    assert parse({"batch.size": value}).batch_size == expected


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("retries", 0, INT_MAX),
        ("max.in.flight.requests.per.connection", 1, 5),
        ("buffer.memory", 0, LONG_MAX),
        ("max.request.size", 0, INT_MAX),
        ("compression.lz4.level", 1, 17),
        ("compression.zstd.level", -131072, 22),
        ("metadata.max.idle.ms", 5000, None),
        ("socket.connection.setup.timeout.ms", 1, None),
        ("connections.max.idle.ms", -1, None),
        ("send.buffer.bytes", -1, INT_MAX),
        ("max.block.ms", 0, None),
    ],
)
def test_ranges_hold_at_both_ends(name: str, low: int, high: int | None) -> None:
    parse({name: low})
    assert f"{name}={low - 1} " in message_of({name: low - 1})
    top = LONG_MAX if high is None else high
    parse({name: top})
    assert f"{name}={top + 1} " in message_of({name: top + 1})


def test_gzip_level_is_one_to_nine_or_the_default() -> None:
    assert [parse({"compression.gzip.level": level}).compression_gzip_level for level in (-1, 1, 9)] == [
        -1,
        1,
        9,
    ]
    for level in (-2, 0, 10):
        assert "from 1 to 9, or -1" in message_of({"compression.gzip.level": level})


def test_levels_are_checked_for_codecs_that_are_not_used() -> None:
    assert "compression.zstd.level=23" in message_of(
        {"compression.type": "lz4", "compression.zstd.level": 23}
    )


def test_durations_of_java_for_ever_fit_a_clock_in_nanoseconds() -> None:
    cfg = parse({"max.block.ms": LONG_MAX, "metadata.max.age.ms": str(LONG_MAX)})
    assert cfg.max_block_ms == cfg.metadata_max_age_ms == MAX_DURATION_MS
    assert 2 * MAX_DURATION_MS * 10**6 < LONG_MAX


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("TRUE", True), (" false ", False), (False, False)]
)
def test_bools_may_be_text(value: object, expected: bool) -> None:
    assert parse({"partitioner.ignore.keys": value}).partitioner_ignore_keys is expected


@pytest.mark.parametrize("value", [0, 1, "yes", "1", "", None, 0.0])
def test_what_is_not_a_bool_is_refused(value: object) -> None:
    assert "allowed is True, False" in message_of({"partitioner.ignore.keys": value})


@pytest.mark.parametrize(("value", "expected"), [("all", -1), (-1, -1), ("-1", -1)])
def test_all_acks_has_three_spellings(value: object, expected: int) -> None:
    assert parse(acks=value).acks == expected


def test_case_counts_where_it_counts_in_java() -> None:
    assert parse(metadata_recovery_strategy="NONE").metadata_recovery_strategy == "none"
    assert parse(security_protocol="plaintext").security_protocol == "PLAINTEXT"
    assert "did you mean 'gzip'?" in message_of(compression_type="GZIP")


def test_client_id_must_fit_the_wire() -> None:
    assert parse(client_id="ä" * 16383).client_id == "ä" * 16383
    assert "32768 bytes" in message_of(client_id="ä" * 16384)
    assert "lone surrogate" in message_of(client_id="\ud800")
    assert "bytes" in message_of(client_id=b"x")


def test_serializers_and_partitioner_are_callables_or_none() -> None:
    def first(topic: str, key: bytes | None, value: bytes | None, partition_count: int) -> int:
        return 0

    cfg = parse(key_serializer=str.encode, value_serializer=None, partitioner_class=first)
    assert (cfg.key_serializer, cfg.value_serializer, cfg.partitioner_class) == (str.encode, None, first)


def test_a_partitioner_is_a_function_an_object_a_class_or_javas_round_robin() -> None:
    round_robin = RoundRobinPartitioner()
    for wanted in (round_robin, RoundRobinPartitioner, round_robin.partition):
        assert parse(partitioner_class=wanted).partitioner_class == wanted
    java = "org.apache.kafka.clients.producer.RoundRobinPartitioner"
    assert parse({"partitioner.class": java}).partitioner_class is RoundRobinPartitioner


_SERIALIZERS = "org.apache.kafka.common.serialization."


@pytest.mark.parametrize("name", ["key.serializer", "value.serializer"])
def test_java_names_of_serializers_for_bytes_and_text_are_understood(name: str) -> None:
    field = name.replace(".", "_")
    for of_bytes in ("ByteArraySerializer", "ByteBufferSerializer", "BytesSerializer"):
        assert getattr(parse({name: _SERIALIZERS + of_bytes}), field) is None
    serialize = getattr(parse({name: _SERIALIZERS + "StringSerializer"}), field)
    assert (serialize("ä"), serialize(""), serialize(None)) == ("ä".encode(), b"", None)


def test_other_java_class_names_and_partitioner_classes_are_refused() -> None:
    assert "but for ByteArray-" in message_of({"key.serializer": _SERIALIZERS + "LongSerializer"})
    assert "other Java class names are not understood" in message_of({"partitioner.class": "org.x.P"})
    assert "an object or class with partition()" in message_of(partitioner_class=object)
    assert "allowed is a callable" in message_of(partitioner_class=5)
    assert "allowed is a callable" in message_of(value_serializer=5)


def test_long_values_are_cut_in_messages() -> None:
    assert len(message_of(compression_type="x" * 10_000)) < 300


# --- bootstrap.servers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a:1", [("a", 1)]),
        (" a:1 , b-2.example_x:65535,", [("a", 1), ("b-2.example_x", 65535)]),
        (["a:1", "b:2"], [("a", 1), ("b", 2)]),
        (("a:1,b:2",), [("a", 1), ("b", 2)]),
        ("[::1]:9092", [("::1", 9092)]),
        ("[fe80::1%eth0]:9092", [("fe80::1%eth0", 9092)]),
        ("PLAINTEXT://10.0.0.1:9092", [("10.0.0.1", 9092)]),
        ("plaintext://[::1]:9092", [("::1", 9092)]),
    ],
)
def test_bootstrap_servers_are_read(value: object, expected: list[tuple[str, int]]) -> None:
    assert list(parse_config({"bootstrap.servers": value}).bootstrap_servers) == expected


@pytest.mark.parametrize("value", ["u:hunter2@a:1", "PLAINTEXT://u:hun,ter2@a:1", ["u:hunter2@a:1", "x"]])
def test_credentials_in_bootstrap_servers_are_refused_and_not_shown(value: object) -> None:
    message = message_of({"bootstrap.servers": value})
    assert "user name or password" in message
    assert "hun" not in message


def test_repeated_bootstrap_server_counts_once_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert parse(bootstrap_servers="a:1,a:1").bootstrap_servers == (("a", 1),)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@given(st.text())
def test_any_text_as_bootstrap_servers_is_read_or_refused(text: str) -> None:
    try:
        cfg = parse_config({"bootstrap.servers": text})
    except ConfigError:
        return
    assert all(1 <= address.port <= 65535 and address.host for address in cfg.bootstrap_servers)


def test_addresses_print_as_they_are_read() -> None:
    assert [str(HostPort("::1", 9)), str(HostPort("a", 9))] == ["[::1]:9", "a:9"]
