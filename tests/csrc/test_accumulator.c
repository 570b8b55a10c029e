/* The app's side: appends, flush tickets, results, listeners, failures that nobody heard of. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

static script s;

static kp_config small_config(void) {
    kp_config config = script_config();
    config.batch_size = 512;
    config.buffer_memory = 2048;
    config.linger_ns = 3600LL * SECOND;
    return config;
}

static kp_status append(int32_t partition, const char *key, size_t value_len, kp_place *place) {
    static const uint8_t value[4096] = {0};
    kp_record r = {.key = (const uint8_t *)key, .key_len = key == NULL ? -1 : (int64_t)strlen(key), .value = value,
                         .value_len = (int64_t)value_len, .timestamp_ms = 1};
    const kp_append_options o = {.partition = partition};
    size_t needed = 0;
    return kp_append(s.topic, &r, &o, place, &needed);
}

static void test_a_full_batch_is_sealed_and_memory_ends(void) {
    const kp_config config = small_config();
    (void)script_begin(&s, &config, 1);
    kp_place place;
    kp_status status = KP_OK;
    int n = 0;
    while (status == KP_OK) {
        status = append(0, NULL, 90, &place);
        n += status == KP_OK ? 1 : 0;
    }
    CHECK_INT(status, KP_FULL);
    CHECK_INT(n, 16); /* four of each slab */
    CHECK_INT(kp_pool_available(&s.core->pool), 0);
    script_request r;
    const int conn = 0;
    const uint32_t ticket = kp_flush_begin(s.core); /* the last, open one is ready, too */
    script_step(&s);
    for (int i = 0; i < 4; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].count, 4);
        script_answer_code(&s, conn, &r, 0);
    }
    CHECK_INT(kp_flush_wait(s.core, ticket, 0), KP_OK);
    kp_flush_end(s.core);
    CHECK_INT(kp_pool_available(&s.core->pool), 2048);
    script_free(&s);
}

static void test_records_that_can_never_fit_are_refused(void) {
    kp_config config = small_config();
    (void)script_begin(&s, &config, 1);
    kp_place place;
    CHECK_INT(append(0, NULL, 1900, &place), KP_OK); /* larger than a slab, within buffer.memory */
    CHECK_INT(append(0, NULL, 2048, &place), KP_ERR_TOO_LARGE);
    script_free(&s);
    config.max_request_size = 200;
    (void)script_begin(&s, &config, 1);
    CHECK_INT(append(0, NULL, 200, &place), KP_ERR_TOO_LARGE);
    CHECK_INT(append(0, NULL, 80, &place), KP_OK);
    script_free(&s);
}

static void test_memory_of_a_wait_is_used_for_the_next_batch(void) {
    const kp_config config = small_config();
    (void)script_begin(&s, &config, 1);
    kp_chunk spare;
    CHECK_INT(kp_pool_take(&s.core->pool, 2048, &spare), KP_OK);
    static const uint8_t value[100] = {0};
    kp_record r = {.key_len = -1, .value = value, .value_len = 100, .timestamp_ms = 1};
    kp_append_options o = {.partition = 0};
    kp_place place;
    size_t needed = 0;
    CHECK_INT(kp_append(s.topic, &r, &o, &place, &needed), KP_FULL);
    CHECK(needed > 100 + KP_BATCH_HEADER && needed < 200);
    o.spare = &spare;
    CHECK_INT(kp_append(s.topic, &r, &o, &place, &needed), KP_OK);
    CHECK(spare.data == NULL);
    script_free(&s);
}

static void test_a_flush_waits_for_what_came_before_it_only(void) {
    kp_config config = script_config();
    config.linger_ns = 3600LL * SECOND;
    const int conn = script_begin(&s, &config, 2);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    const uint32_t first = kp_flush_begin(s.core);
    CHECK_INT(script_append(&s, 1, NULL, NULL), KP_OK);
    const uint32_t second = kp_flush_begin(s.core);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(kp_flush_wait(s.core, first, 0), KP_AGAIN);
    const int32_t slot = r.slots[0].partition == 0 ? 0 : 1;
    script_reply replies[SCRIPT_SLOTS] = {{.log_append_ms = -1}, {.log_append_ms = -1}};
    replies[1 - slot].code = 6;
    script_answer_with(&s, conn, &r, replies, NULL);
    CHECK_INT(kp_flush_wait(s.core, first, 0), KP_OK);
    CHECK_INT(kp_flush_wait(s.core, second, 0), KP_AGAIN);
    script_stop(&s);
    CHECK_INT(kp_flush_wait(s.core, second, 0), KP_OK);
    kp_flush_end(s.core);
    kp_flush_end(s.core);
    script_free(&s);
}

