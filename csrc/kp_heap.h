/* Purpose: binary heap of timers, ordered by deadline; a timer knows its place, so it moves in O(log n).
 * Thread:  whoever owns the heap; no atomics.
 * Locks:   none.
 * Frees:   kp_heap_free frees the array; timers are embedded in their owners. */
#ifndef KP_HEAP_H
#define KP_HEAP_H

#include "kp_base.h"

typedef struct kp_timer {
    int64_t at; /* ns of the monotonic clock */
    size_t slot; /* 1-based; 0 while not in the heap */
} kp_timer;

typedef struct kp_heap {
    kp_timer **slots; /* [0] is unused */
    size_t count, cap;
} kp_heap;

void kp_heap_free(kp_heap *h);
/* Room for one more timer, so that kp_heap_set cannot fail later. */
kp_status kp_heap_reserve(kp_heap *h, size_t count);
void kp_heap_set(kp_heap *h, kp_timer *t, int64_t at); /* insert or move */
void kp_heap_remove(kp_heap *h, kp_timer *t);          /* nothing happens when it is not in */
kp_timer *kp_heap_first(const kp_heap *h);

#endif
