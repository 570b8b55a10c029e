"""Every configuration key, declared once, and the way from a mapping of keys to a frozen ProducerConfig.

Owns names, types, defaults, ranges and the rules between keys; below it values are plain. Any thread.
Long, because two thirds of it are the tables of keys, which are to stay in one place.

A value is given as its Python type or as the text that a .properties file would hold: "5" for an int, "true"
or "false" for a bool, "a:9092,b:9092" for a list. A bool is no int, an int no bool, and a float neither.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Final, NamedTuple, Protocol

from kproducer.errors import ConfigError, UnsupportedConfigError
from kproducer.interfaces import Partitioner, Serializer

logger = logging.getLogger(__name__)

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1
# Java users write Long.MAX_VALUE for "for ever"; 31 years serve as well, and fit a clock in nanoseconds.
MAX_DURATION_MS: Final = 10**12
MAX_IN_FLIGHT_IDEMPOTENT: Final = 5  # brokers remember the last five batches of a producer per partition
ACKS_ALL: Final = -1
_MAX_STRING_BYTES: Final = 32767  # a STRING on the wire has an int16 length
_MAX_SHOWN_CHARS: Final = 120


class HostPort(NamedTuple):
    """Address of a broker; host without the brackets of an IPv6 literal."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- kinds of values ----------------------------------------------------------------------------------------


class _RefusedError(Exception):
    """The value is not allowed; the text, if any, is a hint for the message."""


class _NotBuiltError(Exception):
    """The value is one of Kafka's, but what it asks for is not built yet."""


class ValueKind(Protocol):
    """Reads the values of a key."""

    @property
    def allowed(self) -> str:
        """What may be given, as the end of the sentence "allowed is ..."."""
        ...

    def parse(self, value: object) -> object:
        """Return the plain value, or raise _RefusedError or _NotBuiltError."""
        ...


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _RefusedError(f"got {type(value).__name__}")
    return value.strip()


def _nearest(name: str, candidates: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name.lower(), [*candidates], n=1)
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from low to high, or `special`; numbers above clip_to are held at it."""

    low: int
    high: int
    special: int | None = None
    clip_to: int | None = None

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        special = "" if self.special is None else f", or {self.special}"
        return f"a whole number from {self.low} to {self.high}{special}"

    def parse(self, value: object) -> int:
        """See ValueKind."""
        number = _whole(value)
        if number != self.special and not self.low <= number <= self.high:
            raise _RefusedError
        return number if self.clip_to is None else min(number, self.clip_to)


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise _RefusedError("a bool is not a number")
    if isinstance(value, str):
        # int() alone would also take "1_000", other scripts' digits, and minutes for a million digits.
        if re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip()) is None:
            raise _RefusedError
        return int(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that it may have no __index__ is the question
    except TypeError:
        raise _RefusedError(f"got {type(value).__name__}") from None


@dataclass(frozen=True, slots=True)
class Flag:
    """True or False."""

    allowed: str = "True, False, 'true' or 'false'"

    def parse(self, value: object) -> bool:
        """See ValueKind."""
        if isinstance(value, bool):
            return value
        try:
            return {"true": True, "false": False}[_text(value).lower()]
        except KeyError:
            raise _RefusedError from None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some names; `not_built` are further ones of Kafka's that are refused as such."""

    names: tuple[str, ...]
    not_built: tuple[str, ...] = ()
    ignores_case: bool = False

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        return ("one of " if len(self.names) > 1 else "only ") + ", ".join(self.names)

    def parse(self, value: object) -> str:
        """See ValueKind."""
        text = _text(value)
        for name in (*self.names, *self.not_built):
            if text == name or (self.ignores_case and text.lower() == name.lower()):
                if name in self.not_built:
                    raise _NotBuiltError
                return name
        near = {name.lower(): name for name in self.names}
        hint = _nearest(text, near)
        raise _RefusedError(f"did you mean {near[hint]!r}?" if hint else "")


@dataclass(frozen=True, slots=True)
class Acks:
    """Number of acknowledgements: -1 (also spelled all), 0 or 1."""

    allowed: str = "'all' (or -1), 0 or 1"

    def parse(self, value: object) -> int:
        """See ValueKind."""
        if isinstance(value, str) and value.strip() == "all":
            return ACKS_ALL
        number = _whole(value)
        if number not in (ACKS_ALL, 0, 1):
            raise _RefusedError
        return number


