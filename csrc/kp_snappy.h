/* Purpose: snappy encoder: raw blocks, and the xerial framing that Kafka's Java clients write and read.
 * Thread:  any; all state is in the caller's scratch, one scratch per thread.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_SNAPPY_H
#define KP_SNAPPY_H

#include "kp_base.h"

enum {
    KP_SNAPPY_BLOCK_MAX = 65536,        /* longest raw block this encoder takes: positions are 16 bits */
    KP_SNAPPY_XERIAL_BLOCK = 32768,     /* block size of the framing */
    KP_SNAPPY_TABLE_BITS_MAX = 14
};

/* Hash table of positions; needs no initialisation. */
typedef struct kp_snappy_scratch {
    uint16_t table[1 << KP_SNAPPY_TABLE_BITS_MAX];
} kp_snappy_scratch;

/* Room with which compressing n bytes cannot answer KP_FULL. */
size_t kp_snappy_block_bound(size_t n);
size_t kp_snappy_xerial_bound(size_t n);

/* One raw block. KP_FULL if it does not fit in cap, KP_ERR_TOO_LARGE if n > KP_SNAPPY_BLOCK_MAX. */
kp_status kp_snappy_block_compress(kp_snappy_scratch *scratch, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                                   size_t *out_len);

/* A xerial stream of any length. KP_FULL if it does not fit in cap. */
kp_status kp_snappy_xerial_compress(kp_snappy_scratch *scratch, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                                    size_t *out_len);

#endif
