from kproducer._core.csrc cimport int32_t, int64_t, kp_record, uint8_t

cdef int check_callback(str what, fn) except -1
cdef bytes encode_headers(headers)
cdef tuple decode_headers(const kp_record *record)
cdef object bytes_or_none(const uint8_t *data, int64_t n)
cdef int64_t timestamp_of(value) except -1
cdef int32_t partition_of(value) except -1
