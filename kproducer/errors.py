"""The exception tree and the broker error-code table; imports nothing of ours, used by every thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Persisted = Literal["no", "maybe", "yes"]


class KafkaError(Exception):
    """Base of all errors of this package; carries the facts as attributes.

    Args:
        message: what went wrong; default: the text of the code.
        code: Kafka's error number, None for an error that no broker sent.
        name: Kafka's name of the code; default: from the code, else the class name.
        retriable: True if the same request may succeed later; default: from the code, else the class.
        fatal: True if the producer can only be closed; default as above.
        requires_abort: True if an open transaction can only be aborted (KIP-1050); default as above.
        persisted: whether the record is in the log: "no" surely not, "maybe", "yes"; default as above.
        topic, partition: of the record.
        broker: node id of the broker that was asked.
        attempts: how often the record was sent.
        elapsed_ms: milliseconds since the call began or the record was appended.
    """

    code: int | None = None
    name: str
    retriable: bool = False
    fatal: bool = False
    requires_abort: bool = False
    persisted: Persisted = "maybe"

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        name: str | None = None,
        retriable: bool | None = None,
        fatal: bool | None = None,
        requires_abort: bool | None = None,
        persisted: Persisted | None = None,
        topic: str | None = None,
        partition: int | None = None,
        broker: int | None = None,
        attempts: int | None = None,
        elapsed_ms: float | None = None,
    ) -> None:
        cls = type(self)
        self.code = cls.code if code is None else code
        info = None if self.code is None else error_info(self.code)
        self.name = name or (info.name if info else cls.__name__)
        self.retriable = _first(retriable, info.retriable if info else cls.retriable)
        self.fatal = _first(fatal, info.fatal if info else cls.fatal)
        self.requires_abort = _first(requires_abort, info.aborts_txn if info else cls.requires_abort)
        self.persisted = persisted or (info.persisted if info else cls.persisted)
        self.topic = topic
        self.partition = partition
        self.broker = broker
        self.attempts = attempts
        self.elapsed_ms = elapsed_ms
        super().__init__(message or (info.message if info else self.name))

    @property
    def message(self) -> str:
        """The text without the facts."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        facts = ", ".join(self._facts())
        return f"{self.message} ({facts})" if facts else self.message

    def _facts(self) -> list[str]:
        facts = []
        if self.code is not None:
            facts.append(f"{self.name}, code {self.code}")
        if self.broker is not None:
            facts.append(f"broker {self.broker}")
        if self.topic is not None:
            facts.append(_place(self.topic, self.partition))
        if self.attempts is not None:
            facts.append(f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}")
        if self.elapsed_ms is not None:
            facts.append(f"{self.elapsed_ms:.0f} ms elapsed")
        return facts

    # The default of BaseException calls the class with args only, which loses keyword-only facts.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[KafkaError], args: tuple[object, ...], state: dict[str, object]) -> KafkaError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


def _place(topic: str, partition: int | None) -> str:
    return f"topic {topic}" if partition is None else f"{topic}-{partition}"


def _first(given: bool | None, default: bool) -> bool:
    return default if given is None else given


# --- families ---------------------------------------------------------------------------------------------


class ApiError(KafkaError):
    """An error of Kafka's API, sent by a broker or raised in its name."""


class RetriableError(ApiError):
    """Trying again may succeed; the producer does so by itself until delivery.timeout.ms."""

    retriable = True


class InvalidMetadataError(RetriableError):
    """Trying again may succeed once the metadata has been refreshed."""


class AuthenticationError(ApiError):
    """The broker did not accept who we are."""

    persisted = "no"


class AuthorizationError(ApiError):
    """The broker knows who we are and refuses the operation."""

    persisted = "no"


# --- you did wrong: raised at the call ---------------------------------------------------------------------


class ConfigError(KafkaError, ValueError):
    """A configuration key or value is wrong."""

    persisted = "no"


class UnsupportedConfigError(ConfigError):
    """The configuration asks for a feature of Kafka that this version of the package does not have."""


