/* What the broker said about a batch, or that it said nothing: ack, refusal, loss. */
#include <stdlib.h>
#include <string.h>

#include "kp_partition.h"

static void no_longer_in_flight(kp_partition *p) {
    kp_set_in_flight(p, p->n_in_flight - 1);
    if (p->n_in_flight == 0) {
        p->in_flight_conn = NULL;
    }
}

static void note_ack(kp_partition *p, const kp_batch *b, const kp_conn *conn) {
    if (!b->is_sequenced || b->producer_id != p->producer_id || b->producer_epoch != p->producer_epoch) {
        return;
    }
    const int32_t last = kp_batch_last_sequence(b);
    if (p->last_acked < 0 || kp_sequence_reached(last, p->last_acked)) {
        p->last_acked = last;
    }
    if (conn != NULL && conn->node == p->node) {
        p->gate_is_open = true;
    }
}

void kp_partition_acked(kp_pump *pump, kp_partition *p, kp_batch *b, const kp_conn *conn, int64_t base_offset,
                  int64_t log_append_ms) {
    note_ack(p, b, conn);
    if (b->is_settled) {
        KP_COUNT(pump->core, late_acks, 1); /* 3.11: the future has failed, the sequence has not */
        kp_outcome_destroy(pump, b);
        return;
    }
    if (kp_is_head(p, b)) {
        p->is_recovering = false;
    }
    b->result->base_offset = base_offset;
    b->result->log_append_ms = log_append_ms;
    kp_outcome_finish(pump, b, KP_DELIVERED);
    kp_outcome_publish_front(pump, p);
}

static void copy_record_errors(kp_msg *m, const kp_answer *answer) {
    kp_reader r = answer->record_errors;
    if (answer->n_record_errors == 0) {
        return;
    }
    m->record_errors = calloc((size_t)answer->n_record_errors, sizeof *m->record_errors);
    for (int32_t i = 0; m->record_errors != NULL && i < answer->n_record_errors; i++) {
        kp_text text;
        m->record_errors[i].index = kp_record_error_next(&r, &text);
        m->record_errors[i].message = kp_strdup(text.data, text.len);
        m->n_record_errors = i + 1;
    }
}

static void copy_hint(kp_msg *m, const kp_answer *answer, const kp_answers *all) {
    m->hint = answer->hint;
    for (int i = 0; answer->hint.node >= 0 && i < all->n_endpoints; i++) {
        if (all->endpoints[i].node == answer->hint.node && m->hint_host == NULL) {
            m->hint_host = kp_strdup(all->endpoints[i].host.data, all->endpoints[i].host.len);
            m->hint_port = all->endpoints[i].port;
        }
    }
}

static kp_msg *refusal(kp_partition *p, const kp_batch *b, int32_t code) {
    kp_msg *m = kp_partition_event(p, KP_EV_BATCH_REFUSED);
    if (m != NULL) {
        m->batch_id = b->id;
        m->code = code;
        m->flag_a = kp_is_head(p, b);
        m->flag_b = b->maybe;
        m->attempts = b->attempts;
        m->records = b->count;
        m->node = b->last_node;
        m->offset = -1;
        m->producer_id = b->producer_id;
        m->producer_epoch = b->producer_epoch;
    }
    return m;
}

enum { CODE_NETWORK_EXCEPTION = 13, CODE_OUT_OF_ORDER = 45 };

/* Its transaction can only be aborted: nothing is sent again, nothing asked. */
static void drop(kp_pump *pump, kp_partition *p, kp_batch *b, bool maybe) {
    b->maybe = b->maybe || maybe;
    kp_outcome_set_failure(pump, b, &pump->txn.cause);
    kp_outcome_finish(pump, b, KP_FAILED);
    kp_outcome_publish_front(pump, p);
}

static void refused(kp_pump *pump, kp_partition *p, kp_batch *b, const kp_answer *answer, const kp_answers *all) {
    b->last_code = answer->code;
    if (b->is_settled) {
        kp_mark_unresolved(p, b);
        kp_outcome_destroy(pump, b);
        return;
    }
    if (pump->txn.is_dropping) {
        drop(pump, p, b, true);
        return;
    }
    b->state = KP_BATCH_PARKED;
    p->is_recovering = true;
    if (answer->code == CODE_OUT_OF_ORDER && (!kp_is_head(p, b) || p->wants_new_epoch)) {
        return; /* contract 2: it only says that an earlier one is unsettled, or failed */
    }
    b->state = KP_BATCH_ASKED;
    kp_partition_hold(p);
    kp_msg *m = refusal(p, b, answer->code);
    if (m != NULL) {
        m->offset = answer->log_start_offset;
        m->message = kp_strdup(answer->message.data, answer->message.len);
        copy_record_errors(m, answer);
        copy_hint(m, answer, all);
    }
    kp_pump_post(pump, m);
}

void kp_partition_answered(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, const kp_answer *answer,
                           const kp_answers *all) {
    no_longer_in_flight(p);
    if (!answer->is_there) { /* the broker left it out: it may have been appended */
        kp_set_in_flight(p, p->n_in_flight + 1);
        p->in_flight_conn = conn;
        kp_partition_lost(pump, p, b, conn, true);
        return;
    }
    if (answer->code == 0) {
        kp_partition_acked(pump, p, b, conn, answer->base_offset, answer->log_append_ms);
    } else {
        refused(pump, p, b, answer, all);
    }
    kp_partition_refresh(pump, p);
}

void kp_partition_lost(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, bool maybe) {
    KP_UNUSED(conn);
    no_longer_in_flight(p);
    b->maybe = b->maybe || maybe;
    b->last_code = CODE_NETWORK_EXCEPTION;
    if (b->is_settled) {
        kp_mark_unresolved(p, b);
        kp_outcome_destroy(pump, b);
    } else if (pump->txn.is_dropping) {
        drop(pump, p, b, maybe);
    } else if (b->attempts > pump->core->config.retries) {
        b->state = KP_BATCH_ASKED;
        p->is_recovering = true;
        kp_partition_hold(p);
        kp_pump_post(pump, refusal(p, b, CODE_NETWORK_EXCEPTION));
    } else {
        b->state = KP_BATCH_PARKED;
        p->is_recovering = true;
    }
    kp_partition_refresh(pump, p);
}
