#include "kp_rows.h"

#include <stdlib.h>

/* At most n rows of one piece, from where the cursor is; how many. */
static int32_t rows_of_piece(kp_cursor *c, int32_t n) {
    while (c->row == c->pieces[c->piece].length) {
        c->piece++;
        c->row = 0;
    }
    return (int32_t)kp_min_i64(n, c->pieces[c->piece].length - c->row);
}

static void take_slices(kp_cursor *c, int32_t n, kp_slice *out) {
    while (n > 0) {
        const int32_t some = rows_of_piece(c, n);
        kp_column_slices(&c->pieces[c->piece], c->row, some, out);
        c->row += some;
        out += some;
        n -= some;
    }
}

static void take_integers(kp_cursor *c, int32_t n, int64_t if_null, int64_t *out) {
    while (n > 0) {
        const int32_t some = rows_of_piece(c, n);
        kp_column_integers(&c->pieces[c->piece], c->row, some, if_null, out);
        c->row += some;
        out += some;
        n -= some;
    }
}

static kp_status grow_encoded(kp_rows *rows, size_t size) {
    if (size <= rows->encoded_cap) {
        return KP_OK;
    }
    uint8_t *grown = realloc(rows->encoded, size);
    if (grown == NULL) {
        return KP_ERR_NOMEM;
    }
    rows->encoded = grown;
    rows->encoded_cap = size;
    return KP_OK;
}

/* Headers are the one thing that is encoded before the append, as it takes them in one piece: measured first, so that
 * the memory does not move under those that are encoded already. */
static kp_status take_headers(kp_rows *rows, kp_row_block *block) {
    kp_cursor at = rows->headers;
    size_t size = 0;
    for (int32_t i = 0; i < block->n; i++, at.row++) {
        (void)rows_of_piece(&at, 1);
        block->records[i].headers_len = kp_column_headers_size(&at.pieces[at.piece], at.row);
        size += block->records[i].headers_len <= rows->limit ? (size_t)block->records[i].headers_len : 0;
    }
    const kp_status status = grow_encoded(rows, size);
    if (status != KP_OK) {
        return status;
    }
    uint8_t *p = rows->encoded;
    for (int32_t i = 0; i < block->n; i++, rows->headers.row++) {
        kp_record *r = &block->records[i];
        (void)rows_of_piece(&rows->headers, 1);
        r->headers = r->headers_len <= rows->limit ? p : NULL;
        p = r->headers == NULL ? p : kp_column_put_headers(&rows->headers.pieces[rows->headers.piece], rows->headers.row, p);
    }
    return KP_OK;
}

static void take_values(kp_rows *rows, kp_row_block *block) {
    kp_slice slices[KP_ROWS_BLOCK];
    take_slices(&rows->values, block->n, slices);
    for (int32_t i = 0; i < block->n; i++) {
        block->records[i].value = slices[i].data;
        block->records[i].value_len = slices[i].len;
    }
}

static void take_keys(kp_rows *rows, kp_row_block *block) {
    kp_slice slices[KP_ROWS_BLOCK];
    take_slices(&rows->keys, block->n, slices);
    for (int32_t i = 0; i < block->n; i++) {
        block->records[i].key = slices[i].data;
        block->records[i].key_len = slices[i].len;
    }
}

static void take_timestamps(kp_rows *rows, kp_row_block *block) {
    int64_t numbers[KP_ROWS_BLOCK];
    take_integers(&rows->timestamps, block->n, KP_NOW, numbers);
    for (int32_t i = 0; i < block->n; i++) {
        block->records[i].timestamp_ms = numbers[i];
    }
}

static void take_partitions(kp_rows *rows, kp_row_block *block) {
    int64_t numbers[KP_ROWS_BLOCK];
    take_integers(&rows->partitions, block->n, -1, numbers);
    for (int32_t i = 0; i < block->n; i++) {
        block->partitions[i] = (int32_t)numbers[i];
    }
}

kp_status kp_rows_next(kp_rows *rows, kp_row_block *block) {
    block->n = (int32_t)kp_min_i64(rows->left, KP_ROWS_BLOCK);
    for (; block->n_prepared < block->n; block->n_prepared++) {
        block->records[block->n_prepared] = rows->same;
        block->partitions[block->n_prepared] = rows->partition;
    }
    if (rows->headers.pieces != NULL) {
        const kp_status status = take_headers(rows, block);
        if (status != KP_OK) {
            return status;
        }
    }
    take_values(rows, block);
    if (rows->keys.pieces != NULL) {
        take_keys(rows, block);
    }
    if (rows->timestamps.pieces != NULL) {
        take_timestamps(rows, block);
    } else {
        for (int32_t i = 0; i < block->n; i++) {
            block->records[i].timestamp_ms = rows->same.timestamp_ms; /* the append may have written the time there */
        }
    }
    if (rows->partitions.pieces != NULL) {
        take_partitions(rows, block);
    }
    rows->left -= block->n;
    return KP_OK;
}

void kp_rows_free(kp_rows *rows) {
    free(rows->encoded);
    rows->encoded = NULL;
    rows->encoded_cap = 0;
}
