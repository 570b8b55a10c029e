from kproducer._core.csrc cimport int64_t, kp_core, kp_handle, kp_msg, kp_pump, kp_topic, uint32_t

cdef class Pump:
    cdef kp_core *core
    cdef kp_pump *pump
    cdef kp_handle wake_read, wake_write, event_read, event_write
    cdef object _codec_source
    cdef dict _adopted
    cdef object __weakref__
    cdef readonly unsigned long delivery_thread
    cdef readonly unsigned long control_thread
    cdef readonly bint has_listeners
    cdef object _start_delivery
    cdef object dead_letters
    cdef bint is_forked(self) noexcept
    cdef kp_topic *topic_named(self, str name) except NULL
    cdef int command(self, kp_msg *m) except -1
    cdef int first_listener(self) except -1
    cdef int refuse_in_transaction(self, uint32_t gen, kp_topic *topic, error) except -1
    cdef void count_time(self, int counter, int64_t began) noexcept
    cdef int refuse_own_threads(self, str verb) except -1
    cdef int refuse_control_thread(self, str verb) except -1

cdef Pump pump_of(kp_core *core)
