/* gofer_fs.c - what the gofer says about host trees, as dentries and inodes.
 *
 * Owns the conversion of attributes and which of the gofer's answers are kept. Does not own the protocol
 * (gofer/protocol.h) nor how a request travels (gofer/client.h).
 *
 * A round trip costs as much as ten answered calls, so each one brings what will be asked next: all components
 * of a path, all entries of a directory with their attributes.
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../gofer/client.h"
#include "../gofer/protocol.h"

#define COMPONENTS_MAX 64

struct gofer_client *the_gofer;

/* ---- answers become dentries --------------------------------------------------------------------*/

static int64_t asked_ns; /* when the answer that is being kept was asked for */

static void fill_inode(struct inode *i, const struct gofer_attr *a)
{
    i->mode = a->mode;
    if (!(i->flags & INODE_OWNED)) {
        i->uid = a->uid;
        i->gid = a->gid;
    }
    i->nlink = a->nlink;
    i->ino = a->ino;
    i->dev = makedev(a->dev_major, a->dev_minor);
    i->rdev = makedev(a->rdev_major, a->rdev_minor);
    i->size = (int64_t)a->size;
    i->blocks = (int64_t)a->blocks;
    i->blksize = a->blksize;
    i->atime_ns = ns_of(a->atime_sec, a->atime_nsec);
    i->mtime_ns = ns_of(a->mtime_sec, a->mtime_nsec);
    i->ctime_ns = ns_of(a->ctime_sec, a->ctime_nsec);
    i->btime_ns = a->flags & GOFER_ATTR_BTIME ? ns_of(a->btime_sec, a->btime_nsec) : 0;
    i->checked_ns = asked_ns;
    if (S_ISDIR(i->mode) && i->sb->lease_ns)
        lease_note_directory(i, asked_ns);
    else if (i->nlink > 1 && !S_ISDIR(i->mode))
        inode_share(i);
}

static bool is_same_inode(const struct inode *i, const struct gofer_attr *a)
{
    return i->ino == a->ino && i->dev == makedev(a->dev_major, a->dev_minor) &&
           (i->mode & S_IFMT) == (a->mode & S_IFMT);
}

static void take_target(struct inode *i, const char *target, uint32_t target_len)
{
    if (!S_ISLNK(i->mode))
        return;
    free(i->symlink);
    i->symlink = vfs_must_copy(target, target_len);
}

/* The inode that is known for another name of the same file, or a new one. */
static struct inode *inode_of(struct superblock *sb, const struct gofer_attr *a, const char *target, uint32_t target_len)
{
    struct inode *i = NULL;
    if (a->nlink > 1 && !S_ISDIR(a->mode) && sb->kind == FS_GOFER)
        i = inode_shared_find(sb, makedev(a->dev_major, a->dev_minor), a->ino);
    if (!i || !is_same_inode(i, a))
        i = inode_new(sb, a->mode);
    fill_inode(i, a);
    take_target(i, target, target_len);
    return i;
}

/* What the sandbox knows wins in a tree (an upper entry, a whiteout); in a bind that others change, the host does. */
static struct dentry *insert(struct dentry *dir, const char *name, uint32_t len, const struct gofer_attr *a,
                             const char *target, uint32_t target_len)
{
    struct dentry *d = dentry_find(dir, name, len);
    if (d && (is_ours(d) || !is_uncached(dir->sb)))
        return d;
    if (d && d->inode) {
        if (is_same_inode(d->inode, a)) {
            fill_inode(d->inode, a);
            take_target(d->inode, target, target_len); /* the number may be another symlink's by now */
            d->checked_ns = asked_ns;
            return d;
        }
        dentry_drop(d);
    }
    d = dentry_add(dir, name, len, inode_of(dir->sb, a, target, target_len));
    d->checked_ns = asked_ns;
    return d;
}

static void insert_negative(struct dentry *dir, const char *name, uint32_t len)
{
    struct dentry *d = dentry_find(dir, name, len);
    if (d && (is_ours(d) || !is_uncached(dir->sb)))
        return;
    if (d && d->inode)
        dentry_drop(d);
    dentry_add(dir, name, len, NULL)->checked_ns = asked_ns;
}

