from kproducer._core.csrc cimport int32_t, int64_t, kp_result
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

ctypedef struct Run:
    kp_result *result
    int32_t first
    int32_t n

cdef class SendManyResult:
    cdef Pump pump
    cdef readonly Py_ssize_t count
    cdef Run *runs
    cdef Py_ssize_t n_runs
    cdef Py_ssize_t cap_runs
    cdef kp_result **held  # by partition: the batch that its last record went to
    cdef Py_ssize_t *run_of
    cdef int32_t n_held
    cdef bint is_asked
    cdef dict settled_offsets
    cdef int note(self, kp_result *result, int32_t partition, int32_t index, int32_t n) except -1
    cdef int make_room(self, kp_result *result, int32_t partition) except -1
    cdef int forget_delivered(self) except -1
