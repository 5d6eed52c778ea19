/* epoll: level, edge and one-shot triggering, modification, nesting, time limits and signals. */
#include "guest.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

static int add(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int set(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

TEST(level_triggered_tells_until_it_is_read)
{
    int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(fcntl(epoll, F_GETFD), FD_CLOEXEC);
    CHECK_OK(add(epoll, ends[0], EPOLLIN, 0x1122334455667788));
    struct epoll_event *event = guarded(sizeof *event);
    CHECK_EQ(epoll_wait(epoll, event, 1, 0), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(epoll, event, 1, -1), 1);
    CHECK_EQ(event->events, EPOLLIN);
    CHECK_EQ(event->data.u64, 0x1122334455667788);
    CHECK_EQ(epoll_wait(epoll, event, 1, -1), 1);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(epoll_wait(epoll, event, 1, 0), 0);
    close(ends[1]);
    CHECK_EQ(epoll_wait(epoll, event, 1, -1), 1);
    CHECK_EQ(event->events, EPOLLHUP);
}

TEST(edge_triggered_tells_once)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(add(epoll, ends[0], EPOLLIN | EPOLLET, 1));
    struct epoll_event event;
    CHECK_EQ(write(ends[1], "xx", 2), 2);
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
}

TEST(one_shot_tells_until_rearmed)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(add(epoll, ends[0], EPOLLIN | EPOLLONESHOT, 1));
    struct epoll_event event;
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    CHECK_OK(set(epoll, ends[0], EPOLLIN | EPOLLONESHOT, 2));
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 2);
}

TEST(control_errors)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_OK(add(epoll, ends[0], EPOLLIN, 1));
    CHECK_ERRNO(add(epoll, ends[0], EPOLLIN, 1), EEXIST);
    CHECK_ERRNO(set(epoll, ends[1], EPOLLIN, 1), ENOENT);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], &event), ENOENT);
    CHECK_ERRNO(add(epoll, epoll, EPOLLIN, 1), EINVAL);
    CHECK_ERRNO(add(epoll, 999, EPOLLIN, 1), EBADF);
    CHECK_ERRNO(add(999, ends[0], EPOLLIN, 1), EBADF);
    CHECK_ERRNO(add(ends[0], ends[1], EPOLLIN, 1), EINVAL);
    CHECK_ERRNO(epoll_ctl(epoll, 99, ends[1], &event), EINVAL);
    CHECK_ERRNO(epoll_wait(epoll, &event, 0, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(ends[0], &event, 1, 0), EINVAL);
    CHECK_ERRNO(epoll_create1(0x100), EINVAL);
    CHECK_ERRNO(epoll_create(0), EINVAL);
    scratch();
    write_file("f", "x");
    CHECK_ERRNO(add(epoll, open("f", O_RDONLY), EPOLLIN, 1), EPERM);
    CHECK_ERRNO(add(epoll, open(".", O_RDONLY), EPOLLIN, 1), EPERM);
    CHECK_ERRNO(add(ends[0], open(".", O_RDONLY), EPOLLIN, 1), EPERM);
    CHECK_ERRNO(add(epoll, open("f", O_PATH), EPOLLIN, 1), EBADF);
    CHECK_ERRNO(add(open("f", O_PATH), ends[1], EPOLLIN, 1), EBADF);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], NULL), EFAULT);
    CHECK_ERRNO(epoll_ctl(999, EPOLL_CTL_ADD, 999, NULL), EFAULT);
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL));
}

TEST(many_descriptors_come_in_turns)
{
    int epoll = epoll_create1(0), ends[16][2], seen[16] = {0};
    for (int i = 0; i < 16; i++) {
        REQUIRE_OK(pipe(ends[i]));
        CHECK_OK(add(epoll, ends[i][0], EPOLLIN, (uint64_t)i));
        CHECK_EQ(write(ends[i][1], "x", 1), 1);
    }
    struct epoll_event *events = guarded(5 * sizeof *events);
    for (int round = 0; round < 8; round++) {
        int got = epoll_wait(epoll, events, 5, -1);
        CHECK_EQ(got, 5);
        for (int i = 0; i < got; i++)
            seen[events[i].data.u64]++;
    }
    for (int i = 0; i < 16; i++)
        CHECK(seen[i] > 0);
}

