/* epoll.c - epoll_wait, epoll_pwait. Members and their numbers are Python's (kernel/epoll.py); the events are the
 * host's, with the program's own data. A signal always ends the wait with EINTR: signal(7). */
#define _GNU_SOURCE
#include "wait.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>

#define MOST 256
#define TASK_SIZE_MAX 0x7ffffffff000u

static int64_t do_wait(struct task *t, struct trap *tr, struct timeout timeout)
{
    struct epoll_event events[MOST];
    int32_t most = int_arg(tr, 2);
    if (most <= 0 || most > INT_MAX / (int)sizeof events[0])
        return -EINVAL;
    if (tr->args[1] + (uint64_t)most * sizeof events[0] > TASK_SIZE_MAX)
        return -EFAULT;
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d)
        return -EBADF;
    if (d->kind != DESC_EPOLL)
        return d->kind == DESC_PATH ? -EBADF : -EINVAL;
    int count = epoll_wait(d->host_fd, events, most < MOST ? most : MOST, 0);
    if (count < 0)
        return -errno;
    if (!count && !is_over(tr, timeout)) {
        t->restart = EINTR;
        return task_wait_retry(t, d, POLLIN);
    }
    if (count && um_write(t, tr->args[1], events, (uint64_t)count * sizeof events[0]) < 0)
        return -EFAULT;
    return count;
}

static struct timeout from_ms(int32_t ms)
{
    return ms < 0 ? WITHOUT_END : (struct timeout){ms / 1000, ms % 1000 * 1000000LL};
}

int64_t fast_epoll_wait(struct task *t, struct trap *tr)
{
    return do_wait(t, tr, from_ms(int_arg(tr, 3)));
}

int64_t fast_epoll_pwait(struct task *t, struct trap *tr)
{
    int64_t error = use_signal_mask(t, tr->args[4], tr->args[5]);
    return error ? error : do_wait(t, tr, from_ms(int_arg(tr, 3)));
}
