/* One adopted produce connection: requests in flight, bytes out and in, deadlines. */
#include <stdlib.h>
#include <string.h>

#include "kp_pump.h"

enum { RX_FIRST = 4096, LENGTH_FIELD = 4, THROTTLE_MAX_MS = 600000 };

/* Compression in one step is bounded, so that answers and deadlines are looked at in between (contract 7). */
enum { COMPRESS_PER_STEP = 256 * 1024 };

/* Measured on a sink at 100 B (16 KiB batches): 144 ns of CPU a record with 64 KiB, 134 with 128. */
enum { GATHER_BYTES = 128 * 1024, GATHER_NS = 1000000 };

static kp_request *request_of(kp_link *n) { return n == NULL ? NULL : KP_OWNER(n, kp_request, link); }
static kp_request *oldest(kp_conn *conn) { return request_of(kp_list_first(&conn->requests)); }

static kp_request *unwritten(const kp_conn *conn) {
    if (kp_list_is_empty(&conn->requests)) {
        return NULL;
    }
    kp_request *r = request_of(conn->requests.head.prev); /* only the newest can be half written */
    return r->written < r->total ? r : NULL;
}

bool kp_conn_wants_write(const kp_conn *conn) { return conn->is_blocked && unwritten(conn) != NULL; }

kp_status kp_conn_adopt(kp_pump *pump, kp_node *node, kp_handle handle, int32_t gen, int16_t version) {
    kp_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return KP_ERR_NOMEM;
    }
    kp_list_init(&conn->requests);
    conn->node = node;
    conn->handle = handle;
    conn->gen = gen;
    conn->version = version;
    conn->active_at = pump->now;
    kp_list_push_back(&pump->conns, &conn->link);
    kp_conn *before = node->conn;
    node->conn = conn;
    node->wanted_told = false;
    KP_COUNT(pump->core, connections_adopted, 1);
    KP_COUNT(pump->core, connections, 1);
    if (before != NULL) {
        before->is_draining = true;
        if (before->n_requests == 0) {
            kp_conn_close(pump, before, KP_CLOSE_DRAINED);
        }
    }
    return KP_OK;
}

static void tell_closed(kp_pump *pump, const kp_conn *conn, kp_close_cause cause) {
    kp_msg *m = kp_msg_new(KP_EV_CONN_CLOSED);
    if (m == NULL) {
        kp_pump_fatal(pump, "out of memory for an event");
        return;
    }
    m->node = conn->node->id;
    m->conn_gen = conn->gen;
    m->code = (int32_t)cause;
    m->count = conn->n_requests;
    kp_core_post(pump->core, m);
}

/* A frame that was not written to its end is no request: the broker drops it, so its batches are not `maybe`. */
static void lose_request(kp_pump *pump, kp_conn *conn, kp_request *r) {
    const bool maybe = r->written == r->total;
    kp_list_remove(&r->link);
    conn->n_requests--;
    KP_COUNT_NODE(pump, conn->node, requests_in_flight, -1);
    for (int32_t i = 0; i < r->n_slots; i++) {
        kp_partition_lost(pump, r->slots[i].partition, r->slots[i].batch, conn, maybe);
    }
    kp_request_free(r);
}

/* Refreshing one that stays ready leaves it where it is: the loop meets each once. */
static void want_again(kp_pump *pump, kp_node *node) {
    for (kp_link *n = kp_list_first(&node->ready), *next; n != NULL; n = next) {
        next = kp_list_next(&node->ready, n);
        kp_partition_refresh(pump, KP_OWNER(n, kp_partition, ready_link));
    }
}

void kp_conn_close(kp_pump *pump, kp_conn *conn, kp_close_cause cause) {
    kp_node *node = conn->node;
    kp_list_remove(&conn->link);
    pump->io.close(pump->io.arg, conn->handle);
    if (node->conn == conn) {
        node->conn = NULL;
        node->wanted_told = false;
    }
    tell_closed(pump, conn, cause);
    KP_COUNT(pump->core, connections_closed, 1);
    KP_COUNT(pump->core, connections, -1);
    if (cause == KP_CLOSE_PROTOCOL) {
        KP_COUNT(pump->core, protocol_errors, 1);
    }
    for (kp_request *r = oldest(conn); r != NULL; r = oldest(conn)) {
        lose_request(pump, conn, r);
    }
    if (node->conn == NULL) {
        want_again(pump, node);
    }
    free(conn->rx);
    free(conn);
}

/* --- answers --- */

static void request_done(kp_pump *pump, kp_conn *conn, kp_request *r) {
    kp_list_remove(&r->link);
    conn->n_requests--;
    conn->active_at = pump->now;
    KP_COUNT_NODE(pump, conn->node, requests_in_flight, -1);
    kp_request_free(r);
}

