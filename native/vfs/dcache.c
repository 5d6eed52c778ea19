/* dcache.c - the dentry cache: names that are known, and which inode each of them names.
 *
 * Owns dentries and their reference counts. Inodes are in inode.c, paths in path.c, the walk in walk.c;
 * the gofer is not known here.
 *
 * Lifetime. A hashed dentry lives until it is dropped or trimmed; it keeps its parent by being linked below it.
 * A dropped (unhashed) dentry lives as long as something holds a reference, and holds one on its parent, so
 * that ".." and /proc/self/fd still work in a removed directory. An inode lives while a dentry or a
 * description points to it.
 *
 * The hash is over (parent, name), so a lookup touches one bucket and no directory list.
 */
#define _GNU_SOURCE
#include "vfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_BUCKETS 4096u

uint32_t dcache_limit = 120000;

static struct dentry **buckets;
static uint32_t bucket_count; /* a power of two */
static uint32_t hashed_count;
static uint32_t trim_hand;    /* the bucket where the next trim goes on */

/* ---- the hash -----------------------------------------------------------------------------------*/

static uint32_t hash_of(const struct dentry *dir, const char *name, uint32_t len)
{
    uint64_t h = (uint64_t)(uintptr_t)dir >> 4;
    h *= 0x9E3779B97F4A7C15u;
    for (uint32_t n = 0; n < len; n++)
        h = (h ^ (unsigned char)name[n]) * 0x100000001B3u;
    return (uint32_t)(h ^ (h >> 32));
}

static void grow_hash(void)
{
    uint32_t count = bucket_count ? bucket_count * 2 : FIRST_BUCKETS;
    struct dentry **bigger = vfs_must_alloc(count * sizeof *bigger);
    for (uint32_t b = 0; b < bucket_count; b++) {
        for (struct dentry *d = buckets[b], *next; d; d = next) {
            next = d->hash_next;
            d->hash_next = bigger[d->hash & (count - 1)];
            bigger[d->hash & (count - 1)] = d;
        }
    }
    free(buckets);
    buckets = bigger;
    bucket_count = count;
}

static void link_sibling(struct dentry *d, struct dentry *after)
{
    struct dentry **head = after ? &after->next_sibling : &d->parent->first_child;
    d->prev_sibling = after;
    d->next_sibling = *head;
    if (*head)
        (*head)->prev_sibling = d;
    *head = d;
}

static void unlink_sibling(struct dentry *d)
{
    if (d->prev_sibling)
        d->prev_sibling->next_sibling = d->next_sibling;
    else
        d->parent->first_child = d->next_sibling;
    if (d->next_sibling)
        d->next_sibling->prev_sibling = d->prev_sibling;
    d->prev_sibling = d->next_sibling = NULL;
}

static void link_dentry(struct dentry *d, struct dentry *dir)
{
    if (hashed_count >= bucket_count)
        grow_hash();
    d->parent = dir;
    d->hash = hash_of(dir, d->name, d->name_len);
    struct dentry **bucket = &buckets[d->hash & (bucket_count - 1)];
    d->hash_next = *bucket;
    *bucket = d;
    hashed_count++;
    link_sibling(d, NULL);
}

static void unlink_dentry(struct dentry *d)
{
    struct dentry **at = &buckets[d->hash & (bucket_count - 1)];
    while (*at != d)
        at = &(*at)->hash_next;
    *at = d->hash_next;
    d->hash_next = NULL;
    hashed_count--;
    unlink_sibling(d);
}

void dentry_place_after(struct dentry *d, struct dentry *sibling)
{
    if (d == sibling)
        return;
    unlink_sibling(d);
    link_sibling(d, sibling);
}

/* Is this what the host calls (dev, ino)? A lower file has the host's own numbers. */
static bool is_host_file(const struct inode *i, uint64_t dev, uint64_t ino)
{
    return i->flags & INODE_UPPER ? inode_content_is(i, dev, ino) : i->ino == ino && i->dev == dev;
}

/* A search through all names: only /proc/PID/maps asks, once per mapped file. */
struct dentry *dentry_of_host_file(uint64_t dev, uint64_t ino)
{
    for (uint32_t b = 0; b < bucket_count; b++)
        for (struct dentry *d = buckets[b]; d; d = d->hash_next)
            if (d->inode && S_ISREG(d->inode->mode) && is_host_file(d->inode, dev, ino))
                return d;
    return NULL;
}

uint32_t dentry_count(void)
{
    return hashed_count;
}

/* ---- dentries -----------------------------------------------------------------------------------*/

static char *inline_name(struct dentry *d)
{
    return (char *)(d + 1);
}

static struct dentry *new_dentry(struct superblock *sb, const char *name, uint32_t len)
{
    struct dentry *d = vfs_must_alloc(sizeof *d + len + 1);
    d->sb = sb;
    d->name = inline_name(d);
    memcpy(d->name, name, len);
    d->name_len = len;
    return d;
}

struct dentry *dentry_root(struct superblock *sb, struct inode *inode)
{
    struct dentry *d = new_dentry(sb, "", 0);
    d->parent = d;
    d->flags = DENTRY_PINNED;
    d->refs = 1; /* the superblock's */
    dentry_set_inode(d, inode);
    sb->root = d;
    return d;
}

struct dentry *dentry_find(struct dentry *dir, const char *name, uint32_t len)
{
    if (!bucket_count)
        return NULL;
    uint32_t hash = hash_of(dir, name, len);
    for (struct dentry *d = buckets[hash & (bucket_count - 1)]; d; d = d->hash_next) {
        if (d->hash == hash && d->parent == dir && d->name_len == len && memcmp(d->name, name, len) == 0) {
            d->flags |= DENTRY_USED;
            return d;
        }
    }
    return NULL;
}

