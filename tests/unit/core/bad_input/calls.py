"""Calls other than send() and produce() that are refused, and those whose producer has a configuration of its own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, Final

from kproducer import (
    ConsumerGroupMetadata,
    IllegalStateError,
    InvalidTopicError,
    KafkaProducer,
    KafkaTimeoutError,
    OffsetAndMetadata,
    ProducerClosedError,
    RecordFuture,
    TopicPartition,
)
from tests.unit.core.bad_input.rows import BadCall

_TIMEOUT = r"must be seconds >= 0, or None to wait as long as it takes$"
_FOR_EVER = r"must be seconds >= 0, or None to wait for ever$"
_NOWHERE = {"bootstrap_servers": "nowhere.invalid:9092", "max_block_ms": 400}
_WAITS_SHORTLY = {"max_block_ms": 300}
_TX = {"transactional_id": "tx", "bootstrap_servers": "127.0.0.1:1", "max_block_ms": 300}
_NO_ID = r"\(\) needs the configuration key transactional\.id$"
_SEND_OFFSETS = "send_offsets_to_transaction"
_NO_COPY = "^a RecordFuture cannot be pickled or copied$"
PLACE = TopicPartition("t", 0)

Call = Callable[[KafkaProducer], object]


def _after_close(call: Call) -> Call:
    def closed(producer: KafkaProducer) -> object:
        producer.close()
        return call(producer)

    return closed


def _after_a_timeout(call: Call) -> Call:
    """After init_transactions(), which nobody answers."""

    def later(producer: KafkaProducer) -> object:
        try:
            producer.init_transactions(0.05)
        except KafkaTimeoutError:
            pass
        return call(producer)

    return later


def _offsets(offsets: Any, group: Any = "g") -> Call:
    return lambda producer: producer.send_offsets_to_transaction(offsets, group)


def _pickled_future(producer: KafkaProducer) -> object:
    return pickle.dumps(producer.send("one", b"good"))


def _timeouts(name: str, call: Callable[[KafkaProducer, Any], object], allowed: str) -> dict[str, BadCall]:
    shown = "timeout={}: "
    return {
        f"{name} timeout -1": BadCall(
            "B23", ValueError, f"^{shown.format(-1)}{allowed}", lambda p: call(p, -1)
        ),
        f"{name} timeout -0.001": BadCall(
            "B23", ValueError, f"^{shown.format('-0.001')}{allowed}", lambda p: call(p, -0.001)
        ),
        f"{name} timeout NaN": BadCall(
            "B23", ValueError, f"^{shown.format('nan')}{allowed}", lambda p: call(p, float("nan"))
        ),
        f"{name} timeout text": BadCall(
            "B23", TypeError, "^timeout must be seconds or None, not str$", lambda p: call(p, "1")
        ),
        f"{name} timeout bool": BadCall(
            "B23", TypeError, "^timeout must be seconds or None, not bool$", lambda p: call(p, True)
        ),
    }


BAD_CALLS: Final[dict[str, BadCall]] = {
    "no server can be resolved": BadCall(
        "B3",
        KafkaTimeoutError,
        r"^topic 'one' has no metadata after max\.block\.ms=400: .*cannot resolve nowhere\.invalid",
        lambda p: p.send("one", b"v"),
        _NOWHERE,
        is_end=True,
    ),
    "values of one": BadCall(
        "B15",
        TypeError,
        "^values must be an iterable of values, not bytes: put one into a list$",
        lambda p: p.send_many("one", b"value"),
    ),
    "values of text": BadCall(
        "B15",
        TypeError,
        "^values must be an iterable of values, not str: put one into a list$",
        lambda p: p.send_many("one", "value"),
    ),
    "lines of text": BadCall(
        "B15",
        TypeError,
        "^data must be bytes-like, not str$",
        lambda p: p.send_lines("one", "a\nb"),  # type: ignore[arg-type]
    ),
    "lines of a number": BadCall(
        "B15",
        TypeError,
        "^data must be bytes-like, not int$",
        lambda p: p.send_lines("one", 5),  # type: ignore[arg-type]
        {"value_serializer": bytes},
    ),
    "lines not contiguous": BadCall(
        "B15",
        TypeError,
        r"^data must be contiguous: bytes\(data\) copies it$",
        lambda p: p.send_lines("one", memoryview(b"abcd")[::2]),
    ),
    "partition that is not there": BadCall(
        "B17",
        KafkaTimeoutError,
        r"^topic 't' has 3 partitions, so no partition 3, after max\.block\.ms=300",
        lambda p: p.send("t", b"", partition=3),
        _WAITS_SHORTLY,
    ),
    "keys too few": BadCall(
        "B15",
        ValueError,
        "(?m)^keys has fewer items than values$",
        lambda p: p.send_many("one", iter([b""]), []),
    ),
    "send after close": BadCall(
        "B21",
        ProducerClosedError,
        "^the producer is closed$",
        _after_close(lambda p: p.send("one", b"v")),
        is_end=True,
    ),
    "bad record after close": BadCall(
        "B21",
        ProducerClosedError,
        "^the producer is closed$",
        _after_close(lambda p: p.send("", 5)),
        is_end=True,
    ),
    "send_many after close": BadCall(
        "B21",
        ProducerClosedError,
        "(?m)^the producer is closed$",
        _after_close(lambda p: p.send_many("one", [b"v"])),
        is_end=True,
    ),
    "send_lines after close": BadCall(
        "B21",
        ProducerClosedError,
        "^the producer is closed$",
        _after_close(lambda p: p.send_lines("one", b"v")),
        is_end=True,
    ),
    "init without an id": BadCall(
        "B21", IllegalStateError, f"^init_transactions{_NO_ID}", lambda p: p.init_transactions()
    ),
    "begin without an id": BadCall(
        "B21", IllegalStateError, f"^begin_transaction{_NO_ID}", lambda p: p.begin_transaction()
    ),
    "commit without an id": BadCall(
        "B21", IllegalStateError, f"^commit_transaction{_NO_ID}", lambda p: p.commit_transaction()
    ),
    "abort without an id": BadCall(
        "B21", IllegalStateError, f"^abort_transaction{_NO_ID}", lambda p: p.abort_transaction()
    ),
    "offsets without an id": BadCall(
        "B21", IllegalStateError, f"^{_SEND_OFFSETS}{_NO_ID}", _offsets({PLACE: 1})
    ),
    "begin before init": BadCall(
        "B21",
        IllegalStateError,
        r"^begin_transaction\(\) before init_transactions\(\)$",
        lambda p: p.begin_transaction(),
        _TX,
        is_end=True,
    ),
    "commit before begin": BadCall(
        "B21",
        IllegalStateError,
        r"^commit_transaction\(\) in state UNINITIALIZED: call begin_transaction\(\) first$",
        lambda p: p.commit_transaction(),
        _TX,
        is_end=True,
    ),
    "abort before begin": BadCall(
        "B21",
        IllegalStateError,
        r"^abort_transaction\(\) in state UNINITIALIZED$",
        lambda p: p.abort_transaction(),
        _TX,
        is_end=True,
    ),
    "offsets before begin": BadCall(
        "B21",
        IllegalStateError,
        rf"^{_SEND_OFFSETS}\(\) in state UNINITIALIZED: call begin",
        _offsets({PLACE: 1}),
        _TX,
        is_end=True,
    ),
    "send outside a transaction": BadCall(
        "B21",
        IllegalStateError,
        r"^no transaction is open: call begin_transaction\(\) first$",
        lambda p: p.send("one", b"v"),
        _TX,
        is_end=True,
    ),
    "offsets a list": BadCall(
        "B21",
        TypeError,
        r"^offsets must be a mapping of \(topic, partition\) to an offset, not list$",
        _offsets([(PLACE, 1)]),
    ),
    "offsets None": BadCall("B21", TypeError, "^offsets must be a mapping .* not NoneType$", _offsets(None)),
    "offsets by text": BadCall(
        "B21", TypeError, r"^offsets are by \(topic, partition\), not by str$", _offsets({"t": 1})
    ),
    "offsets of a bad topic": BadCall(
        "B21", InvalidTopicError, "^topic 'a b': must be 1 to 249", _offsets({("a b", 0): 1})
    ),
    "offsets of a bad partition": BadCall(
        "B21", ValueError, r"^partition=-1 of t: must be from 0 to 2\*\*31-1$", _offsets({("t", -1): 1})
    ),
    "offset negative": BadCall(
        "B21",
        ValueError,
        r"^offset=-1 of .*: must be from 0 to 2\*\*63-1$",
        _offsets({PLACE: OffsetAndMetadata(-1)}),
    ),
    "offset text": BadCall(
        "B21", TypeError, "^offset of .* must be int or OffsetAndMetadata, not str$", _offsets({PLACE: "1"})
    ),
    "group None": BadCall(
        "B21",
        TypeError,
        "^group_metadata must be ConsumerGroupMetadata or a group id, not NoneType$",
        _offsets({}, None),
    ),
    "group empty": BadCall("B21", ValueError, "^group_metadata: group_id is empty$", _offsets({}, "")),
    "generation without a member": BadCall(
        "B21",
        ValueError,
        "^group_metadata: generation 1 without a member_id$",
        _offsets({}, ConsumerGroupMetadata("g", 1)),
    ),
    **{
        f"{name} after init timed out": BadCall(
            "B22",
            IllegalStateError,
            rf"^{name}\(\) while the outcome of init_transactions\(\) is not known: call that again$",
            _after_a_timeout(call),
            _TX,
            is_end=True,
        )
        for name, call in {
            "begin_transaction": lambda p: p.begin_transaction(),
            "commit_transaction": lambda p: p.commit_transaction(0.05),
            "abort_transaction": lambda p: p.abort_transaction(0.05),
            _SEND_OFFSETS: _offsets({PLACE: 1}),
        }.items()
    },
    **_timeouts("flush", lambda p, t: p.flush(t), _TIMEOUT),
    **_timeouts("close", lambda p, t: p.close(t), _TIMEOUT),
    **_timeouts("commit", lambda p, t: p.commit_transaction(t), _TIMEOUT),
    **_timeouts("init", lambda p, t: p.init_transactions(t), _TIMEOUT),
    **_timeouts("future", lambda p, t: p.send("one", b"good").result(t), _FOR_EVER),
    **_timeouts("result", lambda p, t: p.send_many("one", [b"good"]).wait(t), _FOR_EVER),
    "partitions of an unknown topic": BadCall(
        "B24",
        KafkaTimeoutError,
        "^no metadata of topic nowhere in time",
        lambda p: p.partitions_for("nowhere"),
        _WAITS_SHORTLY,
    ),
    "send to an unknown topic": BadCall(
        "B24",
        KafkaTimeoutError,
        r"^topic 'nowhere' has no metadata after max\.block\.ms=300",
        lambda p: p.send("nowhere", b"v"),
        _WAITS_SHORTLY,
    ),
    "partitions of None": BadCall(
        "B24",
        TypeError,
        "^topic must be str, not NoneType$",
        lambda p: p.partitions_for(None),  # type: ignore[arg-type]
    ),
    "partitions of a bad name": BadCall(
        "B24", InvalidTopicError, "^topic 'a b': must be 1 to 249", lambda p: p.partitions_for("a b")
    ),
    "a future pickled": BadCall("B26", TypeError, _NO_COPY, _pickled_future),
    "a future copied": BadCall("B26", TypeError, _NO_COPY, lambda p: copy.deepcopy(p.send("one", b"good"))),
    "a result copied": BadCall(
        "B26",
        TypeError,
        "^a SendManyResult cannot be pickled or copied$",
        lambda p: copy.copy(p.send_many("one", [b"good"])),
    ),
    "a future made by hand": BadCall(
        "B26", TypeError, r"^futures are made by send\(\)$", lambda p: RecordFuture()
    ),
}
