#include "pump_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kp_crc32c.h"

enum { FIRST_HANDLE = 1000 };

static void die(const char *why) {
    printf("script: %s\n", why);
    abort();
}

/* --- bytes --- */

void put_raw(script_bytes *b, const void *data, size_t len) {
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len) + 64;
        b->data = realloc(b->data, b->cap);
    }
    if (len > 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}

void put_i16(script_bytes *b, int16_t v) {
    uint8_t raw[2];
    kp_put_be16(raw, (uint16_t)v);
    put_raw(b, raw, sizeof raw);
}

void put_i32(script_bytes *b, int32_t v) {
    uint8_t raw[4];
    kp_put_be32(raw, (uint32_t)v);
    put_raw(b, raw, sizeof raw);
}

void put_i64(script_bytes *b, int64_t v) {
    uint8_t raw[8];
    kp_put_be64(raw, (uint64_t)v);
    put_raw(b, raw, sizeof raw);
}

void put_uvarint(script_bytes *b, uint32_t v) {
    uint8_t raw[KP_VARINT_MAX32];
    put_raw(b, raw, (size_t)(kp_uvarint_put32(raw, v) - raw));
}

void put_count(script_bytes *b, int32_t n) {
    if (b->is_flexible) {
        put_uvarint(b, (uint32_t)(n + 1));
    } else {
        put_i32(b, n);
    }
}

void put_text(script_bytes *b, const char *text) {
    const size_t len = text == NULL ? 0 : strlen(text);
    if (b->is_flexible) {
        put_uvarint(b, text == NULL ? 0 : (uint32_t)len + 1);
    } else {
        put_i16(b, text == NULL ? -1 : (int16_t)len);
    }
    put_raw(b, text, len);
}

void put_no_tags(script_bytes *b) {
    if (b->is_flexible) {
        put_uvarint(b, 0);
    }
}

/* --- answers --- */

static void put_hint(script_bytes *out, const script_reply *reply) {
    if (!out->is_flexible) {
        return;
    }
    if (!reply->has_hint) {
        put_no_tags(out);
        return;
    }
    put_uvarint(out, 1);
    put_uvarint(out, 0);
    put_uvarint(out, 9); /* node, epoch, tags */
    put_i32(out, reply->hint.node);
    put_i32(out, reply->hint.epoch);
    put_uvarint(out, 0);
}

static void put_reply(script_bytes *out, int16_t version, int32_t partition, const script_reply *reply) {
    put_i32(out, partition);
    put_i16(out, reply->code);
    put_i64(out, reply->base_offset);
    put_i64(out, reply->log_append_ms);
    if (version >= 5) {
        put_i64(out, reply->log_start_offset);
    }
    if (version >= 8) {
        put_count(out, reply->n_record_errors);
        for (int32_t i = 0; i < reply->n_record_errors; i++) {
            put_i32(out, reply->record_errors[i].index);
            put_text(out, reply->record_errors[i].message);
            put_no_tags(out);
        }
        put_text(out, reply->message);
    }
    put_hint(out, reply);
}

static bool same_topic(const script_slot *a, const script_slot *b) {
    return strcmp(a->topic, b->topic) == 0 && memcmp(a->topic_id, b->topic_id, sizeof a->topic_id) == 0;
}

static void put_topic_answer(script_bytes *out, const script_request *r, const script_reply *replies, int32_t first,
                             int32_t end, int32_t strangers) {
    int32_t n = strangers;
    for (int32_t i = first; i < end; i++) {
        n += replies[i].is_left_out ? 0 : replies[i].is_twice ? 2 : 1;
    }
    if (r->version >= KP_PRODUCE_TOPIC_IDS) {
        put_raw(out, r->slots[first].topic_id, 16);
    } else {
        put_text(out, r->slots[first].topic);
    }
    put_count(out, n);
    static const script_reply stranger = {.code = 3};
    for (int32_t i = 0; i < strangers; i++) {
        put_reply(out, r->version, 1000 + i, &stranger);
    }
    for (int32_t i = first; i < end; i++) {
        for (int k = replies[i].is_left_out ? 2 : replies[i].is_twice ? 0 : 1; k < 2; k++) {
            put_reply(out, r->version, r->slots[i].partition, &replies[i]);
        }
    }
    put_no_tags(out);
}

