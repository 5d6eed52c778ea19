/* rename.c - rename and link in memory-backed trees: calls with two names.
 *
 * A renamed lower entry remembers its place on the host (dentry_move), and leaves a whiteout at its old name. RENAME_EXCHANGE is
 * Python's. The order of checks is that of do_renameat2(), vfs_rename() and do_linkat() in Linux fs/namei.c.
 */
#define _GNU_SOURCE
#include "names.h"

#define RENAME_NOREPLACE_FLAG 1
#define RENAME_KNOWN_FLAGS 7

/* The walk got to the directory: what is wrong with the last component is said only after both directories are found. */
static bool is_about_name(int error, const struct vfs_path *path)
{
    return path->parent && (error == -ENOENT || error == -ENAMETOOLONG);
}

/* Keeps what the first walk found while the second one goes on: that may trim the cache, and of a bind it may see that the host
 * has put something else there. */
static void hold(const struct vfs_path *path)
{
    dentry_ref(path->parent);
    if (path->dentry)
        dentry_ref(path->dentry);
}

static void let_go(const struct vfs_path *path)
{
    if (path->dentry)
        dentry_unref(path->dentry);
    dentry_unref(path->parent);
}

/* vfs_rename() once both places are known. */
static int may_rename(const struct task *t, const struct vfs_path *from, const struct vfs_path *to)
{
    const struct dentry *d = from->dentry, *target = to->dentry;
    bool is_dir = S_ISDIR(d->inode->mode);
    int error = may_delete(t, from->parent, d, is_dir);
    if (error)
        return error;
    if (!target)
        error = may_create(t, to->parent);
    else
        error = may_delete(t, to->parent, target, is_dir);
    if (error)
        return error;
    if (is_dir && from->parent != to->parent)
        error = inode_permission(t->cred, d->inode, 2);
    if (error)
        return error;
    return is_busy(d) || (target && is_busy(target)) ? -EBUSY : 0;
}

static void move_name(const struct vfs_path *from, const struct vfs_path *to)
{
    struct dentry *d = from->dentry;
    bool is_dir = S_ISDIR(d->inode->mode);
    if (to->dentry) {
        struct inode *replaced = to->dentry->inode;
        if (is_dir) {
            replaced->nlink = 0;
            to->parent->inode->nlink--;
        } else {
            lost_a_name(replaced);
        }
    }
    dentry_move(d, to->parent, to->name, to->name_len);
    if (needs_whiteout(from->parent)) {
        struct dentry *white = dentry_add(from->parent, from->name, from->name_len, NULL);
        white->flags |= DENTRY_PINNED;
    }
    if (is_dir && from->parent != to->parent) {
        from->parent->inode->nlink--;
        to->parent->inode->nlink++;
    }
    d->inode->ctime_ns = realtime_ns();
    directory_changed(from->parent);
    directory_changed(to->parent);
}

/* The first walk is done (from, held; from_error: what is wrong with its last component); now the second, and the rest. */
static int64_t rename_to(struct task *t, const struct vfs_path *from, int from_error, int to_fd, uint64_t user_to, uint32_t flags)
{
    char to_name[PATH_CAP];
    struct vfs_path to;
    int64_t len = um_read_cstr(t, user_to, to_name, sizeof to_name);
    if (len < 0)
        return len;
    if (from->dentry && from->dentry->sb != from->parent->sb)
        return SENTRY_PUNT; /* a mount point */
    int to_error = walk_at(t, to_fd, to_name, WALK_PARENT, &to);
    if (to_error && !is_about_name(to_error, &to))
        return to_error;
    if (flags & ~RENAME_NOREPLACE_FLAG)
        return SENTRY_PUNT;
    if (from->parent->sb != to.parent->sb)
        return -EXDEV;
    if (from->last != LAST_NORMAL)
        return -EBUSY;
    if (to.last != LAST_NORMAL)
        return flags & RENAME_NOREPLACE_FLAG ? -EEXIST : -EBUSY;
    if (!can_change(from->parent) || !can_change(to.parent) || (to.dentry && to.dentry->sb != to.parent->sb))
        return SENTRY_PUNT;
    if (from->parent->sb->flags & SB_RDONLY)
        return -EROFS;
    if (from_error || to_error == -ENAMETOOLONG)
        return from_error ? from_error : to_error;
    if (to.dentry && (flags & RENAME_NOREPLACE_FLAG))
        return -EEXIST;
    struct dentry *d = from->dentry;
    bool is_dir = S_ISDIR(d->inode->mode);
    if (!is_dir && (from->has_slash || to.has_slash))
        return -ENOTDIR;
    if (is_subdir(to.parent, d))
        return -EINVAL;
    if (to.dentry && is_subdir(from->parent, to.dentry))
        return -ENOTEMPTY;
    if ((d->inode->flags | (to.dentry ? to.dentry->inode->flags : 0)) & (INODE_WATCHED | INODE_PYTHON))
        return SENTRY_PUNT;
    if (to.dentry && to.dentry->inode == d->inode)
        return 0;
    int error = may_rename(t, from, &to);
    if (!error && is_dir && to.dentry)
        error = is_empty(to.dentry);
    if (error)
        return error;
    move_name(from, &to);
    return 0;
}

