/* io: read, write, their vector and offset forms, lseek, truncate, fallocate, and copies between descriptors. */
#include "guest.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int open_scratch(const char *content)
{
    scratch();
    write_file("file", content);
    int fd = open("file", O_RDWR);
    REQUIRE(fd >= 0);
    return fd;
}

static void check_content(const char *path, const char *expected)
{
    char text[256];
    read_file(path, text, sizeof text);
    CHECK_STR(text, expected);
}

TEST(read_advances_the_offset_and_ends_with_zero)
{
    int fd = open_scratch("hello world");
    char *buffer = guarded(5);
    CHECK_EQ(read(fd, buffer, 5), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    char *rest = guarded(6);
    CHECK_EQ(read(fd, rest, 6), 6);
    CHECK(memcmp(rest, " world", 6) == 0);
    CHECK_EQ(read(fd, rest, 6), 0);
    CHECK_EQ(read(fd, rest, 0), 0);
}

TEST(read_with_a_large_count_returns_what_is_there)
{
    int fd = open_scratch("abc");
    char *buffer = malloc(1 << 20);
    CHECK_EQ(read(fd, buffer, 1 << 20), 3);
    free(buffer);
}

TEST(read_write_bad_descriptors)
{
    char byte = 0;
    scratch();
    CHECK_ERRNO(read(-1, &byte, 1), EBADF);
    CHECK_ERRNO(read(999, &byte, 1), EBADF);
    CHECK_ERRNO(write(999, &byte, 1), EBADF);
    int readonly = open(".", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(read(readonly, &byte, 1), EISDIR);
    CHECK_ERRNO(write(readonly, &byte, 1), EBADF);
    write_file("f", "x");
    int fd = open("f", O_RDONLY);
    CHECK_ERRNO(write(fd, &byte, 1), EBADF);
    int wronly = open("f", O_WRONLY);
    CHECK_ERRNO(read(wronly, &byte, 1), EBADF);
    int path_only = open("f", O_PATH);
    CHECK_ERRNO(read(path_only, &byte, 1), EBADF);
    CHECK_ERRNO(lseek(path_only, 0, SEEK_SET), EBADF);
}

TEST(write_extends_and_overwrites)
{
    int fd = open_scratch("hello");
    CHECK_EQ(write(fd, "J", 1), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 5);
    CHECK_EQ(write(fd, "!!", 2), 2);
    check_content("file", "Jello!!");
}

TEST(append_always_writes_at_the_end)
{
    open_scratch("one");
    int fd = open("file", O_WRONLY | O_APPEND);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, "two", 3), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
    CHECK_EQ(pwrite(fd, "three", 5, 0), 5); /* Linux appends here as well: pwrite(2), BUGS */
    check_content("file", "onetwothree");
}

TEST(pread_pwrite_leave_the_offset)
{
    int fd = open_scratch("0123456789");
    char *buffer = guarded(4);
    CHECK_EQ(pread(fd, buffer, 4, 3), 4);
    CHECK(memcmp(buffer, "3456", 4) == 0);
    CHECK_EQ(pread(fd, buffer, 4, 100), 0);
    CHECK_EQ(pwrite(fd, "ab", 2, 8), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_ERRNO(pread(fd, buffer, 4, -1), EINVAL);
    CHECK_ERRNO(pwrite(fd, buffer, 4, -1), EINVAL);
    check_content("file", "01234567ab");
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(pread(ends[0], buffer, 1, 0), ESPIPE);
    CHECK_ERRNO(pwrite(ends[1], buffer, 1, 0), ESPIPE);
}

TEST(writing_past_the_end_leaves_zeros)
{
    int fd = open_scratch("ab");
    CHECK_EQ(pwrite(fd, "z", 1, 5000), 1);
    char *buffer = guarded(5001);
    CHECK_EQ(pread(fd, buffer, 5001, 0), 5001);
    bool zeros = true;
    for (int i = 2; i < 5000; i++)
        zeros = zeros && buffer[i] == 0;
    CHECK(zeros);
    CHECK(buffer[0] == 'a' && buffer[5000] == 'z');
}

TEST(vectors_gather_and_scatter)
{
    int fd = open_scratch("");
    struct iovec out[3] = {{"he", 2}, {"", 0}, {"llo", 3}};
    CHECK_EQ(writev(fd, out, 3), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    char *first = guarded(1), *second = guarded(10);
    struct iovec in[2] = {{first, 1}, {second, 10}};
    CHECK_EQ(readv(fd, in, 2), 5);
    CHECK(*first == 'h' && memcmp(second, "ello", 4) == 0);
    CHECK_EQ(preadv(fd, in, 2, 2), 3);
    CHECK(*first == 'l' && memcmp(second, "lo", 2) == 0);
    CHECK_EQ(pwritev(fd, out, 3, 5), 5);
    check_content("file", "hellohello");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(preadv2(fd, in, 2, -1, 0), 5); /* -1: the file offset, which moves */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(pwritev2(fd, out, 1, 0, 0), 2);
    CHECK_ERRNO(preadv2(fd, in, 2, 0, 0x40000000), EOPNOTSUPP);
}

TEST(vector_limits)
{
    int fd = open_scratch("x");
    struct iovec *vectors = calloc(1025, sizeof *vectors);
    char byte = 'v';
    for (int i = 0; i < 1025; i++)
        vectors[i] = (struct iovec){&byte, 1};
    CHECK_EQ(writev(fd, vectors, 1024), 1024);
    CHECK_ERRNO(writev(fd, vectors, 1025), EINVAL);
    CHECK_ERRNO(readv(fd, vectors, -1), EINVAL);
    CHECK_EQ(readv(fd, vectors, 0), 0);
    vectors[0].iov_len = (size_t)-1;
    CHECK_ERRNO(readv(fd, vectors, 1), EINVAL);
    free(vectors);
}

TEST(lseek_whences)
{
    int fd = open_scratch("0123456789");
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(lseek(fd, -2, SEEK_CUR), 1);
    CHECK_EQ(lseek(fd, -4, SEEK_END), 6);
    CHECK_EQ(lseek(fd, 1000, SEEK_END), 1010);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1010);
    CHECK_EQ(lseek(fd, 2, SEEK_DATA), 2);
    CHECK_EQ(lseek(fd, 2, SEEK_HOLE), 10);
    CHECK_ERRNO(lseek(fd, 20, SEEK_DATA), ENXIO);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
}

TEST(duplicates_share_the_offset)
{
    int fd = open_scratch("0123456789");
    int copy = dup(fd), other = open("file", O_RDONLY);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(lseek(copy, 0, SEEK_CUR), 4);
    CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(lseek(fd, 2, SEEK_CUR), 6);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
}

TEST(truncate_shrinks_and_grows)
{
    int fd = open_scratch("0123456789");
    struct stat status;
    CHECK_OK(ftruncate(fd, 4));
    check_content("file", "0123");
    CHECK_OK(ftruncate(fd, 8192));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 8192);
    CHECK_OK(truncate("file", 2));
    check_content("file", "01");
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(truncate("missing", 0), ENOENT);
    CHECK_ERRNO(truncate(".", 0), EISDIR);
    int readonly = open("file", O_RDONLY);
    CHECK_ERRNO(ftruncate(readonly, 0), EINVAL);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(ftruncate(ends[1], 0), EINVAL);
}

TEST(fallocate_extends_or_keeps_the_size)
{
    int fd = open_scratch("ab");
    struct stat status;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000) == -1 && errno == EOPNOTSUPP)
        SKIP("the filesystem has no fallocate");
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 2);
    CHECK_OK(fallocate(fd, 0, 0, 10000));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 10000);
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1));
    char byte = 1;
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(byte, 0);
    CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_EQ(posix_fallocate(fd, 0, 20000), 0);
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 20000);
}

