#include "kp_pump.h"

#include <stdlib.h>
#include <string.h>

static int64_t socket_sendv(void *arg, kp_handle h, const kp_iov *iov, int count) {
    KP_UNUSED(arg);
    return kp_socket_sendv(h, iov, count);
}

static int64_t socket_recv(void *arg, kp_handle h, uint8_t *buf, size_t len) {
    KP_UNUSED(arg);
    return kp_socket_recv(h, buf, len);
}

static void socket_close(void *arg, kp_handle h) {
    KP_UNUSED(arg);
    kp_socket_close(h);
}

const kp_io kp_pump_sockets = {.sendv = socket_sendv, .recv = socket_recv, .close = socket_close};

kp_status kp_pump_new(kp_core *core, const kp_io *io, kp_handle wake_read, kp_pump **out) {
    kp_pump *pump = calloc(1, sizeof *pump);
    if (pump == NULL) {
        return KP_ERR_NOMEM;
    }
    const kp_config *config = &core->config;
    const kp_status status = kp_codec_ctx_new(config->codec, config->codec_level, &config->codec_lib, &pump->codec);
    if (status != KP_OK) {
        free(pump);
        return status;
    }
    pump->last_words = kp_msg_new(KP_CMD_FAIL_ALL);
    if (pump->last_words == NULL) {
        kp_codec_ctx_free(pump->codec);
        free(pump);
        return KP_ERR_NOMEM;
    }
    pump->core = core;
    kp_core_retain(core);
    pump->io = *io;
    pump->wake_read = wake_read;
    pump->producer_id = -1;
    pump->producer_epoch = -1;
    kp_list_init(&pump->conns);
    *out = pump;
    return KP_OK;
}

void kp_pump_free(kp_pump *pump) {
    if (pump == NULL) {
        return;
    }
    for (int i = 0; i < pump->n_nodes; i++) {
        free(pump->nodes[i]);
    }
    free(pump->nodes);
    kp_heap_free(&pump->timers);
    kp_codec_ctx_free(pump->codec);
    kp_msg_free(pump->last_words);
    free(pump->txn.cause.message);
    kp_core *core = pump->core;
    free(pump);
    kp_core_release(core);
}

static kp_node *add_node(kp_pump *pump, int32_t id) {
    if (pump->n_nodes == pump->cap_nodes) {
        const int cap = pump->cap_nodes == 0 ? 8 : pump->cap_nodes * 2;
        kp_node **nodes = realloc(pump->nodes, (size_t)cap * sizeof *nodes);
        if (nodes == NULL) {
            return NULL;
        }
        pump->nodes = nodes;
        pump->cap_nodes = cap;
    }
    kp_node_stats *stats = kp_stats_node(&pump->core->stats, id);
    kp_node *node = stats == NULL ? NULL : calloc(1, sizeof *node);
    if (node != NULL) {
        node->id = id;
        node->stats = stats;
        kp_list_init(&node->ready);
        pump->nodes[pump->n_nodes++] = node;
    }
    return node;
}

kp_node *kp_pump_node(kp_pump *pump, int32_t id, bool make) {
    for (int i = 0; i < pump->n_nodes; i++) {
        if (pump->nodes[i]->id == id) {
            return pump->nodes[i];
        }
    }
    return make ? add_node(pump, id) : NULL;
}

/* --- the end of everything --- */

void kp_pump_fail_all(kp_pump *pump, const kp_failure *failure) {
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_first(&pump->conns)) {
        kp_conn_close(pump, KP_OWNER(n, kp_conn, link), KP_CLOSE_DROPPED);
    }
    for (kp_topic *t = atomic_load(&pump->core->topics); t != NULL; t = t->next) {
        const kp_partition_table *table = kp_topic_table(t);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            kp_partition_fail_everything(pump, table->items[i], failure);
        }
    }
}

/* Only the cause is kept here; the failing of all comes back as a command, when no caller is half way through. */
void kp_pump_fatal(kp_pump *pump, const char *cause) {
    kp_msg *event = kp_msg_new(KP_EV_PUMP_FATAL);
    if (event != NULL) {
        event->message = kp_strdup(cause, strlen(cause));
        kp_core_post(pump->core, event);
    }
    kp_msg *command = pump->last_words;
    if (command == NULL) {
        return; /* said before: nothing is accepted any more, and what was accepted fails */
    }
    pump->last_words = NULL;
    command->code = KP_CODE_INTERNAL;
    command->persisted = KP_MAYBE_PERSISTED;
    command->message = kp_strdup(cause, strlen(cause));
    command->flag_a = true;
    kp_queue_put(&pump->core->commands, command);
    pump->has_more = true;
}

/* --- one step --- */

