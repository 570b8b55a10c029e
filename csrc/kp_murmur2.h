/* Purpose: Kafka's murmur2, which maps a record key to a partition.
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_MURMUR2_H
#define KP_MURMUR2_H

#include "kp_base.h"

/* The empty key is a key. data may be NULL when len is 0. */
int32_t kp_murmur2(const uint8_t *data, size_t len);

/* Partition of a key among partition_count (> 0) partitions, as every Java client chooses it. */
int32_t kp_murmur2_partition(const uint8_t *key, size_t len, int32_t partition_count);

#endif
