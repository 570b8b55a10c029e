/* The pump's thread: step, then sleep until a socket, an appender or a deadline wakes it. */
#include <stdlib.h>

#include "kp_pump.h"

enum { NAP_MIN_NS = 1000000, NAP_MAX_NS = 32000000, STEPS_PER_POLL = 4 };

typedef struct poll_set {
    kp_poll_entry *entries; /* [0] is the wake-up pair, then the connections in list order */
    void *scratch;
    int cap;
} poll_set;

static kp_status reserve(poll_set *set, int count) {
    if (count <= set->cap) {
        return KP_OK;
    }
    const int cap = count + 8;
    kp_poll_entry *entries = realloc(set->entries, (size_t)cap * sizeof *entries);
    set->entries = entries == NULL ? set->entries : entries;
    void *scratch = realloc(set->scratch, kp_poll_scratch_size(cap));
    set->scratch = scratch == NULL ? set->scratch : scratch;
    if (entries == NULL || scratch == NULL) {
        return KP_ERR_NOMEM;
    }
    set->cap = cap;
    return KP_OK;
}

static int list_conns(kp_pump *pump, poll_set *set) {
    int count = 1;
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_next(&pump->conns, n)) {
        count++;
    }
    if (reserve(set, count) != KP_OK) {
        return 0;
    }
    set->entries[0] = (kp_poll_entry){.handle = pump->wake_read};
    int i = 1;
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_next(&pump->conns, n), i++) {
        kp_conn *conn = KP_OWNER(n, kp_conn, link);
        set->entries[i] = (kp_poll_entry){.handle = conn->handle, .want_write = kp_conn_wants_write(conn)};
    }
    return count;
}

static void mark_ready(kp_pump *pump, const poll_set *set) {
    int i = 1;
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_next(&pump->conns, n), i++) {
        kp_conn *conn = KP_OWNER(n, kp_conn, link);
        conn->is_readable = conn->is_readable || set->entries[i].readable;
        conn->is_blocked = conn->is_blocked && !set->entries[i].writable;
    }
}

/* Publishes until when it sleeps, then looks again: an append in between sees one or the other (contract 15). */
static bool may_sleep(const kp_pump *pump, int64_t until) {
    kp_core *core = pump->core;
    atomic_store(&core->sleeps_until, until);
    const bool has_news = atomic_load(&core->dirty) != NULL || atomic_load(&core->urgent_gen) != pump->urgent_seen ||
                          !kp_queue_is_empty(&core->commands);
    if (has_news) {
        atomic_store(&core->sleeps_until, 0);
    }
    return !has_news;
}

/* How many full batches are worth a wake-up: fewer would only be looked at and left to gather. */
static int wanted_batches(kp_pump *pump) {
    int wanted = kp_list_is_empty(&pump->conns) ? 1 : INT32_MAX;
    for (kp_link *n = kp_list_first(&pump->conns); n != NULL; n = kp_list_next(&pump->conns, n)) {
        const int own = kp_conn_wanted_batches(pump, KP_OWNER(n, kp_conn, link));
        wanted = own < wanted ? own : wanted;
    }
    return wanted;
}

/* The sleep through unwanted wake-ups is short, since fewer batches than wanted may come. While none comes at all it
 * doubles, and ends in an ordinary sleep: an idle producer, or one whose broker hangs, costs nothing. */
static int64_t ask_for_news(kp_pump *pump, int64_t now, int64_t until) {
    const int wanted = wanted_batches(pump);
    const int64_t longer = kp_min_i64(pump->nap_ns * 2, 2LL * NAP_MAX_NS); /* bounded, or the idle would overflow it */
    pump->nap_ns = wanted > 1 ? kp_max_i64(longer, NAP_MIN_NS) : 0;
    if (wanted <= 1 || pump->nap_ns > NAP_MAX_NS) {
        atomic_store(&pump->core->wake_after, 1);
        return until;
    }
    atomic_store(&pump->core->wake_after, wanted);
    return kp_min_i64(until, now + pump->nap_ns);
}

static void sleep_or_poll(kp_pump *pump, poll_set *set, int64_t until) {
    const int count = list_conns(pump, set);
    if (count == 0) {
        kp_pump_fatal(pump, "out of memory for poll");
        return;
    }
    const int64_t now = kp_clock_ns();
    until = ask_for_news(pump, now, until);
    const bool sleeps = until > now && may_sleep(pump, until);
    const int64_t timeout = !sleeps ? 0 : until == KP_NEVER ? KP_NEVER : until - now;
    KP_COUNT(pump->core, pump_polls, 1);
    kp_poll(set->entries, count, timeout, set->scratch, kp_poll_scratch_size(set->cap));
    atomic_store(&pump->core->sleeps_until, 0);
    if (set->entries[0].readable) {
        kp_wake_clear(pump->wake_read);
    }
    mark_ready(pump, set);
    if (atomic_load(&pump->core->dirty) != NULL) {
        pump->nap_ns = 0;
    }
}

static void run(void *arg) {
    kp_pump *pump = arg;
    poll_set set = {0};
    while (!pump->is_stopped) {
        int64_t until = kp_pump_step(pump, kp_clock_ns());
        for (int i = 1; i < STEPS_PER_POLL && pump->has_more && !pump->is_stopped; i++) {
            until = kp_pump_step(pump, kp_clock_ns());
        }
        if (!pump->is_stopped) {
            sleep_or_poll(pump, &set, until);
        }
    }
    free(set.entries);
    free(set.scratch);
}

kp_status kp_pump_start(kp_pump *pump) {
    const kp_status status = kp_thread_start(&pump->thread, run, pump);
    pump->is_running = status == KP_OK;
    return status;
}

void kp_pump_join(kp_pump *pump) {
    if (pump->is_running) {
        kp_thread_join(pump->thread);
        pump->is_running = false;
    }
}
