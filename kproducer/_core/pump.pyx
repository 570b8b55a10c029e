# cython: language_level=3, freethreading_compatible=True
"""Starts and stops the pump; commands in, events out (PUMP contract, last section)."""
import os
import socket
import threading
import weakref

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from kproducer._core.csrc cimport (
    KP_CMD_ADOPT,
    KP_CMD_DROP,
    KP_CMD_FAIL_ALL,
    KP_CMD_FAIL_PARTITION,
    KP_CMD_PRODUCER_ID,
    KP_CMD_RESUME,
    KP_CMD_STOP,
    KP_CMD_TOPIC,
    KP_CMD_TOPIC_ERROR,
    KP_CMD_TXN_ALLOW,
    KP_CMD_TXN_BEGIN,
    KP_CMD_TXN_DROP,
    KP_CMD_TXN_SEAL,
    KP_CMD_VERDICT,
    KP_CODEC_LEVEL_DEFAULT,
    KP_CODE_TXN_REFUSED,
    KP_COUNTER_COUNT,
    KP_C_flush_ns,
    KP_EV_CONN_CLOSED,
    KP_FATAL,
    KP_FORKED,
    KP_IGNORE_KEYS,
    KP_NEVER,
    KP_OK,
    KP_PARTITION_COUNTER_COUNT,
    kp_action,
    kp_clock_ns,
    kp_codec_lib,
    kp_codec_lib_builtin,
    kp_codec_lib_resolve,
    kp_config,
    kp_core_abandon,
    kp_core_end,
    kp_core_close_appends,
    kp_core_command,
    kp_core_finished_ticket,
    kp_core_first_topic,
    kp_core_life,
    kp_core_new,
    kp_core_release,
    kp_core_stop_delivery,
    kp_core_take_unobserved,
    kp_core_topic,
    kp_core_wait_delivered,
    kp_counter_add,
    kp_counter_get,
    kp_counter_name,
    kp_failure,
    kp_flush_begin,
    kp_flush_end,
    kp_flush_wait,
    kp_leader,
    kp_msg,
    kp_msg_free,
    kp_partition_table,
    kp_partitioner_named,
    kp_pool_count,
    kp_pool_counts,
    kp_pump_free,
    kp_pump_join,
    kp_pump_new,
    kp_pump_sockets,
    kp_pump_start,
    kp_queue_take_all,
    kp_record_error,
    kp_result_release,
    kp_status,
    kp_socket_close,
    kp_topic,
    kp_topic_table,
    kp_topic_take_used,
    kp_txn_close,
    kp_txn_forget,
    kp_txn_open,
    kp_txn_refuse,
    kp_unobserved,
    kp_wake_clear,
)
from kproducer._core.messages cimport copied, event_of, new_command, topic_name
from kproducer._core.status cimport check, failure_of, raise_life

from kproducer._core import events as first_events
from kproducer._core.codecs import resolve_codec
from kproducer._core.counters import PartitionCounters
from kproducer.errors import ConfigError, IllegalStateError, UnobservedDeliveryError

cdef int64_t MS = 1000000
cdef int64_t SLICE_NS = 100 * MS  # Ctrl-C is looked at between slices
cdef dict CODEC_IDS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
cdef bint CAN_FORK = hasattr(os, "fork")
cdef object PUMPS = weakref.WeakValueDictionary()  # by the address of the core, which outlives its pump


cdef void *resolve_symbol(void *arg, const char *symbol) noexcept with gil:
    address = (<object>arg).get(symbol.decode(), 0)
    return <void *><uintptr_t>address


cdef object fill_codec(str name, kp_codec_lib *out):
    codec = CODEC_IDS[name]
    has_builtin = kp_codec_lib_builtin(codec, out) == KP_OK
    source = resolve_codec(name, has_builtin)
    if not has_builtin:
        symbols = source.symbols
        check(kp_codec_lib_resolve(codec, resolve_symbol, <void *>symbols, out))
    return source


