/* file_ranges: room, holes, ends, copies and advice of parts of a file; syncing. */
#include "mount.h"

#include <sys/resource.h>

static int subject(const char *content)
{
    scratch();
    write_file("file", content);
    int fd = open("file", O_RDWR);
    REQUIRE(fd >= 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat status;
    REQUIRE_OK(fstat(fd, &status));
    return status.st_size;
}

TEST(fallocate_modes)
{
    int fd = subject("0123456789");
    char text[16] = "";
    CHECK_OK(fallocate(fd, 0, 0, 5));
    CHECK_EQ(size_of(fd), 10); /* never shorter */
    CHECK_OK(fallocate(fd, 0, 8, 8));
    CHECK_EQ(size_of(fd), 16);
    CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 100, 10000));
    CHECK_EQ(size_of(fd), 16);
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    CHECK_EQ(pread(fd, text, 10, 0), 10);
    CHECK(memcmp(text, "01\0\0\0" "56789", 10) == 0);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 2, 3), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 2, 3), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, 0x40000000, 2, 3), EOPNOTSUPP);
    if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 6, 2) == -1 && errno == EOPNOTSUPP)
        SKIP("no FALLOC_FL_ZERO_RANGE: a tmpfs");
    CHECK_EQ(pread(fd, text, 10, 0), 10);
    CHECK(memcmp(text, "01\0\0\0" "5\0\0" "89", 10) == 0);
    CHECK_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 9, 100));
    CHECK_EQ(size_of(fd), 16);
    CHECK_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 9, 100));
    CHECK_EQ(size_of(fd), 109);
    CHECK_EQ(pread(fd, text, 10, 0), 10);
    CHECK(memcmp(text, "01\0\0\0" "5\0\0" "8", 10) == 0);
}

TEST(fallocate_errors)
{
    int fd = subject("0123456789"), ends[2], null = open("/dev/null", O_WRONLY);
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(fallocate(fd, 0, -1, 5), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, -5), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, INT64_MAX - 4, 5), EFBIG);
    CHECK_ERRNO(fallocate(fd, 0, INT64_MAX, INT64_MAX), EFBIG);
    CHECK_ERRNO(fallocate(999, 0, 0, 5), EBADF);
    CHECK_ERRNO(fallocate(open("file", O_RDONLY), 0, 0, 5), EBADF);
    CHECK_ERRNO(fallocate(open("file", O_PATH), 0, 0, 5), EBADF);
    CHECK_ERRNO(fallocate(open(".", O_RDONLY), 0, 0, 5), EBADF);
    CHECK_ERRNO(fallocate(ends[1], 0, 0, 5), ESPIPE);
    CHECK_ERRNO(fallocate(null, 0, 0, 5), ENODEV);
    CHECK_EQ(size_of(fd), 10);
}

/* A sealed file in memory: what its seals forbid is not permitted. */
TEST(eperm_of_sealed_files)
{
    char path[64];
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING), other = memfd_create("other", 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(write(other, "abc", 3), 3);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    CHECK_ERRNO(truncate(path, 5), EPERM);
    CHECK_ERRNO(ftruncate(fd, 5), EPERM);
    CHECK_OK(ftruncate(fd, 20));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    CHECK_ERRNO(truncate(path, 50), EPERM);
    CHECK_ERRNO(fallocate(fd, 0, 0, 50), EPERM);
    CHECK_OK(fallocate(fd, 0, 0, 20));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5), EPERM);
    off_t from = 0, to = 0;
    CHECK_ERRNO(copy_file_range(other, &from, fd, &to, 3, 0), EPERM);
    CHECK_EQ(size_of(fd), 20);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(efbig)
{
    int fd = subject("0123456789");
    write_file("source", "abcdef");
    struct rlimit limit;
    int source = open("source", O_RDONLY);
    off_t from = 0, to = 8;
    handle_signal(SIGXFSZ, on_signal, 0);
    REQUIRE_OK(getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = 10;
    REQUIRE_OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_ERRNO(truncate("file", 11), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 11), EFBIG);
    CHECK_ERRNO(fallocate(fd, 0, 0, 11), EFBIG);
    CHECK_OK(truncate("file", 9));
    CHECK_EQ(copy_file_range(source, &from, fd, &to, 6, 0), 2); /* as much as may be */
    CHECK_ERRNO(copy_file_range(source, &from, fd, &to, 4, 0), EFBIG);
    CHECK_EQ(size_of(fd), 10);
}

