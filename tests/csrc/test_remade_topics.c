/* A topic that is deleted and made again: whose answers are whose, and what becomes of partitions that it lacks. */
#include <string.h>

#include "kp_test.h"
#include "pump_script.h"

enum { PARTITIONS = 3, UNKNOWN_TOPIC = 3, INVALID = 87, UNKNOWN_TOPIC_ID = 100, BY_ID = 13, BY_NAME = 9 };

static const uint8_t first_id[16] = {1}, second_id[16] = {2};
static const kp_leader leaders[PARTITIONS] = {{1, 0}, {1, 0}, {1, 0}};

static script s;

static int begin_with(const kp_config *config, int16_t version) {
    (void)script_begin(&s, config, PARTITIONS);
    script_topic(&s, s.topic, PARTITIONS, leaders, first_id);
    const int conn = script_adopt(&s, 1, version);
    script_forget_events(&s);
    return conn;
}

static int begin(int16_t version) {
    const kp_config config = script_config();
    return begin_with(&config, version);
}

static void make_again(int32_t partitions) { script_topic(&s, s.topic, partitions, leaders, second_id); }

/* One batch of one record on its way. */
static kp_result *send_to(int conn, int32_t partition, script_request *r) {
    kp_result *result = script_batch(&s, partition, 1);
    script_step(&s);
    if (!script_next(&s, conn, r) || r->n_slots != 1 || r->slots[0].partition != partition) {
        kp_test_fail(__FILE__, __LINE__, "the batch was sent");
    }
    return result;
}

static void check_gone(kp_result *result, kp_persisted persisted) {
    CHECK_INT(kp_result_state(result), KP_FAILED);
    CHECK_INT(result->failure.code, UNKNOWN_TOPIC);
    CHECK_INT(result->failure.persisted, persisted);
    CHECK(result->failure.message != NULL && strstr(result->failure.message, "fewer partitions") != NULL);
    kp_result_release(result);
}

/* --- answers --- */

static void test_an_ack_of_the_old_topic_is_an_ack_after_the_new_one_came(void) {
    static const int16_t versions[] = {BY_NAME, BY_ID};
    for (int i = 0; i < 2; i++) {
        const int conn = begin(versions[i]);
        script_request r;
        kp_result *result = send_to(conn, 0, &r);
        make_again(PARTITIONS);
        script_answer_code(&s, conn, &r, 0);
        CHECK_INT(kp_result_state(result), KP_DELIVERED);
        CHECK(!s.conns[conn].is_closed);
        kp_result_release(result);
        script_free(&s);
    }
}

static void test_a_refusal_by_the_old_topic_says_what_it_met_and_leaves_the_connection(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *result = send_to(conn, 0, &r);
    make_again(PARTITIONS);
    script_answer_code(&s, conn, &r, UNKNOWN_TOPIC_ID);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL);
    CHECK_INT(m->code, UNKNOWN_TOPIC_ID);
    CHECK(!m->flag_b); /* not in any log */
    CHECK(!s.conns[conn].is_closed);
    const kp_msg refused = *m;
    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, false);
    CHECK(script_next(&s, conn, &r));
    CHECK_BYTES(r.slots[0].topic_id, second_id, 16);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(result), KP_DELIVERED);
    kp_result_release(result);
    script_free(&s);
}

/* --- partitions that are no more --- */

static void test_what_waits_for_a_vanished_partition_fails_at_once(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *parked = send_to(conn, 2, &r), *open = NULL;
    script_end(&s, conn);
    CHECK_INT(kp_result_state(parked), KP_PENDING);
    kp_result *queued = script_batch(&s, 2, 2);
    CHECK_INT(script_append(&s, 2, NULL, &open), KP_OK);
    make_again(1);
    check_gone(parked, KP_MAYBE_PERSISTED);
    check_gone(queued, KP_NOT_PERSISTED);
    check_gone(open, KP_NOT_PERSISTED);
    script_free(&s);
}

static void test_what_comes_back_refused_from_a_vanished_partition_fails_instead_of_waiting(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *result = send_to(conn, 2, &r);
    make_again(1);
    CHECK_INT(kp_result_state(result), KP_PENDING);
    script_answer_code(&s, conn, &r, UNKNOWN_TOPIC_ID);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL);
    const kp_msg refused = *m;
    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    check_gone(result, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, false);
    CHECK(script_event(&s, KP_EV_PARTITION_QUIET) != NULL); /* its sequences are of no log any more */
    script_free(&s);
}

static void test_what_was_asked_about_when_its_partition_vanished_keeps_its_verdict(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *retried = send_to(conn, 2, &r);
    script_answer_code(&s, conn, &r, UNKNOWN_TOPIC_ID);
    const kp_msg first = *script_event(&s, KP_EV_BATCH_REFUSED);
    kp_result *refused = send_to(conn, 1, &r);
    script_answer_code(&s, conn, &r, INVALID);
    const kp_msg second = *script_event(&s, KP_EV_BATCH_REFUSED);
    make_again(1);
    script_verdict(&s, &first, KP_RETRY, KP_NOT_PERSISTED);
    script_verdict(&s, &second, KP_FAIL, KP_NOT_PERSISTED);
    check_gone(retried, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(refused), KP_FAILED);
    CHECK_INT(refused->failure.code, INVALID);
    kp_result_release(refused);
    script_free(&s);
}

