/* How a batch ends, and what the control thread is told about a partition. */
#include <stdlib.h>
#include <string.h>

#include "kp_dead_letters.h"
#include "kp_partition.h"

/* --- events --- */

void kp_pump_post(kp_pump *pump, kp_msg *m) {
    if (m == NULL) {
        kp_pump_fatal(pump, "out of memory for an event");
        return;
    }
    kp_core_post(pump->core, m);
}

kp_msg *kp_partition_event(const kp_partition *p, kp_msg_type type) {
    kp_msg *m = kp_msg_new(type);
    if (m != NULL) {
        m->topic = p->topic;
        m->partition = p->index;
        m->hold_gen = p->hold_gen;
        m->offset = p->last_acked;
        m->producer_id = p->producer_id;
        m->producer_epoch = p->producer_epoch;
    }
    return m;
}

void kp_partition_hold(kp_partition *p) {
    p->is_held = true;
    p->hold_gen++;
}

/* --- outcomes --- */

static void count_outcome(kp_pump *pump, const kp_batch *b, kp_state state) {
    kp_core *core = pump->core;
    kp_partition *p = b->result->partition;
    if (state == KP_DELIVERED) {
        KP_COUNT_PARTITION(p, records_acked, b->count);
        KP_COUNT_PARTITION(p, batches_acked, 1);
        KP_COUNT(core, records_acked, b->count);
        KP_COUNT(core, batches_acked, 1);
        KP_COUNT_PARTITION(p, bytes_acked, b->sent_len);
        KP_COUNT(core, bytes_acked, b->sent_len);
        if (b->result->base_offset >= 0) {
            kp_counter_set(&p->counters[KP_P_next_offset], (uint64_t)(b->result->base_offset + b->count));
        }
        kp_hist_add(&core->stats.hists[KP_H_DELIVERY], pump->now - b->created_ns);
    } else {
        const int32_t failed = b->result->record_errors != NULL ? b->result->n_record_errors : b->count;
        KP_COUNT_PARTITION(p, records_failed, failed);
        KP_COUNT_PARTITION(p, batches_failed, 1);
        KP_COUNT(core, records_failed, failed);
        KP_COUNT(core, batches_failed, 1);
    }
}

/* The count of a split's child was told with the split: whoever resolves an index reads it. */
void kp_outcome_fix_count(const kp_batch *b) {
    if (b->result->count != b->count) {
        b->result->count = b->count;
    }
}

/* Makes the outcome known. The batch itself may live on, until its answer (contract 7). */
void kp_outcome_settle(kp_pump *pump, kp_batch *b, kp_state state) {
    kp_outcome_fix_count(b);
    count_outcome(pump, b, state);
    kp_core_publish(pump->core, b->result, state);
    if (state == KP_FAILED && b->txn_gen != 0) {
        kp_txn_batch_failed(pump, b);
    }
    KP_COUNT_PARTITION(b->result->partition, batches_pending, -1);
    kp_flush_leave(pump->core, b->flush_gen);
    b->is_settled = true;
}

void kp_outcome_destroy(kp_pump *pump, kp_batch *b) {
    if (kp_link_is_linked(&b->link)) {
        kp_list_remove(&b->link);
    }
    if (b->state == KP_BATCH_QUEUED) {
        kp_count_queued(b->result->partition, -1);
    }
    if (b->txn_gen != 0 && atomic_fetch_sub(&pump->core->txn_batches, 1) == 1) {
        pump->has_more = true; /* kp_txn_step may have looked already in this step */
    }
    kp_batch_free(b, &pump->core->pool);
}

/* Contract 3: results come out in the order of the sequence, whatever the order of the answers. One that expired in
 * flight has been told, and holds up nobody while its bytes wait for the answer. */
void kp_outcome_publish_front(kp_pump *pump, kp_partition *p) {
    for (kp_batch *b = kp_first_sent(p), *next; b != NULL; b = next) {
        next = kp_next_sent(p, b);
        if (b->is_settled) {
            continue;
        }
        if (b->state != KP_BATCH_DONE) {
            return;
        }
        kp_outcome_settle(pump, b, b->outcome);
        kp_outcome_destroy(pump, b);
    }
}

void kp_outcome_set_failure(const kp_pump *pump, kp_batch *b, const kp_failure *failure) {
    kp_failure *f = &b->result->failure;
    free(f->message);
    *f = *failure;
    f->message = failure->message == NULL ? NULL : kp_strdup(failure->message, strlen(failure->message));
    f->cause = f->code < -1 ? b->last_code : 0;
    f->attempts = b->attempts;
    f->node = b->last_node;
    f->elapsed_ns = pump->now - b->created_ns;
    if (b->maybe && f->persisted == KP_NOT_PERSISTED) {
        f->persisted = KP_MAYBE_PERSISTED; /* an earlier attempt may be in the log, whatever this one met */
    }
}

void kp_outcome_finish(kp_pump *pump, kp_batch *b, kp_state outcome) {
    b->state = KP_BATCH_DONE;
    b->outcome = outcome;
    if (outcome == KP_FAILED) {
        kp_dead_letters_keep(pump->core, b);
    }
    if (outcome == KP_FAILED && b->txn_gen != 0) {
        kp_txn_batch_failed(pump, b); /* at once, not when an earlier batch has made way for its result */
    }
    kp_batch_drop_bytes(b, &pump->core->pool);
}

void kp_outcome_fail_now(kp_pump *pump, kp_batch *b, const kp_failure *failure) {
    kp_outcome_set_failure(pump, b, failure);
    kp_dead_letters_keep(pump->core, b);
    kp_outcome_settle(pump, b, KP_FAILED);
    kp_outcome_destroy(pump, b);
}
