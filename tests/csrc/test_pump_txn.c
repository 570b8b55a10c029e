/* Transactions from a script: what may be appended, what leaves and when, how one fails, drains and gives way. */
#include <stdlib.h>

#include "kp_test.h"
#include "pump_script.h"

enum { INVALID_MESSAGE = 2, NOT_LEADER = 6, TOO_LARGE = 10, INVALID_RECORD = 87, TRANSACTIONAL = 0x10 };
enum { V1 = false, V2 = true };

static script s;

#define CHECK_OUTCOME(result, expected_code, expected_persisted)               \
    do {                                                                       \
        CHECK_INT(kp_result_state(result), KP_FAILED);                         \
        CHECK_INT((result)->failure.code, expected_code);                      \
        CHECK_INT((result)->failure.persisted, expected_persisted);            \
    } while (0)

/* Told exactly once, and now. Events before it are dropped. */
#define CHECK_DRAINED(gen, sent, broken)                                       \
    do {                                                                       \
        CHECK_INT(script_count_events(&s, KP_EV_TXN_DRAINED), 1);              \
        const kp_msg *drained_ = script_event(&s, KP_EV_TXN_DRAINED);          \
        CHECK_INT(drained_->txn_gen, gen);                                     \
        CHECK_INT(drained_->flag_a, sent);                                     \
        CHECK_INT(drained_->flag_b, broken);                                   \
    } while (0)

#define CHECK_NOT_DRAINED() CHECK_INT(script_count_events(&s, KP_EV_TXN_DRAINED), 0)

#define CHECK_SLOT(request, at, expected_epoch, expected_sequence)             \
    do {                                                                       \
        CHECK_INT((request).slots[at].producer_epoch, expected_epoch);         \
        CHECK_INT((request).slots[at].base_sequence, expected_sequence);       \
    } while (0)

static int begin(int32_t n_partitions) {
    const kp_config config = script_txn_config();
    return script_begin(&s, &config, n_partitions);
}

/* An open batch stays where it is unless something hurries. */
static int begin_slowly(int32_t n_partitions) {
    kp_config config = script_txn_config();
    config.linger_ns = 5LL * SECOND;
    config.delivery_timeout_ns = 10LL * SECOND;
    return script_begin(&s, &config, n_partitions);
}

static void release_all(kp_result **results, int n) {
    for (int i = 0; i < n; i++) {
        kp_result_release(results[i]);
    }
}

static kp_result *sent_batch(int32_t partition, int32_t n) {
    kp_result *result = script_batch(&s, partition, n);
    script_step(&s);
    return result;
}

static kp_result *open_record(int32_t partition) {
    kp_result *result = NULL;
    if (script_append(&s, partition, NULL, &result) != KP_OK) {
        kp_test_fail(__FILE__, __LINE__, "a record is appended");
    }
    script_step(&s);
    return result;
}

static void ack_next(int conn) {
    script_request r;
    if (!script_next(&s, conn, &r)) {
        kp_test_fail(__FILE__, __LINE__, "a request was sent");
        return;
    }
    script_answer_code(&s, conn, &r, 0);
}

/* The first-sequence gate of the partition is open afterwards. */
static void ack_one_batch(int conn, int32_t partition) {
    kp_result *result = sent_batch(partition, 1);
    ack_next(conn);
    kp_result_release(result);
}

/* Refuses the next request; the event stays valid until the next one is asked for. */
static kp_msg refuse_next(int conn, int16_t code) {
    script_request r;
    const kp_msg *m = NULL;
    if (script_next(&s, conn, &r)) {
        script_answer_code(&s, conn, &r, code);
        m = script_event(&s, KP_EV_BATCH_REFUSED);
    }
    if (m == NULL) {
        kp_test_fail(__FILE__, __LINE__, "a request was refused");
        return (kp_msg){0};
    }
    return *m;
}

static uint64_t stale_commands(void) { return kp_counter_get(&s.core->stats.counters[KP_C_stale_commands]); }

/* --- what may be appended --- */

static kp_status append_to_unknown_topic(void) {
    kp_record r = {.key_len = -1, .value = (const uint8_t *)"v", .value_len = 1, .timestamp_ms = 1600000000000};
    const kp_append_options o = {.partition = -1};
    kp_place place;
    size_t needed;
    return kp_append(kp_core_topic(s.core, "unknown", 7), &r, &o, &place, &needed);
}

static void test_no_record_is_taken_without_an_open_transaction(void) {
    (void)begin(1);
    kp_failure failure;
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    CHECK_INT(append_to_unknown_topic(), KP_ERR_STATE);
    CHECK(!kp_txn_failure(s.core, &failure));
    script_txn_begin(&s, 1, V2);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    CHECK_INT(append_to_unknown_topic(), KP_AGAIN);
    kp_txn_close(s.core, NULL);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    CHECK_INT(append_to_unknown_topic(), KP_ERR_STATE);
    CHECK(!kp_txn_failure(s.core, &failure));
    script_free(&s);
}

