/* The short ways of the append, kp_append_plain, kp_append_heard and kp_append_run: the same bytes as kp_append, and nothing taken when it
 * is another case. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { LATER = 3600 };

static script s;

static kp_config waiting_config(size_t batch_size) {
    kp_config config = script_config();
    config.batch_size = batch_size;
    config.linger_ns = LATER * (int64_t)SECOND;
    return config;
}

static kp_status plain(kp_topic *topic, int64_t key_len, int64_t value_len, kp_place *place) {
    static const uint8_t bytes[65536] = {1, 2, 3};
    return kp_append_plain(topic, bytes, key_len, bytes + 1, value_len, place);
}

static kp_status slow(kp_topic *topic, int32_t partition, const kp_record *given) {
    kp_record r = *given;
    const kp_append_options o = {.partition = partition};
    kp_place place;
    size_t needed;
    return kp_append(topic, &r, &o, &place, &needed);
}

/* The first record of a batch takes the long way: it opens it. */
static kp_batch *opened(int32_t partition) {
    const kp_record first = {.key_len = -1, .value_len = 0, .timestamp_ms = KP_NOW};
    return slow(s.topic, partition, &first) == KP_OK ? script_partition(&s, partition)->open : NULL;
}

static kp_place ask(void) { return (kp_place){.partition = -1, .index = -1}; }

static void forget(kp_result *r, int32_t first, int32_t n) {
    kp_result_unwatch_run(r, first, n);
    kp_result_release(r);
}

/* --- one record --- */

static void test_the_bytes_are_those_of_the_long_way(void) {
    static const int64_t lengths[] = {-1, 0, 1, 63, 64, 127, 128, 8191, 8192, 16383, 16384, 20000};
    kp_config config = waiting_config(4 * 1024 * 1024);
    config.buffer_memory = 16 * 1024 * 1024;
    (void)script_begin(&s, &config, 1);
    kp_topic *other = kp_core_topic(s.core, "other", 5);
    const kp_leader leader = {.node = 1};
    script_topic(&s, other, 1, &leader, NULL);
    kp_batch *b = opened(0);
    for (size_t k = 0; k < KP_ARRAY_LEN(lengths); k++) {
        for (size_t v = 0; v < KP_ARRAY_LEN(lengths); v++) {
            kp_place place = ask();
            CHECK_INT(plain(s.topic, lengths[k], lengths[v], &place), KP_OK);
            CHECK_INT(place.index, b->count - 1);
            CHECK_INT(place.timestamp_ms >= b->opened_ms, true);
            forget(place.result, place.index, 1);
        }
    }
    const uint8_t *p = b->chunk.data + KP_BATCH_HEADER, *end = b->chunk.data + b->len;
    for (kp_record r; p < end;) {
        CHECK_INT(kp_record_decode(&p, end, b->base_ts, &r), KP_OK);
        r.headers = NULL; /* it has none: a count of zero */
        r.headers_len = 0;
        CHECK_INT(slow(other, 0, &r), KP_OK);
    }
    const kp_batch *same = kp_topic_table(other)->items[0]->open;
    CHECK_INT(same->count, b->count);
    CHECK_INT(same->len, b->len);
    CHECK_INT(same->base_ts, b->base_ts);
    CHECK_INT(same->max_ts, b->max_ts);
    CHECK_BYTES(same->chunk.data + KP_BATCH_HEADER, b->chunk.data + KP_BATCH_HEADER, b->len - KP_BATCH_HEADER);
    script_free(&s);
}

static void test_a_place_is_told_and_its_result_kept_and_watched(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    const int before = atomic_load(&b->result->refs);
    kp_place place = ask();
    CHECK_INT(plain(s.topic, -1, 4, &place), KP_OK);
    CHECK_INT(place.partition, 0);
    CHECK_INT(place.index, 1);
    CHECK(place.result == b->result);
    CHECK_INT(atomic_load(&b->result->refs), before + 1);
    CHECK_INT(atomic_load(&b->result->watched), 1);
    CHECK_INT(plain(s.topic, -1, 4, NULL), KP_OK); /* nobody asks */
    CHECK_INT(atomic_load(&b->result->refs), before + 1);
    CHECK_INT(atomic_load(&b->result->watched), 1);
    CHECK_INT(b->count, 3);
    forget(place.result, 1, 1);
    script_free(&s);
}

