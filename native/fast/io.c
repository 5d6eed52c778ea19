/* io.c - read, write, readv, writev, pread64, pwrite64, preadv, pwritev (and the "2" forms without flags).
 *
 * Owns how bytes move between a host descriptor and the workload: through a bounce buffer, or, for large
 * pieces of regular files, in the workload itself on an installed descriptor ("in place"). What
 * kinds of descriptions there are, and what is special about each, is Python's (DESC_PY_READ, DESC_PY_WRITE).
 *
 * Hot path: one host call for the data, one for the copy; nothing else.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_RW_COUNT 0x7ffff000u /* as Linux */
#define MAX_IOVECS 1024u
#define INPLACE_BYTES 16384u    /* from here on, installing a descriptor is cheaper than copying twice */
#define INSTALL_AFTER 8u        /* short transfers on one description: it is in use for longer than installing takes */
#define REOPEN_BYTES 65536u     /* from here on, a shared file is worth a host description of its own */
#define PIPE_ATOMIC 4096u
#define NO_OFFSET (-1)

unsigned char io_bounce[IO_BOUNCE_SIZE];
static struct iovec vectors[MAX_IOVECS];

/* The user's side of a transfer. */
struct transfer {
    struct task *task;
    struct trap *trap;
    struct description *desc;
    const struct iovec *iov;
    uint32_t iov_count;
    uint64_t total;   /* bytes asked for, at most MAX_RW_COUNT */
    int64_t offset;   /* NO_OFFSET: at the file position */
    int fd;
    bool is_vector;
};

/* ---- the user's side ----------------------------------------------------------------------------*/

/* Moves `size` bytes between the bounce buffer and the user's vectors, `done` bytes into them. Bytes moved,
 * short at a fault. */
static uint64_t move_user(const struct transfer *x, uint64_t done, uint64_t size, bool to_user)
{
    uint64_t moved = 0;
    for (uint32_t n = 0; n < x->iov_count && moved < size; n++) {
        uint64_t len = x->iov[n].iov_len;
        if (done >= len) {
            done -= len;
            continue;
        }
        uint64_t addr = (uint64_t)x->iov[n].iov_base + done, piece = len - done;
        if (piece > size - moved)
            piece = size - moved;
        int64_t got = to_user ? um_write_some(x->task, addr, io_bounce + moved, piece)
                              : um_read_some(x->task, addr, io_bounce + moved, piece);
        if (got > 0)
            moved += (uint64_t)got;
        if (got != (int64_t)piece)
            break;
        done = 0;
    }
    return moved;
}

/* Reads the iovec array: import_iovec() in Linux. */
static int take_vectors(struct transfer *x, uint64_t addr, uint64_t count)
{
    x->is_vector = true;
    if (count > MAX_IOVECS)
        return -EINVAL;
    if (count && um_read(x->task, addr, vectors, count * sizeof *vectors) < 0)
        return -EFAULT;
    x->iov = vectors;
    x->iov_count = (uint32_t)count;
    x->total = 0;
    for (uint32_t n = 0; n < count; n++) {
        if ((int64_t)vectors[n].iov_len < 0)
            return -EINVAL;
        if (vectors[n].iov_len > MAX_RW_COUNT - x->total)
            vectors[n].iov_len = MAX_RW_COUNT - x->total;
        x->total += vectors[n].iov_len;
    }
    return 0;
}

/* ---- the host's side ----------------------------------------------------------------------------*/

static bool is_stream(const struct description *d)
{
    return d->kind != DESC_FILE && d->kind != DESC_CHR;
}

static bool may_block(const struct description *d)
{
    return (d->flags & (DESC_GIVEN | DESC_DONTWAIT)) && !(d->flags & DESC_NO_POLL);
}

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

/* RWF_NOWAIT says nothing here: not supported, or a file whose pages are not in memory (the disk may be waited for). */
static bool is_without_nowait(const struct description *d, int error)
{
    return error == EOPNOTSUPP || error == EINVAL || error == ESPIPE || (error == EAGAIN && !is_stream(d));
}

static int64_t host_read(struct description *d, uint64_t size, int64_t offset)
{
    ssize_t got;
    if (offset != NO_OFFSET) {
        got = pread(d->host_fd, io_bounce, size, offset);
    } else if (!may_block(d)) {
        got = read(d->host_fd, io_bounce, size);
    } else {
        struct iovec iov = {io_bounce, size};
        got = preadv2(d->host_fd, &iov, 1, -1, RWF_NOWAIT);
        if (got < 0 && is_without_nowait(d, errno)) {
            if (!is_ready(d->host_fd, POLLIN))
                return -EAGAIN;
            got = read(d->host_fd, io_bounce, size);
        }
    }
    return got < 0 ? -errno : got;
}

