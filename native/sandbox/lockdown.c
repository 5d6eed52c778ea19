/* lockdown.c - privileges given up for good; each function is one promise that the posture test reads back. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox.h"

int sandbox_set_dumpable(int dumpable)
{
    return prctl(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, 0, 0) < 0 ? -errno : 0;
}

int sandbox_is_dumpable(void)
{
    int result = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    return result < 0 ? -errno : result;
}

int sandbox_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int sandbox_drop_capabilities(void)
{
    /* The bounding set goes first: emptying it takes CAP_SETPCAP. Without that capability there is nothing to
     * gain through it either (no_new_privs), so EPERM is not a failure. EINVAL: past the last capability. */
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL || errno == EPERM)
                break;
            return -errno;
        }
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
              SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) < 0 &&
        errno != EPERM)
        return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int sandbox_no_core(void)
{
    struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

int sandbox_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_max > 1 << 20)
        limit.rlim_max = 1 << 20; /* enough, and the kernel's table for it stays small */
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            return -errno;
    }
    return (int)limit.rlim_cur;
}

int sandbox_limit_processes(int32_t pid, uint32_t count)
{
    struct rlimit limit = {count, count};
    return prlimit(pid, RLIMIT_NPROC, &limit, NULL) < 0 ? -errno : 0;
}

int sandbox_close_all_but(const int *keep, uint32_t count)
{
    unsigned first = 3;
    for (uint32_t i = 0; i <= count; i++) {
        unsigned last = i < count ? (unsigned)keep[i] - 1 : ~0u;
        if (i < count && (unsigned)keep[i] < first)
            continue;
        if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
            return -errno;
        if (i < count)
            first = (unsigned)keep[i] + 1;
    }
    return 0;
}

int sandbox_die_with_parent(void)
{
    pid_t parent = getppid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return getppid() == parent ? 0 : -ESRCH; /* it may have died just before */
}

int sandbox_child_lockdown(void)
{
    int result = sandbox_drop_capabilities();
    if (result == 0)
        result = sandbox_no_new_privs();
    if (result == 0)
        result = sandbox_no_core();
    /* After the changes of credentials, which clear it. getppid() is 0 here if we are in a new pid namespace. */
    if (result == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        result = -errno;
    return result;
}
