/* buffer.full.policy=drop-oldest: the oldest records that never left make room for those that wait. */
#include "kp_partition.h"

/* A batch, or (batch NULL) the open one of a partition. */
typedef struct candidate {
    kp_partition *p;
    kp_batch *b;
    int64_t created_ns;
} candidate;

/* What was sent may be in the log, and what has a sequence would leave a hole: neither is ever dropped. */
static kp_batch *first_unsent(kp_partition *p) {
    for (kp_batch *b = kp_first_queued(p); b != NULL; b = kp_batch_of(kp_list_next(&p->queue, &b->link))) {
        if (!b->was_sent) {
            return b;
        }
    }
    return NULL;
}

static void consider(kp_partition *p, candidate *oldest) {
    if (atomic_load(&p->sealed) != NULL) {
        kp_accumulator_collect(p);
    }
    kp_batch *b = first_unsent(p);
    const int64_t created_ns = b != NULL ? b->created_ns : atomic_load(&p->open_since);
    if (created_ns != 0 && (oldest->p == NULL || created_ns < oldest->created_ns)) {
        *oldest = (candidate){.p = p, .b = b, .created_ns = created_ns};
    }
}

static candidate find_oldest(const kp_pump *pump) {
    candidate oldest = {0};
    for (kp_topic *t = atomic_load(&pump->core->topics); t != NULL; t = t->next) {
        const kp_partition_table *table = kp_topic_table(t);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            consider(table->items[i], &oldest);
        }
    }
    return oldest;
}

/* False: nothing may be dropped now. */
static bool drop_one(kp_pump *pump) {
    static const kp_failure dropped = {.code = KP_CODE_DROPPED, .persisted = KP_NOT_PERSISTED, .node = -1};
    const candidate oldest = find_oldest(pump);
    if (oldest.p == NULL) {
        return false;
    }
    if (oldest.b == NULL && kp_accumulator_seal_open(oldest.p) != KP_OK) {
        pump->has_more = true; /* an appender is in it */
        return false;
    }
    kp_batch *b = oldest.b != NULL ? oldest.b : first_unsent(oldest.p);
    if (b != NULL) { /* NULL: its appender found no memory for the first record, and took the batch back */
        KP_COUNT(pump->core, records_dropped, b->count);
        kp_outcome_fail_now(pump, b, &dropped);
    }
    kp_partition_refresh(pump, oldest.p);
    return true;
}

void kp_pump_press(kp_pump *pump) {
    for (int i = 0; i < pump->n_nodes; i++) {
        pump->nodes[i]->is_pressing = pump->nodes[i]->n_ready > 0;
    }
}

void kp_pump_drop_oldest(kp_pump *pump) {
    while (kp_pool_is_short(&pump->core->pool) && drop_one(pump)) {
    }
}
