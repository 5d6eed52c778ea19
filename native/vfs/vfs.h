/* vfs.h - what the C files of the vfs and the fast paths share, beyond what Python sees in sentry.h.
 *
 * Include this first: it brings sentry.h along (which has no include guard of its own, since cffi reads
 * it as it is; SENTRY_PUNT serves as one).
 */
#ifndef PYSENTRY_VFS_H
#define PYSENTRY_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef SENTRY_PUNT
#include "../sentry.h"
#endif

#define NSEC_PER_SEC 1000000000LL

/* A file's time in the 64 bits that an inode has for it: Linux has as many for the seconds alone, and the host, or a
 * gofer that lies, may have any. What is out of range is its end (the years 1677 and 2262). */
static inline int64_t ns_of(int64_t seconds, int64_t nanoseconds)
{
    int64_t ns;
    if (__builtin_mul_overflow(seconds, NSEC_PER_SEC, &ns) || __builtin_add_overflow(ns, nanoseconds, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

/* Capabilities that the vfs asks about (bit numbers, linux/capability.h). */
#define CAP_BIT_CHOWN           0
#define CAP_BIT_DAC_OVERRIDE    1
#define CAP_BIT_DAC_READ_SEARCH 2
#define CAP_BIT_FOWNER          3
#define CAP_BIT_FSETID          4

static inline bool cred_has_cap(const struct credentials *c, unsigned bit)
{
    return (c->cap_effective >> bit) & 1;
}

/* ---- inode.c */

bool cred_in_group(const struct credentials *c, uint32_t gid);

void *vfs_must_alloc(size_t size);                      /* zeroed; aborts without memory */
char *vfs_must_copy(const char *text, size_t len);      /* NUL-terminated copy */

/* Called when an inode that Python keeps state on (INODE_PYTHON, INODE_LOCKS, INODE_ATTACHED) is freed. Set at boot. */
extern void (*vfs_on_inode_gone)(uint64_t id);

/* ---- dcache.c */

/* More dentries than this and dcache_trim() forgets some that nothing refers to. */
extern uint32_t dcache_limit;

/* Forgets unused dentries of lower trees when there are more than dcache_limit. Call it only where no
 * dentry is held without a reference (at the start of a path walk). */
void dcache_trim(void);

/* True if removing a name from this directory must leave a whiteout: a lower directory lies below. */
static inline bool needs_whiteout(const struct dentry *dir)
{
    return dir->sb->kind == FS_TREE && dir->sb->tree >= 0 && !(dir->inode->flags & INODE_UPPER);
}

/* Takes a name out of a tree file system: drops the dentry and leaves a whiteout where one is needed. */
void dentry_remove(struct dentry *d);

bool is_subdir(const struct dentry *d, const struct dentry *ancestor); /* within one superblock; d itself counts */


/* ---- walk.c */

#define WALK_FOLLOW 1 /* follow a symlink in the last component */
#define WALK_PARENT 2 /* the caller makes, removes or renames the last component: never follow it, a trailing slash included */

#define WALK_OPENS  8 /* the last component will be opened for reading: the gofer may do that at once */
#define WALK_CREATE 4 /* the last component may be made by an open: with a trailing slash it is EISDIR, whatever is there */

enum last_component { LAST_NORMAL, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

/* Where a path led. Everything is borrowed: nothing may be held across a return to the engine. */
struct vfs_path {
    struct dentry *dentry;  /* what was found, mounts crossed; NULL if missing */
    struct dentry *parent;  /* the directory of the last component; NULL if the walk did not get that far */
    enum last_component last;
    bool has_slash;         /* "name/" */
    uint32_t name_len;
    char name[256];         /* the last component, if LAST_NORMAL */
};

/* Walks a path from base (or the task's root, if absolute) with the task's virtual credentials.
 * 0: out->dentry is there. -ENOENT with out->parent set: only the last component is missing; -ENAMETOOLONG with it
 * set: only the last component is too long. Other errno: as path_resolution(7) says. SENTRY_PUNT: a file system that C does not know is on the way. */
int vfs_walk(struct task *t, struct dentry *base, const char *path, uint32_t flags, struct vfs_path *out);

/* The dentry that a dirfd argument names: the working directory for AT_FDCWD. -EBADF, -ENOTDIR (not a file at all). */
int vfs_base(struct task *t, int dirfd, const char *path, struct dentry **base);

/* ---- lease.c: how long the gofer's answers are believed */

bool lease_holds(const struct superblock *sb, int64_t since_ns);
bool lease_name_is_fresh(const struct dentry *d);
bool lease_is_complete(const struct dentry *dir);     /* INODE_COMPLETE, and still to be believed */
bool lease_attributes_are_fresh(const struct inode *i);
bool lease_mode_is_fresh(const struct inode *i);
void lease_note_directory(struct inode *dir, int64_t asked_ns); /* its ctime is what the gofer said at asked_ns */
void desc_drops_writer(struct description *d);
struct inode *inode_shared_find(const struct superblock *sb, uint64_t dev, uint64_t ino);
void inode_unshare(struct inode *i);

/* ---- gofer_fs.c: lower trees and binds, through the gofer */

struct gofer_client;
extern struct gofer_client *the_gofer; /* set at boot */

static inline bool is_uncached(const struct superblock *sb)
{
    return sb->kind == FS_GOFER && !(sb->flags & SB_CACHED);
}

/* In a bind: a mount point, or a directory that boot made on the way to one. Not the host's to take away. */
static inline bool is_ours(const struct dentry *d)
{
    return d->mounted || (d->inode && (d->inode->flags & INODE_UPPER));
}

/* One name below dir, by what is known or, where that may not be true any more, by asking for all of rest at once (*asked:
 * so many components were answered). 0: *found, maybe negative; -errno; SENTRY_PUNT: the gofer answered what could not be kept. */
int gofer_fs_lookup(struct dentry *dir, const char *rest, uint32_t len, uint32_t flags, uint32_t *asked, struct dentry **found);
#define LOOKUP_LAST 1 /* the attributes matter, too */

/* Asks for the components at the start of rest, below dir, and makes dentries of the answers: how many were
 * answered (the last may be negative), or the first one's -errno. */
int gofer_fs_walk(struct dentry *dir, const char *rest, bool opens); /* opens: the last one, if it is a file that nobody changes */
int gofer_fs_take_opened(uint64_t inode_id); /* its descriptor, the caller's to close, or -1 */

/* Fresh attributes for one dentry of a tree that others change: 0, -errno (-ESTALE: something else has its place). */
int gofer_fs_revalidate(struct dentry *d);

/* Reads a directory with the attributes of its entries and makes dentries of them. One of a cached tree is INODE_COMPLETE
 * afterwards. 0, -errno, or SENTRY_PUNT: the gofer could not look at every entry. */
int gofer_fs_list(struct dentry *dir);

/* Names, "." and ".." left out, and dentries of directories: most who read a tree never look at its files. Whoever
 * then looks at one gets the attributes of all (walk.c). 0, -errno, or SENTRY_PUNT: the host says no types. */
typedef void (*gofer_fs_name)(void *arg, uint64_t ino, unsigned type, const char *name, uint32_t len);
int gofer_fs_names(struct dentry *dir, gofer_fs_name tell, void *arg);
bool gofer_fs_was_read(const struct dentry *dir); /* names were, attributes were not */

/* The same of several regular files of one directory, for reading: each a descriptor or -errno. names: NUL-ended ones. */
int gofer_fs_open_many(struct dentry *dir, const char *names, uint32_t names_len, uint32_t count, int *fds);

#endif
