/* path_errors: what is wrong with a path itself, for every call that takes one: an errno a test, all calls in a loop. */
#include "path_calls.h"

#include <limits.h>

TEST(every_call_succeeds)
{
    scratch();
    char name[16];
    int number = 0;
    FOR_EACH_CALL (call) {
        if (call->traits & NO_GOOD || !is_known(call))
            continue;
        snprintf(name, sizeof name, "%d", number++);
        REQUIRE_OK(mkdir(name, 0755));
        pid_t pid = fork_child(); /* chdir and the like are not to be undone */
        if (pid == 0) {
            CHECK_OK(chdir(name));
            populate();
            bool is_unsupported = perform(call, AT_FDCWD, call->good) == -1;
            /* chown to root is the one who may; and where there are no attributes or handles, there are none */
            if (is_unsupported && errno != EOPNOTSUPP && (errno != EPERM || geteuid() == 0))
                GUEST_FAIL("%s(\"%s\"): %s", call->name, call->good, strerrorname_np(errno));
            guest_finish();
        }
        CHECK_CHILD(pid);
    }
}

TEST(efault_of_paths)
{
    scratch();
    populate();
    char *unended = guarded(4); /* no end before the guard page */
    memcpy(unended, "file", 4);
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, bad_address, EFAULT);
        fails(call, AT_FDCWD, (char *)-1L, EFAULT);
        errno = 0;
        if (perform(call, AT_FDCWD, unended) != -1 || (errno != EFAULT && is_known(call)))
            GUEST_FAIL("%s of a path without an end: %s", call->name, strerrorname_np(errno));
    }
}

TEST(paths_that_end_where_memory_ends)
{
    scratch();
    populate();
    char *shorter = guarded(9), *longest = guarded(PATH_MAX);
    memcpy(shorter, "absent/x", 9);
    memset(longest, '/', PATH_MAX);
    memcpy(longest + PATH_MAX - 9, "absent/x", 9);
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, shorter, ENOENT);
        fails(call, AT_FDCWD, longest, ENOENT);
    }
}

TEST(enoent_of_paths)
{
    scratch();
    populate();
    CHECK_OK(symlink("absent", "dangling"));
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, "", ENOENT);
        fails(call, AT_FDCWD, "absent/x", ENOENT);
        fails(call, AT_FDCWD, "dir/absent/../x", ENOENT);
        fails(call, AT_FDCWD, "dangling/x", ENOENT);
        if (!(call->traits & (CREATES | MAKES)))
            fails(call, AT_FDCWD, "absent", ENOENT);
        if (!(call->traits & (CREATES | MAKES | NOFOLLOW)))
            fails(call, AT_FDCWD, "dangling", ENOENT);
    }
}

TEST(enotdir_of_paths)
{
    scratch();
    populate();
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, "file/x", ENOTDIR);
        fails(call, AT_FDCWD, "link/x", ENOTDIR);
        fails(call, AT_FDCWD, "dir/../file/../x", ENOTDIR);
        if (!(call->traits & (CREATES | MAKES)))
            fails(call, AT_FDCWD, "file/", ENOTDIR);
    }
    fails(&calls[0], AT_FDCWD, "file/.", ENOTDIR);
}

TEST(eloop_of_paths)
{
    scratch();
    populate();
    CHECK_OK(symlink("loop", "loop"));
    CHECK_OK(symlink("there", "back"));
    CHECK_OK(symlink("back", "there"));
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, "loop/x", ELOOP);
        fails(call, AT_FDCWD, "there/x", ELOOP);
        if (!(call->traits & (MAKES | NOFOLLOW))) {
            fails(call, AT_FDCWD, "loop", ELOOP);
            fails(call, AT_FDCWD, "back", ELOOP);
        }
    }
}

TEST(enametoolong_of_paths)
{
    enum { NAME_BYTES = 255, PATH_BYTES = 4096 };
    static char name[NAME_BYTES + 2], below[NAME_BYTES + 4], path[PATH_BYTES + 1], fits[PATH_BYTES];
    scratch();
    populate();
    memset(name, 'n', NAME_BYTES + 1);
    snprintf(below, sizeof below, "%s/x", name);
    memset(path, '/', PATH_BYTES); /* the root, but for its length */
    memset(fits, '/', PATH_BYTES - 1);
    memcpy(fits + PATH_BYTES - 7, "absent", 6);
    memcpy(fits + PATH_BYTES - 9, "x/", 2);
    FOR_EACH_CALL (call) {
        fails(call, AT_FDCWD, name, ENAMETOOLONG);
        fails(call, AT_FDCWD, below, ENAMETOOLONG);
        fails(call, AT_FDCWD, path, ENAMETOOLONG);
        fails(call, AT_FDCWD, fits, ENOENT); /* one byte less, and it is looked for */
    }
    name[NAME_BYTES] = '\0';
    FOR_EACH_CALL (call)
        if (!(call->traits & (CREATES | MAKES)))
            fails(call, AT_FDCWD, name, ENOENT);
}

