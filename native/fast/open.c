/* open.c - open, openat, creat: regular files and directories of trees and binds, and the simple devices.
 *
 * What a description gets as its host descriptor: a lower file's own one from the gofer; a duplicate of
 * the content's (upper files: the position is ours, DESC_OWN_POS); none for a directory.
 * FIFOs, terminals, O_PATH, O_TMPFILE and generated files are Python's.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <string.h>
#include <unistd.h>

#define KERNEL_O_LARGEFILE 0100000
#define KNOWN_FLAGS                                                                                                   \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | KERNEL_O_LARGEFILE |       \
     O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC)
#define CREATION_FLAGS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

/* An opened file before it is a description. */
struct opened {
    uint32_t kind, desc_flags;
    int host_fd;
};

static uint32_t wanted_access(int flags)
{
    static const uint32_t by_mode[] = {4, 2, 4 | 2, 4 | 2};
    return by_mode[flags & O_ACCMODE] | (flags & O_TRUNC ? 2 : 0);
}

/* A process runs this file. */
bool is_executing(const struct inode *i)
{
    for (const struct task *t = task_first(); t; t = t->all_next)
        if (t->group->exe && t->group->exe->inode == i)
            return true;
    return false;
}

/* May the file be opened so? The order is that of do_open() and may_open() in Linux fs/namei.c. */
static int may_open(const struct task *t, const struct vfs_path *path, int flags)
{
    const struct dentry *d = path->dentry;
    const struct inode *i = d->inode;
    uint32_t access = wanted_access(flags);
    bool is_regular = S_ISREG(i->mode);
    if (flags & O_CREAT) {
        if (flags & O_EXCL)
            return -EEXIST;
        if (S_ISDIR(i->mode))
            return -EISDIR;
        /* protected_regular and protected_fifos are off: nothing to check in sticky directories */
    }
    if ((flags & O_DIRECTORY) && !S_ISDIR(i->mode))
        return -ENOTDIR;
    if ((flags & O_TRUNC) && is_regular && (d->sb->flags & SB_RDONLY))
        return -EROFS;
    if (S_ISLNK(i->mode))
        return -ELOOP;
    if (S_ISDIR(i->mode) && (access & 2))
        return -EISDIR;
    if ((S_ISCHR(i->mode) || S_ISBLK(i->mode)) && (d->sb->flags & SB_NODEV))
        return -EACCES;
    int error = inode_permission(t->cred, i, access);
    if (error)
        return error;
    if ((flags & O_NOATIME) && t->cred->fsuid != i->uid && !cred_has_cap(t->cred, CAP_BIT_FOWNER))
        return -EPERM;
    if ((access & 2) && is_regular && (d->sb->flags & SB_RDONLY))
        return -EROFS;
    if ((access & 2) && is_regular && (i->mode & 0111) && is_executing(i))
        return -ETXTBSY;
    return S_ISSOCK(i->mode) ? -ENXIO : 0;
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

static int truncate_upper(const struct task *t, struct inode *i)
{
    if (ftruncate(inode_host_fd(i), 0))
        return -errno;
    inode_drop_privileges(t, i);
    if (!(i->flags & INODE_LIVE)) {
        i->size = i->blocks = 0;
        i->mtime_ns = i->ctime_ns = realtime_ns();
    }
    return 0;
}

/* The content's descriptor can be read and written: only a description that may do both can be used by the workload itself. */
static uint32_t upper_flags(int flags)
{
    return DESC_OWN_POS | ((flags & O_ACCMODE) == O_RDWR ? DESC_INPLACE : 0);
}

/* What only a host description of its own can do. */
static bool is_without_atime(const struct superblock *sb, int flags)
{
    return (flags & O_NOATIME) || (sb->flags & SB_NOATIME);
}

static int open_upper(const struct task *t, struct inode *i, int flags, struct opened *o)
{
    int fd = inode_host_fd(i);
    o->host_fd = fd < 0 ? fd : duplicate(fd);
    if (o->host_fd < 0)
        return o->host_fd;
    o->desc_flags |= upper_flags(flags);
    int error = flags & O_TRUNC ? truncate_upper(t, i) : 0;
    if (error)
        close(o->host_fd);
    return error;
}

static int open_regular(const struct task *t, struct dentry *d, int flags, struct opened *o)
{
    struct inode *i = d->inode;
    o->kind = DESC_FILE;
    o->desc_flags = DESC_NO_POLL;
    if (i->flags & INODE_UPPER)
        return open_upper(t, i, flags, o);
    if (d->sb->kind == FS_TREE) {
        if (wanted_access(flags) & 2)
            return SENTRY_PUNT; /* copy-up */
        o->desc_flags |= DESC_INPLACE | DESC_LOWER;
        o->host_fd = lower_open(d, &o->desc_flags);
    } else {
        uint32_t passed = (uint32_t)flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC);
        o->desc_flags |= DESC_INPLACE;
        o->host_fd = passed ? gofer_fs_open(d, passed) : lower_open(d, &o->desc_flags);
    }
    return o->host_fd < 0 ? o->host_fd : 0;
}

