/* vectors: readv, writev and their kin with positions and flags: what is accepted, what is refused, by one table. */
#include "guest.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define EACH(entry, table) (size_t entry = 0; entry < sizeof table / sizeof *table; entry++)

static long readv_(int fd, const struct iovec *vectors, int count, off_t offset)
{
    (void)offset;
    return readv(fd, vectors, count);
}

static long writev_(int fd, const struct iovec *vectors, int count, off_t offset)
{
    (void)offset;
    return writev(fd, vectors, count);
}

static long preadv2_(int fd, const struct iovec *vectors, int count, off_t offset)
{
    return syscall(SYS_preadv2, fd, vectors, (long)count, offset, 0L, 0);
}

static long pwritev2_(int fd, const struct iovec *vectors, int count, off_t offset)
{
    return syscall(SYS_pwritev2, fd, vectors, (long)count, offset, 0L, 0);
}

static const struct {
    const char *name;
    long (*call)(int fd, const struct iovec *vectors, int count, off_t offset);
    bool is_write, has_offset;
} calls[] = {
    {"readv", readv_, false, false},     {"writev", writev_, true, false},     {"preadv", (void *)preadv, false, true},
    {"pwritev", (void *)pwritev, true, true}, {"preadv2", preadv2_, false, true}, {"pwritev2", pwritev2_, true, true},
};

static void expect(const char *call, const char *what, long result, int error)
{
    if (result != -1 || errno != error)
        GUEST_FAIL("%s, %s: expected %s, got %ld, %s", call, what, strerrorname_np(error), result, strerrorname_np(errno));
}

TEST(what_each_refuses)
{
    scratch();
    write_file("file", "0123456789");
    int file = open("file", O_RDWR), reader = open("file", O_RDONLY), writer = open("file", O_WRONLY), path = open("file", O_PATH),
        ends[2];
    REQUIRE_OK(pipe(ends));
    static char byte;
    const struct iovec one = {&byte, 1}, negative[] = {{&byte, 1}, {&byte, (size_t)-1}}, bad = {bad_address, 1};
    static struct iovec many[1025];
    for EACH (i, many)
        many[i] = (struct iovec){&byte, i < 1024};
    for EACH (i, calls) {
        const char *name = calls[i].name;
        expect(name, "closed", calls[i].call(999, &one, 1, 0), EBADF);
        expect(name, "O_PATH", calls[i].call(path, &one, 1, 0), EBADF);
        expect(name, "the wrong way", calls[i].call(calls[i].is_write ? reader : writer, &one, 1, 0), EBADF);
        expect(name, "1025 vectors", calls[i].call(file, many, 1025, 0), EINVAL);
        expect(name, "a negative length", calls[i].call(file, negative, 2, 0), EINVAL);
        expect(name, "bad vectors", calls[i].call(file, bad_address, 1, 0), EFAULT);
        expect(name, "bad memory", calls[i].call(file, &bad, 1, 0), EFAULT);
        if (calls[i].has_offset) {
            expect(name, "a negative offset", calls[i].call(file, &one, 1, -2), EINVAL);
            expect(name, "a pipe", calls[i].call(ends[calls[i].is_write], &one, 1, 0), ESPIPE);
        }
        CHECK_EQ(calls[i].call(file, NULL, 0, 0), 0);
        CHECK_EQ(calls[i].call(file, many, 1024, 0), calls[i].is_write ? 1024 : 10);
        CHECK_OK(ftruncate(file, 0));
        CHECK_EQ(pwrite(file, "0123456789", 10, 0), 10);
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    }
}

static char buffer[8];
static const struct iovec into = {buffer, 8}, three = {"abc", 3};

static void check_file(int fd, const char *content)
{
    char text[64] = "";
    CHECK_OK(pread(fd, text, sizeof text - 1, 0));
    CHECK_STR(text, content);
}

