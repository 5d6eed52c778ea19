/* Path walks: which error wins, symlinks, and how seldom the gofer is asked. */
#define _GNU_SOURCE
#include "harness.h"

#include <unistd.h>

static struct vfs_path found;

static int walk(const char *path, uint32_t flags)
{
    return walk_at(task, AT_FDCWD, path, flags, &found);
}

static void errors(void)
{
    char name[300];
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    make_file("dir/file", "x");
    CHECK_IS(walk("", 0), -ENOENT);
    CHECK_IS(walk("/", 0), 0);
    CHECK_IS(found.last, LAST_ROOT);
    CHECK_IS(walk("dir/file/", 0), -ENOTDIR);
    CHECK_IS(walk("dir/file/x", 0), -ENOTDIR);
    CHECK_IS(walk("dir/file/..", 0), -ENOTDIR);
    CHECK_IS(walk("dir//./file", 0), 0);
    CHECK_IS(walk("../../dir", 0), 0);
    CHECK_IS(walk("dir/", 0), 0);
    CHECK(found.has_slash);
    CHECK_IS(walk("none/file", 0), -ENOENT);
    CHECK(!found.parent);
    CHECK_IS(walk("dir/none/", 0), -ENOENT);
    CHECK(found.parent && found.has_slash && strcmp(found.name, "none") == 0);
    memset(name, 'n', 256);
    name[256] = 0;
    CHECK_IS(walk(name, 0), -ENAMETOOLONG);
    name[255] = 0;
    CHECK_IS(walk(name, 0), -ENOENT);
    CHECK_IS(found.name_len, 255);
    CHECK_IS(walk("dir/..", WALK_PARENT), 0);
    CHECK_IS(found.last, LAST_DOTDOT);
    become(1000);
    lookup("dir")->inode->mode = S_IFDIR | 0700;
    CHECK_IS(walk("dir", 0), 0);
    CHECK_IS(walk("dir/", 0), 0);
    CHECK_IS(walk("dir/.", 0), -EACCES);
    CHECK_IS(walk("dir/file", 0), -EACCES);
    CHECK_IS(walk("dir/none/x", 0), -EACCES);
}

static void symlinks(void)
{
    char name[16];
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    make_file("dir/file", "x");
    CHECK_IS(CALL(symlink, ADDRESS("dir"), ADDRESS("to-dir")), 0);
    CHECK_IS(CALL(symlink, ADDRESS("/dir/file"), ADDRESS("dir/abs")), 0);
    CHECK_IS(CALL(symlink, ADDRESS("none"), ADDRESS("dangling")), 0);
    CHECK_IS(CALL(symlink, ADDRESS("loop"), ADDRESS("loop")), 0);
    CHECK(lookup("to-dir/abs") && S_ISLNK(lookup("to-dir/abs")->inode->mode));
    CHECK_IS(walk("to-dir/abs", WALK_FOLLOW), 0);
    CHECK(found.dentry == lookup("dir/file"));
    CHECK(found.parent == lookup("dir"));
    CHECK_IS(walk("to-dir/", 0), 0); /* a trailing slash follows */
    CHECK(S_ISDIR(found.dentry->inode->mode));
    CHECK_IS(walk("to-dir/", WALK_PARENT), 0);
    CHECK(S_ISLNK(found.dentry->inode->mode));
    CHECK_IS(walk("dangling", WALK_FOLLOW), -ENOENT);
    CHECK(found.parent && strcmp(found.name, "none") == 0);
    CHECK_IS(walk("loop", WALK_FOLLOW), -ELOOP);
    CHECK_IS(walk("loop", 0), 0);
    CHECK_IS(walk("dir/abs/", WALK_FOLLOW), -ENOTDIR);
    /* 40 links are followed, 41 are not */
    CHECK_IS(CALL(symlink, ADDRESS("dir/file"), ADDRESS("l0")), 0);
    for (int n = 1; n <= 40; n++) {
        char target[16];
        sprintf(target, "l%d", n - 1);
        sprintf(name, "l%d", n);
        CHECK_IS(CALL(symlink, ADDRESS(target), ADDRESS(name)), 0);
    }
    CHECK_IS(walk("l39", WALK_FOLLOW), 0);
    CHECK_IS(walk("l40", WALK_FOLLOW), -ELOOP);
}

static void lower_tree_is_asked_once(void)
{
    host_file("a/b/c/file", "content");
    host_symlink("a/link", "b/c");
    use_overlay();
    uint64_t before = gofer_calls();
    CHECK_IS(walk("a/b/c/file", 0), 0);
    CHECK_IS(gofer_calls() - before, 1);
    CHECK_IS(found.dentry->inode->size, 7);
    CHECK_IS(walk("a/b/c/file", 0), 0);
    CHECK_IS(walk("a/b/none/deep/er", 0), -ENOENT);
    CHECK_IS(gofer_calls() - before, 2);
    CHECK_IS(walk("a/b/none", 0), -ENOENT);
    CHECK_IS(gofer_calls() - before, 2); /* the miss is remembered */
    CHECK_IS(walk("a/link/file", 0), 0);
    CHECK_IS(gofer_calls() - before, 3);
    CHECK_IS(walk("a/b/c/file/x", 0), -ENOTDIR);
    CHECK_IS(walk("a/b/../b/./c", 0), 0);
    CHECK_IS(gofer_calls() - before, 3);
}