static void test_more_flushes_than_counters_still_wait_rightly(void) {
    kp_config config = script_config();
    config.batch_size = 512;
    config.linger_ns = 3600LL * SECOND;
    (void)script_begin(&s, &config, 1);
    kp_result *kept = script_batch(&s, 0, 1);
    uint32_t tickets[3 * KP_FLUSH_GENS];
    for (size_t i = 0; i < KP_ARRAY_LEN(tickets); i++) {
        tickets[i] = kp_flush_begin(s.core);
        kp_result_release(script_batch(&s, 0, 1));
        CHECK_INT(kp_flush_wait(s.core, tickets[i], 0), KP_AGAIN);
    }
    script_stop(&s);
    for (size_t i = 0; i < KP_ARRAY_LEN(tickets); i++) {
        CHECK_INT(kp_flush_wait(s.core, tickets[i], 0), KP_OK);
        kp_flush_end(s.core);
    }
    CHECK_INT(kp_flush_wait(s.core, kp_flush_begin(s.core), 0), KP_OK);
    kp_flush_end(s.core);
    kp_result_release(kept);
    script_free(&s);
}

static void test_listeners_are_told_once_in_order_and_late_ones_too(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    int who[4];
    kp_result *result = NULL;
    for (int i = 0; i < 3; i++) {
        const kp_listener l = {.object = &who[i], .index = 99, .value_size = i};
        kp_result *again = NULL;
        CHECK_INT(script_append(&s, 0, i == 1 ? NULL : &l, &again), KP_OK);
        if (result == NULL) {
            result = again;
        } else {
            kp_result_release(again);
        }
    }
    const kp_listener late = {.object = &who[3], .index = 1};
    CHECK_INT(kp_result_listen(s.core, result, &late), KP_OK);
    CHECK_INT(kp_result_wait(s.core, result, 0, 0), KP_AGAIN);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    CHECK_INT(kp_result_wait(s.core, result, 2, 0), KP_OK);
    CHECK_INT(kp_result_listen(s.core, result, &late), KP_FULL);
    CHECK_INT(kp_core_finished_ticket(s.core), 1);
    CHECK_INT(kp_core_wait_delivered(s.core, 1, 0), KP_AGAIN);
    bool stopped;
    kp_result *told = kp_core_take_finished(s.core, 0, &stopped);
    CHECK(told == result && told->next == NULL && !stopped);
    CHECK_INT(told->n_listeners, 3);
    const int32_t indexes[] = {0, 2, 1};
    const int objects[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(told->listeners[i].index, indexes[i]);
        CHECK(told->listeners[i].object == &who[objects[i]]);
    }
    kp_core_finished_done(s.core, 1);
    CHECK_INT(kp_core_wait_delivered(s.core, 1, 0), KP_OK);
    CHECK(kp_core_take_finished(s.core, 0, &stopped) == NULL && !stopped);
    kp_core_stop_delivery(s.core);
    CHECK(kp_core_take_finished(s.core, KP_NEVER, &stopped) == NULL && stopped);
    kp_result_release(told);
    kp_result_release(result);
    script_free(&s);
}

static int64_t unobserved_now(void) {
    kp_unobserved *list = NULL;
    int32_t n = 0;
    int64_t count = 0;
    if (kp_core_take_unobserved(s.core, &list, &n) != KP_OK) {
        kp_test_fail(__FILE__, __LINE__, "memory");
    }
    for (int32_t i = 0; i < n; i++) {
        count += list[i].count;
        kp_result_release(list[i].first);
    }
    free(list);
    return count;
}

static void test_a_listener_that_only_notes_leaves_a_failure_to_others(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    script_lead(&s, 1, -1, 0);
    int who;
    const kp_listener l = {.object = &who};
    kp_append_options o = {.listener = &l, .only_notes = true};
    kp_place place;
    size_t needed;
    kp_record r = {.timestamp_ms = 1, .key_len = -1, .value_len = -1};
    CHECK_INT(kp_append(s.topic, &r, &o, &place, &needed), KP_OK);
    o.want_result = true; /* a future asks for the second one */
    CHECK_INT(kp_append(s.topic, &r, &o, &place, &needed), KP_OK);
    script_fail_partition(&s, -1, 29);
    CHECK_INT(unobserved_now(), 1);
    kp_result_unwatch(place.result, place.index); /* and is dropped unasked */
    CHECK_INT(unobserved_now(), 1);
    CHECK_INT(place.result->n_listeners, 2);
    kp_result_release(place.result);
    script_free(&s);
}

