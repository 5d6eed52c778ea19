/* inode.c - superblocks and inodes: what names name, with virtual ownership and modes.
 *
 * An inode lives while a dentry or a description points to it; freeing one closes its host descriptor.
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void (*vfs_on_inode_gone)(uint64_t id);

static uint64_t next_inode_id = 1;
static uint32_t next_sb_id = 1;

/* The sentry cannot go on without memory for its own state; the workload dies with it (PTRACE_O_EXITKILL). */
void *vfs_must_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p) {
        fputs("pysentry: out of memory\n", stderr);
        abort();
    }
    return p;
}

char *vfs_must_copy(const char *text, size_t len)
{
    char *copy = vfs_must_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

struct superblock *sb_new(uint32_t kind, uint32_t flags, int32_t tree, uint64_t dev)
{
    struct superblock *sb = vfs_must_alloc(sizeof *sb);
    sb->id = next_sb_id++;
    sb->kind = kind;
    sb->flags = flags;
    sb->tree = tree;
    sb->dev = dev;
    sb->store = -1;
    sb->next_ino = 2; /* 1 is the root's by custom */
    return sb;
}

struct inode *inode_new(struct superblock *sb, uint32_t mode)
{
    struct inode *i = vfs_must_alloc(sizeof *i);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    i->id = next_inode_id++;
    i->sb = sb;
    i->mode = mode;
    i->nlink = S_ISDIR(mode) ? 2 : 1;
    i->dev = sb->dev;
    i->blksize = 4096;
    i->host_fd = -1;
    i->atime_ns = i->mtime_ns = i->ctime_ns = i->btime_ns = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
    return i;
}

void inode_ref(struct inode *i)
{
    i->refs++;
}

void inode_unref(struct inode *i)
{
    if (i->refs > 1) {
        i->refs--;
        return;
    }
    if ((i->flags & (INODE_PYTHON | INODE_LOCKS | INODE_ATTACHED)) && vfs_on_inode_gone)
        vfs_on_inode_gone(i->id);
    inode_drop_content(i);
    if (i->flags & INODE_SHARED)
        inode_unshare(i);
    free(i->symlink);
    free(i->lower_path);
    free(i);
}

void inode_set_symlink(struct inode *i, const char *target)
{
    size_t len = strlen(target);
    char *copy = vfs_must_copy(target, len);
    free(i->symlink);
    i->symlink = copy;
    i->size = (int64_t)len;
}

void inode_set_lower_path(struct inode *i, const char *path)
{
    char *copy = path ? vfs_must_copy(path, strlen(path)) : NULL;
    free(i->lower_path);
    i->lower_path = copy;
}

bool cred_in_group(const struct credentials *c, uint32_t gid)
{
    bool found = c->fsgid == gid;
    for (uint32_t n = 0; !found && n < c->ngroups; n++)
        found = c->groups[n] == gid;
    return found;
}

/* Mode bits against the virtual credentials, as generic_permission() in Linux fs/namei.c. */
int inode_permission(const struct credentials *c, const struct inode *i, uint32_t mask)
{
    uint32_t bits = i->mode;
    if (c->fsuid == i->uid)
        bits >>= 6;
    else if (cred_in_group(c, i->gid))
        bits >>= 3;
    if ((mask & ~bits & 7) == 0)
        return 0;
    bool is_dir = S_ISDIR(i->mode);
    if (cred_has_cap(c, CAP_BIT_DAC_OVERRIDE) && (is_dir || !(mask & 1) || (i->mode & 0111)))
        return 0;
    if (cred_has_cap(c, CAP_BIT_DAC_READ_SEARCH) && (is_dir ? !(mask & 2) : mask == 4))
        return 0;
    return -EACCES;
}