static void put_endpoints(script_bytes *out, const script_answer *answer) {
    if (answer->n_endpoints == 0) {
        put_no_tags(out);
        return;
    }
    script_bytes content = {.is_flexible = true};
    put_count(&content, answer->n_endpoints);
    for (int32_t i = 0; i < answer->n_endpoints; i++) {
        put_i32(&content, answer->endpoints[i].node);
        put_text(&content, answer->endpoints[i].host);
        put_i32(&content, answer->endpoints[i].port);
        put_text(&content, NULL);
        put_no_tags(&content);
    }
    put_uvarint(out, 1);
    put_uvarint(out, 0);
    put_uvarint(out, (uint32_t)content.len);
    put_raw(out, content.data, content.len);
    free(content.data);
}

void script_put_answer(script_bytes *out, const script_request *r, const script_reply *replies,
                       const script_answer *answer) {
    out->is_flexible = r->version >= KP_PRODUCE_FLEXIBLE;
    put_i32(out, r->correlation);
    put_no_tags(out);
    int32_t topics = 0;
    for (int32_t i = 0; i < r->n_slots; i++) {
        topics += i == 0 || !same_topic(&r->slots[i], &r->slots[i - 1]) ? 1 : 0;
    }
    put_count(out, topics);
    for (int32_t first = 0, end; first < r->n_slots; first = end) {
        for (end = first + 1; end < r->n_slots && same_topic(&r->slots[end], &r->slots[first]); end++) {
        }
        put_topic_answer(out, r, replies, first, end, first == 0 ? answer->strangers : 0);
    }
    put_i32(out, answer->throttle_ms);
    if (out->is_flexible) {
        put_endpoints(out, answer);
    }
}

/* --- requests --- */

static void parse_batch(script_slot *slot, const uint8_t *b, size_t len) {
    if (len < KP_BATCH_HEADER || kp_get_be32(b + 8) != len - 12 || b[16] != 2 ||
        kp_get_be32(b + 17) != kp_crc32c(0, b + 21, len - 21)) {
        die("a batch on the wire is damaged");
    }
    slot->len = len;
    slot->crc = kp_get_be32(b + 17);
    slot->attributes = kp_get_be16(b + 21);
    slot->producer_id = (int64_t)kp_get_be64(b + 43);
    slot->producer_epoch = (int16_t)kp_get_be16(b + 51);
    slot->base_sequence = (int32_t)kp_get_be32(b + 53);
    slot->count = (int32_t)kp_get_be32(b + 57);
    if ((b[22] & 7) != 0) {
        return; /* compressed: the values stay unread */
    }
    const uint8_t *p = b + KP_BATCH_HEADER;
    for (int32_t i = 0; i < slot->count; i++) {
        kp_record r;
        if (kp_record_decode(&p, b + len, 0, &r) != KP_OK) {
            die("a record on the wire is damaged");
        }
        if (i < SCRIPT_RECORDS && r.value_len >= 4) {
            slot->values[i] = (int32_t)kp_get_be32(r.value);
        }
    }
    if (p != b + len) {
        die("bytes after the last record");
    }
}

static void parse_slot(kp_reader *r, script_slot *slot) {
    slot->partition = kp_read_i32(r);
    const int64_t len = r->is_flexible ? (int64_t)kp_read_uvarint(r) - 1 : kp_read_i32(r);
    const uint8_t *batch = kp_read_bytes(r, (size_t)len);
    if (batch != NULL) {
        parse_batch(slot, batch, (size_t)len);
    }
    kp_skip_tags(r);
}