static void test_a_record_refused_at_the_call_refuses_the_later_ones_and_says_why(void) {
    (void)begin(2);
    script_txn_begin(&s, 4, V2);
    const kp_failure too_large = {.code = KP_CODE_TXN_REFUSED, .node = -1, .message = (char *)(uintptr_t) "too large"};
    kp_txn_refuse(s.core, 3, &too_large, s.topic); /* late: of the transaction before */
    CHECK_INT(kp_txn_current(s.core), 4);
    kp_txn_refuse(s.core, kp_txn_current(s.core), &too_large, s.topic);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    kp_failure why;
    CHECK(kp_txn_failure(s.core, &why));
    CHECK_INT(why.code, KP_CODE_TXN_REFUSED);
    CHECK(strcmp(why.message, "too large") == 0);
    free(why.message);
    script_step(&s);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    const kp_msg *m = script_event(&s, KP_EV_TXN_FAILED);
    CHECK_INT(m->txn_gen, 4);
    CHECK_INT(m->code, KP_CODE_TXN_REFUSED);
    CHECK_INT(m->partition, -1);
    CHECK(m->topic == s.topic && strcmp(m->message, "too large") == 0);
    script_txn_drop(&s, 4);
    CHECK_DRAINED(4, false, false);
    script_txn_begin(&s, 5, V2);
    CHECK(!kp_txn_failure(s.core, &why));
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_OK);
    script_free(&s);
}

static void test_a_refused_record_outside_a_transaction_fails_nothing(void) {
    (void)begin(1);
    const kp_failure too_large = {.code = KP_CODE_TXN_REFUSED, .node = -1};
    kp_txn_refuse(s.core, kp_txn_current(s.core), &too_large, s.topic);
    script_step(&s);
    kp_failure why;
    CHECK(script_any_event(&s) == NULL);
    CHECK(!kp_txn_failure(s.core, &why));
    script_free(&s);
}

/* --- what leaves, and when --- */

static void test_protocol_1_tells_each_partition_once_and_waits_for_its_allowance(void) {
    const int conn = begin(2);
    for (uint32_t gen = 1; gen <= 2; gen++) {
        script_txn_begin(&s, gen, V1);
        kp_result *results[] = {script_batch(&s, 0, 2), script_batch(&s, 0, 1), script_batch(&s, 1, 1)};
        script_step(&s);
        CHECK_INT(script_count_events(&s, KP_EV_TXN_PARTITION), 2);
        for (int32_t i = 0; i < 2; i++) {
            const kp_msg *m = script_event(&s, KP_EV_TXN_PARTITION);
            CHECK(m->topic == s.topic);
            CHECK_INT(m->partition, i);
            CHECK_INT(m->txn_gen, gen);
        }
        CHECK_INT(script_count_requests(&s, conn), 0);
        script_txn_allow(&s, 0, gen);
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.n_slots, 1);
        CHECK_INT(r.slots[0].partition, 0);
        script_answer_code(&s, conn, &r, 0);
        ack_next(conn);
        CHECK_INT(script_count_requests(&s, conn), 0);
        script_txn_seal(&s, gen);
        CHECK_INT(script_count_requests(&s, conn), 0); /* a seal hurries, but allows nothing */
        CHECK_NOT_DRAINED();
        script_txn_allow(&s, 1, gen);
        ack_next(conn);
        CHECK_DRAINED(gen, true, false);
        release_all(results, 3);
    }
    script_free(&s);
}

static void test_an_allowance_of_an_older_transaction_does_not_help(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V1);
    script_txn_allow(&s, 0, 1);
    script_txn_seal(&s, 1);
    script_txn_begin(&s, 2, V1);
    kp_result *a = sent_batch(0, 1);
    script_txn_allow(&s, 0, 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_txn_allow(&s, 0, 2);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    script_free(&s);
}

static void test_protocol_2_sends_at_once_and_tells_no_partition(void) {
    const int conn = begin(2);
    script_txn_begin(&s, 1, V2);
    kp_result *results[] = {script_batch(&s, 0, 1), script_batch(&s, 1, 1)};
    script_step(&s);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 2);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_PARTITION), 0);
    release_all(results, 2);
    script_free(&s);
}

static void test_batches_wait_until_their_transaction_has_begun(void) {
    const int conn = begin(2);
    kp_txn_open(s.core, 1, true);
    kp_result *a = sent_batch(0, 1);
    kp_result *b = sent_batch(1, 1);
    script_txn_allow(&s, 0, 1); /* before the beginning: kept */
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_txn_command(&s, KP_CMD_TXN_BEGIN, 1, V1);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 1);
    CHECK_INT(r.slots[0].partition, 0);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_the_next_transaction_never_leaves_under_the_epoch_of_the_last(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    script_txn_seal(&s, 1);
    CHECK_DRAINED(1, true, false);
    kp_txn_open(s.core, 2, false);
    kp_result *a = sent_batch(0, 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_pass(&s, SECOND);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_producer(&s, 7, 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_txn_command(&s, KP_CMD_TXN_BEGIN, 2, V2);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_SLOT(r, 0, 1, 0);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_request_names_the_transactional_id_and_batches_carry_the_bit(void) {
    static const int16_t versions[] = {3, 8, 9, 12};
    for (size_t i = 0; i < KP_ARRAY_LEN(versions); i++) {
        (void)begin(1);
        const int conn = script_adopt(&s, 1, versions[i]);
        script_txn_begin(&s, 1, V2);
        kp_result *a = sent_batch(0, 2);
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.version, versions[i]);
        CHECK(r.has_transactional_id && strcmp(r.transactional_id, "copier") == 0);
        CHECK_INT(r.slots[0].attributes, TRANSACTIONAL);
        kp_result_release(a);
        script_free(&s);
    }
}

static void test_a_long_transactional_id_fits_into_the_request(void) {
    char id[201] = {0};
    memset(id, 'x', sizeof id - 1);
    kp_config config = script_txn_config();
    config.transactional_id = id;
    const int conn = script_begin(&s, &config, 1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK(strcmp(r.transactional_id, id) == 0);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_producer_without_transactions_names_no_id_and_sets_no_bit(void) {
    static const int16_t versions[] = {3, 9};
    for (size_t i = 0; i < KP_ARRAY_LEN(versions); i++) {
        const kp_config config = script_config();
        (void)script_begin(&s, &config, 1);
        const int conn = script_adopt(&s, 1, versions[i]);
        kp_result *a = sent_batch(0, 1);
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK(!r.has_transactional_id);
        CHECK_INT(r.slots[0].attributes, 0);
        CHECK_INT(atomic_load(&s.core->txn_batches), 0);
        kp_result_release(a);
        script_free(&s);
    }
}

static void test_a_compressed_batch_carries_the_bit_beside_its_codec(void) {
    kp_config config = script_txn_config();
    config.codec = config.codec_lib.codec = KP_CODEC_SNAPPY;
    const int conn = script_begin(&s, &config, 1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 100);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.slots[0].attributes, TRANSACTIONAL | KP_CODEC_SNAPPY);
    kp_result_release(a);
    script_free(&s);
}

static void test_the_parts_of_a_split_stay_in_the_transaction(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    kp_result *whole = sent_batch(0, 5);
    const kp_msg refused = refuse_next(conn, TOO_LARGE);
    script_verdict(&s, &refused, KP_SPLIT, KP_NOT_PERSISTED);
    script_resume(&s, &refused, 0, false);
    script_txn_seal(&s, 1);
    const int32_t starts[] = {0, 2};
    for (int i = 0; i < 2; i++) {
        CHECK_NOT_DRAINED();
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].attributes, TRANSACTIONAL);
        CHECK_SLOT(r, 0, 0, starts[i]);
        script_answer_code(&s, conn, &r, 0);
    }
    CHECK_DRAINED(1, true, false);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0);
    kp_result_release(whole);
    script_free(&s);
}

