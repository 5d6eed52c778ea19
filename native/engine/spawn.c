/* spawn.c - the first task: born into its own namespaces, traced, filtered, and only then executing anything.
 *
 * The sentry has emptied its root before, so the child's copy of the mount namespace is empty too. The child
 * runs only this file's code between clone and its exec, which is an ordinary traced exec like any later one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine.h"
#include "../generated/filter_notify.h"
#include "../generated/filter_ptrace.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* What sentry and child tell each other, on a shared page. */
struct handshake {
    int32_t listener;    /* number in the child */
    int32_t step, error; /* where it failed */
};

static const char *const step_names[] = {
    "none", "session", "descriptors", "limits", "capabilities", "no_new_privs", "filter", "exec",
};
static const char *spawn_failed_step = "none";

const char *engine_failed_step(void)
{
    return spawn_failed_step;
}

struct spawn_args {
    char *path, **argv, **envp;
    int stub_fd, channel_fd, tty_fd;
    int gate[2]; /* a pipe: a byte says that maps are written and the tracer is attached; its end, that the sentry died */
    uint64_t max_tasks; /* 0: no limit of our own */
    bool is_ptrace, is_seed;
    sigset_t mask; /* the program's: what our caller had */
};

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int keep_only(const struct spawn_args *a)
{
    struct rlimit files;
    /* Room for our numbers: the program's own limit is the sentry's business. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (dup3(a->stub_fd, STUB_FD, 0) < 0)
        return -errno;
    if (a->channel_fd >= 0 && dup3(a->channel_fd, CHANNEL_FD, 0) < 0)
        return -errno;
    unsigned last_low = a->channel_fd >= 0 ? CHANNEL_FD - 1 : STUB_FD - 1;
    if (syscall(SYS_close_range, 0, last_low, 0) || syscall(SYS_close_range, STUB_FD + 1, ~0U, 0))
        return -errno;
    if (a->channel_fd >= 0 && syscall(SYS_close_range, CHANNEL_FD + 1, STUB_FD - 1, 0))
        return -errno;
    return 0;
}

static int set_limits(const struct spawn_args *a)
{
    struct rlimit none = {0, 0}, tasks = {a->max_tasks, a->max_tasks};
    if (setrlimit(RLIMIT_CORE, &none))
        return -errno;
    if (a->max_tasks && setrlimit(RLIMIT_NPROC, &tasks))
        return -errno;
    return 0;
}

static int install_filter(const struct spawn_args *a, struct handshake *shake)
{
    struct sock_fprog program;
    unsigned long flags = 0;
    if (a->is_ptrace) {
        program.len = sizeof filter_ptrace / sizeof filter_ptrace[0];
        program.filter = (struct sock_filter *)filter_ptrace;
    } else {
        program.len = sizeof filter_notify / sizeof filter_notify[0];
        program.filter = (struct sock_filter *)filter_notify;
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (fd < 0)
        return -errno;
    shake->listener = (int32_t)fd; /* close-on-exec: gone when the stub runs */
    return 0;
}

static void reset_signals(const sigset_t *mask)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        struct sigaction now;
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            signal(sig, SIG_DFL);
    }
    signal(SIGPIPE, SIG_DFL); /* Python ignores these two */
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

static int session(const struct spawn_args *a)
{
    if (setsid() < 0 || (a->is_seed && unshare(CLONE_NEWPID)))
        return -errno;
    if (a->tty_fd >= 0 && ioctl(a->tty_fd, TIOCSCTTY, 0))
        return -errno;
    return 0;
}

static int no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static _Noreturn void child_main(const struct spawn_args *a, struct handshake *shake)
{
    char go;
    ssize_t got;
    close(a->gate[1]);
    while ((got = read(a->gate[0], &go, 1)) < 0 && errno == EINTR)
        ;
    if (got != 1)
        _exit(125);
#define STEP(number, call)                    \
    shake->step = number;                     \
    if ((shake->error = (call)) < 0)          \
        _exit(125)
    STEP(1, session(a));
    STEP(2, keep_only(a));
    STEP(3, set_limits(a));
    STEP(4, drop_capabilities());
    STEP(5, no_new_privs());
    reset_signals(&a->mask);
    if (a->is_seed)
        signal(SIGCHLD, SIG_IGN); /* nobody waits for its children but their tracer */
    STEP(6, install_filter(a, shake));
#undef STEP
    shake->step = 7;
    execve(a->path, a->argv, a->envp); /* stops at the tracer, who knows the program */
    syscall(SYS_exit_group, 125);
    __builtin_unreachable();
}

static int write_map(int proc, pid_t pid, const char *name, const char *text)
{
    char path[48];
    snprintf(path, sizeof path, "%d/%s", pid, name);
    int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t put = write(fd, text, strlen(text));
    int error = put < 0 ? -errno : 0;
    close(fd);
    return error;
}

