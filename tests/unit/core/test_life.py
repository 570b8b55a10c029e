"""Birth and end of a producer: failed construction, copies, garbage, fork, exit of the interpreter."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.sink import Sink
from kproducer import ConfigError, KafkaProducer, ProducerClosedError
from kproducer._core.accumulator import RecordAppender
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, gated, open_descriptors, values_of, wait_until

ROOT = Path(__file__).parents[3]


def run_script(sink: Sink, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script of its own process; it finds the class and the server's address."""
    script = "import os, sys, threading, time\nfrom kproducer import *\n" + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, *options, "-c", script, sink.bootstrap_servers],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


# --- construction -------------------------------------------------------------------------------------------


class Unborn(KafkaProducer):
    """A subclass that forgets its parent."""

    def __init__(self) -> None: ...


class StillBorn(KafkaProducer):
    """A subclass whose parent refused."""

    def __init__(self) -> None:
        try:
            super().__init__(bootstrap_servers="")
        except ConfigError:
            pass


@pytest.mark.parametrize("make_one", [Unborn, StillBorn, lambda: KafkaProducer.__new__(KafkaProducer)])
def test_a_producer_without_init_says_so_in_every_call(make_one: Callable[[], KafkaProducer]) -> None:
    calls: list[Callable[[KafkaProducer], object]] = [
        lambda producer: producer.send("t", b""),
        lambda producer: producer.produce("t", b""),
        lambda producer: producer.send_many("t", [b""]),
        lambda producer: producer.partitions_for("t"),
        KafkaProducer.flush,
        KafkaProducer.close,
        KafkaProducer.metrics,
    ]
    producer = make_one()
    for call in calls:
        with pytest.raises(RuntimeError, match="__init__ was not called, or failed"):
            call(producer)
    assert "uninitialised" in repr(producer)
    del producer
    gc.collect()  # nothing to take apart, and no complaint


def test_a_bare_appender_refuses() -> None:
    with pytest.raises(RuntimeError, match="__init__"):
        RecordAppender().send("t", b"")


def test_a_subclass_may_add_to_it(broker: ScriptedBroker) -> None:
    class Shouting(KafkaProducer):
        def send(self, topic: Any, value: Any = None, *rest: Any, **more: Any) -> Any:
            return super().send(topic, value.upper(), *rest, **more)

    with Shouting(bootstrap_servers=str(broker.address)) as producer:
        producer.send("one", b"v").result(10)
    assert values_of(broker, "one") == [b"V"]


def test_failed_construction_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    for wrong in ({"acks": 7}, {"bootstrap_servers": "nowhere"}, {"no_such_key": 1}):
        with pytest.raises(ConfigError):
            KafkaProducer(**({"bootstrap_servers": "127.0.0.1:9"} | wrong))
    assert threading.active_count() == before


