"""How send() and produce() find their arguments, which they read where the interpreter left them: every way to call."""

from __future__ import annotations

import functools
import inspect
import operator
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.sink import Sink
from kproducer import KafkaProducer, ProducerRecord, RecordFuture
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, records_of, values_of

ROOT = Path(__file__).parents[3]
NAMES = ("topic", "value", "key", "headers", "partition", "timestamp_ms", "on_delivery")
CALLS = ["send", "produce"]


def spelled(name: str) -> str:
    """The name as another object than the compiler's, so that only its text tells what it is."""
    return "".join(list(name))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("n_positional", range(8))
@pytest.mark.parametrize("order", [list, reversed], ids=["in order", "reversed"])
@pytest.mark.parametrize("name", [str, spelled], ids=["interned", "spelled"])
def test_any_mix_of_places_and_names_is_the_same_record(
    broker: ScriptedBroker,
    producer: KafkaProducer,
    call: str,
    n_positional: int,
    order: Callable[[Any], Any],
    name: Callable[[str], str],
) -> None:
    told: list[Any] = []
    given = ("t", b"v", b"k", [("h", b"1")], 2, 1234, lambda *outcome: told.append(outcome))
    named = {name(key): given[NAMES.index(key)] for key in order(NAMES[n_positional:])}
    result = getattr(producer, call)(*given[:n_positional], **named)
    producer.flush(10)
    (record,) = records_of(broker, "t", 2)
    assert (record.value, record.key, record.headers, record.timestamp) == (b"v", b"k", (("h", b"1"),), 1234)
    assert [error for _, error in told] == [None]
    assert isinstance(result, RecordFuture) if call == "send" else result is None


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "left", [("value",), ("value", "key"), ("key",), ("partition", "value"), ("timestamp_ms",)]
)
def test_what_is_left_out_is_none(
    broker: ScriptedBroker, producer: KafkaProducer, call: str, left: tuple[str, ...]
) -> None:
    given: dict[str, Any] = {"value": b"v", "key": b"k", "partition": 1, "timestamp_ms": 5}
    for name in left:
        del given[name]
    producer.partitions_for("t")
    for topic in ({"topic": "t"}, {}):
        getattr(producer, call)(*(() if topic else ("t",)), **topic, **given)
    producer.flush(10)
    records = records_of(broker, "t")
    assert len(records) == 2
    assert {(record.value, record.key) for record in records} == {(given.get("value"), given.get("key"))}


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "nothing": ((), {}, "takes at least 2 positional arguments"),
    "no topic": ((), {"value": b"v"}, "takes at least 2 positional arguments"),
    "topic twice": (("one",), {"topic": "one"}, "multiple values for .*argument 'topic'"),
    "value twice": (("one", b"v"), {"value": b"w"}, "multiple values for .*argument 'value'"),
    "the last twice": (("one", b"v", None, None, None, None, None), {"on_delivery": None}, "multiple values"),
    "unknown": (("one",), {"vaule": b"v"}, "unexpected keyword argument 'vaule'"),
    "unknown among known": (("one",), {"value": b"v", "ky": b"k", "key": b"k"}, "unexpected keyword argument 'ky'"),
    "too many": (("one", b"v", None, None, None, None, None, None), {}, "takes .* positional arguments"),
    "a record and a value": ((ProducerRecord("one", b"v"), b"w"), {}, "value was given beside a ProducerRecord"),
    "a record and a partition": ((ProducerRecord("one", b"v"),), {"partition": 0}, "partition was given beside"),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", WRONG)
def test_arguments_that_fit_nowhere_are_refused(
    broker: ScriptedBroker, producer: KafkaProducer, call: str, wrong: str
) -> None:
    positional, named, text = WRONG[wrong]
    producer.send("one", b"known").result(10)  # from now on the short way is open
    with pytest.raises(TypeError, match=text):
        getattr(producer, call)(*positional, **named)
    with pytest.raises(TypeError, match=text):
        getattr(producer, call)(*positional, **{spelled(name): value for name, value in named.items()})
    producer.send("one", b"after").result(10)
    assert values_of(broker, "one") == [b"known", b"after"]


