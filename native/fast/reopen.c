/* reopen.c - another host descriptor for an open description: one of its own, or the copied-up file's.
 *
 * What the workload holds natively at its number is stale then (DESC_REINSTALL).
 */
#define _GNU_SOURCE
#include "fast.h"

#include <stdio.h>
#include <unistd.h>

#include "../engine/engine.h"

static void replace(struct description *d, int fd)
{
    close(d->host_fd);
    d->host_fd = fd;
    d->flags |= DESC_REINSTALL;
}

/* Memory files are opened anew by way of our own /proc: the one open that the sentry's filter allows, and only for
 * reading. So the workload never gets hold of a descriptor that can do more than the program's own. */
static int reopen_memory(const struct description *d)
{
    char path[32];
    snprintf(path, sizeof path, "self/fd/%d", d->host_fd);
    int fd = openat(engine.proc, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int desc_unshare(struct description *d)
{
    if (!(d->flags & DESC_OWN_POS))
        return 0;
    if ((d->open_flags & O_ACCMODE) != O_RDONLY || !d->inode)
        return -EINVAL;
    int fd;
    if (d->inode->flags & INODE_UPPER)
        fd = reopen_memory(d);
    else if (d->dentry && !(d->dentry->flags & DENTRY_UNHASHED))
        fd = gofer_fs_open(d->dentry, O_RDONLY);
    else
        return -ENOENT;
    if (fd < 0)
        return fd;
    lseek(fd, d->pos, SEEK_SET);
    replace(d, fd);
    d->flags = (d->flags & ~(uint32_t)DESC_OWN_POS) | DESC_INPLACE;
    return 0;
}

void desc_follow_copy_up(struct description *d)
{
    if (!(d->flags & DESC_LOWER) || !(d->inode->flags & INODE_UPPER))
        return;
    int fd = fcntl(inode_host_fd(d->inode), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return;
    if (!(d->flags & DESC_OWN_POS))
        d->pos = lseek(d->host_fd, 0, SEEK_CUR);
    replace(d, fd);
    d->flags = (d->flags & ~(uint32_t)(DESC_LOWER | DESC_INPLACE)) | DESC_OWN_POS;
}
