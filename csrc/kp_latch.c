#include "kp_latch.h"

#include "kp_os.h"

enum { SPINS = 100, YIELDS = 200, NAP_NS = 50000 };

void kp_latch_wait(kp_latch *l) {
    for (int i = 0;; i++) {
        if (!atomic_load_explicit(&l->is_taken, memory_order_relaxed) && kp_latch_try(l)) {
            return;
        }
        if (i >= YIELDS) {
            kp_nap(NAP_NS); /* a thread of higher priority would keep the holder from its core for ever */
        } else if (i >= SPINS) {
            kp_yield();
        }
    }
}
