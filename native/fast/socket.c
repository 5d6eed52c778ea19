/* socket.c - sendto, recvfrom, sendmsg, recvmsg of plain bytes on sockets.
 *
 * Addresses and control messages are Python's (net/), and so are sockets whose messages carry credentials
 * (DESC_PY_WRITE) or that have a timeout (DESC_PY_READ, DESC_PY_WRITE), and transfers larger than the bounce buffer.
 * EPIPE and the signal that comes with it are Python's too: sending again is refused again.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BOUNCE_SIZE (256u << 10)
#define MAX_IOVECS 64u
#define TASK_SIZE_MAX 0x7ffffffff000u

static unsigned char bounce[BOUNCE_SIZE];
static struct iovec vectors[MAX_IOVECS];

struct message {
    struct description *desc;
    const struct iovec *iov;
    uint32_t iov_count;
    uint64_t total;
};

/* 0, -errno or SENTRY_PUNT. */
static int64_t begin(struct task *t, int fd, uint32_t python_flag, struct message *m)
{
    m->desc = fd_get(t, fd);
    if (!m->desc || m->desc->kind == DESC_PATH)
        return -EBADF;
    if (m->desc->kind != DESC_SOCKET)
        return -ENOTSOCK;
    return m->desc->flags & (python_flag | DESC_GIVEN | DESC_DONTWAIT) ? SENTRY_PUNT : 0;
}

static int64_t one_buffer(struct message *m, struct iovec *iov, uint64_t address, uint64_t size)
{
    if (size > BOUNCE_SIZE || address + size > TASK_SIZE_MAX)
        return SENTRY_PUNT;
    *iov = (struct iovec){(void *)address, size};
    m->iov = iov;
    m->iov_count = 1;
    m->total = size;
    return 0;
}

/* struct user_msghdr, if it has neither a name nor control messages. */
static int64_t plain_header(struct task *t, struct message *m, uint64_t user)
{
    struct msghdr header;
    if (um_read(t, user, &header, sizeof header) < 0)
        return -EFAULT;
    if (header.msg_name || header.msg_controllen || header.msg_iovlen > MAX_IOVECS)
        return SENTRY_PUNT;
    if (header.msg_iovlen && um_read(t, (uint64_t)header.msg_iov, vectors, header.msg_iovlen * sizeof *vectors) < 0)
        return -EFAULT;
    m->iov = vectors;
    m->iov_count = (uint32_t)header.msg_iovlen;
    m->total = 0;
    for (uint32_t n = 0; n < m->iov_count; n++) {
        if (vectors[n].iov_len > BOUNCE_SIZE - m->total)
            return SENTRY_PUNT;
        m->total += vectors[n].iov_len;
    }
    return 0;
}

/* Moves bytes `from` up to `from + size` of the message. False at a fault. */
static bool move(struct task *t, const struct message *m, uint64_t from, uint64_t size, bool to_user)
{
    uint64_t moved = 0;
    for (uint32_t n = 0; n < m->iov_count && moved < size; n++) {
        uint64_t length = m->iov[n].iov_len;
        if (from >= length) {
            from -= length;
            continue;
        }
        uint64_t address = (uint64_t)m->iov[n].iov_base + from, piece = length - from;
        if (piece > size - moved)
            piece = size - moved;
        if ((to_user ? um_write(t, address, bounce + moved, piece) : um_read(t, address, bounce + moved, piece)) < 0)
            return false;
        moved += piece;
        from = 0;
    }
    return true;
}

/* ---- sending ------------------------------------------------------------------------------------*/

static int64_t send_plain(struct task *t, struct trap *tr, struct message *m, uint32_t flags)
{
    int64_t *done = &tr->progress; /* a stream socket takes it in pieces */
    if (flags & ~(uint32_t)(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR))
        return SENTRY_PUNT;
    for (;;) {
        uint64_t left = m->total - (uint64_t)*done;
        if (!move(t, m, (uint64_t)*done, left, false))
            return *done ? *done : SENTRY_PUNT; /* Python knows how much of a stream can still be sent */
        ssize_t put = send(m->desc->host_fd, bounce, left, (int)flags | MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0) {
            int error = errno;
            if (error != EAGAIN)
                return *done ? *done : error == EPIPE ? SENTRY_PUNT : -error;
            if (flags & MSG_DONTWAIT || m->desc->open_flags & O_NONBLOCK)
                return *done ? *done : -EAGAIN;
            return task_wait_retry(t, m->desc, POLLOUT);
        }
        *done += put;
        if ((uint64_t)*done >= m->total || !put)
            return *done;
    }
}

int64_t fast_sendto(struct task *t, struct trap *tr)
{
    struct message m;
    struct iovec iov;
    int64_t error = tr->args[4] ? SENTRY_PUNT : begin(t, int_arg(tr, 0), DESC_PY_WRITE, &m);
    if (!error)
        error = one_buffer(&m, &iov, tr->args[1], tr->args[2]);
    if (error)
        return tr->progress ? tr->progress : error;
    return send_plain(t, tr, &m, (uint32_t)tr->args[3]);
}

int64_t fast_sendmsg(struct task *t, struct trap *tr)
{
    struct message m;
    int64_t error = begin(t, int_arg(tr, 0), DESC_PY_WRITE, &m);
    if (!error)
        error = plain_header(t, &m, tr->args[1]);
    if (error)
        return tr->progress ? tr->progress : error;
    return send_plain(t, tr, &m, (uint32_t)tr->args[2]);
}

/* ---- receiving ----------------------------------------------------------------------------------*/

static int64_t receive_plain(struct task *t, struct message *m, uint32_t flags, uint32_t *message_flags)
{
    if (flags & ~(uint32_t)(MSG_DONTWAIT | MSG_PEEK | MSG_CMSG_CLOEXEC | MSG_NOSIGNAL))
        return SENTRY_PUNT;
    struct iovec iov = {bounce, m->total};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t got = recvmsg(m->desc->host_fd, &header, (int)(flags & MSG_PEEK) | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        if (errno != EAGAIN)
            return -errno;
        if (flags & MSG_DONTWAIT || m->desc->open_flags & O_NONBLOCK)
            return -EAGAIN;
        return task_wait_retry(t, m->desc, POLLIN);
    }
    *message_flags = ((uint32_t)header.msg_flags & ~(uint32_t)MSG_CMSG_CLOEXEC) | (flags & MSG_CMSG_CLOEXEC);
    return move(t, m, 0, (uint64_t)got, true) ? got : -EFAULT;
}

int64_t fast_recvfrom(struct task *t, struct trap *tr)
{
    struct message m;
    struct iovec iov;
    uint32_t message_flags;
    int64_t error = tr->args[4] ? SENTRY_PUNT : begin(t, int_arg(tr, 0), DESC_PY_READ, &m);
    if (!error)
        error = one_buffer(&m, &iov, tr->args[1], tr->args[2]);
    return error ? error : receive_plain(t, &m, (uint32_t)tr->args[3], &message_flags);
}

int64_t fast_recvmsg(struct task *t, struct trap *tr)
{
    struct message m;
    uint32_t message_flags;
    int64_t error = begin(t, int_arg(tr, 0), DESC_PY_READ, &m);
    if (!error)
        error = plain_header(t, &m, tr->args[1]);
    if (error)
        return error;
    int64_t got = receive_plain(t, &m, (uint32_t)tr->args[2], &message_flags);
    if (got < 0)
        return got;
    struct msghdr *user = (struct msghdr *)tr->args[1];
    if (um_write(t, (uint64_t)&user->msg_flags, &message_flags, sizeof message_flags) < 0)
        return -EFAULT;
    return got;
}
