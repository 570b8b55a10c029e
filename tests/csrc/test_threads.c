/* Many appenders, one pump thread, peers that ack, flushes, waits of every kind, a control that reconnects and grows
 * the topic: the interleavings, mostly for TSan. */
#include <stdlib.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>

#include "kp_test.h"
#include "pump_script.h"

enum { APPENDERS = 8, PARTITIONS = 4, GROWN = 8, RECORDS = 1500, FLUSHERS = 2, PAIR = 2, LINES = 24 };

/* A connection and the broker's end of it. */
typedef struct line {
    struct world *world;
    int net[PAIR];
    kp_thread peer;
} line;

typedef struct world {
    kp_core *core;
    kp_pump *pump;
    kp_topic *topic;
    int wake[PAIR];
    line lines[LINES]; /* the last is the one in use */
    int n_lines;
    kp_thread delivery;
    atomic_int stop_flushers, stop_control;
    atomic_llong delivered, told, failed, refused, listening;
    atomic_llong acked_records; /* by the peers */
    atomic_llong next_offset[GROWN];
} world;

static void must(bool ok, const char *what) {
    if (!ok) {
        printf("threads: %s\n", what);
        abort();
    }
}

static void make_pair(int *pair) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    for (int i = 0; i < PAIR; i++) {
        must(fcntl(pair[i], F_SETFL, O_NONBLOCK) == 0, "non-blocking");
    }
}

/* --- the peer: acks what arrives, in order --- */

static void wait_readable(int fd) {
    kp_poll_entry entry = {.handle = fd};
    uint8_t scratch[64];
    must(kp_poll_scratch_size(1) <= sizeof scratch, "scratch");
    kp_poll(&entry, 1, KP_NEVER, scratch, sizeof scratch);
}

static bool read_fully(int fd, uint8_t *to, size_t len) {
    for (size_t have = 0; have < len;) {
        const int64_t n = kp_socket_recv(fd, to + have, len - have);
        if (n == KP_IO_AGAIN) {
            wait_readable(fd);
        } else if (n <= 0) {
            return false;
        } else {
            have += (size_t)n;
        }
    }
    return true;
}

static void skip_text(const uint8_t **p) { *p += 2 + kp_get_be16(*p); }

/* Version 3: no tags, no compact lengths. */
static void answer(world *w, const uint8_t *frame, script_bytes *out) {
    const uint8_t *p = frame + 4;
    put_raw(out, p, 4); /* correlation */
    p += 4;
    skip_text(&p);
    p += 2 + 2 + 4; /* no transactional id, acks, timeout */
    put_raw(out, p, 4); /* one topic */
    p += 4;
    const uint8_t *name = p;
    skip_text(&p);
    put_raw(out, name, (size_t)(p - name));
    const uint32_t n = kp_get_be32(p);
    put_raw(out, p, 4);
    p += 4;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t partition = (int32_t)kp_get_be32(p);
        const uint32_t len = kp_get_be32(p + 4);
        const int32_t count = (int32_t)kp_get_be32(p + 8 + 57);
        p += 8 + len;
        put_i32(out, partition);
        put_i16(out, 0);
        put_i64(out, atomic_fetch_add(&w->next_offset[partition], count));
        put_i64(out, -1);
        atomic_fetch_add(&w->acked_records, count);
    }
    put_i32(out, 0);
}

static void send_fully(int fd, const script_bytes *b) {
    for (size_t at = 0; at < b->len;) {
        const kp_iov iov = {.base = b->data + at, .len = b->len - at};
        const int64_t n = kp_socket_sendv(fd, &iov, 1);
        if (n == KP_IO_ERROR) {
            return;
        }
        at += n > 0 ? (size_t)n : 0;
    }
}

