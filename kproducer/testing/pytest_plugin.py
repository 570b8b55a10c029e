"""The pytest plugin: a real Kafka as the fixture `kafka_cluster`, started when the first test asks for it.

pytest finds it by the entry point `pytest11` of the installed package; `-p no:kproducer` leaves it out. It adds two
fixtures and options that begin with `kafka_cluster`; a fixture of the same name in a conftest takes their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, TypedDict

import pytest

from kproducer.testing.cluster import KafkaCluster
from kproducer.testing.errors import MissingExtraError
from kproducer.testing.jars import print_to_stderr
from kproducer.testing.properties import PropertyValue
from kproducer.testing.versions import DEFAULT_VERSION


class KafkaClusterOptions(TypedDict, total=False):
    """Arguments of `KafkaCluster`, all optional; see there."""

    brokers: int
    version: str
    properties: Mapping[str, PropertyValue]
    features: Mapping[str, int]
    start_timeout_s: float


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options, on the command line and in the ini file."""
    group = parser.getgroup("kafka cluster", "the fixture kafka_cluster (kproducer)")
    group.addoption(
        "--kafka-cluster-version", metavar="VERSION", help=f"version of Kafka, default {DEFAULT_VERSION}"
    )
    group.addoption("--kafka-cluster-brokers", metavar="N", help="how many brokers, default 1")
    group.addoption(
        "--kafka-cluster-property",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a line for server.properties; may be repeated",
    )
    parser.addini("kafka_cluster_version", "as --kafka-cluster-version, which wins", default="")
    parser.addini("kafka_cluster_brokers", "as --kafka-cluster-brokers, which wins", default="")
    parser.addini("kafka_cluster_properties", "lines for server.properties", type="linelist", default=[])


@pytest.fixture(scope="session")
def kafka_cluster_options(pytestconfig: pytest.Config) -> KafkaClusterOptions:
    """The arguments of the `kafka_cluster`, from the command line and the ini file; override it for others."""
    options: KafkaClusterOptions = {}
    if version := _option(pytestconfig, "kafka_cluster_version"):
        options["version"] = version
    if brokers := _option(pytestconfig, "kafka_cluster_brokers"):
        if not brokers.isdecimal():
            raise pytest.UsageError(f"kafka_cluster_brokers is {brokers!r}; allowed is a number")
        options["brokers"] = int(brokers)
    lines = [
        *pytestconfig.getini("kafka_cluster_properties"),
        *pytestconfig.getoption("kafka_cluster_property"),
    ]
    if lines:
        options["properties"] = dict(map(_property, lines))
    return options


@pytest.fixture(scope="session")
def kafka_cluster(
    pytestconfig: pytest.Config, kafka_cluster_options: KafkaClusterOptions
) -> Iterator[KafkaCluster]:
    """A real Kafka for the whole session, one broker unless `kafka_cluster_options` says otherwise.

    Without the extra `local` the tests that ask for it fail, with the pip line that is missing.
    """
    cluster = KafkaCluster(**kafka_cluster_options, progress=_progress(pytestconfig))
    try:
        cluster.start()
    except MissingExtraError as error:
        pytest.fail(str(error), pytrace=False)
    with cluster:
        yield cluster


def _option(config: pytest.Config, name: str) -> str:
    given: str | None = config.getoption(name)
    inherited: str = config.getini(name)
    return inherited if given is None else given


def _property(line: str) -> tuple[str, str]:
    key, separator, value = line.partition("=")
    if not separator or not key.strip():
        raise pytest.UsageError(f"kafka_cluster property {line!r}; allowed is KEY=VALUE")
    return key.strip(), value.strip()


def _progress(config: pytest.Config) -> Callable[[str], None]:
    """Tell of a download at once: the first start may take a minute, and pytest keeps stderr to itself."""
    # Any: pytest's capture manager has no public type.
    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            print_to_stderr(line)

    return tell
