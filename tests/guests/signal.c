/* signal: sending, handlers, masks, queues, alternate stacks, and siginfo. Waiting calls: see interrupt.c. */
#include "guest.h"

#include <pthread.h>
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t seen;
static siginfo_t last;

static void count(int signal_number)
{
    (void)signal_number;
    seen++;
}

static void remember(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    last = *info;
    seen++;
}

static void handle_info(int signal_number, int flags)
{
    struct sigaction action = {.sa_sigaction = remember, .sa_flags = SA_SIGINFO | flags};
    REQUIRE_OK(sigaction(signal_number, &action, NULL));
}

static void block(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void unblock(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    REQUIRE_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

TEST(a_handler_runs_before_kill_returns)
{
    handle_signal(SIGUSR1, count, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(seen, 1);
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(seen, 2);
    CHECK_OK(tgkill(getpid(), gettid(), SIGUSR1));
    CHECK_EQ(seen, 3);
    CHECK_OK(syscall(SYS_tkill, gettid(), SIGUSR1));
    CHECK_EQ(seen, 4);
}

TEST(who_sent_it)
{
    handle_info(SIGUSR1, 0);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(last.si_signo, SIGUSR1);
    CHECK_EQ(last.si_code, SI_USER);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_EQ(last.si_uid, getuid());
    CHECK_OK(tgkill(getpid(), gettid(), SIGUSR1));
    CHECK_EQ(last.si_code, SI_TKILL);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42}));
    CHECK_EQ(last.si_code, SI_QUEUE);
    CHECK_EQ(last.si_value.sival_int, 42);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        CHECK_OK(kill(parent, SIGUSR1));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(last.si_code, SI_USER);
    CHECK_EQ(last.si_pid, pid);
}

TEST(permission_and_existence)
{
    CHECK_OK(kill(getpid(), 0));
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_ERRNO(kill(0x3ffff0, 0), ESRCH);
    CHECK_ERRNO(kill(-0x3ffff0, 0), ESRCH);
    CHECK_ERRNO(tgkill(getpid(), 0x3ffff0, 0), ESRCH);
    CHECK_ERRNO(tgkill(-1, gettid(), 0), EINVAL);
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    CHECK_OK(kill(pid, SIGTERM)); /* a zombie still has its number */
    CHECK_EXITED(wait_status(pid), 0);
    CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(blocked_signals_wait_and_merge)
{
    handle_signal(SIGUSR1, count, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(seen, 0);
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
    CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
    unblock(SIGUSR1);
    CHECK_EQ(seen, 1);
}

TEST(real_time_signals_queue)
{
    handle_info(SIGRTMIN + 1, 0);
    block(SIGRTMIN + 1);
    for (int i = 1; i <= 3; i++)
        CHECK_OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}));
    unblock(SIGRTMIN + 1);
    CHECK_EQ(seen, 3);
    CHECK_EQ(last.si_value.sival_int, 3);
}

static volatile int nesting, deepest;

static void nested(int signal_number)
{
    nesting++;
    deepest = nesting > deepest ? nesting : deepest;
    if (++seen < 3)
        raise(signal_number);
    nesting--;
}

TEST(handlers_block_their_own_signal_unless_nodefer)
{
    handle_signal(SIGUSR1, nested, 0);
    raise(SIGUSR1);
    CHECK_EQ(seen, 3);
    CHECK_EQ(deepest, 1);
    seen = 0;
    handle_signal(SIGUSR1, nested, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(deepest, 3);
}

TEST(sa_mask_and_resethand)
{
    struct sigaction action = {.sa_handler = count, .sa_flags = (int)SA_RESETHAND}, old;
    sigaddset(&action.sa_mask, SIGUSR2);
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    CHECK_OK(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == count);
    CHECK(sigismember(&old.sa_mask, SIGUSR2));
    raise(SIGUSR1);
    CHECK_OK(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == SIG_DFL);
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
}

TEST(default_actions_end_the_process)
{
    static const int fatal[] = {SIGTERM, SIGINT, SIGHUP, SIGKILL, SIGUSR1, SIGALRM, SIGQUIT, SIGABRT};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            signal(fatal[i], SIG_DFL);
            raise(fatal[i]);
            _exit(50);
        }
        CHECK_SIGNALED(wait_status(pid), fatal[i]);
    }
    pid_t pid = fork_child();
    if (pid == 0) {
        raise(SIGCHLD);
        raise(SIGURG);
        raise(SIGWINCH);
        _exit(51);
    }
    CHECK_EXITED(wait_status(pid), 51);
}

TEST(killing_a_child_that_blocks_everything)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        for (;;)
            pause();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(kill(pid, SIGTERM));
    int status;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

TEST(killing_a_busy_child)
{
    pid_t pid = fork_child();
    if (pid == 0)
        for (;;)
            ;
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

static sigjmp_buf escape;

static void jump_out(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    (void)signal_number;
    last = *info;
    siglongjmp(escape, 1);
}

TEST(segmentation_fault_tells_the_address)
{
    struct sigaction action = {.sa_sigaction = jump_out, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGSEGV, &action, NULL));
    char *end = (char *)guarded(1) + 1;
    if (sigsetjmp(escape, 1) == 0) {
        *(volatile char *)end = 1;
        CHECK(false);
    }
    CHECK_EQ(last.si_signo, SIGSEGV);
    CHECK_EQ(last.si_code, SEGV_ACCERR);
    CHECK(last.si_addr == end);
    if (sigsetjmp(escape, 1) == 0) {
        *(volatile char *)bad_address = 1;
        CHECK(false);
    }
    CHECK_EQ(last.si_code, SEGV_MAPERR);
    CHECK(last.si_addr == bad_address);
}