static void peer(void *arg) {
    line *l = arg;
    const int fd = l->net[1];
    uint8_t length[4];
    while (read_fully(fd, length, sizeof length)) {
        const uint32_t len = kp_get_be32(length);
        uint8_t *frame = malloc(len);
        if (!read_fully(fd, frame, len)) {
            free(frame);
            break;
        }
        script_bytes body = {0}, out = {0};
        answer(l->world, frame, &body);
        put_i32(&out, (int32_t)body.len);
        put_raw(&out, body.data, body.len);
        send_fully(fd, &out);
        free(frame);
        free(body.data);
        free(out.data);
    }
}

/* --- the delivery thread --- */

static void tell(world *w, kp_result *r) {
    const int32_t n = r->n_listeners;
    for (int32_t i = 0; i < n; i++) {
        must(r->listeners[i].object == w, "a listener is told what it gave");
        atomic_fetch_add(kp_result_state(r) == KP_DELIVERED ? &w->told : &w->failed, 1);
    }
}

static void delivery(void *arg) {
    world *w = arg;
    for (bool stopped = false; !stopped;) {
        uint64_t n = 0;
        kp_result *r = kp_core_take_finished(w->core, kp_clock_ns() + 50 * MS, &stopped);
        for (kp_result *next; r != NULL; r = next, n++) {
            next = r->next;
            tell(w, r);
            kp_result_release(r);
        }
        kp_core_finished_done(w->core, n);
    }
}

/* --- appenders --- */

static kp_status wait_for_memory(world *w, size_t needed, kp_chunk *spare) {
    kp_pool_waiter waiter;
    kp_pool_wait_begin(&w->core->pool, &waiter, needed);
    kp_core_hurry(w->core);
    kp_status status = KP_AGAIN;
    while (status == KP_AGAIN) {
        status = kp_pool_wait(&w->core->pool, &waiter, kp_clock_ns() + 20 * MS);
        status = status == KP_AGAIN && kp_core_life(w->core) != KP_OPEN ? KP_ERR_CLOSED : status;
    }
    kp_pool_wait_end(&w->core->pool, &waiter, false);
    if (status == KP_OK) {
        *spare = waiter.granted;
    } else if (waiter.granted.data != NULL) {
        kp_pool_give(&w->core->pool, &waiter.granted);
    }
    return status;
}

static kp_status append(world *w, int32_t partition, const kp_listener *listener, kp_result **result) {
    static const uint8_t value[100] = {7};
    kp_record r = {.key_len = -1, .value = value, .value_len = sizeof value, .timestamp_ms = 1600000000000};
    kp_chunk spare = {0};
    kp_status status = KP_FULL;
    while (status == KP_FULL) {
        kp_append_options o = {.partition = partition, .want_result = result != NULL, .listener = listener, .spare = &spare};
        kp_place place = {0};
        size_t needed = 0;
        status = kp_append(w->topic, &r, &o, &place, &needed);
        if (status == KP_FULL) {
            status = wait_for_memory(w, needed, &spare);
            status = status == KP_OK ? KP_FULL : status;
        } else if (status == KP_OK && result != NULL) {
            *result = place.result;
        }
    }
    kp_pool_give(&w->core->pool, &spare);
    return status;
}

static void wait_for_result(world *w, kp_result *result) {
    while (kp_result_wait(w->core, result, 0, kp_clock_ns() + 100 * MS) == KP_AGAIN) {
    }
    must(kp_result_state(result) != KP_PENDING, "a wait ends with an outcome");
}

static void listen_late(world *w, kp_result *result) {
    const kp_listener late = {.object = w};
    if (kp_result_listen(w->core, result, &late) == KP_FULL) {
        atomic_fetch_add(kp_result_state(result) == KP_DELIVERED ? &w->told : &w->failed, 1);
    }
}

