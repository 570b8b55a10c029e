#include "kp_topic_index.h"

#include <stdlib.h>
#include <string.h>

#include "kp_core.h"
#include "kp_murmur2.h"

enum { FIRST_SIZE = 16 };

static size_t hash_of(const char *name, size_t len) { return (uint32_t)kp_murmur2((const uint8_t *)name, len); }

void kp_topic_index_free(kp_topic_index *index) {
    for (kp_topic_slots *s = atomic_load(&index->slots), *older; s != NULL; s = older) {
        older = s->retired;
        free(s);
    }
}

kp_topic *kp_topic_index_find(const kp_topic_index *index, const char *name, size_t len) {
    const kp_topic_slots *s = atomic_load_explicit(&index->slots, memory_order_acquire);
    if (s == NULL) {
        return NULL;
    }
    for (size_t at = hash_of(name, len) & s->mask;; at = (at + 1) & s->mask) { /* half of them are empty at least */
        kp_topic *t = atomic_load_explicit(&s->items[at], memory_order_acquire);
        if (t == NULL || (t->name_len == len && memcmp(t->name, name, len) == 0)) {
            return t;
        }
    }
}

static void put(kp_topic_slots *s, kp_topic *topic) {
    size_t at = hash_of(topic->name, topic->name_len) & s->mask;
    while (atomic_load_explicit(&s->items[at], memory_order_relaxed) != NULL) {
        at = (at + 1) & s->mask;
    }
    atomic_store_explicit(&s->items[at], topic, memory_order_release);
}

kp_status kp_topic_index_reserve(kp_topic_index *index) {
    kp_topic_slots *old = atomic_load_explicit(&index->slots, memory_order_relaxed);
    const size_t have = old == NULL ? 0 : old->mask + 1;
    if ((index->count + 1) * 2 <= have) {
        return KP_OK;
    }
    const size_t size = have == 0 ? FIRST_SIZE : have * 2;
    kp_topic_slots *grown = malloc(sizeof *grown + size * sizeof grown->items[0]);
    if (grown == NULL) {
        return KP_ERR_NOMEM;
    }
    grown->mask = size - 1;
    grown->retired = old;
    for (size_t i = 0; i < size; i++) {
        atomic_init(&grown->items[i], NULL);
    }
    for (size_t i = 0; i < have; i++) {
        kp_topic *t = atomic_load_explicit(&old->items[i], memory_order_relaxed);
        if (t != NULL) {
            put(grown, t);
        }
    }
    atomic_store_explicit(&index->slots, grown, memory_order_release);
    return KP_OK;
}

void kp_topic_index_add(kp_topic_index *index, kp_topic *topic) {
    put(atomic_load_explicit(&index->slots, memory_order_relaxed), topic);
    index->count++;
}
