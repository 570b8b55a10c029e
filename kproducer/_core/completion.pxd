from kproducer._core.csrc cimport int32_t, int64_t, kp_many, kp_result

cdef class RecordFuture:
    # Nothing that the garbage collector follows: it would walk through all that are kept, again and again.
    cdef str topic  # None: not at hand when it was made
    cdef kp_result *result_
    cdef int64_t timestamp_ms
    cdef int32_t index
    cdef int32_t key_size
    cdef int32_t value_size
    cdef bint is_asked
    cdef int wait(self, timeout) except -1
    cdef int check_made(self) except -1
    cdef int listen(self, fn) except -1
    cdef int call_now(self, fn) except -1
    cdef kp_result *asked(self, int32_t *index) noexcept

cdef class SendManyResult:
    cdef kp_many many
    cdef bint is_asked
    cdef int note(self, kp_result *result, int32_t partition, int32_t index, int32_t n) except -1
    cdef list delivered(self)
