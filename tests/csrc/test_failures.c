/* What an application may choose when things go wrong: dropping the oldest, dead letters, stopping at a gap. */
#include <stdlib.h>

#include "kp_dead_letters.h"
#include "kp_test.h"
#include "pump_script.h"

enum { SLAB = 4096, MEMORY = 4 * SLAB, INVALID = 87, NOT_ENOUGH_REPLICAS = 19, UNAUTHORIZED = 29 };

static script s;

static uint64_t count_of(kp_counter_id id) { return kp_counter_get(&s.core->stats.counters[id]); }

#define CHECK_OUTCOME(result, expected_code, expected_persisted)               \
    do {                                                                       \
        CHECK_INT(kp_result_state(result), KP_FAILED);                         \
        CHECK_INT((result)->failure.code, expected_code);                      \
        CHECK_INT((result)->failure.persisted, expected_persisted);            \
    } while (0)

/* --- buffer.full.policy=drop-oldest --- */

static kp_config dropping_config(void) {
    kp_config config = script_config();
    config.batch_size = SLAB;
    config.buffer_memory = MEMORY;
    config.linger_ns = 5LL * SECOND;
    config.drops_oldest = true;
    return config;
}

/* A batch of one record, a millisecond younger than the one before. */
static kp_result *younger(int32_t partition) {
    s.now += MS;
    return script_batch(&s, partition, 1);
}

static void wait_for(kp_pool_waiter *w, size_t size) {
    kp_pool_wait_begin(&s.core->pool, w, size);
    kp_core_hurry(s.core);
    script_step(&s);
}

static void end_wait(kp_pool_waiter *w) {
    kp_pool_wait_end(&s.core->pool, w, false);
    kp_pool_give(&s.core->pool, &w->granted);
}

static void test_the_oldest_of_all_partitions_makes_room(void) {
    const kp_config config = dropping_config();
    (void)script_begin(&s, &config, 3);
    script_lead(&s, 3, -1, 0);
    kp_result *second = younger(1), *third = younger(2), *fourth = younger(0), *open = NULL;
    s.now -= 4 * MS;
    CHECK_INT(script_append(&s, 0, NULL, &open), KP_OK); /* the oldest: open, behind a sealed one of its partition */
    s.now += 4 * MS;
    script_step(&s);
    CHECK_INT(s.core->pool.used, MEMORY);
    kp_pool_waiter w;
    wait_for(&w, SLAB);
    CHECK_INT(w.status, KP_OK);
    CHECK_OUTCOME(second, KP_CODE_DROPPED, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(third), KP_PENDING);
    CHECK_INT(count_of(KP_C_records_dropped), 1);
    kp_pool_waiter large;
    wait_for(&large, 2 * SLAB);
    CHECK_INT(large.status, KP_OK);
    CHECK_OUTCOME(third, KP_CODE_DROPPED, KP_NOT_PERSISTED);
    CHECK_OUTCOME(fourth, KP_CODE_DROPPED, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(open), KP_PENDING);
    end_wait(&large);
    end_wait(&w);
    kp_result *const all[] = {second, third, fourth, open};
    for (int i = 0; i < 4; i++) {
        kp_result_release(all[i]);
    }
    script_free(&s);
}

static void test_an_open_batch_that_is_the_oldest_is_sealed_and_dropped(void) {
    const kp_config config = dropping_config();
    (void)script_begin(&s, &config, 4);
    script_lead(&s, 4, -1, 0);
    kp_result *open = NULL;
    CHECK_INT(script_append(&s, 3, NULL, &open), KP_OK);
    CHECK_INT(script_append(&s, 3, NULL, NULL), KP_OK);
    kp_result *const rest[] = {younger(0), younger(1), younger(2)};
    kp_pool_waiter w;
    wait_for(&w, SLAB);
    CHECK_INT(w.status, KP_OK);
    CHECK_OUTCOME(open, KP_CODE_DROPPED, KP_NOT_PERSISTED);
    CHECK_INT(open->count, 2);
    CHECK_INT(count_of(KP_C_records_dropped), 2);
    CHECK_INT(count_of(KP_C_records_failed), 2);
    end_wait(&w);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(kp_result_state(rest[i]), KP_PENDING);
        kp_result_release(rest[i]);
    }
    kp_result_release(open);
    script_free(&s);
}

