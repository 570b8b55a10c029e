#include "kp_core.h"

#include <stdlib.h>
#include <string.h>

static kp_status copy_config(kp_core *core, const kp_config *config) {
    core->config = *config;
    const char *id = config->transactional_id;
    core->config.client_id = kp_strdup(config->client_id, strlen(config->client_id));
    core->config.transactional_id = id == NULL ? NULL : kp_strdup(id, strlen(id));
    const bool has_id = id == NULL || core->config.transactional_id != NULL;
    return core->config.client_id == NULL || !has_id ? KP_ERR_NOMEM : KP_OK;
}

static void free_config(kp_core *core) {
    free((char *)(uintptr_t)core->config.client_id);
    free((char *)(uintptr_t)core->config.transactional_id);
}

kp_core *kp_core_new(const kp_config *config, kp_handle pump_wake, kp_handle event_wake) {
    kp_core *core = calloc(1, sizeof *core);
    if (core == NULL) {
        return NULL;
    }
    if (copy_config(core, config) != KP_OK ||
        kp_pool_init(&core->pool, kp_max_size(config->batch_size, KP_BATCH_HEADER + 1), config->buffer_memory) != KP_OK) {
        free_config(core);
        free(core);
        return NULL;
    }
    atomic_init(&core->refs, 1);
    atomic_init(&core->next_batch_id, 1);
    core->wake = pump_wake;
    core->event_wake = event_wake;
    core->finished_tail = &core->finished;
    kp_mutex_init(&core->topics_lock);
    kp_mutex_init(&core->wait_lock);
    kp_cond_init(&core->result_cond);
    kp_cond_init(&core->flush_cond);
    kp_cond_init(&core->topic_cond);
    kp_cond_init(&core->finished_cond);
    kp_queue_init(&core->events);
    kp_queue_init(&core->commands);
    return core;
}

static void free_topic(kp_topic *t) {
    kp_partition_table *table = kp_topic_table(t);
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        free(table->items[i]);
    }
    while (table != NULL) {
        kp_partition_table *older = table->retired;
        free(table);
        table = older;
    }
    kp_mutex_destroy(&t->lock);
    free(t->error_message);
    free(t->name);
    free(t);
}

static void free_core(kp_core *core) {
    for (kp_topic *t = atomic_load(&core->topics), *next; t != NULL; t = next) {
        next = t->next;
        free_topic(t);
    }
    kp_topic_index_free(&core->topic_index);
    kp_stats_free(&core->stats);
    kp_queue_free(&core->events);
    kp_queue_free(&core->commands);
    kp_pool_free(&core->pool);
    kp_mutex_destroy(&core->topics_lock);
    kp_mutex_destroy(&core->wait_lock);
    kp_cond_destroy(&core->result_cond);
    kp_cond_destroy(&core->flush_cond);
    kp_cond_destroy(&core->topic_cond);
    kp_cond_destroy(&core->finished_cond);
    free(core->fatal.message);
    free(core->txn_failure.message);
    free_config(core);
    free(core);
}

void kp_core_retain(kp_core *core) { atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed); }

void kp_core_release(kp_core *core) {
    if (atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) == 1) {
        free_core(core);
    }
}

/* --- topics --- */

static kp_topic *new_topic(kp_core *core, const char *name, size_t len) {
    kp_topic *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->name = kp_strdup(name, len);
    if (t->name == NULL) {
        free(t);
        return NULL;
    }
    t->core = core;
    t->name_len = len;
    atomic_init(&t->random, (uint64_t)kp_clock_ns() ^ (uint64_t)(uintptr_t)t);
    atomic_init(&t->sticky, -1);
    kp_mutex_init(&t->lock);
    return t;
}

static kp_topic *add_topic_locked(kp_core *core, const char *name, size_t len) {
    kp_topic *t = kp_topic_index_reserve(&core->topic_index) == KP_OK ? new_topic(core, name, len) : NULL;
    if (t != NULL) {
        t->next = atomic_load(&core->topics);
        atomic_store_explicit(&core->topics, t, memory_order_release);
        kp_topic_index_add(&core->topic_index, t);
    }
    return t;
}

kp_topic *kp_core_topic(kp_core *core, const char *name, size_t len) {
    kp_topic *t = kp_topic_index_find(&core->topic_index, name, len);
    if (t != NULL) {
        return t;
    }
    kp_mutex_lock(&core->topics_lock);
    t = kp_topic_index_find(&core->topic_index, name, len);
    if (t == NULL) {
        t = add_topic_locked(core, name, len);
    }
    kp_mutex_unlock(&core->topics_lock);
    return t;
}