TEST(directory_descriptors)
{
    scratch();
    populate();
    int file = open("file", O_RDONLY), place = open("file", O_PATH), dir = open("dir", O_RDONLY), ends[2];
    char absent[GUEST_PATH_BYTES + 16];
    snprintf(absent, sizeof absent, "%s/absent/x", guest_scratch_path);
    REQUIRE_OK(pipe(ends));
    FOR_EACH_CALL (call) {
        if (!takes_directory(call))
            continue;
        fails(call, 999, "name", EBADF);
        fails(call, -1, "name", EBADF);
        fails(call, INT32_MIN, "name", EBADF);
        fails(call, file, "name", ENOTDIR);
        fails(call, place, "name", ENOTDIR);
        fails(call, ends[0], "name", ENOTDIR);
        fails(call, dir, "absent/x", ENOENT);
        fails(call, 999, absent, ENOENT); /* an absolute path has no use for it */
        if (call->nr != SYS_futimesat && call->nr != SYS_utimensat) /* NULL: the descriptor itself */
            fails(call, dir, NULL, EFAULT);
    }
}

TEST(eexist_and_eisdir)
{
    scratch();
    populate();
    CHECK_OK(symlink("absent", "dangling"));
    FOR_EACH_CALL (call) {
        if (!(call->traits & MAKES))
            continue;
        fails(call, AT_FDCWD, "file", EEXIST);
        fails(call, AT_FDCWD, "dir", EEXIST);
        fails(call, AT_FDCWD, "dangling", EEXIST);
        fails(call, AT_FDCWD, ".", EEXIST);
        fails(call, AT_FDCWD, "dir/..", EEXIST);
        if (call->nr != SYS_renameat2) /* may be of another file system: that comes first */
            fails(call, AT_FDCWD, "/", EEXIST);
    }
    CHECK_ERRNO(syscall(SYS_open, "dir", O_WRONLY), EISDIR);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "dir", O_RDWR), EISDIR);
    CHECK_ERRNO(syscall(SYS_creat, "dir", 0600), EISDIR);
    CHECK_ERRNO(syscall(SYS_creat, "new/", 0600), EISDIR);
    CHECK_ERRNO(syscall(SYS_truncate, "dir", 0), EISDIR);
    CHECK_ERRNO(syscall(SYS_unlink, "dir"), EISDIR);
    CHECK_ERRNO(syscall(SYS_unlinkat, AT_FDCWD, "dir", 0), EISDIR);
    CHECK_ERRNO(syscall(SYS_rename, "file", "dir"), EISDIR);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "file", AT_FDCWD, "dir"), EISDIR);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 0), EISDIR);
}

TEST(full_directories_and_directories_in_themselves)
{
    scratch();
    populate();
    CHECK_OK(mkdir("dir/sub", 0755));
    CHECK_OK(mkdir("empty", 0755));
    CHECK_ERRNO(syscall(SYS_rmdir, "dir"), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_unlinkat, AT_FDCWD, "dir", AT_REMOVEDIR), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_rename, "empty", "dir"), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "empty", AT_FDCWD, "dir"), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "empty", AT_FDCWD, "dir", 0), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_rmdir, "dir/.."), ENOTEMPTY);
    CHECK_ERRNO(syscall(SYS_rmdir, "dir/."), EINVAL);
    CHECK_ERRNO(syscall(SYS_unlinkat, AT_FDCWD, "dir/.", AT_REMOVEDIR), EINVAL);
    CHECK_ERRNO(syscall(SYS_rename, "dir", "dir/sub/new"), EINVAL);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "dir", AT_FDCWD, "dir/new"), EINVAL);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "dir", AT_FDCWD, "dir/new", 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_rename, "dir/.", "new"), EBUSY);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "file", AT_FDCWD, "dir/.."), EBUSY);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, ".", AT_FDCWD, "new", 0), EBUSY);
    CHECK_ERRNO(syscall(SYS_rename, "dir", "file"), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_rmdir, "file"), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_unlinkat, AT_FDCWD, "link", AT_REMOVEDIR), ENOTDIR);
}