@dataclass(frozen=True, slots=True)
class KafkaString:
    """Text that fits a STRING of the protocol."""

    allowed: str = f"text of at most {_MAX_STRING_BYTES} bytes in UTF-8"

    def parse(self, value: object) -> str:
        """See ValueKind."""
        text = _text(value)
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise _RefusedError("it has a lone surrogate") from None
        if len(encoded) > _MAX_STRING_BYTES:
            raise _RefusedError(f"it has {len(encoded)} bytes")
        return text


@dataclass(frozen=True, slots=True)
class Name:
    """Text that is not empty, or None."""

    allowed: str = f"None or text of 1 to {_MAX_STRING_BYTES} bytes in UTF-8"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        if value is None:
            return None
        text = KafkaString().parse(value)
        if not text:
            raise _RefusedError("it is empty")
        return text


@dataclass(frozen=True, slots=True)
class TopicName:
    """The name of a topic; None or empty for none."""

    allowed: str = "1 to 249 characters of a-z A-Z 0-9 . _ - and not . or .., or None"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        text = "" if value is None else _text(value)
        if text and (re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", text) is None or text in (".", "..")):
            raise _RefusedError
        return text or None


@dataclass(frozen=True, slots=True)
class FilePath:
    """The path of a file as text or os.PathLike; None or empty for none."""

    allowed: str = "a path as str or os.PathLike, or None"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        if value is None:
            return None
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(path, str):
            raise _RefusedError(f"got {type(value).__name__}")
        if "\0" in path:
            raise _RefusedError("it has a null character")
        return path or None


@dataclass(frozen=True, slots=True)
class Function:
    """A callable, or None for the built-in behaviour."""

    allowed: str = "a callable or None"
    takes_class: bool = True

    def parse(self, value: object) -> object:
        """See ValueKind."""
        if value is None:
            return None
        if isinstance(value, type) and not self.takes_class:
            raise _RefusedError("give an instance or a function instead of the class")
        if not callable(value):
            raise _RefusedError("Java class names are not understood" if isinstance(value, str) else "")
        return value


@dataclass(frozen=True, slots=True)
class Hosts:
    """A list of broker addresses, or their text with commas."""

    allowed: str = "host:port, [ipv6]:port or PLAINTEXT://host:port, as a list or joined by commas"

    def parse(self, value: object) -> tuple[HostPort, ...]:
        """See ValueKind."""
        found: dict[HostPort, None] = {}
        for entry in _entries(value):
            address = _host_port(entry)
            if address in found:
                logger.warning("bootstrap.servers names %s more than once", address)
            found[address] = None
        if not found:
            raise _RefusedError("it is empty")
        return tuple(found)


def _entries(value: object) -> list[str]:
    if not isinstance(value, str | Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise _RefusedError(f"got {type(value).__name__}")
    texts = [value] if isinstance(value, str) else [_text(item) for item in value]
    joined = ",".join(texts)
    if "@" in joined:  # before anything is quoted: what precedes it may be a password
        raise _RefusedError("it takes no user name or password")
    return [entry for part in joined.split(",") if (entry := part.strip())]


def _host_port(entry: str) -> HostPort:
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.upper() != "PLAINTEXT":
        raise _RefusedError(f"entry {entry!r} has a scheme other than PLAINTEXT://")
    host, colon, port = rest.rpartition(":")
    if not colon or re.fullmatch(r"[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        raise _RefusedError(f"entry {entry!r} has no port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return HostPort(_ipv6(entry, host[1:-1]), int(port))
    if ":" in host:
        raise _RefusedError(f"entry {entry!r} needs brackets around its IPv6 address: [{host}]:{port}")
    if re.fullmatch(r"[0-9A-Za-z._-]+", host) is None:
        raise _RefusedError(f"entry {entry!r} has no valid host name")
    return HostPort(host, int(port))


def _ipv6(entry: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise _RefusedError(f"entry {entry!r} has no valid IPv6 address") from None


_INT: Final = Whole(0, INT_MAX)
_POSITIVE_INT: Final = Whole(1, INT_MAX)
_BUFFER_SIZE: Final = Whole(-1, INT_MAX)
_DURATION: Final = Whole(0, LONG_MAX, clip_to=MAX_DURATION_MS)
_POSITIVE_DURATION: Final = Whole(1, LONG_MAX, clip_to=MAX_DURATION_MS)


# --- the table of keys --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """Declaration of one key.

    name: Kafka's dotted name; with underscores it is the keyword and the field of ProducerConfig.
    default: plain value, or dataclasses.MISSING for a required key.
    aliases: other accepted names, each of the same meaning and unit (librdkafka's).
    kip: number of the Kafka improvement proposal that brought it, if any.
    is_secret: whether the value must never be shown.
    """

    name: str
    kind: ValueKind
    default: object
    doc: str
    aliases: tuple[str, ...] = ()
    kip: int | None = None
    is_secret: bool = False

    @property
    def field_name(self) -> str:
        """The name with underscores."""
        return _snake(self.name)

    def parse(self, value: object) -> object:
        """Return the plain value; raise ConfigError or UnsupportedConfigError."""
        try:
            return self.kind.parse(value)
        except _RefusedError as refused:
            hint = f" ({refused})" if str(refused) else ""
            raise ConfigError(
                f"{self.name}={self.show(value)} is not valid{hint}; allowed is {self.kind.allowed}"
            ) from None
        except _NotBuiltError:
            raise UnsupportedConfigError(
                f"{self.name}={self.show(value)} is not supported yet; allowed is {self.kind.allowed}"
            ) from None

    def show(self, value: object) -> str:
        """Return the value as text that may appear in a message or a log."""
        if self.is_secret:
            return "'***'"
        shown = repr(value)
        if "@" in shown:  # an address with a user name and a password in a place where none belongs
            shown = "***@" + shown.rpartition("@")[2]
        return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[:_MAX_SHOWN_CHARS] + "..."


def _snake(name: str) -> str:
    return name.replace(".", "_")


# Any: the type checker is to believe the annotation of the field that this default belongs to.
def _key(
    name: str,
    kind: ValueKind,
    default: object,
    doc: str,
    *,
    aliases: tuple[str, ...] = (),
    kip: int | None = None,
    is_secret: bool = False,
) -> Any:
    return field(default=default, metadata={"key": Key(name, kind, default, doc, aliases, kip, is_secret)})


# One argument a line would make this table three screens longer.
# fmt: off


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProducerConfig:
    """Plain values of all keys, checked and with the rules between them applied; made by `parse_config`.

    idempotence_note: why idempotence was switched off although nobody asked for that; empty otherwise.
    """

    bootstrap_servers: tuple[HostPort, ...] = _key(
        "bootstrap.servers", Hosts(), MISSING,
        "Brokers to ask first; the others are learnt from them.",
        aliases=("metadata.broker.list",),
    )
    client_id: str = _key(
        "client.id", KafkaString(), "",
        "Name shown in the brokers' logs, quotas and metrics; empty for a generated producer-N.",
    )
    client_dns_lookup: str = _key(
        "client.dns.lookup", Choice(("use_all_dns_ips",), ("resolve_canonical_bootstrap_servers_only",)),
        "use_all_dns_ips",
        "How names are resolved: every address of a name is tried before it counts as unreachable.", kip=602,
    )
    security_protocol: str = _key(
        "security.protocol", Choice(("PLAINTEXT",), ("SSL", "SASL_PLAINTEXT", "SASL_SSL"), ignores_case=True),
        "PLAINTEXT",
        "How brokers are spoken to.",
    )

    transactional_id: str | None = _key(
        "transactional.id", Name(), None,
        "Name that makes the producer transactional: its transactions survive it, and a second producer of the "
        "same name fences the first; None for no transactions.", kip=98,
    )
    transaction_timeout_ms: int = _key(
        "transaction.timeout.ms", _POSITIVE_INT, 60_000,
        "Time after which the coordinator aborts a transaction that is still open, and fences its producer.",
        kip=98,
    )

    acks: int = _key(
        "acks", Acks(), ACKS_ALL,
        "Acknowledgements that make a record delivered: all in-sync replicas, the leader (1), or none (0).",
        aliases=("request.required.acks",), kip=679,
    )
    enable_idempotence: bool = _key(
        "enable.idempotence", Flag(), True,
        "Whether brokers drop duplicates and keep the order across retries.", kip=679,
    )
    retries: int = _key(
        "retries", _INT, INT_MAX,
        "How often a batch is sent again after a retriable error, within delivery.timeout.ms.", kip=91,
    )
    max_in_flight_requests_per_connection: int = _key(
        "max.in.flight.requests.per.connection", _POSITIVE_INT, 5,
        "Unanswered Produce requests per broker: at most 5 with idempotence; 1 keeps the order without it.",
        aliases=("max.in.flight",),
    )
    delivery_timeout_ms: int = _key(
        "delivery.timeout.ms", _INT, 120_000,
        "Time from send() to success or failure; at least linger.ms + request.timeout.ms.", kip=91,
    )
    request_timeout_ms: int = _key(
        "request.timeout.ms", _INT, 30_000,
        "Time that a broker has to answer a request before its connection is closed.",
    )

    linger_ms: int = _key(
        "linger.ms", Whole(0, LONG_MAX, clip_to=INT_MAX), 5,
        "Time that a batch waits for more records; held at 2147483647 as in Java.", kip=1030,
    )
    batch_size: int = _key(
        "batch.size", _INT, 16_384,
        "Bytes at which a batch of one partition is full; 0 puts every record in a batch of its own.",
    )
    buffer_memory: int = _key(
        "buffer.memory", Whole(0, LONG_MAX), 33_554_432,
        "Bytes of records not yet delivered, at most; send() waits when they are used up.",
    )
    max_block_ms: int = _key(
        "max.block.ms", _DURATION, 60_000,
        "Time that send() may wait for metadata and memory.",
    )
    buffer_full_policy: str = _key(
        "buffer.full.policy", Choice(("block", "raise", "drop-oldest")), "block",
        "What send() does when buffer.memory is used up: wait up to max.block.ms, raise BufferExhaustedError "
        "at once, or let the oldest records that were never sent fail with RecordDroppedError to make room.",
    )
    max_request_size: int = _key(
        "max.request.size", _INT, 1_048_576,
        "Bytes of a request, and of a record before compression, at most.",
    )
    compression_type: str = _key(
        "compression.type", Choice(("none", "gzip", "snappy", "lz4", "zstd")), "none",
        "Codec of batches.", aliases=("compression.codec",), kip=110,
    )
    compression_gzip_level: int = _key(
        "compression.gzip.level", Whole(1, 9, special=-1), -1,
        "Level of gzip, -1 for zlib's own default; checked even if another codec is used.", kip=390,
    )
    compression_lz4_level: int = _key(
        "compression.lz4.level", Whole(1, 17), 9,
        "Level of lz4; checked even if another codec is used.", kip=390,
    )
    compression_zstd_level: int = _key(
        "compression.zstd.level", Whole(-131_072, 22), 3,
        "Level of zstd; checked even if another codec is used.", kip=390,
    )

    not_enough_replicas_policy: str = _key(
        "not.enough.replicas.policy", Choice(("retry", "fail")), "retry",
        "What is done when fewer replicas are in sync than min.insync.replicas: send again until "
        "delivery.timeout.ms, or fail the records at the first answer.",
    )
    on_sequence_gap: str = _key(
        "on.sequence.gap", Choice(("continue", "fail")), "continue",
        "What is done when records may be missing in front of those that follow: go on under another producer "
        "epoch, with a warning, or end the producer, so that nothing overtakes the gap.",
    )
    errors_dead_letter_queue_topic_name: str | None = _key(
        "errors.dead.letter.queue.topic.name", TopicName(), None,
        "Topic that gets the records that a broker refused for good, their origin and error in headers.",
    )
    errors_dead_letter_queue_file: str | None = _key(
        "errors.dead.letter.queue.file", FilePath(), None,
        "File that gets them instead, a JSON object on each line; opened, and made if need be, at construction.",
    )
    errors_dead_letter_queue_max_bytes: int = _key(
        "errors.dead.letter.queue.max.bytes", Whole(1, LONG_MAX), 16_777_216,
        "Bytes of dead letters that may wait to be written, and by which the file may grow; others are dropped, "
        "counted and logged.",
    )

    key_serializer: Serializer | None = _key(  # noqa: RUF009  # the call makes a field()
        "key.serializer", Function(), None,
        "Turns each key into bytes; without one keys are bytes or None.",
    )
    value_serializer: Serializer | None = _key(  # noqa: RUF009  # the call makes a field()
        "value.serializer", Function(), None,
        "Turns each value into bytes; without one values are bytes or None.",
    )
    partitioner_class: Partitioner | None = _key(  # noqa: RUF009  # the call makes a field()
        "partitioner.class", Function(takes_class=False), None,
        "Chooses the partition of records that name none; None hashes keys, and is sticky without a key.",
        kip=794,
    )
    partitioner_ignore_keys: bool = _key(
        "partitioner.ignore.keys", Flag(), False,
        "Whether the built-in partitioner treats records with a key like those without.", kip=794,
    )

    allow_auto_create_topics: bool = _key(
        "allow.auto.create.topics", Flag(), True,
        "Whether brokers may create a topic that is asked for; Java's producer always lets them.",
    )
    metadata_max_age_ms: int = _key(
        "metadata.max.age.ms", _DURATION, 300_000,
        "Age at which metadata is fetched again although nothing went wrong.",
    )
    metadata_max_idle_ms: int = _key(
        "metadata.max.idle.ms", Whole(5_000, LONG_MAX, clip_to=MAX_DURATION_MS), 300_000,
        "Time after which a topic that gets no records is forgotten.", kip=526,
    )
    metadata_recovery_strategy: str = _key(
        "metadata.recovery.strategy", Choice(("rebootstrap", "none"), ignores_case=True), "rebootstrap",
        "What is done when no known broker can be reached: start again from bootstrap.servers, or nothing.",
        kip=899,
    )
    metadata_recovery_rebootstrap_trigger_ms: int = _key(
        "metadata.recovery.rebootstrap.trigger.ms", _DURATION, 300_000,
        "Time without metadata after which the recovery strategy acts.", kip=1102,
    )

    reconnect_backoff_ms: int = _key(
        "reconnect.backoff.ms", _DURATION, 50,
        "First delay before a broker is dialled again; given alone, it is also the last.",
    )
    reconnect_backoff_max_ms: int = _key(
        "reconnect.backoff.max.ms", _DURATION, 1_000,
        "Longest delay before a broker is dialled again.", kip=144,
    )
    retry_backoff_ms: int = _key(
        "retry.backoff.ms", _DURATION, 100,
        "First delay before a failed request is sent again.", kip=580,
    )
    retry_backoff_max_ms: int = _key(
        "retry.backoff.max.ms", _DURATION, 1_000,
        "Longest delay before a failed request is sent again.", kip=580,
    )
    socket_connection_setup_timeout_ms: int = _key(
        "socket.connection.setup.timeout.ms", _POSITIVE_DURATION, 10_000,
        "Time that the first attempt to connect to a broker may take.", kip=601,
    )
    socket_connection_setup_timeout_max_ms: int = _key(
        "socket.connection.setup.timeout.max.ms", _POSITIVE_DURATION, 30_000,
        "Time that an attempt to connect may take after several failed ones.", kip=601,
    )
    connections_max_idle_ms: int = _key(
        "connections.max.idle.ms", Whole(-1, LONG_MAX, clip_to=MAX_DURATION_MS), 540_000,
        "Time after which an unused connection is closed; -1 for never.",
    )
    # Unlike Java (131072 and 32768): setting a size switches the kernel's autotuning off, and 128 KiB in
    # flight hold a link of 50 ms round trip at 2.6 MB/s.
    send_buffer_bytes: int = _key(
        "send.buffer.bytes", _BUFFER_SIZE, -1,
        "SO_SNDBUF of connections; -1 leaves it to the operating system.",
    )
    receive_buffer_bytes: int = _key(
        "receive.buffer.bytes", _BUFFER_SIZE, -1,
        "SO_RCVBUF of connections; -1 leaves it to the operating system.",
    )

    idempotence_note: str = ""

    def effective(self) -> dict[str, object]:
        """Return the values in use by dotted name, as `parse_config` takes them; secrets are masked."""
        return {key.name: _presentable(key, getattr(self, key.field_name)) for key in KEYS.values()}

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{key.field_name}={key.show(value)}"
            for key in KEYS.values()
            if (value := getattr(self, key.field_name)) != key.default
        )
        return f"ProducerConfig({shown})"


def _presentable(key: Key, value: object) -> object:
    if key.is_secret:
        return "***"
    return [str(address) for address in value] if isinstance(value, tuple) else value


# fmt: on


KEYS: Final[Mapping[str, Key]] = {
    key.name: key for f in fields(ProducerConfig) if (key := f.metadata.get("key")) is not None
}

_JWT_PACKAGE: Final = "org.apache.kafka.common.security.oauthbearer."

# Java's keys of features that are not built yet, each with the one value that asks for nothing: its default,
# or what switches the feature off. None stands for "never set", "" for an empty list.
NOT_BUILT: Final[Mapping[str, object]] = {
    "partitioner.adaptive.partitioning.enable": False,
    "partitioner.availability.timeout.ms": 0,
    "interceptor.classes": "",
    "transaction.two.phase.commit.enable": False,
    "security.providers": None,
    "enable.metrics.push": False,
    "metric.reporters": "",
    "metrics.num.samples": 2,
    "metrics.sample.window.ms": 30_000,
    "metrics.recording.level": "INFO",
    "config.providers": "",
    "bootstrap.resolve.timeout.ms": None,
    "metadata.cluster.check.enable": None,
    "ssl.protocol": "TLSv1.3",
    "ssl.enabled.protocols": "TLSv1.2,TLSv1.3",
    "ssl.cipher.suites": None,
    "ssl.provider": None,
    "ssl.keystore.type": "JKS",
    "ssl.keystore.location": None,
    "ssl.keystore.password": None,
    "ssl.keystore.key": None,
    "ssl.keystore.certificate.chain": None,
    "ssl.key.password": None,
    "ssl.truststore.type": "JKS",
    "ssl.truststore.location": None,
    "ssl.truststore.password": None,
    "ssl.truststore.certificates": None,
    "ssl.endpoint.identification.algorithm": "https",
    "ssl.keymanager.algorithm": "SunX509",
    "ssl.trustmanager.algorithm": "PKIX",
    "ssl.secure.random.implementation": None,
    "ssl.engine.factory.class": None,
    "sasl.mechanism": "GSSAPI",
    "sasl.jaas.config": None,
    "sasl.client.callback.handler.class": None,
    "sasl.login.callback.handler.class": None,
    "sasl.login.class": None,
    "sasl.kerberos.service.name": None,
    "sasl.kerberos.kinit.cmd": "/usr/bin/kinit",
    "sasl.kerberos.min.time.before.relogin": 60_000,
    "sasl.kerberos.ticket.renew.jitter": 0.05,
    "sasl.kerberos.ticket.renew.window.factor": 0.8,
    "sasl.login.connect.timeout.ms": None,
    "sasl.login.read.timeout.ms": None,
    "sasl.login.refresh.buffer.seconds": 300,
    "sasl.login.refresh.min.period.seconds": 60,
    "sasl.login.refresh.window.factor": 0.8,
    "sasl.login.refresh.window.jitter": 0.05,
    "sasl.login.retry.backoff.ms": 100,
    "sasl.login.retry.backoff.max.ms": 10_000,
    "sasl.oauthbearer.token.endpoint.url": None,
    "sasl.oauthbearer.client.credentials.client.id": None,
    "sasl.oauthbearer.client.credentials.client.secret": None,
    "sasl.oauthbearer.scope": None,
    "sasl.oauthbearer.assertion.algorithm": "RS256",
    "sasl.oauthbearer.assertion.file": None,
    "sasl.oauthbearer.assertion.private.key.file": None,
    "sasl.oauthbearer.assertion.private.key.passphrase": None,
    "sasl.oauthbearer.assertion.template.file": None,
    "sasl.oauthbearer.assertion.claim.aud": None,
    "sasl.oauthbearer.assertion.claim.iss": None,
    "sasl.oauthbearer.assertion.claim.sub": None,
    "sasl.oauthbearer.assertion.claim.exp.seconds": 300,
    "sasl.oauthbearer.assertion.claim.nbf.seconds": 60,
    "sasl.oauthbearer.assertion.claim.jti.include": False,
    "sasl.oauthbearer.jwt.retriever.class": _JWT_PACKAGE + "DefaultJwtRetriever",
    "sasl.oauthbearer.jwt.validator.class": _JWT_PACKAGE + "DefaultJwtValidator",
    "sasl.oauthbearer.scope.claim.name": "scope",
    "sasl.oauthbearer.sub.claim.name": "sub",
    "sasl.oauthbearer.header.urlencode": False,
    "sasl.oauthbearer.clock.skew.seconds": 30,
    "sasl.oauthbearer.expected.audience": None,
    "sasl.oauthbearer.expected.issuer": None,
    "sasl.oauthbearer.jwks.endpoint.url": None,
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": 3_600_000,
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": 100,
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": 10_000,
}


# --- from a mapping to a ProducerConfig ---------------------------------------------------------------------


def parse_config(
    mapping: Mapping[str, object] | None = None, overrides: Mapping[str, object] | None = None
) -> ProducerConfig:
    """Check every key and value and return a ProducerConfig; neither mapping is kept or changed.

    mapping: values by dotted name ("linger.ms") or by keyword ("linger_ms") (default None: empty).
    overrides: the same, usually keyword arguments; wins over mapping (default None: empty).

    Raises ConfigError for an unknown key, a value out of range and a conflict of keys, and
    UnsupportedConfigError for a key or value of Kafka's whose feature is not built yet. Rules between keys
    follow Java 4.x.
    """
    raw = _by_name(mapping) | _by_name(overrides)
    for name in raw.keys() & NOT_BUILT.keys():
        _refuse_unless_harmless(name, raw.pop(name))
    given: dict[str, Any] = {KEYS[name].field_name: KEYS[name].parse(value) for name, value in raw.items()}
    if "bootstrap_servers" not in given:
        raise ConfigError(f"bootstrap.servers is missing; allowed is {Hosts().allowed}")
    cfg = ProducerConfig(**given)
    for rule in (
        _apply_idempotence_rules,
        _apply_delivery_timeout_rule,
        _apply_backoff_rules,
        _check_failure_handling,
    ):
        cfg = rule(cfg, given.keys())
    return cfg


def _by_name(source: Mapping[str, object] | None) -> dict[str, object]:
    """Return the values by dotted name, whatever the spelling they came in."""
    if source is None:
        return {}
    if not isinstance(source, Mapping):
        raise ConfigError(f"the configuration is a {type(source).__name__}; allowed is a mapping by name")
    found: dict[str, object] = {}
    spelled: dict[str, str] = {}
    for spelling, value in source.items():
        name = _canonical(spelling)
        if name in found:
            raise ConfigError(f"{spelled[name]} and {spelling} both set {name}; give one of them")
        found[name] = value
        spelled[name] = spelling
    return found


def _canonical(spelling: object) -> str:
    if not isinstance(spelling, str):
        raise ConfigError(f"a configuration key is of type {type(spelling).__name__}; allowed is str")
    name = _SPELLINGS.get(spelling)
    if name is not None:
        return name
    near = _nearest(spelling.replace("_", "."), [*KEYS, *NOT_BUILT])
    if near is None:
        raise ConfigError(f"unknown configuration key {spelling!r}")
    suggestion = near if "." in spelling else _snake(near)
    raise ConfigError(f"unknown configuration key {spelling!r}; did you mean {suggestion!r}?")


def _spellings() -> dict[str, str]:
    names = {name: name for name in (*KEYS, *NOT_BUILT)}
    names |= {alias: key.name for key in KEYS.values() for alias in key.aliases}
    return names | {_snake(spelling): name for spelling, name in names.items()}


_SPELLINGS: Final[Mapping[str, str]] = _spellings()


def _refuse_unless_harmless(name: str, value: object) -> None:
    """Raise unless the value asks for nothing; the message never shows it, since it may be a secret."""
    harmless = NOT_BUILT[name]
    if value is None or (harmless is not None and _as_property(value) == _as_property(harmless)):
        return
    remedy = "leave it out" if harmless is None else f"leave it out or set it to {harmless!r}"
    raise UnsupportedConfigError(f"{name} is a key of Kafka's that is not supported yet; {remedy}")


def _as_property(value: object) -> str:
    """Return the value as a .properties file would hold it, in lower case."""
    if isinstance(value, list | tuple):
        return ",".join(_as_property(item) for item in value)
    return str(value).strip().lower()


# --- rules between keys -------------------------------------------------------------------------------------


def _apply_idempotence_rules(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if not cfg.enable_idempotence:
        if cfg.transactional_id is not None:
            raise ConfigError(
                "transactional.id does not go with enable.idempotence=false; leave one of them out"
            )
        return cfg
    conflicts = [f"acks={cfg.acks}"] if cfg.acks != ACKS_ALL else []
    conflicts += ["retries=0"] if cfg.retries == 0 else []
    asked = "transactional.id" if cfg.transactional_id is not None else "enable.idempotence=true"
    if conflicts and ("enable_idempotence" in given or cfg.transactional_id is not None):
        raise ConfigError(
            f"{asked} does not go with {' and '.join(conflicts)}: to lose and repeat "
            "nothing, a batch must be acknowledged by all in-sync replicas, and sent again if its answer is "
            "lost; allowed is acks=all with retries above 0, or enable.idempotence=false"
        )
    # Even with acks=1, as Java 4.x: who raises this limit must say that the order of records may change.
    in_flight = cfg.max_in_flight_requests_per_connection
    if in_flight > MAX_IN_FLIGHT_IDEMPOTENT:
        raise ConfigError(
            f"max.in.flight.requests.per.connection={in_flight} does not go with idempotence, which is the "
            f"default; allowed is 1 to {MAX_IN_FLIGHT_IDEMPOTENT}, or enable.idempotence=false"
        )
    if not conflicts:
        return cfg
    note = f"idempotence is off because of {' and '.join(conflicts)}: loss and duplicates are possible"
    logger.warning("%s", note)
    return replace(cfg, enable_idempotence=False, idempotence_note=note)


def _apply_delivery_timeout_rule(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    least = min(cfg.linger_ms + cfg.request_timeout_ms, INT_MAX)
    if cfg.delivery_timeout_ms >= least:
        return cfg
    if "delivery_timeout_ms" in given:
        raise ConfigError(
            f"delivery.timeout.ms={cfg.delivery_timeout_ms} is too short; allowed is {least} or more, "
            f"the sum of linger.ms={cfg.linger_ms} and request.timeout.ms={cfg.request_timeout_ms}"
        )
    logger.warning("delivery.timeout.ms is raised to %d, the sum of linger.ms and request.timeout.ms", least)
    return replace(cfg, delivery_timeout_ms=least)


def _apply_backoff_rules(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if "reconnect_backoff_ms" in given and "reconnect_backoff_max_ms" not in given:
        cfg = replace(cfg, reconnect_backoff_max_ms=cfg.reconnect_backoff_ms)
    for name, max_name in (
        ("reconnect.backoff.ms", "reconnect.backoff.max.ms"),
        ("retry.backoff.ms", "retry.backoff.max.ms"),
        ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms"),
    ):
        cfg = _hold_at_max(cfg, name, max_name)
    return cfg


def _check_failure_handling(cfg: ProducerConfig, given: AbstractSet[str]) -> ProducerConfig:
    if cfg.errors_dead_letter_queue_topic_name and cfg.errors_dead_letter_queue_file:
        raise ConfigError(
            "errors.dead.letter.queue.topic.name and errors.dead.letter.queue.file are both set; give one of them"
        )
    if cfg.on_sequence_gap == "fail" and not cfg.enable_idempotence:
        raise ConfigError(
            "on.sequence.gap=fail needs sequences, which idempotence brings; allowed is continue, or acks=all with "
            "enable.idempotence=true"
        )
    if cfg.transactional_id is None:
        return cfg
    if cfg.errors_dead_letter_queue_topic_name:
        raise ConfigError(
            "errors.dead.letter.queue.topic.name does not go with transactional.id: the letters would be aborted "
            "together with the transaction that failed; allowed is errors.dead.letter.queue.file"
        )
    if cfg.buffer_full_policy == "drop-oldest":
        raise ConfigError(
            "buffer.full.policy=drop-oldest does not go with transactional.id: a transaction is all of its "
            "records; allowed is block or raise"
        )
    return cfg


def _hold_at_max(cfg: ProducerConfig, name: str, max_name: str) -> ProducerConfig:
    value, maximum = getattr(cfg, _snake(name)), getattr(cfg, _snake(max_name))
    if value <= maximum:
        return cfg
    logger.warning("%s=%d exceeds %s=%d and is held there, without growth", name, value, max_name, maximum)
    return replace(cfg, **{_snake(name): maximum})