static void parse_topic(kp_reader *r, script_request *out) {
    script_slot named = {0};
    if (out->version >= KP_PRODUCE_TOPIC_IDS) {
        const uint8_t *id = kp_read_bytes(r, 16);
        memcpy(named.topic_id, id == NULL ? named.topic_id : id, 16);
    } else {
        const kp_text name = kp_read_text(r);
        memcpy(named.topic, name.data, kp_min_size(name.len, sizeof named.topic - 1));
    }
    const int32_t n = kp_read_count(r, 5);
    for (int32_t i = 0; i < n; i++) {
        if (out->n_slots == SCRIPT_SLOTS) {
            die("more slots than the script holds");
        }
        script_slot *slot = &out->slots[out->n_slots++];
        *slot = named;
        parse_slot(r, slot);
    }
    kp_skip_tags(r);
}

static void parse_transactional_id(kp_reader *r, script_request *out) {
    const kp_text id = kp_read_text(r);
    out->has_transactional_id = id.data != NULL;
    if (out->has_transactional_id) {
        memcpy(out->transactional_id, id.data, kp_min_size(id.len, sizeof out->transactional_id - 1));
    }
}

void script_parse(const uint8_t *frame, size_t len, script_request *out) {
    kp_reader r = {.p = frame, .end = frame + len};
    memset(out, 0, sizeof *out);
    if (kp_read_i16(&r) != 0) {
        die("not a produce request");
    }
    out->version = kp_read_i16(&r);
    out->correlation = kp_read_i32(&r);
    (void)kp_read_text(&r); /* the client's id, never compact */
    r.is_flexible = out->version >= KP_PRODUCE_FLEXIBLE;
    kp_skip_tags(&r);
    parse_transactional_id(&r, out);
    out->acks = kp_read_i16(&r);
    out->timeout_ms = kp_read_i32(&r);
    const int32_t n = kp_read_count(&r, 5);
    for (int32_t i = 0; i < n; i++) {
        parse_topic(&r, out);
    }
    kp_skip_tags(&r);
    if (r.failed || r.p != r.end) {
        die("a request that cannot be parsed");
    }
}

bool script_next(script *s, int conn, script_request *out) {
    script_conn *c = &s->conns[conn];
    if (c->out.len - c->parsed < 4) {
        return false;
    }
    const size_t len = kp_get_be32(c->out.data + c->parsed);
    if (c->out.len - c->parsed - 4 < len) {
        return false;
    }
    script_parse(c->out.data + c->parsed + 4, len, out);
    c->parsed += 4 + len;
    return true;
}

int script_count_requests(script *s, int conn) {
    static script_request r;
    int n = 0;
    while (script_next(s, conn, &r)) {
        n++;
    }
    return n;
}

/* --- the network --- */

static script_conn *conn_of(script *s, kp_handle h) {
    const kp_handle i = h - FIRST_HANDLE;
    if (i < 0 || i >= s->n_conns || s->conns[i].is_closed) {
        die("I/O on a handle that is closed or unknown");
    }
    return &s->conns[i];
}

static int64_t fake_sendv(void *arg, kp_handle h, const kp_iov *iov, int count) {
    script_conn *c = conn_of(arg, h);
    int64_t sent = 0;
    if (c->is_broken) {
        return KP_IO_ERROR;
    }
    for (int i = 0; i < count; i++) {
        size_t n = iov[i].len;
        if (c->send_room >= 0) {
            n = kp_min_size(n, (size_t)c->send_room);
            c->send_room -= (int64_t)n;
        }
        put_raw(&c->out, iov[i].base, n);
        sent += (int64_t)n;
        if (n < iov[i].len) {
            break;
        }
    }
    return sent == 0 ? KP_IO_AGAIN : sent;
}

