/* One partition as the pump sees it: what may be sent, in what order, and when it expires.
 * PUMP contract 1-7: ownership, hold, gates, expiry. */
#include <string.h>

#include "kp_partition.h"

/* --- quiet and epochs --- */

static void adopt_producer(kp_pump *pump, kp_partition *p) {
    p->producer_id = pump->producer_id;
    p->producer_epoch = pump->producer_epoch;
    p->next_sequence = 0;
    p->last_acked = -1;
    p->gate_is_open = false;
    p->is_unresolved = p->has_gap = false;
}

static bool has_newest_producer(const kp_pump *pump, const kp_partition *p) {
    return p->producer_id == pump->producer_id && p->producer_epoch == pump->producer_epoch;
}

/* Nothing is in flight: what was never `maybe` gets new sequences, the rest can't be sent under another epoch. */
static void restart_epoch(kp_pump *pump, kp_partition *p) {
    static const kp_failure gone = {.code = KP_CODE_EXPIRED, .persisted = KP_MAYBE_PERSISTED, .node = -1,
                                    .message = (char *)(uintptr_t) "unresolved when the producer epoch was bumped"};
    p->wants_new_epoch = false;
    kp_outcome_publish_front(pump, p);
    kp_link *at = &p->queue.head;
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_first_sent(p)) {
        if (b->state == KP_BATCH_DONE) {
            kp_outcome_settle(pump, b, b->outcome);
            kp_outcome_destroy(pump, b);
        } else if (b->maybe || b->state == KP_BATCH_ASKED) {
            kp_outcome_fail_now(pump, b, &gone);
        } else {
            kp_list_remove(&b->link);
            b->state = KP_BATCH_QUEUED;
            b->is_sequenced = b->is_stamped = false;
            kp_list_insert_after(at, &b->link);
            kp_count_queued(p, 1);
            at = &b->link;
        }
    }
    p->is_unresolved = p->has_gap = false;
    p->is_recovering = false;
    p->gate_is_open = false;
}

/* 3.5: an expired batch that may be in the log is resolved by a later ack, or by another epoch. */
static void check_quiet(kp_pump *pump, kp_partition *p) {
    if (p->n_in_flight > 0 || p->is_held || kp_is_transactional(pump->core)) {
        return; /* a transaction is aborted as a whole, and its end decides about the epoch */
    }
    if (p->wants_new_epoch && !has_newest_producer(pump, p)) {
        restart_epoch(pump, p);
        return;
    }
    if (!p->is_unresolved || kp_first_sent(p) != NULL) {
        return;
    }
    if (p->last_acked >= 0 && kp_sequence_reached(p->last_acked, p->unresolved_last)) {
        p->is_unresolved = p->has_gap = false;
        return;
    }
    /* The bump that another partition asked for serves this one too; but a gap is told, whoever asked. */
    if (!has_newest_producer(pump, p) && !p->has_gap) {
        restart_epoch(pump, p);
        return;
    }
    kp_partition_hold(p);
    kp_msg *m = kp_partition_event(p, KP_EV_PARTITION_QUIET);
    if (m != NULL) {
        m->flag_a = true;
        m->flag_b = p->has_gap;
    }
    kp_pump_post(pump, m);
}

/* --- may this partition drain? (contract 5) --- */

static int in_flight_limit(const kp_pump *pump, const kp_partition *p) {
    if (p->is_recovering) {
        return 1;
    }
    return kp_is_idempotent(pump) && !p->gate_is_open ? 1 : pump->core->config.max_in_flight;
}

static bool may_assign_sequence(const kp_pump *pump, kp_partition *p) {
    if (!kp_is_idempotent(pump)) {
        return true;
    }
    if (pump->producer_id < 0 || p->wants_new_epoch) {
        return false;
    }
    if (p->is_unresolved && (has_newest_producer(pump, p) || !kp_is_transactional(pump->core))) {
        return false;
    }
    return has_newest_producer(pump, p) || kp_first_sent(p) == NULL;
}

