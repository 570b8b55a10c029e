#include "kp_produce.h"

#include <stdlib.h>
#include <string.h>

kp_request *kp_request_new(void) { return calloc(1, sizeof(kp_request)); }

void kp_request_free(kp_request *r) {
    if (r == NULL) {
        return;
    }
    free(r->slots);
    free(r->frame);
    free(r->iovs);
    free(r);
}

kp_status kp_request_add(kp_request *r, kp_partition *p, kp_batch *b) {
    if (r->n_slots == r->cap_slots) {
        const int32_t cap = r->cap_slots == 0 ? 8 : r->cap_slots * 2;
        kp_slot *slots = realloc(r->slots, (size_t)cap * sizeof *slots);
        if (slots == NULL) {
            return KP_ERR_NOMEM;
        }
        r->slots = slots;
        r->cap_slots = cap;
    }
    kp_slot *slot = &r->slots[r->n_slots++];
    *slot = (kp_slot){.batch = b, .partition = p};
    memcpy(slot->topic_id, p->topic->id, sizeof slot->topic_id);
    r->batch_bytes += b->wire_len;
    return KP_OK;
}

/* --- encoding --- */

typedef struct writer {
    uint8_t *p, *mark; /* mark: start of the piece that is not in the iovec yet */
    bool is_flexible;
    kp_request *request;
} writer;

static void put_i16(writer *w, int16_t v) {
    kp_put_be16(w->p, (uint16_t)v);
    w->p += 2;
}

static void put_i32(writer *w, int32_t v) {
    kp_put_be32(w->p, (uint32_t)v);
    w->p += 4;
}

static void put_count(writer *w, int32_t n) {
    if (w->is_flexible) {
        w->p = kp_uvarint_put32(w->p, (uint32_t)n + 1);
    } else {
        put_i32(w, n);
    }
}

static void put_tags(writer *w) {
    if (w->is_flexible) {
        *w->p++ = 0;
    }
}

static void put_bytes(writer *w, const void *data, size_t n) {
    memcpy(w->p, data, n);
    w->p += n;
}

static void put_plain_text(writer *w, const char *text) { /* of the header: never compact */
    const size_t n = strlen(text);
    put_i16(w, (int16_t)n);
    put_bytes(w, text, n);
}

static void put_nullable_text(writer *w, const char *text) {
    const size_t n = text == NULL ? 0 : strlen(text);
    if (w->is_flexible) {
        w->p = kp_uvarint_put32(w->p, text == NULL ? 0 : (uint32_t)n + 1);
    } else {
        put_i16(w, text == NULL ? -1 : (int16_t)n);
    }
    put_bytes(w, text == NULL ? "" : text, n);
}

static void put_topic(writer *w, const kp_slot *slot, int16_t version) {
    const kp_topic *t = slot->partition->topic;
    if (version >= KP_PRODUCE_TOPIC_IDS) {
        put_bytes(w, slot->topic_id, sizeof slot->topic_id);
    } else if (w->is_flexible) {
        w->p = kp_uvarint_put32(w->p, (uint32_t)t->name_len + 1);
        put_bytes(w, t->name, t->name_len);
    } else {
        put_i16(w, (int16_t)t->name_len);
        put_bytes(w, t->name, t->name_len);
    }
}

static void push_iov(writer *w, const void *base, size_t len) {
    w->request->iovs[w->request->n_iovs++] = (kp_iov){.base = base, .len = len};
    w->request->total += len;
}

static void cut_piece(writer *w) {
    push_iov(w, w->mark, (size_t)(w->p - w->mark));
    w->mark = w->p;
}

static void put_slot(writer *w, const kp_slot *slot) {
    put_i32(w, slot->partition->index);
    put_count(w, (int32_t)slot->batch->wire_len);
    cut_piece(w);
    push_iov(w, slot->batch->wire, slot->batch->wire_len);
    put_tags(w);
}

static int by_topic(const void *a, const void *b) {
    const kp_topic *x = ((const kp_slot *)a)->partition->topic;
    const kp_topic *y = ((const kp_slot *)b)->partition->topic;
    return ((uintptr_t)x > (uintptr_t)y) - ((uintptr_t)x < (uintptr_t)y);
}

static void group_by_topic(kp_request *r) {
    for (int32_t i = 1; i < r->n_slots; i++) {
        if (by_topic(&r->slots[i - 1], &r->slots[i]) > 0) { /* nearly always all are of one topic */
            qsort(r->slots, (size_t)r->n_slots, sizeof *r->slots, by_topic);
            return;
        }
    }
}

