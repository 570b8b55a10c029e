/* Purpose: to which partition each row of a call went, in a byte or two for each change: what finds a failed row again.
 * Thread:  any one; it belongs to its kp_many.
 * Locks:   none.
 * Frees:   kp_trail_free. */
#ifndef KP_TRAIL_H
#define KP_TRAIL_H

#include "kp_varint.h"

/* Entries are (partition, how many rows), as varints: partition << 1 | (more than one), and then the number if so. */
typedef struct kp_trail {
    uint8_t *data;
    size_t begin, end, cap;
    int64_t first_row;  /* whose entry is at `begin`: those before were dropped */
    int32_t partition;  /* the last entry, which may still grow and is not in `data` */
    int64_t n;          /* 0: there is none */
} kp_trail;

/* Room for one kp_trail_add. */
kp_status kp_trail_reserve(kp_trail *t);
void kp_trail_add(kp_trail *t, int32_t partition, int64_t n);
void kp_trail_free(kp_trail *t);

/* Walks the entries: begin with {.at = t->begin, .row = t->first_row}; false at the end. */
typedef struct kp_trail_entry {
    size_t at; /* of the next one */
    int64_t row;
    int32_t partition;
    int64_t n; /* 0 before the first one */
} kp_trail_entry;

bool kp_trail_next(const kp_trail *t, kp_trail_entry *e);
/* Forgets an entry that is the oldest one and not the last one. */
void kp_trail_drop(kp_trail *t, const kp_trail_entry *e);

#endif
