/* Transactions under load: appenders, a control thread that opens, closes and drops, a peer that refuses now and then,
 * the pump's own thread. Mostly for TSan. */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kp_test.h"
#include "pump_script.h"

enum { APPENDERS = 4, PARTITIONS = 3, TRANSACTIONS = 36, RECORDS = 100, PAIR = 2, REFUSED = 2, PRODUCER = 7 };

typedef struct world {
    kp_core *core;
    kp_pump *pump;
    kp_topic *topic;
    int pump_wake[PAIR], event_wake[PAIR], net[PAIR];
    kp_thread peer, delivery;
    atomic_int opened, closed, drained; /* newest generation for which it has happened */
    atomic_int stops;
    atomic_llong accepted, told_delivered, told_failed;
    int64_t next_offset;
    int n_requests; /* the peer's */
    /* Of the transaction at hand, control's alone. */
    int n_drained, n_failed;
    bool was_sent, is_broken;
} world;

static void must(bool ok, const char *what) {
    if (!ok) {
        printf("transactions: %s\n", what);
        abort();
    }
}

static void make_pair(int *pair) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    for (int i = 0; i < PAIR; i++) {
        must(fcntl(pair[i], F_SETFL, O_NONBLOCK) == 0, "non-blocking");
    }
}

static void wait_readable(int fd, int64_t timeout_ns) {
    kp_poll_entry entry = {.handle = fd};
    uint8_t scratch[64];
    must(kp_poll_scratch_size(1) <= sizeof scratch, "scratch");
    kp_poll(&entry, 1, timeout_ns, scratch, sizeof scratch);
}

/* --- the peer --- */

