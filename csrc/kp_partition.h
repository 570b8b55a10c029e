/* Purpose: what the files about one partition share: its two lists, outcomes, events.
 * Thread:  the pump's.
 * Locks:   as kp_pump.h.
 * Frees:   kp_outcome_destroy frees a batch. */
#ifndef KP_PARTITION_H
#define KP_PARTITION_H

#include "kp_pump.h"

static inline kp_batch *kp_batch_of(kp_link *link) { return link == NULL ? NULL : KP_OWNER(link, kp_batch, link); }
static inline kp_batch *kp_first_queued(kp_partition *p) { return kp_batch_of(kp_list_first(&p->queue)); }
static inline kp_batch *kp_first_sent(kp_partition *p) { return kp_batch_of(kp_list_first(&p->sent)); }
static inline bool kp_is_idempotent(const kp_pump *pump) { return pump->core->config.idempotent; }

static inline kp_batch *kp_next_sent(kp_partition *p, kp_batch *b) { return kp_batch_of(kp_list_next(&p->sent, &b->link)); }

static inline kp_batch *kp_first_parked(kp_partition *p) {
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_next_sent(p, b)) {
        if (b->state == KP_BATCH_PARKED) {
            return b;
        }
    }
    return NULL;
}

/* The oldest batch without an outcome: only its fate may be asked about. */
static inline bool kp_is_head(kp_partition *p, const kp_batch *b) {
    for (kp_batch *s = kp_first_sent(p); s != NULL; s = kp_next_sent(p, s)) {
        if (s->state != KP_BATCH_DONE) {
            return s == b;
        }
    }
    return false;
}

/* It may be in the log or leaves a hole there: no new sequence until that is known. The mark moves forward only: that
 * of a topic made again lies ahead of all that is in flight (kp_partition_new_topic_id). */
static inline void kp_mark_unresolved(kp_partition *p, const kp_batch *b) {
    if (b->is_sequenced) {
        const int32_t last = kp_batch_last_sequence(b);
        p->unresolved_last = p->is_unresolved && !kp_sequence_reached(last, p->unresolved_last) ? p->unresolved_last : last;
        p->is_unresolved = true;
        p->has_gap = p->has_gap || b->maybe || b->is_settled || b->state == KP_BATCH_ASKED;
    }
}

/* What a batch does that comes into p->queue or leaves it: appenders choose by its length (kp_route.c). */
static inline void kp_count_queued(kp_partition *p, int n) {
    atomic_fetch_add_explicit(&p->n_queued, n, memory_order_relaxed);
}

static inline void kp_set_in_flight(kp_partition *p, int n) {
    p->n_in_flight = n;
    kp_counter_set(&p->counters[KP_P_batches_in_flight], (uint64_t)n);
}

/* kp_outcome.c: how a batch ends. */
void kp_outcome_settle(kp_pump *pump, kp_batch *b, kp_state state); /* makes it known; the bytes may live on */
void kp_outcome_fix_count(const kp_batch *b); /* the result's, once no record can come */
void kp_outcome_destroy(kp_pump *pump, kp_batch *b);
void kp_outcome_publish_front(kp_pump *pump, kp_partition *p);
void kp_outcome_set_failure(const kp_pump *pump, kp_batch *b, const kp_failure *failure);
void kp_outcome_finish(kp_pump *pump, kp_batch *b, kp_state outcome); /* to be published in its turn */
void kp_outcome_fail_now(kp_pump *pump, kp_batch *b, const kp_failure *failure);

void kp_pump_post(kp_pump *pump, kp_msg *event); /* NULL: there was no memory for it */
kp_msg *kp_partition_event(const kp_partition *p, kp_msg_type type);
void kp_partition_hold(kp_partition *p);
void kp_partition_acked(kp_pump *pump, kp_partition *p, kp_batch *b, const kp_conn *conn, int64_t base_offset,
                        int64_t log_append_ms); /* kp_answer.c */

#endif
