/* handle: file handles, and what one process may learn of another. */
#include "guest.h"

#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/statfs.h>
#include <sys/uio.h>

struct handle {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
};

static int name_to(int dirfd, const char *path, struct handle *handle, int flags)
{
    int mount_id;
    return name_to_handle_at(dirfd, path, &handle->head, &mount_id, flags);
}

TEST(a_handle_opens_the_file)
{
    struct handle handle = {.head.handle_bytes = MAX_HANDLE_SZ}, same = handle;
    struct stat named, opened;
    scratch();
    write_file("f", "text");
    if (name_to(AT_FDCWD, "f", &handle, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no handles here");
    CHECK_OK(name_to(AT_FDCWD, "f", &same, 0));
    CHECK_EQ(memcmp(&handle, &same, sizeof handle), 0);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    if (geteuid() != 0) {
        CHECK_ERRNO(open_by_handle_at(here, &handle.head, O_RDONLY), EPERM);
        return;
    }
    int fd = open_by_handle_at(here, &handle.head, O_RDONLY);
    if (fd == -1 && errno == EPERM)
        SKIP("CAP_DAC_READ_SEARCH is needed");
    CHECK_OK(fd);
    CHECK_OK(stat("f", &named));
    CHECK_OK(fstat(fd, &opened));
    CHECK_EQ(named.st_ino, opened.st_ino);
    close(fd);
    CHECK_OK(rename("f", "g"));
    fd = open_by_handle_at(here, &handle.head, O_RDONLY);
    CHECK_OK(fd);
    close(fd);
    CHECK_OK(unlink("g"));
    CHECK_ERRNO(open_by_handle_at(here, &handle.head, O_RDONLY), ESTALE);
}

TEST(errors_of_handles)
{
    struct handle handle = {.head.handle_bytes = 0};
    scratch();
    write_file("f", "text");
    if (name_to(AT_FDCWD, "f", &handle, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no handles here");
    CHECK_ERRNO(name_to(AT_FDCWD, "f", &handle, 0x40000), EINVAL);
    CHECK_ERRNO(name_to(-1, "f", &handle, 0), EBADF);
    CHECK_ERRNO(name_to(AT_FDCWD, "missing", &handle, 0), ENOENT);
    CHECK_ERRNO(name_to(AT_FDCWD, "", &handle, 0), ENOENT);
    handle.head.handle_bytes = 0;
    CHECK_ERRNO(name_to(AT_FDCWD, "f", &handle, 0), EOVERFLOW);
    CHECK(handle.head.handle_bytes > 0);
    handle.head.handle_bytes = MAX_HANDLE_SZ + 1;
    CHECK_ERRNO(name_to(AT_FDCWD, "f", &handle, 0), EINVAL);
}

TEST(flags_of_handles)
{
    enum { CONNECTABLE = 2, FILE_ID = 0x200, UNIQUE = 1 }; /* Linux 6.13, 6.5, 6.12 */
    struct handle named = {.head.handle_bytes = MAX_HANDLE_SZ}, other = named, of_link = named;
    long long mount_id = 0;
    scratch();
    write_file("f", "text");
    CHECK_OK(symlink("f", "link"));
    int fd = open("f", O_RDONLY), place = open("f", O_PATH);
    if (name_to(AT_FDCWD, "f", &named, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no handles here");
    CHECK_OK(name_to(fd, "", &other, AT_EMPTY_PATH));
    CHECK_EQ(memcmp(&named, &other, sizeof named), 0);
    CHECK_OK(name_to(place, "", &other, AT_EMPTY_PATH));
    CHECK_EQ(memcmp(&named, &other, sizeof named), 0);
    CHECK_OK(name_to(AT_FDCWD, "link", &other, AT_SYMLINK_FOLLOW));
    CHECK_EQ(memcmp(&named, &other, sizeof named), 0);
    CHECK_OK(name_to(AT_FDCWD, "link", &of_link, 0));
    CHECK(memcmp(&named, &of_link, sizeof named) != 0);
    CHECK_ERRNO(name_to(fd, "", &other, 0), ENOENT);
    CHECK_ERRNO(name_to(999, "", &other, AT_EMPTY_PATH), EBADF);
    struct handle by_id = {.head.handle_bytes = MAX_HANDLE_SZ};
    CHECK(name_to(AT_FDCWD, "f", &by_id, FILE_ID) == 0 || errno == EINVAL); /* EINVAL: an older kernel */
    by_id.head.handle_bytes = MAX_HANDLE_SZ;
    CHECK(name_to(AT_FDCWD, "f", &by_id, CONNECTABLE) == 0 || errno == EINVAL);
    CHECK_ERRNO(name_to(AT_FDCWD, "f", &by_id, FILE_ID | CONNECTABLE), EINVAL);
    by_id.head.handle_bytes = MAX_HANDLE_SZ;
    if (syscall(SYS_name_to_handle_at, AT_FDCWD, "f", &by_id, &mount_id, UNIQUE) == -1)
        CHECK_EQ(errno, EINVAL);
    else
        CHECK(mount_id != 0);
}

TEST(bad_handles)
{
    struct handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    scratch();
    write_file("f", "text");
    if (name_to(AT_FDCWD, "f", &handle, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no handles here");
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "f", bad_address, &mount_id, 0), EFAULT);
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "f", &handle.head, bad_address, 0), EFAULT);
    CHECK_ERRNO(name_to(AT_FDCWD, "/proc/self/status", &handle, 0), EOPNOTSUPP);
    handle.head.handle_bytes = MAX_HANDLE_SZ;
    CHECK_OK(mkdir("dir", 0700));
    CHECK_OK(name_to(AT_FDCWD, "dir", &handle, 0));
    int here = open(".", O_RDONLY | O_DIRECTORY), flags = O_RDONLY | O_DIRECTORY;
    int fd = open_by_handle_at(here, &handle.head, flags); /* the one flag that root of a user namespace may give */
    if (fd == -1 && errno == EPERM)
        SKIP("CAP_DAC_READ_SEARCH is needed");
    CHECK_OK(fd);
    close(fd);
    CHECK_ERRNO(open_by_handle_at(999, &handle.head, flags), EBADF);
    CHECK_ERRNO(open_by_handle_at(here, bad_address, flags), EFAULT);
    CHECK_OK(rmdir("dir"));
    CHECK_ERRNO(open_by_handle_at(here, &handle.head, flags), ESTALE);
    handle.head.handle_bytes = 0;
    CHECK_ERRNO(open_by_handle_at(here, &handle.head, flags), EINVAL);
    handle.head.handle_bytes = MAX_HANDLE_SZ + 1;
    CHECK_ERRNO(open_by_handle_at(here, &handle.head, flags), EINVAL);
    memset(handle.bytes, 0x5a, sizeof handle.bytes);
    handle.head.handle_bytes = 8;
    CHECK_ERRNO(open_by_handle_at(here, &handle.head, flags), ESTALE);
}

/* Whatever it is to be opened for. */
TEST(handles_are_for_the_privileged)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK,
                                O_DSYNC, O_ASYNC, O_DIRECT, 0100000 /* O_LARGEFILE */, O_DIRECTORY, O_NOFOLLOW,
                                O_NOATIME, O_CLOEXEC, O_SYNC, O_PATH, O_TMPFILE | O_RDWR};
    struct handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    scratch();
    write_file("f", "text");
    if (name_to(AT_FDCWD, "f", &handle, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no handles here");
    int here = open(".", O_RDONLY | O_DIRECTORY);
    pid_t pid = fork_child();
    if (pid == 0) {
        if (geteuid() == 0)
            REQUIRE_OK(setresuid(4321, 4321, 4321));
        for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
            CHECK_ERRNO(open_by_handle_at(here, &handle.head, flags[i]), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    struct stat status;
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_size, 4);
}

TEST(memory_of_a_child)
{
    static char text[] = "before";
    int go[2];
    char byte, seen[sizeof text] = {0}, after[] = "after!";
    REQUIRE(pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(read(go[0], &byte, 1), 1);
        _exit(strcmp(text, "after!") != 0);
    }
    struct iovec local = {seen, sizeof seen}, remote = {text, sizeof text};
    ssize_t got = process_vm_readv(child, &local, 1, &remote, 1, 0);
    if (got == -1 && errno == EPERM)
        SKIP("Yama forbids it"); /* never in the sandbox: the child is one's own */
    CHECK_EQ(got, (ssize_t)sizeof text);
    CHECK_STR(seen, "before");
    local.iov_base = after;
    CHECK_EQ(process_vm_writev(child, &local, 1, &remote, 1, 0), (ssize_t)sizeof text);
    remote.iov_base = bad_address;
    CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EFAULT);
    CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 1), EINVAL);
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_CHILD(child);
}

TEST(kcmp_of_descriptors)
{
    int fd = open("/dev/null", O_RDONLY), same = dup(fd), other = open("/dev/null", O_RDONLY);
    long own = getpid();
    CHECK_EQ(syscall(SYS_kcmp, own, own, KCMP_FILE, fd, same), 0);
    CHECK(syscall(SYS_kcmp, own, own, KCMP_FILE, fd, other) > 0);
    CHECK_EQ(syscall(SYS_kcmp, own, own, KCMP_FILES, 0, 0), 0);
    CHECK_EQ(syscall(SYS_kcmp, own, own, KCMP_VM, 0, 0), 0);
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, KCMP_FILE, fd, 1000), EBADF);
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, 99, fd, fd), EINVAL);
    int epoll = epoll_create1(0), counter = eventfd(0, 0), second = dup(counter);
    struct epoll_event event = {.events = EPOLLIN};
    REQUIRE_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, second, &event));
    uint32_t slot[3] = {(uint32_t)epoll, (uint32_t)second, 0};
    CHECK_EQ(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, counter, slot), 0);
    CHECK(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, fd, slot) > 0);
    slot[2] = 1;
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, counter, slot), ENOENT);
    slot[0] = (uint32_t)counter;
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, counter, slot), EINVAL);
    slot[0] = 1000;
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, counter, slot), EBADF);
    CHECK_ERRNO(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, counter, NULL), EFAULT);
}