static int64_t fake_recv(void *arg, kp_handle h, uint8_t *buf, size_t len) {
    script_conn *c = conn_of(arg, h);
    const size_t n = kp_min_size(kp_min_size(len, c->recv_max), c->in.len - c->read);
    if (n == 0) {
        return c->is_ended ? 0 : KP_IO_AGAIN;
    }
    memcpy(buf, c->in.data + c->read, n);
    c->read += n;
    return (int64_t)n;
}

static void fake_close(void *arg, kp_handle h) {
    script *s = arg;
    conn_of(s, h)->is_closed = true;
    s->n_closes++;
}

void script_feed(script *s, int conn, const void *data, size_t len) { put_raw(&s->conns[conn].in, data, len); }

/* --- life --- */

kp_config script_config(void) {
    const kp_config config = {
        .client_id = "script",
        .acks = -1,
        .idempotent = true,
        .retries = INT32_MAX,
        .max_in_flight = 5,
        .batch_size = 128 * 1024, /* so large that one ready batch never waits for company */
        .buffer_memory = 4 * 1024 * 1024,
        .max_request_size = 1024 * 1024,
        .max_response_bytes = 64 * 1024,
        .linger_ns = 0,
        .request_timeout_ns = 30LL * SECOND,
        .delivery_timeout_ns = 120LL * SECOND,
        .idle_ns = 540LL * SECOND,
        .codec = KP_CODEC_NONE,
        .codec_level = KP_CODEC_LEVEL_DEFAULT,
        .is_adaptive = true,
    };
    return config;
}

void script_init(script *s, const kp_config *config) {
    memset(s, 0, sizeof *s);
    s->events_tail = &s->events;
    s->now = kp_clock_ns();
    s->core = kp_core_new(config, KP_NO_HANDLE, KP_NO_HANDLE);
    const kp_io io = {.arg = s, .sendv = fake_sendv, .recv = fake_recv, .close = fake_close};
    if (s->core == NULL || kp_pump_new(s->core, &io, KP_NO_HANDLE, &s->pump) != KP_OK) {
        die("no memory");
    }
    s->topic = kp_core_topic(s->core, "topic", 5);
}

int script_begin(script *s, const kp_config *config, int32_t n_partitions) {
    script_init(s, config);
    script_lead(s, n_partitions, 1, 0);
    if (config->idempotent) {
        script_producer(s, 7, 0);
    }
    const int conn = script_adopt(s, 1, 9);
    script_forget_events(s);
    return conn;
}

static void forget_failures(kp_topic *topic) {
    const kp_partition_table *table = kp_topic_table(topic);
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        kp_result *r = table->items[i]->first_unobserved;
        table->items[i]->first_unobserved = NULL;
        kp_result_release(r);
    }
}

static void check_nothing_waits(kp_topic *topic) {
    const kp_partition_table *table = kp_topic_table(topic);
    for (int32_t i = 0; table != NULL && i < table->count; i++) {
        const kp_partition *p = table->items[i];
        if (atomic_load(&table->items[i]->n_queued) != 0 || p->is_waiting) {
            die("a batch was not counted out of its queue, or a partition out of its node's");
        }
    }
}

/* What holds now, and no count, is nothing at the end. */
static void check_gauges(const script *s) {
    bool is_zero = kp_counter_get(&s->core->stats.counters[KP_C_requests_in_flight]) == 0;
    for (kp_node_stats *n = atomic_load(&s->core->stats.nodes); n != NULL; n = n->next) {
        is_zero &= kp_counter_get(&n->counters[KP_N_requests_in_flight]) == 0;
    }
    for (kp_topic *t = atomic_load(&s->core->topics); t != NULL; t = t->next) {
        const kp_topic_counts counts = kp_topic_count(t);
        is_zero &= counts.sums[KP_P_batches_pending] == 0 && counts.sums[KP_P_batches_in_flight] == 0;
    }
    if (!is_zero) {
        die("a batch or request was not counted out");
    }
}

