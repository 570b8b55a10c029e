/* Purpose: the thread that does everything that goes well: drains, compresses, frames, sends, receives, completes.
 *          It never takes the GIL. What is not plain success becomes an event for the control thread.
 * Thread:  everything here is the pump's own, but for new/start/join/free, which are the owner's.
 * Locks:   as kp_core.h; none is held over compression or I/O.
 * Frees:   kp_pump_free, after join. Adopted handles are closed by the pump. */
#ifndef KP_PUMP_H
#define KP_PUMP_H

#include "kp_accumulator.h"
#include "kp_core.h"
#include "kp_produce.h"
#include "kp_txn.h"

/* The network as the pump sees it; tests put a script here. */
typedef struct kp_io {
    void *arg;
    int64_t (*sendv)(void *arg, kp_handle h, const kp_iov *iov, int count);
    int64_t (*recv)(void *arg, kp_handle h, uint8_t *buf, size_t len);
    void (*close)(void *arg, kp_handle h);
} kp_io;

typedef struct kp_node {
    int32_t id;
    struct kp_conn *conn; /* the one that new requests go to */
    kp_list ready;        /* partitions with something to send */
    int n_ready;
    int64_t ready_since; /* when the list was empty last */
    bool is_pressing;    /* one of them must not wait for company: linger is over, a retry, a backlog, a flush */
    int64_t throttled_until;
    int n_waiting;       /* partitions that could send if the node took more: the ready ones, and those with all in flight */
    int64_t took_at;     /* when it took a request, or when the first of them began to wait */
    bool is_away;        /* published to its partitions: see kp_availability.c */
    kp_node_stats *stats; /* the core's */
    bool wanted_told; /* CONN_WANTED is a level: told once until the connection is there or lost again */
} kp_node;

