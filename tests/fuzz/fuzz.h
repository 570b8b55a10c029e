/* Purpose: what the fuzz targets share: the input as a source of choices, and claims that end the program.
 * Thread:  one.
 * Locks:   none.
 * Frees:   fuzz_copy's caller frees the copy. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kp_base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Choices come from the front; when the input is used up, every choice is 0. */
typedef struct fuzz_input {
    const uint8_t *p, *end;
} fuzz_input;

#define MUST(cond)                                                      \
    do {                                                                \
        if (!(cond)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);  \
            abort();                                                    \
        }                                                               \
    } while (0)

static inline size_t fuzz_left(const fuzz_input *in) { return (size_t)(in->end - in->p); }
static inline uint8_t fuzz_byte(fuzz_input *in) { return in->p == in->end ? 0 : *in->p++; }

/* 0 to n - 1, n at most 256. */
static inline int fuzz_below(fuzz_input *in, int n) { return fuzz_byte(in) % n; }
static inline bool fuzz_flag(fuzz_input *in) { return (fuzz_byte(in) & 1) != 0; }

static inline uint64_t fuzz_number(fuzz_input *in, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v = v << 8 | fuzz_byte(in);
    }
    return v;
}

/* At most n bytes of what is left. */
static inline const uint8_t *fuzz_take(fuzz_input *in, size_t n, size_t *taken) {
    const uint8_t *at = in->p;
    *taken = kp_min_size(n, fuzz_left(in));
    in->p += *taken;
    return at;
}

/* Memory of its own of exactly this size, so that ASan sees one byte too much. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len > 0 ? len : 1);
    MUST(copy != NULL);
    memcpy(copy, data, len);
    return copy;
}

#endif
