# cython: language_level=3, freethreading_compatible=True
"""Outcomes for those who asked: a future is (result of the batch, index); callbacks run a list per turn."""
import asyncio
import logging
import threading

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free

from kproducer._core.arguments cimport check_callback
from kproducer._core.csrc cimport (
    KP_DELIVERED,
    KP_FAILED,
    KP_FORKED,
    KP_NEVER,
    KP_OK,
    KP_PENDING,
    c_bool,
    kp_clock_ns,
    kp_core_finished_done,
    kp_core_life,
    kp_core_take_finished,
    kp_listener,
    kp_many_delivered,
    kp_many_failed_rows,
    kp_many_free,
    kp_many_note,
    kp_many_spans,
    kp_partition,
    kp_result,
    kp_result_listen,
    kp_result_release,
    kp_result_resolve,
    kp_result_state,
    kp_result_unwatch,
    kp_result_wait,
    kp_status,
)
from kproducer._core.dead_letters cimport hand_over
from kproducer._core.pump cimport Pump
from kproducer._core.status cimport check, failure_of, raise_life

from kproducer.errors import KafkaTimeoutError
from kproducer.types import RecordMetadata

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_new)(PyTypeObject *type, object args, PyObject *keywords)

cdef int64_t SLICE_NS = 100 * 1000000
cdef object logger = logging.getLogger("kproducer.delivery")


cdef str topic_name(const kp_partition *partition):
    return partition.topic.name[:partition.topic.name_len].decode()


cdef str topic_of(const kp_result *r):
    return topic_name(r.partition)


cdef object metadata_of(kp_result *r, str topic, int32_t index, int64_t timestamp_ms, int32_t key_size,
                        int32_t value_size):
    """RecordMetadata of a delivered record; without its Python constructor, which takes three times as long."""
    cdef int64_t offset = -1 if r.base_offset < 0 else r.base_offset + index
    cdef bint by_broker = r.log_append_ms >= 0
    cdef int64_t stamp = r.log_append_ms if by_broker else timestamp_ms
    fields = (topic, r.partition.index, offset, stamp, 1 if by_broker else 0, key_size, value_size)
    return (<PyTypeObject *>tuple).tp_new(<PyTypeObject *>RecordMetadata, (fields,), NULL)


cdef int64_t deadline_of(timeout) except? -1:
    if timeout is None:
        return KP_NEVER
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:  # NaN too
        raise ValueError(f"timeout={timeout!r}: must be seconds >= 0, or None to wait for ever")
    if timeout > 1e9:
        return KP_NEVER
    return kp_clock_ns() + <int64_t>(timeout * 1e9)


cdef int wait_for(Pump pump, kp_result *r, int32_t index, int64_t deadline) except -1:
    """1 when settled, 0 when the deadline has passed."""
    cdef kp_status status
    cdef int64_t slice_end
    if pump.is_forked():
        raise_life(pump.core)
    while True:
        slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
        with nogil:
            status = kp_result_wait(pump.core, r, index, slice_end)
        if status == KP_OK:
            return 1
        PyErr_CheckSignals()
        if kp_clock_ns() >= deadline:
            return 0


