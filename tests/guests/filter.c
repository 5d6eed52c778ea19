/* filter: a program's own seccomp filters, stacked on the sandbox's: they may only take away; strict mode. */
#include "guest.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
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

/* ---- strict mode */

static volatile int strict_word;
static int strict_pipe[2];

/* Reads and writes, then makes the call; nothing of libc's, which would make more of them. */
static void enter_strict_and_call(long number, long first)
{
    char bytes[4] = "abc";
    REQUIRE_OK(pipe(strict_pipe));
    if (number == SYS_getppid) /* one mode, two ways */
        REQUIRE_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
    else
        REQUIRE_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    if (syscall(SYS_write, strict_pipe[1], bytes, 3) != 3 || syscall(SYS_read, strict_pipe[0], bytes, 4) != 3)
        syscall(SYS_exit, 90);
    syscall(number, first, 0, 0);
    syscall(SYS_exit, 91);
}

static int end_of_strict_call(long number, long first)
{
    pid_t pid = fork_child();
    if (pid == 0)
        enter_strict_and_call(number, first);
    return wait_status(pid);
}

TEST(strict_mode_lets_four_calls_through)
{
    CHECK_EXITED(end_of_strict_call(SYS_exit, 7), 7);
    /* Some that the host may answer itself, some that only the sentry answers, some that everybody is refused. */
    static const long others[] = {SYS_getpid, SYS_getppid, SYS_close,  SYS_exit_group, SYS_getuid, SYS_openat, SYS_fork,
                                  SYS_kill,   SYS_execve,  SYS_mmap,   SYS_bpf,        SYS_clone3, SYS_prctl,  SYS_sched_yield};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int status = end_of_strict_call(others[i], 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            GUEST_FAIL("call %ld: status %x", others[i], status);
    }
}

static void count_in_strict(int signal_number)
{
    (void)signal_number;
    strict_word++;
}

TEST(strict_mode_returns_from_handlers)
{
    struct sigaction action = {.sa_handler = count_in_strict};
    int ready[2], hold[2];
    REQUIRE_OK(pipe(ready));
    REQUIRE_OK(pipe(hold));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte = 0;
        REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
        REQUIRE_OK(sigaction(SIGSYS, &action, NULL)); /* is never run */
        REQUIRE_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
        syscall(SYS_write, ready[1], "r", 1);
        long got = syscall(SYS_read, hold[0], &byte, 1);
        syscall(SYS_exit, got == -1 && errno == EINTR && strict_word == 1 ? 5 : 6);
    }
    char byte, path[64], status[4096];
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    wait_for_state(pid, 'S');
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    CHECK(read_file(path, status, sizeof status) > 0);
    CHECK(strstr(status, "\nSeccomp:\t1\n") != NULL);
    CHECK_OK(kill(pid, SIGUSR1));
    CHECK_EXITED(wait_status(pid), 5);
}

static void *enter_strict_thread(void *unused)
{
    (void)unused;
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_getpid);
    strict_word = 1;
    return NULL;
}

TEST(strict_mode_ends_its_thread_only)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        pthread_t thread;
        REQUIRE_OK(pthread_create(&thread, NULL, enter_strict_thread, NULL));
        CHECK_OK(pthread_join(thread, NULL)); /* the kernel tells of its end, however it came */
        CHECK_EQ(strict_word, 0);
        CHECK(getpid() > 0);
        _exit(12);
    }
    CHECK_EXITED(wait_status(pid), 12);
}

TEST(strict_mode_and_filters_exclude_each_other)
{
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &strict_word), EINVAL);
    CHECK_ERRNO(syscall(SYS_seccomp, 77, 0, NULL), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_SECCOMP, 77), EINVAL);
    pid_t pid = fork_child();
    if (pid == 0) {
        install(SYS_getuid, SECCOMP_RET_ERRNO | EPERM);
        CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
        guest_finish();
    }
    CHECK_CHILD(pid);
}
