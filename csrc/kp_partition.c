/* One partition as the pump sees it: what may be sent, in what order, and how each batch ends.
 * PUMP contract 1-7: ownership, hold, gates, expiry. */
#include <stdlib.h>
#include <string.h>

#include "kp_pump.h"

static kp_batch *batch_of(kp_link *link) { return link == NULL ? NULL : KP_OWNER(link, kp_batch, link); }
static kp_batch *first_queued(kp_partition *p) { return batch_of(kp_list_first(&p->queue)); }
static kp_batch *first_sent(kp_partition *p) { return batch_of(kp_list_first(&p->sent)); }
static bool is_idempotent(const kp_pump *pump) { return pump->core->config.idempotent; }

static kp_batch *next_sent(kp_partition *p, kp_batch *b) { return batch_of(kp_list_next(&p->sent, &b->link)); }

static kp_batch *first_parked(kp_partition *p) {
    for (kp_batch *b = first_sent(p); b != NULL; b = next_sent(p, b)) {
        if (b->state == KP_BATCH_PARKED) {
            return b;
        }
    }
    return NULL;
}

/* The oldest batch without an outcome: only its fate may be asked about. */
static bool is_head(kp_partition *p, const kp_batch *b) {
    for (kp_batch *s = first_sent(p); s != NULL; s = next_sent(p, s)) {
        if (s->state != KP_BATCH_DONE) {
            return s == b;
        }
    }
    return false;
}

/* --- events --- */

static void post(kp_pump *pump, kp_msg *m) {
    if (m == NULL) {
        kp_pump_fatal(pump, "out of memory for an event");
        return;
    }
    kp_core_post(pump->core, m);
}