/* A name that is there already: a negative dentry becomes what is asked for, a positive one is replaced. */
struct dentry *dentry_add(struct dentry *dir, const char *name, uint32_t len, struct inode *inode)
{
    struct dentry *old = dentry_find(dir, name, len);
    if (old && (!old->inode || old->inode == inode)) {
        dentry_set_inode(old, inode);
        return old;
    }
    struct dentry *d = new_dentry(dir->sb, name, len); /* before the drop: name may be old's */
    if (old)
        dentry_drop(old);
    link_dentry(d, dir);
    dentry_set_inode(d, inode);
    return d;
}

void dentry_set_inode(struct dentry *d, struct inode *inode)
{
    struct inode *old = d->inode;
    if (inode)
        inode_ref(inode);
    d->inode = inode;
    if (old)
        inode_unref(old);
}

static void free_dentry(struct dentry *d)
{
    dentry_set_inode(d, NULL);
    if (d->name != inline_name(d))
        free(d->name);
    free(d);
}

void dentry_ref(struct dentry *d)
{
    d->refs++;
}

void dentry_unref(struct dentry *d)
{
    /* Freeing an unhashed dentry lets go of its parent, which may be the last reference to that one: a loop. */
    while (d) {
        d->refs--;
        if (d->refs || !(d->flags & DENTRY_UNHASHED))
            return;
        struct dentry *parent = d->parent != d ? d->parent : NULL;
        while (d->first_child)
            dentry_drop(d->first_child);
        free_dentry(d);
        d = parent;
    }
}

static void drop_leaf(struct dentry *d)
{
    unlink_dentry(d);
    if (d->refs) {
        d->flags |= DENTRY_UNHASHED;
        d->flags &= ~(uint32_t)DENTRY_PINNED;
        dentry_ref(d->parent);
    } else {
        free_dentry(d);
    }
}

void dentry_drop(struct dentry *d)
{
    if (d->parent == d || (d->flags & DENTRY_UNHASHED))
        return;
    /* What is cached below goes first (whiteouts of a removed directory, a stale subtree), leaves before
     * their parents; no recursion, since a tree may be deeper than our stack. */
    for (;;) {
        struct dentry *leaf = d;
        while (leaf->first_child)
            leaf = leaf->first_child;
        bool is_last = leaf == d;
        drop_leaf(leaf);
        if (is_last)
            return;
    }
}

void dentry_remove(struct dentry *d)
{
    struct dentry *dir = d->parent;
    if (!needs_whiteout(dir)) {
        dentry_drop(d);
        return;
    }
    dir->inode->flags |= INODE_OVERLAID;
    struct dentry *white = new_dentry(d->sb, d->name, d->name_len);
    dentry_drop(d);
    white->flags = DENTRY_PINNED;
    link_dentry(white, dir);
}

void dentry_move(struct dentry *d, struct dentry *dir, const char *name, uint32_t len)
{
    struct dentry *old = dentry_find(dir, name, len);
    if (old == d)
        return;
    /* A lower entry stays where it is on the host: remember that place before the dentry leaves it. */
    if (d->inode && d->sb->kind == FS_TREE && d->sb->tree >= 0 && !(d->inode->flags & INODE_UPPER)) {
        char path[4096];
        if (!d->inode->lower_path && dentry_lower_path(d, path, sizeof path) >= 0)
            inode_set_lower_path(d->inode, path);
    }
    char *copy = vfs_must_copy(name, len); /* name may be d's own, or old's */
    if (old)
        dentry_drop(old);
    unlink_dentry(d);
    if (d->name != inline_name(d))
        free(d->name);
    d->name = copy;
    d->name_len = len;
    link_dentry(d, dir);
    if (d->sb->kind == FS_TREE)
        d->flags |= DENTRY_PINNED;
}

bool is_subdir(const struct dentry *d, const struct dentry *ancestor)
{
    while (d != ancestor) {
        if (d->parent == d)
            return false;
        d = d->parent;
    }
    return true;
}

void mount_attach(struct dentry *at, struct superblock *sb)
{
    if (at) {
        while (at->mounted)
            at = at->mounted;
        dentry_ref(at);
        at->mounted = sb->root;
    }
    sb->covered = at;
}

/* ---- trimming -----------------------------------------------------------------------------------*/

static bool may_forget(const struct dentry *d)
{
    if (d->refs || d->first_child || d->mounted || (d->flags & DENTRY_PINNED) || d->sb->tree < 0)
        return false;
    return !d->inode || (d->inode->refs == 1 && !(d->inode->flags & (INODE_UPPER | INODE_PYTHON | INODE_LOCKS | INODE_ATTACHED)));
}

/* A clock over the buckets: a dentry found since the last round gets a second chance. */
void dcache_trim(void)
{
    if (hashed_count <= dcache_limit)
        return;
    uint32_t target = dcache_limit - dcache_limit / 8;
    for (uint64_t seen = 0; seen < 2ull * bucket_count && hashed_count > target; seen++) {
        uint32_t b = trim_hand++ & (bucket_count - 1);
        for (struct dentry *d = buckets[b], *next; d; d = next) {
            next = d->hash_next;
            if (d->flags & DENTRY_USED) {
                d->flags &= ~(uint32_t)DENTRY_USED;
            } else if (may_forget(d)) {
                /* An upper directory stays complete without it; a listed lower one does not. */
                if (d->inode && !(d->parent->inode->flags & INODE_UPPER))
                    d->parent->inode->flags &= ~(uint32_t)INODE_COMPLETE;
                drop_leaf(d);
            }
        }
    }
}
