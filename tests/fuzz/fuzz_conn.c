/* The pump's connection against a broker that answers plausibly, wrongly, in pieces, or not at all.
 * Claims: every record ends exactly once, every listener is told exactly once, all memory is given back.
 * Input: three bytes of configuration, then operations with their arguments. */
#include "fuzz.h"
#include "pump_script.h"

enum { PARTITIONS = 3, OPERATIONS = 64, BATCHES = 48, HELD = 8, NODE = 1 };

typedef struct world {
    script s;
    fuzz_input in;
    kp_result *results[BATCHES];
    int n_results;
    int64_t appended, listening;
    int16_t epoch;
    script_request held[HELD]; /* requests that wait for their answers, oldest first */
    int n_held;
    int held_conn;
} world;

static world w; /* too large for the stack */

static int newest(void) { return w.s.n_conns - 1; }
static bool is_open(int conn) { return !w.s.conns[conn].is_closed; }

/* --- records --- */

static void append_one(int32_t partition, bool holds) {
    const kp_listener listener = {.object = &w};
    kp_result *result = NULL;
    const bool listens = fuzz_flag(&w.in);
    const bool wants = holds && w.n_results < BATCHES;
    const kp_status status = script_append(&w.s, partition, listens ? &listener : NULL, wants ? &result : NULL);
    if (status != KP_OK) {
        MUST(status == KP_ERR_CLOSED || status == KP_ERR_STATE || status == KP_FULL);
        return;
    }
    w.appended++;
    w.listening += listens ? 1 : 0;
    if (wants) {
        w.results[w.n_results++] = result;
    }
}

static void append_batch(void) {
    const int32_t partition = fuzz_below(&w.in, PARTITIONS);
    const int n = 1 + fuzz_below(&w.in, 4);
    for (int i = 0; i < n; i++) {
        append_one(partition, i == 0);
    }
    MUST(kp_accumulator_seal_open(script_partition(&w.s, partition)) == KP_OK);
}

/* --- answers --- */

static const int16_t codes[] = {0, 0, 0, 0, 1, 2, 3, 6, 10, 13, 20, 45, 46, 47, 59, 87, 89, 100, -1, INT16_MAX, INT16_MIN};

static script_reply choose_reply(const script_record_error *errors) {
    script_reply reply = {.code = codes[fuzz_below(&w.in, (int)KP_ARRAY_LEN(codes))],
                          .base_offset = 100,
                          .log_append_ms = -1,
                          .log_start_offset = -1};
    const uint8_t extras = fuzz_byte(&w.in);
    reply.message = extras & 1 ? "why" : NULL;
    reply.record_errors = errors;
    reply.n_record_errors = reply.code == 0 ? 0 : extras >> 1 & 3;
    reply.has_hint = (extras & 8) != 0;
    reply.hint = (kp_leader){.node = extras >> 4 & 3, .epoch = extras};
    reply.is_left_out = (extras & 0xc0) == 0xc0;
    reply.is_twice = (extras & 0xc0) == 0x80;
    return reply;
}

static void compose(const script_request *r, script_bytes *frame) {
    static const script_endpoint endpoints[] = {{.node = 1, .port = 9092, .host = "one"}, {.node = 3, .port = -1, .host = ""}};
    script_record_error errors[3];
    script_reply replies[SCRIPT_SLOTS];
    for (int i = 0; i < 3; i++) { /* in range, out of it, and twice the same */
        errors[i] = (script_record_error){.index = (int8_t)fuzz_byte(&w.in) % 6, .message = i == 0 ? "bad" : NULL};
    }
    for (int32_t i = 0; i < r->n_slots; i++) {
        replies[i] = choose_reply(errors);
    }
    const uint8_t extras = fuzz_byte(&w.in);
    const script_answer answer = {.throttle_ms = extras & 4 ? 20 : 0,
                                  .endpoints = endpoints,
                                  .n_endpoints = extras & 3 ? (extras & 3) - 1 : 0,
                                  .strangers = extras >> 3 & 1};
    script_put_answer(frame, r, replies, &answer);
}