class BundleViolationError(ConfigError):
    """A setting or a record breaks a rule of the organisation's bundle.

    Args:
        bundle: name and file of the bundle.
        rule: which of its rules: locked, required.settings, required.headers or allowed.topics.
        **facts: as of KafkaError; topic is that of the record, None for a setting.
    """

    # Any: the facts have several types, which the base class declares.
    def __init__(self, message: str = "", *, bundle: str = "", rule: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.bundle = bundle
        self.rule = rule


class SerializationError(KafkaError, ValueError):
    """A serializer raised, or returned what is not bytes; its own exception is the cause."""

    persisted = "no"


class IllegalStateError(KafkaError, RuntimeError):
    """The call is not allowed now; the state is unchanged."""

    persisted = "no"


class ProducerClosedError(IllegalStateError):
    """The producer has been closed."""


class ForkError(IllegalStateError):
    """The producer was made before a fork; the child process must make its own."""


# --- client side -------------------------------------------------------------------------------------------


class KafkaTimeoutError(RetriableError, TimeoutError):
    """A deadline of ours has passed: max.block.ms, request.timeout.ms, delivery.timeout.ms or an argument."""


class BufferExhaustedError(KafkaTimeoutError):
    """buffer.memory stayed full for max.block.ms, or was full with buffer.full.policy=raise."""

    persisted = "no"


class RecordDroppedError(KafkaError):
    """buffer.full.policy=drop-oldest gave the record up, never sent, to make room for newer ones."""

    persisted = "no"


class NetworkError(InvalidMetadataError):
    """The connection failed; whether a request that was on it took effect is not known."""

    code = 13


class DisconnectError(NetworkError):
    """The connection ended before the answer came."""


class ProtocolError(RetriableError):
    """A broker's answer is malformed; the connection is closed and its requests are sent again."""


class TruncatedMessageError(ProtocolError):
    """The answer ends in the middle of a field."""


class InvalidLengthError(ProtocolError):
    """A length or count in an answer is negative, too big for the bytes that follow, or not a number."""


class InvalidFrameSizeError(ProtocolError):
    """The size in front of an answer is negative, too small or above the limit."""


class RejectedWithBatchError(RetriableError):
    """Another record of the batch was refused, so this one was not written; send it again (KIP-467)."""

    persisted = "no"


class TransactionAbortedError(ApiError):
    """The transaction was aborted before this record was acknowledged (KIP-654)."""

    persisted = "no"


class CommitOutcomeUnknownError(KafkaTimeoutError):
    """The commit was asked for and not answered in time: it may have taken effect, now or later.

    Call `commit_transaction()` again for the outcome, `abort_transaction()` to end it, or `close()`.
    """


class TransactionCommittedError(ApiError):
    """The transaction that was to be aborted had been committed by then, after an outcome that was unknown."""

    persisted = "yes"


class CommitFailedError(ApiError):
    """The consumer group has moved on, so the offsets of this member are not taken (KIP-447)."""

    requires_abort = True
    persisted = "no"


class UnobservedDeliveryError(KafkaError):
    """Records failed and no callback or future was there to tell.

    Args:
        count: how many records failed.
        first_error: the error of the first of them.
        by_partition: failed records by (topic, partition).
    """

    def __init__(
        self, *, count: int, first_error: KafkaError, by_partition: Mapping[tuple[str, int], int]
    ) -> None:
        self.count = count
        self.first_error = first_error
        self.by_partition: dict[tuple[str, int], int] = dict(by_partition)
        super().__init__(
            f"{count} record{'' if count == 1 else 's'} failed unobserved "
            f"[{self._summary()}]; first error: {type(first_error).__name__}: {first_error}",
            persisted=first_error.persisted,
        )
        self.__cause__ = first_error

    def _summary(self, limit: int = 5) -> str:
        worst = sorted(self.by_partition.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{topic}-{partition}: {n}" for (topic, partition), n in worst[:limit])
        return shown if len(worst) <= limit else f"{shown}, and {len(worst) - limit} more partitions"


# --- one class for each code that a producer meets ---------------------------------------------------------


class UnknownServerError(ApiError):
    """The broker met an error that it has no code for."""

    code = -1


class CorruptRecordError(RetriableError):
    """The broker found a checksum or structure error in the batch."""

    code = 2


class UnknownTopicOrPartitionError(InvalidMetadataError):
    """The broker does not have this topic or partition."""

    code = 3


class LeaderNotAvailableError(InvalidMetadataError):
    """The partition has no leader at the moment."""

    code = 5


class NotLeaderOrFollowerError(InvalidMetadataError):
    """The broker does not lead the partition any more."""

    code = 6


class RequestTimedOutError(KafkaTimeoutError):
    """The broker gave up waiting for the replicas; the batch may still be in the log."""

    code = 7


class BrokerNotAvailableError(InvalidMetadataError):
    """The broker is not available."""

    code = 8


class ReplicaNotAvailableError(InvalidMetadataError):
    """A replica is not available."""

    code = 9


class RecordTooLargeError(ApiError, ValueError):
    """The record, or its batch, is above a size limit of the producer, the topic or the broker."""

    code = 10


class CoordinatorLoadInProgressError(RetriableError):
    """The coordinator is loading its state."""

    code = 14


class CoordinatorNotAvailableError(RetriableError):
    """The coordinator is not available."""

    code = 15


class NotCoordinatorError(RetriableError):
    """The broker is not the coordinator of this id any more."""

    code = 16


class InvalidTopicError(ApiError, ValueError):
    """The topic's name is not legal, or the topic is internal."""

    code = 17


class RecordBatchTooLargeError(ApiError):
    """The batch is bigger than a segment of the log."""

    code = 18


class NotEnoughReplicasError(RetriableError):
    """Fewer replicas are in sync than min.insync.replicas asks for."""

    code = 19


class NotEnoughReplicasAfterAppendError(RetriableError):
    """The batch was appended, then the replicas in sync fell below min.insync.replicas."""

    code = 20


class InvalidRequiredAcksError(ApiError):
    """acks has a value that the broker does not know."""

    code = 21


class IllegalGenerationError(ApiError):
    """The consumer group has moved on to another generation."""

    code = 22


class UnknownMemberIdError(ApiError):
    """The coordinator does not know this member of the consumer group."""

    code = 25


class TopicAuthorizationError(AuthorizationError):
    """Writing to the topic is not allowed."""

    code = 29


class GroupAuthorizationError(AuthorizationError):
    """Using the consumer group is not allowed."""

    code = 30


class ClusterAuthorizationError(AuthorizationError):
    """The operation on the cluster is not allowed."""

    code = 31


class InvalidTimestampError(ApiError):
    """A record's timestamp is outside what the topic accepts."""

    code = 32


class UnsupportedSaslMechanismError(AuthenticationError):
    """The broker does not offer the SASL mechanism."""

    code = 33


class IllegalSaslStateError(AuthenticationError):
    """The request does not fit the state of the SASL exchange."""

    code = 34


class UnsupportedVersionError(ApiError):
    """Client and broker have no common version of an API."""

    code = 35


class InvalidRequestError(ApiError):
    """The broker calls the request malformed."""

    code = 42


class UnsupportedForMessageFormatError(ApiError):
    """The topic is stored in a message format older than record batch v2."""

    code = 43


class PolicyViolationError(ApiError):
    """The request breaks a policy of the cluster."""

    code = 44


class OutOfOrderSequenceError(ApiError):
    """The broker expected another sequence number from this producer."""

    code = 45


class DuplicateSequenceError(ApiError):
    """The broker has this batch already: a success whose offset is not known."""

    code = 46


class InvalidProducerEpochError(ApiError):
    """The broker has seen a newer epoch of this producer id."""

    code = 47


class InvalidTxnStateError(ApiError):
    """The operation does not fit the state of the transaction."""

    code = 48


class InvalidPidMappingError(ApiError):
    """The coordinator does not hold this producer id for the transactional id; it may have expired."""

    code = 49


class InvalidTxnTimeoutError(ApiError):
    """transaction.timeout.ms is above the broker's transaction.max.timeout.ms."""

    code = 50


class ConcurrentTransactionsError(RetriableError):
    """The coordinator is still finishing the previous transaction."""

    code = 51


class TransactionCoordinatorFencedError(RetriableError):
    """The coordinator has been replaced."""

    code = 52


class TransactionalIdAuthorizationError(AuthorizationError):
    """Using the transactional id is not allowed."""

    code = 53


class OperationNotAttemptedError(RetriableError):
    """Another part of the same request failed, so this part was not tried."""

    code = 55


class KafkaStorageError(InvalidMetadataError):
    """The broker's disk failed."""

    code = 56


class SaslAuthenticationError(AuthenticationError):
    """The broker refused the credentials."""

    code = 58


class UnknownProducerIdError(ApiError):
    """The broker has no state for this producer id (brokers before 2.5)."""

    code = 59


class ListenerNotFoundError(InvalidMetadataError):
    """The leader has no listener of the name that we are connected to."""

    code = 72


class FencedLeaderEpochError(InvalidMetadataError):
    """Our leader epoch is older than the broker's."""

    code = 74


class UnknownLeaderEpochError(InvalidMetadataError):
    """Our leader epoch is newer than the broker's."""

    code = 75


class UnsupportedCompressionTypeError(ApiError):
    """The broker does not accept the codec in this version of Produce."""

    code = 76


class FencedInstanceIdError(ApiError):
    """Another consumer has taken over the group.instance.id."""

    code = 82


class InvalidRecordError(ApiError):
    """The broker refused a record, such as one without a key on a compacted topic."""

    code = 87


class ThrottlingQuotaExceededError(RetriableError):
    """A quota of the cluster is exceeded."""

    code = 89


class ProducerFencedError(ApiError):
    """Another producer with the same transactional id took over, or the transaction timed out."""

    code = 90


class UnknownTopicIdError(InvalidMetadataError):
    """The broker has no topic of this id: deleted, recreated, or not known to it yet."""

    code = 100


class InconsistentTopicIdError(InvalidMetadataError):
    """The broker's log belongs to another topic id."""

    code = 103


class TransactionalIdNotFoundError(ApiError):
    """The coordinator does not know the transactional id."""

    code = 105


class UnknownSubscriptionIdError(ApiError):
    """The telemetry subscription has changed (KIP-714)."""

    code = 117


class TelemetryTooLargeError(ApiError):
    """The telemetry payload is above the broker's limit (KIP-714)."""

    code = 118


class TransactionAbortableError(ApiError):
    """The transaction can only be aborted (KIP-890, KIP-1050)."""

    code = 120

    @classmethod
    def because_of(cls, cause: KafkaError, *, persisted: Persisted = "no") -> TransactionAbortableError:
        """Return what calls raise after `cause` befell a record; a code that both have is told once."""
        text = cause.message if cause.code == cls.code else str(cause)
        error = cls(f"the transaction can only be aborted: {text}", requires_abort=True, persisted=persisted)
        error.__cause__ = cause
        return error


class RebootstrapRequiredError(ApiError):
    """The broker asks the client to start again from bootstrap.servers (KIP-1102)."""

    code = 129


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What a broker's error code means for a producer.

    The flags are those of a Produce answer with acks=all. Where a coordinator's answer is judged more
    harshly (47 and 48 are fatal there), the caller says so in `error_for`.
    """

    code: int
    name: str
    error_class: type[KafkaError]
    message: str
    retriable: bool
    fatal: bool
    aborts_txn: bool
    refresh_metadata: bool
    refresh_coordinator: bool
    splits: bool
    bumps_epoch: bool
    rebootstraps: bool
    persisted: Persisted

    @property
    def is_success(self) -> bool:
        """True for NONE and for DUPLICATE_SEQUENCE_NUMBER, whose batch is in the log already."""
        return self.persisted == "yes"


def _row(
    code: int,
    name: str,
    error_class: type[KafkaError],
    flags: str = "",
    persisted: Persisted = "maybe",
    message: str = "",
) -> ErrorInfo:
    """Build one row.

    The flags: R retry; M retry after a refresh of the metadata; C retry after finding the coordinator again;
    S split the batch; E bump the epoch or ask for a new producer id; A an open transaction must be aborted;
    X fatal for the producer; B start again from bootstrap.servers.
    """
    return ErrorInfo(
        code=code,
        name=name,
        error_class=error_class,
        message=message or (error_class.__doc__ or name).partition("\n")[0],
        retriable=_has(flags, "RMC"),
        fatal=_has(flags, "X"),
        aborts_txn=_has(flags, "A"),
        refresh_metadata=_has(flags, "M"),
        refresh_coordinator=_has(flags, "C"),
        splits=_has(flags, "S"),
        bumps_epoch=_has(flags, "E"),
        rebootstraps=_has(flags, "B"),
        persisted=persisted,
    )


def _has(flags: str, wanted: str) -> bool:
    return any(flag in flags for flag in wanted)


# "maybe" on a row that Produce never answers is deliberate: it is the value that can do no harm.
# 3, 6 and 56 may be answered by the purgatory after the append, so they are "maybe" and not "no".
# 33, 34 and 58 are not fatal: rotated credentials let the producer recover.
_PRODUCER_ROWS: Final = (
    _row(-1, "UNKNOWN_SERVER_ERROR", UnknownServerError, "EA"),
    _row(0, "NONE", ApiError, "", "yes", "No error."),
    _row(2, "CORRUPT_MESSAGE", CorruptRecordError, "R", "no"),
    _row(3, "UNKNOWN_TOPIC_OR_PARTITION", UnknownTopicOrPartitionError, "M"),
    _row(5, "LEADER_NOT_AVAILABLE", LeaderNotAvailableError, "M", "no"),
    _row(6, "NOT_LEADER_OR_FOLLOWER", NotLeaderOrFollowerError, "M"),
    _row(7, "REQUEST_TIMED_OUT", RequestTimedOutError, "R"),
    _row(8, "BROKER_NOT_AVAILABLE", BrokerNotAvailableError, "M", "no"),
    _row(9, "REPLICA_NOT_AVAILABLE", ReplicaNotAvailableError, "M", "no"),
    _row(10, "MESSAGE_TOO_LARGE", RecordTooLargeError, "SA", "no"),
    _row(13, "NETWORK_EXCEPTION", NetworkError, "M"),
    _row(14, "COORDINATOR_LOAD_IN_PROGRESS", CoordinatorLoadInProgressError, "R"),
    _row(15, "COORDINATOR_NOT_AVAILABLE", CoordinatorNotAvailableError, "C"),
    _row(16, "NOT_COORDINATOR", NotCoordinatorError, "C"),
    _row(17, "INVALID_TOPIC_EXCEPTION", InvalidTopicError, "A", "no"),
    _row(18, "RECORD_LIST_TOO_LARGE", RecordBatchTooLargeError, "SA", "no"),
    _row(
        19,
        "NOT_ENOUGH_REPLICAS",
        NotEnoughReplicasError,
        "R",
        "no",
        "Fewer replicas are in sync than min.insync.replicas, or a transaction could not be verified.",
    ),
    _row(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", NotEnoughReplicasAfterAppendError, "R"),
    _row(21, "INVALID_REQUIRED_ACKS", InvalidRequiredAcksError, "X", "no"),
    _row(22, "ILLEGAL_GENERATION", IllegalGenerationError, "A"),
    _row(25, "UNKNOWN_MEMBER_ID", UnknownMemberIdError, "A"),
    _row(29, "TOPIC_AUTHORIZATION_FAILED", TopicAuthorizationError, "A", "no"),
    _row(30, "GROUP_AUTHORIZATION_FAILED", GroupAuthorizationError, "A"),
    _row(
        31,
        "CLUSTER_AUTHORIZATION_FAILED",
        ClusterAuthorizationError,
        "X",
        "no",
        "The operation on the cluster is not allowed. An idempotent producer needs IDEMPOTENT_WRITE on the "
        "cluster (brokers before 2.8) or WRITE on a topic: grant it, or set enable.idempotence=false.",
    ),
    _row(32, "INVALID_TIMESTAMP", InvalidTimestampError, "A", "no"),
    _row(33, "UNSUPPORTED_SASL_MECHANISM", UnsupportedSaslMechanismError, "", "no"),
    _row(34, "ILLEGAL_SASL_STATE", IllegalSaslStateError, "", "no"),
    _row(35, "UNSUPPORTED_VERSION", UnsupportedVersionError, "A", "no"),
    _row(42, "INVALID_REQUEST", InvalidRequestError, "A", "no"),
    _row(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", UnsupportedForMessageFormatError, "X", "no"),
    _row(44, "POLICY_VIOLATION", PolicyViolationError, "A", "no"),
    _row(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", OutOfOrderSequenceError, "EA", "no"),
    _row(46, "DUPLICATE_SEQUENCE_NUMBER", DuplicateSequenceError, "", "yes"),
    _row(47, "INVALID_PRODUCER_EPOCH", InvalidProducerEpochError, "EA", "no"),
    _row(48, "INVALID_TXN_STATE", InvalidTxnStateError, "A", "no"),
    _row(49, "INVALID_PRODUCER_ID_MAPPING", InvalidPidMappingError, "X", "no"),
    _row(50, "INVALID_TRANSACTION_TIMEOUT", InvalidTxnTimeoutError, "X"),
    _row(51, "CONCURRENT_TRANSACTIONS", ConcurrentTransactionsError, "R", "no"),
    _row(52, "TRANSACTION_COORDINATOR_FENCED", TransactionCoordinatorFencedError, "C"),
    _row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", TransactionalIdAuthorizationError, "X", "no"),
    _row(55, "OPERATION_NOT_ATTEMPTED", OperationNotAttemptedError, "R"),
    _row(56, "KAFKA_STORAGE_ERROR", KafkaStorageError, "M"),
    _row(58, "SASL_AUTHENTICATION_FAILED", SaslAuthenticationError, "", "no"),
    _row(59, "UNKNOWN_PRODUCER_ID", UnknownProducerIdError, "EA", "no"),
    _row(72, "LISTENER_NOT_FOUND", ListenerNotFoundError, "M", "no"),
    _row(74, "FENCED_LEADER_EPOCH", FencedLeaderEpochError, "M"),
    _row(75, "UNKNOWN_LEADER_EPOCH", UnknownLeaderEpochError, "M"),
    _row(76, "UNSUPPORTED_COMPRESSION_TYPE", UnsupportedCompressionTypeError, "A", "no"),
    _row(82, "FENCED_INSTANCE_ID", FencedInstanceIdError, "A"),
    _row(87, "INVALID_RECORD", InvalidRecordError, "A", "no"),
    _row(89, "THROTTLING_QUOTA_EXCEEDED", ThrottlingQuotaExceededError, "R", "no"),
    _row(90, "PRODUCER_FENCED", ProducerFencedError, "X", "no"),
    _row(100, "UNKNOWN_TOPIC_ID", UnknownTopicIdError, "M", "no"),
    _row(103, "INCONSISTENT_TOPIC_ID", InconsistentTopicIdError, "M", "no"),
    _row(105, "TRANSACTIONAL_ID_NOT_FOUND", TransactionalIdNotFoundError, "X"),
    _row(117, "UNKNOWN_SUBSCRIPTION_ID", UnknownSubscriptionIdError),
    _row(118, "TELEMETRY_TOO_LARGE", TelemetryTooLargeError),
    _row(120, "TRANSACTION_ABORTABLE", TransactionAbortableError, "A", "no"),
    _row(129, "REBOOTSTRAP_REQUIRED", RebootstrapRequiredError, "B"),
)

# Codes that answer no request of a producer; the names and the retriable ones are those of Kafka 4.4.
_OTHER_NAMES: Final = {
    1: "OFFSET_OUT_OF_RANGE",
    4: "INVALID_FETCH_SIZE",
    11: "STALE_CONTROLLER_EPOCH",
    12: "OFFSET_METADATA_TOO_LARGE",
    23: "INCONSISTENT_GROUP_PROTOCOL",
    24: "INVALID_GROUP_ID",
    26: "INVALID_SESSION_TIMEOUT",
    27: "REBALANCE_IN_PROGRESS",
    28: "INVALID_COMMIT_OFFSET_SIZE",
    36: "TOPIC_ALREADY_EXISTS",
    37: "INVALID_PARTITIONS",
    38: "INVALID_REPLICATION_FACTOR",
    39: "INVALID_REPLICA_ASSIGNMENT",
    40: "INVALID_CONFIG",
    41: "NOT_CONTROLLER",
    54: "SECURITY_DISABLED",
    57: "LOG_DIR_NOT_FOUND",
    60: "REASSIGNMENT_IN_PROGRESS",
    61: "DELEGATION_TOKEN_AUTH_DISABLED",
    62: "DELEGATION_TOKEN_NOT_FOUND",
    63: "DELEGATION_TOKEN_OWNER_MISMATCH",
    64: "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
    65: "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    66: "DELEGATION_TOKEN_EXPIRED",
    67: "INVALID_PRINCIPAL_TYPE",
    68: "NON_EMPTY_GROUP",
    69: "GROUP_ID_NOT_FOUND",
    70: "FETCH_SESSION_ID_NOT_FOUND",
    71: "INVALID_FETCH_SESSION_EPOCH",
    73: "TOPIC_DELETION_DISABLED",
    77: "STALE_BROKER_EPOCH",
    78: "OFFSET_NOT_AVAILABLE",
    79: "MEMBER_ID_REQUIRED",
    80: "PREFERRED_LEADER_NOT_AVAILABLE",
    81: "GROUP_MAX_SIZE_REACHED",
    83: "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    84: "ELECTION_NOT_NEEDED",
    85: "NO_REASSIGNMENT_IN_PROGRESS",
    86: "GROUP_SUBSCRIBED_TO_TOPIC",
    88: "UNSTABLE_OFFSET_COMMIT",
    91: "RESOURCE_NOT_FOUND",
    92: "DUPLICATE_RESOURCE",
    93: "UNACCEPTABLE_CREDENTIAL",
    94: "INCONSISTENT_VOTER_SET",
    95: "INVALID_UPDATE_VERSION",
    96: "FEATURE_UPDATE_FAILED",
    97: "PRINCIPAL_DESERIALIZATION_FAILURE",
    98: "SNAPSHOT_NOT_FOUND",
    99: "POSITION_OUT_OF_RANGE",
    101: "DUPLICATE_BROKER_REGISTRATION",
    102: "BROKER_ID_NOT_REGISTERED",
    104: "INCONSISTENT_CLUSTER_ID",
    106: "FETCH_SESSION_TOPIC_ID_ERROR",
    107: "INELIGIBLE_REPLICA",
    108: "NEW_LEADER_ELECTED",
    109: "OFFSET_MOVED_TO_TIERED_STORAGE",
    110: "FENCED_MEMBER_EPOCH",
    111: "UNRELEASED_INSTANCE_ID",
    112: "UNSUPPORTED_ASSIGNOR",
    113: "STALE_MEMBER_EPOCH",
    114: "MISMATCHED_ENDPOINT_TYPE",
    115: "UNSUPPORTED_ENDPOINT_TYPE",
    116: "UNKNOWN_CONTROLLER_ID",
    119: "INVALID_REGISTRATION",
    121: "INVALID_RECORD_STATE",
    122: "SHARE_SESSION_NOT_FOUND",
    123: "INVALID_SHARE_SESSION_EPOCH",
    124: "FENCED_STATE_EPOCH",
    125: "INVALID_VOTER_KEY",
    126: "DUPLICATE_VOTER",
    127: "VOTER_NOT_FOUND",
    128: "INVALID_REGULAR_EXPRESSION",
    130: "STREAMS_INVALID_TOPOLOGY",
    131: "STREAMS_INVALID_TOPOLOGY_EPOCH",
    132: "STREAMS_TOPOLOGY_FENCED",
    133: "SHARE_SESSION_LIMIT_REACHED",
    134: "GROUP_DELETION_FAILED",
    135: "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED",
    136: "CONTROLLER_ID_NOT_REGISTERED",
}
_OTHER_RETRIABLE: Final = frozenset({41, 70, 71, 78, 80, 83, 84, 88, 106, 122, 123, 133})


def _other_row(code: int, name: str) -> ErrorInfo:
    text = f"The broker answered {name}."
    if code in _OTHER_RETRIABLE:
        return _row(code, name, RetriableError, "R", message=text)
    return _row(code, name, ApiError, "A", message=text)


ERROR_TABLE: Final[Mapping[int, ErrorInfo]] = MappingProxyType(
    {row.code: row for row in _PRODUCER_ROWS}
    | {code: _other_row(code, name) for code, name in _OTHER_NAMES.items()}
)


def error_info(code: int) -> ErrorInfo:
    """Return what an error code means; an unknown number is a final failure that keeps its number.

    Args:
        code: the number from the wire.
    """
    info = ERROR_TABLE.get(code)
    return _other_row(code, f"UNKNOWN_{code}") if info is None else info


def error_for(
    code: int,
    message: str | None = None,
    *,
    topic: str | None = None,
    partition: int | None = None,
    broker: int | None = None,
    attempts: int | None = None,
    elapsed_ms: float | None = None,
    persisted: Persisted | None = None,
    fatal: bool | None = None,
    requires_abort: bool | None = None,
) -> KafkaError:
    """Make the exception for a broker's error code.

    Args:
        code: the number from the wire, not 0.
        message: the broker's own text; default: ours.
        topic, partition, broker, attempts, elapsed_ms: the facts, see `KafkaError`.
        persisted, fatal, requires_abort: override the table where the caller knows better.

    Raises:
        ValueError: code is 0, which is no error.
    """
    if code == 0:
        raise ValueError("code 0 (NONE) is no error")
    info = error_info(code)
    return info.error_class(
        message or info.message,
        code=code,
        topic=topic,
        partition=partition,
        broker=broker,
        attempts=attempts,
        elapsed_ms=elapsed_ms,
        persisted=persisted,
        fatal=fatal,
        requires_abort=requires_abort,
    )
