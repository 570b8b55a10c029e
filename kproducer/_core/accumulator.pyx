# cython: language_level=3, freethreading_compatible=True
"""The hot path: arguments of send() into a C record, and that into the open batch of its partition."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memset

from kproducer._core.arguments cimport check_callback, encode_headers, partition_of, timestamp_of
from kproducer._core.columns cimport Rows, make_rows
from kproducer._core.completion cimport RecordFuture, SendManyResult
from kproducer._core.csrc cimport (
    KP_AGAIN,
    KP_CLOSING,
    KP_C_metadata_wait_ns,
    KP_ERR_CLOSED,
    KP_ERR_IO,
    KP_ERR_STATE,
    KP_ERR_TOO_LARGE,
    KP_FULL,
    KP_NOW,
    KP_OK,
    KP_OPEN,
    KP_RECORD_MAX,
    kp_append,
    kp_append_heard,
    kp_append_options,
    kp_append_plain,
    kp_append_records,
    kp_append_run,
    kp_clock_ns,
    kp_core,
    kp_core_hurry,
    kp_core_life,
    kp_listener,
    kp_place,
    kp_pool_give,
    kp_pool_wait,
    kp_pool_wait_begin,
    kp_pool_wait_end,
    kp_pool_waiter,
    kp_record,
    kp_record_limit,
    kp_row_block,
    kp_slice,
    kp_status,
    kp_topic_live,
    kp_topic_wait,
    kp_topic_want,
    kp_txn_check,
    kp_txn_current,
)
from kproducer._core.pump cimport Pump
from kproducer._core.status cimport check, raise_life, raise_no_transaction, topic_failure

import re

from kproducer._core.columns import is_column
from kproducer._core.turn import between_instructions
from kproducer.errors import (
    BufferExhaustedError,
    InvalidTopicError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    RecordTooLargeError,
    SerializationError,
)
from kproducer.types import ProducerRecord

cdef extern from "Python.h":
    ctypedef PyObject *(*PyCFunction)(PyObject *, PyObject *)
    ctypedef struct PyTypeObject:
        PyObject *tp_dict
    ctypedef struct PyMethodDef:
        const char *ml_name
        PyCFunction ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    int METH_KEYWORDS
    object PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method)
    void PyType_Modified(PyTypeObject *type)
    object PyObject_Call(object function, tuple args, dict keywords)
    bint PyBytes_CheckExact(PyObject *o)
    bint PyUnicode_CheckExact(PyObject *o)
    PyObject *PyDict_GetItem(object dict, PyObject *key)
    PyObject *PyTuple_GET_ITEM(PyObject *tuple, Py_ssize_t i)
    Py_ssize_t PyTuple_GET_SIZE(PyObject *tuple)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)
    PyObject *PySequence_Fast_GET_ITEM(object sequence, Py_ssize_t i)

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define KP_IS_FREE_THREADED 1
    #else
    #define KP_IS_FREE_THREADED 0
    #endif
    """
    bint IS_FREE_THREADED "KP_IS_FREE_THREADED"

cdef enum:
    RUN = 64  # values that are looked at before the first of them is appended

cdef int64_t SLICE_NS = 100 * 1000000
cdef int64_t TURN_NS = 1000000  # how long a long call may overlook a signal, or a thread that asks for the GIL
cdef object TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


cdef class TopicHandle:
    """A checked topic name and its place in the core; made once for each topic."""


def check_topic(name):
    """Return a legal topic name as an exact str; raise TypeError or InvalidTopicError."""
    if not isinstance(name, str):
        raise TypeError(f"topic must be str, not {type(name).__name__}")
    exact = str.__str__(name)  # str() would ask a subclass, and an enum answers with another text
    if not TOPIC_NAME.fullmatch(exact) or exact in (".", ".."):
        raise InvalidTopicError(
            f"topic {exact[:260]!r}: must be 1 to 249 characters of a-z A-Z 0-9 . _ - and not . or ..")
    return exact


cdef TopicHandle NO_HANDLE = TopicHandle.__new__(TopicHandle)
NO_HANDLE.name = "".join(("no", " topic"))  # an object of our own: names are compared by identity first


cdef TopicHandle make_handle(Pump pump, name):
    cdef TopicHandle handle = <TopicHandle>TopicHandle.__new__(TopicHandle)
    handle.name = check_topic(name)
    handle.topic = pump.topic_named(handle.name)
    return handle


# --- checks ---

cdef int refuse_beside_record(value, key, headers, partition, timestamp_ms) except -1:
    given = (value, key, headers, partition, timestamp_ms)
    for name, argument in zip(ProducerRecord._fields[1:], given):
        if argument is not None:
            raise TypeError(f"{name} was given beside a ProducerRecord, which stands for all arguments but on_delivery")
    return 0


cdef object bytes_wanted(str what, value):
    return TypeError(f"{what} must be bytes-like or None, not {type(value).__name__}; "
                     f"give {what}_serializer for other types")


# --- the appender ---

