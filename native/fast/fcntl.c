/* fcntl.c - descriptor numbers: close, close_range, dup, dup2, dup3, and fcntl's commands about descriptors and flags.
 *
 * Locks, leases, owners, pipe sizes and seals are Python's. That a close releases POSIX locks is files.c's to tell Python.
 */
#define _GNU_SOURCE
#include "fast.h"

#define RLIMIT_NOFILE_INDEX 7
#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_NOATIME)
#define FLAGS_PYTHON_SETS (O_ASYNC | O_DIRECT)
#define CLOSE_RANGE_UNSHARE_FLAG 2u
#define CLOSE_RANGE_CLOEXEC_FLAG 4u

int64_t fast_close(struct task *t, struct trap *tr)
{
    int fd = int_arg(tr, 0);
    const struct description *d = fd_get(t, fd);
    if (!d)
        return -EBADF;
    return is_watched(d) ? SENTRY_PUNT : fd_close(t, fd);
}

int64_t fast_close_range(struct task *t, struct trap *tr)
{
    uint32_t first = (uint32_t)tr->args[0], last = (uint32_t)tr->args[1], flags = (uint32_t)tr->args[2];
    struct fd_table *files = t->files;
    if (flags & ~(CLOSE_RANGE_UNSHARE_FLAG | CLOSE_RANGE_CLOEXEC_FLAG))
        return -EINVAL;
    if (first > last)
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE_FLAG)
        return SENTRY_PUNT;
    if (!files->capacity || first >= files->capacity)
        return 0;
    if (last >= files->capacity)
        last = files->capacity - 1;
    for (uint32_t fd = first; fd <= last; fd++)
        if (files->slots[fd].desc && is_watched(files->slots[fd].desc))
            return SENTRY_PUNT;
    for (uint32_t fd = first; fd <= last; fd++) {
        if (!files->slots[fd].desc)
            continue;
        if (flags & CLOSE_RANGE_CLOEXEC_FLAG)
            files->slots[fd].cloexec = 1;
        else
            fd_close(t, (int)fd);
    }
    return 0;
}

/* ---- duplicates ---------------------------------------------------------------------------------*/

int64_t fast_dup(struct task *t, struct trap *tr)
{
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d)
        return -EBADF;
    desc_ref(d);
    return fd_alloc(t, d, 0, 0);
}

/* do_dup2() in Linux fs/file.c */
static int64_t duplicate_to(struct task *t, int from, int to, uint32_t cloexec)
{
    struct fd_table *files = t->files;
    if ((uint32_t)to >= t->group->rlimit_cur[RLIMIT_NOFILE_INDEX])
        return -EBADF;
    struct description *d = fd_get(t, from);
    if (!d)
        return -EBADF;
    struct description *old = fd_get(t, to);
    if (old && is_watched(old))
        return SENTRY_PUNT;
    if (!old) {
        if ((uint32_t)to < files->capacity && files->slots[to].reserved)
            return -EBUSY; /* an open is under way there */
        int error = fd_reserve(t, to);
        if (error != to) {
            if (error >= 0)
                fd_release(t, error);
            return error < 0 ? error : -EBUSY;
        }
    }
    desc_ref(d);
    fd_install(t, to, d, cloexec);
    return to;
}

int64_t fast_dup2(struct task *t, struct trap *tr)
{
    int from = int_arg(tr, 0), to = int_arg(tr, 1);
    if (from == to)
        return fd_get(t, from) ? from : -EBADF;
    return duplicate_to(t, from, to, 0);
}

int64_t fast_dup3(struct task *t, struct trap *tr)
{
    int from = int_arg(tr, 0), to = int_arg(tr, 1), flags = int_arg(tr, 2);
    if ((flags & ~O_CLOEXEC) || from == to)
        return -EINVAL;
    return duplicate_to(t, from, to, !!(flags & O_CLOEXEC));
}

/* ---- fcntl --------------------------------------------------------------------------------------*/

static int64_t set_flags(struct description *d, uint32_t flags)
{
    uint32_t changed = (d->open_flags ^ flags) & (SETTABLE_FLAGS | FLAGS_PYTHON_SETS);
    if (changed & (FLAGS_PYTHON_SETS | O_NOATIME))
        return SENTRY_PUNT;
    if (changed & O_APPEND) {
        /* The host appends for a file with a host description of its own; one that strangers share is Python's. */
        if (d->kind != DESC_FILE || (d->flags & DESC_GIVEN))
            return SENTRY_PUNT;
        if (!(d->flags & DESC_OWN_POS)) {
            int host = fcntl(d->host_fd, F_GETFL);
            if (host < 0 || fcntl(d->host_fd, F_SETFL, host ^ O_APPEND) < 0)
                return SENTRY_PUNT;
        }
    }
    d->open_flags ^= changed;
    return 0;
}

int64_t fast_fcntl(struct task *t, struct trap *tr)
{
    int fd = int_arg(tr, 0), command = int_arg(tr, 1);
    struct description *d = fd_get(t, fd);
    if (!d)
        return -EBADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (tr->args[2] >= t->group->rlimit_cur[RLIMIT_NOFILE_INDEX])
            return -EINVAL;
        desc_ref(d);
        return fd_alloc(t, d, command == F_DUPFD_CLOEXEC, (int)tr->args[2]);
    case F_GETFD:
        return t->files->slots[fd].cloexec ? FD_CLOEXEC : 0;
    case F_SETFD:
        t->files->slots[fd].cloexec = tr->args[2] & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return d->open_flags;
    case F_SETFL:
        if (d->kind == DESC_PATH)
            return -EBADF;
        return set_flags(d, (uint32_t)tr->args[2]);
    default:
        return SENTRY_PUNT;
    }
}