static void throttle(kp_pump *pump, kp_conn *conn, int32_t throttle_ms) {
    const int64_t ms = kp_min_i64(throttle_ms, THROTTLE_MAX_MS);
    conn->node->throttled_until = pump->now + ms * 1000000;
    KP_COUNT_NODE(pump, conn->node, throttle_ns, ms * 1000000);
    KP_NOTE_MAX(pump->core, throttle_ns, ms * 1000000);
    kp_max_note(&conn->node->stats->throttle_ns, (uint64_t)ms * 1000000);
    kp_msg *m = kp_msg_new(KP_EV_THROTTLED);
    if (m != NULL) {
        m->node = conn->node->id;
        m->count = (int32_t)ms;
        kp_core_post(pump->core, m);
    }
}

/* A partition that the broker left out may be in its log: it is parked, and the connection is not trusted further. */
static kp_status apply_answers(kp_pump *pump, kp_conn *conn, kp_request *r, const uint8_t *frame, size_t len) {
    kp_answers answers = {.items = calloc((size_t)r->n_slots, sizeof(kp_answer))};
    if (answers.items == NULL) {
        return KP_ERR_NOMEM;
    }
    kp_status status = kp_answers_decode(frame, len, r->version, r, &answers);
    if (status == KP_OK) {
        KP_COUNT_NODE(pump, conn->node, responses, 1);
        kp_hist_add(&pump->core->stats.hists[KP_H_REQUEST], pump->now - r->sent_at);
        kp_hist_add(&conn->node->stats->latency, pump->now - r->sent_at);
        if (answers.throttle_ms > 0) {
            throttle(pump, conn, answers.throttle_ms);
        }
        for (int32_t i = 0; i < r->n_slots; i++) {
            kp_partition_answered(pump, r->slots[i].partition, r->slots[i].batch, conn, &answers.items[i], &answers);
            status = answers.items[i].is_there ? status : KP_ERR_MALFORMED;
        }
        request_done(pump, conn, r);
    }
    free(answers.items);
    return status;
}

/* One whole frame. An answer that nobody waits for, or before its request was written, is a protocol error. */
static kp_status apply_frame(kp_pump *pump, kp_conn *conn, const uint8_t *frame, size_t len) {
    kp_request *r = oldest(conn);
    if (r == NULL || r->written < r->total) {
        return KP_ERR_MALFORMED;
    }
    return apply_answers(pump, conn, r, frame, len);
}

static kp_status apply_frames(kp_pump *pump, kp_conn *conn) {
    size_t at = 0;
    kp_status status = KP_OK;
    while (status == KP_OK && conn->rx_len - at >= LENGTH_FIELD) {
        const uint32_t len = kp_get_be32(conn->rx + at);
        if (len < 4 || len > pump->core->config.max_response_bytes) { /* before anything is allocated for it */
            return KP_ERR_MALFORMED;
        }
        if (conn->rx_len - at - LENGTH_FIELD < len) {
            break;
        }
        status = apply_frame(pump, conn, conn->rx + at + LENGTH_FIELD, len);
        at += LENGTH_FIELD + len;
    }
    if (status == KP_OK && at > 0) {
        memmove(conn->rx, conn->rx + at, conn->rx_len - at);
        conn->rx_len -= at;
    }
    return status;
}

/* Room grows with the bytes that arrived, never with the length that was promised. */
static kp_status make_room(kp_conn *conn) {
    if (conn->rx_len < conn->rx_cap) {
        return KP_OK;
    }
    const size_t cap = conn->rx_cap == 0 ? RX_FIRST : conn->rx_cap * 2;
    uint8_t *rx = realloc(conn->rx, cap);
    if (rx == NULL) {
        return KP_ERR_NOMEM;
    }
    conn->rx = rx;
    conn->rx_cap = cap;
    return KP_OK;
}

void kp_conn_receive(kp_pump *pump, kp_conn *conn) {
    conn->is_readable = false;
    if (make_room(conn) != KP_OK) {
        kp_pump_fatal(pump, "out of memory for an answer");
        return;
    }
    const size_t room = conn->rx_cap - conn->rx_len;
    const int64_t n = pump->io.recv(pump->io.arg, conn->handle, conn->rx + conn->rx_len, room);
    if (n == KP_IO_AGAIN) {
        return;
    }
    if (n <= 0) {
        kp_conn_close(pump, conn, conn->is_draining && conn->n_requests == 0 ? KP_CLOSE_DRAINED : KP_CLOSE_PEER);
        return;
    }
    conn->rx_len += (size_t)n;
    KP_COUNT_NODE(pump, conn->node, incoming_bytes, n);
    if ((size_t)n == room) {
        conn->is_readable = pump->has_more = true; /* there may be more than the buffer held */
    }
    const kp_status status = apply_frames(pump, conn);
    if (status == KP_ERR_NOMEM) {
        kp_pump_fatal(pump, "out of memory for an answer");
    } else if (status != KP_OK) {
        kp_conn_close(pump, conn, KP_CLOSE_PROTOCOL);
    } else if (conn->is_draining && conn->n_requests == 0) {
        kp_conn_close(pump, conn, KP_CLOSE_DRAINED);
    }
}

