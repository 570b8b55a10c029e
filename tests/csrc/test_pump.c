/* The pump from a script: every command and event, the gates, and how each batch ends. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { BATCHES = 3, NOT_LEADER = 6, TOO_LARGE = 10, NETWORK = 13, OUT_OF_ORDER = 45, DUPLICATE = 46, INVALID = 87 };

static script s;

/* One acked batch: the first-sequence gate of the partition is open afterwards. */
static void open_gate(int conn, int32_t partition) {
    script_request r;
    kp_result *result = script_batch(&s, partition, 1);
    script_step(&s);
    if (!script_next(&s, conn, &r)) {
        kp_test_fail(__FILE__, __LINE__, "the first batch was sent");
    }
    script_answer_code(&s, conn, &r, 0);
    kp_result_release(result);
}

static void release_all(kp_result **results, int n) {
    for (int i = 0; i < n; i++) {
        kp_result_release(results[i]);
    }
}

static void three_batches(kp_result **results, int32_t partition) {
    for (int i = 0; i < BATCHES; i++) {
        results[i] = script_batch(&s, partition, i + 1);
    }
    script_step(&s);
}

#define CHECK_OUTCOME(result, expected_code, expected_persisted)               \
    do {                                                                       \
        CHECK_INT(kp_result_state(result), KP_FAILED);                         \
        CHECK_INT((result)->failure.code, expected_code);                      \
        CHECK_INT((result)->failure.persisted, expected_persisted);            \
    } while (0)

/* --- the plain way --- */

static void test_a_record_is_sent_and_acked(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    kp_result *result = NULL;
    CHECK_INT(script_append(&s, 0, NULL, &result), KP_OK);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.version, 9);
    CHECK_INT(r.acks, -1);
    CHECK_INT(r.timeout_ms, 30000);
    CHECK_INT(r.n_slots, 1);
    CHECK_INT(r.slots[0].producer_id, 7);
    CHECK_INT(r.slots[0].producer_epoch, 0);
    CHECK_INT(r.slots[0].base_sequence, 0);
    CHECK_INT(r.slots[0].count, 1);
    CHECK_INT(kp_result_state(result), KP_PENDING);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(result), KP_DELIVERED);
    CHECK_INT(result->base_offset, 100);
    CHECK_INT(result->log_append_ms, -1);
    CHECK_INT(s.core->pool.used, 0);
    CHECK(script_any_event(&s) == NULL);
    CHECK(s.deadline <= s.now + 540LL * SECOND); /* its timer may be left, which costs one waking */
    kp_result_release(result);
    script_free(&s);
}

static void test_linger_holds_a_batch_back_until_it_is_over(void) {
    kp_config config = script_config();
    config.linger_ns = 5 * MS;
    const int conn = script_begin(&s, &config, 1);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(s.deadline, s.now + 5 * MS);
    script_pass(&s, 5 * MS - 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_pass(&s, 1);
    CHECK_INT(script_count_requests(&s, conn), 1);
    script_free(&s);
}

static void test_a_flush_makes_every_open_batch_ready(void) {
    kp_config config = script_config();
    config.linger_ns = 5LL * SECOND;
    const int conn = script_begin(&s, &config, 3);
    for (int32_t i = 0; i < 3; i++) {
        CHECK_INT(script_append(&s, i, NULL, NULL), KP_OK);
    }
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    const uint32_t ticket = kp_flush_begin(s.core);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 3);
    CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_AGAIN);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_OK);
    kp_flush_end(s.core);
    script_free(&s);
}

static void test_somebody_waiting_for_memory_makes_batches_ready(void) {
    kp_config config = script_config();
    config.linger_ns = 5LL * SECOND;
    const int conn = script_begin(&s, &config, 1);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    kp_pool_waiter w;
    kp_pool_wait_begin(&s.core->pool, &w, config.buffer_memory);
    kp_core_hurry(s.core);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(kp_pool_wait(&s.core->pool, &w, 0), KP_AGAIN);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_pool_wait(&s.core->pool, &w, 0), KP_OK);
    kp_pool_wait_end(&s.core->pool, &w, false);
    kp_pool_give(&s.core->pool, &w.granted);
    script_free(&s);
}

static void test_an_unknown_leader_asks_for_metadata_once(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 2);
    script_lead(&s, 2, -1, 0);
    kp_result *a = script_batch(&s, 0, 1), *b = script_batch(&s, 1, 1);
    script_step(&s);
    const kp_msg *m = script_event(&s, KP_EV_METADATA_STALE);
    CHECK(m != NULL && m->topic == s.topic);
    CHECK(script_event(&s, KP_EV_METADATA_STALE) == NULL);
    script_lead(&s, 2, 3, 1);
    m = script_event(&s, KP_EV_CONN_WANTED);
    CHECK(m != NULL);
    CHECK_INT(m->node, 3);
    CHECK(script_event(&s, KP_EV_CONN_WANTED) == NULL); /* a level, not one for each partition */
    const int conn = script_adopt(&s, 3, 12);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_nothing_leaves_before_the_first_producer_id(void) {
    const kp_config config = script_config();
    script_init(&s, &config);
    script_lead(&s, 1, 1, 0);
    const int conn = script_adopt(&s, 1, 9);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_producer(&s, 9, 3);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].producer_id, 9);
    CHECK_INT(r.slots[0].producer_epoch, 3);
    kp_result_release(a);
    script_free(&s);
}

/* --- gates --- */

static void test_one_in_flight_until_the_leader_has_acked(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 1);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 3);
    script_lead(&s, 1, 1, 1); /* the same broker, elected again: the gate is closed again */
    kp_result *more[BATCHES];
    three_batches(more, 0);
    CHECK_INT(script_count_requests(&s, conn), 0);
    release_all(results, BATCHES);
    release_all(more, BATCHES);
    script_free(&s);
}

static void test_at_most_five_in_flight(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[7];
    for (int i = 0; i < 7; i++) {
        results[i] = script_batch(&s, 0, 1);
    }
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(script_count_requests(&s, conn), 4);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(script_count_requests(&s, conn), 1);
    release_all(results, 7);
    script_free(&s);
}