void script_free(script *s) {
    if (!s->pump->is_stopped) {
        script_stop(s);
    }
    for (int i = 0; i < s->n_conns; i++) {
        if (!s->conns[i].is_closed) {
            die("a connection was left open");
        }
        free(s->conns[i].in.data);
        free(s->conns[i].out.data);
    }
    if (s->core->pool.used != 0) {
        die("buffer memory was not given back");
    }
    for (kp_topic *t = atomic_load(&s->core->topics); t != NULL; t = t->next) {
        check_nothing_waits(t);
    }
    if (atomic_load(&s->core->txn_batches) != 0) {
        die("a batch of a transaction was not counted out");
    }
    check_gauges(s);
    bool stopped;
    for (kp_result *r = kp_core_take_finished(s->core, 0, &stopped), *next; r != NULL; r = next) {
        next = r->next;
        kp_result_release(r);
    }
    for (kp_topic *t = atomic_load(&s->core->topics); t != NULL; t = t->next) {
        forget_failures(t);
    }
    script_forget_events(s);
    kp_pump_free(s->pump);
    if (atomic_load(&s->core->refs) != 1) {
        die("somebody still holds the core: a result was not released");
    }
    kp_core_release(s->core);
}

kp_partition *script_partition(script *s, int32_t index) { return kp_topic_table(s->topic)->items[index]; }

/* --- records --- */

kp_status script_append(script *s, int32_t partition, const kp_listener *listener, kp_result **result) {
    uint8_t value[4];
    kp_put_be32(value, (uint32_t)s->next_value);
    kp_record r = {.key_len = -1, .value = value, .value_len = sizeof value, .timestamp_ms = 1600000000000};
    const kp_append_options o = {.partition = partition, .want_result = result != NULL, .listener = listener};
    kp_place place = {0};
    size_t needed;
    const kp_status status = kp_append(s->topic, &r, &o, &place, &needed);
    if (status != KP_OK) {
        return status;
    }
    s->next_value++;
    kp_partition *p = kp_topic_table(s->topic)->items[place.partition];
    if (p->open != NULL && p->open->count == 1) { /* the append asks the real clock */
        p->open->created_ns = s->now;
        atomic_store(&p->open_since, s->now);
    }
    if (result != NULL) {
        *result = place.result;
    }
    return KP_OK;
}

kp_result *script_batch(script *s, int32_t partition, int32_t n) {
    kp_result *result = NULL;
    for (int32_t i = 0; i < n; i++) {
        kp_result *again = NULL;
        if (script_append(s, partition, NULL, &again) != KP_OK) {
            die("an append failed");
        }
        if (i > 0) {
            kp_result_release(again);
        }
        result = i == 0 ? again : result;
    }
    if (kp_accumulator_seal_open(script_partition(s, partition)) != KP_OK) {
        die("nobody holds this lock");
    }
    return result;
}

/* --- steps --- */

static void see_network(script *s) {
    for (kp_link *n = kp_list_first(&s->pump->conns); n != NULL; n = kp_list_next(&s->pump->conns, n)) {
        kp_conn *conn = KP_OWNER(n, kp_conn, link);
        const script_conn *c = conn_of(s, conn->handle);
        conn->is_readable = conn->is_readable || c->read < c->in.len || c->is_ended;
        conn->is_blocked = conn->is_blocked && c->send_room == 0;
    }
}

static void collect_events(script *s) {
    for (kp_msg *m = kp_queue_take_all(&s->core->events), *next; m != NULL; m = next) {
        next = m->next;
        m->next = NULL;
        *s->events_tail = m;
        s->events_tail = &m->next;
    }
}

static bool has_input(const script *s) {
    for (int i = 0; i < s->n_conns; i++) {
        const script_conn *c = &s->conns[i];
        if (!c->is_closed && (c->read < c->in.len || c->is_ended)) {
            return true;
        }
    }
    return false;
}

