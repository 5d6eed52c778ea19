/* mount_errors: what mount, umount2, pivot_root, chroot, fspick and the other descriptor calls refuse. */
#include "mount.h"

#include <sys/sysmacros.h>

enum { CLOEXEC = 1, NOFOLLOW = 2, NO_AUTOMOUNT = 4, EMPTY_PATH = 8, F_EMPTY = 4, SET_FLAG = 0, SET_STRING = 1, RECONFIGURE = 7 };

static const char *long_name(size_t length)
{
    static char name[8192];
    memset(name, 'n', length);
    name[length] = '\0';
    return name;
}

TEST(names_that_no_path_may_have)
{
    NAMESPACE();
    char *at = directory("at");
    static const struct {
        size_t length;
        int error;
    } lengths[] = {{256, ENAMETOOLONG}, {4096, ENAMETOOLONG}, {0, ENOENT}, {255, ENOENT}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const char *name = long_name(lengths[i].length);
        CHECK_ERRNO(mount("x", name, "tmpfs", 0, NULL), lengths[i].error);
        CHECK_ERRNO(umount2(name, 0), lengths[i].error);
        CHECK_ERRNO(chroot(name), lengths[i].error);
        CHECK_ERRNO(syscall(SYS_pivot_root, name, at), lengths[i].error);
        CHECK_ERRNO(syscall(SYS_pivot_root, at, name), lengths[i].error);
        CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, name, 0), lengths[i].error);
        CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, name, 0), lengths[i].error);
        CHECK_ERRNO(syscall(SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, name, 0), lengths[i].error);
        if (lengths[i].length && lengths[i].length < 4096) /* no name is "none", and no text is longer than a page */
            CHECK_ERRNO(mount(name, at, NULL, MS_BIND, NULL), lengths[i].error);
    }
    CHECK_ERRNO(mount("x", at, long_name(4096), 0, NULL), EINVAL);
    CHECK_ERRNO(mount("x", at, "", 0, NULL), ENODEV);
    CHECK_ERRNO(mount("x", at, long_name(255), 0, NULL), ENODEV);
    CHECK_ERRNO(mount(long_name(4096), at, "tmpfs", 0, NULL), EINVAL);
}

TEST(pointers_to_nothing)
{
    NAMESPACE();
    char *at = directory("at");
    CHECK_ERRNO(mount("x", bad_address, "tmpfs", 0, NULL), EFAULT);
    CHECK_ERRNO(mount("x", at, bad_address, 0, NULL), EFAULT);
    CHECK_ERRNO(mount(bad_address, at, "tmpfs", 0, NULL), EFAULT);
    CHECK_ERRNO(mount("x", at, "tmpfs", 0, bad_address), EFAULT);
    CHECK_ERRNO(umount2(bad_address, 0), EFAULT);
    CHECK_ERRNO(umount2(NULL, 0), EFAULT);
    CHECK_ERRNO(chroot(bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_pivot_root, bad_address, at), EFAULT);
    CHECK_ERRNO(syscall(SYS_pivot_root, at, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, bad_address, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_fsopen, bad_address, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, bad_address, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_move_mount, AT_FDCWD, bad_address, AT_FDCWD, at, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_move_mount, AT_FDCWD, at, AT_FDCWD, bad_address, 0), EFAULT);
    char *options = guarded(6); /* a page of options ends where memory does */
    strcpy(options, "mode=");
    options[5] = '7';
    CHECK_OK(mount("x", at, "tmpfs", 0, options));
    CHECK_OK(umount(at));
}

TEST(places_that_are_none)
{
    NAMESPACE();
    char *at = directory("at"), *file = in(place, "file"), *loop = in(place, "loop");
    touch(file);
    CHECK_OK(symlink("loop", loop));
    static const int errors[] = {ENOTDIR, ELOOP};
    const char *const paths[] = {in(file, "x"), loop};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(mount("x", paths[i], "tmpfs", 0, NULL), errors[i]);
        CHECK_ERRNO(umount2(paths[i], 0), errors[i]);
        CHECK_ERRNO(chroot(paths[i]), errors[i]);
        CHECK_ERRNO(syscall(SYS_pivot_root, paths[i], at), errors[i]);
        CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, paths[i], 0), errors[i]);
        CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, paths[i], 0), errors[i]);
    }
    CHECK_ERRNO(chroot(file), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_pivot_root, file, at), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_pivot_root, at, file), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_pivot_root, in(at, "missing"), at), ENOENT);
    CHECK_ERRNO(umount2(loop, UMOUNT_NOFOLLOW), EINVAL); /* the link itself, no root of a mount */
}