static void test_a_new_leader_waits_for_the_old_leaders_answers(void) {
    const kp_config config = script_config();
    const int old = script_begin(&s, &config, 1);
    open_gate(old, 0);
    kp_result *results[BATCHES];
    results[0] = script_batch(&s, 0, 1);
    script_step(&s);
    const int new = script_adopt(&s, 2, 9);
    script_lead(&s, 1, 2, 1);
    results[1] = script_batch(&s, 0, 1);
    results[2] = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, new), 0);
    script_request r;
    CHECK(script_next(&s, old, &r));
    script_answer_code(&s, old, &r, 0);
    CHECK_INT(kp_result_state(results[0]), KP_DELIVERED);
    CHECK(script_next(&s, new, &r));
    CHECK_INT(script_count_requests(&s, new), 0); /* it has acked nothing yet */
    script_answer_code(&s, new, &r, 0);
    CHECK_INT(script_count_requests(&s, new), 1);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_partition_that_may_not_send_does_not_stop_the_others(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    kp_result *a = script_batch(&s, 0, 1), *b = script_batch(&s, 0, 1), *c = script_batch(&s, 1, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 2); /* one of each: partition 0 waits with its second */
    kp_result_release(a);
    kp_result_release(b);
    kp_result_release(c);
    script_free(&s);
}

/* --- refusals --- */

static void test_a_refusal_holds_the_partition_until_resume(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r[i]));
    }
    const script_record_error guilty = {.index = 0, .message = "bad"};
    const script_reply reply = {.code = NOT_LEADER, .base_offset = -1, .log_append_ms = -1, .log_start_offset = 17,
                                .message = "moved", .record_errors = &guilty, .n_record_errors = 1};
    script_answer_with(&s, conn, &r[0], &reply, NULL);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL && m->topic == s.topic);
    CHECK_INT(m->partition, 0);
    CHECK_INT(m->code, NOT_LEADER);
    CHECK(m->flag_a && !m->flag_b);
    CHECK_INT(m->attempts, 1);
    CHECK_INT(m->records, 1);
    CHECK_INT(m->offset, 17);
    CHECK_INT(m->node, 1);
    CHECK_INT(m->producer_id, 7);
    CHECK_INT(m->n_record_errors, 1);
    CHECK(strcmp(m->record_errors[0].message, "bad") == 0 && strcmp(m->message, "moved") == 0);
    const kp_msg refused = *m;

    script_answer_code(&s, conn, &r[1], OUT_OF_ORDER);
    script_answer_code(&s, conn, &r[2], OUT_OF_ORDER);
    CHECK(script_any_event(&s) == NULL); /* parked without asking */
    kp_result *more = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);

    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    CHECK_INT(script_count_requests(&s, conn), 0); /* the hold ends with RESUME only */
    script_resume_gen(&s, 0, refused.hold_gen - 1, 0, false);
    script_resume_gen(&s, 0, refused.hold_gen + 1, 0, false);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_stale_commands]), 2);
    script_resume(&s, &refused, 100 * MS, false);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(s.deadline, s.now + 100 * MS);
    script_pass(&s, 100 * MS);

    script_request again;
    const int32_t sequences[] = {1, 2, 4, 7};
    for (int i = 0; i < 4; i++) { /* from the head, one at a time until it is acked */
        CHECK(script_next(&s, conn, &again));
        CHECK_INT(again.slots[0].base_sequence, sequences[i]);
        if (i == 0) {
            CHECK_INT(script_count_requests(&s, conn), 0);
            CHECK_INT(again.slots[0].crc, r[0].slots[0].crc);
        }
        script_answer_code(&s, conn, &again, 0);
    }
    for (int i = 0; i < BATCHES; i++) {
        CHECK_INT(kp_result_state(results[i]), KP_DELIVERED);
    }
    CHECK_INT(kp_result_state(more), KP_DELIVERED);
    kp_result_release(more);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_leader_hint_comes_with_its_endpoint(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    const int conn = script_adopt(&s, 1, 10);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    const script_reply reply = {.code = NOT_LEADER, .has_hint = true, .hint = {.node = 5, .epoch = 8}};
    const script_endpoint endpoints[] = {{.node = 4, .port = 1, .host = "x"}, {.node = 5, .port = 9093, .host = "five"}};
    const script_answer answer = {.endpoints = endpoints, .n_endpoints = 2};
    script_answer_with(&s, conn, &r, &reply, &answer);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL);
    CHECK_INT(m->hint.node, 5);
    CHECK_INT(m->hint.epoch, 8);
    CHECK(m->hint_host != NULL && strcmp(m->hint_host, "five") == 0);
    CHECK_INT(m->hint_port, 9093);
    kp_result_release(a);
    script_free(&s);
}

static void test_resume_after_a_delay_drains_an_open_batch(void) {
    kp_config config = script_config();
    config.linger_ns = 5 * MS;
    const int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, INVALID);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 100 * MS, true);
    script_pass(&s, 50 * MS); /* linger is over, the delay is not */
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(s.deadline, s.now + 50 * MS);
    script_pass(&s, 50 * MS);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_definite_failure_restarts_the_rest_under_another_epoch(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r[i]));
    }
    script_answer_code(&s, conn, &r[0], INVALID);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_OUTCOME(results[0], INVALID, KP_NOT_PERSISTED);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true);
    CHECK_INT(script_count_requests(&s, conn), 0); /* two are still in flight under the old epoch */
    script_answer_code(&s, conn, &r[1], OUT_OF_ORDER);
    script_answer_code(&s, conn, &r[2], OUT_OF_ORDER);
    CHECK(script_any_event(&s) == NULL); /* what they say is known already */
    CHECK(script_next(&s, conn, &r[0]));
    CHECK_INT(r[0].slots[0].producer_epoch, 1);
    CHECK_INT(r[0].slots[0].base_sequence, 0);
    CHECK_INT(r[0].slots[0].values[0], r[1].slots[0].values[0]);
    script_answer_code(&s, conn, &r[0], 0);
    CHECK(script_next(&s, conn, &r[0]));
    CHECK_INT(r[0].slots[0].base_sequence, 2);
    script_answer_code(&s, conn, &r[0], 0);
    CHECK_INT(kp_result_state(results[1]), KP_DELIVERED);
    CHECK_INT(kp_result_state(results[2]), KP_DELIVERED);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_wish_for_another_epoch_outlives_a_later_resume(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r[i]));
    }
    script_answer_code(&s, conn, &r[0], INVALID);
    kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, true);
    script_answer_code(&s, conn, &r[1], NOT_LEADER);
    refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, false);
    script_answer_code(&s, conn, &r[2], OUT_OF_ORDER);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_producer(&s, 7, 1);
    CHECK(script_next(&s, conn, &r[0]));
    CHECK_INT(r[0].slots[0].producer_epoch, 1);
    CHECK_INT(r[0].slots[0].base_sequence, 0);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_wish_for_another_epoch_outlives_a_resume_that_came_too_late(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r[i]));
    }
    script_answer_code(&s, conn, &r[0], INVALID);
    const kp_msg first = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_answer_code(&s, conn, &r[1], NOT_LEADER); /* another hold begins before control has spoken */
    const kp_msg second = *script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(second.hold_gen != first.hold_gen);
    script_verdict(&s, &first, KP_FAIL, KP_NOT_PERSISTED);
    script_resume(&s, &first, 0, true);
    script_verdict(&s, &second, KP_RETRY, KP_NOT_PERSISTED);
    script_resume(&s, &second, 0, false);
    script_answer_code(&s, conn, &r[2], OUT_OF_ORDER);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_producer(&s, 7, 1);
    CHECK(script_next(&s, conn, &r[0]));
    CHECK_INT(r[0].slots[0].producer_epoch, 1);
    CHECK_INT(r[0].slots[0].base_sequence, 0);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_batch_that_may_be_in_the_log_is_never_stamped_again(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_end(&s, conn); /* all three are `maybe` */
    conn = script_adopt(&s, 1, 9);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_forget_events(&s);
    script_answer_code(&s, conn, &r, INVALID);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(refused.flag_b);
    CHECK_INT(refused.attempts, 2);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_OUTCOME(results[0], INVALID, KP_MAYBE_PERSISTED); /* the first attempt may have been appended */
    kp_result *fresh = script_batch(&s, 0, 1);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true);
    for (int i = 1; i < BATCHES; i++) {
        CHECK_INT(kp_result_state(results[i]), KP_FAILED);
        CHECK_INT(results[i]->failure.persisted, KP_MAYBE_PERSISTED);
    }
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].producer_epoch, 1);
    CHECK_INT(r.slots[0].base_sequence, 0);
    CHECK_INT(r.slots[0].count, 1);
    kp_result_release(fresh);
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_retry_verdict_marks_what_may_be_in_the_log(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 7); /* REQUEST_TIMED_OUT */
    kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_RETRY, KP_MAYBE_PERSISTED);
    script_resume(&s, &refused, 0, false);
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, OUT_OF_ORDER);
    refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(refused.flag_b);
    script_producer(&s, 7, 1);
    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, true);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(kp_result_state(a), KP_FAILED);
    CHECK_INT(a->failure.persisted, KP_MAYBE_PERSISTED);
    kp_result_release(a);
    script_free(&s);
}

