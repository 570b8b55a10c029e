/* Purpose: the outcome of one batch, shared by the pump (writer) and all who asked (futures, callbacks).
 * Thread:  any; the outcome is written once by the pump, before `state` leaves KP_PENDING.
 * Locks:   none of its own. Listeners are added under the partition's lock, late ones under the wait lock too.
 * Frees:   reference counted; the last kp_result_release frees it. Listener objects are taken out by whoever
 *          holds the GIL; csrc never touches what they point to. */
#ifndef KP_RESULT_H
#define KP_RESULT_H

#include <stdatomic.h>

#include "kp_base.h"

struct kp_core;
struct kp_partition;

typedef enum kp_state {
    KP_PENDING = 0,
    KP_DELIVERED = 1,
    KP_FAILED = 2,
    KP_SPLIT_UP = 3 /* see children */
} kp_state;

typedef enum kp_persisted { KP_NOT_PERSISTED = 0, KP_MAYBE_PERSISTED = 1, KP_PERSISTED = 2 } kp_persisted;

/* Somebody who wants to be told about one record. */
typedef struct kp_listener {
    void *object; /* a PyObject of the binding */
    int64_t timestamp_ms;
    int32_t index;
    int32_t key_size, value_size; /* -1: null */
    bool only_notes; /* a failure that only such hear of is unobserved: an interceptor's, or a future's, which counts as
                        a watcher */
} kp_listener;

typedef struct kp_record_error {
    int32_t index;
    int32_t code;
    char *message; /* may be NULL */
} kp_record_error;

typedef struct kp_failure {
    int32_t code;  /* Kafka's error code; client-side ones are negative below -1 */
    int32_t cause; /* what the last attempt had met, for a client-side code; 0: nothing */
    kp_persisted persisted;
    int32_t attempts;
    int32_t node; /* -1: none was asked */
    int64_t elapsed_ns;
    char *message; /* may be NULL */
    bool is_refused; /* by a broker and for good: the records may become dead letters */
} kp_failure;

/* Codes that no broker sends. */
enum {
    KP_CODE_EXPIRED = -1001,       /* delivery.timeout.ms */
    KP_CODE_CLOSED = -1002,        /* the producer was closed with records left */
    KP_CODE_OUT_OF_MEMORY = -1004, /* no memory for a compressed copy or a split */
    KP_CODE_INTERNAL = -1005,
    KP_CODE_TXN_ABORTED = -1006, /* dropped with its transaction */
    KP_CODE_TXN_REFUSED = -1007, /* a record of the transaction was refused at the call */
    KP_CODE_DROPPED = -1008      /* buffer.full.policy=drop-oldest made room for newer records */
};

typedef struct kp_result {
    atomic_int refs;
    atomic_int state;         /* kp_state */
    atomic_uint watched;      /* futures that still may be asked; top bit: failed and counted */
    struct kp_core *core;     /* holds a reference */
    struct kp_partition *partition;
    int32_t count;            /* records; grows while the batch is open */
    int64_t base_offset;      /* -1: acks=0 or not told */
    int64_t log_append_ms;    /* -1: CreateTime */
    kp_failure failure;
    kp_record_error *record_errors; /* sorted by index; NULL: every record failed alike */
    int32_t n_record_errors;
    kp_listener *listeners;
    atomic_int n_listeners; /* read by the pump before it takes the lock */
    int32_t cap_listeners;
    struct kp_result **children; /* after a split, in order of index */
    int32_t n_children;
    struct kp_dead_letters *dead_letters; /* for the delivery thread; NULL: none */
    struct kp_result *next; /* in the core's finished list */
} kp_result;

enum { KP_WATCHED_FAILED = 1u << 31 };

kp_result *kp_result_new(struct kp_core *core, struct kp_partition *partition);
void kp_result_retain(kp_result *r);
void kp_result_release(kp_result *r);

kp_status kp_result_add_listener(kp_result *r, const kp_listener *l);

/* Follows splits: the result that holds record *index now, *index being its place there. */
kp_result *kp_result_resolve(kp_result *r, int32_t *index);

/* Did this record fail (in a settled, unsplit result), and how? NULL: it was delivered. */
const kp_record_error *kp_result_record_error(const kp_result *r, int32_t index);

/* Sequentially consistent: pairs with the publisher's store and its look at the waiters. */
static inline kp_state kp_result_state(kp_result *r) { return (kp_state)atomic_load(&r->state); }

char *kp_strdup(const char *text, size_t len); /* NULL for NULL or no memory: only messages use it */

#endif
