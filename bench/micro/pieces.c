#include "pieces.h"

#include <stdio.h>
#include <stdlib.h>

#define MICRO_NOINLINE __attribute__((noinline))

volatile uint32_t micro_kept;

void micro_die(const char *why) {
    fprintf(stderr, "bench/micro: %s\n", why);
    abort();
}

const micro_piece *micro_piece_at(int32_t i) {
    const micro_piece *const tables[] = {micro_byte_pieces, micro_core_pieces};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const micro_piece *p = tables[t]; p->name != NULL; p++) {
            if (i-- == 0) {
                return p;
            }
        }
    }
    return NULL;
}

const char *micro_name(int32_t i) {
    const micro_piece *p = micro_piece_at(i);
    return p == NULL ? NULL : p->name;
}

const char *micro_item(int32_t i) { return micro_piece_at(i)->item; }

void micro_prepare(int32_t i, int32_t n) {
    const micro_piece *p = micro_piece_at(i);
    if (p->prepare != NULL) {
        p->prepare(n);
    }
}

void micro_finish(int32_t i) {
    const micro_piece *p = micro_piece_at(i);
    if (p->finish != NULL) {
        p->finish();
    }
}

/* Callgrind collects in what is named micro_collected_*. Functions of their own, because it takes one that libffi calls
 * for a part of libffi. Their last statement is no call: a tail call would leave them before the work is done. */

MICRO_NOINLINE void micro_collected_piece(const micro_piece *p, int32_t n);
MICRO_NOINLINE void micro_collected_call(void (*fn)(void));

void micro_collected_piece(const micro_piece *p, int32_t n) {
    p->run(n);
    micro_kept++;
}

void micro_collected_call(void (*fn)(void)) {
    fn();
    micro_kept++;
}

void micro_measured(int32_t i, int32_t n) { micro_collected_piece(micro_piece_at(i), n); }
void micro_measured_call(void (*fn)(void)) { micro_collected_call(fn); }