static void test_a_callback_hears_of_its_record_in_place_of_a_watcher(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    int who;
    const kp_listener listener = {.object = &who, .key_size = 2, .value_size = 3};
    kp_place place = ask();
    CHECK_INT(kp_append_heard(s.topic, (const uint8_t *)"ab", 2, (const uint8_t *)"cde", 3, &listener, &place), KP_OK);
    CHECK_INT(place.index, 1);
    CHECK_INT(atomic_load(&b->result->watched), 0);
    CHECK_INT(b->result->n_listeners, 1);
    const kp_listener *heard = &b->result->listeners[0];
    CHECK(heard->object == &who && !heard->only_notes);
    CHECK_INT(heard->index, 1);
    CHECK_INT(heard->key_size, 2);
    CHECK_INT(heard->value_size, 3);
    CHECK_INT(heard->timestamp_ms, place.timestamp_ms);
    static const uint8_t large[8192];
    CHECK_INT(kp_append_heard(s.topic, NULL, -1, large, sizeof large, &listener, NULL), KP_AGAIN);
    CHECK_INT(b->result->n_listeners, 1);
    b->result->n_listeners = 0; /* nobody takes it out */
    kp_result_release(place.result);
    script_free(&s);
}

static void test_a_key_goes_where_the_long_way_takes_it(void) {
    for (int ignores = 0; ignores < 2; ignores++) {
        kp_config config = waiting_config(4096);
        config.partitioner.least_key_len = ignores == 1 ? KP_IGNORE_KEYS : 0;
        (void)script_begin(&s, &config, 5);
        for (int32_t i = 0; i < 5; i++) {
            CHECK(opened(i) != NULL);
        }
        for (uint8_t i = 0; i < 50; i++) {
            kp_record r = {.key = &i, .key_len = 1, .value_len = 0, .timestamp_ms = KP_NOW};
            const kp_append_options o = {.partition = -1};
            kp_place long_way, place = ask();
            size_t needed;
            CHECK_INT(kp_append(s.topic, &r, &o, &long_way, &needed), KP_OK);
            CHECK_INT(kp_append_plain(s.topic, &i, 1, &i, 0, &place), KP_OK);
            CHECK_INT(place.partition, long_way.partition);
            forget(place.result, place.index, 1);
        }
        script_free(&s);
    }
}

/* --- what is another case --- */

static bool is_refused(kp_topic *topic, int64_t key_len, int64_t value_len) {
    kp_place place = ask();
    const kp_slice value = {.data = (const uint8_t *)"v", .len = value_len};
    const kp_append_options o = {.want_result = true};
    const bool is = plain(topic, key_len, value_len, &place) == KP_AGAIN &&
                    (key_len != -1 || kp_append_run(topic, &value, 1, &o, &place) == 0);
    return is && place.result == NULL && place.index == -1;
}

static void test_a_topic_without_metadata_or_an_open_batch_is_another_case(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    CHECK(is_refused(kp_core_topic(s.core, "unknown", 7), -1, 1));
    CHECK(is_refused(s.topic, -1, 1));
    CHECK(opened(0) != NULL);
    CHECK(!is_refused(s.topic, 0, 1));
    forget(script_partition(&s, 0)->open->result, 1, 1);
    CHECK_INT(kp_accumulator_seal_open(script_partition(&s, 0)), KP_OK);
    CHECK(is_refused(s.topic, -1, 1));
    script_free(&s);
}

static void test_what_does_not_fit_is_another_case(void) {
    kp_config config = waiting_config(2048);
    config.max_request_size = 900;
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    const size_t len = b->len;
    CHECK(is_refused(s.topic, -1, 1000));         /* no request may be as big */
    CHECK(is_refused(s.topic, 500, 500));         /* the two together */
    CHECK(is_refused(s.topic, -1, -2));           /* no length at all */
    CHECK(is_refused(s.topic, -2, 1));
    CHECK(is_refused(s.topic, -1, INT64_MAX));    /* no sum may overflow */
    CHECK(is_refused(s.topic, INT64_MAX, INT64_MAX));
    CHECK(is_refused(s.topic, -1, INT32_MAX));
    CHECK_INT(b->len, len);
    kp_place place = ask();
    CHECK_INT(plain(s.topic, -1, 700, &place), KP_OK);
    forget(place.result, 1, 1);
    CHECK_INT(plain(s.topic, -1, 700, NULL), KP_OK);
    CHECK(is_refused(s.topic, -1, 700)); /* the batch is full: the long way seals it */
    CHECK_INT(b->count, 3);
    CHECK(script_partition(&s, 0)->open == b);
    script_free(&s);
}

