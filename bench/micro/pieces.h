/* Purpose: pieces of the core to time (through the shared library) and to count (through count.c).
 * Thread:  one.
 * Locks:   none of its own.
 * Frees:   `finish` frees what `prepare` made. A piece that fails ends the process: its figure would mean nothing. */
#ifndef PIECES_H
#define PIECES_H

#include <stdint.h>

typedef struct micro_piece {
    const char *name;
    const char *item;           /* what n counts */
    int32_t n_count;            /* items of one run whose instructions are counted */
    void (*prepare)(int32_t n); /* not measured; NULL: nothing to do */
    void (*run)(int32_t n);
    void (*finish)(void); /* NULL: nothing to do */
} micro_piece;

extern const micro_piece micro_byte_pieces[], micro_core_pieces[]; /* each ends with a piece without a name */

extern volatile uint32_t micro_kept; /* results go here, so that no compiler leaves the work out */

/* The compiler may assume nothing of `x` from here on, so what depends on it is not computed once for all rounds. */
#define MICRO_FORGET(x) __asm__ volatile("" : : "r"(&(x)) : "memory")

void micro_die(const char *why);

/* --- for ctypes and count.c --- */

#define MICRO_API __attribute__((visibility("default")))

MICRO_API const micro_piece *micro_piece_at(int32_t i); /* NULL: there is none */
MICRO_API const char *micro_name(int32_t i);            /* NULL: there is none */
MICRO_API const char *micro_item(int32_t i);
MICRO_API void micro_prepare(int32_t i, int32_t n);
MICRO_API void micro_measured(int32_t i, int32_t n);
MICRO_API void micro_finish(int32_t i);
MICRO_API void micro_measured_call(void (*fn)(void)); /* a loop in Python, counted as a piece is */

#endif