static bool open_is_due(const kp_pump *pump, kp_partition *p) {
    const int64_t since = atomic_load(&p->open_since);
    kp_core *core = pump->core;
    return since != 0 && (atomic_load(&core->urgent) > 0 || atomic_load(&core->pool.n_waiting) > 0 ||
                          pump->now - since >= core->config.linger_ns);
}

/* Nothing but the answers of its node keeps it. */
static bool may_leave(const kp_pump *pump, kp_partition *p) {
    if (p->is_held || p->wants_new_epoch || pump->now < p->resume_at) {
        return false;
    }
    if (!kp_txn_allows(pump, p)) {
        return false;
    }
    if (kp_first_parked(p) != NULL) {
        return true;
    }
    return (kp_first_queued(p) != NULL || open_is_due(pump, p)) && may_assign_sequence(pump, p);
}

static bool may_drain(const kp_pump *pump, kp_partition *p) {
    return p->n_in_flight < in_flight_limit(pump, p) && may_leave(pump, p);
}

static bool has_work(const kp_pump *pump, kp_partition *p) {
    return kp_first_queued(p) != NULL || kp_first_parked(p) != NULL || open_is_due(pump, p);
}

/* --- levels, ready list, timer --- */

static void tell_stale(kp_pump *pump, kp_topic *topic) {
    if (topic->stale_told) {
        return;
    }
    topic->stale_told = true;
    kp_msg *m = kp_msg_new(KP_EV_METADATA_STALE);
    if (m != NULL) {
        m->topic = topic;
    }
    kp_pump_post(pump, m);
}

static void tell_wanted(kp_pump *pump, kp_node *node) {
    if (node->wanted_told || node->conn != NULL) {
        return;
    }
    node->wanted_told = true;
    kp_msg *m = kp_msg_new(KP_EV_CONN_WANTED);
    if (m != NULL) {
        m->node = node->id;
    }
    kp_pump_post(pump, m);
}

void kp_partition_leave_ready(kp_partition *p) {
    if (kp_link_is_linked(&p->ready_link)) {
        kp_list_remove(&p->ready_link);
        p->node->n_ready--;
    }
}

/* May it wait a moment for other batches, to share their request? */
static bool is_pressing(const kp_pump *pump, kp_partition *p) {
    const kp_core *core = pump->core;
    const bool has_backlog = !kp_list_is_empty(&p->queue) && p->queue.head.next != p->queue.head.prev;
    return has_backlog || kp_first_parked(p) != NULL || open_is_due(pump, p) || atomic_load(&core->urgent) > 0 ||
           atomic_load(&core->pool.n_waiting) > 0;
}

static void join_ready(kp_pump *pump, kp_partition *p) {
    kp_node *node = p->node;
    if (!kp_link_is_linked(&p->ready_link)) {
        node->ready_since = node->n_ready == 0 ? pump->now : node->ready_since;
        kp_list_push_back(&node->ready, &p->ready_link);
        node->n_ready++;
    }
    node->is_pressing = node->is_pressing || is_pressing(pump, p);
}

static kp_batch *oldest_unsettled(kp_partition *p) {
    for (kp_batch *b = kp_first_sent(p); b != NULL; b = kp_next_sent(p, b)) {
        if (!b->is_settled && b->state != KP_BATCH_DONE) {
            return b;
        }
    }
    return kp_first_queued(p);
}

static int64_t next_deadline(const kp_pump *pump, kp_partition *p) {
    const kp_config *config = &pump->core->config;
    int64_t at = KP_NEVER;
    const int64_t since = atomic_load(&p->open_since);
    const kp_batch *oldest = oldest_unsettled(p);
    if (since != 0) {
        const int64_t due = since + config->linger_ns;
        at = due > pump->now ? due : since + config->delivery_timeout_ns;
    }
    if (oldest != NULL) {
        at = kp_min_i64(at, oldest->created_ns + config->delivery_timeout_ns);
    }
    if ((oldest != NULL || since != 0) && p->resume_at > pump->now) {
        at = kp_min_i64(at, p->resume_at);
    }
    return kp_max_i64(at, pump->now + 1); /* what is overdue but locked by an appender: not again in this step */
}

