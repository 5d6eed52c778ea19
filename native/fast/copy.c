/* copy.c - copy_file_range at the descriptors' own positions (as cp makes it), and fadvise64, which precedes it.
 *
 * Between regular files only; a call may move less than asked for, so that one copy does not hold up everybody.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <unistd.h>

#define AT_MOST (8u << 20) /* bytes in one call */
#define FADVICE_END 6

int64_t fast_fadvise64(struct task *t, struct trap *tr)
{
    const struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    if (d->kind == DESC_PIPE)
        return -ESPIPE;
    if ((uint32_t)tr->args[3] >= FADVICE_END || (int64_t)tr->args[2] < 0)
        return -EINVAL;
    if (d->kind == DESC_FILE && d->host_fd >= 0 && !(d->flags & DESC_GIVEN))
        posix_fadvise(d->host_fd, (off_t)tr->args[1], (off_t)tr->args[2], (int)tr->args[3]); /* errors are no news */
    return 0;
}

static bool is_plain_file(const struct description *d)
{
    return d->kind == DESC_FILE && d->host_fd >= 0 && d->inode && S_ISREG(d->inode->mode) && !is_watched(d) &&
           !(d->flags & (DESC_PY_READ | DESC_PY_WRITE | DESC_GIVEN));
}

static ssize_t take(struct description *d, uint64_t size)
{
    if (!(d->flags & DESC_OWN_POS))
        return read(d->host_fd, io_bounce, size);
    ssize_t got = pread(d->host_fd, io_bounce, size, d->pos);
    if (got > 0)
        d->pos += got;
    return got;
}

static ssize_t give(struct description *d, uint64_t size)
{
    if (!(d->flags & DESC_OWN_POS))
        return write(d->host_fd, io_bounce, size);
    ssize_t put = pwrite(d->host_fd, io_bounce, size, d->pos);
    if (put > 0)
        d->pos += put;
    return put;
}

static void give_back(struct description *d, int64_t count)
{
    if (d->flags & DESC_OWN_POS)
        d->pos -= count;
    else
        lseek(d->host_fd, -count, SEEK_CUR);
}

static int64_t copy(struct description *in, struct description *out, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        ssize_t got = take(in, size - done < IO_BOUNCE_SIZE ? size - done : IO_BOUNCE_SIZE);
        if (got <= 0)
            return done ? (int64_t)done : got < 0 ? -errno : 0;
        ssize_t put = give(out, (uint64_t)got);
        int error = errno;
        if (put < got)
            give_back(in, got - (put > 0 ? put : 0));
        if (put > 0)
            done += (uint64_t)put;
        if (put < got)
            return done ? (int64_t)done : -error;
    }
    return (int64_t)done;
}

int64_t fast_copy_file_range(struct task *t, struct trap *tr)
{
    struct description *in = fd_get(t, int_arg(tr, 0)), *out = fd_get(t, int_arg(tr, 2));
    uint64_t size = tr->args[4];
    if (!in || !out || in->kind == DESC_PATH || out->kind == DESC_PATH)
        return -EBADF;
    if (tr->args[1] || tr->args[3] || (uint32_t)tr->args[5] || !is_plain_file(in) || !is_plain_file(out))
        return SENTRY_PUNT;
    if (!can_read(in) || !can_write(out) || (out->open_flags & O_APPEND))
        return -EBADF;
    if (in->inode == out->inode || out->inode->sb->kind != FS_TREE || (out->inode->sb->flags & SB_LIMITED) ||
        t->group->rlimit_cur[1] != ~0ull) /* RLIMIT_FSIZE */
        return SENTRY_PUNT;
    desc_follow_copy_up(in);
    int64_t done = copy(in, out, size < AT_MOST ? size : AT_MOST);
    if (done > 0)
        inode_drop_privileges(t, out->inode);
    return done;
}
