"""A whole control side, its threads and real sockets, against a scripted broker and a fake pump."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kproducer._core.events import Action, BatchRefused, CloseCause, ConnClosed, ConnWanted, TopicWanted
from kproducer.config import HostPort, parse_config
from kproducer.engine import runtime as runtime_module
from kproducer.engine.runtime import Runtime
from kproducer.errors import (
    ForkError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    TopicAuthorizationError,
)
from kproducer.protocol.messages.api_versions import API_VERSIONS
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdResponse
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE, EncodedBatch, produce_request
from tests.fakes.scripted_broker import (
    VERSION_TABLES,
    Body,
    Close,
    Frame,
    Handler,
    Late,
    ScriptedBroker,
    ScriptedCluster,
    Silent,
    Trickled,
    Wrong,
)
from tests.unit.engine.fake_pump import FakePump

GOLDEN_BATCH = bytes.fromhex(
    "00000000000000000000004fffffffff022476425c00000000000200000174876e800000000174876e80050000000000001092000700"
    "0000640000000318000000026b027602026802780c000a0201010012000504000002026e01"
)

Make = Callable[..., tuple[Runtime, FakePump]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes started runtimes with fake pumps, and ends them."""
    made: list[tuple[Runtime, FakePump]] = []
    monkeypatch.setattr(runtime_module, "Pump", FakePump)
    monkeypatch.setattr(runtime_module, "deliver", lambda pump: not pump.join(10))

    def make(*addresses: HostPort, **overrides: object) -> tuple[Runtime, FakePump]:
        config = parse_config({"bootstrap.servers": [str(a) for a in addresses]}, overrides)
        runtime = Runtime(config, client_id="tester")
        pump: Any = runtime.pump
        made.append((runtime, pump))
        runtime.start()
        return runtime, pump

    yield make
    for runtime, pump in made:
        runtime.close(5)
        assert not [t.name for t in threading.enumerate() if t.name.startswith("kproducer-control")]
        pump.close_adopted()
        pump.close()


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        broker.cluster.create_topic("t", [1, 1])
        yield broker


def adopted_socket(pump: FakePump) -> socket.socket:
    sock = socket.socket(fileno=os.dup(pump.wait_for("adopt")[0]["fd"]))
    sock.settimeout(5)
    return sock


def trickled(answer: Handler) -> Handler:
    return lambda request: Trickled(answer(request))


def read_frame(sock: socket.socket) -> bytes:
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        data += sock.recv(65536)
    return data[4:]


# --- brokers of all ages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", VERSION_TABLES)
def test_bootstrap_and_produce_with_brokers_of_each_release(make: Make, release: str) -> None:
    with ScriptedBroker(versions=VERSION_TABLES[release]) as broker:
        topic = broker.cluster.create_topic("t", [1])
        runtime, pump = make(broker.address)
        assert [info.leader for info in runtime.partitions_for("t", 5)] == [1]
        pump.wait_for("producer_id")
        pump.tell(ConnWanted(1))
        version = pump.wait_for("adopt")[0]["produce_version"]
        assert version == VERSION_TABLES[release][PRODUCE.key][1]
        has_ids = VERSION_TABLES[release][METADATA.key][1] >= 10
        assert pump.calls("topic")[0]["topic_id"] == (topic.topic_id.bytes if has_ids else None)
        with adopted_socket(pump) as sock:
            batch = EncodedBatch("t", topic.topic_id, 0, GOLDEN_BATCH)
            request = produce_request([batch], acks=-1, timeout_ms=1000)
            sock.sendall(PRODUCE.encode_request(request, version, correlation_id=9, client_id="tester"))
            correlation_id, response = PRODUCE.decode_response(read_frame(sock), version)
        assert correlation_id == 9
        assert response.responses[0].partition_responses[0].error_code == 0
        assert topic.batches[0] == [GOLDEN_BATCH]


