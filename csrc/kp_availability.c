/* Which nodes take nothing, so that records without a key go elsewhere (KIP-794). Java compares for each node the time
 * when something was ready for it with the time when something was drained; here it is the time since the node took a
 * request, while some partition waits for nothing else. */
#include "kp_pump.h"

void kp_node_count_waiting(const kp_pump *pump, kp_partition *p, bool waits) {
    if (p->is_waiting == waits) {
        return;
    }
    kp_node *node = p->node;
    p->is_waiting = waits;
    node->n_waiting += waits ? 1 : -1;
    if (waits && node->n_waiting == 1) { /* before, it had nothing to take */
        node->took_at = pump->now;
    }
}

/* Rare: once in a timeout, if at all. */
static void publish(kp_pump *pump, const kp_node *node) {
    for (kp_topic *t = kp_core_first_topic(pump->core); t != NULL; t = t->next) {
        const kp_partition_table *table = kp_topic_table(t);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            if (table->items[i]->node == node) {
                atomic_store(&table->items[i]->is_away, node->is_away);
            }
        }
    }
}

void kp_pump_watch_nodes(kp_pump *pump) {
    const int64_t timeout = pump->core->config.availability_timeout_ns;
    for (int i = 0; timeout > 0 && i < pump->n_nodes; i++) {
        kp_node *node = pump->nodes[i];
        const bool is_away = node->n_waiting > 0 && pump->now - node->took_at >= timeout;
        if (is_away != node->is_away) {
            node->is_away = is_away;
            publish(pump, node);
        }
    }
}

int64_t kp_pump_watch_deadline(const kp_pump *pump) {
    const int64_t timeout = pump->core->config.availability_timeout_ns;
    int64_t at = KP_NEVER;
    for (int i = 0; timeout > 0 && i < pump->n_nodes; i++) {
        const kp_node *node = pump->nodes[i];
        if (node->n_waiting > 0 && !node->is_away) {
            at = kp_min_i64(at, node->took_at + timeout);
        }
    }
    return at;
}