TEST(sync_calls_succeed_on_files)
{
    int fd = open_scratch("ab");
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    CHECK_OK(syncfs(fd));
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    CHECK_EQ(readahead(fd, 0, 2), 0);
    CHECK_ERRNO(fsync(999), EBADF);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(fsync(ends[0]), EINVAL);
}

TEST(sendfile_copies_to_a_file_a_pipe_and_with_an_offset)
{
    int fd = open_scratch("0123456789");
    int out = open("out", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(sendfile(out, fd, NULL, 4), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    off_t offset = 6;
    CHECK_EQ(sendfile(out, fd, &offset, 100), 4);
    CHECK_EQ(offset, 10);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    check_content("out", "01236789");
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(sendfile(ends[1], fd, NULL, 3), 3);
    char *buffer = guarded(3);
    CHECK_EQ(read(ends[0], buffer, 3), 3);
    CHECK(memcmp(buffer, "456", 3) == 0);
    CHECK_ERRNO(sendfile(fd, ends[0], NULL, 1), EINVAL);
    CHECK_ERRNO(sendfile(out, 999, NULL, 1), EBADF);
}

TEST(sendfile_waits_for_the_reader)
{
    enum { SIZE = 600000 };
    scratch();
    static char block[SIZE], got[SIZE];
    for (int i = 0; i < SIZE; i++)
        block[i] = (char)(i % 251);
    int fd = open("big", O_RDWR | O_CREAT, 0600), pair[2];
    REQUIRE(write(fd, block, SIZE) == SIZE);
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid_t pid = fork_child();
    if (pid == 0) {
        off_t offset = 100;
        CHECK_EQ(sendfile(pair[1], fd, &offset, SIZE), SIZE - 100);
        CHECK_EQ(offset, SIZE);
        CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
        CHECK_EQ(sendfile(pair[1], fd, NULL, 300000), 300000);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 300000);
        guest_finish();
    }
    close(pair[1]);
    size_t have = 0;
    for (ssize_t count; have < SIZE - 100 && (count = read(pair[0], got + have, SIZE - 100 - have)) > 0;)
        have += (size_t)count;
    CHECK_EQ(have, SIZE - 100);
    CHECK(memcmp(got, block + 100, SIZE - 100) == 0);
    have = 0;
    for (ssize_t count; (count = read(pair[0], got, SIZE)) > 0;)
        have += (size_t)count;
    CHECK_EQ(have, 300000);
    CHECK_CHILD(pid);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

TEST(sendfile_that_cannot_go_on)
{
    scratch();
    static char block[300000];
    int fd = open("big", O_RDWR | O_CREAT, 0600), pair[2];
    REQUIRE(write(fd, block, sizeof block) == sizeof block);
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    off_t offset = 0;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    REQUIRE_OK(sigaction(SIGALRM, &action, NULL));
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S');
        kill(parent, SIGALRM);
        guest_finish();
    }
    ssize_t sent = sendfile(pair[1], fd, &offset, sizeof block); /* nobody reads; a signal ends it */
    CHECK(sent > 0 && sent < (ssize_t)sizeof block);
    CHECK_EQ(offset, sent);
    CHECK_EQ(alarms, 1);
    CHECK_CHILD(pid);
    REQUIRE_OK(fcntl(pair[1], F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(sendfile(pair[1], fd, &offset, 10), EAGAIN);
    CHECK_EQ(offset, sent);
    off_t *bad = (off_t *)8;
    CHECK_ERRNO(sendfile(pair[1], fd, bad, 10), EFAULT);
    offset = -1;
    CHECK_ERRNO(sendfile(pair[1], fd, &offset, 10), EINVAL);
    int writer = open("big", O_WRONLY), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(sendfile(pair[1], writer, NULL, 10), EBADF);
    CHECK_ERRNO(sendfile(ends[0], fd, NULL, 10), EBADF);
    offset = (off_t)sizeof block;
    CHECK_EQ(sendfile(ends[1], fd, &offset, 10), 0); /* the end */
    close(pair[0]);
    action.sa_handler = on_alarm;
    REQUIRE_OK(sigaction(SIGPIPE, &action, NULL));
    offset = 0;
    CHECK_ERRNO(sendfile(pair[1], fd, &offset, 10), EPIPE);
    CHECK_EQ(alarms, 2);
}

TEST(copy_file_range_between_files)
{
    int fd = open_scratch("0123456789");
    int out = open("out", O_RDWR | O_CREAT, 0600);
    off_t from = 2, to = 1;
    CHECK_EQ(copy_file_range(fd, &from, out, &to, 3, 0), 3);
    CHECK_EQ(from, 5);
    CHECK_EQ(to, 4);
    CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 1, 0), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
    check_content("out", "0234");
    CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 100, 0), 9);
    CHECK_EQ(copy_file_range(fd, NULL, out, NULL, 100, 0), 0);
    CHECK_ERRNO(copy_file_range(fd, NULL, out, NULL, 1, 1), EINVAL);
    int readonly = open("out", O_RDONLY);
    CHECK_ERRNO(copy_file_range(fd, NULL, readonly, NULL, 1, 0), EBADF);
}

