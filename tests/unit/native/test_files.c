/* Names, opening and attributes: what is created, replaced and removed, and with which errors. */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <linux/stat.h>
#include <unistd.h>

static char records[32768];

/* Names of a directory, "." and ".." left out, each followed by a blank. */
static const char *list(const char *path)
{
    static char names[32768];
    size_t used = 0;
    int fd = open_path(path, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    for (;;) {
        int64_t got = CALL(getdents64, (uint64_t)fd, ADDRESS(records), 200);
        CHECK(got >= 0);
        if (!got)
            break;
        for (int64_t at = 0; at < got;) {
            struct dirent64 *e = (void *)(records + at);
            CHECK_IS(e->d_reclen % 8, 0);
            if (e->d_name[0] != '.')
                used += (size_t)sprintf(names + used, "%s ", e->d_name);
            at += e->d_reclen;
        }
    }
    names[used] = 0;
    CHECK_IS(CALL(close, (uint64_t)fd), 0);
    return names;
}

static void open_errors(void)
{
    use_tmpfs();
    make_file("file", "x");
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    CHECK_IS(CALL(symlink, ADDRESS("file"), ADDRESS("link")), 0);
    CHECK_IS(CALL(symlink, ADDRESS("made-by-link"), ADDRESS("dangling")), 0);
    CHECK_IS(open_path("none", O_RDONLY), -ENOENT);
    CHECK_IS(open_path("none/", O_CREAT | O_WRONLY), -EISDIR);
    CHECK_IS(open_path("file", O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
    CHECK_IS(open_path("link", O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
    CHECK_IS(open_path("dangling", O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
    CHECK_IS(open_path("link", O_RDONLY | O_NOFOLLOW), -ELOOP);
    CHECK_IS(open_path("dir", O_WRONLY), -EISDIR);
    CHECK_IS(open_path("dir", O_RDONLY | O_TRUNC), -EISDIR);
    CHECK_IS(open_path("dir", O_CREAT | O_RDONLY), -EISDIR);
    CHECK_IS(open_path("file", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    CHECK_IS(CALL(openat, 7, ADDRESS("file"), O_RDONLY), -EBADF);
    CHECK_IS(CALL(openat, (uint64_t)AT_FDCWD, 8, O_RDONLY), -EFAULT);
    CHECK_IS(CALL(openat, 7, ADDRESS(""), O_RDONLY), -ENOENT);
    CHECK_IS(task->files->first_free, 0); /* nothing leaked */
    CHECK_IS(open_path("dangling", O_CREAT | O_WRONLY), 0);
    CHECK(lookup("made-by-link"));
    CHECK_IS(CALL(openat, 0, ADDRESS("file"), O_RDONLY), -ENOTDIR);
    CHECK_IS(CALL(fcntl, 0, F_GETFL), O_WRONLY | 0100000);
    task->group->rlimit_cur[7] = 1;
    CHECK_IS(open_path("none", O_RDONLY), -EMFILE); /* before the path is looked at */
    task->fs->root->sb->flags |= SB_RDONLY;
    CHECK_IS(CALL(close, 0), 0);
    CHECK_IS(open_path("file", O_WRONLY), -EROFS);
    CHECK_IS(open_path("new", O_CREAT | O_WRONLY), -EROFS);
    CHECK_IS(open_path("file", O_CREAT | O_RDONLY), 0);
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), -EEXIST);
    CHECK_IS(CALL(mkdir, ADDRESS("new"), 0755), -EROFS);
    CHECK_IS(CALL(unlink, ADDRESS("none")), -EROFS);
}

static void open_permissions(void)
{
    use_tmpfs();
    make_file("file", "x");
    lookup("file")->inode->mode = S_IFREG | 0644;
    become(1000);
    CHECK_IS(open_path("file", O_WRONLY), -EACCES);
    CHECK_IS(open_path("file", O_RDONLY | O_TRUNC), -EACCES);
    CHECK_IS(open_path("new", O_CREAT | O_WRONLY), -EACCES);
    CHECK_IS(open_path("file", O_RDONLY | O_NOATIME), SENTRY_PUNT); /* Python gives it a host description of its own */
    CHECK_IS(open_path("file", O_RDONLY | O_CLOEXEC), 0);
    CHECK_IS(CALL(fcntl, 0, F_GETFD), FD_CLOEXEC);
    CHECK_IS(CALL(access, ADDRESS("file"), 4), 0);
    CHECK_IS(CALL(access, ADDRESS("file"), 2), -EACCES);
    CHECK_IS(CALL(access, ADDRESS("file"), 8), -EINVAL);
    /* its own file: mode by umask, group by the directory's set-group-ID bit */
    struct inode *dir = task->fs->root->inode;
    dir->mode = S_IFDIR | S_ISGID | 0777;
    dir->gid = 55;
    task->fs->umask = 027;
    CHECK_IS(CALL(openat, (uint64_t)AT_FDCWD, ADDRESS("mine"), O_CREAT | O_WRONLY, 02777), 1);
    struct inode *mine = lookup("mine")->inode;
    CHECK_IS(mine->mode, S_IFREG | 0750); /* set-group-ID lost: not a member of 55 */
    CHECK_IS(mine->uid, 1000);
    CHECK_IS(mine->gid, 55);
    CHECK_IS(CALL(mkdir, ADDRESS("sub"), 0777), 0);
    CHECK_IS(lookup("sub")->inode->mode, S_IFDIR | S_ISGID | 0750);
}

static void attributes(void)
{
    struct stat st;
    struct statx sx;
    use_tmpfs();
    make_file("file", "12345");
    CHECK_IS(CALL(stat, ADDRESS("file"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 5);
    CHECK_IS(st.st_mode, S_IFREG | 0644);
    CHECK_IS(st.st_nlink, 1);
    CHECK_IS(CALL(stat, ADDRESS("file"), ADDRESS(guard - sizeof st)), 0);
    CHECK_IS(CALL(stat, ADDRESS("file"), ADDRESS(guard - sizeof st + 1)), -EFAULT);
    CHECK_IS(CALL(newfstatat, (uint64_t)AT_FDCWD, ADDRESS(""), ADDRESS(&st), 0), -ENOENT);
    CHECK_IS(CALL(newfstatat, (uint64_t)AT_FDCWD, ADDRESS(""), ADDRESS(&st), AT_EMPTY_PATH), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_IS(CALL(newfstatat, 3, ADDRESS(""), ADDRESS(&st), AT_EMPTY_PATH), -EBADF);
    CHECK_IS(CALL(newfstatat, (uint64_t)AT_FDCWD, ADDRESS("file"), ADDRESS(&st), 0x8000), -EINVAL);
    CHECK_IS(CALL(statx, (uint64_t)AT_FDCWD, ADDRESS("file"), 0, STATX_BASIC_STATS, ADDRESS(&sx)), 0);
    CHECK_IS(sx.stx_size, 5);
    CHECK_IS(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK_IS(CALL(statx, (uint64_t)AT_FDCWD, ADDRESS("file"), 0, STATX__RESERVED, ADDRESS(&sx)), -EINVAL);
    /* a file that is written is asked for its size; so is an unlinked one that is open */
    int fd = open_path("file", O_RDWR | O_APPEND);
    CHECK_IS(CALL(write, (uint64_t)fd, ADDRESS("678"), 3), 3);
    CHECK_IS(CALL(stat, ADDRESS("file"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 8);
    CHECK_IS(CALL(unlink, ADDRESS("file")), 0);
    CHECK_IS(CALL(fstat, (uint64_t)fd, ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 8);
    CHECK_IS(st.st_nlink, 0);
    CHECK_IS(CALL(fstat, 9, ADDRESS(&st)), -EBADF);
    char target[4];
    CHECK_IS(CALL(symlink, ADDRESS("target"), ADDRESS("link")), 0);
    CHECK_IS(CALL(readlink, ADDRESS("link"), ADDRESS(target), 4), 4);
    CHECK(memcmp(target, "targ", 4) == 0);
    CHECK_IS(CALL(readlink, ADDRESS("link"), ADDRESS(target), 0), -EINVAL);
    CHECK_IS(CALL(readlink, ADDRESS("."), ADDRESS(target), 4), -EINVAL);
    CHECK_IS(CALL(lstat, ADDRESS("link"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 6);
    CHECK_IS(st.st_mode, S_IFLNK | 0777);
}

static void names(void)
{
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("dir/"), 0777), 0);
    CHECK_IS(lookup("dir")->inode->mode, S_IFDIR | 0755);
    CHECK_IS(task->fs->root->inode->nlink, 3);
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0777), -EEXIST);
    CHECK_IS(CALL(mkdir, ADDRESS("."), 0777), -EEXIST);
    CHECK_IS(CALL(mkdir, ADDRESS("/"), 0777), -EEXIST);
    CHECK_IS(CALL(mkdir, ADDRESS("none/sub"), 0777), -ENOENT);
    make_file("dir/file", "");
    CHECK_IS(CALL(rmdir, ADDRESS("dir")), -ENOTEMPTY);
    CHECK_IS(CALL(rmdir, ADDRESS("dir/file")), -ENOTDIR);
    CHECK_IS(CALL(rmdir, ADDRESS("dir/.")), -EINVAL);
    CHECK_IS(CALL(rmdir, ADDRESS("dir/..")), -ENOTEMPTY);
    CHECK_IS(CALL(rmdir, ADDRESS("/")), -EBUSY);
    CHECK_IS(CALL(unlink, ADDRESS("dir")), -EISDIR);
    CHECK_IS(CALL(unlink, ADDRESS("dir/")), -EISDIR);
    CHECK_IS(CALL(unlink, ADDRESS("dir/.")), -EISDIR);
    CHECK_IS(CALL(unlink, ADDRESS("dir/file/")), -ENOTDIR);
    CHECK_IS(CALL(unlinkat, (uint64_t)AT_FDCWD, ADDRESS("dir"), 1), -EINVAL);
    CHECK_IS(CALL(link, ADDRESS("dir/file"), ADDRESS("other")), 0);
    CHECK(lookup("other")->inode == lookup("dir/file")->inode);
    CHECK_IS(lookup("other")->inode->nlink, 2);
    CHECK_IS(CALL(link, ADDRESS("dir"), ADDRESS("dir2")), -EPERM);
    CHECK_IS(CALL(link, ADDRESS("dir/file"), ADDRESS("other")), -EEXIST);
    CHECK_IS(CALL(unlink, ADDRESS("dir/file")), 0);
    CHECK_IS(lookup("other")->inode->nlink, 1);
    CHECK_IS(CALL(rmdir, ADDRESS("dir")), 0);
    CHECK_IS(task->fs->root->inode->nlink, 2);
    CHECK_IS(CALL(symlink, ADDRESS(""), ADDRESS("l")), -ENOENT);
    /* sticky: only the owner removes */
    task->fs->root->inode->mode = S_IFDIR | 01777;
    become(1000);
    CHECK_IS(CALL(unlink, ADDRESS("other")), -EPERM);
    CHECK_IS(CALL(rename, ADDRESS("other"), ADDRESS("mine")), -EPERM);
}

static void renames(void)
{
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("a"), 0755), 0);
    CHECK_IS(CALL(mkdir, ADDRESS("a/b"), 0755), 0);
    CHECK_IS(CALL(mkdir, ADDRESS("empty"), 0755), 0);
    make_file("file", "1");
    make_file("target", "22");
    CHECK_IS(CALL(rename, ADDRESS("none"), ADDRESS("x")), -ENOENT);
    CHECK_IS(CALL(rename, ADDRESS("a"), ADDRESS("a/b/c")), -EINVAL);
    CHECK_IS(CALL(rename, ADDRESS("a/b"), ADDRESS("a")), -ENOTEMPTY);
    CHECK_IS(CALL(rename, ADDRESS("file"), ADDRESS("empty")), -EISDIR);
    CHECK_IS(CALL(rename, ADDRESS("empty"), ADDRESS("file")), -ENOTDIR);
    CHECK_IS(CALL(rename, ADDRESS("empty"), ADDRESS("a")), -ENOTEMPTY);
    CHECK_IS(CALL(rename, ADDRESS("file"), ADDRESS("x/")), -ENOTDIR);
    CHECK_IS(CALL(rename, ADDRESS("."), ADDRESS("x")), -EBUSY);
    CHECK_IS(CALL(renameat2, (uint64_t)AT_FDCWD, ADDRESS("file"), (uint64_t)AT_FDCWD, ADDRESS("target"), 1), -EEXIST);
    CHECK_IS(CALL(renameat2, (uint64_t)AT_FDCWD, ADDRESS("file"), (uint64_t)AT_FDCWD, ADDRESS("target"), 8), -EINVAL);
    int fd = open_path("target", O_RDONLY);
    CHECK_IS(CALL(rename, ADDRESS("file"), ADDRESS("target")), 0);
    CHECK(!lookup("file"));
    struct stat st;
    CHECK_IS(CALL(stat, ADDRESS("target"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 1);
    CHECK_IS(CALL(fstat, (uint64_t)fd, ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 2);
    CHECK_IS(st.st_nlink, 0);
    CHECK_IS(CALL(rename, ADDRESS("a/b"), ADDRESS("empty/")), 0);
    CHECK_IS(lookup("a")->inode->nlink, 2);
    CHECK(strcmp(list("."), "target a empty ") == 0 || strlen(list(".")) == strlen("target a empty "));
}

static void overlay_changes(void)
{
    host_file("dir/one", "1");
    host_file("dir/two", "22");
    host_file("dir/three", "333");
    use_overlay();
    CHECK_IS(CALL(unlink, ADDRESS("dir/one")), 0);
    CHECK(!lookup("dir/one"));
    CHECK_IS(CALL(rename, ADDRESS("dir/two"), ADDRESS("dir/moved")), 0);
    CHECK(!lookup("dir/two"));
    CHECK_IS(strlen(list("dir")), strlen("moved three "));
    int fd = open_path("dir/moved", O_RDONLY);
    char content[8];
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(content), 8), 2);
    CHECK(memcmp(content, "22", 2) == 0);
    CHECK_IS(CALL(rename, ADDRESS("dir"), ADDRESS("renamed")), 0);
    CHECK(!lookup("dir"));
    CHECK(lookup("renamed/three"));
    CHECK(!lookup("renamed/one"));
    fd = open_path("renamed/three", O_RDONLY);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(content), 8), 3);
    /* a directory made where a lower one was removed shows nothing of it */
    CHECK_IS(CALL(rmdir, ADDRESS("renamed")), -ENOTEMPTY);
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    CHECK(!lookup("dir/three"));
    CHECK_IS(strlen(list("dir")), 0);
    CHECK_IS(CALL(link, ADDRESS("renamed/three"), ADDRESS("dir/again")), 0);
    CHECK_IS(CALL(unlink, ADDRESS("renamed/three")), 0);
    fd = open_path("dir/again", O_RDONLY);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(content), 8), 3);
    char path[128];
    snprintf(path, sizeof path, "%s/dir/one", host_dir);
    CHECK(access(path, F_OK) == 0); /* the host's is untouched */
}

static void host_order(void)
{
    char name[16], wanted[8192] = "";
    for (int n = 0; n < 300; n++) {
        sprintf(name, "dir/f%d", n * 7919 % 1000);
        host_file(name, "");
    }
    char path[128];
    snprintf(path, sizeof path, "%s/dir", host_dir);
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            strcat(strcat(wanted, e->d_name), " ");
    closedir(dir);
    use_overlay();
    CHECK(lookup("dir/f0"));
    CHECK(strcmp(list("dir"), wanted) == 0);
    CHECK(strcmp(list("dir"), wanted) == 0); /* now from the cache */
    use_bind(false);
    CHECK(strcmp(list("dir"), wanted) == 0);
}

static void reading_directories(void)
{
    char name[16];
    use_tmpfs();
    for (int n = 0; n < 40; n++) {
        sprintf(name, "file%d", n);
        make_file(name, "");
    }
    int fd = open_path(".", O_RDONLY);
    CHECK_IS(CALL(getdents64, (uint64_t)fd, ADDRESS(records), 8), -EINVAL);
    CHECK_IS(CALL(getdents64, (uint64_t)fd, 8, 4096), -EFAULT);
    int64_t first = CALL(getdents64, (uint64_t)fd, ADDRESS(records), 400);
    CHECK(first > 0);
    /* removing everything while reading skips nothing */
    for (int n = 0; n < 40; n++) {
        sprintf(name, "file%d", n);
        CHECK_IS(CALL(unlink, ADDRESS(name)), 0);
    }
    int entries = 0;
    for (int64_t got = first; got > 0; got = CALL(getdents64, (uint64_t)fd, ADDRESS(records), 400))
        for (int64_t at = 0; at < got; entries++)
            at += ((struct dirent64 *)(void *)(records + at))->d_reclen;
    CHECK_IS(entries, 42);
    CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_SET), 0);
    CHECK_IS(CALL(getdents64, (uint64_t)fd, ADDRESS(records), 4096), 48); /* "." and ".." are left */
    CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_END), -EINVAL);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(records), 8), -EISDIR);
    make_file("plain", "");
    fd = open_path("plain", O_RDONLY);
    CHECK_IS(CALL(getdents64, (uint64_t)fd, ADDRESS(records), 400), -ENOTDIR);
}

static void changing_attributes(void)
{
    struct stat st;
    struct timespec times[2] = {{.tv_sec = 5, .tv_nsec = 6}, {.tv_nsec = UTIME_OMIT}};
    host_file("file", "lower");
    struct dentry *root = use_overlay();
    make_file("upper", "1");
    CHECK_IS(CALL(chmod, ADDRESS("file"), 06711), 0);
    CHECK_IS(lookup("file")->inode->mode, S_IFREG | 06711);
    CHECK(lookup("file")->flags & DENTRY_PINNED);
    CHECK_IS(CALL(chown, ADDRESS("file"), 7, (uint64_t)-1), 0);
    CHECK_IS(lookup("file")->inode->mode, S_IFREG | 0711); /* even for root */
    CHECK_IS(lookup("file")->inode->uid, 7);
    CHECK_IS(lookup("file")->inode->gid, 0);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("upper"), ADDRESS(times), 0), 0);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("file"), ADDRESS(times), 0), 0);
    for (int n = 0; n < 2; n++) {
        CHECK_IS(CALL(stat, ADDRESS(n ? "upper" : "file"), ADDRESS(&st)), 0);
        CHECK_IS(st.st_atim.tv_sec, 5);
        CHECK_IS(st.st_atim.tv_nsec, 6);
        CHECK(st.st_mtim.tv_sec > 1000000);
        CHECK(st.st_ctim.tv_sec > 1000000);
    }
    times[0].tv_nsec = NSEC_PER_SEC;
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("none"), ADDRESS(times), 0), -ENOENT);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("upper"), ADDRESS(times), 0), -EINVAL);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("upper"), 8, 0), -EFAULT);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, 0, 0, 0), -EFAULT);
    CHECK_IS(CALL(truncate, ADDRESS("upper"), 100), 0);
    CHECK_IS(CALL(stat, ADDRESS("upper"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 100);
    CHECK_IS(CALL(truncate, ADDRESS("upper"), (uint64_t)-1), -EINVAL);
    CHECK_IS(CALL(truncate, ADDRESS("."), 1), -EISDIR);
    CHECK_IS(CALL(truncate, ADDRESS("file"), 1), SENTRY_PUNT); /* copy-up */
    int fd = open_path("upper", O_RDONLY);
    CHECK_IS(CALL(fchmod, (uint64_t)fd, 0600), 0);
    CHECK_IS(CALL(fchmod, 40, 0600), -EBADF);
    lookup("upper")->inode->gid = 3;
    become(7);
    CHECK_IS(CALL(chmod, ADDRESS("upper"), 0777), -EPERM);
    CHECK_IS(CALL(fchown, (uint64_t)fd, 7, 7), -EPERM);
    CHECK_IS(CALL(chmod, ADDRESS("file"), 02755), 0);
    CHECK_IS(lookup("file")->inode->mode, S_IFREG | 0755); /* not a member of group 0 */
    CHECK_IS(CALL(chown, ADDRESS("file"), (uint64_t)-1, 3), -EPERM);
    CHECK_IS(CALL(chown, ADDRESS("file"), 7, 7), 0);
    CHECK_IS(CALL(utimensat, (uint64_t)AT_FDCWD, ADDRESS("upper"), 0, 0), -EACCES);
    root->sb->flags |= SB_RDONLY;
    CHECK_IS(CALL(chmod, ADDRESS("upper"), 0777), -EROFS);
}

static void working_directory(void)
{
    char path[64];
    use_tmpfs();
    CHECK_IS(CALL(mkdir, ADDRESS("dir"), 0755), 0);
    make_file("file", "");
    CHECK_IS(CALL(chdir, ADDRESS("file")), -ENOTDIR);
    CHECK_IS(CALL(chdir, ADDRESS("dir")), 0);
    CHECK_IS(CALL(getcwd, ADDRESS(path), 4), -ERANGE);
    CHECK_IS(CALL(getcwd, ADDRESS(path), 5), 5);
    CHECK(strcmp(path, "/dir") == 0);
    CHECK_IS(CALL(getcwd, 8, 64), -EFAULT);
    int fd = open_path("..", O_RDONLY);
    CHECK_IS(CALL(fchdir, (uint64_t)fd), 0);
    CHECK_IS(CALL(getcwd, ADDRESS(path), 64), 2);
    lookup("dir")->inode->mode = S_IFDIR | 0600;
    become(1000);
    CHECK_IS(CALL(chdir, ADDRESS("dir")), -EACCES);
    CHECK_IS(CALL(fchdir, 30), -EBADF);
}

static void kept_descriptors(void)
{
    char byte;
    host_file("file", "abc");
    use_overlay();
    uint64_t before = gofer_calls();
    for (int n = 0; n < 5; n++) {
        int fd = open_path("file", O_RDONLY), second = open_path("file", O_RDONLY);
        CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(&byte), 1), 1);
        CHECK_IS(byte, 'a');
        CHECK_IS(CALL(read, (uint64_t)second, ADDRESS(&byte), 1), 1);
        CHECK_IS(byte, 'a');
        CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_CUR), 1);
        CHECK_IS(CALL(close, (uint64_t)fd), 0);
        CHECK_IS(CALL(close, (uint64_t)second), 0);
    }
    CHECK_IS(gofer_calls() - before, 2); /* the walk, which opens, and the second open */
}

