/* Records of one call: appended in runs, counted in, and found again by row when some of them failed. */
#include <stdlib.h>

#include "kp_accumulator.h"
#include "kp_murmur2.h"
#include "kp_test.h"
#include "pump_script.h"

enum { PARTITIONS = 3, ROWS = 600 };

static script s;
static int64_t next_offset[PARTITIONS];
static int32_t partition_of_row[100 * ROWS];

static kp_config config_of(size_t batch_size) {
    kp_config config = script_config();
    config.batch_size = batch_size;
    return config;
}

static int begin(size_t batch_size) {
    const kp_config config = config_of(batch_size);
    memset(next_offset, 0, sizeof next_offset);
    return script_begin(&s, &config, PARTITIONS);
}

/* As the binding does it: what is not the usual case goes through kp_append. */
static kp_status append_rows(kp_many *many, kp_record *records, const int32_t *partitions, int32_t n, int32_t *alone) {
    for (int32_t at = 0; at < n;) {
        at += kp_append_records(s.topic, records + at, partitions + at, n - at, many);
        if (at == n) {
            break;
        }
        const kp_append_options o = {.partition = partitions[at], .want_result = true, .held = many->held, .n_held = many->n_partitions};
        kp_place place;
        size_t needed;
        kp_status status = kp_append(s.topic, &records[at], &o, &place, &needed);
        status = status != KP_OK ? status : kp_many_note(many, place.result, place.partition, place.index, 1);
        if (status != KP_OK) {
            return status;
        }
        at++;
        *alone += 1;
    }
    return KP_OK;
}

/* n keyed rows, of which some name a partition; where each goes is noted from `row` on. */
static kp_status append_keyed(kp_many *many, int32_t row, int32_t n, int32_t *alone) {
    static uint8_t keys[ROWS][8];
    static kp_record records[ROWS];
    static int32_t partitions[ROWS];
    for (int32_t i = 0; i < n; i++) {
        memset(keys[i], i % 251, sizeof keys[i]);
        records[i] = (kp_record){.key = keys[i], .key_len = 8, .value = keys[i], .value_len = 4, .timestamp_ms = KP_NOW};
        partitions[i] = i % 7 == 0 ? i % PARTITIONS : -1;
        partition_of_row[row + i] = partitions[i] >= 0 ? partitions[i] : kp_murmur2_partition(keys[i], 8, PARTITIONS);
    }
    return append_rows(many, records, partitions, n, alone);
}

static void answer_all(int conn) {
    script_pass(&s, 1LL * SECOND);
    for (script_request r; script_next(&s, conn, &r);) {
        script_reply replies[SCRIPT_SLOTS];
        for (int32_t i = 0; i < r.n_slots; i++) {
            int64_t *next = &next_offset[r.slots[i].partition];
            replies[i] = (script_reply){.base_offset = *next, .log_append_ms = -1};
            *next += r.slots[i].count;
        }
        script_answer_with(&s, conn, &r, replies, NULL);
    }
}

static void test_keyed_rows_go_where_their_keys_say_and_come_back_in_order(void) {
    const int conn = begin(4096);
    kp_many many = {0};
    int32_t alone = 0;
    CHECK_INT(append_keyed(&many, 0, ROWS, &alone), KP_OK);
    CHECK_INT(many.count, ROWS);
    CHECK(alone < ROWS / 40); /* the first of each batch */
    answer_all(conn);
    kp_many_spans spans;
    CHECK_INT(kp_many_delivered(&many, &spans), KP_OK);
    CHECK_INT(spans.n, PARTITIONS);
    int64_t of[PARTITIONS] = {0};
    for (int i = 0; i < ROWS; i++) {
        of[partition_of_row[i]]++;
    }
    for (int32_t p = 0; p < PARTITIONS; p++) {
        CHECK_INT(spans.items[p].partition->index, p);
        CHECK_INT(spans.items[p].offset, 0);
        CHECK_INT(spans.items[p].n, of[p]);
    }
    int64_t *rows, n;
    CHECK_INT(kp_many_failed_rows(&many, &rows, &n), KP_OK);
    CHECK_INT(n, 0);
    free(rows);
    free(spans.items);
    kp_many_free(&many, true);
    script_free(&s);
}

