/* lease.c - how long what the gofer said is believed, in trees of the host that others may change.
 *
 * A tree with a lease (superblock.lease_ns) is mostly changed by us: a container's root. What somebody else does there is seen when
 * the lease is over, or by a program that is started from outside after it (leases_end). Without one (a bind) every walk asks; in an SB_CACHED tree nothing is ever asked twice.
 *
 * Three things are believed on their own:
 * - a name, also one that is missing (dentry.checked_ns: when the gofer confirmed it);
 * - all names of a directory at once: as long as its ctime is what it was, no name in it came or went. One look at a directory
 *   thus renews every name in it that was confirmed since the first look (names_since_ns);
 * - an inode's attributes (checked_ns), unless somebody has the file open for writing: then only the host knows.
 * What we change ourselves is changed in the cache too; only the attributes are asked for again (attributes_unknown).
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <sys/stat.h>
#include <time.h>

/* The kernel's clock of file times is coarse: a directory changed twice within one tick has one ctime. */
#define SETTLED_NS (50 * 1000 * 1000LL)

static int64_t ended_ns; /* what was said before is not believed any more */

void leases_end(void)
{
    ended_ns = sentry_now_ns();
}

static bool is_recent(int64_t since_ns, int64_t lease_ns)
{
    return since_ns > ended_ns && sentry_now_ns() - since_ns < lease_ns;
}

bool lease_holds(const struct superblock *sb, int64_t since_ns)
{
    return sb->lease_ns && is_recent(since_ns, sb->lease_ns);
}

static bool are_names_fresh(const struct inode *dir)
{
    return lease_holds(dir->sb, dir->names_checked_ns);
}

bool lease_name_is_fresh(const struct dentry *d)
{
    const struct inode *dir = d->parent->inode;
    if (lease_holds(d->sb, d->checked_ns))
        return true;
    return dir->names_since_ns && d->checked_ns >= dir->names_since_ns && are_names_fresh(dir);
}

bool lease_is_complete(const struct dentry *dir)
{
    const struct inode *i = dir->inode;
    return (i->flags & INODE_COMPLETE) && (!is_uncached(dir->sb) || (i->flags & INODE_UPPER) || are_names_fresh(i));
}

bool lease_attributes_are_fresh(const struct inode *i)
{
    return !i->writers && i->checked_ns && (!is_uncached(i->sb) || lease_holds(i->sb, i->checked_ns));
}

/* For permission to open: the owner or mode may be changed from outside, but content is the inode's own whatever it says. */
bool lease_mode_is_fresh(const struct inode *i)
{
    return is_recent(i->checked_ns, 10 * i->sb->lease_ns);
}

void lease_note_directory(struct inode *dir, int64_t asked_ns)
{
    struct timespec now;
    dir->names_checked_ns = asked_ns;
    if (dir->names_ctime_ns && dir->names_ctime_ns == dir->ctime_ns)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    dir->names_since_ns = asked_ns;
    dir->flags &= ~(uint32_t)INODE_COMPLETE;
    dir->names_ctime_ns = now.tv_sec * NSEC_PER_SEC + now.tv_nsec - dir->ctime_ns > SETTLED_NS ? dir->ctime_ns : 0;
}

void attributes_unknown(struct inode *i)
{
    if (i->sb->kind == FS_GOFER)
        i->checked_ns = 0;
}

/* ---- descriptions that write --------------------------------------------------------------------*/

void desc_counts_writer(struct description *d)
{
    uint32_t access = d->open_flags & 3;
    if (!d->inode || d->kind != DESC_FILE || !access || d->inode->sb->kind != FS_GOFER || (d->flags & DESC_WRITER))
        return;
    d->flags |= DESC_WRITER;
    d->inode->writers++;
}

void desc_drops_writer(struct description *d)
{
    if (!(d->flags & DESC_WRITER))
        return;
    d->inode->writers--;
    attributes_unknown(d->inode);
}

/* ---- files with several names -------------------------------------------------------------------*/

#define SHARED_BUCKETS 1024u
static struct inode *shared[SHARED_BUCKETS];

static struct inode **bucket_of(uint64_t dev, uint64_t ino)
{
    return &shared[(ino ^ dev * 31) % SHARED_BUCKETS];
}

struct inode *inode_shared_find(const struct superblock *sb, uint64_t dev, uint64_t ino)
{
    for (struct inode *i = *bucket_of(dev, ino); i; i = i->shared_next)
        if (i->sb == sb && i->ino == ino && i->dev == dev)
            return i;
    return NULL;
}

void inode_share(struct inode *i)
{
    if ((i->flags & INODE_SHARED) || i->sb->kind != FS_GOFER)
        return;
    struct inode **bucket = bucket_of(i->dev, i->ino);
    i->flags |= INODE_SHARED;
    i->shared_next = *bucket;
    *bucket = i;
}

void inode_unshare(struct inode *i)
{
    struct inode **at = bucket_of(i->dev, i->ino);
    while (*at && *at != i)
        at = &(*at)->shared_next;
    if (*at)
        *at = i->shared_next;
    i->flags &= ~(uint32_t)INODE_SHARED;
}
