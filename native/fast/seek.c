/* seek.c - lseek and ftruncate. */
#define _GNU_SOURCE
#include "fast.h"

#include <unistd.h>

static int64_t seek_own(struct description *d, int64_t offset, int whence)
{
    struct stat st;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        if (!offset)
            return d->pos;
        if (__builtin_add_overflow(offset, d->pos, &offset))
            return -EOVERFLOW;
        break;
    case SEEK_END:
        if (fstat(d->host_fd, &st))
            return -errno;
        if (__builtin_add_overflow(offset, (int64_t)st.st_size, &offset))
            return -EOVERFLOW;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        offset = lseek(d->host_fd, offset, whence); /* moves a position that nobody reads */
        if (offset < 0)
            return -errno;
        break;
    default:
        return -EINVAL;
    }
    if (offset < 0)
        return -EINVAL;
    d->pos = offset;
    return offset;
}

int64_t fast_lseek(struct task *t, struct trap *tr)
{
    struct description *d = fd_get(t, int_arg(tr, 0));
    int64_t offset = (int64_t)tr->args[1];
    int whence = int_arg(tr, 2);
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    if (whence < 0 || whence > SEEK_HOLE)
        return -EINVAL;
    switch (d->kind) {
    case DESC_DIR:
        return dir_seek(d, offset, whence);
    case DESC_PIPE:
    case DESC_SOCKET:
    case DESC_TTY:
        return -ESPIPE;
    case DESC_FILE:
    case DESC_CHR:
        break;
    default:
        return SENTRY_PUNT;
    }
    if (d->host_fd < 0)
        return SENTRY_PUNT;
    if (d->flags & DESC_LOWER)
        desc_follow_copy_up(d);
    if (d->flags & DESC_OWN_POS)
        return seek_own(d, offset, whence);
    off_t at = lseek(d->host_fd, offset, whence);
    return at < 0 ? -errno : at;
}

int64_t fast_ftruncate(struct task *t, struct trap *tr)
{
    int64_t length = (int64_t)tr->args[1];
    if (length < 0)
        return -EINVAL;
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    if (d->kind != DESC_FILE)
        return d->kind == DESC_PYTHON ? SENTRY_PUNT : -EINVAL;
    if (!can_write(d))
        return -EINVAL;
    if (d->host_fd < 0 || (d->flags & DESC_PY_WRITE) || !d->inode || is_watched(d))
        return SENTRY_PUNT;
    if (t->group->rlimit_cur[1] != ~0ull || (d->inode->sb->flags & SB_LIMITED)) /* RLIMIT_FSIZE */
        return SENTRY_PUNT;
    if (ftruncate(d->host_fd, length))
        return -errno;
    inode_drop_privileges(t, d->inode);
    if (d->inode->sb->kind == FS_GOFER && (d->inode->sb->flags & SB_CACHED))
        live_attributes(d->inode, d->host_fd);
    return 0;
}