/* ---- walking ------------------------------------------------------------------------------------*/

struct component {
    uint32_t start, len; /* in the request's path */
};

/* Appends the components at the start of rest to path, up to "." or "..", a mount point, or what fits. */
static uint32_t add_components(struct dentry *dir, const char *rest, char *path, uint32_t *path_len,
                               struct component *components)
{
    uint32_t count = 0;
    while (*rest && count < COMPONENTS_MAX) {
        uint32_t len = (uint32_t)(strchrnul(rest, '/') - rest);
        if ((rest[0] == '.' && (len == 1 || (len == 2 && rest[1] == '.'))) || len > 255)
            break;
        if (*path_len + 1 + len > GOFER_PATH_MAX)
            break;
        if (dir) {
            dir = dentry_find(dir, rest, len);
            if (dir && is_ours(dir))
                break;
        }
        if (*path_len)
            path[(*path_len)++] = '/';
        components[count].start = *path_len;
        components[count++].len = len;
        memcpy(path + *path_len, rest, len);
        *path_len += len;
        rest += len;
        while (*rest == '/')
            rest++;
    }
    return count;
}

/* The descriptor that came with the last walk for an open, until that open takes it. */
static struct {
    uint64_t inode_id; /* 0: none */
    int fd;
} opened;

static void keep_opened(const struct dentry *d, int fd)
{
    if (fd < 0)
        return;
    if (opened.inode_id)
        close(opened.fd);
    opened.inode_id = d ? d->inode->id : 0;
    opened.fd = fd;
    if (!d)
        close(fd);
}

int gofer_fs_take_opened(uint64_t inode_id)
{
    if (opened.inode_id != inode_id)
        return -1;
    opened.inode_id = 0;
    return opened.fd;
}

int gofer_fs_walk(struct dentry *dir, const char *rest, bool opens)
{
    char path[GOFER_PATH_MAX + 1];
    struct component components[COMPONENTS_MAX];
    int base_len = dentry_lower_path(dir, path, sizeof path);
    if (base_len < 0)
        return base_len;
    uint32_t path_len = (uint32_t)base_len;
    uint32_t count = add_components(dir, rest, path, &path_len, components);
    if (!count)
        return SENTRY_PUNT;

    struct gofer_walk_answer answer;
    uint32_t flags = dir->sb->lease_ns && base_len ? GOFER_WALK_BASE : 0;
    if (opens && dir->sb->flags & SB_CACHED)
        flags |= GOFER_WALK_OPEN;
    asked_ns = sentry_now_ns();
    int error = gofer_walk(the_gofer, (uint32_t)dir->sb->tree, path, path_len, (uint32_t)base_len, flags, &answer);
    if (error)
        return error;
    if (flags & GOFER_WALK_BASE) { /* one look at the directory renews all of its names */
        if (is_same_inode(dir->inode, answer.base))
            fill_inode(dir->inode, answer.base);
    }
    uint32_t answered = answer.count < count ? answer.count : count;
    for (uint32_t n = 0; n < answered; n++) {
        bool is_last = n + 1 == answer.count;
        dir = insert(dir, path + components[n].start, components[n].len, &answer.attrs[n],
                     is_last ? answer.target : "", is_last ? answer.target_len : 0);
        if (!dir->inode || is_ours(dir)) { /* a whiteout or a mount: what lies below on the host does not matter */
            keep_opened(NULL, answer.fd);
            return (int)n + 1;
        }
    }
    keep_opened(answered == count ? dir : NULL, answer.fd);
    if (answer.stop == ENOENT && answered < count) {
        insert_negative(dir, path + components[answered].start, components[answered].len);
        return (int)answered + 1;
    }
    return answered ? (int)answered : answer.stop ? -(int)answer.stop : SENTRY_PUNT;
}