static bool read_fully(int fd, uint8_t *to, size_t len) {
    for (size_t have = 0; have < len;) {
        const int64_t n = kp_socket_recv(fd, to + have, len - have);
        if (n == KP_IO_AGAIN) {
            wait_readable(fd, KP_NEVER);
        } else if (n <= 0) {
            return false;
        } else {
            have += (size_t)n;
        }
    }
    return true;
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

/* The epoch is the generation, and a value the newest generation that was closed before its append began. */
static void check_slot(world *w, const script_slot *slot) {
    const int gen = slot->producer_epoch;
    must((slot->attributes & 0x10) != 0, "a batch is of a transaction");
    must(gen <= atomic_load(&w->opened), "a batch leaves under an epoch that was given out");
    must(gen > atomic_load(&w->drained), "nothing leaves when a transaction has drained");
    for (int32_t i = 0; i < slot->count && i < SCRIPT_RECORDS; i++) {
        must(slot->values[i] < gen, "a record is not of a transaction that was closed before");
    }
}

static void answer(world *w, const uint8_t *frame, size_t len) {
    script_request r;
    script_parse(frame, len, &r);
    const bool refuses = ++w->n_requests % 11 == 0;
    script_reply replies[SCRIPT_SLOTS];
    for (int32_t i = 0; i < r.n_slots; i++) {
        check_slot(w, &r.slots[i]);
        replies[i] = (script_reply){.code = refuses && i == 0 ? REFUSED : 0, .base_offset = w->next_offset,
                                    .log_append_ms = -1};
        w->next_offset += r.slots[i].count;
    }
    static const script_answer plain = {0};
    script_bytes body = {0}, out = {0};
    script_put_answer(&body, &r, replies, &plain);
    put_i32(&out, (int32_t)body.len);
    put_raw(&out, body.data, body.len);
    send_fully(w->net[1], &out);
    free(body.data);
    free(out.data);
}

static void peer(void *arg) {
    world *w = arg;
    uint8_t length[4];
    while (read_fully(w->net[1], length, sizeof length)) {
        const uint32_t len = kp_get_be32(length);
        uint8_t *frame = malloc(len);
        const bool is_whole = read_fully(w->net[1], frame, len);
        if (is_whole) {
            answer(w, frame, len);
        }
        free(frame);
    }
}

/* --- the delivery thread --- */

static void delivery(void *arg) {
    world *w = arg;
    for (bool stopped = false; !stopped;) {
        uint64_t n = 0;
        kp_result *r = kp_core_take_finished(w->core, kp_clock_ns() + 50 * MS, &stopped);
        for (kp_result *next; r != NULL; r = next, n++) {
            next = r->next;
            must(kp_result_state(r) != KP_PENDING, "what is finished has an outcome");
            atomic_fetch_add(kp_result_state(r) == KP_DELIVERED ? &w->told_delivered : &w->told_failed, r->n_listeners);
            kp_result_release(r);
        }
        kp_core_finished_done(w->core, n);
    }
}

/* --- appenders --- */

static kp_status append(world *w, int32_t partition) {
    uint8_t value[4];
    kp_put_be32(value, (uint32_t)atomic_load(&w->closed));
    kp_record r = {.key_len = -1, .value = value, .value_len = sizeof value, .timestamp_ms = 1600000000000};
    const kp_listener listener = {.object = w};
    const kp_append_options o = {.partition = partition, .listener = &listener};
    kp_place place = {0};
    size_t needed;
    return kp_append(w->topic, &r, &o, &place, &needed);
}

static void appender(void *arg) {
    world *w = arg;
    for (int i = 0; !atomic_load(&w->stops); i++) {
        const kp_status status = append(w, i % (PARTITIONS + 1) - 1); /* -1 among them */
        if (status == KP_OK) {
            atomic_fetch_add(&w->accepted, 1);
        } else {
            must(status == KP_ERR_STATE || status == KP_FULL || status == KP_ERR_CLOSED, "why a record is refused");
            sched_yield();
        }
        if (i % 5000 == 4999) {
            const kp_failure refused = {.code = KP_CODE_TXN_REFUSED, .node = -1};
            kp_txn_refuse(w->core, kp_txn_current(w->core), &refused, w->topic);
        }
    }
}

/* --- control --- */

static kp_msg *partition_command(kp_msg_type type, const kp_msg *event) {
    kp_msg *m = kp_msg_new(type);
    m->topic = event->topic;
    m->partition = event->partition;
    m->hold_gen = event->hold_gen;
    m->txn_gen = event->txn_gen;
    m->batch_id = event->batch_id;
    m->action = KP_FAIL;
    m->code = event->code;
    return m;
}

static void command(world *w, kp_msg_type type, int gen, bool is_v2) {
    kp_msg *m = kp_msg_new(type);
    m->txn_gen = (uint32_t)gen;
    m->producer_id = PRODUCER;
    m->producer_epoch = (int16_t)gen;
    m->flag_a = is_v2;
    kp_core_command(w->core, m);
}

static void on_event(world *w, const kp_msg *m) {
    if (m->type == KP_EV_TXN_PARTITION) {
        kp_core_command(w->core, partition_command(KP_CMD_TXN_ALLOW, m));
    } else if (m->type == KP_EV_BATCH_REFUSED) {
        must(m->code == REFUSED, "only the peer refuses");
        kp_core_command(w->core, partition_command(KP_CMD_VERDICT, m));
        kp_core_command(w->core, partition_command(KP_CMD_RESUME, m));
    } else if (m->type == KP_EV_TXN_FAILED) {
        w->n_failed++;
    } else if (m->type == KP_EV_TXN_DRAINED) {
        must(m->txn_gen == (uint32_t)atomic_load(&w->closed), "only what was sealed drains");
        must(atomic_load(&w->core->txn_batches) == 0, "no batch is left when a transaction has drained");
        w->n_drained++;
        w->was_sent = m->flag_a;
        w->is_broken = m->flag_b;
        atomic_store(&w->drained, (int)m->txn_gen);
    }
}

static void take_events(world *w) {
    wait_readable(w->event_wake[0], MS);
    kp_wake_clear(w->event_wake[0]);
    for (kp_msg *m = kp_queue_take_all(&w->core->events), *next; m != NULL; m = next) {
        next = m->next;
        on_event(w, m);
        kp_msg_free(m);
    }
}

static void open_transaction(world *w, int gen) {
    const bool is_v2 = gen % 2 == 0;
    atomic_store(&w->opened, gen);
    w->n_drained = w->n_failed = 0;
    if (gen % 3 == 0) { /* appends come before the pump knows of the transaction */
        kp_txn_open(w->core, (uint32_t)gen, !is_v2);
        take_events(w);
    }
    command(w, KP_CMD_PRODUCER_ID, gen, false);
    command(w, KP_CMD_TXN_BEGIN, gen, is_v2);
    if (gen % 3 != 0) {
        kp_txn_open(w->core, (uint32_t)gen, !is_v2);
    }
}

static void end_transaction(world *w, int gen) {
    const int64_t failed_before = (int64_t)kp_counter_get(&w->core->stats.counters[KP_C_records_failed]);
    const bool drops = gen % 4 == 0 || w->n_failed > 0;
    kp_txn_close(w->core, NULL);
    atomic_store(&w->closed, gen);
    command(w, drops ? KP_CMD_TXN_DROP : KP_CMD_TXN_SEAL, gen, false);
    while (w->n_drained == 0) {
        take_events(w);
    }
    const int64_t failed = (int64_t)kp_counter_get(&w->core->stats.counters[KP_C_records_failed]);
    must(drops || w->n_failed > 0 || (failed == failed_before && !w->is_broken), "what is sealed is delivered");
}

static void run_transaction(world *w, int gen) {
    open_transaction(w, gen);
    const int64_t enough = atomic_load(&w->accepted) + RECORDS;
    while (atomic_load(&w->accepted) < enough && w->n_failed == 0) {
        take_events(w);
    }
    end_transaction(w, gen);
    must(w->n_drained == 1, "a transaction drains once");
}

/* --- life --- */

static void begin(world *w) {
    memset(w, 0, sizeof *w);
    make_pair(w->pump_wake);
    make_pair(w->event_wake);
    make_pair(w->net);
    kp_config config = script_txn_config();
    config.batch_size = 256;
    config.buffer_memory = 64 * 1024;
    w->core = kp_core_new(&config, w->pump_wake[1], w->event_wake[1]);
    must(w->core != NULL && kp_pump_new(w->core, &kp_pump_sockets, w->pump_wake[0], &w->pump) == KP_OK, "memory");
    w->topic = kp_core_topic(w->core, "t", 1);
    must(kp_thread_start(&w->peer, peer, w) == KP_OK, "peer");
    must(kp_thread_start(&w->delivery, delivery, w) == KP_OK, "delivery");
    must(kp_pump_start(w->pump) == KP_OK, "pump");
    kp_msg *adopt = kp_msg_new(KP_CMD_ADOPT), *topic = kp_msg_new(KP_CMD_TOPIC);
    adopt->node = 1;
    adopt->conn_gen = 1;
    adopt->handle = w->net[0];
    adopt->version = 9;
    topic->topic = w->topic;
    topic->count = PARTITIONS;
    topic->leaders = calloc(PARTITIONS, sizeof *topic->leaders);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        topic->leaders[i].node = 1;
    }
    kp_core_command(w->core, topic);
    kp_core_command(w->core, adopt);
    while (kp_topic_wait(w->topic, PARTITIONS - 1, 0, kp_clock_ns() + 100 * MS) == KP_AGAIN) {
    }
}