TEST(truncate_errors)
{
    int fd = subject("0123456789"), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(truncate("file", -1), EINVAL);
    CHECK_ERRNO(truncate("absent", -1), EINVAL); /* before the path is looked at */
    CHECK_ERRNO(truncate("/dev/null", 0), EINVAL);
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(ftruncate(ends[1], 0), EINVAL);
    CHECK_ERRNO(ftruncate(open("file", O_RDONLY), 0), EINVAL);
    CHECK_ERRNO(ftruncate(open(".", O_RDONLY), 0), EINVAL);
    CHECK_ERRNO(ftruncate(open("file", O_PATH), 0), EBADF);
    CHECK_ERRNO(ftruncate(999, 0), EBADF);
    CHECK_OK(truncate("file", 1L << 32));
    CHECK_EQ(size_of(fd), 1L << 32);
    CHECK_OK(truncate("file", 0));
    CHECK_EQ(size_of(fd), 0);
}

TEST(copies_that_cannot_be)
{
    int fd = subject("0123456789"), ends[2];
    int dir = open(".", O_RDONLY), out = open("out", O_RDWR | O_CREAT, 0600);
    int appending = open("out", O_WRONLY | O_APPEND);
    REQUIRE_OK(pipe(ends));
    off_t from = 0, to = 2, last = INT64_MAX, before = -10;
    CHECK_ERRNO(copy_file_range(dir, NULL, out, NULL, 1, 0), EISDIR);
    CHECK_ERRNO(copy_file_range(fd, NULL, dir, NULL, 1, 0), EISDIR);
    CHECK_ERRNO(copy_file_range(fd, NULL, ends[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(copy_file_range(ends[0], NULL, out, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(copy_file_range(fd, NULL, 999, NULL, 1, 0), EBADF);
    CHECK_ERRNO(copy_file_range(999, NULL, out, NULL, 1, 0), EBADF);
    CHECK_ERRNO(copy_file_range(fd, NULL, appending, NULL, 1, 0), EBADF);
    CHECK_ERRNO(copy_file_range(open("out", O_WRONLY), NULL, out, NULL, 1, 0), EBADF);
    CHECK_ERRNO(copy_file_range(fd, &from, fd, &to, 5, 0), EINVAL); /* they overlap */
    CHECK_EQ(copy_file_range(fd, &from, fd, &to, 2, 0), 2);
    CHECK_EQ(copy_file_range(fd, &last, out, NULL, 10, 0), 0); /* far beyond the end */
    CHECK_ERRNO(copy_file_range(fd, NULL, out, &last, 10, 0), EFBIG);
    CHECK_ERRNO(copy_file_range(fd, &before, out, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(copy_file_range(fd, &before, out, NULL, 10, 0), EOVERFLOW); /* as numbers without a sign they wrap */
    CHECK_ERRNO(copy_file_range(fd, NULL, out, &before, SIZE_MAX, 0), EOVERFLOW);
    CHECK_ERRNO(copy_file_range(fd, bad_address, out, NULL, 1, 0), EFAULT);
    CHECK_ERRNO(copy_file_range(fd, NULL, out, bad_address, 1, 0), EFAULT);
    CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 0, 0), 0);
    CHECK_EQ(size_of(out), 0);
}

TEST(copies_without_room)
{
    NAMESPACE();
    char *at = directory("small"), page[4096] = {1};
    REQUIRE_OK(mount("some", at, "tmpfs", 0, "size=16k"));
    int from = open(in(at, "source"), O_RDWR | O_CREAT, 0600), to = open(in(at, "f"), O_CREAT | O_RDWR, 0644);
    off_t start = 0;
    CHECK_EQ(write(from, page, sizeof page), sizeof page);
    for (int i = 0; i < 3; i++, start = 0)
        CHECK_EQ(copy_file_range(from, &start, to, NULL, sizeof page, 0), sizeof page);
    CHECK_ERRNO(copy_file_range(from, &start, to, NULL, sizeof page, 0), ENOSPC);
    CHECK_EQ(size_of(to), 3 * sizeof page);
    close(from);
    close(to);
    CHECK_OK(umount(at));
}

TEST(syncing)
{
    int fd = subject("0123456789"), ends[2];
    REQUIRE_OK(pipe(ends));
    sync();
    CHECK_OK(syscall(SYS_sync));
    CHECK_OK(syncfs(fd));
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    CHECK_OK(fsync(open(".", O_RDONLY)));
    CHECK_OK(fdatasync(open("file", O_RDONLY)));
    CHECK_ERRNO(fsync(ends[0]), EINVAL);
    CHECK_ERRNO(fdatasync(ends[0]), EINVAL);
    int none[] = {-1, 999, open("file", O_PATH)};
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(syncfs(none[i]), EBADF);
        CHECK_ERRNO(fsync(none[i]), EBADF);
        CHECK_ERRNO(fdatasync(none[i]), EBADF);
        CHECK_ERRNO(sync_file_range(none[i], 0, 0, SYNC_FILE_RANGE_WRITE), EBADF);
        CHECK_ERRNO(readahead(none[i], 0, 4096), EBADF);
        CHECK_ERRNO(syscall(SYS_fadvise64, none[i], 0, 0, POSIX_FADV_NORMAL), EBADF);
    }
    for (unsigned flags = 0; flags < 8; flags++) /* WAIT_BEFORE, WRITE, WAIT_AFTER, and all of their sums */
        CHECK_OK(sync_file_range(fd, 0, 5, flags));
    CHECK_OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)); /* up to the end */
    CHECK_ERRNO(sync_file_range(fd, 0, 5, 8), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, -1, 5, SYNC_FILE_RANGE_WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, 0, -5, SYNC_FILE_RANGE_WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, INT64_MAX, 5, SYNC_FILE_RANGE_WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(ends[1], 0, 5, SYNC_FILE_RANGE_WRITE), ESPIPE);
}

TEST(advice)
{
    int fd = subject("0123456789"), ends[2];
    REQUIRE_OK(pipe(ends));
    for (int kind = POSIX_FADV_NORMAL; kind <= POSIX_FADV_NOREUSE; kind++) {
        CHECK_OK(syscall(SYS_fadvise64, fd, 0, 0, kind));
        CHECK_OK(syscall(SYS_fadvise64, fd, 4, 4096, kind));
        CHECK_ERRNO(syscall(SYS_fadvise64, ends[0], 0, 0, kind), ESPIPE);
        CHECK_ERRNO(syscall(SYS_fadvise64, fd, 0, -1L, kind), EINVAL);
    }
    CHECK_ERRNO(syscall(SYS_fadvise64, fd, 0, 0, 6), EINVAL);
    CHECK_ERRNO(syscall(SYS_fadvise64, fd, 0, 0, -1), EINVAL);
    CHECK_OK(readahead(fd, 0, 4096));
    CHECK_OK(readahead(fd, 0, INT64_MAX));
    CHECK_ERRNO(readahead(fd, 0, SIZE_MAX), EINVAL);
    CHECK_ERRNO(readahead(ends[0], 0, 4096), EINVAL);
    CHECK_ERRNO(readahead(open("file", O_WRONLY), 0, 4096), EBADF);
    char text[10];
    CHECK_EQ(read(fd, text, 10), 10); /* all of it is advice */
}
