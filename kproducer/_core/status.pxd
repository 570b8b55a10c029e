from kproducer._core.csrc cimport kp_core, kp_result, kp_status, kp_topic, int32_t

cdef int check(kp_status status) except -1
cdef object make_error(int code, str message, dict facts)
cdef object failure_of(kp_result *r, int32_t index)
cdef object fatal_of(kp_core *core)
cdef int raise_life(kp_core *core) except -1
cdef int raise_no_transaction(kp_core *core) except -1
cdef object topic_failure(kp_topic *topic, str name)
cdef str text_or_none(const char *text)
