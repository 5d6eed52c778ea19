/* wait.h - what the fast paths that wait share: deadlines and temporary signal masks. */
#ifndef PYSENTRY_FAST_WAIT_H
#define PYSENTRY_FAST_WAIT_H

#include "fast.h"

#include <time.h>

#define SIGSET_SIZE 8

/* A timeout, as the call has it; seconds < 0: none. */
struct timeout {
    int64_t seconds, nanoseconds;
};

static const struct timeout WITHOUT_END = {-1, 0};

static inline bool is_zero(struct timeout timeout)
{
    return timeout.seconds == 0 && timeout.nanoseconds == 0;
}

/* It waits, and not for ever. */
static inline bool is_timed(struct timeout timeout)
{
    return timeout.seconds >= 0 && !is_zero(timeout);
}

/* The call's deadline, fixed at its first try. True: it is over (or the timeout is zero). */
static inline bool is_over(struct trap *tr, struct timeout timeout)
{
    if (timeout.seconds < 0)
        return false;
    if (is_zero(timeout))
        return true;
    int64_t now = sentry_now_ns();
    if (!tr->deadline_ns) {
        int64_t ns;
        if (__builtin_mul_overflow(timeout.seconds, (int64_t)1000000000, &ns) ||
            __builtin_add_overflow(ns, timeout.nanoseconds, &ns) || __builtin_add_overflow(ns, now, &ns))
            ns = INT64_MAX;
        tr->deadline_ns = ns;
    }
    return now >= tr->deadline_ns;
}

/* The signal mask of ppoll and its like. It stays in force for the engine until the call ends. 0 or -errno. */
static inline int64_t use_signal_mask(struct task *t, uint64_t user_mask, uint64_t size)
{
    if (!user_mask || t->trap.retried)
        return 0;
    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (um_read(t, user_mask, &t->wait_mask, SIGSET_SIZE) < 0)
        return -EFAULT;
    t->wait_mask_addr = user_mask;
    t->has_wait_mask = 1;
    return 0;
}

#endif
