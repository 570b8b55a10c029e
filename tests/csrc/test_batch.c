/* Record batches v2: the bytes, ranges, stamps, sequences. */
#include <stdlib.h>

#include "kp_core.h"
#include "kp_crc32c.h"
#include "kp_endian.h"
#include "kp_test.h"
#include "pump_script.h"

static kp_core *core;
static kp_codec_ctx *codec;

static void begin(int codec_id) {
    const kp_config config = script_config();
    core = kp_core_new(&config, KP_NO_HANDLE, KP_NO_HANDLE);
    kp_codec_lib lib = {.codec = codec_id};
    (void)kp_codec_lib_builtin(codec_id, &lib);
    if (core == NULL || kp_codec_ctx_new(codec_id, KP_CODEC_LEVEL_DEFAULT, &lib, &codec) != KP_OK) {
        kp_test_fail(__FILE__, __LINE__, "memory");
    }
}

static void end(void) {
    if (core->pool.used != 0 || atomic_load(&core->refs) != 1) {
        kp_test_fail(__FILE__, __LINE__, "everything was given back");
    }
    kp_codec_ctx_free(codec);
    kp_core_release(core);
}

static kp_batch *new_batch(size_t size) {
    kp_chunk chunk;
    kp_result *result = kp_result_new(core, NULL);
    return result != NULL && kp_pool_take(&core->pool, size, &chunk) == KP_OK ? kp_batch_new(result, chunk, 99) : NULL;
}

static void fill(kp_batch *b, int32_t n, int64_t step_ms) {
    for (int32_t i = 0; i < n; i++) {
        uint8_t value[24] = {0};
        kp_put_be32(value, (uint32_t)i);
        const kp_record r = {.key_len = -1, .value = value, .value_len = sizeof value,
                             .timestamp_ms = 1600000000000 + step_ms * i};
        if (kp_batch_append(b, &r) != KP_OK) {
            kp_test_fail(__FILE__, __LINE__, "it fits");
        }
    }
}

static void test_the_golden_vector(void) {
    static const char *const golden =
        "00000000000000000000004fffffffff022476425c00000000000200000174876e800000000174876e8005000000000000109200070000"
        "00640000000318000000026b027602026802780c000a0201010012000504000002026e01";
    begin(KP_CODEC_NONE);
    kp_batch *b = new_batch(1000);
    CHECK(b != NULL);
    const kp_record records[] = {
        {.key = (const uint8_t *)"k", .key_len = 1, .value = (const uint8_t *)"v", .value_len = 1,
         .headers = (const uint8_t *)"\x02\x02h\x02x", .headers_len = 5, .timestamp_ms = 1600000000000},
        {.key_len = -1, .value_len = -1, .timestamp_ms = 1600000000005},
        {.key = (const uint8_t *)"", .key_len = 0, .value = (const uint8_t *)"", .value_len = 0,
         .headers = (const uint8_t *)"\x02\x02n\x01", .headers_len = 4, .timestamp_ms = 1599999999997},
    };
    for (size_t i = 0; i < KP_ARRAY_LEN(records); i++) {
        CHECK_INT(kp_batch_append(b, &records[i]), KP_OK);
    }
    const kp_stamp stamp = {.producer_id = 4242, .producer_epoch = 7, .base_sequence = 100};
    CHECK_INT(kp_batch_stamp(b, &stamp, codec), KP_OK);
    CHECK_INT(b->wire_len, strlen(golden) / 2);
    for (size_t i = 0; i < b->wire_len; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", b->wire[i]);
        CHECK_BYTES(hex, golden + 2 * i, 2);
    }
    kp_batch_free(b, &core->pool);
    end();
}

static void test_a_full_batch_says_so_and_stays_whole(void) {
    begin(KP_CODEC_NONE);
    kp_batch *b = new_batch(1);
    CHECK(b != NULL);
    const kp_record r = {.key_len = -1, .value = (const uint8_t *)"0123456789", .value_len = 10, .timestamp_ms = 1};
    int32_t n = 0;
    size_t bound;
    CHECK_INT(kp_record_size_bound(&r, &bound), KP_OK);
    while (kp_batch_append(b, &r) == KP_OK) {
        n++;
        CHECK(b->len <= b->chunk.size);
    }
    CHECK_INT(kp_batch_append(b, &r), KP_FULL);
    CHECK_INT(b->count, n);
    CHECK(b->chunk.size - b->len < bound);
    kp_batch_free(b, &core->pool);
    end();
}

static void test_a_new_stamp_changes_only_the_header(void) {
    begin(KP_CODEC_NONE);
    kp_batch *b = new_batch(1000);
    fill(b, 5, 1);
    const kp_stamp first = {1, 0, 0}, second = {1, 1, 77};
    CHECK_INT(kp_batch_stamp(b, &first, codec), KP_OK);
    uint8_t before[1000];
    memcpy(before, b->wire, b->wire_len);
    CHECK_INT(kp_batch_stamp(b, &second, codec), KP_OK);
    CHECK_BYTES(before + 61, b->wire + 61, b->wire_len - 61);
    CHECK_BYTES(before, b->wire, 17);
    CHECK_INT(kp_get_be32(b->wire + 17), kp_crc32c(0, b->wire + 21, b->wire_len - 21));
    CHECK_INT(kp_get_be16(b->wire + 51), 1);
    CHECK_INT(kp_get_be32(b->wire + 53), 77);
    CHECK_INT(b->base_sequence, 77);
    kp_batch_free(b, &core->pool);
    end();
}

