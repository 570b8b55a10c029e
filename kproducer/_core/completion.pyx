# cython: language_level=3, freethreading_compatible=True
"""Outcomes for those who asked: a future is (result of the batch, index); callbacks run a list per turn."""
import asyncio
import inspect
import logging
import threading

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc

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
    kp_result,
    kp_result_listen,
    kp_result_release,
    kp_result_resolve,
    kp_result_retain,
    kp_result_state,
    kp_result_unwatch,
    kp_result_unwatch_run,
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


cdef str topic_of(const kp_result *r):
    return r.partition.topic.name[:r.partition.topic.name_len].decode()


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
        check_callback(fn)
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


cdef int check_callback(fn) except -1:
    if not callable(fn):
        raise TypeError(f"callback must be callable, not {type(fn).__name__}")
    if inspect.iscoroutinefunction(fn):
        raise TypeError("callback must be a plain function: it runs on the delivery thread, which awaits nothing")
    return 0


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


cdef int note_offset(const Run *run, dict offsets) except -1:
    cdef int32_t at = run.first
    cdef kp_result *r = kp_result_resolve(run.result, &at)
    if kp_result_state(r) != KP_DELIVERED:
        return 0
    key = (topic_of(r), r.partition.index)
    offset = -1 if r.base_offset < 0 else r.base_offset + at
    offsets[key] = min(offsets.get(key, offset), offset)
    return 0


cdef class SendManyResult:
    """What send_many() returns: the outcome of all its records, without an object for each.

    count: records that were accepted.
    """

    def __cinit__(self):
        self.settled_offsets = {}

    def __init__(self):
        raise TypeError("made by send_many()")

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.n_runs > 0 and kp_core_life(self.runs[0].result.core) == KP_FORKED:
            return
        for i in range(self.n_runs):
            if not self.is_asked:
                kp_result_unwatch_run(self.runs[i].result, self.runs[i].first, self.runs[i].n)
            kp_result_release(self.runs[i].result)
        free(self.runs)
        free(self.held)
        free(self.run_of)

    cdef int note(self, kp_result *result, int32_t partition, int32_t index, int32_t n) except -1:
        """Count n records in; the reference is new unless the result is the one held for its partition."""
        cdef bint is_held = partition < self.n_held and self.held[partition] == result
        cdef Run *run
        if is_held:
            run = &self.runs[self.run_of[partition]]
            if index == run.first + run.n:
                run.n += n
                self.count += n
                return 0
            kp_result_retain(result)  # another thread's records lie between: another run of the same batch
        self.make_room(result, partition)
        self.runs[self.n_runs].result = result
        self.runs[self.n_runs].first = index
        self.runs[self.n_runs].n = n
        self.held[partition] = result
        self.run_of[partition] = self.n_runs
        self.n_runs += 1
        self.count += n
        return 0

    cdef int make_room(self, kp_result *result, int32_t partition) except -1:
        cdef void *grown
        cdef Py_ssize_t cap
        cdef int32_t n = partition + 1
        if self.n_runs == self.cap_runs:
            self.forget_delivered()
            if self.n_runs * 2 >= self.cap_runs:
                cap = max(256, self.cap_runs * 2)
                grown = realloc(self.runs, cap * sizeof(Run))
                if grown is NULL:
                    kp_result_release(result)
                    raise MemoryError
                self.runs = <Run *>grown
                self.cap_runs = cap
        if n <= self.n_held:
            return 0
        grown = realloc(self.held, n * sizeof(kp_result *))
        if grown is not NULL:
            self.held = <kp_result **>grown
            grown = realloc(self.run_of, n * sizeof(Py_ssize_t))
        if grown is NULL:
            kp_result_release(result)
            raise MemoryError
        self.run_of = <Py_ssize_t *>grown
        while self.n_held < n:
            self.held[self.n_held] = NULL
            self.n_held += 1
        return 0

    cdef int forget_delivered(self) except -1:
        """Flat memory for endless input: of what was delivered only the first offset by partition is kept."""
        cdef Py_ssize_t i
        cdef Py_ssize_t kept = 0
        for i in range(self.n_held):
            self.held[i] = NULL  # the references behind them may go now
        for i in range(self.n_runs):
            if kp_result_state(self.runs[i].result) == KP_DELIVERED:
                note_offset(&self.runs[i], self.settled_offsets)
                kp_result_release(self.runs[i].result)
            else:
                self.runs[kept] = self.runs[i]
                kept += 1
        self.n_runs = kept
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
        for i in range(self.n_runs):
            k = self.runs[i].first
            while k < self.runs[i].first + self.runs[i].n:
                if not wait_for(self.pump, self.runs[i].result, k, deadline):
                    raise KafkaTimeoutError(f"no outcome of all records within {timeout} s", persisted="maybe")
                if kp_result_state(self.runs[i].result) in (KP_DELIVERED, KP_FAILED):
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
        for i in range(self.n_runs):
            if kp_result_state(self.runs[i].result) == KP_DELIVERED:
                continue
            for k in range(self.runs[i].first, self.runs[i].first + self.runs[i].n):
                at = k
                r = kp_result_resolve(self.runs[i].result, &at)
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

    @property
    def offsets(self):
        """{(topic, partition): offset of the first delivered record}; -1 with acks=0; waits for all outcomes."""
        cdef Py_ssize_t i
        self.wait()
        found = dict(self.settled_offsets)
        for i in range(self.n_runs):
            note_offset(&self.runs[i], found)
        return found