static void test_an_ack_verdict_delivers_without_an_offset(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, DUPLICATE);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_ACK, KP_PERSISTED);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    CHECK_INT(a->base_offset, -1);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED); /* gone: counted and ignored */
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_stale_commands]), 1);
    script_resume(&s, &refused, 0, false);
    kp_result *b = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_a_split_keeps_the_sequences_of_the_whole(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    int listened = 0;
    const kp_listener listener = {.object = &listened};
    kp_result *whole = NULL;
    for (int i = 0; i < 5; i++) {
        kp_result *again = NULL;
        CHECK_INT(script_append(&s, 0, i == 3 ? &listener : NULL, &again), KP_OK);
        if (i == 0) {
            whole = again;
        } else {
            kp_result_release(again);
        }
    }
    const uint32_t ticket = kp_flush_begin(s.core);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].count, 5);
    script_answer_code(&s, conn, &r, TOO_LARGE);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(whole), KP_SPLIT_UP);
    CHECK_INT(whole->n_children, 2);
    CHECK_INT(s.core->pool.used, 0); /* halves use a reserve */
    script_resume(&s, &refused, 0, false);
    const int32_t starts[] = {0, 2}, counts[] = {2, 3};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_AGAIN);
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, starts[i]);
        CHECK_INT(r.slots[0].count, counts[i]);
        CHECK_INT(r.slots[0].values[0], starts[i]);
        const script_reply reply = {.base_offset = 500 + 10 * i, .log_append_ms = -1};
        script_answer_with(&s, conn, &r, &reply, NULL);
    }
    CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_OK);
    kp_flush_end(s.core);
    int32_t index = 4;
    const kp_result *last = kp_result_resolve(whole, &index);
    CHECK_INT(index, 2);
    CHECK_INT(last->base_offset, 510);
    bool stopped;
    kp_result *told = kp_core_take_finished(s.core, 0, &stopped);
    CHECK(told != NULL && told->next == NULL);
    CHECK_INT(told->n_listeners, 1);
    CHECK_INT(told->listeners[0].index, 1);
    CHECK(told->listeners[0].object == &listened);
    kp_result_release(told);
    kp_result_release(whole);
    script_free(&s);
}

static void test_one_record_and_maybe_appended_batches_are_not_split(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    kp_result *one = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, TOO_LARGE);
    kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    CHECK_OUTCOME(one, TOO_LARGE, KP_NOT_PERSISTED);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true);

    kp_result *two = script_batch(&s, 0, 2);
    script_step(&s);
    script_end(&s, conn);
    conn = script_adopt(&s, 1, 9);
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, TOO_LARGE);
    refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    CHECK_OUTCOME(two, TOO_LARGE, KP_MAYBE_PERSISTED);
    kp_result_release(one);
    kp_result_release(two);
    script_free(&s);
}

static void test_guilty_records_fail_and_the_rest_is_sent_again(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *whole = script_batch(&s, 0, 5), *behind = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, INVALID);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    const int32_t guilty[] = {0, 3, 3, 99};
    script_verdict_with(&s, &refused, KP_FAIL, KP_NOT_PERSISTED, guilty, 4);
    CHECK_INT(kp_result_state(whole), KP_SPLIT_UP);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].producer_epoch, 1);
    CHECK_INT(r.slots[0].base_sequence, 0);
    CHECK_INT(r.slots[0].count, 2);
    CHECK_INT(r.slots[0].values[0], 1);
    script_answer_code(&s, conn, &r, 0);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 2);
    CHECK_INT(r.slots[0].values[0], 4);
    script_answer_code(&s, conn, &r, 0);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 3);
    script_answer_code(&s, conn, &r, 0);
    for (int32_t i = 0; i < 5; i++) {
        int32_t index = i;
        kp_result *now = kp_result_resolve(whole, &index);
        CHECK_INT(kp_result_state(now), i == 0 || i == 3 ? KP_FAILED : KP_DELIVERED);
    }
    CHECK_INT(kp_result_state(behind), KP_DELIVERED);
    kp_result_release(whole);
    kp_result_release(behind);
    script_free(&s);
}

