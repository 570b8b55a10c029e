/* kp_os for Linux and macOS. */
#ifndef _WIN32
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "kp_os.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

KP_STATIC_ASSERT(sizeof(kp_iov) == sizeof(struct iovec), "kp_iov is handed to sendmsg as it is");
KP_STATIC_ASSERT(offsetof(kp_iov, len) == offsetof(struct iovec, iov_len), "same field order");

enum { NS_PER_S = 1000000000, NS_PER_MS = 1000000 };

void kp_mutex_init(kp_mutex *m) { pthread_mutex_init(m, NULL); }
void kp_mutex_destroy(kp_mutex *m) { pthread_mutex_destroy(m); }
void kp_mutex_lock(kp_mutex *m) { pthread_mutex_lock(m); }
bool kp_mutex_trylock(kp_mutex *m) { return pthread_mutex_trylock(m) == 0; }
void kp_mutex_unlock(kp_mutex *m) { pthread_mutex_unlock(m); }

void kp_cond_init(kp_cond *c) {
#ifdef __APPLE__
    pthread_cond_init(c, NULL); /* macOS waits by a relative time, which is monotonic */
#else
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
#endif
}

void kp_cond_destroy(kp_cond *c) { pthread_cond_destroy(c); }
void kp_cond_broadcast(kp_cond *c) { pthread_cond_broadcast(c); }

static struct timespec to_timespec(int64_t ns) {
    const struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return ts;
}

bool kp_cond_wait_until(kp_cond *c, kp_mutex *m, int64_t deadline_ns) {
    if (deadline_ns == KP_NEVER) {
        pthread_cond_wait(c, m);
        return true;
    }
#ifdef __APPLE__
    const int64_t left = deadline_ns - kp_clock_ns();
    if (left <= 0) {
        return false;
    }
    const struct timespec ts = to_timespec(left);
    return pthread_cond_timedwait_relative_np(c, m, &ts) != ETIMEDOUT;
#else
    const struct timespec ts = to_timespec(kp_max_i64(deadline_ns, 0));
    return pthread_cond_timedwait(c, m, &ts) != ETIMEDOUT;
#endif
}

int64_t kp_clock_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t kp_wall_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / NS_PER_MS;
}

int64_t kp_wall_coarse_ms(void) {
#ifdef CLOCK_REALTIME_COARSE
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / NS_PER_MS;
#else
    return kp_wall_ms();
#endif
}

void kp_yield(void) { sched_yield(); }

void kp_nap(int64_t ns) {
    const struct timespec ts = {ns / NS_PER_S, (long)(ns % NS_PER_S)};
    nanosleep(&ts, NULL);
}

typedef struct thread_start {
    void (*fn)(void *);
    void *arg;
} thread_start;

static void *thread_main(void *raw) {
    const thread_start start = *(thread_start *)raw;
    free(raw);
    start.fn(start.arg);
    return NULL;
}

kp_status kp_thread_start(kp_thread *t, void (*fn)(void *), void *arg) {
    thread_start *start = malloc(sizeof *start);
    if (start == NULL) {
        return KP_ERR_NOMEM;
    }
    *start = (thread_start){.fn = fn, .arg = arg};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a new thread inherits the mask */
    const int rc = pthread_create(t, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(start);
        return KP_ERR_NOMEM;
    }
    return KP_OK;
}

void kp_thread_join(kp_thread t) { pthread_join(t, NULL); }

static int64_t io_failure(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? KP_IO_AGAIN : KP_IO_ERROR;
}

int64_t kp_socket_sendv(kp_handle h, const kp_iov *iov, int count) {
    struct msghdr msg;
    memset(&msg, 0, sizeof msg);
    /* sendmsg does not write through the iovec; the cast only drops const. */
    msg.msg_iov = (struct iovec *)(uintptr_t)iov;
    msg.msg_iovlen = (size_t)count;
#ifdef MSG_NOSIGNAL
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
#else
    const int flags = MSG_DONTWAIT; /* SO_NOSIGPIPE is set on the socket before it is adopted */
#endif
    ssize_t n;
    do {
        n = sendmsg((int)h, &msg, flags);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_failure() : (int64_t)n;
}

int64_t kp_socket_recv(kp_handle h, uint8_t *buf, size_t len) {
    ssize_t n;
    do {
        n = recv((int)h, buf, len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_failure() : (int64_t)n;
}

void kp_socket_close(kp_handle h) { close((int)h); }

void kp_wake_signal(kp_handle h) {
    const uint8_t one = 1;
    const kp_iov iov = {.base = &one, .len = 1};
    (void)kp_socket_sendv(h, &iov, 1);
}

void kp_wake_clear(kp_handle h) {
    uint8_t sink[64];
    while (kp_socket_recv(h, sink, sizeof sink) == (int64_t)sizeof sink) {
    }
}

size_t kp_poll_scratch_size(int count) { return (size_t)count * sizeof(struct pollfd); }

/* Linux takes nanoseconds; a poll() timeout would round a 5 ms linger by up to 1 ms. */
static int poll_ns(struct pollfd *fds, int count, int64_t timeout_ns) {
#ifdef __linux__
    const struct timespec ts = to_timespec(timeout_ns);
    return ppoll(fds, (nfds_t)count, timeout_ns == KP_NEVER ? NULL : &ts, NULL);
#else
    const int64_t ms = timeout_ns == KP_NEVER ? -1 : (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return poll(fds, (nfds_t)count, (int)kp_min_i64(ms, 60000));
#endif
}

void kp_poll(kp_poll_entry *entries, int count, int64_t timeout_ns, void *scratch, size_t scratch_len) {
    struct pollfd *fds = scratch;
    if (scratch_len < kp_poll_scratch_size(count)) {
        return;
    }
    for (int i = 0; i < count; i++) {
        fds[i].fd = (int)entries[i].handle;
        fds[i].events = (short)(POLLIN | (entries[i].want_write ? POLLOUT : 0));
        fds[i].revents = 0;
    }
    const int n = poll_ns(fds, count, timeout_ns);
    for (int i = 0; i < count; i++) {
        const short got = n > 0 ? fds[i].revents : 0;
        entries[i].readable = (got & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) != 0;
        entries[i].writable = (got & POLLOUT) != 0;
    }
}
#endif

typedef int kp_os_posix_is_not_empty; /* ISO C wants a declaration where _WIN32 leaves nothing */
