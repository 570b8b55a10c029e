"""Helpers for partitioning: where a key goes, salt and its inverse, skew, and partitioners of the user's own."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer import ConfigError
from kproducer.partitioners import (
    PARTITIONERS,
    RoundRobinPartitioner,
    UserPartitioner,
    all_salted,
    key_partition,
    salted,
    skew,
    unsalted,
)

# --- keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partitioner", "null", "empty"),
    [
        ("murmur2_random", None, 275646681),
        ("murmur2", 275646681, 275646681),
        ("consistent_random", None, None),
        ("consistent", 0, 0),
        ("fnv1a_random", None, 0x7EE3623B),
        ("fnv1a", 0x7EE3623B, 0x7EE3623B),
        ("random", None, None),
    ],
)
def test_null_and_empty_keys_go_where_librdkafka_sends_them(
    partitioner: str, null: int | None, empty: int | None
) -> None:
    count = 2**31 - 1
    assert (key_partition(None, count, partitioner), key_partition(b"", count, partitioner)) == (null, empty)


def test_every_partitioner_has_a_name_that_the_core_knows_too() -> None:
    for partitioner in PARTITIONERS:
        place = key_partition(b"k", 7, partitioner)
        assert (place is None) == (partitioner == "random")
    with pytest.raises(ValueError, match="no partitioner 'murmur3'"):
        key_partition(b"k", 7, "murmur3")


@pytest.mark.parametrize("count", [0, -1])
def test_there_must_be_a_partition(count: int) -> None:
    with pytest.raises(ValueError, match=f"partition_count={count}"):
        key_partition(b"k", count)


# --- salt -------------------------------------------------------------------------------------------------


@given(st.binary(), st.integers(1, 1000))
def test_salt_is_taken_off_again(key: bytes, salts: int) -> None:
    assert unsalted(salted(key, salts)) == key
    assert unsalted(unsalted(salted(salted(key, salts), salts))) == key
    assert salted(key, salts) in all_salted(key, salts)
    assert {unsalted(variant) for variant in all_salted(key, salts)} == {key}


@given(st.text(), st.integers(1, 1000))
def test_salt_of_text_is_that_of_its_bytes(key: str, salts: int) -> None:
    variants = [variant.encode("utf-8", "surrogatepass") for variant in all_salted(key, salts)]
    assert variants == all_salted(key.encode("utf-8", "surrogatepass"), salts)
    assert unsalted(salted(key, salts)) == key


def test_the_convention_is_a_hash_sign_and_a_number() -> None:
    assert all_salted(b"user-7", 3) == [b"user-7#0", b"user-7#1", b"user-7#2"]
    assert salted("user-7", 1) == "user-7#0"
    assert unsalted(b"\xff#12#3") == b"\xff#12"


@pytest.mark.parametrize("key", ["", "user-7", "user-7#", "user-7#x", "user-7#\u0663", "#\u00b2", "#-1"])
def test_a_key_without_salt_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not salted"):
        unsalted(key)
    with pytest.raises(ValueError, match="not salted"):
        unsalted(key.encode())


@pytest.mark.parametrize("salts", [0, -1])
def test_there_must_be_a_salt(salts: int) -> None:
    with pytest.raises(ValueError, match=f"salts={salts}"):
        salted(b"k", salts)


def test_the_same_thing_to_order_by_gives_the_same_salt() -> None:
    assert salted(b"k", 100, by="order-1") == salted(b"k", 100, by=b"order-1")
    assert len({salted(b"k", 8, by=f"order-{n}") for n in range(200)}) == 8


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
def test_salts_are_even_whatever_other_keys_come_in_between(stride: int) -> None:
    seen: Counter[bytes] = Counter()
    for n in range(1600 * stride):
        key = salted(b"k", 8)
        if n % stride == 0:
            seen[key] += 1
    assert len(seen) == 8
    assert max(seen.values()) < 1.1 * min(seen.values())


# --- skew -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0: 5, 1: 5, 2: 5}, 1.0),
        ([30, 0, 0], 3.0),
        ({0: 1, 7: 3}, 1.5),
        ([0, 0], 1.0),
        ({}, 1.0),
        (iter([9]), 1.0),
    ],
)
def test_skew_is_the_fullest_partition_beside_the_mean(counts: Mapping[int, int], expected: float) -> None:
    assert skew(counts) == expected


# --- partitioners of the user's own -----------------------------------------------------------------------


def test_round_robin_takes_turns_for_each_topic_whatever_the_key() -> None:
    partitioner = RoundRobinPartitioner()
    assert [partitioner.partition("a", key, b"", 3) for key in (b"k", None, b"k", b"k")] == [0, 1, 2, 0]
    assert partitioner.partition("b", None, None, 3) == 0


def test_round_robin_of_many_threads_is_even() -> None:
    partitioner = RoundRobinPartitioner()
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def run() -> None:
        mine = Counter(partitioner.partition("t", None, None, 4) for _ in range(1000))
        with lock:
            seen.update(mine)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.values()) == 4000
    assert skew(seen) < 1.2


class Recorder:
    """Notes what happens to it; the last one made is `made`."""

    made: Recorder | None = None

    def __init__(self) -> None:
        self.settings: Mapping[str, object] | None = None
        self.is_closed = False
        Recorder.made = self

    def configure(self, settings: Mapping[str, object]) -> None:
        self.settings = settings

    def partition(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int) -> int:
        return partition_count - 1

    def close(self) -> None:
        self.is_closed = True


def test_a_class_is_made_configured_and_closed() -> None:
    partitioner = UserPartitioner(Recorder, {"linger.ms": 5})
    made = Recorder.made
    assert made is not None
    assert made.settings == {"linger.ms": 5}
    assert partitioner.choose("t", None, None, 3) == 2
    assert not made.is_closed
    partitioner.close()
    assert made.is_closed


def test_an_object_belongs_to_its_owner() -> None:
    owned = Recorder()
    partitioner = UserPartitioner(owned, {"linger.ms": 5})
    partitioner.close()
    assert (owned.settings, owned.is_closed) == (None, False)
    assert partitioner.choose("t", None, None, 3) == 2


def test_a_method_goes_before_a_call_and_neither_configure_nor_close_is_needed() -> None:
    class Both:
        def __call__(self, *arguments: object) -> int:
            return 0

        def partition(self, *arguments: object) -> int:
            return 1

    partitioner = UserPartitioner(Both, {})
    assert partitioner.choose("t", None, None, 3) == 1
    partitioner.close()


def test_a_class_that_cannot_be_made_is_told_with_its_cause() -> None:
    class Wants:
        def __init__(self, more: object) -> None: ...

    with pytest.raises(ConfigError, match=r"partitioner\.class=Wants cannot be used: TypeError") as caught:
        UserPartitioner(Wants, {})
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_close_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Recorder):
        def close(self) -> None:
            raise LookupError("not today")

    UserPartitioner(Bad, {}).close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "close() of partitioner.class=Bad failed")
    ]
