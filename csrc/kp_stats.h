/* Purpose: counters, maxima and time histograms, bumped per batch or request, read at any time without a lock.
 * Thread:  written by the pump (unless said), read by any. The maximum of a window is taken by one thread at a time.
 * Locks:   none: relaxed atomics.
 * Frees:   kp_stats_free frees the brokers' share; the rest is part of its owner. */
#ifndef KP_STATS_H
#define KP_STATS_H

#include <stdatomic.h>

#include "kp_base.h"

typedef atomic_ullong kp_counter;

#define KP_COUNTERS(X)                                                                                                 \
    X(records_acked) X(records_failed) X(record_retries) X(batches_acked) X(batches_failed) X(batches_sent)            \
    X(batch_splits) X(records_sent) X(raw_bytes) X(wire_bytes) X(requests)          \
    X(responses) X(requests_in_flight) X(outgoing_bytes) X(incoming_bytes) X(connections_adopted)                      \
    X(connections_closed) X(connections) X(throttle_ns) X(stale_commands) X(late_acks) X(pump_steps) X(pump_polls)     \
    X(pump_wakes) X(protocol_errors)                                                                                   \
    X(records_dropped) X(dead_letters_dropped) X(bytes_acked) X(request_bytes)                                         \
    X(flush_ns) X(metadata_wait_ns) /* by the threads that waited */

typedef enum kp_counter_id {
#define KP_COUNTER_ENUM(name) KP_C_##name,
    KP_COUNTERS(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_COUNTER_COUNT
} kp_counter_id;

/* Of one partition. A record that is sent again counts again as sent, and once among the retries. The last three are
 * no counts but what holds now: batches without an outcome (by appenders too), those in flight, last offset + 1. */
#define KP_PARTITION_COUNTERS(X)                                                                                       \
    X(records_sent) X(batches_sent) X(raw_bytes) X(wire_bytes) X(record_retries) X(records_acked) X(records_failed)    \
    X(batches_acked) X(batches_failed) X(bytes_acked) X(batches_pending) X(batches_in_flight) X(next_offset)

typedef enum kp_partition_counter_id {
#define KP_COUNTER_ENUM(name) KP_P_##name,
    KP_PARTITION_COUNTERS(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_PARTITION_COUNTER_COUNT
} kp_partition_counter_id;

/* Of one broker, under the names that they have for all of them. */
#define KP_NODE_COUNTERS(X)                                                                                            \
    X(requests) X(responses) X(requests_in_flight) X(outgoing_bytes) X(incoming_bytes) X(request_bytes) X(throttle_ns)

typedef enum kp_node_counter_id {
#define KP_COUNTER_ENUM(name) KP_N_##name,
    KP_NODE_COUNTERS(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_NODE_COUNTER_COUNT
} kp_node_counter_id;

/* The largest value of the whole run, and the largest since it was last taken: a window's. */
typedef struct kp_max {
    kp_counter run, window;
} kp_max;

#define KP_MAXIMA(X) X(batch_bytes) X(record_bytes) X(request_bytes) X(throttle_ns)

typedef enum kp_max_id {
#define KP_COUNTER_ENUM(name) KP_M_##name,
    KP_MAXIMA(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_MAX_COUNT
} kp_max_id;

/* Four buckets for each power of two of microseconds: a limit is at most 25 % above what it bounds. */
enum { KP_HIST_BUCKETS = 4 * 40 };

typedef struct kp_hist {
    kp_counter buckets[KP_HIST_BUCKETS];
    kp_counter count, sum_ns;
    kp_max max_ns;
} kp_hist;

typedef enum kp_hist_id { KP_H_QUEUE = 0, KP_H_REQUEST, KP_H_DELIVERY, KP_HIST_COUNT } kp_hist_id;

/* Of the produce connections to one broker, whatever their number. */
typedef struct kp_node_stats {
    struct kp_node_stats *next;
    int32_t id;
    kp_counter counters[KP_NODE_COUNTER_COUNT];
    kp_max request_bytes, throttle_ns;
    kp_hist latency;
} kp_node_stats;

typedef struct kp_stats {
    kp_counter counters[KP_COUNTER_COUNT];
    kp_max maxima[KP_MAX_COUNT];
    kp_hist hists[KP_HIST_COUNT];
    _Atomic(kp_node_stats *) nodes; /* only grows */
} kp_stats;

kp_node_stats *kp_stats_node(kp_stats *stats, int32_t id); /* pump: finds or makes; NULL: no memory */
void kp_stats_free(kp_stats *stats);

const char *kp_counter_name(kp_counter_id id);
const char *kp_partition_counter_name(kp_partition_counter_id id);
const char *kp_node_counter_name(kp_node_counter_id id);
const char *kp_max_name(kp_max_id id);
int64_t kp_hist_bucket_limit_us(int bucket); /* upper bound, in microseconds */
void kp_hist_add(kp_hist *h, int64_t ns);

static inline uint64_t kp_counter_get(const kp_counter *c) {
    return atomic_load_explicit((kp_counter *)(uintptr_t)c, memory_order_relaxed);
}

static inline void kp_counter_add(kp_counter *c, uint64_t n) {
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* Of something that is no count; one writer. */
static inline void kp_counter_set(kp_counter *c, uint64_t value) { atomic_store_explicit(c, value, memory_order_relaxed); }

static inline void kp_max_note(kp_max *m, uint64_t value) {
    if (value > kp_counter_get(&m->window)) {
        kp_counter_set(&m->window, value);
        if (value > kp_counter_get(&m->run)) {
            kp_counter_set(&m->run, value);
        }
    }
}

/* The window ends. A value that is noted at this moment belongs to the old one or to the new one. */
static inline uint64_t kp_max_take(kp_max *m) { return atomic_exchange_explicit(&m->window, 0, memory_order_relaxed); }

#define KP_COUNT_PARTITION(p, name, n) kp_counter_add(&(p)->counters[KP_P_##name], (uint64_t)(n))
#define KP_NOTE_MAX(core, name, n) kp_max_note(&(core)->stats.maxima[KP_M_##name], (uint64_t)(n))
#define KP_COUNT(core, name, n) kp_counter_add(&(core)->stats.counters[KP_C_##name], (uint64_t)(n))

#endif
