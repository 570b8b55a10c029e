/* Purpose: varints of the Kafka protocol: zigzag (record v2) and unsigned (compact types).
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. Writers trust the caller's room check, readers check every byte. */
#ifndef KP_VARINT_H
#define KP_VARINT_H

#include "kp_base.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

enum { KP_VARINT_MAX32 = 5, KP_VARINT_MAX64 = 10 };

/* Number of significant bits; v must not be 0. */
static inline unsigned kp_bit_width64(uint64_t v) {
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long top;
    _BitScanReverse64(&top, v);
    return (unsigned)top + 1;
#else
    return ((unsigned)__builtin_clzll(v) ^ 63u) + 1; /* which compilers make one instruction of */
#endif
}

static inline uint32_t kp_zigzag32(int32_t v) { return ((uint32_t)v << 1) ^ (0u - ((uint32_t)v >> 31)); }
static inline uint64_t kp_zigzag64(int64_t v) { return ((uint64_t)v << 1) ^ (0u - ((uint64_t)v >> 63)); }
static inline int32_t kp_unzigzag32(uint32_t u) { return (int32_t)((u >> 1) ^ (0u - (u & 1u))); }
static inline int64_t kp_unzigzag64(uint64_t u) { return (int64_t)((u >> 1) ^ ((uint64_t)0 - (u & 1u))); }

/* Lengths and deltas are nearly always of one or two bytes, and which of them a branch predictor learns.
 * (9 * bits + 64) / 64 equals ceil(bits / 7) for 1 to 64 bits, without a division. */
static inline size_t kp_uvarint_size64(uint64_t u) {
    if (kp_likely(u < 0x4000)) {
        return u < 0x80 ? 1 : 2;
    }
    return (kp_bit_width64(u) * 9 + 64) >> 6;
}
static inline size_t kp_uvarint_size32(uint32_t u) { return kp_uvarint_size64(u); }
static inline size_t kp_varint_size32(int32_t v) { return kp_uvarint_size64(kp_zigzag32(v)); }
static inline size_t kp_varint_size64(int64_t v) { return kp_uvarint_size64(kp_zigzag64(v)); }

/* Each writer returns the first byte after what it wrote. */
static inline uint8_t *kp_uvarint_put64(uint8_t *p, uint64_t u) {
    if (kp_likely(u < 0x80)) {
        *p = (uint8_t)u;
        return p + 1;
    }
    if (kp_likely(u < 0x4000)) {
        p[0] = (uint8_t)(u | 0x80);
        p[1] = (uint8_t)(u >> 7);
        return p + 2;
    }
    while (u > 0x7f) {
        *p++ = (uint8_t)(u | 0x80);
        u >>= 7;
    }
    *p++ = (uint8_t)u;
    return p;
}

static inline uint8_t *kp_uvarint_put32(uint8_t *p, uint32_t u) { return kp_uvarint_put64(p, u); }

static inline uint8_t *kp_varint_put32(uint8_t *p, int32_t v) { return kp_uvarint_put32(p, kp_zigzag32(v)); }
static inline uint8_t *kp_varint_put64(uint8_t *p, int64_t v) { return kp_uvarint_put64(p, kp_zigzag64(v)); }

/* Each reader moves *p only on KP_OK; KP_ERR_MALFORMED when the bytes end early or the value is too wide. */
static inline kp_status kp_uvarint_get_bits(const uint8_t **p, const uint8_t *end, unsigned bits, uint64_t *out) {
    uint64_t u = 0;
    const uint8_t *q = *p;
    for (unsigned shift = 0; shift < bits && q != end; shift += 7) {
        const uint8_t byte = *q++;
        if (bits - shift < 7 && (byte >> (bits - shift)) != 0) {
            return KP_ERR_MALFORMED;
        }
        u |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *p = q;
            *out = u;
            return KP_OK;
        }
    }
    return KP_ERR_MALFORMED;
}

static inline kp_status kp_uvarint_get64(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    return kp_uvarint_get_bits(p, end, 64, out);
}

static inline kp_status kp_uvarint_get32(const uint8_t **p, const uint8_t *end, uint32_t *out) {
    uint64_t u = 0;
    const kp_status status = kp_uvarint_get_bits(p, end, 32, &u);
    if (status == KP_OK) {
        *out = (uint32_t)u;
    }
    return status;
}

static inline kp_status kp_varint_get32(const uint8_t **p, const uint8_t *end, int32_t *out) {
    uint32_t u = 0;
    const kp_status status = kp_uvarint_get32(p, end, &u);
    if (status == KP_OK) {
        *out = kp_unzigzag32(u);
    }
    return status;
}

static inline kp_status kp_varint_get64(const uint8_t **p, const uint8_t *end, int64_t *out) {
    uint64_t u = 0;
    const kp_status status = kp_uvarint_get64(p, end, &u);
    if (status == KP_OK) {
        *out = kp_unzigzag64(u);
    }
    return status;
}

#endif
