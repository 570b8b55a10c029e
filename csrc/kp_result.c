#include "kp_result.h"

#include <stdlib.h>
#include <string.h>

#include "kp_core.h"
#include "kp_dead_letters.h"

kp_result *kp_result_new(kp_core *core, kp_partition *partition) {
    kp_result *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    atomic_init(&r->refs, 1);
    atomic_init(&r->state, KP_PENDING);
    atomic_init(&r->watched, 0);
    r->core = core;
    kp_core_retain(core);
    r->partition = partition;
    r->base_offset = r->log_append_ms = -1;
    r->failure.node = -1;
    return r;
}

void kp_result_retain(kp_result *r) { atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed); }

void kp_result_release(kp_result *r) {
    if (r == NULL || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (int32_t i = 0; i < r->n_record_errors; i++) {
        free(r->record_errors[i].message);
    }
    for (int32_t i = 0; i < r->n_children; i++) {
        kp_result_release(r->children[i]);
    }
    free(r->record_errors);
    free(r->children);
    free(r->listeners);
    free(r->failure.message);
    kp_core *core = r->core;
    kp_dead_letters_release(core, r);
    free(r);
    kp_core_release(core);
}

kp_status kp_result_add_listener(kp_result *r, const kp_listener *l) {
    const int32_t n = atomic_load_explicit(&r->n_listeners, memory_order_relaxed);
    if (n == r->cap_listeners) {
        const int32_t cap = r->cap_listeners == 0 ? 8 : r->cap_listeners * 2;
        kp_listener *grown = realloc(r->listeners, (size_t)cap * sizeof *grown);
        if (grown == NULL) {
            return KP_ERR_NOMEM;
        }
        r->listeners = grown;
        r->cap_listeners = cap;
    }
    r->listeners[n] = *l;
    atomic_store_explicit(&r->n_listeners, n + 1, memory_order_relaxed);
    return KP_OK;
}

kp_result *kp_result_resolve(kp_result *r, int32_t *index) {
    while (kp_result_state(r) == KP_SPLIT_UP) {
        int32_t child = 0;
        while (child + 1 < r->n_children && *index >= r->children[child]->count) {
            *index -= r->children[child]->count;
            child++;
        }
        r = r->children[child];
    }
    return r;
}

const kp_record_error *kp_result_record_error(const kp_result *r, int32_t index) {
    for (int32_t i = 0; i < r->n_record_errors; i++) {
        if (r->record_errors[i].index == index) {
            return &r->record_errors[i];
        }
    }
    return NULL;
}

char *kp_strdup(const char *text, size_t len) {
    char *copy = text == NULL ? NULL : malloc(len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}
