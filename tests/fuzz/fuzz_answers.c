/* kp_answers_decode over every version: what it accepts must be whole, in range, and no longer or shorter than the frame.
 * Input: a byte for the version, then the answer behind its correlation id. */
#include "fuzz.h"
#include "kp_endian.h"
#include "kp_produce.h"

enum { SLOTS = 4, VERSIONS = KP_PRODUCE_MAX - KP_PRODUCE_MIN + 1, CORRELATION = 77 };

static char topic_name[] = "topic", another_name[] = "another";
static kp_topic topics[2] = {{.name = topic_name, .name_len = 5, .id = {1, 2, 3}, .has_id = true},
                             {.name = another_name, .name_len = 7, .id = {9, 8, 7}, .has_id = true}};
static kp_partition partitions[SLOTS] = {{.topic = &topics[0], .index = 0},
                                         {.topic = &topics[0], .index = 1},
                                         {.topic = &topics[1], .index = 0},
                                         {.topic = &topics[1], .index = 0x01020304}};
static kp_slot slots[SLOTS] = {{.partition = &partitions[0], .topic_id = {1, 2, 3}},
                               {.partition = &partitions[1], .topic_id = {1, 2, 3}},
                               {.partition = &partitions[2], .topic_id = {9, 8, 7}},
                               {.partition = &partitions[3], .topic_id = {9, 8, 7}}};
static const kp_request request = {.correlation = CORRELATION, .slots = slots, .n_slots = SLOTS};

typedef struct frame {
    const uint8_t *data;
    size_t len;
} frame;

static bool is_inside(const frame *f, const void *data, size_t len) {
    const uint8_t *p = data;
    return p == NULL ? len == 0 : p >= f->data && len <= f->len && p <= f->data + f->len - len;
}

static void check_record_errors(const frame *f, const kp_answer *a) {
    kp_reader reader = a->record_errors;
    MUST(a->n_record_errors >= 0 && (size_t)a->n_record_errors <= f->len / 6);
    for (int32_t i = 0; i < a->n_record_errors; i++) {
        kp_text message;
        (void)kp_record_error_next(&reader, &message);
        MUST(!reader.failed);
        MUST(is_inside(f, message.data, message.len));
    }
}

static void check_answer(const frame *f, int16_t version, const kp_answer *a) {
    if (!a->is_there) {
        return;
    }
    check_record_errors(f, a);
    MUST(is_inside(f, a->message.data, a->message.len));
    MUST(version >= 5 || a->log_start_offset == -1);
    MUST(version >= 8 || (a->n_record_errors == 0 && a->message.data == NULL));
    MUST(version >= KP_PRODUCE_HINTS || (a->hint.node == -1 && a->hint.epoch == -1));
}

static void check_accepted(const frame *f, int16_t version, const kp_answers *out) {
    for (int i = 0; i < SLOTS; i++) {
        check_answer(f, version, &out->items[i]);
    }
    MUST(out->n_endpoints >= 0 && out->n_endpoints <= KP_ENDPOINTS_MAX);
    MUST(version >= KP_PRODUCE_HINTS || out->n_endpoints == 0);
    for (int i = 0; i < out->n_endpoints; i++) {
        MUST(is_inside(f, out->endpoints[i].host.data, out->endpoints[i].host.len));
    }
}

static kp_status decode(const uint8_t *data, size_t len, int16_t version, bool is_checked) {
    uint8_t *copy = fuzz_copy(data, len);
    const frame f = {copy, len};
    kp_answer items[SLOTS] = {{0}};
    kp_answers out = {.items = items};
    const kp_status status = kp_answers_decode(copy, len, version, &request, &out);
    MUST(status == KP_OK || status == KP_ERR_MALFORMED);
    if (status == KP_OK && is_checked) {
        check_accepted(&f, version, &out);
    }
    free(copy);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const int16_t version = (int16_t)(KP_PRODUCE_MIN + data[0] % VERSIONS);
    const size_t len = 4 + size - 1;
    uint8_t *answer = malloc(len + 1);
    MUST(answer != NULL);
    kp_put_be32(answer, CORRELATION);
    memcpy(answer + 4, data + 1, size - 1);
    answer[len] = 0;
    if (decode(answer, len, version, true) == KP_OK) {
        MUST(decode(answer, len - 1, version, false) == KP_ERR_MALFORMED);
        MUST(decode(answer, len + 1, version, false) == KP_ERR_MALFORMED);
        answer[3] ^= 1; /* another correlation id */
        MUST(decode(answer, len, version, false) == KP_ERR_MALFORMED);
    }
    free(answer);
    return 0;
}
