/* Purpose: assert macros and a runner for the C tests; each test program includes it once.
 * Thread:  checks may fail on the main thread only.
 * Locks:   none.
 * Frees:   nothing is allocated here. */
#ifndef KP_TEST_H
#define KP_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kp_base.h"

typedef struct kp_test {
    const char *name;
    void (*run)(void);
} kp_test;

#define KP_TEST(function) {#function, function}

static int kp_test_failed_checks;

static inline void kp_test_fail(const char *file, int line, const char *what) {
    kp_test_failed_checks++;
    printf("%s:%d: %s\n", file, line, what);
}

/* A failed check leaves the test function. */
#define CHECK(cond)                                     \
    do {                                                \
        if (!(cond)) {                                  \
            kp_test_fail(__FILE__, __LINE__, #cond);    \
            return;                                     \
        }                                               \
    } while (0)

#define CHECK_INT(actual, expected)                                                                        \
    do {                                                                                                   \
        const long long actual_ = (long long)(actual), expected_ = (long long)(expected);                  \
        if (actual_ != expected_) {                                                                        \
            printf("%s is %lld, expected %lld\n", #actual, actual_, expected_);                            \
            kp_test_fail(__FILE__, __LINE__, #actual " == " #expected);                                    \
            return;                                                                                        \
        }                                                                                                  \
    } while (0)

#define CHECK_BYTES(actual, expected, len) CHECK(memcmp(actual, expected, len) == 0)

/* Reproducible pseudo-random numbers (xorshift64). */
static inline uint64_t kp_test_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline int kp_test_main(const char *program, const kp_test *tests, size_t count) {
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        const int before = kp_test_failed_checks;
        tests[i].run();
        if (kp_test_failed_checks != before) {
            failed++;
            printf("FAILED %s\n", tests[i].name);
        }
    }
    printf("%s: %zu passed, %zu failed\n", program, count - failed, failed);
    return failed == 0 ? 0 : 1;
}

#define KP_TEST_MAIN(tests) \
    int main(void) { return kp_test_main(__FILE__, tests, KP_ARRAY_LEN(tests)); }

#endif
