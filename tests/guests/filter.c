/* filter: a program's own seccomp filters, stacked on the sandbox's: they may only take away. */
#include "guest.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
#define IS_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)

/* One call gets `action`; everything else is allowed. */
static void install(long number, uint32_t action)
{
    struct sock_filter program[] = {LOAD(nr), IS_NOT((uint32_t)number, 1), ANSWER(action), ANSWER(SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    REQUIRE_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
}

static volatile sig_atomic_t trapped_call;

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    trapped_call = info->si_syscall;
}

TEST(a_filter_answers_with_an_errno)
{
    scratch();
    CHECK_OK(mkdir("before", 0700));
    install(SYS_mkdir, SECCOMP_RET_ERRNO | EXDEV);
    CHECK_ERRNO(mkdir("after", 0700), EXDEV);
    CHECK_ERRNO(access("after", F_OK), ENOENT);
    CHECK_OK(rmdir("before")); /* other calls go on */
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(mkdir("child", 0700), EXDEV);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(a_filter_survives_exec)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        install(SYS_getuid, SECCOMP_RET_ERRNO | ENOTTY);
        self_exec("uid_is_refused", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
}

HELPER(uid_is_refused)
{
    return !(syscall(SYS_getuid) == -1 && errno == ENOTTY && getpid() > 0);
}

TEST(a_trap_is_a_signal)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGSYS, &action, NULL));
    install(SYS_getuid, SECCOMP_RET_TRAP);
    syscall(SYS_getuid);
    CHECK_EQ(trapped_call, SYS_getuid);
}

TEST(a_killing_filter_kills)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        install(SYS_getuid, SECCOMP_RET_KILL_PROCESS);
        syscall(SYS_getuid);
        _exit(0);
    }
    CHECK_SIGNALED(wait_status(pid), SIGSYS);
}

TEST(the_mode_can_be_asked_for)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        install(SYS_getuid, SECCOMP_RET_ERRNO | EPERM);
        char status[4096];
        CHECK(read_file("/proc/self/status", status, sizeof status) > 0);
        CHECK(strstr(status, "\nSeccomp:\t2\n") != NULL);
        guest_finish();
    }
    CHECK_CHILD(pid);
}