static void appender(void *arg) {
    world *w = arg;
    const kp_listener listener = {.object = w};
    for (int i = 0; i < RECORDS; i++) {
        kp_result *result = NULL;
        const bool wants = i % 3 == 0, listens = i % 4 == 0;
        const kp_status status = append(w, i % 5 == 0 ? -1 : i % PARTITIONS, listens ? &listener : NULL,
                                        wants ? &result : NULL);
        if (status != KP_OK) {
            must(status == KP_ERR_CLOSED, "only the end refuses a record");
            atomic_fetch_add(&w->refused, 1);
            continue;
        }
        atomic_fetch_add(&w->delivered, 1);
        atomic_fetch_add(&w->listening, (listens ? 1 : 0) + (wants && i % 9 == 0 ? 1 : 0));
        if (wants && i % 9 == 0) {
            listen_late(w, result);
        }
        if (wants && i % 50 == 0) {
            wait_for_result(w, result);
        }
        if (wants) {
            kp_result_unwatch(result, 0);
            kp_result_release(result);
        }
    }
}

/* The short ways first, as Python does; what they leave takes the long one. Returns how many records are accounted for. */
static int32_t append_run(world *w, int32_t n) {
    static const uint8_t value[60] = {8};
    kp_slice run[8];
    for (int32_t i = 0; i < n; i++) {
        run[i] = (kp_slice){.data = value, .len = i * 7};
    }
    const kp_append_options o = {.want_result = true};
    kp_place place = {0};
    const int32_t done = kp_append_run(w->topic, run, n, &o, &place);
    if (done > 0) {
        atomic_fetch_add(&w->delivered, done);
        kp_result_unwatch_run(place.result, place.index, done);
        kp_result_release(place.result);
    }
    return done;
}

static int32_t append_plain(world *w, bool has_key, bool wants) {
    static const uint8_t bytes[100] = {9};
    kp_place place = {0};
    if (kp_append_plain(w->topic, bytes, has_key ? 8 : -1, bytes, sizeof bytes, wants ? &place : NULL) != KP_OK) {
        return 0;
    }
    atomic_fetch_add(&w->delivered, 1);
    if (wants) {
        kp_result_unwatch(place.result, place.index);
        kp_result_release(place.result);
    }
    return 1;
}

static void short_appender(void *arg) {
    world *w = arg;
    for (int32_t i = 0, done; i < RECORDS; i += done) {
        const int32_t left = RECORDS - i;
        done = i % 3 == 0 ? append_run(w, left < 8 ? left : 8) : append_plain(w, i % 3 == 1, i % 2 == 0);
        if (done == 0) {
            const kp_status status = append(w, -1, NULL, NULL);
            must(status == KP_OK || status == KP_ERR_CLOSED, "only the end refuses a record");
            atomic_fetch_add(status == KP_OK ? &w->delivered : &w->refused, 1);
            done = 1;
        }
    }
}

static void flush(world *w) {
    const uint32_t ticket = kp_flush_begin(w->core);
    while (kp_flush_wait(w->core, ticket, kp_clock_ns() + 100 * MS) == KP_AGAIN) {
    }
    kp_flush_end(w->core);
}

static void flusher(void *arg) {
    world *w = arg;
    while (!atomic_load(&w->stop_flushers)) {
        flush(w);
    }
}

/* --- control --- */

static void tell_topic(world *w, int32_t count) {
    kp_msg *m = kp_msg_new(KP_CMD_TOPIC);
    m->topic = w->topic;
    m->count = count;
    m->leaders = calloc((size_t)count, sizeof *m->leaders);
    for (int32_t i = 0; i < count; i++) {
        m->leaders[i].node = 1;
    }
    kp_core_command(w->core, m);
}

static void connect_line(world *w) {
    line *l = &w->lines[w->n_lines++];
    l->world = w;
    make_pair(l->net);
    must(kp_thread_start(&l->peer, peer, l) == KP_OK, "peer");
    kp_msg *m = kp_msg_new(KP_CMD_ADOPT);
    m->node = 1;
    m->conn_gen = w->n_lines;
    m->handle = l->net[0];
    m->version = 3;
    kp_core_command(w->core, m);
}