static void test_what_was_sent_is_never_dropped_and_the_waiter_gets_its_memory(void) {
    const kp_config config = dropping_config();
    const int conn = script_begin(&s, &config, 4);
    kp_result *sent[4];
    for (int32_t i = 0; i < 4; i++) {
        sent[i] = younger(i);
    }
    script_pass(&s, 5LL * SECOND); /* each is in flight */
    CHECK_INT(s.core->pool.used, MEMORY);
    kp_pool_waiter w;
    wait_for(&w, SLAB);
    CHECK_INT(count_of(KP_C_records_dropped), 0);
    CHECK_INT(w.status, KP_AGAIN);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 4);
    script_reply replies[4] = {{.base_offset = 5, .log_append_ms = -1}, {.code = NOT_ENOUGH_REPLICAS}, {.code = NOT_ENOUGH_REPLICAS},
                               {.code = NOT_ENOUGH_REPLICAS}};
    script_answer_with(&s, conn, &r, replies, NULL);
    CHECK_INT(w.status, KP_OK);
    kp_pool_waiter again;
    wait_for(&again, SLAB);
    CHECK_INT(again.status, KP_AGAIN); /* refused ones wait for a verdict, and may be in the log */
    CHECK_INT(count_of(KP_C_records_dropped), 0);
    end_wait(&again);
    end_wait(&w);
    for (int i = 0; i < 4; i++) {
        kp_result_release(sent[i]);
    }
    script_free(&s);
}

static void test_a_batch_that_lost_its_sequence_was_sent_all_the_same(void) {
    kp_config config = dropping_config();
    config.linger_ns = 0;
    const int conn = script_begin(&s, &config, 2);
    kp_result *guilty = younger(0);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    kp_result *failed = younger(0), *resent = younger(0);
    script_step(&s);
    script_request first, second;
    CHECK(script_next(&s, conn, &first) && script_next(&s, conn, &second));
    script_answer_code(&s, conn, &first, INVALID);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_answer_code(&s, conn, &second, 45);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    script_lead(&s, 2, -1, 1); /* nothing leaves any more */
    script_producer(&s, 7, 1);
    script_resume(&s, &refused, 0, true); /* `resent` is queued again, without a sequence */
    kp_result *unsent = younger(0), *other = younger(1), *last = younger(1);
    kp_pool_waiter w;
    wait_for(&w, SLAB);
    CHECK_OUTCOME(unsent, KP_CODE_DROPPED, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(resent), KP_PENDING);
    end_wait(&w);
    kp_result *const all[] = {guilty, failed, resent, unsent, other, last};
    for (int i = 0; i < 6; i++) {
        kp_result_release(all[i]);
    }
    script_free(&s);
}

static void test_nothing_is_dropped_while_there_is_memory_or_without_the_policy(void) {
    for (int drops = 0; drops < 2; drops++) {
        kp_config config = dropping_config();
        config.drops_oldest = drops == 1;
        (void)script_begin(&s, &config, 4);
        script_lead(&s, 4, -1, 0);
        kp_result *batches[4];
        const int32_t n = drops == 1 ? 3 : 4;
        for (int32_t i = 0; i < n; i++) {
            batches[i] = younger(i);
        }
        kp_pool_waiter w;
        wait_for(&w, SLAB);
        CHECK_INT(w.status, drops == 1 ? KP_OK : KP_AGAIN);
        CHECK_INT(count_of(KP_C_records_dropped), 0);
        end_wait(&w);
        for (int32_t i = 0; i < n; i++) {
            CHECK_INT(kp_result_state(batches[i]), KP_PENDING);
            kp_result_release(batches[i]);
        }
        script_free(&s);
    }
}

static void test_batches_leave_when_a_caller_found_no_memory_and_did_not_wait(void) {
    kp_config config = dropping_config();
    config.drops_oldest = false;
    const int conn = script_begin(&s, &config, 4);
    for (int32_t i = 0; i < 4; i++) {
        CHECK_INT(script_append(&s, i, NULL, NULL), KP_OK);
    }
    script_step(&s);
    script_pass(&s, 2 * MS);
    CHECK_INT(script_count_requests(&s, conn), 0); /* they linger */
    kp_pool_waiter w;
    kp_pool_wait_begin(&s.core->pool, &w, SLAB);
    kp_core_hurry(s.core);
    CHECK_INT(kp_pool_wait(&s.core->pool, &w, 0), KP_AGAIN);
    kp_pool_wait_end(&s.core->pool, &w, true);
    script_step(&s);
    script_pass(&s, 2 * MS);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 4);
    script_free(&s);
}

