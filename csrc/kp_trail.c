#include "kp_trail.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 2 * KP_VARINT_MAX64, CAP_MIN = 64 };

kp_status kp_trail_reserve(kp_trail *t) {
    if (kp_likely(t->cap - t->end >= ENTRY_MAX)) {
        return KP_OK;
    }
    if (t->begin > t->cap / 2) {
        memmove(t->data, t->data + t->begin, t->end - t->begin);
        t->end -= t->begin;
        t->begin = 0;
        if (t->cap - t->end >= ENTRY_MAX) {
            return KP_OK;
        }
    }
    const size_t cap = kp_max_size(CAP_MIN, t->cap * 2);
    uint8_t *grown = realloc(t->data, cap);
    if (grown == NULL) {
        return KP_ERR_NOMEM;
    }
    t->data = grown;
    t->cap = cap;
    return KP_OK;
}

void kp_trail_add(kp_trail *t, int32_t partition, int64_t n) {
    if (t->n > 0 && partition == t->partition) {
        t->n += n;
        return;
    }
    if (t->n > 0) {
        uint8_t *p = kp_uvarint_put64(t->data + t->end, (uint64_t)t->partition << 1 | (t->n > 1 ? 1 : 0));
        p = t->n > 1 ? kp_uvarint_put64(p, (uint64_t)t->n) : p;
        t->end = (size_t)(p - t->data);
    }
    t->partition = partition;
    t->n = n;
}

void kp_trail_free(kp_trail *t) {
    free(t->data);
    *t = (kp_trail){0};
}

static uint64_t read(const kp_trail *t, size_t *at) {
    const uint8_t *p = t->data + *at;
    uint64_t u = 0;
    (void)kp_uvarint_get64(&p, t->data + t->end, &u); /* our own bytes */
    *at = (size_t)(p - t->data);
    return u;
}

bool kp_trail_next(const kp_trail *t, kp_trail_entry *e) {
    e->row += e->n;
    if (e->at < t->end) {
        const uint64_t head = read(t, &e->at);
        e->partition = (int32_t)(head >> 1);
        e->n = (head & 1) != 0 ? (int64_t)read(t, &e->at) : 1;
        return true;
    }
    const bool is_last = e->at == t->end && t->n > 0;
    e->at = t->end + 1; /* behind the last one, which is not in the bytes */
    e->partition = t->partition;
    e->n = t->n;
    return is_last;
}

void kp_trail_drop(kp_trail *t, const kp_trail_entry *e) {
    t->begin = e->at;
    t->first_row = e->row + e->n;
}
