#include "kp_pool.h"

#include <stdlib.h>

/* Who waits is served once a good part of the memory is free, or after a moment: while the network is the limit a
 * thread then sleeps through many batches and fills many at once, instead of being woken for each of them. */
enum { SERVED_SHARE = 16, SERVED_AFTER_NS = 500000 };

kp_status kp_pool_init(kp_pool *pool, size_t slab_size, size_t limit) {
    kp_mutex_init(&pool->lock);
    kp_cond_init(&pool->cond);
    kp_list_init(&pool->waiters);
    atomic_init(&pool->n_waiting, 0);
    pool->slab_size = slab_size;
    pool->limit = limit;
    pool->used = pool->cached = 0;
    pool->n_free = pool->cap_free = 0;
    pool->free_slabs = NULL;
    pool->wait_ns = pool->exhausted = 0;
    return KP_OK;
}

static void release_cache(kp_pool *pool, size_t until) {
    while (pool->cached > until && pool->n_free > 0) {
        free(pool->free_slabs[--pool->n_free]);
        pool->cached -= pool->slab_size;
    }
}

void kp_pool_free(kp_pool *pool) {
    release_cache(pool, 0);
    free(pool->free_slabs);
    kp_mutex_destroy(&pool->lock);
    kp_cond_destroy(&pool->cond);
}

static kp_status take_slab_locked(kp_pool *pool, kp_chunk *out) {
    if (pool->n_free > 0) {
        out->data = pool->free_slabs[--pool->n_free];
        pool->cached -= pool->slab_size;
    } else {
        out->data = malloc(pool->slab_size);
        if (out->data == NULL) {
            return KP_ERR_NOMEM;
        }
    }
    out->size = pool->slab_size;
    pool->used += pool->slab_size;
    return KP_OK;
}

static kp_status take_locked(kp_pool *pool, size_t size, kp_chunk *out) {
    const bool is_slab = size <= pool->slab_size;
    const size_t want = is_slab ? pool->slab_size : size;
    if (want > pool->limit - pool->used) {
        return KP_AGAIN;
    }
    if (is_slab && pool->n_free > 0) {
        return take_slab_locked(pool, out);
    }
    release_cache(pool, pool->limit - pool->used - want);
    if (is_slab) {
        return take_slab_locked(pool, out);
    }
    out->data = malloc(want);
    if (out->data == NULL) {
        return KP_ERR_NOMEM;
    }
    out->size = want;
    pool->used += want;
    return KP_OK;
}

kp_status kp_pool_take(kp_pool *pool, size_t size, kp_chunk *out) {
    if (kp_max_size(size, pool->slab_size) > pool->limit) {
        return KP_ERR_TOO_LARGE;
    }
    kp_mutex_lock(&pool->lock);
    const kp_status status = kp_list_is_empty(&pool->waiters) ? take_locked(pool, size, out) : KP_AGAIN;
    kp_mutex_unlock(&pool->lock);
    return status;
}

void kp_pool_wait_begin(kp_pool *pool, kp_pool_waiter *w, size_t size) {
    *w = (kp_pool_waiter){.size = size, .status = KP_AGAIN, .since_ns = kp_clock_ns()};
    kp_mutex_lock(&pool->lock);
    kp_list_push_back(&pool->waiters, &w->link);
    atomic_fetch_add(&pool->n_waiting, 1);
    kp_mutex_unlock(&pool->lock);
}

/* Serves from the front only, so that order of arrival is order of service. */
static void serve_waiters_locked(kp_pool *pool) {
    bool served = false;
    for (kp_link *n = kp_list_first(&pool->waiters); n != NULL; n = kp_list_first(&pool->waiters)) {
        kp_pool_waiter *w = KP_OWNER(n, kp_pool_waiter, link);
        const kp_status status = take_locked(pool, w->size, &w->granted);
        if (status == KP_AGAIN) {
            break;
        }
        w->status = status;
        kp_list_remove(n);
        served = true;
    }
    if (served) {
        kp_cond_broadcast(&pool->cond);
    }
}

static bool is_time_to_serve(const kp_pool *pool) {
    const kp_link *front = pool->waiters.head.next;
    return pool->limit - pool->used >= pool->limit / SERVED_SHARE ||
           kp_clock_ns() - KP_OWNER(front, kp_pool_waiter, link)->since_ns >= SERVED_AFTER_NS;
}