cdef class RecordAppender:
    """The sending half of KafkaProducer; the rest is plain Python on top of it."""

    def __cinit__(self):
        self._handles = {}
        self._last = <PyObject *>NO_HANDLE

    def _set_up(self, Pump pump, max_block_ms, prepare, explain_topic, explain_buffer, *, bint raises_when_full=False,
                interceptors=None, bint has_serializer=False):
        """Wire the appender once, at construction.

        prepare: None, or (topic, value, key, headers, partition, partitions known) -> (value, key, partition) when
            there is a serializer or a partitioner: the path is chosen here, not per record.
        explain_topic: topic name -> the last KafkaError of its metadata, or None. explain_buffer: () -> str.
        raises_when_full: not to wait for buffer.memory.
        interceptors: None, or the InterceptorChain that sees each record first.
        has_serializer: which wants the items of a column as they are, so send_many() hands none over.
        """
        self._has_serializer = has_serializer
        self._pump = pump
        self._max_block_ns = <int64_t>max_block_ms * 1000000
        self._prepare = prepare
        self._interceptors = interceptors
        self._is_plain = prepare is None and interceptors is None
        self._explain_topic = explain_topic
        self._explain_buffer = explain_buffer
        self._raises_when_full = raises_when_full
        self._is_ready = True

    cdef TopicHandle known_handle(self, topic):
        """The handle of a topic that was asked for before, else None; runs nobody's code."""
        return <TopicHandle>self._handles.get(topic) if type(topic) is str else None

    cdef TopicHandle handle(self, topic):
        cdef PyObject *last = self._last  # one object holds name and topic: two threads cannot mix them up
        if topic is (<TopicHandle>last).name:
            return <TopicHandle>last
        cdef TopicHandle found = self.known_handle(topic)
        if found is None:
            found = self.new_handle(topic)
            found = <TopicHandle>self._handles.setdefault(found.name, found)  # another thread's, if it came first
        self._last = <PyObject *>found
        return found

    cdef TopicHandle new_handle(self, topic):
        cdef uint32_t gen = kp_txn_current(self._pump.core)
        try:
            return make_handle(self._pump, topic)
        except KafkaError as error:
            self._pump.refuse_in_transaction(gen, NULL, error)
            raise

    cdef bint append_plain(self, PyObject *topic, PyObject *value, PyObject *key, kp_place *place) noexcept:
        """The common case: bytes to a known topic with room in its open batch. False: nothing was taken."""
        cdef kp_slice key_bytes
        cdef kp_topic *known = plain_topic(self, topic, value)
        if known is NULL or not read_key(key, &key_bytes):
            return False
        return kp_append_plain(known, key_bytes.data, key_bytes.len, <const uint8_t *>PyBytes_AS_STRING(<object>value),
                               PyBytes_GET_SIZE(<object>value), place) == KP_OK

    cdef bint append_heard(self, PyObject *topic, PyObject *value, PyObject *key, PyObject *on_delivery,
                           kp_place *place) noexcept:
        """The same with a callback that was checked with an earlier record."""
        cdef kp_listener listener
        cdef kp_slice key_bytes
        cdef kp_topic *known = plain_topic(self, topic, value)
        if known is NULL or not read_key(key, &key_bytes):
            return False
        listener.object = on_delivery
        listener.key_size = <int32_t>key_bytes.len
        listener.value_size = <int32_t>PyBytes_GET_SIZE(<object>value)
        Py_INCREF(<object>on_delivery)  # the delivery thread's, once the record is in
        if kp_append_heard(known, key_bytes.data, key_bytes.len, <const uint8_t *>PyBytes_AS_STRING(<object>value),
                           PyBytes_GET_SIZE(<object>value), &listener, place) == KP_OK:
            return True
        Py_DECREF(<object>on_delivery)  # the caller holds another
        return False

    cdef int append_for(self, RecordFuture future, topic, value, key, headers, partition, timestamp_ms,
                        on_delivery) except -1:
        """Append, and tell the future which record is its own."""
        cdef kp_append_options options
        cdef kp_place place
        cdef kp_record record
        if type(topic) is ProducerRecord:
            refuse_beside_record(value, key, headers, partition, timestamp_ms)
            return self.append_for(future, topic[0], topic[1], topic[2], topic[3], topic[4], topic[5], on_delivery)
        memset(&options, 0, sizeof(options))
        options.want_result = True
        self.append(topic, value, key, headers, partition, timestamp_ms, on_delivery, &options, &place, &record)
        fill_future(future, &place, record.key_len, record.value_len)
        future.is_asked = on_delivery is not None  # which hears of a failure even if the future is dropped
        return 0

    cdef int append_alone(self, topic, value, key, headers, partition, timestamp_ms, on_delivery) except -1:
        cdef kp_append_options options
        cdef kp_place place
        cdef kp_record record
        if type(topic) is ProducerRecord:
            refuse_beside_record(value, key, headers, partition, timestamp_ms)
            return self.append_alone(topic[0], topic[1], topic[2], topic[3], topic[4], topic[5], on_delivery)
        memset(&options, 0, sizeof(options))
        return self.append(topic, value, key, headers, partition, timestamp_ms, on_delivery, &options, &place, &record)

    def send_many(self, topic, values, keys=None, headers=None, partition=None, timestamp_ms=None):
        """Append many records and return one SendManyResult. See KafkaProducer."""
        if type(values) is not list and not self._has_serializer and is_column(values) \
                and (keys is None or is_column(keys)):
            return self.send_columns(topic, values, keys, headers, partition, timestamp_ms)
        if isinstance(values, (str, bytes, bytearray)):
            raise TypeError(f"values must be an iterable of values, not {type(values).__name__}: put one into a list")
        cdef SendManyResult result = <SendManyResult>SendManyResult.__new__(SendManyResult)
        try:
            if self._is_plain and keys is None and headers is None and partition is None and timestamp_ms is None \
                    and (type(values) is list or type(values) is tuple):
                self.append_sequence(topic, values, result)
            else:
                self.append_each(topic, values, keys, headers, partition, timestamp_ms, result)
        except BaseException as error:
            tell_accepted(error, "send_many", result)
            raise
        return result

    cdef int append_each(self, topic, values, keys, headers, partition, timestamp_ms, SendManyResult result) except -1:
        cdef bint has_keys = keys is not None
        cdef object end = object()
        cdef int64_t turn_ends = 0
        key_iterator = iter(keys) if has_keys else None
        key = None
        for value in values:
            if has_keys:
                key = next(key_iterator, end)
                if key is end:
                    raise ValueError("keys has fewer items than values")
            self.append_noted(topic, value, key, headers, partition, timestamp_ms, result)
            turn_ends = take_turn(turn_ends)  # last, so that what it raises leaves no item taken and not sent
        if has_keys and next(key_iterator, end) is not end:
            raise ValueError("keys has more items than values")
        return 0

    cdef int append_noted(self, topic, value, key, headers, partition, timestamp_ms, SendManyResult result) except -1:
        cdef kp_append_options options
        cdef kp_place place
        cdef kp_record record
        memset(&options, 0, sizeof(options))
        options.want_result = True
        options.held = result.many.held
        options.n_held = result.many.n_partitions
        self.append(topic, value, key, headers, partition, timestamp_ms, None, &options, &place, &record)
        result.note(place.result, place.partition, place.index, 1)
        return 0

    cdef int append_sequence(self, topic, values, SendManyResult result) except -1:
        """Values without anything else, a run of them at a time; what stops a run is appended alone."""
        cdef kp_slice run[RUN]
        cdef Py_ssize_t at = 0
        cdef int32_t n, done
        cdef int64_t turn_ends = 0
        cdef PyObject *value
        cdef TopicHandle handle = None
        if IS_FREE_THREADED:
            values = tuple(values)  # what a run borrows, another thread may otherwise take out of the list
        while at < PySequence_Fast_GET_SIZE(values):
            turn_ends = take_turn(turn_ends)
            if at >= PySequence_Fast_GET_SIZE(values):
                break  # the list was cut meanwhile
            if handle is None:
                handle = self.known_handle(topic)  # before a run, in which nothing may run that changes the list
            n = 0
            while n < RUN and at + n < PySequence_Fast_GET_SIZE(values):
                value = PySequence_Fast_GET_ITEM(values, at + n)
                if not PyBytes_CheckExact(value):
                    break
                run[n].data = <const uint8_t *>PyBytes_AS_STRING(<object>value)
                run[n].len = PyBytes_GET_SIZE(<object>value)
                n += 1
            done = self.append_run(handle, run, n, result) if n > 0 and handle is not None else 0
            if done == 0:
                alone = <object>PySequence_Fast_GET_ITEM(values, at)  # ours: the list may lose it while we wait
                self.append_noted(topic, alone, None, None, None, None, result)
                done = 1
            at += done
        return 0

    cdef int32_t append_run(self, TopicHandle handle, const kp_slice *run, int32_t n, SendManyResult result) except -1:
        cdef kp_append_options options
        cdef kp_place place
        cdef int32_t done
        memset(&options, 0, sizeof(options))
        options.want_result = True
        options.held = result.many.held
        options.n_held = result.many.n_partitions
        done = kp_append_run(handle.topic, run, n, &options, &place)
        if done > 0:
            result.note(place.result, place.partition, place.index, done)
        return done

    def send_lines(self, topic, data, headers=None, partition=None, timestamp_ms=None):
        """Append each line of a bytes-like block and return one SendManyResult. See KafkaProducer."""
        cdef SendManyResult result = <SendManyResult>SendManyResult.__new__(SendManyResult)
        cdef Py_buffer view
        if not self._is_ready:
            raise_uninitialised()
        if kp_core_life(self._pump.core) != KP_OPEN:
            raise_life(self._pump.core)
        borrow_block(data, &view)
        try:
            if self._is_plain:
                self.append_lines(self.handle(topic), <const char *>view.buf, view.len, headers, partition,
                                  timestamp_ms, result)
                return result
            lines = PyBytes_FromStringAndSize(<const char *>view.buf, view.len).split(b"\n")
        except BaseException as error:
            tell_accepted(error, "send_lines", result)
            raise
        finally:
            PyBuffer_Release(&view)
        if not lines[len(lines) - 1]:
            lines.pop()
        return self.send_many(topic, lines, None, headers, partition, timestamp_ms)  # whose steps want objects

    cdef int append_lines(self, TopicHandle handle, const char *data, Py_ssize_t size, headers, partition, timestamp_ms,
                          SendManyResult result) except -1:
        cdef kp_slice run[RUN]
        cdef const char *end = data + size
        cdef int32_t n = 0
        cdef int32_t at = 0
        cdef int32_t done
        cdef int64_t turn_ends = 0
        cdef bint is_plain = headers is None and partition is None and timestamp_ms is None
        cdef int32_t wanted = -1 if partition is None else partition_of(partition)
        cdef kp_record common  # what every line has
        memset(&common, 0, sizeof(common))
        common.timestamp_ms = KP_NOW if timestamp_ms is None else timestamp_of(timestamp_ms)
        common.key_len = -1
        _encoded = set_headers(&common, headers)  # lives as long as this call
        while at < n or data < end:
            if at == n:
                turn_ends = take_turn(turn_ends)
                data = split_lines(data, end, run, &n)
                at = 0
            done = self.append_run(handle, run + at, n - at, result) if is_plain else 0
            if done == 0:
                self.append_line(handle, &run[at], &common, wanted, result)
                done = 1
            at += done
        return 0

    def send_columns(self, topic, values, keys=None, headers=None, partitions=None, timestamps_ms=None):
        """Append a record for each row of columns and return one SendManyResult. See KafkaProducer."""
        cdef SendManyResult result = <SendManyResult>SendManyResult.__new__(SendManyResult)
        cdef TopicHandle handle
        cdef Rows rows
        if not self._is_ready:
            raise_uninitialised()
        if kp_core_life(self._pump.core) != KP_OPEN:
            raise_life(self._pump.core)
        handle = self.handle(topic)
        rows = make_rows(handle.name, values, keys, headers, partitions, timestamps_ms,
                         kp_record_limit(self._pump.core) if self._is_plain else KP_RECORD_MAX)
        try:
            if self._is_plain:
                self.append_rows(handle, rows, result)
            else:
                self.append_row_objects(rows, result)
        except BaseException as error:
            tell_accepted(error, "send_columns", result)
            raise
        return result

    cdef int append_rows(self, TopicHandle handle, Rows rows, SendManyResult result) except -1:
        """A block at a time; what csrc leaves is not the usual case and appended alone."""
        cdef kp_row_block *block = &rows.block
        cdef int64_t turn_ends = 0
        cdef int32_t at
        rows.read_block()
        while block.n > 0:
            at = 0
            while at < block.n:
                at += kp_append_records(handle.topic, block.records + at, block.partitions + at, block.n - at,
                                        &result.many)
                if at < block.n:
                    self.append_row(handle, block.records + at, block.partitions[at], result)
                    at += 1
            turn_ends = take_turn(turn_ends)
            rows.read_block()
        return 0

    cdef int append_row(self, TopicHandle handle, kp_record *record, int32_t partition,
                        SendManyResult result) except -1:
        cdef kp_append_options options
        cdef kp_place place
        memset(&options, 0, sizeof(options))
        options.want_result = True
        options.held = result.many.held
        options.n_held = result.many.n_partitions
        options.partition = partition
        self.append_or_wait(handle, &options, &place, record)
        return result.note(place.result, place.partition, place.index, 1)

    cdef int append_row_objects(self, Rows rows, SendManyResult result) except -1:
        """An interceptor, serializer or partitioner wants each row as an object."""
        for record in rows:
            self.append_noted(record[0], record[1], record[2], record[3], record[4], record[5], result)
        return 0

    cdef int append_line(self, TopicHandle handle, const kp_slice *line, const kp_record *common, int32_t partition,
                         SendManyResult result) except -1:
        cdef kp_record record = common[0]
        record.value = line.data
        record.value_len = line.len
        return self.append_row(handle, &record, partition, result)

    cdef int append(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                    kp_append_options *options, kp_place *place, kp_record *record) except -1:
        if not self._is_ready:
            raise_uninitialised()
        if kp_core_life(self._pump.core) != KP_OPEN:
            raise_life(self._pump.core)
        if kp_txn_check(self._pump.core) != KP_OK:
            raise_no_transaction(self._pump.core)
        if self._is_plain:
            return self.append_prepared(self.handle(topic), value, key, headers, partition, timestamp_ms, on_delivery,
                                        options, place, record)
        if self._interceptors is None:
            return self.append_object(topic, value, key, headers, partition, timestamp_ms, on_delivery, options, place,
                                      record)
        return self.append_intercepted(topic, value, key, headers, partition, timestamp_ms, on_delivery, options, place,
                                       record)

    cdef int append_intercepted(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                                kp_append_options *options, kp_place *place, kp_record *record) except -1:
        """Interceptors may change all of a record, and hear of its outcome even if it is refused here."""
        if on_delivery is not None:
            check_callback("on_delivery", on_delivery)  # wrapped from here on
        sent = self._interceptors.on_send(ProducerRecord(topic, value, key, headers, partition, timestamp_ms))
        options.only_notes = on_delivery is None
        try:
            return self.append_object(sent.topic, sent.value, sent.key, sent.headers, sent.partition,
                                      sent.timestamp_ms, self._interceptors.listener(sent, on_delivery), options,
                                      place, record)
        except BaseException as error:  # Ctrl-C in a wait too
            self._interceptors.on_send_error(sent, error)
            raise

    cdef int append_object(self, topic, value, key, headers, partition, timestamp_ms, on_delivery,
                           kp_append_options *options, kp_place *place, kp_record *record) except -1:
        cdef TopicHandle handle = self.handle(topic)
        ready = self.prepared(handle, value, key, headers, partition)
        return self.append_prepared(handle, ready[0], ready[1], headers, ready[2], timestamp_ms, on_delivery, options,
                                    place, record)

    cdef object prepared(self, TopicHandle handle, value, key, headers, partition):
        """What serializers and partitioner make of a record; a partitioner may wait for metadata in vain."""
        if self._prepare is None:
            return value, key, partition
        cdef uint32_t gen = kp_txn_current(self._pump.core)
        try:
            return self._prepare(handle.name, value, key, headers, partition, kp_topic_live(handle.topic))
        except (IllegalStateError, SerializationError):
            raise
        except KafkaError as error:
            self._pump.refuse_in_transaction(gen, handle.topic, error)
            raise

    cdef int append_prepared(self, TopicHandle handle, value, key, headers, partition, timestamp_ms, on_delivery,
                             kp_append_options *options, kp_place *place, kp_record *record) except -1:
        options.partition = -1 if partition is None else partition_of(partition)
        record.timestamp_ms = KP_NOW if timestamp_ms is None else timestamp_of(timestamp_ms)
        _encoded = set_headers(record, headers)  # lives as long as this call
        return self.append_bytes(handle, value, key, on_delivery, options, place, record)

    cdef int append_bytes(self, TopicHandle handle, value, key, on_delivery, kp_append_options *options,
                          kp_place *place, kp_record *record) except -1:
        """Key and value as bytes: exact bytes are borrowed, other buffers are held for the append."""
        cdef Py_buffer key_view
        cdef Py_buffer value_view
        cdef bint has_key_view = False
        cdef bint has_value_view = False
        try:
            if type(key) is bytes:
                record.key = <const uint8_t *>PyBytes_AS_STRING(key)
                record.key_len = PyBytes_GET_SIZE(key)
            elif key is None:
                record.key = NULL
                record.key_len = -1
            else:
                borrow("key", key, &key_view, &record.key, &record.key_len)
                has_key_view = True
            if type(value) is bytes:
                record.value = <const uint8_t *>PyBytes_AS_STRING(value)
                record.value_len = PyBytes_GET_SIZE(value)
            elif value is None:
                record.value = NULL
                record.value_len = -1
            else:
                borrow("value", value, &value_view, &record.value, &record.value_len)
                has_value_view = True
            if on_delivery is None:
                return self.append_or_wait(handle, options, place, record)
            return self.listen_and_append(handle, on_delivery, options, place, record)
        finally:
            if has_key_view:
                PyBuffer_Release(&key_view)
            if has_value_view:
                PyBuffer_Release(&value_view)

    cdef int listen_and_append(self, TopicHandle handle, on_delivery, kp_append_options *options,
                               kp_place *place, kp_record *record) except -1:
        cdef kp_listener listener
        if on_delivery is not self._checked_callback:
            check_callback("on_delivery", on_delivery)
            if not self._pump.has_listeners:
                self._pump.first_listener()
            self.remember_checked(on_delivery)
        listener.object = <void *>on_delivery
        listener.key_size = <int32_t>record.key_len
        listener.value_size = <int32_t>record.value_len
        options.listener = &listener
        Py_INCREF(on_delivery)  # the delivery thread's, once the record is in
        try:
            return self.append_or_wait(handle, options, place, record)
        except BaseException:
            Py_DECREF(on_delivery)
            raise

    cdef int remember_checked(self, on_delivery) except -1:
        """Keep a callback that need not be checked again; the one before goes last, since its end may call send()."""
        with cython.critical_section(self):
            _before = self._checked_callback
            self._checked_callback = on_delivery
        return 0

    cdef int append_or_wait(self, TopicHandle handle, kp_append_options *options, kp_place *place,
                            kp_record *record) except -1:
        cdef size_t needed = 0
        cdef kp_status status = kp_append(handle.topic, record, options, place, &needed)
        if status == KP_OK:
            return 0
        cdef uint32_t gen = kp_txn_current(self._pump.core)
        options.txn_gen = gen  # the wait may outlast the transaction
        try:
            return self.wait_and_append(status, needed, handle, options, place, record)
        except IllegalStateError:
            raise
        except KafkaError as error:  # a transaction without this record is not the one that was asked for
            self._pump.refuse_in_transaction(gen, handle.topic, error)
            raise

    cdef int wait_and_append(self, kp_status status, size_t needed, TopicHandle handle, kp_append_options *options,
                             kp_place *place, kp_record *record) except -1:
        cdef int64_t deadline = kp_clock_ns() + self._max_block_ns
        while status != KP_OK:
            if status == KP_AGAIN:
                self.wait_for_topic(handle, max(0, options.partition), deadline)
                status = kp_append(handle.topic, record, options, place, &needed)
            elif status == KP_FULL:
                # The past as the deadline: the pump is told, and an error raised unless memory just got free.
                status = <kp_status>self.wait_for_memory(handle, options, place, record, needed,
                                                         0 if self._raises_when_full else deadline)
            elif status == KP_ERR_CLOSED:
                raise_life(self._pump.core)
            elif status == KP_ERR_STATE:
                raise_no_transaction(self._pump.core)
            elif status == KP_ERR_TOO_LARGE:
                raise too_large(self._pump, handle, record)
            else:
                check(status)
        return 0

    cdef int wait_for_topic(self, TopicHandle handle, int32_t partition, int64_t deadline) except -1:
        cdef kp_status status = KP_AGAIN
        cdef uint64_t error_gen
        cdef int64_t slice_end, began
        self._pump.refuse_control_thread("send() to a topic without metadata")
        error_gen = kp_topic_want(handle.topic, partition + 1)
        began = kp_clock_ns()
        try:
            while status == KP_AGAIN:
                slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
                with nogil:
                    status = kp_topic_wait(handle.topic, partition, error_gen, slice_end)
                if status == KP_AGAIN:
                    PyErr_CheckSignals()
                    if kp_clock_ns() >= deadline:
                        raise self._topic_timeout(handle, partition)
        finally:
            self._pump.count_time(KP_C_metadata_wait_ns, began)
        if status == KP_ERR_IO:
            raise topic_failure(handle.topic, handle.name)
        if status == KP_ERR_CLOSED:
            raise_life(self._pump.core)
        return 0

    def _topic_timeout(self, TopicHandle handle, partition):
        known = kp_topic_live(handle.topic)
        what = "has no metadata" if known == 0 else f"has {known} partitions, so no partition {partition},"
        cause = self._explain_topic(handle.name)
        because = "" if cause is None else f": {cause}"
        error = KafkaTimeoutError(f"topic {handle.name!r} {what} after max.block.ms={self._max_block_ns // 1000000}"
                                  f"{because}", topic=handle.name, persisted="no")
        error.__cause__ = cause if isinstance(cause, BaseException) else None
        return error

    cdef int wait_for_memory(self, TopicHandle handle, kp_append_options *options, kp_place *place,
                             kp_record *record, size_t needed, int64_t deadline) except -1:
        """Wait for buffer.memory in order of arrival, then append with what was granted: KP_OK, or KP_AGAIN."""
        cdef kp_pool_waiter waiter
        cdef kp_status status = KP_AGAIN
        cdef int64_t slice_end
        cdef bint timed_out = False
        cdef kp_core *core = self._pump.core
        self._pump.refuse_control_thread("send() while buffer.memory is used up")
        kp_pool_wait_begin(&core.pool, &waiter, needed)
        try:
            kp_core_hurry(core)
            while status == KP_AGAIN and not timed_out:
                slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
                with nogil:
                    status = kp_pool_wait(&core.pool, &waiter, slice_end)
                if status == KP_AGAIN:
                    PyErr_CheckSignals()
                    timed_out = kp_clock_ns() >= deadline
            if status == KP_OK:
                options.spare = &waiter.granted
                status = kp_append(handle.topic, record, options, place, &needed)
        finally:
            options.spare = NULL
            kp_pool_wait_end(&core.pool, &waiter, timed_out)
            kp_pool_give(&core.pool, &waiter.granted)
        if timed_out:
            raise self._buffer_timeout(handle, needed)
        if status == KP_ERR_CLOSED:
            raise_life(self._pump.core)
        if status == KP_ERR_STATE:
            raise_no_transaction(self._pump.core)
        check(status)
        return status  # KP_AGAIN: meanwhile the topic was made again, with fewer partitions

    def _buffer_timeout(self, TopicHandle handle, needed):
        what = "are not free (buffer.full.policy=raise)"
        if not self._raises_when_full:
            what = f"did not get free in max.block.ms={self._max_block_ns // 1000000}"
        return BufferExhaustedError(
            f"{needed} bytes for topic {handle.name!r} {what}; buffer.memory={self._pump.core.pool.limit}. "
            f"{self._explain_buffer()}", topic=handle.name, persisted="no")


