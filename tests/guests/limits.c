/* limits: getrlimit, setrlimit, prlimit64 and what the limits do. */
#include "guest.h"

#include <sys/resource.h>

static void set_limit(int resource, rlim_t soft)
{
    struct rlimit limit;
    REQUIRE_OK(getrlimit(resource, &limit));
    limit.rlim_cur = soft;
    REQUIRE_OK(setrlimit(resource, &limit));
}

TEST(limits_are_read_and_set)
{
    struct rlimit *limit = guarded(sizeof *limit), again;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, limit));
    CHECK(limit->rlim_cur > 0 && limit->rlim_cur <= limit->rlim_max);
    limit->rlim_cur = 100;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, limit));
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &again));
    CHECK_EQ(again.rlim_cur, 100);
    CHECK_OK(prlimit(0, RLIMIT_NOFILE, NULL, &again));
    CHECK_EQ(again.rlim_cur, 100);
    limit->rlim_cur = 101;
    CHECK_OK(prlimit(getpid(), RLIMIT_NOFILE, limit, &again));
    CHECK_EQ(again.rlim_cur, 100);
    limit->rlim_cur = limit->rlim_max + 1;
    if (limit->rlim_max != RLIM_INFINITY)
        CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, limit), EINVAL);
    CHECK_ERRNO(getrlimit(99, limit), EINVAL);
    CHECK_ERRNO(prlimit(0x3ffff0, RLIMIT_NOFILE, NULL, limit), ESRCH);
}

TEST(descriptor_limit)
{
    set_limit(RLIMIT_NOFILE, 20);
    int fd = -1, last = -1, ends[2];
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 19);
    CHECK_ERRNO(dup(0), EMFILE);
    CHECK_ERRNO(dup2(0, 20), EBADF);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
    close(19);
    CHECK_ERRNO(pipe(ends), EMFILE); /* room for one is not enough, and the one is not lost */
    CHECK_EQ(dup(0), 19);
    CHECK_EQ(sysconf(_SC_OPEN_MAX), 20);
    set_limit(RLIMIT_NOFILE, 21);
    CHECK_EQ(dup(0), 20);
}

TEST(file_size_limit)
{
    scratch();
    signal(SIGXFSZ, SIG_IGN);
    set_limit(RLIMIT_FSIZE, 1000);
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    char data[600] = {0};
    CHECK_EQ(write(fd, data, 600), 600);
    CHECK_EQ(write(fd, data, 600), 400);
    CHECK_ERRNO(write(fd, data, 1), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 2000), EFBIG);
    CHECK_ERRNO(pwrite(fd, data, 1, 5000), EFBIG);
    CHECK_OK(ftruncate(fd, 10));
}

TEST(file_size_limit_signals)
{
    scratch();
    pid_t pid = fork_child();
    if (pid == 0) {
        set_limit(RLIMIT_CORE, 0);
        set_limit(RLIMIT_FSIZE, 10);
        int fd = open("f", O_RDWR | O_CREAT, 0600);
        ssize_t written = write(fd, "0123456789", 10);
        written += write(fd, "x", 1);
        _exit((int)written);
    }
    CHECK_SIGNALED(wait_status(pid), SIGXFSZ);
}

HELPER(report_limit)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return (int)limit.rlim_cur;
}

TEST(limits_pass_through_fork_and_exec)
{
    set_limit(RLIMIT_NOFILE, 33);
    pid_t pid = fork_child();
    if (pid == 0) {
        self_exec("report_limit", NULL);
        _exit(99);
    }
    CHECK_EXITED(wait_status(pid), 33);
}

TEST(hard_limits_only_fall)
{
    if (geteuid() == 0)
        SKIP("root may raise its hard limits");
    struct rlimit limit = {50, 50};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_max = 60;
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
}

TEST(stack_limit_is_plausible)
{
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    CHECK(limit.rlim_cur >= 1 << 20);
    CHECK_OK(getrlimit(RLIMIT_AS, &limit));
    CHECK_OK(getrlimit(RLIMIT_NPROC, &limit));
    CHECK_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
}

TEST(cpu_limit_signals)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        set_limit(RLIMIT_CORE, 0);
        set_limit(RLIMIT_CPU, 1);
        for (;;)
            ;
    }
    CHECK_SIGNALED(wait_status(pid), SIGXCPU);
}

enum { IO_PROCESS = 1, IO_GROUP, IO_USER, IO_REAL_TIME = 1 << 13, IO_BEST_EFFORT = 2 << 13, IO_IDLE = 3 << 13 };

TEST(io_priorities)
{
    if (getpgrp() != getpid())
        CHECK_OK(setpgid(0, 0));
    CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), 0);
    CHECK_EQ(syscall(SYS_ioprio_get, IO_GROUP, 0), IO_BEST_EFFORT | (getpriority(PRIO_PROCESS, 0) + 20) / 5);
    CHECK_OK(syscall(SYS_ioprio_set, IO_PROCESS, 0, IO_BEST_EFFORT | 6));
    CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), IO_BEST_EFFORT | 6);
    CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, getpid()), IO_BEST_EFFORT | 6);
    CHECK_EQ(syscall(SYS_ioprio_get, IO_GROUP, 0), IO_BEST_EFFORT | 6);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), IO_BEST_EFFORT | 6);
        CHECK_OK(syscall(SYS_ioprio_set, IO_PROCESS, getppid(), IO_IDLE));
        CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, getppid()), IO_IDLE);
        CHECK_EQ(syscall(SYS_ioprio_get, IO_GROUP, getpgrp()), IO_BEST_EFFORT | 6);
        CHECK_OK(syscall(SYS_ioprio_set, IO_GROUP, 0, IO_BEST_EFFORT | 1));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), IO_BEST_EFFORT | 1);
    CHECK_ERRNO(syscall(SYS_ioprio_set, IO_PROCESS, 0, (4 << 13)), EINVAL);
    CHECK_ERRNO(syscall(SYS_ioprio_set, IO_PROCESS, 0, 5), EINVAL);
    CHECK_ERRNO(syscall(SYS_ioprio_set, IO_PROCESS, 0x3ffff0, (4 << 13)), EINVAL);
    CHECK_ERRNO(syscall(SYS_ioprio_set, IO_PROCESS, 0x3ffff0, IO_IDLE), ESRCH);
    CHECK_ERRNO(syscall(SYS_ioprio_set, IO_GROUP, 0x3ffff0, IO_IDLE), ESRCH);
    CHECK_ERRNO(syscall(SYS_ioprio_set, 9, 0, IO_IDLE), EINVAL);
    CHECK_ERRNO(syscall(SYS_ioprio_get, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_ioprio_get, IO_PROCESS, 0x3ffff0), ESRCH);
    CHECK_ERRNO(syscall(SYS_ioprio_get, IO_USER, 54321), ESRCH);
    if (geteuid() != 0)
        CHECK_ERRNO(syscall(SYS_ioprio_set, IO_PROCESS, getpid(), IO_REAL_TIME), EPERM);
    CHECK_OK(syscall(SYS_ioprio_set, IO_PROCESS, 0, 0));
    CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), 0);
}
