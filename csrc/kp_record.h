/* Purpose: one record of batch format v2 (KIP-98), written to or read from a buffer.
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_RECORD_H
#define KP_RECORD_H

#include "kp_base.h"

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

/* No length may come near int32: refused before any arithmetic (2^31-1 - 64 KiB). */
enum { KP_RECORD_MAX = INT32_MAX - 65536 };

/* Size of what follows the length field, at this place in a batch; KP_ERR_TOO_LARGE beyond KP_RECORD_MAX. */
kp_status kp_record_body_size(const kp_record *r, int64_t ts_delta, int32_t offset_delta, size_t *body);

/* The whole record: length field and body. */
size_t kp_record_size(size_t body);

/* At least what any place in any batch can make of it: what memory and max.request.size checks use. */
kp_status kp_record_size_bound(const kp_record *r, size_t *out);

/* Writes kp_record_size(body) bytes, the caller has checked the room. Returns the end. */
uint8_t *kp_record_encode(uint8_t *p, const kp_record *r, int64_t ts_delta, int32_t offset_delta, size_t body);

/* One record of our own batch, for splitting: fields point into the bytes. KP_ERR_MALFORMED if it is not one. */
kp_status kp_record_decode(const uint8_t **p, const uint8_t *end, int64_t base_ts, kp_record *out);

#endif
