/* Purpose: intrusive doubly linked list; a node knows whether it is linked.
 * Thread:  whoever owns the list; no atomics.
 * Locks:   none.
 * Frees:   nothing: nodes are embedded in their owners. */
#ifndef KP_LIST_H
#define KP_LIST_H

#include "kp_base.h"

typedef struct kp_link {
    struct kp_link *prev, *next; /* both NULL while unlinked */
} kp_link;

typedef struct kp_list {
    kp_link head; /* a ring through the head; empty when it points to itself */
} kp_list;

#define KP_OWNER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void kp_list_init(kp_list *l) { l->head.prev = l->head.next = &l->head; }
static inline bool kp_list_is_empty(const kp_list *l) { return l->head.next == &l->head; }
static inline bool kp_link_is_linked(const kp_link *n) { return n->next != NULL; }
static inline kp_link *kp_list_first(kp_list *l) { return kp_list_is_empty(l) ? NULL : l->head.next; }
static inline kp_link *kp_list_next(kp_list *l, kp_link *n) { return n->next == &l->head ? NULL : n->next; }

static inline void kp_list_insert_after(kp_link *at, kp_link *n) {
    n->prev = at;
    n->next = at->next;
    at->next->prev = n;
    at->next = n;
}

static inline void kp_list_push_back(kp_list *l, kp_link *n) { kp_list_insert_after(l->head.prev, n); }
static inline void kp_list_push_front(kp_list *l, kp_link *n) { kp_list_insert_after(&l->head, n); }

static inline void kp_list_remove(kp_link *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
}

static inline kp_link *kp_list_pop_front(kp_list *l) {
    kp_link *n = kp_list_first(l);
    if (n != NULL) {
        kp_list_remove(n);
    }
    return n;
}

#endif