static void opening_in_order(void)
{
    char name[32], content[32];
    for (int n = 0; n < 50; n++) {
        sprintf(name, "dir/f%d", n);
        host_file(name, name);
    }
    host_file("dir/empty", "");
    host_file("dir/sub/", "");
    use_overlay();
    int dir = open_path("dir", O_RDONLY | O_DIRECTORY);
    CHECK(CALL(getdents64, (uint64_t)dir, ADDRESS(records), sizeof records) > 0);
    uint64_t before = gofer_calls();
    for (struct dentry *d = lookup("dir")->first_child, *next; d; d = next) {
        next = d->next_sibling;
        sprintf(name, "dir/%s", d->name);
        if (strcmp(d->name, "f7") == 0) { /* changed in between: what was opened ahead does not matter */
            CHECK_IS(CALL(unlink, ADDRESS(name)), 0);
            make_file(name, "new");
            d = lookup(name);
            strcpy(name, "new");
        }
        char path[64];
        sprintf(path, "dir/%s", d->name);
        int fd = open_path(path, O_RDONLY);
        CHECK(fd >= 0);
        if (S_ISREG(d->inode->mode) && strcmp(d->name, "empty") != 0) {
            int64_t got = CALL(read, (uint64_t)fd, ADDRESS(content), sizeof content);
            CHECK_IS(got, strlen(name));
            CHECK(memcmp(content, name, (size_t)got) == 0);
            CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(content), sizeof content), 0);
        }
        CHECK_IS(CALL(close, (uint64_t)fd), 0);
    }
    CHECK(gofer_calls() - before < 12);
}

const struct test file_tests[] = {
    {"open-errors", open_errors},
    {"open-permissions", open_permissions},
    {"attributes", attributes},
    {"names", names},
    {"renames", renames},
    {"overlay-changes", overlay_changes},
    {"host-order", host_order},
    {"reading-directories", reading_directories},
    {"changing-attributes", changing_attributes},
    {"working-directory", working_directory},
    {"kept-descriptors", kept_descriptors},
    {"opening-in-order", opening_in_order},
    {NULL, NULL},
};