/* The condition is everybody's: others who are served wake this one too. */
static void sleep_locked(kp_pool *pool, const kp_pool_waiter *w, int64_t until) {
    bool in_time = true;
    while (w->status == KP_AGAIN && in_time) {
        in_time = kp_cond_wait_until(&pool->cond, &pool->lock, until);
    }
}

kp_status kp_pool_wait(kp_pool *pool, kp_pool_waiter *w, int64_t slice_deadline_ns) {
    const int64_t moment_ends = w->since_ns + SERVED_AFTER_NS;
    kp_mutex_lock(&pool->lock);
    serve_waiters_locked(pool);
    if (moment_ends < slice_deadline_ns) {
        sleep_locked(pool, w, moment_ends);
        serve_waiters_locked(pool); /* what came back within the moment woke nobody */
    }
    sleep_locked(pool, w, slice_deadline_ns);
    const kp_status status = w->status;
    kp_mutex_unlock(&pool->lock);
    return status;
}

static void give_locked(kp_pool *pool, kp_chunk *chunk) {
    pool->used -= chunk->size;
    if (chunk->size == pool->slab_size && pool->n_free == pool->cap_free) {
        const size_t cap = pool->cap_free == 0 ? 64 : pool->cap_free * 2;
        uint8_t **slabs = realloc(pool->free_slabs, cap * sizeof *slabs);
        if (slabs != NULL) {
            pool->free_slabs = slabs;
            pool->cap_free = cap;
        }
    }
    if (chunk->size == pool->slab_size && pool->n_free < pool->cap_free) {
        pool->free_slabs[pool->n_free++] = chunk->data;
        pool->cached += chunk->size;
    } else {
        free(chunk->data);
    }
    *chunk = (kp_chunk){0};
}

void kp_pool_wait_end(kp_pool *pool, kp_pool_waiter *w, bool timed_out) {
    kp_mutex_lock(&pool->lock);
    if (kp_link_is_linked(&w->link)) {
        kp_list_remove(&w->link);
    }
    atomic_fetch_sub(&pool->n_waiting, 1);
    pool->wait_ns += (uint64_t)(kp_clock_ns() - w->since_ns);
    pool->exhausted += timed_out ? 1 : 0;
    serve_waiters_locked(pool); /* whoever stood behind this one may fit now */
    kp_mutex_unlock(&pool->lock);
}

void kp_pool_give(kp_pool *pool, kp_chunk *chunk) {
    if (chunk->data == NULL) {
        return;
    }
    kp_mutex_lock(&pool->lock);
    give_locked(pool, chunk);
    if (!kp_list_is_empty(&pool->waiters) && is_time_to_serve(pool)) {
        serve_waiters_locked(pool);
    }
    kp_mutex_unlock(&pool->lock);
}

void kp_pool_close(kp_pool *pool) {
    kp_mutex_lock(&pool->lock);
    for (kp_link *n = kp_list_pop_front(&pool->waiters); n != NULL; n = kp_list_pop_front(&pool->waiters)) {
        KP_OWNER(n, kp_pool_waiter, link)->status = KP_ERR_CLOSED;
    }
    kp_cond_broadcast(&pool->cond);
    kp_mutex_unlock(&pool->lock);
}

size_t kp_pool_available(kp_pool *pool) {
    kp_mutex_lock(&pool->lock);
    const size_t available = pool->limit - pool->used;
    kp_mutex_unlock(&pool->lock);
    return available;
}

kp_pool_counts kp_pool_count(kp_pool *pool) {
    kp_mutex_lock(&pool->lock);
    const kp_pool_counts counts = {.available = pool->limit - pool->used,
                                   .wait_ns = pool->wait_ns,
                                   .exhausted = pool->exhausted,
                                   .waiting = atomic_load(&pool->n_waiting)};
    kp_mutex_unlock(&pool->lock);
    return counts;
}

bool kp_pool_is_short(kp_pool *pool) {
    kp_mutex_lock(&pool->lock);
    serve_waiters_locked(pool);
    const bool is_short = !kp_list_is_empty(&pool->waiters);
    kp_mutex_unlock(&pool->lock);
    return is_short;
}
