/* Purpose: what the two halves of kp_columns share: one entry of a buffer.
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_COLUMNS_IMPL_H
#define KP_COLUMNS_IMPL_H

#include "kp_columns.h"

enum { KP_VIEW_BYTES = 16, KP_VIEW_INLINE = 12 };

/* Buffers of others may stand anywhere: loads by copy, which compilers make a plain load of. */
static inline int32_t kp_load_i32(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline int64_t kp_load_i64(const uint8_t *p) {
    int64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline int64_t kp_load_16(const uint8_t *p, bool is_signed) {
    int16_t v;
    memcpy(&v, p, sizeof v);
    return is_signed ? v : (int64_t)(uint16_t)v;
}

static inline const uint8_t *kp_column_entry(const kp_column *c, int64_t row) { return c->rows + (c->first + row) * c->stride; }

/* An unsigned number of 64 bits above INT64_MAX comes out negative: too large for what it is used as, in either form. */
static inline int64_t kp_column_integer_at(const kp_column *c, int64_t row) {
    const uint8_t *p = kp_column_entry(c, row);
    switch (c->width) {
    case 1:
        return c->is_signed ? (int8_t)*p : (int64_t)*p;
    case 2:
        return kp_load_16(p, c->is_signed);
    case 4:
        return c->is_signed ? kp_load_i32(p) : (int64_t)(uint32_t)kp_load_i32(p);
    default:
        return kp_load_i64(p);
    }
}

static inline bool kp_column_is_null(const kp_column *c, int64_t row) {
    const int64_t at = c->first + row;
    return c->layout == KP_ROWS_NULL || (c->validity != NULL && (c->validity[at >> 3] >> (at & 7) & 1) == 0);
}

static inline int64_t kp_column_offset_at(const kp_column *c, int64_t row) {
    return c->stride == 4 ? kp_load_i32(kp_column_entry(c, row)) : kp_load_i64(kp_column_entry(c, row));
}

static inline void kp_column_list_bounds(const kp_column *c, int64_t row, int64_t *from, int64_t *to) {
    *from = *to = 0;
    if (!kp_column_is_null(c, row)) {
        *from = kp_column_offset_at(c, row);
        *to = kp_column_offset_at(c, row + 1);
    }
}

#endif