TEST(as_many_events_as_were_asked_for)
{
    enum { MEMBERS = 600 };
    int epoll = epoll_create1(0), counter = eventfd(1, 0);
    for (int i = 0; i < MEMBERS; i++)
        REQUIRE_OK(add(epoll, dup(counter), EPOLLIN, (uint64_t)i));
    static struct epoll_event events[MEMBERS + 1];
    CHECK_EQ(epoll_wait(epoll, events, MEMBERS + 1, -1), MEMBERS);
    static bool seen[MEMBERS];
    for (int i = 0; i < MEMBERS; i++)
        seen[events[i].data.u64] = true;
    for (int i = 0; i < MEMBERS; i++)
        CHECK(seen[i]);
    for (int fd = epoll + 2; fd < epoll + 2 + MEMBERS; fd += 2) /* every other one */
        close(fd);
    CHECK_EQ(epoll_wait(epoll, events, MEMBERS, -1), MEMBERS); /* the description is open: they are members yet */
    close_range((unsigned)counter, ~0u, 0);
    CHECK_EQ(epoll_wait(epoll, events, MEMBERS, 0), 0);
}

TEST(closing_an_instance_leaves_its_members)
{
    int first = epoll_create1(0), second = epoll_create1(0), counter = eventfd(1, 0);
    CHECK_OK(add(first, counter, EPOLLIN, 1));
    CHECK_OK(add(second, counter, EPOLLIN, 2));
    close(first);
    struct epoll_event event;
    CHECK_EQ(epoll_wait(second, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 2);
    CHECK_OK(epoll_ctl(second, EPOLL_CTL_DEL, counter, NULL));
    CHECK_OK(add(second, counter, EPOLLIN, 3));
    CHECK_EQ(epoll_wait(second, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 3);
}

TEST(closing_removes_the_descriptor)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(add(epoll, ends[0], EPOLLIN, 1));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    int copy = dup(ends[0]);
    struct epoll_event event;
    close(ends[0]);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1); /* the description is still open */
    close(copy);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
}

TEST(both_numbers_of_one_description)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    int copy = dup(ends[0]);
    CHECK_OK(add(epoll, ends[0], EPOLLIN, 1));
    CHECK_OK(add(epoll, copy, EPOLLIN, 2));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    struct epoll_event events[4];
    CHECK_EQ(epoll_wait(epoll, events, 4, -1), 2);
    CHECK_EQ(events[0].data.u64 + events[1].data.u64, 3);
}

TEST(nested_epoll)
{
    int ends[2], inner = epoll_create1(0), outer = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(add(inner, ends[0], EPOLLIN, 1));
    CHECK_OK(add(outer, inner, EPOLLIN, 2));
    CHECK_ERRNO(add(inner, outer, EPOLLIN, 3), ELOOP);
    struct epoll_event event;
    CHECK_EQ(epoll_wait(outer, &event, 1, 0), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(outer, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 2);
    CHECK_EQ(epoll_wait(inner, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 1);
    struct pollfd fd = {outer, POLLIN, 0};
    CHECK_EQ(poll(&fd, 1, 0), 1);
}

TEST(time_limit)
{
    int epoll = epoll_create1(0);
    struct epoll_event event;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 50), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 50 * 1000000);
    struct timespec limit = {0, 30000000};
    start = now_ns(CLOCK_MONOTONIC);
    int result = (int)syscall(SYS_epoll_pwait2, epoll, &event, 1, &limit, NULL, 8);
    if (result == -1 && errno == ENOSYS)
        SKIP("the host kernel has no epoll_pwait2");
    CHECK_EQ(result, 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30 * 1000000);
}

TEST(wakes_while_waiting_also_for_later_additions)
{
    int first[2], second[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(first));
    REQUIRE_OK(pipe(second));
    CHECK_OK(add(epoll, first[0], EPOLLIN, 1));
    pid_t pid = fork_child();
    if (pid == 0) {
        struct epoll_event event;
        CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
        CHECK_EQ(event.data.u64, 2);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(add(epoll, second[0], EPOLLIN, 2));
    wait_for_state(pid, 'S');
    CHECK_EQ(write(second[1], "x", 1), 1);
    CHECK_CHILD(pid);
}

TEST(a_signal_ends_the_wait)
{
    int epoll = epoll_create1(0);
    handle_signal(SIGALRM, on_alarm, SA_RESTART);
    struct itimerval every = {{0, 20000}, {0, 20000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
    struct epoll_event event;
    CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EINTR);
    CHECK(alarms > 0);
}

TEST(epoll_pwait_swaps_the_signal_mask)
{
    int epoll = epoll_create1(0);
    sigset_t block, open_mask;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigemptyset(&open_mask);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    handle_signal(SIGALRM, on_alarm, 0);
    raise(SIGALRM);
    struct epoll_event event;
    CHECK_ERRNO(epoll_pwait(epoll, &event, 1, -1, &open_mask), EINTR);
    CHECK_EQ(alarms, 1);
    raise(SIGALRM);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 10), 0);
    CHECK_EQ(alarms, 1);
}