@cython.freelist(1024)
cdef class RecordFuture:
    """What send() returns: the outcome of one record.

    Dropped without having been asked, its failure counts as unobserved and is raised by the next flush().
    """

    def __dealloc__(self):
        # Not through self.pump, which the garbage collector has taken from a future in a cycle.
        if self.result_ is NULL or kp_core_life(self.result_.core) == KP_FORKED:
            return
        if not self.is_asked:
            kp_result_unwatch(self.result_, self.index)
        kp_result_release(self.result_)

    def __init__(self):
        raise TypeError("futures are made by send()")

    def __reduce__(self):
        raise TypeError("a RecordFuture cannot be pickled or copied")

    cdef int check_made(self) except -1:
        if self.result_ is NULL:
            raise TypeError("futures are made by send()")
        if self.pump.is_forked():
            raise_life(self.pump.core)
        return 0

    cdef int wait(self, timeout) except -1:
        self.check_made()
        if not wait_for(self.pump, self.result_, self.index, deadline_of(timeout)):
            raise KafkaTimeoutError(f"no outcome within {timeout} s; the record is still on its way", persisted="maybe")
        return 0

    cdef object outcome(self):
        """(metadata, None) or (None, error); the record is settled, and from now on somebody knows."""
        self.is_asked = True
        cdef int32_t index = self.index
        cdef kp_result *r = kp_result_resolve(self.result_, &index)
        error = failure_of(r, index) if kp_result_state(r) == KP_FAILED else None
        if error is not None:
            return None, error
        return metadata_of(r, topic_of(r), index, self.timestamp_ms, self.key_size, self.value_size), None

    def done(self):
        """Whether the outcome is known."""
        cdef int32_t index = self.index
        self.check_made()
        return kp_result_state(kp_result_resolve(self.result_, &index)) != KP_PENDING

    def result(self, timeout=None):
        """Return the RecordMetadata, waiting up to `timeout` seconds (default None: for ever).

        Raises:
            KafkaTimeoutError: no outcome in time; the record is still on its way.
            KafkaError: the record failed.
        """
        self.wait(timeout)
        metadata, error = self.outcome()
        if error is not None:
            raise error
        return metadata

    def get(self, timeout=None):
        """The same as result(), under kafka-python's and Java's name."""
        return self.result(timeout)

    def exception(self, timeout=None):
        """Return the error of a failed record, or None, waiting as result() does."""
        self.wait(timeout)
        return self.outcome()[1]

    def add_done_callback(self, fn):
        """Call fn(future) on the delivery thread when the outcome is known, or now if it is.

        What fn raises is logged, wherever it runs.
        """
        self.check_made()
        check_callback("callback", fn)
        self.listen(fn)
        self.is_asked = True

    cdef int listen(self, fn) except -1:
        cdef kp_listener l
        cdef kp_status status
        if not self.pump.has_listeners:
            self.pump.first_listener()
        pair = DoneCallback(fn, self)
        l.object = <void *>pair
        l.index = self.index
        l.key_size = l.value_size = -1
        l.timestamp_ms = -1
        Py_INCREF(pair)
        status = kp_result_listen(self.pump.core, self.result_, &l)
        if status != KP_OK:
            Py_DECREF(pair)  # `pair` itself holds another
            check(status)
            call_listener(self.result_, topic_of(self.result_), &l)  # settled already

    def cancel(self):
        """A record that was accepted is not taken back: False, as concurrent.futures says it."""
        return False

    def cancelled(self):
        """False: see cancel()."""
        return False

    def __await__(self):
        return self._wait_in_loop().__await__()

    async def _wait_in_loop(self):
        self.check_made()
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self.listen(LoopWaiter(loop, waiter))  # not asked yet: a cancelled task is told of no failure
        await waiter
        return self.result(0)


cdef class LoopWaiter:
    """Wakes the task that awaits a record; no closure, which would leave a cycle to the garbage collector."""

    cdef object loop
    cdef object waiter

    def __init__(self, loop, waiter):
        self.loop = loop
        self.waiter = waiter

    def __call__(self, future):
        try:
            self.loop.call_soon_threadsafe(settle_waiter, self.waiter)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more


def settle_waiter(waiter):
    """Run by the loop: end the wait, unless its task was cancelled."""
    if not waiter.done():
        waiter.set_result(None)


cdef class DoneCallback:
    """A listener that wants the future, not (metadata, error)."""

    cdef object fn
    cdef object future

    def __init__(self, fn, future):
        self.fn = fn
        self.future = future


cdef void call_listener(kp_result *r, str topic, const kp_listener *l) noexcept:
    """Even a log handler that raises must not keep the next callback from running: Cython reports it and goes on."""
    listener = <object>l.object
    try:
        if type(listener) is DoneCallback:
            (<DoneCallback>listener).fn((<DoneCallback>listener).future)
            return
        error = failure_of(r, l.index) if kp_result_state(r) == KP_FAILED else None
        if error is not None:
            listener(None, error)
        else:
            listener(metadata_of(r, topic, l.index, l.timestamp_ms, l.key_size, l.value_size), None)
    except BaseException:  # a callback's edge: logged with its record, the next one runs
        logger.exception("delivery callback failed for %s-%d", topic, r.partition.index)


def deliver(Pump pump, timeout_ms=None):
    """Wait for finished batches and run their callbacks in order; False when the producer is closed."""
    cdef int64_t deadline = KP_NEVER if timeout_ms is None else kp_clock_ns() + <int64_t>(timeout_ms * 1000000)
    cdef kp_result *r
    cdef kp_result *next
    cdef c_bool stopped = 0
    cdef int32_t i
    cdef int32_t n
    pump.delivery_thread = threading.get_ident()
    with nogil:
        r = kp_core_take_finished(pump.core, deadline, &stopped)
    while r is not NULL:
        next = r.next
        n = r.n_listeners
        topic = topic_of(r)
        for i in range(n):
            call_listener(r, topic, &r.listeners[i])
            Py_DECREF(<object>r.listeners[i].object)
        if r.dead_letters is not NULL:
            hand_over(pump.dead_letters, r)
        kp_result_release(r)
        with nogil:
            kp_core_finished_done(pump.core, 1)
        r = next
    return not stopped