static int32_t run_length(const kp_request *r, int32_t from) {
    int32_t to = from + 1;
    while (to < r->n_slots && r->slots[to].partition->topic == r->slots[from].partition->topic) {
        to++;
    }
    return to - from;
}

static int32_t count_topics(const kp_request *r) {
    int32_t n = 0;
    for (int32_t i = 0; i < r->n_slots; i += run_length(r, i)) {
        n++;
    }
    return n;
}

static size_t frame_bound(const kp_request *r, const kp_config *config) {
    size_t n = 64 + strlen(config->client_id) + (config->transactional_id == NULL ? 0 : strlen(config->transactional_id));
    for (int32_t i = 0; i < r->n_slots; i++) {
        n += 32 + r->slots[i].partition->topic->name_len;
    }
    return n;
}

static void put_header(writer *w, const kp_config *config, int16_t version, int32_t correlation) {
    w->p += 4; /* the length, known at the end */
    put_i16(w, 0);
    put_i16(w, version);
    put_i32(w, correlation);
    put_plain_text(w, config->client_id);
    put_tags(w);
}

static void put_body(writer *w, const kp_config *config, int16_t version) {
    kp_request *r = w->request;
    put_nullable_text(w, config->transactional_id);
    put_i16(w, config->acks);
    put_i32(w, (int32_t)kp_min_i64(config->request_timeout_ns / 1000000, INT32_MAX));
    put_count(w, count_topics(r));
    for (int32_t i = 0; i < r->n_slots;) {
        const int32_t n = run_length(r, i);
        put_topic(w, &r->slots[i], version);
        put_count(w, n);
        for (const int32_t end = i + n; i < end; i++) {
            put_slot(w, &r->slots[i]);
        }
        put_tags(w);
    }
    put_tags(w);
    cut_piece(w);
}

kp_status kp_request_encode(kp_request *r, const kp_config *config, int16_t version, int32_t correlation) {
    const size_t bound = frame_bound(r, config);
    if (r->batch_bytes + bound > INT32_MAX) {
        return KP_ERR_TOO_LARGE;
    }
    r->frame = malloc(bound);
    r->iovs = malloc((2 * (size_t)r->n_slots + 1) * sizeof *r->iovs);
    if (r->frame == NULL || r->iovs == NULL) {
        return KP_ERR_NOMEM;
    }
    group_by_topic(r);
    writer w = {.p = r->frame, .mark = r->frame, .is_flexible = version >= KP_PRODUCE_FLEXIBLE, .request = r};
    put_header(&w, config, version, correlation);
    put_body(&w, config, version);
    kp_put_be32(r->frame, (uint32_t)(r->total - 4));
    r->correlation = correlation;
    r->version = version;
    return KP_OK;
}

/* --- decoding --- */

/* What a request has of one topic: slots [first, end). */
typedef struct slot_run {
    int32_t first, end;
} slot_run;

static bool is_of_topic(const kp_slot *slot, int16_t version, const uint8_t *id, kp_text name) {
    const kp_topic *t = slot->partition->topic;
    return version >= KP_PRODUCE_TOPIC_IDS ? memcmp(slot->topic_id, id, sizeof slot->topic_id) == 0
                                           : t->name_len == name.len && memcmp(t->name, name.data, name.len) == 0;
}

/* Brokers may tell topics in an order of their own, so whole runs are passed over; `from` is where the last one ended.
 * Empty: nobody asked for the topic. */
static slot_run find_run(const kp_request *r, int16_t version, const uint8_t *id, kp_text name, int32_t from) {
    for (int32_t passed = 0, at = from % r->n_slots; passed < r->n_slots;) {
        const slot_run run = {at, at + run_length(r, at)};
        if (is_of_topic(&r->slots[at], version, id, name)) {
            return run;
        }
        passed += run.end - run.first;
        at = run.end % r->n_slots;
    }
    return (slot_run){0, 0};
}

/* `hint`: where it is, if the broker tells partitions in the order of the request. */
static int32_t find_slot(const kp_request *r, slot_run run, int32_t partition, int32_t hint) {
    if (hint < run.end && r->slots[hint].partition->index == partition) {
        return hint;
    }
    for (int32_t i = run.first; i < run.end; i++) {
        if (r->slots[i].partition->index == partition) {
            return i;
        }
    }
    return -1;
}

int32_t kp_record_error_next(kp_reader *r, kp_text *message) {
    const int32_t index = kp_read_i32(r);
    *message = kp_read_text(r);
    kp_skip_tags(r);
    return index;
}

static void read_leader_hint(kp_reader *r, kp_leader *hint) {
    const int32_t node = kp_read_i32(r);
    const int32_t epoch = kp_read_i32(r);
    kp_skip_tags(r);
    if (!r->failed) {
        *hint = (kp_leader){.node = node, .epoch = epoch};
    }
}

