/* floor SESSION FILTERED ISOLATED: what a trapped getuid costs where nothing is done but to receive and to answer it.
 *
 * A child makes the call, its parent answers SECCOMP_RET_USER_NOTIF as the sentry does (SYNC_WAKE_UP, WAIT_KILLABLE), in two
 * ioctls and not a line more. Each of the three words is 0 or 1: the child has a session of its own; it runs under pysentry's
 * own filter; it is traced and in namespaces of its own. Prints "NATIVE_NS TRAPPED_NS": the best of many short rounds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../native/generated/filter_notify.h"

#define ROUNDS 300
#define CALLS 100 /* in a round */
#define SYNC_WAKE_UP 1UL
#define SET_FLAGS SECCOMP_IOW(4, __u64)
#define WAIT_KILLABLE (1UL << 5)

/* What both tell each other, on a shared page. */
struct shared {
    int may_start, listener, may_call;
    double trapped_ns;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double best_ns(void)
{
    double best = 1e12;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int call = 0; call < CALLS; call++)
            syscall(SYS_getuid);
        double took = (now_ns() - start) / CALLS;
        if (took < best)
            best = took;
    }
    return best;
}

static void await(const int *word)
{
    while (!__atomic_load_n(word, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void tell(int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static _Noreturn void child(struct shared *shared, bool has_session, bool is_filtered)
{
    struct sock_filter only_getuid[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof only_getuid / sizeof *only_getuid, only_getuid};
    if (is_filtered)
        program = (struct sock_fprog){sizeof filter_notify / sizeof *filter_notify, (struct sock_filter *)filter_notify};
    await(&shared->may_start);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (has_session && setsid() < 0)
        fail("setsid");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        fail("no_new_privs");
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE, &program);
    if (fd < 0)
        fail("seccomp");
    tell(&shared->listener, (int)fd);
    await(&shared->may_call);
    shared->trapped_ns = best_ns();
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

static void serve(int listener)
{
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    for (;;) {
        memset(&call, 0, sizeof call);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
            if (errno == EINTR)
                continue;
            return; /* nobody uses the filter any more */
        }
        bool is_ours = call.data.nr == SYS_getuid;
        answer = (struct seccomp_notif_resp){.id = call.id, .flags = is_ours ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    bool has_session = atoi(argv[1]), is_filtered = atoi(argv[2]), is_isolated = atoi(argv[3]);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    double native_ns = best_ns();
    unsigned long flags = SIGCHLD;
    if (is_isolated)
        flags |= CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWPID;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (pid < 0)
        fail("clone");
    if (!pid)
        child(shared, has_session, is_filtered);
    if (is_isolated && ptrace(PTRACE_SEIZE, pid, NULL, (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)))
        fail("ptrace");
    tell(&shared->may_start, 1);
    await(&shared->listener);
    int listener = (int)syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), shared->listener, 0);
    if (listener < 0)
        fail("pidfd_getfd");
    ioctl(listener, SET_FLAGS, SYNC_WAKE_UP);
    tell(&shared->may_call, 1);
    serve(listener);
    printf("%.1f %.1f\n", native_ns, shared->trapped_ns);
    return 0;
}
