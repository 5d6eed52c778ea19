/* names.c - mkdir, symlink, unlink, rmdir in memory-backed trees. (Calls with two names: rename.c.)
 *
 * Only trees (FS_TREE): a bind's changes go to the gofer, through Python. Nothing is written to any host
 * file system here: a removed lower name leaves a whiteout, a renamed lower entry remembers its place.
 * The order of checks is that of Linux fs/namei.c, since programs tell EEXIST from EACCES and EROFS.
 */
#define _GNU_SOURCE
#include "names.h"

#include <string.h>

bool is_busy(const struct dentry *d)
{
    return d->parent == d || d->mounted;
}

/* filename_create(): the walk to a name that must not exist. 0: may be made. */
int find_new(struct task *t, int dirfd, const char *name, bool is_dir, struct vfs_path *path)
{
    int error = walk_at(t, dirfd, name, WALK_PARENT, path);
    if (!error)
        return -EEXIST;
    if (error != -ENOENT || !path->parent)
        return error;
    if (path->has_slash && !is_dir)
        return -ENOENT;
    if (!can_change(path->parent) || (path->parent->sb->flags & SB_LIMITED)) /* Python counts inodes */
        return SENTRY_PUNT;
    return path->parent->sb->flags & SB_RDONLY ? -EROFS : 0;
}

/* ---- making -------------------------------------------------------------------------------------*/

static int64_t mkdir_at(struct task *t, int dirfd, uint64_t user_path, uint32_t mode)
{
    char name[PATH_CAP];
    struct vfs_path path;
    int64_t len = um_read_cstr(t, user_path, name, sizeof name);
    if (len < 0)
        return len;
    int error = find_new(t, dirfd, name, true, &path);
    if (!error)
        error = may_create(t, path.parent);
    if (error)
        return error;
    struct inode *i = new_upper_inode(t, path.parent, S_IFDIR | (mode & 01777));
    i->flags |= INODE_COMPLETE;
    i->size = 4096; /* as filesystems/tree.py */
    i->blocks = 8;
    add_upper(path.parent, &path, i);
    path.parent->inode->nlink++;
    return 0;
}

int64_t fast_mkdir(struct task *t, struct trap *tr)
{
    return mkdir_at(t, AT_FDCWD, tr->args[0], (uint32_t)tr->args[1]);
}

int64_t fast_mkdirat(struct task *t, struct trap *tr)
{
    return mkdir_at(t, int_arg(tr, 0), tr->args[1], (uint32_t)tr->args[2]);
}

static int64_t symlink_at(struct task *t, uint64_t user_target, int dirfd, uint64_t user_path)
{
    char target[PATH_CAP], name[PATH_CAP];
    struct vfs_path path;
    int64_t len = um_read_cstr(t, user_target, target, sizeof target);
    if (len <= 0)
        return len ? len : -ENOENT;
    len = um_read_cstr(t, user_path, name, sizeof name);
    if (len < 0)
        return len;
    int error = find_new(t, dirfd, name, false, &path);
    if (!error)
        error = may_create(t, path.parent);
    if (error)
        return error;
    struct inode *i = new_upper_inode(t, path.parent, S_IFLNK | 0777);
    i->mode = S_IFLNK | 0777;
    inode_set_symlink(i, target);
    add_upper(path.parent, &path, i);
    return 0;
}

int64_t fast_symlink(struct task *t, struct trap *tr)
{
    return symlink_at(t, tr->args[0], AT_FDCWD, tr->args[1]);
}

int64_t fast_symlinkat(struct task *t, struct trap *tr)
{
    return symlink_at(t, tr->args[0], int_arg(tr, 1), tr->args[2]);
}

/* ---- removing -----------------------------------------------------------------------------------*/

void lost_a_name(struct inode *i)
{
    if (i->nlink)
        i->nlink--;
    i->ctime_ns = realtime_ns();
}

/* 0: no name in it; -ENOTEMPTY. A lower directory is listed first. */
int is_empty(struct dentry *dir)
{
    if (!(dir->inode->flags & INODE_COMPLETE) && dir->sb->tree >= 0) {
        int error = gofer_fs_list(dir);
        if (error)
            return error;
    }
    for (const struct dentry *d = dir->first_child; d; d = d->next_sibling)
        if (d->inode)
            return -ENOTEMPTY;
    return 0;
}

/* The walk to a name that is to go, and the checks that rmdir and unlink share. */
static int find_old(struct task *t, int dirfd, uint64_t user_path, bool is_dir, struct vfs_path *path)
{
    static const int not_a_name[] = {[LAST_DOT] = -EINVAL, [LAST_DOTDOT] = -ENOTEMPTY, [LAST_ROOT] = -EBUSY};
    int error = user_walk(t, dirfd, user_path, WALK_PARENT, path);
    if (error && !(error == -ENOENT && path->parent))
        return error;
    if (path->last != LAST_NORMAL)
        return is_dir ? not_a_name[path->last] : -EISDIR;
    struct dentry *dir = path->parent;
    if (!can_change(dir))
        return SENTRY_PUNT;
    if (dir->sb->flags & SB_RDONLY)
        return -EROFS;
    if (error)
        return error;
    struct dentry *d = path->dentry->sb == dir->sb ? path->dentry : path->dentry->sb->covered;
    if (d->inode->flags & (INODE_WATCHED | INODE_PYTHON))
        return SENTRY_PUNT;
    if (!is_dir && path->has_slash)
        return S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR;
    error = may_delete(t, dir, d, is_dir);
    if (error)
        return error;
    return is_busy(d) || path->dentry->parent == path->dentry ? -EBUSY : 0;
}

static int64_t unlink_at(struct task *t, int dirfd, uint64_t user_path)
{
    struct vfs_path path;
    int error = find_old(t, dirfd, user_path, false, &path);
    if (error)
        return error;
    lost_a_name(path.dentry->inode);
    dentry_remove(path.dentry);
    directory_changed(path.parent);
    return 0;
}

static int64_t rmdir_at(struct task *t, int dirfd, uint64_t user_path)
{
    struct vfs_path path;
    int error = find_old(t, dirfd, user_path, true, &path);
    if (!error)
        error = is_empty(path.dentry);
    if (error)
        return error;
    path.dentry->inode->nlink = 0;
    path.dentry->inode->ctime_ns = realtime_ns();
    dentry_remove(path.dentry);
    if (path.parent->inode->nlink > 2)
        path.parent->inode->nlink--;
    directory_changed(path.parent);
    return 0;
}

int64_t fast_unlink(struct task *t, struct trap *tr)
{
    return unlink_at(t, AT_FDCWD, tr->args[0]);
}

int64_t fast_rmdir(struct task *t, struct trap *tr)
{
    return rmdir_at(t, AT_FDCWD, tr->args[0]);
}

int64_t fast_unlinkat(struct task *t, struct trap *tr)
{
    int flags = int_arg(tr, 2);
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    if (flags & AT_REMOVEDIR)
        return rmdir_at(t, int_arg(tr, 0), tr->args[1]);
    return unlink_at(t, int_arg(tr, 0), tr->args[1]);
}