int gofer_fs_revalidate(struct dentry *d)
{
    char path[GOFER_PATH_MAX + 1];
    struct gofer_walk_answer answer;
    if (d->flags & DENTRY_UNHASHED)
        return -ESTALE;
    if (d->inode->flags & INODE_UPPER)
        return 0;
    int len = dentry_lower_path(d, path, sizeof path);
    if (len < 0)
        return len;
    asked_ns = sentry_now_ns();
    int error = gofer_walk(the_gofer, (uint32_t)d->sb->tree, path, (uint32_t)len, (uint32_t)len, 0, &answer);
    if (error)
        return error;
    if (answer.count != 1)
        return answer.stop ? -(int)answer.stop : SENTRY_PUNT;
    if (!is_same_inode(d->inode, &answer.attrs[0]))
        return -ESTALE;
    fill_inode(d->inode, &answer.attrs[0]);
    d->checked_ns = asked_ns;
    return 0;
}

int gofer_fs_refresh(struct dentry *d)
{
    if (d->inode->flags & INODE_UPPER || lease_attributes_are_fresh(d->inode))
        return 0;
    return gofer_fs_revalidate(d);
}

void gofer_fs_distrust(struct dentry *d)
{
    d->checked_ns = 0;
    if (d->inode)
        attributes_unknown(d->inode);
}

/* ---- one name -----------------------------------------------------------------------------------*/

/* What is known of a name and may be believed: true, with *found, which is NULL if it is known not to exist. */
static bool is_known(struct dentry *dir, const char *name, uint32_t len, uint32_t flags, struct dentry **found)
{
    struct dentry *d = *found = dentry_find(dir, name, len);
    if ((d && is_ours(d)) || (dir->inode->flags & INODE_UPPER))
        return true;
    if (!is_uncached(dir->sb))
        return d || (dir->inode->flags & INODE_COMPLETE);
    if (!d)
        return lease_is_complete(dir);
    return lease_name_is_fresh(d) && (!(flags & LOOKUP_LAST) || !d->inode || lease_mode_is_fresh(d->inode));
}

int gofer_fs_lookup(struct dentry *dir, const char *rest, uint32_t len, uint32_t flags, uint32_t *asked, struct dentry **found)
{
    *asked = 0;
    if (is_known(dir, rest, len, flags, found))
        return *found ? 0 : -ENOENT;
    if (!*found && (!is_uncached(dir->sb) || dir->sb->lease_ns) && gofer_fs_was_read(dir)) {
        /* Somebody read this directory (its own directories have dentries since then) and now looks at the files: the
         * others will be asked for, too. */
        gofer_fs_list(dir);
        if (is_known(dir, rest, len, flags, found))
            return *found ? 0 : -ENOENT;
    }
    int answered = gofer_fs_walk(dir, rest, false);
    if (answered < 0)
        return answered;
    *asked = (uint32_t)answered;
    *found = dentry_find(dir, rest, len);
    return *found ? 0 : SENTRY_PUNT; /* the gofer answered something we could not keep */
}

int gofer_fs_find(struct dentry *dir, const char *name, uint32_t len, struct dentry **found)
{
    uint32_t asked;
    int error = gofer_fs_lookup(dir, name, len, LOOKUP_LAST, &asked, found);
    return error == SENTRY_PUNT ? -ENAMETOOLONG : error;
}

/* ---- directories --------------------------------------------------------------------------------*/

/* Directories whose names were read last, by inode id. */
#define READ_PLACES 256u
static uint64_t read_names[READ_PLACES];

bool gofer_fs_was_read(const struct dentry *dir)
{
    return read_names[dir->inode->id % READ_PLACES] == dir->inode->id;
}

