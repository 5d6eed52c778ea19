/* walk.c - from a path to a dentry, over the cache, as path_resolution(7) describes.
 *
 * Owns the order in which the errors of a walk win. What the cache does not know is asked of the gofer, several
 * components at a time (gofer_fs.c); file systems that Python generates make the walk punt.
 *
 * Hot path: one hash lookup per component, no allocation, no host call when everything is cached. A path is
 * copied only where a symlink is spliced in.
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SYMLINKS_MAX 40 /* MAXSYMLINKS in Linux */
#define NAME_LIMIT 255
#define SPLICED_CAP 8192

struct walk {
    struct task *task;
    uint32_t links;  /* symlinks followed so far */
    bool opens;      /* WALK_OPENS */
    int32_t fresh;   /* so many of the next components were just asked for */
    uint32_t buffer; /* which of the two buffers holds the path now */
    char spliced[2][SPLICED_CAP];
};

static struct walk the_walk; /* 16 KiB that one thread uses at a time: not worth zeroing on the stack */

static struct dentry *cross_mounts(struct dentry *d)
{
    while (d->mounted)
        d = d->mounted;
    return d;
}

static struct dentry *parent_of(const struct walk *w, struct dentry *d)
{
    struct dentry *root = w->task->fs->root;
    while (d != root && d->parent == d && d->sb->covered)
        d = d->sb->covered;
    if (d == root || d->parent == d)
        return d;
    return cross_mounts(d->parent);
}

/* One name in one directory: a dentry (perhaps negative), or NULL with *error set. */
static struct dentry *look_up(struct walk *w, struct dentry *dir, const char *name, uint32_t len, int *error)
{
    const struct superblock *sb = dir->sb;
    if (sb->kind == FS_BIND) { /* its names are another file system's */
        *error = SENTRY_PUNT;
        return NULL;
    }
    *error = -ENOENT;
    if (dir->flags & DENTRY_UNHASHED)
        return NULL;
    if (sb->kind == FS_GOFER) {
        struct dentry *found;
        uint32_t asked;
        if (w->fresh > 0) {
            w->fresh--;
            found = dentry_find(dir, name, len);
            if (found)
                return found;
        }
        int failed = gofer_fs_lookup(dir, name, len, name[len] ? 0 : LOOKUP_LAST, &asked, &found);
        w->fresh = asked ? (int32_t)asked - 1 : 0;
        *error = failed ? failed : -ENOENT;
        return failed ? NULL : found;
    }
    struct dentry *d = dentry_find(dir, name, len);
    if (d || (dir->inode->flags & INODE_COMPLETE))
        return d;
    if ((dir->inode->flags & INODE_PYTHON) || sb->tree < 0 || sb->kind != FS_TREE) {
        *error = SENTRY_PUNT;
        return NULL;
    }
    if (gofer_fs_was_read(dir)) {
        /* Somebody read this directory (its own directories have dentries since then) and now looks at the files: the
         * others will be asked for, too. */
        gofer_fs_list(dir);
        d = dentry_find(dir, name, len);
        if (d || (dir->inode->flags & INODE_COMPLETE))
            return d;
    }
    int asked = gofer_fs_walk(dir, name, w->opens);
    if (asked < 0) {
        *error = asked;
        return NULL;
    }
    *error = SENTRY_PUNT; /* the gofer answered something we could not keep */
    return dentry_find(dir, name, len);
}

/* The path that is left once a symlink's target has taken the place of its name. */
static int splice_link(struct walk *w, const char *target, const char *rest, bool has_slash, const char **path)
{
    size_t target_len = strlen(target), rest_len = strlen(rest);
    if (!target_len)
        return -ENOENT;
    if (target_len + 1 + rest_len + 1 > SPLICED_CAP)
        return -ENAMETOOLONG;
    w->buffer ^= 1; /* rest points into the other one */
    char *into = w->spliced[w->buffer];
    memcpy(into, target, target_len);
    if (has_slash)
        into[target_len++] = '/';
    memcpy(into + target_len, rest, rest_len + 1);
    *path = into;
    return 0;
}

