/* Endian, varint, CRC, murmur2 and snappy against vectors, against slow definitions and against a decoder. */
#include <stdlib.h>

#include "kp_crc32.h"
#include "kp_crc32c.h"
#include "kp_endian.h"
#include "kp_murmur2.h"
#include "kp_snappy.h"
#include "kp_test.h"
#include "kp_varint.h"

/* ---- endian ---- */

static void integers_are_written_in_network_order(void) {
    uint8_t buf[8];
    kp_put_be16(buf, 0x0102);
    CHECK_BYTES(buf, "\x01\x02", 2);
    kp_put_be32(buf, 0x01020304);
    CHECK_BYTES(buf, "\x01\x02\x03\x04", 4);
    kp_put_be64(buf, 0x0102030405060708u);
    CHECK_BYTES(buf, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    kp_put_le16(buf, 0x0102);
    CHECK_BYTES(buf, "\x02\x01", 2);
    kp_put_le32(buf, 0x01020304);
    CHECK_BYTES(buf, "\x04\x03\x02\x01", 4);
}

static void integers_are_read_in_both_orders(void) {
    const uint8_t bytes[8] = {0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8};
    CHECK(kp_get_be16(bytes) == 0xf1f2u);
    CHECK(kp_get_be32(bytes) == 0xf1f2f3f4u);
    CHECK(kp_get_be64(bytes) == 0xf1f2f3f4f5f6f7f8u);
    CHECK(kp_get_le32(bytes) == 0xf4f3f2f1u);
    CHECK(kp_get_le64(bytes) == 0xf8f7f6f5f4f3f2f1u);
}

/* ---- varint ---- */

/* Ceiling of the number of bits over seven, by counting. */
static size_t slow_size(uint64_t u) {
    size_t size = 1;
    for (; u > 0x7f; u >>= 7) {
        size++;
    }
    return size;
}

static void check_varints_of(uint64_t u) {
    uint8_t buf[KP_VARINT_MAX64];
    const uint8_t *p = buf;
    uint64_t unsigned_back = 0;
    int64_t back = 0;
    int32_t back32 = 0;
    uint32_t unsigned_back32 = 0;

    CHECK_INT(kp_uvarint_size64(u), slow_size(u));
    CHECK_INT(kp_uvarint_put64(buf, u) - buf, slow_size(u));
    CHECK_INT(kp_uvarint_get64(&p, buf + sizeof buf, &unsigned_back), KP_OK);
    CHECK(unsigned_back == u && (size_t)(p - buf) == slow_size(u));

    p = buf;
    CHECK_INT(kp_varint_put64(buf, (int64_t)u) - buf, kp_varint_size64((int64_t)u));
    CHECK_INT(kp_varint_get64(&p, buf + sizeof buf, &back), KP_OK);
    CHECK(back == (int64_t)u);

    p = buf;
    CHECK_INT(kp_uvarint_put32(buf, (uint32_t)u) - buf, kp_uvarint_size32((uint32_t)u));
    CHECK_INT(kp_uvarint_get32(&p, buf + sizeof buf, &unsigned_back32), KP_OK);
    CHECK(unsigned_back32 == (uint32_t)u);

    p = buf;
    CHECK_INT(kp_varint_put32(buf, (int32_t)(uint32_t)u) - buf, kp_varint_size32((int32_t)(uint32_t)u));
    CHECK_INT(kp_varint_get32(&p, buf + sizeof buf, &back32), KP_OK);
    CHECK(back32 == (int32_t)(uint32_t)u);
}

static void varints_round_trip_at_every_bit_width(void) {
    uint64_t seed = 7;
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t power = (uint64_t)1 << bit;
        check_varints_of(power - 1);
        check_varints_of(power);
        check_varints_of(power + 1);
        check_varints_of(0 - power);
        check_varints_of(kp_test_random(&seed) >> bit);
    }
}

static void zigzag_gives_small_numbers_to_small_magnitudes(void) {
    uint8_t buf[KP_VARINT_MAX64];
    CHECK(kp_varint_put32(buf, -1) == buf + 1 && buf[0] == 1);
    CHECK(kp_varint_put32(buf, 1) == buf + 1 && buf[0] == 2);
    CHECK(kp_varint_put32(buf, -64) == buf + 1 && buf[0] == 0x7f);
    CHECK(kp_varint_put64(buf, 64) == buf + 2);
    CHECK_BYTES(buf, "\x80\x01", 2);
    CHECK_INT(kp_varint_size32(INT32_MIN), 5);
    CHECK_INT(kp_varint_size64(INT64_MIN), 10);
}

