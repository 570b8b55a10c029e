/* Purpose: the raw records of a batch that was refused for good, kept for the application's dead letters.
 * Thread:  kept by the pump before the result is published; read and released by the delivery thread, or by whoever
 *          releases the result last.
 * Locks:   the pool's, to give the bytes back.
 * Frees:   kp_dead_letters_release. */
#ifndef KP_DEAD_LETTERS_H
#define KP_DEAD_LETTERS_H

#include "kp_batch.h"

struct kp_core;

typedef struct kp_dead_letters {
    kp_chunk chunk; /* the batch's own buffer, header included: nothing is copied */
    bool is_reserve; /* from the heap, not from the pool */
    size_t len;
    int32_t count;
    int64_t base_ts;
} kp_dead_letters;

/* Moves the bytes of a failed batch into its result, unless dead letters are off, the failure is no final refusal,
 * the topic is the one that dead letters go to, or dead_letter_bytes of them wait already (which is counted). */
void kp_dead_letters_keep(struct kp_core *core, kp_batch *b);
void kp_dead_letters_release(struct kp_core *core, kp_result *r);

/* The next record, from *p = NULL on; false at the end. Its fields point into the kept bytes. */
bool kp_dead_letters_next(const kp_dead_letters *kept, const uint8_t **p, kp_record *out);

#endif
