#include "kp_heap.h"

#include <stdlib.h>

void kp_heap_free(kp_heap *h) {
    free(h->slots);
    *h = (kp_heap){0};
}

kp_status kp_heap_reserve(kp_heap *h, size_t count) {
    if (count + 1 <= h->cap) {
        return KP_OK;
    }
    const size_t cap = kp_max_size(count + 1, h->cap * 2);
    kp_timer **slots = realloc(h->slots, cap * sizeof *slots);
    if (slots == NULL) {
        return KP_ERR_NOMEM;
    }
    h->slots = slots;
    h->cap = cap;
    return KP_OK;
}

static void place(kp_heap *h, size_t slot, kp_timer *t) {
    h->slots[slot] = t;
    t->slot = slot;
}

static void sift_up(kp_heap *h, size_t slot, kp_timer *t) {
    while (slot > 1 && h->slots[slot / 2]->at > t->at) {
        place(h, slot, h->slots[slot / 2]);
        slot /= 2;
    }
    place(h, slot, t);
}

static void sift_down(kp_heap *h, size_t slot, kp_timer *t) {
    for (size_t child = slot * 2; child <= h->count; child = slot * 2) {
        if (child < h->count && h->slots[child + 1]->at < h->slots[child]->at) {
            child++;
        }
        if (h->slots[child]->at >= t->at) {
            break;
        }
        place(h, slot, h->slots[child]);
        slot = child;
    }
    place(h, slot, t);
}

void kp_heap_set(kp_heap *h, kp_timer *t, int64_t at) {
    const bool is_new = t->slot == 0;
    const bool earlier = is_new || at < t->at;
    t->at = at;
    if (is_new) {
        t->slot = ++h->count; /* kp_heap_reserve made the room */
    }
    if (earlier) {
        sift_up(h, t->slot, t);
    } else {
        sift_down(h, t->slot, t);
    }
}

void kp_heap_remove(kp_heap *h, kp_timer *t) {
    if (t->slot == 0) {
        return;
    }
    const size_t slot = t->slot;
    kp_timer *last = h->slots[h->count--];
    t->slot = 0;
    if (last == t) {
        return;
    }
    if (slot > 1 && h->slots[slot / 2]->at > last->at) {
        sift_up(h, slot, last);
    } else {
        sift_down(h, slot, last);
    }
}

kp_timer *kp_heap_first(const kp_heap *h) { return h->count == 0 ? NULL : h->slots[1]; }
