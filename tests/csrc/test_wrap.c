/* Sequences of a partition that has sent 2^31 records: they go on at 0, and nothing else changes. */
#include "kp_partition.h"
#include "kp_test.h"
#include "pump_script.h"

enum { BATCHES = 10, BEFORE_WRAP = 2 };

static script s;

static int32_t expected(int i) {
    const int64_t sequence = (int64_t)INT32_MAX - BEFORE_WRAP + i;
    return (int32_t)(sequence > INT32_MAX ? sequence - INT32_MAX - 1 : sequence);
}

/* A partition whose last acked sequence is 2^31-4. */
static int begin_near_the_end(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    script_request r;
    kp_result *first = script_batch(&s, 0, 1);
    script_step(&s);
    if (script_next(&s, conn, &r)) {
        script_answer_code(&s, conn, &r, 0);
    }
    kp_result_release(first);
    kp_partition *p = script_partition(&s, 0);
    p->next_sequence = INT32_MAX - BEFORE_WRAP;
    p->last_acked = p->next_sequence - 1;
    return conn;
}

static void test_ten_batches_go_over_the_end(void) {
    const int conn = begin_near_the_end();
    for (int i = 0; i < BATCHES; i++) {
        script_request r;
        kp_result *result = script_batch(&s, 0, 1);
        script_step(&s);
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, expected(i));
        CHECK_INT(r.slots[0].producer_epoch, 0);
        script_answer_code(&s, conn, &r, 0);
        CHECK_INT(kp_result_state(result), KP_DELIVERED);
        kp_result_release(result);
    }
    CHECK(script_any_event(&s) == NULL);
    script_free(&s);
}

static void test_what_is_lost_around_the_end_is_sent_again_under_the_same_sequences(void) {
    const int conn = begin_near_the_end();
    kp_result *results[BATCHES];
    int32_t lost[BATCHES];
    script_request r;
    int n = 0;
    for (int i = 0; i < BATCHES; i++) {
        results[i] = script_batch(&s, 0, 1);
        script_step(&s);
    }
    while (script_next(&s, conn, &r)) {
        lost[n++] = r.slots[0].base_sequence;
    }
    CHECK(n > BEFORE_WRAP + 1);
    script_end(&s, conn);
    const int again = script_adopt(&s, 1, 9);
    for (int i = 0; i < BATCHES; i++) {
        script_pass(&s, SECOND);
        CHECK(script_next(&s, again, &r));
        CHECK_INT(r.slots[0].base_sequence, i < n ? lost[i] : expected(i));
        CHECK_INT(r.slots[0].base_sequence, expected(i));
        script_answer_code(&s, again, &r, 0);
        CHECK_INT(kp_result_state(results[i]), KP_DELIVERED);
        kp_result_release(results[i]);
    }
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_ten_batches_go_over_the_end),
    KP_TEST(test_what_is_lost_around_the_end_is_sent_again_under_the_same_sequences),
};

KP_TEST_MAIN(tests)
