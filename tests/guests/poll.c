/* poll: poll, ppoll, select, pselect6: readiness, time limits, signals, hang-ups. */
#include "guest.h"

#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { MS = 1000000 };
static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

/* Repeats, so that a signal that came before the wait began is followed by one that comes inside. */
static void repeat_alarms(void)
{
    handle_signal(SIGALRM, on_alarm, SA_RESTART);
    struct itimerval every = {{0, 20000}, {0, 20000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
}

TEST(readiness_of_a_pipe)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    struct pollfd *fds = guarded(2 * sizeof *fds);
    fds[0] = (struct pollfd){ends[0], POLLIN, 0};
    fds[1] = (struct pollfd){ends[1], POLLOUT, 0};
    CHECK_EQ(poll(fds, 2, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLOUT);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(poll(fds, 2, -1), 2);
    CHECK_EQ(fds[0].revents, POLLIN);
    close(ends[1]);
    fds[1].fd = -1;
    CHECK_EQ(poll(fds, 2, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN | POLLHUP);
    CHECK_EQ(fds[1].revents, 0);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLHUP);
}

TEST(hang_up_is_told_unasked)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    close(ends[0]);
    struct pollfd fd = {ends[1], 0, 0};
    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLERR);
}

TEST(bad_descriptors_are_pollnval)
{
    struct pollfd fds[2] = {{999, POLLIN, 0}, {-1, POLLIN, 77}};
    CHECK_EQ(poll(fds, 2, -1), 1);
    CHECK_EQ(fds[0].revents, POLLNVAL);
    CHECK_EQ(fds[1].revents, 0);
}

TEST(files_are_always_ready)
{
    scratch();
    write_file("f", "");
    struct pollfd fd = {open("f", O_RDWR), POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLIN | POLLOUT);
}

TEST(time_limits_are_waited_for)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    struct pollfd fd = {ends[0], POLLIN, 0};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(poll(&fd, 1, 60), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 60 * MS);
    start = now_ns(CLOCK_MONOTONIC);
    struct timespec limit = {0, 50 * MS};
    CHECK_EQ(ppoll(&fd, 1, &limit, NULL), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 50 * MS);
    start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(poll(NULL, 0, 40), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 40 * MS);
    limit.tv_nsec = 1000000000;
    CHECK_ERRNO(ppoll(&fd, 1, &limit, NULL), EINVAL);
}

TEST(another_process_makes_it_ready)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        struct pollfd fd = {ends[0], POLLIN, 0};
        CHECK_EQ(poll(&fd, 1, -1), 1);
        CHECK_EQ(fd.revents, POLLIN);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_CHILD(pid);
}

TEST(room_in_a_full_pipe)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    char *block = calloc(1, 65536);
    CHECK_EQ(write(ends[1], block, 65536), 65536);
    struct pollfd fd = {ends[1], POLLOUT, 0};
    CHECK_EQ(poll(&fd, 1, 0), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(poll(&fd, 1, -1), 1);
        CHECK_EQ(fd.revents, POLLOUT);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(read(ends[0], block, 65536), 65536);
    CHECK_CHILD(pid);
}

TEST(a_signal_ends_poll_even_with_sa_restart)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    repeat_alarms();
    struct pollfd fd = {ends[0], POLLIN, 0};
    CHECK_ERRNO(poll(&fd, 1, -1), EINTR);
    CHECK(alarms > 0);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    CHECK_ERRNO(select(ends[0] + 1, &set, NULL, NULL, NULL), EINTR);
}

TEST(ignored_signals_do_not_end_poll)
{
    signal(SIGALRM, SIG_IGN);
    struct itimerval every = {{0, 10000}, {0, 10000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(poll(NULL, 0, 80), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 80 * MS);
}

TEST(ppoll_swaps_the_signal_mask)
{
    sigset_t block, open_mask, after;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigemptyset(&open_mask);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    handle_signal(SIGALRM, on_alarm, 0);
    raise(SIGALRM);
    CHECK_EQ(alarms, 0);
    CHECK_ERRNO(ppoll(NULL, 0, NULL, &open_mask), EINTR);
    CHECK_EQ(alarms, 1);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, NULL, &after));
    CHECK(sigismember(&after, SIGALRM));
    raise(SIGALRM);
    struct timespec limit = {0, 0};
    sigset_t full;
    sigfillset(&full);
    CHECK_EQ(ppoll(NULL, 0, &limit, &full), 0);
    CHECK_EQ(alarms, 1);
}

TEST(pselect_swaps_the_signal_mask)
{
    sigset_t block, open_mask;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigemptyset(&open_mask);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    handle_signal(SIGALRM, on_alarm, 0);
    struct itimerval once = {{0, 0}, {0, 20000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &once, NULL));
    CHECK_ERRNO(pselect(0, NULL, NULL, NULL, NULL, &open_mask), EINTR);
    CHECK_EQ(alarms, 1);
}

TEST(select_sets)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    fd_set readers, writers;
    FD_ZERO(&readers);
    FD_ZERO(&writers);
    FD_SET(ends[0], &readers);
    FD_SET(ends[1], &writers);
    struct timeval none = {0, 0};
    CHECK_EQ(select(ends[1] + 1, &readers, &writers, NULL, &none), 1);
    CHECK(!FD_ISSET(ends[0], &readers));
    CHECK(FD_ISSET(ends[1], &writers));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    FD_SET(ends[0], &readers);
    CHECK_EQ(select(ends[1] + 1, &readers, &writers, NULL, NULL), 2);
    CHECK(FD_ISSET(ends[0], &readers));
    FD_ZERO(&readers);
    FD_SET(50, &readers); /* below 64: Linux does not look beyond the size of the descriptor table */
    CHECK_ERRNO(select(51, &readers, NULL, NULL, &none), EBADF);
    CHECK_ERRNO(select(-1, NULL, NULL, NULL, &none), EINVAL);
}