static void check_failed(const kp_many *many, int32_t partition, int32_t from, int32_t to) {
    int64_t *rows, n, at = 0;
    CHECK_INT(kp_many_failed_rows(many, &rows, &n), KP_OK);
    for (int32_t row = from; row < to; row++) {
        if (partition_of_row[row] == partition) {
            CHECK(at < n);
            CHECK_INT(rows[at], row);
            at++;
        }
    }
    CHECK_INT(n, at);
    free(rows);
}

static void test_rows_of_a_partition_that_failed_are_told(void) {
    const int conn = begin(1024);
    kp_many many = {0};
    int32_t alone = 0;
    CHECK_INT(append_keyed(&many, 0, ROWS, &alone), KP_OK);
    script_fail_partition(&s, 1, 29);
    answer_all(conn);
    check_failed(&many, 1, 0, ROWS);
    kp_many_spans spans;
    CHECK_INT(kp_many_delivered(&many, &spans), KP_OK);
    CHECK_INT(spans.n, 2);
    CHECK_INT(spans.items[0].partition->index, 0);
    CHECK_INT(spans.items[1].partition->index, 2);
    free(spans.items);
    kp_many_free(&many, false);
    script_free(&s);
}

static void test_what_was_delivered_is_forgotten_and_later_failures_are_still_found(void) {
    const int conn = begin(512);
    kp_many many = {0};
    int32_t alone = 0, row = 0;
    for (int round = 0; round < 90; round++, row += ROWS) {
        CHECK_INT(append_keyed(&many, row, ROWS, &alone), KP_OK);
        answer_all(conn);
    }
    CHECK(many.cap_runs <= 512);
    CHECK(many.trail.cap <= 8192); /* of 54,000 rows */
    CHECK(many.trail.first_row > row / 2);
    CHECK_INT(append_keyed(&many, row, ROWS, &alone), KP_OK);
    script_fail_partition(&s, 2, 29);
    answer_all(conn);
    check_failed(&many, 2, row, row + ROWS);
    kp_many_spans spans;
    CHECK_INT(kp_many_delivered(&many, &spans), KP_OK);
    CHECK_INT(spans.n, PARTITIONS);
    int64_t sum = 0;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        CHECK_INT(spans.items[i].offset, 0);
        CHECK_INT(spans.items[i].n, next_offset[i]);
        sum += spans.items[i].n;
    }
    CHECK(sum < many.count && sum >= row);
    free(spans.items);
    kp_many_free(&many, false);
    script_free(&s);
}

static void test_failed_rows_are_kept_while_all_that_follows_is_delivered(void) {
    const int conn = begin(512);
    kp_many many = {0};
    int32_t alone = 0, row = 0;
    for (int round = 0; round < 40; round++, row += ROWS) {
        CHECK_INT(append_keyed(&many, row, ROWS, &alone), KP_OK);
        if (round == 3) {
            script_fail_partition(&s, 1, 29);
        }
        answer_all(conn);
    }
    CHECK(many.settled.n > 0); /* something was forgotten */
    check_failed(&many, 1, 3 * ROWS, 4 * ROWS);
    CHECK(many.trail.first_row >= 2 * ROWS && many.trail.first_row <= 4 * ROWS);
    kp_many_free(&many, false);
    script_free(&s);
}

