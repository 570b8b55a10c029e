#include "kp_stats.h"

#include "kp_varint.h"

const char *kp_counter_name(kp_counter_id id) {
    static const char *const names[KP_COUNTER_COUNT] = {
#define KP_COUNTER_NAME(name) #name,
        KP_COUNTERS(KP_COUNTER_NAME)
#undef KP_COUNTER_NAME
    };
    return names[id];
}

const char *kp_partition_counter_name(kp_partition_counter_id id) {
    static const char *const names[KP_PARTITION_COUNTER_COUNT] = {
#define KP_COUNTER_NAME(name) #name,
        KP_PARTITION_COUNTERS(KP_COUNTER_NAME)
#undef KP_COUNTER_NAME
    };
    return names[id];
}

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
    kp_counter_add(&h->buckets[bucket_of(value / 1000)], 1);
    kp_counter_add(&h->count, 1);
    kp_counter_add(&h->sum_ns, value);
    if (value > kp_counter_get(&h->max_ns)) {
        atomic_store_explicit(&h->max_ns, value, memory_order_relaxed);
    }
}
