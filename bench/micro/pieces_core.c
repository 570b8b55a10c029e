/* Append, seal and stamp, the pump's whole work on a batch, and the reading of an answer; with the tests' pump script. */
#include <string.h>

#include "kp_accumulator.h"
#include "kp_endian.h"
#include "kp_produce.h"
#include "pieces.h"
#include "pump_script.h"

enum { SMALL = 100, LARGE = 1024, KEYS = 1024, KEY_BYTES = 16, PARTITIONS = 6, RECORDS_A_BATCH = 150 };

static script s;
static int32_t n_partitions; /* of the script's topic */
static uint8_t value[LARGE], keys[KEYS][KEY_BYTES];

/* --- a network that takes everything and acknowledges it, copying nothing --- */

static kp_conn *connection(void) { return KP_OWNER(kp_list_first(&s.pump->conns), kp_conn, link); }

static kp_request *oldest_request(void) {
    kp_link *n = kp_list_first(&connection()->requests);
    return n == NULL ? NULL : KP_OWNER(n, kp_request, link);
}

static int64_t take_all(void *arg, kp_handle h, const kp_iov *iov, int count) {
    KP_UNUSED(arg);
    KP_UNUSED(h);
    int64_t sent = 0;
    for (int i = 0; i < count; i++) {
        sent += (int64_t)iov[i].len;
    }
    return sent;
}

static uint8_t *put_partition(uint8_t *p, int32_t index) {
    kp_put_be32(p, (uint32_t)index);
    kp_put_be16(p + 4, 0);           /* no error */
    kp_put_be64(p + 6, 1000);        /* base offset */
    kp_put_be64(p + 14, UINT64_MAX); /* log append time: none */
    kp_put_be64(p + 22, 0);          /* log start offset */
    p[30] = 1;                       /* no record errors */
    p[31] = p[32] = 0;               /* no message, no tags */
    return p + 33;
}

/* An answer of version 9 to a request for one topic, the length field included. */
static size_t put_answer(uint8_t *out, const kp_request *r) {
    uint8_t *p = out + 4;
    kp_put_be32(p, (uint32_t)r->correlation);
    p[4] = 0; /* no tags */
    p[5] = 2; /* one topic */
    p[6] = (uint8_t)(s.topic->name_len + 1);
    memcpy(p + 7, s.topic->name, s.topic->name_len);
    p += 7 + s.topic->name_len;
    *p++ = (uint8_t)(r->n_slots + 1);
    for (int32_t i = 0; i < r->n_slots; i++) {
        p = put_partition(p, r->slots[i].partition->index);
    }
    memset(p, 0, 6); /* no tags, no throttling, no tags */
    p += 6;
    kp_put_be32(out, (uint32_t)(p - out - 4));
    return (size_t)(p - out);
}

static int64_t acknowledge(void *arg, kp_handle h, uint8_t *buf, size_t len) {
    KP_UNUSED(arg);
    KP_UNUSED(h);
    const kp_request *r = oldest_request();
    if (r == NULL || r->written < r->total || len < 64 + PARTITIONS * 33) {
        return KP_IO_AGAIN;
    }
    return (int64_t)put_answer(buf, r);
}

/* --- the life of a core --- */

static void begin(int32_t partitions) {
    kp_config config = script_config();
    config.batch_size = 16384;
    config.buffer_memory = 1u << 30; /* never short: a wait is no instruction count */
    config.linger_ns = 3600LL * SECOND;
    n_partitions = partitions;
    (void)script_begin(&s, &config, partitions);
    s.pump->io.sendv = take_all;
    s.pump->io.recv = acknowledge;
    for (uint32_t i = 0; i < KEYS; i++) {
        memset(keys[i], 'k', KEY_BYTES);
        memcpy(keys[i], &i, sizeof i);
    }
}

static void finish(void) { script_free(&s); }

static void append(int32_t partition, const uint8_t *key, int64_t size) {
    kp_record r = {.key = key, .key_len = key == NULL ? -1 : KEY_BYTES, .value = value, .value_len = size,
                   .timestamp_ms = KP_NOW};
    const kp_append_options o = {.partition = partition};
    kp_place place;
    size_t needed = 0;
    if (kp_append(s.topic, &r, &o, &place, &needed) != KP_OK) {
        micro_die("an append failed");
    }
}

/* All that was appended, sent and acknowledged. */
static void deliver(void) {
    const uint32_t ticket = kp_flush_begin(s.core);
    while (kp_flush_wait(s.core, ticket, 0) != KP_OK) {
        connection()->is_readable = true;
        s.now += MS;
        (void)kp_pump_step(s.pump, s.now);
    }
    kp_flush_end(s.core);
}

/* --- what an append cannot do without, alone --- */

