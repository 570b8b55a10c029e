/* What the control thread tells the pump: each command in a function of its own. */
#include <stdlib.h>
#include <string.h>

#include "kp_pump.h"

static kp_conn *find_conn(kp_pump *pump, int32_t node, int32_t gen) {
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_next(&pump->conns, n)) {
        kp_conn *conn = KP_OWNER(n, kp_conn, link);
        if (conn->node->id == node && conn->gen == gen) {
            return conn;
        }
    }
    return NULL;
}

static void refresh_topic(kp_pump *pump, kp_topic *topic) {
    const kp_partition_table *table = kp_topic_table(topic);
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        kp_partition_refresh(pump, table->items[i]);
    }
}

static void refresh_all(kp_pump *pump) {
    for (kp_topic *t = atomic_load(&pump->core->topics); t != NULL; t = t->next) {
        refresh_topic(pump, t);
    }
}

static void adopt(kp_pump *pump, kp_msg *m) {
    kp_node *node = kp_pump_node(pump, m->node, true);
    if (node == NULL || kp_conn_adopt(pump, node, m->handle, m->conn_gen, m->version) != KP_OK) {
        pump->io.close(pump->io.arg, m->handle);
        kp_pump_fatal(pump, "out of memory for a connection");
    }
    m->handle = KP_NO_HANDLE; /* the connection's now */
}

static void drop(kp_pump *pump, const kp_msg *m) {
    kp_conn *conn = find_conn(pump, m->node, m->conn_gen);
    if (conn == NULL) {
        KP_COUNT(pump->core, stale_commands, 1);
        return;
    }
    if (m->flag_a && conn->n_requests > 0) {
        conn->is_draining = true;
        if (conn->node->conn == conn) {
            conn->node->conn = NULL;
        }
        return;
    }
    kp_conn_close(pump, conn, m->flag_a ? KP_CLOSE_DRAINED : KP_CLOSE_DROPPED);
}

static bool is_another_id(const kp_topic *topic, const kp_msg *m) {
    return m->has_id && topic->has_id && memcmp(topic->id, m->id, sizeof m->id) != 0;
}

/* Another topic of this name has fewer partitions: the others are no more, which refreshing them acts on. */
static void forget_vanished(kp_pump *pump, kp_topic *topic, int32_t count) {
    const kp_partition_table *table = kp_topic_table(topic);
    if (count < kp_topic_live(topic)) {
        atomic_store(&topic->live, count);
    }
    for (int32_t i = count; table != NULL && i < table->count; i++) {
        kp_partition_refresh(pump, table->items[i]);
    }
}

static void set_id(kp_pump *pump, kp_topic *topic, const kp_msg *m) {
    const bool is_new_topic = is_another_id(topic, m);
    if (is_new_topic) {
        forget_vanished(pump, topic, m->count);
    }
    topic->has_id = m->has_id;
    memcpy(topic->id, m->id, sizeof topic->id);
    const kp_partition_table *table = kp_topic_table(topic);
    for (int32_t i = 0; is_new_topic && table != NULL && i < table->count; i++) {
        kp_partition_new_topic_id(pump, table->items[i]);
    }
}

static void wake_topic_waiters(kp_pump *pump) {
    kp_mutex_lock(&pump->core->wait_lock);
    kp_cond_broadcast(&pump->core->topic_cond);
    kp_mutex_unlock(&pump->core->wait_lock);
}

static kp_status grow(kp_pump *pump, kp_topic *topic, int32_t count) {
    const kp_partition_table *table = kp_topic_table(topic);
    const int32_t have = table == NULL ? 0 : table->count;
    if (count <= have) {
        return KP_OK;
    }
    const size_t more = (size_t)(count - have);
    const kp_status status = kp_heap_reserve(&pump->timers, pump->n_partitions + more);
    if (status != KP_OK) {
        return status;
    }
    pump->n_partitions += more;
    return kp_topic_grow(topic, count);
}

static void publish_topic(kp_pump *pump, const kp_msg *m) {
    kp_topic *topic = m->topic;
    set_id(pump, topic, m);
    topic->stale_told = false;
    if (grow(pump, topic, m->count) != KP_OK) {
        kp_pump_fatal(pump, "out of memory for a topic");
        return;
    }
    const kp_partition_table *table = kp_topic_table(topic);
    static const kp_leader none = {.node = -1, .epoch = -1};
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        kp_partition_set_leader(pump, table->items[i], i < m->count ? m->leaders[i] : none);
    }
    if (m->count > kp_topic_live(topic)) {
        atomic_store(&topic->live, m->count);
    }
    if (kp_topic_live(topic) >= atomic_load(&topic->wanted)) {
        atomic_store(&topic->wanted, 0);
    }
    wake_topic_waiters(pump);
}

