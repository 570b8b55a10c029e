#include "kp_accumulator.h"

#include "kp_route.h"
#include "kp_txn.h"

/* --- news for the pump --- */

kp_partition *kp_accumulator_take_dirty(kp_core *core) { return atomic_exchange(&core->dirty, NULL); }

/* PUMP contract 15: only an append that is due before the pump's next waking wakes it. A full batch (due at once)
 * does so only when as many are full as the pump waits for. */
static void wake_if_due(kp_core *core, int64_t due_ns) {
    if (due_ns >= atomic_load(&core->sleeps_until)) {
        return;
    }
    if (due_ns != 0 || atomic_fetch_sub(&core->wake_after, 1) <= 1) {
        kp_core_wake_pump(core);
    }
}

/* --- batches, under the partition's lock --- */

static void push_sealed_locked(kp_partition *p) {
    kp_batch *b = p->open;
    atomic_fetch_add_explicit(&p->n_queued, 1, memory_order_relaxed); /* first: it is never below zero */
    kp_batch *head = atomic_load_explicit(&p->sealed, memory_order_relaxed);
    do {
        b->sealed_next = head;
    } while (!atomic_compare_exchange_weak(&p->sealed, &head, b));
    p->open = NULL;
    atomic_store(&p->open_since, 0);
}

static kp_status open_batch_locked(kp_core *core, kp_partition *p, size_t bound, const kp_append_options *o,
                                   int64_t now) {
    kp_chunk chunk = {0};
    const size_t size = KP_BATCH_HEADER + bound;
    if (o->spare != NULL && o->spare->size >= size) {
        chunk = *o->spare;
        *o->spare = (kp_chunk){0};
    } else {
        const kp_status status = kp_pool_take(&core->pool, size, &chunk);
        if (status != KP_OK) {
            return status == KP_AGAIN ? KP_FULL : status;
        }
    }
    kp_result *result = kp_result_new(core, p);
    kp_batch *b = result == NULL ? NULL : kp_batch_new(result, chunk, now);
    if (b == NULL) {
        kp_result_release(result);
        kp_pool_give(&core->pool, &chunk);
        return KP_ERR_NOMEM;
    }
    b->id = atomic_fetch_add_explicit(&core->next_batch_id, 1, memory_order_relaxed);
    b->opened_ms = kp_wall_ms();
    atomic_store_explicit(&p->topic->is_used, true, memory_order_relaxed);
    b->flush_gen = kp_flush_enter(core);
    KP_COUNT_PARTITION(p, batches_pending, 1);
    if (kp_is_transactional(core)) {
        b->txn_gen = p->txn_told;
        atomic_fetch_add(&core->txn_batches, 1);
    }
    p->open = b;
    return KP_OK;
}

static kp_status listen_locked(kp_batch *b, const kp_record *r, const kp_append_options *o) {
    if (o->listener == NULL) {
        return KP_OK;
    }
    kp_listener l = *o->listener;
    l.index = b->count;
    l.timestamp_ms = r->timestamp_ms;
    l.only_notes = o->only_notes;
    return kp_result_add_listener(b->result, &l);
}

static void tell_place_locked(kp_batch *b, kp_partition *p, const kp_append_options *o, int64_t timestamp_ms,
                              kp_place *place) {
    *place = (kp_place){.partition = p->index, .index = b->count - 1, .timestamp_ms = timestamp_ms};
    if (o->want_result) {
        if (p->index >= o->n_held || o->held[p->index] != b->result) {
            kp_result_retain(b->result);
        }
        if (o->listener == NULL || o->only_notes) { /* another listener hears of the failure anyway */
            kp_result_watch(b->result, 1);
        }
        place->result = b->result;
    }
}

/* The first record of a batch has the exact time: records that come one by one all do. The others of a full stream
 * have the coarse clock's, which may lag a few milliseconds but never behind the first. */
static int64_t later_ms(const kp_batch *b) { return kp_max_i64(b->opened_ms, kp_wall_coarse_ms()); }

/* What the pump should know after the append: KP_NEVER for nothing, 0 for at once. */
typedef struct append_news {
    int64_t due_ns;
} append_news;