/* A timer only moves forward in time when it fires: a later deadline costs nothing until then. */
static void set_timer(kp_pump *pump, kp_partition *p) {
    const int64_t at = next_deadline(pump, p);
    if (at != KP_NEVER && (p->timer.slot == 0 || at < p->timer.at)) {
        kp_heap_set(&pump->timers, &p->timer, at);
    }
}

void kp_partition_refresh(kp_pump *pump, kp_partition *p) {
    if (kp_unlikely(p->index >= kp_topic_live(p->topic))) {
        kp_partition_fail_vanished(pump, p);
    }
    check_quiet(pump, p);
    const bool works = has_work(pump, p);
    if (works && p->node == NULL) {
        tell_stale(pump, p->topic);
    }
    const bool waits = works && p->node != NULL && may_leave(pump, p);
    kp_node_count_waiting(pump, p, waits);
    if (!waits || p->n_in_flight >= in_flight_limit(pump, p)) {
        kp_partition_leave_ready(p);
    } else {
        join_ready(pump, p);
        tell_wanted(pump, p->node);
    }
    set_timer(pump, p);
}

/* --- expiry (contract 7) --- */

static const kp_failure expired = {.code = KP_CODE_EXPIRED, .persisted = KP_NOT_PERSISTED, .node = -1};

static void expire_sent(kp_pump *pump, kp_partition *p, kp_batch *b) {
    kp_outcome_set_failure(pump, b, &expired);
    if (b->state == KP_BATCH_IN_FLIGHT || b->state == KP_BATCH_ASKED) {
        b->result->failure.persisted = KP_MAYBE_PERSISTED; /* only control knows which refusals are definite */
    }
    if (b->state == KP_BATCH_IN_FLIGHT) {
        kp_outcome_settle(pump, b, KP_FAILED); /* the bytes stay: the socket may still read them (3.10) */
        return;
    }
    kp_mark_unresolved(p, b);
    kp_outcome_settle(pump, b, KP_FAILED);
    kp_outcome_destroy(pump, b);
}

static void expire(kp_pump *pump, kp_partition *p) {
    const int64_t born_before = pump->now - pump->core->config.delivery_timeout_ns;
    int32_t n = 0;
    bool ever_sent = false;
    for (kp_batch *b = oldest_unsettled(p); b != NULL && b->created_ns <= born_before; b = oldest_unsettled(p)) {
        ever_sent = ever_sent || b->was_sent;
        n++;
        if (b->state == KP_BATCH_QUEUED) {
            kp_outcome_fail_now(pump, b, &expired);
        } else {
            expire_sent(pump, p, b);
        }
    }
    kp_outcome_publish_front(pump, p);
    if (n == 0) {
        return;
    }
    kp_msg *m = kp_partition_event(p, KP_EV_EXPIRED);
    if (m != NULL) {
        m->count = n;
        m->flag_a = ever_sent;
    }
    kp_pump_post(pump, m);
}

void kp_partition_tick(kp_pump *pump, kp_partition *p) {
    kp_heap_remove(&pump->timers, &p->timer);
    const int64_t since = atomic_load(&p->open_since);
    if (since != 0 && pump->now - since >= pump->core->config.delivery_timeout_ns) {
        (void)kp_accumulator_seal_open(p); /* an open batch that could never leave expires too */
    }
    kp_accumulator_collect(p);
    expire(pump, p);
    kp_partition_refresh(pump, p);
}

/* --- sending --- */

static kp_batch *take_fresh(kp_pump *pump, kp_partition *p) {
    if (kp_first_queued(p) == NULL) {
        kp_accumulator_collect(p);
    }
    if (kp_first_queued(p) == NULL && open_is_due(pump, p) && kp_accumulator_seal_open(p) == KP_AGAIN) {
        pump->has_more = true; /* an appender is in it */
    }
    return kp_first_queued(p);
}