/* --- sending --- */

/* acks=0: nobody answers; what the kernel has taken is done (contract 26). */
static void settle_unanswered(kp_pump *pump, kp_conn *conn, kp_request *r) {
    static const kp_answer taken = {.is_there = true, .base_offset = -1, .log_append_ms = -1, .hint = {-1, -1}};
    static const kp_answers none = {0};
    for (int32_t i = 0; i < r->n_slots; i++) {
        kp_partition_answered(pump, r->slots[i].partition, r->slots[i].batch, conn, &taken, &none);
    }
    request_done(pump, conn, r);
}

static void advance(kp_request *r, size_t n) {
    r->written += n;
    while (n > 0) {
        kp_iov *iov = &r->iovs[r->iov_at];
        const size_t part = kp_min_size(n, iov->len);
        iov->base = (const uint8_t *)iov->base + part;
        iov->len -= part;
        n -= part;
        if (iov->len == 0) {
            r->iov_at++;
        }
    }
}

/* false: the connection was closed. */
static bool write_request(kp_pump *pump, kp_conn *conn, kp_request *r) {
    while (r->written < r->total) {
        const int left = r->n_iovs - r->iov_at;
        const int count = left < KP_IOV_MAX ? left : KP_IOV_MAX;
        const int64_t n = pump->io.sendv(pump->io.arg, conn->handle, r->iovs + r->iov_at, count);
        if (n == KP_IO_AGAIN) {
            conn->is_blocked = true;
            return true;
        }
        if (n < 0) {
            kp_conn_close(pump, conn, KP_CLOSE_PEER);
            return false;
        }
        KP_COUNT_NODE(pump, conn->node, outgoing_bytes, n);
        advance(r, (size_t)n);
    }
    conn->is_blocked = false;
    conn->active_at = pump->now;
    if (pump->core->config.acks == 0) {
        settle_unanswered(pump, conn, r);
    }
    return true;
}

/* Full batches gather for a moment, so that one request carries several of them: while an answer is awaited, and
 * otherwise for no longer than linger.ms allows. */
static int64_t gather_ns(const kp_pump *pump, const kp_conn *conn) {
    return conn->n_requests > 0 ? GATHER_NS : kp_min_i64(pump->core->config.linger_ns, GATHER_NS);
}

static bool gathers(const kp_pump *pump, const kp_conn *conn) {
    const kp_node *node = conn->node;
    return !node->is_pressing && node->n_ready > 0 &&
           (size_t)node->n_ready * pump->core->config.batch_size < GATHER_BYTES &&
           pump->now < node->ready_since + gather_ns(pump, conn);
}

static bool may_send(const kp_pump *pump, const kp_conn *conn) {
    return !conn->is_draining && unwritten(conn) == NULL && conn->n_requests < pump->core->config.max_in_flight &&
           pump->now >= conn->node->throttled_until && !gathers(pump, conn);
}

int kp_conn_wanted_batches(const kp_pump *pump, const kp_conn *conn) {
    const kp_config *config = &pump->core->config;
    if (conn->n_requests >= config->max_in_flight || unwritten(conn) != NULL) {
        return INT32_MAX; /* only an answer, or room in the socket, lets anything more out */
    }
    if (gather_ns(pump, conn) == 0 || conn->node->is_pressing) {
        return 1;
    }
    return (int)(GATHER_BYTES / kp_max_size(config->batch_size, 1)) + 1 - conn->node->n_ready;
}

static bool is_full(kp_pump *pump, const kp_request *r, kp_partition *p, size_t compressed) {
    return r->batch_bytes + kp_partition_next_len(pump, p) > pump->core->config.max_request_size || compressed > COMPRESS_PER_STEP;
}

static kp_status add_slot(kp_pump *pump, kp_conn *conn, kp_request *r, kp_partition *p, kp_batch *b) {
    const kp_status status = kp_request_add(r, p, b);
    if (status == KP_OK) {
        kp_partition_sent(pump, p, b, conn);
    }
    return status;
}

