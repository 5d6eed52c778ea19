/* clone: flags of clone(2) one by one, what unshare(2) and setns(2) refuse, and options of the waits. */
#include "guest.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sys/resource.h>

enum { NR_SETNS = 308, KCMP_FS = 3, KCMP_FILES = 2, KCMP_SIGHAND = 4, KCMP_IO = 5, KCMP_SYSVSEM = 6, KCMP_VM = 1 };
enum { STACK = 65536, STRANGER_ID = 4321, NEW_TIME = 0x80, NOBODY = 0x3ffff0 };

static void become_unprivileged(void)
{
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
}

static int wait_for_close(void *ends_given)
{
    int *ends = ends_given;
    char byte;
    if (ends[1] >= 0)
        close(ends[1]);
    return read(ends[0], &byte, 1) == 0 ? 0 : 1;
}

/* A child made with these flags that lives until `ends[1]` is closed. */
static pid_t clone_child(unsigned long flags, int *ends)
{
    static int own_ends[2];
    char *stack = malloc(STACK);
    own_ends[0] = ends[0];
    own_ends[1] = flags & CLONE_FILES ? -1 : ends[1];
    pid_t pid = clone(wait_for_close, stack + STACK, (int)flags, own_ends);
    REQUIRE(pid > 0);
    return pid;
}

static bool shares(pid_t pid, int type)
{
    long order = syscall(SYS_kcmp, getpid(), pid, type, 0L, 0L);
    REQUIRE_OK(order);
    return order == 0;
}

TEST(what_a_child_shares)
{
    if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0L, 0L) == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_KCMP");
    static const struct {
        unsigned long flags;
        int type;
    } kinds[] = {{CLONE_VM, KCMP_VM},       {CLONE_FS, KCMP_FS},           {CLONE_FILES, KCMP_FILES},
                 {CLONE_IO, KCMP_IO},       {CLONE_SYSVSEM, KCMP_SYSVSEM}, {CLONE_VM | CLONE_SIGHAND, KCMP_SIGHAND},
                 {CLONE_DETACHED, KCMP_VM}, {CLONE_UNTRACED, KCMP_VM},     {CLONE_PTRACE, KCMP_VM}};
    /* A task without I/O priority has no I/O context, and no semaphore no undo list: nothing is the same there. */
    CHECK_OK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int ends[2];
        REQUIRE_OK(pipe2(ends, O_CLOEXEC));
        pid_t pid = clone_child(kinds[i].flags | SIGCHLD, ends);
        for (int type = KCMP_VM; type <= KCMP_SYSVSEM; type++) {
            bool is_wanted = type == kinds[i].type && i < 6;
            is_wanted |= (type == KCMP_VM && kinds[i].flags & CLONE_VM);
            if (type == KCMP_SYSVSEM && !is_wanted)
                continue;
            if (shares(pid, type) != is_wanted)
                GUEST_FAIL("flags %lx: kcmp type %d is %d", kinds[i].flags, type, !is_wanted);
        }
        close(ends[1]);
        CHECK_CHILD(pid);
        close(ends[0]);
    }
}

static int tell_fs(void *base)
{
    unsigned long own = 0;
    long result;
    /* No libc here: its thread pointer is not the one it knows. */
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_arch_prctl), "D"(ARCH_GET_FS), "S"(&own) : "rcx", "r11", "memory");
    return result == 0 && own == (unsigned long)base ? 23 : 1;
}

TEST(thread_local_storage_and_ids)
{
    static char block[4096] __attribute__((aligned(64)));
    memcpy(block + 2048, __builtin_thread_pointer(), 1024); /* what libc looks for when it starts the function */
    *(void **)(block + 2048) = block + 2048;
    char *stack = malloc(STACK);
    pid_t parent_tid = -1, child_tid = -1;
    unsigned long flags = CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_VM | CLONE_VFORK;
    pid_t pid = clone(tell_fs, stack + STACK, (int)(flags | SIGCHLD), block + 2048, &parent_tid, block + 2048, &child_tid);
    REQUIRE(pid > 0);
    CHECK_EQ(parent_tid, pid);
    CHECK_EQ(child_tid, pid);
    CHECK_EXITED(wait_status(pid), 23);
    child_tid = 7;
    flags = CLONE_VM | CLONE_CHILD_CLEARTID | CLONE_VFORK;
    int ends[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC), -1};
    pid = clone(wait_for_close, stack + STACK, (int)(flags | SIGCHLD), ends, NULL, NULL, &child_tid);
    REQUIRE(pid > 0);
    CHECK_EXITED(wait_status(pid), 0);
    CHECK_EQ(child_tid, 0);
}

