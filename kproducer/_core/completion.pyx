# cython: language_level=3, freethreading_compatible=True
"""Outcomes for those who asked: a future is (result of the batch, index); callbacks run a list per turn."""
import asyncio
import logging
import threading

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
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
    kp_core,
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
from kproducer._core.pump cimport Pump, pump_of
from kproducer._core.status cimport check, failure_of, raise_life
from kproducer._core.turn import between_instructions
from kproducer.errors import KafkaTimeoutError
from kproducer.types import RecordMetadata

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject *type, Py_ssize_t n)

cdef int64_t SLICE_NS = 100 * 1000000
cdef int64_t TURN_NS = 1000000  # callbacks in C never offer the GIL, and more often than this others take it
cdef object logger = logging.getLogger("kproducer.delivery")


cdef str topic_name(const kp_partition *partition):
    return partition.topic.name[:partition.topic.name_len].decode()


cdef str topic_of(const kp_result *r):
    return topic_name(r.partition)


cdef object metadata_of(kp_result *r, str topic, int32_t index, int64_t timestamp_ms, int32_t key_size,
                        int32_t value_size):
    """RecordMetadata of a delivered record, filled in place: its constructor takes six times as long."""
    cdef int64_t offset = -1 if r.base_offset < 0 else r.base_offset + index
    cdef bint by_broker = r.log_append_ms >= 0
    cdef int64_t stamp = r.log_append_ms if by_broker else timestamp_ms
    metadata = (<PyTypeObject *>RecordMetadata).tp_alloc(<PyTypeObject *>RecordMetadata, 7)
    put_field(metadata, 0, topic)
    put_field(metadata, 1, r.partition.index)
    put_field(metadata, 2, offset)
    put_field(metadata, 3, stamp)
    put_field(metadata, 4, 1 if by_broker else 0)
    put_field(metadata, 5, key_size)
    put_field(metadata, 6, value_size)
    return metadata


cdef inline void put_field(metadata, Py_ssize_t i, field) noexcept:
    Py_INCREF(field)  # which the macro takes over
    PyTuple_SET_ITEM(metadata, i, field)


cdef object error_of(kp_result *r, int32_t index):
    """Why a record of a settled batch failed, or None."""
    return failure_of(r, index) if kp_result_state(r) == KP_FAILED else None


cdef bint is_settled(kp_result *r, int32_t index) noexcept:
    return kp_result_state(kp_result_resolve(r, &index)) != KP_PENDING


cdef int refuse_fork(kp_core *core) except -1:
    if kp_core_life(core) == KP_FORKED:
        raise_life(core)
    return 0


cdef int check_timeout(timeout) except -1:
    if timeout is None:
        return 0
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:  # NaN too
        raise ValueError(f"timeout={timeout!r}: must be seconds >= 0, or None to wait for ever")
    return 0


cdef int64_t deadline_of(timeout) except? -1:
    check_timeout(timeout)
    if timeout is None or timeout > 1e9:
        return KP_NEVER
    return kp_clock_ns() + <int64_t>(timeout * 1e9)


