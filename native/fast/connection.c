/* connection.c - socket, accept, accept4, getsockname, getpeername, shutdown, and the options that servers set for each
 * connection: what comes before and after the bytes, for AF_INET and AF_INET6 (DESC_INET).
 *
 * Names of AF_UNIX, who may connect where (the egress policy), waiting with a timeout and all other options are Python's.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_MASK 0xf

/* 0, -errno or SENTRY_PUNT. */
static int64_t begin(struct task *t, int fd, uint32_t python_flag, struct description **d)
{
    *d = fd_get(t, fd);
    if (!*d || (*d)->kind == DESC_PATH)
        return -EBADF;
    if ((*d)->kind != DESC_SOCKET)
        return -ENOTSOCK;
    return !((*d)->flags & DESC_INET) || (*d)->flags & python_flag ? SENTRY_PUNT : 0;
}

/* move_addr_to_user() of net/socket.c. 0 or -errno */
static int64_t put_address(struct task *t, const struct sockaddr_storage *address, socklen_t length, uint64_t user,
                           uint64_t user_length)
{
    int32_t room, size = (int32_t)length;
    if (um_read(t, user_length, &room, sizeof room) < 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    if (room > size)
        room = size;
    if (room && um_write(t, user, address, (uint64_t)room) < 0)
        return -EFAULT;
    return um_write(t, user_length, &size, sizeof size) < 0 ? -EFAULT : 0;
}

static struct description *inet_description(int host_fd, uint32_t status)
{
    struct description *d = desc_new(DESC_SOCKET, host_fd, O_RDWR | status);
    d->flags |= DESC_INET;
    return d;
}

/* What cannot be made is refused in Python, which says why. */
int64_t fast_socket(struct task *t, struct trap *tr)
{
    int family = int_arg(tr, 0), type = int_arg(tr, 1), kind = type & TYPE_MASK;
    if ((family != AF_INET && family != AF_INET6) || (kind != SOCK_STREAM && kind != SOCK_DGRAM) ||
        type & ~(TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC))
        return SENTRY_PUNT;
    int host_fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, int_arg(tr, 2));
    if (host_fd < 0)
        return SENTRY_PUNT;
    return fd_alloc(t, inet_description(host_fd, type & SOCK_NONBLOCK), !!(type & SOCK_CLOEXEC), 0);
}

/* The number comes first, as in Linux: EMFILE loses no connection. A bad address does. */
static int64_t accept_on(struct task *t, struct trap *tr, int flags)
{
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return -EINVAL;
    int fd = fd_reserve(t, 0);
    if (fd < 0)
        return fd;
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int host_fd = -1;
    int64_t error = begin(t, int_arg(tr, 0), DESC_PY_READ, &d);
    if (!error) {
        host_fd = accept4(d->host_fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        error = host_fd < 0 ? -errno : 0;
    }
    if (!error && tr->args[1])
        error = put_address(t, &address, length, tr->args[1], tr->args[2]);
    if (!error) {
        fd_install(t, fd, inet_description(host_fd, flags & SOCK_NONBLOCK), !!(flags & SOCK_CLOEXEC));
        return fd;
    }
    if (host_fd >= 0)
        close(host_fd);
    fd_release(t, fd);
    return error == -EAGAIN && !(d->open_flags & O_NONBLOCK) ? task_wait_retry(t, d, POLLIN) : error;
}

int64_t fast_accept(struct task *t, struct trap *tr)
{
    return accept_on(t, tr, 0);
}

int64_t fast_accept4(struct task *t, struct trap *tr)
{
    return accept_on(t, tr, int_arg(tr, 3));
}

static int64_t name_of(struct task *t, struct trap *tr, bool is_peer)
{
    struct description *d;
    struct sockaddr_storage address;
    struct sockaddr *into = (struct sockaddr *)&address;
    socklen_t length = sizeof address;
    int64_t error = begin(t, int_arg(tr, 0), 0, &d);
    if (error)
        return error;
    if (is_peer ? getpeername(d->host_fd, into, &length) : getsockname(d->host_fd, into, &length))
        return -errno;
    return put_address(t, &address, length, tr->args[1], tr->args[2]);
}

int64_t fast_getsockname(struct task *t, struct trap *tr)
{
    return name_of(t, tr, false);
}

int64_t fast_getpeername(struct task *t, struct trap *tr)
{
    return name_of(t, tr, true);
}

int64_t fast_shutdown(struct task *t, struct trap *tr)
{
    struct description *d;
    int64_t error = begin(t, int_arg(tr, 0), 0, &d);
    if (error)
        return error;
    return shutdown(d->host_fd, int_arg(tr, 1)) ? -errno : 0;
}

/* ---- options: numbers that only the host has to know of ---------------------------------------------*/

static bool is_plain_option(int level, int option)
{
    if (level == SOL_SOCKET)
        return option == SO_KEEPALIVE || option == SO_REUSEADDR || option == SO_REUSEPORT;
    return level == IPPROTO_TCP && (option == TCP_NODELAY || option == TCP_CORK || option == TCP_KEEPIDLE ||
                                    option == TCP_KEEPINTVL || option == TCP_KEEPCNT || option == TCP_QUICKACK);
}

int64_t fast_setsockopt(struct task *t, struct trap *tr)
{
    struct description *d;
    int32_t value;
    int64_t error = begin(t, int_arg(tr, 0), 0, &d);
    if (error)
        return error;
    if (!is_plain_option(int_arg(tr, 1), int_arg(tr, 2)) || int_arg(tr, 4) != sizeof value)
        return SENTRY_PUNT;
    if (um_read(t, tr->args[3], &value, sizeof value) < 0)
        return -EFAULT;
    return setsockopt(d->host_fd, int_arg(tr, 1), int_arg(tr, 2), &value, sizeof value) ? -errno : 0;
}

int64_t fast_getsockopt(struct task *t, struct trap *tr)
{
    struct description *d;
    int32_t value = 0, room;
    socklen_t length = sizeof value;
    int level = int_arg(tr, 1), option = int_arg(tr, 2);
    int64_t error = begin(t, int_arg(tr, 0), 0, &d);
    if (error)
        return error;
    if (!(level == SOL_SOCKET && option == SO_ERROR) && !is_plain_option(level, option))
        return SENTRY_PUNT;
    if (um_read(t, tr->args[4], &room, sizeof room) < 0)
        return -EFAULT;
    if (room != sizeof value)
        return SENTRY_PUNT;
    if (getsockopt(d->host_fd, level, option, &value, &length))
        return -errno;
    if (um_write(t, tr->args[3], &value, length) < 0)
        return -EFAULT;
    return um_write(t, tr->args[4], &length, sizeof length) < 0 ? -EFAULT : 0;
}
