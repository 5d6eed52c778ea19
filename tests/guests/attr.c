/* attr: chmod, chown, utimensat, umask and extended attributes, on files of our own. */
#include "guest.h"

#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

static mode_t mode_of(const char *path)
{
    struct stat status;
    REQUIRE_OK(lstat(path, &status));
    return status.st_mode & 07777;
}

TEST(chmod_forms)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(chmod("f", 0600));
    CHECK_EQ(mode_of("f"), 0600);
    int fd = open("f", O_RDONLY);
    CHECK_OK(fchmod(fd, 0711));
    CHECK_EQ(mode_of("f"), 0711);
    CHECK_OK(fchmodat(AT_FDCWD, "f", 04755, 0));
    CHECK_EQ(mode_of("f"), 04755);
    CHECK_OK(symlink("f", "link"));
    CHECK_OK(chmod("link", 0640));
    CHECK_EQ(mode_of("f"), 0640);
    CHECK_EQ(mode_of("link"), 0777);
    CHECK_OK(mkdir("d", 0700));
    CHECK_OK(chmod("d", 01777));
    CHECK_EQ(mode_of("d"), 01777);
    CHECK_ERRNO(chmod("absent", 0600), ENOENT);
    CHECK_ERRNO(fchmod(999, 0600), EBADF);
    CHECK_ERRNO(chmod("f/x", 0600), ENOTDIR);
}

TEST(mode_survives_reopen_and_rename)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(chmod("f", 0604));
    CHECK_OK(rename("f", "g"));
    CHECK_EQ(mode_of("g"), 0604);
    write_file("g", "again");
    CHECK_EQ(mode_of("g"), 0604);
}

TEST(umask_applies_to_what_is_made)
{
    scratch();
    CHECK_OK(umask(0));
    CHECK_EQ(umask(027), 0);
    CHECK_EQ(umask(027), 027);
    close(open("f", O_CREAT | O_WRONLY, 0777));
    CHECK_EQ(mode_of("f"), 0750);
    CHECK_OK(mkdir("d", 0777));
    CHECK_EQ(mode_of("d"), 0750);
    CHECK_OK(mkfifo("p", 0666));
    CHECK_EQ(mode_of("p"), 0640);
    CHECK_OK(chmod("f", 0777));
    CHECK_EQ(mode_of("f"), 0777);
    CHECK_EQ(umask(07777), 027);
    CHECK_EQ(umask(0), 0777);
}

TEST(umask_is_inherited_but_not_shared_by_fork)
{
    umask(077);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(umask(0), 077);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(umask(0), 077);
}

TEST(chown_as_root)
{
    if (geteuid() != 0)
        SKIP("chown to others needs root");
    scratch();
    write_file("f", "x");
    struct stat status;
    CHECK_OK(chown("f", 1234, 5678));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_uid, 1234);
    CHECK_EQ(status.st_gid, 5678);
    CHECK_OK(chown("f", (uid_t)-1, 9));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_uid, 1234);
    CHECK_EQ(status.st_gid, 9);
    CHECK_OK(symlink("f", "link"));
    CHECK_OK(lchown("link", 7, 8));
    CHECK_OK(lstat("link", &status));
    CHECK_EQ(status.st_uid, 7);
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_uid, 1234);
    int fd = open("f", O_RDONLY);
    CHECK_OK(fchown(fd, 0, 0));
    CHECK_OK(fchownat(fd, "", 11, 12, AT_EMPTY_PATH));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_uid, 11);
    CHECK_ERRNO(chown("absent", 0, 0), ENOENT);
    CHECK_ERRNO(fchown(999, 0, 0), EBADF);
    CHECK_ERRNO(fchownat(AT_FDCWD, "f", 0, 0, 0x40000000), EINVAL);
}

TEST(chown_clears_set_id_bits)
{
    if (geteuid() != 0)
        SKIP("chown to others needs root");
    scratch();
    write_file("f", "x");
    CHECK_OK(chmod("f", 06755));
    CHECK_OK(chown("f", 1, 1));
    CHECK_EQ(mode_of("f"), 0755);
}