static void drop_line(world *w) {
    kp_msg *m = kp_msg_new(KP_CMD_DROP);
    m->node = 1;
    m->conn_gen = w->n_lines;
    kp_core_command(w->core, m);
}

static void forget_events(world *w) {
    for (kp_msg *m = kp_queue_take_all(&w->core->events), *next; m != NULL; m = next) {
        next = m->next;
        kp_msg_free(m);
    }
}

static void forget_unobserved(world *w) {
    kp_unobserved *list = NULL;
    int32_t n = 0;
    must(kp_core_take_unobserved(w->core, &list, &n) == KP_OK, "memory");
    for (int32_t i = 0; i < n; i++) {
        kp_result_release(list[i].first);
    }
    free(list);
}

/* metrics(), and the end of a window. */
static void watcher(void *arg) {
    world *w = arg;
    for (uint64_t before = 0, records; !atomic_load(&w->stop_flushers); before = records) {
        (void)kp_counter_get(&w->core->stats.counters[KP_C_records_acked]);
        records = kp_topic_count(w->topic).sums[KP_P_records_acked];
        must(records >= before, "a counter never falls");
        for (kp_node_stats *n = atomic_load(&w->core->stats.nodes); n != NULL; n = n->next) {
            (void)kp_max_take(&n->latency.max_ns);
            (void)kp_counter_get(&n->latency.max_ns.run);
        }
        (void)kp_max_take(&w->core->stats.maxima[KP_M_batch_bytes]);
        must(kp_pool_count(&w->core->pool).available <= w->core->config.buffer_memory, "memory");
    }
}

/* Another connection, mostly beside the old one, which is drained; sometimes after it, whose requests are lost. Partitions
 * that the topic is told to be without have no leader for a moment: all appenders may wait for one of them. */
static void control(void *arg) {
    world *w = arg;
    int64_t heal_at = KP_NEVER;
    for (int64_t next = 200; !atomic_load(&w->stop_control);) {
        if (kp_clock_ns() >= heal_at) {
            tell_topic(w, GROWN);
            heal_at = KP_NEVER;
        }
        forget_events(w);
        forget_unobserved(w);
        if (w->n_lines == LINES || atomic_load(&w->delivered) < next) {
            continue;
        }
        if (w->n_lines % 3 == 0) {
            drop_line(w);
        }
        connect_line(w);
        tell_topic(w, PARTITIONS + w->n_lines % (GROWN - PARTITIONS + 1));
        next = atomic_load(&w->delivered) + 200;
        heal_at = kp_clock_ns() + 2 * MS;
    }
    tell_topic(w, GROWN);
}

/* --- life --- */

static kp_config small_config(int64_t linger_ns, size_t memory) {
    kp_config config = script_config();
    config.batch_size = 2048;
    config.availability_timeout_ns = MS;
    config.buffer_memory = memory;
    config.linger_ns = linger_ns;
    return config;
}

static void begin_with(world *w, const kp_config *config) {
    memset(w, 0, sizeof *w);
    make_pair(w->wake);
    w->core = kp_core_new(config, w->wake[1], KP_NO_HANDLE);
    must(w->core != NULL && kp_pump_new(w->core, &kp_pump_sockets, w->wake[0], &w->pump) == KP_OK, "memory");
    w->topic = kp_core_topic(w->core, "t", 1);
    must(kp_thread_start(&w->delivery, delivery, w) == KP_OK, "delivery");
    must(kp_pump_start(w->pump) == KP_OK, "pump");
}

static void begin(world *w, int64_t linger_ns, size_t memory) {
    const kp_config config = small_config(linger_ns, memory);
    begin_with(w, &config);
}

