# cython: language_level=3, freethreading_compatible=True
"""Records of batches that were refused for good, out of the bytes that the pump kept of them."""
import logging

from libc.stdint cimport int32_t, uint8_t

from kproducer._core.arguments cimport bytes_or_none, decode_headers
from kproducer._core.csrc cimport (
    kp_dead_letters_next,
    kp_dead_letters_release,
    kp_record,
    kp_result,
)
from kproducer._core.status cimport failure_of

from kproducer._core.letters import DeadLetter

cdef object logger = logging.getLogger("kproducer.dead_letters")


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
                                      decode_headers(&record), error))
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