TEST(peer_hang_up_of_a_pipe_writer)
{
    int ends[2], epoll = epoll_create1(0);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(add(epoll, ends[1], 0, 9));
    struct epoll_event event;
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    close(ends[0]);
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(event.events, EPOLLERR);
}

static long wait_(int fd, struct epoll_event *events, int count)
{
    return syscall(SYS_epoll_wait, fd, events, count, 0);
}

static long pwait_(int fd, struct epoll_event *events, int count)
{
    return syscall(SYS_epoll_pwait, fd, events, count, 0, NULL, 8);
}

static long pwait2_(int fd, struct epoll_event *events, int count)
{
    static const struct timespec none = {0, 0};
    return syscall(SYS_epoll_pwait2, fd, events, count, &none, NULL, 8);
}

TEST(what_each_wait_refuses)
{
    static const struct {
        const char *name;
        long (*call)(int fd, struct epoll_event *events, int count);
    } calls[] = {{"epoll_wait", wait_}, {"epoll_pwait", pwait_}, {"epoll_pwait2", pwait2_}};
    int epoll = epoll_create1(0), ready = eventfd(1, 0);
    struct epoll_event *event = guarded(sizeof *event), *high = (void *)0x7ffffffff000;
    CHECK_OK(add(epoll, ready, EPOLLIN, 5));
    const struct {
        const char *what;
        int fd;
        struct epoll_event *events;
        int count, error;
    } cases[] = {
        {"closed", 999, event, 1, EBADF},
        {"O_PATH", open("/", O_PATH), event, 1, EBADF},
        {"no instance", ready, event, 1, EINVAL},
        {"no events", epoll, event, 0, EINVAL},
        {"a negative count", epoll, event, -1, EINVAL},
        {"a large count", epoll, event, 0x7fffffff, EINVAL},
        {"an absent page", epoll, bad_address, 1, EFAULT},
        {"kernel memory", epoll, high, 1, EFAULT},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            errno = 0;
            long result = calls[i].call(cases[n].fd, cases[n].events, cases[n].count);
            if (result != -1 || errno != cases[n].error)
                GUEST_FAIL("%s, %s: %ld, %s", calls[i].name, cases[n].what, result, strerrorname_np(errno));
        }
        CHECK_EQ(calls[i].call(epoll, event, 1), 1); /* and is still there */
        CHECK_EQ(event->data.u64, 5);
    }
    sigset_t none;
    sigemptyset(&none);
    struct timespec negative = {-1, 0}, large = {0, 1000000000};
    CHECK_ERRNO(syscall(SYS_epoll_pwait, epoll, event, 1, 0, &none, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_epoll_pwait, epoll, event, 1, 0, bad_address, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, epoll, event, 1, NULL, &none, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, epoll, event, 1, NULL, bad_address, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, epoll, event, 1, bad_address, NULL, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, epoll, event, 1, &negative, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, epoll, event, 1, &large, NULL, 8), EINVAL);
}

TEST(exclusive_members)
{
    int epoll = epoll_create1(0), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(set(epoll, ends[1], EPOLLOUT | EPOLLEXCLUSIVE, 1), EINVAL); /* not even looked for */
    CHECK_ERRNO(add(epoll, ends[1], EPOLLONESHOT | EPOLLEXCLUSIVE, 1), EINVAL);
    CHECK_ERRNO(add(epoll, epoll_create1(0), EPOLLIN | EPOLLEXCLUSIVE, 1), EINVAL);
    CHECK_OK(add(epoll, ends[1], EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE, 7));
    struct epoll_event event;
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 7);
    CHECK_ERRNO(set(epoll, ends[1], EPOLLOUT, 1), EINVAL); /* stays what it is */
    char byte;
    CHECK_ERRNO(pread(epoll, &byte, 1, 0), ESPIPE);
    CHECK_ERRNO(read(epoll, &byte, 1), EINVAL);
}