static void a_varint_cut_short_is_malformed_and_leaves_the_cursor(void) {
    uint8_t buf[KP_VARINT_MAX64];
    const size_t full = (size_t)(kp_varint_put64(buf, INT64_MIN) - buf);
    for (size_t cut = 0; cut < full; cut++) {
        uint8_t *exact = malloc(cut + 1); /* its own allocation, so that ASan sees a read past the end */
        int64_t out = 42;
        CHECK(exact != NULL);
        memcpy(exact + 1, buf, cut);
        const uint8_t *p = exact + 1;
        const kp_status status = kp_varint_get64(&p, exact + 1 + cut, &out);
        const bool is_unmoved = p == exact + 1;
        free(exact);
        CHECK_INT(status, KP_ERR_MALFORMED);
        CHECK(is_unmoved && out == 42);
    }
}

static void a_varint_wider_than_its_type_is_malformed(void) {
    const uint8_t five_bytes_33_bits[] = {0x80, 0x80, 0x80, 0x80, 0x10};
    const uint8_t six_bytes[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    const uint8_t ten_bytes_65_bits[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02};
    const uint8_t eleven_bytes[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    uint32_t out32;
    uint64_t out64;
    const uint8_t *p = five_bytes_33_bits;
    CHECK_INT(kp_uvarint_get32(&p, p + sizeof five_bytes_33_bits, &out32), KP_ERR_MALFORMED);
    p = six_bytes;
    CHECK_INT(kp_uvarint_get32(&p, p + sizeof six_bytes, &out32), KP_ERR_MALFORMED);
    p = ten_bytes_65_bits;
    CHECK_INT(kp_uvarint_get64(&p, p + sizeof ten_bytes_65_bits, &out64), KP_ERR_MALFORMED);
    p = eleven_bytes;
    CHECK_INT(kp_uvarint_get64(&p, p + sizeof eleven_bytes, &out64), KP_ERR_MALFORMED);
}

/* ---- checksums ---- */

static uint32_t slow_crc(uint32_t polynomial, uint32_t crc, const uint8_t *data, size_t len) {
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (polynomial & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

static void fill_random(uint8_t *data, size_t len, uint64_t seed) {
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(kp_test_random(&seed) >> 32);
    }
}

static void checksums_give_the_published_vectors(void) {
    uint8_t bytes[32];
    CHECK(kp_crc32c(0, "123456789", 9) == 0xe3069283u);
    CHECK(kp_crc32(0, "123456789", 9) == 0xcbf43926u);
    CHECK(kp_crc32c(0, NULL, 0) == 0);
    CHECK(kp_crc32(0, NULL, 0) == 0);
    memset(bytes, 0, sizeof bytes); /* RFC 3720 B.4 */
    CHECK(kp_crc32c(0, bytes, sizeof bytes) == 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    CHECK(kp_crc32c(0, bytes, sizeof bytes) == 0x62a8ab43u);
}

static void every_crc32c_variant_equals_the_definition(void) {
    static uint8_t data[32768];
    /* Around every stream length of every variant, at odd addresses, and all short lengths. */
    const size_t edges[] = {191, 192, 193, 767, 768, 775, 3071, 3072, 3073, 6143, 6144, 6145, 16344, 20000, 32760};
    size_t count;
    const kp_crc32c_variant *const v = kp_crc32c_variants(&count);
    fill_random(data, sizeof data, 11);
    for (size_t i = 0; i < count; i++) {
        if (!v[i].is_supported()) {
            printf("crc32c variant %s: not on this CPU\n", v[i].name);
            continue;
        }
        for (size_t len = 0; len < 300; len++) {
            const uint8_t *const p = data + len % 9;
            CHECK(v[i].compute(0x1234u, p, len) == slow_crc(0x82f63b78u, 0x1234u, p, len));
        }
        for (size_t e = 0; e < KP_ARRAY_LEN(edges); e++) {
            const uint8_t *const p = data + e % 8;
            CHECK(v[i].compute(0, p, edges[e]) == slow_crc(0x82f63b78u, 0, p, edges[e]));
        }
        printf("crc32c variant %s: checked\n", v[i].name);
    }
    CHECK(strcmp(v[count - 1].name, "portable") == 0);
}

static void a_checksum_may_be_computed_in_pieces(void) {
    static uint8_t data[20000];
    uint64_t seed = 5;
    fill_random(data, sizeof data, 3);
    const uint32_t whole = kp_crc32c(0, data, sizeof data), whole32 = kp_crc32(0, data, sizeof data);
    for (int round = 0; round < 50; round++) {
        const size_t cut = kp_test_random(&seed) % sizeof data;
        CHECK(kp_crc32c(kp_crc32c(0, data, cut), data + cut, sizeof data - cut) == whole);
        CHECK(kp_crc32(kp_crc32(0, data, cut), data + cut, sizeof data - cut) == whole32);
    }
    CHECK(whole32 == slow_crc(0xedb88320u, 0, data, sizeof data));
}

static void the_selected_variant_is_the_first_supported_one(void) {
    size_t count;
    const kp_crc32c_variant *v = kp_crc32c_variants(&count);
    while (!v->is_supported()) {
        v++;
    }
    CHECK(kp_crc32c_select() == v);
}

/* ---- murmur2 ---- */

static int32_t murmur2_of(const char *key) { return kp_murmur2((const uint8_t *)key, strlen(key)); }

static void murmur2_gives_the_java_vectors(void) {
    CHECK_INT(kp_murmur2(NULL, 0), 275646681);
    CHECK_INT(murmur2_of("21"), -973932308);
    CHECK_INT(murmur2_of("foobar"), -790332482);
    CHECK_INT(murmur2_of("a-little-bit-long-string"), -985981536);
    CHECK_INT(murmur2_of("a-little-bit-longer-string"), -1486304829);
    CHECK_INT(murmur2_of("abc"), 479470107);
}

static void a_negative_hash_gives_a_valid_partition(void) {
    CHECK_INT(kp_murmur2_partition((const uint8_t *)"21", 2, 7), (-973932308 & 0x7fffffff) % 7);
    CHECK_INT(kp_murmur2_partition((const uint8_t *)"foobar", 6, 1), 0);
}

/* ---- snappy ---- */

/* Plain decoder of one raw block; returns the length, or SIZE_MAX for malformed input. */
static size_t snappy_decode(const uint8_t *p, size_t len, uint8_t *out, size_t cap) {
    const uint8_t *const end = p + len;
    uint32_t expected;
    size_t n = 0;
    if (kp_uvarint_get32(&p, end, &expected) != KP_OK || expected > cap) {
        return SIZE_MAX;
    }
    while (p < end) {
        const unsigned tag = *p++;
        size_t count, offset;
        if ((tag & 3) == 0) {
            const size_t extra = (tag >> 2) < 60 ? 0 : (tag >> 2) - 59;
            count = (tag >> 2) + 1;
            if (extra > 0) {
                count = 1;
                for (size_t i = 0; i < extra && p < end; i++) {
                    count += (size_t)*p++ << 8 * i;
                }
            }
            if (count > (size_t)(end - p) || count > expected - n) {
                return SIZE_MAX;
            }
            memcpy(out + n, p, count);
            p += count;
            n += count;
            continue;
        }
        if ((tag & 3) == 3 || end - p < (tag & 3)) {
            return SIZE_MAX; /* this encoder never writes 4-byte offsets */
        }
        count = (tag & 3) == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
        offset = (tag & 3) == 1 ? (size_t)(tag >> 5) << 8 | p[0] : (size_t)p[1] << 8 | p[0];
        p += tag & 3;
        if (offset == 0 || offset > n || count > expected - n) {
            return SIZE_MAX;
        }
        for (; count > 0; count--, n++) {
            out[n] = out[n - offset];
        }
    }
    return n == expected ? n : SIZE_MAX;
}

static size_t xerial_decode(const uint8_t *p, size_t len, uint8_t *out, size_t cap) {
    const uint8_t *const end = p + len;
    size_t n = 0;
    if (len < 16 || memcmp(p, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16) != 0) {
        return SIZE_MAX;
    }
    p += 16;
    while (p < end) {
        if (end - p < 4 || kp_get_be32(p) > (size_t)(end - p - 4)) {
            return SIZE_MAX;
        }
        const size_t got = snappy_decode(p + 4, kp_get_be32(p), out + n, cap - n);
        if (got == SIZE_MAX || got > KP_SNAPPY_XERIAL_BLOCK) {
            return SIZE_MAX;
        }
        n += got;
        p += 4 + kp_get_be32(p);
    }
    return n;
}

enum { SAMPLE_KINDS = 5 };

/* Constant, random, text-like, two-letter and records with a changing middle. */
static void fill_sample(uint8_t *data, size_t len, unsigned kind, uint64_t seed) {
    static const char words[] = "timestamp level=INFO partition offset user-agent GET /index.html 200 \n";
    for (size_t i = 0; i < len; i++) {
        const uint64_t r = kp_test_random(&seed) >> 20;
        switch (kind) {
        case 0: data[i] = 'x'; break;
        case 1: data[i] = (uint8_t)r; break;
        case 2: data[i] = (uint8_t)words[(i % 16 == 0 ? r : i) % (sizeof words - 1)]; break;
        case 3: data[i] = (uint8_t)('a' + (r & 1)); break;
        default: data[i] = (uint8_t)(i % 100 < 90 ? words[i % 100 % (sizeof words - 1)] : (char)r); break;
        }
    }
}

/* Compresses into an allocation of exactly `cap` bytes, so that ASan sees a write past it. */
static kp_status xerial_into(const uint8_t *src, size_t n, size_t cap, uint8_t **dst, size_t *out_len) {
    kp_snappy_scratch *const scratch = malloc(sizeof *scratch);
    uint8_t *const exact_src = malloc(n + 1);
    *dst = malloc(cap + 1);
    if (scratch == NULL || exact_src == NULL || *dst == NULL) {
        abort();
    }
    memset(scratch, 0xa5, sizeof *scratch);
    memcpy(exact_src + 1, src, n);
    const kp_status status = kp_snappy_xerial_compress(scratch, exact_src + 1, n, *dst + 1, cap, out_len);
    free(scratch);
    free(exact_src);
    return status;
}

static void snappy_round_trips_every_kind_and_size(void) {
    const size_t sizes[] = {0, 1, 2, 3, 4, 5, 8, 15, 60, 61, 62, 255, 256, 257, 300, 1000, 4096, 16384,
                            32767, 32768, 32769, 65536, 100000, 200000};
    uint8_t *const src = malloc(200000), *const back = malloc(200000);
    CHECK(src != NULL && back != NULL);
    for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
        for (size_t s = 0; s < KP_ARRAY_LEN(sizes); s++) {
            const size_t n = sizes[s], bound = kp_snappy_xerial_bound(n);
            uint8_t *packed;
            size_t packed_len = 0;
            fill_sample(src, n, kind, 99 + s);
            CHECK_INT(xerial_into(src, n, bound, &packed, &packed_len), KP_OK);
            CHECK_INT(xerial_decode(packed + 1, packed_len, back, 200000), n);
            CHECK_BYTES(src, back, n);
            CHECK(packed_len <= bound);
            CHECK(n < 4096 || kind == 1 || packed_len < n);
            free(packed);
        }
    }
    free(src);
    free(back);
}

static void snappy_says_full_for_every_capacity_that_is_too_small(void) {
    uint8_t src[700], *packed;
    size_t packed_len = 0, ignored;
    for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
        fill_sample(src, sizeof src, kind, 17);
        CHECK_INT(xerial_into(src, sizeof src, kp_snappy_xerial_bound(sizeof src), &packed, &packed_len), KP_OK);
        free(packed);
        for (size_t cap = 0; cap <= packed_len; cap++) {
            const kp_status status = xerial_into(src, sizeof src, cap, &packed, &ignored);
            free(packed);
            CHECK_INT(status, cap < packed_len ? KP_FULL : KP_OK);
        }
    }
}

static void snappy_blocks_have_a_largest_size(void) {
    static uint8_t src[KP_SNAPPY_BLOCK_MAX + 1], dst[2 * KP_SNAPPY_BLOCK_MAX], back[KP_SNAPPY_BLOCK_MAX];
    static kp_snappy_scratch scratch;
    size_t len = 0;
    fill_sample(src, sizeof src, 2, 1);
    CHECK_INT(kp_snappy_block_compress(&scratch, src, sizeof src, dst, sizeof dst, &len), KP_ERR_TOO_LARGE);
    CHECK_INT(kp_snappy_block_compress(&scratch, src, KP_SNAPPY_BLOCK_MAX, dst, sizeof dst, &len), KP_OK);
    CHECK(len <= kp_snappy_block_bound(KP_SNAPPY_BLOCK_MAX));
    CHECK_INT(snappy_decode(dst, len, back, sizeof back), KP_SNAPPY_BLOCK_MAX);
    CHECK_BYTES(src, back, sizeof back);
}

static const kp_test tests[] = {
    KP_TEST(integers_are_written_in_network_order),
    KP_TEST(integers_are_read_in_both_orders),
    KP_TEST(varints_round_trip_at_every_bit_width),
    KP_TEST(zigzag_gives_small_numbers_to_small_magnitudes),
    KP_TEST(a_varint_cut_short_is_malformed_and_leaves_the_cursor),
    KP_TEST(a_varint_wider_than_its_type_is_malformed),
    KP_TEST(checksums_give_the_published_vectors),
    KP_TEST(every_crc32c_variant_equals_the_definition),
    KP_TEST(a_checksum_may_be_computed_in_pieces),
    KP_TEST(the_selected_variant_is_the_first_supported_one),
    KP_TEST(murmur2_gives_the_java_vectors),
    KP_TEST(a_negative_hash_gives_a_valid_partition),
    KP_TEST(snappy_round_trips_every_kind_and_size),
    KP_TEST(snappy_says_full_for_every_capacity_that_is_too_small),
    KP_TEST(snappy_blocks_have_a_largest_size),
};

KP_TEST_MAIN(tests)