# --- send() and produce(), as the interpreter calls them ---
#
# A def method takes a reference to each of seven arguments and drops it again, which costs more than the append of a
# small record. So these two read their arguments in place; a call that is not the usual one goes to a def function.

cdef tuple PARAMETERS = ("topic", "value", "key", "headers", "partition", "timestamp_ms", "on_delivery")
cdef enum:
    N_PARAMETERS = 7


cdef bint place_arguments(PyObject **args, Py_ssize_t n_args, PyObject *names, PyObject **placed) noexcept:
    """Sort arguments into the order of PARAMETERS; False: not in the usual way, perhaps not legally."""
    cdef Py_ssize_t i, k
    cdef PyObject *name
    if n_args > N_PARAMETERS:
        return False
    for i in range(N_PARAMETERS):
        placed[i] = args[i] if i < n_args else NULL
    for k in range(0 if names is NULL else PyTuple_GET_SIZE(names)):
        name = PyTuple_GET_ITEM(names, k)
        i = 0
        while i < N_PARAMETERS and name != PyTuple_GET_ITEM(<PyObject *>PARAMETERS, i):  # the compiler interns them
            i += 1
        if i == N_PARAMETERS or placed[i] is not NULL:
            return False
        placed[i] = args[n_args + k]
    if placed[0] is NULL:
        return False
    for i in range(1, N_PARAMETERS):
        if placed[i] is NULL:
            placed[i] = <PyObject *>None
    return True


