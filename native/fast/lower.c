/* lower.c - host descriptors of lower files, with as few round trips to the gofer as can be.
 *
 * A round trip costs more than all else that an open does, so, in trees that nobody changes (SB_CACHED) and in those with a
 * lease (that the name still leads to the inode was found out before; what was opened by name is compared with it):
 * - Files that are opened again and again: from the second read-only open on a descriptor is kept, and what is opened gets a
 *   duplicate with a position of its own (DESC_OWN_POS). The first open has its own host description: most files
 *   are opened once.
 * - Files that are opened one after the other in their directory's order (grep -r, tar, cp -r): the second brings the next ones
 *   along. Each is used for one open, as it has its own host description; what is not used is closed again.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <string.h>
#include <unistd.h>

#define KEPT 256u    /* descriptors that are kept */
#define SEEN 4096u   /* inodes remembered as opened once */
#define AHEAD 64u    /* places for descriptors that were brought along */
#define BATCH 16u    /* as many in one request: GOFER_FDS_MAX */
#define STREAKS 16u  /* directories that are being read in order */

struct kept {
    uint64_t inode_id; /* 0: free */
    int fd;
};

static struct kept kept[KEPT], ahead[AHEAD];
static uint64_t seen[SEEN];
static struct streak {
    uint64_t directory_id, file_id; /* inode ids: the file opened last in this directory */
} streaks[STREAKS];

static void put(struct kept *place, uint64_t inode_id, int fd)
{
    if (place->inode_id)
        close(place->fd);
    place->inode_id = inode_id;
    place->fd = fd;
}

/* ---- opening ahead ------------------------------------------------------------------------------*/

/* A file whose place on the host is its name in its directory's. */
static bool is_plain_lower(const struct dentry *d)
{
    return d->inode && S_ISREG(d->inode->mode) && !(d->inode->flags & (INODE_UPPER | INODE_PYTHON)) &&
           !d->inode->lower_path && d->inode->size > 0;
}

/* Was the file before this one, in the directory's order, the one opened last? */
static bool goes_on(const struct dentry *d)
{
    struct streak *s = &streaks[d->parent->inode->id % STREAKS];
    const struct dentry *before = d->prev_sibling;
    while (before && !is_plain_lower(before))
        before = before->prev_sibling;
    bool result = before && s->directory_id == d->parent->inode->id && s->file_id == before->inode->id;
    s->directory_id = d->parent->inode->id;
    s->file_id = d->inode->id;
    return result;
}

/* In a tree that others change a name may have been another file's when it was opened. */
static int checked(const struct inode *i, int fd)
{
    struct stat st;
    if (!is_uncached(i->sb) || (fstat(fd, &st) == 0 && st.st_ino == i->ino && st.st_dev == i->dev))
        return fd;
    close(fd);
    return -ESTALE;
}

/* Opens d and the files that follow it. d's descriptor, or -errno. */
static int open_with_next(struct dentry *d)
{
    char names[BATCH * 256];
    uint64_t ids[BATCH];
    int fds[BATCH];
    uint32_t count = 0, used = 0;
    for (const struct dentry *next = d; next && count < BATCH; next = next->next_sibling) {
        if (!is_plain_lower(next) || ahead[next->inode->id % AHEAD].inode_id == next->inode->id)
            continue;
        memcpy(names + used, next->name, next->name_len + 1);
        used += next->name_len + 1;
        ids[count++] = next->inode->id;
    }
    int error = count > 1 ? gofer_fs_open_many(d->parent, names, used, count, fds) : -EINVAL;
    if (error)
        return gofer_fs_open(d, O_RDONLY);
    for (uint32_t n = 1; n < count; n++)
        if (fds[n] >= 0)
            put(&ahead[ids[n] % AHEAD], ids[n], fds[n]);
    if (fds[0] >= 0)
        fds[0] = checked(d->inode, fds[0]);
    return fds[0] == -ESTALE ? gofer_fs_open(d, O_RDONLY) : fds[0];
}

static int take_ahead(const struct inode *i)
{
    struct kept *place = &ahead[i->id % AHEAD];
    if (place->inode_id != i->id)
        return -1;
    place->inode_id = 0;
    return checked(i, place->fd);
}

/* A first open: a host description of its own. */
static int open_once(struct dentry *d)
{
    bool is_streak = is_plain_lower(d) && goes_on(d);
    int fd = gofer_fs_take_opened(d->inode->id);
    if (fd < 0)
        fd = take_ahead(d->inode);
    if (fd >= 0)
        return fd;
    return is_streak ? open_with_next(d) : gofer_fs_open(d, O_RDONLY);
}

/* ---- keeping ------------------------------------------------------------------------------------*/

void lower_forget(uint64_t inode_id)
{
    struct kept *places[] = {&kept[inode_id % KEPT], &ahead[inode_id % AHEAD]};
    for (int n = 0; n < 2; n++) {
        if (places[n]->inode_id != inode_id)
            continue;
        close(places[n]->fd);
        places[n]->inode_id = 0;
    }
}

int lower_open(struct dentry *d, uint32_t *desc_flags)
{
    uint64_t id = d->inode->id;
    struct kept *k = &kept[id % KEPT];
    if (is_uncached(d->sb) ? !d->sb->lease_ns : !(d->sb->flags & SB_CACHED))
        return gofer_fs_open(d, O_RDONLY);
    if (k->inode_id != id) {
        if (seen[id % SEEN] != id) {
            seen[id % SEEN] = id;
            return open_once(d);
        }
        int fd = gofer_fs_open(d, O_RDONLY);
        if (fd < 0)
            return fd;
        put(k, id, fd);
    }
    int copy = fcntl(k->fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    *desc_flags |= DESC_OWN_POS;
    return copy;
}
