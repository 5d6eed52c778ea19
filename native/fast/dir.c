/* dir.c - getdents64, lseek in directories, getcwd, chdir, fchdir.
 *
 * The first getdents64 at position 0 takes a snapshot of the directory, so that removing entries while
 * reading (rm -r) skips nothing. A lower directory's names come from the gofer; what the sandbox changed is laid over
 * them.
 */
#define _GNU_SOURCE
#include "fast.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 32768u
#define RECORD_NAME_OFFSET 19u /* struct linux_dirent64: ino, off, reclen, type, name */

/* Entries packed one after the other: u64 ino, u8 type, u8 name length, name. */
struct dir_listing {
    uint32_t used, capacity; /* bytes */
    int64_t count;
    int64_t cursor_index;    /* where the last getdents64 ended, and the byte offset of that entry */
    uint32_t cursor;
    unsigned char *entries;
};

void dir_listing_free(struct dir_listing *listing);

void dir_listing_free(struct dir_listing *listing)
{
    if (!listing)
        return;
    free(listing->entries);
    free(listing);
}

static void add(struct dir_listing *l, uint64_t ino, unsigned type, const char *name, uint32_t len)
{
    uint32_t size = 10 + len;
    if (l->used + size > l->capacity) {
        uint32_t capacity = l->capacity ? l->capacity * 2 : 4096;
        unsigned char *bigger = vfs_must_alloc(capacity);
        if (l->used)
            memcpy(bigger, l->entries, l->used);
        free(l->entries);
        l->entries = bigger;
        l->capacity = capacity;
    }
    unsigned char *at = l->entries + l->used;
    memcpy(at, &ino, 8);
    at[8] = (unsigned char)type;
    at[9] = (unsigned char)len;
    memcpy(at + 10, name, len);
    l->used += size;
    l->count++;
}

static void add_dentry(struct dir_listing *l, const struct dentry *d)
{
    add(l, d->inode->ino, IFTODT(d->inode->mode), d->name, d->name_len);
}

/* Names of the host, and where they are to go. */
struct merge {
    struct dir_listing *listing;
    struct dentry *dir;
};

/* Does this dentry count? In a bind that others change only what is ours: the rest is as the host says now. */
static bool is_laid_over(const struct dentry *d)
{
    return !is_uncached(d->sb) || is_ours(d);
}

/* A name of the host: hidden by a whiteout, or replaced by what the sandbox has there. */
static void add_name(void *arg, uint64_t ino, unsigned type, const char *name, uint32_t len)
{
    struct merge *m = arg;
    struct dentry *d = dentry_find(m->dir, name, len);
    if (!d || !is_laid_over(d)) {
        add(m->listing, ino, type, name, len);
        return;
    }
    d->flags |= DENTRY_LISTED;
    if (d->inode)
        add_dentry(m->listing, d);
}

/* Reads a directory's names on the host and adds what the sandbox has besides. */
static int add_lower(struct dir_listing *l, struct dentry *dir)
{
    struct merge m = {l, dir};
    int error = gofer_fs_names(dir, add_name, &m);
    for (struct dentry *d = dir->first_child; d; d = d->next_sibling) {
        if (d->inode && is_laid_over(d) && !(d->flags & DENTRY_LISTED))
            add_dentry(l, d);
        d->flags &= ~(uint32_t)DENTRY_LISTED;
    }
    return error;
}

static int take_snapshot(struct task *t, struct description *desc)
{
    struct dentry *dir = desc->dentry, *up = dir;
    struct dir_listing *l = vfs_must_alloc(sizeof *l);
    while (up != t->fs->root && up->parent == up && up->sb->covered)
        up = up->sb->covered;
    up = up == t->fs->root ? up : up->parent;
    add(l, dir->inode->ino, DT_DIR, ".", 1);
    add(l, up->inode->ino, DT_DIR, "..", 2);
    if (dir->sb->tree >= 0 && !lease_is_complete(dir) && !(dir->inode->flags & INODE_UPPER)) {
        int error = add_lower(l, dir);
        if (error) {
            dir_listing_free(l);
            return error;
        }
    } else {
        for (struct dentry *d = dir->first_child; d; d = d->next_sibling)
            if (d->inode)
                add_dentry(l, d);
    }
    dir_listing_free(desc->listing);
    desc->listing = l;
    return 0;
}

