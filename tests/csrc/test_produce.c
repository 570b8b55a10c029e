/* Produce requests and answers: every version, every cut, garbage, and brokers that answer something else. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { SLOTS = 3 };

static script s;
static kp_topic *other;
static kp_partition *partitions[SLOTS]; /* two of one topic, one of another */
static const uint8_t ids[2][16] = {{1, 2, 3}, {9, 8, 7}};

static void begin(void) {
    const kp_config config = script_config();
    script_init(&s, &config);
    other = kp_core_topic(s.core, "another", 7);
    const kp_leader leaders[] = {{.node = 1, .epoch = 0}, {.node = 1, .epoch = 0}};
    script_topic(&s, s.topic, 2, leaders, ids[0]);
    script_topic(&s, other, 1, leaders, ids[1]);
    partitions[0] = kp_topic_table(s.topic)->items[0];
    partitions[1] = kp_topic_table(other)->items[0];
    partitions[2] = kp_topic_table(s.topic)->items[1];
}

static kp_batch *new_batch(kp_partition *p, int32_t n) {
    kp_chunk chunk;
    if (kp_pool_take(&s.core->pool, 1000, &chunk) != KP_OK) {
        return NULL;
    }
    kp_batch *b = kp_batch_new(kp_result_new(s.core, p), chunk, 0);
    for (int32_t i = 0; i < n; i++) {
        const kp_record r = {.key_len = -1, .value = (const uint8_t *)"\0\0\0\1", .value_len = 4, .timestamp_ms = 5};
        if (kp_batch_append(b, &r) != KP_OK) {
            return NULL;
        }
    }
    const kp_stamp stamp = {.producer_id = 7, .producer_epoch = 1, .base_sequence = 10 * n};
    return kp_batch_stamp(b, &stamp, s.pump->codec) == KP_OK ? b : NULL;
}

/* A request of all three partitions; the frame as the script's network would see it. */
static kp_request *encode(int16_t version, script_bytes *wire) {
    kp_request *r = kp_request_new();
    for (int32_t i = 0; i < SLOTS; i++) {
        kp_batch *b = new_batch(partitions[i], i + 1);
        if (b == NULL || kp_request_add(r, partitions[i], b) != KP_OK) {
            kp_test_fail(__FILE__, __LINE__, "memory");
        }
    }
    if (kp_request_encode(r, &s.core->config, version, 77) != KP_OK) {
        kp_test_fail(__FILE__, __LINE__, "it can be encoded");
    }
    for (int i = 0; i < r->n_iovs; i++) {
        put_raw(wire, r->iovs[i].base, r->iovs[i].len);
    }
    return r;
}

static void drop(kp_request *r) {
    for (int32_t i = 0; i < r->n_slots; i++) {
        kp_batch_free(r->slots[i].batch, &s.core->pool);
    }
    kp_request_free(r);
}

static void parse(script_bytes *wire, script_request *out) {
    s.n_conns = 1;
    s.conns[0] = (script_conn){.out = *wire, .is_closed = true};
    out->n_slots = script_next(&s, 0, out) ? out->n_slots : -1;
}

static int32_t slot_of(const kp_request *r, const kp_partition *p) {
    for (int32_t i = 0; i < r->n_slots; i++) {
        if (r->slots[i].partition == p) {
            return i;
        }
    }
    return -1;
}

/* Replies in the order of the parsed request, each recognisable by its offset. */
static void fill_replies(const script_request *r, script_reply *replies) {
    for (int32_t i = 0; i < r->n_slots; i++) {
        replies[i] = (script_reply){.base_offset = 1000 + r->slots[i].count, .log_append_ms = 5, .log_start_offset = 3};
    }
}

static void test_every_version_says_the_same(void) {
    for (int16_t version = KP_PRODUCE_MIN; version <= KP_PRODUCE_MAX; version++) {
        begin();
        script_bytes wire = {0};
        kp_request *r = encode(version, &wire);
        CHECK_INT(wire.len, r->total);
        CHECK_INT(kp_get_be32(wire.data), wire.len - 4);
        CHECK_INT(r->version, version);
        script_request parsed;
        parse(&wire, &parsed);
        CHECK_INT(parsed.n_slots, SLOTS);
        CHECK_INT(parsed.version, version);
        CHECK_INT(parsed.correlation, 77);
        CHECK_INT(parsed.acks, -1);
        CHECK_INT(parsed.timeout_ms, 30000);
        int32_t topics = 1;
        for (int32_t i = 0; i < SLOTS; i++) {
            const script_slot *slot = &parsed.slots[i];
            const kp_topic *topic = r->slots[i].partition->topic;
            CHECK_INT(slot->partition, r->slots[i].partition->index);
            CHECK_INT(slot->count, r->slots[i].batch->count);
            if (version >= KP_PRODUCE_TOPIC_IDS) {
                CHECK_BYTES(slot->topic_id, topic->id, 16);
            } else {
                CHECK(strcmp(slot->topic, topic->name) == 0);
            }
            topics += i > 0 && r->slots[i - 1].partition->topic != topic ? 1 : 0;
        }
        CHECK_INT(topics, 2); /* each topic once */
        drop(r);
        script_free(&s);
    }
}