cdef bint is_bare(PyObject **placed) noexcept:
    """Nothing beside topic, value, key and perhaps a callback."""
    cdef PyObject *none = <PyObject *>None
    return placed[3] == none and placed[4] == none and placed[5] == none


cdef bint append_usual(RecordAppender self, PyObject **placed, kp_place *place) noexcept:
    """One of the two common cases: without a callback, and with the one of an earlier record."""
    if not is_bare(placed):
        return False
    if placed[6] == <PyObject *>None:
        return self.append_plain(placed[0], placed[1], placed[2], place)
    return placed[6] == <PyObject *>self._checked_callback \
        and self.append_heard(placed[0], placed[1], placed[2], placed[6], place)


cdef object call_produce(RecordAppender self, PyObject **args, Py_ssize_t n_args, PyObject *names):
    cdef PyObject *placed[N_PARAMETERS]
    if names is NULL and n_args == 2:
        if self.append_plain(args[0], args[1], NULL, NULL):
            return None
    if not place_arguments(args, n_args, names, placed):
        return PyObject_Call(produce, with_self(self, args, n_args), keywords_of(args + n_args, names))
    if not append_usual(self, placed, NULL):
        self.append_alone(<object>placed[0], <object>placed[1], <object>placed[2], <object>placed[3],
                          <object>placed[4], <object>placed[5], <object>placed[6])
    return None