static void test_a_left_out_partition_may_be_appended_and_ends_the_connection(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 2);
    kp_result *a = script_batch(&s, 0, 1), *b = script_batch(&s, 1, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    const script_reply replies[] = {{.is_left_out = r.slots[0].partition == 0, .is_twice = true},
                                    {.is_left_out = r.slots[1].partition == 0, .is_twice = true}};
    const script_answer answer = {.strangers = 2};
    script_answer_with(&s, conn, &r, replies, &answer);
    CHECK_INT(kp_result_state(b), KP_DELIVERED);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    CHECK_INT(script_count_requests(&s, conn), 0); /* sending it again at once could go on for ever */
    const kp_msg *m = script_event(&s, KP_EV_CONN_CLOSED);
    CHECK(m != NULL);
    CHECK_INT(m->code, KP_CLOSE_PROTOCOL);
    conn = script_adopt(&s, 1, 9);
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, INVALID);
    m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL && m->flag_b);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

/* --- lost connections --- */

static void test_a_lost_connection_parks_all_and_asks_nothing(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_end(&s, conn);
    const kp_msg *m = script_any_event(&s);
    CHECK(m != NULL);
    CHECK_INT(m->type, KP_EV_CONN_CLOSED);
    CHECK_INT(m->node, 1);
    CHECK_INT(m->conn_gen, 1);
    CHECK_INT(m->code, KP_CLOSE_PEER);
    CHECK_INT(m->count, 3);
    m = script_any_event(&s);
    CHECK(m != NULL);
    CHECK_INT(m->type, KP_EV_CONN_WANTED);
    CHECK(script_any_event(&s) == NULL);
    conn = script_adopt(&s, 1, 9);
    script_request r;
    const int32_t sequences[] = {1, 2, 4};
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, sequences[i]);
        script_answer_code(&s, conn, &r, 0);
        CHECK_INT(kp_result_state(results[i]), KP_DELIVERED);
    }
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_a_half_written_batch_is_not_maybe(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    s.conns[conn].send_room = 40;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(s.conns[conn].out.len, 40);
    script_end(&s, conn);
    conn = script_adopt(&s, 1, 9);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, INVALID);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL && !m->flag_b);
    const kp_msg refused = *m;
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_OUTCOME(a, INVALID, KP_NOT_PERSISTED);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_request_timeout_closes_and_parks(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(s.deadline, s.now + 30LL * SECOND);
    script_pass(&s, 30LL * SECOND - 1);
    CHECK(!s.conns[conn].is_closed);
    script_pass(&s, 1);
    CHECK(s.conns[conn].is_closed);
    const kp_msg *m = script_event(&s, KP_EV_CONN_CLOSED);
    CHECK(m != NULL);
    CHECK_INT(m->code, KP_CLOSE_TIMEOUT);
    CHECK(script_event(&s, KP_EV_CONN_WANTED) != NULL);
    conn = script_adopt(&s, 1, 9);
    CHECK_INT(script_count_requests(&s, conn), 1);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    kp_result_release(a);
    script_free(&s);
}

static void test_beyond_retries_the_pump_asks(void) {
    kp_config config = script_config();
    config.retries = 1;
    int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_end(&s, conn);
    CHECK(script_event(&s, KP_EV_BATCH_REFUSED) == NULL);
    conn = script_adopt(&s, 1, 9);
    CHECK_INT(script_count_requests(&s, conn), 1);
    script_end(&s, conn);
    const kp_msg *m = script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(m != NULL && m->flag_a && m->flag_b);
    CHECK_INT(m->code, NETWORK);
    CHECK_INT(m->attempts, 2);
    const kp_msg refused = *m;
    script_verdict(&s, &refused, KP_FAIL, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(a, NETWORK, KP_MAYBE_PERSISTED);
    CHECK_INT(a->failure.attempts, 2);
    CHECK_INT(a->failure.node, 1);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_failing_send_closes_the_connection(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    s.conns[conn].is_broken = true;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK(s.conns[conn].is_closed);
    CHECK(script_event(&s, KP_EV_CONN_CLOSED) != NULL);
    CHECK(script_event(&s, KP_EV_CONN_WANTED) != NULL);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    kp_result_release(a);
    script_free(&s);
}

/* --- expiry --- */

static void test_a_queued_batch_expires_as_not_persisted(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    script_lead(&s, 1, -1, 0);
    kp_result *sealed = script_batch(&s, 0, 1), *open = NULL;
    CHECK_INT(script_append(&s, 0, NULL, &open), KP_OK);
    script_step(&s);
    script_forget_events(&s);
    CHECK_INT(s.deadline, s.now + 120LL * SECOND);
    script_pass(&s, 120LL * SECOND - 1);
    CHECK_INT(kp_result_state(sealed), KP_PENDING);
    script_pass(&s, 1);
    CHECK_OUTCOME(sealed, KP_CODE_EXPIRED, KP_NOT_PERSISTED);
    CHECK_OUTCOME(open, KP_CODE_EXPIRED, KP_NOT_PERSISTED);
    CHECK_INT(open->failure.elapsed_ns, 120LL * SECOND);
    const kp_msg *m = script_event(&s, KP_EV_EXPIRED);
    CHECK(m != NULL && !m->flag_a);
    CHECK_INT(m->count, 2);
    CHECK_INT(s.core->pool.used, 0);
    kp_result_release(sealed);
    kp_result_release(open);
    script_free(&s);
}

static kp_config slow_broker_config(void) {
    kp_config config = script_config();
    config.delivery_timeout_ns = 10LL * SECOND;
    return config;
}

static void test_an_expired_batch_in_flight_keeps_its_bytes_until_the_answer(void) {
    const kp_config config = slow_broker_config();
    const int conn = script_begin(&s, &config, 1);
    s.conns[conn].send_room = 30;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK(s.core->pool.used > 0);
    kp_result *b = script_batch(&s, 0, 1);
    s.conns[conn].send_room = -1;
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r)); /* the script checks the CRC of the rest */
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_answer_code(&s, conn, &r, 0); /* late success: the sequence has it, the future has not */
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_late_acks]), 1);
    CHECK_INT(kp_result_state(a), KP_FAILED);
    CHECK(script_event(&s, KP_EV_PARTITION_QUIET) == NULL);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 1);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(b), KP_DELIVERED);
    CHECK_INT(s.core->pool.used, 0);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_an_unresolved_expiry_asks_for_another_epoch_when_quiet(void) {
    const kp_config config = slow_broker_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    kp_result *b = script_batch(&s, 0, 1);
    script_forget_events(&s);
    script_end(&s, conn);
    conn = script_adopt(&s, 1, 9);
    CHECK_INT(script_count_requests(&s, conn), 0);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL && m->flag_a);
    CHECK_INT(m->offset, 0); /* last acked */
    const kp_msg quiet = *m;
    script_producer(&s, 7, 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_resume(&s, &quiet, 0, true);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].producer_epoch, 1);
    CHECK_INT(r.slots[0].base_sequence, 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(b), KP_DELIVERED);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_a_later_ack_resolves_an_expired_batch(void) {
    const kp_config config = slow_broker_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_pass(&s, 5LL * SECOND);
    kp_result *b = script_batch(&s, 0, 1);
    script_step(&s);
    script_end(&s, conn);
    script_pass(&s, 5LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK_INT(kp_result_state(b), KP_PENDING);
    kp_result *c = script_batch(&s, 0, 1);
    conn = script_adopt(&s, 1, 9);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 2);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(b), KP_DELIVERED);
    CHECK(script_event(&s, KP_EV_PARTITION_QUIET) == NULL);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 3);
    kp_result_release(a);
    kp_result_release(b);
    kp_result_release(c);
    script_free(&s);
}

