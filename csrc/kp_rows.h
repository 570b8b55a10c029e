/* Purpose: columns side by side, read as records, a block of rows at a time.
 * Thread:  any one; it belongs to the call that sends the columns.
 * Locks:   none.
 * Frees:   kp_rows_free the encoded headers; the pieces of the columns stay their owner's. */
#ifndef KP_ROWS_H
#define KP_ROWS_H

#include "kp_columns.h"

enum { KP_ROWS_BLOCK = 64 };

/* Where a column is being read: it may come in pieces, which need not be those of its neighbours. */
typedef struct kp_cursor {
    const kp_column *pieces; /* NULL: there is no such column */
    int64_t piece;
    int64_t row; /* of the piece */
} kp_cursor;

typedef struct kp_rows {
    kp_cursor values, keys, timestamps, partitions, headers; /* all but the values may be missing */
    int64_t left;      /* rows that are still to be read: each column has as many */
    kp_record same;    /* headers and timestamp of all rows, unless there is a column of them */
    int32_t partition; /* of all rows; -1: by key or sticky */
    int64_t limit;     /* larger headers are not encoded, since their record is refused anyway */
    uint8_t *encoded;  /* headers of one block */
    size_t encoded_cap;
} kp_rows;

/* Valid until the next one is read; zero at the beginning. */
typedef struct kp_row_block {
    int32_t n;
    int32_t n_prepared; /* records that hold what is the same in all rows already */
    kp_record records[KP_ROWS_BLOCK];
    int32_t partitions[KP_ROWS_BLOCK];
} kp_row_block;

/* Up to KP_ROWS_BLOCK of the rows that are left. KP_ERR_NOMEM: nothing was read. */
kp_status kp_rows_next(kp_rows *rows, kp_row_block *block);
void kp_rows_free(kp_rows *rows);

#endif