static kp_partition *new_partition(kp_topic *topic, int32_t index) {
    kp_partition *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->topic = topic;
    p->index = index;
    atomic_init(&p->leader, -1);
    kp_list_init(&p->queue);
    kp_list_init(&p->sent);
    p->leader_epoch = -1;
    p->producer_id = -1;
    p->producer_epoch = -1;
    p->last_acked = -1;
    return p;
}

kp_status kp_topic_grow(kp_topic *topic, int32_t count) {
    kp_partition_table *old = kp_topic_table(topic);
    const int32_t have = old == NULL ? 0 : old->count;
    if (count <= have) {
        return KP_OK;
    }
    kp_partition_table *table = malloc(sizeof *table + (size_t)count * sizeof table->items[0]);
    if (table == NULL) {
        return KP_ERR_NOMEM;
    }
    table->retired = old;
    for (table->count = 0; table->count < count; table->count++) {
        const int32_t i = table->count;
        table->items[i] = i < have ? old->items[i] : new_partition(topic, i);
        if (table->items[i] == NULL) {
            break;
        }
    }
    if (table->count <= have) {
        free(table);
        return KP_ERR_NOMEM;
    }
    const kp_status status = table->count == count ? KP_OK : KP_ERR_NOMEM;
    atomic_store_explicit(&topic->table, table, memory_order_release);
    return status;
}

kp_topic_counts kp_topic_count(kp_topic *topic) {
    kp_topic_counts counts = {0};
    const kp_partition_table *table = kp_topic_table(topic);
    counts.partitions = table == NULL ? 0 : table->count;
    for (int32_t i = 0; i < counts.partitions; i++) {
        const kp_counter *of = table->items[i]->counters;
        for (int k = 0; k < KP_PARTITION_COUNTER_COUNT; k++) {
            counts.sums[k] += kp_counter_get(&of[k]);
        }
        const uint64_t records = kp_counter_get(&of[KP_P_records_acked]);
        counts.most_records = records > counts.most_records ? records : counts.most_records;
    }
    return counts;
}

kp_status kp_topic_wait(kp_topic *topic, int32_t partition, uint64_t error_gen, int64_t slice_deadline_ns) {
    kp_core *core = topic->core;
    kp_status status = KP_AGAIN;
    bool in_time = true;
    kp_mutex_lock(&core->wait_lock);
    while (status == KP_AGAIN && in_time) {
        if (partition < kp_topic_live(topic)) {
            status = KP_OK;
        } else if (topic->error_gen != error_gen) {
            status = KP_ERR_IO;
        } else if (!kp_topic_is_open(topic)) {
            status = KP_ERR_CLOSED;
        } else {
            in_time = kp_cond_wait_until(&core->topic_cond, &core->wait_lock, slice_deadline_ns);
        }
    }
    kp_mutex_unlock(&core->wait_lock);
    return status;
}

uint64_t kp_topic_want(kp_topic *topic, int32_t partitions) {
    kp_core *core = topic->core;
    kp_mutex_lock(&core->wait_lock);
    const uint64_t error_gen = topic->error_gen;
    if (atomic_load(&topic->wanted) < partitions) {
        atomic_store(&topic->wanted, partitions);
    }
    kp_mutex_unlock(&core->wait_lock);
    kp_msg *m = kp_msg_new(KP_EV_TOPIC_WANTED);
    if (m != NULL) { /* without memory for it, the wait ends in its timeout */
        m->topic = topic;
        m->count = partitions;
        kp_core_post(core, m);
    }
    return error_gen;
}

int32_t kp_topic_error(kp_topic *topic, char **message) {
    kp_mutex_lock(&topic->core->wait_lock);
    const int32_t code = topic->error;
    *message = topic->error_message == NULL ? NULL : kp_strdup(topic->error_message, strlen(topic->error_message));
    kp_mutex_unlock(&topic->core->wait_lock);
    return code;
}

/* --- life --- */

void kp_core_mark_dirty(kp_core *core, kp_partition *p) {
    if (atomic_exchange(&p->is_dirty, true)) {
        return;
    }
    kp_partition *head = atomic_load_explicit(&core->dirty, memory_order_relaxed);
    do {
        p->dirty_next = head;
    } while (!atomic_compare_exchange_weak(&core->dirty, &head, p));
}