/* What control does at the start, while appenders wait for the topic. */
static void introduce(world *w) {
    kp_msg *id = kp_msg_new(KP_CMD_PRODUCER_ID);
    id->producer_id = 5;
    kp_core_command(w->core, id);
    tell_topic(w, PARTITIONS);
    connect_line(w);
    while (kp_topic_wait(w->topic, PARTITIONS - 1, 0, kp_clock_ns() + 100 * MS) == KP_AGAIN) {
    }
}

static void stop(world *w) {
    kp_core_command(w->core, kp_msg_new(KP_CMD_STOP));
    kp_pump_join(w->pump);
    kp_core_stop_delivery(w->core);
    kp_thread_join(w->delivery);
    for (int i = 0; i < w->n_lines; i++) {
        kp_thread_join(w->lines[i].peer); /* the pump has closed its end */
    }
}

static void end(world *w) {
    forget_unobserved(w);
    must(w->core->pool.used == 0, "all memory is given back");
    kp_pump_free(w->pump);
    must(atomic_load(&w->core->refs) == 1, "nobody holds the core");
    kp_core_release(w->core);
    close(w->wake[0]);
    close(w->wake[1]);
    for (int i = 0; i < w->n_lines; i++) {
        close(w->lines[i].net[1]);
    }
}

static void run_threads(world *w, kp_thread *threads, void (*fn)(void *)) {
    for (int i = 0; i < APPENDERS; i++) {
        must(kp_thread_start(&threads[i], fn, w) == KP_OK, "appender");
    }
}

static void run_appenders(world *w, kp_thread *threads) { run_threads(w, threads, appender); }

static void join_appenders(kp_thread *threads) {
    for (int i = 0; i < APPENDERS; i++) {
        kp_thread_join(threads[i]);
    }
}

typedef struct helpers {
    kp_thread flushers[FLUSHERS], watcher, control;
} helpers;

static void run_flushers(world *w, helpers *h) {
    for (int i = 0; i < FLUSHERS; i++) {
        must(kp_thread_start(&h->flushers[i], flusher, w) == KP_OK, "flusher");
    }
    must(kp_thread_start(&h->watcher, watcher, w) == KP_OK, "watcher");
}

static void join_flushers(world *w, helpers *h) {
    atomic_store(&w->stop_flushers, 1);
    for (int i = 0; i < FLUSHERS; i++) {
        kp_thread_join(h->flushers[i]);
    }
    kp_thread_join(h->watcher);
}

static void run_control(world *w, helpers *h) {
    must(kp_thread_start(&h->control, control, w) == KP_OK, "control");
}

static void join_control(world *w, helpers *h) {
    atomic_store(&w->stop_control, 1);
    kp_thread_join(h->control);
}

static void wait_until_told(world *w) {
    flush(w);
    const uint64_t ticket = kp_core_finished_ticket(w->core);
    while (kp_core_wait_delivered(w->core, ticket, kp_clock_ns() + 100 * MS) == KP_AGAIN) {
    }
}

static world w;

static void test_every_record_of_eight_threads_is_delivered_and_told(void) {
    for (int round = 0; round < 2; round++) {
        begin(&w, round == 0 ? 0 : 2 * MS, round == 0 ? 1024 * 1024 : 16 * 1024); /* the second runs out of memory */
        introduce(&w);
        kp_thread threads[APPENDERS];
        helpers h;
        run_appenders(&w, threads);
        run_flushers(&w, &h);
        join_appenders(threads);
        join_flushers(&w, &h);
        wait_until_told(&w);
        CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_acked]), APPENDERS * RECORDS);
        CHECK_INT(atomic_load(&w.acked_records), APPENDERS * RECORDS);
        CHECK_INT(atomic_load(&w.told), APPENDERS * ((RECORDS + 3) / 4 + (RECORDS + 8) / 9));
        CHECK_INT(atomic_load(&w.failed), 0);
        stop(&w);
        end(&w);
    }
}

