/* attr.c - chmod, chown, utimensat and their kin, truncate: attributes of entries of a tree.
 *
 * They live in the inode; a lower entry's dentry is pinned once they differ from the host's. Binds and generated
 * file systems are Python's.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <unistd.h>

#define UNCHANGED 0xffffffffu /* (uid_t)-1 */

static bool is_owner(const struct credentials *c, const struct inode *i)
{
    return c->fsuid == i->uid || cred_has_cap(c, CAP_BIT_FOWNER);
}

/* May C change this entry? EROFS comes before any permission, as mnt_want_write() does. */
static int check_place(const struct dentry *d)
{
    if (d->sb->kind != FS_TREE || (d->inode->flags & (INODE_PYTHON | INODE_WATCHED | INODE_LEASED)) ||
        (d->parent->inode->flags & INODE_WATCHED))
        return SENTRY_PUNT;
    return d->sb->flags & SB_RDONLY ? -EROFS : 0;
}

static int named_place(struct task *t, int dirfd, uint64_t user_path, int flags, struct dentry **d)
{
    struct vfs_path path;
    if (flags & AT_EMPTY_PATH)
        return SENTRY_PUNT;
    int error = user_walk(t, dirfd, user_path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &path);
    if (error)
        return error;
    *d = path.dentry;
    return check_place(path.dentry);
}

static int open_place(struct task *t, int fd, struct dentry **d)
{
    const struct description *desc = fd_get(t, fd);
    if (!desc || desc->kind == DESC_PATH)
        return -EBADF;
    if (!desc->dentry || desc->dentry->inode != desc->inode)
        return SENTRY_PUNT;
    *d = desc->dentry;
    return check_place(desc->dentry);
}

static void attributes_changed(struct dentry *d)
{
    d->inode->ctime_ns = realtime_ns();
    if (!(d->flags & DENTRY_UNHASHED))
        d->flags |= DENTRY_PINNED;
}

/* ---- mode ---------------------------------------------------------------------------------------*/

static int64_t change_mode(struct task *t, struct dentry *d, uint32_t mode)
{
    struct inode *i = d->inode;
    if (S_ISLNK(i->mode))
        return -EOPNOTSUPP;
    if (!is_owner(t->cred, i))
        return -EPERM;
    if ((mode & S_ISGID) && !cred_in_group(t->cred, i->gid) && !cred_has_cap(t->cred, CAP_BIT_FSETID))
        mode &= ~(uint32_t)S_ISGID;
    i->mode = (i->mode & S_IFMT) | (mode & 07777);
    attributes_changed(d);
    return 0;
}

static int64_t chmod_at(struct task *t, int dirfd, uint64_t user_path, uint32_t mode, int flags)
{
    struct dentry *d;
    int error = named_place(t, dirfd, user_path, flags, &d);
    return error ? error : change_mode(t, d, mode);
}

int64_t fast_chmod(struct task *t, struct trap *tr)
{
    return chmod_at(t, AT_FDCWD, tr->args[0], (uint32_t)tr->args[1], 0);
}

int64_t fast_fchmodat(struct task *t, struct trap *tr)
{
    return chmod_at(t, int_arg(tr, 0), tr->args[1], (uint32_t)tr->args[2], 0);
}

int64_t fast_fchmodat2(struct task *t, struct trap *tr)
{
    int flags = int_arg(tr, 3);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return chmod_at(t, int_arg(tr, 0), tr->args[1], (uint32_t)tr->args[2], flags);
}

int64_t fast_fchmod(struct task *t, struct trap *tr)
{
    struct dentry *d;
    int error = open_place(t, int_arg(tr, 0), &d);
    return error ? error : change_mode(t, d, (uint32_t)tr->args[1]);
}

/* ---- owner --------------------------------------------------------------------------------------*/

/* chown_common() and setattr_prepare() in Linux. The set-id bits of files go, even for root. */
static int64_t change_owner(struct task *t, struct dentry *d, uint32_t owner, uint32_t group)
{
    struct inode *i = d->inode;
    const struct credentials *c = t->cred;
    if (!cred_has_cap(c, CAP_BIT_CHOWN)) {
        bool is_mine = c->fsuid == i->uid;
        if (owner != UNCHANGED && !(is_mine && owner == i->uid))
            return -EPERM;
        if (group != UNCHANGED && !(is_mine && (group == i->gid || cred_in_group(c, group))))
            return -EPERM;
    }
    i->flags &= ~(uint32_t)INODE_FILE_CAPS;
    if (!S_ISDIR(i->mode)) {
        bool keeps_group_bit = !(i->mode & S_IXGRP) && is_owner(c, i); /* then it means mandatory locking */
        i->mode &= ~(uint32_t)(S_ISUID | (keeps_group_bit ? 0 : S_ISGID));
    }
    if (owner != UNCHANGED)
        i->uid = owner;
    if (group != UNCHANGED)
        i->gid = group;
    attributes_changed(d);
    return 0;
}

