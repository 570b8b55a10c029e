#include "kp_snappy.h"

#include <string.h>

#include "kp_endian.h"
#include "kp_varint.h"

enum {
    MIN_MATCH = 4,
    WIDE = 8,           /* bytes compared at once */
    SHORT = 16,         /* literals up to this length are copied as one fixed block where both sides have the room */
    TABLE_BITS_MIN = 8, /* clearing a table that is larger than the input would cost more than compressing it */
    SKIP_START = 32,    /* after 32 misses look at every second byte, then every third: incompressible data is passed fast */
    TAG_LITERAL = 0,
    TAG_COPY_1 = 1,
    TAG_COPY_2 = 2
};

static const uint8_t xerial_header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};

typedef struct writer {
    uint8_t *p;
    uint8_t *end;
} writer;

static size_t room(const writer *w) { return (size_t)(w->end - w->p); }

static bool put_literal(writer *w, const uint8_t *src, size_t len, const uint8_t *src_end) {
    uint8_t tag[3];
    size_t tag_len = 1;
    if (len == 0) {
        return true;
    }
    if (len <= SHORT && (size_t)(src_end - src) >= SHORT && room(w) > SHORT) {
        w->p[0] = (uint8_t)((len - 1) << 2 | TAG_LITERAL);
        memcpy(w->p + 1, src, SHORT);
        w->p += 1 + len;
        return true;
    }
    if (len <= 60) {
        tag[0] = (uint8_t)((len - 1) << 2 | TAG_LITERAL);
    } else if (len <= 256) {
        tag[0] = 60 << 2 | TAG_LITERAL;
        tag[1] = (uint8_t)(len - 1);
        tag_len = 2;
    } else {
        tag[0] = 61 << 2 | TAG_LITERAL;
        kp_put_le16(tag + 1, (uint16_t)(len - 1));
        tag_len = 3;
    }
    if (room(w) < tag_len + len) {
        return false;
    }
    memcpy(w->p, tag, tag_len);
    memcpy(w->p + tag_len, src, len);
    w->p += tag_len + len;
    return true;
}

/* One copy element of 1 to 64 bytes. */
static bool put_copy_element(writer *w, size_t offset, size_t len) {
    const bool is_short = len >= 4 && len <= 11 && offset < 2048;
    if (room(w) < (is_short ? 2 : 3)) {
        return false;
    }
    if (is_short) {
        w->p[0] = (uint8_t)(TAG_COPY_1 | (len - 4) << 2 | offset >> 8 << 5);
        w->p[1] = (uint8_t)offset;
        w->p += 2;
    } else {
        w->p[0] = (uint8_t)(TAG_COPY_2 | (len - 1) << 2);
        kp_put_le16(w->p + 1, (uint16_t)offset);
        w->p += 3;
    }
    return true;
}

static bool put_copy(writer *w, size_t offset, size_t len) {
    for (; len >= 64 + MIN_MATCH; len -= 64) {
        if (!put_copy_element(w, offset, 64)) {
            return false;
        }
    }
    if (len > 64) { /* leave at least 4 for the last element, which then may be a short one */
        if (!put_copy_element(w, offset, 60)) {
            return false;
        }
        len -= 60;
    }
    return put_copy_element(w, offset, len);
}

static unsigned trailing_zero_bytes(uint64_t difference) {
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long bit;
    _BitScanForward64(&bit, difference);
    return (unsigned)bit / 8;
#else
    return (unsigned)__builtin_ctzll(difference) / 8;
#endif
}