TEST(links_to_mounts)
{
    NAMESPACE();
    char *at = directory("at"), *link = in(place, "link");
    CHECK_OK(symlink("at", link));
    REQUIRE_OK(mount("x", link, "tmpfs", 0, NULL));
    touch(in(at, "f"));
    CHECK_ERRNO(umount2(link, UMOUNT_NOFOLLOW), EINVAL);
    CHECK_OK(umount2(in(place, "at"), UMOUNT_NOFOLLOW | MNT_DETACH));
    CHECK(!is_there(in(at, "f")));
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    CHECK_OK(umount2(link, MNT_FORCE));
    CHECK_ERRNO(umount2(at, 0x10), EINVAL);
    CHECK_ERRNO(umount2(at, -1), EINVAL);
}

TEST(the_unprivileged_are_refused_first)
{
    NAMESPACE();
    char *at = directory("at");
    REQUIRE_OK(chmod(place, 0755));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(mount("x", at, "tmpfs", 0, NULL), EPERM);
        CHECK_ERRNO(mount("x", at, "no-such-type", 0, NULL), EPERM);
        CHECK_ERRNO(umount2(at, 0), EPERM);
        CHECK_ERRNO(umount2(at, 0x100), EINVAL);
        CHECK_ERRNO(chroot(at), EPERM);
        CHECK_ERRNO(chroot(in(at, "missing")), ENOENT);
        CHECK_ERRNO(syscall(SYS_pivot_root, at, at), EPERM);
        CHECK_ERRNO(syscall(SYS_pivot_root, bad_address, bad_address), EPERM);
        CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, bad_address, 99), EPERM);
        CHECK_ERRNO(syscall(SYS_fsopen, bad_address, 99), EPERM);
        CHECK_ERRNO(syscall(SYS_fsmount, 999, 99, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_move_mount, AT_FDCWD, at, AT_FDCWD, at, 0xffff), EPERM);
        CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, at, 1), EPERM);
        CHECK_OK(syscall(SYS_open_tree, AT_FDCWD, at, 0)); /* no copy: as open with O_PATH */
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(directories_that_may_not_be_searched)
{
    NAMESPACE();
    char *at = directory("at"), *inner = directory("at/inner");
    CHECK_OK(chmod(at, 0700));
    REQUIRE_OK(chmod(place, 0755));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(mount("x", inner, "tmpfs", 0, NULL), EACCES);
        CHECK_ERRNO(umount2(inner, 0), EACCES);
        CHECK_ERRNO(chroot(inner), EACCES);
        CHECK_ERRNO(chroot(at), EACCES);
        CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, inner, 0), EACCES);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(what_can_be_no_new_root)
{
    NAMESPACE();
    char *at = directory("at"), *beside = directory("beside");
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
        CHECK_OK(mkdir(in(at, "old"), 0755));
        CHECK_ERRNO(syscall(SYS_pivot_root, "/", "/"), EBUSY);
        CHECK_ERRNO(syscall(SYS_pivot_root, at, "/"), EBUSY);
        CHECK_ERRNO(syscall(SYS_pivot_root, in(at, "old"), in(at, "old")), EINVAL); /* no root of a mount */
        REQUIRE_OK(mount("y", beside, "tmpfs", 0, NULL));
        CHECK_ERRNO(syscall(SYS_pivot_root, at, beside), EINVAL); /* not below it */
        CHECK_OK(syscall(SYS_pivot_root, at, at)); /* the old one comes to lie on the new one */
        CHECK_OK(umount2("/", MNT_DETACH));
        CHECK_OK(chdir("/"));
        CHECK(is_there("/old"));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(a_root_that_is_read_only)
{
    NAMESPACE();
    char *at = directory("at");
    REQUIRE_OK(mount("x", at, "tmpfs", MS_RDONLY, NULL));
    CHECK_ERRNO(mkdir(in(at, "d"), 0755), EROFS);
    CHECK_OK(mount(NULL, at, NULL, MS_REMOUNT, NULL));
    CHECK_OK(mkdir(in(at, "d"), 0755));
    CHECK_OK(mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL));
    CHECK_ERRNO(rmdir(in(at, "d")), EROFS);
    CHECK_OK(umount(at));
}

