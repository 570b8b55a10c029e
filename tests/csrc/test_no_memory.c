/* One allocation of csrc after the other fails, through a whole script: every record still ends, nothing leaks.
 * Linked with --wrap, see the Makefile: what the script and the test allocate themselves never fails. */
#include <stdlib.h>

#include "kp_accumulator.h"
#include "kp_partition.h"
#include "kp_test.h"
#include "pump_script.h"

enum { PARTITIONS = 4, ROUNDS = 6, RECORDS = 6, RESULTS = 256, NOT_LEADER = 6, TOO_LARGE = 10, INVALID = 87 };

/* --- allocations that fail --- */

static struct {
    bool is_armed; /* inside csrc, called by the test */
    int n;         /* allocations while armed */
    int first, last; /* these fail */
} fault;

static bool fails(void) {
    if (!fault.is_armed) {
        return false;
    }
    fault.n++;
    return fault.n >= fault.first && fault.n <= fault.last;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }

/* --- the ways into csrc --- */

int64_t __real_kp_pump_step(kp_pump *pump, int64_t now);
int64_t __wrap_kp_pump_step(kp_pump *pump, int64_t now);
kp_status __real_kp_append(kp_topic *topic, kp_record *r, const kp_append_options *o, kp_place *place, size_t *needed);
kp_status __wrap_kp_append(kp_topic *topic, kp_record *r, const kp_append_options *o, kp_place *place, size_t *needed);

int64_t __wrap_kp_pump_step(kp_pump *pump, int64_t now) {
    fault.is_armed = true;
    const int64_t deadline = __real_kp_pump_step(pump, now);
    fault.is_armed = false;
    return deadline;
}

kp_status __wrap_kp_append(kp_topic *topic, kp_record *r, const kp_append_options *o, kp_place *place, size_t *needed) {
    fault.is_armed = true;
    const kp_status status = __real_kp_append(topic, r, o, place, needed);
    fault.is_armed = false;
    return status;
}

static script s;
static kp_io network;

static int64_t sendv_unharmed(void *arg, kp_handle h, const kp_iov *iov, int count) {
    fault.is_armed = false;
    const int64_t n = network.sendv(arg, h, iov, count);
    fault.is_armed = true;
    return n;
}

/* --- a control thread that cannot fail --- */

static struct {
    kp_result *results[RESULTS];
    int n_results, accepted, refused;
    int16_t epoch;
    int conn; /* the newest */
    int answered;
} run;

static void judge_refusal(const kp_msg *m) {
    static const int32_t guilty[] = {1};
    if (m->code == INVALID && m->records > 1) {
        script_verdict_with(&s, m, KP_FAIL, KP_NOT_PERSISTED, guilty, 1);
    } else {
        script_verdict(&s, m, m->code == TOO_LARGE ? KP_SPLIT : m->code == INVALID ? KP_FAIL : KP_RETRY,
                       KP_NOT_PERSISTED);
    }
    script_resume(&s, m, MS, m->code == INVALID);
    if (m->code == INVALID) {
        script_producer(&s, 7, ++run.epoch);
    }
}

static void control(void) {
    for (const kp_msg *m = script_any_event(&s); m != NULL; m = script_any_event(&s)) {
        switch (m->type) {
        case KP_EV_CONN_WANTED:
            run.conn = script_adopt(&s, m->node, 10);
            break;
        case KP_EV_BATCH_REFUSED:
            judge_refusal(m);
            break;
        case KP_EV_METADATA_STALE:
            script_lead(&s, PARTITIONS, 1, 0);
            break;
        case KP_EV_PARTITION_QUIET:
            script_resume(&s, m, 0, true);
            script_producer(&s, 7, ++run.epoch);
            break;
        default:
            break;
        }
    }
}

/* --- a broker with moods --- */

static void answer(int conn, const script_request *r, int16_t code) {
    static const script_record_error bad = {.index = 1, .message = "no key"};
    static const script_endpoint other = {.node = 2, .host = "other", .port = 9093};
    const script_answer more = {.throttle_ms = code == 0 ? 0 : 5, .endpoints = &other, .n_endpoints = 1};
    script_reply replies[SCRIPT_SLOTS];
    for (int32_t i = 0; i < r->n_slots; i++) {
        replies[i] = (script_reply){.code = code, .base_offset = code == 0 ? 100 : -1, .log_append_ms = -1,
                                    .message = code == 0 ? NULL : "refused"};
        if (code == INVALID && r->slots[i].count > 1) {
            replies[i].record_errors = &bad;
            replies[i].n_record_errors = 1;
        } else if (code == NOT_LEADER) {
            replies[i].has_hint = true;
            replies[i].hint = (kp_leader){.node = 2, .epoch = 1};
        }
    }
    script_answer_with(&s, conn, r, replies, &more);
}

/* Answers what came, in turn with each of its moods; true while something came. */
static bool serve(void) {
    static const int16_t moods[] = {0, NOT_LEADER, 0, TOO_LARGE, 0, INVALID, 0, 0};
    script_request r;
    bool any = false;
    for (int i = 0; i < s.n_conns; i++) {
        while (!s.conns[i].is_closed && script_next(&s, i, &r)) {
            any = true;
            answer(i, &r, moods[run.answered++ % (int)KP_ARRAY_LEN(moods)]);
            control();
        }
    }
    return any;
}

