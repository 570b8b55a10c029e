/* Purpose: the state that app threads, pump and control share: configuration, topics, memory, waits, counters.
 * Thread:  any, as each part says.
 * Locks:   wait_lock for conditions and late listeners; topics_lock for the topic list. Order: topic, partition,
 *          pool, result (wait_lock), queue.
 * Frees:   reference counted: the producer, every result and the pump hold one (PUMP contract 21). */
#ifndef KP_CORE_H
#define KP_CORE_H

#include <stdatomic.h>

#include "kp_batch.h"
#include "kp_heap.h"
#include "kp_latch.h"
#include "kp_os.h"
#include "kp_pool.h"
#include "kp_queue.h"
#include "kp_result.h"
#include "kp_stats.h"
#include "kp_topic_index.h"

typedef enum kp_key_hash {
    KP_HASH_MURMUR2 = 0,
    KP_HASH_CRC32,
    KP_HASH_FNV1A,
    KP_HASH_NONE /* any partition, drawn anew for each record */
} kp_key_hash;

/* What happens to records that name no partition. All zero is Java's: murmur2 of every key. */
typedef struct kp_partitioner {
    kp_key_hash hash;
    int64_t least_key_len; /* shorter keys count as none (a null is of length -1), so their records go to the sticky partition */
} kp_partitioner;

#define KP_IGNORE_KEYS INT64_MAX /* as least_key_len */

typedef struct kp_config {
    const char *client_id;        /* copied */
    const char *transactional_id; /* copied; NULL: no transactions */
    int16_t acks;
    bool idempotent;
    int32_t retries;
    int32_t max_in_flight;
    size_t batch_size;
    size_t buffer_memory;
    size_t max_request_size;
    size_t max_response_bytes;
    int64_t linger_ns;
    int64_t request_timeout_ns;
    int64_t delivery_timeout_ns;
    int64_t idle_ns; /* connections.max.idle.ms; KP_NEVER: off */
    int codec;
    int codec_level;
    kp_codec_lib codec_lib;
    bool drops_oldest; /* buffer.full.policy=drop-oldest */
    kp_partitioner partitioner;
    bool is_adaptive; /* the sticky partition is drawn by the lengths of queues (KIP-794) */
    int64_t availability_timeout_ns; /* partitions whose node takes nothing for so long are left out; 0: never */
    size_t dead_letter_bytes; /* of refused batches that wait for the delivery thread; 0: none are kept */
} kp_config;

struct kp_node;

typedef struct kp_partition {
    struct kp_topic *topic;
    int32_t index;

    /* Appenders and pump. */
    kp_latch lock;
    kp_batch *open;                  /* under lock */
    _Atomic(kp_batch *) sealed;      /* newest first; the pump takes the whole chain */
    atomic_llong open_since;         /* 0: no open batch */
    atomic_bool seal_wanted;         /* the pump missed the lock: seal on the way out */
    atomic_bool is_dirty;            /* in the core's dirty chain */
    struct kp_partition *dirty_next;
    atomic_int leader;               /* node id or -1; written by the pump */
    atomic_bool is_away;             /* its node takes nothing for too long; written by the pump */
    atomic_int n_queued;             /* sealed batches that have no sequence yet: in `sealed` and `queue` */
    uint32_t txn_told;               /* under lock: control knows of it in this transaction */

    /* Failures that nobody listened to, under wait_lock. */
    int64_t unobserved;
    kp_result *first_unobserved;

    /* The pump's alone: kp_partition.h. */
    kp_list queue; /* sealed batches without a sequence, oldest first */
    kp_list sent;  /* batches with a sequence, in its order: in flight, parked, asked, acked early */
    int n_in_flight;
    struct kp_conn *in_flight_conn;
    struct kp_node *node;
    int32_t leader_epoch;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    int32_t last_acked; /* last sequence; -1: none under this epoch */
    bool gate_is_open;  /* this leader has acked this (producer id, epoch) */
    bool is_recovering; /* one in flight until the head is acked */
    bool is_held;
    bool wants_new_epoch; /* restart under the newest producer id once nothing is in flight */
    bool is_unresolved;   /* a sequenced batch expired and may be in the log */
    int32_t unresolved_last;
    bool has_gap; /* unresolved, and its records were reported as maybe persisted */
    uint32_t hold_gen;
    int64_t resume_at;
    kp_timer timer;       /* the earliest of: linger, resume, expiry */
    kp_link ready_link;   /* in its node's ready list */
    bool is_waiting;      /* counted by its node as one that could send if the node took more */
    kp_link waiting_link; /* in the pump's list of those without a leader or connection */
    uint64_t topic_id_gen;
    uint32_t txn_allowed; /* the transaction that the coordinator has added it to */
    kp_counter counters[KP_PARTITION_COUNTER_COUNT]; /* read by any */
} kp_partition;