/* For the producer and for the broker. */
#define KP_COUNT_NODE(pump, node, name, n)                                                                             \
    do {                                                                                                               \
        KP_COUNT((pump)->core, name, n);                                                                               \
        kp_counter_add(&(node)->stats->counters[KP_N_##name], (uint64_t)(n));                                          \
    } while (0)

typedef struct kp_conn {
    kp_link link;
    kp_node *node;
    kp_handle handle;
    int32_t gen;
    int16_t version;
    bool is_draining; /* takes no new request; closes when the last is answered */
    bool is_readable, is_blocked; /* set by run: bytes wait; the socket's buffer was full */
    kp_list requests; /* in flight, oldest first */
    int n_requests;
    int32_t next_correlation;
    uint8_t *rx;
    size_t rx_len, rx_cap;
    int64_t active_at;
} kp_conn;

/* The open transaction as the pump sees it. */
typedef struct kp_txn {
    uint32_t gen;     /* 0: none, so nothing may leave */
    bool is_v2;       /* a produce request adds its partitions itself (KIP-890) */
    bool is_sealed;   /* takes no appends; ends in TXN_DRAINED */
    bool is_dropping; /* it can only be aborted: nothing more is sent */
    bool wants_drop;  /* a batch failed in this step */
    bool was_sent;    /* a produce request left */
    bool is_broken;   /* a sequence was given away and not acknowledged */
    kp_failure cause; /* what dropped records are told */
} kp_txn;

typedef struct kp_pump {
    kp_core *core;
    kp_io io;
    kp_codec_ctx *codec;
    kp_msg *last_words; /* FAIL_ALL, made at birth: to be had when there is no memory. NULL once said */
    kp_list conns;
    kp_node **nodes;
    int n_nodes, cap_nodes;
    kp_heap timers;
    size_t n_partitions;
    int64_t now;
    int64_t producer_id;
    int16_t producer_epoch;
    kp_txn txn;
    uint32_t txn_doomed; /* generation whose failure has been told; it may not have begun here yet */
    unsigned urgent_seen; /* flushes and memory waits whose start has been noticed */
    bool is_stopped;
    bool has_more; /* the step left work that needs no waiting */
    int64_t nap_ns; /* the last sleep through wake-ups that were of no use */
    kp_handle wake_read;
    kp_thread thread;
    bool is_running;
} kp_pump;

kp_status kp_pump_new(kp_core *core, const kp_io *io, kp_handle wake_read, kp_pump **out);
void kp_pump_free(kp_pump *pump);

/* One round: commands, receive, expire, drain. No waiting, no clock. Returns when to come again (KP_NEVER). */
int64_t kp_pump_step(kp_pump *pump, int64_t now);

kp_status kp_pump_start(kp_pump *pump); /* a thread that steps and polls until STOP */
void kp_pump_join(kp_pump *pump);
extern const kp_io kp_pump_sockets;

/* Parts of a step, each in its own file. */
void kp_pump_apply(kp_pump *pump, kp_msg *command); /* kp_command.c */

kp_node *kp_pump_node(kp_pump *pump, int32_t id, bool make); /* NULL: unknown, or no memory */
void kp_pump_fatal(kp_pump *pump, const char *cause);
void kp_pump_fail_all(kp_pump *pump, const kp_failure *failure);
void kp_pump_refresh_waiting(kp_pump *pump); /* the partitions that hold records */

/* kp_pump_txn.c */
void kp_txn_begin(kp_pump *pump, const kp_msg *m);
void kp_txn_allow(kp_pump *pump, kp_partition *p, uint32_t gen);
void kp_txn_seal(kp_pump *pump, const kp_msg *m);
void kp_txn_drop(kp_pump *pump, const kp_msg *m);
bool kp_txn_allows(const kp_pump *pump, const kp_partition *p); /* contract 5 and 8 */
void kp_txn_batch_failed(kp_pump *pump, const kp_batch *b);     /* marks only */
void kp_txn_doom(kp_pump *pump, const kp_partition *p, uint32_t gen, const kp_failure *failure);
void kp_txn_step(kp_pump *pump);                                /* drops, and tells that all batches are gone */

/* kp_availability.c: partitioner.availability.timeout.ms (KIP-794) */
void kp_node_count_waiting(const kp_pump *pump, kp_partition *p, bool waits);
void kp_pump_watch_nodes(kp_pump *pump); /* tells appenders which nodes have taken nothing for too long, and which do again */
int64_t kp_pump_watch_deadline(const kp_pump *pump);

/* kp_drop.c */
void kp_pump_press(kp_pump *pump); /* what is ready leaves with this step, without waiting for company */
void kp_pump_drop_oldest(kp_pump *pump); /* until whoever waits for memory is served, or nothing may be dropped */

/* kp_conn.c */
kp_status kp_conn_adopt(kp_pump *pump, kp_node *node, kp_handle handle, int32_t gen, int16_t version);
void kp_conn_close(kp_pump *pump, kp_conn *conn, kp_close_cause cause);
void kp_conn_receive(kp_pump *pump, kp_conn *conn);
void kp_conn_drain(kp_pump *pump, kp_conn *conn); /* builds and sends at most one request */
void kp_conn_check_deadlines(kp_pump *pump, kp_conn *conn);
int64_t kp_conn_deadline(const kp_pump *pump, const kp_conn *conn);
int kp_conn_wanted_batches(const kp_pump *pump, const kp_conn *conn); /* before a wake-up is of use */
bool kp_conn_wants_write(const kp_conn *conn);

/* kp_partition.c, kp_answer.c, kp_verdict.c */
void kp_partition_leave_ready(kp_partition *p);
void kp_partition_refresh(kp_pump *pump, kp_partition *p); /* ready list, timer, levels: call after any change */
void kp_partition_tick(kp_pump *pump, kp_partition *p);    /* its timer is due */
size_t kp_partition_next_len(kp_pump *pump, kp_partition *p); /* of what kp_partition_next gives, or about that */
kp_batch *kp_partition_next(kp_pump *pump, kp_partition *p, kp_conn *conn); /* NULL: may not send now */
void kp_partition_sent(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn);
void kp_partition_answered(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, const kp_answer *answer,
                           const kp_answers *all);
void kp_partition_lost(kp_pump *pump, kp_partition *p, kp_batch *b, kp_conn *conn, bool maybe);
void kp_partition_set_leader(kp_pump *pump, kp_partition *p, kp_leader leader);
void kp_partition_verdict(kp_pump *pump, kp_partition *p, kp_msg *verdict);
void kp_partition_resume(kp_pump *pump, kp_partition *p, const kp_msg *resume);
void kp_partition_fail_unsent(kp_pump *pump, kp_partition *p, const kp_failure *failure);
void kp_partition_fail_everything(kp_pump *pump, kp_partition *p, const kp_failure *failure);
void kp_partition_new_topic_id(kp_pump *pump, kp_partition *p);
void kp_partition_fail_vanished(kp_pump *pump, kp_partition *p); /* of a topic that has fewer partitions now */
void kp_partition_drop(kp_pump *pump, kp_partition *p, const kp_failure *failure); /* all that is not in flight */

#endif