/* The entry at dir_pos: mostly where the last call ended. */
static void seek_entry(struct dir_listing *l, int64_t index)
{
    if (l->cursor_index > index)
        l->cursor = 0, l->cursor_index = 0;
    while (l->cursor_index < index && l->cursor < l->used) {
        l->cursor += 10u + l->entries[l->cursor + 9];
        l->cursor_index++;
    }
}

static uint32_t put_record(unsigned char *into, const unsigned char *entry, int64_t next)
{
    uint32_t name_len = entry[9], size = (RECORD_NAME_OFFSET + name_len + 1 + 7) & ~7u;
    uint16_t reclen = (uint16_t)size;
    memset(into + size - 8, 0, 8);
    memcpy(into, entry, 8);
    memcpy(into + 8, &next, 8);
    memcpy(into + 16, &reclen, 2);
    into[18] = entry[8];
    memcpy(into + RECORD_NAME_OFFSET, entry + 10, name_len);
    return size;
}

int64_t fast_getdents64(struct task *t, struct trap *tr)
{
    static unsigned char records[CHUNK];
    struct description *desc = fd_get(t, int_arg(tr, 0));
    uint32_t room = (uint32_t)tr->args[2];
    if (!desc || desc->kind == DESC_PATH)
        return -EBADF;
    if (desc->kind != DESC_DIR)
        return desc->kind == DESC_PYTHON ? SENTRY_PUNT : -ENOTDIR;
    struct dentry *dir = desc->dentry;
    if (!dir || (dir->inode->flags & INODE_PYTHON) || (dir->sb->kind != FS_TREE && dir->sb->kind != FS_GOFER))
        return SENTRY_PUNT;
    if (dir->flags & DENTRY_UNHASHED)
        return -ENOENT;
    if (!desc->listing || desc->dir_pos == 0) {
        int error = take_snapshot(t, desc);
        if (error)
            return error;
    }
    struct dir_listing *l = desc->listing;
    seek_entry(l, desc->dir_pos);
    if (l->cursor >= l->used)
        return 0;
    if (room > CHUNK)
        room = CHUNK;
    uint32_t filled = 0, cursor = l->cursor;
    int64_t index = l->cursor_index;
    while (cursor < l->used) {
        const unsigned char *entry = l->entries + cursor;
        if (filled + RECORD_NAME_OFFSET + entry[9] + 8 > room)
            break;
        filled += put_record(records + filled, entry, index + 1);
        cursor += 10u + entry[9];
        index++;
    }
    if (!filled)
        return -EINVAL; /* not even one entry fits */
    if (um_write(t, tr->args[1], records, filled) < 0)
        return -EFAULT;
    l->cursor = cursor;
    l->cursor_index = index;
    desc->dir_pos = index;
    return filled;
}

/* dcache_dir_lseek() in Linux fs/libfs.c: SEEK_SET and SEEK_CUR only. */
int64_t dir_seek(struct description *desc, int64_t offset, int whence)
{
    if (!desc->dentry || (desc->inode->flags & INODE_PYTHON))
        return SENTRY_PUNT;
    if (whence == SEEK_CUR)
        offset += desc->dir_pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    desc->dir_pos = offset;
    return offset;
}

/* ---- working directory --------------------------------------------------------------------------*/

int64_t fast_getcwd(struct task *t, struct trap *tr)
{
    char path[PATH_CAP + 16];
    if (t->fs->cwd->flags & DENTRY_UNHASHED)
        return -ENOENT;
    int len = dentry_path(t->fs->root, t->fs->cwd, path, sizeof path);
    if (len < 0)
        return len;
    if ((uint64_t)len + 1 > tr->args[1])
        return -ERANGE;
    return um_write(t, tr->args[0], path, (uint64_t)len + 1);
}

static int64_t change_to(struct task *t, struct dentry *dir)
{
    if (!S_ISDIR(dir->inode->mode))
        return -ENOTDIR;
    int error = inode_permission(t->cred, dir->inode, 1);
    if (error)
        return error;
    fs_set_cwd(t->fs, dir);
    return 0;
}

int64_t fast_chdir(struct task *t, struct trap *tr)
{
    struct vfs_path path;
    int error = user_walk(t, AT_FDCWD, tr->args[0], WALK_FOLLOW, &path);
    return error ? error : change_to(t, path.dentry);
}

int64_t fast_fchdir(struct task *t, struct trap *tr)
{
    const struct description *d = fd_get(t, int_arg(tr, 0));
    if (!d)
        return -EBADF;
    if (!d->dentry)
        return -ENOTDIR;
    return change_to(t, d->dentry);
}