cdef object call_send(RecordAppender self, PyObject **args, Py_ssize_t n_args, PyObject *names):
    cdef PyObject *placed[N_PARAMETERS]
    cdef kp_place place
    if not place_arguments(args, n_args, names, placed):
        return PyObject_Call(send, with_self(self, args, n_args), keywords_of(args + n_args, names))
    future = new_future()
    if append_usual(self, placed, &place):
        fill_future(future, &place, size_of(placed[2]), size_of(placed[1]))
        future.topic = <str>placed[0]  # its very name, or the append had been another case
        future.is_asked = placed[6] != <PyObject *>None
    else:
        self.append_for(future, <object>placed[0], <object>placed[1], <object>placed[2], <object>placed[3],
                        <object>placed[4], <object>placed[5], <object>placed[6])
    return future


def produce(RecordAppender self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None,
            on_delivery=None):
    """What call_produce hands on: names that are not interned, and what is to be refused."""
    self.append_alone(topic, value, key, headers, partition, timestamp_ms, on_delivery)


def send(RecordAppender self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None,
         on_delivery=None):
    """What call_send hands on."""
    future = new_future()
    self.append_for(future, topic, value, key, headers, partition, timestamp_ms, on_delivery)
    return future


cdef tuple with_self(RecordAppender self, PyObject **args, Py_ssize_t n_args):
    return (self, *[<object>args[i] for i in range(n_args)])


