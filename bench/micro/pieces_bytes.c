/* The leaves: record, varints, checksum, hash. No state, so nothing is prepared. */
#include <string.h>

#include "kp_crc32c.h"
#include "kp_murmur2.h"
#include "kp_record.h"
#include "pieces.h"

enum { BATCH_CRC_BYTES = 16384 - 21, KEYS = 1024, KEY_BYTES = 16, PARTITIONS = 6 };

static uint8_t bytes[BATCH_CRC_BYTES];

static void encode_record(int32_t n) {
    uint8_t out[256];
    const kp_record r = {.key_len = -1, .value = bytes, .value_len = 100};
    for (int32_t i = 0; i < n; i++) {
        MICRO_FORGET(r);
        const size_t body = kp_record_body_size(&r, i & 63, i & 1023);
        micro_kept += (uint32_t)(kp_record_encode(out, &r, i & 63, i & 1023, body) - out);
    }
}

/* Widths from 1 to 5 bytes in turn. */
static int32_t varint_of(int32_t i) { return (int32_t)(1u << ((uint32_t)i * 7 % 31)); }

static void write_varint(int32_t n) {
    uint8_t out[KP_VARINT_MAX32];
    for (int32_t i = 0; i < n; i++) {
        micro_kept += (uint32_t)(kp_varint_put32(out, varint_of(i)) - out);
    }
}

static uint8_t varints[31 * KP_VARINT_MAX32];
static const uint8_t *varints_end;

static void prepare_varints(int32_t n) {
    KP_UNUSED(n);
    uint8_t *p = varints;
    for (int32_t i = 0; i < 31; i++) {
        p = kp_varint_put32(p, varint_of(i));
    }
    varints_end = p;
}

static void read_varint(int32_t n) {
    const uint8_t *p = varints;
    for (int32_t i = 0; i < n; i++) {
        int32_t v = 0;
        p = p == varints_end ? varints : p;
        if (kp_varint_get32(&p, varints_end, &v) != KP_OK) {
            micro_die("what was written can be read");
        }
        micro_kept += (uint32_t)v;
    }
}

static void crc_as_shipped(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        micro_kept = kp_crc32c(micro_kept, bytes, sizeof bytes);
    }
}

/* One stream, for comparison: each instruction waits for the one before. */
#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_stream(uint32_t crc, const uint8_t *p, size_t len) {
    uint64_t c = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = _mm_crc32_u64(c, word);
    }
    for (; len > 0; p++, len--) {
        c = _mm_crc32_u8((uint32_t)c, *p);
    }
    return ~(uint32_t)c;
}
#else
static uint32_t crc_stream(uint32_t crc, const uint8_t *p, size_t len) { return kp_crc32c_portable(crc, p, len); }
#endif

static void check_crc_stream(int32_t n) {
    KP_UNUSED(n);
    if (crc_stream(1, bytes, sizeof bytes) != kp_crc32c(1, bytes, sizeof bytes)) {
        micro_die("one stream and three give the same checksum");
    }
}

static void crc_one_stream(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        micro_kept = crc_stream(micro_kept, bytes, sizeof bytes);
    }
}

static uint8_t keys[KEYS][KEY_BYTES];

static void prepare_keys(int32_t n) {
    KP_UNUSED(n);
    for (uint32_t i = 0; i < KEYS; i++) {
        memset(keys[i], 'k', KEY_BYTES);
        memcpy(keys[i], &i, sizeof i);
    }
}

static void choose_by_key(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        micro_kept += (uint32_t)kp_murmur2_partition(keys[i % KEYS], KEY_BYTES, PARTITIONS);
    }
}

const micro_piece micro_byte_pieces[] = {
    {"encode a record of 100 B", "record", 100000, NULL, encode_record, NULL},
    {"write a varint of 1 to 5 B", "varint", 100000, NULL, write_varint, NULL},
    {"read a varint of 1 to 5 B", "varint", 100000, prepare_varints, read_varint, NULL},
    {"CRC-32C of 16 KiB, one stream", "batch", 1000, check_crc_stream, crc_one_stream, NULL},
    {"CRC-32C of 16 KiB, as shipped", "batch", 1000, NULL, crc_as_shipped, NULL},
    {"partition by a key of 16 B", "record", 100000, prepare_keys, choose_by_key, NULL},
    {0},
};