/* How many bytes at b equal those at a; b is the later one. */
static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end) {
    const uint8_t *const start = b;
    while ((size_t)(end - b) >= WIDE) {
        const uint64_t difference = kp_get_le64(a) ^ kp_get_le64(b);
        if (difference != 0) {
            return (size_t)(b - start) + trailing_zero_bytes(difference);
        }
        a += WIDE;
        b += WIDE;
    }
    while (b < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(b - start);
}

static unsigned table_bits_for(size_t n) {
    unsigned bits = TABLE_BITS_MIN;
    while (bits < KP_SNAPPY_TABLE_BITS_MAX && ((size_t)1 << bits) < n) {
        bits++;
    }
    return bits;
}

static uint32_t hash4(uint32_t word, unsigned bits) { return (word * 0x9e3779b1u) >> (32 - bits); }

/* Greedy: at each position take the last one with the same hash of 4 bytes, if its bytes match. */
static bool put_elements(writer *w, uint16_t *table, const uint8_t *src, size_t n) {
    const uint8_t *const end = src + n;
    const uint8_t *literal = src;
    if (n > MIN_MATCH) {
        const unsigned bits = table_bits_for(n);
        const uint8_t *const last = end - MIN_MATCH;
        const uint8_t *p = src + 1; /* position 0 is what an empty entry says */
        unsigned skip = SKIP_START;
        memset(table, 0, sizeof table[0] << bits);
        while (p <= last) {
            const uint32_t word = kp_get_le32(p);
            uint16_t *const entry = &table[hash4(word, bits)];
            const uint8_t *const candidate = src + *entry;
            *entry = (uint16_t)(p - src);
            if (kp_get_le32(candidate) != word) {
                p += skip++ / SKIP_START;
                continue;
            }
            const size_t len = MIN_MATCH + match_length(candidate + MIN_MATCH, p + MIN_MATCH, end);
            if (!put_literal(w, literal, (size_t)(p - literal), end) || !put_copy(w, (size_t)(p - candidate), len)) {
                return false;
            }
            p += len;
            literal = p;
            skip = SKIP_START;
            if (p <= last) { /* a repeat often goes on where the last one ended */
                table[hash4(kp_get_le32(p - 1), bits)] = (uint16_t)(p - 1 - src);
            }
        }
    }
    return put_literal(w, literal, (size_t)(end - literal), end);
}

static bool put_block(writer *w, kp_snappy_scratch *scratch, const uint8_t *src, size_t n) {
    if (room(w) < kp_uvarint_size32((uint32_t)n)) {
        return false;
    }
    w->p = kp_uvarint_put32(w->p, (uint32_t)n);
    return put_elements(w, scratch->table, src, n);
}

size_t kp_snappy_block_bound(size_t n) {
    return n + n / 6 + 32;
}

size_t kp_snappy_xerial_bound(size_t n) {
    const size_t blocks = n / KP_SNAPPY_XERIAL_BLOCK + 1;
    return sizeof xerial_header + n + n / 6 + blocks * (4 + 32);
}

kp_status kp_snappy_block_compress(kp_snappy_scratch *scratch, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                                   size_t *out_len) {
    writer w = {dst, dst + cap};
    if (n > KP_SNAPPY_BLOCK_MAX) {
        return KP_ERR_TOO_LARGE;
    }
    if (!put_block(&w, scratch, src, n)) {
        return KP_FULL;
    }
    *out_len = (size_t)(w.p - dst);
    return KP_OK;
}

kp_status kp_snappy_xerial_compress(kp_snappy_scratch *scratch, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                                    size_t *out_len) {
    writer w = {dst, dst + cap};
    if (cap < sizeof xerial_header) {
        return KP_FULL;
    }
    memcpy(w.p, xerial_header, sizeof xerial_header);
    w.p += sizeof xerial_header;
    while (n > 0) {
        const size_t take = kp_min_size(n, KP_SNAPPY_XERIAL_BLOCK);
        uint8_t *const length = w.p;
        if (room(&w) < 4) {
            return KP_FULL;
        }
        w.p += 4;
        if (!put_block(&w, scratch, src, take)) {
            return KP_FULL;
        }
        kp_put_be32(length, (uint32_t)(w.p - length - 4));
        src += take;
        n -= take;
    }
    *out_len = (size_t)(w.p - dst);
    return KP_OK;
}