static void read_partition_tags(kp_reader *r, int16_t version, kp_leader *hint) {
    uint32_t left = r->is_flexible ? kp_read_uvarint(r) : 0;
    while (left > 0) {
        kp_reader content;
        const uint32_t tag = kp_read_tag(r, &left, &content);
        if (tag == 0 && version >= KP_PRODUCE_HINTS) {
            read_leader_hint(&content, hint);
            r->failed = r->failed || content.failed;
        }
    }
}

static void read_record_errors(kp_reader *r, kp_answer *a) {
    a->n_record_errors = kp_read_count(r, 6);
    a->record_errors = *r;
    for (int32_t i = 0; i < a->n_record_errors && !r->failed; i++) {
        kp_text message;
        (void)kp_record_error_next(r, &message);
    }
    a->message = kp_read_text(r);
}

static int32_t read_partition(kp_reader *r, int16_t version, kp_answer *a) {
    const int32_t partition = kp_read_i32(r);
    *a = (kp_answer){.is_there = true, .log_start_offset = -1, .hint = {.node = -1, .epoch = -1}};
    a->code = kp_read_i16(r);
    a->base_offset = kp_read_i64(r);
    a->log_append_ms = kp_read_i64(r);
    if (version >= 5) {
        a->log_start_offset = kp_read_i64(r);
    }
    if (version >= 8) {
        read_record_errors(r, a);
    }
    read_partition_tags(r, version, &a->hint);
    return partition;
}

/* Where its slots end: brokers tend to go on with the next. */
static int32_t read_topic(kp_reader *r, int16_t version, const kp_request *request, kp_answers *out, int32_t from) {
    const uint8_t *id = NULL;
    kp_text name = {"", 0};
    if (version >= KP_PRODUCE_TOPIC_IDS) {
        id = kp_read_bytes(r, 16);
    } else {
        name = kp_read_text(r);
        name.data = name.data == NULL ? "" : name.data;
    }
    const int32_t n = kp_read_count(r, 22);
    const slot_run run = r->failed ? (slot_run){0, 0} : find_run(request, version, id, name, from);
    int32_t hint = run.first;
    for (int32_t i = 0; i < n && !r->failed; i++) {
        kp_answer answer;
        const int32_t partition = read_partition(r, version, &answer);
        const int32_t slot = r->failed ? -1 : find_slot(request, run, partition, hint);
        if (slot >= 0 && !out->items[slot].is_there) { /* what nobody asked for is ignored, the first of two counts */
            out->items[slot] = answer;
            hint = slot + 1;
        }
    }
    kp_skip_tags(r);
    return run.end;
}

static void read_endpoints(kp_reader *r, kp_answers *out) {
    const int32_t n = kp_read_count(r, 11);
    for (int32_t i = 0; i < n && !r->failed; i++) {
        kp_endpoint e;
        e.node = kp_read_i32(r);
        e.host = kp_read_text(r);
        e.port = kp_read_i32(r);
        (void)kp_read_text(r); /* rack */
        kp_skip_tags(r);
        if (!r->failed && out->n_endpoints < KP_ENDPOINTS_MAX) {
            out->endpoints[out->n_endpoints++] = e;
        }
    }
}

static void read_top_tags(kp_reader *r, int16_t version, kp_answers *out) {
    uint32_t left = r->is_flexible ? kp_read_uvarint(r) : 0;
    while (left > 0) {
        kp_reader content;
        const uint32_t tag = kp_read_tag(r, &left, &content);
        if (tag == 0 && version >= KP_PRODUCE_HINTS) {
            read_endpoints(&content, out);
            r->failed = r->failed || content.failed;
        }
    }
}

kp_status kp_answers_decode(const uint8_t *frame, size_t len, int16_t version, const kp_request *request,
                            kp_answers *out) {
    kp_reader r = {.p = frame, .end = frame + len, .is_flexible = version >= KP_PRODUCE_FLEXIBLE};
    if (kp_read_i32(&r) != request->correlation || r.failed) {
        return KP_ERR_MALFORMED;
    }
    kp_skip_tags(&r); /* of the header */
    int32_t from = 0;
    const int32_t n = kp_read_count(&r, version >= KP_PRODUCE_TOPIC_IDS ? 18 : 5);
    for (int32_t i = 0; i < n && !r.failed; i++) {
        from = read_topic(&r, version, request, out, from);
    }
    out->throttle_ms = kp_read_i32(&r);
    read_top_tags(&r, version, out);
    return r.failed || r.p != r.end ? KP_ERR_MALFORMED : KP_OK;
}