static void end(world *w) {
    kp_core_command(w->core, kp_msg_new(KP_CMD_STOP));
    kp_pump_join(w->pump);
    kp_core_stop_delivery(w->core);
    kp_thread_join(w->delivery);
    kp_thread_join(w->peer); /* the pump has closed its end */
}

static void free_world(world *w) {
    must(w->core->pool.used == 0, "all memory is given back");
    kp_pump_free(w->pump);
    must(atomic_load(&w->core->refs) == 1, "nobody holds the core");
    kp_core_release(w->core);
    for (int i = 0; i < PAIR; i++) {
        close(w->pump_wake[i]);
        close(w->event_wake[i]);
    }
    close(w->net[1]);
}

static void run_appenders(world *w, kp_thread *threads) {
    for (int i = 0; i < APPENDERS; i++) {
        must(kp_thread_start(&threads[i], appender, w) == KP_OK, "appender");
    }
}

static void join_appenders(world *w, kp_thread *threads) {
    atomic_store(&w->stops, 1);
    for (int i = 0; i < APPENDERS; i++) {
        kp_thread_join(threads[i]);
    }
}

#define CHECK_ALL_SETTLED_ONCE(w)                                                                       \
    do {                                                                                                \
        const kp_counter *counters_ = (w)->core->stats.counters;                                        \
        CHECK_INT(atomic_load(&(w)->core->txn_batches), 0);                                             \
        CHECK_INT(kp_counter_get(&counters_[KP_C_records_acked]), atomic_load(&(w)->told_delivered));   \
        CHECK_INT(kp_counter_get(&counters_[KP_C_records_failed]), atomic_load(&(w)->told_failed));     \
        CHECK_INT(atomic_load(&(w)->told_delivered) + atomic_load(&(w)->told_failed), (w)->accepted);   \
    } while (0)

static world w;

