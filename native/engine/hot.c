/* hot.c - waiting for the next trap in the call that takes it.
 *
 * ppoll before each SECCOMP_IOCTL_NOTIF_RECV is a sixth of a trap's cost. While nothing else can happen but traps,
 * ptrace stops and signals from outside (no task is parked, no timer runs, Python watches nothing more), the loop
 * blocks in the RECV itself, with those signals unblocked so that they end it.
 *
 * A signal between the last look at the flag and the system call would be lost. So both are in one small stretch of
 * assembly, and the handler moves a thread that it finds there to the exit, as libc does for thread cancellation.
 * The handler does no more: a signal from outside is queued again, blocked, and the signalfd has it as ever. It
 * restarts what it interrupts (a RECV restarts onto its system call instruction, which is in the stretch); of what does
 * not restart only poll() is ever called here, and its callers try again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "engine.h"

extern sigset_t sandbox_listened; /* sandbox/signals.c */

#define WARM_AFTER 64 /* traps in a row with nothing else to wait for: changing the signal mask costs, too */

static volatile int32_t was_signalled; /* read by hot_receive */
static volatile sig_atomic_t has_stops; /* SIGCHLD came */
static volatile sig_atomic_t has_others; /* a signal for a signalfd came */
static bool is_hot, is_prepared;
static uint32_t warmth;
static sigset_t ours; /* SIGCHLD and what signalfds listen for */

/* -errno or 0; -EINTR if was_signalled, or a signal came while it waited */
long hot_receive(int fd, unsigned long request, void *into, volatile int32_t *flag);
extern const char hot_begin[], hot_end[], hot_abort[];
__asm__(".text\n"
        ".globl hot_receive, hot_begin, hot_end, hot_abort\n"
        ".type hot_receive, @function\n"
        "hot_receive:\n"
        "hot_begin:\n"
        "    cmpl $0, (%rcx)\n"
        "    jne hot_abort\n"
        "    movl $16, %eax\n" /* ioctl */
        "    syscall\n"
        "hot_end:\n"
        "    ret\n"
        "hot_abort:\n"
        "    movq $-4, %rax\n" /* -EINTR */
        "    ret\n"
        ".size hot_receive, . - hot_receive\n");

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];
    int saved = errno;
    was_signalled = 1;
    if (sig == SIGCHLD)
        has_stops = 1;
    else { /* for the signalfd: pending again, and blocked when we return */
        has_others = 1;
        sigaddset(&uc->uc_sigmask, sig);
        syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), sig, info);
    }
    if (*rip >= (greg_t)hot_begin && *rip < (greg_t)hot_end)
        *rip = (greg_t)hot_abort;
    errno = saved;
}

/* SIGTTOU stays blocked: it must not reach us while we set a terminal's modes. */
static void prepare(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    ours = sandbox_listened;
    sigaddset(&ours, SIGCHLD);
    sigdelset(&ours, SIGTTOU);
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sigismember(&ours, sig) == 1)
            sigaction(sig, &action, NULL);
    is_prepared = true;
}

/* What the handler noted. True: there was something. */
static bool serve_stops(void)
{
    was_signalled = 0;
    if (!has_stops)
        return false;
    has_stops = 0;
    control_reap();
    return true;
}

bool hot_leave(void)
{
    warmth = 0;
    if (!is_hot)
        return false;
    is_hot = false;
    sigprocmask(SIG_BLOCK, &ours, NULL);
    return serve_stops(); /* the handler took the SIGCHLD: no signalfd will tell of it */
}

bool hot_enter(void)
{
    if (is_hot)
        return true;
    if (++warmth < WARM_AFTER)
        return false;
    if (!is_prepared)
        prepare();
    is_hot = true;
    was_signalled = 0;
    sigprocmask(SIG_UNBLOCK, &ours, NULL);
    /* What is ready by now may have had its signal already, read from the signalfd in the turn before. */
    struct pollfd others = {engine.epoll, POLLIN, 0};
    if (poll(&others, 1, 0) == 0)
        return true;
    hot_leave();
    return false;
}

/* Waits for one trap and serves it. False: something else happened first, or no task uses the filter any more. */
bool hot_turn(void)
{
    if (notify_receive_with(hot_receive, &was_signalled))
        return true;
    serve_stops();
    if (has_others) { /* blocked now: start over cold, and unblock it later */
        has_others = 0;
        hot_leave();
    }
    return false;
}