static void test_compression_is_done_once_and_left_out_when_it_does_not_help(void) {
    begin(KP_CODEC_SNAPPY);
    kp_batch *b = new_batch(4096), *small = new_batch(1000);
    fill(b, 100, 0);
    const kp_stamp first = {1, 0, 0}, second = {1, 1, 0};
    CHECK_INT(kp_batch_stamp(b, &first, codec), KP_OK);
    CHECK(b->wire != b->chunk.data && b->wire_len < b->len);
    CHECK_INT(b->wire[22] & 7, KP_CODEC_SNAPPY);
    const uint8_t *wire = b->wire;
    CHECK_INT(kp_batch_stamp(b, &second, codec), KP_OK);
    CHECK(b->wire == wire);
    CHECK_INT(kp_get_be32(b->wire + 8), b->wire_len - 12);
    const kp_record r = {.key_len = -1, .value = (const uint8_t *)"q", .value_len = 1, .timestamp_ms = 1};
    CHECK_INT(kp_batch_append(small, &r), KP_OK);
    CHECK_INT(kp_batch_stamp(small, &first, codec), KP_OK);
    CHECK(small->wire == small->chunk.data);
    CHECK_INT(small->wire[22], 0);
    kp_batch_free(b, &core->pool);
    kp_batch_free(small, &core->pool);
    end();
}

static int32_t value_at(const kp_batch *b, int32_t index, int64_t *timestamp) {
    const uint8_t *p = b->chunk.data + KP_BATCH_HEADER;
    kp_record r = {0};
    for (int32_t i = 0; i <= index; i++) {
        if (kp_record_decode(&p, b->chunk.data + b->len, b->base_ts, &r) != KP_OK) {
            return -1;
        }
    }
    *timestamp = r.timestamp_ms;
    return (int32_t)kp_get_be32(r.value);
}

static void test_every_range_holds_its_records_and_their_times(void) {
    enum { N = 12 };
    begin(KP_CODEC_NONE);
    kp_batch *b = new_batch(4096);
    fill(b, N, -1000000007); /* decreasing and far apart: deltas get other lengths in a range */
    for (int32_t first = 0; first < N; first++) {
        for (int32_t n = 1; first + n <= N; n++) {
            kp_batch *range = NULL;
            CHECK_INT(kp_batch_range(b, first, n, kp_result_new(core, NULL), &range), KP_OK);
            CHECK_INT(range->count, n);
            CHECK_INT(range->created_ns, 99);
            for (int32_t i = 0; i < n; i++) {
                int64_t timestamp = 0;
                CHECK_INT(value_at(range, i, &timestamp), first + i);
                CHECK_INT(timestamp, 1600000000000 - 1000000007LL * (first + i));
            }
            kp_batch_free(range, &core->pool);
        }
    }
    kp_batch *none = NULL;
    CHECK_INT(kp_batch_range(b, -1, 1, NULL, &none), KP_ERR_INVALID);
    CHECK_INT(kp_batch_range(b, 0, 0, NULL, &none), KP_ERR_INVALID);
    CHECK_INT(kp_batch_range(b, 1, N, NULL, &none), KP_ERR_INVALID);
    kp_batch_free(b, &core->pool);
    end();
}

static void test_sequences_wrap_from_2_31_minus_1_to_0(void) {
    CHECK_INT(kp_sequence_add(INT32_MAX, 1), 0);
    CHECK_INT(kp_sequence_add(INT32_MAX - 2, 5), 2);
    CHECK_INT(kp_sequence_add(0, 0), 0);
    CHECK(kp_sequence_reached(5, 5));
    CHECK(kp_sequence_reached(6, 5));
    CHECK(!kp_sequence_reached(4, 5));
    CHECK(kp_sequence_reached(1, INT32_MAX - 2));
    CHECK(!kp_sequence_reached(INT32_MAX - 2, 1));
    begin(KP_CODEC_NONE);
    kp_batch *b = new_batch(1000);
    fill(b, 5, 1);
    const kp_stamp stamp = {1, 0, INT32_MAX - 2};
    CHECK_INT(kp_batch_stamp(b, &stamp, codec), KP_OK);
    CHECK_INT(kp_batch_last_sequence(b), 1);
    kp_batch_free(b, &core->pool);
    end();
}

static script s;

/* The same through the pump: a batch across the end of the ring, split in its middle. */
static void test_the_pump_goes_round_the_ring_and_splits_across_its_end(void) {
    const kp_config config = script_config();
    const int conn = script_begin(&s, &config, 1);
    kp_result *a = script_batch(&s, 0, 1);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    script_answer_code(&s, conn, &r, 0);
    kp_partition *p = script_partition(&s, 0);
    p->next_sequence = INT32_MAX - 2;
    p->last_acked = INT32_MAX - 3;
    kp_result *b = script_batch(&s, 0, 8), *c = script_batch(&s, 0, 1);
    script_step(&s);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, INT32_MAX - 2);
    script_answer_code(&s, conn, &r, 10);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].base_sequence, 5);
    script_answer_code(&s, conn, &r, 45);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, false);
    const int32_t sequences[] = {INT32_MAX - 2, 1, 5};
    for (int i = 0; i < 3; i++) {
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, sequences[i]);
        script_answer_code(&s, conn, &r, 0);
    }
    CHECK_INT(p->last_acked, 5);
    CHECK_INT(p->next_sequence, 6);
    kp_result_release(a);
    kp_result_release(b);
    kp_result_release(c);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_the_golden_vector),
    KP_TEST(test_a_full_batch_says_so_and_stays_whole),
    KP_TEST(test_a_new_stamp_changes_only_the_header),
    KP_TEST(test_compression_is_done_once_and_left_out_when_it_does_not_help),
    KP_TEST(test_every_range_holds_its_records_and_their_times),
    KP_TEST(test_sequences_wrap_from_2_31_minus_1_to_0),
    KP_TEST(test_the_pump_goes_round_the_ring_and_splits_across_its_end),
};

KP_TEST_MAIN(tests)
