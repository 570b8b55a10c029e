/* Partition choice: by key as Java and librdkafka do it, without a key by turns, by the length of queues (KIP-794). */
#include "kp_route.h"

#include "kp_test.h"
#include "pump_script.h"

static script s;

static kp_status append(int32_t partition, const char *key, size_t value_len, kp_place *place) {
    static const uint8_t value[4096] = {0};
    kp_record r = {.key = (const uint8_t *)key, .key_len = key == NULL ? -1 : (int64_t)strlen(key), .value = value,
                         .value_len = (int64_t)value_len, .timestamp_ms = 1};
    const kp_append_options o = {.partition = partition};
    size_t needed = 0;
    return kp_append(s.topic, &r, &o, place, &needed);
}

static void test_keys_choose_by_murmur2_and_ignore_keys_does_not(void) {
    for (int ignores = 0; ignores < 2; ignores++) {
        kp_config config = script_config();
        config.partitioner.least_key_len = ignores == 1 ? KP_IGNORE_KEYS : 0;
        config.linger_ns = 3600LL * SECOND;
        (void)script_begin(&s, &config, 7);
        static const char *const keys[] = {"", "21", "foobar", "abc", "a-little-bit-longer-string"};
        kp_place place, sticky;
        CHECK_INT(append(-1, NULL, 4, &sticky), KP_OK);
        for (size_t i = 0; i < KP_ARRAY_LEN(keys); i++) {
            CHECK_INT(append(-1, keys[i], 4, &place), KP_OK);
            const int32_t by_key = kp_murmur2_partition((const uint8_t *)keys[i], strlen(keys[i]), 7);
            CHECK_INT(place.partition, ignores == 1 ? sticky.partition : by_key);
        }
        CHECK_INT(append(3, "abc", 4, &place), KP_OK);
        CHECK_INT(place.partition, 3);
        CHECK_INT(append(7, NULL, 4, &place), KP_AGAIN);
        script_free(&s);
    }
}

static void test_records_without_a_key_stick_for_a_batch_and_prefer_leaders(void) {
    kp_config config = script_config();
    config.batch_size = 512;
    config.linger_ns = 3600LL * SECOND;
    (void)script_begin(&s, &config, 4);
    const kp_leader leaders[] = {{.node = -1}, {.node = 1}, {.node = -1}, {.node = 1}};
    script_topic(&s, s.topic, 4, leaders, NULL);
    int switches = 0, last = -1, of[4] = {0};
    for (int i = 0; i < 2000; i++) {
        kp_place place;
        CHECK_INT(append(-1, NULL, 20, &place), KP_OK);
        switches += last >= 0 && place.partition != last ? 1 : 0;
        last = place.partition;
        of[place.partition]++;
    }
    CHECK_INT(of[0], 0);
    CHECK_INT(of[2], 0);
    CHECK(of[1] > 200 && of[3] > 200);
    CHECK(switches < 2000 / 10);
    script_free(&s);
}

/* --- librdkafka's partitioners --- */

enum { STICKY = -1 };

/* Where a record with this key goes among n, if its key decides. */
static int32_t place_of(const char *partitioner, const char *key, int32_t n) {
    kp_config config = script_config();
    if (kp_partitioner_named(partitioner, &config.partitioner) != KP_OK) {
        return -2;
    }
    (void)script_begin(&s, &config, n);
    atomic_store(&s.topic->sticky, n - 1);
    const kp_record r = {.key = (const uint8_t *)key, .key_len = key == NULL ? -1 : (int64_t)strlen(key)};
    kp_partition *p;
    bool is_sticky;
    const kp_status status = kp_route(s.topic, &r, -1, &p, &is_sticky);
    const int32_t at = status != KP_OK ? -3 : is_sticky ? STICKY : p->index;
    script_free(&s);
    return at;
}

static void test_hashes_are_those_of_librdkafka(void) {
    static const struct {
        kp_key_hash hash;
        const char *key;
        uint32_t expected;
    } known[] = {
        {KP_HASH_MURMUR2, "21", -973932308 & INT32_MAX}, {KP_HASH_MURMUR2, "", 0x106e08d9u},
        {KP_HASH_CRC32, "123456789", 0xcbf43926u},   {KP_HASH_CRC32, "", 0},
        {KP_HASH_FNV1A, "", 0x7ee3623bu},            {KP_HASH_FNV1A, "a", 0x1bf3d6d4u},
        {KP_HASH_FNV1A, "foobar", 0x40630698u},
    };
    for (size_t i = 0; i < KP_ARRAY_LEN(known); i++) {
        const uint8_t *key = (const uint8_t *)known[i].key;
        CHECK_INT(kp_route_hash(known[i].hash, key, (int64_t)strlen(known[i].key)), known[i].expected);
    }
}

