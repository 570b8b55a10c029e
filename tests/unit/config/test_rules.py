"""Rules between keys: R1 to R10 of Java's producer, and those of our own keys; R11 to R14 are in tests/unit/core."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from kproducer.config import INT_MAX, LONG_MAX
from tests.unit.config.world import message_of, parse


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


def test_idempotence_that_was_switched_off_conflicts_with_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cfg = parse(enable_idempotence=False, acks=1, retries=0, max_in_flight_requests_per_connection=100)
    assert (cfg.idempotence_note, caplog.records) == ("", [])


def test_explicit_delivery_timeout_may_just_cover_linger_and_request() -> None:
    assert parse(linger_ms=10, request_timeout_ms=20, delivery_timeout_ms=30).delivery_timeout_ms == 30


def test_default_delivery_timeout_is_raised_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert parse(request_timeout_ms=130_000).delivery_timeout_ms == 130_005
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_window_too_short_to_wake_up_for_is_raised_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    cfg = parse({"metrics.sample.window.ms": 0})
    assert cfg.metrics_sample_window_ms == 100
    assert [record.getMessage() for record in caplog.records] == [*cfg.adjustments]


def test_a_callback_that_would_never_be_called_is_an_error() -> None:
    assert "needs statistics.interval.ms above 0" in message_of(statistics_callback=print)
    assert parse(statistics_callback=print, statistics_interval_ms="1000").statistics_interval_ms == 1000


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


def test_longest_transactional_id_is_taken() -> None:
    assert parse(transactional_id="x" * 32_767).transactional_id == "x" * 32_767


def test_transaction_timeout_is_a_positive_int_of_milliseconds() -> None:
    assert parse().transaction_timeout_ms == 60_000
    assert parse({"transaction.timeout.ms": "1"}).transaction_timeout_ms == 1


def test_transactions_bring_idempotence_along() -> None:
    assert parse(transactional_id="tx").enable_idempotence


@pytest.mark.parametrize(
    ("conflict", "named"), [({"acks": 1}, "acks=1"), ({"acks": 0}, "acks=0"), ({"retries": 0}, "retries=0")]
)
def test_transactions_do_not_yield_to_what_idempotence_would_yield_to(
    conflict: dict[str, object], named: str
) -> None:
    assert f"transactional.id does not go with {named}" in message_of(conflict, transactional_id="tx")


# --- R5, R9: of keys that are not built -------------------------------------------------------------------


def test_two_phase_commit_does_not_go_with_a_timeout_of_transactions() -> None:
    message = message_of({"transaction.two.phase.commit.enable": "true", "transaction.timeout.ms": 60_000})
    assert message.startswith(
        "transaction.timeout.ms does not go with transaction.two.phase.commit.enable=true"
    )


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "sasl_ssl"])
@pytest.mark.parametrize("mechanism", ["", None, " "])
def test_sasl_needs_a_mechanism(protocol: str, mechanism: str | None) -> None:
    message = message_of({"security.protocol": protocol, "sasl.mechanism": mechanism})
    assert message.startswith("sasl.mechanism is empty, and security.protocol=SASL_")


def test_sasl_with_a_mechanism_is_only_not_built() -> None:
    assert "not supported yet" in message_of({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"})
    assert "security.protocol='SASL_SSL' is not supported yet" in message_of(
        {"security.protocol": "SASL_SSL"}
    )


# --- what was changed is told -----------------------------------------------------------------------------


def test_every_adjustment_is_in_the_configuration() -> None:
    cfg = parse(acks=1, request_timeout_ms=130_000, retry_backoff_ms=2_000)
    assert [sentence.split(" ", 1)[0] for sentence in cfg.adjustments] == [
        "idempotence", "delivery.timeout.ms", "retry.backoff.ms=2000",
    ]  # fmt: skip
    assert cfg.adjustments[0] == cfg.idempotence_note
    assert all(f"# {sentence}" in cfg.describe() for sentence in cfg.adjustments)


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


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"partitioner.class": max}, "partitioner=fnv1a and partitioner.class both choose"),
        ({"partitioner.ignore.keys": True}, "partitioner.ignore.keys=true that they are not"),
    ],
)
def test_a_partitioner_stands_alone(other: dict[str, object], text: str) -> None:
    parse(other)
    parse(partitioner="fnv1a")
    assert text in message_of(other, partitioner="fnv1a")


def test_the_default_partitioner_contradicts_nothing_unless_it_is_asked_for() -> None:
    assert parse(partitioner_class=max).partitioner == "murmur2_random"
    assert "both choose" in message_of(partitioner_class=max, partitioner="murmur2_random")


def test_unknown_partitioner_is_told_with_the_nearest() -> None:
    assert "did you mean 'murmur2_random'" in message_of(partitioner="murmur2-random")