TEST(flags_of_pwritev2)
{
    scratch();
    write_file("file", "0123456789");
    int fd = open("file", O_RDWR);
    static const int without_effect[] = {0, RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_HIPRI | RWF_DSYNC | RWF_SYNC};
    for EACH (i, without_effect) { /* on what the bytes are */
        CHECK_EQ(pwritev2(fd, &three, 1, 2 + (off_t)i, without_effect[i]), 3);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    }
    check_file(fd, "01aaaaabc9");
    CHECK_EQ(pwritev2(fd, &three, 1, 0, RWF_APPEND), 3); /* wherever the offset is */
    check_file(fd, "01aaaaabc9abc");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pwritev2(fd, &three, 1, -1, 0), 3); /* at the position, which moves */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    check_file(fd, "abcaaaabc9abc");
    CHECK_EQ(pwritev2(fd, &three, 1, -1, RWF_APPEND | RWF_DSYNC), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 16);
    check_file(fd, "abcaaaabc9abcabc");
    CHECK_ERRNO(pwritev2(fd, &three, 1, 0, 1 << 20), EOPNOTSUPP);
    CHECK_ERRNO(pwritev2(fd, &three, 1, -2, 0), EINVAL);
    check_file(fd, "abcaaaabc9abcabc");
}

TEST(flags_of_preadv2)
{
    scratch();
    write_file("file", "0123456789");
    int fd = open("file", O_RDONLY);
    /* Those of writing mean nothing to a read, and are no error. */
    static const int without_effect[] = {0, RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_APPEND};
    for EACH (i, without_effect) {
        memset(buffer, 0, sizeof buffer);
        errno = 0;
        long count = preadv2(fd, &into, 1, 4, without_effect[i]);
        if (count != 6 || memcmp(buffer, "456789", 6) != 0)
            GUEST_FAIL("flag 0x%x: %ld, %s", without_effect[i], count, strerrorname_np(errno));
    }
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(preadv2(fd, &into, 1, -1, RWF_HIPRI), 8);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
    CHECK_ERRNO(preadv2(fd, &into, 1, 0, 1 << 20), EOPNOTSUPP);
    CHECK_ERRNO(preadv2(fd, &into, 1, -2, 0), EINVAL);
}

TEST(not_waiting)
{
    /* A file may say that it cannot promise not to wait; what it never does is wait. Pipes promise since Linux 6.4. */
    int ends[2], pair[2];
    scratch();
    write_file("file", "0123456789");
    int fd = open("file", O_RDWR);
    long count = preadv2(fd, &into, 1, 4, RWF_NOWAIT);
    CHECK(count == 6 || (count == -1 && (errno == EOPNOTSUPP || errno == EAGAIN)));
    count = pwritev2(fd, &three, 1, 0, RWF_NOWAIT);
    CHECK(count == 3 || (count == -1 && (errno == EOPNOTSUPP || errno == EAGAIN)));
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    const int empty[] = {ends[0], pair[0]}, others[] = {ends[1], pair[1]};
    for EACH (i, empty) {
        if (preadv2(empty[i], &into, 1, -1, RWF_NOWAIT) == -1 && errno == EOPNOTSUPP)
            SKIP("pipes and sockets of this kernel have no RWF_NOWAIT");
        CHECK_ERRNO(preadv2(empty[i], &into, 1, -1, RWF_NOWAIT), EAGAIN);
        CHECK_EQ(pwritev2(others[i], &three, 1, -1, RWF_NOWAIT), 3);
        CHECK_EQ(preadv2(empty[i], &into, 1, -1, RWF_NOWAIT), 3);
        while (pwritev2(others[i], &into, 1, -1, RWF_NOWAIT) > 0)
            ;
        CHECK_EQ(errno, EAGAIN);
    }
}

TEST(writing_to_nobody)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_ERRNO(write(udp, "x", 1), EDESTADDRREQ);
    CHECK_ERRNO(writev(udp, &three, 1), EDESTADDRREQ);
}
