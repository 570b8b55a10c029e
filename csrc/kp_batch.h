/* Purpose: one record batch: open -> append -> seal -> stamp (header, codec, CRC) -> sent as frozen bytes.
 * Thread:  appended to under the partition's lock; from sealing on, the pump's alone.
 * Locks:   none of its own.
 * Frees:   kp_batch_free gives the chunk back to the pool and the compressed copy to the heap. */
#ifndef KP_BATCH_H
#define KP_BATCH_H

#include "kp_codec.h"
#include "kp_list.h"
#include "kp_pool.h"
#include "kp_record.h"
#include "kp_result.h"

enum { KP_BATCH_HEADER = 61 };

typedef enum kp_batch_state {
    KP_BATCH_QUEUED = 0, /* has no sequence yet */
    KP_BATCH_IN_FLIGHT,
    KP_BATCH_ASKED,  /* refused: waits for a verdict */
    KP_BATCH_PARKED, /* will be sent again */
    KP_BATCH_DONE    /* has its outcome, waits for an earlier one to be published */
} kp_batch_state;

typedef struct kp_batch {
    kp_link link; /* in the partition's queue or sent list */
    struct kp_batch *sealed_next;
    kp_result *result; /* owns one reference */
    uint64_t id;
    uint32_t flush_gen;
    uint32_t txn_gen; /* 0: not of a transaction */
    kp_chunk chunk; /* raw bytes, from the pool; from the heap after a split */
    bool chunk_is_reserve;
    size_t len; /* raw length, header included */
    int32_t count;
    uint32_t largest; /* bytes of the largest record, as encoded */
    int64_t base_ts, max_ts;
    int64_t created_ns; /* first append: where delivery.timeout.ms starts */
    int64_t opened_ms;  /* the same by the wall clock */

    /* What follows belongs to the pump. */
    kp_batch_state state;
    kp_state outcome; /* of a KP_BATCH_DONE */
    bool is_settled; /* the result has been published (expiry); the bytes wait for the answer */
    bool is_stamped; /* header and CRC are valid */
    bool is_sequenced;
    bool maybe; /* sticky: a byte was written and no definite answer came */
    bool was_sent;
    uint8_t *wire; /* what is sent: chunk.data or a compressed copy */
    size_t wire_len;
    size_t sent_len; /* of the last attempt: it outlives the bytes */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t attempts;
    int32_t last_code; /* what the last attempt met; 0: nothing yet */
    int32_t last_node;
    int64_t drained_ns;
} kp_batch;

kp_batch *kp_batch_new(kp_result *result, kp_chunk chunk, int64_t now_ns);
void kp_batch_free(kp_batch *b, kp_pool *pool);
void kp_batch_drop_bytes(kp_batch *b, kp_pool *pool); /* raw and wire; the batch stays for its result */
kp_chunk kp_batch_take_chunk(kp_batch *b); /* the raw bytes are the caller's from now on, the wire is dropped */

static inline size_t kp_batch_room(const kp_batch *b) { return b->chunk.size - b->len; }

/* Appends a record that fits: there is room for its bound, or it was found to fit exactly. Inline: the hot path. */
static inline void kp_batch_put(kp_batch *b, const kp_record *r) {
    if (b->count == 0) {
        b->base_ts = b->max_ts = r->timestamp_ms;
    }
    const int64_t ts_delta = r->timestamp_ms - b->base_ts;
    const size_t body = kp_record_body_size(r, ts_delta, b->count);
    uint8_t *at = b->chunk.data + b->len;
    const size_t size = (size_t)(kp_record_encode(at, r, ts_delta, b->count, body) - at);
    b->len += size;
    if (size > b->largest) {
        b->largest = (uint32_t)size;
    }
    b->count++;
    b->max_ts = kp_max_i64(b->max_ts, r->timestamp_ms);
}

/* KP_FULL when it does not fit; the record has a bound. A first record fits whenever the chunk holds it. */
kp_status kp_batch_append(kp_batch *b, const kp_record *r);

typedef struct kp_stamp {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence; /* -1 when not idempotent */
} kp_stamp;

/* Compresses (once), writes header and CRC. Call again with another stamp only if it was never `maybe`. */
kp_status kp_batch_stamp(kp_batch *b, const kp_stamp *stamp, kp_codec_ctx *codec);

/* A copy of `n` records from `first` on, with a reserve buffer: for MESSAGE_TOO_LARGE and KIP-467 refusals.
 * Takes over the caller's reference to the result on KP_OK. */
kp_status kp_batch_range(const kp_batch *b, int32_t first, int32_t n, kp_result *result, kp_batch **out);

/* Sequences wrap from 2^31-1 to 0. */
static inline int32_t kp_sequence_add(int32_t sequence, int32_t n) {
    return (int32_t)(((uint32_t)sequence + (uint32_t)n) & 0x7fffffffu);
}

/* Is a at or behind b, going round the ring of 2^31? */
static inline bool kp_sequence_reached(int32_t a, int32_t b) {
    return (((uint32_t)a - (uint32_t)b) & 0x7fffffffu) < 0x40000000u;
}

static inline int32_t kp_batch_last_sequence(const kp_batch *b) {
    return kp_sequence_add(b->base_sequence, b->count - 1);
}

#endif
