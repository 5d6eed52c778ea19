/* signal_errors: what calls about signals refuse: sizes of sets, numbers, pointers, senders, alternate stacks. */
#include "guest.h"

enum { NOBODY = 0x3ffff0, SET_BYTES = 8 };

static sigset_t none;
static siginfo_t queued = {.si_code = SI_QUEUE};
static struct timespec no_time;

TEST(sets_have_one_size)
{
    static const struct {
        const char *name;
        long nr, arguments[3];
        int size_at;
    } calls[] = {{"rt_sigaction", SYS_rt_sigaction, {SIGUSR1, 0, 0}, 3},
                 {"rt_sigprocmask", SYS_rt_sigprocmask, {SIG_BLOCK, (long)&none, 0}, 3},
                 {"rt_sigpending", SYS_rt_sigpending, {(long)&none}, 1},
                 {"rt_sigsuspend", SYS_rt_sigsuspend, {(long)&none}, 1},
                 {"rt_sigtimedwait", SYS_rt_sigtimedwait, {(long)&none, 0, (long)&no_time}, 3}};
    static const size_t sizes[] = {0, 4, 9, 128, SIZE_MAX};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            long given[4] = {calls[i].arguments[0], calls[i].arguments[1], calls[i].arguments[2], 0};
            given[calls[i].size_at] = (long)sizes[j];
            if (calls[i].nr == SYS_rt_sigpending && sizes[j] < SET_BYTES) { /* a shorter one is filled */
                CHECK_OK(syscall(calls[i].nr, given[0], given[1], given[2], given[3]));
                continue;
            }
            errno = 0;
            if (syscall(calls[i].nr, given[0], given[1], given[2], given[3]) != -1 || errno != EINVAL)
                GUEST_FAIL("%s, %zu bytes: %s", calls[i].name, sizes[j], strerrorname_np(errno));
        }
}

TEST(pointers)
{
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, bad_address, NULL, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, bad_address, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad_address, NULL, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad_address, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigpending, bad_address, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigsuspend, bad_address, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, bad_address, NULL, &no_time, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &none, NULL, bad_address, SET_BYTES), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, bad_address), EFAULT);
}

TEST(numbers)
{
    pid_t self = getpid();
    static const int signals[] = {65, -1, 1000};
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(syscall(SYS_kill, self, signals[i]), EINVAL);
        CHECK_ERRNO(syscall(SYS_tkill, self, signals[i]), EINVAL);
        CHECK_ERRNO(syscall(SYS_tgkill, self, self, signals[i]), EINVAL);
        CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, self, signals[i], &queued), EINVAL);
        CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, self, signals[i], &queued), EINVAL);
        CHECK_ERRNO(syscall(SYS_rt_sigaction, signals[i], NULL, NULL, SET_BYTES), EINVAL);
    }
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, NULL, SET_BYTES), EINVAL);
    static const int fixed[] = {SIGKILL, SIGSTOP};
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } ignore = {SIG_IGN, 0, NULL, 0};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(syscall(SYS_rt_sigaction, fixed[i], &ignore, NULL, SET_BYTES), EINVAL);
        CHECK_OK(syscall(SYS_rt_sigaction, fixed[i], NULL, &ignore, SET_BYTES));
        CHECK(ignore.handler == SIG_DFL);
    }
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 3, &none, NULL, SET_BYTES), EINVAL);
    CHECK_OK(syscall(SYS_rt_sigprocmask, 3, NULL, &none, SET_BYTES)); /* how is of no interest then */
    struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    for (int i = 0; i < 3; i++)
        CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &none, NULL, &bad[i], SET_BYTES), EINVAL);
    sigemptyset(&none);
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &none, NULL, &no_time, SET_BYTES), EAGAIN);
    static const int wrong[] = {0, -1};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(syscall(SYS_tkill, wrong[i], SIGUSR1), EINVAL);
        CHECK_ERRNO(syscall(SYS_tgkill, self, wrong[i], SIGUSR1), EINVAL);
        CHECK_ERRNO(syscall(SYS_tgkill, wrong[i], self, SIGUSR1), EINVAL);
        CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, wrong[i], SIGUSR1, &queued), EINVAL);
        CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, wrong[i], self, SIGUSR1, &queued), EINVAL);
    }
}

static volatile sig_atomic_t seen;
static siginfo_t last;

static void remember(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    last = *info;
    seen++;
}

TEST(information_for_one_thread)
{
    struct sigaction action = {.sa_sigaction = remember, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    siginfo_t info = {.si_code = SI_QUEUE};
    info.si_value.sival_int = 4242;
    info.si_pid = getpid();
    CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
    CHECK_EQ(seen, 1);
    CHECK_EQ(last.si_code, SI_QUEUE);
    CHECK_EQ(last.si_value.sival_int, 4242);
    CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 0, &info));
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), NOBODY, SIGUSR1, &info), ESRCH);
    pid_t pid = fork_child();
    if (pid == 0)
        for (;;)
            pause();
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, pid, gettid(), SIGUSR1, &info), ESRCH); /* not its thread */
    static const int forged[] = {SI_USER, SI_TKILL, SI_KERNEL};
    for (int i = 0; i < 3; i++) { /* as if the kernel or kill had said so: to oneself only */
        info.si_code = forged[i];
        CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
        CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR1, &info), EPERM);
        seen = 0;
        CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
        CHECK_EQ(seen, 1);
        CHECK_EQ(last.si_code, forged[i]);
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

/* ---- alternate stacks ---------------------------------------------------------------------------------------------- */

static char room[65536];
static int busy_errno;

static void on_alternate_stack(int signal_number)
{
    (void)signal_number;
    stack_t other = {.ss_sp = room, .ss_size = sizeof room}, now;
    busy_errno = sigaltstack(&other, NULL) ? errno : 0;
    CHECK_OK(sigaltstack(NULL, &now));
    CHECK_EQ(now.ss_flags, SS_ONSTACK);
}

TEST(alternate_stacks_that_are_refused)
{
    stack_t stack = {.ss_sp = room, .ss_size = 100};
    CHECK_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = 0x40;
    stack.ss_size = sizeof room;
    CHECK_ERRNO(sigaltstack(&stack, NULL), EINVAL);
    CHECK_ERRNO(sigaltstack(bad_address, NULL), EFAULT);
    CHECK_ERRNO(sigaltstack(NULL, bad_address), EFAULT);
    stack.ss_flags = 0;
    CHECK_OK(sigaltstack(&stack, NULL));
    handle_signal(SIGUSR1, on_alternate_stack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(busy_errno, EPERM); /* not while it is in use */
    stack.ss_flags = SS_DISABLE;
    stack.ss_size = 0; /* not looked at */
    CHECK_OK(sigaltstack(&stack, NULL));
    CHECK_OK(sigaltstack(NULL, &stack));
    CHECK_EQ(stack.ss_flags, SS_DISABLE);
}