static void settle(void) {
    for (int quiet = 0; quiet < 5;) {
        control();
        quiet = serve() ? 0 : quiet + 1;
        script_pass(&s, 10 * MS);
    }
}

/* --- the records --- */

static void append(int32_t partition) {
    static int object;
    const kp_listener listener = {.object = &object, .key_size = -1, .value_size = 4};
    kp_result *result = NULL;
    const bool has_listener = s.next_value % 3 == 0;
    if (script_append(&s, partition, has_listener ? &listener : NULL, &result) != KP_OK) {
        run.refused++;
        return;
    }
    run.accepted++;
    run.results[run.n_results++] = result;
}

static void send_rounds(void) {
    for (int round = 0; round < ROUNDS; round++) {
        for (int32_t i = 0; i < RECORDS; i++) {
            append(round % PARTITIONS);
        }
        if (round == 3) {
            append(3);
            script_step(&s);
            if (!s.conns[run.conn].is_closed) {
                script_end(&s, run.conn); /* with a request in flight */
            }
        }
        script_step(&s);
        settle();
    }
}

static int count_pending(void) {
    int pending = 0;
    for (int i = 0; i < run.n_results; i++) {
        int32_t index = 0;
        pending += kp_result_state(kp_result_resolve(run.results[i], &index)) == KP_PENDING ? 1 : 0;
    }
    return pending;
}

static void begin(int codec, int first, int last) {
    memset(&run, 0, sizeof run);
    fault.n = 0;
    fault.first = first;
    fault.last = last;
    kp_config config = script_config();
    config.codec = config.codec_lib.codec = codec;
    script_init(&s, &config);
    network = s.pump->io;
    s.pump->io.sendv = sendv_unharmed;
    script_lead(&s, PARTITIONS, 1, 0);
    script_producer(&s, 7, 0);
    run.conn = script_adopt(&s, 1, 10);
}

static void end(void) {
    fault.last = 0;
    script_stop(&s);
    CHECK_INT(count_pending(), 0);
    for (int i = 0; i < run.n_results; i++) {
        kp_result_release(run.results[i]);
    }
    script_free(&s);
}

/* Memory is there again: a producer that has not failed as a whole serves on, one that has says so. */
static void check_afterwards(void) {
    fault.last = 0;
    settle();
    CHECK_INT(count_pending(), 0);
    CHECK_INT(s.core->pool.used, 0);
    const int accepted = run.accepted;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        append(i);
    }
    settle();
    const bool is_open = kp_core_life(s.core) == KP_OPEN;
    CHECK_INT(run.accepted - accepted, is_open ? PARTITIONS : 0);
    CHECK_INT(count_pending(), 0);
    CHECK(is_open || s.core->fatal.code == KP_CODE_INTERNAL);
}

static void each_failure(int codec, int how_many) {
    int first = 1, fatal = 0, failing;
    do {
        const int before = kp_test_failed_checks;
        begin(codec, first, first + how_many - 1);
        send_rounds();
        failing = fault.n >= first;
        check_afterwards();
        fatal += kp_core_life(s.core) == KP_FATAL;
        end();
        if (kp_test_failed_checks != before) {
            printf("codec %d: allocations %d to %d fail\n", codec, first, first + how_many - 1);
            return;
        }
        first++;
    } while (failing);
    CHECK(first > 50);
    CHECK(fatal > 0);
}

static void test_any_one_allocation_may_fail(void) { each_failure(KP_CODEC_NONE, 1); }
static void test_any_one_allocation_may_fail_with_compression(void) { each_failure(KP_CODEC_SNAPPY, 1); }
static void test_memory_may_stay_away_for_a_while(void) { each_failure(KP_CODEC_SNAPPY, 40); }

/* --- birth --- */

static void test_a_core_and_a_pump_are_made_whole_or_not_at_all(void) {
    const kp_config config = script_config();
    const kp_io io = {0};
    bool failed = true;
    for (int first = 1; failed; first++) {
        fault.n = 0;
        fault.first = fault.last = first;
        fault.is_armed = true;
        kp_core *core = kp_core_new(&config, KP_NO_HANDLE, KP_NO_HANDLE);
        kp_pump *pump = NULL;
        const kp_status status = core == NULL ? KP_ERR_NOMEM : kp_pump_new(core, &io, KP_NO_HANDLE, &pump);
        kp_topic *topic = status == KP_OK ? kp_core_topic(core, "topic", 5) : NULL;
        fault.is_armed = false;
        failed = fault.n >= first;
        CHECK(failed == (topic == NULL));
        if (status == KP_OK) {
            CHECK(kp_core_topic(core, "topic", 5) != NULL);
            kp_pump_free(pump);
        }
        if (core != NULL) {
            CHECK_INT(atomic_load(&core->refs), 1);
            kp_core_release(core);
        }
    }
}

static const kp_test tests[] = {
    KP_TEST(test_any_one_allocation_may_fail),
    KP_TEST(test_any_one_allocation_may_fail_with_compression),
    KP_TEST(test_memory_may_stay_away_for_a_while),
    KP_TEST(test_a_core_and_a_pump_are_made_whole_or_not_at_all),
};

KP_TEST_MAIN(tests)