/* The pump meets an appender in its critical section, and the appender leaves without having seen that it is to seal. */
static void test_an_appender_in_the_way_is_waited_for(void) {
    for (int drops = 0; drops < 2; drops++) {
        kp_config config = dropping_config();
        config.drops_oldest = drops == 1;
        const int conn = script_begin(&s, &config, 4);
        for (int32_t i = 0; i < 4; i++) {
            CHECK_INT(script_append(&s, i, NULL, NULL), KP_OK);
        }
        script_step(&s);
        if (drops == 1) {
            script_lead(&s, 4, -1, 0); /* nothing can be sent */
        }
        kp_partition *oldest = script_partition(&s, 0);
        kp_latch_lock(&oldest->lock);
        kp_pool_waiter w;
        kp_pool_wait_begin(&s.core->pool, &w, SLAB);
        kp_core_hurry(s.core);
        CHECK_INT(kp_pool_wait(&s.core->pool, &w, 0), KP_AGAIN);
        if (drops == 0) {
            kp_pool_wait_end(&s.core->pool, &w, true); /* buffer.full.policy=raise */
        }
        CHECK_INT(kp_pump_step(s.pump, s.now), s.now); /* at once again */
        CHECK_INT(kp_pump_step(s.pump, s.now), s.now);
        kp_latch_unlock(&oldest->lock);
        script_step(&s);
        if (drops == 1) {
            CHECK_INT(w.status, KP_OK);
            CHECK_INT(count_of(KP_C_records_dropped), 1);
            end_wait(&w);
        } else {
            script_pass(&s, 2 * MS);
            script_request r;
            CHECK(script_next(&s, conn, &r));
            CHECK_INT(r.n_slots, 4);
        }
        script_free(&s);
    }
}

/* --- dead letters --- */

static kp_config letters_config(void) {
    kp_config config = script_config();
    config.batch_size = SLAB;
    config.dead_letter_bytes = 3 * SLAB;
    return config;
}

/* The next handed-on result; the caller releases it. */
static kp_result *take_finished(void) {
    bool stopped;
    kp_result *r = kp_core_take_finished(s.core, 0, &stopped);
    return r;
}

static int32_t value_of(const kp_record *r) { return (int32_t)kp_get_be32(r->value); }

static void refuse(int conn, int16_t code, const int32_t *guilty, int32_t n) {
    script_request r;
    if (!script_next(&s, conn, &r)) {
        kp_test_fail(__FILE__, __LINE__, "a request was sent");
        return;
    }
    script_answer_code(&s, conn, &r, code);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict_with(&s, &refused, KP_FAIL, KP_NOT_PERSISTED, guilty, n);
    script_producer(&s, 7, (int16_t)(refused.producer_epoch + 1));
    script_resume(&s, &refused, 0, true);
}

static void test_the_records_of_a_refused_batch_come_with_its_result(void) {
    const kp_config config = letters_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *failed = script_batch(&s, 0, 3);
    script_step(&s);
    refuse(conn, INVALID, NULL, 0);
    CHECK_OUTCOME(failed, INVALID, KP_NOT_PERSISTED);
    kp_result *told = take_finished();
    CHECK(told == failed && told->dead_letters != NULL);
    CHECK_INT(s.core->pool.used, SLAB); /* the batch's own buffer */
    CHECK_INT(atomic_load(&s.core->dead_letter_bytes), SLAB);
    const uint8_t *p = NULL;
    kp_record record;
    for (int32_t i = 0; i < 3; i++) {
        CHECK(kp_dead_letters_next(told->dead_letters, &p, &record));
        CHECK_INT(value_of(&record), i);
        CHECK_INT(record.timestamp_ms, 1600000000000);
    }
    CHECK(!kp_dead_letters_next(told->dead_letters, &p, &record));
    kp_dead_letters_release(s.core, told);
    CHECK(told->dead_letters == NULL);
    CHECK_INT(s.core->pool.used, 0);
    CHECK_INT(atomic_load(&s.core->dead_letter_bytes), 0);
    kp_result_release(told);
    kp_result_release(failed);
    script_free(&s);
}