cdef class SendManyResult:
    """What send_many() and its kin return: the outcome of all their records, without an object for each."""

    def __init__(self):
        raise TypeError("made by send_many()")

    def __reduce__(self):
        raise TypeError("a SendManyResult cannot be pickled or copied")

    def __dealloc__(self):
        if self.many.n_runs > 0 and kp_core_life(self.many.runs[0].result.core) == KP_FORKED:
            return
        kp_many_free(&self.many, not self.is_asked)

    @property
    def count(self):
        """How many records were accepted."""
        return self.many.count

    cdef int note(self, kp_result *result, int32_t partition, int32_t index, int32_t n) except -1:
        """Count n records in; the reference is new unless the result is the one held for its partition."""
        check(kp_many_note(&self.many, result, partition, index, n))
        return 0

    def wait(self, timeout=None):
        """Wait until every record has its outcome, up to `timeout` seconds (default None: for ever); return self.

        Failures are told by `failed`, `errors()` and `first_error`; if none of them is read, by the next flush().

        Raises:
            KafkaTimeoutError: some have none in time; they are still on their way.
        """
        cdef int64_t deadline = deadline_of(timeout)
        cdef Py_ssize_t i
        cdef int32_t k
        for i in range(self.many.n_runs):
            k = self.many.runs[i].first
            while k < self.many.runs[i].first + self.many.runs[i].n:
                if not wait_for(self.pump, self.many.runs[i].result, k, deadline):
                    raise KafkaTimeoutError(f"no outcome of all records within {timeout} s", persisted="maybe")
                if kp_result_state(self.many.runs[i].result) in (KP_DELIVERED, KP_FAILED):
                    break  # one outcome for the whole batch
                k += 1  # split: its parts settle one by one
        return self

    def done(self):
        """Whether every outcome is known."""
        try:
            self.wait(0)
        except KafkaTimeoutError:
            return False
        return True

    def errors(self):
        """Return the KafkaErrors of the records that failed, in the order of partitions and offsets; waits."""
        cdef Py_ssize_t i
        cdef int32_t k, at
        cdef kp_result *r
        self.wait()
        self.is_asked = True
        found = []
        for i in range(self.many.n_runs):
            if kp_result_state(self.many.runs[i].result) == KP_DELIVERED:
                continue
            for k in range(self.many.runs[i].first, self.many.runs[i].first + self.many.runs[i].n):
                at = k
                r = kp_result_resolve(self.many.runs[i].result, &at)
                error = failure_of(r, at) if kp_result_state(r) == KP_FAILED else None
                if error is not None:
                    found.append(error)
        return found

    @property
    def failed(self):
        """How many records failed; waits for all outcomes."""
        return len(self.errors())

    @property
    def first_error(self):
        """The first KafkaError, or None; waits for all outcomes."""
        errors = self.errors()
        return errors[0] if errors else None

    def failed_rows(self):
        """Return the places of the records that failed among those of the call, ascending; waits for all outcomes.

        A record's place is that of its value in what was sent: 0 for the first. `errors()` has another order.
        """
        cdef int64_t *rows = NULL
        cdef int64_t n = 0
        cdef int64_t i
        self.wait()
        self.is_asked = True
        check(kp_many_failed_rows(&self.many, &rows, &n))
        try:
            return [rows[i] for i in range(n)]
        finally:
            free(rows)

    cdef list delivered(self):
        """(topic, partition, offset, how many) of each stretch of consecutive offsets, by partition and in order."""
        cdef kp_many_spans spans
        cdef int64_t i
        check(kp_many_delivered(&self.many, &spans))
        try:
            return [(topic_name(spans.items[i].partition), spans.items[i].partition.index, spans.items[i].offset,
                     spans.items[i].n) for i in range(spans.n)]
        finally:
            free(spans.items)

    @property
    def offsets(self):
        """{(topic, partition): offset of the first delivered record}; -1 with acks=0; waits for all outcomes."""
        return {place: stretches[0][0] for place, stretches in self.base_offsets().items()}

    def base_offsets(self):
        """Return {(topic, partition): [(offset, count), ...]}; waits for all outcomes.

        The delivered records of a partition, in their order: so many with consecutive offsets from `offset` on, or -1
        with acks=0. Another stretch begins where records of others stand between.
        """
        self.wait()
        found = {}
        for topic, partition, offset, count in self.delivered():
            found.setdefault((topic, partition), []).append((offset, count))
        return found
