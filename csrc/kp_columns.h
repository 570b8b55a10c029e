/* Purpose: a piece of a column: rows in memory that somebody else owns, read as slices, numbers or headers.
 * Thread:  any; pure functions over memory that does not change meanwhile.
 * Locks:   none.
 * Frees:   kp_column_free what kp_column_from_arrow allocated (children); the rows stay their owner's. */
#ifndef KP_COLUMNS_H
#define KP_COLUMNS_H

#include "kp_arrow.h"
#include "kp_record.h"

typedef enum kp_column_use {
    KP_COLUMN_BYTES,      /* keys or values */
    KP_COLUMN_TIMESTAMPS, /* int64 in milliseconds, or Arrow's timestamps in any unit */
    KP_COLUMN_PARTITIONS, /* int32 or int64 */
    KP_COLUMN_HEADERS     /* lists of (key, value) */
} kp_column_use;

typedef enum kp_column_layout {
    KP_ROWS_NULL,      /* each one is null, and no buffer is there */
    KP_ROWS_FIXED,     /* `width` bytes each */
    KP_ROWS_PADDED,    /* the same, less the NUL bytes at the end */
    KP_ROWS_OFFSETS32, /* from one offset to the next, in `data` or among the children */
    KP_ROWS_OFFSETS64,
    KP_ROWS_VIEWS,    /* in place up to 12 bytes, else in one of the variadic buffers */
    KP_ROWS_CODES,    /* a number of `width` bytes: which row of the first child */
    KP_ROWS_INTEGERS, /* a number of `width` bytes */
    KP_ROWS_LISTS32,  /* as offsets, of rows of two children: keys and values of headers */
    KP_ROWS_LISTS64
} kp_column_layout;

typedef struct kp_column {
    kp_column_layout layout;
    int64_t length;
    int64_t first;           /* Arrow's offset: the entry of the buffers that row 0 is */
    const uint8_t *validity; /* a bit for each entry; NULL: no row is null */
    const uint8_t *rows;     /* entries: bytes, offsets, views or numbers */
    int64_t stride;          /* from one entry to the next */
    int64_t width;
    bool is_signed;
    const uint8_t *data; /* what offsets count in */
    const void *const *buffers; /* what views point into, and how long each is */
    const int64_t *buffer_sizes;
    int64_t n_buffers;
    int64_t multiplier, divisor; /* to milliseconds */
    struct kp_column *children;
    int32_t n_children;
} kp_column;

/* Why a column is refused: a fixed text, and the row that shows it (-1: none does). */
typedef struct kp_column_fault {
    const char *text;
    int64_t row;
} kp_column_fault;

/* Rows of `width` bytes, `stride` bytes apart. */
void kp_column_from_memory(kp_column *c, kp_column_layout layout, const void *rows, int64_t length, int64_t stride, int64_t width);

/* KP_OK: every row can be read. KP_ERR_INVALID: the format is not of this use; KP_ERR_MALFORMED: see the fault; KP_ERR_NOMEM.
 * Schema and array are borrowed; the schema is not needed afterwards. */
kp_status kp_column_from_arrow(kp_column *c, kp_column_use use, const kp_arrow_schema *schema, const kp_arrow_array *array,
                               kp_column_fault *fault);
void kp_column_free(kp_column *c);

/* The first row that is neither null nor from `least` to `most`, and its number, before conversion; -1: none is. */
int64_t kp_column_find_outside(const kp_column *c, int64_t least, int64_t most, int64_t *found);

/* The readers below trust that the rows exist: [row, row + n) of the column, and n > 0. */

void kp_column_slices(const kp_column *c, int64_t row, int32_t n, kp_slice *out);
void kp_column_integers(const kp_column *c, int64_t row, int32_t n, int64_t if_null, int64_t *out);

/* The headers of a row as they stand in a record. Their size is told as too much, if not exactly, when no memory holds it. */
int64_t kp_column_headers_size(const kp_column *c, int64_t row);
uint8_t *kp_column_put_headers(const kp_column *c, int64_t row, uint8_t *p);

#endif