cdef int wait_for(kp_result *r, int32_t index, int64_t deadline) except -1:
    """1 when settled, 0 when the deadline has passed."""
    cdef kp_status status
    cdef int64_t slice_end
    refuse_fork(r.core)
    while True:
        slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
        with nogil:
            status = kp_result_wait(r.core, r, index, slice_end)
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
        return refuse_fork(self.result_.core)

    cdef int wait(self, timeout) except -1:
        self.check_made()
        check_timeout(timeout)
        if is_settled(self.result_, self.index):  # the GIL is kept: others would take it for 5 ms
            return 0
        if not wait_for(self.result_, self.index, deadline_of(timeout)):
            raise KafkaTimeoutError(f"no outcome within {timeout} s; the record is still on its way", persisted="maybe")
        return 0

    cdef kp_result *asked(self, int32_t *index) noexcept:
        """Where the outcome is, and its place there; from now on somebody knows."""
        self.is_asked = True
        index[0] = self.index
        return kp_result_resolve(self.result_, index)

    def done(self):
        """Whether the outcome is known."""
        self.check_made()
        return is_settled(self.result_, self.index)

    def result(self, timeout=None):
        """Return the RecordMetadata, waiting up to `timeout` seconds (default None: for ever).

        Raises:
            KafkaTimeoutError: no outcome in time; the record is still on its way.
            KafkaError: the record failed.
        """
        cdef int32_t index
        self.wait(timeout)
        cdef kp_result *r = self.asked(&index)
        error = error_of(r, index)
        if error is not None:
            raise error
        topic = topic_of(r) if self.topic is None else self.topic
        return metadata_of(r, topic, index, self.timestamp_ms, self.key_size, self.value_size)

    def get(self, timeout=None):
        """The same as result(), under kafka-python's and Java's name."""
        return self.result(timeout)

    def exception(self, timeout=None):
        """Return the error of a failed record, or None, waiting as result() does."""
        cdef int32_t index
        self.wait(timeout)
        cdef kp_result *r = self.asked(&index)
        return error_of(r, index)

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
        cdef kp_core *core = self.result_.core
        if is_settled(self.result_, self.index):
            return self.call_now(fn)
        cdef Pump pump = pump_of(core)
        if pump is not None and not pump.has_listeners:
            pump.first_listener()
        pair = DoneCallback(fn, self)
        l.object = <void *>pair
        l.index = self.index
        l.key_size = l.value_size = -1
        l.timestamp_ms = -1
        Py_INCREF(pair)
        status = kp_result_listen(core, self.result_, &l)
        if status != KP_OK:
            Py_DECREF(pair)  # `pair` itself holds another
            check(status)
            self.call_now(fn)  # settled already

    cdef int call_now(self, fn) except -1:
        try:
            fn(self)
        except BaseException:  # a callback's edge
            log_failure(topic_of(self.result_), self.result_)
        return 0

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


cdef int call_listener(kp_result *r, str topic, const kp_listener *l) except -1:
    listener = <object>l.object
    Py_DECREF(listener)  # the reference that came with it: `listener` has one of its own
    if type(listener) is DoneCallback:
        (<DoneCallback>listener).fn((<DoneCallback>listener).future)
        return 0
    error = error_of(r, l.index)
    if error is not None:
        listener(None, error)
    else:
        listener(metadata_of(r, topic, l.index, l.timestamp_ms, l.key_size, l.value_size), None)
    return 0


cdef void log_failure(str topic, kp_result *r) noexcept:
    """Even a log handler that raises must not keep the next callback from running: Cython reports it and goes on."""
    logger.exception("delivery callback failed for %s-%d", topic, r.partition.index)


cdef int call_listeners(kp_result *r) except -1:
    """Run a batch's callbacks in order; what one raises is logged with its record, and the next one runs."""
    cdef int32_t n = r.n_listeners
    cdef int32_t done = 0
    topic = topic_of(r)
    while done < n:
        try:  # entered once for all, not for each
            while done < n:
                done += 1
                call_listener(r, topic, &r.listeners[done - 1])
        except BaseException:  # a callback's edge
            log_failure(topic, r)
    return 0


cdef void offer_turn() noexcept:
    """Whatever it raises: batches that wait to be told of are not lost."""
    between_instructions()


def deliver(Pump pump, timeout_ms=None):
    """Wait for finished batches and run their callbacks in order; False when the producer is closed."""
    cdef int64_t deadline = KP_NEVER if timeout_ms is None else kp_clock_ns() + <int64_t>(timeout_ms * 1000000)
    cdef kp_result *r
    cdef kp_result *next
    cdef c_bool stopped = 0
    cdef int64_t turn_ends
    pump.delivery_thread = threading.get_ident()
    with nogil:
        r = kp_core_take_finished(pump.core, deadline, &stopped)
    turn_ends = kp_clock_ns() + TURN_NS
    while r is not NULL:
        next = r.next
        call_listeners(r)
        if r.dead_letters is not NULL:
            hand_over(pump.dead_letters, r)
        kp_result_release(r)
        kp_core_finished_done(pump.core, 1)
        if kp_clock_ns() >= turn_ends:
            offer_turn()
            turn_ends = kp_clock_ns() + TURN_NS
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
                if not wait_for(self.many.runs[i].result, k, deadline):
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
                error = error_of(r, at)
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