static int64_t host_write(struct description *d, const void *from, uint64_t size, int64_t offset)
{
    ssize_t put;
    if (offset != NO_OFFSET) {
        put = pwrite(d->host_fd, from, size, offset);
    } else if (!may_block(d)) {
        put = write(d->host_fd, from, size);
    } else {
        struct iovec iov = {(void *)from, size};
        put = pwritev2(d->host_fd, &iov, 1, -1, RWF_NOWAIT);
        if (put < 0 && is_without_nowait(d, errno)) {
            if (!is_ready(d->host_fd, POLLOUT))
                return -EAGAIN;
            put = write(d->host_fd, from, size < PIPE_ATOMIC ? size : PIPE_ATOMIC);
        }
    }
    return put < 0 ? -errno : put;
}

static int64_t wait_or_again(struct transfer *x, uint32_t events)
{
    if (x->desc->open_flags & O_NONBLOCK)
        return x->trap->progress ? x->trap->progress : -EAGAIN;
    return task_wait_retry(x->task, x->desc, events);
}

/* ---- in place -----------------------------------------------------------------------------------*/

static bool has_installed(const struct transfer *x)
{
    return x->task->files->slots[x->fd].native == x->desc->id && !(x->desc->flags & DESC_REINSTALL);
}

/* A buffer larger than the file does not make a large transfer: most files are small, and are read in one piece. */
static bool is_small(const struct description *d)
{
    return d->inode && !(d->inode->flags & INODE_LIVE) && (uint64_t)d->inode->size < INPLACE_BYTES;
}

/* True: the host kernel may run the call as it stands, on the workload's own copy of the host descriptor. */
static bool run_in_place(struct transfer *x)
{
    struct description *d = x->desc;
    if (!(d->flags & DESC_INPLACE) || ((d->flags & DESC_OWN_POS) && x->offset == NO_OFFSET))
        return false;
    if (has_installed(x))
        return true;
    if (x->total < INPLACE_BYTES) {
        if (++d->small_transfers < INSTALL_AFTER)
            return false;
    } else if (!can_write(d) && is_small(d))
        return false;
    return task_install(x->task, d, x->fd) == 0;
}

/* ---- reading ------------------------------------------------------------------------------------*/

static int64_t read_file(struct transfer *x)
{
    struct description *d = x->desc;
    bool own_pos = (d->flags & DESC_OWN_POS) && x->offset == NO_OFFSET;
    int64_t at = own_pos ? d->pos : x->offset;
    uint64_t done = 0;
    while (done < x->total) {
        uint64_t want = x->total - done < IO_BOUNCE_SIZE ? x->total - done : IO_BOUNCE_SIZE;
        int64_t got = host_read(d, want, at == NO_OFFSET ? NO_OFFSET : at + (int64_t)done);
        if (got <= 0) {
            if (!done)
                return got;
            break;
        }
        uint64_t moved = move_user(x, done, (uint64_t)got, true);
        done += moved;
        if (moved < (uint64_t)got) { /* a fault: what could not be delivered was not read */
            if (at == NO_OFFSET && d->kind == DESC_FILE)
                lseek(d->host_fd, (off_t)moved - got, SEEK_CUR);
            if (!done)
                return -EFAULT;
            break;
        }
        if ((uint64_t)got < want)
            break;
    }
    if (own_pos)
        d->pos += (int64_t)done;
    return (int64_t)done;
}

static int64_t read_stream(struct transfer *x)
{
    int64_t got = host_read(x->desc, x->total < IO_BOUNCE_SIZE ? x->total : IO_BOUNCE_SIZE, x->offset);
    if (got == -EAGAIN)
        return wait_or_again(x, POLLIN);
    if (got <= 0)
        return got;
    uint64_t moved = move_user(x, 0, (uint64_t)got, true);
    return moved ? (int64_t)moved : -EFAULT;
}