static void take_commands(kp_pump *pump) {
    for (kp_msg *m = kp_queue_take_all(&pump->core->commands), *next; m != NULL; m = next) {
        next = m->next;
        if (pump->is_stopped && m->type == KP_CMD_ADOPT) {
            pump->io.close(pump->io.arg, m->handle); /* queued behind STOP */
            m->handle = KP_NO_HANDLE;
        } else if (!pump->is_stopped) {
            kp_pump_apply(pump, m);
        }
        kp_msg_free(m);
    }
}

static void take_dirty(kp_pump *pump) {
    for (kp_partition *p = kp_accumulator_take_dirty(pump->core), *next; p != NULL; p = next) {
        next = p->dirty_next;
        atomic_store(&p->is_dirty, false); /* before the look, so that later news marks it again */
        kp_accumulator_collect(p);
        kp_partition_refresh(pump, p);
    }
}

/* With buffer.full.policy=raise nobody waits, so nothing would tell later that open batches are in the way. */
static bool is_short_in_vain(kp_core *core) {
    return atomic_load(&core->pool.n_waiting) == 0 && kp_pool_available(&core->pool) < core->pool.slab_size;
}

/* False: an appender is in one of them. */
static bool seal_all(kp_pump *pump) {
    bool are_sealed = true;
    for (size_t i = 1; i <= pump->timers.count; i++) {
        kp_partition *p = KP_OWNER(pump->timers.slots[i], kp_partition, timer);
        are_sealed = kp_accumulator_seal_open(p) == KP_OK && are_sealed;
    }
    return are_sealed;
}

/* A flush or a wait for memory began: every open batch is ready, whatever its linger. true: the oldest may be dropped. */
static bool notice_urgency(kp_pump *pump) {
    kp_core *core = pump->core;
    const unsigned now = atomic_load(&core->urgent_gen); /* before n_waiting, which a waiter raises first */
    const bool drops = core->config.drops_oldest && atomic_load(&core->pool.n_waiting) > 0;
    if (now == pump->urgent_seen && !drops) {
        return false;
    }
    if (is_short_in_vain(core) && !seal_all(pump)) {
        pump->has_more = true;
    } else {
        pump->urgent_seen = now;
    }
    kp_pump_refresh_waiting(pump);
    return drops;
}

void kp_pump_refresh_waiting(kp_pump *pump) {
    for (size_t i = 1; i <= pump->timers.count; i++) {
        /* Its timer can only come earlier: the loop meets every slot. */
        kp_partition_refresh(pump, KP_OWNER(pump->timers.slots[i], kp_partition, timer));
    }
}

static void receive(kp_pump *pump) {
    for (kp_link *n = kp_list_first(&pump->conns), *next; n != NULL; n = next) {
        next = kp_list_next(&pump->conns, n);
        kp_conn *conn = KP_OWNER(n, kp_conn, link);
        if (conn->is_readable) {
            kp_conn_receive(pump, conn);
        }
    }
}

static void expire(kp_pump *pump) {
    for (kp_timer *t = kp_heap_first(&pump->timers); t != NULL && t->at <= pump->now;
         t = kp_heap_first(&pump->timers)) {
        kp_partition_tick(pump, KP_OWNER(t, kp_partition, timer));
    }
    for (kp_link *n = kp_list_first(&pump->conns), *next; n != NULL; n = next) {
        next = kp_list_next(&pump->conns, n);
        kp_conn_check_deadlines(pump, KP_OWNER(n, kp_conn, link));
    }
}

static void drain(kp_pump *pump) {
    for (kp_link *n = kp_list_first(&pump->conns), *next; n != NULL; n = next) {
        next = kp_list_next(&pump->conns, n);
        kp_conn_drain(pump, KP_OWNER(n, kp_conn, link));
    }
}

static int64_t next_deadline(const kp_pump *pump) {
    const kp_timer *first = kp_heap_first(&pump->timers);
    int64_t at = first == NULL ? kp_pump_watch_deadline(pump) : kp_min_i64(first->at, kp_pump_watch_deadline(pump));
    for (const kp_link *n = pump->conns.head.next; n != &pump->conns.head; n = n->next) {
        at = kp_min_i64(at, kp_conn_deadline(pump, KP_OWNER(n, kp_conn, link)));
    }
    return at;
}

int64_t kp_pump_step(kp_pump *pump, int64_t now) {
    pump->now = now;
    pump->has_more = false;
    KP_COUNT(pump->core, pump_steps, 1);
    take_commands(pump);
    receive(pump);
    take_dirty(pump);
    const bool drops = notice_urgency(pump);
    expire(pump);
    kp_txn_step(pump);
    if (kp_unlikely(drops)) {
        kp_pump_press(pump);
    }
    drain(pump);
    if (kp_unlikely(drops && !pump->has_more)) { /* what could be sent is not dropped */
        kp_pump_drop_oldest(pump);
    }
    kp_pump_watch_nodes(pump);
    return pump->has_more ? now : next_deadline(pump);
}
