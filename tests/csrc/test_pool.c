/* buffer.memory: the bound, the order of waiters, large buffers, the end. */
#include "kp_pool.h"
#include "kp_test.h"

enum { SLAB = 1000, LIMIT_BYTES = 5000 };

static kp_pool pool;

static void test_the_bound_holds_for_slabs_and_large_buffers(void) {
    kp_chunk chunks[6] = {{0}};
    CHECK_INT(kp_pool_init(&pool, SLAB, LIMIT_BYTES), KP_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(kp_pool_take(&pool, i == 0 ? 1 : SLAB, &chunks[i]), KP_OK);
        CHECK_INT(chunks[i].size, SLAB);
    }
    CHECK_INT(kp_pool_available(&pool), 0);
    CHECK_INT(kp_pool_take(&pool, 1, &chunks[5]), KP_AGAIN);
    for (int i = 0; i < 5; i++) {
        kp_pool_give(&pool, &chunks[i]);
        CHECK(chunks[i].data == NULL);
    }
    kp_pool_give(&pool, &chunks[0]); /* empty: nothing happens */
    CHECK_INT(kp_pool_available(&pool), LIMIT_BYTES);
    CHECK_INT(pool.cached, LIMIT_BYTES);
    CHECK_INT(kp_pool_take(&pool, 4500, &chunks[0]), KP_OK); /* free slabs make room */
    CHECK_INT(chunks[0].size, 4500);
    CHECK(pool.used + pool.cached <= LIMIT_BYTES);
    CHECK_INT(kp_pool_take(&pool, SLAB, &chunks[1]), KP_AGAIN);
    CHECK_INT(kp_pool_take(&pool, LIMIT_BYTES + 1, &chunks[1]), KP_ERR_TOO_LARGE);
    kp_pool_give(&pool, &chunks[0]);
    CHECK_INT(pool.used, 0);
    kp_pool_free(&pool);
}

static void test_a_slab_larger_than_the_bound_never_fits(void) {
    kp_chunk chunk = {0};
    CHECK_INT(kp_pool_init(&pool, SLAB, SLAB - 1), KP_OK);
    CHECK_INT(kp_pool_take(&pool, 1, &chunk), KP_ERR_TOO_LARGE);
    kp_pool_free(&pool);
}

static void test_waiters_are_served_in_the_order_of_their_arrival(void) {
    kp_chunk all = {0}, small = {0};
    kp_pool_waiter large, second;
    CHECK_INT(kp_pool_init(&pool, SLAB, LIMIT_BYTES), KP_OK);
    CHECK_INT(kp_pool_take(&pool, SLAB, &small), KP_OK);
    CHECK_INT(kp_pool_take(&pool, 4000, &all), KP_OK);
    kp_pool_wait_begin(&pool, &large, 4500);
    kp_pool_wait_begin(&pool, &second, SLAB);
    CHECK_INT(atomic_load(&pool.n_waiting), 2);
    kp_pool_give(&pool, &all);
    CHECK_INT(kp_pool_wait(&pool, &second, 0), KP_AGAIN); /* it would fit, but stands behind the large one */
    CHECK_INT(kp_pool_take(&pool, 1, &all), KP_AGAIN);    /* so does everybody who comes now */
    kp_pool_give(&pool, &small);
    CHECK_INT(kp_pool_wait(&pool, &large, 0), KP_OK);
    CHECK_INT(large.granted.size, 4500);
    CHECK_INT(kp_pool_wait(&pool, &second, 0), KP_AGAIN);
    kp_pool_wait_end(&pool, &large, false);
    kp_pool_give(&pool, &large.granted);
    CHECK_INT(kp_pool_wait(&pool, &second, 0), KP_OK);
    kp_pool_wait_end(&pool, &second, false);
    kp_pool_give(&pool, &second.granted);
    CHECK_INT(atomic_load(&pool.n_waiting), 0);
    CHECK_INT(pool.used, 0);
    kp_pool_free(&pool);
}

static void test_giving_up_a_wait_serves_those_behind(void) {
    kp_chunk all = {0};
    kp_pool_waiter large, second;
    CHECK_INT(kp_pool_init(&pool, SLAB, LIMIT_BYTES), KP_OK);
    CHECK_INT(kp_pool_take(&pool, 3500, &all), KP_OK);
    kp_pool_wait_begin(&pool, &large, 4500);
    kp_pool_wait_begin(&pool, &second, SLAB);
    CHECK_INT(kp_pool_wait(&pool, &large, 0), KP_AGAIN);
    kp_pool_wait_end(&pool, &large, true);
    CHECK_INT(pool.exhausted, 1);
    CHECK_INT(second.status, KP_OK);
    CHECK_INT(kp_pool_wait(&pool, &second, 0), KP_OK);
    kp_pool_wait_end(&pool, &second, false);
    kp_pool_give(&pool, &second.granted);
    kp_pool_give(&pool, &all);
    CHECK_INT(pool.used, 0);
    kp_pool_free(&pool);
}