static int64_t chown_at(struct task *t, int dirfd, uint64_t user_path, uint64_t owner, uint64_t group, int flags)
{
    struct dentry *d;
    int error = named_place(t, dirfd, user_path, flags, &d);
    return error ? error : change_owner(t, d, (uint32_t)owner, (uint32_t)group);
}

int64_t fast_chown(struct task *t, struct trap *tr)
{
    return chown_at(t, AT_FDCWD, tr->args[0], tr->args[1], tr->args[2], 0);
}

int64_t fast_lchown(struct task *t, struct trap *tr)
{
    return chown_at(t, AT_FDCWD, tr->args[0], tr->args[1], tr->args[2], AT_SYMLINK_NOFOLLOW);
}

int64_t fast_fchownat(struct task *t, struct trap *tr)
{
    int flags = int_arg(tr, 4);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return chown_at(t, int_arg(tr, 0), tr->args[1], tr->args[2], tr->args[3], flags);
}

int64_t fast_fchown(struct task *t, struct trap *tr)
{
    struct dentry *d;
    int error = open_place(t, int_arg(tr, 0), &d);
    return error ? error : change_owner(t, d, (uint32_t)tr->args[1], (uint32_t)tr->args[2]);
}

/* ---- times --------------------------------------------------------------------------------------*/

static bool is_valid_time(const struct timespec *ts)
{
    return ts->tv_nsec == UTIME_NOW || ts->tv_nsec == UTIME_OMIT || (uint64_t)ts->tv_nsec < NSEC_PER_SEC;
}

static int64_t time_in_ns(const struct timespec *ts, int64_t now)
{
    return ts->tv_nsec == UTIME_NOW ? now : ns_of(ts->tv_sec, ts->tv_nsec);
}

static int64_t change_times(struct task *t, struct dentry *d, const struct timespec times[2], bool are_both_now)
{
    struct inode *i = d->inode;
    int64_t now = realtime_ns();
    if (!is_owner(t->cred, i)) {
        if (!are_both_now)
            return -EPERM;
        if (inode_permission(t->cred, i, 2))
            return -EACCES;
    }
    if (i->flags & INODE_LIVE) {
        int fd = inode_host_fd(i);
        if (fd < 0 || futimens(fd, times))
            return fd < 0 ? fd : -errno;
        live_attributes(i, fd);
    }
    if (times[0].tv_nsec != UTIME_OMIT)
        i->atime_ns = time_in_ns(&times[0], now);
    if (times[1].tv_nsec != UTIME_OMIT)
        i->mtime_ns = time_in_ns(&times[1], now);
    attributes_changed(d);
    return 0;
}

int64_t fast_utimensat(struct task *t, struct trap *tr)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int dirfd = int_arg(tr, 0), flags = int_arg(tr, 3);
    struct dentry *d;
    if (tr->args[2]) {
        if (um_read(t, tr->args[2], times, sizeof times) < 0)
            return -EFAULT;
        if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
            return 0; /* the path is not even looked at */
    }
    int error;
    if (!tr->args[1] && dirfd != AT_FDCWD) {
        if (flags)
            return -EINVAL;
        error = open_place(t, dirfd, &d);
    } else {
        if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
            return -EINVAL;
        error = named_place(t, dirfd, tr->args[1], flags, &d);
    }
    if (error && error != -EROFS)
        return error;
    if (!is_valid_time(&times[0]) || !is_valid_time(&times[1]))
        return -EINVAL;
    if (error)
        return error;
    bool are_both_now = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
    return change_times(t, d, times, are_both_now);
}

/* ---- size ---------------------------------------------------------------------------------------*/

/* vfs_truncate() in Linux fs/open.c */
int64_t fast_truncate(struct task *t, struct trap *tr)
{
    struct vfs_path path;
    int64_t length = (int64_t)tr->args[1];
    if (length < 0)
        return -EINVAL;
    int error = user_walk(t, AT_FDCWD, tr->args[0], WALK_FOLLOW, &path);
    if (error)
        return error;
    struct inode *i = path.dentry->inode;
    if (S_ISDIR(i->mode))
        return -EISDIR;
    if (!S_ISREG(i->mode))
        return i->flags & INODE_PYTHON ? SENTRY_PUNT : -EINVAL;
    error = check_place(path.dentry);
    if (error)
        return error;
    error = inode_permission(t->cred, i, 2);
    if (error)
        return error;
    if (!(i->flags & INODE_UPPER) || (path.dentry->sb->flags & SB_LIMITED) || is_executing(i) ||
        t->group->rlimit_cur[1] != ~0ull) /* RLIMIT_FSIZE */
        return SENTRY_PUNT;
    int fd = inode_host_fd(i);
    if (fd < 0 || ftruncate(fd, length))
        return fd < 0 ? fd : -errno;
    inode_drop_privileges(t, i);
    return 0;
}
