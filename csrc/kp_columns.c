#include "kp_columns_impl.h"

#include <stdlib.h>

void kp_column_from_memory(kp_column *c, kp_column_layout layout, const void *rows, int64_t length, int64_t stride, int64_t width) {
    *c = (kp_column){.layout = layout, .length = length, .rows = rows, .stride = stride, .width = width, .is_signed = true, .multiplier = 1, .divisor = 1};
}

void kp_column_free(kp_column *c) {
    for (int32_t i = 0; i < c->n_children; i++) {
        kp_column_free(&c->children[i]);
    }
    free(c->children);
    c->children = NULL;
    c->n_children = 0;
}

/* --- reading --- */

static void fixed_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    const bool is_empty = c->width == 0; /* so there may be no buffer */
    for (int32_t i = 0; i < n; i++) {
        out[i] = (kp_slice){.data = is_empty ? NULL : kp_column_entry(c, row + i), .len = c->width};
    }
}

static void padded_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    fixed_slices(c, row, n, out);
    for (int32_t i = 0; i < n; i++) {
        while (out[i].len > 0 && out[i].data[out[i].len - 1] == 0) {
            out[i].len--;
        }
    }
}

static void offset_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    int64_t from = kp_column_offset_at(c, row);
    for (int32_t i = 0; i < n; i++) {
        const int64_t to = kp_column_offset_at(c, row + i + 1);
        out[i].len = to - from;
        out[i].data = out[i].len == 0 ? NULL : c->data + from;
        from = to;
    }
}

static kp_slice view_slice(const kp_column *c, const uint8_t *view) {
    const int32_t len = kp_load_i32(view);
    if (len <= KP_VIEW_INLINE) {
        return (kp_slice){.data = view + 4, .len = len};
    }
    const uint8_t *buffer = c->buffers[kp_load_i32(view + 8)];
    return (kp_slice){.data = buffer + kp_load_i32(view + 12), .len = len};
}

/* What stands in the place of a null view or code need not make sense, so these two look first. */
static void indirect_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    for (int32_t i = 0; i < n; i++) {
        if (kp_column_is_null(c, row + i)) {
            out[i] = (kp_slice){.data = NULL, .len = -1};
        } else if (c->layout == KP_ROWS_VIEWS) {
            out[i] = view_slice(c, kp_column_entry(c, row + i));
        } else {
            kp_column_slices(&c->children[0], kp_column_integer_at(c, row + i), 1, &out[i]);
        }
    }
}

static void blank_nulls(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    for (int32_t i = 0; i < n; i++) {
        if (kp_column_is_null(c, row + i)) {
            out[i] = (kp_slice){.data = NULL, .len = -1};
        }
    }
}

void kp_column_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out) {
    switch (c->layout) {
    case KP_ROWS_FIXED:
        fixed_slices(c, row, n, out);
        break;
    case KP_ROWS_PADDED:
        padded_slices(c, row, n, out);
        break;
    case KP_ROWS_OFFSETS32:
    case KP_ROWS_OFFSETS64:
        offset_slices(c, row, n, out);
        break;
    case KP_ROWS_VIEWS:
    case KP_ROWS_CODES:
        indirect_slices(c, row, n, out);
        return;
    default:
        break; /* KP_ROWS_NULL: blanked below */
    }
    if (c->validity != NULL || c->layout == KP_ROWS_NULL) {
        blank_nulls(c, row, n, out);
    }
}

void kp_column_integers(const kp_column *c, int64_t row, int32_t n, int64_t if_null, int64_t *out) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = kp_column_is_null(c, row + i) ? if_null : kp_column_integer_at(c, row + i) * c->multiplier / c->divisor;
    }
}

int64_t kp_column_find_outside(const kp_column *c, int64_t least, int64_t most, int64_t *found) {
    for (int64_t row = 0; row < c->length; row++) {
        if (kp_column_is_null(c, row)) {
            continue;
        }
        *found = kp_column_integer_at(c, row);
        if (*found < least || *found > most) {
            return row;
        }
    }
    return -1;
}

int64_t kp_column_headers_size(const kp_column *c, int64_t row) {
    const int64_t most = INT64_MAX / 4; /* far beyond any record, and no sum of two overflows */
    int64_t from, to;
    kp_column_list_bounds(c, row, &from, &to);
    int64_t size = (int64_t)kp_record_field_size(to - from) - (to - from); /* the count takes what a length takes */
    for (; from < to && size < most; from++) {
        for (int child = 0; child < 2; child++) {
            kp_slice field;
            kp_column_slices(&c->children[child], from, 1, &field);
            size += kp_min_i64(most, (int64_t)kp_record_field_size(kp_min_i64(most, field.len)));
        }
    }
    return size;
}

uint8_t *kp_column_put_headers(const kp_column *c, int64_t row, uint8_t *p) {
    int64_t from, to;
    kp_column_list_bounds(c, row, &from, &to);
    p = kp_varint_put64(p, to - from);
    for (; from < to; from++) {
        for (int child = 0; child < 2; child++) {
            kp_slice field;
            kp_column_slices(&c->children[child], from, 1, &field);
            p = kp_record_put_field(p, field.data, field.len);
        }
    }
    return p;
}