static int open_existing(const struct task *t, const struct vfs_path *path, int flags, struct opened *o)
{
    struct dentry *d = path->dentry;
    struct inode *i = d->inode;
    if ((i->flags & (INODE_PYTHON | INODE_WATCHED | INODE_LEASED | INODE_NOATIME)) || (d->parent->inode->flags & INODE_WATCHED))
        return SENTRY_PUNT;
    if ((d->sb->kind != FS_TREE && d->sb->kind != FS_GOFER) || is_without_atime(d->sb, flags))
        return SENTRY_PUNT;
    int error = may_open(t, path, flags);
    if (error)
        return error;
    switch (i->mode & S_IFMT) {
    case S_IFREG:
        return open_regular(t, d, flags, o);
    case S_IFDIR:
        o->kind = DESC_DIR;
        o->desc_flags = DESC_NO_POLL;
        return 0;
    case S_IFCHR:
        if (!(i->flags & INODE_HOSTDEV) || i->host_fd < 0)
            return SENTRY_PUNT;
        o->kind = DESC_CHR;
        o->desc_flags = DESC_NO_POLL;
        o->host_fd = duplicate(i->host_fd);
        return o->host_fd < 0 ? o->host_fd : 0;
    default:
        return SENTRY_PUNT;
    }
}

/* A new regular file: an upper one with empty content. *made is hashed only by the caller. */
static int create_file(struct task *t, const struct vfs_path *path, int flags, uint32_t mode, struct opened *o,
                       struct inode **made)
{
    struct dentry *dir = path->parent;
    if (!can_change(dir) || (dir->sb->flags & SB_LIMITED) || is_without_atime(dir->sb, flags))
        return SENTRY_PUNT;
    if (dir->flags & DENTRY_UNHASHED)
        return -ENOENT;
    if (dir->sb->flags & SB_RDONLY)
        return -EROFS;
    int error = may_create(t, dir);
    if (error)
        return error;
    struct inode *i = new_upper_inode(t, dir, S_IFREG | (mode & 07777));
    int fd = inode_make_content(i);
    o->host_fd = fd < 0 ? fd : duplicate(fd);
    if (o->host_fd < 0) {
        inode_unref(i);
        return o->host_fd;
    }
    o->kind = DESC_FILE;
    o->desc_flags = DESC_NO_POLL | DESC_CREATED | upper_flags(flags);
    i->flags |= INODE_LIVE;
    *made = i;
    return 0;
}

static struct description *describe(const struct opened *o, struct dentry *d, int flags)
{
    struct description *desc =
        desc_new(o->kind, o->host_fd, ((uint32_t)flags & ~(uint32_t)CREATION_FLAGS) | KERNEL_O_LARGEFILE);
    desc->flags = o->desc_flags;
    desc->dentry = d;
    dentry_ref(d);
    desc->inode = d->inode;
    inode_ref(d->inode);
    desc_counts_writer(desc);
    return desc;
}

static int64_t open_at(struct task *t, int dirfd, uint64_t user_path, int flags, uint32_t mode)
{
    char name[PATH_CAP];
    struct vfs_path path;
    struct opened opened = {.host_fd = -1};
    if ((flags & ~KNOWN_FLAGS) || (flags & O_ACCMODE) == O_ACCMODE)
        return SENTRY_PUNT;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY))
        return SENTRY_PUNT;
    int64_t len = um_read_cstr(t, user_path, name, sizeof name);
    if (len < 0)
        return len;
    if (!len)
        return -ENOENT;
    int fd = fd_reserve(t, 0); /* before the walk: EMFILE wins over what the path has to say */
    if (fd < 0)
        return fd;
    bool follows = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    bool only_reads = !(flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_DIRECTORY));
    uint32_t walk_flags = (follows ? WALK_FOLLOW : 0) | (flags & O_CREAT ? WALK_CREATE : 0) | (only_reads ? WALK_OPENS : 0);
    int error = walk_at(t, dirfd, name, walk_flags, &path);
    struct inode *made = NULL;
    if (error == -ENOENT && path.parent && (flags & O_CREAT))
        error = create_file(t, &path, flags, mode, &opened, &made);
    else if (!error)
        error = open_existing(t, &path, flags, &opened);
    if (path.dentry && is_uncached(path.dentry->sb) && (error == -ESTALE || error == -ENOENT)) {
        /* The host changed it since it was looked up; that is known by now. */
        error = walk_at(t, dirfd, name, walk_flags, &path);
        if (!error)
            error = open_existing(t, &path, flags, &opened);
        else if (flags & O_CREAT)
            error = SENTRY_PUNT;
        error = error == -ESTALE ? SENTRY_PUNT : error;
    }
    if (error) {
        fd_release(t, fd);
        return error;
    }
    if (made)
        path.dentry = add_upper(path.parent, &path, made);
    fd_install(t, fd, describe(&opened, path.dentry, flags), !!(flags & O_CLOEXEC));
    return fd;
}

int64_t fast_open(struct task *t, struct trap *tr)
{
    return open_at(t, AT_FDCWD, tr->args[0], int_arg(tr, 1), (uint32_t)tr->args[2]);
}

int64_t fast_openat(struct task *t, struct trap *tr)
{
    return open_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), (uint32_t)tr->args[3]);
}

int64_t fast_creat(struct task *t, struct trap *tr)
{
    return open_at(t, AT_FDCWD, tr->args[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)tr->args[1]);
}