/* As without CAP_SYS_ADMIN; a user namespace is for everybody, where the machine allows it. */
TEST(new_namespaces_want_privilege)
{
    static const unsigned long namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                               CLONE_NEWPID, CLONE_NEWNET,    NEW_TIME};
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
            if (namespaces[i] != NEW_TIME)
                CHECK_ERRNO(syscall(SYS_clone, namespaces[i] | SIGCHLD, 0L, 0L, 0L, 0L), EPERM);
            if (syscall(SYS_unshare, namespaces[i]) != -1 || errno != EPERM)
                GUEST_FAIL("unshare %lx: %s", namespaces[i], strerrorname_np(errno));
        }
        long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0L, 0L, 0L, 0L);
        if (child == 0)
            _exit(0);
        if (child == -1)
            CHECK(errno == EPERM || errno == ENOSPC);
        else
            CHECK_CHILD((pid_t)child);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(a_number_of_clone_that_is_no_namespace)
{
    /* CLONE_NEWTIME lies among the bits of the exit signal: 128 is none, and waits want __WCLONE. */
    long pid = syscall(SYS_clone, (long)NEW_TIME, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(3);
    REQUIRE(pid > 0);
    int status;
    CHECK_ERRNO(waitpid((pid_t)pid, &status, 0), ECHILD);
    CHECK_EQ(waitpid((pid_t)pid, &status, __WCLONE), pid);
    CHECK_EXITED(status, 3);
}

TEST(flags_that_exclude_each_other)
{
    static const unsigned long refused[] = {CLONE_THREAD, CLONE_THREAD | CLONE_VM, CLONE_SIGHAND, CLONE_NEWNS | CLONE_FS,
                                            CLONE_NEWUSER | CLONE_FS};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        errno = 0;
        long pid = syscall(SYS_clone, refused[i] | SIGCHLD, 0L, 0L, 0L, 0L);
        if (pid == 0)
            _exit(0);
        if (pid != -1 || (errno != EINVAL && !(errno == EPERM && i >= 3))) /* namespaces: who may none is told so first */
            GUEST_FAIL("clone %lx: %ld, %s", refused[i], pid, strerrorname_np(errno));
    }
}

TEST(no_more_processes_than_the_limit)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        struct rlimit none = {0, 0};
        REQUIRE_OK(setrlimit(RLIMIT_NPROC, &none));
        CHECK_ERRNO(syscall(SYS_fork), EAGAIN);
        CHECK_ERRNO(syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L), EAGAIN);
        CHECK_ERRNO(vfork(), EAGAIN);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- unshare, setns ------------------------------------------------------------------------------------------------ */

static void *unshare_in_a_thread(void *unused)
{
    (void)unused;
    static const unsigned long refused[] = {CLONE_THREAD, CLONE_SIGHAND, CLONE_VM};
    for (int i = 0; i < 3; i++)
        CHECK_ERRNO(syscall(SYS_unshare, refused[i]), EINVAL); /* there are several */
    CHECK_OK(syscall(SYS_unshare, (long)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM)));
    return NULL;
}