@pytest.mark.row("F40")
@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_copies_are_refused(producer: KafkaProducer, copying: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copying(producer)


def test_client_ids_are_numbered_unless_given(broker: ScriptedBroker, make: MakeProducer) -> None:
    names = {repr(make(broker)) for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("<KafkaProducer producer-") for name in names)
    assert repr(make(broker, client_id="mine")) == "<KafkaProducer mine open>"


def test_many_producers_live_in_one_process(broker: ScriptedBroker, make: MakeProducer) -> None:
    producers = [make(broker) for _ in range(10)]
    for producer in producers:
        producer.produce("one", b"v")
    for producer in producers:
        producer.close()
    assert len(values_of(broker, "one")) == 10


def test_close_has_one_deadline_for_the_abort_and_for_the_delivery(
    broker: ScriptedBroker, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = producer._runtime
    assert runtime is not None
    given: list[float] = []

    def abort(timeout_s: float) -> float:
        given.append(timeout_s)
        return timeout_s * 1000  # as long as it may take

    with gated(broker):
        future = producer.send("one", b"never acknowledged")
        monkeypatch.setattr(runtime, "abort_open_transaction", abort)
        began = time.monotonic()
        producer.close(15)
        took = time.monotonic() - began
        assert isinstance(future.exception(0), ProducerClosedError)
    assert given == [15]
    assert took < 10  # and not the fifteen seconds again, for the delivery


# --- garbage ------------------------------------------------------------------------------------------------


@pytest.mark.row("F41")
@pytest.mark.parametrize("has_callbacks", [False, True])
def test_a_collected_producer_delivers_and_ends_its_threads(
    broker: ScriptedBroker, has_callbacks: bool
) -> None:
    heard: list[object] = []
    callback = (lambda m, e: heard.append(m)) if has_callbacks else None
    producer = KafkaProducer(bootstrap_servers=str(broker.address), client_id="collected", linger_ms=50)
    for _ in range(100):
        producer.produce("one", b"v", on_delivery=callback)
    gone = weakref.ref(producer)
    del producer
    gc.collect()
    assert gone() is None

    def has_threads() -> bool:
        return any("collected" in thread.name for thread in threading.enumerate())

    wait_until(lambda: not has_threads(), "the threads of a collected producer have ended")
    assert len(values_of(broker, "one")) == 100
    assert len(heard) == (100 if has_callbacks else 0)


@pytest.mark.row("F39")
def test_descriptors_are_given_back(broker: ScriptedBroker, make: MakeProducer) -> None:
    def use() -> None:
        producer = make(broker)
        producer.send("one", b"v", on_delivery=lambda m, e: None).result(10)
        producer.close()

    use()
    wait_until(lambda: _open_sockets(broker) == 0, "the broker has seen the end of the connections")
    before = open_descriptors()
    for _ in range(5):
        use()
    gc.collect()
    wait_until(lambda: _open_sockets(broker) == 0, "the broker has seen the end of the connections")
    # The pump's two pairs live as long as the object, which the fixture holds.
    assert open_descriptors() - before <= 5 * 4


def _open_sockets(broker: ScriptedBroker) -> int:
    return len(broker._open)


# --- exit of the interpreter --------------------------------------------------------------------------------


@pytest.mark.row("F41")
def test_exit_without_close_delivers_and_warns(sink: Sink) -> None:
    done = run_script(
        sink,
        """
        producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=1000)
        producer.send_many("bench", [b"v"] * 5000)
        """,
        "-Wdefault",
    )
    assert done.returncode == 0, done.stderr
    assert sink.stats().records == 5000
    assert "ResourceWarning" in done.stderr
    assert "was not closed: 0 records were not delivered" in done.stderr


@pytest.mark.row("F41")
def test_exit_after_close_says_nothing(sink: Sink) -> None:
    done = run_script(
        sink,
        """
        with KafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
            producer.produce("bench", b"v", on_delivery=lambda m, e: print("heard", m.offset))
        """,
        "-Wdefault", "-Xdev",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard 0\n", "")


@pytest.mark.row("F41")
def test_exit_runs_the_callbacks_that_are_pending(sink: Sink) -> None:
    sink.set_delay_ms(200)
    done = run_script(
        sink,
        """
        heard = []
        import atexit
        atexit.register(lambda: print(len(heard)))  # runs after ours? registered later, so before
        producer = KafkaProducer(bootstrap_servers=sys.argv[1])
        for n in range(100):
            producer.produce("bench", b"v", on_delivery=lambda m, e: os.write(1, b"."))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 100


@pytest.mark.row("F41")
def test_exit_gives_up_after_its_time_and_says_how_many_were_left(sink: Sink) -> None:
    sink.set_delay_ms(60_000)
    done = run_script(
        sink,
        """
        import kproducer.engine.runtime as runtime
        runtime.EXIT_FLUSH_S = 0.3
        producer = KafkaProducer(bootstrap_servers=sys.argv[1])
        producer.send_many("bench", [b"v"] * 7)
        """,
        "-Wdefault",
    )
    assert done.returncode == 0, done.stderr
    assert "7 records were not delivered" in done.stderr


@pytest.mark.row("F41")
@pytest.mark.parametrize("how", ["sys.exit(3)", "raise LookupError", "os._exit(3)"])
def test_any_kind_of_exit_ends_the_process(sink: Sink, how: str) -> None:
    done = run_script(
        sink,
        f"""
        producer = KafkaProducer(bootstrap_servers=sys.argv[1])
        producer.send_many("bench", [b"v"] * 1000)
        producer.produce("bench", b"v", on_delivery=lambda m, e: time.sleep(0.01))
        {how}
        """,
    )
    assert done.returncode in (1, 3)
    if "os._exit" not in how:
        assert sink.stats().records == 1001


@pytest.mark.row("F41")
def test_exit_while_daemon_threads_send(sink: Sink) -> None:
    done = run_script(
        sink,
        """
        producer = KafkaProducer(bootstrap_servers=sys.argv[1], buffer_memory=1 << 20)
        def send():
            while True:
                producer.send("bench", bytes(100), on_delivery=lambda m, e: None)
        for _ in range(4):
            threading.Thread(target=send, daemon=True).start()
        time.sleep(0.2)
        """,
    )
    assert done.returncode == 0, done.stderr


# --- fork ---------------------------------------------------------------------------------------------------

FORK = """
import socket, warnings

def ports_connected_to():
    ports = set()
    for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else ():
        try:
            with socket.socket(fileno=os.dup(int(name))) as copy:
                peer = copy.getpeername()
                if isinstance(peer, tuple):
                    ports.add(peer[1])
        except OSError:
            pass  # no socket, or not connected to an address
    return ports

producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=100, client_id="parent")
future = producer.send("bench", b"warm", on_delivery=lambda m, e: None)
future.result(10)
pending = producer.send("bench", b"pending")
many = producer.send_many("bench", [b"pending"] * 10)
assert int(sys.argv[1].rpartition(":")[2]) in ports_connected_to()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 3.12 warns of threads
    child = os.fork()
if child == 0:
    assert int(sys.argv[1].rpartition(":")[2]) not in ports_connected_to()
    began = time.monotonic()
    calls = [lambda: producer.send("bench", b"x"), lambda: producer.produce("bench", b"x"),
             lambda: producer.send("unknown", b"x"),
             lambda: producer.send_many("bench", [b"x"]), producer.flush, producer.close, producer.metrics,
             lambda: producer.partitions_for("bench"), pending.result, pending.done, pending.exception,
             lambda: pending.add_done_callback(print), many.wait, many.done, lambda: many.failed]
    for call in calls:
        try:
            call()
        except ForkError:
            pass
        else:
            os.write(2, f"no ForkError from {calls.index(call)}".encode())
            os._exit(1)
    assert time.monotonic() - began < 1
    del pending, many, future, calls, call
    own = KafkaProducer(bootstrap_servers=sys.argv[1], client_id="child")
    assert own.send("bench", b"child").result(10).has_offset
    own.close()
    del producer
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert pending.result(10).has_offset
assert producer.send("bench", b"after").result(10).has_offset
producer.close()
"""


@pytest.mark.row("F40")
def test_a_forked_child_is_refused_and_the_parent_delivers_once(sink: Sink) -> None:
    done = run_script(sink, FORK)
    assert (done.returncode, done.stderr) == (0, "")
    stats = sink.stats()
    assert stats.records == 1 + 1 + 10 + 1 + 1
    assert stats.sequence_errors == 0


@pytest.mark.row("F40")
def test_a_fork_in_the_middle_of_sends_does_not_hang_the_child(sink: Sink) -> None:
    done = run_script(
        sink,
        """
        import warnings
        warnings.simplefilter("ignore")
        producer = KafkaProducer(bootstrap_servers=sys.argv[1])
        ends = threading.Event()
        sent = [0] * 4
        def send(n):
            while not ends.is_set():
                producer.produce("bench", bytes(100), on_delivery=lambda m, e: None)
                sent[n] += 1
        threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    producer.send("bench", b"")
                except ForkError:
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        ends.set()
        for thread in threads:
            thread.join()
        producer.close()
        print(sum(sent))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert sink.stats().records == int(done.stdout)
    assert sink.stats().sequence_errors == 0