void script_step(script *s) {
    for (int i = 0; i < 20000; i++) {
        see_network(s);
        s->deadline = kp_pump_step(s->pump, s->now);
        collect_events(s);
        if (s->deadline > s->now && !has_input(s) && atomic_load(&s->core->dirty) == NULL) {
            return;
        }
    }
    die("the pump spins");
}

void script_pass(script *s, int64_t ns) {
    s->now += ns;
    script_step(s);
}

/* --- answers and ends --- */

void script_answer_with(script *s, int conn, const script_request *r, const script_reply *replies,
                        const script_answer *answer) {
    static const script_answer plain = {0};
    script_bytes frame = {0};
    script_put_answer(&frame, r, replies, answer == NULL ? &plain : answer);
    put_i32(&s->conns[conn].in, (int32_t)frame.len);
    put_raw(&s->conns[conn].in, frame.data, frame.len);
    free(frame.data);
    script_step(s);
}

void script_answer_code(script *s, int conn, const script_request *r, int16_t code) {
    script_reply replies[SCRIPT_SLOTS];
    for (int32_t i = 0; i < r->n_slots; i++) {
        replies[i] = (script_reply){.code = code, .base_offset = code == 0 ? 100 : -1, .log_append_ms = -1};
    }
    script_answer_with(s, conn, r, replies, NULL);
}

void script_end(script *s, int conn) {
    s->conns[conn].is_ended = true;
    script_step(s);
}

/* --- commands --- */

static kp_msg *command(kp_msg_type type) {
    kp_msg *m = kp_msg_new(type);
    if (m == NULL) {
        die("no memory");
    }
    return m;
}

static void tell(script *s, kp_msg *m) {
    kp_core_command(s->core, m);
    script_step(s);
}

int script_adopt(script *s, int32_t node, int16_t version) {
    if (s->n_conns == SCRIPT_CONNS) {
        die("more connections than the script holds");
    }
    const int i = s->n_conns++;
    s->conns[i] = (script_conn){.node = node, .gen = i + 1, .recv_max = SIZE_MAX, .send_room = -1};
    kp_msg *m = command(KP_CMD_ADOPT);
    m->node = node;
    m->conn_gen = i + 1;
    m->handle = FIRST_HANDLE + i;
    m->version = version;
    tell(s, m);
    return i;
}

void script_drop(script *s, int conn, bool drain) {
    kp_msg *m = command(KP_CMD_DROP);
    m->node = s->conns[conn].node;
    m->conn_gen = s->conns[conn].gen;
    m->flag_a = drain;
    tell(s, m);
}

void script_topic(script *s, kp_topic *topic, int32_t n, const kp_leader *leaders, const uint8_t *id) {
    kp_msg *m = command(KP_CMD_TOPIC);
    m->topic = topic;
    m->count = n;
    m->leaders = malloc((size_t)n * sizeof *leaders);
    memcpy(m->leaders, leaders, (size_t)n * sizeof *leaders);
    m->has_id = id != NULL;
    if (id != NULL) {
        memcpy(m->id, id, sizeof m->id);
    }
    tell(s, m);
}

void script_lead(script *s, int32_t n, int32_t node, int32_t epoch) {
    kp_leader leaders[1024];
    for (int32_t i = 0; i < n; i++) {
        leaders[i] = (kp_leader){.node = node, .epoch = epoch};
    }
    script_topic(s, s->topic, n, leaders, NULL);
}

void script_producer(script *s, int64_t id, int16_t epoch) {
    kp_msg *m = command(KP_CMD_PRODUCER_ID);
    m->producer_id = id;
    m->producer_epoch = epoch;
    tell(s, m);
}

