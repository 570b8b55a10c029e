"""The control loop under a manual clock: bootstrap, dialling, refusals, identity, recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from kproducer._core.events import (
    Action,
    BatchRefused,
    CloseCause,
    ConnClosed,
    ConnWanted,
    Expired,
    LeaderHint,
    MetadataStale,
    PartitionQuiet,
    PumpFatal,
    Stopped,
    Throttled,
    TopicWanted,
)
from kproducer.config import HostPort
from kproducer.engine.lookup import Resolution
from kproducer.engine.mailbox import Close, PartitionsFor
from kproducer.errors import KafkaError, NetworkError
from kproducer.protocol.messages.init_producer_id import (
    INIT_PRODUCER_ID,
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from kproducer.protocol.messages.metadata import MetadataResponse
from tests.unit.engine.world import CLOSE, KEYS, SILENT, World

REFUSED = BatchRefused(
    topic="t", partition=0, hold_gen=1, batch_id=7, code=87, message=None, record_errors=(), is_head=True,
    maybe=False, attempts=1, records=3, log_start_offset=0, node=1, producer_id=41, producer_epoch=0, hint=None,
)  # fmt: skip


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def running(world: World) -> World:
    """A world that has a producer id and knows topic t."""
    return warm(world)


def warm(world: World) -> World:
    world.create("t", (1, 5), (2, 5))
    world.pump.tell(TopicWanted("t", 1))
    world.settle()
    world.pump.commands.clear()
    world.requests.clear()
    return world


# --- bootstrap ----------------------------------------------------------------------------------------------


def test_start_asks_for_metadata_and_a_producer_id_on_one_connection(world: World) -> None:
    world.settle()
    assert [name for name, *_ in world.requests] == ["ApiVersions", "Metadata", "InitProducerId"]
    assert world.pump.calls("producer_id") == [{"producer_id": 41, "epoch": 0}]
    assert len(world.transports) == 1


def test_without_idempotence_no_producer_id_is_asked_for() -> None:
    world = World(idempotent=False)
    world.settle()
    assert world.asked("InitProducerId") == []
    world.close()


def test_idle_control_thread_wakes_less_than_once_a_second(running: World) -> None:
    polls = running.poller.polls
    running.run(60_000)
    assert running.poller.polls - polls < 10
    assert running.requests == []


def test_metadata_is_refreshed_at_max_age(running: World) -> None:
    running.run(301_000)
    assert len(running.asked("Metadata")) == 1


def test_unreachable_bootstrap_is_dialled_again_with_growing_delay(world: World) -> None:
    world.connect_errors["boot:9092"] = NetworkError("refused")
    world.run(3000)
    assert 4 <= len(world.transports) <= 7
    assert world.sender.last_connection_error == "connecting, broker boot:9092: refused"
    world.connect_errors.clear()
    world.run(6000)
    assert world.pump.calls("producer_id")


def test_next_address_of_a_name_is_tried_when_the_first_refuses(world: World) -> None:
    world.lookup.names["boot"] = ["::1", "127.0.0.1"]
    world.connect_errors["[::1]:9092"] = NetworkError("refused")
    world.settle()
    assert [str(t.endpoint) for t in world.transports.values()] == ["[::1]:9092", "127.0.0.1:9092"]
    assert world.pump.calls("producer_id")


def test_next_address_is_tried_when_the_first_does_not_answer_in_time(world: World) -> None:
    world.lookup.names["boot"] = ["10.0.0.1", "127.0.0.1"]
    world.black_holes.add("10.0.0.1:9092")
    world.run(9_999)
    assert not world.pump.calls("producer_id")
    world.run(10_010)
    assert world.pump.calls("producer_id")


def test_slow_name_is_waited_for(world: World) -> None:
    world.lookup.slow.add("boot")
    world.run(5000)
    assert not world.transports
    boot = HostPort("boot", 9092)
    world.lookup.answers.append(Resolution(boot, world.lookup.endpoints(boot)))
    world.run(5010)
    assert world.pump.calls("producer_id")


def test_name_that_cannot_be_resolved_is_told_and_tried_again(world: World) -> None:
    world.lookup.slow.add("boot")
    world.settle()
    world.lookup.answers.append(Resolution(HostPort("boot", 9092), error=NetworkError("no such name")))
    world.settle()
    assert world.sender.last_connection_error == "lookup, broker boot:9092: no such name"
    world.lookup.slow.clear()
    world.run(200)
    assert world.pump.calls("producer_id")


def test_broker_that_closes_over_new_api_versions_is_asked_in_the_oldest(world: World) -> None:
    world.scripts["ApiVersions"].append(CLOSE)
    world.settle()
    assert [version for name, version, *_ in world.requests if name == "ApiVersions"] == [4, 0]
    assert world.pump.calls("producer_id")


def test_broker_without_metadata_is_named_and_left(world: World) -> None:
    world.api_keys = tuple(key for key in KEYS if key.api_key != 3)
    world.settle()
    assert "Metadata" in str(world.sender.last_connection_error)
    assert not world.open_transports()


def test_broker_that_hangs_in_metadata_is_left_after_request_timeout(world: World) -> None:
    world.scripts["Metadata"].append(SILENT)
    world.scripts["InitProducerId"].append(SILENT)
    world.run(29_000)
    assert len(world.transports) == 1
    world.run(31_000)
    assert len(world.transports) == 2
    assert len(world.asked("Metadata")) == 2


# --- topics -------------------------------------------------------------------------------------------------


def test_wanted_topic_is_published(world: World) -> None:
    world.create("t", (1, 5), (2, 5))
    world.pump.tell(TopicWanted("t", 1))
    world.settle()
    assert world.pump.calls("topic") == [
        {"topic": "t", "topic_id": UUID(int=1).bytes, "leaders": [(1, 5), (2, 5)]}
    ]


def test_known_topic_is_published_again_for_a_late_waiter(running: World) -> None:
    running.pump.tell(TopicWanted("t", 2))
    running.settle()
    assert len(running.pump.calls("topic")) == 1
    assert running.requests == []


def test_unknown_topic_is_asked_for_until_it_is_there_and_no_error_is_told(running: World) -> None:
    running.pump.tell(TopicWanted("new", 1))
    running.run(500)
    assert running.pump.calls("topic_error") == []
    assert running.cluster.topic_errors["new"].code == 3
    running.create("new", (1, 0))
    running.run(2000)
    assert [call["topic"] for call in running.pump.calls("topic")] == ["new"]


@pytest.mark.parametrize("code", [17, 29])
def test_refused_topic_wakes_its_waiters_with_the_error(running: World, code: int) -> None:
    running.topics["bad"] = replace(running.topics["t"], name="bad", error_code=code, partitions=())
    running.pump.tell(TopicWanted("bad", 1))
    running.settle()
    assert [call["code"] for call in running.pump.calls("topic_error")] == [code]
    assert [call["partition"] for call in running.pump.calls("fail_partition")] == [-1]


def test_stale_leaders_are_asked_for_and_changes_published(running: World) -> None:
    running.create("t", (2, 6), (2, 5))
    running.pump.tell(MetadataStale("t"))
    running.run(200)
    assert [call["leaders"] for call in running.pump.calls("topic")] == [[(2, 6), (2, 5)]]


def test_stale_events_ask_at_most_ten_times_a_second(running: World) -> None:
    start = running.clock.now
    while running.clock.now < start + 1000:
        running.pump.tell(MetadataStale("t"))
        running.run(running.clock.now + 10)
    assert len(running.asked("Metadata")) <= 11


def test_another_cluster_is_fatal(running: World) -> None:
    running.scripts["Metadata"].append(
        replace(running.metadata(type("R", (), {"topics": ()})), cluster_id="other")
    )
    running.pump.tell(MetadataStale("t"))
    running.run(500)
    assert running.sender.fatal is not None
    (call,) = running.pump.calls("fail_all")
    assert call["fatal"]
    assert "other" in call["message"]
    assert not running.open_transports()


# --- produce connections ------------------------------------------------------------------------------------


def test_wanted_connection_is_dialled_and_given_to_the_pump(running: World) -> None:
    running.pump.tell(ConnWanted(2))
    running.settle()
    (call,) = running.pump.calls("adopt")
    assert (call["node"], call["produce_version"]) == (2, 13)
    assert running.transports[call["fd"]].is_detached
    assert call["fd"] not in running.poller.watched
    assert str(running.transports[call["fd"]].endpoint) == "two:9092"


def test_each_connection_has_a_generation_of_its_own(running: World) -> None:
    running.pump.tell(ConnWanted(1), ConnWanted(2))
    running.settle()
    generations = [call["conn_gen"] for call in running.pump.calls("adopt")]
    assert len(set(generations)) == 2


def test_broker_that_offers_13_without_topic_ids_gets_12(running: World) -> None:
    running.api_keys = tuple(replace(key, max_version=9) if key.api_key == 3 else key for key in KEYS)
    running.pump.tell(ConnWanted(1))
    running.settle()
    assert running.pump.calls("adopt")[0]["produce_version"] == 12


def test_topic_without_id_makes_connections_with_ids_drain(running: World) -> None:
    running.pump.tell(ConnWanted(1))
    running.settle()
    running.create("old", (1, 0), topic_id=0)
    running.pump.tell(TopicWanted("old", 1))
    running.settle()
    assert running.pump.calls("drop") == [{"node": 1, "conn_gen": 1, "drain": True}]
    running.pump.tell(ConnClosed(1, 1, CloseCause.DRAINED, 0), ConnWanted(1))
    running.settle()
    assert running.pump.calls("adopt")[1]["produce_version"] == 12


def test_lost_connection_is_dialled_again_after_the_backoff(running: World) -> None:
    running.pump.tell(ConnWanted(1))
    running.settle()
    running.pump.tell(ConnClosed(1, 1, CloseCause.PEER, 3), ConnWanted(1))
    running.settle()
    assert len(running.pump.calls("adopt")) == 1
    running.run(running.clock.now + 60)
    assert len(running.pump.calls("adopt")) == 2


def test_lost_connection_with_requests_refreshes_metadata(running: World) -> None:
    running.pump.tell(ConnClosed(1, 1, CloseCause.PEER, 3))
    running.run(200)
    assert len(running.asked("Metadata")) == 1


@pytest.mark.parametrize("cause", [CloseCause.IDLE, CloseCause.DRAINED, CloseCause.DROPPED])
def test_orderly_end_of_a_connection_needs_neither_backoff_nor_metadata(
    running: World, cause: CloseCause
) -> None:
    running.pump.tell(ConnClosed(1, 1, cause, 0), ConnWanted(1))
    running.settle()
    assert len(running.pump.calls("adopt")) == 1
    assert running.asked("Metadata") == []


def test_unreachable_leader_is_dialled_with_backoff_while_metadata_is_asked_elsewhere(running: World) -> None:
    running.connect_errors["one:9092"] = NetworkError("refused")
    running.pump.tell(ConnWanted(1))
    running.run(5000)
    dials = [t for t in running.transports.values() if str(t.endpoint) == "one:9092"]
    assert 5 <= len(dials) <= 10
    assert running.asked("Metadata")


def test_node_that_leads_nothing_is_not_dialled_any_more(running: World) -> None:
    running.connect_errors["one:9092"] = NetworkError("refused")
    running.pump.tell(ConnWanted(1))
    running.settle()
    running.create("t", (2, 6), (2, 5))
    running.run(1000)
    before = len(running.transports)
    running.run(20_000)
    assert len(running.transports) == before


def test_unknown_node_is_asked_for(running: World) -> None:
    running.create("t", (3, 6), (2, 5))
    running.pump.tell(ConnWanted(3))
    running.settle()
    running.brokers[3] = HostPort("three", 9092)
    running.pump.tell(MetadataStale("t"))
    running.run(500)
    assert [call["node"] for call in running.pump.calls("adopt")] == [3]


def test_node_with_a_new_address_drains_its_connection(running: World) -> None:
    running.pump.tell(ConnWanted(1))
    running.settle()
    running.brokers[1] = HostPort("moved", 9092)
    running.pump.tell(MetadataStale("t"))
    running.run(500)
    assert running.pump.calls("drop") == [{"node": 1, "conn_gen": 1, "drain": True}]


def test_hanging_broker_loses_the_control_connection_too(running: World) -> None:
    running.brokers = {1: HostPort("boot", 9092), 2: HostPort("two", 9092)}
    running.pump.tell(MetadataStale("t"))
    running.run(200)
    running.pump.tell(ConnClosed(1, 1, CloseCause.TIMEOUT, 2))
    running.run(600)
    assert str(running.open_transports()[-1].endpoint) == "two:9092"


def test_throttle_holds_control_requests_back(running: World) -> None:
    running.scripts["Metadata"].append(
        replace(running.metadata(type("R", (), {"topics": ()})), throttle_time_ms=2000)
    )
    running.pump.tell(MetadataStale("t"))
    running.run(200)
    running.pump.tell(MetadataStale("t"))
    running.run(1500)
    assert len(running.asked("Metadata")) == 1
    running.run(3000)
    assert len(running.asked("Metadata")) >= 2


def test_idle_control_connection_is_closed_and_opened_again_at_need() -> None:
    world = warm(World(idle_ms=10_000))
    world.run(11_000)
    assert not world.open_transports()
    world.pump.tell(MetadataStale("t"))
    world.run(11_500)
    assert world.asked("Metadata")
    world.close()


# --- refusals -----------------------------------------------------------------------------------------------


def verdicts(world: World) -> list[tuple[Any, ...]]:
    return [(call["batch_id"], call["action"], call["code"]) for call in world.pump.calls("verdict")]


@pytest.mark.parametrize("maybe", [False, True])
@pytest.mark.parametrize("sequenced", [False, True])
@pytest.mark.parametrize(
    "code",
    [-1, 2, 3, 6, 7, 10, 13, 17, 18, 19, 20, 29, 31, 32, 42, 45, 46, 47, 48, 56, 59, 87, 90, 100, 9999],
)
def test_each_refusal_ends_in_one_verdict_and_one_resume(code: int, sequenced: bool, maybe: bool) -> None:
    world = warm(World(idempotent=sequenced))
    refused = REFUSED if sequenced else REFUSED._replace(producer_id=-1, producer_epoch=-1)
    world.pump.tell(refused._replace(code=code, maybe=maybe, hold_gen=9))
    world.run(world.clock.now + 1000)
    assert len(world.pump.calls("verdict")) == 1
    (resume,) = world.pump.calls("resume")
    assert resume["hold_gen"] == 9
    assert sequenced or not resume["new_epoch"]
    world.close()


def test_retry_waits_for_the_backoff_and_keeps_the_epoch(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=19, attempts=2))
    running.settle()
    assert verdicts(running) == [(7, Action.RETRY, 0)]
    (resume,) = running.pump.calls("resume")
    assert (resume["delay_ms"], resume["new_epoch"]) == (200, False)


def test_newer_leader_in_the_answer_is_published_at_once_with_its_address(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=6, hint=LeaderHint(3, 6, "three", 9092)), ConnWanted(3))
    running.settle()
    names = [command.name for command in running.pump.commands]
    assert names.index("topic") < names.index("verdict") < names.index("resume")
    assert running.pump.calls("topic")[0]["leaders"] == [(3, 6), (2, 5)]
    assert running.pump.calls("resume")[0]["delay_ms"] == 0
    assert running.pump.calls("adopt")[0]["node"] == 3
    running.run(200)
    assert len(running.asked("Metadata")) == 1


def test_older_leader_in_the_answer_is_ignored(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=6, hint=LeaderHint(3, 5, "three", 9092)))
    running.settle()
    assert running.pump.calls("topic") == []
    assert running.pump.calls("resume")[0]["delay_ms"] == 100


def test_several_definite_failures_bump_the_epoch_once(running: World) -> None:
    running.pump.tell(REFUSED, REFUSED._replace(partition=1, batch_id=8))
    running.settle()
    assert running.pump.calls("producer_id") == [{"producer_id": 41, "epoch": 1}]
    assert [call["new_epoch"] for call in running.pump.calls("resume")] == [True, True]
    running.pump.tell(REFUSED._replace(producer_epoch=1))
    running.settle()
    assert running.pump.calls("producer_id")[-1] == {"producer_id": 41, "epoch": 2}


def test_new_epoch_is_published_before_the_partition_goes_on(running: World) -> None:
    running.pump.tell(REFUSED)
    running.settle()
    assert [command.name for command in running.pump.commands] == ["verdict", "producer_id", "resume"]


def test_fenced_epoch_gets_a_new_producer_id_before_the_partition_goes_on(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=47), REFUSED._replace(code=47, partition=1, batch_id=8))
    running.settle()
    assert [command.name for command in running.pump.commands] == [
        "verdict", "verdict", "producer_id", "resume", "resume",
    ]  # fmt: skip
    assert running.pump.calls("producer_id") == [{"producer_id": 42, "epoch": 0}]
    assert len(running.asked("InitProducerId")) == 1


def test_fenced_older_epoch_just_takes_the_newer_one(running: World) -> None:
    running.pump.tell(REFUSED)
    running.settle()
    running.pump.commands.clear()
    running.pump.tell(REFUSED._replace(code=47))
    running.settle()
    assert [command.name for command in running.pump.commands] == ["verdict", "resume"]
    assert running.pump.calls("resume")[0]["new_epoch"]
    assert running.asked("InitProducerId") == []


def test_guilty_records_are_passed_on(running: World) -> None:
    running.pump.tell(REFUSED._replace(record_errors=((1, "no key"),)))
    running.settle()
    assert running.pump.calls("verdict")[0]["record_errors"] == ((1, 87, "no key"),)
    assert running.pump.calls("resume")[0]["new_epoch"]


def test_topic_authorization_fails_the_queued_batches_of_the_topic(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=29))
    running.settle()
    assert running.pump.calls("fail_partition") == [{"topic": "t", "partition": -1, "code": 29}]
    assert running.sender.fatal is None


def test_fatal_refusal_fails_everything(running: World) -> None:
    running.pump.tell(REFUSED._replace(code=31))
    running.settle()
    (call,) = running.pump.calls("fail_all")
    assert (call["code"], call["fatal"]) == (31, True)
    assert "enable.idempotence=false" in call["message"]


def test_quiet_partition_with_an_unresolved_batch_gets_a_new_epoch(running: World) -> None:
    running.pump.tell(PartitionQuiet("t", 0, 4, -1, True, 41, 0))
    running.settle()
    assert running.pump.calls("producer_id") == [{"producer_id": 41, "epoch": 1}]
    assert running.pump.calls("resume")[0] == {
        "topic": "t", "partition": 0, "hold_gen": 4, "delay_ms": 0, "new_epoch": True,
    }  # fmt: skip


def test_quiet_partition_that_is_resolved_goes_on(running: World) -> None:
    running.pump.tell(PartitionQuiet("t", 0, 4, 17, False, 41, 0))
    running.settle()
    assert running.pump.calls("producer_id") == []
    assert not running.pump.calls("resume")[0]["new_epoch"]


GAP = PartitionQuiet("t", 0, 4, -1, True, 41, 0, has_gap=True)


def test_a_gap_is_counted_and_the_partition_goes_on(running: World, caplog: pytest.LogCaptureFixture) -> None:
    running.pump.tell(GAP, REFUSED._replace(code=45))
    running.settle()
    assert running.gaps.count == 2
    assert len(running.pump.calls("resume")) == 2
    assert caplog.text.count("may be lost") == 1


@pytest.mark.parametrize("event", [GAP, REFUSED._replace(code=45), REFUSED._replace(code=13, maybe=True)])
def test_a_gap_ends_the_producer_if_so_chosen(event: PartitionQuiet | BatchRefused) -> None:
    world = warm(World(fails_on_gap=True))
    world.pump.tell(event)
    world.settle()
    (call,) = world.pump.calls("fail_all")
    assert (call["code"], call["fatal"]) == (45, True)
    assert world.pump.calls("resume") == world.pump.calls("producer_id") == []
    assert world.sender.fatal is not None
    world.close()


def test_the_batch_at_a_fatal_gap_keeps_what_is_known_of_it() -> None:
    world = warm(World(fails_on_gap=True))
    world.pump.tell(REFUSED._replace(code=45))
    world.settle()
    (call,) = world.pump.calls("verdict")
    assert (call["action"], call["code"], call["persisted"]) == (Action.FAIL, 45, 0)
    world.close()


def test_a_refusal_for_good_may_make_dead_letters_and_a_lost_connection_not(running: World) -> None:
    running.pump.tell(REFUSED, REFUSED._replace(code=13, partition=1, maybe=True))
    running.settle()
    assert [call["is_refusal"] for call in running.pump.calls("verdict")] == [True, False]


def test_recreated_topic_is_published_under_its_new_id(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    running.create("t", (1, 0), topic_id=2)
    running.pump.tell(MetadataStale("t"))
    running.run(200)
    assert [call["topic_id"] for call in running.pump.calls("topic")] == [UUID(int=2).bytes]
    assert "deleted and created again" in caplog.text


@pytest.mark.parametrize("code", [31, 53])
def test_refused_producer_id_is_fatal_and_names_the_remedy(world: World, code: int) -> None:
    world.scripts["InitProducerId"].append(InitProducerIdResponse(error_code=code))
    world.settle()
    (call,) = world.pump.calls("fail_all")
    assert (call["code"], call["fatal"]) == (code, True)
    assert "enable.idempotence=false" in call["message"]


def test_broker_without_producer_ids_is_fatal_and_names_the_remedy(world: World) -> None:
    world.api_keys = tuple(key for key in KEYS if key.api_key != 22)
    world.settle()
    (call,) = world.pump.calls("fail_all")
    assert "enable.idempotence=false" in call["message"]


def test_producer_id_is_asked_again_after_a_retriable_error(world: World) -> None:
    world.scripts["InitProducerId"].append(InitProducerIdResponse(error_code=15))
    world.run(200)
    assert len(world.asked("InitProducerId")) == 2
    assert world.pump.calls("producer_id")


# --- recovery -----------------------------------------------------------------------------------------------


def test_when_no_known_broker_answers_bootstrap_is_asked_again(running: World) -> None:
    for transport in running.open_transports():
        transport.incoming.append(NetworkError("gone"))
    running.connect_errors |= {"one:9092": NetworkError("refused"), "two:9092": NetworkError("refused")}
    running.pump.tell(MetadataStale("t"))
    running.run(2000)
    assert str(running.open_transports()[-1].endpoint) == "boot:9092"
    assert running.asked("Metadata")


def test_without_the_strategy_only_known_brokers_are_asked() -> None:
    world = warm(World(can_rebootstrap=False))
    for transport in world.open_transports():
        transport.incoming.append(NetworkError("gone"))
    world.connect_errors |= {"one:9092": NetworkError("refused"), "two:9092": NetworkError("refused")}
    world.pump.tell(MetadataStale("t"))
    world.run(2000)
    assert not world.open_transports()
    assert world.asked("Metadata") == []
    world.close()


def test_broker_that_asks_for_a_new_bootstrap_gets_it(running: World) -> None:
    running.pump.tell(ConnWanted(1))
    running.settle()
    running.scripts["Metadata"].append(MetadataResponse(error_code=129))
    running.pump.tell(MetadataStale("t"))
    running.run(1000)
    assert running.pump.calls("drop") == [{"node": 1, "conn_gen": 1, "drain": True}]
    assert str(running.open_transports()[-1].endpoint) == "boot:9092"
    assert len(running.asked("Metadata")) == 2


# --- callers and the end ------------------------------------------------------------------------------------


def test_partitions_are_told_once_known(world: World) -> None:
    world.create("t", (1, 5), (2, 5))
    command = PartitionsFor("t")
    world.mailbox.post(command)
    world.settle()
    assert [info.leader for info in command.reply.wait(0)] == [1, 2]


def test_partitions_of_a_refused_topic_raise_its_error(running: World) -> None:
    running.topics["bad"] = replace(running.topics["t"], name="bad", error_code=29, partitions=())
    command = PartitionsFor("bad")
    running.mailbox.post(command)
    running.settle()
    with pytest.raises(KafkaError) as caught:
        command.reply.wait(0)
    assert caught.value.code == 29


def test_callers_fail_with_the_error_that_ended_the_producer(running: World) -> None:
    running.pump.tell(PumpFatal("bad state"))
    running.settle()
    command = PartitionsFor("t")
    running.mailbox.post(command)
    running.settle()
    with pytest.raises(KafkaError, match="bad state"):
        command.reply.wait(0)


def test_notices_change_nothing(running: World) -> None:
    running.pump.tell(Throttled(1, 100), Expired("t", 0, 1, 2, True))
    running.settle()
    assert running.pump.commands == []


@pytest.mark.parametrize("ending", ["pump", "mailbox"])
def test_loop_ends_with_the_pump_or_on_command(running: World, ending: str) -> None:
    if ending == "pump":
        running.pump.tell(Stopped(0))
    else:
        running.mailbox.post(Close())
    running.settle()
    assert running.sender.is_stopped


def test_link_sends_in_the_version_it_is_told_and_else_in_the_highest(running: World) -> None:
    (link,) = running.sender._control.links()
    for version in (None, 4):
        link.send(INIT_PRODUCER_ID, InitProducerIdRequest(), running.clock.now, version=version)
    sent = [(name, version) for name, version, _, _ in running.requests]
    assert sent[-2:] == [("InitProducerId", 5), ("InitProducerId", 4)]