static void replace_byte(script_bytes *frame) {
    frame->data[fuzz_number(&w.in, 2) % frame->len] = fuzz_byte(&w.in);
}

static void insert_bytes(script_bytes *frame) {
    const size_t at = fuzz_number(&w.in, 2) % frame->len;
    size_t n = 0;
    const uint8_t *bytes = fuzz_take(&w.in, 1 + (size_t)fuzz_below(&w.in, 8), &n);
    script_bytes longer = {0};
    put_raw(&longer, frame->data, at);
    put_raw(&longer, bytes, n);
    put_raw(&longer, frame->data + at, frame->len - at);
    free(frame->data);
    *frame = longer;
}

static void cut_bytes(script_bytes *frame) {
    const size_t at = fuzz_number(&w.in, 2) % frame->len;
    const size_t n = kp_min_size((size_t)fuzz_below(&w.in, 16), frame->len - at);
    memmove(frame->data + at, frame->data + at + n, frame->len - at - n);
    frame->len -= n;
}

static void mutate(script_bytes *frame) {
    static void (*const ways[])(script_bytes *) = {replace_byte, insert_bytes, cut_bytes};
    for (int n = 1 + fuzz_below(&w.in, 3); n > 0 && frame->len > 0; n--) {
        ways[fuzz_below(&w.in, (int)KP_ARRAY_LEN(ways))](frame);
    }
}

static void hold_requests(void) {
    if (w.held_conn != newest() || !is_open(w.held_conn)) { /* nobody waits for these answers any more */
        w.held_conn = newest();
        w.n_held = 0;
    }
    while (w.n_held < HELD && script_next(&w.s, w.held_conn, &w.held[w.n_held])) {
        w.n_held++;
    }
}

static void answer(bool is_mutated) {
    hold_requests();
    if (w.n_held == 0) {
        return;
    }
    script_bytes frame = {0};
    compose(&w.held[0], &frame);
    if (is_mutated) {
        mutate(&frame);
    }
    uint8_t length[4];
    kp_put_be32(length, (uint32_t)frame.len + (is_mutated && fuzz_byte(&w.in) == 1 ? fuzz_byte(&w.in) : 0));
    script_feed(&w.s, w.held_conn, length, sizeof length);
    script_feed(&w.s, w.held_conn, frame.data, frame.len);
    free(frame.data);
    memmove(w.held, w.held + 1, (size_t)--w.n_held * sizeof w.held[0]);
    if (fuzz_flag(&w.in)) { /* else it waits for more bytes */
        script_step(&w.s);
    }
}

static void answer_well(void) { answer(false); }
static void answer_wrongly(void) { answer(true); }

/* --- the network --- */

static void feed_noise(void) {
    size_t n = 0;
    const uint8_t *bytes = fuzz_take(&w.in, fuzz_byte(&w.in), &n);
    script_feed(&w.s, newest(), bytes, n);
}

static void change_network(void) {
    script_conn *c = &w.s.conns[newest()];
    const uint8_t what = fuzz_byte(&w.in);
    c->recv_max = what & 1 ? 1 + (size_t)(what >> 4) : SIZE_MAX;
    c->send_room = what & 2 ? what >> 4 : -1;
    c->is_broken = (what & 0xf) == 4;
    c->is_ended = c->is_ended || (what & 0xf) == 8;
    script_step(&w.s);
}

static void connect_again(void) {
    if (w.s.n_conns < SCRIPT_CONNS - 1) {
        (void)script_adopt(&w.s, NODE, (int16_t)(KP_PRODUCE_MIN + fuzz_below(&w.in, 11)));
    }
}

static void drop(void) { script_drop(&w.s, newest(), fuzz_flag(&w.in)); }

static void pass_time(void) {
    static const int64_t steps[] = {MS, 20 * MS, SECOND, 11LL * SECOND, 31LL * SECOND, 121LL * SECOND};
    script_pass(&w.s, steps[fuzz_below(&w.in, (int)KP_ARRAY_LEN(steps))]);
}

