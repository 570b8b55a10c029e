"""The bad-input list: its rows, and the shapes of what a test of a row is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kproducer import KafkaProducer

ROWS: Final[Mapping[str, str]] = {
    "B1": "unknown config key",
    "B2": 'wrong type; bool for int; "5ms"; NaN, inf, negative, > int32/int64; numpy ints',
    "B3": "bootstrap empty, no port, port 0/65536/-1, bare IPv6, http://, whitespace, duplicate, unresolvable (all)",
    "B4": 'acks not in {0,1,-1,"all"}; idempotence explicitly on with acks!=all, retries=0, in_flight>5',
    "B5": 'transactional_id with idempotence off; ""; non-str; > 32767 UTF-8 bytes',
    "B6": "transaction timeout > delivery rules, <= 0; > broker max",
    "B7": "delivery_timeout < linger + request_timeout (explicit)",
    "B8": "batch_size 0 is legal, negative is not",
    "B9": "buffer_memory < batch_size or < max_request_size is legal, with a warning",
    "B10": "compression unknown / lib missing / level out of range",
    "B11": "security: SASL without mechanism or credentials, SSL files missing, cert without key, unknown protocol",
    "B12": "serializer not callable / class instead of instance; partitioner bad",
    "B13": "config mapping mutated after construction",
    "B14": 'topic None, "", ".", "..", > 249, bad chars, bytes, surrogate',
    "B15": "key/value: str without serializer, int, memoryview non-contiguous, released, bytearray mutated later, mmap",
    "B16": "record > max_request_size, > buffer",
    "B17": "partition negative, bool, float, >= count, > int32",
    "B18": "timestamp negative, float, datetime, > int64, seconds by mistake",
    "B19": "headers: key non-str / surrogate, value non-bytes, 100k headers, generator raising half-way",
    "B20": "callback not callable; coroutine function given as callback",
    "B21": "send/flush/commit after close; before init; outside txn; begin twice; bad offsets; from 2 threads at once",
    "B22": "txn call after timeout of another txn call",
    "B23": "flush/close/commit timeout negative, NaN, bool; None is for ever",
    "B24": "partitions_for / metadata on unknown topic",
    "B25": "custom partitioner returns None, str, negative, >= n, raises, blocks, re-enters",
    "B26": "pickle/copy/deepcopy of producer or future; subclass with broken __init__; use after failed __init__",
    "B27": "weak spots in C: buffers that raise, surrogates, evil __index__, GC during append, dict changing",
}


class BadConfig(NamedTuple):
    """A producer that cannot be made: the error says which key, what was given and what is allowed."""

    row: str
    error: type[Exception]
    text: str
    config: Mapping[Any, Any]


class BadRecord(NamedTuple):
    """Arguments of send() and produce() that are refused; a function is called for the argument."""

    row: str
    error: type[BaseException]
    text: str
    arguments: Mapping[str, Any]


class BadCall(NamedTuple):
    """A call that is refused; `config` is that of its producer, which is of no use afterwards if `is_end`."""

    row: str
    error: type[BaseException]
    text: str
    call: Callable[[KafkaProducer], object]
    config: Mapping[str, Any] = {}
    is_end: bool = False


class Legal(NamedTuple):
    """What the list says is legal, and perhaps warned of: a record arrives."""

    row: str
    make: Callable[[str], KafkaProducer]
    warning: str | None = None
    before: Callable[[KafkaProducer], object] = lambda producer: None


# What has a test of its own elsewhere, which says more than a row of a table can.
ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "B6": (
        "integration/test_transactions.py::test_a_transaction_timeout_above_the_brokers_maximum_is_refused",
    ),
    "B8": ("unit/core/test_send.py::test_batch_size_zero_puts_every_record_in_a_batch_of_its_own",),
    "B10": ("unit/core/test_codecs.py::test_the_package_is_taken_when_the_shared_library_is_missing",),
    "B15": (
        "unit/core/test_send.py::test_any_contiguous_buffer_is_taken",
        "unit/core/test_send.py::test_a_buffer_changed_after_the_call_changes_nothing",
    ),
    "B16": (
        "unit/core/test_send.py::test_a_record_above_buffer_memory_is_too_large",
        "integration/test_transactions.py::test_a_record_refused_at_the_call_dooms_the_transaction",
    ),
    "B21": (
        "unit/client/test_transactions.py::test_call_is_legal_or_raises_and_leaves_the_state",
        "unit/core/test_waits.py::test_a_second_close_does_nothing_and_later_calls_say_closed",
        "integration/test_transactions.py::test_illegal_calls_are_refused_and_change_nothing",
        "integration/test_transactions.py::test_each_call_may_come_from_another_thread",
    ),
    "B22": ("integration/test_transactions.py::test_init_that_timed_out_is_called_again_for_its_outcome",),
    "B23": ("unit/core/test_waits.py::test_flush_takes_infinity_for_ever",),
    "B25": (
        "unit/core/test_send.py::test_nonsense_from_a_partitioner_raises_from_the_call",
        "unit/core/test_send.py::test_what_a_partitioner_raises_comes_through",
    ),
    "B26": (
        "unit/core/test_life.py::test_copies_are_refused",
        "unit/core/test_life.py::test_a_producer_without_init_says_so_in_every_call",
    ),
    "B27": (
        "unit/core/test_send_many.py::test_a_list_that_loses_its_values_during_the_call_sends_none_of_them_changed",
    ),
}
