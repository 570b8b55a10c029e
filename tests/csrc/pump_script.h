/* Purpose: drives kp_pump_step from a script: a network in memory, a manual clock, requests parsed, answers composed.
 * Thread:  one.
 * Locks:   none.
 * Frees:   script_free; it aborts the program when the pump spins or sends what cannot be parsed. */
#ifndef PUMP_SCRIPT_H
#define PUMP_SCRIPT_H

#include "kp_pump.h"

enum { MS = 1000000, SECOND = 1000000000 };

/* --- bytes --- */

typedef struct script_bytes {
    uint8_t *data;
    size_t len, cap;
    bool is_flexible; /* of put_count and put_text */
} script_bytes;

void put_raw(script_bytes *b, const void *data, size_t len);
void put_i16(script_bytes *b, int16_t v);
void put_i32(script_bytes *b, int32_t v);
void put_i64(script_bytes *b, int64_t v);
void put_uvarint(script_bytes *b, uint32_t v);
void put_count(script_bytes *b, int32_t n); /* -1: null */
void put_text(script_bytes *b, const char *text);
void put_no_tags(script_bytes *b);

/* --- answers --- */

typedef struct script_record_error {
    int32_t index;
    const char *message;
} script_record_error;

typedef struct script_reply {
    int16_t code;
    int64_t base_offset, log_append_ms, log_start_offset;
    const char *message;
    const script_record_error *record_errors;
    int32_t n_record_errors;
    bool has_hint, is_left_out, is_twice;
    kp_leader hint;
} script_reply;

typedef struct script_endpoint {
    int32_t node, port;
    const char *host;
} script_endpoint;

typedef struct script_answer {
    int32_t throttle_ms;
    const script_endpoint *endpoints;
    int32_t n_endpoints;
    int32_t strangers; /* partitions that nobody asked for */
} script_answer;

/* --- what the pump sent --- */

enum { SCRIPT_SLOTS = 16, SCRIPT_RECORDS = 16 };

typedef struct script_slot {
    char topic[64]; /* the name before version 13 */
    uint8_t topic_id[16];
    int32_t partition;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence, count;
    uint16_t attributes;
    uint32_t crc;
    int32_t values[SCRIPT_RECORDS]; /* as script_append wrote them */
    size_t len;
} script_slot;

typedef struct script_request {
    int16_t version, acks;
    int32_t correlation, timeout_ms;
    bool has_transactional_id;
    char transactional_id[256];
    int32_t n_slots;
    script_slot slots[SCRIPT_SLOTS];
} script_request;

void script_parse(const uint8_t *frame, size_t len, script_request *out); /* without its length field */
void script_put_answer(script_bytes *out, const script_request *r, const script_reply *replies,
                       const script_answer *answer);

typedef struct script_conn {
    int32_t node, gen;
    script_bytes out; /* the pump's bytes; `parsed` of them have been taken as requests */
    size_t parsed;
    script_bytes in; /* bytes for the pump; `read` of them were received */
    size_t read;
    size_t recv_max;  /* bytes of one recv */
    int64_t send_room; /* bytes that the kernel takes before it says AGAIN; -1: all */
    bool is_ended;    /* the peer's end of file, after `in` */
    bool is_broken;   /* send fails */
    bool is_closed;   /* by the pump */
} script_conn;

enum { SCRIPT_CONNS = 256 };

typedef struct script {
    kp_core *core;
    kp_pump *pump;
    kp_topic *topic;
    int64_t now;
    int64_t deadline; /* what the last step asked for */
    script_conn conns[SCRIPT_CONNS];
    int n_conns;
    kp_msg *events, **events_tail, *event;
    int32_t next_value;
    int n_closes;
} script;

kp_config script_config(void);
void script_init(script *s, const kp_config *config);
/* The usual beginning: one topic with n partitions led by node 1, a producer id 7 epoch 0, a connection to node 1. */
int script_begin(script *s, const kp_config *config, int32_t n_partitions);
void script_free(script *s); /* STOP if that was not yet said; checks that the pool is whole and no event is left out */

kp_partition *script_partition(script *s, int32_t index);

/* Appends one record; *result may be NULL. */
kp_status script_append(script *s, int32_t partition, const kp_listener *listener, kp_result **result);
/* n records of one sealed batch; the caller releases the result. */
kp_result *script_batch(script *s, int32_t partition, int32_t n);

/* Steps until the pump has no more to do at this time. */
void script_step(script *s);
void script_pass(script *s, int64_t ns); /* lets time pass, then steps */

/* The next whole request, false: there is none. */
bool script_next(script *s, int conn, script_request *out);
int script_count_requests(script *s, int conn); /* not yet taken ones, which are taken */
void script_answer_with(script *s, int conn, const script_request *r, const script_reply *replies,
                        const script_answer *answer);
void script_answer_code(script *s, int conn, const script_request *r, int16_t code); /* for all slots; then steps */
void script_feed(script *s, int conn, const void *data, size_t len);
void script_end(script *s, int conn); /* the peer closes; then steps */

/* Commands; each steps. */
int script_adopt(script *s, int32_t node, int16_t version);
void script_drop(script *s, int conn, bool drain);
void script_topic(script *s, kp_topic *topic, int32_t n, const kp_leader *leaders, const uint8_t *id);
void script_lead(script *s, int32_t n, int32_t node, int32_t epoch); /* all partitions of s->topic */
void script_producer(script *s, int64_t id, int16_t epoch);
void script_verdict(script *s, const kp_msg *refused, kp_action action, kp_persisted persisted);
void script_verdict_with(script *s, const kp_msg *refused, kp_action action, kp_persisted persisted,
                         const int32_t *guilty, int32_t n);
void script_resume(script *s, const kp_msg *event, int64_t delay_ns, bool new_epoch);
void script_resume_gen(script *s, int32_t partition, uint32_t hold_gen, int64_t delay_ns, bool new_epoch);
void script_fail_partition(script *s, int32_t partition, int32_t code);
void script_fail_all(script *s, bool fatal, kp_persisted persisted);
void script_stop(script *s);

/* Transactions: what control does, calls and commands in its order. Each steps. */
kp_config script_txn_config(void); /* transactional id "copier" */
void script_txn_begin(script *s, uint32_t gen, bool is_v2); /* opens for appends first */
void script_txn_allow(script *s, int32_t partition, uint32_t gen);
void script_txn_seal(script *s, uint32_t gen); /* closes for appends first, as does the drop */
void script_txn_drop(script *s, uint32_t gen);
void script_txn_command(script *s, kp_msg_type type, uint32_t gen, bool is_v2); /* BEGIN, SEAL or DROP alone */

/* The oldest event of the type, NULL if there is none; valid until the next call. Earlier ones are dropped. */
const kp_msg *script_event(script *s, kp_msg_type type);
/* The oldest event of any type. */
const kp_msg *script_any_event(script *s);
void script_forget_events(script *s);
int script_count_events(const script *s, kp_msg_type type); /* of those that wait; none is taken */

#endif
