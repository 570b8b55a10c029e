/* Purpose: all that knows an operating system: locks, conditions, clocks, threads, sockets, polling.
 * Thread:  any, each object as its own comment says.
 * Locks:   provides them; takes none of its own.
 * Frees:   every init has a destroy; handles belong to whoever opened them until kp_socket_close. */
#ifndef KP_OS_H
#define KP_OS_H

#include "kp_base.h"

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>
#include <windows.h>
typedef SRWLOCK kp_mutex;
typedef CONDITION_VARIABLE kp_cond;
typedef HANDLE kp_thread;
#else
#include <pthread.h>
typedef pthread_mutex_t kp_mutex;
typedef pthread_cond_t kp_cond;
typedef pthread_t kp_thread;
#endif

#define KP_NEVER INT64_MAX

void kp_mutex_init(kp_mutex *m);
void kp_mutex_destroy(kp_mutex *m);
void kp_mutex_lock(kp_mutex *m);
bool kp_mutex_trylock(kp_mutex *m);
void kp_mutex_unlock(kp_mutex *m);

/* Conditions run on the monotonic clock. */
void kp_cond_init(kp_cond *c);
void kp_cond_destroy(kp_cond *c);
void kp_cond_broadcast(kp_cond *c);
/* false: the deadline (ns of kp_clock_ns, KP_NEVER for none) has passed. */
bool kp_cond_wait_until(kp_cond *c, kp_mutex *m, int64_t deadline_ns);

int64_t kp_clock_ns(void); /* monotonic */
int64_t kp_wall_ms(void);  /* since the epoch, for record timestamps only */
int64_t kp_wall_coarse_ms(void); /* the same, up to one tick of the kernel (1-10 ms) late, but cheaper */

void kp_yield(void);         /* lets another thread run on this core */
void kp_nap(int64_t ns);

/* Starts fn(arg) with every signal blocked, so that Python's handlers run on Python's threads. */
kp_status kp_thread_start(kp_thread *t, void (*fn)(void *), void *arg);
void kp_thread_join(kp_thread t);

typedef intptr_t kp_handle;
#define KP_NO_HANDLE ((kp_handle)-1)

typedef struct kp_iov {
    const void *base;
    size_t len;
} kp_iov;

enum { KP_IOV_MAX = 256 }; /* within every platform's IOV_MAX, and large enough for one request */
enum { KP_IO_AGAIN = -1, KP_IO_ERROR = -2 };

/* Bytes moved, 0 at end of file, KP_IO_AGAIN or KP_IO_ERROR. Never blocks, never raises SIGPIPE. */
int64_t kp_socket_sendv(kp_handle h, const kp_iov *iov, int count);
int64_t kp_socket_recv(kp_handle h, uint8_t *buf, size_t len);
void kp_socket_close(kp_handle h);

/* Writes or reads the bytes of a wake-up pair; a full pipe already says all there is to say. */
void kp_wake_signal(kp_handle h);
void kp_wake_clear(kp_handle h);

typedef struct kp_poll_entry {
    kp_handle handle;
    bool want_write;
    bool readable; /* out; errors and hang-ups count as readable, so that recv tells them */
    bool writable; /* out */
} kp_poll_entry;

/* Blocks until an entry is ready or timeout_ns has passed (KP_NEVER: no limit). Scratch is the caller's. */
void kp_poll(kp_poll_entry *entries, int count, int64_t timeout_ns, void *scratch, size_t scratch_len);
size_t kp_poll_scratch_size(int count);

#endif
