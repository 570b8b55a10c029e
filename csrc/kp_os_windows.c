/* kp_os for Windows. Declared: it compiles in CI; it has not been run there. */
#ifdef _WIN32
#include "kp_os.h"

#include <process.h>
#include <stdlib.h>

enum { NS_PER_MS = 1000000 };

void kp_mutex_init(kp_mutex *m) { InitializeSRWLock(m); }
void kp_mutex_destroy(kp_mutex *m) { KP_UNUSED(m); }
void kp_mutex_lock(kp_mutex *m) { AcquireSRWLockExclusive(m); }
bool kp_mutex_trylock(kp_mutex *m) { return TryAcquireSRWLockExclusive(m) != 0; }
void kp_mutex_unlock(kp_mutex *m) { ReleaseSRWLockExclusive(m); }

void kp_cond_init(kp_cond *c) { InitializeConditionVariable(c); }
void kp_cond_destroy(kp_cond *c) { KP_UNUSED(c); }
void kp_cond_broadcast(kp_cond *c) { WakeAllConditionVariable(c); }

static DWORD to_wait_ms(int64_t ns) {
    if (ns == KP_NEVER) {
        return INFINITE;
    }
    return (DWORD)kp_min_i64((kp_max_i64(ns, 0) + NS_PER_MS - 1) / NS_PER_MS, 60000);
}

bool kp_cond_wait_until(kp_cond *c, kp_mutex *m, int64_t deadline_ns) {
    const int64_t left = deadline_ns == KP_NEVER ? KP_NEVER : deadline_ns - kp_clock_ns();
    if (left <= 0) {
        return false;
    }
    SleepConditionVariableSRW(c, m, to_wait_ms(left), 0);
    return deadline_ns == KP_NEVER || kp_clock_ns() < deadline_ns;
}

int64_t kp_clock_ns(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    const int64_t whole = ticks.QuadPart / per_second.QuadPart;
    const int64_t rest = ticks.QuadPart % per_second.QuadPart;
    return whole * 1000000000 + rest * 1000000000 / per_second.QuadPart;
}

int64_t kp_wall_ms(void) {
    FILETIME ft;
    GetSystemTimePreciseAsFileTime(&ft);
    const uint64_t ticks = (uint64_t)ft.dwHighDateTime << 32 | ft.dwLowDateTime;
    return (int64_t)(ticks / 10000) - 11644473600000; /* 1601 to 1970 */
}

int64_t kp_wall_coarse_ms(void) { return kp_wall_ms(); }

void kp_yield(void) { SwitchToThread(); }
void kp_nap(int64_t ns) { Sleep((DWORD)(ns / 1000000) + 1); }

typedef struct thread_start {
    void (*fn)(void *);
    void *arg;
} thread_start;

static unsigned __stdcall thread_main(void *raw) {
    const thread_start start = *(thread_start *)raw;
    free(raw);
    start.fn(start.arg);
    return 0;
}

kp_status kp_thread_start(kp_thread *t, void (*fn)(void *), void *arg) {
    thread_start *start = malloc(sizeof *start);
    if (start == NULL) {
        return KP_ERR_NOMEM;
    }
    *start = (thread_start){.fn = fn, .arg = arg};
    const uintptr_t handle = _beginthreadex(NULL, 0, thread_main, start, 0, NULL);
    if (handle == 0) {
        free(start);
        return KP_ERR_NOMEM;
    }
    *t = (HANDLE)handle;
    return KP_OK;
}

void kp_thread_join(kp_thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

static int64_t io_failure(void) { return WSAGetLastError() == WSAEWOULDBLOCK ? KP_IO_AGAIN : KP_IO_ERROR; }

int64_t kp_socket_sendv(kp_handle h, const kp_iov *iov, int count) {
    WSABUF bufs[KP_IOV_MAX];
    const int n = count < KP_IOV_MAX ? count : KP_IOV_MAX;
    for (int i = 0; i < n; i++) {
        bufs[i].buf = (CHAR *)(uintptr_t)iov[i].base;
        bufs[i].len = (ULONG)iov[i].len;
    }
    DWORD sent = 0;
    if (WSASend((SOCKET)h, bufs, (DWORD)n, &sent, 0, NULL, NULL) != 0) {
        return io_failure();
    }
    return (int64_t)sent;
}

int64_t kp_socket_recv(kp_handle h, uint8_t *buf, size_t len) {
    const int n = recv((SOCKET)h, (char *)buf, (int)kp_min_size(len, 1 << 30), 0);
    return n < 0 ? io_failure() : (int64_t)n;
}

void kp_socket_close(kp_handle h) { closesocket((SOCKET)h); }

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

size_t kp_poll_scratch_size(int count) { return (size_t)count * sizeof(WSAPOLLFD); }

void kp_poll(kp_poll_entry *entries, int count, int64_t timeout_ns, void *scratch, size_t scratch_len) {
    WSAPOLLFD *fds = scratch;
    if (scratch_len < kp_poll_scratch_size(count)) {
        return;
    }
    for (int i = 0; i < count; i++) {
        fds[i].fd = (SOCKET)entries[i].handle;
        fds[i].events = (SHORT)(POLLRDNORM | (entries[i].want_write ? POLLWRNORM : 0));
        fds[i].revents = 0;
    }
    const DWORD wait = to_wait_ms(timeout_ns);
    const int n = WSAPoll(fds, (ULONG)count, wait == INFINITE ? -1 : (INT)wait);
    for (int i = 0; i < count; i++) {
        const SHORT got = n > 0 ? fds[i].revents : 0;
        entries[i].readable = (got & (POLLRDNORM | POLLERR | POLLHUP | POLLNVAL)) != 0;
        entries[i].writable = (got & POLLWRNORM) != 0;
    }
}
#endif

typedef int kp_os_windows_is_not_empty; /* ISO C wants a declaration where POSIX leaves nothing */
