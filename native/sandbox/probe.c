/* probe.c - what this host lets an unprivileged process do, each tried in a child that is gone afterwards.
 *
 * A result of the child travels in its exit status: 0, or an errno (all of these are below 128).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
#include "sandbox.h"

#define WAIT_KILLABLE_RECV (1u << 5)               /* SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, newer than this glibc */
#define NOTIF_SET_FLAGS 0x40082104ul               /* SECCOMP_IOCTL_NOTIF_SET_FLAGS */
#define SYNC_WAKE_UP 1ul

static int finish(pid_t child)
{
    int status;
    if (child < 0)
        return -errno;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
}

static int listener(unsigned flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &program);
    return fd < 0 ? -errno : fd;
}

int probe_user_notification(void)
{
    pid_t child = fork();
    if (child == 0) {
        int fd = listener(WAIT_KILLABLE_RECV);
        _exit(fd < 0 ? -fd : 0);
    }
    int full = finish(child);
    if (full == 0)
        return 0;
    child = fork();
    if (child == 0) {
        int fd = listener(0);
        _exit(fd < 0 ? -fd : 0);
    }
    int plain = finish(child);
    return plain == 0 ? 1 : plain;
}

int probe_sync_wake_up(void)
{
    pid_t child = fork();
    if (child == 0) {
        int fd = listener(0);
        _exit(fd < 0 ? -fd : ioctl(fd, NOTIF_SET_FLAGS, SYNC_WAKE_UP) < 0 ? errno : 0);
    }
    return finish(child);
}

int probe_user_namespace(uint32_t namespaces)
{
    pid_t child = fork();
    if (child == 0) {
        int result = sandbox_unshare(SANDBOX_NS_USER);
        if (result == 0 && namespaces)
            result = sandbox_unshare(namespaces);
        _exit(-result);
    }
    return finish(child);
}

/* A child that does nothing but wait to be killed. */
static pid_t sleeper(void)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            pause();
    }
    return child;
}

static int end(pid_t child, int result)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

int probe_ptrace_seize(void)
{
    pid_t child = sleeper();
    if (child < 0)
        return -errno;
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                   PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD;
    return end(child, ptrace(PTRACE_SEIZE, child, NULL, options) < 0 ? -errno : 0);
}

int probe_process_vm(void)
{
    static const char theirs[8] = "pysentry";
    char ours[8];
    pid_t child = sleeper();
    if (child < 0)
        return -errno;
    struct iovec to = {ours, sizeof ours}, from = {(void *)theirs, sizeof theirs};
    return end(child, process_vm_readv(child, &to, 1, &from, 1, 0) < 0 ? -errno : 0);
}

int probe_pidfd_getfd(void)
{
    pid_t child = sleeper();
    if (child < 0)
        return -errno;
    int result = 0, pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
    if (fd < 0)
        result = errno == EBADF ? 0 : -errno; /* EBADF: we may, but there is no stdin */
    else
        close(fd);
    if (pidfd >= 0)
        close(pidfd);
    return end(child, result);
}

int probe_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int probe_memfd(void)
{
    int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}