static void test_failures_that_nobody_listens_to_are_counted(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 2);
    script_lead(&s, 2, -1, 0);
    int who;
    const kp_listener l = {.object = &who};
    kp_result *watched = NULL, *dropped = NULL;
    CHECK_INT(script_append(&s, 0, &l, NULL), KP_OK);
    CHECK_INT(script_append(&s, 0, NULL, &watched), KP_OK);
    CHECK_INT(script_append(&s, 0, NULL, &dropped), KP_OK);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    CHECK_INT(script_append(&s, 1, NULL, NULL), KP_OK);
    kp_result_unwatch(dropped, 2); /* before the failure: one more that nobody hears of */
    script_fail_partition(&s, -1, 29);
    CHECK_INT(unobserved_now(), 4);
    CHECK_INT(unobserved_now(), 0);
    kp_result_unwatch(watched, 1); /* after it, without having asked */
    CHECK_INT(unobserved_now(), 1);
    kp_result_release(watched);
    kp_result_release(dropped);
    script_free(&s);
}

static void test_an_index_is_followed_through_two_splits(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *whole = script_batch(&s, 0, 8);
    script_step(&s);
    for (int i = 0; i < 2; i++) {
        script_request r;
        CHECK(script_next(&s, conn, &r));
        script_answer_code(&s, conn, &r, 10);
        const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
        script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
        script_resume(&s, &refused, 0, false);
    }
    const int64_t base[] = {1000, 2000, 3000};
    const int32_t counts[] = {2, 2, 4};
    for (int i = 0; i < 3; i++) {
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].count, counts[i]);
        const script_reply reply = {.base_offset = base[i], .log_append_ms = -1};
        script_answer_with(&s, conn, &r, &reply, NULL);
    }
    const int64_t offsets[] = {1000, 1001, 2000, 2001, 3000, 3001, 3002, 3003};
    for (int32_t i = 0; i < 8; i++) {
        int32_t index = i;
        const kp_result *now = kp_result_resolve(whole, &index);
        CHECK_INT(now->base_offset + index, offsets[i]);
        CHECK_INT(kp_result_wait(s.core, whole, i, 0), KP_OK);
    }
    kp_result_release(whole);
    script_free(&s);
}

static void test_guilty_records_count_once_each_as_failed(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *whole = script_batch(&s, 0, 3);
    for (int i = 0; i < 3; i++) {
        kp_result_unwatch(whole, i); /* script_batch asked for three results */
    }
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 87);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    const int32_t guilty[] = {1};
    script_verdict_with(&s, &refused, KP_FAIL, KP_NOT_PERSISTED, guilty, 1);
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true);
    for (int i = 0; i < 2; i++) {
        CHECK(script_next(&s, conn, &r));
        script_answer_code(&s, conn, &r, 0);
    }
    CHECK_INT(unobserved_now(), 1);
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_records_failed]), 1);
    CHECK_INT(kp_counter_get(&s.core->stats.counters[KP_C_records_acked]), 2);
    kp_result_release(whole);
    script_free(&s);
}

static void test_a_pump_that_misses_the_lock_gets_the_batch_from_the_appender(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_partition *p = script_partition(&s, 0);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    kp_latch_lock(&p->lock);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK(atomic_load(&p->seal_wanted));
    kp_latch_unlock(&p->lock);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    CHECK(p->open == NULL);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].count, 2);
    script_free(&s);
}

static void test_whoever_else_held_the_lock_tells_the_pump_to_try_again(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_partition *p = script_partition(&s, 0);
    kp_result *result = NULL;
    CHECK_INT(script_append(&s, 0, NULL, &result), KP_OK);
    kp_latch_lock(&p->lock);
    script_step(&s);
    kp_latch_unlock(&p->lock);
    const kp_listener l = {.object = &s};
    CHECK_INT(kp_result_listen(s.core, result, &l), KP_OK);
    script_step(&s);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(result);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_a_full_batch_is_sealed_and_memory_ends),
    KP_TEST(test_records_that_can_never_fit_are_refused),
    KP_TEST(test_memory_of_a_wait_is_used_for_the_next_batch),
    KP_TEST(test_a_flush_waits_for_what_came_before_it_only),
    KP_TEST(test_more_flushes_than_counters_still_wait_rightly),
    KP_TEST(test_listeners_are_told_once_in_order_and_late_ones_too),
    KP_TEST(test_a_listener_that_only_notes_leaves_a_failure_to_others),
    KP_TEST(test_failures_that_nobody_listens_to_are_counted),
    KP_TEST(test_an_index_is_followed_through_two_splits),
    KP_TEST(test_guilty_records_count_once_each_as_failed),
    KP_TEST(test_a_pump_that_misses_the_lock_gets_the_batch_from_the_appender),
    KP_TEST(test_whoever_else_held_the_lock_tells_the_pump_to_try_again),
};

KP_TEST_MAIN(tests)
