/* stat.c - attributes: stat, lstat, fstat, newfstatat, statx, access, faccessat, faccessat2, readlink, readlinkat.
 *
 * Hot path: a cached walk and one copy-out. The host is asked only where content lives in a host descriptor
 * that the workload writes (INODE_LIVE, a file of a bind).
 */
#define _GNU_SOURCE
#include "fast.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif
#define MNT_UNIQUE_ID_OFFSET (1ull << 31) /* unique mount ids are above all others */

#include <linux/stat.h>
#include <string.h>
#include <sys/sysmacros.h>

#define CAPS_WITHOUT_ROOT 0
#define STATX_SYNC_TYPE 0x6000 /* AT_STATX_SYNC_TYPE */

/* ---- attributes ---------------------------------------------------------------------------------*/

void live_attributes(struct inode *i, int host_fd)
{
    struct stat st;
    if (fstat(host_fd, &st))
        return;
    i->size = st.st_size;
    i->blocks = st.st_blocks;
    i->atime_ns = ns_of(st.st_atim.tv_sec, st.st_atim.tv_nsec);
    i->mtime_ns = ns_of(st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    int64_t ctime_ns = ns_of(st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    if (ctime_ns > i->ctime_ns)
        i->ctime_ns = ctime_ns;
}

/* Brings an inode up to date before it is shown: 0 or SENTRY_PUNT. d: NULL if only a description leads to it. */
static int refresh(struct inode *i)
{
    if (i->flags & INODE_PYTHON)
        return SENTRY_PUNT;
    if (i->flags & INODE_LIVE)
        live_attributes(i, inode_host_fd(i));
    return 0;
}

static int refresh_found(const struct vfs_path *path)
{
    struct dentry *d = path->dentry;
    /* A walk over a bind brings fresh attributes of every name; "." and ".." are none, nor is the bind's own root. */
    bool has_asked = is_uncached(d->sb) && !d->sb->lease_ns && path->last == LAST_NORMAL && d->parent != d;
    if (d->sb->kind == FS_GOFER && !has_asked) {
        int error = gofer_fs_refresh(d);
        if (error)
            return error == -ESTALE ? 0 : error;
    }
    return refresh(d->inode);
}

/* Of a description that has an inode. */
static int refresh_open(struct description *d)
{
    if (d->inode->sb->kind == FS_GOFER && !(d->inode->flags & INODE_PYTHON)) {
        if (d->host_fd >= 0)
            live_attributes(d->inode, d->host_fd);
        else if (d->dentry)
            gofer_fs_refresh(d->dentry);
        return 0;
    }
    return refresh(d->inode);
}

static struct timespec timespec_of(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC};
    if (ts.tv_nsec < 0) {
        ts.tv_sec--;
        ts.tv_nsec += NSEC_PER_SEC;
    }
    return ts;
}

static int64_t write_stat(struct task *t, uint64_t addr, const struct inode *i)
{
    struct stat st;
    memset(&st, 0, sizeof st);
    st.st_dev = i->dev;
    st.st_ino = i->ino;
    st.st_mode = i->mode;
    st.st_nlink = i->nlink;
    st.st_uid = i->uid;
    st.st_gid = i->gid;
    st.st_rdev = i->rdev;
    st.st_size = i->size;
    st.st_blksize = i->blksize;
    st.st_blocks = i->blocks;
    st.st_atim = timespec_of(i->atime_ns);
    st.st_mtim = timespec_of(i->mtime_ns);
    st.st_ctim = timespec_of(i->ctime_ns);
    int64_t written = um_write(t, addr, &st, sizeof st);
    return written < 0 ? written : 0;
}

/* A description without an inode of ours (a pipe, a socket, what we were given). Ids of the host mean nothing in here: who
 * holds the descriptor is its owner. */
static int64_t write_host_stat(struct task *t, uint64_t addr, const struct description *d)
{
    struct stat st;
    memset(&st, 0, sizeof st);
    st.st_mode = 0600;
    st.st_ino = d->id;
    st.st_nlink = 1;
    st.st_blksize = 4096;
    if (d->host_fd >= 0 && fstat(d->host_fd, &st))
        return -errno;
    st.st_uid = t->cred->fsuid;
    st.st_gid = t->cred->fsgid;
    int64_t written = um_write(t, addr, &st, sizeof st);
    return written < 0 ? written : 0;
}

static struct statx_timestamp statx_time(int64_t ns)
{
    struct timespec ts = timespec_of(ns);
    return (struct statx_timestamp){.tv_sec = ts.tv_sec, .tv_nsec = (uint32_t)ts.tv_nsec};
}

static int64_t write_statx(struct task *t, uint64_t addr, const struct inode *i, uint32_t asked)
{
    bool is_unique = asked & STATX_MNT_ID_UNIQUE;
    struct statx sx;
    memset(&sx, 0, sizeof sx);
    sx.stx_mask = STATX_BASIC_STATS | (is_unique ? STATX_MNT_ID_UNIQUE : STATX_MNT_ID) | (i->btime_ns ? STATX_BTIME : 0);
    sx.stx_blksize = (uint32_t)i->blksize;
    sx.stx_nlink = i->nlink;
    sx.stx_uid = i->uid;
    sx.stx_gid = i->gid;
    sx.stx_mode = (uint16_t)i->mode;
    sx.stx_ino = i->ino;
    sx.stx_size = (uint64_t)i->size;
    sx.stx_blocks = (uint64_t)i->blocks;
    sx.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
    if (i->sb->root && i->sb->root->inode == i)
        sx.stx_attributes = STATX_ATTR_MOUNT_ROOT;
    sx.stx_atime = statx_time(i->atime_ns);
    sx.stx_mtime = statx_time(i->mtime_ns);
    sx.stx_ctime = statx_time(i->ctime_ns);
    if (i->btime_ns)
        sx.stx_btime = statx_time(i->btime_ns);
    sx.stx_rdev_major = major(i->rdev);
    sx.stx_rdev_minor = minor(i->rdev);
    sx.stx_dev_major = major(i->dev);
    sx.stx_dev_minor = minor(i->dev);
    sx.stx_mnt_id = i->sb->id + (is_unique ? MNT_UNIQUE_ID_OFFSET : 0);
    int64_t written = um_write(t, addr, &sx, sizeof sx);
    return written < 0 ? written : 0;
}

/* ---- stat family --------------------------------------------------------------------------------*/

/* The inode that (dirfd, path, flags) names, up to date; AT_EMPTY_PATH as vfs_statx() in Linux fs/stat.c. NULL: it is this
 * description, which has none. */
static int64_t find_inode(struct task *t, int dirfd, uint64_t user_path, int flags, struct inode **inode,
                          struct description **description)
{
    char path[PATH_CAP];
    int64_t len = 0;
    path[0] = 0;
    if (user_path || !(flags & AT_EMPTY_PATH))
        len = um_read_cstr(t, user_path, path, sizeof path);
    if (len < 0)
        return len;
    if (!*path && (flags & AT_EMPTY_PATH)) {
        if (dirfd == AT_FDCWD) {
            struct dentry *cwd = t->fs->cwd;
            *inode = cwd->inode;
            return is_uncached(cwd->sb) || cwd->sb->kind == FS_BIND ? SENTRY_PUNT : refresh(cwd->inode);
        }
        struct description *d = fd_get(t, dirfd);
        if (!d)
            return -EBADF;
        *description = d;
        *inode = d->inode;
        if (!d->inode)
            return 0;
        return d->dentry && d->dentry->sb->kind == FS_BIND ? SENTRY_PUNT : refresh_open(d);
    }
    struct vfs_path found;
    int error = walk_at(t, dirfd, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &found);
    if (error)
        return error;
    error = refresh_found(&found);
    *inode = found.dentry->inode;
    return error;
}

static int64_t stat_at(struct task *t, int dirfd, uint64_t user_path, int flags, uint64_t into)
{
    struct inode *inode;
    struct description *d;
    int64_t error = find_inode(t, dirfd, user_path, flags, &inode, &d);
    if (error)
        return error;
    return inode ? write_stat(t, into, inode) : write_host_stat(t, into, d);
}

int64_t fast_stat(struct task *t, struct trap *tr)
{
    return stat_at(t, AT_FDCWD, tr->args[0], 0, tr->args[1]);
}

int64_t fast_lstat(struct task *t, struct trap *tr)
{
    return stat_at(t, AT_FDCWD, tr->args[0], AT_SYMLINK_NOFOLLOW, tr->args[1]);
}

int64_t fast_fstat(struct task *t, struct trap *tr)
{
    struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d)
        return -EBADF;
    if (!d->inode)
        return write_host_stat(t, tr->args[1], d);
    int error = refresh_open(d);
    return error ? error : write_stat(t, tr->args[1], d->inode);
}

