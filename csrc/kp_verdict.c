/* What the control thread decided about a partition: verdicts on refused batches, the end of a hold, failures. */
#include <stdlib.h>
#include <string.h>

#include "kp_partition.h"

static kp_batch *find_asked(kp_partition *p, uint64_t id) {
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_next_sent(p, b)) {
        if (b->id == id) {
            return b->state == KP_BATCH_ASKED ? b : NULL;
        }
    }
    return NULL;
}

/* The parent's place is taken by copies of its ranges; results and callbacks follow by index. */
typedef struct cut {
    kp_batch **parts;
    int32_t n, cap;
} cut;

static kp_status cut_add(kp_pump *pump, cut *c, const kp_batch *b, int32_t first, int32_t n) {
    kp_result *result = kp_result_new(pump->core, b->result->partition);
    if (result == NULL) {
        return KP_ERR_NOMEM;
    }
    kp_batch *part = NULL;
    const kp_status status = kp_batch_range(b, first, n, result, &part);
    if (status != KP_OK) {
        kp_result_release(result);
        return status;
    }
    result->count = n;
    part->id = atomic_fetch_add_explicit(&pump->core->next_batch_id, 1, memory_order_relaxed);
    part->state = KP_BATCH_PARKED;
    part->is_sequenced = b->is_sequenced;
    atomic_fetch_add(&pump->core->txn_batches, b->txn_gen != 0 ? 1 : 0);
    part->producer_id = b->producer_id;
    part->producer_epoch = b->producer_epoch;
    part->base_sequence = b->is_sequenced ? kp_sequence_add(b->base_sequence, first) : -1;
    c->parts[c->n++] = part;
    return KP_OK;
}

static void cut_drop(kp_pump *pump, cut *c) {
    for (int32_t i = 0; i < c->n; i++) {
        kp_outcome_destroy(pump, c->parts[i]);
    }
    free(c->parts);
}

static kp_status cut_publish(kp_pump *pump, kp_batch *parent, cut *c) {
    kp_result *r = parent->result;
    r->children = malloc((size_t)c->n * sizeof *r->children);
    if (r->children == NULL) {
        return KP_ERR_NOMEM;
    }
    for (int32_t i = 0; i < c->n; i++) {
        r->children[i] = c->parts[i]->result;
        kp_result_retain(r->children[i]);
    }
    r->n_children = c->n;
    kp_outcome_fix_count(parent);
    kp_link *at = &parent->link;
    for (int32_t i = 0; i < c->n; i++) {
        kp_list_insert_after(at, &c->parts[i]->link);
        at = &c->parts[i]->link;
        atomic_fetch_add(&pump->core->pending[parent->flush_gen % KP_FLUSH_GENS], 1);
    }
    kp_core_publish_split(pump->core, r);
    KP_COUNT_PARTITION(r->partition, batches_pending, c->n - 1);
    kp_flush_leave(pump->core, parent->flush_gen);
    kp_outcome_destroy(pump, parent);
    free(c->parts);
    KP_COUNT(pump->core, batch_splits, 1);
    return KP_OK;
}

static kp_status split(kp_pump *pump, kp_batch *b) {
    cut c = {.parts = malloc(2 * sizeof(kp_batch *)), .cap = 2};
    const int32_t half = b->count / 2;
    kp_status status = c.parts == NULL ? KP_ERR_NOMEM : b->count < 2 ? KP_ERR_INVALID : KP_OK;
    if (status == KP_OK) {
        status = cut_add(pump, &c, b, 0, half);
    }
    if (status == KP_OK) {
        status = cut_add(pump, &c, b, half, b->count - half);
    }
    if (status == KP_OK) {
        status = cut_publish(pump, b, &c);
    }
    if (status != KP_OK) {
        cut_drop(pump, &c);
    }
    return status;
}

static kp_failure verdict_failure(const kp_msg *v) {
    const kp_failure f = {.code = v->code, .persisted = (kp_persisted)v->persisted, .node = -1, .message = v->message,
                          .is_refused = v->flag_a};
    return f;
}

