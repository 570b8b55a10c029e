"""Transactions through the control loop: callers, coordinators, links, the pump's orders and events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kproducer._core.events import (
    CloseCause,
    ConnClosed,
    ConnWanted,
    TopicWanted,
    TxnDrained,
    TxnFailed,
    TxnPartition,
)
from kproducer.client.connection import Answer
from kproducer.client.transaction_state import Call, State
from kproducer.engine.mailbox import GiveUp, Transact
from kproducer.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NetworkError,
    ProducerClosedError,
    ProducerFencedError,
    RecordTooLargeError,
    TransactionAbortableError,
    TransactionCommittedError,
)
from kproducer.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from kproducer.protocol.messages.api_versions import ApiVersion
from kproducer.protocol.messages.end_txn import EndTxnResponse
from kproducer.protocol.messages.find_coordinator import (
    FIND_COORDINATOR,
    Coordinator,
    CoordinatorType,
    FindCoordinatorResponse,
    coordinator_request,
)
from kproducer.protocol.messages.init_producer_id import InitProducerIdResponse
from kproducer.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition
from tests.unit.engine.transaction_replies import all_added
from tests.unit.engine.world import CLOSE, SILENT, TXN_KEYS, World

TXN_APIS = ("InitProducerId", "AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn")
PUMP_ORDERS = ("producer_id", "txn_begin", "txn_allow", "txn_seal", "txn_drop", "fail_all")
OFFSETS = {TopicPartition("t", 0): OffsetAndMetadata(7)}
MEMBER = ConsumerGroupMetadata("g", 3, "member")


@pytest.fixture
def world() -> Iterator[World]:
    world = World(transactional_id="tx")
    world.create("t", (1, 5), (2, 5))
    yield world
    world.close()


@pytest.fixture
def ready(world: World) -> World:
    done(world, Call.INIT)
    return world


@pytest.fixture
def open_(ready: World) -> World:
    done(ready, Call.BEGIN)
    return ready


@pytest.fixture
def used(open_: World) -> World:
    """A transaction that has begun at the coordinator."""
    open_.pump.tell(TxnPartition(1, "t", 0))
    open_.settle()
    return open_


def manager(world: World) -> Any:
    assert world.transactor is not None
    return world.transactor.manager


def post(world: World, call: Call, **more: Any) -> Transact:
    command = Transact(call, **more)
    world.mailbox.post(command)
    world.settle()
    return command


def done(world: World, call: Call, **more: Any) -> None:
    """A call that succeeds within a millisecond."""
    post(world, call, **more).reply.wait(0)


def is_waiting(command: Transact) -> bool:
    return command.ticket is not None and not command.ticket.is_done


def error_of(command: Transact) -> KafkaError:
    with pytest.raises(KafkaError) as caught:
        command.reply.wait(0)
    return caught.value


def drain(world: World, generation: int = 1, **facts: bool) -> None:
    world.pump.tell(TxnDrained(generation, **{"was_sent": True, "is_broken": False, **facts}))
    world.settle()


def abandon(world: World, command: Transact) -> None:
    """What an app thread does whose time is up."""
    with pytest.raises(TimeoutError):
        command.reply.wait(0)
    world.mailbox.post(GiveUp(command))
    world.settle()


def asked(world: World) -> list[tuple[str, int, str]]:
    """The requests of the transaction: API, version, whom."""
    return [
        (name, version, str(transport.endpoint))
        for name, version, _, transport in world.requests
        if name in TXN_APIS
    ]


def orders(world: World) -> list[tuple[str, dict[str, Any]]]:
    return [(command.name, command.args) for command in world.pump.commands if command.name in PUMP_ORDERS]


# --- the way of a transaction ----------------------------------------------------------------------------------


def test_producer_without_a_call_asks_for_no_producer_id(world: World) -> None:
    world.run(1000)
    assert world.asked("InitProducerId") == []
    assert world.asked("FindCoordinator") == []


def test_init_finds_the_coordinator_and_gets_a_producer_id_there(world: World) -> None:
    world.coordinators["tx"] = 2
    done(world, Call.INIT)
    assert asked(world) == [("InitProducerId", 5, "two:9092")]
    assert orders(world) == [("producer_id", {"producer_id": 41, "epoch": 0})]
    assert manager(world).state is State.READY


def test_transaction_of_protocol_1(ready: World) -> None:
    done(ready, Call.BEGIN)
    ready.pump.tell(TxnPartition(1, "t", 0), TxnPartition(1, "t", 1))
    ready.settle()
    commit = post(ready, Call.COMMIT)
    assert is_waiting(commit)
    drain(ready)
    assert commit.reply.wait(0) is None
    assert asked(ready)[1:] == [("AddPartitionsToTxn", 3, "one:9092"), ("EndTxn", 4, "one:9092")]
    assert orders(ready)[1:] == [
        ("txn_begin", {"gen": 1, "is_v2": False}),
        ("txn_allow", {"gen": 1, "topic": "t", "partition": 0}),
        ("txn_allow", {"gen": 1, "topic": "t", "partition": 1}),
        ("txn_seal", {"gen": 1}),
    ]


def test_transaction_of_protocol_2() -> None:
    world = World(transactional_id="tx")
    world.transaction_version = 2
    done(world, Call.INIT)
    done(world, Call.BEGIN)
    commit = post(world, Call.COMMIT)
    drain(world)
    commit.reply.wait(0)
    assert asked(world)[1:] == [("EndTxn", 5, "one:9092")]
    assert orders(world)[1:] == [
        ("txn_begin", {"gen": 1, "is_v2": True}),
        ("txn_seal", {"gen": 1}),
        ("producer_id", {"producer_id": 41, "epoch": 1}),
    ]
    world.close()


def test_next_epoch_is_published_before_the_commit_is_told() -> None:
    """A record of the next transaction must not take the old one."""
    world = World(transactional_id="tx")
    world.transaction_version = 2
    done(world, Call.INIT)
    done(world, Call.BEGIN)
    seen: list[int] = []
    command = Transact(Call.COMMIT)
    tell = command.reply.set_result

    def told(value: None) -> bool:
        seen.append(len(world.pump.calls("producer_id")))
        return tell(value)

    command.reply.set_result = told  # type: ignore[method-assign]  # sees the moment
    world.mailbox.post(command)
    world.settle()
    drain(world)
    assert seen == [2]
    world.close()


def test_abort_drops_first_and_asks_for_the_end_after(used: World) -> None:
    abort = post(used, Call.ABORT)
    assert used.pump.calls("txn_drop") == [{"gen": 1, "message": "abort_transaction() was called"}]
    assert used.asked("EndTxn") == []
    drain(used)
    abort.reply.wait(0)
    assert len(used.asked("EndTxn")) == 1


def test_offsets_are_announced_to_one_coordinator_and_sent_to_another(open_: World) -> None:
    open_.coordinators["g"] = 2
    done(open_, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER)
    assert asked(open_)[1:] == [("AddOffsetsToTxn", 4, "one:9092"), ("TxnOffsetCommit", 4, "two:9092")]


def test_member_that_lost_its_group_is_told(open_: World) -> None:
    part = TxnOffsetCommitResponsePartition(error_code=22)
    open_.scripts["TxnOffsetCommit"].append(
        TxnOffsetCommitResponse(topics=(TxnOffsetCommitResponseTopic(name="t", partitions=(part,)),))
    )
    command = post(open_, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER)
    assert isinstance(error_of(command), CommitFailedError)
    assert open_.pump.calls("txn_drop")


def test_failed_record_fails_the_next_commit(open_: World) -> None:
    open_.pump.tell(TxnFailed(1, "t", 0, RecordTooLargeError("too large")))
    command = post(open_, Call.COMMIT)
    assert isinstance(error_of(command), TransactionAbortableError)


def test_failure_that_was_told_before_the_call_is_taken_in_before_it(open_: World) -> None:
    command = Transact(Call.COMMIT)
    open_.mailbox.post(command)
    open_.pump.tell(TxnFailed(1, "t", 0, RecordTooLargeError("too large")))
    open_.settle()
    assert isinstance(error_of(command), TransactionAbortableError)
    assert open_.pump.calls("txn_seal") == []


def test_event_of_another_generation_changes_nothing(open_: World) -> None:
    open_.pump.tell(
        TxnPartition(7, "t", 0), TxnFailed(7, "t", 0, RecordTooLargeError()), TxnDrained(7, True, True)
    )
    open_.settle()
    assert manager(open_).state is State.IN_TRANSACTION
    assert asked(open_)[1:] == []


# --- callers -----------------------------------------------------------------------------------------------------


def test_illegal_call_is_answered_at_once(world: World) -> None:
    assert isinstance(error_of(post(world, Call.BEGIN)), IllegalStateError)


def test_caller_that_gave_up_gets_the_outcome_by_the_same_call(world: World) -> None:
    world.scripts["InitProducerId"].append(SILENT)
    command = post(world, Call.INIT)
    abandon(world, command)
    world.run(40_000)  # the request times out and is sent again
    assert isinstance(error_of(post(world, Call.BEGIN)), IllegalStateError)
    done(world, Call.INIT)
    assert isinstance(error_of(post(world, Call.INIT)), IllegalStateError)


def test_outcome_that_came_as_the_caller_left_is_kept_for_the_next_one(used: World) -> None:
    command = post(used, Call.COMMIT)
    with pytest.raises(TimeoutError):
        command.reply.wait(0)  # and the command that says so is not there yet
    drain(used)
    used.mailbox.post(GiveUp(command))
    used.settle()
    done(used, Call.COMMIT)


def test_begin_that_happened_as_the_caller_left_is_told_by_the_next_begin(ready: World) -> None:
    command = Transact(Call.BEGIN)
    with pytest.raises(TimeoutError):
        command.reply.wait(0)
    ready.mailbox.post(command)
    ready.mailbox.post(GiveUp(command))
    ready.settle()
    done(ready, Call.BEGIN)
    assert len(ready.pump.calls("txn_begin")) == 1


def test_two_callers_of_one_commit_get_the_same_outcome(used: World) -> None:
    first, second = post(used, Call.COMMIT), post(used, Call.COMMIT)
    drain(used)
    first.reply.wait(0)
    second.reply.wait(0)


def test_commit_given_up_while_its_end_is_on_the_way_can_be_aborted_and_was_committed(used: World) -> None:
    used.scripts["EndTxn"].append(SILENT)
    commit = post(used, Call.COMMIT)
    drain(used)
    abandon(used, commit)
    assert manager(used).state is State.COMMIT_UNKNOWN
    abort = post(used, Call.ABORT)
    used.scripts["EndTxn"].append(EndTxnResponse(error_code=48))  # to the abort, after request.timeout.ms
    used.run(used.clock.now + 40_000)
    assert isinstance(error_of(abort), TransactionCommittedError)
    assert used.pump.calls("producer_id")[-1] == {"producer_id": 41, "epoch": 1}


def test_begin_waits_for_the_epoch_that_a_lost_request_made_necessary(used: World) -> None:
    used.scripts["EndTxn"].append(CLOSE)
    commit = post(used, Call.COMMIT)
    drain(used)
    used.run(used.clock.now + 500)
    commit.reply.wait(0)
    done(used, Call.BEGIN)
    assert orders(used)[-2:] == [
        ("producer_id", {"producer_id": 41, "epoch": 1}),
        ("txn_begin", {"gen": 2, "is_v2": False}),
    ]


def test_begin_that_waits_for_its_epoch_is_told_when_it_comes(used: World) -> None:
    abort = post(used, Call.ABORT)
    used.scripts["InitProducerId"].append(InitProducerIdResponse(error_code=51))
    drain(used, is_broken=True)
    abort.reply.wait(0)
    begin = post(used, Call.BEGIN)
    assert is_waiting(begin)
    used.run(used.clock.now + 100)
    begin.reply.wait(0)
    assert used.pump.calls("txn_begin")[-1] == {"gen": 2, "is_v2": False}


def test_close_fails_the_callers_that_wait(used: World) -> None:
    command = post(used, Call.COMMIT)
    used.sender.close(ProducerClosedError("closed"))
    assert isinstance(error_of(command), ProducerClosedError)
    assert used.open_transports() == []


def test_fencing_ends_the_producer_and_every_caller(used: World) -> None:
    used.scripts["EndTxn"].append(EndTxnResponse(error_code=90))
    commit = post(used, Call.COMMIT)
    drain(used)
    error = error_of(commit)
    assert isinstance(error, ProducerFencedError)
    (call,) = used.pump.calls("fail_all")
    assert (call["code"], call["fatal"]) == (90, True)
    assert "took over" in call["message"]
    requests = len(asked(used))
    assert isinstance(error_of(post(used, Call.ABORT)), KafkaError)
    used.run(used.clock.now + 10_000)
    assert len(asked(used)) == requests


# --- coordinators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [7, 15, 16])
def test_coordinator_that_moved_is_found_and_asked_again(used: World, code: int) -> None:
    used.scripts["EndTxn"].append(EndTxnResponse(error_code=code))
    commit = post(used, Call.COMMIT)
    used.coordinators["tx"] = 2
    drain(used)
    used.run(used.clock.now + 1000)
    commit.reply.wait(0)
    assert [to for name, _, to in asked(used) if name == "EndTxn"] == ["one:9092", "two:9092"]
    assert len(used.asked("FindCoordinator")) == 2


@pytest.mark.parametrize("code", [14, 51, 89])
def test_coordinator_that_is_busy_is_asked_again_on_the_same_link(used: World, code: int) -> None:
    used.scripts["EndTxn"].append(EndTxnResponse(error_code=code))
    commit = post(used, Call.COMMIT)
    drain(used)
    used.run(used.clock.now + 300)
    commit.reply.wait(0)
    first, second = used.asked("EndTxn")
    assert second - first == pytest.approx(20 if code == 51 else 100, abs=1)
    assert len(used.asked("FindCoordinator")) == 1


def test_lost_link_finds_the_coordinator_again(used: World) -> None:
    used.scripts["EndTxn"].append(CLOSE)
    commit = post(used, Call.COMMIT)
    drain(used)
    used.run(used.clock.now + 500)
    commit.reply.wait(0)
    assert len(used.asked("FindCoordinator")) == 2


def test_lost_link_to_a_coordinator_asks_where_the_brokers_are(used: World) -> None:
    before = len(used.asked("Metadata"))
    used.run(used.clock.now + 1_000)
    assert len(used.asked("Metadata")) == before
    used.scripts["EndTxn"].append(CLOSE)
    post(used, Call.COMMIT)
    drain(used)
    used.run(used.clock.now + 500)
    assert len(used.asked("Metadata")) == before + 1


def test_unreachable_coordinator_is_looked_for_with_backoff_until_it_moves(world: World) -> None:
    world.connect_errors["two:9092"] = NetworkError("refused")
    world.coordinators["tx"] = 2
    command = post(world, Call.INIT)
    world.run(5_000)
    assert is_waiting(command)
    assert 4 < len(world.asked("FindCoordinator")) < 60
    world.coordinators["tx"] = 1
    world.run(world.clock.now + 3_000)
    command.reply.wait(0)


def test_coordinator_that_hangs_is_left_after_request_timeout(world: World) -> None:
    world.scripts["InitProducerId"].append(SILENT)
    command = post(world, Call.INIT)
    world.run(31_000)
    command.reply.wait(0)
    first, second = world.asked("InitProducerId")
    assert second - first >= 30_000


def test_throttled_coordinator_is_given_its_pause(used: World) -> None:
    topic = AddPartitionsToTxnTopic(name="t", partitions=(1,))
    answer = all_added(AddPartitionsToTxnRequest(v3_and_below_topics=(topic,)))
    used.scripts["AddPartitionsToTxn"].append(replace(answer, throttle_time_ms=500))
    used.pump.tell(TxnPartition(1, "t", 1))
    used.settle()
    commit = post(used, Call.COMMIT)
    drain(used)
    assert is_waiting(commit)
    used.run(used.clock.now + 600)
    commit.reply.wait(0)


def test_find_that_hangs_is_asked_elsewhere(world: World) -> None:
    world.settle()
    world.scripts["FindCoordinator"].append(SILENT)
    command = post(world, Call.INIT)
    world.run(40_000)
    command.reply.wait(0)


def test_find_that_is_refused_fails_init_and_may_be_called_again(world: World) -> None:
    world.scripts["FindCoordinator"].append(
        FindCoordinatorResponse(coordinators=(Coordinator(key="tx", error_code=53),))
    )
    error = error_of(post(world, Call.INIT))
    assert (error.code, error.fatal) == (53, False)
    done(world, Call.INIT)


def test_find_that_makes_no_sense_costs_the_connection_and_not_the_producer(world: World) -> None:
    world.scripts["FindCoordinator"].append(FindCoordinatorResponse())
    command = post(world, Call.INIT)
    world.run(1_000)
    command.reply.wait(0)


def test_group_that_may_not_be_used_dooms_the_transaction_only(open_: World) -> None:
    refused = FindCoordinatorResponse(coordinators=(Coordinator(key="g", error_code=30),))
    open_.scripts["FindCoordinator"].append(refused)
    command = post(open_, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER)
    assert isinstance(error_of(command), TransactionAbortableError)
    assert open_.pump.calls("fail_all") == []


def test_group_that_may_not_be_used_dooms_the_transaction_only_whatever_is_next_by_then(
    open_: World,
) -> None:
    """While the group's coordinator was looked for, a partition came first."""
    open_.scripts["FindCoordinator"].append(SILENT)
    command = post(open_, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER)
    manager(open_).partition_used(1, TopicPartition("t", 0))
    assert open_.transactor is not None
    refused = FindCoordinatorResponse(coordinators=(Coordinator(key="g", error_code=30),))
    asked_for = coordinator_request("g", CoordinatorType.GROUP)
    open_.transactor.on_found(Answer(FIND_COORDINATOR, asked_for, refused, 5), open_.clock.now)
    assert open_.pump.calls("fail_all") == []
    assert manager(open_).state is State.IN_TRANSACTION
    assert is_waiting(command)


