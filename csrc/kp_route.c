#include "kp_route.h"

#include <string.h>

#include "kp_crc32.h"

/* --- by key --- */

kp_status kp_partitioner_named(const char *name, kp_partitioner *out) {
    static const struct {
        const char *name;
        kp_partitioner partitioner;
    } known[] = {
        {"murmur2_random", {KP_HASH_MURMUR2, 0}}, /* Java's */
        {"murmur2", {KP_HASH_MURMUR2, -1}},
        {"consistent_random", {KP_HASH_CRC32, 1}}, /* librdkafka's default, to which an empty key is none */
        {"consistent", {KP_HASH_CRC32, -1}},
        {"fnv1a_random", {KP_HASH_FNV1A, 0}},
        {"fnv1a", {KP_HASH_FNV1A, -1}},
        {"random", {KP_HASH_NONE, 0}}, /* draws for each key, and is sticky without one */
    };
    for (size_t i = 0; i < KP_ARRAY_LEN(known); i++) {
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].partitioner;
            return KP_OK;
        }
    }
    return KP_ERR_INVALID;
}

/* Sarama's and librdkafka's: the sum read as a signed number, and without its sign. */
static uint32_t fnv1a(const uint8_t *key, size_t len) {
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ key[i]) * 0x01000193u;
    }
    return h > (uint32_t)INT32_MAX ? 0u - h : h;
}

uint32_t kp_route_hash(kp_key_hash hash, const uint8_t *key, int64_t key_len) {
    const size_t len = (size_t)kp_max_i64(key_len, 0);
    switch (hash) {
    case KP_HASH_MURMUR2:
        return (uint32_t)kp_murmur2(key, len) & (uint32_t)INT32_MAX;
    case KP_HASH_CRC32:
        return kp_crc32(0, key, len);
    case KP_HASH_FNV1A:
        return fnv1a(key, len);
    case KP_HASH_NONE:
        break;
    }
    return 0;
}

/* --- without a key --- */

static uint64_t next_random(kp_topic *topic) { /* splitmix64: spread, not secrecy; any thread */
    uint64_t x = atomic_fetch_add_explicit(&topic->random, 0x9e3779b97f4a7c15u, memory_order_relaxed);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int32_t n_queued(const kp_partition *p) {
    return atomic_load_explicit((atomic_int *)(uintptr_t)&p->n_queued, memory_order_relaxed);
}

static bool has_leader(const kp_partition *p) {
    return atomic_load_explicit((atomic_int *)(uintptr_t)&p->leader, memory_order_relaxed) >= 0;
}

static bool is_available(const kp_partition *p) {
    return has_leader(p) && !atomic_load_explicit((atomic_bool *)(uintptr_t)&p->is_away, memory_order_relaxed);
}

int32_t kp_route_by_key(kp_topic *topic, const kp_record *r, int32_t live) {
    const kp_key_hash hash = topic->core->config.partitioner.hash;
    if (hash != KP_HASH_NONE) {
        return (int32_t)(kp_route_hash(hash, r->key, r->key_len) % (uint32_t)live);
    }
    const int32_t at = (int32_t)(next_random(topic) % (uint64_t)live);
    /* One more draw, as in librdkafka: a partition without a leader gets few records, and the draw has an end. */
    return is_available(kp_topic_table(topic)->items[at]) ? at : (int32_t)(next_random(topic) % (uint64_t)live);
}

/* A look at all queues is due so seldom that a switch reads about LOOK of them, however many there are. */
enum { LOOK = 8 };

static void look_at_queues(kp_topic *topic, const kp_partition_table *table, int32_t live) {
    if (topic->look_after > 0) {
        topic->look_after--;
        return;
    }
    topic->look_after = live / LOOK;
    topic->shortest = INT32_MAX;
    topic->longest = 0;
    for (int32_t i = 0; i < live; i++) {
        if (is_available(table->items[i])) {
            const int32_t n = n_queued(table->items[i]);
            topic->shortest = n < topic->shortest ? n : topic->shortest;
            topic->longest = n > topic->longest ? n : topic->longest;
        }
    }
}

/* KIP-794's weights, longest + 1 - queued, as chances: 1 for the shortest queue. */
static bool is_drawn(kp_topic *topic, int32_t queued) {
    if (queued <= topic->shortest) {
        return true;
    }
    const int64_t whole = (int64_t)topic->longest + 1 - topic->shortest;
    const int64_t weight = kp_max_i64((int64_t)topic->longest + 1 - queued, 1); /* it has grown since the look */
    return whole <= 1 || (int64_t)(next_random(topic) % (uint64_t)whole) < weight;
}

enum { DRAWS = 64 };

/* Takes turns, from a random start, and passes over those who draw a blank: over time each gets its weight, and while
 * all queues are alike, consecutive batches go to different partitions, so that one request can carry them. */
static int32_t pick(kp_topic *topic, const kp_partition_table *table, int32_t live, uint32_t start,
                    bool (*is_eligible)(const kp_partition *)) {
    const bool is_adaptive = topic->core->config.is_adaptive;
    const uint32_t count = (uint32_t)live;
    int32_t best = -1, least = INT32_MAX;
    int draws = 0;
    for (uint32_t i = 0; i < count && draws < DRAWS; i++) {
        const int32_t at = (int32_t)((start + i) % count);
        if (!is_eligible(table->items[at])) {
            continue;
        }
        const int32_t queued = n_queued(table->items[at]);
        if (!is_adaptive || is_drawn(topic, queued)) {
            return at;
        }
        best = queued < least ? at : best;
        least = queued < least ? queued : least;
        draws++;
    }
    return best;
}

/* KIP-480: one with a leader, or any if none has. KIP-794: one whose node takes batches, or any if none does. */
static int32_t pick_sticky(kp_topic *topic, const kp_partition_table *table, int32_t live, int32_t last) {
    const uint32_t start = last >= 0 ? (uint32_t)last + 1 : (uint32_t)next_random(topic);
    if (topic->core->config.is_adaptive) {
        look_at_queues(topic, table, live);
    }
    int32_t at = pick(topic, table, live, start, is_available);
    at = at >= 0 ? at : pick(topic, table, live, start, has_leader);
    return at >= 0 ? at : (int32_t)(start % (uint32_t)live);
}

/* KIP-794: another partition once batch.size bytes went to this one. `full` is the partition to leave. */
int32_t kp_route_switch(kp_topic *topic, const kp_partition_table *table, int32_t live, int32_t full) {
    kp_mutex_lock(&topic->lock);
    int32_t sticky = atomic_load_explicit(&topic->sticky, memory_order_relaxed);
    if (sticky == full || sticky >= live) {
        sticky = pick_sticky(topic, table, live, sticky);
        atomic_store_explicit(&topic->sticky_bytes, 0, memory_order_relaxed);
        atomic_store_explicit(&topic->sticky, sticky, memory_order_relaxed);
    }
    kp_mutex_unlock(&topic->lock);
    return sticky;
}
