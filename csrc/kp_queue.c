#include "kp_queue.h"

#include <stdlib.h>

kp_msg *kp_msg_new(kp_msg_type type) {
    kp_msg *m = calloc(1, sizeof *m);
    if (m != NULL) {
        m->type = type;
        m->partition = m->node = -1;
        m->handle = KP_NO_HANDLE;
        m->hint = (kp_leader){.node = -1, .epoch = -1};
    }
    return m;
}

void kp_msg_free(kp_msg *m) {
    if (m == NULL) {
        return;
    }
    for (int32_t i = 0; i < m->n_record_errors; i++) {
        free(m->record_errors[i].message);
    }
    free(m->record_errors);
    free(m->leaders);
    free(m->message);
    free(m->hint_host);
    free(m);
}

void kp_queue_init(kp_queue *q) {
    kp_mutex_init(&q->lock);
    q->head = NULL;
    q->tail = &q->head;
}

void kp_queue_free(kp_queue *q) {
    for (kp_msg *m = kp_queue_take_all(q), *next; m != NULL; m = next) {
        next = m->next;
        if (m->handle != KP_NO_HANDLE) {
            kp_socket_close(m->handle); /* an ADOPT that nobody took */
        }
        kp_msg_free(m);
    }
    kp_mutex_destroy(&q->lock);
}

bool kp_queue_put(kp_queue *q, kp_msg *m) {
    m->next = NULL;
    kp_mutex_lock(&q->lock);
    const bool was_empty = q->head == NULL;
    *q->tail = m;
    q->tail = &m->next;
    kp_mutex_unlock(&q->lock);
    return was_empty;
}

kp_msg *kp_queue_take_all(kp_queue *q) {
    kp_mutex_lock(&q->lock);
    kp_msg *chain = q->head;
    q->head = NULL;
    q->tail = &q->head;
    kp_mutex_unlock(&q->lock);
    return chain;
}

bool kp_queue_is_empty(kp_queue *q) {
    kp_mutex_lock(&q->lock);
    const bool is_empty = q->head == NULL;
    kp_mutex_unlock(&q->lock);
    return is_empty;
}
