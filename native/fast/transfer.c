/* transfer.c - sendfile from a regular file to a socket or a pipe. What goes through Python's own writes (files, sockets
 * whose messages carry credentials, what strangers share) is kernel/transfer.py's.
 *
 * EPIPE and the signal that comes with it are Python's too: sending again is refused again.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <poll.h>
#include <sys/sendfile.h>

#define MAX_RW_COUNT 0x7ffff000u

static bool is_source(const struct description *d)
{
    return d && d->kind == DESC_FILE && d->host_fd >= 0 && can_read(d) && !is_watched(d) && d->inode &&
           S_ISREG(d->inode->mode) && !(d->flags & (DESC_PY_READ | DESC_GIVEN | DESC_DONTWAIT));
}

static bool is_target(const struct description *d)
{
    return d && (d->kind == DESC_SOCKET || d->kind == DESC_PIPE) && d->host_fd >= 0 && can_write(d) &&
           !(d->flags & (DESC_PY_WRITE | DESC_GIVEN | DESC_DONTWAIT));
}

int64_t fast_sendfile(struct task *t, struct trap *tr)
{
    struct description *to = fd_get(t, int_arg(tr, 0)), *from = fd_get(t, int_arg(tr, 1));
    int64_t *done = &tr->progress, offset = 0;
    uint64_t user_offset = tr->args[2], count = tr->args[3] < MAX_RW_COUNT ? tr->args[3] : MAX_RW_COUNT;
    if (!is_source(from) || !is_target(to) || (int64_t)tr->args[3] < 0)
        return *done ? *done : SENTRY_PUNT;
    if (user_offset && um_read(t, user_offset, &offset, sizeof offset) < 0)
        return -EFAULT;
    if (offset < 0)
        return *done ? *done : -EINVAL;
    if (from->flags & DESC_LOWER)
        desc_follow_copy_up(from);
    bool own_pos = !user_offset && (from->flags & DESC_OWN_POS);
    int64_t *at = user_offset ? &offset : own_pos ? &from->pos : NULL, error = 0, before = *done;
    while ((uint64_t)*done < count) {
        ssize_t sent = sendfile(to->host_fd, from->host_fd, at, count - (uint64_t)*done); /* moves *at */
        error = sent < 0 ? -errno : 0;
        if (sent <= 0)
            break;
        *done += sent;
    }
    /* Now, as the call may wait, and a signal end it: the next try goes on from there. */
    if (user_offset && *done > before && um_write(t, user_offset, &offset, sizeof offset) < 0)
        return -EFAULT;
    if (error == -EAGAIN && !(to->open_flags & O_NONBLOCK))
        return task_wait_retry(t, to, POLLOUT);
    if (error == -EPIPE && !*done)
        return SENTRY_PUNT;
    return *done || !error ? *done : error;
}
