/* others: what a call that names a process answers for a stranger's, and for one that does not exist. */
#include "guest.h"

#include <sys/resource.h>
#include <sys/uio.h>

enum { WHO = -77000077, NOBODY = 0x3ffff0, STRANGER_ID = 4321, KCMP_VM = 1, IO_PROCESS = 1, IO_IDLE = 3 << 13 };
enum { NR_PROCESS_MADVISE = 440, NR_PIDFD_GETFD = 438 };

static char room[4096];
static struct iovec own = {room, 8};
static int zero;
static unsigned long node_zero = 1;
static siginfo_t queued = {.si_code = SI_QUEUE};
static unsigned attributes[12] = {48}; /* struct sched_attr: SCHED_OTHER, nice 0 */
static unsigned long cpus[128];
static void *page = room;

/* WHO stands for the process. `stranger` is the errno, 0: everybody may ask. All of them answer ESRCH for nobody. */
static const struct {
    const char *name;
    long nr, arguments[6];
    int stranger;
} requests[] = {
    {"kill", SYS_kill, {WHO, SIGWINCH}, EPERM},
    {"tkill", SYS_tkill, {WHO, SIGWINCH}, EPERM},
    {"tgkill", SYS_tgkill, {WHO, WHO, SIGWINCH}, EPERM},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, {WHO, SIGWINCH, (long)&queued}, EPERM},
    {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, {WHO, WHO, SIGWINCH, (long)&queued}, EPERM},
    {"kcmp", SYS_kcmp, {WHO, WHO, KCMP_VM}, EPERM},
    {"process_vm_readv", SYS_process_vm_readv, {WHO, (long)&own, 1, (long)&own, 1, 0}, EPERM},
    {"process_vm_writev", SYS_process_vm_writev, {WHO, (long)&own, 1, (long)&own, 1, 0}, EPERM},
    {"get_robust_list", SYS_get_robust_list, {WHO, (long)room, (long)room}, EPERM},
    {"sched_setparam", SYS_sched_setparam, {WHO, (long)&zero}, EPERM},
    {"sched_setscheduler", SYS_sched_setscheduler, {WHO, SCHED_OTHER, (long)&zero}, EPERM},
    {"sched_setattr", SYS_sched_setattr, {WHO, (long)attributes, 0}, EPERM},
    {"sched_setaffinity", SYS_sched_setaffinity, {WHO, sizeof cpus, (long)cpus}, EPERM},
    {"sched_getparam", SYS_sched_getparam, {WHO, (long)room}, 0},
    {"sched_getscheduler", SYS_sched_getscheduler, {WHO}, 0},
    {"sched_getattr", SYS_sched_getattr, {WHO, (long)room, 48, 0}, 0},
    {"sched_getaffinity", SYS_sched_getaffinity, {WHO, sizeof cpus, (long)room}, 0},
    {"sched_rr_get_interval", SYS_sched_rr_get_interval, {WHO, (long)room}, 0},
    {"prlimit64", SYS_prlimit64, {WHO, RLIMIT_NOFILE, 0, (long)room}, EPERM},
    {"getpriority", SYS_getpriority, {PRIO_PROCESS, WHO}, 0},
    {"setpriority", SYS_setpriority, {PRIO_PROCESS, WHO, 19}, EPERM},
    {"ioprio_get", SYS_ioprio_get, {IO_PROCESS, WHO}, 0},
    {"ioprio_set", SYS_ioprio_set, {IO_PROCESS, WHO, IO_IDLE}, EPERM},
    {"migrate_pages", SYS_migrate_pages, {WHO, 64, (long)&node_zero, (long)&node_zero}, EPERM},
    {"move_pages", SYS_move_pages, {WHO, 1, (long)&page, 0, (long)room, 0}, EPERM},
    {"getpgid", SYS_getpgid, {WHO}, 0},
    {"getsid", SYS_getsid, {WHO}, 0},
    {"setpgid", SYS_setpgid, {WHO, 0}, ESRCH}, /* not a child */
};

static int answer_for(size_t which, long who)
{
    long given[6];
    for (int i = 0; i < 6; i++)
        given[i] = requests[which].arguments[i] == WHO ? who : requests[which].arguments[i];
    errno = 0;
    return syscall(requests[which].nr, given[0], given[1], given[2], given[3], given[4], given[5]) == -1 ? errno : 0;
}

static void check_all(long who, bool is_stranger)
{
    REQUIRE(syscall(SYS_sched_getaffinity, 0, sizeof cpus, cpus) > 0);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int expected = is_stranger ? requests[i].stranger : ESRCH, got = answer_for(i, who);
        if (got != expected && got != ENOSYS) /* a kernel without CONFIG_NUMA, CONFIG_KCMP */
            GUEST_FAIL("%s: expected %s, got %s", requests[i].name, strerrorname_np(expected), strerrorname_np(got));
    }
}

