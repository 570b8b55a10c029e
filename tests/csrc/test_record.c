/* One record: size, bytes, and back. */
#include <stdlib.h>

#include "kp_record.h"
#include "kp_test.h"

static void test_sizes_agree_with_what_is_written_and_read_back(void) {
    static const int64_t lengths[] = {-1, 0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 20000};
    static const int64_t deltas[] = {0, -1, 1, 63, -64, 64, INT32_MAX, INT64_MAX, INT64_MIN};
    static uint8_t data[20000], buffer[70000];
    static const uint8_t headers[] = {2, 2, 'h', 2, 'x'};
    memset(data, 0x5a, sizeof data);
    for (size_t k = 0; k < KP_ARRAY_LEN(lengths); k++) {
        for (size_t v = 0; v < KP_ARRAY_LEN(lengths); v++) {
            for (size_t d = 0; d < KP_ARRAY_LEN(deltas); d++) {
                const kp_record r = {.key = data, .key_len = lengths[k], .value = data, .value_len = lengths[v],
                                     .headers = d % 2 == 0 ? headers : NULL, .headers_len = d % 2 == 0 ? 5 : 0,
                                     .timestamp_ms = deltas[d]};
                size_t bound;
                const size_t body = kp_record_body_size(&r, deltas[d], (int32_t)d * 1000);
                CHECK_INT(kp_record_size_bound(&r, &bound), KP_OK);
                const uint8_t *end = kp_record_encode(buffer, &r, deltas[d], (int32_t)d * 1000, body);
                CHECK_INT(end - buffer, kp_record_size(body));
                CHECK(kp_record_size(body) <= bound);
                const uint8_t *p = buffer;
                kp_record back;
                CHECK_INT(kp_record_decode(&p, end, 0, &back), KP_OK);
                CHECK(p == end);
                CHECK_INT(back.key_len, lengths[k]);
                CHECK_INT(back.value_len, lengths[v]);
                CHECK_INT(back.timestamp_ms, deltas[d]);
                CHECK((back.key == NULL) == (lengths[k] < 0)); /* null and empty differ */
                CHECK_INT(back.headers_len, d % 2 == 0 ? 5 : 1);
            }
        }
    }
}

static void test_impossible_lengths_are_refused_before_any_arithmetic(void) {
    static const int64_t bad[] = {-2, INT64_MIN, (int64_t)KP_RECORD_MAX + 1, INT64_MAX};
    size_t size;
    for (size_t i = 0; i < KP_ARRAY_LEN(bad); i++) {
        const kp_record key = {.key_len = bad[i], .value_len = -1}, value = {.key_len = -1, .value_len = bad[i]};
        const kp_record headers = {.key_len = -1, .value_len = -1, .headers_len = bad[i]};
        CHECK_INT(kp_record_size_bound(&key, &size), KP_ERR_TOO_LARGE);
        CHECK_INT(kp_record_size_bound(&value, &size), KP_ERR_TOO_LARGE);
        CHECK_INT(kp_record_size_bound(&headers, &size), KP_ERR_TOO_LARGE);
    }
    const kp_record sum = {.key_len = KP_RECORD_MAX, .value_len = 1};
    CHECK_INT(kp_record_size_bound(&sum, &size), KP_ERR_TOO_LARGE);
    const kp_record most = {.key_len = -1, .value_len = KP_RECORD_MAX};
    CHECK_INT(kp_record_size_bound(&most, &size), KP_OK);
    CHECK(size <= INT32_MAX);
}

static void test_a_record_cut_at_any_byte_is_malformed(void) {
    static const uint8_t text[] = "0123456789";
    uint8_t buffer[128];
    const kp_record r = {.key = text, .key_len = 3, .value = text, .value_len = 10, .timestamp_ms = 5};
    const size_t body = kp_record_body_size(&r, 5, 1);
    const size_t len = (size_t)(kp_record_encode(buffer, &r, 5, 1, body) - buffer);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that ASan sees a read behind the cut */
        memcpy(copy, buffer, cut);
        const uint8_t *p = copy;
        kp_record back;
        CHECK_INT(kp_record_decode(&p, copy + cut, 0, &back), KP_ERR_MALFORMED);
        free(copy);
    }
}

static const kp_test tests[] = {
    KP_TEST(test_sizes_agree_with_what_is_written_and_read_back),
    KP_TEST(test_impossible_lengths_are_refused_before_any_arithmetic),
    KP_TEST(test_a_record_cut_at_any_byte_is_malformed),
};

KP_TEST_MAIN(tests)