TEST(splice_and_tee_through_pipes)
{
    int fd = open_scratch("0123456789");
    int first[2], second[2];
    REQUIRE_OK(pipe(first));
    REQUIRE_OK(pipe(second));
    off_t offset = 3;
    CHECK_EQ(splice(fd, &offset, first[1], NULL, 4, 0), 4);
    CHECK_EQ(offset, 7);
    CHECK_EQ(tee(first[0], second[1], 4, 0), 4);
    char *buffer = guarded(4);
    CHECK_EQ(read(second[0], buffer, 4), 4);
    CHECK(memcmp(buffer, "3456", 4) == 0);
    int out = open("out", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(splice(first[0], NULL, out, NULL, 4, 0), 4);
    check_content("out", "3456");
    CHECK_ERRNO(splice(fd, NULL, out, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(first[0], NULL, second[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(splice(first[0], &offset, second[1], NULL, 1, 0), ESPIPE);
}

TEST(vmsplice_fills_a_pipe)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    char text[] = "spliced";
    struct iovec vector = {text, 7};
    CHECK_EQ(vmsplice(ends[1], &vector, 1, 0), 7);
    char *buffer = guarded(7);
    CHECK_EQ(read(ends[0], buffer, 7), 7);
    CHECK(memcmp(buffer, "spliced", 7) == 0);
}

TEST(large_transfers_are_complete)
{
    int fd = open_scratch("");
    size_t size = 3 * 1024 * 1024 + 7;
    unsigned char *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 31 + (i >> 12));
    CHECK_EQ(write(fd, data, size), (ssize_t)size);
    CHECK_EQ(pread(fd, back, size, 0), (ssize_t)size);
    CHECK(memcmp(data, back, size) == 0);
    CHECK_EQ(pread(fd, back, size, 4095), (ssize_t)(size - 4095));
    CHECK(memcmp(data + 4095, back, size - 4095) == 0);
}

TEST(fionread_counts_what_is_left)
{
    int fd = open_scratch("0123456789");
    int left = -1;
    CHECK_OK(lseek(fd, 4, SEEK_SET));
    CHECK_EQ(syscall(SYS_ioctl, fd, 0x541BUL /* FIONREAD */, &left), 0);
    CHECK_EQ(left, 6);
    CHECK_ERRNO(syscall(SYS_ioctl, fd, 0x5401UL /* TCGETS */, &left), ENOTTY);
    CHECK_ERRNO(syscall(SYS_ioctl, 999, 0x541BUL, &left), EBADF);
}
