/* path.c - what the path-taking fast paths share: reading and walking a path, and permission to change a directory. */
#define _GNU_SOURCE
#include "fast.h"

#include "../engine/engine.h"
#include "python.h"

#include <string.h>
#include <time.h>

int walk_at(struct task *t, int dirfd, const char *path, uint32_t flags, struct vfs_path *out)
{
    struct dentry *base;
    dcache_trim();
    out->dentry = out->parent = NULL;
    if (!*path)
        return -ENOENT; /* getname() refuses it before dirfd is looked at */
    int error = vfs_base(t, dirfd, path, &base);
    return error ? error : vfs_walk(t, base, path, flags, out);
}

int user_walk(struct task *t, int dirfd, uint64_t user_path, uint32_t flags, struct vfs_path *out)
{
    char path[PATH_CAP];
    int64_t len = um_read_cstr(t, user_path, path, sizeof path);
    out->dentry = out->parent = NULL; /* callers look at them after an error, too */
    if (len < 0)
        return (int)len;
    return walk_at(t, dirfd, path, flags, out);
}

struct dentry *task_walk(struct task *t, int dirfd, const char *path)
{
    struct vfs_path found;
    if (!engine.fast_path || walk_at(t, dirfd, path, WALK_FOLLOW, &found))
        return NULL;
    return found.dentry;
}

int may_create(const struct task *t, const struct dentry *dir)
{
    if (dir->flags & DENTRY_UNHASHED)
        return -ENOENT;
    return inode_permission(t->cred, dir->inode, 2 | 1);
}

int may_delete(const struct task *t, const struct dentry *dir, const struct dentry *d, bool is_dir)
{
    int error = inode_permission(t->cred, dir->inode, 2 | 1);
    if (error)
        return error;
    if ((dir->inode->mode & S_ISVTX) && d->inode->uid != t->cred->fsuid && dir->inode->uid != t->cred->fsuid &&
        !cred_has_cap(t->cred, CAP_BIT_FOWNER))
        return -EPERM;
    if (is_dir && !S_ISDIR(d->inode->mode))
        return -ENOTDIR;
    if (is_dir && d->parent == d)
        return -EBUSY;
    if (!is_dir && S_ISDIR(d->inode->mode))
        return -EISDIR;
    return 0;
}

bool can_change(const struct dentry *dir)
{
    return dir->sb->kind == FS_TREE && !(dir->inode->flags & (INODE_PYTHON | INODE_WATCHED));
}

int64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

struct inode *new_upper_inode(struct task *t, const struct dentry *dir, uint32_t mode)
{
    struct superblock *sb = dir->sb;
    uint32_t asked = mode; /* set-group-id is judged before the umask: mode_strip_sgid() */
    mode &= ~(t->fs->umask & 0777);
    struct inode *i = inode_new(sb, mode);
    i->uid = t->cred->fsuid;
    i->gid = t->cred->fsgid;
    if (dir->inode->mode & S_ISGID) {
        i->gid = dir->inode->gid;
        if (S_ISDIR(mode))
            i->mode |= S_ISGID;
        else if ((asked & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !cred_in_group(t->cred, i->gid) &&
                 !cred_has_cap(t->cred, CAP_BIT_FSETID))
            i->mode &= ~(uint32_t)S_ISGID;
    }
    i->flags = INODE_UPPER;
    i->ino = sb->next_ino++;
    return i;
}

void directory_changed(struct dentry *dir)
{
    dir->inode->mtime_ns = dir->inode->ctime_ns = realtime_ns();
    if (needs_whiteout(dir))
        dir->inode->flags |= INODE_OVERLAID;
    dir->flags |= DENTRY_PINNED; /* its attributes are no longer the host's */
}

struct dentry *add_upper(struct dentry *dir, const struct vfs_path *path, struct inode *inode)
{
    struct dentry *d = dentry_add(dir, path->name, path->name_len, inode);
    d->flags |= DENTRY_PINNED;
    directory_changed(dir);
    return d;
}