/* KIP-467: the guilty records fail, each alone; the runs between them are sent again. */
static kp_status fail_guilty(kp_pump *pump, kp_batch *b, const kp_msg *v) {
    cut c = {.parts = malloc((2 * (size_t)v->n_record_errors + 1) * sizeof(kp_batch *)),
             .cap = 2 * v->n_record_errors + 1};
    kp_status status = c.parts == NULL ? KP_ERR_NOMEM : KP_OK;
    int32_t next = 0;
    for (int32_t i = 0; i < v->n_record_errors && status == KP_OK; i++) {
        const kp_record_error *e = &v->record_errors[i];
        if (e->index < next || e->index >= b->count) {
            continue; /* twice, or out of range: the broker's mistake */
        }
        status = e->index > next ? cut_add(pump, &c, b, next, e->index - next) : KP_OK;
        if (status == KP_OK) {
            status = cut_add(pump, &c, b, e->index, 1);
        }
        if (status == KP_OK) {
            kp_batch *guilty = c.parts[c.n - 1];
            const kp_failure f = {.code = e->code, .persisted = (kp_persisted)v->persisted, .node = -1,
                                  .message = e->message, .is_refused = v->flag_a};
            kp_outcome_set_failure(pump, guilty, &f);
            kp_outcome_finish(pump, guilty, KP_FAILED);
        }
        next = e->index + 1;
    }
    if (status == KP_OK && next < b->count) {
        status = next == 0 ? KP_ERR_INVALID : cut_add(pump, &c, b, next, b->count - next);
    }
    if (status == KP_OK) {
        status = cut_publish(pump, b, &c);
    }
    if (status != KP_OK) {
        cut_drop(pump, &c);
    }
    return status;
}

static void fail(kp_pump *pump, kp_batch *b, const kp_failure *f) {
    kp_outcome_set_failure(pump, b, f);
    kp_outcome_finish(pump, b, KP_FAILED);
}

void kp_partition_verdict(kp_pump *pump, kp_partition *p, kp_msg *v) {
    kp_batch *b = find_asked(p, v->batch_id);
    if (b == NULL) {
        KP_COUNT(pump->core, stale_commands, 1);
        return;
    }
    const kp_failure f = verdict_failure(v);
    switch (v->action) {
    case KP_ACK:
        kp_partition_acked(pump, p, b, NULL, -1, -1);
        break;
    case KP_RETRY:
        b->maybe = b->maybe || f.persisted != KP_NOT_PERSISTED;
        b->state = KP_BATCH_PARKED;
        break;
    case KP_SPLIT: /* 3.6: brokers look at the size before the sequence, so halves of an appended batch are appended */
        if (b->maybe || split(pump, b) != KP_OK) {
            fail(pump, b, &f);
        }
        break;
    case KP_FAIL:
        if (v->n_record_errors == 0 || b->maybe || fail_guilty(pump, b, v) != KP_OK) {
            fail(pump, b, &f);
        }
        break;
    }
    kp_outcome_publish_front(pump, p);
    kp_partition_refresh(pump, p);
}

void kp_partition_resume(kp_pump *pump, kp_partition *p, const kp_msg *resume) {
    /* A refusal in between made it stale: the hold stays, but a wanted epoch is wanted all the same. */
    p->wants_new_epoch = p->wants_new_epoch || (p->is_held && resume->flag_a && kp_is_idempotent(pump));
    if (!p->is_held || resume->hold_gen != p->hold_gen) {
        KP_COUNT(pump->core, stale_commands, 1);
        return;
    }
    p->is_held = false;
    p->resume_at = resume->delay_ns > 0 ? pump->now + resume->delay_ns : 0;
    kp_partition_refresh(pump, p);
}

void kp_partition_fail_unsent(kp_pump *pump, kp_partition *p, const kp_failure *failure) {
    kp_accumulator_seal_now(p);
    for (kp_batch *b = kp_first_queued(p); b != NULL; b = kp_first_queued(p)) {
        kp_outcome_fail_now(pump, b, failure);
    }
    kp_partition_refresh(pump, p);
}

