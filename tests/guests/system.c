/* system: uname, sysinfo, host name, random bytes, and calls a sandbox refuses. */
#include "guest.h"

#include <linux/reboot.h>
#include <sys/io.h>
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

TEST(log_actions_by_number)
{
    char *buffer = guarded(16);
    if (geteuid() != 0 || syscall(SYS_syslog, 1, NULL, 0) == -1)
        SKIP("the kernel log needs CAP_SYSLOG");
    pid_t pid = fork_child();
    if (pid == 0) { /* each action is judged before its arguments */
        CHECK_OK(setresuid(1000, 1000, 1000));
        for (int type = 0; type <= 10; type++) {
            errno = 0;
            if (type != 3 && type != 10 && (syscall(SYS_syslog, type, NULL, -1) != -1 || errno != EPERM))
                GUEST_FAIL("action %d: got %s", type, strerrorname_np(errno));
        }
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(syscall(SYS_syslog, 2, buffer, 0), 0);
    CHECK_EQ(syscall(SYS_syslog, 4, buffer, 0), 0); /* of nothing, nothing is cleared or told */
    CHECK_ERRNO(syscall(SYS_syslog, 4, NULL, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, 4, buffer, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, INT32_MIN, buffer, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, 8, NULL, -1), EINVAL);
}

TEST(kinds_of_random_bytes)
{
    static const unsigned kinds[] = {0, GRND_NONBLOCK, GRND_RANDOM, GRND_RANDOM | GRND_NONBLOCK, GRND_INSECURE, GRND_INSECURE | GRND_NONBLOCK};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        unsigned char *bytes = guarded(48), zero[48] = {0};
        memset(bytes, 0, 48);
        CHECK_EQ(syscall(SYS_getrandom, bytes, 48, kinds[i]), 48);
        CHECK(memcmp(bytes, zero, 48) != 0);
        CHECK_EQ(syscall(SYS_getrandom, bytes + 48, 0, kinds[i]), 0);
        CHECK_ERRNO(syscall(SYS_getrandom, bad_address, 1, kinds[i]), EFAULT);
        CHECK_EQ(syscall(SYS_getrandom, bytes, 4096, kinds[i]), 48); /* as far as memory goes */
    }
    unsigned char byte;
    CHECK_ERRNO(syscall(SYS_getrandom, &byte, 1, GRND_RANDOM | GRND_INSECURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, &byte, 1, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, bad_address, 1, 8), EINVAL);
}

TEST(the_cpu_that_one_runs_on)
{
    unsigned *cpu = guarded(sizeof *cpu), *node = guarded(sizeof *node);
    *cpu = *node = 4096;
    CHECK_OK(syscall(SYS_getcpu, cpu, node, NULL));
    CHECK(*cpu < 4096 && *node < 4096);
    CHECK_OK(syscall(SYS_getcpu, NULL, NULL, NULL));
    CHECK_OK(syscall(SYS_getcpu, cpu, NULL, bad_address)); /* tcache is not looked at */
    CHECK_ERRNO(syscall(SYS_getcpu, bad_address, node, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_getcpu, cpu, bad_address, NULL), EFAULT);
    CHECK_ERRNO(uname(bad_address), EFAULT);
    CHECK_ERRNO(sysinfo(bad_address), EFAULT);
}