int gofer_fs_list(struct dentry *dir)
{
    char path[GOFER_PATH_MAX + 1];
    int len = dentry_lower_path(dir, path, sizeof path);
    if (len < 0)
        return len;
    struct gofer_readdir_answer answer;
    uint64_t cookie = 0;
    bool is_complete = true;
    struct dentry *last = NULL;
    asked_ns = sentry_now_ns();
    do {
        int error = gofer_readdir(the_gofer, (uint32_t)dir->sb->tree, path, (uint32_t)len, cookie, &answer);
        if (error)
            return error;
        const unsigned char *at = answer.entries, *end = at + answer.entries_len;
        while (at < end) {
            const struct gofer_dirent *e = (const void *)at;
            const char *name = (const char *)(e + 1);
            at += e->size;
            if (e->name_len > 255)
                continue; /* no path can name it */
            if (!(e->attr.flags & GOFER_ATTR_VALID)) {
                is_complete = false; /* named but not to be looked at: a lookup finds out why */
                continue;
            }
            if (last) /* a name that comes twice, the second time as another file, takes its own dentry away */
                dentry_ref(last);
            struct dentry *d = insert(dir, name, e->name_len, &e->attr, name + e->name_len, e->target_len);
            dentry_place_after(d, last && !(last->flags & DENTRY_UNHASHED) ? last : NULL);
            if (last)
                dentry_unref(last);
            last = d;
        }
        cookie = answer.next_cookie;
    } while (!answer.eof);
    if (is_uncached(dir->sb))
        fill_inode(dir->inode, &answer.directory);
    if (is_complete && (!is_uncached(dir->sb) || dir->sb->lease_ns))
        dir->inode->flags |= INODE_COMPLETE;
    read_names[dir->inode->id % READ_PLACES] = 0;
    return is_complete ? 0 : SENTRY_PUNT;
}

/* One record of the kernel: struct linux_dirent64 */
struct record {
    uint64_t ino;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

int gofer_fs_names(struct dentry *dir, gofer_fs_name tell, void *arg)
{
    char path[GOFER_PATH_MAX + 1];
    int len = dentry_lower_path(dir, path, sizeof path);
    if (len < 0)
        return len;
    struct gofer_list_answer answer;
    uint64_t cookie = 0;
    asked_ns = sentry_now_ns();
    do {
        int error = gofer_list(the_gofer, (uint32_t)dir->sb->tree, path, (uint32_t)len, cookie, &answer);
        if (error)
            return error;
        const unsigned char *at = answer.entries, *end = at + answer.entries_len;
        uint32_t directories = 0;
        for (const struct record *r; at < end; at += r->size) {
            r = (const void *)at;
            uint32_t name_len = (uint32_t)strlen(r->name);
            if (r->name[0] == '.' && (name_len == 1 || (name_len == 2 && r->name[1] == '.')))
                continue;
            if (r->type == DT_UNKNOWN)
                return SENTRY_PUNT;
            if (r->type == DT_DIR && directories < answer.n_attrs && name_len <= 255) {
                const struct gofer_attr *a = &answer.attrs[directories++];
                if ((a->flags & GOFER_ATTR_VALID) && (!is_uncached(dir->sb) || dir->sb->lease_ns))
                    insert(dir, r->name, name_len, a, "", 0); /* who reads a tree goes there next */
            }
            if (name_len <= 255)
                tell(arg, r->ino, r->type, r->name, name_len);
        }
        cookie = answer.next_cookie;
    } while (!answer.eof);
    read_names[dir->inode->id % READ_PLACES] = dir->inode->id;
    return 0;
}

/* ---- opening ------------------------------------------------------------------------------------*/

int gofer_fs_open(struct dentry *d, uint32_t flags)
{
    char path[GOFER_PATH_MAX + 1];
    struct gofer_attr attr;
    int len = dentry_lower_path(d, path, sizeof path);
    if (len < 0)
        return len;
    asked_ns = sentry_now_ns();
    int fd = gofer_open(the_gofer, (uint32_t)d->sb->tree, path, (uint32_t)len, flags, &attr);
    if (d->sb->kind != FS_GOFER || !d->inode)
        return fd;
    if (fd >= 0 && is_same_inode(d->inode, &attr)) {
        fill_inode(d->inode, &attr);
    } else if (fd >= 0) { /* replaced meanwhile: whoever asked looks again */
        close(fd);
        fd = -ESTALE;
    }
    if (fd == -ENOENT || fd == -ESTALE)
        gofer_fs_distrust(d);
    return fd;
}

int gofer_fs_open_many(struct dentry *dir, const char *names, uint32_t names_len, uint32_t count, int *fds)
{
    char path[GOFER_PATH_MAX + 1];
    int len = dentry_lower_path(dir, path, sizeof path);
    if (len < 0)
        return len;
    return gofer_open_many(the_gofer, (uint32_t)dir->sb->tree, path, (uint32_t)len, names, names_len, count, fds);
}
