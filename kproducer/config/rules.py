"""Rules between keys, as Java 4.x has them (ProducerConfig and KafkaProducer), and those of our own keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from kproducer.config.keys import snake
from kproducer.config.table import ProducerConfig
from kproducer.config.values import ACKS_ALL, INT_MAX
from kproducer.errors import ConfigError

logger = logging.getLogger(__name__)

MIN_WINDOW_MS: Final = 100  # the control thread wakes up for each
MAX_IN_FLIGHT_IDEMPOTENT: Final = 5  # brokers remember the last five batches of a producer per partition


def apply_rules(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    """Return the configuration with every rule applied; raise ConfigError for a conflict.

    given: dotted names of the keys that were asked for; what nobody asked for may be adjusted, with a warning.
    """
    for rule in (
        _apply_idempotence_rules,
        _apply_delivery_timeout_rule,
        _apply_backoff_rules,
        _apply_window_rule,
    ):
        cfg = rule(cfg, given)
    _check_partitioner(cfg, given)
    _check_failure_handling(cfg)
    if cfg.statistics_callback is not None and cfg.statistics_interval_ms == 0:
        raise ConfigError("statistics.callback needs statistics.interval.ms above 0, or it is never called")
    _warn_of_small_buffer(cfg)
    return cfg


def check_rules_of_not_built(values: Mapping[str, object]) -> None:
    """Raise ConfigError for a conflict among plain values that no version of Java takes either."""
    if values.get("transaction.two.phase.commit.enable") is True and "transaction.timeout.ms" in values:
        raise ConfigError(
            "transaction.timeout.ms does not go with transaction.two.phase.commit.enable=true: the coordinator "
            "outside decides how long a transaction lasts; leave one of them out"
        )
    protocol = values.get("security.protocol")
    if protocol in ("SASL_PLAINTEXT", "SASL_SSL") and values.get("sasl.mechanism", "GSSAPI") in (None, ""):
        raise ConfigError(
            f"sasl.mechanism is empty, and security.protocol={protocol} needs one; leave it out for GSSAPI"
        )


# Any: as those of dataclasses.replace, whose names and types the callers below know.
def _adjusted(cfg: ProducerConfig, sentence: str, **changes: Any) -> ProducerConfig:
    """Return the configuration with changes that nobody asked for, and tell of them."""
    logger.warning("%s", sentence)
    return replace(cfg, adjustments=(*cfg.adjustments, sentence), **changes)


def _apply_idempotence_rules(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if not cfg.enable_idempotence:
        if cfg.transactional_id is not None:
            raise ConfigError(
                "transactional.id does not go with enable.idempotence=false; leave one of them out"
            )
        return cfg
    conflicts = [f"acks={cfg.acks}"] if cfg.acks != ACKS_ALL else []
    conflicts += ["retries=0"] if cfg.retries == 0 else []
    asked = "transactional.id" if cfg.transactional_id is not None else "enable.idempotence=true"
    if conflicts and ("enable.idempotence" in given or cfg.transactional_id is not None):
        raise ConfigError(
            f"{asked} does not go with {' and '.join(conflicts)}: to lose and repeat "
            "nothing, a batch must be acknowledged by all in-sync replicas, and sent again if its answer is "
            "lost; allowed is acks=all with retries above 0, or enable.idempotence=false"
        )
    # Even with acks=1, as Java 4.x: who raises this limit must say that the order of records may change.
    in_flight = cfg.max_in_flight_requests_per_connection
    if in_flight > MAX_IN_FLIGHT_IDEMPOTENT:
        raise ConfigError(
            f"max.in.flight.requests.per.connection={in_flight} does not go with idempotence, which is the "
            f"default; allowed is 1 to {MAX_IN_FLIGHT_IDEMPOTENT}, or enable.idempotence=false"
        )
    if not conflicts:
        return cfg
    note = f"idempotence is off because of {' and '.join(conflicts)}: loss and duplicates are possible"
    return _adjusted(cfg, note, enable_idempotence=False, idempotence_note=note)


def _apply_delivery_timeout_rule(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    least = min(cfg.linger_ms + cfg.request_timeout_ms, INT_MAX)
    if cfg.delivery_timeout_ms >= least:
        return cfg
    if "delivery.timeout.ms" in given:
        raise ConfigError(
            f"delivery.timeout.ms={cfg.delivery_timeout_ms} is too short; allowed is {least} or more, "
            f"the sum of linger.ms={cfg.linger_ms} and request.timeout.ms={cfg.request_timeout_ms}"
        )
    sentence = f"delivery.timeout.ms is raised to {least}, the sum of linger.ms and request.timeout.ms"
    return _adjusted(cfg, sentence, delivery_timeout_ms=least)


def _apply_backoff_rules(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if "reconnect.backoff.ms" in given and "reconnect.backoff.max.ms" not in given:
        cfg = replace(cfg, reconnect_backoff_max_ms=cfg.reconnect_backoff_ms)
    for name, max_name in (
        ("reconnect.backoff.ms", "reconnect.backoff.max.ms"),
        ("retry.backoff.ms", "retry.backoff.max.ms"),
        ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms"),
    ):
        cfg = _hold_at_max(cfg, name, max_name)
    return cfg


def _hold_at_max(cfg: ProducerConfig, name: str, max_name: str) -> ProducerConfig:
    value, maximum = getattr(cfg, snake(name)), getattr(cfg, snake(max_name))
    if value <= maximum:
        return cfg
    sentence = f"{name}={value} exceeds {max_name}={maximum} and is held there, without growth"
    return _adjusted(cfg, sentence, **{snake(name): maximum})


def _check_partitioner(cfg: ProducerConfig, given: AbstractSet[str]) -> None:
    if "partitioner" not in given:
        return
    if cfg.partitioner_class is not None:
        raise ConfigError(
            f"partitioner={cfg.partitioner} and partitioner.class both choose the partition; give one of them"
        )
    if cfg.partitioner_ignore_keys:
        raise ConfigError(
            f"partitioner={cfg.partitioner} tells how keys are hashed, and partitioner.ignore.keys=true that they "
            "are not; give one of them"
        )


def _apply_window_rule(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if cfg.metrics_sample_window_ms >= MIN_WINDOW_MS:
        return cfg
    sentence = f"metrics.sample.window.ms={cfg.metrics_sample_window_ms} is raised to {MIN_WINDOW_MS}"
    return _adjusted(cfg, sentence, metrics_sample_window_ms=MIN_WINDOW_MS)


def _warn_of_small_buffer(cfg: ProducerConfig) -> None:
    """Legal, as in Java, but nobody's wish."""
    if cfg.buffer_memory < cfg.batch_size:
        logger.warning(
            "buffer.memory=%d holds no batch of batch.size=%d: batches are smaller",
            cfg.buffer_memory, cfg.batch_size,
        )  # fmt: skip
    if cfg.buffer_memory < cfg.max_request_size:
        logger.warning(
            "buffer.memory=%d is less than max.request.size=%d: larger records are refused",
            cfg.buffer_memory, cfg.max_request_size,
        )  # fmt: skip


def _check_failure_handling(cfg: ProducerConfig) -> None:
    if cfg.errors_dead_letter_queue_topic_name and cfg.errors_dead_letter_queue_file:
        raise ConfigError(
            "errors.dead.letter.queue.topic.name and errors.dead.letter.queue.file are both set; give one of them"
        )
    if cfg.on_sequence_gap == "fail" and not cfg.enable_idempotence:
        raise ConfigError(
            "on.sequence.gap=fail needs sequences, which idempotence brings; allowed is continue, or acks=all with "
            "enable.idempotence=true"
        )
    if cfg.transactional_id is None:
        return
    if cfg.errors_dead_letter_queue_topic_name:
        raise ConfigError(
            "errors.dead.letter.queue.topic.name does not go with transactional.id: the letters would be aborted "
            "together with the transaction that failed; allowed is errors.dead.letter.queue.file"
        )
    if cfg.buffer_full_policy == "drop-oldest":
        raise ConfigError(
            "buffer.full.policy=drop-oldest does not go with transactional.id: a transaction is all of its "
            "records; allowed is block or raise"
        )