static void test_rows_without_keys_stick_and_those_with_a_partition_stay_together(void) {
    const int conn = begin(1024);
    static uint8_t value[4];
    static kp_record records[ROWS];
    static int32_t partitions[ROWS];
    kp_many many = {0};
    int32_t alone = 0;
    for (int32_t i = 0; i < ROWS; i++) {
        records[i] = (kp_record){.key_len = -1, .value = value, .value_len = i % 5 == 0 ? -1 : 4, .timestamp_ms = 1000 + i};
        partitions[i] = i < ROWS / 2 ? -1 : i % 100 < 50 ? 0 : 2;
    }
    CHECK_INT(append_rows(&many, records, partitions, ROWS, &alone), KP_OK);
    CHECK_INT(many.count, ROWS);
    CHECK_INT(records[ROWS - 1].timestamp_ms, 1000 + ROWS - 1);
    kp_trail_entry e = {.at = many.trail.begin};
    int changes = 0;
    for (int32_t row = 0; kp_trail_next(&many.trail, &e); changes++) {
        CHECK_INT(e.row, row);
        for (int64_t i = 0; i < e.n; i++, row++) {
            CHECK(partitions[row] < 0 || partitions[row] == e.partition);
        }
    }
    CHECK(changes < ROWS / 10);
    answer_all(conn);
    CHECK_INT(next_offset[0] + next_offset[1] + next_offset[2], ROWS);
    kp_many_free(&many, true);
    script_free(&s);
}

static void test_another_ones_records_in_between_begin_another_run(void) {
    (void)begin(4096);
    kp_many mine = {0}, others = {0};
    static uint8_t value[4];
    const int32_t partition = 0;
    for (int i = 0; i < 10; i++) {
        kp_record r = {.key_len = -1, .value = value, .value_len = 4, .timestamp_ms = KP_NOW};
        int32_t alone = 0;
        CHECK_INT(append_rows(i % 2 == 0 ? &mine : &others, &r, &partition, 1, &alone), KP_OK);
    }
    CHECK_INT(mine.n_runs, 5);
    CHECK_INT(others.n_runs, 5);
    CHECK_INT(mine.runs[4].first, 8);
    CHECK_INT(mine.runs[4].ordinal, 4);
    script_fail_partition(&s, -1, 29);
    script_pass(&s, 1LL * SECOND);
    int64_t *rows, n;
    CHECK_INT(kp_many_failed_rows(&mine, &rows, &n), KP_OK);
    CHECK_INT(n, 5);
    free(rows);
    kp_many_free(&mine, true);
    kp_many_free(&others, false);
    CHECK_INT(s.core->unobserved, 5);
    script_free(&s);
}

static void test_what_is_not_the_usual_case_is_left_to_kp_append(void) {
    kp_config config = config_of(512);
    config.max_request_size = 200;
    (void)script_begin(&s, &config, 2);
    static uint8_t bytes[300];
    kp_many many = {0};
    kp_record r = {.key_len = -1, .value = bytes, .value_len = 4, .timestamp_ms = KP_NOW};
    const int32_t first = 0, none = 2;
    CHECK_INT(kp_append_records(s.topic, &r, &first, 1, &many), 0); /* no open batch */
    int32_t alone = 0;
    CHECK_INT(append_rows(&many, &r, &first, 1, &alone), KP_OK);
    r.timestamp_ms = KP_NOW;
    CHECK_INT(kp_append_records(s.topic, &r, &first, 1, &many), 1);
    CHECK_INT(kp_append_records(s.topic, &r, &none, 1, &many), 0); /* no such partition */
    r.value_len = 300;
    CHECK_INT(append_rows(&many, &r, &first, 1, &alone), KP_ERR_TOO_LARGE);
    CHECK_INT(many.count, 2);
    kp_core_end(s.core, KP_CLOSED, NULL);
    r.value_len = 4;
    CHECK_INT(append_rows(&many, &r, &first, 1, &alone), KP_ERR_CLOSED);
    kp_many_free(&many, false);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_keyed_rows_go_where_their_keys_say_and_come_back_in_order),
    KP_TEST(test_rows_of_a_partition_that_failed_are_told),
    KP_TEST(test_what_was_delivered_is_forgotten_and_later_failures_are_still_found),
    KP_TEST(test_failed_rows_are_kept_while_all_that_follows_is_delivered),
    KP_TEST(test_rows_without_keys_stick_and_those_with_a_partition_stay_together),
    KP_TEST(test_another_ones_records_in_between_begin_another_run),
    KP_TEST(test_what_is_not_the_usual_case_is_left_to_kp_append),
};

KP_TEST_MAIN(tests)