static void test_an_acked_batch_does_not_wait_for_one_that_expired_in_flight(void) {
    const kp_config config = slow_broker_config();
    const int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_pass(&s, 5LL * SECOND);
    kp_result *b = script_batch(&s, 0, 1);
    script_step(&s);
    script_request first, second;
    CHECK(script_next(&s, conn, &first) && script_next(&s, conn, &second));
    script_answer_code(&s, conn, &first, 7);
    script_answer_code(&s, conn, &second, 0);
    const kp_msg *refused = script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, refused, KP_RETRY, KP_MAYBE_PERSISTED);
    script_resume(&s, refused, 0, false);
    script_step(&s);
    CHECK(script_next(&s, conn, &first)); /* the first again; its answer never comes */
    CHECK_INT(kp_result_state(b), KP_PENDING);
    script_pass(&s, 5LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK_INT(kp_result_state(b), KP_DELIVERED);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_an_asked_batch_that_expires_may_be_in_the_log(void) {
    const kp_config config = slow_broker_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 7);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED); /* nobody has said what code 7 means */
    CHECK_INT(s.core->pool.used, 0);
    script_verdict(&s, &refused, KP_RETRY, KP_MAYBE_PERSISTED);
    script_resume(&s, &refused, 0, false);
    CHECK(script_event(&s, KP_EV_PARTITION_QUIET) != NULL);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_timeout_of_the_future_does_not_lose_later_batches(void) {
    const kp_config config = slow_broker_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_end(&s, conn);
    script_pass(&s, 10LL * SECOND);
    for (int i = 0; i < BATCHES; i++) {
        CHECK_OUTCOME(results[i], KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    }
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL);
    CHECK_INT(s.core->pool.used, 0);
    release_all(results, BATCHES);
    script_free(&s);
}

/* --- connections --- */

static void test_a_newer_connection_lets_the_older_one_drain(void) {
    const kp_config config = script_config();
    const int old = script_begin(&s, &config, 2);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    const int new = script_adopt(&s, 1, 9);
    CHECK(!s.conns[old].is_closed);
    kp_result *b = script_batch(&s, 0, 1), *c = script_batch(&s, 1, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, new, &r));
    CHECK_INT(r.n_slots, 1);
    CHECK_INT(r.slots[0].partition, 1); /* partition 0 waits for its answer on the old one */
    CHECK(script_next(&s, old, &r));
    script_answer_code(&s, old, &r, 0);
    CHECK(s.conns[old].is_closed);
    const kp_msg *m = script_event(&s, KP_EV_CONN_CLOSED);
    CHECK(m != NULL);
    CHECK_INT(m->code, KP_CLOSE_DRAINED);
    CHECK_INT(m->count, 0);
    CHECK(script_next(&s, new, &r));
    CHECK_INT(r.slots[0].partition, 0);
    CHECK(script_event(&s, KP_EV_CONN_WANTED) == NULL);
    const int newest = script_adopt(&s, 1, 9); /* `new` has two in flight */
    CHECK(!s.conns[new].is_closed && !s.conns[newest].is_closed);
    kp_result_release(a);
    kp_result_release(b);
    kp_result_release(c);
    script_free(&s);
}

static void test_an_idle_older_connection_closes_at_once(void) {
    const kp_config config = script_config();
    const int old = script_begin(&s, &config, 1);
    (void)script_adopt(&s, 1, 9);
    CHECK(s.conns[old].is_closed);
    script_free(&s);
}

static void test_drop_closes_now_or_after_the_last_answer(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_drop(&s, conn, true);
    CHECK(!s.conns[conn].is_closed);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    CHECK(s.conns[conn].is_closed);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    conn = script_adopt(&s, 1, 9);
    kp_result *b = script_batch(&s, 0, 1);
    script_step(&s);
    script_drop(&s, conn, false);
    CHECK(s.conns[conn].is_closed);
    script_drop(&s, conn, false); /* gone: ignored */
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_stale_commands]), 1);
    conn = script_adopt(&s, 1, 9);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_an_idle_connection_is_closed(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    script_pass(&s, 540LL * SECOND - 1);
    CHECK(!s.conns[conn].is_closed);
    script_pass(&s, 1);
    CHECK(s.conns[conn].is_closed);
    const kp_msg *m = script_event(&s, KP_EV_CONN_CLOSED);
    CHECK(m != NULL);
    CHECK_INT(m->code, KP_CLOSE_IDLE);
    CHECK(script_any_event(&s) == NULL); /* nothing to send: nothing wanted */
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK(script_event(&s, KP_EV_CONN_WANTED) != NULL);
    kp_result_release(a);
    script_free(&s);
}

