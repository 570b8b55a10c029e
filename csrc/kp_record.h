/* Purpose: one record of batch format v2 (KIP-98), written to or read from a buffer.
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_RECORD_H
#define KP_RECORD_H

#include <string.h>

#include "kp_varint.h"

/* As a timestamp: the append takes the time and writes it here. */
#define KP_NOW INT64_MIN

/* What send() gives: borrowed bytes, copied by the append. A length of -1 is null. */
typedef struct kp_record {
    const uint8_t *key;
    const uint8_t *value;
    const uint8_t *headers; /* encoded: varint count, then the headers; NULL for none */
    int64_t key_len;
    int64_t value_len;
    int64_t headers_len;
    int64_t timestamp_ms;
} kp_record;

/* Some bytes that stay where they are; a length of -1 is null. */
typedef struct kp_slice {
    const uint8_t *data;
    int64_t len;
} kp_slice;

/* No length may come near int32: refused before any arithmetic (2^31-1 - 64 KiB). */
enum { KP_RECORD_MAX = INT32_MAX - 65536 };

/* Inline, because the append is the hot path (with a plain sum of sticky bytes: 153 to 144 ns of CPU a record). */

static inline size_t kp_record_field_size(int64_t len) {
    return len < 0 ? 1 : kp_uvarint_size64((uint64_t)len << 1) + (size_t)len; /* zigzag of a length: twice as much */
}

static inline size_t kp_record_headers_size(const kp_record *r) { return r->headers == NULL ? 1 : (size_t)r->headers_len; }

static inline bool kp_record_is_sane(const kp_record *r) {
    /* Each is checked alone first, so that the sum of three cannot overflow int64. As unsigned numbers what is
     * below -1 is too large. */
    const uint64_t most = (uint64_t)KP_RECORD_MAX + 1;
    return (uint64_t)r->key_len + 1 <= most && (uint64_t)r->value_len + 1 <= most && (uint64_t)r->headers_len < most &&
           r->key_len + r->value_len + r->headers_len <= KP_RECORD_MAX;
}

/* Size of what follows the length field, at this place in a batch; only of a record that has a bound. */
static inline size_t kp_record_body_size(const kp_record *r, int64_t ts_delta, int32_t offset_delta) {
    return 1 + kp_varint_size64(ts_delta) + kp_varint_size32(offset_delta) + kp_record_field_size(r->key_len) +
           kp_record_field_size(r->value_len) + kp_record_headers_size(r);
}

/* The whole record: length field and body. */
static inline size_t kp_record_size(size_t body) { return kp_varint_size32((int32_t)body) + body; }

/* At least what any place in any batch can make of it: what memory and max.request.size checks use. */
static inline kp_status kp_record_size_bound(const kp_record *r, size_t *out) {
    /* Length, attributes, time, offset, two field lengths, header count: no varint is computed for a bound. */
    enum { OVERHEAD = 5 + 1 + 10 + 5 + 5 + 5 + 1 };
    if (kp_unlikely(!kp_record_is_sane(r))) {
        return KP_ERR_TOO_LARGE;
    }
    *out = OVERHEAD + (size_t)kp_max_i64(r->key_len, 0) + (size_t)kp_max_i64(r->value_len, 0) + (size_t)r->headers_len;
    return KP_OK;
}

static inline uint8_t *kp_record_put_field(uint8_t *p, const uint8_t *data, int64_t len) {
    if (len < 0) {
        *p = 1; /* zigzag of -1 */
        return p + 1;
    }
    p = kp_uvarint_put64(p, (uint64_t)len << 1);
    if (len > 0) {
        memcpy(p, data, (size_t)len);
    }
    return p + len;
}

/* Writes kp_record_size(body) bytes, the caller has checked the room. Returns the end. */
static inline uint8_t *kp_record_encode(uint8_t *p, const kp_record *r, int64_t ts_delta, int32_t offset_delta, size_t body) {
    p = kp_varint_put32(p, (int32_t)body);
    *p++ = 0; /* attributes: none are defined */
    p = kp_varint_put64(p, ts_delta);
    p = kp_varint_put32(p, offset_delta);
    p = kp_record_put_field(p, r->key, r->key_len);
    p = kp_record_put_field(p, r->value, r->value_len);
    if (r->headers == NULL) {
        *p++ = 0;
        return p;
    }
    memcpy(p, r->headers, (size_t)r->headers_len);
    return p + r->headers_len;
}

/* One record of our own batch, for splitting: fields point into the bytes. KP_ERR_MALFORMED if it is not one. */
kp_status kp_record_decode(const uint8_t **p, const uint8_t *end, int64_t base_ts, kp_record *out);

#endif