/* Not an append, so nothing is sealed here: a pump that missed the lock meanwhile is told to try again. */
static void unlock_partition(kp_core *core, kp_partition *p) {
    kp_latch_unlock(&p->lock);
    if (atomic_load(&p->seal_wanted)) {
        kp_core_mark_dirty(core, p);
        kp_core_wake_pump(core);
    }
}

/* Each lock is passed once: whoever comes after sees `life`. */
void kp_core_settle_appends(kp_core *core) {
    for (kp_topic *t = atomic_load(&core->topics); t != NULL; t = t->next) {
        const kp_partition_table *table = kp_topic_table(t);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            kp_latch_lock(&table->items[i]->lock);
            unlock_partition(core, table->items[i]);
        }
    }
}

void kp_core_close_appends(kp_core *core) {
    int open = KP_OPEN;
    kp_mutex_lock(&core->wait_lock);
    atomic_compare_exchange_strong(&core->life, &open, KP_CLOSING);
    kp_cond_broadcast(&core->topic_cond);
    kp_mutex_unlock(&core->wait_lock);
    kp_pool_close(&core->pool);
    kp_core_settle_appends(core);
}

void kp_core_end(kp_core *core, kp_life life, const kp_failure *f) {
    kp_mutex_lock(&core->wait_lock);
    if (f != NULL && core->fatal.message == NULL) {
        core->fatal = *f;
        core->fatal.message = f->message == NULL ? NULL : kp_strdup(f->message, strlen(f->message));
    }
    if (atomic_load(&core->life) != KP_CLOSED) {
        atomic_store(&core->life, life);
    }
    kp_cond_broadcast(&core->topic_cond);
    kp_mutex_unlock(&core->wait_lock);
    kp_pool_close(&core->pool);
}

void kp_core_abandon(kp_core *core) { atomic_store(&core->life, KP_FORKED); }

/* --- wake-ups and queues --- */

void kp_core_wake_pump(kp_core *core) {
    /* Only the one who finds the pump asleep writes: one wake-up, however many appenders. */
    if (atomic_exchange(&core->sleeps_until, 0) != 0) {
        KP_COUNT(core, pump_wakes, 1);
        kp_wake_signal(core->wake);
    }
}

void kp_core_hurry(kp_core *core) {
    atomic_fetch_add(&core->urgent_gen, 1);
    kp_core_wake_pump(core);
}

void kp_core_post(kp_core *core, kp_msg *event) {
    if (kp_queue_put(&core->events, event)) {
        kp_wake_signal(core->event_wake);
    }
}

void kp_core_command(kp_core *core, kp_msg *command) {
    kp_queue_put(&core->commands, command);
    kp_core_wake_pump(core);
}

/* --- results --- */

kp_status kp_result_wait(kp_core *core, kp_result *r, int32_t index, int64_t slice_deadline_ns) {
    int32_t at = index;
    if (kp_result_state(kp_result_resolve(r, &at)) != KP_PENDING) {
        return KP_OK;
    }
    atomic_fetch_add(&core->result_waiters, 1);
    kp_mutex_lock(&core->wait_lock);
    bool in_time = true;
    kp_status status = KP_AGAIN;
    while (status == KP_AGAIN && in_time) {
        at = index;
        if (kp_result_state(kp_result_resolve(r, &at)) != KP_PENDING) {
            status = KP_OK;
        } else {
            in_time = kp_cond_wait_until(&core->result_cond, &core->wait_lock, slice_deadline_ns);
        }
    }
    kp_mutex_unlock(&core->wait_lock);
    atomic_fetch_sub(&core->result_waiters, 1);
    return status;
}

kp_status kp_result_listen(kp_core *core, kp_result *r, const kp_listener *l) {
    kp_listener moved = *l;
    moved.only_notes = true;
    kp_partition *p = r->partition;
    kp_latch_lock(&p->lock); /* the batch may still be open, with appenders adding listeners of their own */
    /* Counts as a waiter, so that a publisher who saw no listener looks again under the lock. */
    atomic_fetch_add(&core->result_waiters, 1);
    kp_mutex_lock(&core->wait_lock);
    r = kp_result_resolve(r, &moved.index);
    const bool is_pending = kp_result_state(r) == KP_PENDING;
    const kp_status status = is_pending ? kp_result_add_listener(r, &moved) : KP_FULL;
    kp_mutex_unlock(&core->wait_lock);
    atomic_fetch_sub(&core->result_waiters, 1);
    unlock_partition(core, p);
    return status;
}

void kp_result_watch(kp_result *r, unsigned n) { atomic_fetch_add_explicit(&r->watched, n, memory_order_relaxed); }

