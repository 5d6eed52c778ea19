/*
 * System calls that lockdown.py needs and Python's os module lacks, each returning a descriptor, 0 or a negative errno.
 *
 * Owns nothing: which call follows which, and why, is in src/gofer/lockdown.py. Raw syscall(2), as glibc got wrappers
 * for the mount calls only in 2.36.
 */
#define _GNU_SOURCE
#include "setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int outcome(long result)
{
    return result < 0 ? -errno : (int)result;
}

int gofer_unshare(int flags)
{
    return outcome(unshare(flags));
}

int gofer_mount_private(void)
{
    /* mount(2): no change on the host reaches us from now on, nor the reverse. MS_REC | MS_PRIVATE */
    return outcome(syscall(SYS_mount, NULL, "/", NULL, (1ul << 14) | (1ul << 18), NULL));
}

int gofer_open_tree(int dir, const char *path, int is_recursive)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (is_recursive ? AT_RECURSIVE : 0u);

    return outcome(syscall(SYS_open_tree, dir, path, flags));
}

int gofer_mount_setattr(int fd, uint64_t attributes, int is_recursive)
{
    struct mount_attr attr = {.attr_set = attributes, .propagation = 1ul << 18 /* MS_PRIVATE */};

    return outcome(
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (is_recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)));
}

int gofer_move_mount(int fd, int target)
{
    return outcome(
        syscall(SYS_move_mount, fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int gofer_new_mount(const char *type, const char *const *options, unsigned n_options, uint64_t attributes)
{
    int context = outcome(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));

    if (context < 0)
        return context;
    long result = 0;
    for (unsigned i = 0; i < n_options && result == 0; i++) {
        const char *key = options[2 * i];
        const char *value = options[2 * i + 1];
        result = *value ? syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0)
                        : syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0);
    }
    if (result == 0)
        result = syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (result == 0)
        result = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)attributes);
    int error = outcome(result);
    close(context);
    return error;
}

int gofer_pivot_root(int new_root)
{
    /* pivot_root(2), the section on pivot_root(".", "."): the old root ends on top of the new one, then goes. */
    if (fchdir(new_root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0)
        return -errno;
    return outcome(chdir("/"));
}

int gofer_keep_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    /* The bounding set first, while CAP_SETPCAP is still here. EINVAL: beyond the last capability. */
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (keep >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break;
            return -errno;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        uint32_t set = (uint32_t)(keep >> (32 * i));
        data[i] = (struct __user_cap_data_struct){.effective = set, .permitted = set, .inheritable = 0};
    }
    return outcome(syscall(SYS_capset, &head, data));
}

int gofer_capabilities(uint64_t *effective)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    return 0;
}

int gofer_no_new_privileges(void)
{
    return outcome(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int gofer_not_dumpable(void)
{
    struct rlimit none = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return outcome(setrlimit(RLIMIT_CORE, &none));
}

int gofer_dumpable(void)
{
    return outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

int gofer_set_name(const char *name)
{
    return outcome(prctl(PR_SET_NAME, name, 0, 0, 0));
}

int gofer_parent_death_signal(int sig)
{
    return outcome(prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0));
}

int gofer_close_range(unsigned first, unsigned last)
{
    return outcome(syscall(SYS_close_range, first, last, 0));
}

int gofer_reset_signals(const int *ignored, unsigned n_ignored)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof(action));
    for (int sig = 1; sig < NSIG; sig++) {
        action.sa_handler = SIG_DFL;
        for (unsigned i = 0; i < n_ignored; i++) {
            if (ignored[i] == sig)
                action.sa_handler = SIG_IGN;
        }
        /* EINVAL: SIGKILL, SIGSTOP, and what the C library keeps to itself. */
        if (sigaction(sig, &action, NULL) < 0 && errno != EINVAL)
            return -errno;
    }
    sigemptyset(&none);
    return outcome(sigprocmask(SIG_SETMASK, &none, NULL));
}

int gofer_install_filter(const void *program, unsigned n_instructions)
{
    struct sock_fprog filter = {.len = (unsigned short)n_instructions,
                                .filter = (struct sock_filter *)(uintptr_t)program};

    return outcome(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

int gofer_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
    return outcome(syscall(SYS_renameat2, old_dir, old_name, new_dir, new_name, flags));
}

int gofer_set_times(int dir, const char *name, const int64_t *times)
{
    struct timespec pair[2] = {{.tv_sec = times[0], .tv_nsec = times[1]}, {.tv_sec = times[2], .tv_nsec = times[3]}};

    return outcome(utimensat(dir, name, pair, 0));
}
