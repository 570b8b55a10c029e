/* The timer heap against a sorted array. */
#include "kp_heap.h"
#include "kp_test.h"

enum { TIMERS = 64 };

static bool is_a_heap(const kp_heap *h) {
    for (size_t i = 1; i <= h->count; i++) {
        if (h->slots[i]->slot != i || (i > 1 && h->slots[i / 2]->at > h->slots[i]->at)) {
            return false;
        }
    }
    return true;
}

static void test_timers_come_out_in_order(void) {
    kp_heap h = {0};
    kp_timer timers[TIMERS] = {0};
    uint64_t random = 42;
    CHECK_INT(kp_heap_reserve(&h, TIMERS), KP_OK);
    CHECK(kp_heap_first(&h) == NULL);
    for (int i = 0; i < TIMERS; i++) {
        kp_heap_set(&h, &timers[i], (int64_t)(kp_test_random(&random) % 50));
    }
    for (int64_t last = 0; kp_heap_first(&h) != NULL;) {
        kp_timer *t = kp_heap_first(&h);
        CHECK(t->at >= last);
        last = t->at;
        kp_heap_remove(&h, t);
        CHECK_INT(t->slot, 0);
        CHECK(is_a_heap(&h));
    }
    kp_heap_free(&h);
}

static void test_any_mix_of_set_move_and_remove_keeps_the_order(void) {
    kp_heap h = {0};
    kp_timer timers[TIMERS] = {0};
    uint64_t random = 7;
    CHECK_INT(kp_heap_reserve(&h, TIMERS), KP_OK);
    for (int i = 0; i < 20000; i++) {
        kp_timer *t = &timers[kp_test_random(&random) % TIMERS];
        if (kp_test_random(&random) % 3 == 0) {
            kp_heap_remove(&h, t); /* also one that is not in */
        } else {
            kp_heap_set(&h, t, (int64_t)(kp_test_random(&random) % 100));
        }
        CHECK(is_a_heap(&h));
    }
    kp_heap_free(&h);
}

static void test_room_grows_and_keeps_what_is_in(void) {
    kp_heap h = {0};
    kp_timer timers[TIMERS] = {0};
    for (size_t i = 0; i < TIMERS; i++) {
        CHECK_INT(kp_heap_reserve(&h, i + 1), KP_OK);
        kp_heap_set(&h, &timers[i], (int64_t)(TIMERS - i));
        CHECK(is_a_heap(&h));
    }
    CHECK(kp_heap_first(&h) == &timers[TIMERS - 1]);
    kp_heap_free(&h);
}

static const kp_test tests[] = {
    KP_TEST(test_timers_come_out_in_order),
    KP_TEST(test_any_mix_of_set_move_and_remove_keeps_the_order),
    KP_TEST(test_room_grows_and_keeps_what_is_in),
};

KP_TEST_MAIN(tests)
