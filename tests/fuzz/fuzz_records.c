/* Records: arbitrary bytes through the decoder, and batches of chosen records through append, stamp, read and range.
 * Input: a byte for the mode; then the bytes to decode, or for each record its flags, lengths, time and content. */
#include "fuzz.h"
#include "kp_batch.h"
#include "kp_endian.h"

enum { RECORDS = 64, CHUNK = 4096, FLAG_KEY = 1, FLAG_VALUE = 2, FLAG_HEADERS = 4, FLAG_FAR = 8 };

static const uint8_t no_headers[] = {0};

typedef struct model {
    kp_record records[RECORDS]; /* what was appended */
    int32_t n;
} model;

/* --- decoding --- */

static void check_bytes(const uint8_t *a, int64_t a_len, const uint8_t *b, int64_t b_len) {
    MUST(a_len == b_len);
    MUST(a_len <= 0 || memcmp(a, b, (size_t)a_len) == 0);
}

static void check_same(const kp_record *a, const kp_record *b) {
    check_bytes(a->key, a->key_len, b->key, b->key_len);
    check_bytes(a->value, a->value_len, b->value, b->value_len);
    check_bytes(a->headers == NULL ? no_headers : a->headers, a->headers == NULL ? 1 : a->headers_len, b->headers,
                b->headers_len);
    MUST(a->timestamp_ms == b->timestamp_ms);
}

/* What was decoded can be encoded, and comes back the same. */
static void check_round_trip(const kp_record *r) {
    const size_t body = kp_record_body_size(r, r->timestamp_ms, 0);
    const size_t size = kp_record_size(body);
    uint8_t *bytes = malloc(size);
    MUST(bytes != NULL && kp_record_encode(bytes, r, r->timestamp_ms, 0, body) == bytes + size);
    const uint8_t *p = bytes;
    kp_record again;
    MUST(kp_record_decode(&p, bytes + size, 0, &again) == KP_OK && p == bytes + size);
    check_same(r, &again);
    free(bytes);
}

static void decode_all(const uint8_t *data, size_t len) {
    uint8_t *copy = fuzz_copy(data, len);
    const uint8_t *p = copy, *end = copy + len;
    kp_record r;
    for (const uint8_t *before = p; p != end && kp_record_decode(&p, end, 0, &r) == KP_OK; before = p) {
        MUST(p > before && p <= end);
        check_round_trip(&r);
    }
    free(copy);
}

/* --- batches --- */

static int64_t choose_field(fuzz_input *in, bool is_there, const uint8_t **data) {
    size_t len = 0;
    const size_t wanted = is_there ? fuzz_byte(in) : 0;
    *data = fuzz_take(in, wanted, &len);
    return is_there ? (int64_t)len : -1;
}

static kp_record choose_record(fuzz_input *in) {
    kp_record r = {0};
    const uint8_t flags = fuzz_byte(in);
    r.timestamp_ms = (int64_t)(fuzz_number(in, flags & FLAG_FAR ? 8 : 2) & INT64_MAX); /* none is before 1970 */
    r.key_len = choose_field(in, flags & FLAG_KEY, &r.key);
    r.value_len = choose_field(in, flags & FLAG_VALUE, &r.value);
    if (flags & FLAG_HEADERS) {
        r.headers_len = choose_field(in, true, &r.headers);
    }
    if (r.headers_len == 0) {
        r.headers = NULL;
    }
    return r;
}

static kp_batch *new_batch(void) {
    const kp_chunk chunk = {.data = malloc(CHUNK), .size = CHUNK};
    kp_batch *b = chunk.data == NULL ? NULL : kp_batch_new(NULL, chunk, 0);
    MUST(b != NULL);
    b->chunk_is_reserve = true; /* from the heap: there is no pool here */
    return b;
}

static void fill(fuzz_input *in, kp_batch *b, model *m) {
    while (m->n < RECORDS && (fuzz_left(in) > 0 || m->n == 0)) {
        const kp_record r = choose_record(in);
        const kp_status status = kp_batch_append(b, &r);
        MUST(status == KP_OK || status == KP_FULL);
        if (status == KP_FULL) {
            return;
        }
        m->records[m->n++] = r;
    }
}

/* CRC-32C by its definition: the core's is under test. */
static uint32_t slow_crc(const uint8_t *p, size_t len) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

/* The batch holds these n records and nothing else, its header tells the truth. */
static void check_batch(const kp_batch *b, const kp_record *records, int32_t n) {
    const uint8_t *p = b->wire + KP_BATCH_HEADER, *end = b->wire + b->wire_len;
    int64_t max_ts = records[0].timestamp_ms;
    MUST(b->count == n && b->wire_len == b->len);
    MUST(kp_get_be32(b->wire + 8) == b->wire_len - 12);
    MUST(kp_get_be32(b->wire + 17) == slow_crc(b->wire + 21, b->wire_len - 21));
    MUST((int32_t)kp_get_be32(b->wire + 57) == n);
    MUST((int64_t)kp_get_be64(b->wire + 27) == records[0].timestamp_ms);
    for (int32_t i = 0; i < n; i++) {
        kp_record r;
        MUST(kp_record_decode(&p, end, records[0].timestamp_ms, &r) == KP_OK);
        check_same(&records[i], &r);
        max_ts = kp_max_i64(max_ts, records[i].timestamp_ms);
    }
    MUST(p == end);
    MUST((int64_t)kp_get_be64(b->wire + 35) == max_ts);
}

static void stamp(kp_batch *b, kp_codec_ctx *codec) {
    const kp_stamp s = {.producer_id = 7, .producer_epoch = 1, .base_sequence = 3};
    MUST(kp_batch_stamp(b, &s, codec) == KP_OK);
}

static void check_range(const kp_batch *b, const model *m, int32_t first, int32_t n, kp_codec_ctx *codec) {
    kp_batch *range = NULL;
    const kp_status status = kp_batch_range(b, first, n, NULL, &range);
    if (n < 1 || n > m->n - first) {
        MUST(status == KP_ERR_INVALID);
        return;
    }
    MUST(status == KP_OK);
    stamp(range, codec);
    check_batch(range, m->records + first, n);
    kp_batch_free(range, NULL);
}

static void build(fuzz_input *in) {
    static model m;
    kp_codec_lib lib;
    kp_codec_ctx *codec = NULL;
    MUST(kp_codec_lib_builtin(KP_CODEC_NONE, &lib) == KP_OK);
    MUST(kp_codec_ctx_new(KP_CODEC_NONE, KP_CODEC_LEVEL_DEFAULT, &lib, &codec) == KP_OK);
    m.n = 0;
    kp_batch *b = new_batch();
    const int32_t first = fuzz_below(in, RECORDS), n = fuzz_below(in, RECORDS);
    fill(in, b, &m);
    stamp(b, codec);
    check_batch(b, m.records, m.n);
    check_range(b, &m, first % m.n, n, codec);
    kp_batch_free(b, NULL);
    kp_codec_ctx_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + size};
    if (size == 0) {
        return 0;
    }
    if (fuzz_flag(&in)) {
        decode_all(in.p, fuzz_left(&in));
    } else {
        build(&in);
    }
    return 0;
}