static void test_only_the_guilty_records_of_a_batch_are_dead_letters(void) {
    const kp_config config = letters_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *whole = script_batch(&s, 0, 4);
    script_step(&s);
    const int32_t guilty[] = {1, 3};
    refuse(conn, INVALID, guilty, 2);
    script_request r;
    while (script_next(&s, conn, &r)) {
        script_answer_code(&s, conn, &r, 0);
    }
    kp_result *told = take_finished(), *next;
    for (int32_t i = 1; i <= 3; i += 2) {
        CHECK(told != NULL && told->dead_letters != NULL);
        CHECK_INT(told->dead_letters->count, 1);
        const uint8_t *p = NULL;
        kp_record record;
        CHECK(kp_dead_letters_next(told->dead_letters, &p, &record));
        CHECK_INT(value_of(&record), i);
        next = told->next;
        kp_result_release(told); /* nobody took them: they go with the last reference */
        told = next;
    }
    CHECK(told == NULL);
    kp_result_release(whole);
    CHECK_INT(atomic_load(&s.core->dead_letter_bytes), 0);
    script_free(&s);
}

static void test_a_topic_that_fails_makes_dead_letters_of_what_is_unsent(void) {
    const kp_config config = letters_config();
    (void)script_begin(&s, &config, 1);
    script_lead(&s, 1, -1, 0);
    kp_result *unsent = script_batch(&s, 0, 2);
    script_fail_partition(&s, -1, UNAUTHORIZED);
    CHECK_OUTCOME(unsent, UNAUTHORIZED, KP_NOT_PERSISTED);
    kp_result *told = take_finished();
    CHECK(told == unsent && told->dead_letters != NULL);
    CHECK_INT(told->dead_letters->count, 2);
    kp_result_release(told);
    kp_result_release(unsent);
    CHECK_INT(s.core->pool.used, 0);
    script_free(&s);
}

static void test_expiry_close_and_the_dead_letters_own_topic_make_none(void) {
    const kp_config config = letters_config();
    const int conn = script_begin(&s, &config, 1);
    script_lead(&s, 1, -1, 0);
    kp_result *expired = script_batch(&s, 0, 1);
    script_step(&s);
    script_pass(&s, 120LL * SECOND);
    CHECK_OUTCOME(expired, KP_CODE_EXPIRED, KP_NOT_PERSISTED);
    CHECK(expired->dead_letters == NULL);
    script_lead(&s, 1, 1, 1);
    atomic_store(&s.topic->takes_dead_letters, true);
    kp_result *letter = script_batch(&s, 0, 1);
    script_step(&s);
    refuse(conn, INVALID, NULL, 0);
    CHECK_OUTCOME(letter, INVALID, KP_NOT_PERSISTED);
    CHECK(letter->dead_letters == NULL);
    atomic_store(&s.topic->takes_dead_letters, false);
    kp_result *closed = script_batch(&s, 0, 1);
    script_stop(&s);
    CHECK_OUTCOME(closed, KP_CODE_CLOSED, KP_NOT_PERSISTED);
    CHECK(closed->dead_letters == NULL && take_finished() == NULL);
    CHECK_INT(count_of(KP_C_dead_letters_dropped), 0);
    kp_result_release(expired);
    kp_result_release(letter);
    kp_result_release(closed);
    script_free(&s);
}

static void test_more_dead_letters_than_may_wait_are_dropped_and_counted(void) {
    const kp_config config = letters_config();
    (void)script_begin(&s, &config, 5);
    script_lead(&s, 5, -1, 0);
    kp_result *batches[5];
    for (int32_t i = 0; i < 5; i++) {
        batches[i] = script_batch(&s, i, 2);
    }
    script_fail_partition(&s, -1, UNAUTHORIZED);
    CHECK_INT(s.core->pool.used, 3 * SLAB);
    CHECK_INT(count_of(KP_C_dead_letters_dropped), 4);
    int kept = 0;
    for (kp_result *r = take_finished(), *next; r != NULL; r = next) {
        next = r->next;
        kept += r->dead_letters != NULL;
        kp_result_release(r);
    }
    CHECK_INT(kept, 3);
    for (int i = 0; i < 5; i++) {
        CHECK_OUTCOME(batches[i], UNAUTHORIZED, KP_NOT_PERSISTED);
        kp_result_release(batches[i]);
    }
    script_free(&s);
}