void script_verdict_with(script *s, const kp_msg *refused, kp_action action, kp_persisted persisted,
                         const int32_t *guilty, int32_t n) {
    kp_msg *m = command(KP_CMD_VERDICT);
    m->topic = refused->topic;
    m->partition = refused->partition;
    m->batch_id = refused->batch_id;
    m->action = action;
    m->code = refused->code;
    m->persisted = persisted;
    m->flag_a = action == KP_FAIL;
    if (n > 0) {
        m->record_errors = calloc((size_t)n, sizeof *m->record_errors);
        m->n_record_errors = n;
        for (int32_t i = 0; i < n; i++) {
            m->record_errors[i] = (kp_record_error){.index = guilty[i], .code = refused->code};
        }
    }
    tell(s, m);
}

void script_verdict(script *s, const kp_msg *refused, kp_action action, kp_persisted persisted) {
    script_verdict_with(s, refused, action, persisted, NULL, 0);
}

void script_resume_gen(script *s, int32_t partition, uint32_t hold_gen, int64_t delay_ns, bool new_epoch) {
    kp_msg *m = command(KP_CMD_RESUME);
    m->topic = s->topic;
    m->partition = partition;
    m->hold_gen = hold_gen;
    m->delay_ns = delay_ns;
    m->flag_a = new_epoch;
    tell(s, m);
}

void script_resume(script *s, const kp_msg *event, int64_t delay_ns, bool new_epoch) {
    script_resume_gen(s, event->partition, event->hold_gen, delay_ns, new_epoch);
}

void script_fail_partition(script *s, int32_t partition, int32_t code) {
    kp_msg *m = command(KP_CMD_FAIL_PARTITION);
    m->topic = s->topic;
    m->partition = partition;
    m->code = code;
    m->flag_a = true;
    tell(s, m);
}

void script_fail_all(script *s, bool fatal, kp_persisted persisted) {
    kp_msg *m = command(KP_CMD_FAIL_ALL);
    m->code = 31;
    m->persisted = persisted;
    m->flag_a = fatal;
    m->message = kp_strdup("no", 2);
    tell(s, m);
}

void script_stop(script *s) { tell(s, command(KP_CMD_STOP)); }

/* --- transactions --- */

kp_config script_txn_config(void) {
    kp_config config = script_config();
    config.transactional_id = "copier";
    return config;
}

void script_txn_command(script *s, kp_msg_type type, uint32_t gen, bool is_v2) {
    kp_msg *m = command(type);
    m->txn_gen = gen;
    m->flag_a = is_v2;
    tell(s, m);
}

void script_txn_begin(script *s, uint32_t gen, bool is_v2) {
    kp_txn_open(s->core, gen, !is_v2);
    script_txn_command(s, KP_CMD_TXN_BEGIN, gen, is_v2);
}

void script_txn_allow(script *s, int32_t partition, uint32_t gen) {
    kp_msg *m = command(KP_CMD_TXN_ALLOW);
    m->topic = s->topic;
    m->partition = partition;
    m->txn_gen = gen;
    tell(s, m);
}

void script_txn_seal(script *s, uint32_t gen) {
    kp_txn_close(s->core, NULL);
    script_txn_command(s, KP_CMD_TXN_SEAL, gen, false);
}

void script_txn_drop(script *s, uint32_t gen) {
    kp_txn_close(s->core, NULL);
    script_txn_command(s, KP_CMD_TXN_DROP, gen, false);
}

/* --- events --- */

const kp_msg *script_any_event(script *s) {
    kp_msg_free(s->event);
    s->event = s->events;
    if (s->event != NULL) {
        s->events = s->event->next;
        s->events_tail = s->events == NULL ? &s->events : s->events_tail;
    }
    return s->event;
}

const kp_msg *script_event(script *s, kp_msg_type type) {
    const kp_msg *m = script_any_event(s);
    while (m != NULL && m->type != type) {
        m = script_any_event(s);
    }
    return m;
}

int script_count_events(const script *s, kp_msg_type type) {
    int n = 0;
    for (const kp_msg *m = s->events; m != NULL; m = m->next) {
        n += m->type == type ? 1 : 0;
    }
    return n;
}

void script_forget_events(script *s) {
    while (script_any_event(s) != NULL) {
    }
}
