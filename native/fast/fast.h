/* fast.h - what the fast paths share: arguments, paths, and the rules they all keep.
 *
 * Rules for every function here:
 * - A punt comes before the first side effect. What only warms a cache is no side effect.
 * - Arguments are read from user memory once, and errors win in Linux's order.
 * - What is copied out is copied before anything is changed, or its failure leaves nothing half-done.
 * - No dentry, inode or description is kept without a reference across a return to the engine.
 * - Nothing is allocated, and no host call made, where the cache has the answer.
 */
#ifndef PYSENTRY_FAST_H
#define PYSENTRY_FAST_H

#include "../vfs/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PATH_CAP 4096

/* io.c: where bytes between a host descriptor and the workload pass through; nothing stays in it. */
#define IO_BOUNCE_SIZE (1u << 20)
extern unsigned char io_bounce[IO_BOUNCE_SIZE];

/* `int` arguments travel in 64-bit registers whose upper half Linux ignores. */
static inline int int_arg(const struct trap *tr, unsigned n)
{
    return (int)(uint32_t)tr->args[n];
}

/* ---- path.c */

/* Reads a path argument and walks it. 0, -errno or SENTRY_PUNT as vfs_walk(). */
int user_walk(struct task *t, int dirfd, uint64_t user_path, uint32_t flags, struct vfs_path *out);

/* The same with a path that was read already. */
int walk_at(struct task *t, int dirfd, const char *path, uint32_t flags, struct vfs_path *out);

/* May the task make a name in this directory, or take d away? Linux may_create() and may_delete(): errno. */
int may_create(const struct task *t, const struct dentry *dir);
int may_delete(const struct task *t, const struct dentry *dir, const struct dentry *d, bool is_dir);

/* C changes names only in trees that it knows; inotify watches are Python's. */
bool can_change(const struct dentry *dir);

int64_t realtime_ns(void);

/* A new upper inode for dir: mode by umask, group by the set-group-ID bit (inode_init_owner() in Linux). */
struct inode *new_upper_inode(struct task *t, const struct dentry *dir, uint32_t mode);

/* Hashes a new name and marks the directory as changed. The name must not be there (or be negative). */
struct dentry *add_upper(struct dentry *dir, const struct vfs_path *path, struct inode *inode);
void directory_changed(struct dentry *dir);

/* stat.c: size, blocks and times of an inode whose content lives in host_fd. */
void live_attributes(struct inode *i, int host_fd);

bool is_executing(const struct inode *i); /* open.c: a process runs this file */

/* lower.c: a host descriptor of a lower regular file, for reading; adds DESC_OWN_POS to the flags if it is shared. */
int lower_open(struct dentry *d, uint32_t *desc_flags);

/* A file's capabilities go when its content changes, and set-user-ID and set-group-ID unless CAP_FSETID changes it
 * (file_remove_privs()). */
static inline void inode_drop_privileges(const struct task *t, struct inode *i)
{
    i->flags &= ~(uint32_t)INODE_FILE_CAPS;
    if (!(i->mode & (S_ISUID | S_ISGID)) || cred_has_cap(t->cred, CAP_BIT_FSETID))
        return;
    i->mode &= ~(uint32_t)S_ISUID;
    if (i->mode & S_IXGRP)
        i->mode &= ~(uint32_t)S_ISGID;
}

/* dir.c: lseek on a directory. */
int64_t dir_seek(struct description *desc, int64_t offset, int whence);

/* ---- descriptions */

/* inotify wants to hear of what happens to the file, or to files in its directory: Python's. */
static inline bool is_watched(const struct description *d)
{
    return ((d->inode ? d->inode->flags : 0) | (d->dentry ? d->dentry->parent->inode->flags : 0)) & INODE_WATCHED;
}

/* Neither with O_ACCMODE itself (3): such a file is for ioctls. */
static inline bool can_read(const struct description *d)
{
    return d->kind != DESC_PATH && !(d->open_flags & O_WRONLY);
}

static inline bool can_write(const struct description *d)
{
    return d->kind != DESC_PATH && ((d->open_flags & O_ACCMODE) + 1) & O_RDWR;
}

#endif