static int64_t rename_at(struct task *t, int from_fd, uint64_t user_from, int to_fd, uint64_t user_to, uint32_t flags)
{
    struct vfs_path from;
    if (flags & ~RENAME_KNOWN_FLAGS)
        return -EINVAL;
    int error = user_walk(t, from_fd, user_from, WALK_PARENT, &from);
    if (error && !is_about_name(error, &from))
        return error;
    hold(&from);
    int64_t result = rename_to(t, &from, error, to_fd, user_to, flags);
    let_go(&from);
    return result;
}

int64_t fast_rename(struct task *t, struct trap *tr)
{
    return rename_at(t, AT_FDCWD, tr->args[0], AT_FDCWD, tr->args[1], 0);
}

int64_t fast_renameat(struct task *t, struct trap *tr)
{
    return rename_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), tr->args[3], 0);
}

int64_t fast_renameat2(struct task *t, struct trap *tr)
{
    return rename_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), tr->args[3], (uint32_t)tr->args[4]);
}

/* fs.protected_hardlinks = 1: may_linkat() in Linux fs/namei.c. Others' files only if they could be written anyway. */
static int may_link(const struct task *t, const struct inode *i)
{
    if (t->cred->fsuid == i->uid || cred_has_cap(t->cred, CAP_BIT_FOWNER))
        return 0;
    bool is_special = !S_ISREG(i->mode) || (i->mode & S_ISUID) || (i->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    return is_special || inode_permission(t->cred, i, 4 | 2) ? -EPERM : 0;
}

/* The file is found (d, held); now its new name. */
static int64_t link_to(struct task *t, struct dentry *d, int to_fd, uint64_t user_to)
{
    char name[PATH_CAP], lower[PATH_CAP];
    struct vfs_path to;
    int64_t len = um_read_cstr(t, user_to, name, sizeof name);
    if (len < 0)
        return len;
    int error = find_new(t, to_fd, name, false, &to);
    if (error)
        return error;
    if (d->sb != to.parent->sb)
        return -EXDEV;
    struct inode *i = d->inode;
    error = may_link(t, i);
    if (!error)
        error = may_create(t, to.parent);
    if (error)
        return error;
    if (S_ISDIR(i->mode))
        return -EPERM;
    if (!i->nlink)
        return i->flags & INODE_ATTACHED ? SENTRY_PUNT : -ENOENT; /* O_TMPFILE may get a name */
    if (i->flags & (INODE_WATCHED | INODE_PYTHON))
        return SENTRY_PUNT;
    if (d->sb->tree >= 0 && !(i->flags & INODE_UPPER) && !i->lower_path) {
        if (dentry_lower_path(d, lower, sizeof lower) < 0)
            return SENTRY_PUNT;
        inode_set_lower_path(i, lower); /* its other name would lead elsewhere */
    }
    d->flags |= DENTRY_PINNED;
    i->nlink++;
    i->ctime_ns = realtime_ns();
    add_upper(to.parent, &to, i);
    return 0;
}

static int64_t link_at(struct task *t, int from_fd, uint64_t user_from, int to_fd, uint64_t user_to, int flags)
{
    struct vfs_path from;
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH)
        return SENTRY_PUNT;
    int error = user_walk(t, from_fd, user_from, flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0, &from);
    if (error)
        return error;
    dentry_ref(from.dentry);
    int64_t result = link_to(t, from.dentry, to_fd, user_to);
    dentry_unref(from.dentry);
    return result;
}

int64_t fast_link(struct task *t, struct trap *tr)
{
    return link_at(t, AT_FDCWD, tr->args[0], AT_FDCWD, tr->args[1], 0);
}

int64_t fast_linkat(struct task *t, struct trap *tr)
{
    return link_at(t, int_arg(tr, 0), tr->args[1], int_arg(tr, 2), tr->args[3], int_arg(tr, 4));
}