# --- versions ----------------------------------------------------------------------------------------------------


def keys(**highest: int) -> tuple[ApiVersion, ...]:
    numbers = {"offsets": 28, "init": 22, "end": 26, "add": 24, "produce": 0}
    changed = {numbers[name]: high for name, high in highest.items()}
    return tuple(
        ApiVersion(api_key=key.api_key, min_version=0, max_version=changed.get(key.api_key, key.max_version))
        for key in TXN_KEYS
        if changed.get(key.api_key) != -1
    )


def test_broker_without_producer_ids_fails_init(world: World) -> None:
    world.api_keys = keys(init=-1)
    assert "InitProducerId" in str(error_of(post(world, Call.INIT)))
    assert world.pump.calls("fail_all") == []


def test_old_group_coordinator_is_not_trusted_with_a_member(world: World) -> None:
    world.api_keys = keys(offsets=2)
    done(world, Call.INIT)
    done(world, Call.BEGIN)
    error = error_of(post(world, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER))
    assert "give the group id alone" in str(error)
    assert error.requires_abort


def test_old_group_coordinator_takes_offsets_of_a_group_alone(world: World) -> None:
    world.api_keys = keys(offsets=2)
    done(world, Call.INIT)
    done(world, Call.BEGIN)
    done(world, Call.SEND_OFFSETS, offsets=OFFSETS, group=ConsumerGroupMetadata("g"))
    assert ("TxnOffsetCommit", 2, "one:9092") in asked(world)