int64_t fast_newfstatat(struct task *t, struct trap *tr)
{
    int flags = int_arg(tr, 3);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | STATX_SYNC_TYPE))
        return -EINVAL;
    return stat_at(t, int_arg(tr, 0), tr->args[1], flags, tr->args[2]);
}

int64_t fast_statx(struct task *t, struct trap *tr)
{
    int flags = int_arg(tr, 2);
    uint32_t mask = (uint32_t)tr->args[3];
    struct inode *inode;
    struct description *d;
    if ((mask & STATX__RESERVED) || (flags & STATX_SYNC_TYPE) == STATX_SYNC_TYPE)
        return -EINVAL;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | STATX_SYNC_TYPE))
        return -EINVAL;
    int64_t error = find_inode(t, int_arg(tr, 0), tr->args[1], flags, &inode, &d);
    if (error)
        return error;
    return inode ? write_statx(t, tr->args[4], inode, mask) : SENTRY_PUNT;
}

/* ---- access family ------------------------------------------------------------------------------*/

/* access(2) asks for the real ids. Where they are the effective ones, and the capabilities what they would
 * become, the walk can use the credentials as they are. */
static bool real_is_effective(const struct credentials *c)
{
    uint64_t caps = c->uid == 0 ? c->cap_permitted : CAPS_WITHOUT_ROOT;
    return c->uid == c->fsuid && c->gid == c->fsgid && c->cap_effective == caps;
}