static void become_a_stranger(void)
{
    REQUIRE_OK(setresgid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
    REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
}

TEST(nobody_has_that_number)
{
    check_all(NOBODY, false);
}

TEST(strangers)
{
    if (geteuid() != 0)
        SKIP("only root becomes somebody else");
    pid_t target = fork_child();
    if (target == 0)
        for (;;)
            pause();
    pid_t pid = fork_child();
    if (pid == 0) {
        become_a_stranger();
        check_all(target, true);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)target), 0); /* nothing happened to it */
    CHECK_OK(kill(target, SIGKILL));
    CHECK_SIGNALED(wait_status(target), SIGKILL);
}

TEST(pidfds_of_strangers)
{
    if (geteuid() != 0)
        SKIP("only root becomes somebody else");
    int parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
    REQUIRE(parent >= 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        become_a_stranger();
        CHECK_ERRNO(syscall(NR_PIDFD_GETFD, parent, 0, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_pidfd_send_signal, parent, SIGWINCH, NULL, 0), EPERM);
        CHECK_ERRNO(syscall(NR_PROCESS_MADVISE, parent, &own, 1L, MADV_COLD, 0), EACCES);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(advice_about_a_process_of_the_same_user)
{
    pid_t target = fork_child();
    if (target == 0) {
        if (geteuid() == 0)
            become_a_stranger();
        prctl(PR_SET_DUMPABLE, 1); /* which the change of ids took */
        for (;;)
            pause();
    }
    wait_for_state(target, 'S');
    int pidfd = (int)syscall(SYS_pidfd_open, target, 0);
    REQUIRE(pidfd >= 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        if (geteuid() == 0)
            become_a_stranger();
        CHECK_ERRNO(syscall(NR_PROCESS_MADVISE, pidfd, &own, 1L, MADV_COLD, 0), EPERM);
        CHECK_ERRNO(syscall(NR_PROCESS_MADVISE, pidfd, &own, 1L, MADV_DONTNEED, 0), EINVAL); /* one's own memory only */
        CHECK_ERRNO(syscall(NR_PROCESS_MADVISE, pidfd, &own, 1L, 999, 0), EINVAL);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(kill(target, SIGKILL));
    CHECK_SIGNALED(wait_status(target), SIGKILL);
}

TEST(pidfds_of_the_reaped)
{
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(0);
    int child = (int)syscall(SYS_pidfd_open, pid, 0);
    REQUIRE(child >= 0);
    CHECK_CHILD(pid);
    CHECK_ERRNO(syscall(NR_PIDFD_GETFD, child, 0, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, child, 0, NULL, 0), ESRCH);
    CHECK_ERRNO(syscall(NR_PROCESS_MADVISE, child, &own, 1L, MADV_COLD, 0), ESRCH);
}

TEST(no_number_is_left_for_a_pidfd)
{
    int own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct rlimit limit = {(rlim_t)own_pidfd + 1, (rlim_t)own_pidfd + 1};
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 0), EMFILE);
    CHECK_ERRNO(syscall(NR_PIDFD_GETFD, own_pidfd, 0, 0), EMFILE);
    CHECK_ERRNO(syscall(SYS_memfd_create, "m", 0), EMFILE);
}

TEST(vectors_of_another_process)
{
    pid_t self = getpid();
    struct iovec huge = {room, (size_t)-1};
    for (long nr = SYS_process_vm_readv; nr <= SYS_process_vm_writev; nr++) {
        CHECK_EQ(syscall(nr, self, &own, 1L, &own, 1L, 0L), 8);
        CHECK_EQ(syscall(nr, self, &own, 0L, &own, 1L, 0L), 0);
        CHECK_ERRNO(syscall(nr, self, &own, 1L, &own, 1L, 1L), EINVAL);
        CHECK_ERRNO(syscall(nr, self, &own, 1025L, &own, 1L, 0L), EINVAL);
        CHECK_ERRNO(syscall(nr, self, &own, 1L, &own, 1025L, 0L), EINVAL);
        CHECK_ERRNO(syscall(nr, self, &huge, 1L, &own, 1L, 0L), EINVAL);
        CHECK_ERRNO(syscall(nr, self, bad_address, 1L, &own, 1L, 0L), EFAULT);
        CHECK_ERRNO(syscall(nr, self, &own, 1L, bad_address, 1L, 0L), EFAULT);
        struct iovec nowhere = {bad_address, 8};
        CHECK_ERRNO(syscall(nr, self, &own, 1L, &nowhere, 1L, 0L), EFAULT);
    }
}