cdef dict keywords_of(PyObject **values, PyObject *names):
    if names is NULL:
        return {}
    return {name: <object>values[i] for i, name in enumerate(<tuple>names)}


cdef inline kp_topic *plain_topic(RecordAppender self, PyObject *topic, PyObject *value) noexcept:
    """The topic of a value that is bytes and that nobody has to see or prepare; NULL: another case."""
    cdef PyObject *handle = self._last
    if not self._is_plain or not PyBytes_CheckExact(value):
        return NULL
    if topic != <PyObject *>(<TopicHandle>handle).name:
        handle = PyDict_GetItem(self._handles, topic) if PyUnicode_CheckExact(topic) else NULL
        if handle is NULL:
            return NULL
    return (<TopicHandle>handle).topic


cdef inline bint read_key(PyObject *key, kp_slice *found) noexcept:
    """NULL and None are no key; False: it is not bytes."""
    found.data = NULL
    found.len = -1
    if key is NULL or key == <PyObject *>None:
        return True
    if not PyBytes_CheckExact(key):
        return False
    found.data = <const uint8_t *>PyBytes_AS_STRING(<object>key)
    found.len = PyBytes_GET_SIZE(<object>key)
    return True


cdef inline Py_ssize_t size_of(PyObject *data) noexcept:
    return -1 if data == <PyObject *>None else PyBytes_GET_SIZE(<object>data)


