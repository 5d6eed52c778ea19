/* ioctl.c - the requests that programs make of every descriptor they open: is it a terminal, close-on-exec, non-blocking; how
 * much can be read. */
#define _GNU_SOURCE
#include "fast.h"

#include <asm/ioctls.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* No terminal: every terminal request is ENOTTY. What else the kind may know is Python's. */
static bool is_no_terminal(const struct description *d)
{
    return d->kind == DESC_FILE || d->kind == DESC_DIR || d->kind == DESC_PIPE || d->kind == DESC_CHR;
}

int64_t fast_ioctl(struct task *t, struct trap *tr)
{
    int fd = int_arg(tr, 0), is_on, count;
    struct description *d = fd_get(t, fd);
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    switch ((uint32_t)tr->args[1]) {
    case FIOCLEX:
    case FIONCLEX:
        t->files->slots[fd].cloexec = (uint32_t)tr->args[1] == FIOCLEX;
        return 0;
    case FIONBIO:
        if (um_read(t, tr->args[2], &is_on, sizeof is_on) < 0)
            return -EFAULT;
        d->open_flags = is_on ? d->open_flags | O_NONBLOCK : d->open_flags & ~(uint32_t)O_NONBLOCK;
        return 0;
    case FIONREAD:
        if (d->kind != DESC_PIPE && d->kind != DESC_SOCKET)
            return SENTRY_PUNT;
        if (ioctl(d->host_fd, FIONREAD, &count))
            return -errno;
        return um_write(t, tr->args[2], &count, sizeof count) < 0 ? -EFAULT : 0;
    case TCGETS:
    case TIOCGWINSZ:
    case TIOCGPGRP:
        return is_no_terminal(d) ? -ENOTTY : SENTRY_PUNT;
    case FICLONE: /* cp tries it for every file */
        if (d->kind != DESC_FILE)
            return SENTRY_PUNT;
        return fd_get(t, (int)tr->args[2]) ? -EOPNOTSUPP : -EBADF;
    default:
        return SENTRY_PUNT;
    }
}