TEST(select_counts_the_time_down)
{
    struct timeval limit = {0, 30000};
    CHECK_EQ(select(0, NULL, NULL, NULL, &limit), 0);
    CHECK_EQ(limit.tv_sec, 0);
    CHECK_EQ(limit.tv_usec, 0);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[1], &set);
    limit = (struct timeval){10, 0};
    CHECK_EQ(select(ends[1] + 1, NULL, &set, NULL, &limit), 1);
    CHECK(limit.tv_sec == 9 || limit.tv_sec == 10);
}

TEST(high_descriptors_in_select)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(dup2(ends[0], 700), 700);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(700, &set);
    CHECK_EQ(select(701, &set, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(700, &set));
}

TEST(socket_hang_ups)
{
    int pair[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct pollfd fd = {pair[0], POLLIN | POLLOUT | POLLRDHUP, 0};
    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLOUT);
    CHECK_OK(shutdown(pair[1], SHUT_WR));
    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLIN | POLLOUT | POLLRDHUP);
    close(pair[1]);
    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
}

/* What can always be read and written says nothing else, ever: the wait ends by its time. */
TEST(always_ready_but_not_for_this)
{
    scratch();
    write_file("f", "x");
    int fds[] = {open("f", O_RDWR), open("/dev/null", O_RDWR)};
    for (size_t i = 0; i < 2; i++) {
        struct pollfd none = {fds[i], 0, 0}, urgent = {fds[i], POLLPRI, 0}, both[] = {none, {-1, POLLIN, 0}};
        CHECK_EQ(poll(&none, 1, 20), 0);
        CHECK_EQ(poll(&urgent, 1, 20), 0);
        CHECK_EQ(poll(both, 2, 20), 0);
        fd_set exceptional;
        FD_ZERO(&exceptional);
        FD_SET(fds[i], &exceptional);
        struct timeval soon = {0, 20000};
        CHECK_EQ(select(fds[i] + 1, NULL, NULL, &exceptional, &soon), 0);
    }
    pid_t child = fork();
    if (child == 0) {
        struct pollfd none = {fds[0], 0, 0};
        poll(&none, 1, -1);
        _exit(0);
    }
    wait_for_state(child, 'S');
    CHECK_OK(kill(child, SIGKILL));
    CHECK_OK(waitpid(child, NULL, 0));
}

TEST(more_than_there_may_be_descriptors)
{
    static struct pollfd fds[20];
    struct rlimit limit = {10, 10};
    for (int i = 0; i < 20; i++)
        fds[i] = (struct pollfd){-1, POLLIN, 7};
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_ERRNO(syscall(SYS_poll, fds, 11, 0), EINVAL);
    CHECK_ERRNO(ppoll(fds, 11, &(struct timespec){0, 0}, NULL), EINVAL);
    CHECK_EQ(fds[0].revents, 7);
    CHECK_EQ(syscall(SYS_poll, fds, 10, 0), 0);
    CHECK_EQ(fds[9].revents, 0);
    CHECK_EQ(fds[10].revents, 7);
    CHECK_EQ(syscall(SYS_poll, bad_address, 0, 0), 0);
    CHECK_ERRNO(syscall(SYS_poll, bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_poll, fds, -1, 0), EINVAL);
}

TEST(what_select_refuses)
{
    fd_set *set = guarded(8); /* 64 descriptors: no more is read */
    memset(set, 0, 8);
    struct timeval none = {0, 0}, negative = {-1, 0}, late = {0, -1};
    struct timespec no_time = {0, 0}, past = {-1, 0}, large = {0, 1000000000};
    CHECK_ERRNO(syscall(SYS_select, -1, NULL, NULL, NULL, &none), EINVAL);
    CHECK_ERRNO(syscall(SYS_pselect6, -1, NULL, NULL, NULL, &no_time, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_select, 0, NULL, NULL, NULL, &negative), EINVAL);
    CHECK_ERRNO(syscall(SYS_select, 0, NULL, NULL, NULL, &late), EINVAL);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &past, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &large, NULL), EINVAL);
    CHECK_ERRNO(ppoll(NULL, 0, &large, NULL), EINVAL);
    CHECK_EQ(syscall(SYS_select, 64, set, NULL, NULL, &none), 0);
    CHECK_EQ(syscall(SYS_pselect6, 64, NULL, set, NULL, &no_time, NULL), 0);
    CHECK_ERRNO(syscall(SYS_select, 1, bad_address, NULL, NULL, &none), EFAULT);
    CHECK_ERRNO(syscall(SYS_select, 1, NULL, NULL, bad_address, &none), EFAULT);
    CHECK_ERRNO(syscall(SYS_select, 0, NULL, NULL, NULL, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, bad_address, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &no_time, bad_address), EFAULT);
    const struct {
        const void *mask;
        size_t size;
    } small = {set, 4}, elsewhere = {bad_address, 8};
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &no_time, &small), EINVAL);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &no_time, &elsewhere), EFAULT);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, &no_time, set, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, &no_time, bad_address, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, bad_address, NULL, 8), EFAULT);
    int closed = dup(0);
    close(closed);
    FD_SET(closed, set);
    CHECK_ERRNO(syscall(SYS_select, closed + 1, NULL, NULL, set, &none), EBADF);
    CHECK_EQ(syscall(SYS_select, closed, NULL, NULL, set, &none), 0); /* is beyond what is looked at */
}
