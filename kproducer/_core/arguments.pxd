from kproducer._core.csrc cimport int32_t, int64_t

cdef bytes encode_headers(headers)
cdef int64_t timestamp_of(value) except -1
cdef int32_t partition_of(value) except -1