static kp_status append_locked(kp_core *core, kp_partition *p, kp_record *r, size_t bound,
                               const kp_append_options *o, kp_place *place, append_news *news) {
    if (kp_unlikely(!kp_topic_is_open(p->topic))) {
        return KP_ERR_CLOSED;
    }
    if (kp_is_transactional(core) && kp_txn_enter_locked(core, p, o->txn_gen) != KP_OK) {
        return KP_ERR_STATE;
    }
    const bool is_now = r->timestamp_ms == KP_NOW;
    /* The listener goes in first: if it can't be stored, no record may be left behind. */
    if (p->open != NULL) {
        r->timestamp_ms = is_now ? later_ms(p->open) : r->timestamp_ms;
        kp_status status = listen_locked(p->open, r, o);
        if (status == KP_OK) {
            status = kp_batch_append(p->open, r);
            if (kp_likely(status == KP_OK)) {
                tell_place_locked(p->open, p, o, r->timestamp_ms, place);
                return KP_OK;
            }
            p->open->result->n_listeners -= o->listener != NULL ? 1 : 0;
        }
        if (status != KP_FULL) {
            return status;
        }
        push_sealed_locked(p);
        kp_core_mark_dirty(core, p);
        news->due_ns = 0;
    }
    const int64_t now = kp_clock_ns();
    kp_status status = open_batch_locked(core, p, bound, o, now);
    if (status != KP_OK) {
        return status;
    }
    r->timestamp_ms = is_now ? p->open->opened_ms : r->timestamp_ms;
    status = listen_locked(p->open, r, o);
    if (status == KP_OK) {
        status = kp_batch_append(p->open, r);
    }
    if (status != KP_OK) { /* no memory for the listener: an empty batch must not be seen */
        kp_batch *b = p->open;
        p->open = NULL;
        kp_flush_leave(core, b->flush_gen);
        KP_COUNT_PARTITION(p, batches_pending, -1);
        atomic_fetch_sub(&core->txn_batches, b->txn_gen != 0 ? 1 : 0);
        kp_batch_free(b, &core->pool);
        return status;
    }
    tell_place_locked(p->open, p, o, r->timestamp_ms, place);
    atomic_store(&p->open_since, now);
    kp_core_mark_dirty(core, p);
    news->due_ns = kp_min_i64(news->due_ns, atomic_load(&core->urgent) > 0 ? 0 : now + core->config.linger_ns);
    if (core->config.batch_size == 0) { /* each record in a batch of its own, whatever room the worst case left */
        push_sealed_locked(p);
        news->due_ns = 0;
    }
    return KP_OK;
}

/* The pump found the lock taken when linger was over: the appender that held it seals in its place. */
static void seal_if_wanted(kp_core *core, kp_partition *p) {
    if (kp_likely(!atomic_load(&p->seal_wanted))) {
        return;
    }
    kp_latch_lock(&p->lock);
    const bool seals = atomic_exchange(&p->seal_wanted, false) && p->open != NULL;
    if (seals) {
        push_sealed_locked(p);
        kp_core_mark_dirty(core, p);
    }
    kp_latch_unlock(&p->lock);
    if (seals) {
        wake_if_due(core, 0);
    }
}

kp_status kp_append(kp_topic *topic, kp_record *r, const kp_append_options *o, kp_place *place,
                    size_t *needed) {
    kp_core *core = topic->core;
    size_t bound;
    kp_status status = kp_record_size_bound(r, &bound);
    if (kp_unlikely(status != KP_OK || bound + KP_BATCH_HEADER > kp_record_limit(core))) {
        return KP_ERR_TOO_LARGE;
    }
    status = kp_txn_check(core);
    if (kp_unlikely(status != KP_OK)) {
        return status;
    }
    kp_partition *p = NULL;
    bool is_sticky = false;
    status = kp_route(topic, r, o->partition, &p, &is_sticky);
    if (status != KP_OK) {
        return status;
    }
    append_news news = {.due_ns = KP_NEVER};
    kp_latch_lock(&p->lock);
    status = append_locked(core, p, r, bound, o, place, &news);
    kp_latch_unlock(&p->lock);
    seal_if_wanted(core, p);
    if (news.due_ns != KP_NEVER) {
        wake_if_due(core, news.due_ns);
    }
    if (status == KP_OK && is_sticky) {
        kp_route_add_sticky(topic, bound);
    }
    *needed = KP_BATCH_HEADER + bound;
    return status;
}

/* --- the common case --- */

static inline bool put_plain_locked(kp_core *core, kp_partition *p, kp_record *r, size_t bound,
                                    const kp_append_options *o) {
    kp_batch *b = p->open;
    if (b == NULL || kp_batch_room(b) < bound || b->count == INT32_MAX || !kp_topic_is_open(p->topic)) {
        return false;
    }
    if (kp_is_transactional(core) && kp_txn_enter_locked(core, p, 0) != KP_OK) {
        return false;
    }
    r->timestamp_ms = later_ms(b);
    if (listen_locked(b, r, o) != KP_OK) {
        return false;
    }
    kp_batch_put(b, r);
    return true;
}