static void test_batches_of_one_record_are_never_open(void) {
    const kp_config config = waiting_config(0);
    (void)script_begin(&s, &config, 1);
    CHECK(opened(0) == NULL);
    CHECK(is_refused(s.topic, -1, 1));
    script_free(&s);
}

static void test_a_closed_producer_is_another_case(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    kp_core_close_appends(s.core);
    CHECK(is_refused(s.topic, -1, 1));
    CHECK_INT(b->count, 1);
    script_free(&s);
}

static void test_a_forked_child_does_not_wait_for_a_latch_that_nobody_holds(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    CHECK(opened(0) != NULL);
    kp_partition *p = script_partition(&s, 0);
    kp_latch_lock(&p->lock); /* by a thread that there is in the parent only */
    kp_core_abandon(s.core);
    CHECK(is_refused(s.topic, -1, 1));
    kp_latch_unlock(&p->lock);
    script_free(&s);
}

static void test_without_a_transaction_it_is_another_case(void) {
    kp_config config = script_txn_config();
    config.linger_ns = LATER * (int64_t)SECOND;
    (void)script_begin(&s, &config, 2);
    CHECK(is_refused(s.topic, -1, 1));
    script_txn_begin(&s, 1, false);
    CHECK(opened(0) != NULL && opened(1) != NULL);
    script_forget_events(&s);
    CHECK(!is_refused(s.topic, 0, 1));
    const int32_t used = script_partition(&s, 0)->open->count == 2 ? 0 : 1;
    forget(script_partition(&s, used)->open->result, 1, 1);
    script_txn_seal(&s, 1);
    CHECK(is_refused(s.topic, -1, 1));
    CHECK(is_refused(s.topic, 0, 1));
    script_free(&s);
}

static void test_the_short_way_tells_a_partition_that_is_new_in_the_transaction(void) {
    kp_config config = script_txn_config();
    config.linger_ns = LATER * (int64_t)SECOND;
    (void)script_begin(&s, &config, 1);
    script_txn_begin(&s, 1, false);
    CHECK(opened(0) != NULL);
    script_step(&s);
    CHECK(script_event(&s, KP_EV_TXN_PARTITION) != NULL);
    script_partition(&s, 0)->txn_told = 0; /* as if it were new */
    CHECK_INT(plain(s.topic, -1, 1, NULL), KP_OK);
    CHECK_INT(plain(s.topic, -1, 1, NULL), KP_OK);
    script_step(&s);
    CHECK(script_event(&s, KP_EV_TXN_PARTITION) != NULL);
    CHECK(script_event(&s, KP_EV_TXN_PARTITION) == NULL);
    script_free(&s);
}

/* --- runs --- */

enum { MANY = 64 };

static int32_t run_of(int32_t n, int64_t len, kp_place *place) {
    static const uint8_t bytes[65536] = {9, 8, 7};
    kp_slice values[MANY];
    for (int32_t i = 0; i < n; i++) {
        values[i] = (kp_slice){.data = bytes + i, .len = len};
    }
    const kp_append_options o = {.want_result = true};
    return kp_append_run(s.topic, values, n, &o, place);
}