/* Finds the description and what forbids the transfer. 0: go on. */
static int begin(struct transfer *x, bool is_write)
{
    struct description *d = fd_get(x->task, x->fd);
    if (!d)
        return -EBADF;
    if (x->offset != NO_OFFSET && (d->kind == DESC_PIPE || d->kind == DESC_SOCKET)) /* wins over how it was opened */
        return -ESPIPE;
    if (is_write ? !can_write(d) : !can_read(d))
        return -EBADF;
    x->desc = d;
    if (d->kind == DESC_DIR)
        return -EISDIR;
    if (d->host_fd < 0 || (d->flags & (is_write ? DESC_PY_WRITE : DESC_PY_READ)))
        return SENTRY_PUNT;
    switch (d->kind) {
    case DESC_FILE: case DESC_PIPE: case DESC_CHR: case DESC_TTY: case DESC_SOCKET: case DESC_EVENTFD: case DESC_TIMERFD:
        break;
    default:
        return SENTRY_PUNT;
    }
    if (is_watched(d))
        return SENTRY_PUNT;
    if (x->offset != NO_OFFSET && is_stream(d))
        return SENTRY_PUNT;
    if (d->flags & DESC_LOWER)
        desc_follow_copy_up(d);
    return 0;
}

static int64_t do_read(struct transfer *x)
{
    if (is_stream(x->desc))
        return read_stream(x);
    if (x->total >= REOPEN_BYTES && (x->desc->flags & DESC_OWN_POS) && !can_write(x->desc) && !is_small(x->desc) &&
        (x->offset == NO_OFFSET || !(x->desc->flags & DESC_INPLACE)))
        desc_unshare(x->desc);
    return run_in_place(x) ? SENTRY_CONTINUE : read_file(x);
}

/* ---- writing ------------------------------------------------------------------------------------*/

/* Content of a bind changed: a cached bind would show old attributes. */
static void content_changed(struct transfer *x)
{
    struct inode *i = x->desc->inode;
    if (!i)
        return;
    inode_drop_privileges(x->task, i);
    if (i->sb->kind == FS_GOFER && (i->sb->flags & SB_CACHED))
        live_attributes(i, x->desc->host_fd);
}

static int64_t write_file(struct transfer *x)
{
    struct description *d = x->desc;
    bool own_pos = (d->flags & DESC_OWN_POS) && x->offset == NO_OFFSET;
    int64_t at = own_pos ? d->pos : x->offset;
    uint64_t done = 0;
    int64_t error = 0;
    if ((d->flags & DESC_OWN_POS) && (d->open_flags & O_APPEND)) {
        struct stat st;
        if (fstat(d->host_fd, &st))
            return -errno;
        at = st.st_size;
    }
    while (done < x->total) {
        uint64_t want = x->total - done < IO_BOUNCE_SIZE ? x->total - done : IO_BOUNCE_SIZE;
        uint64_t have = move_user(x, done, want, false);
        if (!have) {
            error = -EFAULT;
            break;
        }
        int64_t put = host_write(d, io_bounce, have, at == NO_OFFSET ? NO_OFFSET : at + (int64_t)done);
        if (put < 0) {
            error = put;
            break;
        }
        done += (uint64_t)put;
        if ((uint64_t)put < want)
            break;
    }
    if (own_pos)
        d->pos = done ? at + (int64_t)done : d->pos;
    if (done)
        content_changed(x);
    return done ? (int64_t)done : error;
}

/* A socket that keeps boundaries: one write is one message, of which all is sent or none. Asked in rare cases only. */
static bool is_message_socket(const struct description *d)
{
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    return d->kind == DESC_SOCKET && !getsockopt(d->host_fd, SOL_SOCKET, SO_TYPE, &type, &size) && type != SOCK_STREAM;
}

/* What the kernel copies at once: of a piece in which the program's memory has a hole nothing is written. */
static uint64_t without_hole(const struct description *d, uint64_t have)
{
    if (d->kind == DESC_SOCKET)
        return is_message_socket(d) ? 0 : have - have % 32768;
    return d->kind == DESC_PIPE ? have - have % 4096 : have;
}

