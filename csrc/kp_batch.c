#include "kp_batch.h"

#include <stdlib.h>
#include <string.h>

#include "kp_crc32c.h"
#include "kp_endian.h"

enum {
    AT_BATCH_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_RECORD_COUNT = 57
};

enum { TRANSACTIONAL = 0x10 }; /* bit of the attributes */

kp_batch *kp_batch_new(kp_result *result, kp_chunk chunk, int64_t now_ns) {
    kp_batch *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->result = result;
    b->chunk = chunk;
    b->len = KP_BATCH_HEADER;
    b->created_ns = now_ns;
    b->producer_id = -1;
    b->producer_epoch = -1;
    b->base_sequence = -1;
    b->last_node = -1;
    return b;
}

static void drop_wire(kp_batch *b) {
    if (b->wire != b->chunk.data) {
        free(b->wire);
    }
    b->wire = NULL;
    b->wire_len = 0;
    b->is_stamped = false;
}

void kp_batch_drop_bytes(kp_batch *b, kp_pool *pool) {
    drop_wire(b);
    if (b->chunk_is_reserve) {
        free(b->chunk.data);
        b->chunk = (kp_chunk){0};
    } else {
        kp_pool_give(pool, &b->chunk);
    }
}

kp_chunk kp_batch_take_chunk(kp_batch *b) {
    drop_wire(b);
    const kp_chunk chunk = b->chunk;
    b->chunk = (kp_chunk){0};
    b->chunk_is_reserve = false;
    return chunk;
}

void kp_batch_free(kp_batch *b, kp_pool *pool) {
    kp_batch_drop_bytes(b, pool);
    kp_result_release(b->result);
    free(b);
}

kp_status kp_batch_append(kp_batch *b, const kp_record *r) {
    const int64_t ts_delta = b->count == 0 ? 0 : r->timestamp_ms - b->base_ts;
    if (kp_record_size(kp_record_body_size(r, ts_delta, b->count)) > kp_batch_room(b) || b->count == INT32_MAX) {
        return KP_FULL;
    }
    kp_batch_put(b, r);
    return KP_OK;
}

/* A batch that would grow is sent raw: the attribute bits then say so. */
static kp_status compress(kp_batch *b, kp_codec_ctx *codec) {
    const size_t raw = b->len - KP_BATCH_HEADER;
    b->wire = b->chunk.data;
    b->wire_len = b->len;
    if (kp_codec_ctx_codec(codec) == KP_CODEC_NONE || raw < 2) {
        return KP_OK;
    }
    uint8_t *wire = malloc(b->len);
    if (wire == NULL) {
        return KP_OK; /* raw is longer, but needs no copy */
    }
    size_t n = 0;
    const kp_status status =
        kp_codec_compress(codec, b->chunk.data + KP_BATCH_HEADER, raw, wire + KP_BATCH_HEADER, raw - 1, &n);
    if (status != KP_OK) {
        free(wire);
        return status == KP_FULL ? KP_OK : status;
    }
    uint8_t *shrunk = realloc(wire, KP_BATCH_HEADER + n);
    b->wire = shrunk == NULL ? wire : shrunk;
    b->wire_len = KP_BATCH_HEADER + n;
    return KP_OK;
}

