/* Purpose: the Produce API: a request as an iovec over sealed batches, and its answer. Versions 3 to 13.
 * Thread:  the pump's; pure but for the request's own memory.
 * Locks:   none.
 * Frees:   kp_request_free frees the request; batches stay their partitions'. */
#ifndef KP_PRODUCE_H
#define KP_PRODUCE_H

#include "kp_batch.h"
#include "kp_core.h"
#include "kp_reader.h"

enum { KP_PRODUCE_MIN = 3, KP_PRODUCE_FLEXIBLE = 9, KP_PRODUCE_HINTS = 10, KP_PRODUCE_TOPIC_IDS = 13, KP_PRODUCE_MAX = 13 };

typedef struct kp_slot {
    kp_batch *batch; /* NULL: settled otherwise */
    kp_partition *partition;
    uint8_t topic_id[16]; /* as it is sent: another topic may have the name when the answer comes */
} kp_slot;

typedef struct kp_request {
    kp_link link; /* in its connection */
    int32_t correlation;
    int16_t version;
    kp_slot *slots; /* grouped by topic */
    int32_t n_slots, cap_slots;
    size_t batch_bytes; /* on the wire */
    uint8_t *frame;     /* everything between the batches */
    kp_iov *iovs;
    int n_iovs, iov_at;
    size_t total, written;
    int64_t sent_at;
} kp_request;

kp_request *kp_request_new(void);
void kp_request_free(kp_request *r);
kp_status kp_request_add(kp_request *r, kp_partition *p, kp_batch *b);

/* Sorts the slots by topic and builds the iovec. KP_ERR_NOMEM; KP_ERR_TOO_LARGE beyond int32. */
kp_status kp_request_encode(kp_request *r, const kp_config *config, int16_t version, int32_t correlation);

typedef struct kp_answer {
    bool is_there;
    int16_t code;
    int64_t base_offset, log_append_ms, log_start_offset;
    kp_text message;
    kp_reader record_errors; /* over n_record_errors entries */
    int32_t n_record_errors;
    kp_leader hint; /* node -1: none */
} kp_answer;

typedef struct kp_endpoint {
    int32_t node, port;
    kp_text host;
} kp_endpoint;

enum { KP_ENDPOINTS_MAX = 16 };

typedef struct kp_answers {
    kp_answer *items; /* one for each slot of the request */
    int32_t throttle_ms;
    kp_endpoint endpoints[KP_ENDPOINTS_MAX]; /* KIP-951 */
    int n_endpoints;
} kp_answers;

/* The whole frame after its length. KP_ERR_MALFORMED leaves nothing applied. Texts point into the frame. */
kp_status kp_answers_decode(const uint8_t *frame, size_t len, int16_t version, const kp_request *r, kp_answers *out);

/* The next of an answer's record errors. */
int32_t kp_record_error_next(kp_reader *r, kp_text *message);

#endif