@pytest.mark.parametrize("call", CALLS)
def test_the_methods_tell_their_signature(producer: KafkaProducer, call: str) -> None:
    bound = inspect.signature(getattr(producer, call))
    assert tuple(bound.parameters) == NAMES
    assert [p.default for p in bound.parameters.values()] == [inspect.Parameter.empty] + [None] * 6
    assert tuple(inspect.signature(getattr(KafkaProducer, call)).parameters) == ("self", *NAMES)
    assert getattr(KafkaProducer, call).__name__ == call
    assert "record" in getattr(KafkaProducer, call).__doc__


@pytest.mark.parametrize("call", CALLS)
def test_methods_may_be_called_unbound_partially_and_by_name(
    broker: ScriptedBroker, producer: KafkaProducer, call: str
) -> None:
    getattr(KafkaProducer, call)(producer, "one", b"0")
    getattr(KafkaProducer, call)(producer, topic="one", value=b"1")
    functools.partial(getattr(producer, call), "one", key=b"k")(b"2")
    operator.methodcaller(call, "one", value=b"3")(producer)
    list(map(getattr(producer, call), ["one"], [b"4"]))
    producer.flush(10)
    assert values_of(broker, "one") == [b"%d" % n for n in range(5)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("receiver", [(), (object(),), ("one", b"v")])
def test_a_method_needs_its_producer(call: str, receiver: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        getattr(KafkaProducer, call)(*receiver)


def test_a_subclass_may_override_and_extend_the_methods(broker: ScriptedBroker) -> None:
    class Prefixing(KafkaProducer):
        def send(self, topic: Any, value: Any = None, *arguments: Any, **named: Any) -> RecordFuture:
            return super().send(topic, b">" + value, *arguments, **named)

    with Prefixing(bootstrap_servers=str(broker.address)) as producer:
        producer.send("one", b"1").result(10)
        producer.send("one", b"2", key=b"k").result(10)
        producer.produce("one", b"3")
        producer.flush(10)
    assert values_of(broker, "one") == [b">1", b">2", b"3"]


def test_a_method_may_be_replaced_on_the_class_and_on_the_instance(
    broker: ScriptedBroker, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KafkaProducer, "produce", lambda self, *arguments, **named: "class")
    assert producer.produce("one", b"v") == "class"  # type: ignore[func-returns-value]
    monkeypatch.setattr(producer, "send", lambda *arguments: "instance")
    assert producer.send("one", b"v") == "instance"  # type: ignore[comparison-overlap]
    monkeypatch.undo()
    assert producer.send("one", b"v").result(10).offset == 0


class Named(str):
    """A topic name of a class of its own."""


class Payload(bytes):
    """A value of a class of its own."""


@pytest.mark.parametrize("call", CALLS)
def test_kinds_of_str_and_bytes_are_sent_as_what_they_are(
    broker: ScriptedBroker, producer: KafkaProducer, call: str
) -> None:
    send = getattr(producer, call)
    for _ in range(2):  # the second time all is known
        send(Named("one"), b"exact")
        send("one", Payload(b"kind"), Payload(b"key"))
        send(spelled("one"), b"exact")
    producer.flush(10)
    assert values_of(broker, "one") == [b"exact", b"kind", b"exact"] * 2


def test_topics_take_turns(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, linger_ms=0)
    for n in range(30):
        producer.produce(("one", "t", spelled("one"))[n % 3], b"%d" % n, partition=0 if n % 3 == 1 else None)
    producer.flush(10)
    assert values_of(broker, "one") == [b"%d" % n for n in range(30) if n % 3 != 1]
    assert values_of(broker, "t", 0) == [b"%d" % n for n in range(30) if n % 3 == 1]


def test_no_memory_for_the_future_means_that_nothing_was_taken(sink: Sink) -> None:
    """In a process of its own: while no allocation succeeds, nothing else must need one."""
    pytest.importorskip("_testcapi", reason="CPython was built without its test modules")
    body = """
        import _testcapi
        producer = KafkaProducer(bootstrap_servers=sys.argv[1], linger_ms=10_000)
        kept = [producer.send("bench", b"1", key=b"k") for _ in range(5000)]  # more than are kept for reuse
        send, error = producer.send, None
        _testcapi.set_nomemory(0)
        try:
            send("bench", b"1", b"k")
        except MemoryError:
            _testcapi.remove_mem_hooks()
            error = "no memory"
        _testcapi.remove_mem_hooks()
        producer.flush(20)
        print(error, producer.metrics()["producer-metrics"]["record-send-total"])
    """
    script = "import sys\nfrom kproducer import KafkaProducer\n" + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", script, sink.bootstrap_servers],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "no memory 5000", done.stderr
