from kproducer._core.csrc cimport kp_result

cdef void hand_over(sink, kp_result *r) noexcept