static int64_t access_at(struct task *t, int dirfd, uint64_t user_path, int mode, int flags)
{
    struct vfs_path found;
    if (mode & ~7)
        return -EINVAL;
    if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) || (!(flags & AT_EACCESS) && !real_is_effective(t->cred)))
        return SENTRY_PUNT;
    int error = user_walk(t, dirfd, user_path, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &found);
    if (error)
        return error;
    error = refresh_found(&found);
    if (error || !mode)
        return error;
    const struct inode *i = found.dentry->inode;
    uint32_t sb_flags = found.dentry->sb->flags;
    if ((mode & 1) && S_ISREG(i->mode) && (sb_flags & SB_NOEXEC))
        return -EACCES;
    error = inode_permission(t->cred, i, (uint32_t)mode);
    if (!error && (mode & 2) && (sb_flags & SB_RDONLY) && (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)))
        return -EROFS;
    return error;
}

int64_t fast_access(struct task *t, struct trap *tr)
{
    return access_at(t, AT_FDCWD, tr->args[0], int_arg(tr, 1), 0);
}

int64_t fast_faccessat(struct task *t, struct trap *tr)
{
    return access_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), 0);
}

int64_t fast_faccessat2(struct task *t, struct trap *tr)
{
    return access_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), int_arg(tr, 3));
}

/* ---- readlink -----------------------------------------------------------------------------------*/

static int64_t readlink_at(struct task *t, int dirfd, uint64_t user_path, uint64_t into, int size)
{
    char path[PATH_CAP];
    struct vfs_path found;
    if (size <= 0)
        return -EINVAL;
    int64_t len = um_read_cstr(t, user_path, path, sizeof path);
    if (len < 0)
        return len;
    if (!*path && dirfd != AT_FDCWD)
        return SENTRY_PUNT; /* the link that an O_PATH descriptor is open on */
    int error = walk_at(t, dirfd, path, 0, &found);
    if (error)
        return error;
    const struct inode *i = found.dentry->inode;
    if (i->flags & INODE_PYTHON)
        return SENTRY_PUNT;
    if (!S_ISLNK(i->mode))
        return -EINVAL;
    if (!i->symlink)
        return SENTRY_PUNT;
    size_t target_len = strlen(i->symlink);
    if (target_len > (size_t)size)
        target_len = (size_t)size;
    return um_write(t, into, i->symlink, target_len);
}

int64_t fast_readlink(struct task *t, struct trap *tr)
{
    return readlink_at(t, AT_FDCWD, tr->args[0], tr->args[1], int_arg(tr, 2));
}

int64_t fast_readlinkat(struct task *t, struct trap *tr)
{
    return readlink_at(t, int_arg(tr, 0), tr->args[1], tr->args[2], int_arg(tr, 3));
}
