#include "kp_dead_letters.h"

#include <stdlib.h>

#include "kp_core.h"

static bool may_keep(const kp_core *core, const kp_batch *b) {
    const kp_result *r = b->result;
    return core->config.dead_letter_bytes > 0 && r->failure.is_refused && !r->partition->topic->takes_dead_letters &&
           b->chunk.data != NULL;
}

/* The pump alone adds, so that nobody overtakes the check. One batch is always taken, however large its buffer is. */
static bool has_room(kp_core *core, size_t size) {
    const size_t waiting = (size_t)atomic_load(&core->dead_letter_bytes), limit = core->config.dead_letter_bytes;
    return waiting == 0 || (waiting <= limit && size <= limit - waiting);
}

void kp_dead_letters_keep(kp_core *core, kp_batch *b) {
    if (kp_likely(!may_keep(core, b))) {
        return;
    }
    kp_dead_letters *kept = has_room(core, b->chunk.size) ? malloc(sizeof *kept) : NULL;
    if (kept == NULL) {
        KP_COUNT(core, dead_letters_dropped, b->count);
        return;
    }
    *kept = (kp_dead_letters){.len = b->len, .count = b->count, .base_ts = b->base_ts};
    kept->is_reserve = b->chunk_is_reserve;
    kept->chunk = kp_batch_take_chunk(b);
    atomic_fetch_add(&core->dead_letter_bytes, (long long)kept->chunk.size);
    b->result->dead_letters = kept;
}

void kp_dead_letters_release(kp_core *core, kp_result *r) {
    kp_dead_letters *kept = r->dead_letters;
    if (kept == NULL) {
        return;
    }
    r->dead_letters = NULL;
    atomic_fetch_sub(&core->dead_letter_bytes, (long long)kept->chunk.size);
    if (kept->is_reserve) {
        free(kept->chunk.data);
    } else {
        kp_pool_give(&core->pool, &kept->chunk);
    }
    free(kept);
}

bool kp_dead_letters_next(const kp_dead_letters *kept, const uint8_t **p, kp_record *out) {
    const uint8_t *end = kept->chunk.data + kept->len;
    *p = *p == NULL ? kept->chunk.data + KP_BATCH_HEADER : *p;
    return *p < end && kp_record_decode(p, end, kept->base_ts, out) == KP_OK;
}