def test_adopted_socket_is_non_blocking_with_nothing_unread(make: Make, broker: ScriptedBroker) -> None:
    runtime, pump = make(broker.address)
    runtime.partitions_for("t", 5)
    pump.tell(ConnWanted(1))
    descriptor = pump.wait_for("adopt")[0]["fd"]
    assert not os.get_blocking(descriptor)
    with adopted_socket(pump) as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_client_id_and_software_are_told(make: Make, broker: ScriptedBroker) -> None:
    make(broker.address)
    request = broker.wait_for(API_VERSIONS)[0]
    assert request.client_id == "tester"
    assert request.body.client_software_name == "kproducer"


def test_mock_cluster_of_librdkafka_is_understood(make: Make) -> None:
    confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs confluent-kafka")
    mock = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "log_level": 0})
    (found,) = mock.list_topics(timeout=5).brokers.values()
    runtime, pump = make(HostPort(found.host, found.port))
    assert runtime.partitions_for("t", 5)
    pump.wait_for("producer_id")
    pump.tell(ConnWanted(found.id))
    assert pump.wait_for("adopt")[0]["produce_version"] >= 9


# --- brokers that misbehave ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Close(),
        Body(bytes.fromhex("0023010012000000020000 0000".replace(" ", ""))),
        Body(b""),
        Body(b"\xff" * 30),
        Body(struct.pack(">hi", 0, 2**31 - 1)),
        Frame(struct.pack(">i", 2**31 - 1)),
        Frame(struct.pack(">i", -1)),
        Frame(struct.pack(">i", 0)),
    ],
    ids=[
        "close",
        "librdkafka-mock",
        "empty",
        "ones",
        "huge-count",
        "huge-size",
        "negative-size",
        "zero-size",
    ],
)
@pytest.mark.parametrize("api", [API_VERSIONS, METADATA, INIT_PRODUCER_ID], ids=lambda api: api.name)
def test_malformed_answer_costs_a_reconnect_and_nothing_else(
    make: Make, broker: ScriptedBroker, api: Any, reply: Any
) -> None:
    broker.push(api, reply)
    runtime, pump = make(broker.address)
    assert runtime.partitions_for("t", 5)
    pump.wait_for("producer_id")
    assert pump.calls("fail_all") == []


def test_wrong_correlation_id_costs_a_reconnect(make: Make, broker: ScriptedBroker) -> None:
    answer = broker.default(METADATA)
    broker.push(METADATA, lambda request: Wrong(answer(request), 77))
    runtime, _ = make(broker.address)
    assert runtime.partitions_for("t", 5)
    assert "correlation id 77" in str(runtime.last_connection_error())


def test_answers_that_trickle_in_are_put_together(make: Make, broker: ScriptedBroker) -> None:
    for api in (API_VERSIONS, METADATA, INIT_PRODUCER_ID):
        broker.on(api, trickled(broker.default(api)))
    runtime, pump = make(broker.address)
    assert runtime.partitions_for("t", 5)
    pump.wait_for("producer_id")
    assert broker.connections == 1


def test_lost_control_connection_is_opened_again_at_need(make: Make, broker: ScriptedBroker) -> None:
    runtime, _ = make(broker.address)
    runtime.partitions_for("t", 5)
    broker.close_connections()
    broker.cluster.create_topic("later", [1])
    assert runtime.partitions_for("later", 5)