/* --- control --- */

static void restart(const kp_msg *m) {
    if (m->producer_epoch == w.epoch) {
        script_producer(&w.s, 7, ++w.epoch);
    }
    script_resume(&w.s, m, 0, true);
}

static void judge(const kp_msg *m) {
    int32_t guilty[4];
    int32_t n = 0;
    for (int32_t last = -1; n < 4 && n < m->n_record_errors && m->record_errors[n].index > last; n++) {
        guilty[n] = last = m->record_errors[n].index;
    }
    const kp_action action = (kp_action)fuzz_below(&w.in, 4);
    const kp_persisted persisted = m->flag_b ? KP_MAYBE_PERSISTED : (kp_persisted)fuzz_below(&w.in, 2);
    script_verdict_with(&w.s, m, action, persisted, guilty, action == KP_FAIL ? n : 0);
    if (fuzz_flag(&w.in)) {
        restart(m);
    } else {
        script_resume(&w.s, m, fuzz_flag(&w.in) ? 0 : 100 * MS, false);
    }
}

static void control(void) {
    for (int n = 0; n < 32; n++) {
        const kp_msg *m = script_any_event(&w.s);
        if (m == NULL) {
            return;
        }
        if (m->type == KP_EV_BATCH_REFUSED) {
            judge(m);
        } else if (m->type == KP_EV_PARTITION_QUIET) {
            restart(m);
        } else if (m->type == KP_EV_CONN_WANTED && !is_open(newest())) {
            connect_again();
        }
    }
}

static void fail_something(void) {
    const int32_t partition = fuzz_below(&w.in, 2 * PARTITIONS);
    if (partition < PARTITIONS) {
        script_fail_partition(&w.s, partition, 29);
    } else {
        script_fail_all(&w.s, fuzz_flag(&w.in), KP_MAYBE_PERSISTED);
    }
}

/* --- a run --- */

static void (*const operations[])(void) = {append_batch, append_batch, answer_well,   answer_well,    answer_wrongly,
                                           control,      control,      feed_noise,    change_network, connect_again,
                                           drop,         pass_time,    fail_something};

static void begin(const uint8_t *data, size_t size) {
    memset(&w, 0, sizeof w);
    w.in = (fuzz_input){data, data + size};
    kp_config config = script_config();
    const int kind = fuzz_below(&w.in, 8);
    config.acks = kind == 0 ? 0 : kind == 1 ? 1 : -1;
    config.idempotent = kind > 2;
    config.max_in_flight = 1 + fuzz_below(&w.in, 5);
    config.retries = fuzz_flag(&w.in) ? 2 : INT32_MAX;
    config.max_response_bytes = 2048;
    (void)script_begin(&w.s, &config, PARTITIONS);
}

static void check_results(void) {
    for (int i = 0; i < w.n_results; i++) {
        int32_t index = 0;
        const kp_state state = kp_result_state(kp_result_resolve(w.results[i], &index));
        MUST(state == KP_DELIVERED || state == KP_FAILED);
        kp_result_release(w.results[i]);
    }
    const kp_stats *stats = &w.s.core->stats;
    MUST((int64_t)(kp_counter_get(&stats->counters[KP_C_records_acked]) +
                   kp_counter_get(&stats->counters[KP_C_records_failed])) == w.appended);
}

static void check_listeners(void) {
    bool stopped;
    int64_t told = 0;
    for (kp_result *r = kp_core_take_finished(w.s.core, 0, &stopped), *next; r != NULL; r = next) {
        next = r->next;
        told += r->n_listeners;
        kp_result_release(r);
    }
    MUST(told == w.listening);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin(data, size);
    for (int n = 0; n < OPERATIONS && fuzz_left(&w.in) > 0; n++) {
        operations[fuzz_below(&w.in, (int)KP_ARRAY_LEN(operations))]();
    }
    script_stop(&w.s);
    check_results();
    check_listeners();
    script_free(&w.s); /* ends the program if memory, a connection or a reference is left */
    return 0;
}