cdef inline RecordFuture new_future():
    """Made before its record is appended: no memory for it is told while nothing was taken."""
    return <RecordFuture>RecordFuture.__new__(RecordFuture)


cdef inline void fill_future(RecordFuture future, const kp_place *place, Py_ssize_t key_size,
                             Py_ssize_t value_size) noexcept:
    future.result_ = place.result
    future.index = place.index
    future.key_size = <int32_t>key_size
    future.value_size = <int32_t>value_size
    future.timestamp_ms = place.timestamp_ms


cdef PyMethodDef METHODS[2]
METHODS[0] = PyMethodDef(
    "send", <PyCFunction><void *>call_send, METH_FASTCALL | METH_KEYWORDS,
    "send($self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None, on_delivery=None)"
    "\n--\n\n"
    "Append a record and return the RecordFuture of its outcome. See KafkaProducer.")
METHODS[1] = PyMethodDef(
    "produce", <PyCFunction><void *>call_produce, METH_FASTCALL | METH_KEYWORDS,
    "produce($self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None, on_delivery=None)"
    "\n--\n\n"
    "Append a record; failures without on_delivery are raised by the next flush(). See KafkaProducer.")


cdef int add_methods() except -1:
    cdef PyTypeObject *owner = <PyTypeObject *>RecordAppender
    for i in range(2):
        (<dict>owner.tp_dict)[METHODS[i].ml_name.decode()] = PyDescr_NewMethod(owner, &METHODS[i])
    PyType_Modified(owner)
    return 0