def test_first_bootstrap_server_may_be_dead(make: Make, broker: ScriptedBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = HostPort(*closed.getsockname()[:2])
    runtime, _ = make(dead, broker.address)
    assert runtime.partitions_for("t", 5)


def test_leader_move_is_followed_to_another_broker(make: Make) -> None:
    cluster = ScriptedCluster()
    with ScriptedBroker(cluster, node_id=1) as one, ScriptedBroker(cluster, node_id=2):
        cluster.create_topic("t", [1])
        runtime, pump = make(one.address)
        runtime.partitions_for("t", 5)
        pump.tell(ConnWanted(1))
        pump.wait_for("adopt")
        cluster.move("t", 0, 2)
        pump.tell(ConnClosed(1, 1, CloseCause.PEER, 1))
        assert pump.wait_for("topic", 2)[1]["leaders"] == [(2, 1)]
        pump.tell(ConnWanted(2))
        assert pump.wait_for("adopt", 2)[1]["node"] == 2


def test_refused_batch_is_answered_over_the_threads(make: Make, broker: ScriptedBroker) -> None:
    _, pump = make(broker.address)
    pump.wait_for("producer_id")
    pump.tell(BatchRefused("t", 0, 3, 7, 87, None, (), True, False, 1, 1, 0, 1, 4001, 0, None))
    assert pump.wait_for("resume")[0]["new_epoch"]
    assert pump.calls("verdict")[0]["action"] is Action.FAIL
    assert pump.wait_for("producer_id", 2)[1] == {"producer_id": 4001, "epoch": 1}


def test_throttled_control_connection_waits(make: Make, broker: ScriptedBroker) -> None:
    broker.push(INIT_PRODUCER_ID, InitProducerIdResponse(error_code=15, throttle_time_ms=300))
    make(broker.address)
    first, second = broker.wait_for(INIT_PRODUCER_ID, 2)
    assert second.at - first.at >= 0.29


def test_late_answer_is_waited_for(make: Make, broker: ScriptedBroker) -> None:
    answer = broker.default(METADATA)
    broker.on(METADATA, lambda request: Late(answer(request), 100))
    runtime, _ = make(broker.address)
    assert runtime.partitions_for("t", 5)
    assert broker.connections == 1


# --- callers ------------------------------------------------------------------------------------------------


def test_topic_that_never_comes_times_out_with_its_last_error(make: Make, broker: ScriptedBroker) -> None:
    runtime, pump = make(broker.address)
    with pytest.raises(KafkaTimeoutError, match="nowhere") as caught:
        runtime.partitions_for("nowhere", 0.3)
    assert caught.value.topic == "nowhere"
    assert isinstance(caught.value.__cause__, KafkaError)
    assert caught.value.__cause__.code == 3
    assert runtime.last_topic_error("nowhere") is not None
    assert pump.calls("topic_error") == []


def test_unreachable_cluster_times_out_with_stage_broker_and_errno(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = HostPort(*closed.getsockname()[:2])
    runtime, _ = make(dead)
    with pytest.raises(KafkaTimeoutError, match=rf"connecting, broker {dead}.*Errno"):
        runtime.partitions_for("t", 0.3)


def test_refused_topic_raises_at_once(make: Make, broker: ScriptedBroker) -> None:
    broker.cluster.create_topic("secret", [1]).error_code = 29
    runtime, pump = make(broker.address)
    with pytest.raises(TopicAuthorizationError):
        runtime.partitions_for("secret", 5)
    pump.tell(TopicWanted("secret", 1))
    assert pump.wait_for("topic_error", 2)[1]["code"] == 29


def test_refused_producer_id_is_raised_to_callers(make: Make, broker: ScriptedBroker) -> None:
    broker.push(INIT_PRODUCER_ID, InitProducerIdResponse(error_code=31))
    runtime, pump = make(broker.address)
    pump.wait_for("fail_all")
    with pytest.raises(KafkaError, match=r"enable\.idempotence=false") as first:
        runtime.raise_if_fatal()
    with pytest.raises(KafkaError) as second:
        runtime.partitions_for("t", 5)
    assert first.value is not second.value


# --- life ---------------------------------------------------------------------------------------------------


@pytest.mark.row("F45")
def test_error_of_our_own_is_logged_and_fails_everything(
    make: Make, broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    runtime, pump = make(broker.address)
    runtime.partitions_for("t", 5)
    with caplog.at_level(logging.ERROR):
        pump.fail_take_events = ZeroDivisionError("planted")
        pump.tell(ConnWanted(1))
        (call,) = pump.wait_for("fail_all")
        runtime.close(5)
    assert call["fatal"]
    assert "planted" in call["message"]
    assert "Traceback" in caplog.text
    with pytest.raises(KafkaError, match="planted"):
        runtime.raise_if_fatal()
    with pytest.raises(KafkaError, match="planted"):
        runtime.partitions_for("t", 5)


def test_close_ends_the_threads_and_later_calls_say_so(make: Make, broker: ScriptedBroker) -> None:
    runtime, pump = make(broker.address)
    runtime.ensure_delivery()
    runtime.close(5)
    runtime.close(5)
    assert len(pump.calls("stop")) == 1
    assert not [t.name for t in threading.enumerate() if t.name.startswith("kproducer-")]
    with pytest.raises(ProducerClosedError):
        runtime.partitions_for("t", 5)


def test_close_while_the_broker_hangs_is_quick(make: Make, broker: ScriptedBroker) -> None:
    broker.on(METADATA, lambda _: Silent())
    runtime, _ = make(broker.address)
    broker.wait_for(METADATA)
    runtime.close(1)
    assert not runtime._control.is_alive()


def test_caller_that_waits_is_told_of_close(make: Make, broker: ScriptedBroker) -> None:
    broker.on(METADATA, lambda _: Silent())
    runtime, _ = make(broker.address)
    broker.wait_for(METADATA)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            runtime.partitions_for("t", 30)
        except KafkaError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    broker.wait_for(METADATA)
    runtime.close(5)
    thread.join(5)
    assert [type(error) for error in outcome] == [ProducerClosedError]


def test_control_thread_never_waits_for_itself(make: Make, broker: ScriptedBroker) -> None:
    runtime, pump = make(broker.address)
    raised: list[BaseException] = []
    take_events = pump.take_events

    def reentrant() -> Any:
        for call in (lambda: runtime.partitions_for("t", 5), lambda: runtime.close(5)):
            try:
                call()
            except IllegalStateError as error:
                raised.append(error)
        pump.take_events = take_events  # type: ignore[method-assign]  # once is enough
        return take_events()

    pump.take_events = reentrant  # type: ignore[method-assign]  # stands in for a logging handler
    pump.tell(ConnWanted(1))
    assert runtime.partitions_for("t", 5)
    assert len(raised) == 2


def test_collected_producer_is_flushed_and_closed_in_the_background(
    make: Make, broker: ScriptedBroker
) -> None:
    runtime, pump = make(broker.address)
    runtime.close_in_background()
    assert pump.wait_for("flush")[0]["timeout_ms"] is None
    pump.wait_for("raise_unobserved")
    assert not runtime._control.is_alive()


def test_exit_flushes_for_a_bounded_time_and_tells_what_is_left(
    make: Make, broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    runtime, pump = make(broker.address)
    pump.failed_by_stop = 3
    with pytest.warns(ResourceWarning, match="3 records"):
        runtime_module._exit_all()
    assert pump.calls("flush") == [{"timeout_ms": 5000}]
    assert "3 records were not delivered" in caplog.text
    runtime_module._exit_all()
    assert len(pump.calls("flush")) == 1
    assert runtime.is_closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_is_refused_and_the_parent_goes_on(make: Make, broker: ScriptedBroker) -> None:
    runtime, pump = make(broker.address)
    runtime.partitions_for("t", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from 3.12
        child = os.fork()
    if child == 0:
        os._exit(_judge_in_child(runtime, pump))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    broker.cluster.create_topic("later", [1])
    assert runtime.partitions_for("later", 5)
    assert broker.connections == 1
    assert not pump.is_abandoned


def _judge_in_child(runtime: Runtime, pump: FakePump) -> int:
    """Return 0 if each call refuses, else the number of the call that did not."""
    calls: list[Callable[[], object]] = [
        runtime.raise_if_fatal,
        lambda: runtime.partitions_for("t", 1),
        lambda: runtime.close(1),
    ]
    for number, call in enumerate(calls, 1):
        try:
            call()
        except ForkError:
            continue
        return number
    runtime_module._exit_all()
    return 0 if pump.is_abandoned else 9
