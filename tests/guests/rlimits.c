/* rlimits: each resource read, set and inherited, what a limit does where that is seen, who may set it; niceness. */
#include "guest.h"

#include <sys/resource.h>
#include <sys/time.h>

enum { RESOURCES = 16, STRANGER_ID = 4321, NOBODY = 0x3ffff0, PAGE = 4096 };
enum { IO_PROCESS = 1, IO_GROUP, IO_USER, IO_REAL_TIME = 1 << 13, IO_BEST_EFFORT = 2 << 13, IO_IDLE = 3 << 13 };

static void become_unprivileged(void)
{
    if (geteuid() == 0) {
        REQUIRE_OK(setresgid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
    }
}

static long get_limit(int resource, struct rlimit *limit)
{
    return syscall(SYS_getrlimit, resource, limit);
}

static void set_limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    REQUIRE_OK(syscall(SYS_setrlimit, resource, &limit));
}

TEST(every_resource)
{
    for (int resource = 0; resource < RESOURCES; resource++) {
        struct rlimit first, wanted, *now = guarded(sizeof *now);
        REQUIRE_OK(get_limit(resource, &first));
        wanted = first;
        wanted.rlim_cur = first.rlim_max == RLIM_INFINITY ? (rlim_t)1 << 40 : first.rlim_max ? first.rlim_max - 1 : 0;
        CHECK_OK(syscall(SYS_setrlimit, resource, &wanted));
        CHECK_OK(get_limit(resource, now));
        CHECK_OK(syscall(SYS_prlimit64, 0, resource, NULL, &first));
        if (memcmp(now, &wanted, sizeof wanted) != 0 || memcmp(&first, &wanted, sizeof wanted) != 0)
            GUEST_FAIL("resource %d: %lx, %lx of %lx", resource, now->rlim_cur, now->rlim_max, wanted.rlim_cur);
        pid_t pid = fork_child();
        if (pid == 0) {
            CHECK_OK(get_limit(resource, now));
            CHECK(now->rlim_cur == wanted.rlim_cur);
            CHECK_OK(syscall(SYS_prlimit64, getppid(), resource, &wanted, now));
            CHECK(now->rlim_cur == wanted.rlim_cur);
            guest_finish();
        }
        CHECK_CHILD(pid);
        CHECK_ERRNO(get_limit(resource, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_setrlimit, resource, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_prlimit64, 0, resource, bad_address, NULL), EFAULT);
        wanted = (struct rlimit){2, 1};
        CHECK_ERRNO(syscall(SYS_setrlimit, resource, &wanted), EINVAL);
        CHECK_ERRNO(syscall(SYS_prlimit64, 0, resource, &wanted, NULL), EINVAL);
    }
    struct rlimit limit;
    static const int unknown[] = {RESOURCES, -1, 1 << 20};
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(get_limit(unknown[i], &limit), EINVAL);
        CHECK_ERRNO(syscall(SYS_setrlimit, unknown[i], &limit), EINVAL);
        CHECK_ERRNO(syscall(SYS_prlimit64, 0, unknown[i], NULL, &limit), EINVAL);
    }
}

TEST(who_may_raise)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        if (geteuid() == 0) { /* even root only as far as fs.nr_open */
            struct rlimit many = {100, (rlim_t)1 << 40};
            CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, &many), EPERM);
            CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &many, NULL), EPERM);
        }
        become_unprivileged();
        for (int resource = 0; resource < RESOURCES; resource++) {
            struct rlimit limit;
            REQUIRE_OK(get_limit(resource, &limit));
            if (limit.rlim_max == RLIM_INFINITY)
                continue;
            limit.rlim_max++;
            CHECK_ERRNO(syscall(SYS_setrlimit, resource, &limit), EPERM);
            CHECK_ERRNO(syscall(SYS_prlimit64, 0, resource, &limit, NULL), EPERM);
        }
        set_limit(RLIMIT_MSGQUEUE, 10, 20);
        set_limit(RLIMIT_MSGQUEUE, 20, 20); /* up to the hard one */
        struct rlimit more = {10, 21};
        CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_MSGQUEUE, &more), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- what limits do ------------------------------------------------------------------------------------------------ */

static void *new_pages(size_t count)
{
    return mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST(address_space)
{
    char *memory = new_pages(4096);
    struct rlimit limit;
    REQUIRE_OK(get_limit(RLIMIT_AS, &limit));
    set_limit(RLIMIT_AS, 1 << 20, limit.rlim_max); /* less than there is already */
    CHECK_ERRNO(new_pages(1), ENOMEM);
    CHECK_ERRNO(mremap(memory, 4096 * PAGE, 4097 * PAGE, MREMAP_MAYMOVE), ENOMEM);
    CHECK_OK(munmap(memory + PAGE, PAGE));
    set_limit(RLIMIT_AS, limit.rlim_cur, limit.rlim_max);
    CHECK(new_pages(1) != MAP_FAILED);
}

TEST(data)
{
    char *memory = new_pages(2);
    struct rlimit limit;
    REQUIRE_OK(get_limit(RLIMIT_DATA, &limit));
    set_limit(RLIMIT_DATA, PAGE, limit.rlim_max); /* 0 would be no limit, for old valgrinds */
    CHECK_ERRNO(new_pages(1), ENOMEM);
    char *now = (char *)syscall(SYS_brk, 0L);
    CHECK((char *)syscall(SYS_brk, now + PAGE) == now); /* as it was */
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); /* what is written counts */
    REQUIRE_OK(mprotect(memory, PAGE, PROT_READ));
    CHECK_ERRNO(mprotect(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE, PROT_READ | PROT_WRITE), ENOMEM);
    set_limit(RLIMIT_DATA, limit.rlim_cur, limit.rlim_max);
    CHECK(new_pages(1) != MAP_FAILED);
}

