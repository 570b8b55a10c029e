#include "kp_txn.h"

#include <stdlib.h>
#include <string.h>

static void tell_partition(kp_core *core, kp_partition *p, uint32_t gen) {
    kp_msg *m = kp_msg_new(KP_EV_TXN_PARTITION);
    if (m != NULL) { /* without memory for it, its records expire */
        m->topic = p->topic;
        m->partition = p->index;
        m->txn_gen = gen;
        kp_core_post(core, m);
    }
}

kp_status kp_txn_enter_locked(kp_core *core, kp_partition *p, uint32_t wanted) {
    const uint32_t gen = atomic_load(&core->txn_open);
    if (gen == 0 || (wanted != 0 && wanted != gen)) {
        return KP_ERR_STATE;
    }
    if (kp_unlikely(p->txn_told != gen)) {
        p->txn_told = gen;
        if (atomic_load(&core->txn_tells)) {
            tell_partition(core, p, gen);
        }
    }
    return KP_OK;
}

static void forget_failure_locked(kp_core *core) {
    free(core->txn_failure.message);
    core->txn_failure = (kp_failure){.node = -1};
    core->txn_has_failed = false;
}

void kp_txn_open(kp_core *core, uint32_t gen, bool tells) {
    kp_mutex_lock(&core->wait_lock);
    forget_failure_locked(core);
    atomic_store(&core->txn_tells, tells);
    atomic_store(&core->txn_open, gen);
    kp_mutex_unlock(&core->wait_lock);
}

void kp_txn_forget(kp_core *core) {
    kp_mutex_lock(&core->wait_lock);
    forget_failure_locked(core);
    kp_mutex_unlock(&core->wait_lock);
}

static char *copy_message(const kp_failure *f) {
    return f->message == NULL ? NULL : kp_strdup(f->message, strlen(f->message));
}

static void fail_locked(kp_core *core, const kp_failure *failure) {
    forget_failure_locked(core);
    core->txn_has_failed = true;
    core->txn_failure = *failure;
    core->txn_failure.message = copy_message(failure);
}

static void tell_failed(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic, int32_t partition) {
    kp_msg *m = kp_msg_new(KP_EV_TXN_FAILED);
    if (m == NULL) {
        return; /* without memory for it: TXN_DRAINED of a sealed one tells, and an open one refuses appends */
    }
    m->txn_gen = gen;
    m->topic = topic;
    m->partition = partition;
    m->code = failure->code;
    m->persisted = (int32_t)failure->persisted;
    m->attempts = failure->attempts;
    m->node = failure->node;
    m->message = copy_message(failure);
    kp_core_post(core, m);
}

void kp_txn_close(kp_core *core, const kp_failure *why) {
    kp_mutex_lock(&core->wait_lock);
    atomic_store(&core->txn_open, 0);
    if (why != NULL && !core->txn_has_failed) { /* the first reason is the best */
        fail_locked(core, why);
    }
    kp_mutex_unlock(&core->wait_lock);
    kp_core_settle_appends(core);
}

void kp_txn_refuse(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic) {
    unsigned open = gen;
    kp_mutex_lock(&core->wait_lock);
    const bool was_open = gen != 0 && atomic_compare_exchange_strong(&core->txn_open, &open, 0);
    if (was_open) {
        fail_locked(core, failure);
    }
    kp_mutex_unlock(&core->wait_lock);
    if (was_open) {
        tell_failed(core, gen, failure, topic, -1);
    }
}

void kp_txn_fail(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic, int32_t partition) {
    unsigned open = gen;
    kp_mutex_lock(&core->wait_lock);
    (void)atomic_compare_exchange_strong(&core->txn_open, &open, 0);
    fail_locked(core, failure);
    kp_mutex_unlock(&core->wait_lock);
    tell_failed(core, gen, failure, topic, partition);
}

bool kp_txn_failure(kp_core *core, kp_failure *out) {
    kp_mutex_lock(&core->wait_lock);
    const bool has_failed = core->txn_has_failed;
    *out = core->txn_failure;
    out->message = copy_message(&core->txn_failure);
    kp_mutex_unlock(&core->wait_lock);
    return has_failed;
}