static void test_answers_find_their_slots(void) {
    for (int16_t version = KP_PRODUCE_MIN; version <= KP_PRODUCE_MAX; version++) {
        begin();
        script_bytes wire = {0}, frame = {0};
        kp_request *r = encode(version, &wire);
        script_request parsed;
        parse(&wire, &parsed);
        script_reply replies[SCRIPT_SLOTS];
        fill_replies(&parsed, replies);
        const script_record_error errors[] = {{.index = 4, .message = "four"}, {.index = 9, .message = NULL}};
        const int32_t bad = slot_of(r, partitions[2]);
        replies[bad].code = 87;
        replies[bad].message = "why";
        replies[bad].record_errors = errors;
        replies[bad].n_record_errors = 2;
        replies[bad].has_hint = true;
        replies[bad].hint = (kp_leader){.node = 3, .epoch = 11};
        const script_endpoint endpoints[] = {{.node = 3, .port = 9092, .host = "three"}};
        const script_answer answer = {.throttle_ms = 250, .endpoints = endpoints, .n_endpoints = 1};
        script_put_answer(&frame, &parsed, replies, &answer);
        kp_answer items[SLOTS] = {{0}};
        kp_answers out = {.items = items};
        CHECK_INT(kp_answers_decode(frame.data, frame.len, version, r, &out), KP_OK);
        CHECK_INT(out.throttle_ms, 250);
        for (int32_t i = 0; i < SLOTS; i++) {
            CHECK(items[i].is_there);
            CHECK_INT(items[i].base_offset, 1000 + r->slots[i].batch->count);
            CHECK_INT(items[i].log_append_ms, 5);
            CHECK_INT(items[i].log_start_offset, version >= 5 ? 3 : -1);
            CHECK_INT(items[i].code, i == bad ? 87 : 0);
            CHECK_INT(items[i].hint.node, i == bad && version >= KP_PRODUCE_HINTS ? 3 : -1);
        }
        CHECK_INT(items[bad].n_record_errors, version >= 8 ? 2 : 0);
        if (version >= 8) {
            kp_reader reader = items[bad].record_errors;
            kp_text text;
            CHECK_INT(kp_record_error_next(&reader, &text), 4);
            CHECK(text.len == 4 && memcmp(text.data, "four", 4) == 0);
            CHECK_INT(kp_record_error_next(&reader, &text), 9);
            CHECK(text.data == NULL);
            CHECK(items[bad].message.len == 3 && memcmp(items[bad].message.data, "why", 3) == 0);
        }
        CHECK_INT(out.n_endpoints, version >= KP_PRODUCE_HINTS ? 1 : 0);
        if (out.n_endpoints == 1) {
            CHECK_INT(out.endpoints[0].port, 9092);
            CHECK(out.endpoints[0].host.len == 5 && memcmp(out.endpoints[0].host.data, "three", 5) == 0);
        }
        free(frame.data);
        drop(r);
        script_free(&s);
    }
}

static void test_extra_missing_and_repeated_partitions(void) {
    begin();
    script_bytes wire = {0}, frame = {0};
    kp_request *r = encode(9, &wire);
    script_request parsed;
    parse(&wire, &parsed);
    script_reply replies[SCRIPT_SLOTS];
    fill_replies(&parsed, replies);
    replies[0].is_left_out = true;
    replies[1].is_twice = true;
    const script_answer answer = {.strangers = 3};
    script_put_answer(&frame, &parsed, replies, &answer);
    kp_answer items[SLOTS] = {{0}};
    kp_answers out = {.items = items};
    CHECK_INT(kp_answers_decode(frame.data, frame.len, 9, r, &out), KP_OK);
    CHECK(!items[0].is_there && items[1].is_there && items[2].is_there);
    CHECK_INT(items[1].base_offset, 1000 + r->slots[1].batch->count);
    free(frame.data);
    drop(r);
    script_free(&s);
}