static int write_maps(int proc, pid_t pid)
{
    char map[64];
    int error;
    if ((error = write_map(proc, pid, "setgroups", "deny")))
        return error;
    snprintf(map, sizeof map, "%u %u 1\n", geteuid(), geteuid());
    if ((error = write_map(proc, pid, "uid_map", map)))
        return error;
    snprintf(map, sizeof map, "%u %u 1\n", getegid(), getegid());
    return write_map(proc, pid, "gid_map", map);
}

static int take_listener(pid_t pid, int number)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return -errno;
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    int error = fd < 0 ? -errno : 0;
    close(pidfd);
    return error ? error : fd;
}

/* A process in namespaces of its own, traced and filtered, stopped at its exec. */
static struct task *spawn(struct spawn_args *a, int *error)
{
    bool is_ptrace = a->is_ptrace;
    int channel[2];
    platform = is_ptrace ? &ptrace_platform : &seccomp_platform;
    spawn_failed_step = "handshake";
    struct handshake *shake = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shake == MAP_FAILED || (!is_ptrace && (*error = notify_open())))
        return NULL;
    if (is_ptrace) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel)) {
            *error = -errno;
            return NULL;
        }
        engine.channel = channel[0];
        engine.channel_end = a->channel_fd = channel[1];
    }
    if (pipe2(a->gate, O_CLOEXEC)) {
        *error = -errno;
        return NULL;
    }
    spawn_failed_step = "clone into new user, pid, mount, ipc, uts, cgroup and network namespaces";
    unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET |
                          (a->is_seed ? 0 : CLONE_NEWPID) | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (pid == 0)
        child_main(a, shake);
    if (pid < 0)
        *error = -errno;
    close(a->gate[0]);
    if (pid < 0) {
        close(a->gate[1]);
        return NULL;
    }
    spawn_failed_step = "identity maps";
    if ((*error = write_maps(engine.proc, pid)))
        goto fail;
    spawn_failed_step = "ptrace";
    if (ptrace(PTRACE_SEIZE, pid, NULL,
               (void *)ENGINE_OPTIONS)) {
        *error = -errno;
        goto fail;
    }
    int status;
    if (write(a->gate[1], "", 1) != 1) {
        *error = -errno;
        goto fail;
    }
    close(a->gate[1]);
    a->gate[1] = -1;
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    if (!WIFSTOPPED(status) || status >> 16 != PTRACE_EVENT_SECCOMP) {
        spawn_failed_step = step_names[shake->step];
        *error = shake->error ? shake->error : -ECHILD;
        goto fail;
    }
    if (!is_ptrace) {
        spawn_failed_step = "taking the listener (pidfd_getfd)";
        int listener = take_listener(pid, shake->listener);
        if (listener < 0) {
            *error = listener;
            goto fail;
        }
        notify_set_listener(listener);
    }
    munmap(shake, 4096);
    struct task *t = task_new(pid);
    t->is_attached = t->is_announced = 1;
    t->state = TASK_RUNNING;
    *error = 0;
    return t;
fail:
    if (a->gate[1] >= 0)
        close(a->gate[1]);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    return NULL;
}

/* The first task, stopped at its exec. It has no descriptors and no file context yet: Python gives it those, then
 * calls engine_start(). NULL: *error is -errno, engine_failed_step() says where. */
struct task *engine_spawn(char *path, char **argv, char **envp, int stub_fd, int tty_fd, uint64_t max_tasks, int is_ptrace,
                          int *error)
{
    struct spawn_args a = {path, argv, envp, stub_fd, -1, tty_fd, {-1, -1}, max_tasks, is_ptrace, false, engine_caller_mask};
    struct task *t = spawn(&a, error);
    if (t) {
        task_join(t, group_new(t->tid, NULL));
        t->group->ns_tgid = t->ns_tid = 1;
        engine.init = t;
    }
    return t;
}

/* Its host pid, or -errno as above. */
int engine_spawn_seed(int stub_fd, uint64_t max_tasks, int is_ptrace)
{
    static char *nothing[] = {NULL};
    struct spawn_args a = {"", nothing, nothing, stub_fd, -1, -1, {-1, -1}, max_tasks, is_ptrace, true, engine_caller_mask};
    int error;
    engine.seed = spawn(&a, &error);
    return engine.seed ? engine.seed->tid : error;
}

/* Lets its exec go on, after the lock-up. */
void engine_start(void)
{
    control_stop(engine.seed ? engine.seed : engine.init, PTRACE_EVENT_SECCOMP << 16 | SIGTRAP << 8 | 0x7f);
}

static int check_number(int fd)
{
    return fd >= 0 && fd < NATIVE_FDS_END;
}

int task_install(struct task *t, struct description *d, int fd)
{
    struct fd_slot *slot = &t->files->slots[fd];
    if (!check_number(fd))
        return -ENOMEM;
    if (t->is_strict && platform == &ptrace_platform) /* it would have to make calls of ours */
        return -EPERM;
    if (slot->native == d->id && !(d->flags & DESC_REINSTALL))
        return 0;
    int error = platform->install(t, d->host_fd, fd);
    if (!error)
        slot->native = d->id;
    return error;
}

int task_install_host(struct task *t, int host_fd, int fd)
{
    return platform->install(t, host_fd, fd);
}
