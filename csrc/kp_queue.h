/* Purpose: events (pump and app to control) and commands (control to pump): a locked list of small messages.
 * Thread:  any.
 * Locks:   the queue's own, the last in the lock order; held for O(1).
 * Frees:   kp_msg_free, by whoever took the message out. */
#ifndef KP_QUEUE_H
#define KP_QUEUE_H

#include "kp_os.h"
#include "kp_result.h"

typedef enum kp_msg_type {
    /* events */
    KP_EV_CONN_WANTED = 1,
    KP_EV_CONN_CLOSED,
    KP_EV_BATCH_REFUSED,
    KP_EV_PARTITION_QUIET,
    KP_EV_EXPIRED,
    KP_EV_METADATA_STALE,
    KP_EV_TOPIC_WANTED,
    KP_EV_THROTTLED,
    KP_EV_STOPPED,
    KP_EV_PUMP_FATAL,
    KP_EV_TXN_PARTITION,
    KP_EV_TXN_FAILED,
    KP_EV_TXN_DRAINED,
    /* commands */
    KP_CMD_ADOPT = 64,
    KP_CMD_DROP,
    KP_CMD_TOPIC,
    KP_CMD_TOPIC_ERROR,
    KP_CMD_FAIL_PARTITION,
    KP_CMD_VERDICT,
    KP_CMD_RESUME,
    KP_CMD_PRODUCER_ID,
    KP_CMD_FAIL_ALL,
    KP_CMD_STOP,
    KP_CMD_TXN_BEGIN,
    KP_CMD_TXN_ALLOW,
    KP_CMD_TXN_SEAL,
    KP_CMD_TXN_DROP
} kp_msg_type;

typedef enum kp_close_cause {
    KP_CLOSE_PEER = 0,
    KP_CLOSE_TIMEOUT,
    KP_CLOSE_PROTOCOL,
    KP_CLOSE_IDLE,
    KP_CLOSE_DRAINED,
    KP_CLOSE_DROPPED
} kp_close_cause;

typedef enum kp_action { KP_ACK = 0, KP_RETRY, KP_SPLIT, KP_FAIL } kp_action;

typedef struct kp_leader {
    int32_t node; /* -1: none */
    int32_t epoch;
} kp_leader;

/* One shape for all: most fields are unused in most messages, and none of them is frequent. */
typedef struct kp_msg {
    struct kp_msg *next;
    kp_msg_type type;
    struct kp_topic *topic;
    int32_t partition;
    uint32_t hold_gen, txn_gen;
    int32_t node, conn_gen;
    int32_t code;
    char *message;
    uint64_t batch_id;
    int32_t attempts, records, count;
    int64_t offset; /* log start offset, last acked sequence */
    int64_t producer_id;
    int16_t producer_epoch;
    int64_t delay_ns;
    bool flag_a, flag_b; /* is_head and maybe; drain; new_epoch; fatal; ever_sent; unresolved and gap; sent and broken;
                          * refused */
    int32_t persisted;
    kp_action action;
    kp_handle handle;
    int16_t version;
    bool has_id;
    uint8_t id[16];
    kp_leader *leaders;
    kp_record_error *record_errors;
    int32_t n_record_errors;
    kp_leader hint;
    char *hint_host;
    int32_t hint_port;
} kp_msg;

typedef struct kp_queue {
    kp_mutex lock;
    kp_msg *head, **tail;
} kp_queue;

kp_msg *kp_msg_new(kp_msg_type type); /* NULL: no memory */
void kp_msg_free(kp_msg *m); /* one message */

void kp_queue_init(kp_queue *q);
void kp_queue_free(kp_queue *q); /* frees what is left */
bool kp_queue_put(kp_queue *q, kp_msg *m); /* true: it was empty */
kp_msg *kp_queue_take_all(kp_queue *q); /* a chain in order */
bool kp_queue_is_empty(kp_queue *q);

#endif