/* The connections are closed: nothing is in flight. Appends are over, so the lock is free or soon will be. */
void kp_partition_fail_everything(kp_pump *pump, kp_partition *p, const kp_failure *failure) {
    kp_accumulator_seal_now(p);
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_first_sent(p)) {
        if (b->state == KP_BATCH_DONE) {
            kp_outcome_settle(pump, b, b->outcome);
            kp_outcome_destroy(pump, b);
        } else {
            b->maybe = b->maybe || b->state == KP_BATCH_ASKED;
            kp_mark_unresolved(p, b);
            kp_outcome_fail_now(pump, b, failure);
        }
    }
    for (kp_batch *b = kp_first_queued(p); b != NULL; b = kp_first_queued(p)) {
        kp_outcome_fail_now(pump, b, failure);
    }
    p->is_held = p->wants_new_epoch = false;
    kp_set_in_flight(p, 0); /* those of a request for which there was no memory were on no connection */
    kp_partition_leave_ready(p);
    kp_node_count_waiting(pump, p, false);
}

/* All that would be sent next. */
static void fail_waiting(kp_pump *pump, kp_partition *p, const kp_failure *failure) {
    for (kp_batch *b = kp_first_parked(p); b != NULL; b = kp_first_parked(p)) {
        fail(pump, b, failure);
    }
    kp_outcome_publish_front(pump, p);
    for (kp_batch *b = kp_first_queued(p); b != NULL; b = kp_first_queued(p)) {
        kp_outcome_fail_now(pump, b, failure);
    }
}

void kp_partition_drop(kp_pump *pump, kp_partition *p, const kp_failure *failure) {
    kp_accumulator_seal_now(p);
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_next_sent(p, b)) {
        if (b->state == KP_BATCH_ASKED) {
            b->maybe = true;
            fail(pump, b, failure);
        }
    }
    fail_waiting(pump, p, failure);
    p->is_held = p->wants_new_epoch = false; /* a hold ends with the batches that it was about */
    p->resume_at = 0;
    kp_partition_refresh(pump, p);
}

/* What is in flight or asked about is told its own fate first, and fails here if that is to be sent again. */
void kp_partition_fail_vanished(kp_pump *pump, kp_partition *p) {
    static const kp_failure gone = {.code = 3, .persisted = KP_NOT_PERSISTED, .node = -1,
                                    .message = (char *)(uintptr_t) "the topic was created again with fewer partitions"};
    kp_accumulator_seal_now(p); /* an appender may have chosen it before the news came */
    fail_waiting(pump, p, &gone);
    p->has_gap = false; /* in a log that is no more */
}

/* The new log knows none of our sequences: without a batch under way they may simply begin again. */
static void new_log_in_transaction(kp_pump *pump, kp_partition *p) {
    if (kp_first_sent(p) == NULL) {
        p->producer_id = -1;
        return;
    }
    static const kp_failure recreated = {.code = 3, .persisted = KP_MAYBE_PERSISTED, .node = -1,
                                         .message = (char *)(uintptr_t) "the topic was deleted and created again"};
    pump->txn.is_broken = true;
    kp_txn_doom(pump, p, pump->txn.gen, &recreated);
}

void kp_partition_new_topic_id(kp_pump *pump, kp_partition *p) {
    p->gate_is_open = false;
    if (!kp_is_idempotent(pump) || (p->producer_id < 0 && kp_first_sent(p) == NULL)) {
        return;
    }
    if (kp_is_transactional(pump->core)) {
        new_log_in_transaction(pump, p);
        return;
    }
    /* The new log knows none of our sequences: restart them under another epoch, once nothing is in flight. */
    p->is_unresolved = true;
    p->has_gap = false; /* what was lost with the old log has nothing behind it */
    p->unresolved_last = kp_sequence_add(p->next_sequence, INT32_MAX >> 2);
    p->last_acked = -1;
    kp_partition_refresh(pump, p);
}
