/* path_permissions: who may do what to a path, and on what file system: an errno a test, a loop over the calls. */
#include "mount.h"
#include "path_calls.h"

TEST(eacces_of_directories_that_may_not_be_searched)
{
    scratch();
    pid_t pid = fork_unprivileged();
    if (pid == 0) {
        populate();
        CHECK_OK(mkdir("closed", 0755));
        write_file("closed/file", "x");
        CHECK_OK(symlink("closed/file", "through"));
        CHECK_OK(chmod("closed", 0600));
        int closed = open("closed", O_RDONLY | O_DIRECTORY);
        FOR_EACH_CALL (call) {
            fails(call, AT_FDCWD, "closed/file", EACCES);
            fails(call, AT_FDCWD, "closed/absent", EACCES);
            fails(call, AT_FDCWD, "closed/../file", EACCES);
            if (!(call->traits & (MAKES | NOFOLLOW)))
                fails(call, AT_FDCWD, "through", EACCES);
            if (takes_directory(call))
                fails(call, closed, "file", EACCES);
        }
        CHECK_ERRNO(syscall(SYS_fchdir, closed), EACCES);
        CHECK_ERRNO(syscall(SYS_chdir, "closed"), EACCES);
        CHECK_ERRNO(syscall(SYS_chroot, "closed"), EACCES);
        CHECK_OK(chmod("closed", 0755));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(eacces_of_directories_that_may_not_be_written)
{
    scratch();
    pid_t pid = fork_unprivileged();
    if (pid == 0) {
        CHECK_OK(mkdir("shut", 0755));
        CHECK_OK(chdir("shut"));
        populate();
        CHECK_OK(chmod(".", 0555));
        FOR_EACH_CALL (call)
            if (call->traits & MOVES)
                fails(call, AT_FDCWD, call->good, EACCES);
        CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, ".", O_RDWR | O_TMPFILE, 0600), EACCES);
        CHECK_OK(chmod(".", 0755));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(eacces_of_files)
{
    scratch();
    pid_t pid = fork_unprivileged();
    if (pid == 0) {
        populate();
        int file = open("file", O_RDONLY);
        CHECK_OK(chmod("file", 0));
        FOR_EACH_CALL (call)
            if (call->traits & CONTENT)
                fails(call, AT_FDCWD, "file", EACCES);
        CHECK_ERRNO(syscall(SYS_creat, "file", 0600), EACCES);
        CHECK_ERRNO(syscall(SYS_fgetxattr, file, "user.a", out, sizeof out), EACCES);
        CHECK_ERRNO(syscall(SYS_fsetxattr, file, "user.b", "v", 1, 0), EACCES);
        CHECK_ERRNO(syscall(SYS_fremovexattr, file, "user.a"), EACCES);
        CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, 0), EACCES);
        CHECK_ERRNO(syscall(SYS_faccessat2, file, "", X_OK, AT_EMPTY_PATH), EACCES);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* Modes that let everyone do everything, owned by root. */
static void populate_for_all(void)
{
    populate();
    REQUIRE_OK(chmod("file", 0777));
    REQUIRE_OK(chmod("dir", 0777));
}

TEST(eperm_of_files_of_others)
{
    if (geteuid() != 0)
        SKIP("a second identity is needed");
    scratch();
    populate_for_all();
    REQUIRE_OK(mkdir("theirs", 0755));
    int file = open("file", O_RDWR);
    write_file("shut", "x");
    pid_t pid = fork_unprivileged();
    if (pid == 0) {
        FOR_EACH_CALL (call)
            if (call->traits & OWNERS)
                fails(call, AT_FDCWD, call->good, EPERM);
        CHECK_ERRNO(syscall(SYS_fchmod, file, 0700), EPERM);
        CHECK_ERRNO(syscall(SYS_fchown, file, 0, -1), EPERM);
        CHECK_ERRNO(syscall(SYS_fchmodat, AT_FDCWD, "theirs", 0777), EPERM);
        CHECK_ERRNO(syscall(SYS_utimensat, file, NULL, nanos, 0), EPERM);
        CHECK_OK(syscall(SYS_utimensat, file, NULL, NULL, 0)); /* the present time: whoever may write */
        CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, "shut", NULL, 0), EACCES);
        CHECK_ERRNO(syscall(SYS_utimes, "shut", NULL), EACCES);
        CHECK_ERRNO(syscall(SYS_utime, "shut", NULL), EACCES);
        CHECK_ERRNO(syscall(SYS_futimesat, AT_FDCWD, "shut", NULL), EACCES);
        CHECK_ERRNO(syscall(SYS_open, "file", O_RDONLY | O_NOATIME), EPERM);
        CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY | O_NOATIME), EPERM);
        CHECK_ERRNO(fcntl(open("file", O_RDONLY), F_SETFL, O_NOATIME), EPERM);
        CHECK_ERRNO(syscall(SYS_setxattr, "file", "trusted.b", "v", 1, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_lsetxattr, "file", "trusted.b", "v", 1, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_fsetxattr, file, "trusted.b", "v", 1, 0), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(eperm_of_who_has_no_privileges)
{
    scratch();
    pid_t pid = fork_unprivileged();
    if (pid == 0) {
        populate();
        int file = open("file", O_RDWR);
        CHECK_ERRNO(syscall(SYS_chroot, "dir"), EPERM);
        CHECK_ERRNO(syscall(SYS_mknod, "new", S_IFCHR | 0600, 0x103), EPERM);
        CHECK_ERRNO(syscall(SYS_mknodat, AT_FDCWD, "new", S_IFBLK | 0600, 0x800), EPERM);
        CHECK_ERRNO(syscall(SYS_chown, "file", 0, -1), EPERM);
        CHECK_ERRNO(syscall(SYS_lchown, "link", -1, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_fchown, file, -1, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_fchownat, file, "", 0, 0, AT_EMPTY_PATH), EPERM);
        CHECK_ERRNO(syscall(SYS_link, "dir", "new"), EPERM);
        CHECK_ERRNO(syscall(SYS_linkat, AT_FDCWD, "dir", AT_FDCWD, "new", 0), EPERM);
        CHECK_ERRNO(syscall(SYS_linkat, file, "", AT_FDCWD, "new", 0), ENOENT);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(eperm_of_sticky_directories)
{
    if (geteuid() != 0)
        SKIP("a second identity is needed");
    scratch();
    REQUIRE_OK(mkdir("sticky", 0755));
    REQUIRE_OK(chdir("sticky"));
    populate_for_all();
    REQUIRE_OK(chmod(".", 01777));
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresgid(4321, 4321, 4321));
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        FOR_EACH_CALL (call)
            if (call->traits & MOVES && !(call->traits & (MAKES | CREATES | COUNTED)))
                fails(call, AT_FDCWD, call->good, EPERM);
        write_file("own", "x");
        CHECK_ERRNO(syscall(SYS_rename, "own", "file"), EPERM);
        CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "own", AT_FDCWD, "file", RENAME_EXCHANGE), EPERM);
        CHECK_OK(syscall(SYS_rename, "own", "new"));
        CHECK_OK(syscall(SYS_unlink, "new"));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(what_is_not_made)
{
    scratch();
    CHECK_ERRNO(syscall(SYS_mknod, "new", 0150000, 0), EINVAL); /* of no type */
    CHECK_ERRNO(syscall(SYS_mknodat, AT_FDCWD, "new", 0150000, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mknod, "new", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_mknodat, AT_FDCWD, "new", S_IFDIR | 0700, 0), EPERM);
    CHECK_OK(syscall(SYS_mknod, "new", 0600, 0)); /* no type is a file */
    if (geteuid() != 0 || chdir("/dev/pts") == -1)
        return; /* a file system that makes its names itself; to others, its directory may not be written */
    CHECK_ERRNO(syscall(SYS_mkdir, "new", 0700), EPERM);
    CHECK_ERRNO(syscall(SYS_mkdirat, AT_FDCWD, "new", 0700), EPERM);
    CHECK_ERRNO(syscall(SYS_symlink, "x", "new"), EPERM);
    CHECK_ERRNO(syscall(SYS_symlinkat, "x", AT_FDCWD, "new"), EPERM);
    CHECK_ERRNO(syscall(SYS_mknod, "new", S_IFIFO | 0600, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_creat, "new", 0600), EACCES);
    CHECK_ERRNO(syscall(SYS_unlink, "ptmx"), EPERM);
    CHECK_ERRNO(syscall(SYS_rename, "ptmx", "new"), EPERM);
}

TEST(erofs_of_read_only_file_systems)
{
    NAMESPACE();
    char *at = directory("at");
    REQUIRE_OK(mount("some", at, "tmpfs", 0, NULL));
    REQUIRE_OK(chdir(at));
    populate();
    REQUIRE_OK(mount("some", at, NULL, MS_REMOUNT | MS_RDONLY, NULL));
    FOR_EACH_CALL (call) {
        if (call->traits & CHANGES)
            fails(call, AT_FDCWD, call->good, EROFS);
        if (call->traits & MAKES)
            fails(call, AT_FDCWD, "file", call->nr == SYS_renameat2 ? EROFS : EEXIST); /* what is there is seen first */
    }
    int file = open("file", O_RDONLY);
    CHECK_ERRNO(syscall(SYS_fchmod, file, 0700), EROFS);
    CHECK_ERRNO(syscall(SYS_fchown, file, 0, -1), EROFS);
    CHECK_ERRNO(syscall(SYS_fsetxattr, file, "user.b", "v", 1, 0), EROFS);
    CHECK_ERRNO(syscall(SYS_fremovexattr, file, "user.a"), EROFS);
    CHECK_ERRNO(syscall(SYS_utimensat, file, NULL, NULL, 0), EROFS);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, ".", O_RDWR | O_TMPFILE, 0600), EROFS);
    CHECK_OK(syscall(SYS_open, "file", O_RDONLY | O_CREAT, 0600)); /* nothing is created */
    CHECK_OK(syscall(SYS_access, "file", R_OK));
    close(file);
    CHECK_OK(chdir("/"));
    umount2(at, MNT_DETACH);
}

