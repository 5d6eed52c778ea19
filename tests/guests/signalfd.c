/* signalfd: signals to read. */
#include "guest.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

static int make(int first, int second, int flags)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = signalfd(-1, &set, flags);
    REQUIRE(fd >= 0);
    return fd;
}

TEST(reads_pending_signals)
{
    int fd = make(SIGUSR1, SIGUSR2, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct signalfd_siginfo *info = guarded(sizeof *info);
    CHECK_ERRNO(read(fd, info, sizeof *info), EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_EQ(read(fd, info, sizeof *info), sizeof *info);
    CHECK_EQ(info->ssi_signo, SIGUSR2);
    CHECK_EQ(info->ssi_pid, getpid());
    CHECK_EQ(info->ssi_uid, getuid());
    CHECK_EQ(info->ssi_code, SI_USER);
    CHECK_ERRNO(read(fd, info, sizeof *info), EAGAIN);
    CHECK_ERRNO(read(fd, info, sizeof *info - 1), EINVAL);
}

TEST(several_at_once_and_queued_values)
{
    int fd = make(SIGUSR1, SIGRTMIN, SFD_NONBLOCK);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 4711}));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 4712}));
    struct signalfd_siginfo infos[4];
    CHECK_EQ(read(fd, infos, sizeof infos), 3 * sizeof infos[0]);
    CHECK_EQ(infos[0].ssi_signo, SIGUSR1);
    CHECK_EQ(infos[1].ssi_signo, SIGRTMIN);
    CHECK_EQ(infos[1].ssi_int, 4711);
    CHECK_EQ(infos[1].ssi_code, SI_QUEUE);
    CHECK_EQ(infos[2].ssi_int, 4712);
}

TEST(read_at_the_end_of_the_stack)
{
    int fd = make(SIGUSR1, SIGUSR2, SFD_NONBLOCK);
    static struct signalfd_siginfo info;
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(call_at_stack_end(SYS_read, fd, (long)&info, sizeof info, 0, 0, 0), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
}

TEST(poll_and_blocking_read)
{
    int fd = make(SIGUSR1, SIGUSR2, 0);
    struct pollfd item = {fd, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 0);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S');
        CHECK_OK(kill(parent, SIGUSR1));
        wait_for_state(parent, 'S');
        CHECK_OK(kill(parent, SIGUSR2));
        guest_finish();
    }
    CHECK_EQ(poll(&item, 1, -1), 1);
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    CHECK_CHILD(pid);
}

TEST(child_exits_are_told)
{
    int fd = make(SIGCHLD, SIGUSR1, 0);
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(9);
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGCHLD);
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(info.ssi_code, CLD_EXITED);
    CHECK_EQ(info.ssi_status, 9);
    CHECK_EXITED(wait_status(pid), 9);
}

TEST(the_mask_can_change)
{
    int fd = make(SIGUSR1, SIGUSR2, SFD_NONBLOCK);
    sigset_t only_second;
    sigemptyset(&only_second);
    sigaddset(&only_second, SIGUSR2);
    CHECK_EQ(signalfd(fd, &only_second, 0), fd);
    CHECK_OK(kill(getpid(), SIGUSR1));
    struct signalfd_siginfo info;
    CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR2));
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
}

TEST(epoll_on_a_signalfd)
{
    int fd = make(SIGUSR1, SIGUSR2, SFD_NONBLOCK), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
}

TEST(errors)
{
    sigset_t set;
    sigemptyset(&set);
    CHECK_ERRNO(signalfd(-1, &set, 0x100), EINVAL);
    CHECK_ERRNO(signalfd(999, &set, 0), EBADF);
    int null = open("/dev/null", O_RDONLY);
    CHECK_ERRNO(signalfd(null, &set, 0), EINVAL);
}

TEST(the_call_without_flags)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = (int)syscall(SYS_signalfd, -1, &set, 8), timer = open("/dev/null", O_RDONLY);
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(syscall(SYS_signalfd, fd, &set, 8), fd); /* the same, with another mask */
    CHECK_ERRNO(syscall(SYS_signalfd, 999, &set, 8), EBADF);
    CHECK_ERRNO(syscall(SYS_signalfd, timer, &set, 8), EINVAL);
    static const size_t sizes[] = {0, 4, 16, 128};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_ERRNO(syscall(SYS_signalfd, -1, &set, sizes[i]), EINVAL);
        CHECK_ERRNO(syscall(SYS_signalfd4, -1, &set, sizes[i], 0), EINVAL);
    }
    CHECK_ERRNO(syscall(SYS_signalfd, -1, bad_address, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, bad_address, 8, 0), EFAULT);
    char *small = guarded(sizeof info - 1);
    CHECK_ERRNO(read(fd, small, sizeof info - 1), EINVAL);
}