static void test_a_run_is_the_records_one_by_one(void) {
    static const int64_t lengths[] = {0, 1, 63, 64, 200, 8191, 8192, 5};
    static const uint8_t bytes[8192] = {4, 5, 6};
    const kp_config config = waiting_config(256 * 1024);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    kp_slice values[KP_ARRAY_LEN(lengths)];
    const int32_t n = (int32_t)KP_ARRAY_LEN(lengths);
    for (int32_t i = 0; i < n; i++) {
        values[i] = (kp_slice){.data = bytes, .len = lengths[i]};
    }
    const kp_append_options o = {.want_result = true};
    kp_place place = ask();
    const int before = atomic_load(&b->result->refs);
    CHECK_INT(kp_append_run(s.topic, values, n, &o, &place), n);
    CHECK_INT(place.index, 1);
    CHECK_INT(place.partition, 0);
    CHECK(place.result == b->result);
    CHECK_INT(b->count, 1 + n);
    CHECK_INT(atomic_load(&b->result->watched), n);
    CHECK_INT(atomic_load(&b->result->refs), before + 1); /* one for the run */
    const uint8_t *p = b->chunk.data + KP_BATCH_HEADER, *end = b->chunk.data + b->len;
    kp_record r;
    CHECK_INT(kp_record_decode(&p, end, b->base_ts, &r), KP_OK);
    for (int32_t i = 0; i < n; i++) {
        CHECK_INT(kp_record_decode(&p, end, b->base_ts, &r), KP_OK);
        CHECK_INT(r.key_len, -1);
        CHECK_INT(r.value_len, lengths[i]);
        CHECK_BYTES(r.value, bytes, (size_t)lengths[i]);
        CHECK(r.timestamp_ms >= b->base_ts && r.timestamp_ms <= b->max_ts);
    }
    CHECK(p == end);
    forget(place.result, 1, n);
    script_free(&s);
}

static void test_a_result_that_the_caller_holds_is_not_kept_twice(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    kp_place first = ask(), second = ask();
    CHECK_INT(run_of(2, 4, &first), 2);
    const int held = atomic_load(&b->result->refs);
    kp_result *const results[] = {b->result};
    const kp_slice value = {.data = (const uint8_t *)"v", .len = 1};
    const kp_append_options o = {.want_result = true, .held = results, .n_held = 1};
    CHECK_INT(kp_append_run(s.topic, &value, 1, &o, &second), 1);
    CHECK_INT(second.index, 3);
    CHECK_INT(atomic_load(&b->result->refs), held);
    CHECK_INT(atomic_load(&b->result->watched), 3);
    forget(first.result, 1, 3);
    script_free(&s);
}

static void test_a_run_ends_with_the_room_of_the_batch(void) {
    const kp_config config = waiting_config(1024);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    static const uint8_t value[600] = {0};
    const kp_record most = {.key_len = -1, .value = value, .value_len = sizeof value, .timestamp_ms = KP_NOW};
    CHECK_INT(slow(s.topic, 0, &most), KP_OK); /* no share of a partition that was asked for */
    kp_place place = ask();
    const int32_t done = run_of(20, 100, &place);
    CHECK(done == 1 || done == 2);
    CHECK_INT(b->count, 2 + done);
    CHECK(b->len <= b->chunk.size);
    CHECK(script_partition(&s, 0)->open == b); /* the long way seals it */
    CHECK_INT(run_of(20, 100, &place), 0);
    CHECK_INT(b->count, 2 + done);
    forget(place.result, 2, done);
    script_free(&s);
}

/* KIP-794: the partition changes after batch.size bytes, which are counted by each record's bound. */
static void test_a_run_ends_when_the_partition_has_had_its_share(void) {
    const kp_config config = waiting_config(64 * 1024);
    (void)script_begin(&s, &config, 3);
    for (int32_t i = 0; i < 3; i++) {
        CHECK(opened(i) != NULL);
    }
    kp_place place = ask();
    CHECK_INT(run_of(5, 4, &place), 5);
    const int32_t sticky = place.partition;
    forget(place.result, 1, 5);
    atomic_store(&s.topic->sticky_bytes, 64 * 1024 - 1);
    place = ask();
    CHECK_INT(run_of(5, 4, &place), 1); /* one passes the line */
    CHECK_INT(place.partition, sticky);
    CHECK(atomic_load(&s.topic->sticky_bytes) >= 64 * 1024);
    forget(place.result, 6, 1);
    place = ask();
    CHECK_INT(run_of(5, 4, &place), 5);
    CHECK(place.partition != sticky);
    CHECK(atomic_load(&s.topic->sticky_bytes) < 1024);
    forget(place.result, 1, 5);
    script_free(&s);
}