static void test_reconnects_and_a_growing_topic_lose_and_double_nothing(void) {
    begin(&w, 0, 16 * 1024);
    introduce(&w);
    kp_thread threads[APPENDERS];
    helpers h;
    run_appenders(&w, threads);
    run_flushers(&w, &h);
    run_control(&w, &h);
    join_appenders(threads);
    join_control(&w, &h);
    join_flushers(&w, &h);
    wait_until_told(&w);
    CHECK(w.n_lines > 3);
    CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_acked]), APPENDERS * RECORDS);
    CHECK_INT(atomic_load(&w.told), atomic_load(&w.listening));
    CHECK_INT(atomic_load(&w.failed), 0);
    stop(&w);
    end(&w);
}

static void test_a_close_while_all_threads_are_busy_gives_every_record_an_outcome(void) {
    for (int round = 0; round < 6; round++) {
        begin(&w, round % 2 == 0 ? 0 : MS, 64 * 1024);
        introduce(&w);
        kp_thread threads[APPENDERS];
        helpers h;
        run_appenders(&w, threads);
        run_flushers(&w, &h);
        run_control(&w, &h);
        while (atomic_load(&w.delivered) < 1500 * round) {
            kp_wall_ms();
        }
        kp_core_close_appends(w.core);
        join_control(&w, &h); /* a connection that is handed over after STOP would be nobody's */
        stop(&w);
        join_appenders(threads);
        join_flushers(&w, &h);
        const uint64_t acked = kp_counter_get(&w.core->stats.counters[KP_C_records_acked]);
        const uint64_t failed = kp_counter_get(&w.core->stats.counters[KP_C_records_failed]);
        CHECK_INT(acked + failed, atomic_load(&w.delivered));
        CHECK_INT(atomic_load(&w.delivered) + atomic_load(&w.refused), APPENDERS * RECORDS);
        CHECK_INT(atomic_load(&w.told) + atomic_load(&w.failed), atomic_load(&w.listening));
        end(&w);
    }
}

static void test_every_record_of_the_short_ways_is_delivered(void) {
    for (int round = 0; round < 3; round++) {
        begin(&w, round == 0 ? 0 : 2 * MS, round == 2 ? 16 * 1024 : 1024 * 1024);
        introduce(&w);
        kp_thread threads[APPENDERS];
        helpers h;
        run_threads(&w, threads, short_appender);
        run_flushers(&w, &h);
        run_control(&w, &h);
        join_appenders(threads);
        join_control(&w, &h);
        join_flushers(&w, &h);
        flush(&w);
        CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_acked]), APPENDERS * RECORDS);
        CHECK_INT(atomic_load(&w.delivered), APPENDERS * RECORDS);
        CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_failed]), 0);
        stop(&w);
        end(&w);
    }
}

static void test_a_close_amid_the_short_ways_gives_every_record_an_outcome(void) {
    for (int round = 0; round < 6; round++) {
        begin(&w, round % 2 == 0 ? 0 : MS, 64 * 1024);
        introduce(&w);
        kp_thread threads[APPENDERS];
        run_threads(&w, threads, short_appender);
        while (atomic_load(&w.delivered) < 1500 * round) {
            kp_wall_ms();
        }
        kp_core_close_appends(w.core);
        const int64_t accepted = atomic_load(&w.delivered); /* none is under way any more, but some are not counted yet */
        stop(&w);
        join_appenders(threads);
        const uint64_t acked = kp_counter_get(&w.core->stats.counters[KP_C_records_acked]);
        const uint64_t failed = kp_counter_get(&w.core->stats.counters[KP_C_records_failed]);
        CHECK_INT(acked + failed, atomic_load(&w.delivered));
        CHECK(atomic_load(&w.delivered) - accepted <= 8 * APPENDERS);
        CHECK_INT(atomic_load(&w.delivered) + atomic_load(&w.refused), APPENDERS * RECORDS);
        end(&w);
    }
}

