from cpython.object cimport PyObject

from kproducer._core.csrc cimport (
    int32_t,
    int64_t,
    kp_append_options,
    kp_place,
    kp_record,
    kp_slice,
    kp_status,
    kp_topic,
)
from kproducer._core.columns cimport Rows
from kproducer._core.completion cimport RecordFuture, SendManyResult
from kproducer._core.pump cimport Pump

cdef class TopicHandle:
    cdef kp_topic *topic
    cdef str name

cdef class RecordAppender:
    cdef Pump _pump
    cdef dict _handles
    cdef PyObject *_last  # a TopicHandle of _handles, which holds it for good: a plain store, whatever threads do
    cdef object _prepare
    cdef object _interceptors
    cdef object _explain_topic
    cdef object _explain_buffer
    cdef object _checked_callback
    cdef int64_t _max_block_ns
    cdef bint _raises_when_full
    cdef bint _has_serializer
    cdef bint _is_ready
    cdef bint _is_plain  # nothing has to see or prepare a record
    cdef TopicHandle known_handle(self, topic)
    cdef TopicHandle handle(self, topic)
    cdef TopicHandle new_handle(self, topic)
    cdef bint append_plain(self, PyObject *topic, PyObject *value, PyObject *key, kp_place *place) noexcept
    cdef bint append_heard(self, PyObject *topic, PyObject *value, PyObject *key, PyObject *on_delivery,
                           kp_place *place) noexcept
    cdef int append_for(self, RecordFuture future, topic, value, key, headers, partition, timestamp_ms,
                        on_delivery) except -1
    cdef int append_alone(self, topic, value, key, headers, partition, timestamp_ms, on_delivery) except -1
    cdef int append(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                    kp_append_options *options, kp_place *place, kp_record *record) except -1
    cdef int append_each(self, topic, values, keys, headers, partition, timestamp_ms, SendManyResult result) except -1
    cdef int append_noted(self, topic, value, key, headers, partition, timestamp_ms, SendManyResult result) except -1
    cdef int append_sequence(self, topic, values, SendManyResult result) except -1
    cdef int32_t append_run(self, TopicHandle handle, const kp_slice *run, int32_t n, SendManyResult result) except -1
    cdef int append_lines(self, TopicHandle handle, const char *data, Py_ssize_t size, headers, partition, timestamp_ms,
                          SendManyResult result) except -1
    cdef int append_rows(self, TopicHandle handle, Rows rows, SendManyResult result) except -1
    cdef int append_row(self, TopicHandle handle, kp_record *record, int32_t partition, SendManyResult result) except -1
    cdef int append_row_objects(self, Rows rows, SendManyResult result) except -1
    cdef int append_line(self, TopicHandle handle, const kp_slice *line, const kp_record *common, int32_t partition,
                         SendManyResult result) except -1
    cdef int append_object(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                           kp_append_options *options, kp_place *place, kp_record *record) except -1
    cdef int append_intercepted(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                                kp_append_options *options, kp_place *place, kp_record *record) except -1
    cdef object prepared(self, TopicHandle handle, value, key, headers, partition)
    cdef int append_prepared(self, TopicHandle handle, value, key, headers, partition, timestamp_ms, on_delivery,
                             kp_append_options *options, kp_place *place, kp_record *record) except -1
    cdef int append_bytes(self, TopicHandle handle, value, key, headers, kp_append_options *options,
                          kp_place *place, kp_record *record) except -1
    cdef int listen_and_append(self, TopicHandle handle, on_delivery, kp_append_options *options,
                               kp_place *place, kp_record *record) except -1
    cdef int remember_checked(self, on_delivery) except -1
    cdef int append_or_wait(self, TopicHandle handle, kp_append_options *options, kp_place *place,
                            kp_record *record) except -1
    cdef int wait_and_append(self, kp_status status, size_t needed, TopicHandle handle, kp_append_options *options,
                             kp_place *place, kp_record *record) except -1
    cdef int wait_for_topic(self, TopicHandle handle, int32_t partition, int64_t deadline) except -1
    cdef int wait_for_memory(self, TopicHandle handle, kp_append_options *options, kp_place *place,
                             kp_record *record, size_t needed, int64_t deadline) except -1

cdef class LetterAppender(RecordAppender):
    cdef TopicHandle _letters