static void test_an_empty_run_is_nothing(void) {
    const kp_config config = waiting_config(4096);
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    kp_place place = ask();
    CHECK_INT(run_of(0, 4, &place), 0);
    CHECK_INT(b->count, 1);
    CHECK_INT(place.index, -1);
    CHECK_INT(atomic_load(&b->result->watched), 0);
    script_free(&s);
}

static void test_a_run_stops_before_a_value_that_is_too_large(void) {
    kp_config config = waiting_config(4096);
    config.max_request_size = 1000;
    (void)script_begin(&s, &config, 1);
    kp_batch *b = opened(0);
    const kp_append_options o = {.want_result = true};
    static const uint8_t bytes[2000] = {0};
    const kp_slice values[] = {{bytes, 10}, {bytes, 20}, {bytes, 2000}, {bytes, 30}};
    kp_place place = ask();
    CHECK_INT(kp_append_run(s.topic, values, 4, &o, &place), 2);
    CHECK_INT(place.index, 1);
    CHECK_INT(b->count, 3);
    forget(place.result, 1, 2);
    place = ask();
    CHECK_INT(kp_append_run(s.topic, values + 2, 2, &o, &place), 0);
    CHECK_INT(place.index, -1);
    CHECK_INT(b->count, 3);
    script_free(&s);
}

/* --- beside the pump --- */

static void test_the_short_ways_seal_for_a_pump_that_missed_the_lock(void) {
    for (int is_run = 0; is_run < 2; is_run++) {
        const kp_config config = waiting_config(4096);
        (void)script_begin(&s, &config, 1);
        CHECK(opened(0) != NULL);
        kp_partition *p = script_partition(&s, 0);
        atomic_store(&p->seal_wanted, true);
        kp_place place = ask();
        CHECK_INT(is_run ? run_of(3, 1, &place) : plain(s.topic, -1, 1, &place) + 1, is_run ? 3 : 1);
        CHECK(p->open == NULL);
        CHECK(!atomic_load(&p->seal_wanted));
        CHECK(atomic_load(&p->is_dirty));
        forget(place.result, place.index, is_run ? 3 : 1);
        script_free(&s);
    }
}

static void test_what_came_the_short_way_is_sent_and_acknowledged(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    kp_place one = ask(), run = ask();
    CHECK_INT(plain(s.topic, 3, 4, &one), KP_OK);
    CHECK_INT(run_of(4, 4, &run), 4);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].count, 6);
    script_answer_code(&s, conn, &r, 0);
    CHECK(one.result == run.result);
    CHECK_INT(kp_result_state(one.result), KP_DELIVERED);
    CHECK_INT(one.result->count, 6);
    forget(one.result, 1, 1);
    forget(run.result, 2, 4);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_the_bytes_are_those_of_the_long_way),
    KP_TEST(test_a_place_is_told_and_its_result_kept_and_watched),
    KP_TEST(test_a_callback_hears_of_its_record_in_place_of_a_watcher),
    KP_TEST(test_a_key_goes_where_the_long_way_takes_it),
    KP_TEST(test_a_topic_without_metadata_or_an_open_batch_is_another_case),
    KP_TEST(test_what_does_not_fit_is_another_case),
    KP_TEST(test_batches_of_one_record_are_never_open),
    KP_TEST(test_a_closed_producer_is_another_case),
    KP_TEST(test_a_forked_child_does_not_wait_for_a_latch_that_nobody_holds),
    KP_TEST(test_without_a_transaction_it_is_another_case),
    KP_TEST(test_the_short_way_tells_a_partition_that_is_new_in_the_transaction),
    KP_TEST(test_a_run_is_the_records_one_by_one),
    KP_TEST(test_a_result_that_the_caller_holds_is_not_kept_twice),
    KP_TEST(test_a_run_ends_with_the_room_of_the_batch),
    KP_TEST(test_a_run_ends_when_the_partition_has_had_its_share),
    KP_TEST(test_an_empty_run_is_nothing),
    KP_TEST(test_a_run_stops_before_a_value_that_is_too_large),
    KP_TEST(test_the_short_ways_seal_for_a_pump_that_missed_the_lock),
    KP_TEST(test_what_came_the_short_way_is_sent_and_acknowledged),
};

KP_TEST_MAIN(tests)