static void wait_long(void *arg) {
    (void)kp_pool_wait(&pool, arg, kp_clock_ns() + 10LL * 1000 * 1000000);
}

/* The moment for which little memory wakes nobody is pretended to be long, and ends with a look whoever woke the waiter before. */
static void test_a_waiter_that_is_woken_for_others_does_not_miss_what_came_back(void) {
    enum { MOMENT_NS = 50000000 };
    kp_chunk chunks[64] = {{0}};
    kp_pool_waiter w;
    kp_thread waiting;
    CHECK_INT(kp_pool_init(&pool, SLAB, 64 * SLAB), KP_OK);
    for (int i = 0; i < 64; i++) {
        CHECK_INT(kp_pool_take(&pool, SLAB, &chunks[i]), KP_OK);
    }
    kp_pool_wait_begin(&pool, &w, SLAB);
    const int64_t began = w.since_ns;
    w.since_ns += MOMENT_NS;
    CHECK_INT(kp_thread_start(&waiting, wait_long, &w), KP_OK);
    while (kp_clock_ns() < began + MOMENT_NS / 2) { /* whenever it sleeps, it is woken for nothing */
        kp_nap(1000000);
        kp_mutex_lock(&pool.lock);
        kp_cond_broadcast(&pool.cond);
        kp_mutex_unlock(&pool.lock);
    }
    kp_pool_give(&pool, &chunks[0]);
    kp_thread_join(waiting);
    CHECK_INT(w.status, KP_OK);
    CHECK(kp_clock_ns() - began < 5LL * 1000 * 1000000);
    kp_pool_wait_end(&pool, &w, false);
    kp_pool_give(&pool, &w.granted);
    for (int i = 1; i < 64; i++) {
        kp_pool_give(&pool, &chunks[i]);
    }
    CHECK_INT(pool.used, 0);
    kp_pool_free(&pool);
}

static void test_close_wakes_all_waiters(void) {
    kp_chunk all = {0};
    kp_pool_waiter a, b;
    CHECK_INT(kp_pool_init(&pool, SLAB, LIMIT_BYTES), KP_OK);
    CHECK_INT(kp_pool_take(&pool, LIMIT_BYTES, &all), KP_OK);
    kp_pool_wait_begin(&pool, &a, 1);
    kp_pool_wait_begin(&pool, &b, 1);
    kp_pool_close(&pool);
    CHECK_INT(kp_pool_wait(&pool, &a, KP_NEVER), KP_ERR_CLOSED);
    CHECK_INT(kp_pool_wait(&pool, &b, KP_NEVER), KP_ERR_CLOSED);
    CHECK(a.granted.data == NULL && b.granted.data == NULL);
    kp_pool_wait_end(&pool, &a, false);
    kp_pool_wait_end(&pool, &b, false);
    kp_pool_give(&pool, &all);
    kp_pool_free(&pool);
}

static void test_random_takes_and_gives_never_pass_the_bound(void) {
    enum { SLOTS = 16 };
    kp_chunk chunks[SLOTS] = {{0}};
    uint64_t random = 3;
    CHECK_INT(kp_pool_init(&pool, SLAB, LIMIT_BYTES), KP_OK);
    for (int i = 0; i < 20000; i++) {
        kp_chunk *c = &chunks[kp_test_random(&random) % SLOTS];
        if (c->data != NULL) {
            kp_pool_give(&pool, c);
        } else {
            const size_t size = (size_t)(kp_test_random(&random) % 2500);
            const kp_status status = kp_pool_take(&pool, size, c);
            CHECK(status == KP_AGAIN || (status == KP_OK && c->size >= size));
            if (status == KP_OK) {
                memset(c->data, 0xa5, c->size);
            }
        }
        CHECK(pool.used + pool.cached <= LIMIT_BYTES);
        CHECK_INT(pool.cached, pool.n_free * SLAB);
    }
    for (int i = 0; i < SLOTS; i++) {
        kp_pool_give(&pool, &chunks[i]);
    }
    CHECK_INT(pool.used, 0);
    kp_pool_free(&pool);
}

static const kp_test tests[] = {
    KP_TEST(test_the_bound_holds_for_slabs_and_large_buffers),
    KP_TEST(test_a_slab_larger_than_the_bound_never_fits),
    KP_TEST(test_waiters_are_served_in_the_order_of_their_arrival),
    KP_TEST(test_giving_up_a_wait_serves_those_behind),
    KP_TEST(test_a_waiter_that_is_woken_for_others_does_not_miss_what_came_back),
    KP_TEST(test_close_wakes_all_waiters),
    KP_TEST(test_random_takes_and_gives_never_pass_the_bound),
};

KP_TEST_MAIN(tests)
