/* Flush tickets: batches count themselves into the generation that is current when they open. */
#include "kp_core.h"

uint32_t kp_flush_enter(kp_core *core) {
    for (;;) {
        const uint32_t gen = atomic_load(&core->flush_gen);
        atomic_fetch_add(&core->pending[gen % KP_FLUSH_GENS], 1);
        if (kp_likely(atomic_load(&core->flush_gen) == gen)) {
            return gen;
        }
        kp_flush_leave(core, gen); /* a flush began in between: this batch belongs to the next one */
    }
}

void kp_flush_leave(kp_core *core, uint32_t gen) {
    if (atomic_fetch_sub(&core->pending[gen % KP_FLUSH_GENS], 1) == 1 && atomic_load(&core->urgent) > 0) {
        kp_mutex_lock(&core->wait_lock);
        kp_cond_broadcast(&core->flush_cond);
        kp_mutex_unlock(&core->wait_lock);
    }
}

static void advance_oldest_locked(kp_core *core) {
    const uint32_t newest = atomic_load(&core->flush_gen);
    while (core->oldest_gen != newest && atomic_load(&core->pending[core->oldest_gen % KP_FLUSH_GENS]) == 0) {
        core->oldest_gen++;
    }
}

uint32_t kp_flush_begin(kp_core *core) {
    atomic_fetch_add(&core->urgent, 1);
    kp_mutex_lock(&core->wait_lock);
    advance_oldest_locked(core);
    uint32_t ticket = atomic_load(&core->flush_gen);
    /* With every counter in use this flush also waits for what is appended until one is free. */
    if (ticket + 1 - core->oldest_gen < KP_FLUSH_GENS) {
        atomic_fetch_add(&core->flush_gen, 1);
    }
    kp_mutex_unlock(&core->wait_lock);
    kp_core_hurry(core);
    return ticket;
}

static bool flush_is_done_locked(kp_core *core, uint32_t ticket) {
    for (uint32_t gen = core->oldest_gen; (int32_t)(ticket - gen) >= 0; gen++) {
        if (atomic_load(&core->pending[gen % KP_FLUSH_GENS]) != 0) {
            return false;
        }
    }
    return true;
}

kp_status kp_flush_wait(kp_core *core, uint32_t ticket, int64_t slice_deadline_ns) {
    bool in_time = true;
    kp_mutex_lock(&core->wait_lock);
    bool done = flush_is_done_locked(core, ticket);
    while (!done && in_time) {
        in_time = kp_cond_wait_until(&core->flush_cond, &core->wait_lock, slice_deadline_ns);
        done = flush_is_done_locked(core, ticket);
    }
    kp_mutex_unlock(&core->wait_lock);
    return done ? KP_OK : KP_AGAIN;
}

void kp_flush_end(kp_core *core) { atomic_fetch_sub(&core->urgent, 1); }
