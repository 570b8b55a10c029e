/* Purpose: counters and time histograms, bumped per batch or request, read at any time without a lock.
 * Thread:  written by the pump (unless said), read by any.
 * Locks:   none: relaxed atomics.
 * Frees:   nothing is allocated. */
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
    X(records_dropped) X(dead_letters_dropped)

typedef enum kp_counter_id {
#define KP_COUNTER_ENUM(name) KP_C_##name,
    KP_COUNTERS(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_COUNTER_COUNT
} kp_counter_id;

/* Of one partition. A record that is sent again counts again as sent, and once among the retries. */
#define KP_PARTITION_COUNTERS(X)                                                                                       \
    X(records_sent) X(batches_sent) X(raw_bytes) X(wire_bytes) X(record_retries) X(records_acked) X(records_failed)    \
    X(batches_acked) X(batches_failed)

typedef enum kp_partition_counter_id {
#define KP_COUNTER_ENUM(name) KP_P_##name,
    KP_PARTITION_COUNTERS(KP_COUNTER_ENUM)
#undef KP_COUNTER_ENUM
        KP_PARTITION_COUNTER_COUNT
} kp_partition_counter_id;

/* Four buckets for each power of two of microseconds: percentiles within 19 %. */
enum { KP_HIST_BUCKETS = 4 * 40 };

typedef struct kp_hist {
    kp_counter buckets[KP_HIST_BUCKETS];
    kp_counter count, sum_ns, max_ns;
} kp_hist;

typedef enum kp_hist_id { KP_H_QUEUE = 0, KP_H_REQUEST, KP_H_DELIVERY, KP_HIST_COUNT } kp_hist_id;

typedef struct kp_stats {
    kp_counter counters[KP_COUNTER_COUNT];
    kp_hist hists[KP_HIST_COUNT];
} kp_stats;

const char *kp_counter_name(kp_counter_id id);
const char *kp_partition_counter_name(kp_partition_counter_id id);
int64_t kp_hist_bucket_limit_us(int bucket); /* upper bound, in microseconds */
void kp_hist_add(kp_hist *h, int64_t ns);

static inline uint64_t kp_counter_get(const kp_counter *c) {
    return atomic_load_explicit((kp_counter *)(uintptr_t)c, memory_order_relaxed);
}

static inline void kp_counter_add(kp_counter *c, uint64_t n) {
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

#define KP_COUNT_PARTITION(p, name, n) kp_counter_add(&(p)->counters[KP_P_##name], (uint64_t)(n))
#define KP_COUNT(core, name, n) kp_counter_add(&(core)->stats.counters[KP_C_##name], (uint64_t)(n))

#endif