/* In a namespace of its own natively; a sandbox has one, and in it what may be set is set back. */
TEST(host_and_domain_names)
{
    if (geteuid() != 0)
        SKIP("root may set them");
    unshare(CLONE_NEWUTS);
    struct utsname before, now;
    REQUIRE_OK(uname(&before));
    static const struct {
        const char *name;
        long number;
        size_t offset;
    } calls[] = {{"sethostname", SYS_sethostname, offsetof(struct utsname, nodename)},
                 {"setdomainname", SYS_setdomainname, offsetof(struct utsname, domainname)}};
    char *name = guarded(64);
    for (int i = 0; i < 2; i++) {
        long nr = calls[i].number;
        const char *shown = (const char *)&now + calls[i].offset;
        memset(name, 'n', 64);
        CHECK_OK(syscall(nr, name, 64));
        CHECK_OK(uname(&now));
        CHECK_EQ(strlen(shown), 64);
        CHECK_OK(syscall(nr, name + 60, 4));
        CHECK_OK(uname(&now));
        CHECK_STR(shown, "nnnn");
        CHECK_ERRNO(syscall(nr, name, 65), EINVAL);
        CHECK_ERRNO(syscall(nr, name, -1), EINVAL);
        CHECK_ERRNO(syscall(nr, bad_address, 65), EINVAL);
        CHECK_ERRNO(syscall(nr, bad_address, 1), EFAULT);
        CHECK_ERRNO(syscall(nr, name + 61, 4), EFAULT);
        CHECK_OK(uname(&now));
        CHECK_STR(shown, "nnnn");
        CHECK_OK(syscall(nr, bad_address, 0));
        CHECK_OK(uname(&now));
        CHECK_STR(shown, "");
        pid_t pid = fork_child();
        if (pid == 0) {
            CHECK_OK(setresuid(1000, 1000, 1000));
            CHECK_ERRNO(syscall(nr, bad_address, 65), EPERM);
            guest_finish();
        }
        CHECK_CHILD(pid);
        const char *old = (const char *)&before + calls[i].offset;
        CHECK_OK(syscall(nr, old, strlen(old)));
    }
    CHECK_ERRNO(gethostname(name, 1), ENAMETOOLONG); /* the C library's */
}

TEST(file_system_types_by_number)
{
    enum { INDEX = 1, NAME, COUNT };
    char *name = guarded(64);
    long count = syscall(SYS_sysfs, COUNT);
    if (count == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_SYSFS_SYSCALL");
    CHECK(count > 2);
    for (long i = 0; i < count; i++) {
        CHECK_OK(syscall(SYS_sysfs, NAME, i, name));
        CHECK_EQ(syscall(SYS_sysfs, INDEX, name), i);
    }
    CHECK(syscall(SYS_sysfs, INDEX, "proc") >= 0);
    CHECK_ERRNO(syscall(SYS_sysfs, INDEX, "no such type"), EINVAL);
    CHECK_ERRNO(syscall(SYS_sysfs, INDEX, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_sysfs, NAME, count, name), EINVAL);
    CHECK_ERRNO(syscall(SYS_sysfs, NAME, -1, name), EINVAL);
    CHECK_ERRNO(syscall(SYS_sysfs, NAME, 0, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_sysfs, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sysfs, 4), EINVAL);
}

/* Nothing that a machine would obey: wrong magic numbers or no privilege. */
TEST(restarting_needs_the_words)
{
    if (geteuid() == 0) {
        CHECK_ERRNO(syscall(SYS_reboot, 1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, 1, LINUX_REBOOT_CMD_CAD_OFF, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 0x12345, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2A, 0x12345, NULL), EINVAL);
        CHECK_OK(setresuid(1000, 1000, 1000));
    }
    CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL), EPERM);
    CHECK_ERRNO(syscall(SYS_reboot, 1, 1, 1, bad_address), EPERM);
}

TEST(ports)
{
    if (iopl(0) == -1 && errno == ENOSYS) {
        CHECK_ERRNO(ioperm(0x80, 1, 0), ENOSYS);
        SKIP("a kernel without CONFIG_X86_IOPL_IOPERM");
    }
    CHECK_ERRNO(iopl(4), EINVAL);
    CHECK_ERRNO(iopl(-1), EINVAL);
    CHECK_ERRNO(ioperm(0x80, 0, 1), EINVAL);
    CHECK_ERRNO(ioperm(65536, 1, 1), EINVAL);
    CHECK_ERRNO(ioperm(65535, 2, 1), EINVAL);
    CHECK_ERRNO(ioperm(-1UL, 2, 1), EINVAL);
    CHECK_ERRNO(ioperm(1, -1UL, 1), EINVAL);
    CHECK_OK(iopl(0));
    CHECK_OK(ioperm(0x80, 1, 0)); /* giving up needs nothing */
    if (geteuid() == 0) {
        pid_t pid = fork_child();
        if (pid == 0) { /* a machine that is locked down refuses root, too, and so does the sandbox */
            if (ioperm(0x80, 1, 1) == -1)
                CHECK_EQ(errno, EPERM);
            if (iopl(3) == -1)
                CHECK_EQ(errno, EPERM);
            guest_finish();
        }
        CHECK_CHILD(pid);
        CHECK_OK(setresuid(1000, 1000, 1000));
    }
    CHECK_ERRNO(ioperm(0x80, 1, 1), EPERM);
    for (int level = 1; level <= 3; level++)
        CHECK_ERRNO(iopl(level), EPERM);
}
