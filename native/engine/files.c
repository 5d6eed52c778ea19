/* files.c - descriptions, descriptor tables, and the small shared contexts of a task (credentials, fs).
 *
 * A description is freed when its last slot, message or Python hold goes. Events for it may still be in
 * the batch the loop is working through, so the memory is buried at the end of the batch.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine.h"
#include "../vfs/vfs.h"

void dir_listing_free(struct dir_listing *listing) __attribute__((weak)); /* fast/dir.c */

static uint64_t next_description_id = 1;
static struct description *graveyard;

struct description *desc_new(uint32_t kind, int host_fd, uint32_t open_flags)
{
    struct description *d = vfs_must_alloc(sizeof *d);
    d->id = next_description_id++;
    d->refs = 1;
    d->kind = kind;
    d->host_fd = host_fd;
    d->open_flags = open_flags;
    return d;
}

void desc_ref(struct description *d)
{
    d->refs++;
}

void desc_unref(struct description *d)
{
    if (--d->refs)
        return;
    if (d->flags & DESC_PY_CLOSE && hooks.description_gone)
        hooks.description_gone(d->id);
    if (d->memberships || d->members)
        epoll_members_closed(d);
    if (d->flags & DESC_IN_EPOLL)
        epoll_ctl(engine.epoll, EPOLL_CTL_DEL, d->host_fd, NULL);
    if (d->host_fd >= 0)
        close(d->host_fd);
    if (d->listing && dir_listing_free)
        dir_listing_free(d->listing);
    if (d->dentry)
        dentry_unref(d->dentry);
    if (d->inode) {
        desc_drops_writer(d);
        inode_unref(d->inode);
    }
    d->waiters = (struct waiter *)graveyard; /* nobody waits any more: the field links the graveyard */
    graveyard = d;
}

void files_bury(void)
{
    while (graveyard) {
        struct description *d = graveyard;
        graveyard = (struct description *)d->waiters;
        free(d);
    }
}

/* ---- descriptor tables */