static void test_every_record_settles_once_and_in_its_own_transaction(void) {
    begin(&w);
    kp_thread threads[APPENDERS];
    run_appenders(&w, threads);
    for (int gen = 1; gen <= TRANSACTIONS; gen++) {
        run_transaction(&w, gen);
    }
    join_appenders(&w, threads);
    end(&w);
    take_events(&w);
    CHECK_INT(w.n_drained, 1); /* nothing is told after the last one */
    CHECK_INT(atomic_load(&w.core->urgent), 0);
    CHECK(atomic_load(&w.told_delivered) > 0 && atomic_load(&w.told_failed) > 0);
    CHECK_ALL_SETTLED_ONCE(&w);
    free_world(&w);
}

static void test_a_stop_inside_a_transaction_settles_every_record(void) {
    for (int round = 0; round < 4; round++) {
        begin(&w);
        kp_thread threads[APPENDERS];
        run_appenders(&w, threads);
        run_transaction(&w, 1);
        open_transaction(&w, 2);
        const int64_t enough = atomic_load(&w.accepted) + 20LL * round;
        while (atomic_load(&w.accepted) < enough && w.n_failed == 0) {
            take_events(&w);
        }
        if (round % 2 == 1) {
            kp_txn_close(w.core, NULL);
            atomic_store(&w.closed, 2);
            command(&w, KP_CMD_TXN_SEAL, 2, false);
        }
        end(&w);
        join_appenders(&w, threads);
        take_events(&w);
        CHECK_INT(w.n_drained, round % 2);
        CHECK_ALL_SETTLED_ONCE(&w);
        free_world(&w);
    }
}

/* --- a close that is raced --- */

enum { CLOSES = 60 };

typedef struct racer {
    kp_topic *topic;
    int32_t partition;
    atomic_int *stops;
    atomic_llong attempts;
} racer;

static void race(void *arg) {
    racer *me = arg;
    const kp_append_options o = {.partition = me->partition};
    while (!atomic_load(me->stops)) {
        kp_record r = {.key_len = -1, .value = (const uint8_t *)"v", .value_len = 1, .timestamp_ms = 1600000000000};
        kp_place place = {0};
        size_t needed;
        if (kp_append(me->topic, &r, &o, &place, &needed) != KP_OK) {
            sched_yield();
        }
        atomic_fetch_add(&me->attempts, 1);
    }
}

/* Every append that was under way has ended, and another one of each thread has begun and ended. */
static void wait_for_two_attempts_of_each(racer *racers) {
    int64_t enough[APPENDERS];
    for (int i = 0; i < APPENDERS; i++) {
        enough[i] = atomic_load(&racers[i].attempts) + 2;
    }
    for (int i = 0; i < APPENDERS; i++) {
        while (atomic_load(&racers[i].attempts) < enough[i]) {
            sched_yield();
        }
    }
}

/* Each record is a batch of its own and the pump takes none meanwhile, so the batches that are left are the records. */
static void test_no_record_is_taken_once_a_close_has_returned(void) {
    static script s;
    kp_config config = script_txn_config();
    config.batch_size = 0;
    (void)script_begin(&s, &config, APPENDERS);
    atomic_int stops = 0;
    racer racers[APPENDERS];
    kp_thread threads[APPENDERS];
    for (int32_t i = 0; i < APPENDERS; i++) {
        racers[i] = (racer){.topic = s.topic, .partition = i / 2, .stops = &stops};
        must(kp_thread_start(&threads[i], race, &racers[i]) == KP_OK, "racer");
    }
    int n_late = 0;
    for (uint32_t gen = 1; gen <= CLOSES; gen++) {
        kp_txn_open(s.core, gen, false);
        wait_for_two_attempts_of_each(racers);
        kp_txn_close(s.core, NULL);
        const int64_t taken = atomic_load(&s.core->txn_batches);
        wait_for_two_attempts_of_each(racers);
        n_late += atomic_load(&s.core->txn_batches) != taken;
        script_txn_command(&s, KP_CMD_TXN_BEGIN, gen, true);
        script_txn_command(&s, KP_CMD_TXN_DROP, gen, true);
        script_forget_events(&s);
    }
    atomic_store(&stops, 1);
    for (int i = 0; i < APPENDERS; i++) {
        kp_thread_join(threads[i]);
    }
    CHECK_INT(n_late, 0);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_no_record_is_taken_once_a_close_has_returned),
    KP_TEST(test_every_record_settles_once_and_in_its_own_transaction),
    KP_TEST(test_a_stop_inside_a_transaction_settles_every_record),
};

KP_TEST_MAIN(tests)
