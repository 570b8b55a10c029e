/* Purpose: CRC-32 with the polynomial of zlib, for librdkafka's "consistent" partitioners.
 * Thread:  any; pure function.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_CRC32_H
#define KP_CRC32_H

#include "kp_base.h"

/* Start with crc 0, or go on from an earlier result. Keys are short: one table, one byte a step. */
uint32_t kp_crc32(uint32_t crc, const void *data, size_t len);

#endif