int vfs_walk(struct task *t, struct dentry *base, const char *path, uint32_t flags, struct vfs_path *out)
{
    struct walk *w = &the_walk;
    struct dentry *d = base;
    const char *p = path;

    out->dentry = out->parent = NULL;
    out->last = LAST_ROOT;
    out->has_slash = false;
    out->name_len = 0;
    w->task = t;
    w->links = 0;
    w->opens = flags & WALK_OPENS;
    w->fresh = 0;
    if (!*p)
        return -ENOENT;
    if (*p == '/') {
        d = t->fs->root;
        while (*p == '/')
            p++;
        out->parent = d;
    }
    while (*p) {
        if (!S_ISDIR(d->inode->mode))
            return -ENOTDIR;
        int error = inode_permission(t->cred, d->inode, 1);
        if (error)
            return error;
        const char *end = strchrnul(p, '/');
        const char *next = end;
        while (*next == '/')
            next++;
        size_t len = (size_t)(end - p);
        bool is_last = !*next, has_slash = next != end;

        if (is_last) {
            out->parent = d;
            out->has_slash = has_slash;
            out->name_len = 0;
        }
        if (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))) {
            if (len == 2) {
                d = parent_of(w, d);
                w->fresh = 0;
            }
            out->last = len == 1 ? LAST_DOT : LAST_DOTDOT;
            p = next;
            continue;
        }
        if (is_last) {
            out->last = LAST_NORMAL;
            if (has_slash && (flags & WALK_CREATE))
                return -EISDIR;
        }
        if (len > NAME_LIMIT) /* what lookups say; in a removed directory they do not get that far */
            return d->flags & DENTRY_UNHASHED ? -ENOENT : -ENAMETOOLONG;
        if (is_last) {
            out->name_len = (uint32_t)len;
            memcpy(out->name, p, len);
            out->name[len] = 0;
        }
        struct dentry *child = look_up(w, d, p, (uint32_t)len, &error);
        if (!child || !child->inode) {
            if (is_last && (child || error == -ENOENT))
                return -ENOENT;
            out->parent = NULL;
            return child ? -ENOENT : error;
        }
        if (child->mounted) {
            child = cross_mounts(child);
            w->fresh = 0;
        }
        struct inode *inode = child->inode;
        bool follows = !is_last || (flags & WALK_FOLLOW) || (has_slash && !(flags & WALK_PARENT));
        if (!S_ISLNK(inode->mode) || !follows) {
            d = child;
            p = next;
            continue;
        }
        out->parent = NULL;
        if ((inode->flags & INODE_PYTHON) || !inode->symlink)
            return SENTRY_PUNT; /* a link of /proc, whose target is no path */
        if (++w->links > SYMLINKS_MAX || (child->sb->flags & SB_NOSYMFOLLOW))
            return -ELOOP;
        error = splice_link(w, inode->symlink, next, has_slash, &p);
        if (error)
            return error;
        w->fresh = 0;
        out->last = LAST_ROOT;
        if (*p == '/') {
            d = t->fs->root;
            while (*p == '/')
                p++;
            out->parent = d;
        }
    }
    if (d->sb->kind == FS_BIND)
        return SENTRY_PUNT;
    out->dentry = d;
    if (out->has_slash && !(flags & WALK_PARENT) && !S_ISDIR(d->inode->mode))
        return -ENOTDIR;
    return 0;
}

int vfs_base(struct task *t, int dirfd, const char *path, struct dentry **base)
{
    *base = t->fs->cwd;
    if (path[0] == '/' || dirfd == AT_FDCWD)
        return 0;
    const struct description *d = fd_get(t, dirfd);
    if (!d)
        return -EBADF;
    if (!d->dentry)
        return d->kind == DESC_PYTHON ? SENTRY_PUNT : -ENOTDIR;
    *base = d->dentry;
    return 0;
}