static kp_status stamp(kp_pump *pump, kp_partition *p, kp_batch *b) {
    kp_stamp s = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    if (kp_is_idempotent(pump)) {
        if (!has_newest_producer(pump, p)) {
            adopt_producer(pump, p);
        }
        s = (kp_stamp){p->producer_id, p->producer_epoch, p->next_sequence};
    }
    const kp_status status = kp_batch_stamp(b, &s, pump->codec);
    if (status == KP_OK && kp_is_idempotent(pump)) {
        b->is_sequenced = true;
        p->next_sequence = kp_sequence_add(p->next_sequence, b->count);
    }
    return status;
}

size_t kp_partition_next_len(kp_pump *pump, kp_partition *p) {
    const kp_batch *b = kp_first_parked(p);
    b = b == NULL ? kp_first_queued(p) : b;
    return b == NULL ? pump->core->config.batch_size : b->wire != NULL ? b->wire_len : b->len;
}

kp_batch *kp_partition_next(kp_pump *pump, kp_partition *p, kp_conn *conn) {
    if (!may_drain(pump, p) || (p->n_in_flight > 0 && p->in_flight_conn != conn)) { /* old-leader gate */
        return NULL;
    }
    kp_batch *b = kp_first_parked(p);
    if (b != NULL) {
        if (b->is_stamped) {
            return b;
        }
        const kp_stamp same = {b->producer_id, b->producer_epoch, b->base_sequence}; /* a half of a split */
        return kp_batch_stamp(b, &same, pump->codec) == KP_OK ? b : NULL;
    }
    while (kp_txn_allows(pump, p) && (b = take_fresh(pump, p)) != NULL) {
        if (stamp(pump, p, b) == KP_OK) {
            kp_list_remove(&b->link);
            kp_list_push_back(&p->sent, &b->link);
            kp_count_queued(p, -1);
            b->state = KP_BATCH_PARKED;
            return b;
        }
        static const kp_failure no_memory = {.code = KP_CODE_OUT_OF_MEMORY, .node = -1};
        kp_outcome_fail_now(pump, b, &no_memory);
    }
    return NULL;
}

static void count_sent(kp_pump *pump, kp_partition *p, const kp_batch *b) {
    kp_core *core = pump->core;
    KP_COUNT_PARTITION(p, batches_sent, 1);
    KP_COUNT_PARTITION(p, records_sent, b->count);
    KP_COUNT_PARTITION(p, raw_bytes, b->len);
    KP_COUNT_PARTITION(p, wire_bytes, b->wire_len);
    KP_COUNT(core, batches_sent, 1);
    KP_COUNT(core, records_sent, b->count);
    KP_COUNT(core, raw_bytes, b->len);
    KP_COUNT(core, wire_bytes, b->wire_len);
    KP_NOTE_MAX(core, batch_bytes, b->wire_len);
    KP_NOTE_MAX(core, record_bytes, b->largest);
    if (b->was_sent) {
        KP_COUNT(core, record_retries, b->count);
        KP_COUNT_PARTITION(p, record_retries, b->count);
    } else {
        kp_hist_add(&core->stats.hists[KP_H_QUEUE], pump->now - b->created_ns);
    }
}

void kp_partition_sent(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn) {
    count_sent(pump, p, b);
    b->state = KP_BATCH_IN_FLIGHT;
    b->was_sent = true;
    b->sent_len = b->wire_len;
    b->attempts++;
    b->last_node = conn->node->id;
    b->drained_ns = pump->now;
    kp_set_in_flight(p, p->n_in_flight + 1);
    p->in_flight_conn = conn;
    pump->txn.was_sent = true;
}

/* --- leader --- */

void kp_partition_set_leader(kp_pump *pump, kp_partition *p, kp_leader leader) {
    kp_node *node = leader.node < 0 ? NULL : kp_pump_node(pump, leader.node, true);
    if (node != p->node || leader.epoch != p->leader_epoch) {
        p->gate_is_open = false; /* first-sequence gate: this leader has acked nothing yet */
    }
    if (node != p->node) {
        kp_partition_leave_ready(p);
        kp_node_count_waiting(pump, p, false);
        p->node = node;
        atomic_store(&p->is_away, node != NULL && node->is_away);
    }
    p->leader_epoch = leader.epoch;
    atomic_store(&p->leader, node == NULL ? -1 : leader.node);
    kp_partition_refresh(pump, p);
}
