/* Purpose: buffer.memory: slabs of batch.size and larger single buffers under one hard bound.
 * Thread:  any.
 * Locks:   the pool's own; it is the last but two in the lock order (topic, partition, pool, result, queue).
 * Frees:   a chunk belongs to its taker until kp_pool_give; kp_pool_free frees the cached slabs. */
#ifndef KP_POOL_H
#define KP_POOL_H

#include <stdatomic.h>

#include "kp_list.h"
#include "kp_os.h"

typedef struct kp_chunk {
    uint8_t *data;
    size_t size;
} kp_chunk;

typedef struct kp_pool {
    kp_mutex lock;
    kp_cond cond;
    kp_list waiters;      /* in order of arrival: a large request is not starved by small ones */
    atomic_int n_waiting; /* read by the pump without the lock: somebody waits, so every batch is ready */
    size_t slab_size;
    size_t limit;
    size_t used;   /* handed out */
    size_t cached; /* bytes of free slabs kept for the next taker; used + cached <= limit */
    uint8_t **free_slabs;
    size_t n_free, cap_free;
    uint64_t wait_ns; /* total time that callers waited, for bufferpool-wait-time-ns-total */
    uint64_t exhausted; /* waits that ended in a timeout */
} kp_pool;

kp_status kp_pool_init(kp_pool *pool, size_t slab_size, size_t limit);
void kp_pool_free(kp_pool *pool);

/* KP_OK, KP_AGAIN when it does not fit now or others wait, KP_ERR_TOO_LARGE, KP_ERR_NOMEM. */
kp_status kp_pool_take(kp_pool *pool, size_t size, kp_chunk *out);

/* One caller's place in the queue. Begin, wait in slices, end (also when the wait was given up). */
typedef struct kp_pool_waiter {
    kp_link link;
    size_t size;
    kp_chunk granted;
    kp_status status;
    int64_t since_ns;
} kp_pool_waiter;

void kp_pool_wait_begin(kp_pool *pool, kp_pool_waiter *w, size_t size);
/* KP_OK: w->granted is the caller's. KP_AGAIN: the slice is over. KP_ERR_CLOSED, KP_ERR_NOMEM. */
kp_status kp_pool_wait(kp_pool *pool, kp_pool_waiter *w, int64_t slice_deadline_ns);
void kp_pool_wait_end(kp_pool *pool, kp_pool_waiter *w, bool timed_out);

void kp_pool_give(kp_pool *pool, kp_chunk *chunk);
void kp_pool_close(kp_pool *pool); /* wakes all waiters with KP_ERR_CLOSED */

size_t kp_pool_available(kp_pool *pool);
typedef struct kp_pool_counts {
    size_t available;
    uint64_t wait_ns, exhausted;
    int waiting;
} kp_pool_counts;
kp_pool_counts kp_pool_count(kp_pool *pool);
/* Serves whom it can; is somebody left without? */
bool kp_pool_is_short(kp_pool *pool);

#endif
