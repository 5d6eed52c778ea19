/* Moving bytes: positions, faults, waiting, in-place transfers, descriptor numbers. */
#define _GNU_SOURCE
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[1 << 18];

static int add_desc(uint32_t kind, int host_fd, uint32_t open_flags, uint32_t flags)
{
    struct description *d = desc_new(kind, host_fd, open_flags);
    d->flags = flags;
    return fd_alloc(task, d, 0, 0);
}

static void positions(void)
{
    use_tmpfs();
    make_file("file", "0123456789");
    int a = open_path("file", O_RDWR), b = open_path("file", O_RDONLY);
    CHECK_IS(CALL(read, (uint64_t)a, ADDRESS(buffer), 4), 4);
    CHECK_IS(CALL(read, (uint64_t)b, ADDRESS(buffer), 2), 2);
    CHECK(memcmp(buffer, "01", 2) == 0);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, SEEK_CUR), 4);
    CHECK_IS(CALL(pread64, (uint64_t)a, ADDRESS(buffer), 100, 8), 2);
    CHECK_IS(CALL(pread64, (uint64_t)a, ADDRESS(buffer), 100, (uint64_t)-1), -EINVAL);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, SEEK_CUR), 4);
    CHECK_IS(CALL(lseek, (uint64_t)a, -5, SEEK_CUR), -EINVAL);
    CHECK_IS(CALL(lseek, (uint64_t)a, -1, SEEK_END), 9);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, 9), -EINVAL);
    CHECK_IS(CALL(write, (uint64_t)a, ADDRESS("xyz"), 3), 3);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, SEEK_END), 12);
    CHECK_IS(CALL(lseek, (uint64_t)a, 5, SEEK_DATA), 5);
    CHECK_IS(CALL(lseek, (uint64_t)a, 100, SEEK_DATA), -ENXIO);
    CHECK_IS(CALL(lseek, (uint64_t)a, 20, SEEK_SET), 20);
    CHECK_IS(CALL(read, (uint64_t)a, ADDRESS(buffer), 4), 0);
    CHECK_IS(CALL(dup, (uint64_t)b), 2);
    CHECK_IS(CALL(read, 2, ADDRESS(buffer), 1), 1);
    CHECK_IS(CALL(lseek, (uint64_t)b, 0, SEEK_CUR), 3); /* duplicates share it */
    CHECK_IS(CALL(write, (uint64_t)b, ADDRESS("x"), 1), -EBADF);
    int c = open_path("file", O_WRONLY | O_APPEND);
    CHECK_IS(CALL(read, (uint64_t)c, ADDRESS(buffer), 1), -EBADF);
    CHECK_IS(CALL(write, (uint64_t)c, ADDRESS("AB"), 2), 2);
    CHECK_IS(CALL(lseek, (uint64_t)c, 0, SEEK_CUR), 14);
    CHECK_IS(CALL(ftruncate, (uint64_t)c, 3), 0);
    CHECK_IS(CALL(ftruncate, (uint64_t)b, 3), -EINVAL);
    CHECK_IS(CALL(ftruncate, (uint64_t)c, (uint64_t)-1), -EINVAL);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, SEEK_END), 3);
    CHECK_IS(open_path("file", O_WRONLY | O_TRUNC), 4);
    CHECK_IS(CALL(lseek, (uint64_t)a, 0, SEEK_END), 0);
}

static void faults(void)
{
    use_tmpfs();
    make_file("file", "0123456789");
    int fd = open_path("file", O_RDWR);
    CHECK_IS(CALL(read, (uint64_t)fd, 8, 4), -EFAULT);
    CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_CUR), 0);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(guard - 4), 10), 4); /* what fits, as Linux */
    CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_CUR), 4);
    CHECK_IS(CALL(write, (uint64_t)fd, ADDRESS(guard - 3), 10), 3);
    CHECK_IS(CALL(write, (uint64_t)fd, 8, 1), -EFAULT);
    CHECK_IS(CALL(lseek, (uint64_t)fd, 0, SEEK_CUR), 7);
    CHECK_IS(CALL(read, (uint64_t)fd, 8, 0), 0);
    struct iovec iov[3] = {{buffer, 2}, {NULL, 0}, {buffer + 8, 3}};
    CHECK_IS(CALL(preadv, (uint64_t)fd, ADDRESS(iov), 3, 0), 5);
    CHECK(memcmp(buffer, "01", 2) == 0 && memcmp(buffer + 8, "23", 2) == 0);
    CHECK_IS(CALL(readv, (uint64_t)fd, ADDRESS(iov), 1025), -EINVAL);
    CHECK_IS(CALL(readv, (uint64_t)fd, 8, 1), -EFAULT);
    CHECK_IS(CALL(readv, (uint64_t)fd, 0, 0), 0);
    iov[1].iov_len = (size_t)-1;
    CHECK_IS(CALL(readv, (uint64_t)fd, ADDRESS(iov), 3), -EINVAL);
    iov[1] = (struct iovec){(void *)8, 5};
    CHECK_IS(CALL(pwritev, (uint64_t)fd, ADDRESS(iov), 3, 0), 2);
}