/* A blocking write to a pipe or socket ends only when everything is written: progress is kept over waits. */
static int64_t write_stream(struct transfer *x)
{
    int64_t *done = &x->trap->progress;
    if ((!x->total || x->total > IO_BOUNCE_SIZE) && is_message_socket(x->desc))
        return SENTRY_PUNT; /* an empty message is sent, too, and a large one in one piece */
    while ((uint64_t)*done < x->total) {
        uint64_t want = x->total - (uint64_t)*done < IO_BOUNCE_SIZE ? x->total - (uint64_t)*done : IO_BOUNCE_SIZE;
        uint64_t have = move_user(x, (uint64_t)*done, want, false);
        if (have < want)
            have = without_hole(x->desc, have);
        if (!have)
            return *done ? *done : -EFAULT;
        int64_t put = host_write(x->desc, io_bounce, have, NO_OFFSET);
        if (put == -EAGAIN)
            return wait_or_again(x, POLLOUT);
        if (put == -EPIPE && !is_message_socket(x->desc))
            task_kill(x->task, SIGPIPE);
        if (put < 0)
            return *done ? *done : put;
        *done += put;
        if (have < want && (uint64_t)put == have)
            return *done; /* the rest of the buffer is not there */
        if (x->desc->kind != DESC_PIPE && x->desc->kind != DESC_SOCKET && x->desc->kind != DESC_TTY)
            break; /* message-like: one write is one event */
    }
    return *done;
}

static int64_t do_write(struct transfer *x)
{
    struct description *d = x->desc;
    if (is_stream(d))
        return write_stream(x);
    if (d->kind == DESC_CHR && d->inode && d->inode->rdev == makedev(1, 3))
        return (int64_t)x->total; /* /dev/null does not even look at the buffer */
    if (d->kind == DESC_FILE && x->task->group->rlimit_cur[1] != ~0ull) /* RLIMIT_FSIZE */
        return SENTRY_PUNT;
    if (d->inode && (d->inode->sb->flags & SB_LIMITED))
        return SENTRY_PUNT;
    /* Not in place: where the inode must hear of it (content_changed), or the position is found by us. */
    bool is_heard = d->inode && ((d->inode->mode & (S_ISUID | S_ISGID)) || (d->inode->flags & INODE_FILE_CAPS) ||
                                 (d->inode->sb->kind == FS_GOFER && (d->inode->sb->flags & SB_CACHED)));
    bool appends = (d->flags & DESC_OWN_POS) && (d->open_flags & O_APPEND);
    return !is_heard && !appends && run_in_place(x) ? SENTRY_CONTINUE : write_file(x);
}

/* ---- the calls ----------------------------------------------------------------------------------*/

static int64_t single(struct task *t, struct trap *tr, bool is_write, bool has_offset)
{
    struct iovec iov = {(void *)tr->args[1], tr->args[2] < MAX_RW_COUNT ? tr->args[2] : MAX_RW_COUNT};
    struct transfer x = {.task = t, .trap = tr, .iov = &iov, .iov_count = 1, .total = iov.iov_len, .fd = int_arg(tr, 0)};
    x.offset = has_offset ? (int64_t)tr->args[3] : NO_OFFSET;
    if (has_offset && x.offset < 0)
        return -EINVAL;
    int error = begin(&x, is_write);
    if (error)
        return tr->progress ? tr->progress : error;
    if ((int64_t)tr->args[2] < 0) /* no such range in user memory: access_ok() and rw_verify_area() */
        return SENTRY_PUNT;
    if (!x.total && x.desc->kind == DESC_FILE)
        return 0;
    return is_write ? do_write(&x) : do_read(&x);
}

static int64_t vector(struct task *t, struct trap *tr, bool is_write, bool has_offset)
{
    struct transfer x = {.task = t, .trap = tr, .fd = int_arg(tr, 0)};
    x.offset = has_offset ? (int64_t)tr->args[3] : NO_OFFSET;
    if (has_offset && x.offset < 0)
        return -EINVAL;
    int error = begin(&x, is_write);
    if (!error)
        error = take_vectors(&x, tr->args[1], tr->args[2]);
    if (error)
        return tr->progress ? tr->progress : error;
    if (!x.total && (x.desc->kind == DESC_FILE || !x.iov_count || is_write))
        return 0;
    return is_write ? do_write(&x) : do_read(&x);
}

int64_t fast_read(struct task *t, struct trap *tr) { return single(t, tr, false, false); }
int64_t fast_write(struct task *t, struct trap *tr) { return single(t, tr, true, false); }
int64_t fast_pread64(struct task *t, struct trap *tr) { return single(t, tr, false, true); }
int64_t fast_pwrite64(struct task *t, struct trap *tr) { return single(t, tr, true, true); }
int64_t fast_readv(struct task *t, struct trap *tr) { return vector(t, tr, false, false); }
int64_t fast_writev(struct task *t, struct trap *tr) { return vector(t, tr, true, false); }
int64_t fast_preadv(struct task *t, struct trap *tr) { return vector(t, tr, false, true); }
int64_t fast_pwritev(struct task *t, struct trap *tr) { return vector(t, tr, true, true); }