TEST(other_faults)
{
    struct sigaction action = {.sa_sigaction = jump_out, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGFPE, &action, NULL));
    REQUIRE_OK(sigaction(SIGILL, &action, NULL));
    REQUIRE_OK(sigaction(SIGTRAP, &action, NULL));
    if (sigsetjmp(escape, 1) == 0)
        __asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
    CHECK_EQ(last.si_signo, SIGFPE);
    CHECK_EQ(last.si_code, FPE_INTDIV);
    if (sigsetjmp(escape, 1) == 0)
        __asm__ volatile("ud2");
    CHECK_EQ(last.si_signo, SIGILL);
    if (sigsetjmp(escape, 1) == 0)
        __asm__ volatile("int3");
    CHECK_EQ(last.si_signo, SIGTRAP);
}

TEST(a_fault_without_a_handler_kills)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        *(volatile char *)bad_address = 1;
        _exit(0);
    }
    CHECK_SIGNALED(wait_status(pid), SIGSEGV);
}

static volatile uintptr_t handler_stack;

static void note_stack(int signal_number)
{
    char here;
    (void)signal_number;
    handler_stack = (uintptr_t)&here;
}

TEST(alternate_stack)
{
    size_t size = 65536;
    char *memory = malloc(size);
    stack_t stack = {.ss_sp = memory, .ss_size = size}, old;
    CHECK_OK(sigaltstack(&stack, NULL));
    handle_signal(SIGUSR1, note_stack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(handler_stack >= (uintptr_t)memory && handler_stack < (uintptr_t)memory + size);
    CHECK_OK(sigaltstack(NULL, &old));
    CHECK(old.ss_sp == memory);
}

TEST(sigtimedwait_takes_a_pending_signal)
{
    block(SIGUSR1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    struct timespec limit = {0, 30000000};
    siginfo_t info;
    CHECK_ERRNO(sigtimedwait(&set, &info, &limit), EAGAIN);
    CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5}));
    CHECK_EQ(sigtimedwait(&set, &info, NULL), SIGUSR1);
    CHECK_EQ(info.si_value.sival_int, 5);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S');
        CHECK_OK(kill(parent, SIGUSR1));
        guest_finish();
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_CHILD(pid);
}

HELPER(report_signals)
{
    struct sigaction ignored, handled;
    sigaction(SIGUSR1, NULL, &ignored);
    sigaction(SIGUSR2, NULL, &handled);
    sigset_t mask, pending;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigpending(&pending);
    return !(ignored.sa_handler == SIG_IGN && handled.sa_handler == SIG_DFL && sigismember(&mask, SIGHUP) &&
             sigismember(&pending, SIGHUP) && !sigismember(&mask, SIGTERM));
}

TEST(what_exec_keeps)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, count);
        block(SIGHUP);
        raise(SIGHUP);
        self_exec("report_signals", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
}

HELPER(wait_to_be_killed)
{
    while (argc >= 0)
        pause();
    return 1;
}

/* True if the child ends within a minute or so. */
static bool ends(pid_t pid, int *status)
{
    for (int i = 0; i < 60000; i++) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        usleep(1000);
    }
    return false;
}

TEST(a_signal_during_fork_and_exec_is_not_lost)
{
    for (int round = 0; round < 60; round++) {
        int status = 0;
        pid_t pid = fork_child();
        if (pid == 0) {
            self_exec("wait_to_be_killed", NULL);
            _exit(99);
        }
        for (volatile int spin = 0; spin < round * 8000; spin++)
            ;
        CHECK_OK(kill(pid, round % 2 ? SIGTERM : SIGUSR1));
        if (!ends(pid, &status)) {
            GUEST_FAIL("round %d: the signal had no effect, the child is in state %c", round, process_state(pid));
            kill(pid, SIGKILL);
            wait_status(pid);
            break;
        }
        CHECK_SIGNALED(status, round % 2 ? SIGTERM : SIGUSR1);
    }
}

TEST(fork_keeps_handlers_and_drops_pending)
{
    handle_signal(SIGUSR1, count, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    pid_t pid = fork_child();
    if (pid == 0) {
        sigset_t pending;
        CHECK_OK(sigpending(&pending));
        CHECK(!sigismember(&pending, SIGUSR1));
        unblock(SIGUSR1);
        CHECK_EQ(seen, 0);
        raise(SIGUSR1);
        CHECK_EQ(seen, 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(process_groups_get_it_all)
{
    int ready[2];
    REQUIRE_OK(pipe(ready));
    pid_t leader = 0, children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork_child();
        leader = leader ? leader : children[i];
        if (children[i] == 0) {
            setpgid(0, leader);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            for (;;)
                pause();
        }
        setpgid(children[i], leader);
    }
    char byte;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_OK(kill(-leader, SIGTERM));
    for (int i = 0; i < 3; i++)
        CHECK_SIGNALED(wait_status(children[i]), SIGTERM);
    CHECK_ERRNO(kill(-leader, 0), ESRCH);
}

static pthread_t target_thread;
static volatile pthread_t handled_by;

static void note_thread(int signal_number)
{
    (void)signal_number;
    handled_by = pthread_self();
    seen++;
}

static void *wait_for_signal(void *argument)
{
    (void)argument;
    while (!seen)
        sched_yield();
    return NULL;
}

TEST(a_thread_can_be_aimed_at)
{
    handle_signal(SIGUSR1, note_thread, 0);
    CHECK_EQ(pthread_create(&target_thread, NULL, wait_for_signal, NULL), 0);
    CHECK_EQ(pthread_kill(target_thread, SIGUSR1), 0);
    CHECK_EQ(pthread_join(target_thread, NULL), 0);
    CHECK(pthread_equal(handled_by, target_thread));
}