static void listed_directory_is_complete(void)
{
    char records[4096];
    host_file("dir/one", "1");
    host_file("dir/two", "22");
    use_overlay();
    int fd = open_path("dir", O_RDONLY | O_DIRECTORY);
    CHECK_IS(fd, 0);
    CHECK(CALL(getdents64, 0, ADDRESS(records), sizeof records) > 0);
    uint64_t before = gofer_calls();
    CHECK_IS(walk("dir/two", 0), 0);
    CHECK_IS(found.dentry->inode->size, 2);
    CHECK_IS(gofer_calls() - before, 1); /* all at once */
    CHECK_IS(walk("dir/one", 0), 0);
    CHECK_IS(walk("dir/three", 0), -ENOENT);
    CHECK_IS(gofer_calls() - before, 1);
}

static void bind_is_revalidated(void)
{
    host_file("dir/file", "old");
    use_bind(false);
    CHECK_IS(walk("dir/file", 0), 0);
    CHECK_IS(found.dentry->inode->size, 3);
    struct dentry *d = found.dentry;
    host_file("dir/file", "longer");
    CHECK_IS(walk("dir/file", 0), 0);
    CHECK(found.dentry == d);
    CHECK_IS(d->inode->size, 6);
    CHECK_IS(walk("dir/new", 0), -ENOENT);
    host_file("dir/new", "");
    CHECK_IS(walk("dir/new", 0), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/dir/file", host_dir);
    CHECK(unlink(path) == 0);
    dentry_ref(d);
    CHECK_IS(walk("dir/file", 0), -ENOENT);
    CHECK(d->flags & DENTRY_UNHASHED);
    dentry_unref(d);
    uint64_t before = gofer_calls();
    CHECK_IS(walk("dir/new", 0), 0);
    CHECK_IS(gofer_calls() - before, 1);
}

static void mount_below_a_bind(void)
{
    host_file("dir/mnt/hidden", "");
    host_file("dir/file", "x");
    struct dentry *bind = use_bind(false);
    CHECK_IS(walk("dir/mnt/hidden", 0), 0);
    struct dentry *at = lookup("dir/mnt"), *inner = use_tmpfs();
    mount_attach(at, inner->sb);
    make_file("inside", "");
    fs_set_root(task->fs, bind);
    fs_set_cwd(task->fs, bind);
    CHECK_IS(walk("dir/mnt/inside", 0), 0);
    CHECK_IS(walk("dir/mnt/hidden", 0), -ENOENT);
    CHECK_IS(walk("dir/mnt", 0), 0);
    CHECK(found.dentry == inner);
    CHECK_IS(walk("dir/mnt/../file", 0), 0);
    CHECK_IS(CALL(rmdir, ADDRESS("dir/mnt")), SENTRY_PUNT);
}

static void removed_directory(void)
{
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    CHECK_IS(CALL(chdir, ADDRESS("dir")), 0);
    CHECK_IS(CALL(rmdir, ADDRESS("/dir")), 0);
    char cwd[64];
    CHECK_IS(CALL(getcwd, ADDRESS(cwd), sizeof cwd), -ENOENT);
    CHECK_IS(walk(".", 0), 0);
    CHECK_IS(found.dentry->inode->nlink, 0);
    CHECK_IS(walk("x", 0), -ENOENT);
    CHECK_IS(walk("..", 0), 0);
    CHECK(found.dentry == task->fs->root);
    CHECK_IS(open_path("new", O_CREAT | O_WRONLY), -ENOENT);
    CHECK_IS(CALL(mkdir, ADDRESS("sub"), 0755), -ENOENT);
    CHECK_IS(CALL(chdir, ADDRESS("/")), 0);
}

static void python_file_systems_punt(void)
{
    struct dentry *root = use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("proc"), 0755), 0);
    struct dentry *at = lookup("proc"), *proc = use_tmpfs();
    proc->sb->kind = FS_PROC;
    proc->inode->flags = INODE_PYTHON;
    mount_attach(at, proc->sb);
    fs_set_root(task->fs, root);
    fs_set_cwd(task->fs, root);
    CHECK_IS(walk("/proc/self/status", 0), SENTRY_PUNT);
    CHECK_IS(walk("/proc/..", 0), 0);
    struct stat st;
    CHECK_IS(CALL(stat, ADDRESS("/proc"), ADDRESS(&st)), SENTRY_PUNT);
    CHECK_IS(open_path("/proc", O_RDONLY), SENTRY_PUNT);
    CHECK_IS(task->files->first_free, 0);
}

const struct test walk_tests[] = {
    {"walk-errors", errors},
    {"walk-symlinks", symlinks},
    {"walk-lower-tree-is-asked-once", lower_tree_is_asked_once},
    {"walk-listed-directory-is-complete", listed_directory_is_complete},
    {"walk-bind-is-revalidated", bind_is_revalidated},
    {"walk-mount-below-a-bind", mount_below_a_bind},
    {"walk-removed-directory", removed_directory},
    {"walk-python-file-systems-punt", python_file_systems_punt},
    {NULL, NULL},
};
