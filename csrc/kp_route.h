/* Purpose: which partition a record goes to: the one it names, by a hash of its key, or the sticky one (KIP-794).
 * Thread:  any number of app threads.
 * Locks:   the topic's, to pick another sticky partition: once for each batch.size bytes.
 * Frees:   nothing is allocated here. */
#ifndef KP_ROUTE_H
#define KP_ROUTE_H

#include "kp_core.h"
#include "kp_murmur2.h"

/* librdkafka's names: consistent, consistent_random, murmur2, murmur2_random, fnv1a, fnv1a_random, random.
 * KP_ERR_INVALID: there is none of this name. */
kp_status kp_partitioner_named(const char *name, kp_partitioner *out);

/* The hash that is taken modulo the number of partitions; key_len -1 or 0: of no bytes. Not of KP_HASH_NONE. */
uint32_t kp_route_hash(kp_key_hash hash, const uint8_t *key, int64_t key_len);

/* The rare cases of kp_route. */
int32_t kp_route_by_key(kp_topic *topic, const kp_record *r, int32_t live);
int32_t kp_route_switch(kp_topic *topic, const kp_partition_table *table, int32_t live, int32_t full);

/* Less than batch.size has gone to the sticky partition, so it stays. */
static inline int32_t kp_route_sticky(kp_topic *topic, const kp_partition_table *table, int32_t live) {
    const int32_t sticky = atomic_load_explicit(&topic->sticky, memory_order_relaxed);
    const int64_t bytes = atomic_load_explicit(&topic->sticky_bytes, memory_order_relaxed);
    if (kp_likely(sticky >= 0 && sticky < live && bytes < (int64_t)topic->core->config.batch_size)) {
        return sticky;
    }
    return kp_route_switch(topic, table, live, sticky);
}

/* KP_AGAIN: no (such) partition is known. wanted: -1 if the record names none. */
static inline kp_status kp_route(kp_topic *topic, const kp_record *r, int32_t wanted, kp_partition **out,
                                 bool *is_sticky) {
    const kp_partitioner *by = &topic->core->config.partitioner;
    const int32_t live = kp_topic_live(topic); /* before the table, which is never smaller */
    kp_partition_table *table = kp_topic_table(topic);
    if (live == 0 || wanted >= live) {
        return KP_AGAIN;
    }
    int32_t index = wanted;
    *is_sticky = false;
    if (index < 0 && r->key_len >= by->least_key_len) {
        index = kp_likely(by->hash == KP_HASH_MURMUR2 && r->key_len >= 0)
                    ? kp_murmur2_partition(r->key, (size_t)r->key_len, live)
                    : kp_route_by_key(topic, r, live);
    } else if (index < 0) {
        index = kp_route_sticky(topic, table, live);
        *is_sticky = true;
    }
    *out = table->items[index];
    return KP_OK;
}

/* Two threads at once may lose one of two sums: the partition changes a little later, which a locked add for each
 * record is not worth. */
static inline void kp_route_add_sticky(kp_topic *topic, size_t n) {
    const int64_t bytes = atomic_load_explicit(&topic->sticky_bytes, memory_order_relaxed);
    atomic_store_explicit(&topic->sticky_bytes, bytes + (int64_t)n, memory_order_relaxed);
}

/* Bytes that may still go to the sticky partition; at least 1, since a record is not cut. */
static inline size_t kp_route_sticky_room(kp_topic *topic) {
    const int64_t bytes = atomic_load_explicit(&topic->sticky_bytes, memory_order_relaxed);
    return (size_t)kp_max_i64((int64_t)topic->core->config.batch_size - bytes, 1);
}

#endif