static void count_unobserved_locked(kp_core *core, kp_result *r, int64_t n) {
    kp_partition *p = r->partition;
    p->unobserved += n;
    core->unobserved += n;
    if (p->first_unobserved == NULL) {
        kp_result_retain(r);
        p->first_unobserved = r;
    }
}

/* Never below zero: a child's share of watchers is an estimate (see kp_core_publish_split). */
static unsigned drop_watchers(kp_result *r, unsigned n) {
    unsigned before = atomic_load(&r->watched), count;
    do {
        count = before & ~(unsigned)KP_WATCHED_FAILED;
    } while (count != 0 && !atomic_compare_exchange_weak(&r->watched, &before, before - (count < n ? count : n)));
    return before;
}

static int32_t count_failed(const kp_result *r, int32_t first, int32_t n) {
    int32_t failed = 0;
    for (int32_t i = 0; r->record_errors != NULL && i < n; i++) {
        failed += kp_result_record_error(r, first + i) != NULL;
    }
    return r->record_errors == NULL ? n : failed;
}

/* How many of those that nobody watches any more have failed already: they are to be counted as unobserved. What has
 * not failed so far is counted with the rest of the batch if it does. */
static int32_t drop_own(kp_result *r, int32_t first, int32_t n) {
    return (drop_watchers(r, (unsigned)n) & KP_WATCHED_FAILED) == 0 ? 0 : count_failed(r, first, n);
}

void kp_result_unwatch(kp_result *r, int32_t index) {
    kp_result *now = kp_result_resolve(r, &index);
    const int32_t failed = drop_own(now, index, 1);
    if (failed > 0) {
        kp_mutex_lock(&now->core->wait_lock);
        count_unobserved_locked(now->core, now, failed);
        kp_mutex_unlock(&now->core->wait_lock);
    }
}

/* Under the lock of kp_core_publish_split: children have a share of the watchers that are left. */
static bool unwatch_whole(kp_result *r, int32_t first, int32_t n) {
    kp_mutex_lock(&r->core->wait_lock);
    const bool is_whole = kp_result_state(r) != KP_SPLIT_UP;
    const int32_t failed = is_whole ? drop_own(r, first, n) : 0;
    if (failed > 0) {
        count_unobserved_locked(r->core, r, failed);
    }
    kp_mutex_unlock(&r->core->wait_lock);
    return is_whole;
}

/* All at once, unless a split has sent them into several results. */
void kp_result_unwatch_run(kp_result *r, int32_t first, int32_t n) {
    if (kp_result_state(r) == KP_DELIVERED || unwatch_whole(r, first, n)) {
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        kp_result_unwatch(r, first + i);
    }
}

static void count_failures_locked(kp_core *core, kp_result *r) {
    const unsigned watched = atomic_fetch_or(&r->watched, KP_WATCHED_FAILED);
    const int64_t failed = r->record_errors != NULL ? r->n_record_errors : r->count;
    int64_t heard = watched;
    for (int32_t i = 0; i < r->n_listeners; i++) {
        heard += r->listeners[i].only_notes ? 0 : 1;
    }
    if (failed > heard) {
        count_unobserved_locked(core, r, failed - heard);
    }
}

static void hand_on_locked(kp_core *core, kp_result *r) {
    kp_result_retain(r);
    r->next = NULL;
    *core->finished_tail = r;
    core->finished_tail = &r->next;
    core->finished_put++;
    kp_cond_broadcast(&core->finished_cond);
}

void kp_core_publish(kp_core *core, kp_result *r, kp_state state) {
    /* On success with nobody near, no lock is taken: the store and the counter of waiters pair with a waiter's
     * own counter and check, both sequentially consistent. */
    if (state == KP_DELIVERED && r->n_listeners == 0) {
        atomic_store(&r->state, state);
        /* Waiters first: one who listened and left again has been seen by then as a listener. */
        if (atomic_load(&core->result_waiters) == 0 && r->n_listeners == 0) {
            return;
        }
    }
    kp_mutex_lock(&core->wait_lock);
    if (state == KP_FAILED) {
        count_failures_locked(core, r);
    }
    atomic_store(&r->state, state);
    if (r->n_listeners > 0 || r->dead_letters != NULL) {
        hand_on_locked(core, r);
    }
    kp_cond_broadcast(&core->result_cond);
    kp_mutex_unlock(&core->wait_lock);
}

/* Listeners follow their record; futures find their child by resolving. Nobody knows which records the watchers are
 * for, so each child gets as many as it must have: a failure may be told twice, but never to nobody. */
