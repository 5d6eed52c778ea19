/* eventfd: counters to wait on. */
#include "guest.h"

#include <sys/eventfd.h>

static uint64_t take(int fd)
{
    uint64_t value = 0;
    REQUIRE(read(fd, &value, sizeof value) == sizeof value);
    return value;
}

static void add(int fd, uint64_t value)
{
    REQUIRE(write(fd, &value, sizeof value) == sizeof value);
}

TEST(counter)
{
    int fd = eventfd(5, EFD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    add(fd, 7);
    CHECK_EQ(take(fd), 12);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
}

TEST(semaphore)
{
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t value;
    CHECK_EQ(take(fd), 1);
    CHECK_EQ(take(fd), 1);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(limits)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    uint64_t value = UINT64_MAX;
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &value, 7), EINVAL);
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    CHECK_ERRNO(write(fd, &value, 4), EINVAL);
    add(fd, UINT64_MAX - 1);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
    CHECK(take(fd) == UINT64_MAX - 1);
    CHECK_ERRNO(eventfd(0, 0x100), EINVAL);
}

TEST(poll_states)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    struct pollfd item = {fd, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&item, 1, 0), 1);
    CHECK_EQ(item.revents, POLLOUT);
    add(fd, 1);
    CHECK_EQ(poll(&item, 1, 0), 1);
    CHECK_EQ(item.revents, POLLIN | POLLOUT);
    take(fd);
    add(fd, UINT64_MAX - 1);
    CHECK_EQ(poll(&item, 1, 0), 1);
    CHECK_EQ(item.revents, POLLIN);
}

TEST(blocking_read_waits_for_another_process)
{
    int fd = eventfd(0, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(take(fd), 3);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    add(fd, 3);
    CHECK_CHILD(pid);
}

TEST(blocking_write_waits_for_room)
{
    int fd = eventfd(0, 0);
    add(fd, UINT64_MAX - 1);
    pid_t pid = fork_child();
    if (pid == 0) {
        add(fd, 2);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK(take(fd) == UINT64_MAX - 1);
    CHECK_CHILD(pid);
    CHECK_EQ(take(fd), 2);
}

TEST(the_call_without_flags)
{
    int fd = (int)syscall(SYS_eventfd, 3);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
    CHECK_EQ(take(fd), 3);
    fd = (int)syscall(SYS_eventfd2, 0xffffffff, EFD_NONBLOCK); /* no sign */
    CHECK_EQ(take(fd), 0xffffffff);
    CHECK_ERRNO(syscall(SYS_eventfd2, 0, 2), EINVAL);
}