/* Inlined into its two callers: without a callback nothing is asked about one. */
static inline kp_status append_usual(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value,
                                     int64_t value_len, const kp_append_options *o, kp_place *place) {
    kp_core *core = topic->core;
    kp_record r = {.key = key, .key_len = key_len, .value = value, .value_len = value_len};
    size_t bound;
    kp_partition *p;
    bool is_sticky;
    if (kp_core_life(core) != KP_OPEN || /* before the latch, which a fork may have left taken */
        kp_record_size_bound(&r, &bound) != KP_OK || bound + KP_BATCH_HEADER > kp_record_limit(core) ||
        kp_route(topic, &r, -1, &p, &is_sticky) != KP_OK) {
        return KP_AGAIN;
    }
    kp_latch_lock(&p->lock);
    const bool is_in = put_plain_locked(core, p, &r, bound, o);
    if (is_in && place != NULL) {
        tell_place_locked(p->open, p, o, r.timestamp_ms, place);
    }
    kp_latch_unlock(&p->lock);
    seal_if_wanted(core, p);
    if (is_in && is_sticky) {
        kp_route_add_sticky(topic, bound);
    }
    return is_in ? KP_OK : KP_AGAIN;
}

kp_status kp_append_plain(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value, int64_t value_len,
                          kp_place *place) {
    static const kp_append_options wants_result = {.want_result = true};
    return append_usual(topic, key, key_len, value, value_len, &wants_result, place);
}

kp_status kp_append_heard(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value, int64_t value_len,
                          const kp_listener *listener, kp_place *place) {
    const kp_append_options wants_result = {.want_result = true, .listener = listener};
    return append_usual(topic, key, key_len, value, value_len, &wants_result, place);
}

/* Puts values until the batch is full or `most` bytes are in it; how many, and their bytes. */
static int32_t put_run_locked(kp_core *core, kp_partition *p, const kp_slice *values, int32_t n, size_t most, size_t *bytes) {
    kp_record r = {.key_len = -1};
    size_t bound = 0;
    int32_t done = 0;
    for (*bytes = 0; done < n && *bytes < most; *bytes += bound, done++) {
        r.value = values[done].data;
        r.value_len = values[done].len;
        if (kp_record_size_bound(&r, &bound) != KP_OK || bound + KP_BATCH_HEADER > kp_record_limit(core)) {
            break;
        }
        if (done == 0) {
            if (!put_plain_locked(core, p, &r, bound, &(kp_append_options){.listener = NULL})) {
                break;
            }
        } else if (kp_batch_room(p->open) < bound || p->open->count == INT32_MAX) {
            break;
        } else {
            kp_batch_put(p->open, &r);
        }
    }
    return done;
}

int32_t kp_append_run(kp_topic *topic, const kp_slice *values, int32_t n, const kp_append_options *o, kp_place *place) {
    kp_core *core = topic->core;
    const kp_record keyless = {.key_len = -1};
    kp_partition *p;
    bool is_sticky;
    if (kp_core_life(core) != KP_OPEN || kp_route(topic, &keyless, -1, &p, &is_sticky) != KP_OK) {
        return 0;
    }
    const size_t most = kp_route_sticky_room(topic); /* all of batch.size where no partition is sticky */
    size_t bytes;
    kp_latch_lock(&p->lock);
    const int32_t done = put_run_locked(core, p, values, n, most, &bytes);
    if (done > 0) {
        tell_place_locked(p->open, p, o, p->open->max_ts, place);
        place->index -= done - 1;
        kp_result_watch(p->open->result, (unsigned)done - 1);
    }
    kp_latch_unlock(&p->lock);
    seal_if_wanted(core, p);
    if (is_sticky) {
        kp_route_add_sticky(topic, bytes);
    }
    return done;
}

/* --- rows of columns --- */

/* How many of the records go where the first one goes, so that they can be put under one lock. */
static int32_t count_alike(const kp_config *config, const kp_record *records, const int32_t *partitions, int32_t n, bool is_sticky) {
    int32_t alike = 1;
    if (!is_sticky && partitions[0] < 0) {
        return 1; /* by its key */
    }
    while (alike < n && partitions[alike] == partitions[0] &&
           (!is_sticky || records[alike].key_len < config->partitioner.least_key_len)) {
        alike++;
    }
    return alike;
}

