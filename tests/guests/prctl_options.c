/* prctl_options: prctl(2) option by option, arch_prctl(2) and personality(2): what is set is read, and what is refused. */
#include "guest.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/personality.h>
#include <sys/utsname.h>

enum { STRANGER_ID = 4321, NR_ARCH_PRCTL = 158 };

static void become_unprivileged(void)
{
    if (geteuid() == 0) {
        REQUIRE_OK(setresgid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
    }
}

/* What prctl answers: a value, or an errno below 0. */
static long answer(int option, unsigned long second, unsigned long third, unsigned long fourth, unsigned long fifth)
{
    long result = syscall(SYS_prctl, (long)option, second, third, fourth, fifth);
    return result == -1 ? -errno : result;
}

TEST(death_signal)
{
    int number = -1;
    CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    CHECK_OK(prctl(PR_GET_PDEATHSIG, &number));
    CHECK_EQ(number, SIGUSR1);
    CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_PDEATHSIG, bad_address), EFAULT);
    pid_t pid = fork();
    if (pid == 0) {
        guest_failures = 0;
        CHECK_OK(prctl(PR_GET_PDEATHSIG, &number));
        CHECK_EQ(number, 0); /* not inherited */
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(subreaper)
{
    int is_set = -1;
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 5));
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &is_set));
    CHECK_EQ(is_set, 1);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &is_set));
    CHECK_EQ(is_set, 0);
    CHECK_ERRNO(prctl(PR_GET_CHILD_SUBREAPER, bad_address), EFAULT);
}

TEST(capabilities_kept_at_setuid)
{
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
    CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
    CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
    CHECK_EQ(answer(PR_GET_SECUREBITS, 0, 0, 0, 0), SECBIT_KEEP_CAPS); /* the same thing */
    if (geteuid() != 0) {
        CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT), EPERM);
        CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
        CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
        return;
    }
    CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED));
    CHECK_EQ(answer(PR_GET_SECUREBITS, 0, 0, 0, 0), SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED);
    CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 0), EPERM); /* locked */
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0), EPERM);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1 << 20), EPERM);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
    CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
    CHECK_ERRNO(prctl(PR_CAPBSET_READ, 99), EINVAL);
    CHECK_ERRNO(prctl(PR_CAPBSET_DROP, 99), EINVAL);
    CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE));
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
}

TEST(ambient_capabilities)
{
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_KILL, 0, 0));
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 99, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 1, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0), EINVAL);
}

TEST(seccomp_mode_is_told)
{
    CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

static volatile sig_atomic_t faults;

static void on_fault(int signal_number)
{
    (void)signal_number;
    faults++;
    prctl(PR_SET_TSC, PR_TSC_ENABLE);
}

TEST(the_time_stamp_counter_can_be_kept_away)
{
    int mode = 0;
    CHECK_OK(prctl(PR_GET_TSC, &mode));
    CHECK_EQ(mode, PR_TSC_ENABLE);
    handle_signal(SIGSEGV, on_fault, 0);
    CHECK_OK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
    (void)__builtin_ia32_rdtsc(); /* once more, allowed again */
    CHECK_EQ(faults, 1);
    CHECK_ERRNO(prctl(PR_SET_TSC, 9), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_TSC, bad_address), EFAULT);
}

TEST(timer_slack)
{
    long normal = answer(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    CHECK(normal > 0);
    CHECK_OK(prctl(PR_SET_TIMERSLACK, 1234567));
    CHECK_EQ(answer(PR_GET_TIMERSLACK, 0, 0, 0, 0), 1234567);
    CHECK_OK(prctl(PR_SET_TIMERSLACK, 0)); /* as at the start */
    CHECK_EQ(answer(PR_GET_TIMERSLACK, 0, 0, 0, 0), normal);
}

TEST(huge_pages_can_be_declined)
{
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
    CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
    CHECK_ERRNO(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
}

TEST(speculation)
{
    long state = answer(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
    CHECK(state >= 0);
    bool is_own = state & PR_SPEC_PRCTL; /* not of a processor that has no such thing */
    long result = answer(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0);
    CHECK_EQ(result, is_own ? 0 : -ENXIO);
    if (is_own)
        CHECK(answer(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0) & PR_SPEC_DISABLE);
    CHECK_ERRNO(prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0x400, 0, 0), is_own ? ERANGE : ENXIO);
    CHECK_ERRNO(prctl(PR_GET_SPECULATION_CTRL, 99, 0, 0, 0), ENODEV);
    CHECK_ERRNO(prctl(PR_SET_SPECULATION_CTRL, 99, PR_SPEC_ENABLE, 0, 0), ENODEV);
    CHECK_ERRNO(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 1, 0, 0), EINVAL);
}

TEST(constants)
{
    CHECK_EQ(prctl(PR_GET_TIMING), PR_TIMING_STATISTICAL);
    CHECK_OK(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL));
    CHECK_ERRNO(prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP), EINVAL);
    CHECK_OK(prctl(PR_TASK_PERF_EVENTS_DISABLE));
    CHECK_OK(prctl(PR_TASK_PERF_EVENTS_ENABLE));
    long kill_policy = answer(PR_MCE_KILL_GET, 0, 0, 0, 0);
    CHECK(kill_policy == PR_MCE_KILL_DEFAULT || kill_policy == -EINVAL); /* without CONFIG_MEMORY_FAILURE */
    CHECK_ERRNO(prctl(PR_MCE_KILL_GET, 1, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_UNALIGN, 0, 0, 0, 0), EINVAL); /* other machines' */
    CHECK_ERRNO(prctl(PR_GET_ENDIAN, 0, 0, 0, 0), EINVAL);
}

