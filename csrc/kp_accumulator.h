/* Purpose: the app's side: a record into the open batch of its partition; sealing; wake-ups.
 * Thread:  any number of app threads; kp_accumulator_collect is the pump's.
 * Locks:   the partition's, for O(record); inside it the pool's.
 * Frees:   batches belong to the accumulator until the pump collects them. */
#ifndef KP_ACCUMULATOR_H
#define KP_ACCUMULATOR_H

#include "kp_many.h"

/* Where a record went: result (when asked for) and the record's place in it. */
typedef struct kp_place {
    kp_result *result;
    int32_t partition;
    int32_t index;
    int64_t timestamp_ms;
} kp_place;

typedef struct kp_append_options {
    int32_t partition; /* -1: by key or sticky */
    bool want_result;  /* retains the result, unless it is the one held for its partition, and counts a watcher */
    kp_result *const *held; /* by partition, n_held of them: results that the caller has a reference to */
    int32_t n_held;
    const kp_listener *listener; /* a callback: index is filled in; NULL for none */
    bool only_notes;             /* the listener is an interceptor's alone: a failure is unobserved all the same */
    uint32_t txn_gen;            /* the transaction that it must be for; 0: the one that is open */
    kp_chunk *spare;             /* memory from a wait for the pool, consumed or left; NULL for none */
} kp_append_options;

/* KP_OK; KP_AGAIN: no (such) partition is known; KP_FULL: the pool is exhausted, wait for *needed bytes;
 * KP_ERR_TOO_LARGE, KP_ERR_NOMEM, KP_ERR_CLOSED (see core->life), KP_ERR_STATE (see kp_txn_failure). A timestamp KP_NOW is replaced by the time taken. On anything but KP_OK nothing was taken. */
kp_status kp_append(kp_topic *topic, kp_record *record, const kp_append_options *options, kp_place *place,
                    size_t *needed);

/* The common case of the above in a fraction of its instructions: no headers, no callback, the time is now, no partition
 * is asked for, and the open batch has room. KP_AGAIN: it is another case, nothing was taken, kp_append decides.
 * place: NULL if no result is wanted. */
kp_status kp_append_plain(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value, int64_t value_len,
                          kp_place *place);

/* The same with a callback, listener->object and its sizes, which hears of the failure in place of a watcher. */
kp_status kp_append_heard(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value, int64_t value_len,
                          const kp_listener *listener, kp_place *place);

/* The same as kp_append_plain for several values without key, as far as they go into the open batch of one partition: how many did; 0 as
 * KP_AGAIN. place->index is the first one's. `held` as in the options. */
int32_t kp_append_run(kp_topic *topic, const kp_slice *values, int32_t n, const kp_append_options *options, kp_place *place);

/* The same for records of any kind without a listener, each to its partition (-1: by key or sticky): how many of the first
 * ones are in and counted in `many`. The next one is another case, for kp_append. */
int32_t kp_append_records(kp_topic *topic, kp_record *records, const int32_t *partitions, int32_t n, kp_many *many);

/* The most bytes that a record may have: min(max.request.size, buffer.memory). */
static inline size_t kp_record_limit(const kp_core *core) {
    return kp_min_size(core->config.max_request_size, core->config.buffer_memory);
}

/* Pump: moves what is sealed to the end of p->queue; true if there was any. */
bool kp_accumulator_collect(kp_partition *p);
/* Pump: takes the open batch too. KP_AGAIN: an appender holds the lock; try again in the next step. It has been asked
 * to seal, but may be past its look: it unlocks by a plain store, which processors let a later load overtake (x86 in
 * some percent of such meetings), and a barrier for each record is not worth it. */
kp_status kp_accumulator_seal_open(kp_partition *p);
/* Pump: the same, waiting for the appender; for the rare commands that end batches. */
void kp_accumulator_seal_now(kp_partition *p);
/* Pump: the chain of partitions with news since the last call. */
kp_partition *kp_accumulator_take_dirty(kp_core *core);

#endif