static void pipes(void)
{
    int host[2];
    use_tmpfs();
    CHECK(pipe2(host, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK(fcntl(host[0], F_SETPIPE_SZ, 4096) == 4096);
    int reader = add_desc(DESC_PIPE, host[0], O_RDONLY, 0), writer = add_desc(DESC_PIPE, host[1], O_WRONLY, 0);
    CHECK_IS(CALL(read, (uint64_t)reader, ADDRESS(buffer), 10), SENTRY_PARKED);
    CHECK_IS(seen.parked_events, POLLIN);
    CHECK_IS(CALL(fcntl, (uint64_t)reader, F_SETFL, O_NONBLOCK), 0);
    CHECK_IS(CALL(read, (uint64_t)reader, ADDRESS(buffer), 10), -EAGAIN);
    /* a write larger than the pipe goes on where it stopped */
    memset(buffer, 'x', 10000);
    CHECK_IS(CALL(write, (uint64_t)writer, ADDRESS(buffer), 10000), SENTRY_PARKED);
    CHECK_IS(seen.parked_events, POLLOUT);
    CHECK_IS(task->trap.progress, 4096);
    struct trap kept = task->trap;
    int64_t total = 0, result;
    do {
        total += CALL(read, (uint64_t)reader, ADDRESS(buffer + 20000), 4096);
        task->trap = kept;
        result = fast_write(task, &task->trap);
        kept = task->trap;
    } while (result == SENTRY_PARKED);
    CHECK_IS(result, 10000);
    total += CALL(read, (uint64_t)reader, ADDRESS(buffer + 20000), 4096);
    CHECK_IS(total, 10000);
    CHECK_IS(CALL(pread64, (uint64_t)reader, ADDRESS(buffer), 1, 0), -ESPIPE);
    CHECK_IS(CALL(lseek, (uint64_t)reader, 0, SEEK_SET), -ESPIPE);
    signal(SIGPIPE, SIG_IGN);
    CHECK_IS(CALL(close, (uint64_t)reader), 0);
    CHECK_IS(CALL(write, (uint64_t)writer, ADDRESS(buffer), 10), -EPIPE);
    CHECK_IS(seen.killed_by, SIGPIPE);
}

static void given_pipes_never_block(void)
{
    int host[2];
    use_tmpfs();
    CHECK(pipe2(host, O_CLOEXEC) == 0); /* blocking, as a stranger made it */
    int reader = add_desc(DESC_PIPE, host[0], O_RDONLY, DESC_GIVEN), writer = add_desc(DESC_PIPE, host[1], O_WRONLY, DESC_GIVEN);
    alarm(5);
    CHECK_IS(CALL(read, (uint64_t)reader, ADDRESS(buffer), 10), SENTRY_PARKED);
    CHECK_IS(CALL(write, (uint64_t)writer, ADDRESS(buffer), 200000), SENTRY_PARKED);
    CHECK(task->trap.progress >= 65536 - 4096);
    CHECK_IS(CALL(read, (uint64_t)reader, ADDRESS(buffer), 10), 10);
    alarm(0);
}

static void in_place(void)
{
    char *content = malloc(100001);
    memset(content, 'c', 100000);
    content[100000] = 0;
    host_file("big", content);
    free(content);
    use_overlay();
    int fd = open_path("big", O_RDONLY);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 100), 100);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 65536), SENTRY_CONTINUE);
    CHECK_IS(seen.installed_fd, fd);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 100), SENTRY_CONTINUE);
    CHECK_IS(seen.installs, 0);
    CHECK_IS(CALL(close, (uint64_t)fd), 0);
    CHECK_IS(seen.installed_fd, -1); /* a lower file may stay in the workload */
    /* later opens share a host descriptor: read by position, until somebody reads much */
    open_path("big", O_RDONLY);
    fd = open_path("big", O_RDONLY);
    struct description *d = fd_get(task, fd);
    CHECK(d->flags & DESC_OWN_POS);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 100), 100);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 65536), SENTRY_CONTINUE);
    CHECK(!(d->flags & DESC_OWN_POS));
    CHECK_IS(lseek(d->host_fd, 0, SEEK_CUR), 100);
    /* mmap */
    fd = open_path("big", O_RDONLY);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 0), SENTRY_CONTINUE);
    CHECK_IS(seen.installs, 1);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 0), SENTRY_CONTINUE);
    CHECK_IS(seen.installs, 0);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0), -EACCES);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 1), -EINVAL);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 33, 0), -EBADF);
    CHECK_IS(CALL(mmap, 0, 0, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 0), -EINVAL);
}

