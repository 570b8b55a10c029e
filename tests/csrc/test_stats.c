/* Counters, maxima and histograms: what they hold, and what the pump puts in for each partition and broker. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { TOO_LARGE = 10, INVALID = 87, PARTITIONS = 2 };

static script s;

static uint64_t of_partition(int32_t index, kp_partition_counter_id id) {
    return kp_counter_get(&script_partition(&s, index)->counters[id]);
}

static uint64_t of_node(int32_t node, kp_node_counter_id id) {
    return kp_counter_get(&kp_stats_node(&s.core->stats, node)->counters[id]);
}

static uint64_t count_of(kp_counter_id id) { return kp_counter_get(&s.core->stats.counters[id]); }

static uint64_t largest(kp_max_id id) { return kp_counter_get(&s.core->stats.maxima[id].window); }

/* --- alone --- */

static void test_a_time_is_in_the_bucket_below_whose_limit_it_is(void) {
    static kp_hist h;
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        const uint64_t us = kp_test_random(&random) >> (kp_test_random(&random) % 40 + 24);
        memset(&h, 0, sizeof h);
        kp_hist_add(&h, (int64_t)us * 1000);
        int bucket = 0;
        while (kp_counter_get(&h.buckets[bucket]) == 0) {
            bucket++;
        }
        CHECK((int64_t)us < kp_hist_bucket_limit_us(bucket) || bucket == KP_HIST_BUCKETS - 1);
        CHECK(bucket == 0 || (int64_t)us >= kp_hist_bucket_limit_us(bucket - 1));
        CHECK(us < 4 || (double)kp_hist_bucket_limit_us(bucket) <= (double)us * 1.26);
    }
}

static void test_a_histogram_sums_its_times_and_keeps_the_largest(void) {
    static kp_hist h;
    kp_hist_add(&h, 5000);
    kp_hist_add(&h, 3000);
    kp_hist_add(&h, -1); /* a clock that went back */
    CHECK_INT(kp_counter_get(&h.count), 3);
    CHECK_INT(kp_counter_get(&h.sum_ns), 8000);
    CHECK_INT(kp_counter_get(&h.max_ns.run), 5000);
}

static void test_the_largest_of_a_window_is_taken_and_that_of_the_run_stays(void) {
    kp_max m = {0};
    kp_max_note(&m, 7);
    kp_max_note(&m, 5);
    CHECK_INT(kp_max_take(&m), 7);
    CHECK_INT(kp_counter_get(&m.window), 0);
    kp_max_note(&m, 6);
    CHECK_INT(kp_max_take(&m), 6);
    CHECK_INT(kp_counter_get(&m.run), 7);
}

static void test_names_are_those_of_the_numbers(void) {
    CHECK(strcmp(kp_counter_name(KP_C_metadata_wait_ns), "metadata_wait_ns") == 0);
    CHECK(strcmp(kp_partition_counter_name(KP_P_next_offset), "next_offset") == 0);
    CHECK(strcmp(kp_node_counter_name(KP_N_throttle_ns), "throttle_ns") == 0);
    CHECK(strcmp(kp_max_name(KP_M_record_bytes), "record_bytes") == 0);
}

/* --- in the pump --- */

static void test_a_batch_is_counted_for_its_partition_from_its_opening_to_its_outcome(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, PARTITIONS);
    kp_result *result = script_batch(&s, 1, 3);
    CHECK_INT(of_partition(1, KP_P_batches_pending), 1);
    CHECK_INT(of_partition(1, KP_P_batches_in_flight), 0);
    script_step(&s);
    CHECK_INT(of_partition(1, KP_P_batches_in_flight), 1);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    const uint64_t wire_len = r.slots[0].len;
    CHECK_INT(of_partition(1, KP_P_wire_bytes), wire_len);
    CHECK_INT(of_partition(1, KP_P_bytes_acked), 0);
    const script_reply reply = {.base_offset = 40, .log_append_ms = -1};
    script_answer_with(&s, conn, &r, &reply, NULL);
    CHECK_INT(of_partition(1, KP_P_records_acked), 3);
    CHECK_INT(of_partition(1, KP_P_bytes_acked), wire_len);
    CHECK_INT(of_partition(1, KP_P_next_offset), 43);
    CHECK_INT(of_partition(1, KP_P_batches_pending), 0);
    CHECK_INT(of_partition(1, KP_P_batches_in_flight), 0);
    CHECK_INT(count_of(KP_C_bytes_acked), wire_len);
    CHECK_INT(largest(KP_M_batch_bytes), wire_len);
    kp_result_release(result);
    script_free(&s);
}

static void test_a_failed_batch_is_counted_out_and_its_bytes_are_not(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, PARTITIONS);
    kp_result *result = script_batch(&s, 0, 2);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, INVALID);
    CHECK_INT(of_partition(0, KP_P_batches_in_flight), 0);
    CHECK_INT(of_partition(0, KP_P_batches_pending), 1); /* it waits for its verdict */
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_INT(of_partition(0, KP_P_records_failed), 2);
    CHECK_INT(of_partition(0, KP_P_batches_pending), 0);
    CHECK_INT(of_partition(0, KP_P_bytes_acked), 0);
    CHECK_INT(of_partition(0, KP_P_next_offset), 0);
    kp_result_release(result);
    script_free(&s);
}

