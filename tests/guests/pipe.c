/* pipe: pipes and fifos: ends, blocking, atomicity, sizes, SIGPIPE. */
#include "guest.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static volatile sig_atomic_t broken_pipes;

static void count_broken_pipe(int signal_number)
{
    (void)signal_number;
    broken_pipes++;
}

static void make_pipe(int ends[2], int flags)
{
    REQUIRE_OK(pipe2(ends, flags));
}

TEST(bytes_arrive_in_order)
{
    int ends[2];
    make_pipe(ends, 0);
    CHECK_EQ(write(ends[1], "hello", 5), 5);
    CHECK_EQ(write(ends[1], "world", 5), 5);
    char *buffer = guarded(7);
    CHECK_EQ(read(ends[0], buffer, 7), 7);
    CHECK(memcmp(buffer, "hellowo", 7) == 0);
    CHECK_EQ(read(ends[0], buffer, 7), 3);
    CHECK_EQ(write(ends[1], "", 0), 0);
    CHECK_ERRNO(read(ends[1], buffer, 1), EBADF);
    CHECK_ERRNO(write(ends[0], buffer, 1), EBADF);
}

TEST(pipe2_flags)
{
    int ends[2];
    make_pipe(ends, O_NONBLOCK | O_CLOEXEC);
    CHECK_EQ(fcntl(ends[0], F_GETFL), O_RDONLY | O_NONBLOCK);
    CHECK_EQ(fcntl(ends[1], F_GETFL), O_WRONLY | O_NONBLOCK);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(pipe2(ends, O_APPEND), EINVAL);
}

TEST(end_of_file_when_the_last_writer_closes)
{
    int ends[2];
    make_pipe(ends, 0);
    int copy = dup(ends[1]);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    close(ends[1]);
    char buffer[4];
    CHECK_EQ(read(ends[0], buffer, 4), 1);
    close(copy);
    CHECK_EQ(read(ends[0], buffer, 4), 0);
    CHECK_EQ(read(ends[0], buffer, 4), 0);
}

TEST(nonblocking_ends)
{
    int ends[2];
    make_pipe(ends, O_NONBLOCK);
    char *block = calloc(1, 65536);
    CHECK_ERRNO(read(ends[0], block, 1), EAGAIN);
    ssize_t total = 0, got;
    while ((got = write(ends[1], block, 65536)) > 0)
        total += got;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(total, 65536);
    CHECK_EQ(read(ends[0], block, 4096), 4096);
    CHECK_EQ(write(ends[1], block, 4096), 4096);
    free(block);
}

TEST(a_full_pipe_takes_part_of_a_large_write)
{
    int ends[2];
    make_pipe(ends, O_NONBLOCK);
    char *block = calloc(1, 100000);
    CHECK_EQ(write(ends[1], block, 100000), 65536);
    free(block);
}

TEST(writes_up_to_pipe_buf_are_atomic)
{
    int ends[2];
    make_pipe(ends, O_NONBLOCK);
    char *block = calloc(1, 65536);
    CHECK_EQ(write(ends[1], block, 65536), 65536);
    CHECK_EQ(read(ends[0], block, 100), 100);
    CHECK_ERRNO(write(ends[1], block, 4096), EAGAIN); /* no half of it */
    free(block);
}

TEST(concurrent_atomic_writes_do_not_mix)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork_child();
        if (children[i] == 0) {
            char block[512];
            memset(block, 'a' + i, sizeof block);
            for (int round = 0; round < 100; round++)
                CHECK_EQ(write(ends[1], block, sizeof block), 512);
            guest_finish();
        }
    }
    close(ends[1]);
    char block[512];
    int mixed = 0, blocks = 0;
    size_t have = 0;
    ssize_t got;
    while ((got = read(ends[0], block + have, sizeof block - have)) > 0) {
        have += (size_t)got;
        if (have < sizeof block)
            continue;
        for (size_t i = 1; i < sizeof block; i++)
            mixed += block[i] != block[0];
        blocks++;
        have = 0;
    }
    CHECK_EQ(mixed, 0);
    CHECK_EQ(blocks, 400);
    for (int i = 0; i < 4; i++)
        CHECK_CHILD(children[i]);
}

TEST(a_blocking_write_returns_when_all_is_written)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        close(ends[1]);
        char buffer[7000];
        size_t total = 0;
        ssize_t got;
        while ((got = read(ends[0], buffer, sizeof buffer)) > 0)
            total += (size_t)got;
        CHECK_EQ(total, 200000);
        guest_finish();
    }
    char *data = calloc(1, 200000);
    CHECK_EQ(write(ends[1], data, 200000), 200000);
    close(ends[1]);
    CHECK_CHILD(pid);
    free(data);
}

TEST(a_blocking_vector_write_returns_when_all_is_written)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        close(ends[1]);
        unsigned char *buffer = malloc(65536);
        size_t total = 0, wrong = 0;
        ssize_t got;
        while ((got = read(ends[0], buffer, 65536)) > 0) {
            for (ssize_t i = 0; i < got; i++)
                wrong += buffer[i] != (unsigned char)((total + (size_t)i) >= 90000 ? 2 : 1);
            total += (size_t)got;
        }
        CHECK_EQ(total, 180000);
        CHECK_EQ(wrong, 0);
        guest_finish();
    }
    char *first = malloc(90000), *second = malloc(90000);
    memset(first, 1, 90000);
    memset(second, 2, 90000);
    struct iovec vectors[2] = {{first, 90000}, {second, 90000}};
    CHECK_EQ(writev(ends[1], vectors, 2), 180000);
    close(ends[1]);
    CHECK_CHILD(pid);
}

