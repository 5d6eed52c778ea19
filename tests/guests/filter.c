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

/* ---- seccomp(2): operations and flags */

static struct sock_filter all_allowed[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_fprog harmless = {1, all_allowed};

static void become_unprivileged(void)
{
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(4321, 4321, 4321));
}

TEST(filters_by_their_own_call)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        static const unsigned flags[] = {0, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC,
                                         SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH};
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &harmless), EACCES);
        REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        for (int i = 0; i < 5; i++)
            CHECK_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], &harmless), 0);
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x400, &harmless), EINVAL);
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
        struct sock_fprog nowhere = {1, bad_address}, empty = {0, all_allowed};
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere), EFAULT);
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &empty), EINVAL);
        struct sock_filter endless[] = {LOAD(nr)};
        struct sock_fprog wrong = {1, endless};
        CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &wrong), EINVAL);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(actions_and_sizes_can_be_asked_for)
{
    static const uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                                       SECCOMP_RET_ERRNO,        SECCOMP_RET_LOG,         SECCOMP_RET_ALLOW};
    for (int i = 0; i < 6; i++)
        CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
    uint32_t unknown = 0x12340000;
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]), EINVAL);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, bad_address), EFAULT);
    struct seccomp_notif_sizes sizes = {0, 0, 0};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
        CHECK_EQ(errno, EINVAL); /* no listeners here, as before 5.0 */
    else
        CHECK(sizes.seccomp_notif >= 80 && sizes.seccomp_notif_resp >= 24 && sizes.seccomp_data >= 64);
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, &sizes), EINVAL);
}

static int filtered_ends[2], ready_ends[2];

static void *filter_itself_and_wait(void *unused)
{
    (void)unused;
    char byte;
    CHECK_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &harmless), 0);
    CHECK_EQ(write(ready_ends[1], "r", 1), 1);
    CHECK_EQ(read(filtered_ends[0], &byte, 1), 0);
    return NULL;
}

TEST(a_thread_with_filters_of_its_own_is_not_synchronised)
{
    pthread_t thread;
    char byte;
    REQUIRE_OK(pipe(filtered_ends));
    REQUIRE_OK(pipe(ready_ends));
    REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    REQUIRE(pthread_create(&thread, NULL, filter_itself_and_wait, NULL) == 0);
    REQUIRE(read(ready_ends[0], &byte, 1) == 1);
    unsigned both = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, both, &harmless), ESRCH);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &harmless) > 0); /* which one it is */
    close(filtered_ends[1]);
    REQUIRE(pthread_join(thread, NULL) == 0);
}
