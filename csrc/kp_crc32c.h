/* Purpose: CRC-32C (Castagnoli), the checksum of record batch v2, in the fastest form this CPU has.
 * Thread:  any; pure functions.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_CRC32C_H
#define KP_CRC32C_H

#include "kp_base.h"

/* Start with crc 0, or go on from an earlier result: crc(ab) == crc(crc(a), b). */
typedef uint32_t (*kp_crc32c_fn)(uint32_t crc, const void *data, size_t len);

typedef struct kp_crc32c_variant {
    const char *name;
    kp_crc32c_fn compute;
    bool (*is_supported)(void); /* compute may run only where this is true */
} kp_crc32c_variant;

/* All variants compiled in, fastest first; the last one, "portable", runs everywhere. */
const kp_crc32c_variant *kp_crc32c_variants(size_t *count);

/* The fastest variant this CPU can run. Asks the CPU: keep the answer where calls are frequent. */
const kp_crc32c_variant *kp_crc32c_select(void);

uint32_t kp_crc32c(uint32_t crc, const void *data, size_t len);

uint32_t kp_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