def test_old_coordinator_is_never_asked_for_a_new_producer_instead_of_a_new_epoch(world: World) -> None:
    world.api_keys = keys(init=2)
    done(world, Call.INIT)
    done(world, Call.BEGIN)
    abort = post(world, Call.ABORT)
    drain(world, was_sent=False, is_broken=True)
    abort.reply.wait(0)
    world.settle()
    assert len(world.asked("InitProducerId")) == 1
    (call,) = world.pump.calls("fail_all")
    assert "KIP-360" in call["message"]


def test_newest_features_of_the_cluster_decide_about_the_protocol(world: World) -> None:
    world.transaction_version, world.features_epoch = 2, 5
    done(world, Call.INIT)
    world.transaction_version, world.features_epoch = 0, 4  # an old answer of a broker that lags
    world.coordinators["g"] = 2
    done(world, Call.BEGIN)
    done(world, Call.SEND_OFFSETS, offsets=OFFSETS, group=MEMBER)
    assert manager(world)._offers_v2
    assert world.pump.calls("txn_begin") == [{"gen": 1, "is_v2": True}]


@pytest.mark.parametrize(("level", "expected"), [(0, 11), (1, 11), (2, 13)])
def test_produce_connections_speak_the_version_of_the_protocol(level: int, expected: int) -> None:
    world = World(transactional_id="tx")
    world.transaction_version = level
    world.create("t", (1, 5))
    world.pump.tell(TopicWanted("t", 1), ConnWanted(1))
    world.settle()
    (adopted,) = world.pump.calls("adopt")
    assert adopted["produce_version"] == expected
    world.close()