static void test_throttle_is_obeyed_at_once_and_ends(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    kp_result *a = script_batch(&s, 0, 1), *b = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    const script_reply reply = {.log_append_ms = -1};
    const script_answer answer = {.throttle_ms = 300};
    script_answer_with(&s, conn, &r, &reply, &answer);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    CHECK_INT(script_count_requests(&s, conn), 0);
    const kp_msg *m = script_event(&s, KP_EV_THROTTLED);
    CHECK(m != NULL);
    CHECK_INT(m->count, 300);
    CHECK_INT(s.deadline, s.now + 300 * MS);
    script_pass(&s, 300 * MS);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void feed_length(int conn, uint32_t len) {
    uint8_t raw[4];
    kp_put_be32(raw, len);
    script_feed(&s, conn, raw, sizeof raw);
    script_step(&s);
}

static void test_impossible_frame_lengths_close_without_memory(void) {
    const kp_config config = script_config();
    const uint32_t lengths[] = {0, 3, 64 * 1024 + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < KP_ARRAY_LEN(lengths); i++) {
        const int conn = script_begin(&s, &config, 1);
        kp_result *a = script_batch(&s, 0, 1);
        script_step(&s);
        feed_length(conn, lengths[i]);
        CHECK(s.conns[conn].is_closed);
        const kp_msg *m = script_event(&s, KP_EV_CONN_CLOSED);
        CHECK(m != NULL);
        CHECK_INT(m->code, KP_CLOSE_PROTOCOL);
        CHECK_INT(m->count, 1);
        CHECK_INT(kp_result_state(a), KP_PENDING); /* and it will be sent again */
        kp_result_release(a);
        script_free(&s);
    }
}

static void test_a_promised_length_allocates_nothing(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    feed_length(conn, 64 * 1024);
    const kp_conn *c = KP_OWNER(kp_list_first(&s.pump->conns), kp_conn, link);
    CHECK(c->rx_cap <= 4096);
    CHECK(!s.conns[conn].is_closed);
    script_free(&s);
}

static void test_unasked_and_garbage_answers_close_the_connection(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    const uint8_t unasked[] = {0, 0, 0, 4, 0, 0, 0, 0};
    script_feed(&s, conn, unasked, sizeof unasked);
    script_step(&s);
    CHECK(s.conns[conn].is_closed);
    conn = script_adopt(&s, 1, 9);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    uint8_t garbage[64];
    memset(garbage, 0xff, sizeof garbage);
    memcpy(garbage, (const uint8_t[]){0, 0, 0, 60, 0, 0, 0, 0}, 8);
    script_feed(&s, conn, garbage, sizeof garbage);
    script_step(&s);
    CHECK(s.conns[conn].is_closed);
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_protocol_errors]), 2);
    conn = script_adopt(&s, 1, 9);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    kp_result_release(a);
    script_free(&s);
}

static void test_an_answer_before_the_request_is_written_is_refused(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    s.conns[conn].send_room = 10;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    const script_request r = {.version = 9, .n_slots = 1, .slots = {{.topic = "topic"}}};
    script_answer_code(&s, conn, &r, 0);
    CHECK(s.conns[conn].is_closed);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    kp_result_release(a);
    script_free(&s);
}

static void test_answers_arrive_in_any_pieces(void) {
    const kp_config config = script_config();
    for (size_t piece = 1; piece < 60; piece++) {
        const int conn = script_begin(&s, &config, 1);
        open_gate(conn, 0);
        s.conns[conn].recv_max = piece;
        kp_result *a = script_batch(&s, 0, 1), *b = script_batch(&s, 0, 1);
        script_step(&s);
        script_request r[2];
        CHECK(script_next(&s, conn, &r[0]) && script_next(&s, conn, &r[1]));
        script_answer_code(&s, conn, &r[0], 0);
        script_answer_code(&s, conn, &r[1], 0);
        CHECK_INT(kp_result_state(a), KP_DELIVERED);
        CHECK_INT(kp_result_state(b), KP_DELIVERED);
        kp_result_release(a);
        kp_result_release(b);
        script_free(&s);
    }
}

/* Cut after `cut` bytes, then one byte alone, then the rest; false: the whole request is shorter. */
static bool write_in_pieces(int64_t cut) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    s.conns[conn].send_room = cut;
    kp_result *a = script_batch(&s, 0, 2), *b = script_batch(&s, 1, 1);
    script_step(&s);
    const bool was_cut = s.conns[conn].send_room == 0;
    s.conns[conn].send_room = 1;
    script_step(&s);
    s.conns[conn].send_room = -1;
    script_step(&s);
    script_request r = {.n_slots = -1};
    const bool is_whole = script_next(&s, conn, &r) && r.n_slots == 2;
    script_answer_code(&s, conn, &r, 0);
    const bool is_acked = kp_result_state(a) == KP_DELIVERED && kp_result_state(b) == KP_DELIVERED;
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
    if (!is_whole || !is_acked) {
        kp_test_fail(__FILE__, __LINE__, "a request in pieces is the same request");
    }
    return was_cut;
}

static void test_a_request_is_written_in_any_pieces(void) {
    int64_t cut = 1;
    while (write_in_pieces(cut)) {
        cut++;
    }
    CHECK(cut > 200);
}

/* --- topics --- */

static void test_a_new_topic_id_restarts_the_sequences(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    const int conn = script_adopt(&s, 1, 13);
    uint8_t id[16] = {1};
    const kp_leader leader = {.node = 1, .epoch = 0};
    script_topic(&s, s.topic, 1, &leader, id);
    open_gate(conn, 0);
    id[0] = 2;
    script_topic(&s, s.topic, 1, &leader, id);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL);
    const kp_msg quiet = *m;
    script_producer(&s, 7, 1);
    script_resume(&s, &quiet, 0, true);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.version, 13);
    CHECK_INT(r.slots[0].topic_id[0], 2);
    CHECK_INT(r.slots[0].producer_epoch, 1);
    CHECK_INT(r.slots[0].base_sequence, 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_topic_without_an_id_is_named_by_version_12(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    const int conn = script_adopt(&s, 1, 13);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.version, 12);
    CHECK(strcmp(r.slots[0].topic, "topic") == 0);
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_topic_error_reaches_those_who_wait(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    kp_topic *other = kp_core_topic(s.core, "other", 5);
    CHECK(kp_core_topic(s.core, "other", 5) == other);
    CHECK_INT(kp_topic_wait(other, 0, other->error_gen, 0), KP_AGAIN);
    const uint64_t gen = other->error_gen;
    kp_msg *m = kp_msg_new(KP_CMD_TOPIC_ERROR);
    m->topic = other;
    m->code = 29;
    m->message = kp_strdup("denied", 6);
    kp_core_command(s.core, m);
    script_step(&s);
    CHECK_INT(kp_topic_wait(other, 0, gen, 0), KP_ERR_IO);
    CHECK_INT(other->error, 29);
    CHECK(strcmp(other->error_message, "denied") == 0);
    const kp_leader leaders[] = {{.node = 1, .epoch = 0}, {.node = 2, .epoch = 0}};
    script_topic(&s, other, 1, leaders, NULL);
    CHECK_INT(kp_topic_wait(other, 0, gen, 0), KP_OK);
    CHECK_INT(kp_topic_wait(other, 1, other->error_gen, 0), KP_AGAIN);
    script_topic(&s, other, 2, leaders, NULL);
    CHECK_INT(kp_topic_wait(other, 1, other->error_gen, 0), KP_OK);
    CHECK_INT(kp_topic_table(other)->items[1]->leader, 2);
    script_free(&s);
}

static void test_fail_partition_fails_only_what_was_never_sequenced(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 2);
    kp_result *sent = script_batch(&s, 0, 1);
    script_step(&s);
    kp_result *queued = script_batch(&s, 0, 1), *open = NULL, *other = script_batch(&s, 1, 1);
    CHECK_INT(script_append(&s, 0, NULL, &open), KP_OK);
    script_fail_partition(&s, 0, 29);
    CHECK_INT(kp_result_state(sent), KP_PENDING);
    CHECK_OUTCOME(queued, 29, KP_NOT_PERSISTED);
    CHECK_OUTCOME(open, 29, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(other), KP_PENDING);
    script_fail_partition(&s, 7, 29); /* unknown: nothing happens */
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_state(sent), KP_DELIVERED);
    kp_result_release(sent);
    kp_result_release(queued);
    kp_result_release(open);
    kp_result_release(other);
    script_free(&s);
}

