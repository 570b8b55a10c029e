/* Holds, retries and refusals in every order of two partitions and three batches, against a broker that checks
 * sequences, with a control that decides as the Python one does. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { PARTITIONS = 2, BATCHES = 3, ROUNDS = 2, OUTCOMES = 6, LOG = 32, LIMIT = 200 };
enum { NOT_LEADER = 6, NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, OUT_OF_ORDER = 45, INVALID = 87 };

#ifdef __SANITIZE_THREAD__
enum { STRIDE = 29 }; /* one thread has no races: a sample is enough, coprime to OUTCOMES so that every digit varies */
#else
enum { STRIDE = 1 };
#endif

typedef enum outcome {
    APPEND,        /* the broker does what it should */
    RETRIABLE,     /* refused, surely not appended */
    DEFINITE,      /* refused for good */
    LOST_BEFORE,   /* the connection ends before the request was handled */
    LOST_AFTER,    /* it was handled, the answer is lost */
    APPENDED_LATE, /* handled, then answered as if it were too late */
} outcome;

/* What a broker knows of one partition: its log, and the last five batches of the producer. */
typedef struct log_batch {
    int64_t producer_id;
    int16_t epoch;
    int32_t first, last;
} log_batch;

typedef struct broker_log {
    int32_t values[LOG];
    int n_values;
    log_batch last[5];
    int n_last;
} broker_log;

typedef struct plan {
    outcome outcomes[PARTITIONS][BATCHES][ROUNDS];
    bool expires;   /* delivery.timeout.ms passes after the last scripted answer, the network being down */
    int32_t expire_at; /* requests until then */
} plan;

static script s;
static broker_log logs[PARTITIONS];
static int seen[PARTITIONS][64]; /* how often the batch that begins with this value was handled */
static int32_t first_values[PARTITIONS][BATCHES];
static kp_result *results[PARTITIONS][BATCHES];
static int16_t epoch;
static const plan *now_running;

/* --- the broker --- */

static int batch_of_value(int32_t partition, int32_t value) {
    for (int i = BATCHES - 1; i >= 0; i--) {
        if (value >= first_values[partition][i]) {
            return i;
        }
    }
    return 0;
}

static bool is_duplicate(const broker_log *log, const script_slot *slot, int32_t last) {
    for (int i = 0; i < log->n_last; i++) {
        const log_batch *b = &log->last[i];
        if (b->producer_id == slot->producer_id && b->epoch == slot->producer_epoch &&
            b->first == slot->base_sequence && b->last == last) {
            return true;
        }
    }
    return false;
}

/* A broker of 2.5 to 4.4: it takes any first sequence of a producer that it does not know (KAFKA-15591). */
static bool is_in_order(const broker_log *log, const script_slot *slot) {
    if (log->n_last == 0) {
        return true;
    }
    const log_batch *newest = &log->last[log->n_last - 1];
    if (newest->epoch != slot->producer_epoch) {
        return slot->producer_epoch > newest->epoch && slot->base_sequence == 0;
    }
    return slot->base_sequence == kp_sequence_add(newest->last, 1);
}

static int16_t append_to_log(broker_log *log, const script_slot *slot) {
    const int32_t last = kp_sequence_add(slot->base_sequence, slot->count - 1);
    if (is_duplicate(log, slot, last)) {
        return 0;
    }
    if (!is_in_order(log, slot)) {
        return OUT_OF_ORDER;
    }
    for (int32_t i = 0; i < slot->count && log->n_values < LOG; i++) {
        log->values[log->n_values++] = slot->values[i];
    }
    if (log->n_last == 5) {
        memmove(log->last, log->last + 1, 4 * sizeof log->last[0]);
        log->n_last--;
    }
    log->last[log->n_last++] = (log_batch){slot->producer_id, slot->producer_epoch, slot->base_sequence, last};
    return 0;
}

static outcome next_outcome(const script_slot *slot) {
    int *n = &seen[slot->partition][slot->values[0]];
    const int batch = batch_of_value(slot->partition, slot->values[0]);
    return *n < ROUNDS ? now_running->outcomes[slot->partition][batch][(*n)++] : APPEND;
}

/* false: the connection ends instead of an answer. */
static bool handle(const script_slot *slot, script_reply *reply) {
    const outcome what = next_outcome(slot);
    *reply = (script_reply){.base_offset = -1, .log_append_ms = -1, .log_start_offset = -1};
    switch (what) {
    case APPEND:
        reply->code = append_to_log(&logs[slot->partition], slot);
        return true;
    case RETRIABLE:
        reply->code = NOT_LEADER;
        return true;
    case DEFINITE:
        reply->code = INVALID;
        return true;
    case LOST_BEFORE:
        return false;
    case LOST_AFTER:
        (void)append_to_log(&logs[slot->partition], slot);
        return false;
    case APPENDED_LATE:
        reply->code = append_to_log(&logs[slot->partition], slot);
        reply->code = reply->code == 0 ? NOT_ENOUGH_REPLICAS_AFTER_APPEND : reply->code;
        return true;
    }
    return true;
}

