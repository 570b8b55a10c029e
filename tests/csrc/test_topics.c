/* Topics by name: each is found, none twice, whatever the table has grown to and whoever adds at the same time. */
#include <stdio.h>
#include <string.h>

#include "kp_core.h"
#include "kp_test.h"

enum { TOPICS = 10000, THREADS = 4, SHARED = 2000 };

static kp_core *new_core(void) {
    const kp_config config = {.client_id = "test", .batch_size = 16384, .buffer_memory = 1 << 20};
    return kp_core_new(&config, KP_NO_HANDLE, KP_NO_HANDLE);
}

static kp_topic *numbered(kp_core *core, int n) {
    char name[32];
    const int len = snprintf(name, sizeof name, "orders-%d", n);
    return kp_core_topic(core, name, (size_t)len);
}

static int listed(kp_core *core) {
    int n = 0;
    for (const kp_topic *t = kp_core_first_topic(core); t != NULL; t = t->next) {
        n++;
    }
    return n;
}

static void test_ten_thousand_topics_are_found_again(void) {
    kp_core *core = new_core();
    static kp_topic *made[TOPICS];
    for (int i = 0; i < TOPICS; i++) {
        made[i] = numbered(core, i);
        CHECK(made[i] != NULL);
    }
    for (int i = 0; i < TOPICS; i++) {
        CHECK(numbered(core, i) == made[i]);
    }
    CHECK_INT(listed(core), TOPICS);
    CHECK_INT((int64_t)core->topic_index.count, TOPICS);
    kp_core_release(core);
}

/* Strides of long runs would make ten thousand look-ups as slow as a list. */
static void test_no_name_is_far_from_its_place(void) {
    kp_core *core = new_core();
    for (int i = 0; i < TOPICS; i++) {
        numbered(core, i);
    }
    const kp_topic_slots *s = atomic_load(&core->topic_index.slots);
    size_t longest = 0;
    for (size_t i = 0, run = 0; i <= s->mask; i++) {
        run = atomic_load(&s->items[i]) == NULL ? 0 : run + 1;
        longest = kp_max_size(longest, run);
    }
    CHECK(s->mask + 1 >= 2 * TOPICS);
    CHECK(longest < 100);
    kp_core_release(core);
}

static void test_names_that_begin_alike_are_different(void) {
    kp_core *core = new_core();
    kp_topic *longer = kp_core_topic(core, "orders", 6);
    kp_topic *shorter = kp_core_topic(core, "orders", 5);
    CHECK(longer != shorter);
    CHECK_INT((int64_t)shorter->name_len, 5);
    CHECK(kp_core_topic(core, "order", 5) == shorter);
    CHECK(kp_core_topic(core, "orders", 6) == longer);
    kp_core_release(core);
}

typedef struct adder {
    kp_core *core;
    kp_topic *found[SHARED];
} adder;

static void add_all(void *arg) {
    adder *a = arg;
    for (int i = 0; i < SHARED; i++) {
        a->found[i] = numbered(a->core, i);
    }
}

static void test_threads_that_add_the_same_names_get_the_same_topics(void) {
    static adder adders[THREADS];
    kp_thread threads[THREADS];
    kp_core *core = new_core();
    for (int i = 0; i < THREADS; i++) {
        adders[i].core = core;
        CHECK_INT(kp_thread_start(&threads[i], add_all, &adders[i]), KP_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        kp_thread_join(threads[i]);
    }
    for (int i = 1; i < THREADS; i++) {
        CHECK(memcmp(adders[i].found, adders[0].found, sizeof adders[0].found) == 0);
    }
    CHECK_INT(listed(core), SHARED);
    kp_core_release(core);
}

static const kp_test tests[] = {
    KP_TEST(test_ten_thousand_topics_are_found_again),
    KP_TEST(test_no_name_is_far_from_its_place),
    KP_TEST(test_names_that_begin_alike_are_different),
    KP_TEST(test_threads_that_add_the_same_names_get_the_same_topics),
};

KP_TEST_MAIN(tests)
