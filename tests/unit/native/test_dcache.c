/* Dentries and inodes: lifetime, order, paths, forgetting. */
#define _GNU_SOURCE
#include "harness.h"

#include <unistd.h>

static uint64_t gone[8];
static int gone_count;

static void note_gone(uint64_t id)
{
    gone[gone_count++ & 7] = id;
}

static struct dentry *add(struct dentry *dir, const char *name, uint32_t mode)
{
    struct inode *i = inode_new(dir->sb, mode);
    i->flags = INODE_UPPER;
    return dentry_add(dir, name, (uint32_t)strlen(name), i);
}

static void lifetime(void)
{
    struct dentry *root = use_tmpfs(), *d = add(root, "a", S_IFREG | 0644);
    vfs_on_inode_gone = note_gone;
    d->inode->flags |= INODE_LOCKS;
    uint64_t id = d->inode->id;
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0);
    d->inode->host_fd = pipe_fds[1];
    struct inode *held = d->inode;
    inode_ref(held);
    dentry_drop(d);
    CHECK(!dentry_find(root, "a", 1));
    CHECK_IS(gone_count, 0);
    inode_unref(held);
    CHECK_IS(gone_count, 1);
    CHECK_IS(gone[0], id);
    char byte;
    CHECK_IS(read(pipe_fds[0], &byte, 1), 0); /* the last inode reference closed the writing end */
    close(pipe_fds[0]);
}

static void dropped_directory_keeps_its_parent(void)
{
    struct dentry *root = use_tmpfs(), *a = add(root, "a", S_IFDIR | 0755), *b = add(a, "b", S_IFDIR | 0755);
    add(b, "c", S_IFREG | 0644);
    dentry_ref(b);
    dentry_drop(a);
    CHECK(b->flags & DENTRY_UNHASHED);
    CHECK(!b->first_child);
    CHECK(b->parent == a);
    CHECK(a->flags & DENTRY_UNHASHED);
    CHECK_IS(dentry_count(), 0);
    dentry_unref(b); /* frees both: the address sanitizer watches */
}

static void replacing(void)
{
    struct dentry *root = use_tmpfs(), *a = add(root, "a", S_IFREG | 0644);
    struct dentry *b = add(root, a->name, S_IFREG | 0600); /* the name is the old dentry's own */
    CHECK(dentry_find(root, "a", 1) == b);
    CHECK_IS(b->inode->mode, S_IFREG | 0600);
    dentry_set_inode(b, NULL);
    CHECK(!b->inode);
    CHECK(dentry_add(root, "a", 1, inode_new(root->sb, S_IFREG)) == b);
    CHECK_IS(dentry_count(), 1);
}

static void moving(void)
{
    struct dentry *root = use_tmpfs(), *dir = add(root, "dir", S_IFDIR | 0755), *a = add(root, "a", S_IFDIR | 0755);
    struct dentry *child = add(a, "child", S_IFREG | 0644);
    add(dir, "a much longer name", S_IFREG | 0644);
    char path[64];
    dentry_move(a, dir, "a much longer name", 18);
    CHECK(!dentry_find(root, "a", 1));
    CHECK(dentry_find(dir, "a much longer name", 18) == a);
    CHECK(dentry_find(a, "child", 5) == child);
    CHECK_IS(dentry_path(root, child, path, sizeof path), 29);
    CHECK(strcmp(path, "/dir/a much longer name/child") == 0);
    CHECK_IS(dentry_path(root, child, path, 20), -ENAMETOOLONG);
    CHECK_IS(dentry_path(root, child, path, 30), 29);
    dentry_move(a, root, a->name, a->name_len);
    CHECK(dentry_find(root, "a much longer name", 18) == a);
    CHECK_IS(dentry_path(a, dir, path, sizeof path), 17);
    CHECK(strcmp(path, "(unreachable)/dir") == 0);
    CHECK_IS(dentry_path(root, root, path, sizeof path), 1);
}

