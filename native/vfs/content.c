/* content.c - where the content of files in memory lives: a file of its own for each inode, in a tmpfs that is mounted nowhere.
 *
 * A file in memory needs no descriptor while nobody uses it: it has a name (its inode's id) in the store, and is opened
 * again when asked for. So 20,000 files do not need 20,000 descriptors. The latest HELD ones stay open (inode.host_fd). Without
 * a store (no mount namespace to be had) content is a memfd, which stays open as long as the inode lives.
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_MAX 1024u

static int store = -1;
static struct inode *held[HELD_MAX];
static uint64_t store_dev;
static uint32_t held_limit = HELD_MAX, hand;

void content_use_directory(int directory)
{
    struct rlimit limit;
    struct stat st;
    store = directory;
    store_dev = fstat(directory, &st) == 0 ? st.st_dev : 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 8 < HELD_MAX)
        held_limit = limit.rlim_cur / 8 ? (uint32_t)(limit.rlim_cur / 8) : 1;
}

#define STORES_MAX 24u /* of their own; each is a condition of the sentry's filter */
static int stores[STORES_MAX];
static uint32_t store_count;

/* Beyond STORES_MAX the common store is used, without a limit on the host's side: Python's checks remain. */
void content_use_store(struct superblock *sb, int directory)
{
    struct stat st;
    if (store_count == STORES_MAX)
        return;
    stores[store_count++] = directory;
    sb->store = directory;
    sb->store_dev = fstat(directory, &st) == 0 ? st.st_dev : 0;
}

int content_store_at(uint32_t index)
{
    return index < store_count ? stores[index] : -1;
}

int content_store_of(const struct superblock *sb)
{
    return sb->store >= 0 ? sb->store : store;
}

static int store_of(const struct inode *i)
{
    return content_store_of(i->sb);
}

/* "c" and the inode's id: never reused, so no name meets another. */
static const char *name_of(const struct inode *i)
{
    static char name[20];
    char *at = name + sizeof name - 1;
    uint64_t id = i->id;
    do
        *--at = "0123456789abcdef"[id & 15];
    while (id >>= 4);
    *--at = 'c';
    return at;
}

static void put_away(struct inode *i)
{
    held[i->held_at - 1] = NULL;
    i->held_at = 0;
    close(i->host_fd);
    i->host_fd = -1;
}

static void hold(struct inode *i, int fd)
{
    uint32_t at = hand++ % held_limit;
    if (held[at])
        put_away(held[at]);
    held[at] = i;
    i->held_at = at + 1;
    i->host_fd = fd;
}

int inode_make_content(struct inode *i)
{
    if (store_of(i) >= 0) {
        int fd = openat(store_of(i), name_of(i), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return errno == ENOENT ? -EIO : -errno;
        struct stat st;
        hold(i, fd);
        i->flags |= INODE_STORED;
        i->host_ino = fstat(fd, &st) == 0 ? st.st_ino : 0;
        return fd;
    }
    int fd = memfd_create("pysentry", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    i->host_fd = fd;
    return fd;
}

int inode_host_fd(struct inode *i)
{
    if (i->host_fd >= 0)
        return i->host_fd;
    if (!(i->flags & INODE_STORED))
        return -EBADF;
    int fd = openat(store_of(i), name_of(i), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EIO : -errno;
    hold(i, fd);
    return fd;
}

bool inode_content_is(const struct inode *i, uint64_t dev, uint64_t ino)
{
    struct stat st;
    if (i->flags & INODE_STORED)
        return i->host_ino == ino && (i->sb->store >= 0 ? i->sb->store_dev : store_dev) == dev;
    return i->host_fd >= 0 && fstat(i->host_fd, &st) == 0 && st.st_ino == ino && st.st_dev == dev;
}

void inode_drop_content(struct inode *i)
{
    if (i->held_at)
        put_away(i);
    else if (i->host_fd >= 0)
        close(i->host_fd);
    i->host_fd = -1;
    if (i->flags & INODE_STORED)
        unlinkat(store_of(i), name_of(i), 0);
    i->flags &= ~(uint32_t)INODE_STORED;
}