TEST(chown_unprivileged)
{
    if (geteuid() == 0)
        SKIP("root may chown anything");
    scratch();
    write_file("f", "x");
    CHECK_OK(chown("f", geteuid(), getegid()));
    CHECK_OK(chown("f", (uid_t)-1, (gid_t)-1));
    CHECK_ERRNO(chown("f", 0, (gid_t)-1), EPERM);
    CHECK_ERRNO(chmod("/etc/passwd", 0666), EPERM);
    CHECK_ERRNO(utimensat(AT_FDCWD, "/etc/passwd", NULL, 0), EACCES);
}

TEST(set_group_id_directories_pass_their_group_on)
{
    if (geteuid() != 0)
        SKIP("chown to others needs root");
    scratch();
    struct stat status;
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(chown("d", 0, 4321));
    CHECK_OK(chmod("d", 02755));
    write_file("d/f", "x");
    CHECK_OK(stat("d/f", &status));
    CHECK_EQ(status.st_gid, 4321);
    CHECK_OK(mkdir("d/e", 0755));
    CHECK_OK(stat("d/e", &status));
    CHECK_EQ(status.st_gid, 4321);
    CHECK(status.st_mode & S_ISGID);
}

TEST(utimensat_forms)
{
    scratch();
    write_file("f", "x");
    struct stat status;
    struct timespec times[2] = {{111, 222}, {333, 444}};
    CHECK_OK(utimensat(AT_FDCWD, "f", times, 0));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_atim.tv_sec, 111);
    CHECK_EQ(status.st_atim.tv_nsec, 222);
    CHECK_EQ(status.st_mtim.tv_sec, 333);
    CHECK_EQ(status.st_mtim.tv_nsec, 444);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = 999;
    CHECK_OK(utimensat(AT_FDCWD, "f", times, 0));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_atim.tv_sec, 111);
    CHECK_EQ(status.st_mtim.tv_sec, 999);
    times[1].tv_nsec = UTIME_NOW;
    CHECK_OK(utimensat(AT_FDCWD, "f", times, 0));
    CHECK_OK(stat("f", &status));
    CHECK(status.st_mtim.tv_sec >= time(NULL) - 600);
    CHECK_EQ(status.st_atim.tv_sec, 111);
    times[1].tv_nsec = 1000000000;
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", times, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, "absent", NULL, 0), ENOENT);
    int fd = open("f", O_RDONLY);
    struct timespec old[2] = {{5, 0}, {6, 0}};
    CHECK_OK(futimens(fd, old));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_mtim.tv_sec, 6);
    CHECK_OK(futimens(fd, NULL));
    CHECK_OK(fstat(fd, &status));
    CHECK(status.st_mtim.tv_sec > 6);
    CHECK_OK(symlink("f", "link"));
    CHECK_OK(utimensat(AT_FDCWD, "link", old, AT_SYMLINK_NOFOLLOW));
    CHECK_OK(lstat("link", &status));
    CHECK_EQ(status.st_mtim.tv_sec, 6);
    CHECK_OK(stat("f", &status));
    CHECK(status.st_mtim.tv_sec > 6);
}

TEST(older_time_calls)
{
    scratch();
    write_file("f", "x");
    struct stat status;
    struct utimbuf seconds = {10, 20};
    CHECK_OK(utime("f", &seconds));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_mtim.tv_sec, 20);
    struct timeval micros[2] = {{30, 1}, {40, 2}};
    CHECK_OK(syscall(SYS_utimes, "f", micros));
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_mtim.tv_sec, 40);
    CHECK_EQ(status.st_mtim.tv_nsec, 2000);
    CHECK_OK(syscall(SYS_futimesat, AT_FDCWD, "f", NULL));
    CHECK_OK(stat("f", &status));
    CHECK(status.st_mtim.tv_sec > 40);
}