void kp_core_publish_split(kp_core *core, kp_result *parent) {
    kp_mutex_lock(&core->wait_lock);
    const unsigned watched = atomic_load(&parent->watched);
    unsigned total = 0;
    for (int32_t i = 0; i < parent->n_children; i++) {
        total += (unsigned)parent->children[i]->count;
    }
    for (int32_t i = 0, first = 0; i < parent->n_children; i++) {
        kp_result *child = parent->children[i];
        const unsigned others = total - (unsigned)child->count;
        const unsigned share = watched > others ? watched - others : 0;
        atomic_store(&child->watched, share);
        for (int32_t k = 0; k < parent->n_listeners; k++) {
            kp_listener l = parent->listeners[k];
            l.index -= first;
            if (l.index >= 0 && l.index < child->count) {
                (void)kp_result_add_listener(child, &l);
            }
        }
        first += child->count;
    }
    parent->n_listeners = 0;
    atomic_store(&parent->state, KP_SPLIT_UP);
    kp_cond_broadcast(&core->result_cond);
    kp_mutex_unlock(&core->wait_lock);
}

static int32_t list_unobserved_locked(kp_core *core, kp_unobserved *out) {
    int32_t n = 0;
    for (kp_topic *t = atomic_load(&core->topics); t != NULL; t = t->next) {
        const kp_partition_table *table = kp_topic_table(t);
        for (int32_t i = 0; table != NULL && i < table->count; i++) {
            kp_partition *p = table->items[i];
            if (p->unobserved > 0 && out != NULL) {
                out[n] = (kp_unobserved){.partition = p, .count = p->unobserved, .first = p->first_unobserved};
                p->unobserved = 0;
                p->first_unobserved = NULL;
                n++;
            } else if (p->unobserved > 0) {
                n++;
            }
        }
    }
    return n;
}

kp_status kp_core_take_unobserved(kp_core *core, kp_unobserved **out, int32_t *n) {
    kp_status status = KP_OK;
    *out = NULL;
    *n = 0;
    kp_mutex_lock(&core->wait_lock);
    if (core->unobserved > 0) {
        const int32_t count = list_unobserved_locked(core, NULL);
        *out = malloc((size_t)count * sizeof **out);
        status = *out == NULL ? KP_ERR_NOMEM : KP_OK;
    }
    if (*out != NULL) {
        *n = list_unobserved_locked(core, *out);
        core->unobserved = 0;
    }
    kp_mutex_unlock(&core->wait_lock);
    return status;
}

/* --- delivery thread --- */

kp_result *kp_core_take_finished(kp_core *core, int64_t slice_deadline_ns, bool *stopped) {
    bool in_time = true;
    kp_mutex_lock(&core->wait_lock);
    while (core->finished == NULL && !core->delivery_stops && in_time) {
        in_time = kp_cond_wait_until(&core->finished_cond, &core->wait_lock, slice_deadline_ns);
    }
    kp_result *list = core->finished;
    core->finished = NULL;
    core->finished_tail = &core->finished;
    *stopped = list == NULL && core->delivery_stops;
    kp_mutex_unlock(&core->wait_lock);
    return list;
}

void kp_core_finished_done(kp_core *core, uint64_t n) {
    kp_mutex_lock(&core->wait_lock);
    core->finished_done += n;
    kp_cond_broadcast(&core->flush_cond);
    kp_mutex_unlock(&core->wait_lock);
}

uint64_t kp_core_finished_ticket(kp_core *core) {
    kp_mutex_lock(&core->wait_lock);
    const uint64_t ticket = core->finished_put;
    kp_mutex_unlock(&core->wait_lock);
    return ticket;
}

kp_status kp_core_wait_delivered(kp_core *core, uint64_t ticket, int64_t slice_deadline_ns) {
    bool in_time = true;
    kp_mutex_lock(&core->wait_lock);
    while (core->finished_done < ticket && in_time) {
        in_time = kp_cond_wait_until(&core->flush_cond, &core->wait_lock, slice_deadline_ns);
    }
    const bool done = core->finished_done >= ticket;
    kp_mutex_unlock(&core->wait_lock);
    return done ? KP_OK : KP_AGAIN;
}

void kp_core_stop_delivery(kp_core *core) {
    kp_mutex_lock(&core->wait_lock);
    core->delivery_stops = true;
    kp_cond_broadcast(&core->finished_cond);
    kp_mutex_unlock(&core->wait_lock);
}