static void copying(void)
{
    host_file("lower", "0123456789");
    use_overlay();
    int in = open_path("lower", O_RDONLY), out = open_path("upper", O_RDWR | O_CREAT);
    CHECK_IS(CALL(lseek, (uint64_t)in, 2, SEEK_SET), 2);
    CHECK_IS(CALL(copy_file_range, (uint64_t)in, 0, (uint64_t)out, 0, 5, 0), 5);
    CHECK_IS(CALL(copy_file_range, (uint64_t)in, 0, (uint64_t)out, 0, 1 << 30, 0), 3);
    CHECK_IS(CALL(copy_file_range, (uint64_t)in, 0, (uint64_t)out, 0, 1 << 30, 0), 0);
    CHECK_IS(CALL(pread64, (uint64_t)out, ADDRESS(buffer), 100, 0), 8);
    CHECK(memcmp(buffer, "23456789", 8) == 0);
    CHECK_IS(CALL(lseek, (uint64_t)out, 0, SEEK_CUR), 8);
    CHECK_IS(CALL(copy_file_range, (uint64_t)out, 0, (uint64_t)in, 0, 5, 0), -EBADF);
    CHECK_IS(CALL(copy_file_range, (uint64_t)in, 0, 50, 0, 5, 0), -EBADF);
    CHECK_IS(CALL(fadvise64, (uint64_t)in, 0, 0, 2), 0);
    CHECK_IS(CALL(fadvise64, (uint64_t)in, 0, 0, 6), -EINVAL);
    CHECK_IS(CALL(fadvise64, 50, 0, 0, 6), -EBADF);
}

static void memory_files_in_place(void)
{
    use_tmpfs();
    make_file("file", "0123456789");
    CHECK_IS(CALL(truncate, ADDRESS("file"), 100000), 0);
    int fd = open_path("file", O_RDONLY);
    struct description *d = fd_get(task, fd);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 5), 5);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 70000), SENTRY_CONTINUE);
    CHECK_IS(fcntl(d->host_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_IS(lseek(d->host_fd, 0, SEEK_CUR), 5);
    fd = open_path("file", O_RDONLY);
    d = fd_get(task, fd);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ, MAP_SHARED, (uint64_t)fd, 0), SENTRY_CONTINUE);
    CHECK_IS(fcntl(d->host_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    fd = open_path("file", O_RDWR);
    CHECK_IS(CALL(pwrite64, (uint64_t)fd, ADDRESS(buffer), 70000, 10), SENTRY_CONTINUE);
    CHECK_IS(CALL(write, (uint64_t)fd, ADDRESS(buffer), 70000), 70000);
    CHECK_IS(CALL(dup, (uint64_t)fd), fd + 1);
    CHECK_IS(CALL(close, (uint64_t)fd), 0);
    CHECK_IS(seen.installed_fd, fd); /* memory may not: covered */
    CHECK_IS(CALL(dup, (uint64_t)fd + 1), fd);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0), SENTRY_CONTINUE);
    fd = open_path("file", O_WRONLY);
    CHECK_IS(CALL(pwrite64, (uint64_t)fd, ADDRESS(buffer), 70000, 10), 70000);
    CHECK_IS(CALL(mmap, 0, 4096, PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0), -EACCES);
}