TEST(threads_stay_together)
{
    static const unsigned long accepted[] = {0, CLONE_THREAD, CLONE_SIGHAND, CLONE_VM};
    for (int i = 0; i < 4; i++)
        CHECK_OK(syscall(SYS_unshare, accepted[i])); /* of a process with one thread: nothing to do */
    CHECK_ERRNO(syscall(SYS_unshare, (long)CLONE_CHILD_SETTID), EINVAL);
    CHECK_ERRNO(syscall(SYS_unshare, 1L), EINVAL);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, unshare_in_a_thread, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

TEST(namespaces_are_entered_with_privilege)
{
    static const struct {
        const char *path;
        int kind;
    } kinds[] = {{"/proc/self/ns/mnt", CLONE_NEWNS},  {"/proc/self/ns/uts", CLONE_NEWUTS}, {"/proc/self/ns/ipc", CLONE_NEWIPC},
                 {"/proc/self/ns/pid", CLONE_NEWPID}, {"/proc/self/ns/net", CLONE_NEWNET}, {"/proc/self/ns/cgroup", CLONE_NEWCGROUP}};
    int user = open("/proc/self/ns/user", O_RDONLY);
    REQUIRE(user >= 0);
    CHECK_ERRNO(syscall(NR_SETNS, user, 0), EINVAL); /* one is in it */
    int file = open("/dev/null", O_RDONLY), pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK_ERRNO(syscall(NR_SETNS, 999, 0), EBADF);
    CHECK_ERRNO(syscall(NR_SETNS, file, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_SETNS, pidfd, 0), EINVAL);
    unsigned kinds_of_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                   CLONE_NEWPID | CLONE_NEWNET | NEW_TIME;
    for (int bit = 0; bit < 32; bit++)
        if (!(kinds_of_namespaces >> bit & 1))
            CHECK_ERRNO(syscall(NR_SETNS, pidfd, 1u << bit), EINVAL);
    pid_t ended = fork_child();
    if (ended == 0)
        _exit(0);
    int of_the_ended = (int)syscall(SYS_pidfd_open, ended, 0);
    CHECK_CHILD(ended);
    CHECK_ERRNO(syscall(NR_SETNS, of_the_ended, CLONE_NEWUTS), ESRCH);
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            int fd = open(kinds[i].path, O_RDONLY);
            REQUIRE(fd >= 0);
            CHECK_ERRNO(syscall(NR_SETNS, fd, kinds[i].kind == CLONE_NEWNET ? CLONE_NEWUTS : CLONE_NEWNET), EINVAL);
            CHECK_ERRNO(syscall(NR_SETNS, fd, 0), EPERM);
            CHECK_ERRNO(syscall(NR_SETNS, fd, kinds[i].kind), EPERM);
            close(fd);
        }
        int own = (int)syscall(SYS_pidfd_open, getpid(), 0);
        for (int bit = 0; bit < 32; bit++)
            if (kinds_of_namespaces >> bit & 1) {
                if (getuid() == STRANGER_ID)
                    CHECK_ERRNO(syscall(NR_SETNS, pidfd, 1u << bit), EPERM); /* of a stranger */
                CHECK_ERRNO(syscall(NR_SETNS, own, 1u << bit), 1u << bit == CLONE_NEWUSER ? EINVAL : EPERM);
            }
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- waits --------------------------------------------------------------------------------------------------------- */

static void *wait_without_others(void *child)
{
    pid_t pid = *(pid_t *)child;
    siginfo_t info;
    CHECK_ERRNO(syscall(SYS_wait4, pid, NULL, __WNOTHREAD | WNOHANG, NULL), ECHILD);
    CHECK_ERRNO(syscall(SYS_waitid, P_PID, pid, &info, WEXITED | __WNOTHREAD | WNOHANG, NULL), ECHILD);
    CHECK_EQ(syscall(SYS_wait4, pid, NULL, WNOHANG, NULL), 0); /* another thread's child is the process's */
    return NULL;
}

TEST(children_of_another_thread)
{
    int ends[2];
    REQUIRE_OK(pipe2(ends, O_CLOEXEC));
    pid_t pid = clone_child(SIGCHLD, ends);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, wait_without_others, &pid) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    close(ends[1]);
    int status;
    CHECK_EQ(syscall(SYS_wait4, pid, &status, __WNOTHREAD, NULL), pid);
    CHECK_EXITED(status, 0);
}

TEST(children_that_tell_by_no_signal)
{
    static const int options[] = {__WALL, (int)__WCLONE};
    siginfo_t info;
    for (int i = 0; i < 4; i++) {
        int ends[2];
        REQUIRE_OK(pipe2(ends, O_CLOEXEC));
        pid_t pid = clone_child(0, ends);
        close(ends[1]);
        CHECK_ERRNO(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, NULL), ECHILD);
        if (i < 2) {
            CHECK_OK(syscall(SYS_waitid, P_PID, pid, &info, WEXITED | options[i], NULL));
            CHECK_EQ(info.si_pid, pid);
        } else {
            CHECK_EQ(syscall(SYS_wait4, pid, NULL, options[i - 2], NULL), pid);
        }
        close(ends[0]);
    }
    pid_t pid = fork_child(); /* which tells by SIGCHLD */
    if (pid == 0)
        _exit(0);
    CHECK_ERRNO(syscall(SYS_wait4, pid, NULL, __WCLONE, NULL), ECHILD);
    CHECK_EQ(syscall(SYS_wait4, pid, NULL, __WALL, NULL), pid);
}

TEST(options_of_waitid_alone)
{
    CHECK_ERRNO(syscall(SYS_wait4, -1, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_wait4, -1, NULL, WNOWAIT, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_wait4, INT32_MIN, NULL, WNOHANG, NULL), ESRCH);
    CHECK_ERRNO(syscall(SYS_waitid, 9, 0, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_waitid, P_PID, 0, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_waitid, P_PGID, -1, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_waitid, P_PIDFD, 999, NULL, WEXITED, NULL), EBADF);
}

HELPER(wait_for_input)
{
    char byte;
    return read(STDIN_FILENO, &byte, 1) != 0;
}

TEST(the_group_of_a_child_that_executed)
{
    int ends[2], started[2];
    REQUIRE_OK(pipe2(ends, O_CLOEXEC));
    REQUIRE_OK(pipe2(started, O_CLOEXEC));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(ends[0], STDIN_FILENO);
        self_exec("wait_for_input", NULL);
        _exit(99);
    }
    close(started[1]);
    char byte;
    CHECK_EQ(read(started[0], &byte, 1), 0); /* its end was closed by exec */
    CHECK_ERRNO(setpgid(pid, pid), EACCES);
    close(ends[1]);
    CHECK_CHILD(pid);
}
