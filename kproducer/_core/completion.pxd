from kproducer._core.csrc cimport int32_t, int64_t, kp_many, kp_result
from kproducer._core.pump cimport Pump

cdef class RecordFuture:
    cdef Pump pump
    cdef kp_result *result_
    cdef int32_t index
    cdef int32_t key_size
    cdef int32_t value_size
    cdef int64_t timestamp_ms
    cdef bint is_asked
    cdef int wait(self, timeout) except -1
    cdef int check_made(self) except -1
    cdef int listen(self, fn) except -1
    cdef object outcome(self)

cdef class SendManyResult:
    cdef Pump pump
    cdef kp_many many
    cdef bint is_asked
    cdef int note(self, kp_result *result, int32_t partition, int32_t index, int32_t n) except -1
    cdef list delivered(self)