typedef struct kp_partition_table {
    int32_t count;
    struct kp_partition_table *retired; /* older, smaller tables: readers may still hold them */
    kp_partition *items[];
} kp_partition_table;

typedef struct kp_topic {
    struct kp_core *core;
    char *name;
    size_t name_len;
    struct kp_topic *next;
    _Atomic(kp_partition_table *) table; /* NULL until metadata came */
    atomic_int live; /* partitions that records may go to: fewer than the table's after a smaller topic of the name came */
    uint8_t id[16];
    bool has_id;
    uint64_t id_gen; /* counts topic ids: a new one is a new topic under the old name */

    kp_mutex lock; /* sticky state */
    atomic_int sticky;         /* partition for keyless records, -1: none */
    atomic_llong sticky_bytes; /* produced to it since it was picked */
    atomic_ullong random;
    int32_t shortest, longest; /* n_queued of its partitions at the last look, under lock */
    int32_t look_after;        /* switches of the sticky partition before the next look, under lock */
    int32_t error; /* told to those who wait now */
    char *error_message;
    uint64_t error_gen;
    atomic_int wanted; /* partitions asked for and not yet there; 0: none */
    bool stale_told;   /* pump */
    atomic_bool is_used; /* a batch was opened since kp_topic_take_used */
    atomic_bool takes_dead_letters; /* so its own failures become none, and it is written to while closing */
} kp_topic;

typedef enum kp_life { KP_OPEN = 0, KP_CLOSING = 1, KP_CLOSED = 2, KP_FATAL = 3, KP_FORKED = 4 } kp_life;

enum { KP_FLUSH_GENS = 64 };

typedef struct kp_core {
    atomic_int refs;
    kp_config config;
    atomic_int life; /* kp_life */
    kp_failure fatal; /* valid when life is KP_FATAL; under wait_lock */

    kp_pool pool;
    kp_mutex topics_lock;
    _Atomic(kp_topic *) topics; /* all of them, the newest first */
    kp_topic_index topic_index; /* the same by name */
    atomic_ullong next_batch_id;

    /* App to pump. */
    _Atomic(kp_partition *) dirty;
    atomic_llong sleeps_until; /* 0: awake; what an appender compares its ready time with */
    atomic_int wake_after;     /* batches that may become ready before the pump wants to be woken for them */
    kp_handle wake;            /* write end of the pump's wake-up pair */
    atomic_int urgent;         /* flushes and closes under way: linger is ignored */
    atomic_uint urgent_gen;    /* counts beginnings of flushes and of waits for memory */

    /* Flush tickets: batches count themselves into the generation that is current when they open. */
    atomic_uint flush_gen;
    atomic_llong pending[KP_FLUSH_GENS];
    uint32_t oldest_gen; /* under wait_lock */

    /* Waits. */
    kp_mutex wait_lock;
    kp_cond result_cond, flush_cond, topic_cond, finished_cond;
    atomic_int result_waiters;
    kp_result *finished, **finished_tail; /* with listeners, in order of publication */
    uint64_t finished_put, finished_done; /* the delivery thread's ticket */
    bool delivery_stops;
    int64_t unobserved;
    atomic_llong dead_letter_bytes; /* kept in results; see kp_dead_letters.h */

    /* Transactions: kp_txn.h. */
    atomic_uint txn_open;     /* generation that appends belong to; 0: none is open */
    atomic_bool txn_tells;    /* control wants to know of each partition, to add it */
    atomic_llong txn_batches; /* not freed yet, whatever their outcome */
    bool txn_has_failed;      /* under wait_lock: appends are refused because of txn_failure */
    kp_failure txn_failure;

    kp_queue events, commands;
    kp_handle event_wake; /* write end of control's wake-up pair */
    kp_stats stats;
} kp_core;

kp_core *kp_core_new(const kp_config *config, kp_handle pump_wake, kp_handle event_wake);
void kp_core_retain(kp_core *core);
void kp_core_release(kp_core *core);

kp_topic *kp_core_topic(kp_core *core, const char *name, size_t len); /* finds or makes; NULL: no memory */
kp_status kp_topic_grow(kp_topic *topic, int32_t count);              /* pump: adds partitions */
static inline int32_t kp_topic_live(kp_topic *t) { return atomic_load_explicit(&t->live, memory_order_acquire); }
static inline kp_partition_table *kp_topic_table(kp_topic *t) {
    return atomic_load_explicit(&t->table, memory_order_acquire);
}