TEST(a_blocked_reader_wakes_for_data_and_for_the_end)
{
    int ends[2], back[2];
    make_pipe(ends, 0);
    make_pipe(back, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        close(ends[1]);
        char byte = 0;
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_EQ(write(back[1], &byte, 1), 1);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(write(ends[1], "k", 1), 1);
    char byte = 0;
    CHECK_EQ(read(back[0], &byte, 1), 1);
    CHECK_EQ(byte, 'k');
    wait_for_state(pid, 'S');
    close(ends[1]);
    CHECK_CHILD(pid);
}

TEST(ping_pong_between_processes)
{
    int there[2], back[2];
    make_pipe(there, 0);
    make_pipe(back, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        int value;
        close(there[1]);
        while (read(there[0], &value, sizeof value) == sizeof value) {
            value++;
            CHECK_EQ(write(back[1], &value, sizeof value), sizeof value);
        }
        guest_finish();
    }
    int value = 0;
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(write(there[1], &value, sizeof value), sizeof value);
        CHECK_EQ(read(back[0], &value, sizeof value), sizeof value);
    }
    CHECK_EQ(value, 500);
    close(there[1]);
    CHECK_CHILD(pid);
}

TEST(sigpipe_and_epipe)
{
    int ends[2];
    make_pipe(ends, 0);
    handle_signal(SIGPIPE, count_broken_pipe, 0);
    close(ends[0]);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_EQ(broken_pipes, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_EQ(broken_pipes, 1);
}

TEST(sigpipe_kills_by_default)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        int ends[2];
        make_pipe(ends, 0);
        signal(SIGPIPE, SIG_DFL);
        close(ends[0]);
        ssize_t result = write(ends[1], "x", 1);
        _exit((int)result + 50);
    }
    CHECK_SIGNALED(wait_status(pid), SIGPIPE);
}

TEST(a_blocked_writer_gets_epipe_when_the_reader_goes)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        signal(SIGPIPE, SIG_IGN);
        close(ends[0]);
        char *data = calloc(1, 200000);
        ssize_t first = write(ends[1], data, 200000);
        CHECK(first >= 65536 && first < 200000); /* what was moved before the end */
        CHECK_ERRNO(write(ends[1], data, 1), EPIPE);
        guest_finish();
    }
    close(ends[1]);
    wait_for_state(pid, 'S');
    close(ends[0]);
    CHECK_CHILD(pid);
}

TEST(sizes_and_queries)
{
    int ends[2];
    make_pipe(ends, 0);
    CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
    CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 8192);
    CHECK_EQ(write(ends[1], "12345", 5), 5);
    int count = -1;
    CHECK_OK(ioctl(ends[0], FIONREAD, &count));
    CHECK_EQ(count, 5);
    struct stat status;
    CHECK_OK(fstat(ends[0], &status));
    CHECK(S_ISFIFO(status.st_mode));
    CHECK_ERRNO(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
}

TEST(nonblocking_mode_is_shared_by_fork)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
        guest_finish();
    }
    CHECK_CHILD(pid);
    char byte;
    CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
    CHECK_OK(fcntl(ends[0], F_SETFL, 0));
    CHECK_EQ(fcntl(ends[0], F_GETFL), O_RDONLY);
}

TEST(two_blocked_readers_share_what_comes)
{
    int ends[2];
    make_pipe(ends, 0);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork_child();
        if (children[i] == 0) {
            char byte;
            CHECK_EQ(read(ends[0], &byte, 1), 1);
            guest_finish();
        }
    }
    wait_for_state(children[0], 'S');
    wait_for_state(children[1], 'S');
    CHECK_EQ(write(ends[1], "ab", 2), 2);
    CHECK_CHILD(children[0]);
    CHECK_CHILD(children[1]);
}

TEST(reopening_through_proc)
{
    int ends[2];
    make_pipe(ends, O_NONBLOCK);
    char path[64], byte = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    int writer = open(path, O_WRONLY);
    CHECK_OK(writer);
    CHECK_EQ(write(writer, "p", 1), 1);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'p');
    close(ends[1]);
    CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
    close(writer);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(packets)
{
    int ends[2];
    make_pipe(ends, O_DIRECT | O_CLOEXEC);
    CHECK_EQ(fcntl(ends[1], F_GETFL), O_WRONLY | O_DIRECT);
    CHECK_EQ(write(ends[1], "one", 3), 3);
    CHECK_EQ(write(ends[1], "second", 6), 6);
    char *buffer = guarded(8);
    CHECK_EQ(read(ends[0], buffer, 8), 3); /* each write by itself */
    CHECK(memcmp(buffer, "one", 3) == 0);
    CHECK_EQ(read(ends[0], buffer, 2), 2); /* what does not fit is lost */
    CHECK_OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(ends[0], buffer, 8), EAGAIN);
}

TEST(notification_pipes)
{
    int ends[2];
    CHECK_ERRNO(pipe2(ends, O_EXCL | O_APPEND), EINVAL);
    if (pipe2(ends, O_EXCL /* O_NOTIFICATION_PIPE */) == 0)
        SKIP("this kernel has CONFIG_WATCH_QUEUE");
    CHECK_EQ(errno, ENOPKG);
}
