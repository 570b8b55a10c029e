/* Purpose: transactions as app threads and control see them: which one an append belongs to, and when it is refused.
 *          The pump's side is in kp_pump.h.
 * Thread:  any, as each function says.
 * Locks:   wait_lock for the failure; the partition's in kp_txn_enter_locked.
 * Frees:   nothing; the failure's message is the core's. */
#ifndef KP_TXN_H
#define KP_TXN_H

#include "kp_core.h"

static inline bool kp_is_transactional(const kp_core *core) { return core->config.transactional_id != NULL; }

/* App: may a record be appended? KP_ERR_STATE: no transaction is open, or the open one can only be aborted. */
static inline kp_status kp_txn_check(kp_core *core) {
    return kp_is_transactional(core) && atomic_load(&core->txn_open) == 0 ? KP_ERR_STATE : KP_OK;
}

/* App, under the partition's lock: the same for transaction `wanted` (0: any), and tells control of a partition that is
 * new in it. */
kp_status kp_txn_enter_locked(kp_core *core, kp_partition *p, uint32_t wanted);

/* Control: appends are taken from now on. `tells`: each partition is told by TXN_PARTITION (protocol 1). */
void kp_txn_open(kp_core *core, uint32_t gen, bool tells);
/* Control: appends are refused from now on; none is under way when it returns. `why`: it can only be aborted. */
void kp_txn_close(kp_core *core, const kp_failure *why);
/* Control: the transaction has ended, and with it the failure that refused appends. */
void kp_txn_forget(kp_core *core);

/* App: the generation that an append belongs to now; 0: none. */
static inline uint32_t kp_txn_current(kp_core *core) { return atomic_load(&core->txn_open); }

/* App: a record of transaction `gen` was refused at the call. Nothing, if that one takes no records any more. */
void kp_txn_refuse(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic);
/* Pump: a record failed, so the transaction can only be aborted; told by TXN_FAILED. */
void kp_txn_fail(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic, int32_t partition);
/* Any: why appends are refused; the caller frees the message. false: no transaction is open. */
bool kp_txn_failure(kp_core *core, kp_failure *out);

#endif