def codec_sources():
    """{compression.type: where its functions come from}; for a codec that cannot be had, what would give it."""
    cdef kp_codec_lib lib
    sources = {}
    for name in CODEC_IDS:
        try:
            sources[name] = fill_codec(name, &lib).origin
        except ConfigError as error:
            sources[name] = str(error)
    return sources


def refuse_second_import(events):
    """Raise ImportError if the package is imported anew: extensions stay, and speak of the first import's classes."""
    if events is not first_events:
        raise ImportError("kproducer was imported, removed from sys.modules and imported again: start a new process")


cdef void release_unobserved(kp_core *core) noexcept:
    """Results that nobody took would keep the core alive."""
    cdef kp_unobserved *list = NULL
    cdef int32_t n = 0
    cdef int32_t i
    if kp_core_take_unobserved(core, &list, &n) == KP_OK:
        for i in range(n):
            kp_result_release(list[i].first)
        free(list)


cdef bytes refusal_text(error):
    """What an error says beside its code, which goes along as a number: its message, and its topic if that lacks it."""
    text = error.message
    if error.topic is not None and error.topic not in text:
        text = f"{error.topic}: {text}"
    return text.encode("utf-8", "replace")


cdef Pump pump_of(kp_core *core):
    """The pump of a core, or None if it is gone: a core is kept by results too, which know of no Python object."""
    return PUMPS.get(<uintptr_t>core)


