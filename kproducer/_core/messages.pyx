# cython: language_level=3, freethreading_compatible=True
"""Messages of the queues as Python sees them: events as plain facts, commands to be filled in."""
from kproducer._core.csrc cimport (
    KP_EV_BATCH_REFUSED,
    KP_EV_CONN_CLOSED,
    KP_EV_CONN_WANTED,
    KP_EV_EXPIRED,
    KP_EV_METADATA_STALE,
    KP_EV_PARTITION_QUIET,
    KP_EV_PUMP_FATAL,
    KP_EV_STOPPED,
    KP_EV_THROTTLED,
    KP_EV_TOPIC_WANTED,
    KP_EV_TXN_DRAINED,
    KP_EV_TXN_FAILED,
    KP_EV_TXN_PARTITION,
    kp_msg,
    kp_msg_new,
    kp_msg_type,
    kp_strdup,
    kp_topic,
)
from kproducer._core.status cimport make_error, text_or_none

from kproducer._core import events as ev


cdef char *copied(str text) except? NULL:
    if text is None:
        return NULL
    data = text.encode("utf-8", "replace")
    return kp_strdup(<const char *>data, len(data))


cdef kp_msg *new_command(kp_msg_type kind) except NULL:
    cdef kp_msg *m = kp_msg_new(kind)
    if m is NULL:
        raise MemoryError
    return m


cdef str topic_name(kp_topic *topic):
    return topic.name[:topic.name_len].decode()


cdef object record_errors_of(const kp_msg *m):
    return tuple([(m.record_errors[i].index, text_or_none(m.record_errors[i].message))
                  for i in range(m.n_record_errors)])


cdef object hint_of(const kp_msg *m):
    if m.hint.node < 0:
        return None
    return ev.LeaderHint(m.hint.node, m.hint.epoch, text_or_none(m.hint_host), m.hint_port)


cdef object event_of(const kp_msg *m):
    kind = m.type
    if kind == KP_EV_CONN_WANTED:
        return ev.ConnWanted(m.node)
    if kind == KP_EV_CONN_CLOSED:
        return ev.ConnClosed(m.node, m.conn_gen, ev.CloseCause(m.code), m.count)
    if kind == KP_EV_BATCH_REFUSED:
        return ev.BatchRefused(
            topic_name(m.topic), m.partition, m.hold_gen, m.batch_id, m.code, text_or_none(m.message),
            record_errors_of(m), bool(m.flag_a), bool(m.flag_b), m.attempts, m.records, m.offset, m.node,
            m.producer_id, m.producer_epoch, hint_of(m))
    if kind == KP_EV_PARTITION_QUIET:
        return ev.PartitionQuiet(topic_name(m.topic), m.partition, m.hold_gen, m.offset, bool(m.flag_a),
                                 m.producer_id, m.producer_epoch, bool(m.flag_b))
    if kind == KP_EV_EXPIRED:
        return ev.Expired(topic_name(m.topic), m.partition, m.hold_gen, m.count, bool(m.flag_a))
    if kind == KP_EV_METADATA_STALE:
        return ev.MetadataStale(topic_name(m.topic))
    if kind == KP_EV_TOPIC_WANTED:
        return ev.TopicWanted(topic_name(m.topic), m.count)
    if kind == KP_EV_THROTTLED:
        return ev.Throttled(m.node, m.count)
    if kind == KP_EV_TXN_PARTITION:
        return ev.TxnPartition(m.txn_gen, topic_name(m.topic), m.partition)
    if kind == KP_EV_TXN_FAILED:
        return ev.TxnFailed(m.txn_gen, None if m.topic is NULL else topic_name(m.topic), m.partition,
                            make_error(m.code, text_or_none(m.message), {}))
    if kind == KP_EV_TXN_DRAINED:
        return ev.TxnDrained(m.txn_gen, bool(m.flag_a), bool(m.flag_b), m.count != 0)
    if kind == KP_EV_STOPPED:
        return ev.Stopped(m.count)
    if kind == KP_EV_PUMP_FATAL:
        return ev.PumpFatal(text_or_none(m.message) or "unknown")
    raise SystemError(f"event of unknown type {kind}")