static void test_null_and_empty_keys_are_treated_as_librdkafka_does(void) {
    enum { N = 7, OF_MURMUR2 = 0x106e08d9 % N, OF_FNV1A = 0x7ee3623b % N };
    static const struct {
        const char *partitioner;
        int32_t null, empty;
    } known[] = {
        {"murmur2_random", STICKY, OF_MURMUR2},  {"murmur2", OF_MURMUR2, OF_MURMUR2},
        {"consistent_random", STICKY, STICKY},   {"consistent", 0, 0},
        {"fnv1a_random", STICKY, OF_FNV1A},      {"fnv1a", OF_FNV1A, OF_FNV1A},
    };
    for (size_t i = 0; i < KP_ARRAY_LEN(known); i++) {
        CHECK_INT(place_of(known[i].partitioner, NULL, N), known[i].null);
        CHECK_INT(place_of(known[i].partitioner, "", N), known[i].empty);
        CHECK(place_of(known[i].partitioner, "k", N) >= 0);
    }
    CHECK_INT(place_of("random", NULL, N), STICKY);
    CHECK_INT(place_of("consistent", "123456789", N), 0xcbf43926u % N);
    CHECK_INT(place_of("no such thing", "", N), -2);
}

static void test_random_draws_for_each_key_and_one_more_time_to_miss_what_has_no_leader(void) {
    kp_config config = script_config();
    (void)kp_partitioner_named("random", &config.partitioner);
    (void)script_begin(&s, &config, 2);
    static const kp_leader leaders[] = {{.node = 1}, {.node = -1}};
    script_topic(&s, s.topic, 2, leaders, NULL);
    const kp_record r = {.key = (const uint8_t *)"", .key_len = 0};
    int without_leader = 0;
    for (int i = 0; i < 4000; i++) {
        kp_partition *p;
        bool is_sticky;
        CHECK_INT(kp_route(s.topic, &r, -1, &p, &is_sticky), KP_OK);
        CHECK(!is_sticky);
        without_leader += p->index;
    }
    CHECK(without_leader > 800 && without_leader < 1200); /* a quarter */
    script_free(&s);
}

/* --- KIP-794 --- */

static int32_t switch_once(void) {
    const int32_t sticky = atomic_load(&s.topic->sticky);
    return kp_route_switch(s.topic, kp_topic_table(s.topic), kp_topic_live(s.topic), sticky);
}

static void queue_up(const int32_t *queued, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        atomic_store(&script_partition(&s, i)->n_queued, queued[i]);
    }
}

static void test_without_a_queue_partitions_take_turns(void) {
    for (int32_t queued = 0; queued < 2; queued++) {
        const kp_config config = script_config();
        (void)script_begin(&s, &config, 5);
        const int32_t alike[] = {queued, queued, queued, queued, queued};
        queue_up(alike, 5);
        const int32_t first = switch_once();
        for (int i = 1; i < 40; i++) {
            CHECK_INT(switch_once(), (first + i) % 5);
        }
        static const int32_t none[5];
        queue_up(none, 5);
        script_free(&s);
    }
}

static void test_a_partition_is_drawn_by_its_weight_of_kip_794(void) {
    enum { N = 4, ROUNDS = 40000 };
    static const int32_t queued[N] = {0, 3, 1, 9};
    const kp_config config = script_config();
    (void)script_begin(&s, &config, N);
    queue_up(queued, N);
    int of[N] = {0}, sum = 0;
    for (int i = 0; i < ROUNDS; i++) {
        of[switch_once()]++;
    }
    for (int i = 0; i < N; i++) {
        sum += 9 + 1 - queued[i];
    }
    for (int i = 0; i < N; i++) {
        const int expected = ROUNDS * (9 + 1 - queued[i]) / sum;
        CHECK(of[i] > expected * 0.9 && of[i] < expected * 1.1 + 10);
    }
    static const int32_t none[N];
    queue_up(none, N);
    script_free(&s);
}

static void test_without_adaptive_partitioning_queues_do_not_count(void) {
    kp_config config = script_config();
    config.is_adaptive = false;
    (void)script_begin(&s, &config, 3);
    static const int32_t queued[] = {0, 1000, 0}, none[3];
    queue_up(queued, 3);
    const int32_t first = switch_once();
    for (int i = 1; i < 30; i++) {
        CHECK_INT(switch_once(), (first + i) % 3);
    }
    queue_up(none, 3);
    script_free(&s);
}