static void test_what_is_lost_on_the_way_to_a_vanished_partition_fails_instead_of_waiting(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *lost = send_to(conn, 2, &r), *behind = script_batch(&s, 2, 1);
    make_again(1);
    CHECK_INT(kp_result_state(lost), KP_PENDING);
    check_gone(behind, KP_NOT_PERSISTED);
    script_end(&s, conn);
    check_gone(lost, KP_MAYBE_PERSISTED);
    script_free(&s);
}

static void test_an_append_that_raced_with_the_news_fails_instead_of_waiting(void) {
    (void)begin(BY_ID);
    make_again(1);
    script_forget_events(&s);
    atomic_store(&s.topic->live, PARTITIONS); /* as the appender had read it */
    kp_result *result = NULL;
    CHECK_INT(script_append(&s, 2, NULL, &result), KP_OK);
    atomic_store(&s.topic->live, 1);
    script_step(&s);
    check_gone(result, KP_NOT_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_METADATA_STALE), 0);
    script_free(&s);
}

static void test_a_vanished_partition_that_is_back_takes_records_under_another_epoch(void) {
    const int conn = begin(BY_ID);
    script_request r;
    kp_result *lost = send_to(conn, 2, &r);
    script_answer_code(&s, conn, &r, 0);
    kp_result_release(lost);
    make_again(1);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL);
    const kp_msg quiet = *m;
    script_producer(&s, 7, 1);
    script_resume(&s, &quiet, 0, true);
    make_again(PARTITIONS);
    kp_result *result = send_to(conn, 2, &r);
    CHECK_BYTES(r.slots[0].topic_id, second_id, 16);
    CHECK_INT(r.slots[0].producer_epoch, 1);
    CHECK_INT(r.slots[0].base_sequence, 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(result), KP_DELIVERED);
    kp_result_release(result);
    script_free(&s);
}

/* --- gaps and gates of the old log --- */

/* One that is unresolved behind an answer of the old topic must not hide that the new log knows none of our sequences. */
static void test_what_an_old_answer_resolves_does_not_pass_for_an_ack_of_the_new_log(void) {
    kp_config config = script_config();
    config.delivery_timeout_ns = 100000000;
    config.request_timeout_ns = 10000000000LL;
    const int conn = begin_with(&config, BY_ID);
    script_request first, expired, acked, later;
    kp_result *results[4] = {send_to(conn, 0, &first)};
    script_answer_code(&s, conn, &first, 0);
    results[1] = send_to(conn, 0, &expired);
    script_pass(&s, 60000000);
    results[2] = send_to(conn, 0, &acked);
    script_pass(&s, 50000000);
    CHECK_INT(kp_result_state(results[1]), KP_FAILED); /* timed out on its way */
    make_again(PARTITIONS);
    script_forget_events(&s);
    script_answer_code(&s, conn, &expired, 7);
    script_answer_code(&s, conn, &acked, 0);
    CHECK_INT(kp_result_state(results[2]), KP_DELIVERED);
    CHECK(script_partition(&s, 0)->is_unresolved);
    CHECK_INT(script_count_events(&s, KP_EV_PARTITION_QUIET), 1);
    results[3] = script_batch(&s, 0, 1);
    script_pass(&s, 2000000);
    CHECK(!script_next(&s, conn, &later)); /* waits for another epoch */
    for (size_t i = 0; i < KP_ARRAY_LEN(results); i++) {
        kp_result_release(results[i]);
    }
    script_free(&s);
}

static void test_what_was_lost_with_a_vanished_partition_is_no_gap(void) {
    kp_config config = script_config();
    config.delivery_timeout_ns = 100000000;
    config.request_timeout_ns = 10000000000LL;
    const int conn = begin_with(&config, BY_ID);
    script_request r;
    kp_result *result = send_to(conn, 2, &r);
    make_again(1);
    script_pass(&s, 150000000);
    CHECK_INT(kp_result_state(result), KP_FAILED);
    script_forget_events(&s);
    script_end(&s, conn);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL);
    CHECK(!m->flag_b);
    kp_result_release(result);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_an_ack_of_the_old_topic_is_an_ack_after_the_new_one_came),
    KP_TEST(test_a_refusal_by_the_old_topic_says_what_it_met_and_leaves_the_connection),
    KP_TEST(test_what_waits_for_a_vanished_partition_fails_at_once),
    KP_TEST(test_what_comes_back_refused_from_a_vanished_partition_fails_instead_of_waiting),
    KP_TEST(test_what_was_asked_about_when_its_partition_vanished_keeps_its_verdict),
    KP_TEST(test_what_is_lost_on_the_way_to_a_vanished_partition_fails_instead_of_waiting),
    KP_TEST(test_an_append_that_raced_with_the_news_fails_instead_of_waiting),
    KP_TEST(test_a_vanished_partition_that_is_back_takes_records_under_another_epoch),
    KP_TEST(test_what_an_old_answer_resolves_does_not_pass_for_an_ack_of_the_new_log),
    KP_TEST(test_what_was_lost_with_a_vanished_partition_is_no_gap),
};

KP_TEST_MAIN(tests)
