/* sender: who may signal whom, who a signal says it is from, and waiting for signals with a time limit. */
#include "guest.h"

/* Two processes of one group, each of a user of its own, who tell by a byte that they are ready and end at SIGUSR1. */
static pid_t member(pid_t group, uid_t user, int ready)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setpgid(0, group));
        REQUIRE_OK(setresuid(user, user, user));
        CHECK_EQ(write(ready, "r", 1), 1);
        for (;;)
            pause();
    }
    return pid;
}

TEST(a_group_of_several_users)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    int ready[2];
    REQUIRE_OK(pipe(ready));
    char bytes[2];
    pid_t first = member(0, 4321, ready[1]);
    CHECK_EQ(read(ready[0], bytes, 1), 1);
    pid_t second = member(first, 4322, ready[1]);
    CHECK_EQ(read(ready[0], bytes, 1), 1);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(4323, 4323, 4323));
        CHECK_ERRNO(kill(-first, SIGUSR1), EPERM); /* nobody may be signalled */
        CHECK_ERRNO(kill(first, SIGUSR1), EPERM);
        CHECK_ERRNO(kill(-first, 0), EPERM);
        CHECK_ERRNO(kill(-first, 99), EINVAL);
        CHECK_ERRNO(kill(-0x3ffffff, SIGUSR1), ESRCH);
        guest_finish();
    }
    CHECK_CHILD(pid);
    pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(4322, 4322, 4322));
        CHECK_OK(kill(-first, 0));
        CHECK_OK(kill(-first, SIGUSR1)); /* those who may be */
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_SIGNALED(wait_status(second), SIGUSR1);
    CHECK_EQ(waitpid(first, NULL, WNOHANG), 0);
    CHECK_OK(kill(-first, SIGUSR2));
    CHECK_SIGNALED(wait_status(first), SIGUSR2);
}

static siginfo_t group_info;

static void note_group_info(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    group_info = *info;
}

TEST(siginfo_of_other_users)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t me = getpid(), pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(4321, 0, 4321)); /* the real one counts */
        CHECK_OK(kill(me, SIGUSR1));
        guest_finish();
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, 4321);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_CHILD(pid);
    struct sigaction action = {.sa_sigaction = note_group_info, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGUSR2, &action, NULL));
    if (getpgrp() != getpid()) /* whoever runs this test is not to be hit */
        REQUIRE_OK(setpgid(0, 0));
    CHECK_OK(kill(0, SIGUSR2));
    CHECK_EQ(group_info.si_pid, getpid());
    struct timespec none = {0, 0};
    CHECK_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);
}

static void wait_while_ignored_signals_come(siginfo_t *info)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR1, SIG_IGN);
    pid_t me = getpid(), pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < 5; i++) {
            wait_for_state(me, 'S');
            CHECK_OK(kill(me, SIGUSR1));
        }
        guest_finish();
    }
    struct timespec timeout = {0, 200000000}, no_end = {100, 0};
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(sigtimedwait(&set, info, &timeout), EAGAIN);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 200000000);
    wait_status(pid);
    pid = fork_child();
    if (pid == 0) {
        wait_for_state(me, 'S');
        CHECK_OK(kill(me, SIGUSR1));
        CHECK_OK(kill(me, SIGUSR2));
        guest_finish();
    }
    CHECK_EQ(sigtimedwait(&set, info, &no_end), SIGUSR2);
    if (info)
        CHECK_EQ(info->si_pid, pid);
    CHECK_CHILD(pid);
}

TEST(an_ignored_signal_does_not_end_a_timed_wait)
{
    siginfo_t info;
    wait_while_ignored_signals_come(&info);
    wait_while_ignored_signals_come(NULL);
}
