"""Keys, values, and the rules between them."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.config import (
    INT_MAX,
    KEYS,
    LONG_MAX,
    MAX_DURATION_MS,
    NOT_BUILT,
    HostPort,
    KafkaString,
    Key,
    ProducerConfig,
    _presentable,
    parse_config,
)
from kproducer.errors import ConfigError, UnsupportedConfigError

BOOTSTRAP = {"bootstrap.servers": "localhost:9092"}
# Keys that Java's ProducerConfig 4.1 does not have.
NOT_IN_JAVA_4_1 = {
    "buffer.full.policy",
    "errors.dead.letter.queue.file",
    "errors.dead.letter.queue.max.bytes",
    "errors.dead.letter.queue.topic.name",
    "not.enough.replicas.policy",
    "on.sequence.gap",
    "allow.auto.create.topics",
    "config.providers",
    "bootstrap.resolve.timeout.ms",
    "metadata.cluster.check.enable",
}


def parse(mapping: Mapping[str, object] | None = None, **overrides: object) -> ProducerConfig:
    return parse_config(BOOTSTRAP | dict(mapping or {}), overrides)


def message_of(mapping: Mapping[str, object] | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(mapping, **overrides)
    return str(caught.value)


# --- names ------------------------------------------------------------------------------------------------


def test_every_java_key_is_known() -> None:
    assert len((KEYS.keys() | NOT_BUILT.keys()) - NOT_IN_JAVA_4_1) == 112
    assert not KEYS.keys() & NOT_BUILT.keys()


def test_every_field_is_declared_under_its_own_name() -> None:
    names = {f.name for f in dataclasses.fields(ProducerConfig)} - {"idempotence_note"}
    assert names == {key.field_name for key in KEYS.values()}


def test_every_default_is_a_value_that_its_key_allows() -> None:
    for key in KEYS.values():
        if key.default is not dataclasses.MISSING:
            assert key.parse(key.default) == key.default


def test_every_key_is_documented_in_one_sentence() -> None:
    assert [key.name for key in KEYS.values() if not key.doc.endswith(".") or "\n" in key.doc] == []


def test_dotted_names_keywords_and_aliases_mean_the_same() -> None:
    dotted = parse({"max.in.flight.requests.per.connection": 3})
    assert dotted == parse(max_in_flight_requests_per_connection=3) == parse({"max.in.flight": 3})
    assert dotted.max_in_flight_requests_per_connection == 3


def test_keywords_win_over_the_mapping() -> None:
    assert parse({"linger.ms": 1}, linger_ms=2).linger_ms == 2


def test_two_spellings_of_one_key_in_a_mapping_are_refused() -> None:
    assert "linger.ms and linger_ms" in message_of({"linger.ms": 1, "linger_ms": 1})


def test_unknown_key_names_the_nearest_in_the_spelling_used() -> None:
    assert message_of({"linger.msec": 1}).endswith("did you mean 'linger.ms'?")
    assert message_of(batch_sise=1).endswith("did you mean 'batch_size'?")


def test_unknown_key_without_a_near_one_is_refused() -> None:
    assert message_of({"zzz": 1}) == "unknown configuration key 'zzz'"


def test_unknown_key_does_not_show_its_value() -> None:
    assert "hunter2" not in message_of({"sasl.password": "hunter2"})


def test_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="int"):
        parse_config({1: 2})  # type: ignore[dict-item]


def test_configuration_that_is_not_a_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match="list"):
        parse_config([("linger.ms", 1)])  # type: ignore[arg-type]


def test_mapping_is_neither_kept_nor_changed() -> None:
    servers = ["a:1"]
    mapping: dict[str, object] = {"bootstrap.servers": servers, "transactional.id": None}
    cfg = parse_config(mapping)
    assert mapping == {"bootstrap.servers": ["a:1"], "transactional.id": None}
    servers.append("b:2")
    assert cfg.bootstrap_servers == (("a", 1),)


# --- defaults ---------------------------------------------------------------------------------------------


def test_defaults_are_those_of_kafka_4() -> None:
    cfg = parse()
    assert (cfg.acks, cfg.enable_idempotence, cfg.retries) == (-1, True, INT_MAX)
    assert (cfg.linger_ms, cfg.batch_size, cfg.buffer_memory) == (5, 16384, 33554432)
    assert (cfg.delivery_timeout_ms, cfg.request_timeout_ms, cfg.max_block_ms) == (120000, 30000, 60000)
    assert (cfg.compression_type, cfg.metadata_recovery_strategy) == ("none", "rebootstrap")
    assert cfg.idempotence_note == ""


def test_defaults_warn_about_nothing(caplog: pytest.LogCaptureFixture) -> None:
    parse()
    assert caplog.records == []


def test_socket_buffers_are_left_to_the_kernel() -> None:
    assert (parse().send_buffer_bytes, parse().receive_buffer_bytes) == (-1, -1)


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse().linger_ms = 1  # type: ignore[misc]


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ("7", 7), (" +7 ", 7), (0, 0), (str(INT_MAX), INT_MAX)]
)
def test_whole_numbers_may_be_text(value: object, expected: int) -> None:
    assert parse({"batch.size": value}).batch_size == expected


@pytest.mark.parametrize(
    "value",
    [True, 1.0, float("nan"), float("inf"), "1.0", "1_000", "", "x", "٣", "9" * 10_000, None, b"5", [5]],
)
def test_what_is_not_a_whole_number_is_refused(value: object) -> None:
    message = message_of({"batch.size": value})
    assert message.startswith("batch.size=")
    assert message.endswith("allowed is a whole number from 0 to 2147483647")
    assert len(message) < 300


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


@pytest.mark.parametrize("value", ["ALL", 2, -2, True, "one", None, 1.0])
def test_other_acks_are_refused(value: object) -> None:
    assert message_of(acks=value).endswith("allowed is 'all' (or -1), 0 or 1")


def test_misspelt_choice_names_the_nearest() -> None:
    message = message_of(compression_type="ztsd")
    assert "did you mean 'zstd'?" in message
    assert message.endswith("allowed is one of none, gzip, snappy, lz4, zstd")


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


def test_java_class_names_and_partitioner_classes_are_refused() -> None:
    serializer = "org.apache.kafka.common.serialization.StringSerializer"
    assert "Java class names" in message_of({"key.serializer": serializer})
    assert "instance" in message_of(partitioner_class=object)


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


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("a:1,b", "entry 'b' has no port"),
        ("a:0", "entry 'a:0' has no port from 1 to 65535"),
        ("a:65536", "entry 'a:65536' has no port"),
        ("a:x", "entry 'a:x' has no port"),
        ("a:-1", "entry 'a:-1' has no port"),
        (":9092", "entry ':9092' has no valid host name"),
        ("a b:9092", "entry 'a b:9092' has no valid host name"),
        ("::1:9092", "needs brackets around its IPv6 address: [::1]:9092"),
        ("[::x]:9092", "no valid IPv6 address"),
        ("[a]:9092", "no valid IPv6 address"),
        ("SSL://a:9092", "scheme other than PLAINTEXT"),
        ("", "it is empty"),
        ([], "it is empty"),
        (["a:1", 2], "got int"),
        (b"a:1", "got bytes"),
        (9092, "got int"),
        (None, "got NoneType"),
    ],
)
def test_bad_bootstrap_servers_name_the_entry(value: object, hint: str) -> None:
    message = message_of({"bootstrap.servers": value})
    assert hint in message
    assert message.endswith("as a list or joined by commas")


@pytest.mark.parametrize("value", ["u:hunter2@a:1", "PLAINTEXT://u:hun,ter2@a:1", ["u:hunter2@a:1", "x"]])
def test_credentials_in_bootstrap_servers_are_refused_and_not_shown(value: object) -> None:
    message = message_of({"bootstrap.servers": value})
    assert "user name or password" in message
    assert "hun" not in message


def test_bootstrap_servers_are_required() -> None:
    with pytest.raises(ConfigError, match=r"bootstrap\.servers is missing"):
        parse_config()


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


# --- features that are not built --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NOT_BUILT))
def test_key_that_is_not_built_passes_only_with_its_harmless_value(name: str) -> None:
    parse({name: NOT_BUILT[name]})
    parse({name: None})
    with pytest.raises(UnsupportedConfigError, match=name):
        parse({name: "hunter2"})


def test_value_of_a_key_that_is_not_built_is_never_shown() -> None:
    assert "hunter2" not in message_of({"ssl.key.password": "hunter2"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitioner.adaptive.partitioning.enable", "False"),
        ("transaction.timeout.ms", "60000"),
        ("interceptor.classes", []),
        ("ssl.enabled.protocols", ["TLSv1.2", "TLSv1.3"]),
        ("sasl.kerberos.ticket.renew.jitter", 0.05),
    ],
)
def test_harmless_values_have_the_spellings_of_their_type(name: str, value: object) -> None:
    parse({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitioner.adaptive.partitioning.enable", True),
        ("partitioner.availability.timeout.ms", 1),
        ("transaction.two.phase.commit.enable", True),
        ("enable.metrics.push", True),
        ("security.protocol", "sasl_ssl"),
        ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only"),
    ],
)
def test_asking_for_what_is_not_built_is_refused(name: str, value: object) -> None:
    with pytest.raises(UnsupportedConfigError, match=rf"{name}.*not supported yet"):
        parse({name: value})


def test_value_that_kafka_does_not_have_either_is_no_unsupported_feature() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(security_protocol="TLS")
    assert not isinstance(caught.value, UnsupportedConfigError)


# --- rules between keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conflict", "named"), [({"acks": 1}, "acks=1"), ({"acks": "0"}, "acks=0"), ({"retries": 0}, "retries=0")]
)
def test_implicit_idempotence_yields_with_one_warning(
    conflict: dict[str, object], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = parse(conflict)
    assert not cfg.enable_idempotence
    assert named in cfg.idempotence_note
    assert [record.getMessage() for record in caplog.records] == [cfg.idempotence_note]


@pytest.mark.parametrize("conflict", [{"acks": 1}, {"acks": 0}, {"retries": 0}])
def test_explicit_idempotence_does_not_yield(conflict: dict[str, object]) -> None:
    assert "allowed is acks=all with retries above 0" in message_of(conflict, enable_idempotence=True)


def test_idempotence_that_was_switched_off_conflicts_with_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cfg = parse(enable_idempotence=False, acks=1, retries=0, max_in_flight_requests_per_connection=100)
    assert (cfg.idempotence_note, caplog.records) == ("", [])


@pytest.mark.parametrize("more", [{}, {"enable.idempotence": True}, {"acks": 1}])
def test_more_than_five_in_flight_need_idempotence_off(more: dict[str, object]) -> None:
    message = message_of(more, max_in_flight_requests_per_connection=6)
    assert message.endswith("allowed is 1 to 5, or enable.idempotence=false")


def test_explicit_delivery_timeout_must_cover_linger_and_request() -> None:
    parse(linger_ms=10, request_timeout_ms=20, delivery_timeout_ms=30)
    message = message_of(linger_ms=10, request_timeout_ms=20, delivery_timeout_ms=29)
    assert "delivery.timeout.ms=29 is too short; allowed is 30 or more" in message


def test_default_delivery_timeout_is_raised_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert parse(request_timeout_ms=130_000).delivery_timeout_ms == 130_005
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_delivery_timeout_never_leaves_an_int() -> None:
    cfg = parse(linger_ms=LONG_MAX, request_timeout_ms=INT_MAX)
    assert (cfg.linger_ms, cfg.delivery_timeout_ms) == (INT_MAX, INT_MAX)


@pytest.mark.parametrize("base", [10, 7000])
def test_reconnect_backoff_alone_is_also_the_longest(base: int, caplog: pytest.LogCaptureFixture) -> None:
    cfg = parse(reconnect_backoff_ms=base)
    assert (cfg.reconnect_backoff_ms, cfg.reconnect_backoff_max_ms) == (base, base)
    assert caplog.records == []


def test_reconnect_backoff_with_its_maximum_grows() -> None:
    cfg = parse(reconnect_backoff_ms=10, reconnect_backoff_max_ms=500)
    assert (cfg.reconnect_backoff_ms, cfg.reconnect_backoff_max_ms) == (10, 500)


@pytest.mark.parametrize("name", ["reconnect_backoff", "retry_backoff", "socket_connection_setup_timeout"])
def test_base_above_its_maximum_is_held_there_with_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = parse({f"{name}_ms": 900, f"{name}_max_ms": 300})
    assert (getattr(cfg, f"{name}_ms"), getattr(cfg, f"{name}_max_ms")) == (300, 300)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_transactional_id_is_text_or_none() -> None:
    assert parse().transactional_id is None
    assert parse(transactional_id=None).transactional_id is None
    assert parse({"transactional.id": "tx-\u00e9"}).transactional_id == "tx-\u00e9"


@pytest.mark.parametrize("value", ["", b"tx", 7, "x" * 32_768, "\u00e9" * 16_384, "\ud800"])
def test_transactional_id_that_brokers_would_refuse_is_refused(value: object) -> None:
    assert "allowed is None or text of 1 to 32767 bytes" in message_of(transactional_id=value)


def test_longest_transactional_id_is_taken() -> None:
    assert parse(transactional_id="x" * 32_767).transactional_id == "x" * 32_767


def test_transaction_timeout_is_a_positive_int_of_milliseconds() -> None:
    assert parse().transaction_timeout_ms == 60_000
    assert parse({"transaction.timeout.ms": "1"}).transaction_timeout_ms == 1
    for value in (0, -1, INT_MAX + 1, None, 1.5, True):
        assert "transaction.timeout.ms" in message_of(transaction_timeout_ms=value)


def test_transactions_need_idempotence_which_they_bring_along() -> None:
    assert parse(transactional_id="tx").enable_idempotence
    message = message_of(transactional_id="tx", enable_idempotence=False)
    assert "transactional.id does not go with enable.idempotence=false" in message


@pytest.mark.parametrize(
    ("conflict", "named"), [({"acks": 1}, "acks=1"), ({"acks": 0}, "acks=0"), ({"retries": 0}, "retries=0")]
)
def test_transactions_do_not_yield_to_what_idempotence_would_yield_to(
    conflict: dict[str, object], named: str
) -> None:
    assert f"transactional.id does not go with {named}" in message_of(conflict, transactional_id="tx")


# --- what is shown ----------------------------------------------------------------------------------------


def test_effective_names_every_key_and_parses_back() -> None:
    cfg = parse(bootstrap_servers="[::1]:1,b:2", acks=1, reconnect_backoff_ms=10, compression_type="zstd")
    effective = cfg.effective()
    assert effective.keys() == KEYS.keys()
    assert effective["bootstrap.servers"] == ["[::1]:1", "b:2"]
    assert dataclasses.replace(parse_config(effective), idempotence_note=cfg.idempotence_note) == cfg
    json.dumps(effective)


def test_repr_shows_what_differs_from_the_defaults() -> None:
    shown = repr(parse(linger_ms=50))
    assert "linger_ms=50" in shown
    assert "localhost" in shown
    assert "batch_size" not in shown


def test_secret_values_are_masked_everywhere() -> None:
    key = Key("some.password", KafkaString(), "", "Doc.", is_secret=True)
    assert key.show("hunter2") == "'***'"
    assert _presentable(key, "hunter2") == "***"
    with pytest.raises(ConfigError) as caught:
        key.parse("hunter2\ud800")
    assert "hunter2" not in str(caught.value)


def test_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="unknown configuration key"):
        parse(nonsense=1)


# --- failure handling -------------------------------------------------------------------------------------


def test_failure_handling_is_javas_unless_asked_for() -> None:
    cfg = parse()
    assert (cfg.buffer_full_policy, cfg.not_enough_replicas_policy, cfg.on_sequence_gap) == (
        "block", "retry", "continue",
    )  # fmt: skip
    assert cfg.errors_dead_letter_queue_topic_name is None
    assert cfg.errors_dead_letter_queue_file is None


@pytest.mark.parametrize("name", [".", "..", "a b", "x" * 250, "ä", 5])
def test_dead_letter_topic_must_be_a_legal_name(name: object) -> None:
    assert "1 to 249 characters" in message_of(errors_dead_letter_queue_topic_name=name)


@pytest.mark.parametrize("path", [b"x", 5, "a\0b"])
def test_dead_letter_file_must_be_a_path(path: object) -> None:
    assert "allowed is a path" in message_of(errors_dead_letter_queue_file=path)


def test_dead_letter_file_may_be_a_path_object(tmp_path: Path) -> None:
    cfg = parse(errors_dead_letter_queue_file=tmp_path / "dead.ndjson")
    assert cfg.errors_dead_letter_queue_file == str(tmp_path / "dead.ndjson")


def test_dead_letters_go_to_one_place() -> None:
    text = message_of(errors_dead_letter_queue_file="f", errors_dead_letter_queue_topic_name="t")
    assert "give one of them" in text


@pytest.mark.parametrize("empty", ["", None])
def test_empty_dead_letter_places_are_none(empty: str | None) -> None:
    cfg = parse(errors_dead_letter_queue_file=empty, errors_dead_letter_queue_topic_name=empty)
    assert cfg.errors_dead_letter_queue_file is None
    assert cfg.errors_dead_letter_queue_topic_name is None


@pytest.mark.parametrize(
    ("choice", "remedy"),
    [
        ({"errors_dead_letter_queue_topic_name": "dead"}, "allowed is errors.dead.letter.queue.file"),
        ({"buffer_full_policy": "drop-oldest"}, "allowed is block or raise"),
    ],
)
def test_what_a_transaction_would_undo_is_refused(choice: dict[str, Any], remedy: str) -> None:
    assert remedy in message_of(transactional_id="t", **choice)
    parse(**choice)


@pytest.mark.parametrize("off", [{"enable_idempotence": False}, {"acks": 1}])
def test_a_gap_cannot_be_noticed_without_sequences(off: dict[str, Any]) -> None:
    assert "needs sequences" in message_of(on_sequence_gap="fail", **off)
    assert parse(on_sequence_gap="fail").on_sequence_gap == "fail"


def test_a_transaction_may_have_a_dead_letter_file() -> None:
    assert parse(transactional_id="t", errors_dead_letter_queue_file="f").errors_dead_letter_queue_file == "f"