static void test_a_stop_in_the_middle_leaves_no_record_without_an_outcome(void) {
    for (int round = 0; round < 20; round++) {
        begin(&w, round % 2 == 0 ? 0 : MS, 64 * 1024);
        introduce(&w);
        kp_thread threads[APPENDERS];
        run_appenders(&w, threads);
        while (atomic_load(&w.delivered) < 200 * round) {
            kp_wall_ms();
        }
        if (round % 3 == 0) {
            kp_core_close_appends(w.core);
        }
        stop(&w);
        join_appenders(threads);
        const uint64_t acked = kp_counter_get(&w.core->stats.counters[KP_C_records_acked]);
        const uint64_t failed = kp_counter_get(&w.core->stats.counters[KP_C_records_failed]);
        CHECK_INT(acked + failed, atomic_load(&w.delivered));
        CHECK_INT(atomic_load(&w.delivered) + atomic_load(&w.refused), APPENDERS * RECORDS);
        bool stopped;
        kp_result *late = kp_core_take_finished(w.core, 0, &stopped);
        CHECK(late == NULL);
        end(&w);
    }
}

static void test_every_record_of_eight_threads_is_delivered_or_dropped(void) {
    kp_config config = small_config(2 * MS, 16 * 1024);
    config.drops_oldest = true;
    begin_with(&w, &config);
    introduce(&w);
    kp_thread threads[APPENDERS];
    run_appenders(&w, threads);
    join_appenders(threads);
    flush(&w);
    const uint64_t acked = kp_counter_get(&w.core->stats.counters[KP_C_records_acked]);
    const uint64_t dropped = kp_counter_get(&w.core->stats.counters[KP_C_records_dropped]);
    CHECK_INT(acked + dropped, APPENDERS * RECORDS);
    CHECK_INT(atomic_load(&w.acked_records), acked);
    CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_failed]), dropped);
    CHECK(acked > 0);
    stop(&w);
    end(&w);
}

static void test_a_full_stop_of_the_peer_and_a_fatal_error_free_all_waiters(void) {
    begin(&w, 0, 16 * 1024);
    introduce(&w);
    shutdown(w.lines[0].net[1], SHUT_RDWR); /* no answers any more, and nobody reconnects */
    kp_thread threads[APPENDERS];
    run_appenders(&w, threads);
    while (atomic_load(&w.core->pool.n_waiting) == 0 && atomic_load(&w.core->result_waiters) == 0) {
        kp_wall_ms();
    }
    kp_msg *m = kp_msg_new(KP_CMD_FAIL_ALL);
    m->code = 31;
    m->flag_a = true;
    kp_core_command(w.core, m);
    join_appenders(threads);
    CHECK_INT(kp_core_life(w.core), KP_FATAL);
    flush(&w);
    stop(&w);
    CHECK_INT(atomic_load(&w.delivered) + atomic_load(&w.refused), APPENDERS * RECORDS);
    CHECK_INT(kp_counter_get(&w.core->stats.counters[KP_C_records_acked]) +
                  kp_counter_get(&w.core->stats.counters[KP_C_records_failed]),
              atomic_load(&w.delivered));
    end(&w);
}

static const kp_test tests[] = {
    KP_TEST(test_every_record_of_eight_threads_is_delivered_and_told),
    KP_TEST(test_reconnects_and_a_growing_topic_lose_and_double_nothing),
    KP_TEST(test_a_close_while_all_threads_are_busy_gives_every_record_an_outcome),
    KP_TEST(test_every_record_of_the_short_ways_is_delivered),
    KP_TEST(test_a_close_amid_the_short_ways_gives_every_record_an_outcome),
    KP_TEST(test_a_stop_in_the_middle_leaves_no_record_without_an_outcome),
    KP_TEST(test_every_record_of_eight_threads_is_delivered_or_dropped),
    KP_TEST(test_a_full_stop_of_the_peer_and_a_fatal_error_free_all_waiters),
};

KP_TEST_MAIN(tests)