/* A whole answer with everything in it. */
static void rich_answer(const script_request *parsed, script_bytes *frame) {
    static const script_record_error errors[] = {{.index = 1, .message = "bad"}};
    static const script_endpoint endpoints[] = {{.node = 3, .port = 9092, .host = "three"}};
    script_reply replies[SCRIPT_SLOTS];
    fill_replies(parsed, replies);
    replies[1].code = 6;
    replies[1].record_errors = errors;
    replies[1].n_record_errors = 1;
    replies[1].has_hint = true;
    const script_answer answer = {.throttle_ms = 1, .endpoints = endpoints, .n_endpoints = 1};
    script_put_answer(frame, parsed, replies, &answer);
}

static kp_status decode_copy(const uint8_t *data, size_t len, int16_t version, const kp_request *r) {
    uint8_t *copy = malloc(len + 1); /* of its own, so that ASan sees a read behind it */
    memcpy(copy, data, len);
    kp_answer items[SLOTS] = {{0}};
    kp_answers out = {.items = items};
    const kp_status status = kp_answers_decode(copy, len, version, r, &out);
    for (int32_t i = 0; i < SLOTS && status == KP_OK; i++) { /* what was accepted can be read again */
        kp_reader reader = items[i].record_errors;
        kp_text text;
        for (int32_t k = 0; items[i].is_there && k < items[i].n_record_errors; k++) {
            (void)kp_record_error_next(&reader, &text);
            if (reader.failed) {
                kp_test_fail(__FILE__, __LINE__, "accepted record errors can be read");
            }
        }
    }
    free(copy);
    return status;
}

static void test_an_answer_cut_or_lengthened_anywhere_is_malformed(void) {
    for (int16_t version = KP_PRODUCE_MIN; version <= KP_PRODUCE_MAX; version++) {
        begin();
        script_bytes wire = {0}, frame = {0};
        kp_request *r = encode(version, &wire);
        script_request parsed;
        parse(&wire, &parsed);
        rich_answer(&parsed, &frame);
        CHECK_INT(decode_copy(frame.data, frame.len, version, r), KP_OK);
        for (size_t cut = 0; cut < frame.len; cut++) {
            CHECK_INT(decode_copy(frame.data, cut, version, r), KP_ERR_MALFORMED);
        }
        put_raw(&frame, "", 1);
        CHECK_INT(decode_copy(frame.data, frame.len, version, r), KP_ERR_MALFORMED);
        frame.len--;
        frame.data[3] ^= 1; /* another correlation id */
        CHECK_INT(decode_copy(frame.data, frame.len, version, r), KP_ERR_MALFORMED);
        free(frame.data);
        drop(r);
        script_free(&s);
    }
}

static void test_garbage_never_reads_outside_or_loops(void) {
    uint64_t random = 99;
    for (int16_t version = KP_PRODUCE_MIN; version <= KP_PRODUCE_MAX; version += 2) {
        begin();
        script_bytes wire = {0}, frame = {0};
        kp_request *r = encode(version, &wire);
        script_request parsed;
        parse(&wire, &parsed);
        rich_answer(&parsed, &frame);
        for (size_t at = 4; at < frame.len; at++) { /* each byte replaced by the values that hurt */
            const uint8_t kept = frame.data[at];
            static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
            for (size_t k = 0; k < KP_ARRAY_LEN(values); k++) {
                frame.data[at] = values[k];
                (void)decode_copy(frame.data, frame.len, version, r);
            }
            frame.data[at] = kept;
        }
        for (int i = 0; i < 3000; i++) {
            uint8_t noise[200];
            const size_t len = 4 + (size_t)(kp_test_random(&random) % 196);
            for (size_t k = 0; k < len; k++) {
                const uint64_t v = kp_test_random(&random);
                noise[k] = v % 3 == 0 ? 0 : v % 7 == 0 ? 0xff : (uint8_t)(v >> 8);
            }
            memcpy(noise, frame.data, 4); /* the right correlation id */
            (void)decode_copy(noise, len, version, r);
        }
        free(frame.data);
        drop(r);
        script_free(&s);
    }
}

static void test_a_request_beyond_int32_is_refused(void) {
    begin();
    script_bytes wire = {0};
    kp_request *r = encode(9, &wire);
    kp_request huge = *r;
    huge.frame = NULL;
    huge.iovs = NULL;
    huge.batch_bytes = INT32_MAX;
    CHECK_INT(kp_request_encode(&huge, &s.core->config, 9, 1), KP_ERR_TOO_LARGE);
    free(wire.data);
    drop(r);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_every_version_says_the_same),
    KP_TEST(test_answers_find_their_slots),
    KP_TEST(test_extra_missing_and_repeated_partitions),
    KP_TEST(test_an_answer_cut_or_lengthened_anywhere_is_malformed),
    KP_TEST(test_garbage_never_reads_outside_or_loops),
    KP_TEST(test_a_request_beyond_int32_is_refused),
};

KP_TEST_MAIN(tests)
