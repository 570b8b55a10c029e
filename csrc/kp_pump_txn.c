/* The pump's side of a transaction: when its batches may leave, what becomes of them when it fails, when it is over.
 * PUMP contract 8 and 9. All batches of one are freed before the next begins, so `gen` alone closes the gate. */
#include <stdlib.h>
#include <string.h>

#include "kp_partition.h"

bool kp_txn_allows(const kp_pump *pump, const kp_partition *p) {
    const kp_txn *t = &pump->txn;
    return !kp_is_transactional(pump->core) ||
           (t->gen != 0 && !t->is_dropping && (t->is_v2 || p->txn_allowed == t->gen));
}

static void set_cause(kp_txn *t, const char *message) {
    free(t->cause.message);
    t->cause = (kp_failure){.code = KP_CODE_TXN_ABORTED, .persisted = KP_NOT_PERSISTED, .node = -1};
    t->cause.message = message == NULL ? NULL : kp_strdup(message, strlen(message));
}

static void start_dropping(kp_pump *pump) {
    kp_txn *t = &pump->txn;
    t->is_dropping = t->wants_drop = pump->has_more = true;
    set_cause(t, "another record of the transaction failed");
}

/* --- commands --- */

void kp_txn_begin(kp_pump *pump, const kp_msg *m) {
    set_cause(&pump->txn, NULL);
    pump->txn = (kp_txn){.gen = m->txn_gen, .is_v2 = m->flag_a, .cause = pump->txn.cause};
    if (m->txn_gen == pump->txn_doomed) {
        start_dropping(pump);
    }
    kp_pump_refresh_waiting(pump); /* appends may have come before this command */
}

void kp_txn_allow(kp_pump *pump, kp_partition *p, uint32_t gen) {
    p->txn_allowed = gen;
    kp_partition_refresh(pump, p);
}

static bool is_stale(kp_pump *pump, const kp_msg *m) {
    const bool is_stale = m->txn_gen != pump->txn.gen || pump->txn.gen == 0;
    if (is_stale) {
        KP_COUNT(pump->core, stale_commands, 1);
    }
    return is_stale;
}

/* Until all batches are gone, linger is ignored as for a flush. */
void kp_txn_seal(kp_pump *pump, const kp_msg *m) {
    if (is_stale(pump, m) || pump->txn.is_sealed) {
        return;
    }
    pump->txn.is_sealed = true;
    atomic_fetch_add(&pump->core->urgent, 1);
    atomic_fetch_add(&pump->core->urgent_gen, 1);
}

void kp_txn_drop(kp_pump *pump, const kp_msg *m) {
    if (is_stale(pump, m)) {
        return;
    }
    kp_txn_seal(pump, m);
    pump->txn.wants_drop = true;
    if (!pump->txn.is_dropping) {
        pump->txn.is_dropping = true;
        set_cause(&pump->txn, m->message);
    }
}

/* --- what happens to its batches --- */

/* Only marks: whoever calls is half way through a list of batches. The drop comes later in the same step. */
void kp_txn_batch_failed(kp_pump *pump, const kp_batch *b) {
    pump->txn.is_broken = pump->txn.is_broken || b->is_sequenced;
    kp_txn_doom(pump, b->result->partition, b->txn_gen, &b->result->failure);
}

void kp_txn_doom(kp_pump *pump, const kp_partition *p, uint32_t gen, const kp_failure *failure) {
    const kp_txn *t = &pump->txn;
    if (gen == pump->txn_doomed || (gen == t->gen && t->is_dropping)) {
        return;
    }
    pump->txn_doomed = gen;
    if (gen == t->gen) {
        start_dropping(pump);
    }
    kp_txn_fail(pump->core, gen, failure, p->topic, p->index);
}

static void drop_all(kp_pump *pump) {
    for (kp_topic *topic = kp_core_first_topic(pump->core); topic != NULL; topic = topic->next) {
        const kp_partition_table *table = kp_topic_table(topic);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            kp_partition_drop(pump, table->items[i], &pump->txn.cause);
        }
    }
}

/* The failure may have found no memory for its own event. */
static bool has_failed(kp_pump *pump) {
    kp_mutex_lock(&pump->core->wait_lock);
    const bool was_refused = pump->core->txn_has_failed;
    kp_mutex_unlock(&pump->core->wait_lock);
    return was_refused || pump->txn.is_dropping;
}

static void tell_drained(kp_pump *pump) {
    kp_txn *t = &pump->txn;
    kp_msg *m = kp_msg_new(KP_EV_TXN_DRAINED);
    if (m != NULL) {
        m->txn_gen = t->gen;
        m->flag_a = t->was_sent;
        m->flag_b = t->is_broken;
        m->count = has_failed(pump) ? 1 : 0;
    }
    t->gen = 0;
    t->is_sealed = false;
    atomic_fetch_sub(&pump->core->urgent, 1);
    kp_pump_post(pump, m);
}

void kp_txn_step(kp_pump *pump) {
    kp_txn *t = &pump->txn;
    if (t->gen != 0 && t->wants_drop) {
        t->wants_drop = false;
        drop_all(pump);
    }
    if (t->is_sealed && atomic_load(&pump->core->txn_batches) == 0) {
        tell_drained(pump);
    }
}