static void lock_and_unlock(int32_t n) {
    kp_mutex m;
    kp_mutex_init(&m);
    for (int32_t i = 0; i < n; i++) {
        kp_mutex_lock(&m);
        micro_kept++;
        kp_mutex_unlock(&m);
    }
    kp_mutex_destroy(&m);
}

static void read_coarse_clock(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        micro_kept += (uint32_t)kp_wall_coarse_ms();
    }
}

/* --- append --- */

static void append_small(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        append(-1, NULL, SMALL);
    }
}

static void append_keyed(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        append(-1, keys[i % KEYS], SMALL);
    }
}

static void append_large(int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        append(-1, NULL, LARGE);
    }
}

/* As in a stream: the slabs that the records will take have been used and given back. */
static void begin_warm(int32_t partitions, void (*fill)(int32_t), int32_t n) {
    begin(partitions);
    fill(n);
    deliver();
}

static void prepare_small(int32_t n) { begin_warm(1, append_small, n); }
static void prepare_keyed(int32_t n) { begin_warm(PARTITIONS, append_keyed, n); }
static void prepare_large(int32_t n) { begin_warm(1, append_large, n); }

/* --- batches: n of them, each with 16 KiB of records --- */

static void append_batches(int32_t n) {
    for (int32_t i = 0; i < n * RECORDS_A_BATCH; i++) {
        append(i % n_partitions, NULL, SMALL);
    }
}

static void prepare_stamp(int32_t n) {
    begin(1);
    append_batches(n);
}

static void seal_and_stamp(int32_t n) {
    kp_partition *p = script_partition(&s, 0);
    if (kp_accumulator_seal_open(p) != KP_OK) {
        micro_die("nobody holds this lock");
    }
    kp_link *link = kp_list_first(&p->queue);
    for (int32_t i = 0; i < n; i++) {
        const kp_stamp stamp = {.producer_id = 7, .producer_epoch = 1, .base_sequence = i};
        if (link == NULL || kp_batch_stamp(KP_OWNER(link, kp_batch, link), &stamp, s.pump->codec) != KP_OK) {
            micro_die("a batch is missing or cannot be stamped");
        }
        link = kp_list_next(&p->queue, link);
    }
}

/* Exactly n batches: each append but the first of a partition that finds its batch full seals one. */
static void prepare_pump(int32_t n) {
    begin(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        append(i, NULL, SMALL);
    }
    deliver();
    const uint64_t first = atomic_load(&s.core->next_batch_id);
    for (int32_t i = 0; atomic_load(&s.core->next_batch_id) - first < (uint64_t)n; i++) {
        append(i % PARTITIONS, NULL, SMALL);
    }
}

static void pump_batches(int32_t n) {
    KP_UNUSED(n);
    deliver();
}

/* --- an answer --- */

static uint8_t frame[1024];
static size_t frame_len;

static void prepare_answer(int32_t n) {
    KP_UNUSED(n);
    begin(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        append(i, NULL, SMALL);
    }
    kp_core_hurry(s.core);
    atomic_fetch_add(&s.core->urgent, 1); /* as in a flush: the open batches leave */
    while (oldest_request() == NULL) {
        (void)kp_pump_step(s.pump, s.now);
    }
    atomic_fetch_sub(&s.core->urgent, 1);
    if (oldest_request()->n_slots != PARTITIONS) {
        micro_die("one request carries a batch of each partition");
    }
    frame_len = put_answer(frame, oldest_request()) - 4;
}

static void decode_answers(int32_t n) {
    const kp_request *r = oldest_request();
    for (int32_t i = 0; i < n; i += PARTITIONS) {
        kp_answer items[PARTITIONS] = {{0}};
        kp_answers out = {.items = items};
        if (kp_answers_decode(frame + 4, frame_len, r->version, r, &out) != KP_OK || !items[0].is_there) {
            micro_die("our own answer can be read");
        }
    }
}

static void finish_answer(void) {
    deliver();
    finish();
}

const micro_piece micro_core_pieces[] = {
    {"lock and unlock, nobody else wants it", "pair", 100000, NULL, lock_and_unlock, NULL},
    {"read the coarse wall clock", "reading", 100000, NULL, read_coarse_clock, NULL},
    {"append 100 B, one partition", "record", 100000, prepare_small, append_small, finish},
    {"append 100 B with a key, six partitions", "record", 100000, prepare_keyed, append_keyed, finish},
    {"append 1 KiB, one partition", "record", 20000, prepare_large, append_large, finish},
    {"seal and stamp a batch of 16 KiB", "batch", 600, prepare_stamp, seal_and_stamp, finish},
    {"send and acknowledge a batch of 16 KiB", "batch", 600, prepare_pump, pump_batches, finish},
    {"parse an answer of six partitions", "partition", 60000, prepare_answer, decode_answers, finish_answer},
    {0},
};
