/* system: uname, sysinfo, host name, random bytes, and calls a sandbox refuses. */
#include "guest.h"

#include <sys/mount.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

TEST(uname_is_linux_on_x86_64)
{
    struct utsname *name = guarded(sizeof *name);
    CHECK_OK(uname(name));
    CHECK_STR(name->sysname, "Linux");
    CHECK_STR(name->machine, "x86_64");
    int major = 0, minor = 0;
    CHECK_EQ(sscanf(name->release, "%d.%d", &major, &minor), 2);
    CHECK(major >= 4);
    CHECK(strlen(name->nodename) > 0);
}

TEST(host_name_agrees)
{
    char name[65], text[80];
    struct utsname system;
    CHECK_OK(gethostname(name, sizeof name));
    CHECK_OK(uname(&system));
    CHECK_STR(name, system.nodename);
    CHECK(read_file("/proc/sys/kernel/hostname", text, sizeof text) > 0);
    text[strcspn(text, "\n")] = '\0';
    CHECK_STR(text, name);
}

TEST(unprivileged_processes_name_nothing)
{
    if (geteuid() == 0)
        SKIP("root may set the host name");
    CHECK_ERRNO(sethostname("x", 1), EPERM);
    CHECK_ERRNO(setdomainname("x", 1), EPERM);
}

TEST(sysinfo_is_plausible)
{
    struct sysinfo *info = guarded(sizeof *info);
    CHECK_OK(sysinfo(info));
    CHECK(info->totalram > 0);
    CHECK(info->freeram <= info->totalram);
    CHECK(info->mem_unit >= 1);
    CHECK(info->uptime > 0);
    CHECK(info->procs > 0);
    CHECK(get_nprocs() >= 1);
    CHECK(sysconf(_SC_PHYS_PAGES) > 0);
}

TEST(random_bytes)
{
    unsigned char first[64] = {0}, second[64] = {0};
    CHECK_EQ(getrandom(first, sizeof first, 0), sizeof first);
    CHECK_EQ(getrandom(second, sizeof second, GRND_NONBLOCK), sizeof second);
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_ERRNO(getrandom(first, sizeof first, 0x100), EINVAL);
}

TEST(unknown_calls)
{
    CHECK_ERRNO(syscall(1000), ENOSYS);
    CHECK_ERRNO(syscall(440 + 5000), ENOSYS);
    CHECK_ERRNO(syscall(214), ENOSYS); /* epoll_ctl_old: a number without a call */
}

TEST(mounting_needs_privileges)
{
    if (geteuid() == 0)
        SKIP("not to be tried on a host as root");
    CHECK_ERRNO(mount("none", "/mnt", "tmpfs", 0, NULL), EPERM);
    CHECK_ERRNO(umount("/proc"), EPERM);
    CHECK_ERRNO(syscall(SYS_pivot_root, "/", "/"), EPERM);
}

TEST(calls_that_linux_has_no_more)
{
    /* uselib, _sysctl, create_module, get_kernel_syms, query_module, nfsservctl, getpmsg, putpmsg, afs_syscall, tuxcall,
       security, set_thread_area, get_thread_area, lookup_dcookie, epoll_ctl_old, epoll_wait_old, vserver */
    static const int numbers[] = {134, 156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 205, 211, 212, 214, 215, 236};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        errno = 0;
        CHECK_EQ(syscall(numbers[i], 0, 0, 0, 0, 0, 0), -1);
        if (errno != ENOSYS)
            GUEST_FAIL("call %d: expected ENOSYS, got %s", numbers[i], strerrorname_np(errno));
    }
}

TEST(probe_calls_outside_of_probes)
{
    /* uretprobe kills whoever calls it by hand (Linux 6.11), uprobe answers ENXIO (6.17): no filter is asked. */
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(syscall(335) == -1 && errno == ENOSYS ? 0 : 1);
    int status = wait_status(pid);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGILL));
    errno = 0;
    CHECK_EQ(syscall(336), -1);
    CHECK(errno == ENOSYS || errno == ENXIO);
}

TEST(the_kernel_log)
{
    char *buffer = guarded(16);
    if (syscall(SYS_syslog, 10, NULL, 0) == -1) {
        CHECK_EQ(errno, EPERM); /* kernel.dmesg_restrict */
        CHECK_ERRNO(syscall(SYS_syslog, 2, buffer, 0), EPERM);
        return;
    }
    CHECK(syscall(SYS_syslog, 10, NULL, 0) > 0);
    if (geteuid() != 0)
        SKIP("the rest needs CAP_SYSLOG");
    CHECK_ERRNO(syscall(SYS_syslog, -1, buffer, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, 11, buffer, 0), EINVAL);
    CHECK_OK(syscall(SYS_syslog, 0, NULL, 0));
    CHECK_OK(syscall(SYS_syslog, 1, NULL, 0));
    for (int type = 2; type <= 3; type++) {
        CHECK_OK(syscall(SYS_syslog, type, buffer, 0));
        CHECK_ERRNO(syscall(SYS_syslog, type, NULL, 16), EINVAL);
        CHECK_ERRNO(syscall(SYS_syslog, type, buffer, -1), EINVAL);
        CHECK_ERRNO(syscall(SYS_syslog, type, (char *)-16, 16), EFAULT);
    }
    CHECK(syscall(SYS_syslog, 3, buffer, 16) >= 0);
    CHECK(syscall(SYS_syslog, 9, NULL, 0) >= 0);
    CHECK_ERRNO(syscall(SYS_syslog, 8, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, 8, NULL, 9), EINVAL);
}
