"""Where keys go: librdkafka's partitioners by name, partitioners of the user's own, salt for hot keys, and skew.

Owns no thread; any may call.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from typing import Any, AnyStr, Final

from kproducer._core.hashing import key_hash as hash_of_key
from kproducer._core.hashing import murmur2
from kproducer.errors import ConfigError
from kproducer.interfaces import Partitioner

logger = logging.getLogger(__name__)

PARTITIONERS: Final = (
    "murmur2_random",
    "murmur2",
    "consistent_random",
    "consistent",
    "fnv1a_random",
    "fnv1a",
    "random",
)
"""What the key `partitioner` takes, librdkafka's names; the first is the default, and Java's way."""

_SEPARATOR: Final = "#"
_GOLDEN: Final = 0x9E3779B9
_turns = itertools.count()  # racing threads may get one turn twice, which changes nothing


def key_hash(key: bytes | None, partitioner: str = PARTITIONERS[0]) -> int | None:
    """Return the number of a key whose remainder by the count of partitions is its partition.

    None if the partition depends on more than the key: without a key, and with `random`.

    Args:
        key: as it is sent, serialized; None for a record without one.
        partitioner: one of PARTITIONERS (default: Java's).

    Raises:
        ValueError: there is no such partitioner.
    """
    return hash_of_key(partitioner, key)


def key_partition(key: bytes | None, partition_count: int, partitioner: str = PARTITIONERS[0]) -> int | None:
    """Return the partition of a key; None where key_hash() is None.

    Args:
        key, partitioner: as of key_hash().
        partition_count: of the topic, at least 1.

    Raises:
        ValueError: there is no such partitioner, or no partition.
    """
    if partition_count < 1:
        raise ValueError(f"partition_count={partition_count}: must be at least 1")
    number = key_hash(key, partitioner)
    return None if number is None else number % partition_count


# --- partitioner.class -----------------------------------------------------------------------------------


class RoundRobinPartitioner:
    """Java's RoundRobinPartitioner: each record goes to the next partition of its topic, whatever its key.

    Unlike Java's it does not pass over partitions without a leader: their records wait for one.
    """

    def __init__(self) -> None:
        self._turns: dict[str, itertools.count[int]] = {}

    def partition(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int) -> int:
        """Return the next partition of the topic, from 0 on."""
        turns = self._turns.get(topic) or self._turns.setdefault(topic, itertools.count())
        return next(turns) % partition_count


def is_partitioner(given: object) -> bool:
    """Return whether an object, or what a class makes, can be asked for a partition."""
    if isinstance(given, type):
        return any(not _NAMES.isdisjoint(vars(base)) for base in given.__mro__)
    return callable(given) or callable(getattr(given, "partition", None))


_NAMES: Final = frozenset({"partition", "__call__"})


class UserPartitioner:
    """The `partitioner.class` of one producer.

    A class is made an object of, without arguments, as Java does; then `configure(settings)` is called, and `close()`
    at the end, if it has them. An object or a function belongs to the caller, who does both.

    Args:
        given: what is_partitioner() takes.
        settings: the configuration in use, by dotted name.

    Attributes:
        choose: its `partition` if it has one, or else itself.

    Raises:
        ConfigError: the class cannot be made an object of, or configure() raises.
    """

    def __init__(self, given: object, settings: Mapping[str, object]) -> None:
        self._owned = _made(given, settings) if isinstance(given, type) else None
        # Any: whether it has the method is the question.
        asked: Any = given if self._owned is None else self._owned
        method = getattr(asked, "partition", None)
        self.choose: Partitioner = method if callable(method) else asked

    def close(self) -> None:
        """Let go of what the object holds, if it is ours; what it raises is logged, as in Java."""
        close = getattr(self._owned, "close", None)
        if not callable(close):
            return
        try:
            close()
        except Exception:
            logger.exception("close() of partitioner.class=%s failed", type(self._owned).__name__)


def _made(kind: type, settings: Mapping[str, object]) -> object:
    try:
        made = kind()
        configure = getattr(made, "configure", None)
        if callable(configure):
            configure(settings)
    except Exception as error:
        raise ConfigError(
            f"partitioner.class={kind.__name__} cannot be used: {type(error).__name__}: {error}"
        ) from error
    return made


# --- hot keys --------------------------------------------------------------------------------------------


def salted(key: AnyStr, salts: int, by: bytes | str | None = None) -> AnyStr:
    """Return the key with one of `salts` endings, so that the records of a hot key spread over partitions.

    The ending is `#` and a decimal number from 0 to salts - 1: `user-7` becomes `user-7#3`. Records with the same
    ending stay in order among themselves; there is no order between endings.

    Args:
        key: bytes or text, before or after serialization.
        salts: how many endings there are, at least 1; as many as there are partitions is enough.
        by: what must stay in order: the same value gives the same ending (murmur2 of it, modulo salts). Default
            None: endings take turns.

    Raises:
        ValueError: salts is below 1.
    """
    if salts < 1:
        raise ValueError(f"salts={salts}: must be at least 1")
    if by is None:
        # Steps of the golden ratio: as even as turns, also for two keys that alternate.
        salt = (next(_turns) * _GOLDEN & 0xFFFFFFFF) * salts >> 32
    else:
        salt = (murmur2(by.encode() if isinstance(by, str) else by) & 0x7FFFFFFF) % salts
    return _with_salt(key, salt)


def all_salted(key: AnyStr, salts: int) -> list[AnyStr]:
    """Return the key with each of its endings: to delete it in a compacted topic, or to look for its partitions."""
    return [_with_salt(key, salt) for salt in range(salts)]


def unsalted(key: AnyStr) -> AnyStr:
    """Return the key that salted() was given; for consumers.

    Raises:
        ValueError: it has no such ending.
    """
    if isinstance(key, str):
        return key[: _salt_begins(key)]
    return key[: _salt_begins(key.decode("latin-1"))]  # a character for each byte


def _salt_begins(key: str) -> int:
    head, separator, salt = key.rpartition(_SEPARATOR)
    if not separator or not (salt.isascii() and salt.isdigit()):
        raise ValueError("the key is not salted: it does not end in # and a number")
    return len(head)


def _with_salt(key: AnyStr, salt: int) -> AnyStr:
    if isinstance(key, str):
        return f"{key}{_SEPARATOR}{salt}"
    return key + f"{_SEPARATOR}{salt}".encode()


# --- skew ------------------------------------------------------------------------------------------------


def skew(counts: Mapping[int, int] | Iterable[int]) -> float:
    """Return how many times the mean the fullest partition has: 1.0 is even, the number of partitions the worst.

    counts: records (or bytes) of each partition of a topic, the empty ones too, by partition or in a sequence.
        Without any record there is no skew: 1.0.
    """
    numbers = [*(counts.values() if isinstance(counts, Mapping) else counts)]
    total = sum(numbers)
    return max(numbers) * len(numbers) / total if total > 0 else 1.0
