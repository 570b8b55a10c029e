/* Purpose: fixed-width integers in network order (Kafka) and little-endian order (checksums, lz4).
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. The caller has checked that the bytes are there. */
#ifndef KP_ENDIAN_H
#define KP_ENDIAN_H

#include <string.h>

#include "kp_base.h"

/* Shifts, not casts: no alignment or byte-order assumption, and compilers make one swapped access of them. */

static inline void kp_put_be16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void kp_put_be32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void kp_put_be64(uint8_t *p, uint64_t v) {
    kp_put_be32(p, (uint32_t)(v >> 32));
    kp_put_be32(p + 4, (uint32_t)v);
}

static inline uint16_t kp_get_be16(const uint8_t *p) {
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t kp_get_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t kp_get_be64(const uint8_t *p) {
    return (uint64_t)kp_get_be32(p) << 32 | kp_get_be32(p + 4);
}

static inline void kp_put_le16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void kp_put_le32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

/* Little-endian loads are in inner loops, where GCC does not always see through the shifts. */
#if defined(_MSC_VER) || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

static inline uint32_t kp_get_le32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t kp_get_le64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#else

static inline uint32_t kp_get_le32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t kp_get_le64(const uint8_t *p) {
    return (uint64_t)kp_get_le32(p + 4) << 32 | kp_get_le32(p);
}

#endif

#endif