/* What wants a privilege that a child without any has not; PR_SET_MM and PR_SCHED_CORE are not in every kernel. */
TEST(options_that_want_privilege)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        CHECK_ERRNO(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0), EPERM);
        CHECK_ERRNO(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), EPERM);
        CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0), EPERM);
        CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_KILL), EPERM);
        CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT), EPERM);
        long result = answer(PR_MCE_KILL, PR_MCE_KILL_SET, 99, 0, 0);
        CHECK(result == -EINVAL || result == -EPERM);
        result = answer(PR_SCHED_CORE, PR_SCHED_CORE_GET, 1, 99, 0);
        CHECK(result == -EINVAL || result == -EPERM || result == -ENODEV);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(filters_by_prctl_are_refused)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(prctl(PR_SET_SECCOMP, 2, bad_address), EFAULT);
        become_unprivileged();
        struct {
            unsigned short length;
            void *filter;
        } program = {1, (uint64_t[]){0x7fff000000000006}}; /* return ALLOW */
        CHECK_ERRNO(prctl(PR_SET_SECCOMP, 2, &program), EACCES);
        REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        CHECK_OK(prctl(PR_SET_SECCOMP, 2, &program));
        CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- arch_prctl ---------------------------------------------------------------------------------------------------- */

static long arch(int operation, unsigned long address)
{
    long result = syscall(NR_ARCH_PRCTL, operation, address);
    return result == -1 ? -errno : result;
}

TEST(segment_bases)
{
    unsigned long base = 0, word = 0x1234567;
    CHECK_OK(arch(ARCH_GET_FS, (unsigned long)&base));
    CHECK(base == (unsigned long)__builtin_thread_pointer());
    CHECK_EQ(arch(ARCH_SET_FS, base), 0);
    CHECK_EQ(arch(ARCH_SET_GS, (unsigned long)&word), 0);
    CHECK_EQ(arch(ARCH_GET_GS, (unsigned long)&base), 0);
    CHECK(base == (unsigned long)&word);
    unsigned long through;
    __asm__("mov %%gs:0, %0" : "=r"(through));
    CHECK_EQ(through, 0x1234567);
    CHECK_EQ(arch(ARCH_GET_FS, (unsigned long)bad_address), -EFAULT);
    CHECK_EQ(arch(ARCH_GET_GS, (unsigned long)bad_address), -EFAULT);
    CHECK_EQ(arch(ARCH_SET_FS, 1ul << 63), -EPERM);
    CHECK_EQ(arch(ARCH_SET_GS, 1ul << 63), -EPERM);
    CHECK_EQ(arch(0x9999, 0), -EINVAL);
}

/* What not every processor or kernel has: what it does, or the errno of one without. */
TEST(parts_of_the_processor)
{
    uint64_t features = 0;
    long known = arch(ARCH_GET_XCOMP_SUPP, (unsigned long)&features);
    CHECK(known == 0 ? (features & 3) == 3 : known == -EINVAL); /* x87 and SSE are everywhere */
    long permitted = arch(ARCH_GET_XCOMP_PERM, (unsigned long)&features);
    CHECK(permitted == 0 ? (features & 3) == 3 : permitted == -EINVAL);
    long asked = arch(ARCH_REQ_XCOMP_PERM, 63);
    CHECK(asked == -EINVAL || asked == -EOPNOTSUPP); /* no such feature */
    long faults_at_cpuid = arch(ARCH_GET_CPUID, 0);
    CHECK(faults_at_cpuid == 1 || faults_at_cpuid == -EINVAL);
    long set = arch(ARCH_SET_CPUID, 1); /* as it is */
    CHECK(set == 0 || set == -ENODEV || set == -EINVAL);
    long again = arch(0x2003, 0); /* ARCH_MAP_VDSO_64 */
    CHECK(again == -EEXIST || again == -EINVAL);
    for (int operation = 0x5001; operation <= 0x5005; operation++) { /* shadow stacks: of no feature, or to nowhere */
        long result = arch(operation, operation == 0x5005 ? (unsigned long)bad_address : 1ul << 40);
        CHECK(result == -EINVAL || result == -EOPNOTSUPP || result == -EPERM || result == -EFAULT ||
              (result == 0 && operation == 0x5003)); /* ARCH_SHSTK_LOCK takes what it does not know */
    }
    CHECK_EQ(arch(0x3001, 0), -EINVAL); /* ARCH_CET_STATUS came to no release */
}

/* ---- personality --------------------------------------------------------------------------------------------------- */

HELPER(tell_personality)
{
    return personality(0xffffffff) == ADDR_NO_RANDOMIZE ? 42 : 1;
}

TEST(a_personality_is_set_told_and_inherited)
{
    unsigned long first = (unsigned long)personality(0xffffffff);
    CHECK_EQ(personality(ADDR_NO_RANDOMIZE), first);
    CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
        self_exec("tell_personality", NULL);
        _exit(99);
    }
    CHECK_EXITED(wait_status(pid), 42);
    CHECK_EQ(personality(UNAME26), ADDR_NO_RANDOMIZE);
    struct utsname name;
    CHECK_OK(uname(&name));
    CHECK(strncmp(name.release, "2.6.", 4) == 0);
    CHECK_EQ(personality(READ_IMPLIES_EXEC), UNAME26);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = (char)0xc3; /* ret */
    ((void (*)(void))page)();
    CHECK_EQ(personality(PER_LINUX), READ_IMPLIES_EXEC);
    CHECK_OK(uname(&name));
    CHECK(strncmp(name.release, "2.6.", 4) != 0);
}