static void write_header(kp_batch *b, const kp_stamp *stamp, int codec_id) {
    uint8_t *h = b->wire;
    const bool is_compressed = b->wire != b->chunk.data;
    memset(h, 0, AT_BATCH_LENGTH); /* base offset: the broker's to write */
    kp_put_be32(h + AT_BATCH_LENGTH, (uint32_t)(b->wire_len - AT_LEADER_EPOCH));
    kp_put_be32(h + AT_LEADER_EPOCH, UINT32_MAX);
    h[AT_MAGIC] = 2;
    kp_put_be16(h + AT_ATTRIBUTES, (uint16_t)((is_compressed ? codec_id : 0) | (b->txn_gen != 0 ? TRANSACTIONAL : 0)));
    kp_put_be32(h + AT_LAST_OFFSET_DELTA, (uint32_t)(b->count - 1));
    kp_put_be64(h + AT_BASE_TIMESTAMP, (uint64_t)b->base_ts);
    kp_put_be64(h + AT_MAX_TIMESTAMP, (uint64_t)b->max_ts);
    kp_put_be64(h + AT_PRODUCER_ID, (uint64_t)stamp->producer_id);
    kp_put_be16(h + AT_PRODUCER_EPOCH, (uint16_t)stamp->producer_epoch);
    kp_put_be32(h + AT_BASE_SEQUENCE, (uint32_t)stamp->base_sequence);
    kp_put_be32(h + AT_RECORD_COUNT, (uint32_t)b->count);
    kp_put_be32(h + AT_CRC, kp_crc32c(0, h + AT_ATTRIBUTES, b->wire_len - AT_ATTRIBUTES));
}

kp_status kp_batch_stamp(kp_batch *b, const kp_stamp *stamp, kp_codec_ctx *codec) {
    if (b->wire == NULL) {
        const kp_status status = compress(b, codec);
        if (status != KP_OK) {
            return status;
        }
    }
    write_header(b, stamp, kp_codec_ctx_codec(codec));
    b->producer_id = stamp->producer_id;
    b->producer_epoch = stamp->producer_epoch;
    b->base_sequence = stamp->base_sequence;
    b->is_stamped = true;
    return KP_OK;
}

static kp_batch *reserve_batch(const kp_batch *like, kp_result *result, size_t raw_bytes, int32_t n) {
    /* Deltas are encoded anew, relative to another first record: each may need up to 10 + 5 + 5 bytes more. */
    const kp_chunk chunk = {.size = KP_BATCH_HEADER + raw_bytes + 20 * (size_t)n};
    kp_batch *b = kp_batch_new(result, chunk, like->created_ns);
    if (b == NULL) {
        return NULL;
    }
    b->chunk.data = malloc(b->chunk.size);
    if (b->chunk.data == NULL) {
        free(b);
        return NULL;
    }
    b->chunk_is_reserve = true;
    b->flush_gen = like->flush_gen;
    b->txn_gen = like->txn_gen;
    b->attempts = like->attempts;
    b->last_code = like->last_code;
    b->last_node = like->last_node;
    b->was_sent = like->was_sent;
    b->drained_ns = like->drained_ns;
    return b;
}

/* Appends records [first, first + n) of `from`, which begin at *p. */
static kp_status copy_records(const uint8_t **p, const kp_batch *from, int32_t n, kp_batch *to) {
    for (int32_t i = 0; i < n; i++) {
        kp_record r;
        kp_status status = kp_record_decode(p, from->chunk.data + from->len, from->base_ts, &r);
        if (status == KP_OK && to != NULL) {
            status = kp_batch_append(to, &r);
        }
        if (status != KP_OK) {
            return KP_ERR_MALFORMED; /* our own bytes: cannot be */
        }
    }
    return KP_OK;
}

kp_status kp_batch_range(const kp_batch *b, int32_t first, int32_t n, kp_result *result, kp_batch **out) {
    if (first < 0 || n < 1 || n > b->count - first) {
        return KP_ERR_INVALID;
    }
    const uint8_t *p = b->chunk.data + KP_BATCH_HEADER;
    kp_status status = copy_records(&p, b, first, NULL); /* skips */
    if (status != KP_OK) {
        return status;
    }
    kp_batch *range = reserve_batch(b, result, (size_t)(b->chunk.data + b->len - p), n);
    if (range == NULL) {
        return KP_ERR_NOMEM;
    }
    status = copy_records(&p, b, n, range);
    if (status != KP_OK) {
        kp_batch_drop_bytes(range, NULL);
        free(range);
        return status;
    }
    *out = range;
    return KP_OK;
}
