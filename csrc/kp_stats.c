#include "kp_stats.h"

#include <stdlib.h>

#include "kp_varint.h"

#define KP_COUNTER_NAME(name) #name,

const char *kp_counter_name(kp_counter_id id) {
    static const char *const names[KP_COUNTER_COUNT] = {KP_COUNTERS(KP_COUNTER_NAME)};
    return names[id];
}

const char *kp_partition_counter_name(kp_partition_counter_id id) {
    static const char *const names[KP_PARTITION_COUNTER_COUNT] = {KP_PARTITION_COUNTERS(KP_COUNTER_NAME)};
    return names[id];
}

const char *kp_node_counter_name(kp_node_counter_id id) {
    static const char *const names[KP_NODE_COUNTER_COUNT] = {KP_NODE_COUNTERS(KP_COUNTER_NAME)};
    return names[id];
}

const char *kp_max_name(kp_max_id id) {
    static const char *const names[KP_MAX_COUNT] = {KP_MAXIMA(KP_COUNTER_NAME)};
    return names[id];
}

/* --- brokers --- */

kp_node_stats *kp_stats_node(kp_stats *stats, int32_t id) {
    for (kp_node_stats *n = atomic_load(&stats->nodes); n != NULL; n = n->next) {
        if (n->id == id) {
            return n;
        }
    }
    kp_node_stats *node = calloc(1, sizeof *node);
    if (node != NULL) {
        node->id = id;
        node->next = atomic_load(&stats->nodes);
        atomic_store_explicit(&stats->nodes, node, memory_order_release);
    }
    return node;
}

void kp_stats_free(kp_stats *stats) {
    for (kp_node_stats *n = atomic_load(&stats->nodes), *next; n != NULL; n = next) {
        next = n->next;
        free(n);
    }
}

/* --- histograms --- */

/* Bucket 4*k + q holds [2^k * (4+q)/4, 2^k * (5+q)/4) microseconds; everything under 4 us is exact. */
static int bucket_of(uint64_t us) {
    if (us < 4) {
        return (int)us;
    }
    const unsigned width = kp_bit_width64(us); /* >= 3 */
    const int bucket = (int)((width - 2) * 4 + ((us >> (width - 3)) & 3));
    return bucket < KP_HIST_BUCKETS ? bucket : KP_HIST_BUCKETS - 1;
}

int64_t kp_hist_bucket_limit_us(int bucket) {
    if (bucket < 4) {
        return bucket + 1;
    }
    return (int64_t)(5 + bucket % 4) << (bucket / 4 - 1);
}

void kp_hist_add(kp_hist *h, int64_t ns) {
    const uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    kp_max_note(&h->max_ns, value); /* first: who ends a window takes the maximum before the counts */
    kp_counter_add(&h->buckets[bucket_of(value / 1000)], 1);
    kp_counter_add(&h->count, 1);
    kp_counter_add(&h->sum_ns, value);
}