add_methods()


cdef class LetterAppender(RecordAppender):
    """Appends dead letters to their topic, also while the producer closes: a close waits for them."""

    def open(self, Pump pump, topic, max_block_ms, explain_topic, explain_buffer):
        """Wire the appender; failures of the topic's records make no dead letters from now on."""
        self._set_up(pump, max_block_ms, None, explain_topic, explain_buffer)
        self._letters = self.handle(topic)
        self._letters.topic.takes_dead_letters = True

    def want(self):
        """Ask for the topic's metadata, so that the first letter need not wait for it."""
        kp_topic_want(self._letters.topic, 1)

    def put(self, value, key, headers, on_delivery):
        """Append one letter, waiting up to max_block_ms for metadata and memory."""
        cdef kp_append_options options
        cdef kp_place place
        cdef kp_record record
        memset(&options, 0, sizeof(options))
        try:
            self.append_prepared(self._letters, value, key, headers, None, None, on_delivery, &options, &place, &record)
        except ProducerClosedError:  # the beginning of a close sends away all who stand in line for memory
            if kp_core_life(self._pump.core) != KP_CLOSING:
                raise
            self.append_prepared(self._letters, value, key, headers, None, None, on_delivery, &options, &place, &record)


cdef const char *split_lines(const char *data, const char *end, kp_slice *lines, int32_t *n) noexcept:
    """Fill up to RUN lines; where the next one begins."""
    cdef const char *stop
    n[0] = 0
    while n[0] < RUN and data < end:
        stop = <const char *>memchr(data, c"\n", end - data)
        if stop is NULL:
            stop = end
        lines[n[0]].data = <const uint8_t *>data
        lines[n[0]].len = stop - data
        n[0] += 1
        data = stop + 1
    return data


cdef int64_t take_turn(int64_t turn_ends) except -1:
    """Do what byte code does between instructions, now and then; until when it need not be done again."""
    cdef int64_t now = kp_clock_ns()
    if now < turn_ends:
        return turn_ends
    between_instructions()
    return now + TURN_NS


cdef int borrow(str what, value, Py_buffer *view, const uint8_t **data, int64_t *n) except -1:
    if isinstance(value, str):
        raise bytes_wanted(what, value)
    try:
        PyObject_GetBuffer(value, view, PyBUF_SIMPLE)
    except TypeError:
        raise bytes_wanted(what, value) from None
    except BufferError:
        raise TypeError(f"{what} must be contiguous: bytes({what}) copies it") from None
    data[0] = <const uint8_t *>view.buf
    n[0] = view.len
    return 0


cdef int borrow_block(data, Py_buffer *view) except -1:
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(f"data must be bytes-like, not {type(data).__name__}") from None
    except BufferError:
        raise TypeError("data must be contiguous: bytes(data) copies it") from None
    return 0


cdef object too_large(Pump pump, TopicHandle handle, const kp_record *record):
    size = sum(max(0, <object>n) for n in (record.key_len, record.value_len, record.headers_len))  # may exceed int64
    return RecordTooLargeError(
        f"record of {size} bytes (key, value, headers) for topic {handle.name!r}: with the batch's overhead of "
        f"about 100 bytes it exceeds min(max.request.size, buffer.memory)={kp_record_limit(pump.core)}",
        topic=handle.name, persisted="no")


cdef int tell_accepted(error, str call, SendManyResult result) except -1:
    """The records before the one that raised stay accepted: their outcomes are in `error.partial_result`."""
    error.add_note(f"{call}: the {result.count} records before it were accepted; see partial_result")
    error.partial_result = result
    return 0


cdef bytes set_headers(kp_record *record, headers):
    """The encoded headers, which the caller keeps for as long as the record is used."""
    record.headers = NULL
    record.headers_len = 0
    if not headers:
        return None
    encoded = encode_headers(headers)
    record.headers = <const uint8_t *>PyBytes_AS_STRING(encoded)
    record.headers_len = PyBytes_GET_SIZE(encoded)
    return encoded


cdef int raise_uninitialised() except -1:
    raise RuntimeError("KafkaProducer.__init__ was not called, or failed")