/* --- acks=0 and no idempotence --- */

static void test_acks_0_settles_with_the_last_byte(void) {
    kp_config config = script_config();
    config.acks = 0;
    config.idempotent = false;
    const int conn = script_begin(&s, &config, 1);
    s.conns[conn].send_room = 20;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    s.conns[conn].send_room = -1;
    script_step(&s);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    CHECK_INT(a->base_offset, -1);
    CHECK_INT(s.core->pool.used, 0);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.acks, 0);
    CHECK_INT(r.slots[0].producer_id, -1);
    CHECK_INT(r.slots[0].base_sequence, -1);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_draining_acks_0_connection_closes_after_its_last_byte(void) {
    kp_config config = script_config();
    config.acks = 0;
    config.idempotent = false;
    const int conn = script_begin(&s, &config, 1);
    s.conns[conn].send_room = 20;
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    (void)script_adopt(&s, 1, 9);
    CHECK(!s.conns[conn].is_closed);
    s.conns[conn].send_room = -1;
    script_step(&s);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    CHECK(s.conns[conn].is_closed);
    kp_result_release(a);
    script_free(&s);
}

static void test_without_idempotence_batches_carry_no_sequence(void) {
    kp_config config = script_config();
    config.idempotent = false;
    config.max_in_flight = 2;
    int conn = script_begin(&s, &config, 1);
    kp_result *results[BATCHES];
    three_batches(results, 0);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(script_count_requests(&s, conn), 1);
    script_end(&s, conn);
    conn = script_adopt(&s, 1, 9);
    for (int i = 0; i < BATCHES; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, -1);
        CHECK_INT(r.slots[0].count, i + 1);
        script_answer_code(&s, conn, &r, 0);
        CHECK_INT(kp_result_state(results[i]), KP_DELIVERED);
    }
    release_all(results, BATCHES);
    script_free(&s);
}

static void test_without_idempotence_a_failure_needs_no_epoch(void) {
    kp_config config = script_config();
    config.idempotent = false;
    config.delivery_timeout_ns = 10LL * SECOND;
    int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 2);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, TOO_LARGE);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, true);
    for (int i = 0; i < 2; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, -1);
        CHECK_INT(r.slots[0].count, 1);
        script_answer_code(&s, conn, &r, 0);
    }
    kp_result *b = script_batch(&s, 0, 1);
    script_step(&s);
    script_end(&s, conn);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(b, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK(script_event(&s, KP_EV_PARTITION_QUIET) == NULL);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

/* --- the end --- */

static void test_fail_all_settles_everything_with_its_own_truth(void) {
    for (int fatal = 0; fatal < 2; fatal++) {
        const kp_config config = script_config();
        const int conn = script_begin(&s, &config, 2);
        open_gate(conn, 0);
        kp_result *sent = script_batch(&s, 0, 1);
        script_step(&s);
        script_lead(&s, 2, -1, 0);
        kp_result *queued = script_batch(&s, 1, 1), *open = NULL;
        CHECK_INT(script_append(&s, 1, NULL, &open), KP_OK);
        const uint32_t ticket = kp_flush_begin(s.core);
        script_fail_all(&s, fatal == 1, KP_NOT_PERSISTED);
        CHECK_OUTCOME(sent, 31, KP_MAYBE_PERSISTED);
        CHECK_OUTCOME(queued, 31, KP_NOT_PERSISTED);
        CHECK_OUTCOME(open, 31, KP_NOT_PERSISTED);
        CHECK(s.conns[conn].is_closed);
        CHECK_INT(s.core->pool.used, 0);
        CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_OK);
        kp_flush_end(s.core);
        CHECK_INT(kp_core_life(s.core), fatal == 1 ? KP_FATAL : KP_OPEN);
        CHECK_INT(script_append(&s, 0, NULL, NULL), fatal == 1 ? KP_ERR_CLOSED : KP_OK);
        if (fatal == 1) {
            CHECK_INT(s.core->fatal.code, 31);
            CHECK(strcmp(s.core->fatal.message, "no") == 0);
        }
        kp_result_release(sent);
        kp_result_release(queued);
        kp_result_release(open);
        script_free(&s);
    }
}

static void test_after_a_fail_all_the_hole_in_the_sequence_is_known(void) {
    const kp_config config = script_config();
    int conn = script_begin(&s, &config, 1);
    open_gate(conn, 0);
    kp_result *sent = script_batch(&s, 0, 1);
    script_step(&s);
    script_fail_all(&s, false, KP_NOT_PERSISTED);
    conn = script_adopt(&s, 1, 9);
    kp_result *next = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    CHECK(m != NULL);
    const kp_msg quiet = *m;
    script_producer(&s, 7, 1);
    script_resume(&s, &quiet, 0, true);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].producer_epoch, 1);
    kp_result_release(sent);
    kp_result_release(next);
    script_free(&s);
}

static void test_stop_settles_the_rest_and_closes_queued_adoptions(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *sent = script_batch(&s, 0, 1);
    script_step(&s);
    kp_result *queued = script_batch(&s, 0, 1);
    kp_core_command(s.core, kp_msg_new(KP_CMD_STOP));
    const int late = script_adopt(&s, 1, 9);
    CHECK(s.conns[conn].is_closed && s.conns[late].is_closed);
    CHECK_OUTCOME(sent, KP_CODE_CLOSED, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(queued, KP_CODE_CLOSED, KP_NOT_PERSISTED);
    const kp_msg *m = script_event(&s, KP_EV_STOPPED);
    CHECK(m != NULL);
    CHECK_INT(m->count, 2);
    CHECK(s.pump->is_stopped);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_CLOSED);
    CHECK_INT(kp_core_life(s.core), KP_CLOSED);
    kp_result_release(sent);
    kp_result_release(queued);
    script_free(&s);
}

