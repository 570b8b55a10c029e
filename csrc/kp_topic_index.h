/* Purpose: topics by name, so that ten thousand of them cost no more to find than one: a hash table, open addressing.
 * Thread:  kp_topic_index_find any; the others one at a time, under topics_lock.
 * Locks:   none. A reader that misses a topic which another thread is adding looks again under topics_lock.
 * Frees:   kp_topic_index_free the tables, outgrown ones too (readers may have held them); topics are not its own. */
#ifndef KP_TOPIC_INDEX_H
#define KP_TOPIC_INDEX_H

#include <stdatomic.h>

#include "kp_base.h"

struct kp_topic;

typedef struct kp_topic_slots {
    size_t mask; /* slots - 1, a power of two less one */
    struct kp_topic_slots *retired;
    _Atomic(struct kp_topic *) items[];
} kp_topic_slots;

typedef struct kp_topic_index {
    _Atomic(kp_topic_slots *) slots; /* NULL: empty */
    size_t count;
} kp_topic_index;

void kp_topic_index_free(kp_topic_index *index);
struct kp_topic *kp_topic_index_find(const kp_topic_index *index, const char *name, size_t len); /* NULL: not there */
/* Room for one more, so that kp_topic_index_add cannot fail. */
kp_status kp_topic_index_reserve(kp_topic_index *index);
void kp_topic_index_add(kp_topic_index *index, struct kp_topic *topic);

#endif
