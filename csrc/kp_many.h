/* Purpose: where the records of one call went, and what became of them: runs of batches instead of an object for each.
 * Thread:  one while the call appends, then any: what asks only reads.
 * Locks:   none of its own.
 * Frees:   kp_many_free; it holds a reference to each result of its runs. */
#ifndef KP_MANY_H
#define KP_MANY_H

#include "kp_core.h"
#include "kp_trail.h"

/* Records of the call that stand next to each other in a batch. */
typedef struct kp_many_run {
    kp_result *result;
    int64_t ordinal; /* of the first: how many records of the call went to this partition before */
    int32_t first;   /* index in the batch */
    int32_t n;
} kp_many_run;

/* Delivered records with consecutive offsets. */
typedef struct kp_many_span {
    kp_partition *partition;
    int64_t ordinal;
    int64_t offset; /* -1: not told (acks=0) */
    int64_t n;
} kp_many_span;

typedef struct kp_many_spans {
    kp_many_span *items;
    int64_t n, cap;
} kp_many_spans;

typedef struct kp_many_partition {
    int64_t run;     /* of the held result */
    int64_t span;    /* the last one, plus 1; 0: none */
    int64_t count;   /* records so far */
    int64_t dropped; /* of them, those that the trail has forgotten */
    int64_t pending; /* scratch: the first ordinal that must be kept */
} kp_many_partition;

typedef struct kp_many {
    int64_t count; /* records that were accepted */
    kp_many_run *runs;
    int64_t n_runs, cap_runs;
    kp_result **held; /* by partition: the batch that its last record went to */
    kp_many_partition *partitions;
    int32_t n_partitions;
    kp_many_spans settled; /* of runs that were delivered and forgotten: so endless input takes flat memory */
    kp_trail trail;
} kp_many;

/* Room for one record or run of this partition, and forgets what was delivered if that makes it. */
kp_status kp_many_reserve(kp_many *m, int32_t partition);
/* Counts n records in, after kp_many_reserve; the reference is new unless the result is the one held for its partition. */
void kp_many_add(kp_many *m, kp_result *result, int32_t partition, int32_t index, int32_t n);
/* Both; KP_ERR_NOMEM: the reference is released, nothing was counted. */
kp_status kp_many_note(kp_many *m, kp_result *result, int32_t partition, int32_t index, int32_t n);

/* unwatched: nobody has asked, so failures count as unobserved. */
void kp_many_free(kp_many *m, bool unwatched);

/* When all is settled. Rows ascend; the caller frees the array. */
kp_status kp_many_failed_rows(const kp_many *m, int64_t **rows, int64_t *n);
/* Spans in the order of partitions and rows; the caller frees `items`. */
kp_status kp_many_delivered(const kp_many *m, kp_many_spans *out);

#endif
