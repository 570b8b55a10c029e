# cython: language_level=3, freethreading_compatible=True
"""What the counters of C say, as Python numbers: read without a lock, by any thread, while they run on."""
from kproducer._core.csrc cimport (
    KP_HIST_BUCKETS,
    KP_HIST_COUNT,
    KP_MAX_COUNT,
    KP_NODE_COUNTER_COUNT,
    KP_PARTITION_COUNTER_COUNT,
    kp_core_first_topic,
    kp_counter,
    kp_counter_get,
    kp_hist,
    kp_hist_bucket_limit_us,
    kp_max,
    kp_max_name,
    kp_max_take,
    kp_node_counter_name,
    kp_node_stats,
    kp_partition_counter_name,
    kp_partition_table,
    kp_topic,
    kp_topic_count,
    kp_topic_counts,
    kp_topic_table,
)
from kproducer._core.messages cimport topic_name
from kproducer._core.pump cimport Pump

from kproducer._core.counters import Histogram

cdef tuple OF_PARTITION = tuple([kp_partition_counter_name(i).decode() for i in range(KP_PARTITION_COUNTER_COUNT)])
cdef tuple OF_NODE = tuple([kp_node_counter_name(i).decode() for i in range(KP_NODE_COUNTER_COUNT)])
cdef tuple MAXIMA = tuple([kp_max_name(i).decode() for i in range(KP_MAX_COUNT)])
cdef tuple HISTOGRAMS = ("queue", "request", "delivery")  # in the order of kp_hist_id

BUCKET_LIMITS_US = tuple([kp_hist_bucket_limit_us(i) for i in range(KP_HIST_BUCKETS)])


cdef dict named(tuple names, kp_counter *counters):
    cdef Py_ssize_t i
    return {names[i]: kp_counter_get(&counters[i]) for i in range(len(names))}


cdef object reading_of(kp_hist *h):
    cdef int i
    buckets = tuple([kp_counter_get(&h.buckets[i]) for i in range(KP_HIST_BUCKETS)])
    return Histogram(buckets, kp_counter_get(&h.sum_ns), kp_counter_get(&h.max_ns.run))


cdef object window_of(kp_max *m, bint take):
    return kp_max_take(m) if take else kp_counter_get(&m.window)


def histograms(Pump pump):
    """{name: Histogram} of queue, request and delivery time."""
    cdef int i
    return {HISTOGRAMS[i]: reading_of(&pump.core.stats.hists[i]) for i in range(KP_HIST_COUNT)}


def maxima(Pump pump, bint take):
    """The largest values by name since they were taken last; `take` begins anew, one thread at a time."""
    cdef int i
    found = {MAXIMA[i]: window_of(&pump.core.stats.maxima[i], take) for i in range(KP_MAX_COUNT)}
    for i in range(KP_HIST_COUNT):
        found[HISTOGRAMS[i]] = window_of(&pump.core.stats.hists[i].max_ns, take)
    return found


def nodes(Pump pump):
    """{node id: (counters by name, Histogram of request time)}."""
    cdef kp_node_stats *node = pump.core.stats.nodes
    found = {}
    while node is not NULL:
        found[node.id] = named(OF_NODE, node.counters), reading_of(&node.latency)
        node = node.next
    return found


def node_maxima(Pump pump, bint take):
    """{node id: its maxima()}."""
    cdef kp_node_stats *node = pump.core.stats.nodes
    found = {}
    while node is not NULL:
        found[node.id] = {
            "request_bytes": window_of(&node.request_bytes, take),
            "throttle_ns": window_of(&node.throttle_ns, take),
            "request": window_of(&node.latency.max_ns, take),
        }
        node = node.next
    return found


def topics(Pump pump):
    """{topic: sums of its partitions' counters by name}, of those with metadata."""
    cdef kp_topic *topic = kp_core_first_topic(pump.core)
    cdef kp_topic_counts counts
    cdef int i
    found = {}
    while topic is not NULL:
        counts = kp_topic_count(topic)
        if counts.partitions > 0:
            sums = {OF_PARTITION[i]: counts.sums[i] for i in range(KP_PARTITION_COUNTER_COUNT)}
            sums["most_records"] = counts.most_records
            sums["partitions"] = counts.partitions
            found[topic_name(topic)] = sums
        topic = topic.next
    return found


def partitions(Pump pump):
    """{(topic, partition): counters by name}."""
    cdef kp_topic *topic = kp_core_first_topic(pump.core)
    cdef kp_partition_table *table
    cdef int i
    found = {}
    while topic is not NULL:
        table = kp_topic_table(topic)
        name = topic_name(topic)
        for i in range(0 if table is NULL else table.count):
            found[name, i] = named(OF_PARTITION, table.items[i].counters)
        topic = topic.next
    return found