cdef class Pump:
    """The C core of one producer: accumulator, pump thread, queues."""

    def __cinit__(self):
        self.core = NULL
        self.pump = NULL
        self.wake_read = self.wake_write = self.event_read = self.event_write = -1
        self._adopted = {}

    def __init__(self, *, str client_id, int acks, bint idempotent, int retries, int max_in_flight, batch_size,
                 linger_ms, buffer_memory, max_request_size, request_timeout_ms, delivery_timeout_ms,
                 connections_max_idle_ms, str compression, compression_level, bint ignore_keys,
                 str partitioner="murmur2_random", bint is_adaptive=True, availability_timeout_ms=0,
                 transactional_id=None, bint drops_oldest=False, dead_letter_bytes=0,
                 max_response_bytes=16 * 1024 * 1024):
        cdef kp_config config
        name = client_id.encode()
        memset(&config, 0, sizeof(config))
        config.client_id = name
        own_id = None if transactional_id is None else transactional_id.encode()
        config.transactional_id = NULL
        if own_id is not None:
            config.transactional_id = own_id
        config.acks = acks
        config.idempotent = idempotent
        check(kp_partitioner_named(partitioner.encode(), &config.partitioner))
        if ignore_keys:
            config.partitioner.least_key_len = KP_IGNORE_KEYS
        config.is_adaptive = is_adaptive
        config.availability_timeout_ns = availability_timeout_ms * MS if is_adaptive else 0
        config.retries = retries
        config.max_in_flight = max_in_flight
        config.batch_size = min(batch_size, buffer_memory)  # a smaller memory is legal, and so are its batches
        config.buffer_memory = buffer_memory
        config.max_request_size = max_request_size
        config.max_response_bytes = max_response_bytes
        config.linger_ns = linger_ms * MS
        config.request_timeout_ns = request_timeout_ms * MS
        config.delivery_timeout_ns = delivery_timeout_ms * MS
        config.idle_ns = KP_NEVER if connections_max_idle_ms < 0 else connections_max_idle_ms * MS
        config.drops_oldest = drops_oldest
        config.dead_letter_bytes = dead_letter_bytes
        config.codec = CODEC_IDS[compression]
        config.codec_level = KP_CODEC_LEVEL_DEFAULT if compression_level is None else compression_level
        self._codec_source = fill_codec(compression, &config.codec_lib)
        self.wake_read, self.wake_write = _pair()
        self.event_read, self.event_write = _pair()
        self.core = kp_core_new(&config, self.wake_write, self.event_write)
        if self.core is NULL:
            raise MemoryError
        check(kp_pump_new(self.core, &kp_pump_sockets, self.wake_read, &self.pump))
        PUMPS[<uintptr_t>self.core] = self

    def __dealloc__(self):
        if self.core is not NULL:
            if self.is_forked():
                return  # after fork nothing of C is touched: it leaks
            kp_pump_free(self.pump)
            release_unobserved(self.core)
            kp_core_release(self.core)
        for handle in (self.wake_read, self.wake_write, self.event_read, self.event_write):
            if handle != -1:
                kp_socket_close(handle)

    cdef bint is_forked(self) noexcept:
        return kp_core_life(self.core) == KP_FORKED

    def refuse_fork(self):
        """Raise ForkError in a forked child."""
        if self.is_forked():
            raise_life(self.core)

    cdef int refuse_own_threads(self, str verb) except -1:
        if threading.get_ident() == self.delivery_thread:
            raise IllegalStateError(f"{verb} from a delivery callback would wait for itself")
        return self.refuse_control_thread(verb)

    cdef int refuse_control_thread(self, str verb) except -1:
        if threading.get_ident() == self.control_thread:
            raise IllegalStateError(f"{verb} on the producer's own thread would wait for itself")
        return 0

    # --- life ---

    def start(self):
        check(kp_pump_start(self.pump))

    def stop(self):
        self.command(new_command(KP_CMD_STOP))

    def join(self, timeout_ms):
        """Wait for the thread's end, which follows Stopped at once; True."""
        if self.is_forked():
            return True
        with nogil:
            kp_pump_join(self.pump)
        return True

    def abandon(self):
        """After fork, in the child: no lock is taken; its copies of the produce connections are closed."""
        if self.core is not NULL:
            kp_core_abandon(self.core)
        for fd, inode in self._adopted.values():
            if _is_same_socket(fd, inode):
                os.close(fd)
        self._adopted.clear()

    def close_appends(self):
        """Refuse later appends with ProducerClosedError; none is under way when this returns."""
        if self.is_forked():
            raise_life(self.core)
        with nogil:
            kp_core_close_appends(self.core)

    def set_threads(self, control=None, delivery=None):
        """Tell which threads must not wait inside the API."""
        if control is not None:
            self.control_thread = control
        if delivery is not None:
            self.delivery_thread = delivery

    def on_first_listener(self, start_delivery):
        """`start_delivery()` is called once, by the thread that registers the first callback."""
        self._start_delivery = start_delivery

    def route_dead_letters(self, sink):
        """Give the records of batches refused for good to `sink.take(letters)`, on the delivery thread."""
        self.dead_letters = sink
        self.has_listeners = True  # flush() waits for the thread from now on; the caller starts it

    cdef int first_listener(self) except -1:
        self.has_listeners = True
        start = self._start_delivery
        self._start_delivery = None
        if start is not None:
            start()
        return 0

    def stop_delivery(self):
        """Let completion.deliver() return False once its lists are empty."""
        if not self.is_forked():
            with nogil:
                kp_core_stop_delivery(self.core)

    # --- waits ---

    def flush(self, timeout_ms=None):
        """Wait until all that was appended before has its outcome and its callbacks have run; False: not in time."""
        cdef int64_t began = kp_clock_ns()
        cdef int64_t deadline = KP_NEVER if timeout_ms is None else began + <int64_t>(timeout_ms * MS)
        try:
            # The dead letters of the outcomes are records too, but never make others.
            return self._flush(deadline) and (
                self.dead_letters is None or not self.dead_letters.is_pending or self._flush(deadline))
        finally:
            self.count_time(KP_C_flush_ns, began)

    cdef void count_time(self, int counter, int64_t began) noexcept:
        kp_counter_add(&self.core.stats.counters[counter], <uint64_t>(kp_clock_ns() - began))

    def _flush(self, int64_t deadline):
        cdef kp_status status
        cdef int64_t slice_end
        cdef uint32_t ticket
        if self.is_forked():
            raise_life(self.core)
        self.refuse_own_threads("flush()")
        with nogil:
            ticket = kp_flush_begin(self.core)
        try:
            while True:
                slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
                with nogil:
                    status = kp_flush_wait(self.core, ticket, slice_end)
                if status == KP_OK:
                    break
                PyErr_CheckSignals()
                if kp_clock_ns() >= deadline:
                    return False
        finally:
            with nogil:
                kp_flush_end(self.core)
        return self._wait_callbacks(deadline)

    def _wait_callbacks(self, int64_t deadline):
        cdef uint64_t ticket
        cdef int64_t slice_end
        cdef kp_status status
        if not self.has_listeners:
            return True
        with nogil:
            ticket = kp_core_finished_ticket(self.core)
        while True:
            slice_end = min(deadline, kp_clock_ns() + SLICE_NS)
            with nogil:
                status = kp_core_wait_delivered(self.core, ticket, slice_end)
            if status == KP_OK:
                return True
            PyErr_CheckSignals()
            if kp_clock_ns() >= deadline:
                return False

    def raise_unobserved(self):
        """Raise one UnobservedDeliveryError for the failures that nobody listened to since the last call."""
        cdef kp_unobserved *list = NULL
        cdef int32_t n = 0
        if self.is_forked():
            return
        check(kp_core_take_unobserved(self.core, &list, &n))
        if n == 0:
            free(list)
            return
        by_partition = {}
        first = None
        try:
            for i in range(n):
                name = topic_name(list[i].partition.topic)
                by_partition[(name, list[i].partition.index)] = list[i].count
                if first is None:
                    first = _first_failure(&list[i])
        finally:
            for i in range(n):
                kp_result_release(list[i].first)
            free(list)
        raise UnobservedDeliveryError(count=sum(by_partition.values()), first_error=first, by_partition=by_partition)

    # --- events ---

    def event_fileno(self):
        return self.event_read

    def take_events(self):
        cdef kp_msg *m
        cdef kp_msg *next
        kp_wake_clear(self.event_read)
        taken = []
        m = kp_queue_take_all(&self.core.events)
        while m is not NULL:
            next = m.next
            taken.append(event_of(m))
            if m.type == KP_EV_CONN_CLOSED:
                self._adopted.pop((m.node, m.conn_gen), None)
            kp_msg_free(m)
            m = next
        return taken

    # --- commands ---

    cdef kp_topic *topic_named(self, str name) except NULL:
        data = name.encode()
        cdef kp_topic *topic = kp_core_topic(self.core, data, len(data))
        if topic is NULL:
            raise MemoryError
        return topic

    cdef int command(self, kp_msg *m) except -1:
        if self.is_forked():
            raise_life(self.core)
        kp_core_command(self.core, m)
        return 0

    def adopt(self, int node, int conn_gen, int fd, int produce_version):
        cdef kp_msg *m = new_command(KP_CMD_ADOPT)
        m.node = node
        m.conn_gen = conn_gen
        m.handle = fd
        m.version = produce_version
        if CAN_FORK:
            self._adopted[node, conn_gen] = fd, os.fstat(fd).st_ino
        self.command(m)

    def drop(self, int node, int conn_gen, bint drain):
        cdef kp_msg *m = new_command(KP_CMD_DROP)
        m.node = node
        m.conn_gen = conn_gen
        m.flag_a = drain
        self.command(m)

    def topic(self, str topic, topic_id, leaders):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_TOPIC)
        cdef Py_ssize_t i
        try:
            m.topic = t
            m.count = len(leaders)
            m.leaders = <kp_leader *>malloc(max(1, m.count) * sizeof(kp_leader))
            if m.leaders is NULL:
                raise MemoryError
            for i in range(m.count):
                m.leaders[i].node, m.leaders[i].epoch = leaders[i]
            if topic_id is not None:
                if len(topic_id) != 16:
                    raise ValueError(f"topic_id of {len(topic_id)} bytes: must be 16")
                memcpy(&m.id[0], <const char *>(<bytes>topic_id), 16)
                m.has_id = True
        except BaseException:
            kp_msg_free(m)
            raise
        self.command(m)

    def topic_error(self, str topic, int code, message):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_TOPIC_ERROR)
        m.topic = t
        m.code = code
        m.message = copied(message)
        self.command(m)

    def fail_partition(self, str topic, int partition, int code, message, *, bint is_refusal=False):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_FAIL_PARTITION)
        m.topic = t
        m.partition = partition
        m.code = code
        m.message = copied(message)
        m.flag_a = is_refusal
        self.command(m)

    def verdict(self, str topic, int partition, batch_id, action, *, int code=0, message=None, int persisted=0,
                record_errors=(), bint is_refusal=False):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_VERDICT)
        cdef Py_ssize_t n = len(record_errors)
        try:
            m.topic = t
            m.partition = partition
            m.batch_id = batch_id
            m.action = <kp_action><int>int(action)
            m.code = code
            m.message = copied(message)
            m.persisted = persisted
            m.flag_a = is_refusal
            if n > 0:
                m.record_errors = <kp_record_error *>calloc(n, sizeof(kp_record_error))
                if m.record_errors is NULL:
                    raise MemoryError
            for index, own_code, own_message in sorted(record_errors, key=_index_of):
                m.record_errors[m.n_record_errors].index = index
                m.record_errors[m.n_record_errors].code = own_code
                m.record_errors[m.n_record_errors].message = copied(own_message)
                m.n_record_errors += 1
        except BaseException:
            kp_msg_free(m)
            raise
        self.command(m)

    def resume(self, str topic, int partition, uint32_t hold_gen, delay_ms, bint new_epoch):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_RESUME)
        m.topic = t
        m.partition = partition
        m.hold_gen = hold_gen
        m.delay_ns = <int64_t>(delay_ms * MS)
        m.flag_a = new_epoch
        self.command(m)

    def producer_id(self, producer_id, int epoch):
        cdef kp_msg *m = new_command(KP_CMD_PRODUCER_ID)
        m.producer_id = producer_id
        m.producer_epoch = <int16_t>epoch
        self.command(m)

    # --- transactions ---

    def txn_begin(self, uint32_t gen, bint is_v2):
        cdef kp_msg *m = new_command(KP_CMD_TXN_BEGIN)
        m.txn_gen = gen
        m.flag_a = is_v2
        self.command(m)
        with nogil:
            kp_txn_open(self.core, gen, not is_v2)

    def txn_allow(self, uint32_t gen, str topic, int partition):
        cdef kp_topic *t = self.topic_named(topic)
        cdef kp_msg *m = new_command(KP_CMD_TXN_ALLOW)
        m.txn_gen = gen
        m.topic = t
        m.partition = partition
        self.command(m)

    def txn_seal(self, uint32_t gen):
        with nogil:
            kp_txn_close(self.core, NULL)
        cdef kp_msg *m = new_command(KP_CMD_TXN_SEAL)
        m.txn_gen = gen
        self.command(m)

    def txn_drop(self, uint32_t gen, message, failure=None):
        cdef kp_failure why
        cdef kp_failure *reason = NULL
        text = b""
        memset(&why, 0, sizeof(why))
        if failure is not None:
            text = refusal_text(failure)
            why.code = KP_CODE_TXN_REFUSED if failure.code is None else failure.code
            why.node = -1
            why.message = text
            reason = &why
        with nogil:
            kp_txn_close(self.core, reason)
        cdef kp_msg *m = new_command(KP_CMD_TXN_DROP)
        m.txn_gen = gen
        m.message = copied(message)
        self.command(m)

    def txn_over(self):
        with nogil:
            kp_txn_forget(self.core)

    cdef int refuse_in_transaction(self, uint32_t gen, kp_topic *topic, error) except -1:
        cdef kp_failure failure
        if gen == 0:
            return 0
        text = refusal_text(error)
        failure.code = KP_CODE_TXN_REFUSED if error.code is None else error.code
        failure.persisted = 0
        failure.attempts = 0
        failure.node = -1
        failure.elapsed_ns = 0
        failure.message = <char *>text
        with nogil:
            kp_txn_refuse(self.core, gen, &failure, topic)
        return 0

    def fail_all(self, int code, message, bint fatal):
        cdef kp_failure failure
        cdef kp_msg *m = new_command(KP_CMD_FAIL_ALL)
        m.code = code
        m.message = copied(message)
        m.flag_a = fatal
        if fatal and not self.is_forked():  # before anybody is told of it: the next send() must say the same
            memset(&failure, 0, sizeof(failure))
            failure.code = code
            failure.node = -1
            failure.message = m.message
            with nogil:
                kp_core_end(self.core, KP_FATAL, &failure)
        self.command(m)

    # --- what it tells ---

    def topics_used(self):
        """Names of the topics that got records since the last call."""
        cdef kp_topic *topic = kp_core_first_topic(self.core)
        names = []
        while topic is not NULL:
            if kp_topic_take_used(topic):
                names.append(topic_name(topic))
            topic = topic.next
        return names

    def source_of_codec(self):
        return self._codec_source.origin

    def counters(self):
        cdef dict out = {}
        cdef int i
        for i in range(KP_COUNTER_COUNT):
            out[kp_counter_name(i).decode()] = kp_counter_get(&self.core.stats.counters[i])
        cdef kp_pool_counts pool
        memset(&pool, 0, sizeof(pool))
        if not self.is_forked():  # its lock may be held for ever in a forked child
            pool = kp_pool_count(&self.core.pool)
        out["buffer_total_bytes"] = self.core.pool.limit
        out["buffer_available_bytes"] = pool.available
        out["buffer_wait_ns"] = pool.wait_ns
        out["buffer_exhausted"] = pool.exhausted
        out["buffer_waiting"] = pool.waiting
        return out

    def counters_by_topic(self):
        """{topic: its partition_counters()}, for all topics that were ever asked for."""
        cdef kp_topic *topic = kp_core_first_topic(self.core)
        found = {}
        while topic is not NULL:
            found[topic_name(topic)] = _counters_of(topic)
            topic = topic.next
        return found

    def partition_counters(self, str topic):
        """PartitionCounters of each partition of a topic, by its number; empty without metadata."""
        cdef kp_topic *at = kp_core_first_topic(self.core)  # not topic_named(), which would make it
        while at is not NULL and topic_name(at) != topic:
            at = at.next
        return [] if at is NULL else _counters_of(at)


cdef list _counters_of(kp_topic *topic):
    cdef kp_partition_table *table = kp_topic_table(topic)
    cdef int i, k
    found = []
    for i in range(0 if table is NULL else table.count):
        counts = [kp_counter_get(&table.items[i].counters[k]) for k in range(KP_PARTITION_COUNTER_COUNT)]
        found.append(PartitionCounters._make(counts))
    return found


cdef object _first_failure(kp_unobserved *u):
    cdef int32_t index = u.first.record_errors[0].index if u.first.record_errors is not NULL else 0
    return failure_of(u.first, index)


def _is_same_socket(fd, inode):
    """The pump may have closed it since, and the number may be another file's."""
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def _index_of(row):
    return row[0]


def _pair():
    """Handles of a wake-up pair, closed when the Pump goes: until then any thread may write."""
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)
    return read.detach(), write.detach()