static void readers_follow_a_copy_up(void)
{
    host_file("file", "lower");
    use_overlay();
    int fd = open_path("file", O_RDONLY);
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 2), 2);
    struct inode *i = lookup("file")->inode;
    i->host_fd = memfd_create("upper", MFD_CLOEXEC);
    CHECK_IS(write(i->host_fd, "UPPER", 5), 5);
    i->flags |= INODE_UPPER | INODE_LIVE;
    CHECK_IS(CALL(read, (uint64_t)fd, ADDRESS(buffer), 9), 3);
    CHECK(memcmp(buffer, "PER", 3) == 0);
}

static void binds_are_written_through(void)
{
    struct stat st;
    host_file("file", "old");
    use_bind(true);
    int fd = open_path("file", O_RDWR);
    CHECK_IS(CALL(write, (uint64_t)fd, ADDRESS("newer"), 5), 5);
    CHECK_IS(CALL(stat, ADDRESS("file"), ADDRESS(&st)), 0);
    CHECK_IS(st.st_size, 5);
    char path[128];
    snprintf(path, sizeof path, "%s/file", host_dir);
    CHECK(stat(path, &st) == 0);
    CHECK_IS(st.st_size, 5);
    task->fs->root->sb->flags |= SB_RDONLY;
    CHECK_IS(open_path("file", O_WRONLY), -EROFS);
}

static void numbers(void)
{
    use_tmpfs();
    make_file("file", "");
    for (int n = 0; n < 3; n++)
        CHECK_IS(open_path("file", O_RDWR), n);
    CHECK_IS(CALL(close, 1), 0);
    CHECK_IS(CALL(close, 1), -EBADF);
    CHECK_IS(CALL(dup, 0), 1);
    CHECK_IS(CALL(dup2, 0, 10), 10);
    CHECK_IS(CALL(dup2, 10, 10), 10);
    CHECK_IS(CALL(dup2, 9, 9), -EBADF);
    CHECK_IS(CALL(dup2, 0, 64), -EBADF); /* RLIMIT_NOFILE */
    CHECK_IS(CALL(dup2, 9, 64), -EBADF);
    CHECK_IS(CALL(dup3, 0, 0, 0), -EINVAL);
    CHECK_IS(CALL(dup3, 0, 2, O_CLOEXEC), 2);
    CHECK_IS(CALL(fcntl, 2, F_GETFD), FD_CLOEXEC);
    CHECK_IS(CALL(fcntl, 0, F_DUPFD, 5), 5);
    CHECK_IS(CALL(fcntl, 0, F_DUPFD, 64), -EINVAL);
    CHECK_IS(CALL(fcntl, 0, F_DUPFD_CLOEXEC, 63), 63);
    CHECK_IS(CALL(fcntl, 0, F_DUPFD, 63), -EMFILE);
    CHECK_IS(CALL(close_range, 11, 5, 0), -EINVAL);
    CHECK_IS(CALL(close_range, 3, 9, 4), 0);
    CHECK_IS(CALL(fcntl, 5, F_GETFD), FD_CLOEXEC);
    CHECK_IS(CALL(close_range, 3, 0xffffffff, 0), 0);
    CHECK_IS(CALL(fcntl, 5, F_GETFD), -EBADF);
    CHECK_IS(open_path("file", O_RDWR), 3);
    CHECK_IS(CALL(fcntl, 3, F_SETFL, O_APPEND | O_NONBLOCK), 0);
    CHECK_IS(CALL(fcntl, 3, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
    CHECK_IS(CALL(ioctl, 3, 0x5401, 8), -ENOTTY);
    CHECK_IS(CALL(ioctl, 3, 0x5421, 8), -EFAULT);
    CHECK_IS(CALL(ioctl, 3, 0x5451, 0), 0);
    CHECK_IS(CALL(fcntl, 3, F_GETFD), FD_CLOEXEC);
    CHECK_IS(CALL(ioctl, 40, 0x5401, 0), -EBADF);
    CHECK_IS(CALL(umask, 077), 022);
    CHECK_IS(CALL(getuid, 0), 0);
}

const struct test io_tests[] = {
    {"positions", positions},
    {"faults", faults},
    {"pipes", pipes},
    {"given-pipes-never-block", given_pipes_never_block},
    {"in-place", in_place},
    {"copying", copying},
    {"memory-files-in-place", memory_files_in_place},
    {"readers-follow-a-copy-up", readers_follow_a_copy_up},
    {"binds-are-written-through", binds_are_written_through},
    {"numbers", numbers},
    {NULL, NULL},
};
