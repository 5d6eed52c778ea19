/* pipe.c - pipe, pipe2. A pipe of the sandbox is a host pipe; FIFOs are Python's (kernel/pipe.py). */
#define _GNU_SOURCE
#include "fast.h"

#include <unistd.h>

static int64_t make_pipe(struct task *t, uint64_t user_fds, uint32_t flags)
{
    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return SENTRY_PUNT; /* packets, and what is no flag */
    int host_fds[2], fds[2];
    if ((fds[0] = fd_reserve(t, 0)) < 0)
        return fds[0];
    if ((fds[1] = fd_reserve(t, 0)) < 0) {
        fd_release(t, fds[0]);
        return fds[1];
    }
    int64_t error = um_write(t, user_fds, fds, sizeof fds);
    if (error >= 0 && pipe2(host_fds, O_CLOEXEC | O_NONBLOCK))
        error = -errno;
    if (error < 0) {
        fd_release(t, fds[1]);
        fd_release(t, fds[0]);
        return error;
    }
    uint32_t status = flags & O_NONBLOCK, cloexec = (flags & O_CLOEXEC) != 0;
    fd_install(t, fds[0], desc_new(DESC_PIPE, host_fds[0], O_RDONLY | status), cloexec);
    fd_install(t, fds[1], desc_new(DESC_PIPE, host_fds[1], O_WRONLY | status), cloexec);
    return 0;
}

int64_t fast_pipe(struct task *t, struct trap *tr) { return make_pipe(t, tr->args[0], 0); }
int64_t fast_pipe2(struct task *t, struct trap *tr) { return make_pipe(t, tr->args[0], (uint32_t)tr->args[1]); }
