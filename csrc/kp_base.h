/* Purpose: status codes and small helpers shared by every file of csrc.
 * Thread:  any; everything here is a constant, a macro or a pure function.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_BASE_H
#define KP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 is success, a positive value means "not now", a negative value is an error. */
typedef int kp_status;

enum {
    KP_OK = 0,
    KP_AGAIN = 1, /* nothing to do yet, ask again */
    KP_FULL = 2,  /* it does not fit in the space that is left */

    KP_ERR_NOMEM = -1,
    KP_ERR_INVALID = -2,   /* bad argument */
    KP_ERR_TOO_LARGE = -3, /* can never fit, however much space is free */
    KP_ERR_MALFORMED = -4, /* bytes from outside break the format */
    KP_ERR_CODEC = -5,     /* a compression library failed or is absent */
    KP_ERR_CLOSED = -6,
    KP_ERR_TIMEOUT = -7,
    KP_ERR_IO = -8,
    KP_ERR_STATE = -9 /* call not allowed in the present state */
};

#if defined(__GNUC__) || defined(__clang__)
#define kp_likely(x) __builtin_expect(!!(x), 1)
#define kp_unlikely(x) __builtin_expect(!!(x), 0)
#define KP_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define kp_likely(x) (!!(x))
#define kp_unlikely(x) (!!(x))
#define KP_WARN_UNUSED
#endif

#define KP_UNUSED(x) ((void)(x))
#define KP_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* C++ (a Cython build may ask for it) spells the keyword differently. */
#ifdef __cplusplus
#define KP_STATIC_ASSERT(cond, msg) static_assert(cond, msg)
#else
#define KP_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)
#endif

KP_STATIC_ASSERT(sizeof(void *) == sizeof(size_t), "flat address space expected");
KP_STATIC_ASSERT(sizeof(int) >= 4, "int of at least 32 bits expected");

static inline size_t kp_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t kp_max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline int64_t kp_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t kp_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