TEST(ebusy_of_mount_points_and_exdev_between_mounts)
{
    NAMESPACE();
    char *at = directory("at");
    write_file("file", "x");
    CHECK_OK(mkdir("empty", 0755));
    REQUIRE_OK(mount("some", at, "tmpfs", 0, NULL));
    CHECK_ERRNO(syscall(SYS_rmdir, "at"), EBUSY);
    CHECK_ERRNO(syscall(SYS_unlinkat, AT_FDCWD, "at", AT_REMOVEDIR), EBUSY);
    CHECK_ERRNO(syscall(SYS_rename, "at", "new"), EBUSY);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "at", AT_FDCWD, "new"), EBUSY);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "empty", AT_FDCWD, "at", 0), EBUSY);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "empty", AT_FDCWD, "at", RENAME_EXCHANGE), EBUSY);
    CHECK_ERRNO(syscall(SYS_rename, "file", "at/file"), EXDEV);
    CHECK_ERRNO(syscall(SYS_renameat, AT_FDCWD, "file", AT_FDCWD, "at/file"), EXDEV);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "at/file", 0), EXDEV);
    CHECK_ERRNO(syscall(SYS_link, "file", "at/file"), EXDEV);
    CHECK_ERRNO(syscall(SYS_linkat, AT_FDCWD, "file", AT_FDCWD, "at/file", 0), EXDEV);
    CHECK_OK(umount(at));
}

TEST(enospc_of_small_file_systems)
{
    NAMESPACE();
    char *at = directory("at");
    REQUIRE_OK(mount("some", at, "tmpfs", 0, "nr_inodes=4,size=64k"));
    REQUIRE_OK(chdir(at));
    write_file("file", "x");
    CHECK_OK(mkdir("dir", 0755));
    CHECK_OK(symlink("file", "link"));
    FOR_EACH_CALL (call)
        if (call->traits & COUNTED)
            fails(call, AT_FDCWD, call->good, ENOSPC);
    CHECK_OK(unlink("link"));
    CHECK_OK(symlink("file", "link"));
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(at));
}