static void lower_paths(void)
{
    host_file("lower/dir/file", "x");
    struct dentry *root = use_overlay(), *dir = lookup("lower/dir"), *file = lookup("lower/dir/file");
    char path[64];
    CHECK_IS(dentry_lower_path(file, path, sizeof path), 14);
    CHECK(strcmp(path, "lower/dir/file") == 0);
    dentry_move(dir, root, "moved", 5);
    CHECK_IS(dentry_lower_path(file, path, sizeof path), 14);
    CHECK(strcmp(path, "lower/dir/file") == 0);
    dentry_move(file, root, "elsewhere", 9);
    dentry_move(dir, root, "again", 5);
    CHECK_IS(dentry_lower_path(file, path, sizeof path), 14);
    CHECK(strcmp(path, "lower/dir/file") == 0);
    CHECK_IS(dentry_lower_path(root, path, sizeof path), 0);
    CHECK_IS(dentry_lower_path(dentry_add(dir, "new", 3, NULL), path, sizeof path), 13);
    CHECK(strcmp(path, "lower/dir/new") == 0);
}

static void mounts(void)
{
    struct dentry *root = use_tmpfs(), *mnt = add(root, "mnt", S_IFDIR | 0755);
    struct dentry *second = use_tmpfs();
    add(second, "inside", S_IFREG | 0644);
    struct dentry *third = use_tmpfs();
    mount_attach(mnt, second->sb);
    mount_attach(mnt, third->sb); /* stacks on the second */
    CHECK(second->mounted == third);
    fs_set_root(task->fs, root);
    fs_set_cwd(task->fs, root);
    CHECK(lookup("/mnt") == third);
    CHECK(lookup("/mnt/..") == root);
    CHECK(!lookup("/mnt/inside"));
    char path[16];
    dentry_path(root, third, path, sizeof path);
    CHECK(strcmp(path, "/mnt") == 0);
}

static void many_and_trim(void)
{
    struct dentry *root = use_overlay(), *kept = NULL;
    char name[16];
    dcache_limit = 5000;
    root->inode->flags |= INODE_COMPLETE;
    for (int n = 0; n < 20000; n++) {
        uint32_t len = (uint32_t)sprintf(name, "f%d", n);
        struct dentry *d = dentry_add(root, name, len, inode_new(root->sb, S_IFREG | 0644));
        if (n == 777)
            d->flags |= DENTRY_PINNED;
        if (n == 778)
            dentry_ref(kept = d);
    }
    CHECK_IS(dentry_count(), 20000);
    dcache_trim();
    CHECK(dentry_count() <= 5000);
    CHECK(dentry_find(root, "f777", 4));
    CHECK(dentry_find(root, "f778", 4) == kept);
    CHECK(!(root->inode->flags & INODE_COMPLETE));
}

static void permissions(void)
{
    struct dentry *root = use_tmpfs();
    struct inode *i = inode_new(root->sb, S_IFREG | 0640), *dir = inode_new(root->sb, S_IFDIR | 0700);
    i->uid = 5;
    i->gid = 6;
    CHECK_IS(inode_permission(task->cred, i, 4 | 2), 0);
    CHECK_IS(inode_permission(task->cred, i, 1), -EACCES); /* nobody may execute it */
    become(5);
    CHECK_IS(inode_permission(task->cred, i, 4 | 2), 0);
    CHECK_IS(inode_permission(task->cred, i, 1), -EACCES);
    CHECK_IS(inode_permission(task->cred, dir, 1), -EACCES);
    become(9);
    CHECK_IS(inode_permission(task->cred, i, 4), -EACCES);
    cred_set_groups(task->cred, (const uint32_t[]){6}, 1);
    CHECK_IS(inode_permission(task->cred, i, 4), 0);
    CHECK_IS(inode_permission(task->cred, i, 2), -EACCES);
    task->cred->cap_effective = 1u << CAP_BIT_DAC_READ_SEARCH;
    CHECK_IS(inode_permission(task->cred, dir, 4 | 1), 0);
    CHECK_IS(inode_permission(task->cred, dir, 2), -EACCES);
    inode_unref(i);
    inode_unref(dir);
}

const struct test dcache_tests[] = {
    {"dcache-lifetime", lifetime},
    {"dcache-dropped-directory-keeps-its-parent", dropped_directory_keeps_its_parent},
    {"dcache-replacing", replacing},
    {"dcache-moving", moving},
    {"dcache-lower-paths", lower_paths},
    {"dcache-mounts", mounts},
    {"dcache-many-and-trim", many_and_trim},
    {"dcache-permissions", permissions},
    {NULL, NULL},
};
