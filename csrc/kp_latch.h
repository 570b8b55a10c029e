/* Purpose: a lock for sections of well under a microsecond in which two threads hardly ever meet.
 * Thread:  any.
 * Locks:   is one. It costs one locked instruction, where a mutex costs two: unlocking is a plain store.
 *          Who finds it taken spins, then yields, then sleeps for moments, so that a holder that lost its core gets on.
 * Frees:   nothing to free; all zeros is open. */
#ifndef KP_LATCH_H
#define KP_LATCH_H

#include <stdatomic.h>

#include "kp_base.h"

typedef struct kp_latch {
    atomic_bool is_taken;
} kp_latch;

static inline bool kp_latch_try(kp_latch *l) { return !atomic_exchange_explicit(&l->is_taken, true, memory_order_acquire); }

void kp_latch_wait(kp_latch *l); /* until it is ours */

static inline void kp_latch_lock(kp_latch *l) {
    if (kp_unlikely(!kp_latch_try(l))) {
        kp_latch_wait(l);
    }
}

static inline void kp_latch_unlock(kp_latch *l) { atomic_store_explicit(&l->is_taken, false, memory_order_release); }

#endif