def test_produce_connections_of_the_other_protocol_are_let_go_before_a_transaction_begins(
    world: World,
) -> None:
    world.pump.tell(TopicWanted("t", 1), ConnWanted(1))
    done(world, Call.INIT)
    assert world.pump.calls("adopt")[0]["produce_version"] == 11
    world.transaction_version, world.features_epoch = 2, 9
    world.pump.tell(ConnWanted(2))  # whose versions tell of the change
    world.settle()
    done(world, Call.BEGIN)
    names = [c.name for c in world.pump.commands if c.name in ("drop", "txn_begin")]
    assert names == ["drop", "txn_begin"]
    assert world.pump.calls("drop") == [{"node": 1, "conn_gen": 1, "drain": True}]
    world.pump.tell(ConnClosed(1, 1, CloseCause.DRAINED, 0), ConnWanted(1))
    world.settle()
    assert world.pump.calls("adopt")[-1]["produce_version"] == 13


def test_links_to_coordinators_are_not_given_to_the_pump(ready: World) -> None:
    assert ready.pump.calls("adopt") == []


def test_idle_loop_waits_and_does_not_spin(used: World) -> None:
    used.settle()
    polls = used.poller.polls
    used.run(used.clock.now + 60_000)
    assert used.poller.polls - polls < 20