/* --- the control --- */

static void restart(const kp_msg *event) {
    if (event->producer_epoch == epoch) {
        epoch++;
        script_producer(&s, 7, epoch);
    }
    script_resume(&s, event, 0, true);
}

static void judge(const kp_msg *m) {
    if (m->code == INVALID || (m->code == OUT_OF_ORDER && m->flag_b)) {
        script_verdict(&s, m, KP_FAIL, m->flag_b ? KP_MAYBE_PERSISTED : KP_NOT_PERSISTED);
        restart(m);
    } else if (m->code == OUT_OF_ORDER) {
        script_verdict(&s, m, KP_RETRY, KP_NOT_PERSISTED);
        if (m->flag_a) {
            restart(m);
        } else {
            script_resume(&s, m, 0, false);
        }
    } else {
        script_verdict(&s, m, KP_RETRY, m->code == NOT_LEADER ? KP_NOT_PERSISTED : KP_MAYBE_PERSISTED);
        script_resume(&s, m, 0, false);
    }
}

static int newest_conn(void) { return s.n_conns - 1; }

/* true: there was something to decide. */
static bool control(void) {
    bool acted = false;
    for (const kp_msg *m = script_any_event(&s); m != NULL; m = script_any_event(&s)) {
        const kp_msg event = *m;
        if (event.type == KP_EV_BATCH_REFUSED) {
            judge(&event);
            acted = true;
        } else if (event.type == KP_EV_PARTITION_QUIET) {
            restart(&event);
            acted = true;
        } else if (event.type == KP_EV_CONN_WANTED && s.conns[newest_conn()].is_closed) {
            (void)script_adopt(&s, 1, 9);
            acted = true;
        }
    }
    return acted;
}

/* --- one run --- */

static int answered;

/* The answers of one round: everything in flight is handled, in order. */
static bool answer_round(void) {
    const int conn = newest_conn();
    script_request requests[8];
    int n = 0;
    while (n < 8 && !s.conns[conn].is_closed && script_next(&s, conn, &requests[n])) {
        n++;
    }
    for (int i = 0; i < n; i++) {
        script_reply replies[SCRIPT_SLOTS];
        bool goes_on = true;
        for (int32_t k = 0; k < requests[i].n_slots; k++) {
            goes_on = handle(&requests[i].slots[k], &replies[k]) && goes_on;
        }
        answered++;
        if (!goes_on) {
            script_end(&s, conn);
            return true;
        }
        script_answer_with(&s, conn, &requests[i], replies, NULL);
    }
    return n > 0;
}

static bool is_settled(void) {
    for (int p = 0; p < PARTITIONS; p++) {
        for (int b = 0; b < BATCHES; b++) {
            if (kp_result_state(results[p][b]) == KP_PENDING) {
                return false;
            }
        }
    }
    return true;
}

static int count_in_log(int p, int32_t value) {
    int n = 0;
    for (int i = 0; i < logs[p].n_values; i++) {
        n += logs[p].values[i] == value ? 1 : 0;
    }
    return n;
}

static const char *check_result(int p, int b) {
    kp_result *r = results[p][b];
    for (int32_t i = 0; i <= b; i++) { /* batch b has b + 1 records */
        const int n = count_in_log(p, first_values[p][b] + i);
        if (n > 1) {
            return "a record is in the log twice";
        }
        if (kp_result_state(r) == KP_DELIVERED && n != 1) {
            return "a delivered record is not in the log";
        }
        if (kp_result_state(r) == KP_FAILED && r->failure.persisted == KP_NOT_PERSISTED && n != 0) {
            return "a record that surely is not persisted is in the log";
        }
        if (kp_result_state(r) == KP_PENDING) {
            return "a record has no outcome";
        }
    }
    return NULL;
}

static const char *check_logs(void) {
    for (int p = 0; p < PARTITIONS; p++) {
        for (int b = 0; b < BATCHES; b++) {
            const char *wrong = check_result(p, b);
            if (wrong != NULL) {
                return wrong;
            }
        }
        for (int i = 1; i < logs[p].n_values; i++) {
            if (logs[p].values[i] <= logs[p].values[i - 1]) {
                return "the log is out of order";
            }
        }
    }
    return NULL;
}

static void begin_run(const plan *pl, const kp_config *config) {
    now_running = pl;
    epoch = 0;
    answered = 0;
    memset(logs, 0, sizeof logs);
    memset(seen, 0, sizeof seen);
    (void)script_begin(&s, config, PARTITIONS);
    for (int b = 0; b < BATCHES; b++) {
        for (int p = 0; p < PARTITIONS; p++) {
            first_values[p][b] = s.next_value;
            results[p][b] = script_batch(&s, p, b + 1);
        }
    }
    script_step(&s);
}