static void test_dead_letters_are_taken_while_closing_and_nothing_else(void) {
    const kp_config config = letters_config();
    (void)script_begin(&s, &config, 1);
    kp_core_close_appends(s.core);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_CLOSED);
    CHECK_INT(kp_topic_wait(s.topic, 7, 0, 0), KP_ERR_CLOSED);
    atomic_store(&s.topic->takes_dead_letters, true);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    CHECK_INT(kp_topic_wait(s.topic, 7, 0, 0), KP_AGAIN);
    script_stop(&s);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_CLOSED);
    script_free(&s);
}

/* --- on.sequence.gap --- */

/* Partition 0: a batch expires; `maybe`: when its request is out. The event about it. */
static kp_msg quiet_after_expiry(bool maybe, int16_t newer_epoch) {
    kp_config config = script_config();
    config.delivery_timeout_ns = 10LL * SECOND;
    const int conn = script_begin(&s, &config, 1);
    kp_result *lost = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    (void)script_next(&s, conn, &r);
    if (!maybe) {
        script_answer_code(&s, conn, &r, NOT_ENOUGH_REPLICAS);
        const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
        script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
        script_resume(&s, &refused, 20LL * SECOND, false);
    }
    script_pass(&s, 10LL * SECOND);
    script_forget_events(&s);
    if (maybe) {
        script_producer(&s, 7, newer_epoch);
        script_end(&s, conn);
    }
    kp_result_release(lost);
    const kp_msg *m = script_event(&s, KP_EV_PARTITION_QUIET);
    const kp_msg none = {0};
    return m == NULL ? none : *m;
}

static void test_a_gap_is_told_even_if_another_epoch_is_there_already(void) {
    for (int16_t epoch = 0; epoch < 2; epoch++) {
        const kp_msg quiet = quiet_after_expiry(true, epoch);
        CHECK_INT(quiet.type, KP_EV_PARTITION_QUIET);
        CHECK(quiet.flag_a && quiet.flag_b);
        CHECK_INT(quiet.producer_epoch, 0);
        script_free(&s);
    }
}

static void test_a_hole_that_was_told_as_not_persisted_is_no_gap(void) {
    const kp_msg quiet = quiet_after_expiry(false, 0);
    if (quiet.type == KP_EV_PARTITION_QUIET) {
        CHECK(!quiet.flag_b);
    }
    CHECK(!script_partition(&s, 0)->has_gap);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_the_oldest_of_all_partitions_makes_room),
    KP_TEST(test_an_open_batch_that_is_the_oldest_is_sealed_and_dropped),
    KP_TEST(test_what_was_sent_is_never_dropped_and_the_waiter_gets_its_memory),
    KP_TEST(test_a_batch_that_lost_its_sequence_was_sent_all_the_same),
    KP_TEST(test_nothing_is_dropped_while_there_is_memory_or_without_the_policy),
    KP_TEST(test_batches_leave_when_a_caller_found_no_memory_and_did_not_wait),
    KP_TEST(test_an_appender_in_the_way_is_waited_for),
    KP_TEST(test_the_records_of_a_refused_batch_come_with_its_result),
    KP_TEST(test_only_the_guilty_records_of_a_batch_are_dead_letters),
    KP_TEST(test_a_topic_that_fails_makes_dead_letters_of_what_is_unsent),
    KP_TEST(test_expiry_close_and_the_dead_letters_own_topic_make_none),
    KP_TEST(test_more_dead_letters_than_may_wait_are_dropped_and_counted),
    KP_TEST(test_dead_letters_are_taken_while_closing_and_nothing_else),
    KP_TEST(test_a_gap_is_told_even_if_another_epoch_is_there_already),
    KP_TEST(test_a_hole_that_was_told_as_not_persisted_is_no_gap),
};

KP_TEST_MAIN(tests)