static void topic_error(kp_pump *pump, kp_msg *m) {
    kp_topic *topic = m->topic;
    kp_mutex_lock(&pump->core->wait_lock);
    free(topic->error_message);
    topic->error_message = m->message;
    m->message = NULL;
    topic->error = m->code;
    topic->error_gen++;
    atomic_store(&topic->wanted, 0);
    kp_cond_broadcast(&pump->core->topic_cond);
    kp_mutex_unlock(&pump->core->wait_lock);
}

static kp_partition *find_partition(const kp_msg *m) {
    const kp_partition_table *table = kp_topic_table(m->topic);
    return table != NULL && m->partition >= 0 && m->partition < table->count ? table->items[m->partition] : NULL;
}

static kp_failure failure_of(const kp_msg *m) {
    const kp_failure f = {.code = m->code, .persisted = (kp_persisted)m->persisted, .node = -1, .message = m->message};
    return f;
}

static void fail_partition(kp_pump *pump, const kp_msg *m) {
    kp_failure f = failure_of(m);
    f.is_refused = m->flag_a;
    const kp_partition_table *table = kp_topic_table(m->topic);
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        if (m->partition < 0 || m->partition == i) {
            kp_partition_fail_unsent(pump, table->items[i], &f);
        }
    }
}

static void set_producer_id(kp_pump *pump, const kp_msg *m) {
    pump->producer_id = m->producer_id;
    pump->producer_epoch = m->producer_epoch;
    refresh_all(pump);
}

static void fail_all(kp_pump *pump, const kp_msg *m) {
    const kp_failure f = failure_of(m);
    if (m->flag_a) {
        kp_core_end(pump->core, KP_FATAL, &f); /* control has done so, unless the cause is the pump's own */
    }
    kp_pump_fail_all(pump, &f);
}

static void stop(kp_pump *pump) {
    static const kp_failure closed = {.code = KP_CODE_CLOSED, .node = -1};
    const uint64_t before = kp_counter_get(&pump->core->stats.counters[KP_C_batches_failed]);
    kp_core_end(pump->core, KP_CLOSED, NULL);
    kp_pump_fail_all(pump, &closed);
    pump->is_stopped = true;
    kp_msg *m = kp_msg_new(KP_EV_STOPPED);
    if (m != NULL) {
        m->count = (int32_t)(kp_counter_get(&pump->core->stats.counters[KP_C_batches_failed]) - before);
        kp_core_post(pump->core, m);
    }
}

static void allow_partition(kp_pump *pump, const kp_msg *m) {
    kp_partition *p = find_partition(m);
    if (p == NULL) {
        KP_COUNT(pump->core, stale_commands, 1);
    } else {
        kp_txn_allow(pump, p, m->txn_gen);
    }
}

static void on_partition(kp_pump *pump, kp_msg *m) {
    kp_partition *p = find_partition(m);
    if (p == NULL) {
        KP_COUNT(pump->core, stale_commands, 1);
    } else if (m->type == KP_CMD_VERDICT) {
        kp_partition_verdict(pump, p, m);
    } else {
        kp_partition_resume(pump, p, m);
    }
}

void kp_pump_apply(kp_pump *pump, kp_msg *m) {
    switch (m->type) {
    case KP_CMD_ADOPT:
        adopt(pump, m);
        break;
    case KP_CMD_DROP:
        drop(pump, m);
        break;
    case KP_CMD_TOPIC:
        publish_topic(pump, m);
        break;
    case KP_CMD_TOPIC_ERROR:
        topic_error(pump, m);
        break;
    case KP_CMD_FAIL_PARTITION:
        fail_partition(pump, m);
        break;
    case KP_CMD_VERDICT:
    case KP_CMD_RESUME:
        on_partition(pump, m);
        break;
    case KP_CMD_PRODUCER_ID:
        set_producer_id(pump, m);
        break;
    case KP_CMD_FAIL_ALL:
        fail_all(pump, m);
        break;
    case KP_CMD_STOP:
        stop(pump);
        break;
    case KP_CMD_TXN_BEGIN:
        kp_txn_begin(pump, m);
        break;
    case KP_CMD_TXN_ALLOW:
        allow_partition(pump, m);
        break;
    case KP_CMD_TXN_SEAL:
        kp_txn_seal(pump, m);
        break;
    case KP_CMD_TXN_DROP:
        kp_txn_drop(pump, m);
        break;
    default:
        kp_pump_fatal(pump, "a command of unknown type");
    }
}