TEST(a_picked_file_system)
{
    NAMESPACE();
    char *at = directory("at"), *link = in(place, "link");
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    CHECK_OK(symlink("at", link));
    CHECK_OK(mkdir(in(at, "d"), 0755));
    int fd = (int)syscall(SYS_fspick, AT_FDCWD, at, 0), root = open(at, O_PATH), other;
    if (fd == -1 && errno == ENOSYS)
        SKIP("no fspick");
    REQUIRE_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_OK(other = (int)syscall(SYS_fspick, AT_FDCWD, link, CLOEXEC | NO_AUTOMOUNT));
    CHECK_EQ(fcntl(other, F_GETFD), FD_CLOEXEC);
    close(other);
    CHECK_OK(other = (int)syscall(SYS_fspick, root, "", EMPTY_PATH));
    close(other);
    CHECK_ERRNO(syscall(SYS_fspick, root, "", 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, link, NOFOLLOW), EINVAL); /* the link is no root of a mount */
    CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, in(at, "d"), 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, in(at, "missing"), 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_fspick, 999, "at", 0), EBADF);
    CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, at, 0x10), EINVAL);

    CHECK_OK(syscall(SYS_fsconfig, fd, SET_FLAG, "ro", NULL, 0));
    touch(in(at, "still"));
    int open_for_writing = open(in(at, "still"), O_WRONLY);
    CHECK_ERRNO(syscall(SYS_fsconfig, fd, RECONFIGURE, NULL, NULL, 0), EBUSY);
    close(open_for_writing);
    close(fd);
    fd = (int)syscall(SYS_fspick, AT_FDCWD, at, CLOEXEC);
    CHECK_OK(syscall(SYS_fsconfig, fd, SET_FLAG, "ro", NULL, 0));
    CHECK_OK(syscall(SYS_fsconfig, fd, RECONFIGURE, NULL, NULL, 0));
    CHECK_ERRNO(unlink(in(at, "still")), EROFS);
    CHECK_OK(syscall(SYS_fsconfig, fd, SET_FLAG, "rw", NULL, 0));
    CHECK_OK(syscall(SYS_fsconfig, fd, RECONFIGURE, NULL, NULL, 0));
    CHECK_OK(unlink(in(at, "still")));
    CHECK_ERRNO(syscall(SYS_fsconfig, fd, SET_FLAG, "no-such-option", NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsconfig, fd, 6 /* CREATE */, NULL, NULL, 0), EBUSY);
    CHECK_ERRNO(syscall(SYS_fsmount, fd, 0, 0), EBUSY);
    close(fd);
    close(root);
    CHECK_OK(umount(at));
}

TEST(contexts_and_their_arguments)
{
    NAMESPACE();
    int fd = (int)syscall(SYS_fsopen, "tmpfs", CLOEXEC);
    if (fd == -1 && errno == ENOSYS)
        SKIP("no fsopen");
    REQUIRE_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(syscall(SYS_fsopen, "tmpfs", 2), EINVAL);
    static const struct {
        const char *what;
        long command;
        const char *key, *value;
        int number, error;
    } refused[] = {
        {"a flag with a value", 0, "ro", "x", 0, EINVAL},
        {"a flag with a number", 0, "ro", NULL, 1, EINVAL},
        {"a string with a number", 1, "mode", "700", 1, EINVAL},
        {"no value", 1, "mode", NULL, 0, EINVAL},
        {"a binary of no size", 2, "mode", "x", 0, EINVAL},
        {"a binary too large", 2, "mode", "x", (1 << 20) + 1, EINVAL},
        {"a path of a bad descriptor", 3, "mode", "x", -1, EINVAL},
        {"an empty path likewise", 4, "mode", "", -1, EINVAL},
        {"a descriptor with a value", 5, "mode", "x", 0, EINVAL},
        {"a descriptor below 0", 5, "mode", NULL, -1, EINVAL},
        {"a descriptor of nothing", 5, "mode", NULL, 999, EBADF},
        {"a command with a key", 6, "mode", NULL, 0, EINVAL},
        {"a command with a number", 7, NULL, NULL, 1, EINVAL},
        {"an unknown command", 99, NULL, NULL, 0, EOPNOTSUPP},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        errno = 0;
        if (syscall(SYS_fsconfig, fd, refused[i].command, refused[i].key, refused[i].value, refused[i].number) != -1 ||
            errno != refused[i].error)
            GUEST_FAIL("%s: got %s", refused[i].what, strerrorname_np(errno));
    }
    CHECK_ERRNO(syscall(SYS_fsconfig, -1, SET_FLAG, "ro", NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsconfig, 999, SET_FLAG, "ro", NULL, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_fsconfig, fd, SET_FLAG, bad_address, NULL, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_fsconfig, fd, SET_STRING, "mode", bad_address, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_fsmount, fd, 2, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsmount, fd, 0, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsmount, 999, 0, 0), EBADF);
    int file = open("/dev/null", O_RDONLY);
    CHECK_ERRNO(syscall(SYS_fsmount, file, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsconfig, file, SET_FLAG, "ro", NULL, 0), EINVAL);
    close(fd);
}