static kp_msg *partition_event(const kp_partition *p, kp_msg_type type) {
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

static void hold(kp_partition *p) {
    p->is_held = true;
    p->hold_gen++;
}

/* --- outcomes --- */

static void count_outcome(kp_pump *pump, const kp_batch *b, kp_state state) {
    kp_core *core = pump->core;
    if (state == KP_DELIVERED) {
        KP_COUNT(core, records_acked, b->count);
        KP_COUNT(core, batches_acked, 1);
        kp_hist_add(&core->stats.hists[KP_H_DELIVERY], pump->now - b->created_ns);
    } else {
        const int32_t failed = b->result->record_errors != NULL ? b->result->n_record_errors : b->count;
        KP_COUNT(core, records_failed, failed);
        KP_COUNT(core, batches_failed, 1);
    }
}

/* The count of a split's child was told with the split: whoever resolves an index reads it. */
static void fix_count(const kp_batch *b) {
    if (b->result->count != b->count) {
        b->result->count = b->count;
    }
}

/* Makes the outcome known. The batch itself may live on, until its answer (contract 7). */
static void settle(kp_pump *pump, kp_batch *b, kp_state state) {
    fix_count(b);
    count_outcome(pump, b, state);
    kp_core_publish(pump->core, b->result, state);
    kp_flush_leave(pump->core, b->flush_gen);
    b->is_settled = true;
}

static void destroy(kp_pump *pump, kp_batch *b) {
    if (kp_link_is_linked(&b->link)) {
        kp_list_remove(&b->link);
    }
    kp_batch_free(b, &pump->core->pool);
}

/* Contract 3: results come out in the order of the sequence, whatever the order of the answers. */
static void publish_front(kp_pump *pump, kp_partition *p) {
    for (kp_batch *b = first_sent(p); b != NULL && b->state == KP_BATCH_DONE; b = first_sent(p)) {
        settle(pump, b, b->outcome);
        destroy(pump, b);
    }
}

static void set_failure(const kp_pump *pump, kp_batch *b, const kp_failure *failure) {
    kp_failure *f = &b->result->failure;
    free(f->message);
    *f = *failure;
    f->message = failure->message == NULL ? NULL : kp_strdup(failure->message, strlen(failure->message));
    f->attempts = b->attempts;
    f->node = b->last_node;
    f->elapsed_ns = pump->now - b->created_ns;
    if (b->maybe && f->persisted == KP_NOT_PERSISTED) {
        f->persisted = KP_MAYBE_PERSISTED; /* an earlier attempt may be in the log, whatever this one met */
    }
}

static void finish(kp_pump *pump, kp_batch *b, kp_state outcome) {
    b->state = KP_BATCH_DONE;
    b->outcome = outcome;
    kp_batch_drop_bytes(b, &pump->core->pool);
}

static void fail_now(kp_pump *pump, kp_batch *b, const kp_failure *failure) {
    set_failure(pump, b, failure);
    settle(pump, b, KP_FAILED);
    destroy(pump, b);
}

/* --- quiet and epochs --- */

static void adopt_producer(kp_pump *pump, kp_partition *p) {
    p->producer_id = pump->producer_id;
    p->producer_epoch = pump->producer_epoch;
    p->next_sequence = 0;
    p->last_acked = -1;
    p->gate_is_open = false;
    p->is_unresolved = false;
}

static bool has_newest_producer(const kp_pump *pump, const kp_partition *p) {
    return p->producer_id == pump->producer_id && p->producer_epoch == pump->producer_epoch;
}

/* Nothing is in flight: what was never `maybe` gets new sequences, the rest can't be sent under another epoch. */
static void restart_epoch(kp_pump *pump, kp_partition *p) {
    static const kp_failure gone = {.code = KP_CODE_EXPIRED, .persisted = KP_MAYBE_PERSISTED, .node = -1,
                                    .message = (char *)(uintptr_t) "unresolved when the producer epoch was bumped"};
    p->wants_new_epoch = false;
    publish_front(pump, p);
    kp_link *at = &p->queue.head;
    for (kp_batch *b = first_sent(p); b != NULL; b = first_sent(p)) {
        if (b->state == KP_BATCH_DONE) {
            settle(pump, b, b->outcome);
            destroy(pump, b);
        } else if (b->maybe || b->state == KP_BATCH_ASKED) {
            fail_now(pump, b, &gone);
        } else {
            kp_list_remove(&b->link);
            b->state = KP_BATCH_QUEUED;
            b->is_sequenced = b->is_stamped = false;
            kp_list_insert_after(at, &b->link);
            at = &b->link;
        }
    }
    p->is_unresolved = false;
    p->is_recovering = false;
    p->gate_is_open = false;
}

/* 3.5: an expired batch that may be in the log is resolved by a later ack, or by another epoch. */
static void check_quiet(kp_pump *pump, kp_partition *p) {
    if (p->n_in_flight > 0 || p->is_held) {
        return;
    }
    if (p->wants_new_epoch && !has_newest_producer(pump, p)) {
        restart_epoch(pump, p);
        return;
    }
    if (!p->is_unresolved || first_sent(p) != NULL) {
        return;
    }
    if (p->last_acked >= 0 && kp_sequence_reached(p->last_acked, p->unresolved_last)) {
        p->is_unresolved = false;
        return;
    }
    if (!has_newest_producer(pump, p)) { /* the bump that another partition asked for serves this one too */
        restart_epoch(pump, p);
        return;
    }
    hold(p);
    kp_msg *m = partition_event(p, KP_EV_PARTITION_QUIET);
    if (m != NULL) {
        m->flag_a = true;
    }
    post(pump, m);
}

static void mark_unresolved(kp_partition *p, const kp_batch *b) {
    if (b->is_sequenced) {
        p->is_unresolved = true;
        p->unresolved_last = kp_batch_last_sequence(b);
    }
}

/* --- may this partition drain? (contract 5) --- */

static int in_flight_limit(const kp_pump *pump, const kp_partition *p) {
    if (p->is_recovering) {
        return 1;
    }
    return is_idempotent(pump) && !p->gate_is_open ? 1 : pump->core->config.max_in_flight;
}

static bool may_assign_sequence(const kp_pump *pump, kp_partition *p) {
    if (!is_idempotent(pump)) {
        return true;
    }
    if (pump->producer_id < 0 || p->is_unresolved || p->wants_new_epoch) {
        return false;
    }
    return has_newest_producer(pump, p) || first_sent(p) == NULL;
}

static bool open_is_due(const kp_pump *pump, kp_partition *p) {
    const int64_t since = atomic_load(&p->open_since);
    kp_core *core = pump->core;
    return since != 0 && (atomic_load(&core->urgent) > 0 || atomic_load(&core->pool.n_waiting) > 0 ||
                          pump->now - since >= core->config.linger_ns);
}

static bool may_drain(const kp_pump *pump, kp_partition *p) {
    if (p->is_held || p->wants_new_epoch || pump->now < p->resume_at || p->n_in_flight >= in_flight_limit(pump, p)) {
        return false;
    }
    if (first_parked(p) != NULL) {
        return true;
    }
    return (first_queued(p) != NULL || open_is_due(pump, p)) && may_assign_sequence(pump, p);
}

static bool has_work(const kp_pump *pump, kp_partition *p) {
    return first_queued(p) != NULL || first_parked(p) != NULL || open_is_due(pump, p);
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
    post(pump, m);
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
    post(pump, m);
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
    return has_backlog || first_parked(p) != NULL || open_is_due(pump, p) || atomic_load(&core->urgent) > 0 ||
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
    for (kp_batch *b = first_sent(p); b != NULL; b = next_sent(p, b)) {
        if (!b->is_settled && b->state != KP_BATCH_DONE) {
            return b;
        }
    }
    return first_queued(p);
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
    check_quiet(pump, p);
    const bool works = has_work(pump, p);
    if (works && p->node == NULL) {
        tell_stale(pump, p->topic);
    }
    if (!works || p->node == NULL || !may_drain(pump, p)) {
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
    set_failure(pump, b, &expired);
    if (b->state == KP_BATCH_IN_FLIGHT || b->state == KP_BATCH_ASKED) {
        b->result->failure.persisted = KP_MAYBE_PERSISTED; /* only control knows which refusals are definite */
    }
    if (b->state == KP_BATCH_IN_FLIGHT) {
        settle(pump, b, KP_FAILED); /* the bytes stay: the socket may still read them (3.10) */
        return;
    }
    mark_unresolved(p, b);
    settle(pump, b, KP_FAILED);
    destroy(pump, b);
}

static void expire(kp_pump *pump, kp_partition *p) {
    const int64_t born_before = pump->now - pump->core->config.delivery_timeout_ns;
    int32_t n = 0;
    bool ever_sent = false;
    for (kp_batch *b = oldest_unsettled(p); b != NULL && b->created_ns <= born_before; b = oldest_unsettled(p)) {
        ever_sent = ever_sent || b->was_sent;
        n++;
        if (b->state == KP_BATCH_QUEUED) {
            fail_now(pump, b, &expired);
        } else {
            expire_sent(pump, p, b);
        }
    }
    publish_front(pump, p);
    if (n == 0) {
        return;
    }
    kp_msg *m = partition_event(p, KP_EV_EXPIRED);
    if (m != NULL) {
        m->count = n;
        m->flag_a = ever_sent;
    }
    post(pump, m);
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
    if (first_queued(p) == NULL) {
        kp_accumulator_collect(p);
    }
    if (first_queued(p) == NULL && open_is_due(pump, p) && kp_accumulator_seal_open(p) == KP_AGAIN) {
        pump->has_more = true; /* the appender that holds the lock seals for us, or the next step succeeds */
    }
    return first_queued(p);
}

static kp_status stamp(kp_pump *pump, kp_partition *p, kp_batch *b) {
    kp_stamp s = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    if (is_idempotent(pump)) {
        if (!has_newest_producer(pump, p)) {
            adopt_producer(pump, p);
        }
        s = (kp_stamp){p->producer_id, p->producer_epoch, p->next_sequence};
    }
    const kp_status status = kp_batch_stamp(b, &s, pump->codec);
    if (status == KP_OK && is_idempotent(pump)) {
        b->is_sequenced = true;
        p->next_sequence = kp_sequence_add(p->next_sequence, b->count);
    }
    return status;
}

size_t kp_partition_next_len(kp_pump *pump, kp_partition *p) {
    const kp_batch *b = first_parked(p);
    b = b == NULL ? first_queued(p) : b;
    return b == NULL ? pump->core->config.batch_size : b->wire != NULL ? b->wire_len : b->len;
}

kp_batch *kp_partition_next(kp_pump *pump, kp_partition *p, kp_conn *conn) {
    if (!may_drain(pump, p) || (p->n_in_flight > 0 && p->in_flight_conn != conn)) { /* old-leader gate */
        return NULL;
    }
    kp_batch *b = first_parked(p);
    if (b != NULL) {
        if (b->is_stamped) {
            return b;
        }
        const kp_stamp same = {b->producer_id, b->producer_epoch, b->base_sequence}; /* a half of a split */
        return kp_batch_stamp(b, &same, pump->codec) == KP_OK ? b : NULL;
    }
    while ((b = take_fresh(pump, p)) != NULL) {
        if (stamp(pump, p, b) == KP_OK) {
            kp_list_remove(&b->link);
            kp_list_push_back(&p->sent, &b->link);
            b->state = KP_BATCH_PARKED;
            return b;
        }
        static const kp_failure no_memory = {.code = KP_CODE_OUT_OF_MEMORY, .node = -1};
        fail_now(pump, b, &no_memory);
    }
    return NULL;
}

static void count_sent(kp_pump *pump, const kp_batch *b) {
    kp_core *core = pump->core;
    KP_COUNT(core, batches_sent, 1);
    KP_COUNT(core, records_sent, b->count);
    KP_COUNT(core, raw_bytes, b->len);
    KP_COUNT(core, wire_bytes, b->wire_len);
    if (b->was_sent) {
        KP_COUNT(core, record_retries, b->count);
    } else {
        kp_hist_add(&core->stats.hists[KP_H_QUEUE], pump->now - b->created_ns);
    }
}

void kp_partition_sent(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn) {
    count_sent(pump, b);
    b->state = KP_BATCH_IN_FLIGHT;
    b->was_sent = true;
    b->attempts++;
    b->last_node = conn->node->id;
    b->drained_ns = pump->now;
    p->n_in_flight++;
    p->in_flight_conn = conn;
}

/* --- answers --- */

static void no_longer_in_flight(kp_partition *p) {
    p->n_in_flight--;
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

static void acked(kp_pump *pump, kp_partition *p, kp_batch *b, const kp_conn *conn, int64_t base_offset,
                  int64_t log_append_ms) {
    note_ack(p, b, conn);
    if (b->is_settled) {
        KP_COUNT(pump->core, late_acks, 1); /* 3.11: the future has failed, the sequence has not */
        destroy(pump, b);
        return;
    }
    if (is_head(p, b)) {
        p->is_recovering = false;
    }
    b->result->base_offset = base_offset;
    b->result->log_append_ms = log_append_ms;
    finish(pump, b, KP_DELIVERED);
    publish_front(pump, p);
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
    kp_msg *m = partition_event(p, KP_EV_BATCH_REFUSED);
    if (m != NULL) {
        m->batch_id = b->id;
        m->code = code;
        m->flag_a = is_head(p, b);
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

static void refused(kp_pump *pump, kp_partition *p, kp_batch *b, const kp_answer *answer, const kp_answers *all) {
    if (b->is_settled) {
        mark_unresolved(p, b);
        destroy(pump, b);
        return;
    }
    b->state = KP_BATCH_PARKED;
    p->is_recovering = true;
    if (answer->code == CODE_OUT_OF_ORDER && (!is_head(p, b) || p->wants_new_epoch)) {
        return; /* contract 2: it only says that an earlier one is unsettled, or failed */
    }
    b->state = KP_BATCH_ASKED;
    hold(p);
    kp_msg *m = refusal(p, b, answer->code);
    if (m != NULL) {
        m->offset = answer->log_start_offset;
        m->message = kp_strdup(answer->message.data, answer->message.len);
        copy_record_errors(m, answer);
        copy_hint(m, answer, all);
    }
    post(pump, m);
}

void kp_partition_answered(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, const kp_answer *answer,
                           const kp_answers *all) {
    no_longer_in_flight(p);
    if (!answer->is_there) { /* the broker left it out: it may have been appended */
        p->n_in_flight++;
        p->in_flight_conn = conn;
        kp_partition_lost(pump, p, b, conn, true);
        return;
    }
    if (answer->code == 0) {
        acked(pump, p, b, conn, answer->base_offset, answer->log_append_ms);
    } else {
        refused(pump, p, b, answer, all);
    }
    kp_partition_refresh(pump, p);
}

void kp_partition_lost(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, bool maybe) {
    KP_UNUSED(conn);
    no_longer_in_flight(p);
    b->maybe = b->maybe || maybe;
    if (b->is_settled) {
        mark_unresolved(p, b);
        destroy(pump, b);
    } else if (b->attempts > pump->core->config.retries) {
        b->state = KP_BATCH_ASKED;
        p->is_recovering = true;
        hold(p);
        post(pump, refusal(p, b, CODE_NETWORK_EXCEPTION));
    } else {
        b->state = KP_BATCH_PARKED;
        p->is_recovering = true;
    }
    kp_partition_refresh(pump, p);
}

/* --- commands --- */

void kp_partition_set_leader(kp_pump *pump, kp_partition *p, kp_leader leader) {
    kp_node *node = leader.node < 0 ? NULL : kp_pump_node(pump, leader.node, true);
    if (node != p->node || leader.epoch != p->leader_epoch) {
        p->gate_is_open = false; /* first-sequence gate: this leader has acked nothing yet */
    }
    if (node != p->node) {
        kp_partition_leave_ready(p);
        p->node = node;
    }
    p->leader_epoch = leader.epoch;
    atomic_store(&p->leader, node == NULL ? -1 : leader.node);
    kp_partition_refresh(pump, p);
}

static kp_batch *find_asked(kp_partition *p, uint64_t id) {
    for (kp_batch *b = first_sent(p); b != NULL; b = next_sent(p, b)) {
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
    part->producer_id = b->producer_id;
    part->producer_epoch = b->producer_epoch;
    part->base_sequence = b->is_sequenced ? kp_sequence_add(b->base_sequence, first) : -1;
    c->parts[c->n++] = part;
    return KP_OK;
}

static void cut_drop(kp_pump *pump, cut *c) {
    for (int32_t i = 0; i < c->n; i++) {
        kp_batch_free(c->parts[i], &pump->core->pool);
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
    fix_count(parent);
    kp_link *at = &parent->link;
    for (int32_t i = 0; i < c->n; i++) {
        kp_list_insert_after(at, &c->parts[i]->link);
        at = &c->parts[i]->link;
        atomic_fetch_add(&pump->core->pending[parent->flush_gen % KP_FLUSH_GENS], 1);
    }
    kp_core_publish_split(pump->core, r);
    kp_flush_leave(pump->core, parent->flush_gen);
    destroy(pump, parent);
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
    const kp_failure f = {.code = v->code, .persisted = (kp_persisted)v->persisted, .node = -1, .message = v->message};
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
                                  .message = e->message};
            set_failure(pump, guilty, &f);
            finish(pump, guilty, KP_FAILED);
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
    set_failure(pump, b, f);
    finish(pump, b, KP_FAILED);
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
        acked(pump, p, b, NULL, -1, -1);
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
    publish_front(pump, p);
    kp_partition_refresh(pump, p);
}

void kp_partition_resume(kp_pump *pump, kp_partition *p, const kp_msg *resume) {
    /* A refusal in between made it stale: the hold stays, but a wanted epoch is wanted all the same. */
    p->wants_new_epoch = p->wants_new_epoch || (p->is_held && resume->flag_a && is_idempotent(pump));
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
    for (kp_batch *b = first_queued(p); b != NULL; b = first_queued(p)) {
        fail_now(pump, b, failure);
    }
    kp_partition_refresh(pump, p);
}

/* The connections are closed: nothing is in flight. Appends are over, so the lock is free or soon will be. */
void kp_partition_fail_everything(kp_pump *pump, kp_partition *p, const kp_failure *failure) {
    kp_accumulator_seal_now(p);
    for (kp_batch *b = first_sent(p); b != NULL; b = first_sent(p)) {
        if (b->state == KP_BATCH_DONE) {
            settle(pump, b, b->outcome);
            destroy(pump, b);
        } else {
            b->maybe = b->maybe || b->state == KP_BATCH_ASKED;
            mark_unresolved(p, b);
            fail_now(pump, b, failure);
        }
    }
    for (kp_batch *b = first_queued(p); b != NULL; b = first_queued(p)) {
        fail_now(pump, b, failure);
    }
    p->is_held = p->wants_new_epoch = false;
    kp_partition_leave_ready(p);
}

void kp_partition_new_topic_id(kp_pump *pump, kp_partition *p) {
    p->gate_is_open = false;
    if (!is_idempotent(pump) || (p->producer_id < 0 && first_sent(p) == NULL)) {
        return;
    }
    /* The new log knows none of our sequences: restart them under another epoch, once nothing is in flight. */
    p->is_unresolved = true;
    p->unresolved_last = kp_sequence_add(p->next_sequence, INT32_MAX >> 2);
    p->last_acked = -1;
    kp_partition_refresh(pump, p);
}