static void test_of_many_partitions_a_long_queue_is_noticed_soon(void) {
    enum { N = 800, SLOW = 400 };
    static int32_t queued[N];
    const kp_config config = script_config();
    (void)script_begin(&s, &config, N);
    for (int i = 0; i < 2 * N + N / 16; i++) { /* to the middle between two looks */
        (void)switch_once();
    }
    for (int i = 0; i < SLOW; i++) {
        queued[i] = 30;
    }
    queue_up(queued, N);
    for (int i = 0; i < N / 8 + 1; i++) { /* one look at all within these */
        (void)switch_once();
    }
    int to_slow = 0;
    for (int i = 0; i < 4000; i++) {
        to_slow += switch_once() < SLOW ? 1 : 0;
    }
    CHECK(to_slow > 0 && to_slow < 4000 / 12); /* half of them at a 31st each, and what DRAWS gives up on */
    memset(queued, 0, sizeof queued);
    queue_up(queued, N);
    script_free(&s);
}

/* Four partitions, the first one's node apart from the others': a step a millisecond, each node answered or not. */
typedef struct cluster {
    int conns[2];
    bool answers[2];
    int of[4];
} cluster;

static cluster begin_cluster(int64_t availability_timeout_ns) {
    kp_config config = script_config();
    config.batch_size = 256;
    config.availability_timeout_ns = availability_timeout_ns;
    cluster c = {.answers = {true, true}};
    c.conns[0] = script_begin(&s, &config, 4);
    static const kp_leader leaders[] = {{.node = 2}, {.node = 1}, {.node = 1}, {.node = 1}};
    script_topic(&s, s.topic, 4, leaders, NULL);
    c.conns[1] = script_adopt(&s, 2, 9);
    return c;
}

static void answer_all(const cluster *c) {
    for (int i = 0; i < 2; i++) {
        script_request r;
        while (c->answers[i] && script_next(&s, c->conns[i], &r)) {
            script_answer_code(&s, c->conns[i], &r, 0);
        }
    }
}

static kp_status run_cluster(cluster *c, int ms) {
    memset(c->of, 0, sizeof c->of);
    for (int i = 0; i < ms; i++) {
        for (int k = 0; k < 32; k++) {
            kp_result *result = NULL;
            const kp_status status = script_append(&s, -1, NULL, &result);
            if (status != KP_OK) {
                return status;
            }
            c->of[result->partition->index]++;
            kp_result_release(result);
        }
        script_pass(&s, MS);
        answer_all(c);
    }
    return KP_OK;
}

static double share_of_first(const cluster *c) {
    return (double)c->of[0] / (c->of[0] + c->of[1] + c->of[2] + c->of[3]);
}

static void test_records_leave_a_slow_node_and_come_back(void) {
    cluster c = begin_cluster(0);
    CHECK_INT(run_cluster(&c, 400), KP_OK);
    CHECK(share_of_first(&c) > 0.2 && share_of_first(&c) < 0.3);
    c.answers[1] = false;
    CHECK_INT(run_cluster(&c, 200), KP_OK);
    CHECK_INT(run_cluster(&c, 400), KP_OK);
    CHECK(share_of_first(&c) < 0.08);
    CHECK(c.of[0] > 0); /* a chance is left to it */
    c.answers[1] = true;
    CHECK_INT(run_cluster(&c, 50), KP_OK);
    CHECK_INT(atomic_load(&script_partition(&s, 0)->n_queued), 0);
    CHECK_INT(run_cluster(&c, 400), KP_OK);
    CHECK(share_of_first(&c) > 0.2 && share_of_first(&c) < 0.3);
    script_free(&s);
}

static void test_partitions_of_a_node_that_takes_nothing_are_left_out_until_it_does(void) {
    cluster c = begin_cluster(50 * MS);
    CHECK_INT(run_cluster(&c, 100), KP_OK);
    c.answers[1] = false;
    CHECK_INT(run_cluster(&c, 200), KP_OK); /* five requests, and then the timeout */
    CHECK_INT(run_cluster(&c, 200), KP_OK);
    CHECK_INT(c.of[0], 0);
    c.answers[1] = true;
    CHECK_INT(run_cluster(&c, 20), KP_OK);
    CHECK_INT(run_cluster(&c, 400), KP_OK);
    CHECK(share_of_first(&c) > 0.2 && share_of_first(&c) < 0.3);
    script_free(&s);
}