static int grow(struct fd_table *f, uint32_t wanted)
{
    if (wanted <= f->capacity)
        return 0;
    uint32_t capacity = f->capacity ? f->capacity : 16;
    while (capacity < wanted)
        capacity *= 2;
    struct fd_slot *slots = realloc(f->slots, capacity * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    memset(slots + f->capacity, 0, (capacity - f->capacity) * sizeof *slots);
    f->slots = slots;
    f->capacity = capacity;
    return 0;
}

struct description *fd_get(struct task *t, int fd)
{
    struct fd_table *f = t->files;
    return fd >= 0 && (uint32_t)fd < f->capacity ? f->slots[fd].desc : NULL;
}

int file_is_written(const struct inode *i)
{
    for (const struct task *t = task_first(); t; t = t->all_next)
        for (uint32_t fd = 0; fd < (t->files ? t->files->capacity : 0); fd++) {
            const struct description *d = t->files->slots[fd].desc;
            if (d && d->inode == i && d->kind == DESC_FILE && ((d->open_flags & O_ACCMODE) + 1) & O_RDWR)
                return 1;
        }
    return 0;
}

int fd_reserve(struct task *t, int lowest)
{
    struct fd_table *f = t->files;
    uint32_t fd = (uint32_t)lowest > f->first_free ? (uint32_t)lowest : f->first_free;
    while (fd < f->capacity && (f->slots[fd].desc || f->slots[fd].reserved))
        fd++;
    if (fd >= t->group->rlimit_cur[7]) /* RLIMIT_NOFILE */
        return -EMFILE;
    if (grow(f, fd + 1))
        return -ENOMEM;
    f->slots[fd].reserved = 1;
    if ((uint32_t)lowest <= f->first_free)
        f->first_free = fd + 1;
    return (int)fd;
}

void fd_release(struct task *t, int fd)
{
    struct fd_table *f = t->files;
    f->slots[fd].reserved = 0;
    if ((uint32_t)fd < f->first_free)
        f->first_free = (uint32_t)fd;
}

/* What was at the number is closed first, as dup2 does. */
void fd_install(struct task *t, int fd, struct description *d, uint32_t cloexec)
{
    struct fd_table *f = t->files;
    if (grow(f, (uint32_t)fd + 1)) {
        desc_unref(d);
        return;
    }
    struct description *old = f->slots[fd].desc;
    f->slots[fd].desc = d;
    f->slots[fd].cloexec = cloexec;
    f->slots[fd].reserved = 0;
    if (old) {
        if (old->inode && old->inode->flags & INODE_LOCKS && hooks.fd_closed)
            hooks.fd_closed(t, old);
        desc_unref(old);
    }
}

int fd_alloc(struct task *t, struct description *d, uint32_t cloexec, int lowest)
{
    int fd = fd_reserve(t, lowest);
    if (fd < 0)
        desc_unref(d);
    else
        fd_install(t, fd, d, cloexec);
    return fd;
}

static void slot_clear(struct task *t, struct fd_table *f, uint32_t fd)
{
    struct description *d = f->slots[fd].desc;
    f->slots[fd].desc = NULL;
    f->slots[fd].cloexec = 0;
    if (fd < f->first_free)
        f->first_free = fd;
    if (d->inode && d->inode->flags & INODE_LOCKS && t && hooks.fd_closed)
        hooks.fd_closed(t, d);
    desc_unref(d);
}

/* What the workload holds natively at a number outlives the close here. Letting it close that itself would be a race:
 * another thread may get the number, and a descriptor installed there, before the close has run. A lower file may
 * stay until the number is used again; anything else (memory, a terminal) is covered now, while its trap is open. */
static void cover_native(struct task *t, uint32_t fd)
{
    static int cover = -1;
    struct fd_slot *slot = &t->files->slots[fd];
    bool holds = slot->native == slot->desc->id && !(slot->desc->flags & DESC_LOWER);
    slot->native = 0;
    if (!holds)
        return;
    if (cover < 0)
        cover = memfd_create("closed", MFD_CLOEXEC);
    if (cover >= 0)
        task_install_host(t, cover, (int)fd);
}

int fd_close(struct task *t, int fd)
{
    if (!fd_get(t, fd))
        return -EBADF;
    struct fd_slot *slot = &t->files->slots[fd];
    /* With one task in the table nobody can get the number meanwhile: its own close(fd) takes the leftover away. */
    if (slot->native && t->files->refs == 1 && t->trap.nr == SYS_close && (int)t->trap.args[0] == fd) {
        slot->native = 0;
        slot_clear(t, t->files, (uint32_t)fd);
        return SENTRY_CONTINUE;
    }
    if (slot->native)
        cover_native(t, (uint32_t)fd);
    slot_clear(t, t->files, (uint32_t)fd);
    return 0;
}

struct fd_table *fd_table_copy(struct fd_table *from)
{
    struct fd_table *f = vfs_must_alloc(sizeof *f);
    f->refs = 1;
    if (!from)
        return f;
    uint32_t used = from->capacity;
    while (used && !from->slots[used - 1].desc && !from->slots[used - 1].native)
        used--;
    f->capacity = used;
    f->first_free = from->first_free < used ? from->first_free : used;
    if (used) {
        f->slots = vfs_must_alloc(used * sizeof *f->slots);
        memcpy(f->slots, from->slots, used * sizeof *f->slots);
    }
    for (uint32_t fd = 0; fd < used; fd++) {
        if (f->slots[fd].desc)
            desc_ref(f->slots[fd].desc);
        if (f->slots[fd].reserved) { /* promised to a call of the other table's owner */
            f->slots[fd].reserved = 0;
            if (fd < f->first_free)
                f->first_free = fd;
        }
    }
    return f;
}

void fd_table_unref(struct task *t, struct fd_table *f)
{
    if (--f->refs)
        return;
    for (uint32_t fd = 0; fd < f->capacity; fd++)
        if (f->slots[fd].desc)
            slot_clear(t, f, fd);
    free(f->slots);
    free(f);
}

void fd_close_on_exec(struct task *t)
{
    struct fd_table *f = t->files;
    if (f->refs > 1) { /* exec ends the sharing */
        f->refs--;
        t->files = f = fd_table_copy(f);
    }
    for (uint32_t fd = 0; fd < f->capacity; fd++) {
        f->slots[fd].native = 0; /* they were installed close-on-exec */
        if (f->slots[fd].desc && f->slots[fd].cloexec)
            slot_clear(t, f, fd);
    }
}

/* ---- credentials and fs contexts */

void cred_unref(struct credentials *c)
{
    if (--c->refs == 0) {
        free(c->groups);
        free(c);
    }
}

struct credentials *cred_copy(const struct credentials *from)
{
    struct credentials *c = vfs_must_alloc(sizeof *c);
    if (from) {
        *c = *from;
        c->groups = NULL;
        cred_set_groups(c, from->groups, from->ngroups);
    }
    c->refs = 1;
    return c;
}

void cred_set_groups(struct credentials *c, const uint32_t *gids, uint32_t count)
{
    uint32_t *own = count ? vfs_must_alloc(count * sizeof *own) : NULL;
    if (count)
        memcpy(own, gids, count * sizeof *own);
    free(c->groups);
    c->groups = own;
    c->ngroups = count;
}

void task_set_cred(struct task *t, struct credentials *c)
{
    if (t->cred)
        cred_unref(t->cred);
    t->cred = c;
}

struct fs_context *fs_copy(const struct fs_context *from)
{
    struct fs_context *fs = vfs_must_alloc(sizeof *fs);
    fs->refs = 1;
    fs->umask = from ? from->umask : 022;
    if (from) {
        fs_set_root(fs, from->root);
        fs_set_cwd(fs, from->cwd);
    }
    return fs;
}

void fs_set_cwd(struct fs_context *fs, struct dentry *cwd)
{
    if (cwd)
        dentry_ref(cwd);
    if (fs->cwd)
        dentry_unref(fs->cwd);
    fs->cwd = cwd;
}

void fs_set_root(struct fs_context *fs, struct dentry *root)
{
    if (root)
        dentry_ref(root);
    if (fs->root)
        dentry_unref(fs->root);
    fs->root = root;
}