/* The counters of all partitions of a topic. */
typedef struct kp_topic_counts {
    uint64_t sums[KP_PARTITION_COUNTER_COUNT];
    uint64_t most_records; /* acknowledged by one partition */
    int32_t partitions;
} kp_topic_counts;
kp_topic_counts kp_topic_count(kp_topic *topic);

void kp_core_mark_dirty(kp_core *core, kp_partition *p); /* there is news in it for the pump */
void kp_core_wake_pump(kp_core *core);
void kp_core_hurry(kp_core *core); /* a flush or a wait for memory began: tell the pump */
void kp_core_post(kp_core *core, kp_msg *event); /* queues an event and wakes control; takes ownership */
void kp_core_command(kp_core *core, kp_msg *command);

/* Flush generations. */
uint32_t kp_flush_enter(kp_core *core);
void kp_flush_leave(kp_core *core, uint32_t gen);
uint32_t kp_flush_begin(kp_core *core); /* everything up to now: pass the ticket to kp_flush_wait */
/* KP_OK, KP_AGAIN at the end of the slice. */
kp_status kp_flush_wait(kp_core *core, uint32_t ticket, int64_t slice_deadline_ns);
void kp_flush_end(kp_core *core);

/* Results. */
kp_status kp_result_wait(kp_core *core, kp_result *r, int32_t index, int64_t slice_deadline_ns);
/* A listener added after the append; KP_FULL: it is settled already, call it yourself. */
kp_status kp_result_listen(kp_core *core, kp_result *r, const kp_listener *l);
void kp_result_watch(kp_result *r, unsigned n); /* n more may ask */
void kp_result_unwatch(kp_result *r, int32_t index); /* dropped without having been asked */
void kp_result_unwatch_run(kp_result *r, int32_t first, int32_t n);

/* Failures that nobody listened to since the last call, by partition. The caller frees the array and releases
 * each `first`. KP_ERR_NOMEM leaves them for the next call. */
typedef struct kp_unobserved {
    kp_partition *partition;
    int64_t count;
    kp_result *first;
} kp_unobserved;
kp_status kp_core_take_unobserved(kp_core *core, kp_unobserved **out, int32_t *n);

/* Pump: makes the outcome visible, wakes, counts, hands listeners on. The outcome fields are set before. */
void kp_core_publish(kp_core *core, kp_result *r, kp_state state);
void kp_core_publish_split(kp_core *core, kp_result *parent);

/* Delivery thread: the finished list, or NULL at the end of the slice; `stopped` when there is no more to come. */
kp_result *kp_core_take_finished(kp_core *core, int64_t slice_deadline_ns, bool *stopped);
void kp_core_finished_done(kp_core *core, uint64_t n);
uint64_t kp_core_finished_ticket(kp_core *core); /* lists handed on so far */
kp_status kp_core_wait_delivered(kp_core *core, uint64_t ticket, int64_t slice_deadline_ns);
void kp_core_stop_delivery(kp_core *core);

/* Topics. KP_OK when it has more than `partition` partitions, KP_AGAIN, KP_ERR_IO with an error told. */
kp_status kp_topic_wait(kp_topic *topic, int32_t partition, uint64_t error_gen, int64_t slice_deadline_ns);

/* Did it get records since the last call? (metadata.max.idle.ms, KIP-526) */
static inline bool kp_topic_take_used(kp_topic *t) {
    return atomic_exchange_explicit(&t->is_used, false, memory_order_relaxed);
}
static inline kp_topic *kp_core_first_topic(kp_core *core) {
    return atomic_load_explicit(&core->topics, memory_order_acquire);
}

/* Asks control for the topic; the number to hand to kp_topic_wait. */
uint64_t kp_topic_want(kp_topic *topic, int32_t partitions);
/* The error told last: a copy of its message (the caller frees), NULL for none. */
int32_t kp_topic_error(kp_topic *topic, char **message);

void kp_core_close_appends(kp_core *core); /* later appends get KP_ERR_CLOSED, none is under way on return */
void kp_core_settle_appends(kp_core *core); /* passes the lock of each partition once: none is under way on return */
/* Any: nothing is accepted from now on, and who waits is told so. `f` may be NULL; the first one stays. */
void kp_core_end(kp_core *core, kp_life life, const kp_failure *f);
void kp_core_abandon(kp_core *core);       /* in a forked child: only marks, takes no lock */

static inline kp_life kp_core_life(kp_core *core) {
    return (kp_life)atomic_load_explicit(&core->life, memory_order_acquire);
}

/* Dead letters are of failures that a close waits for, so they come after its beginning. */
static inline bool kp_topic_is_open(kp_topic *t) {
    const kp_life life = kp_core_life(t->core);
    return kp_likely(life == KP_OPEN) || (life == KP_CLOSING && atomic_load(&t->takes_dead_letters));
}

#endif