static const char *one_run(const plan *pl) {
    kp_config config = script_config();
    config.delivery_timeout_ns = 10LL * SECOND;
    begin_run(pl, &config);
    int rounds = 0;
    for (; rounds < LIMIT && !is_settled(); rounds++) {
        if (pl->expires && answered >= pl->expire_at && answered < 1000) {
            script_pass(&s, 10LL * SECOND);
            answered = 1000; /* once */
        }
        const bool acted = control();
        if (!answer_round() && !acted) {
            break;
        }
    }
    while (answer_round() || control()) { /* what is in flight for records that have expired */
        if (rounds++ > LIMIT) {
            break;
        }
    }
    const char *wrong = rounds > LIMIT ? "it goes on for ever" : check_logs();
    for (int p = 0; p < PARTITIONS; p++) {
        for (int b = 0; b < BATCHES; b++) {
            kp_result_release(results[p][b]);
        }
    }
    if (wrong == NULL && s.core->pool.used != 0) {
        wrong = "memory was not given back";
    }
    script_free(&s);
    return wrong;
}

static void show(const plan *pl, const char *wrong) {
    printf("%s:", wrong);
    for (int p = 0; p < PARTITIONS; p++) {
        for (int b = 0; b < BATCHES; b++) {
            printf(" p%d/b%d=%d,%d", p, b, pl->outcomes[p][b][0], pl->outcomes[p][b][1]);
        }
    }
    printf(" expires=%d at=%d\n", pl->expires, pl->expire_at);
}

static bool run_and_check(const plan *pl) {
    const char *wrong = one_run(pl);
    if (wrong != NULL) {
        show(pl, wrong);
        kp_test_fail(__FILE__, __LINE__, wrong);
    }
    return wrong == NULL;
}

/* Digit i of `code`, base OUTCOMES. */
static outcome digit(int code, int i) {
    while (i-- > 0) {
        code /= OUTCOMES;
    }
    return (outcome)(code % OUTCOMES);
}

static int power(int base, int n) {
    int v = 1;
    while (n-- > 0) {
        v *= base;
    }
    return v;
}

/* One partition fails in every way in both rounds while the other succeeds: 6^6 runs. */
static void test_every_outcome_of_three_batches_in_two_rounds(void) {
    for (int code = 0; code < power(OUTCOMES, BATCHES * ROUNDS); code += STRIDE) {
        plan pl = {0};
        for (int b = 0; b < BATCHES; b++) {
            for (int r = 0; r < ROUNDS; r++) {
                pl.outcomes[0][b][r] = digit(code, b * ROUNDS + r);
            }
        }
        if (!run_and_check(&pl)) {
            return;
        }
    }
}

/* Both partitions fail in every way in the first round: 6^6 runs. */
static void test_every_outcome_of_two_partitions(void) {
    for (int code = 0; code < power(OUTCOMES, PARTITIONS * BATCHES); code += STRIDE) {
        plan pl = {0};
        for (int p = 0; p < PARTITIONS; p++) {
            for (int b = 0; b < BATCHES; b++) {
                pl.outcomes[p][b][0] = digit(code, p * BATCHES + b);
            }
        }
        if (!run_and_check(&pl)) {
            return;
        }
    }
}

/* delivery.timeout.ms passes after any number of answers, in between the same outcomes: 6^4 * 6 runs. */
static void test_expiry_after_any_number_of_answers(void) {
    for (int32_t at = 0; at < 6; at++) {
        for (int code = 0; code < power(OUTCOMES, 4); code += STRIDE) {
            plan pl = {.expires = true, .expire_at = at};
            for (int b = 0; b < BATCHES; b++) {
                pl.outcomes[0][b][0] = digit(code, b);
            }
            pl.outcomes[0][0][1] = digit(code, 3);
            pl.outcomes[1][0][0] = digit(code, 3);
            if (!run_and_check(&pl)) {
                return;
            }
        }
    }
}

/* All at once, drawn at random. */
static void test_random_plans(void) {
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 20000; i += STRIDE) {
        plan pl = {.expires = kp_test_random(&random) % 3 == 0, .expire_at = (int32_t)(kp_test_random(&random) % 12)};
        for (int p = 0; p < PARTITIONS; p++) {
            for (int b = 0; b < BATCHES; b++) {
                for (int r = 0; r < ROUNDS; r++) {
                    pl.outcomes[p][b][r] = (outcome)(kp_test_random(&random) % OUTCOMES);
                }
            }
        }
        if (!run_and_check(&pl)) {
            return;
        }
    }
}

static const kp_test tests[] = {
    KP_TEST(test_every_outcome_of_three_batches_in_two_rounds),
    KP_TEST(test_every_outcome_of_two_partitions),
    KP_TEST(test_expiry_after_any_number_of_answers),
    KP_TEST(test_random_plans),
};

KP_TEST_MAIN(tests)