static void test_an_unknown_command_is_fatal_and_told(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    kp_core_command(s.core, kp_msg_new((kp_msg_type)999));
    script_step(&s);
    const kp_msg *m = script_event(&s, KP_EV_PUMP_FATAL);
    CHECK(m != NULL && m->message != NULL);
    CHECK_INT(kp_core_life(s.core), KP_FATAL);
    CHECK_OUTCOME(a, KP_CODE_INTERNAL, KP_MAYBE_PERSISTED);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_pump_without_anything_to_do_sleeps_for_ever(void) {
    const kp_config config = script_config();
    script_init(&s, &config);
    script_step(&s);
    CHECK_INT(s.deadline, KP_NEVER);
    script_free(&s);
}

static void test_requests_stay_within_max_request_size(void) {
    kp_config config = script_config();
    config.max_request_size = 290;
    int conn = script_begin(&s, &config, 4);
    kp_result *results[4];
    for (int32_t i = 0; i < 4; i++) {
        results[i] = script_batch(&s, i, 8); /* 61 + 8 * 12 bytes or so: one fits, two do not */
    }
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 4);
    script_end(&s, conn);
    conn = script_adopt(&s, 1, 9); /* the same holds for what is sent again */
    script_request r;
    for (int i = 0; i < 4; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.n_slots, 1);
    }
    release_all(results, 4);
    script_free(&s);
}

static void test_small_full_batches_gather_for_a_moment_behind_a_request(void) {
    kp_config config = script_config();
    config.batch_size = 512;
    const int conn = script_begin(&s, &config, 3);
    open_gate(conn, 0);
    kp_result *results[BATCHES];
    for (int32_t i = 0; i < BATCHES; i++) {
        results[i] = script_batch(&s, i, 1);
        kp_core_mark_dirty(s.core, script_partition(&s, i));
        script_step(&s);
    }
    CHECK_INT(script_count_requests(&s, conn), 1);
    CHECK_INT(s.deadline, s.now + MS);
    script_pass(&s, MS);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 2);
    release_all(results, BATCHES);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_a_record_is_sent_and_acked),
    KP_TEST(test_linger_holds_a_batch_back_until_it_is_over),
    KP_TEST(test_a_flush_makes_every_open_batch_ready),
    KP_TEST(test_somebody_waiting_for_memory_makes_batches_ready),
    KP_TEST(test_an_unknown_leader_asks_for_metadata_once),
    KP_TEST(test_nothing_leaves_before_the_first_producer_id),
    KP_TEST(test_one_in_flight_until_the_leader_has_acked),
    KP_TEST(test_at_most_five_in_flight),
    KP_TEST(test_a_new_leader_waits_for_the_old_leaders_answers),
    KP_TEST(test_a_partition_that_may_not_send_does_not_stop_the_others),
    KP_TEST(test_a_refusal_holds_the_partition_until_resume),
    KP_TEST(test_a_leader_hint_comes_with_its_endpoint),
    KP_TEST(test_resume_after_a_delay_drains_an_open_batch),
    KP_TEST(test_a_definite_failure_restarts_the_rest_under_another_epoch),
    KP_TEST(test_a_wish_for_another_epoch_outlives_a_later_resume),
    KP_TEST(test_a_wish_for_another_epoch_outlives_a_resume_that_came_too_late),
    KP_TEST(test_a_batch_that_may_be_in_the_log_is_never_stamped_again),
    KP_TEST(test_a_retry_verdict_marks_what_may_be_in_the_log),
    KP_TEST(test_an_ack_verdict_delivers_without_an_offset),
    KP_TEST(test_a_split_keeps_the_sequences_of_the_whole),
    KP_TEST(test_one_record_and_maybe_appended_batches_are_not_split),
    KP_TEST(test_guilty_records_fail_and_the_rest_is_sent_again),
    KP_TEST(test_a_left_out_partition_may_be_appended_and_ends_the_connection),
    KP_TEST(test_a_lost_connection_parks_all_and_asks_nothing),
    KP_TEST(test_a_half_written_batch_is_not_maybe),
    KP_TEST(test_a_request_timeout_closes_and_parks),
    KP_TEST(test_beyond_retries_the_pump_asks),
    KP_TEST(test_a_failing_send_closes_the_connection),
    KP_TEST(test_a_queued_batch_expires_as_not_persisted),
    KP_TEST(test_an_expired_batch_in_flight_keeps_its_bytes_until_the_answer),
    KP_TEST(test_an_unresolved_expiry_asks_for_another_epoch_when_quiet),
    KP_TEST(test_a_later_ack_resolves_an_expired_batch),
    KP_TEST(test_an_acked_batch_does_not_wait_for_one_that_expired_in_flight),
    KP_TEST(test_an_asked_batch_that_expires_may_be_in_the_log),
    KP_TEST(test_a_timeout_of_the_future_does_not_lose_later_batches),
    KP_TEST(test_a_newer_connection_lets_the_older_one_drain),
    KP_TEST(test_an_idle_older_connection_closes_at_once),
    KP_TEST(test_drop_closes_now_or_after_the_last_answer),
    KP_TEST(test_an_idle_connection_is_closed),
    KP_TEST(test_throttle_is_obeyed_at_once_and_ends),
    KP_TEST(test_impossible_frame_lengths_close_without_memory),
    KP_TEST(test_a_promised_length_allocates_nothing),
    KP_TEST(test_unasked_and_garbage_answers_close_the_connection),
    KP_TEST(test_an_answer_before_the_request_is_written_is_refused),
    KP_TEST(test_answers_arrive_in_any_pieces),
    KP_TEST(test_a_request_is_written_in_any_pieces),
    KP_TEST(test_a_new_topic_id_restarts_the_sequences),
    KP_TEST(test_a_topic_without_an_id_is_named_by_version_12),
    KP_TEST(test_a_topic_error_reaches_those_who_wait),
    KP_TEST(test_fail_partition_fails_only_what_was_never_sequenced),
    KP_TEST(test_acks_0_settles_with_the_last_byte),
    KP_TEST(test_a_draining_acks_0_connection_closes_after_its_last_byte),
    KP_TEST(test_without_idempotence_batches_carry_no_sequence),
    KP_TEST(test_without_idempotence_a_failure_needs_no_epoch),
    KP_TEST(test_fail_all_settles_everything_with_its_own_truth),
    KP_TEST(test_after_a_fail_all_the_hole_in_the_sequence_is_known),
    KP_TEST(test_stop_settles_the_rest_and_closes_queued_adoptions),
    KP_TEST(test_an_unknown_command_is_fatal_and_told),
    KP_TEST(test_a_pump_without_anything_to_do_sleeps_for_ever),
    KP_TEST(test_requests_stay_within_max_request_size),
    KP_TEST(test_small_full_batches_gather_for_a_moment_behind_a_request),
};

KP_TEST_MAIN(tests)
