# cython: language_level=3, freethreading_compatible=True
"""Records of batches that were refused for good, out of the bytes that the pump kept of them."""
import logging

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t

from kproducer._core.csrc cimport (
    KP_OK,
    kp_dead_letters_next,
    kp_dead_letters_release,
    kp_record,
    kp_result,
    kp_varint_get32,
)
from kproducer._core.status cimport failure_of

from kproducer._core.letters import DeadLetter

cdef object logger = logging.getLogger("kproducer.dead_letters")


cdef object bytes_or_none(const uint8_t *data, int64_t n):
    return None if n < 0 else PyBytes_FromStringAndSize(<const char *>data, n)


cdef int32_t number(const uint8_t **p, const uint8_t *end) except? -2:
    cdef int32_t n = 0
    if kp_varint_get32(p, end, &n) != KP_OK:
        raise SystemError("our own headers cannot be read back")
    return n


cdef object field(const uint8_t **p, const uint8_t *end):
    """A length and its bytes; null is length -1."""
    cdef int32_t n = number(p, end)
    if n > end - p[0]:
        raise SystemError("our own headers cannot be read back")
    data = bytes_or_none(p[0], n)
    p[0] += max(0, n)
    return data


cdef tuple headers_of(const kp_record *record):
    cdef const uint8_t *p = record.headers
    cdef const uint8_t *end = p + record.headers_len
    cdef int32_t n = number(&p, end)
    cdef list headers = []
    for _ in range(n):
        key = field(&p, end).decode()
        headers.append((key, field(&p, end)))
    return tuple(headers)


cdef list letters_of(kp_result *r):
    """The records of a failed result, each with the error that its future gives; those without one are not dead."""
    cdef const uint8_t *p = NULL
    cdef kp_record record
    cdef int32_t index = 0
    cdef list letters = []
    topic = r.partition.topic.name[:r.partition.topic.name_len].decode()
    while kp_dead_letters_next(r.dead_letters, &p, &record):
        error = failure_of(r, index)
        if error is not None:
            letters.append(DeadLetter(topic, r.partition.index, record.timestamp_ms,
                                      bytes_or_none(record.key, record.key_len),
                                      bytes_or_none(record.value, record.value_len),
                                      headers_of(&record), error))
        index += 1
    return letters


cdef void hand_over(sink, kp_result *r) noexcept:
    """Give the records to the sink, their bytes to the pool before: a letter needs memory of its own."""
    cdef list letters = None
    topic = r.partition.topic.name[:r.partition.topic.name_len].decode()
    try:
        try:
            letters = letters_of(r)
        finally:
            kp_dead_letters_release(r.core, r)
        sink.take(letters)
    except BaseException:  # the delivery thread's edge: the callbacks of later batches must run
        logger.exception("dead letters of %s-%d are lost", topic, r.partition.index)
