/* memory.c - mmap of files: the checked file's descriptor is put at the number that the program passed, and the host
 * kernel maps it.
 *
 * Everything that matters is in registers, so the call may go on as it stands (DESIGN.md section 4).
 */
#define _GNU_SOURCE
#include "fast.h"

#include <sys/mman.h>

/* May the description be mapped so? do_mmap() in Linux mm/mmap.c. */
static int may_map(const struct description *d, int prot, int type)
{
    bool is_shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
    if (is_shared && (prot & PROT_WRITE) && !can_write(d))
        return -EACCES;
    if (!can_read(d))
        return -EACCES;
    if ((prot & PROT_EXEC) && d->dentry && (d->dentry->sb->flags & SB_NOEXEC))
        return -EPERM;
    return 0;
}

int64_t fast_mmap(struct task *t, struct trap *tr)
{
    int prot = int_arg(tr, 2), flags = int_arg(tr, 3), fd = int_arg(tr, 4), type = flags & MAP_TYPE;
    if ((flags & (MAP_ANONYMOUS | MAP_HUGETLB)) || (type != MAP_PRIVATE && type != MAP_SHARED))
        return SENTRY_PUNT;
    if (tr->args[5] & 4095)
        return -EINVAL;
    struct description *d = fd_get(t, fd);
    if (!d || d->kind == DESC_PATH)
        return -EBADF;
    if (d->kind != DESC_FILE || d->host_fd < 0 || (d->inode && (d->inode->sb->flags & SB_LIMITED)))
        return SENTRY_PUNT;
    if (!tr->args[1])
        return -EINVAL;
    int error = may_map(d, prot, type);
    if (error)
        return error;
    if (d->flags & DESC_LOWER)
        desc_follow_copy_up(d);
    /* An upper file's host descriptor can be written; a read-only one that the workload gets must not be. */
    if (!can_write(d) && d->inode && (d->inode->flags & INODE_UPPER) && desc_unshare(d) && type == MAP_SHARED)
        return SENTRY_PUNT;
    bool is_installed = t->files->slots[fd].native == d->id && !(d->flags & DESC_REINSTALL);
    if (!is_installed && task_install(t, d, fd))
        return SENTRY_PUNT;
    return SENTRY_CONTINUE;
}
