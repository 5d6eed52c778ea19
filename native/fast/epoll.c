/* epoll.c - epoll_ctl, epoll_wait, epoll_pwait. Members are kept in engine/epoll_members.c; the events are the
 * host's, with the program's own data. A signal always ends the wait with EINTR: signal(7). */
#define _GNU_SOURCE
#include "wait.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define TASK_SIZE_MAX 0x7ffffffff000u

/* ---- epoll_ctl ----------------------------------------------------------------------------------*/

int64_t fast_epoll_ctl(struct task *t, struct trap *tr)
{
    struct epoll_event event = {0};
    int op = int_arg(tr, 1), fd = int_arg(tr, 2);
    if (op != EPOLL_CTL_DEL && um_read(t, tr->args[3], &event, sizeof event) < 0)
        return -EFAULT;
    struct description *instance = fd_get(t, int_arg(tr, 0)), *target = fd_get(t, fd);
    if (!instance || !target || instance->kind == DESC_PATH || target->kind == DESC_PATH)
        return -EBADF;
    if (target->host_fd < 0 && (target->flags & DESC_PY_POLL))
        return SENTRY_PUNT;
    if (target->host_fd < 0 || target->kind == DESC_FILE || target->kind == DESC_DIR)
        return -EPERM;
    if (instance->kind != DESC_EPOLL || instance == target)
        return -EINVAL;
    uint32_t events = event.events & ~(uint32_t)EPOLLWAKEUP;
    switch (op) {
    case EPOLL_CTL_ADD:
        return epoll_member_add(instance, target, fd, events, event.data.u64);
    case EPOLL_CTL_MOD:
        if (events & EPOLLEXCLUSIVE)
            return -EINVAL;
        return epoll_member_change(instance, target, fd, events, event.data.u64);
    case EPOLL_CTL_DEL:
        return epoll_member_drop(instance, target, fd);
    default:
        return -EINVAL;
    }
}

/* ---- epoll_wait ---------------------------------------------------------------------------------*/

/* Room for `most` events. NULL: no memory. */
static struct epoll_event *event_buffer(uint32_t most)
{
    static struct epoll_event *buffer;
    static uint32_t capacity;
    if (most > capacity) {
        struct epoll_event *larger = realloc(buffer, most * sizeof *buffer);
        if (!larger)
            return NULL;
        buffer = larger;
        capacity = most;
    }
    return buffer;
}

static int64_t do_wait(struct task *t, struct trap *tr, struct timeout timeout)
{
    int32_t most = int_arg(tr, 2);
    if (most <= 0 || most > INT_MAX / (int)sizeof(struct epoll_event))
        return -EINVAL;
    if (tr->args[1] + (uint64_t)most * sizeof(struct epoll_event) > TASK_SIZE_MAX)
        return -EFAULT;
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d)
        return -EBADF;
    if (d->kind != DESC_EPOLL)
        return d->kind == DESC_PATH ? -EBADF : -EINVAL;
    if ((uint32_t)most > d->member_count)
        most = d->member_count ? (int32_t)d->member_count : 1;
    struct epoll_event *events = event_buffer((uint32_t)most);
    if (!events)
        return SENTRY_PUNT;
    int count = epoll_wait(d->host_fd, events, most, 0);
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
