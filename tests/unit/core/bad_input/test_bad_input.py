"""The bad-input list, row by row: what is wrong is told at the call, nothing is sent, and the producer goes on."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kproducer import ConfigError, KafkaError, KafkaProducer
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.bad_input.calls import BAD_CALLS
from tests.unit.core.bad_input.construction import BAD_CONFIGS, NO_MAPPINGS
from tests.unit.core.bad_input.legal import LEGAL
from tests.unit.core.bad_input.records import BAD_RECORDS
from tests.unit.core.bad_input.rows import ELSEWHERE, ROWS, BadCall, BadConfig, BadRecord, Legal
from tests.unit.core.world import MakeProducer, counters, values_of

TESTS = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def lasting_broker() -> Iterator[ScriptedBroker]:
    """One broker for all tests that do not look at what it has."""
    with ScriptedBroker() as broker:
        broker.cluster.create_topic("t", [1, 1, 1])
        broker.cluster.create_topic("one", [1])
        yield broker


def assert_works(producer: KafkaProducer) -> None:
    """A good record is acknowledged, and nothing else is left in the producer."""
    assert producer.send("one", b"good", partition=0).result(10).topic == "one"
    producer.flush(10)
    found = counters(producer)
    assert found["buffer_available_bytes"] == found["buffer_total_bytes"]
    assert found["records_failed"] == 0


@pytest.mark.parametrize("case", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_bad_configuration_is_refused_and_the_next_producer_works(
    lasting_broker: ScriptedBroker, make: MakeProducer, case: BadConfig
) -> None:
    given = {"bootstrap.servers": str(lasting_broker.address), **case.config}
    if case.config == {"bootstrap.servers": None}:
        del given["bootstrap.servers"]
    with pytest.raises(case.error, match=case.text) as caught:
        KafkaProducer(given)
    assert caught.type is case.error
    assert len(str(caught.value)) < 600
    assert_works(make(lasting_broker))


@pytest.mark.parametrize("given", NO_MAPPINGS.values(), ids=NO_MAPPINGS.keys())
def test_configuration_that_is_no_mapping_is_refused(given: Any) -> None:
    kind = type(given).__name__
    with pytest.raises(ConfigError, match=f"^the configuration is a {kind}; allowed is a mapping by name$"):
        KafkaProducer(given)


@pytest.mark.parametrize("call", ["send", "produce"])
@pytest.mark.parametrize("case", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_bad_record_is_refused_and_leaves_nothing_behind(
    broker: ScriptedBroker, producer: KafkaProducer, case: BadRecord, call: str
) -> None:
    made = {name: value() if _is_made(value) else value for name, value in case.arguments.items()}
    with pytest.raises(case.error, match=case.text) as caught:
        getattr(producer, call)(**{"topic": "one", "value": b"bad", **made})
    assert caught.type is case.error
    assert_works(producer)
    assert values_of(broker, "one") == [b"good"]


def _is_made(value: object) -> bool:
    return inspect.isfunction(value)


@pytest.mark.parametrize("case", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_call_is_refused_and_the_producer_goes_on(
    broker: ScriptedBroker, make: MakeProducer, case: BadCall
) -> None:
    producer = KafkaProducer(**{"bootstrap_servers": str(broker.address), **case.config})
    try:
        with pytest.raises(case.error, match=case.text) as caught:
            case.call(producer)
        assert caught.type is case.error
        assert_works(make(broker) if case.is_end else producer)
        assert set(values_of(broker, "one")) == {b"good"}
        assert values_of(broker, "t") == []
    finally:
        _close(producer)


@pytest.mark.parametrize("case", LEGAL.values(), ids=LEGAL.keys())
def test_what_is_legal_works_and_is_warned_of_if_need_be(
    broker: ScriptedBroker, caplog: pytest.LogCaptureFixture, case: Legal
) -> None:
    producer = case.make(str(broker.address))
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    try:
        assert [case.warning is not None and text.startswith(case.warning) for text in warnings[:1]] == (
            [True] if case.warning else []
        )
        case.before(producer)
        assert_works(producer)
        assert set(values_of(broker, "one")) == {b"good"}
    finally:
        _close(producer)


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(0)
    except KafkaError:
        pass  # what the test left undelivered


# --- the list is whole ------------------------------------------------------------------------------------------


def test_every_row_has_a_case() -> None:
    tables: list[dict[str, Any]] = [BAD_CONFIGS, BAD_RECORDS, BAD_CALLS, LEGAL]
    named = {case.row for table in tables for case in table.values()} | ELSEWHERE.keys()
    assert named == ROWS.keys()
    assert [*ROWS] == [f"B{n}" for n in range(1, len(ROWS) + 1)]


@pytest.mark.parametrize("node", [node for nodes in ELSEWHERE.values() for node in nodes])
def test_what_is_tested_elsewhere_is(node: str) -> None:
    path, _, name = node.partition("::")
    assert re.search(rf"^def {name}\(", (TESTS / path).read_text(), re.MULTILINE)
