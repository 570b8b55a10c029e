/* Purpose: the one bounds-checked cursor over bytes from the network.
 * Thread:  any; a cursor belongs to its function.
 * Locks:   none.
 * Frees:   nothing: results point into the frame. */
#ifndef KP_READER_H
#define KP_READER_H

#include "kp_endian.h"
#include "kp_varint.h"

/* After a read past the end, `failed` stays set and every read gives 0: check it once, after a group. */
typedef struct kp_reader {
    const uint8_t *p, *end;
    bool is_flexible; /* compact lengths and tag sections */
    bool failed;
} kp_reader;

typedef struct kp_text {
    const char *data; /* NULL: null */
    size_t len;
} kp_text;

static inline const uint8_t *kp_read_bytes(kp_reader *r, size_t n) {
    if (r->failed || (size_t)(r->end - r->p) < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    return at;
}

static inline int16_t kp_read_i16(kp_reader *r) {
    const uint8_t *at = kp_read_bytes(r, 2);
    return at == NULL ? 0 : (int16_t)kp_get_be16(at);
}

static inline int32_t kp_read_i32(kp_reader *r) {
    const uint8_t *at = kp_read_bytes(r, 4);
    return at == NULL ? 0 : (int32_t)kp_get_be32(at);
}

static inline int64_t kp_read_i64(kp_reader *r) {
    const uint8_t *at = kp_read_bytes(r, 8);
    return at == NULL ? 0 : (int64_t)kp_get_be64(at);
}

static inline uint32_t kp_read_uvarint(kp_reader *r) {
    uint32_t v = 0;
    if (r->failed || kp_uvarint_get32(&r->p, r->end, &v) != KP_OK) {
        r->failed = true;
        return 0;
    }
    return v;
}

/* Entries of an array, each of at least min_size bytes: a count that cannot fit fails before any loop. */
static inline int32_t kp_read_count(kp_reader *r, size_t min_size) {
    const int64_t n = r->is_flexible ? (int64_t)kp_read_uvarint(r) - 1 : kp_read_i32(r);
    if (n < -1 || (n > 0 && (uint64_t)n > (uint64_t)(r->end - r->p) / min_size)) {
        r->failed = true;
    }
    return r->failed || n < 0 ? 0 : (int32_t)n;
}

static inline kp_text kp_read_text(kp_reader *r) {
    const int64_t n = r->is_flexible ? (int64_t)kp_read_uvarint(r) - 1 : kp_read_i16(r);
    kp_text text = {NULL, 0};
    if (n < -1) {
        r->failed = true;
    } else if (n >= 0) {
        text.data = (const char *)kp_read_bytes(r, (size_t)n);
        text.len = text.data == NULL ? 0 : (size_t)n;
    }
    return text;
}

/* The next tag of a section of *left tags: its number, and a cursor over its content. */
static inline uint32_t kp_read_tag(kp_reader *r, uint32_t *left, kp_reader *content) {
    const uint32_t tag = kp_read_uvarint(r);
    const uint32_t size = kp_read_uvarint(r);
    const uint8_t *at = kp_read_bytes(r, size);
    *content = (kp_reader){.p = at, .end = at == NULL ? NULL : at + size, .is_flexible = true, .failed = r->failed};
    *left = r->failed ? 0 : *left - 1;
    return tag;
}

static inline void kp_skip_tags(kp_reader *r) {
    uint32_t left = r->is_flexible ? kp_read_uvarint(r) : 0;
    kp_reader content;
    while (left > 0) {
        (void)kp_read_tag(r, &left, &content);
    }
}

#endif