static int recurse(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return depth ? recurse(depth - 1) + room[0] : 0;
}

TEST(stack)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        struct rlimit limit;
        REQUIRE_OK(get_limit(RLIMIT_STACK, &limit));
        set_limit(RLIMIT_CORE, 0, 0);
        set_limit(RLIMIT_STACK, 1 << 20, limit.rlim_max);
        recurse(100);
        recurse(1000); /* 4 MB */
        _exit(0);
    }
    CHECK_SIGNALED(wait_status(pid), SIGSEGV);
}

TEST(pending_signals)
{
    sigset_t all;
    sigfillset(&all);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &all, NULL));
    struct rlimit limit;
    REQUIRE_OK(get_limit(RLIMIT_SIGPENDING, &limit));
    set_limit(RLIMIT_SIGPENDING, 0, limit.rlim_max);
    siginfo_t info = {.si_code = SI_QUEUE};
    pid_t self = getpid();
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, self, SIGRTMIN, &info), EAGAIN);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, self, SIGRTMIN, &info), EAGAIN);
    CHECK_ERRNO(syscall(SYS_tkill, self, SIGRTMIN), EAGAIN);
    CHECK_ERRNO(syscall(SYS_tgkill, self, self, SIGRTMIN), EAGAIN);
    CHECK_OK(kill(self, SIGRTMIN + 1)); /* kill tells, if not by whom */
    CHECK_OK(syscall(SYS_tkill, self, SIGUSR1));
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGRTMIN) == 0);
    CHECK(sigismember(&pending, SIGRTMIN + 1) == 1);
    CHECK(sigismember(&pending, SIGUSR1) == 1);
}

TEST(processor_time_kills_at_the_hard_limit)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        signal(SIGXCPU, SIG_IGN);
        set_limit(RLIMIT_CPU, 1, 1);
        for (;;)
            ;
    }
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

/* ---- use and niceness ---------------------------------------------------------------------------------------------- */

TEST(use_of_a_thread)
{
    struct rusage *usage = guarded(sizeof *usage), whole;
    CHECK_OK(syscall(SYS_getrusage, RUSAGE_THREAD, usage));
    CHECK_OK(syscall(SYS_getrusage, RUSAGE_SELF, &whole));
    CHECK(timercmp(&usage->ru_utime, &whole.ru_utime, <=));
    CHECK(whole.ru_maxrss > 0);
    CHECK_ERRNO(syscall(SYS_getrusage, 2, usage), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrusage, RUSAGE_THREAD, bad_address), EFAULT);
}

static void check_niceness(int expected)
{
    CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - expected);
    CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, getpid()), 20 - expected);
    CHECK_EQ(syscall(SYS_getpriority, PRIO_PGRP, 0), 20 - expected);
    CHECK_EQ(syscall(SYS_getpriority, PRIO_PGRP, getpgrp()), 20 - expected);
}

TEST(niceness_of_processes_groups_and_users)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        REQUIRE_OK(setpgid(0, 0));
        check_niceness(0);
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 3));
        check_niceness(3);
        CHECK_OK(setpriority(PRIO_PGRP, 0, 4));
        check_niceness(4);
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 99)); /* clamped */
        check_niceness(19);
        for (int which = PRIO_PROCESS; which <= PRIO_PGRP; which++)
            CHECK_ERRNO(setpriority(which, 0, 5), EACCES);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -100), EACCES);
        check_niceness(19);
        CHECK_OK(setpriority(PRIO_PROCESS, getpid(), 19));
        guest_finish();
    }
    CHECK_CHILD(pid);
    static const long calls[] = {SYS_getpriority, SYS_setpriority};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(syscall(calls[i], 3, 0, 19), EINVAL);
        CHECK_ERRNO(syscall(calls[i], -1, 0, 19), EINVAL);
        for (int which = PRIO_PROCESS; which <= PRIO_USER; which++)
            CHECK_ERRNO(syscall(calls[i], which, NOBODY, 19), ESRCH);
    }
}

TEST(niceness_and_io_priority_of_a_user)
{
    if (geteuid() != 0)
        SKIP("only root becomes a user with nothing else running");
    enum { LONER = 54399 };
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(LONER, LONER, LONER));
        CHECK_OK(syscall(SYS_setpriority, PRIO_USER, 0, 6));
        CHECK_EQ(syscall(SYS_getpriority, PRIO_USER, 0), 20 - 6);
        CHECK_EQ(syscall(SYS_getpriority, PRIO_USER, LONER), 20 - 6);
        CHECK_OK(syscall(SYS_setpriority, PRIO_USER, LONER, 7));
        CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - 7);
        CHECK_ERRNO(syscall(SYS_setpriority, PRIO_USER, 0, 6), EACCES);
        CHECK_ERRNO(syscall(SYS_setpriority, PRIO_USER, LONER + 1, 6), ESRCH);
        CHECK_OK(syscall(SYS_ioprio_set, IO_USER, LONER, IO_BEST_EFFORT | 5));
        CHECK_EQ(syscall(SYS_ioprio_get, IO_USER, LONER), IO_BEST_EFFORT | 5);
        CHECK_EQ(syscall(SYS_ioprio_get, IO_PROCESS, 0), IO_BEST_EFFORT | 5);
        CHECK_ERRNO(syscall(SYS_ioprio_set, IO_USER, 0, IO_IDLE), EPERM); /* 0 is root, not oneself as elsewhere */
        static const int kinds[] = {IO_PROCESS, IO_GROUP, IO_USER};
        for (int i = 0; i < 3; i++)
            CHECK_ERRNO(syscall(SYS_ioprio_set, kinds[i], 0, IO_REAL_TIME | 1), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
}
