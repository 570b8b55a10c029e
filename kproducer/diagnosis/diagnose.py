"""The public door of the advisor: a configuration and topics in, a Diagnosis out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kproducer._core.accumulator import check_topic as checked_topic
from kproducer._core.pump import codec_sources
from kproducer._version import __version__
from kproducer.config import KEYS, ProducerConfig, parse_config
from kproducer.diagnosis.cluster_checks import check_cluster
from kproducer.diagnosis.facts import BootstrapFacts, BrokerFacts, ClockFacts, Survey, TopicFacts
from kproducer.diagnosis.findings import Finding, Severity, note, warning
from kproducer.diagnosis.session import Dialling
from kproducer.diagnosis.survey import survey
from kproducer.diagnosis.topic_checks import check_topic
from kproducer.errors import KafkaError
from kproducer.protocol.versions import SUPPORTED_APIS, BrokerVersions

EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 1
EXIT_UNREACHABLE: Final = 2

# The release with which each version of Produce came, as far as one can tell from outside.
_RELEASES: Final[Mapping[int, str]] = {
    7: "2.1 to 2.3", 8: "2.4 to 2.7", 9: "2.8 to 3.6", 10: "3.7", 11: "3.8 or 3.9", 12: "4.0", 13: "4.1 or newer",
}  # fmt: skip
_PRODUCE: Final = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `diagnose()` found.

    config: the effective configuration; secrets are masked.
    codecs: where each compression comes from, or what would give it.
    survey: what the brokers told.
    findings: the worst first.
    """

    config: ProducerConfig
    codecs: Mapping[str, str]
    survey: Survey
    findings: tuple[Finding, ...]

    @property
    def is_reachable(self) -> bool:
        """Whether a bootstrap server answered."""
        return self.survey.is_reachable

    @property
    def exit_code(self) -> int:
        """For CI: 0 nothing but notes, 1 an error or a warning, 2 no bootstrap server answered."""
        if not self.is_reachable:
            return EXIT_UNREACHABLE
        is_fine = all(finding.severity is Severity.NOTE for finding in self.findings)
        return EXIT_OK if is_fine else EXIT_FINDINGS

    @property
    def changed_config(self) -> dict[str, object]:
        """What of the configuration differs from the defaults, by dotted name."""
        values = self.config.effective()
        return {
            key.name: values[key.name]
            for key in KEYS.values()
            if getattr(self.config, key.field_name) != key.default
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as values that JSON has."""
        return {
            "exit_code": self.exit_code,
            "findings": [
                {
                    "code": finding.code,
                    "severity": finding.severity.value,
                    "subject": finding.subject,
                    "text": finding.text,
                    "remedy": finding.remedy,
                }
                for finding in self.findings
            ],
            "cluster_id": self.survey.cluster_id,
            "bootstrap": [_bootstrap_dict(entry) for entry in self.survey.bootstrap],
            "brokers": [_broker_dict(broker) for broker in self.survey.brokers],
            "fenced_brokers": list(self.survey.fenced),
            "topics": [_topic_dict(topic) for topic in self.survey.topics],
            "clock": _clock_dict(self.survey.clock),
            "config": {name: _plain(value) for name, value in self.config.effective().items()},
            "codecs": dict(self.codecs),
        }


def diagnose(config: Mapping[str, object], topics: Iterable[str] = (), *, timeout: float = 10.0) -> Diagnosis:
    """Ask a cluster what a producer of this configuration would meet; nothing is written and no topic created.

    Args:
        config: as KafkaProducer takes it; bootstrap.servers is required.
        topics: names of topics to look at, default none.
        timeout: seconds for each broker, default 10; the whole takes up to three times that.

    Raises:
        ConfigError: the configuration is wrong, as for KafkaProducer.
        InvalidTopicError, TypeError, ValueError: a topic's name, or the timeout.
    """
    names = _checked_topics(topics)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= 3600:
        raise ValueError(f"timeout={timeout}: must be above 0 and at most 3600 seconds")
    with _changes_noted() as changes:
        cfg = parse_config(config)
    found = survey(cfg.bootstrap_servers, names, Dialling.of(cfg, _software_version(), timeout * 1000))
    return Diagnosis(cfg, codec_sources(), found, tuple(_judge(cfg, changes, found)))


def _checked_topics(topics: Iterable[str]) -> list[str]:
    if isinstance(topics, str):
        raise TypeError("topics must be several names, not one str")
    return list(dict.fromkeys(checked_topic(name) for name in topics))


def _judge(config: ProducerConfig, changes: list[str], found: Survey) -> list[Finding]:
    findings = [_change(config, text) for text in changes]
    findings += check_cluster(config, found)
    for topic in found.topics:
        findings += check_topic(config, found, topic)
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _change(config: ProducerConfig, text: str) -> Finding:
    if text == config.idempotence_note:
        return warning("idempotence-off", "configuration", text, "set acks=all and retries above 0")
    return note("configuration-changed", "configuration", text)


@contextmanager
def _changes_noted() -> Iterator[list[str]]:
    """Collect what the configuration says in the log: every change that it makes by itself is a warning there."""
    handler = _Collector()
    config_logger = logging.getLogger("kproducer.config")
    config_logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        config_logger.removeHandler(handler)


class _Collector(logging.Handler):
    """Keeps the warnings of the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        if record.thread == self._thread:
            self.texts.append(record.getMessage())


# --- plain values -------------------------------------------------------------------------------------------


def _bootstrap_dict(entry: BootstrapFacts) -> dict[str, Any]:
    return {
        "address": str(entry.address),
        "error": _error_text(entry.error),
        "elapsed_ms": round(entry.elapsed_ms, 1),
        "cluster_id": entry.cluster_id,
    }


def _broker_dict(broker: BrokerFacts) -> dict[str, Any]:
    return {
        "id": broker.node_id,
        "address": str(broker.address),
        "rack": broker.rack,
        "error": _error_text(broker.error),
        "elapsed_ms": round(broker.elapsed_ms, 1),
        "kafka": None if broker.versions is None else _release(broker.versions),
        "apis": {} if broker.versions is None else _spoken(broker.versions),
        "transaction_protocol": None
        if broker.versions is None
        else 1 + broker.versions.speaks_transactions_v2,
        "settings": dict(broker.settings.values),
        "settings_error": _error_text(broker.settings.error),
    }


def _release(versions: BrokerVersions) -> str:
    produce = versions.ranges.get(_PRODUCE)
    if produce is None:
        return "unknown"
    newest = max(_RELEASES)
    return _RELEASES.get(min(produce.high, newest), "older than 2.1")


def _spoken(versions: BrokerVersions) -> dict[str, int]:
    """The version of each API that a producer would use."""
    found = {}
    for api in SUPPORTED_APIS:
        try:
            found[api.name] = versions.pick(api)
        except KafkaError:
            continue
    return found


def _topic_dict(topic: TopicFacts) -> dict[str, Any]:
    return {
        "name": topic.name,
        "error": _error_text(topic.error),
        "may_write": topic.may_write,
        "settings": dict(topic.settings.values),
        "settings_error": _error_text(topic.settings.error),
        "partitions": [
            {
                "partition": partition.partition,
                "leader": partition.leader,
                "leader_epoch": partition.leader_epoch,
                "replicas": list(partition.replicas),
                "in_sync_replicas": list(partition.in_sync_replicas),
                "offline_replicas": list(partition.offline_replicas),
            }
            for partition in topic.partitions
        ],
    }


def _clock_dict(clock: ClockFacts) -> dict[str, Any]:
    return {
        "skew_ms": None if clock.skew_ms is None else round(clock.skew_ms, 1),
        "uncertainty_ms": round(clock.uncertainty_ms, 1),
        "error": _error_text(clock.error),
    }


def _error_text(error: KafkaError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error.message}"


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | None) else repr(value)


def _software_version() -> str:
    return __version__.replace("+", "-")