static void test_the_parts_of_a_split_are_counted_in_place_of_the_whole(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *result = script_batch(&s, 0, 4);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, TOO_LARGE);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    CHECK_INT(of_partition(0, KP_P_batches_pending), 2);
    script_resume(&s, &refused, 0, false);
    for (uint64_t left = 2; left > 0; left--) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(of_partition(0, KP_P_batches_pending), left);
        script_answer_code(&s, conn, &r, 0);
    }
    CHECK_INT(of_partition(0, KP_P_batches_pending), 0);
    CHECK_INT(of_partition(0, KP_P_records_acked), 4);
    kp_result_release(result);
    script_free(&s);
}

static void test_the_largest_record_of_a_batch_is_noted(void) {
    const kp_config config = script_config();
    (void)script_begin(&s, &config, 1);
    static const uint8_t value[700];
    for (int i = 0; i < 3; i++) {
        kp_record record = {.key_len = -1, .value = value, .value_len = i == 1 ? 700 : 5, .timestamp_ms = KP_NOW};
        const kp_append_options options = {.partition = 0};
        kp_place place;
        size_t needed;
        CHECK_INT(kp_append(s.topic, &record, &options, &place, &needed), KP_OK);
    }
    script_pass(&s, SECOND);
    CHECK(largest(KP_M_record_bytes) > 700 && largest(KP_M_record_bytes) < 720);
    CHECK(largest(KP_M_batch_bytes) > 730);
    script_free(&s);
}

static void test_each_broker_has_counters_of_its_own(void) {
    const kp_config config = script_config();
    const int first = script_begin(&s, &config, PARTITIONS);
    const int second = script_adopt(&s, 2, 9);
    const kp_leader leaders[PARTITIONS] = {{1, 0}, {2, 0}};
    script_topic(&s, s.topic, PARTITIONS, leaders, NULL);
    kp_result *results[] = {script_batch(&s, 0, 1), script_batch(&s, 1, 1)};
    script_step(&s);
    CHECK_INT(of_node(1, KP_N_requests_in_flight), 1);
    CHECK_INT(of_node(2, KP_N_requests_in_flight), 1);
    CHECK_INT(of_node(2, KP_N_outgoing_bytes), s.conns[second].out.len);
    CHECK_INT(of_node(2, KP_N_request_bytes), s.conns[second].out.len);
    script_request r;
    CHECK(script_next(&s, second, &r));
    s.now += 3 * MS;
    const script_reply reply = {.base_offset = 0, .log_append_ms = -1};
    const script_answer answer = {.throttle_ms = 30};
    script_answer_with(&s, second, &r, &reply, &answer);
    kp_node_stats *busy = kp_stats_node(&s.core->stats, 2);
    CHECK_INT(of_node(2, KP_N_responses), 1);
    CHECK_INT(of_node(2, KP_N_incoming_bytes), s.conns[second].in.len);
    CHECK_INT(of_node(2, KP_N_throttle_ns), 30 * MS);
    CHECK_INT(kp_counter_get(&busy->throttle_ns.window), 30 * MS);
    CHECK_INT(kp_counter_get(&busy->latency.max_ns.window), 3 * MS);
    CHECK_INT(kp_counter_get(&busy->request_bytes.window), s.conns[second].out.len);
    CHECK_INT(of_node(1, KP_N_responses) + of_node(1, KP_N_throttle_ns) + of_node(1, KP_N_incoming_bytes), 0);
    CHECK_INT(count_of(KP_C_requests), 2);
    CHECK_INT(count_of(KP_C_request_bytes), s.conns[first].out.len + s.conns[second].out.len);
    CHECK_INT(largest(KP_M_throttle_ns), 30 * MS);
    CHECK(script_next(&s, first, &r));
    script_answer_code(&s, first, &r, 0);
    CHECK_INT(of_node(1, KP_N_requests_in_flight), 0);
    for (int i = 0; i < PARTITIONS; i++) {
        kp_result_release(results[i]);
    }
    script_free(&s);
}

static void test_a_topic_has_the_sums_of_its_partitions_and_the_most_of_one(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, PARTITIONS);
    kp_result *results[] = {script_batch(&s, 0, 5), script_batch(&s, 1, 2)};
    script_step(&s);
    script_request r;
    while (script_next(&s, conn, &r)) {
        script_answer_code(&s, conn, &r, 0);
    }
    const kp_topic_counts counts = kp_topic_count(s.topic);
    CHECK_INT(counts.partitions, PARTITIONS);
    CHECK_INT(counts.sums[KP_P_records_acked], 7);
    CHECK_INT(counts.most_records, 5);
    const kp_topic_counts none = kp_topic_count(kp_core_topic(s.core, "new", 3));
    CHECK_INT(none.partitions, 0);
    for (int i = 0; i < PARTITIONS; i++) {
        kp_result_release(results[i]);
    }
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_a_time_is_in_the_bucket_below_whose_limit_it_is),
    KP_TEST(test_a_histogram_sums_its_times_and_keeps_the_largest),
    KP_TEST(test_the_largest_of_a_window_is_taken_and_that_of_the_run_stays),
    KP_TEST(test_names_are_those_of_the_numbers),
    KP_TEST(test_a_batch_is_counted_for_its_partition_from_its_opening_to_its_outcome),
    KP_TEST(test_a_failed_batch_is_counted_out_and_its_bytes_are_not),
    KP_TEST(test_the_parts_of_a_split_are_counted_in_place_of_the_whole),
    KP_TEST(test_the_largest_record_of_a_batch_is_noted),
    KP_TEST(test_each_broker_has_counters_of_its_own),
    KP_TEST(test_a_topic_has_the_sums_of_its_partitions_and_the_most_of_one),
};

KP_TEST_MAIN(tests)