TEST(flags_of_fchmodat2)
{
    enum { NR_FCHMODAT2 = 452 };
    scratch();
    write_file("f", "x");
    CHECK_OK(symlink("f", "link"));
    int fd = open("f", O_RDONLY), place = open("f", O_PATH), link = open("link", O_PATH | O_NOFOLLOW);
    if (syscall(NR_FCHMODAT2, AT_FDCWD, "f", 0600, 0) == -1 && errno == ENOSYS)
        SKIP("a kernel before 6.6");
    CHECK_OK(syscall(NR_FCHMODAT2, AT_FDCWD, "link", 0640, 0));
    CHECK_EQ(mode_of("f"), 0640);
    CHECK_OK(syscall(NR_FCHMODAT2, AT_FDCWD, "f", 0600, AT_SYMLINK_NOFOLLOW));
    CHECK_EQ(mode_of("f"), 0600);
    CHECK_ERRNO(syscall(NR_FCHMODAT2, AT_FDCWD, "link", 0640, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK_EQ(mode_of("link"), 0777);
    CHECK_OK(syscall(NR_FCHMODAT2, fd, "", 0644, AT_EMPTY_PATH));
    CHECK_EQ(mode_of("f"), 0644);
    CHECK_OK(syscall(NR_FCHMODAT2, place, "", 0604, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)); /* fchmod refuses it */
    CHECK_EQ(mode_of("f"), 0604);
    CHECK_ERRNO(syscall(NR_FCHMODAT2, link, "", 0604, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK_ERRNO(syscall(NR_FCHMODAT2, fd, "", 0604, 0), ENOENT);
    CHECK_ERRNO(syscall(NR_FCHMODAT2, fd, "", 0604, AT_SYMLINK_FOLLOW), EINVAL);
    CHECK_ERRNO(syscall(NR_FCHMODAT2, 999, "", 0604, AT_EMPTY_PATH), EBADF);
}

TEST(times_and_owners_of_descriptors_by_empty_paths)
{
    scratch();
    write_file("f", "x");
    struct stat status;
    struct timespec old[2] = {{5, 6}, {7, 8}};
    int fd = open("f", O_RDONLY), place = open("f", O_PATH);
    CHECK_OK(utimensat(fd, "", old, AT_EMPTY_PATH));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_atim.tv_sec, 5);
    CHECK_EQ(status.st_mtim.tv_nsec, 8);
    CHECK_OK(utimensat(place, "", NULL, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
    CHECK_OK(fstat(fd, &status));
    CHECK(status.st_mtim.tv_sec > 7);
    CHECK_ERRNO(utimensat(fd, "", old, 0), ENOENT);
    CHECK_ERRNO(utimensat(fd, "", old, AT_SYMLINK_FOLLOW), EINVAL);
    CHECK_ERRNO(utimensat(999, "", old, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(syscall(SYS_utimensat, place, NULL, old, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_utimensat, fd, NULL, old, AT_SYMLINK_NOFOLLOW), EINVAL);
    CHECK_OK(syscall(SYS_utimensat, fd, NULL, old, 0));
    CHECK_OK(fchownat(fd, "", geteuid(), getegid(), AT_EMPTY_PATH));
    CHECK_OK(fchownat(place, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
    CHECK_ERRNO(fchownat(fd, "", (uid_t)-1, (gid_t)-1, 0), ENOENT);
    CHECK_ERRNO(fchownat(999, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(fchown(place, (uid_t)-1, (gid_t)-1), EBADF);
}

TEST(user_extended_attributes)
{
    scratch();
    write_file("f", "x");
    if (setxattr("f", "user.colour", "blue", 4, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("the filesystem has no user attributes");
    char *value = guarded(4);
    CHECK_EQ(getxattr("f", "user.colour", value, 4), 4);
    CHECK(memcmp(value, "blue", 4) == 0);
    CHECK_EQ(getxattr("f", "user.colour", NULL, 0), 4);
    CHECK_ERRNO(getxattr("f", "user.colour", value, 3), ERANGE);
    CHECK_ERRNO(getxattr("f", "user.absent", value, 4), ENODATA);
    CHECK_ERRNO(setxattr("f", "user.colour", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(setxattr("f", "user.absent", "x", 1, XATTR_REPLACE), ENODATA);
    char names[64];
    CHECK_EQ(listxattr("f", names, sizeof names), 12);
    CHECK_STR(names, "user.colour");
    CHECK_OK(removexattr("f", "user.colour"));
    CHECK_ERRNO(removexattr("f", "user.colour"), ENODATA);
    CHECK_ERRNO(getxattr("absent", "user.colour", value, 4), ENOENT);
}

TEST(asking_for_acls_has_an_answer)
{
    /* What ls -l asks of every file: any of the two answers is right, an unknown call is not. */
    scratch();
    write_file("f", "x");
    char value[64];
    CHECK_EQ(getxattr("f", "system.posix_acl_access", value, sizeof value), -1);
    CHECK(errno == ENODATA || errno == EOPNOTSUPP);
    CHECK_EQ(lgetxattr("f", "security.selinux", value, sizeof value), -1);
    CHECK(errno == ENODATA || errno == EOPNOTSUPP);
}

/* Linux 6.13; the build's headers may be older. */
enum { NR_SETXATTRAT = 463, NR_GETXATTRAT, NR_LISTXATTRAT, NR_REMOVEXATTRAT };
struct xattr_arguments {
    uint64_t value;
    uint32_t size, flags;
};

static long set_at(int dir, const char *path, unsigned at, const char *name, const char *value, unsigned flags)
{
    struct xattr_arguments arguments = {(uintptr_t)value, (uint32_t)strlen(value), flags};
    return syscall(NR_SETXATTRAT, dir, path, at, name, &arguments, sizeof arguments);
}

static long get_at(int dir, const char *path, unsigned at, const char *name, char *value, unsigned size)
{
    struct xattr_arguments arguments = {(uintptr_t)value, size, 0};
    return syscall(NR_GETXATTRAT, dir, path, at, name, &arguments, sizeof arguments);
}

TEST(extended_attributes_by_directory)
{
    scratch();
    CHECK_OK(mkdir("d", 0755));
    write_file("d/f", "x");
    int dir = open("d", O_RDONLY | O_DIRECTORY), file = open("d/f", O_RDONLY);
    if (set_at(dir, "f", 0, "user.a", "one", 0) == -1) {
        if (errno == EOPNOTSUPP)
            SKIP("the filesystem has no user attributes");
        if (errno == ENOSYS)
            SKIP("a kernel before 6.13");
    }
    char *value = guarded(3), names[64];
    CHECK_EQ(get_at(dir, "f", 0, "user.a", value, 3), 3);
    CHECK(memcmp(value, "one", 3) == 0);
    CHECK_EQ(get_at(dir, "f", 0, "user.a", NULL, 0), 3);
    CHECK_ERRNO(get_at(dir, "f", 0, "user.a", value, 2), ERANGE);
    CHECK_ERRNO(get_at(dir, "f", 0, "user.b", value, 3), ENODATA);
    CHECK_ERRNO(get_at(dir, "g", 0, "user.a", value, 3), ENOENT);
    CHECK_ERRNO(set_at(dir, "f", 0, "user.a", "x", XATTR_CREATE), EEXIST);
    CHECK_ERRNO(set_at(dir, "f", 0, "user.b", "x", XATTR_REPLACE), ENODATA);
    CHECK_ERRNO(set_at(dir, "f", 0, "user.b", "x", 4), EINVAL);
    CHECK_ERRNO(set_at(dir, "f", AT_SYMLINK_FOLLOW, "user.a", "x", 0), EINVAL);
    CHECK_ERRNO(set_at(dir, "f", 0, "", "x", 0), ERANGE);

    /* the descriptor itself, by "" and by NULL */
    CHECK_OK(set_at(file, "", AT_EMPTY_PATH, "user.b", "two", 0));
    CHECK_EQ(get_at(file, NULL, AT_EMPTY_PATH, "user.b", value, 3), 3);
    CHECK_ERRNO(get_at(file, "", 0, "user.b", value, 3), ENOENT);
    CHECK_ERRNO(get_at(file, NULL, 0, "user.b", value, 3), EFAULT);
    CHECK_ERRNO(get_at(999, "", AT_EMPTY_PATH, "user.b", value, 3), EBADF);
    CHECK_ERRNO(get_at(999, "f", 0, "user.b", value, 3), EBADF);
    CHECK_ERRNO(get_at(file, "f", 0, "user.b", value, 3), ENOTDIR);
    int place = open("d/f", O_PATH);
    CHECK_ERRNO(get_at(place, "", AT_EMPTY_PATH, "user.b", value, 3), EBADF);
    CHECK_OK(chdir("d"));
    CHECK_OK(set_at(AT_FDCWD, "", AT_EMPTY_PATH, "user.d", "dir", 0));
    CHECK_EQ(get_at(dir, ".", 0, "user.d", value, 3), 3);

    CHECK_EQ(syscall(NR_LISTXATTRAT, dir, "f", 0, NULL, 0), 14);
    CHECK_EQ(syscall(NR_LISTXATTRAT, file, "", AT_EMPTY_PATH, names, sizeof names), 14);
    CHECK_ERRNO(syscall(NR_LISTXATTRAT, dir, "f", 0, names, 13), ERANGE);
    CHECK_ERRNO(syscall(NR_LISTXATTRAT, dir, "f", 1, names, sizeof names), EINVAL);
    CHECK_OK(syscall(NR_REMOVEXATTRAT, dir, "f", 0, "user.a"));
    CHECK_ERRNO(syscall(NR_REMOVEXATTRAT, dir, "f", 0, "user.a"), ENODATA);
    CHECK_ERRNO(syscall(NR_REMOVEXATTRAT, dir, "f", 1, "user.b"), EINVAL);
    CHECK_OK(syscall(NR_REMOVEXATTRAT, file, "", AT_EMPTY_PATH, "user.b"));
    CHECK_EQ(syscall(NR_LISTXATTRAT, dir, "f", 0, NULL, 0), 0);
}

TEST(extended_attributes_of_links_by_directory)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(symlink("f", "link"));
    if (set_at(AT_FDCWD, "link", 0, "user.a", "one", 0) == -1 && (errno == EOPNOTSUPP || errno == ENOSYS))
        SKIP("no user attributes, or a kernel before 6.13");
    char *value = guarded(3);
    CHECK_EQ(get_at(AT_FDCWD, "f", 0, "user.a", value, 3), 3);
    CHECK_ERRNO(set_at(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", "x", 0), EPERM);
    CHECK_ERRNO(get_at(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", value, 3), ENODATA);
    CHECK_EQ(syscall(NR_LISTXATTRAT, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, NULL, 0), 0);
    CHECK_ERRNO(syscall(NR_REMOVEXATTRAT, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a"), EPERM);
    CHECK_OK(syscall(NR_REMOVEXATTRAT, AT_FDCWD, "link", 0, "user.a"));
}

TEST(sizes_of_the_arguments_of_attributes)
{
    scratch();
    write_file("f", "x");
    struct {
        struct xattr_arguments known;
        uint64_t later;
    } arguments = {{(uintptr_t) "one", 3, 0}, 0};
    if (syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, sizeof arguments) == -1 &&
        (errno == EOPNOTSUPP || errno == ENOSYS))
        SKIP("no user attributes, or a kernel before 6.13");
    arguments.later = 1;
    CHECK_ERRNO(syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, sizeof arguments), E2BIG);
    CHECK_OK(syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, sizeof arguments.known));
    CHECK_ERRNO(syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, 15), EINVAL);
    CHECK_ERRNO(syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, 4097), E2BIG);
    CHECK_ERRNO(syscall(NR_SETXATTRAT, AT_FDCWD, "f", 0, "user.a", NULL, sizeof arguments), EFAULT);
    arguments.known.flags = 1;
    CHECK_ERRNO(syscall(NR_GETXATTRAT, AT_FDCWD, "f", 0, "user.a", &arguments, sizeof arguments.known), EINVAL);
}