static void test_a_node_without_a_connection_is_away_at_its_deadline_and_no_longer_than_something_waits(void) {
    cluster c = begin_cluster(50 * MS);
    script_end(&s, c.conns[1]);
    kp_partition *p = script_partition(&s, 0);
    script_pass(&s, 200 * MS);
    CHECK(!atomic_load(&p->is_away)); /* nothing waits for it */
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    CHECK_INT(s.deadline, s.now + 50 * MS);
    script_pass(&s, 50 * MS - 1);
    CHECK(!atomic_load(&p->is_away));
    script_pass(&s, 1);
    CHECK(atomic_load(&p->is_away));
    CHECK(!atomic_load(&script_partition(&s, 1)->is_away));
    script_fail_partition(&s, 0, 3);
    CHECK(!atomic_load(&p->is_away));
    script_free(&s);
}

static void test_a_partition_is_as_far_away_as_its_new_leader(void) {
    cluster c = begin_cluster(50 * MS);
    script_end(&s, c.conns[1]);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    script_pass(&s, 50 * MS);
    CHECK(atomic_load(&script_partition(&s, 0)->is_away));
    static const kp_leader changed[] = {{.node = 1}, {.node = 2}, {.node = 1}, {.node = 1}};
    CHECK_INT(script_append(&s, 1, NULL, NULL), KP_OK); /* keeps node 2 away when partition 0 leaves it */
    script_topic(&s, s.topic, 4, changed, NULL);
    CHECK(!atomic_load(&script_partition(&s, 0)->is_away));
    script_free(&s);
}

static void test_what_waits_for_a_verdict_does_not_speak_against_its_node(void) {
    cluster c = begin_cluster(50 * MS);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, c.conns[1], &r));
    script_answer_code(&s, c.conns[1], &r, 6);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_step(&s);
    script_pass(&s, 200 * MS);
    CHECK(!atomic_load(&script_partition(&s, 0)->is_away));
    script_free(&s);
}

static void test_a_node_that_takes_requests_is_not_away_however_much_waits(void) {
    cluster c = begin_cluster(50 * MS);
    for (int i = 0; i < 400; i++) {
        CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    }
    script_step(&s);
    for (int i = 0; i < 10; i++) {
        script_request r;
        script_pass(&s, 30 * MS);
        CHECK(script_next(&s, c.conns[1], &r));
        script_answer_code(&s, c.conns[1], &r, 0);
        CHECK(atomic_load(&script_partition(&s, 0)->n_queued) > 0);
        CHECK(!atomic_load(&script_partition(&s, 0)->is_away));
    }
    script_free(&s);
}

static void test_if_all_nodes_are_away_records_go_on(void) {
    cluster c = begin_cluster(50 * MS);
    for (int32_t i = 0; i < 4; i++) {
        atomic_store(&script_partition(&s, i)->is_away, true);
    }
    static const kp_leader leaders[] = {{.node = -1}, {.node = 1}, {.node = 1}, {.node = 1}};
    script_topic(&s, s.topic, 4, leaders, NULL);
    CHECK_INT(run_cluster(&c, 200), KP_OK);
    CHECK_INT(c.of[0], 0);
    CHECK(c.of[1] > 0 && c.of[2] > 0 && c.of[3] > 0);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_keys_choose_by_murmur2_and_ignore_keys_does_not),
    KP_TEST(test_records_without_a_key_stick_for_a_batch_and_prefer_leaders),
    KP_TEST(test_hashes_are_those_of_librdkafka),
    KP_TEST(test_null_and_empty_keys_are_treated_as_librdkafka_does),
    KP_TEST(test_random_draws_for_each_key_and_one_more_time_to_miss_what_has_no_leader),
    KP_TEST(test_without_a_queue_partitions_take_turns),
    KP_TEST(test_a_partition_is_drawn_by_its_weight_of_kip_794),
    KP_TEST(test_without_adaptive_partitioning_queues_do_not_count),
    KP_TEST(test_of_many_partitions_a_long_queue_is_noticed_soon),
    KP_TEST(test_records_leave_a_slow_node_and_come_back),
    KP_TEST(test_partitions_of_a_node_that_takes_nothing_are_left_out_until_it_does),
    KP_TEST(test_a_node_without_a_connection_is_away_at_its_deadline_and_no_longer_than_something_waits),
    KP_TEST(test_a_partition_is_as_far_away_as_its_new_leader),
    KP_TEST(test_what_waits_for_a_verdict_does_not_speak_against_its_node),
    KP_TEST(test_a_node_that_takes_requests_is_not_away_however_much_waits),
    KP_TEST(test_if_all_nodes_are_away_records_go_on),
};

KP_TEST_MAIN(tests)
