/* The snappy encoder against a decoder by the format's description, with room enough and with too little.
 * Input: a byte for the framing, two for the room, one for repetition, then what is compressed. */
#include "fuzz.h"
#include "kp_endian.h"
#include "kp_snappy.h"
#include "kp_varint.h"

enum { REPEATS = 8, XERIAL_HEADER = 16 };

typedef struct output {
    uint8_t *data;
    size_t len, cap;
} output;

static size_t literal_length(unsigned tag, const uint8_t **p, const uint8_t *end) {
    const size_t extra = tag >> 2 < 60 ? 0 : (tag >> 2) - 59;
    size_t len = tag >> 2;
    MUST((size_t)(end - *p) >= extra);
    for (size_t i = 0; i < extra; i++) {
        len = (i == 0 ? 0 : len) | (size_t)*(*p)++ << 8 * i;
    }
    return len + 1;
}

static void literal(output *out, unsigned tag, const uint8_t **p, const uint8_t *end) {
    const size_t len = literal_length(tag, p, end);
    MUST(len <= (size_t)(end - *p) && len <= out->cap - out->len);
    memcpy(out->data + out->len, *p, len);
    out->len += len;
    *p += len;
}

static void copy(output *out, size_t start, unsigned tag, const uint8_t **p, const uint8_t *end) {
    const unsigned kind = tag & 3;
    MUST(kind != 3 && end - *p >= (ptrdiff_t)kind); /* this encoder writes no offset of 4 bytes */
    const size_t len = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
    const size_t offset = kind == 1 ? (size_t)(tag >> 5) << 8 | (*p)[0] : (size_t)(*p)[1] << 8 | (*p)[0];
    *p += kind;
    MUST(offset > 0 && offset <= out->len - start && len <= out->cap - out->len);
    for (size_t i = 0; i < len; i++, out->len++) {
        out->data[out->len] = out->data[out->len - offset];
    }
}

static void decode_block(output *out, const uint8_t *p, size_t len) {
    const uint8_t *end = p + len;
    const size_t start = out->len;
    uint32_t expected = 0;
    MUST(kp_uvarint_get32(&p, end, &expected) == KP_OK);
    while (p < end) {
        const unsigned tag = *p++;
        if ((tag & 3) == 0) {
            literal(out, tag, &p, end);
        } else {
            copy(out, start, tag, &p, end);
        }
    }
    MUST(out->len - start == expected);
}

static void decode_xerial(output *out, const uint8_t *p, size_t len) {
    const uint8_t *end = p + len;
    MUST(len >= XERIAL_HEADER && memcmp(p, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", XERIAL_HEADER) == 0);
    for (p += XERIAL_HEADER; p < end;) {
        MUST(end - p > 4 && kp_get_be32(p) <= (size_t)(end - p - 4));
        const uint32_t block = kp_get_be32(p);
        decode_block(out, p + 4, block);
        p += 4 + block;
    }
}

static uint8_t *repeat(const uint8_t *data, size_t len, int times, size_t *total) {
    *total = len * (size_t)times;
    uint8_t *all = malloc(*total > 0 ? *total : 1);
    MUST(all != NULL);
    for (int i = 0; i < times; i++) {
        memcpy(all + (size_t)i * len, data, len);
    }
    return all;
}

/* A room of 0xffff asks for the bound, with which it must fit. */
static void round_trip(const uint8_t *src, size_t n, bool is_xerial, size_t room) {
    static kp_snappy_scratch scratch;
    const size_t bound = is_xerial ? kp_snappy_xerial_bound(n) : kp_snappy_block_bound(n);
    const size_t cap = room == UINT16_MAX ? bound : kp_min_size(room, bound);
    uint8_t *packed = malloc(cap > 0 ? cap : 1);
    output back = {.data = malloc(n > 0 ? n : 1), .cap = n};
    size_t len = 0;
    MUST(packed != NULL && back.data != NULL);
    const kp_status status = is_xerial ? kp_snappy_xerial_compress(&scratch, src, n, packed, cap, &len)
                                       : kp_snappy_block_compress(&scratch, src, n, packed, cap, &len);
    if (!is_xerial && n > KP_SNAPPY_BLOCK_MAX) {
        MUST(status == KP_ERR_TOO_LARGE);
    } else if (status == KP_OK) {
        MUST(len <= cap);
        (is_xerial ? decode_xerial : decode_block)(&back, packed, len);
        MUST(back.len == n && memcmp(back.data, src, n) == 0);
    } else {
        MUST(status == KP_FULL && cap < bound);
    }
    free(back.data);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + size};
    const bool is_xerial = fuzz_flag(&in);
    const size_t room = fuzz_number(&in, 2);
    const int times = 1 << fuzz_below(&in, REPEATS);
    size_t n = 0;
    uint8_t *src = repeat(in.p, fuzz_left(&in), times, &n);
    round_trip(src, n, is_xerial, room);
    free(src);
    return 0;
}