/* --- seal --- */

static void test_a_seal_ignores_linger_and_is_over_with_the_last_answer(void) {
    const int conn = begin_slowly(2);
    script_txn_begin(&s, 1, V2);
    kp_result *results[] = {open_record(0), open_record(1)};
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_txn_seal(&s, 1);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_INT(r.n_slots, 2);
    CHECK_NOT_DRAINED();
    script_answer_code(&s, conn, &r, 0);
    CHECK_DRAINED(1, true, false);
    script_txn_seal(&s, 1);
    CHECK_NOT_DRAINED();
    CHECK_INT(stale_commands(), 1);
    release_all(results, 2);
    script_free(&s);
}

static void test_linger_counts_again_in_the_next_transaction(void) {
    const int conn = begin_slowly(1);
    script_txn_begin(&s, 1, V2);
    script_txn_seal(&s, 1);
    CHECK_DRAINED(1, false, false);
    CHECK_INT(atomic_load(&s.core->urgent), 0);
    script_txn_begin(&s, 2, V2);
    script_txn_seal(&s, 2);
    script_txn_seal(&s, 2); /* stale: the second of one must not hurry for ever */
    script_txn_begin(&s, 3, V2);
    kp_result *a = open_record(0);
    script_pass(&s, 5LL * SECOND - 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_pass(&s, 1);
    CHECK_INT(script_count_requests(&s, conn), 1);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_second_seal_of_a_transaction_under_way_changes_nothing(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1);
    script_txn_seal(&s, 1);
    script_txn_seal(&s, 1);
    ack_next(conn);
    CHECK_DRAINED(1, true, false);
    CHECK_INT(atomic_load(&s.core->urgent), 0);
    kp_result_release(a);
    script_free(&s);
}

static void test_an_empty_transaction_is_over_at_once(void) {
    (void)begin(1);
    script_txn_begin(&s, 1, V2);
    CHECK_NOT_DRAINED();
    script_txn_seal(&s, 1);
    CHECK_DRAINED(1, false, false);
    script_txn_begin(&s, 2, V2);
    script_txn_drop(&s, 2);
    CHECK_DRAINED(2, false, false);
    script_free(&s);
}

static void test_commands_about_another_transaction_are_counted_and_ignored(void) {
    const int conn = begin_slowly(1);
    script_txn_command(&s, KP_CMD_TXN_SEAL, 1, V2);
    script_txn_command(&s, KP_CMD_TXN_DROP, 0, V2);
    script_txn_begin(&s, 2, V2);
    kp_result *a = open_record(0);
    script_txn_command(&s, KP_CMD_TXN_SEAL, 1, V2);
    script_txn_command(&s, KP_CMD_TXN_DROP, 1, V2);
    script_txn_command(&s, KP_CMD_TXN_DROP, 3, V2);
    CHECK_INT(stale_commands(), 5);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(kp_result_state(a), KP_PENDING);
    CHECK(script_any_event(&s) == NULL);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_seal_waits_for_the_bytes_of_an_expired_batch(void) {
    const int conn = begin_slowly(1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1);
    script_txn_seal(&s, 1);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    CHECK_NOT_DRAINED();
    ack_next(conn);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    CHECK_DRAINED(1, true, true);
    kp_failure why;
    script_txn_begin(&s, 2, V2);
    CHECK(!kp_txn_failure(s.core, &why)); /* what failed after the seal is not the next one's */
    kp_result_release(a);
    script_free(&s);
}

/* --- drop --- */

static void test_a_drop_fails_what_was_never_sent_and_waits_for_the_rest(void) {
    const int conn = begin_slowly(2);
    script_txn_begin(&s, 1, V2);
    kp_result *in_flight = sent_batch(0, 1), *queued = sent_batch(0, 2), *open = open_record(1);
    script_txn_drop(&s, 1);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    CHECK_OUTCOME(queued, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_OUTCOME(open, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(in_flight), KP_PENDING);
    CHECK_NOT_DRAINED();
    ack_next(conn);
    CHECK_INT(kp_result_state(in_flight), KP_DELIVERED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0); /* control knows: it asked for it */
    CHECK_DRAINED(1, true, false); /* no sequence is missing */
    CHECK_INT(script_count_requests(&s, conn), 0);
    kp_result *results[] = {in_flight, queued, open};
    release_all(results, 3);
    script_free(&s);
}

static void test_a_refusal_after_a_drop_fails_the_batch_and_asks_nobody(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    kp_result *a = sent_batch(0, 1), *b = sent_batch(0, 1);
    script_request r[2];
    CHECK(script_next(&s, conn, &r[0]) && script_next(&s, conn, &r[1]));
    script_txn_drop(&s, 1);
    script_answer_code(&s, conn, &r[0], NOT_LEADER);
    CHECK_OUTCOME(a, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_INT(kp_result_state(b), KP_PENDING);
    CHECK_NOT_DRAINED();
    script_answer_code(&s, conn, &r[1], 45);
    CHECK_OUTCOME(b, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_BATCH_REFUSED), 0);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0);
    CHECK_DRAINED(1, true, true);
    CHECK_INT(script_count_requests(&s, conn), 0);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_a_lost_connection_after_a_drop_is_not_retried(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    kp_result *whole = sent_batch(0, 1);
    s.conns[conn].send_room = 30;
    kp_result *cut = sent_batch(0, 1);
    script_txn_drop(&s, 1);
    CHECK_NOT_DRAINED();
    script_end(&s, conn);
    CHECK_OUTCOME(whole, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(cut, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_CONN_WANTED), 0);
    CHECK_DRAINED(1, true, true);
    const int again = script_adopt(&s, 1, 9);
    CHECK_INT(script_count_requests(&s, again), 0);
    kp_result_release(whole);
    kp_result_release(cut);
    script_free(&s);
}

static void test_a_drop_beyond_retries_asks_nobody(void) {
    kp_config config = script_txn_config();
    config.retries = 0;
    const int conn = script_begin(&s, &config, 1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1);
    script_txn_drop(&s, 1);
    script_end(&s, conn);
    CHECK_OUTCOME(a, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_BATCH_REFUSED), 0);
    CHECK_DRAINED(1, true, true);
    kp_result_release(a);
    script_free(&s);
}

static void test_parked_batches_are_dropped_with_what_is_known_of_their_attempts(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    kp_result *whole = sent_batch(0, 1);
    s.conns[conn].send_room = 30;
    kp_result *cut = sent_batch(0, 1);
    script_end(&s, conn);
    CHECK_INT(kp_result_state(whole), KP_PENDING);
    script_txn_drop(&s, 1);
    CHECK_OUTCOME(whole, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(cut, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_DRAINED(1, true, true);
    kp_result_release(whole);
    kp_result_release(cut);
    script_free(&s);
}

static void test_a_batch_whose_verdict_is_awaited_is_dropped_as_maybe(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1);
    const kp_msg refused = refuse_next(conn, NOT_LEADER);
    script_txn_drop(&s, 1);
    CHECK_OUTCOME(a, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_DRAINED(1, true, true);
    script_verdict(&s, &refused, KP_RETRY, KP_NOT_PERSISTED);
    CHECK_INT(stale_commands(), 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    kp_result_release(a);
    script_free(&s);
}

static void test_a_drop_of_a_sealed_transaction_ends_it_once(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1), *b = sent_batch(0, 1);
    script_txn_seal(&s, 1);
    script_txn_drop(&s, 1);
    CHECK_OUTCOME(b, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    ack_next(conn);
    CHECK_DRAINED(1, true, false);
    CHECK_INT(atomic_load(&s.core->urgent), 0);
    CHECK_INT(script_count_requests(&s, conn), 0);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

/* --- a failed batch --- */

static void test_the_first_failed_batch_dooms_the_transaction(void) {
    const int conn = begin_slowly(4);
    script_txn_begin(&s, 1, V2);
    kp_result *guilty = sent_batch(0, 1), *acked = sent_batch(1, 1), *refused_too = sent_batch(2, 1);
    kp_result *behind = sent_batch(0, 1), *open = open_record(3);
    script_request r[3];
    CHECK(script_next(&s, conn, &r[0]) && script_next(&s, conn, &r[1]) && script_next(&s, conn, &r[2]));
    script_answer_code(&s, conn, &r[0], INVALID_MESSAGE);
    const kp_msg refused = *script_event(&s, KP_EV_BATCH_REFUSED);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_OUTCOME(guilty, INVALID_MESSAGE, KP_NOT_PERSISTED);
    CHECK_OUTCOME(behind, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_OUTCOME(open, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_INT(kp_result_state(acked), KP_PENDING);
    CHECK_INT(script_append(&s, 0, NULL, NULL), KP_ERR_STATE);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    const kp_msg *m = script_event(&s, KP_EV_TXN_FAILED);
    CHECK_INT(m->txn_gen, 1);
    CHECK_INT(m->code, INVALID_MESSAGE);
    CHECK_INT(m->attempts, 1);
    CHECK_INT(m->node, 1);
    CHECK(m->topic == s.topic);
    CHECK_INT(m->partition, 0);
    kp_failure why;
    CHECK(kp_txn_failure(s.core, &why));
    CHECK_INT(why.code, INVALID_MESSAGE);
    free(why.message);
    script_resume(&s, &refused, 0, false);
    script_answer_code(&s, conn, &r[1], 0);
    script_answer_code(&s, conn, &r[2], NOT_LEADER);
    CHECK_INT(kp_result_state(acked), KP_DELIVERED);
    CHECK_OUTCOME(refused_too, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0);
    CHECK_INT(script_count_events(&s, KP_EV_BATCH_REFUSED), 0);
    CHECK_NOT_DRAINED(); /* control has not ended it yet */
    script_txn_drop(&s, 1);
    CHECK_DRAINED(1, true, true);
    kp_result *results[] = {guilty, acked, refused_too, behind, open};
    release_all(results, 5);
    script_free(&s);
}

static void test_a_failed_batch_behind_an_unsettled_one_dooms_the_transaction_at_once(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    kp_result *head = sent_batch(0, 1), *guilty = sent_batch(0, 1);
    (void)refuse_next(conn, NOT_LEADER);
    const kp_msg refused = refuse_next(conn, INVALID_RECORD);
    script_verdict(&s, &refused, KP_FAIL, KP_NOT_PERSISTED);
    CHECK_OUTCOME(head, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(guilty, INVALID_RECORD, KP_NOT_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    CHECK_INT(script_event(&s, KP_EV_TXN_FAILED)->code, INVALID_RECORD);
    script_txn_drop(&s, 1);
    CHECK_DRAINED(1, true, true);
    kp_result_release(head);
    kp_result_release(guilty);
    script_free(&s);
}

static void test_a_guilty_record_dooms_the_rest_of_its_batch(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    kp_result *whole = sent_batch(0, 5);
    const kp_msg refused = refuse_next(conn, INVALID_RECORD);
    const int32_t guilty[] = {2};
    script_verdict_with(&s, &refused, KP_FAIL, KP_NOT_PERSISTED, guilty, 1);
    script_resume(&s, &refused, 0, false);
    for (int32_t i = 0; i < 5; i++) {
        int32_t index = i;
        kp_result *now = kp_result_resolve(whole, &index);
        CHECK_OUTCOME(now, i == 2 ? INVALID_RECORD : KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    }
    CHECK_INT(script_count_requests(&s, conn), 0);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    CHECK_INT(script_event(&s, KP_EV_TXN_FAILED)->code, INVALID_RECORD);
    script_txn_drop(&s, 1);
    CHECK_DRAINED(1, true, true);
    kp_result_release(whole);
    script_free(&s);
}

static void test_an_expired_batch_dooms_the_transaction(void) {
    const int conn = begin_slowly(2);
    script_lead(&s, 2, -1, 0);
    script_txn_begin(&s, 1, V2);
    kp_result *old = sent_batch(0, 1);
    script_pass(&s, 9LL * SECOND);
    kp_result *young = sent_batch(1, 1);
    script_pass(&s, SECOND);
    CHECK_OUTCOME(old, KP_CODE_EXPIRED, KP_NOT_PERSISTED);
    CHECK_OUTCOME(young, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    script_lead(&s, 2, 1, 1);
    CHECK_INT(script_count_requests(&s, conn), 0);
    script_txn_drop(&s, 1);
    CHECK_DRAINED(1, false, false);
    kp_result_release(old);
    kp_result_release(young);
    script_free(&s);
}

static void test_a_failed_partition_dooms_the_transaction(void) {
    (void)begin_slowly(2);
    script_txn_begin(&s, 1, V2);
    kp_result *a = open_record(0), *b = open_record(1);
    script_fail_partition(&s, 0, 29);
    CHECK_OUTCOME(a, 29, KP_NOT_PERSISTED);
    CHECK_OUTCOME(b, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

static void test_a_batch_that_fails_before_its_transaction_has_begun_dooms_it_too(void) {
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        const int conn = begin_slowly(2);
        kp_txn_open(s.core, 1, false);
        kp_result *a = open_record(0), *b = open_record(1);
        if (is_sealed) {
            kp_txn_close(s.core, NULL); /* the app commits at once, its command is on the way */
        }
        script_fail_partition(&s, 0, 29);
        CHECK_OUTCOME(a, 29, KP_NOT_PERSISTED);
        CHECK_INT(script_append(&s, 1, NULL, NULL), KP_ERR_STATE);
        CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
        CHECK_INT(script_event(&s, KP_EV_TXN_FAILED)->txn_gen, 1);
        script_txn_command(&s, KP_CMD_TXN_BEGIN, 1, V2);
        script_txn_seal(&s, 1);
        CHECK_OUTCOME(b, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
        CHECK_INT(script_count_requests(&s, conn), 0);
        CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0);
        CHECK_DRAINED(1, false, false);
        kp_result_release(a);
        kp_result_release(b);
        script_free(&s);
    }
}

/* The head is in flight for the second time, so the younger batch is parked behind it when the head expires. */
static void expire_the_head_before_a_parked_batch(int *conn, kp_result **head, kp_result **behind) {
    const int first = begin_slowly(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(first, 0);
    *head = sent_batch(0, 1);
    script_pass(&s, SECOND);
    *behind = sent_batch(0, 1);
    script_end(&s, first);
    *conn = script_adopt(&s, 1, 9);
    script_pass(&s, 9LL * SECOND);
}

static void test_a_dropped_batch_behind_an_expired_one_ends_with_its_answer(void) {
    for (int way = 0; way < 3; way++) {
        int conn;
        kp_result *head, *behind;
        expire_the_head_before_a_parked_batch(&conn, &head, &behind);
        CHECK_OUTCOME(head, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
        script_txn_drop(&s, 1);
        CHECK_NOT_DRAINED();
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_INT(r.slots[0].base_sequence, 1);
        if (way == 0) {
            script_answer_code(&s, conn, &r, 0);
        } else if (way == 1) {
            script_answer_code(&s, conn, &r, NOT_LEADER);
        } else {
            script_end(&s, conn);
        }
        CHECK_OUTCOME(behind, KP_CODE_TXN_ABORTED, KP_MAYBE_PERSISTED);
        CHECK_DRAINED(1, true, true);
        kp_result_release(head);
        kp_result_release(behind);
        script_free(&s);
    }
}

static void test_an_unresolved_partition_asks_for_no_epoch_in_a_transaction(void) {
    int conn = begin_slowly(1);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    kp_result *a = sent_batch(0, 1);
    script_end(&s, conn);
    script_pass(&s, 10LL * SECOND);
    CHECK_OUTCOME(a, KP_CODE_EXPIRED, KP_MAYBE_PERSISTED);
    script_txn_drop(&s, 1);
    CHECK_INT(script_count_events(&s, KP_EV_PARTITION_QUIET), 0);
    CHECK_DRAINED(1, true, true);
    conn = script_adopt(&s, 1, 9);
    script_txn_begin(&s, 2, V1);
    kp_result *b = sent_batch(0, 1);
    script_txn_allow(&s, 0, 2);
    CHECK_INT(script_count_requests(&s, conn), 0); /* nobody knows which sequence the broker expects */
    CHECK_INT(script_count_events(&s, KP_EV_PARTITION_QUIET), 0);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

/* --- the next transaction --- */

enum { ACKED = 0, UNRESOLVED, HELD, RECOVERING, PARTITIONS };

/* Leaves each partition of an aborted transaction in another state. Returns the connection; *refused is the hold. */
static int abort_in_every_state(kp_msg *refused) {
    int conn = begin_slowly(PARTITIONS);
    script_txn_begin(&s, 1, V2);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        ack_one_batch(conn, i);
    }
    kp_result *results[PARTITIONS] = {NULL};
    results[UNRESOLVED] = sent_batch(UNRESOLVED, 1);
    script_end(&s, conn);
    script_pass(&s, 2LL * SECOND); /* so that this one alone expires */
    conn = script_adopt(&s, 1, 9);
    (void)script_count_requests(&s, conn);
    results[RECOVERING] = sent_batch(RECOVERING, 1);
    script_end(&s, conn);
    conn = script_adopt(&s, 2, 9);
    const kp_leader leaders[PARTITIONS] = {{1, 0}, {1, 0}, {2, 1}, {1, 0}};
    script_topic(&s, s.topic, PARTITIONS, leaders, NULL);
    results[HELD] = sent_batch(HELD, 1);
    *refused = refuse_next(conn, NOT_LEADER);
    script_pass(&s, 8LL * SECOND); /* it expires: the transaction is doomed */
    script_txn_drop(&s, 1);
    release_all(results, PARTITIONS);
    return conn;
}

static void test_after_a_new_producer_id_every_partition_starts_at_sequence_0(void) {
    kp_msg refused;
    const int two = abort_in_every_state(&refused);
    CHECK(script_partition(&s, UNRESOLVED)->is_unresolved);
    CHECK(script_partition(&s, RECOVERING)->is_recovering);
    CHECK_DRAINED(1, true, true);
    const int one = script_adopt(&s, 1, 9);
    script_producer(&s, 7, 1);
    script_txn_begin(&s, 2, V2);
    for (int round = 0; round < 2; round++) {
        for (int32_t i = 0; i < PARTITIONS; i++) {
            const int conn = i == HELD ? two : one;
            kp_result *a = sent_batch(i, 2);
            script_request r;
            CHECK(script_next(&s, conn, &r));
            CHECK_INT(r.slots[0].partition, i);
            CHECK_SLOT(r, 0, 1, 2 * round);
            script_answer_code(&s, conn, &r, 0);
            CHECK_INT(kp_result_state(a), KP_DELIVERED);
            kp_result_release(a);
        }
    }
    script_txn_seal(&s, 2);
    CHECK_DRAINED(2, true, false);
    script_free(&s);
}

/* As control sends them: both commands are taken in one step, or the hold has ended before the second comes. */
static void fail_and_resume(const kp_msg *refused, bool in_one_step, bool new_epoch) {
    if (in_one_step) {
        kp_msg *v = kp_msg_new(KP_CMD_VERDICT);
        v->topic = refused->topic;
        v->partition = refused->partition;
        v->batch_id = refused->batch_id;
        v->action = KP_FAIL;
        v->code = refused->code;
        kp_core_command(s.core, v);
    } else {
        script_verdict(&s, refused, KP_FAIL, KP_NOT_PERSISTED);
    }
    script_resume(&s, refused, 60LL * SECOND, new_epoch);
}

static void test_a_resume_of_the_last_transaction_does_not_stop_the_next(void) {
    for (int way = 0; way < 4; way++) {
        const int conn = begin(1);
        script_txn_begin(&s, 1, V2);
        kp_result *a = sent_batch(0, 1);
        const kp_msg refused = refuse_next(conn, NOT_LEADER);
        fail_and_resume(&refused, way % 2 == 0, way / 2 == 0);
        CHECK_OUTCOME(a, NOT_LEADER, KP_NOT_PERSISTED);
        script_txn_drop(&s, 1);
        script_producer(&s, 7, 1);
        script_txn_begin(&s, 2, V2);
        kp_result *b = sent_batch(0, 1);
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_SLOT(r, 0, 1, 0);
        kp_result_release(a);
        kp_result_release(b);
        script_free(&s);
    }
}

static void test_without_a_new_producer_id_sequences_go_on(void) {
    const int conn = begin(2);
    for (uint32_t gen = 1; gen <= 3; gen++) {
        script_txn_begin(&s, gen, V1);
        script_txn_allow(&s, 0, gen);
        kp_result *a = sent_batch(0, 2);
        script_request r;
        CHECK(script_next(&s, conn, &r));
        CHECK_SLOT(r, 0, 0, 2 * ((int)gen - 1));
        script_answer_code(&s, conn, &r, 0);
        script_txn_seal(&s, gen);
        CHECK_DRAINED(gen, true, false);
        kp_result_release(a);
    }
    script_free(&s);
}

/* --- a topic that was made again --- */

static const uint8_t first_id[16] = {1}, second_id[16] = {2};

static void lead_with_id(const uint8_t *id) {
    const kp_leader leaders[] = {{1, 0}, {1, 0}};
    script_topic(&s, s.topic, 2, leaders, id);
}

static void test_a_recreated_topic_with_batches_under_way_dooms_the_transaction(void) {
    const int conn = begin(2);
    lead_with_id(first_id);
    script_txn_begin(&s, 1, V2);
    kp_result *a = sent_batch(0, 1), *behind = sent_batch(0, 1);
    lead_with_id(second_id);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
    const kp_msg *m = script_event(&s, KP_EV_TXN_FAILED);
    CHECK_INT(m->code, 3);
    CHECK_INT(m->partition, 0);
    CHECK_INT(m->persisted, KP_MAYBE_PERSISTED);
    CHECK_OUTCOME(behind, KP_CODE_TXN_ABORTED, KP_NOT_PERSISTED);
    ack_next(conn);
    CHECK_INT(kp_result_state(a), KP_DELIVERED);
    script_txn_drop(&s, 1);
    CHECK_DRAINED(1, true, true); /* nobody knows which of the two logs took the sequence */
    CHECK_INT(script_count_requests(&s, conn), 0);
    kp_result_release(a);
    kp_result_release(behind);
    script_free(&s);
}

static void test_a_recreated_topic_without_batches_under_way_starts_at_sequence_0(void) {
    const int conn = begin(2);
    lead_with_id(first_id);
    script_txn_begin(&s, 1, V2);
    ack_one_batch(conn, 0);
    ack_one_batch(conn, 1);
    lead_with_id(second_id);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 0);
    kp_result *a = sent_batch(0, 2), *b = sent_batch(0, 1);
    script_request r;
    CHECK(script_next(&s, conn, &r));
    CHECK_SLOT(r, 0, 0, 0);
    CHECK_INT(script_count_requests(&s, conn), 0); /* the new log has acked nothing */
    script_answer_code(&s, conn, &r, 0);
    CHECK(script_next(&s, conn, &r));
    CHECK_SLOT(r, 0, 0, 2);
    script_answer_code(&s, conn, &r, 0);
    script_txn_seal(&s, 1);
    CHECK_DRAINED(1, true, false);
    kp_result_release(a);
    kp_result_release(b);
    script_free(&s);
}

/* --- the end of everything --- */

/* In flight, asked, parked, queued, open: one of each. */
static void one_of_each(kp_result **results) {
    const int conn = begin_slowly(5);
    script_txn_begin(&s, 1, V2);
    results[0] = sent_batch(0, 1);
    script_end(&s, conn);
    const kp_leader leaders[] = {{2, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}};
    script_topic(&s, s.topic, 5, leaders, NULL);
    const int again = script_adopt(&s, 1, 9);
    results[1] = sent_batch(1, 1);
    (void)refuse_next(again, NOT_LEADER);
    results[2] = sent_batch(2, 1);
    results[3] = sent_batch(2, 1);
    results[4] = open_record(3);
}

static void check_all_settled(kp_result **results, int n) {
    for (int i = 0; i < n; i++) {
        CHECK_INT(kp_result_state(results[i]), KP_FAILED);
    }
    CHECK_INT(atomic_load(&s.core->txn_batches), 0);
    release_all(results, n);
}

static void test_a_stop_inside_a_transaction_leaves_nothing_behind(void) {
    for (int way = 0; way < 3; way++) { /* open, sealed, dropped */
        kp_result *results[5];
        one_of_each(results);
        if (way == 1) {
            script_txn_seal(&s, 1);
        } else if (way == 2) {
            script_txn_drop(&s, 1);
        }
        script_stop(&s);
        check_all_settled(results, 5);
        CHECK_INT(script_count_events(&s, KP_EV_TXN_DRAINED), way == 0 ? 0 : 1);
        CHECK_INT(script_count_events(&s, KP_EV_STOPPED), 1);
        script_free(&s);
    }
}

static void test_a_transaction_whose_last_batch_ends_while_sending_is_drained_at_once(void) {
    const int conn = begin(1);
    script_txn_begin(&s, 1, V2);
    s.conns[conn].send_room = 30; /* the frame is cut */
    kp_result *r = script_batch(&s, 0, 1);
    script_step(&s);
    script_txn_drop(&s, 1);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_DRAINED), 0);
    s.conns[conn].send_room = -1;
    s.conns[conn].is_broken = true; /* room, and then a reset */
    script_step(&s);
    CHECK_INT(kp_result_state(r), KP_FAILED);
    CHECK_INT(script_count_events(&s, KP_EV_TXN_DRAINED), 1);
    kp_result_release(r);
    script_free(&s);
}

static void test_a_record_that_waited_for_its_transaction_too_long_is_not_the_next_ones(void) {
    (void)begin(1);
    script_txn_begin(&s, 1, V2);
    script_txn_drop(&s, 1);
    script_txn_begin(&s, 2, V2);
    kp_record record = {.key_len = -1, .value = (const uint8_t *)"v", .value_len = 1, .timestamp_ms = 1};
    kp_append_options late = {.partition = 0, .txn_gen = 1}, fresh = {.partition = 0, .txn_gen = 2};
    kp_place place;
    size_t needed = 0;
    CHECK_INT(kp_append(s.topic, &record, &late, &place, &needed), KP_ERR_STATE);
    CHECK_INT(kp_append(s.topic, &record, &fresh, &place, &needed), KP_OK);
    script_free(&s);
}

static void test_a_fail_all_inside_a_transaction_dooms_it(void) {
    for (int fatal = 0; fatal < 2; fatal++) {
        kp_result *results[5];
        one_of_each(results);
        script_fail_all(&s, fatal == 1, KP_NOT_PERSISTED);
        check_all_settled(results, 5);
        CHECK_INT(script_count_events(&s, KP_EV_TXN_FAILED), 1);
        CHECK(script_append(&s, 4, NULL, NULL) != KP_OK);
        script_txn_drop(&s, 1);
        CHECK_DRAINED(1, true, true);
        script_free(&s);
    }
}

static void test_a_fail_all_ends_a_sealed_transaction(void) {
    kp_result *results[5];
    one_of_each(results);
    script_txn_seal(&s, 1);
    CHECK_NOT_DRAINED();
    script_fail_all(&s, false, KP_NOT_PERSISTED);
    check_all_settled(results, 5);
    CHECK_DRAINED(1, true, true);
    CHECK_INT(atomic_load(&s.core->urgent), 0);
    script_free(&s);
}

static const kp_test tests[] = {
    KP_TEST(test_no_record_is_taken_without_an_open_transaction),
    KP_TEST(test_a_record_refused_at_the_call_refuses_the_later_ones_and_says_why),
    KP_TEST(test_a_refused_record_outside_a_transaction_fails_nothing),
    KP_TEST(test_protocol_1_tells_each_partition_once_and_waits_for_its_allowance),
    KP_TEST(test_an_allowance_of_an_older_transaction_does_not_help),
    KP_TEST(test_protocol_2_sends_at_once_and_tells_no_partition),
    KP_TEST(test_batches_wait_until_their_transaction_has_begun),
    KP_TEST(test_the_next_transaction_never_leaves_under_the_epoch_of_the_last),
    KP_TEST(test_a_request_names_the_transactional_id_and_batches_carry_the_bit),
    KP_TEST(test_a_long_transactional_id_fits_into_the_request),
    KP_TEST(test_a_producer_without_transactions_names_no_id_and_sets_no_bit),
    KP_TEST(test_a_compressed_batch_carries_the_bit_beside_its_codec),
    KP_TEST(test_the_parts_of_a_split_stay_in_the_transaction),
    KP_TEST(test_a_seal_ignores_linger_and_is_over_with_the_last_answer),
    KP_TEST(test_linger_counts_again_in_the_next_transaction),
    KP_TEST(test_a_second_seal_of_a_transaction_under_way_changes_nothing),
    KP_TEST(test_an_empty_transaction_is_over_at_once),
    KP_TEST(test_commands_about_another_transaction_are_counted_and_ignored),
    KP_TEST(test_a_seal_waits_for_the_bytes_of_an_expired_batch),
    KP_TEST(test_a_drop_fails_what_was_never_sent_and_waits_for_the_rest),
    KP_TEST(test_a_refusal_after_a_drop_fails_the_batch_and_asks_nobody),
    KP_TEST(test_a_lost_connection_after_a_drop_is_not_retried),
    KP_TEST(test_a_drop_beyond_retries_asks_nobody),
    KP_TEST(test_parked_batches_are_dropped_with_what_is_known_of_their_attempts),
    KP_TEST(test_a_batch_whose_verdict_is_awaited_is_dropped_as_maybe),
    KP_TEST(test_a_drop_of_a_sealed_transaction_ends_it_once),
    KP_TEST(test_the_first_failed_batch_dooms_the_transaction),
    KP_TEST(test_a_failed_batch_behind_an_unsettled_one_dooms_the_transaction_at_once),
    KP_TEST(test_a_guilty_record_dooms_the_rest_of_its_batch),
    KP_TEST(test_an_expired_batch_dooms_the_transaction),
    KP_TEST(test_a_failed_partition_dooms_the_transaction),
    KP_TEST(test_a_batch_that_fails_before_its_transaction_has_begun_dooms_it_too),
    KP_TEST(test_a_dropped_batch_behind_an_expired_one_ends_with_its_answer),
    KP_TEST(test_an_unresolved_partition_asks_for_no_epoch_in_a_transaction),
    KP_TEST(test_after_a_new_producer_id_every_partition_starts_at_sequence_0),
    KP_TEST(test_a_resume_of_the_last_transaction_does_not_stop_the_next),
    KP_TEST(test_without_a_new_producer_id_sequences_go_on),
    KP_TEST(test_a_recreated_topic_with_batches_under_way_dooms_the_transaction),
    KP_TEST(test_a_recreated_topic_without_batches_under_way_starts_at_sequence_0),
    KP_TEST(test_a_stop_inside_a_transaction_leaves_nothing_behind),
    KP_TEST(test_a_transaction_whose_last_batch_ends_while_sending_is_drained_at_once),
    KP_TEST(test_a_record_that_waited_for_its_transaction_too_long_is_not_the_next_ones),
    KP_TEST(test_a_fail_all_inside_a_transaction_dooms_it),
    KP_TEST(test_a_fail_all_ends_a_sealed_transaction),
};

KP_TEST_MAIN(tests)
