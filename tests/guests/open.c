/* open: open, openat, openat2 and their flags; dup, fcntl, close, close_range, close-on-exec; path errors. */
#include "guest.h"

#include <linux/close_range.h>
#include <linux/openat2.h>

static int openat2_how(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

TEST(lowest_free_descriptor_is_given)
{
    scratch();
    write_file("f", "x");
    int first = open("f", O_RDONLY), second = open("f", O_RDONLY), third = open("f", O_RDONLY);
    CHECK_EQ(second, first + 1);
    CHECK_OK(close(first));
    CHECK_OK(close(second));
    CHECK_EQ(open("f", O_RDONLY), first);
    CHECK_EQ(open("f", O_RDONLY), second);
    CHECK_EQ(open("f", O_RDONLY), third + 1);
}

TEST(creation_flags)
{
    scratch();
    CHECK_ERRNO(open("new", O_RDWR), ENOENT);
    int fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640);
    CHECK_OK(fd);
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_mode & 07777, 0640);
    CHECK_EQ(status.st_nlink, 1);
    CHECK_ERRNO(open("new", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_OK(open("new", O_WRONLY | O_TRUNC));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 0);
    CHECK_ERRNO(open("absent/new", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_OK(symlink("dangling-target", "dangling"));
    CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_OK(open("dangling", O_RDWR | O_CREAT, 0600));
    CHECK_OK(access("dangling-target", F_OK));
}

TEST(mode_bits_do_not_limit_the_creating_descriptor)
{
    scratch();
    int fd = open("secret", O_RDWR | O_CREAT, 0);
    CHECK_OK(fd);
    CHECK_EQ(write(fd, "x", 1), 1);
    struct stat status;
    CHECK_OK(stat("secret", &status));
    CHECK_EQ(status.st_mode & 07777, 0);
}

TEST(directories)
{
    scratch();
    CHECK_OK(mkdir("d", 0755));
    CHECK_ERRNO(open("d", O_RDWR), EISDIR);
    CHECK_ERRNO(open("d", O_WRONLY), EISDIR);
    CHECK_ERRNO(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
    CHECK_OK(open("d", O_RDONLY));
    CHECK_OK(open("d/", O_RDONLY | O_DIRECTORY));
    write_file("f", "x");
    CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
}

TEST(trailing_slashes_and_dots)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(mkdir("d", 0755));
    write_file("d/g", "y");
    CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/.", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/..", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_OK(open("d/../f", O_RDONLY));
    CHECK_OK(open("./d//.///g", O_RDONLY));
    CHECK_OK(open("/../../..//tmp", O_RDONLY));
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    CHECK_OK(symlink("f", "link"));
    CHECK_ERRNO(open("link/", O_RDONLY), ENOTDIR);
    CHECK_OK(symlink("d", "dirlink"));
    CHECK_OK(open("dirlink/", O_RDONLY | O_NOFOLLOW));
    CHECK_OK(open("dirlink/../f", O_RDONLY));
}

TEST(symlinks_and_loops)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(symlink("f", "one"));
    CHECK_OK(symlink("one", "two"));
    CHECK_OK(open("two", O_RDONLY));
    CHECK_ERRNO(open("two", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open("two", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
    CHECK_ERRNO(open("loop/x", O_RDONLY), ELOOP);
    char name[16] = "f", next[16];
    for (int i = 0; i < 41; i++) {
        snprintf(next, sizeof next, "l%d", i);
        CHECK_OK(symlink(name, next));
        strcpy(name, next);
    }
    CHECK_OK(open("l39", O_RDONLY));
    CHECK_ERRNO(open("l40", O_RDONLY), ELOOP);
}

TEST(names_too_long)
{
    scratch();
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    CHECK_OK(open(name, O_RDWR | O_CREAT, 0600));
    name[255] = 'n';
    name[256] = '\0';
    CHECK_ERRNO(open(name, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
    CHECK_ERRNO(access(name, F_OK), ENAMETOOLONG);
    char *path = malloc(5000);
    memset(path, '/', 5000);
    path[4095] = '\0';
    CHECK_OK(open(path, O_RDONLY));
    path[4095] = '/';
    path[4096] = '\0';
    CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
}

TEST(openat_uses_the_directory_descriptor)
{
    scratch();
    CHECK_OK(mkdir("d", 0755));
    write_file("d/f", "x");
    int dir = open("d", O_RDONLY | O_DIRECTORY), path_dir = open("d", O_PATH);
    int fd = openat(dir, "f", O_RDONLY);
    CHECK_OK(fd);
    CHECK_OK(openat(path_dir, "f", O_RDONLY));
    CHECK_OK(openat(dir, "../d/f", O_RDONLY));
    CHECK_ERRNO(openat(fd, "f", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(openat(999, "f", O_RDONLY), EBADF);
    CHECK_OK(openat(999, "/tmp", O_RDONLY));
    CHECK_OK(rename("d", "moved"));
    CHECK_OK(openat(dir, "f", O_RDONLY));
}

TEST(a_removed_directory_holds_no_new_files)
{
    scratch();
    CHECK_OK(mkdir("d", 0755));
    int dir = open("d", O_RDONLY | O_DIRECTORY);
    CHECK_OK(rmdir("d"));
    CHECK_ERRNO(openat(dir, "f", O_RDWR | O_CREAT, 0600), ENOENT);
    struct stat status;
    CHECK_OK(fstat(dir, &status));
    CHECK(S_ISDIR(status.st_mode));
}

TEST(path_descriptors)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(symlink("f", "link"));
    int fd = open("f", O_PATH);
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 1);
    CHECK_ERRNO(fchmod(fd, 0600), EBADF);
    int link = open("link", O_PATH | O_NOFOLLOW);
    CHECK_OK(link);
    CHECK_OK(fstat(link, &status));
    CHECK(S_ISLNK(status.st_mode));
    char target[8] = "";
    CHECK_EQ(readlinkat(link, "", target, sizeof target), 1);
    CHECK_OK(dup(fd));
}

TEST(unlinked_files_live_on)
{
    scratch();
    write_file("f", "alive");
    int fd = open("f", O_RDWR);
    CHECK_OK(unlink("f"));
    char *buffer = guarded(5);
    CHECK_EQ(read(fd, buffer, 5), 5);
    CHECK_EQ(write(fd, "more", 4), 4);
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 9);
    CHECK_EQ(status.st_nlink, 0);
    CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
}

TEST(o_tmpfile_has_no_name_until_linked)
{
    scratch();
    int fd = open(".", O_RDWR | O_TMPFILE, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        SKIP("the filesystem has no O_TMPFILE");
    CHECK_OK(fd);
    CHECK_EQ(write(fd, "temp", 4), 4);
    char proc[64], text[16];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    CHECK_OK(linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    read_file("named", text, sizeof text);
    CHECK_STR(text, "temp");
}

TEST(openat2_resolve_flags)
{
    scratch();
    CHECK_OK(mkdir("d", 0755));
    write_file("d/f", "x");
    write_file("outside", "x");
    CHECK_OK(symlink("f", "d/link"));
    CHECK_OK(symlink("../outside", "d/escape"));
    CHECK_OK(symlink("/etc", "d/absolute"));
    int dir = open("d", O_PATH);
    CHECK_OK(openat2_how(dir, "f", O_RDONLY, 0, 0));
    CHECK_OK(openat2_how(dir, "link", O_RDONLY, 0, RESOLVE_BENEATH));
    CHECK_ERRNO(openat2_how(dir, "link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERRNO(openat2_how(dir, "escape", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_how(dir, "../outside", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_how(dir, "/etc", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_how(dir, "absolute", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_how(dir, "escape", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
    CHECK_OK(openat2_how(dir, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
    CHECK_OK(openat2_how(dir, "../../f", O_RDONLY, 0, RESOLVE_IN_ROOT));
}

TEST(openat2_checks_what_openat_ignores)
{
    scratch();
    write_file("f", "x");
    CHECK_ERRNO(openat2_how(AT_FDCWD, "f", 1ULL << 40, 0, 0), EINVAL);
    CHECK_ERRNO(openat2_how(AT_FDCWD, "f", O_RDONLY, 0600, 0), EINVAL);
    CHECK_ERRNO(openat2_how(AT_FDCWD, "f", O_RDONLY, 0, 1ULL << 30), EINVAL);
    struct open_how how = {.flags = O_RDONLY};
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8), EINVAL);
    struct {
        struct open_how how;
        uint64_t extra;
    } larger = {.how = {.flags = O_RDONLY}, .extra = 0};
    CHECK_OK(syscall(SYS_openat2, AT_FDCWD, "f", &larger, sizeof larger));
    larger.extra = 1;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &larger, sizeof larger), E2BIG);
    CHECK_OK(openat2_how(AT_FDCWD, "made", O_RDWR | O_CREAT, 0600, 0));
}

TEST(dup_family)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int copy = dup(fd);
    CHECK_OK(copy);
    CHECK_EQ(fcntl(copy, F_GETFD), 0);
    CHECK_EQ(dup2(fd, 77), 77);
    CHECK_EQ(fcntl(77, F_GETFD), 0);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup3(fd, 78, O_CLOEXEC), 78);
    CHECK_EQ(fcntl(78, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup3(fd, 79, O_APPEND), EINVAL);
    CHECK_ERRNO(dup(999), EBADF);
    CHECK_ERRNO(dup2(999, 79), EBADF);
    CHECK_ERRNO(dup2(999, 999), EBADF);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(fd, 1 << 28), EBADF);
    CHECK_EQ(fcntl(fd, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(fd, F_DUPFD, 60), 61);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 60), 62);
    CHECK_EQ(fcntl(62, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
}

TEST(dup2_closes_the_target_first)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    int null = open("/dev/null", O_WRONLY);
    CHECK_EQ(dup2(null, ends[1]), ends[1]);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(fcntl_status_flags)
{
    scratch();
    write_file("f", "0123");
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC | O_NOCTTY, 0600);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT | O_TRUNC), O_RDWR);
    CHECK_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_CREAT));
    int copy = dup(fd);
    CHECK_EQ(fcntl(copy, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT), O_RDWR | O_APPEND | O_NONBLOCK);
    CHECK_OK(fcntl(copy, F_SETFL, 0));
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
    CHECK_ERRNO(fcntl(fd, 12345, 0), EINVAL);
    CHECK_ERRNO(fcntl(999, F_GETFL), EBADF);
}

TEST(close_twice_and_close_range)
{
    int fd = open("/dev/null", O_RDONLY);
    CHECK_OK(close(fd));
    CHECK_ERRNO(close(fd), EBADF);
    CHECK_ERRNO(close(-1), EBADF);
    int null = open("/dev/null", O_RDONLY);
    for (int i = 50; i < 60; i++)
        CHECK_EQ(dup2(null, i), i);
    CHECK_OK(close_range(52, 54, 0));
    CHECK_OK(fcntl(51, F_GETFD));
    CHECK_ERRNO(fcntl(52, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(54, F_GETFD), EBADF);
    CHECK_OK(fcntl(55, F_GETFD));
    CHECK_OK(close_range(57, ~0U, CLOSE_RANGE_CLOEXEC));
    CHECK_EQ(fcntl(56, F_GETFD), 0);
    CHECK_EQ(fcntl(57, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(close_range(5, 4, 0), EINVAL);
    CHECK_ERRNO(close_range(50, 51, 0x100), EINVAL);
    CHECK_OK(close_range(50, ~0U, 0));
    CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
    CHECK_OK(fcntl(1, F_GETFD));
}

HELPER(report_fds)
{
    for (int fd = 40; fd < 46; fd++)
        note("%d", fcntl(fd, F_GETFD) != -1);
    return 0;
}

TEST(close_on_exec_is_honoured)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup3(null, 40, 0);
        dup3(null, 41, O_CLOEXEC);
        dup3(null, 42, O_CLOEXEC);
        fcntl(42, F_SETFD, 0);
        dup3(null, 43, 0);
        fcntl(43, F_SETFD, FD_CLOEXEC);
        fcntl(null, F_DUPFD_CLOEXEC, 44);
        fcntl(null, F_DUPFD, 45);
        dup2(ends[1], 1);
        self_exec("report_fds", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
    char text[16] = "";
    CHECK_EQ(read(ends[0], text, sizeof text - 1), 6);
    CHECK_STR(text, "101001");
}

TEST(cloexec_at_birth)
{
    scratch();
    CHECK_EQ(fcntl(open(".", O_RDONLY | O_CLOEXEC), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(open(".", O_RDONLY), F_GETFD), 0);
    int ends[2];
    REQUIRE_OK(pipe2(ends, O_CLOEXEC));
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
}

TEST(fifo_open_rules)
{
    scratch();
    CHECK_OK(mkfifo("fifo", 0600));
    CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    CHECK_OK(reader);
    int writer = open("fifo", O_WRONLY);
    CHECK_OK(writer);
    CHECK_EQ(write(writer, "via fifo", 8), 8);
    char *buffer = guarded(8);
    CHECK_EQ(read(reader, buffer, 8), 8);
    CHECK_ERRNO(read(reader, buffer, 8), EAGAIN);
    CHECK_OK(close(writer));
    CHECK_EQ(read(reader, buffer, 8), 0);
}

TEST(fifo_open_waits_for_the_other_side)
{
    scratch();
    CHECK_OK(mkfifo("fifo", 0600));
    pid_t pid = fork_child();
    if (pid == 0) {
        int fd = open("fifo", O_WRONLY);
        CHECK_EQ(write(fd, "x", 1), 1);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    int fd = open("fifo", O_RDONLY);
    char byte = 0;
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_CHILD(pid);
}