/* A topic whose id is unknown can only be named, which the versions from 13 on cannot. */
static int16_t version_for(const kp_conn *conn, const kp_request *r) {
    for (int32_t i = 0; conn->version >= KP_PRODUCE_TOPIC_IDS && i < r->n_slots; i++) {
        if (!r->slots[i].partition->topic->has_id) {
            return KP_PRODUCE_TOPIC_IDS - 1;
        }
    }
    return conn->version;
}

/* Takes ready partitions in turn, one batch of each; those with more stand in line again. */
static kp_status fill(kp_pump *pump, kp_conn *conn, kp_request *r) {
    kp_list *ready = &conn->node->ready;
    size_t compressed = 0;
    kp_status status = KP_OK;
    for (kp_link *n = kp_list_first(ready); n != NULL && status == KP_OK; n = kp_list_first(ready)) {
        kp_partition *p = KP_OWNER(n, kp_partition, ready_link);
        if (r->n_slots > 0 && is_full(pump, r, p, compressed)) {
            pump->has_more = true;
            break;
        }
        kp_partition_leave_ready(p);
        kp_batch *b = kp_partition_next(pump, p, conn);
        if (b == NULL) {
            continue; /* whatever unblocks it puts it back */
        }
        compressed += b->wire == b->chunk.data ? 0 : b->len;
        status = add_slot(pump, conn, r, p, b);
    }
    return status;
}

static void send_request(kp_pump *pump, kp_conn *conn, kp_request *r) {
    r->sent_at = pump->now;
    conn->node->took_at = pump->now;
    conn->n_requests++;
    kp_list_push_back(&conn->requests, &r->link);
    KP_COUNT_NODE(pump, conn->node, requests, 1);
    KP_COUNT_NODE(pump, conn->node, request_bytes, r->total);
    KP_NOTE_MAX(pump->core, request_bytes, r->total);
    kp_max_note(&conn->node->stats->request_bytes, r->total);
    KP_COUNT_NODE(pump, conn->node, requests_in_flight, 1);
    for (int32_t i = 0; i < r->n_slots; i++) {
        kp_partition_refresh(pump, r->slots[i].partition);
    }
    conn->node->is_pressing = conn->node->is_pressing && conn->node->n_ready > 0;
    (void)write_request(pump, conn, r);
}

void kp_conn_drain(kp_pump *pump, kp_conn *conn) {
    kp_request *half = unwritten(conn);
    if (half != NULL && (conn->is_blocked || !write_request(pump, conn, half))) {
        return;
    }
    if (conn->is_draining && conn->n_requests == 0) { /* the last byte of an acks=0 request has left */
        kp_conn_close(pump, conn, KP_CLOSE_DRAINED);
        return;
    }
    if (!may_send(pump, conn) || kp_list_is_empty(&conn->node->ready)) {
        return;
    }
    kp_request *r = kp_request_new();
    kp_status status = r == NULL ? KP_ERR_NOMEM : fill(pump, conn, r);
    if (status == KP_OK && r->n_slots > 0) {
        status = kp_request_encode(r, &pump->core->config, version_for(conn, r), conn->next_correlation);
    }
    if (status != KP_OK) {
        kp_request_free(r);
        kp_pump_fatal(pump, "out of memory for a request");
        return;
    }
    if (r->n_slots == 0) {
        kp_request_free(r);
        return;
    }
    conn->next_correlation = (int32_t)(((uint32_t)conn->next_correlation + 1) & 0x7fffffffu);
    pump->has_more = true; /* another request may follow at once */
    send_request(pump, conn, r);
}

/* --- deadlines --- */

static int64_t after(int64_t at, int64_t ns) { return ns == KP_NEVER ? KP_NEVER : at + ns; }

int64_t kp_conn_deadline(const kp_pump *pump, const kp_conn *conn) {
    const kp_config *config = &pump->core->config;
    const kp_node *node = conn->node;
    int64_t at = conn->n_requests == 0 ? after(conn->active_at, config->idle_ns)
                                       : after(request_of(conn->requests.head.next)->sent_at, config->request_timeout_ns);
    if (gathers(pump, conn)) {
        at = kp_min_i64(at, node->ready_since + gather_ns(pump, conn));
    }
    if (node->n_ready > 0 && node->throttled_until > pump->now) {
        at = kp_min_i64(at, node->throttled_until);
    }
    return at;
}

void kp_conn_check_deadlines(kp_pump *pump, kp_conn *conn) {
    const kp_config *config = &pump->core->config;
    const kp_request *r = oldest(conn);
    if (r != NULL && after(r->sent_at, config->request_timeout_ns) <= pump->now) {
        kp_conn_close(pump, conn, KP_CLOSE_TIMEOUT);
    } else if (r == NULL && after(conn->active_at, config->idle_ns) <= pump->now) {
        kp_conn_close(pump, conn, KP_CLOSE_IDLE);
    }
}