static bool fits_locked(const kp_core *core, const kp_batch *b, const kp_record *r, size_t *bound) {
    return kp_record_size_bound(r, bound) == KP_OK && *bound + KP_BATCH_HEADER <= kp_record_limit(core) &&
           kp_batch_room(b) >= *bound && b->count < INT32_MAX;
}

/* Puts records until the batch is full or `most` bytes are in it; how many, and their bytes. */
static int32_t put_records_locked(kp_core *core, kp_partition *p, kp_record *records, int32_t n, size_t most, size_t *bytes) {
    kp_batch *b = p->open;
    size_t bound;
    *bytes = 0;
    if (b == NULL || !kp_topic_is_open(p->topic) || !fits_locked(core, b, &records[0], &bound) ||
        (kp_is_transactional(core) && kp_txn_enter_locked(core, p, 0) != KP_OK)) {
        return 0;
    }
    const int64_t now = later_ms(b);
    int32_t done = 0;
    for (; done < n && *bytes < most && fits_locked(core, b, &records[done], &bound); done++) {
        kp_record *r = &records[done];
        r->timestamp_ms = r->timestamp_ms == KP_NOW ? now : r->timestamp_ms;
        kp_batch_put(b, r);
        *bytes += bound;
    }
    return done;
}

/* Those that follow the first one into its partition; 0: not the usual case. */
static int32_t append_alike(kp_topic *topic, kp_record *records, const int32_t *partitions, int32_t n, kp_many *many) {
    kp_core *core = topic->core;
    kp_partition *p;
    bool is_sticky;
    if (kp_route(topic, &records[0], partitions[0], &p, &is_sticky) != KP_OK ||
        kp_many_reserve(many, p->index) != KP_OK) {
        return 0;
    }
    const size_t most = is_sticky ? kp_route_sticky_room(topic) : SIZE_MAX;
    size_t bytes;
    const kp_append_options o = {.want_result = true, .held = many->held, .n_held = many->n_partitions};
    const int32_t alike = count_alike(&core->config, records, partitions, n, is_sticky);
    kp_place place;
    kp_latch_lock(&p->lock);
    const int32_t done = put_records_locked(core, p, records, alike, most, &bytes);
    if (done > 0) {
        tell_place_locked(p->open, p, &o, 0, &place);
        if (done > 1) {
            kp_result_watch(p->open->result, (unsigned)done - 1);
        }
    }
    kp_latch_unlock(&p->lock);
    seal_if_wanted(core, p);
    if (done > 0) {
        kp_many_add(many, place.result, p->index, place.index - (done - 1), done);
    }
    if (is_sticky) {
        kp_route_add_sticky(topic, bytes);
    }
    return done;
}

int32_t kp_append_records(kp_topic *topic, kp_record *records, const int32_t *partitions, int32_t n, kp_many *many) {
    int32_t done = 0;
    while (done < n && kp_core_life(topic->core) == KP_OPEN) {
        const int32_t some = append_alike(topic, records + done, partitions + done, n - done, many);
        if (some == 0) {
            break;
        }
        done += some;
    }
    return done;
}

/* --- the pump's side --- */

bool kp_accumulator_collect(kp_partition *p) {
    kp_batch *newest = atomic_exchange(&p->sealed, NULL);
    if (newest == NULL) {
        return false;
    }
    kp_link *at = p->queue.head.prev;
    for (kp_batch *b = newest; b != NULL; b = b->sealed_next) {
        kp_list_insert_after(at, &b->link); /* each older one goes in front of the newer ones */
    }
    return true;
}

static void take_open_locked(kp_partition *p) {
    atomic_store(&p->seal_wanted, false);
    kp_accumulator_collect(p); /* sealed before this one, since the last look */
    kp_batch *b = p->open;
    if (b != NULL) {
        p->open = NULL;
        atomic_store(&p->open_since, 0);
        atomic_fetch_add_explicit(&p->n_queued, 1, memory_order_relaxed);
        kp_list_push_back(&p->queue, &b->link);
    }
}

kp_status kp_accumulator_seal_open(kp_partition *p) {
    if (!kp_latch_try(&p->lock)) {
        atomic_store(&p->seal_wanted, true);
        if (!kp_latch_try(&p->lock)) {
            return KP_AGAIN;
        }
    }
    take_open_locked(p);
    kp_latch_unlock(&p->lock);
    return KP_OK;
}

void kp_accumulator_seal_now(kp_partition *p) {
    kp_latch_lock(&p->lock);
    take_open_locked(p);
    kp_latch_unlock(&p->lock);
}
