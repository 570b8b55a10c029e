# cython: language_level=3, freethreading_compatible=True
"""The only translator from C status codes and failures to exceptions."""
from libc.stdlib cimport free

from kproducer._core.csrc cimport (
    KP_CODE_CLOSED,
    KP_CODE_DROPPED,
    KP_CODE_EXPIRED,
    KP_CODE_INTERNAL,
    KP_CODE_OUT_OF_MEMORY,
    KP_CODE_TXN_ABORTED,
    KP_CODE_TXN_REFUSED,
    KP_ERR_NOMEM,
    KP_FATAL,
    KP_FORKED,
    KP_OK,
    KP_OPEN,
    int32_t,
    kp_core,
    kp_core_life,
    kp_failure,
    kp_record_error,
    kp_result,
    kp_result_record_error,
    kp_status,
    kp_topic,
    kp_topic_error,
    kp_txn_failure,
)

from kproducer.errors import (
    ForkError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    RecordDroppedError,
    TransactionAbortableError,
    TransactionAbortedError,
    error_for,
)

cdef tuple PERSISTED = ("no", "maybe", "yes")

cdef dict CLIENT_ERRORS = {
    KP_CODE_EXPIRED: (KafkaTimeoutError, "delivery.timeout.ms ran out before the record was acknowledged"),
    KP_CODE_CLOSED: (ProducerClosedError, "the producer was closed before the record was acknowledged"),
    KP_CODE_DROPPED: (RecordDroppedError, "dropped, never sent: buffer.memory was full and newer records came"),
    KP_CODE_OUT_OF_MEMORY: (KafkaError, "no memory to compress or split the batch"),
    KP_CODE_INTERNAL: (KafkaError, "internal error of the producer"),
    KP_CODE_TXN_ABORTED: (TransactionAbortedError, "the transaction was aborted before the record was acknowledged"),
    KP_CODE_TXN_REFUSED: (TransactionAbortableError, "a record of the transaction was refused"),
}


cdef int check(kp_status status) except -1:
    """Raise for a status below zero that no caller can explain better."""
    if status >= KP_OK:
        return 0
    if status == KP_ERR_NOMEM:
        raise MemoryError
    raise SystemError(f"csrc status {status}")


cdef str text_or_none(const char *text):
    return None if text is NULL else (<bytes>text).decode("utf-8", "replace")


cdef object make_error(int code, str message, dict facts):
    known = CLIENT_ERRORS.get(code)
    if known is None:
        return error_for(code, message, **facts)
    text = known[1] if message is None else f"{known[1]}: {message}"
    return known[0](text, **facts)


cdef object failure_of(kp_result *r, int32_t index):
    """The exception of record `index` of a failed result; None when that record did not fail."""
    cdef int code = r.failure.code
    cdef const char *message = r.failure.message
    cdef const kp_record_error *own
    if r.record_errors is not NULL:
        own = kp_result_record_error(r, index)
        if own is NULL:
            return None
        code = own.code
        message = own.message
    error = make_error(code, text_or_none(message), {
        "topic": r.partition.topic.name[:r.partition.topic.name_len].decode(),
        "partition": r.partition.index,
        "broker": None if r.failure.node < 0 else r.failure.node,
        "attempts": r.failure.attempts,
        "elapsed_ms": r.failure.elapsed_ns / 1e6,
        "persisted": PERSISTED[r.failure.persisted],
    })
    if r.failure.cause != 0:
        error.__cause__ = error_for(r.failure.cause)
        error.add_note(f"the last attempt met: {error.__cause__}")
    return error


cdef object fatal_of(kp_core *core):
    """Why nothing can be sent any more."""
    return make_error(core.fatal.code, text_or_none(core.fatal.message), {"fatal": True})


cdef int raise_life(kp_core *core) except -1:
    """Raise why an append is refused."""
    life = kp_core_life(core)
    if life == KP_FORKED:
        raise ForkError("this producer belongs to the parent process: create another one after fork()")
    if life == KP_FATAL:
        raise fatal_of(core)
    raise ProducerClosedError("the producer is closed")


cdef int raise_no_transaction(kp_core *core) except -1:
    """Raise why a transactional producer takes no record now."""
    cdef kp_failure failure
    if kp_core_life(core) != KP_OPEN:
        raise_life(core)
    cdef bint has_failed = kp_txn_failure(core, &failure)
    message = text_or_none(failure.message)
    free(failure.message)
    if not has_failed:
        raise IllegalStateError("no transaction is open: call begin_transaction() first")
    raise TransactionAbortableError.because_of(make_error(failure.code, message, {}))


cdef object topic_failure(kp_topic *topic, str name):
    cdef char *message = NULL
    cdef int32_t code = kp_topic_error(topic, &message)
    try:
        return error_for(code, text_or_none(message), topic=name, persisted="no")
    finally:
        free(message)
