/* inject.c - a call of the sentry's own, run by the task that waits in a trap.
 *
 * Some things only the task itself can do on the host kernel: take one of its pending signals out of the queue
 * (signalfd). The trap is given up for a ptrace stop, the call is run there, and from then on the trap is answered
 * through the registers (`by_regs`).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "engine.h"

/* Below the stack pointer: what the x86-64 ABI leaves to leaf functions. */
#define RED_ZONE 128

/* What is there may be below the end that the stack has so far. process_vm_readv(2) does not make it grow; ptrace(2)
 * does, as the task itself would. */
uint64_t inject_borrow(struct task *t, uint64_t stack, void *kept, size_t size)
{
    uint64_t at = (stack - RED_ZONE - size) & ~15ULL;
    if (um_read(t, at, kept, size) >= 0)
        return at;
    ptrace(PTRACE_PEEKDATA, t->tid, (void *)at, NULL);
    return um_read(t, at, kept, size) >= 0 ? at : 0;
}

/* Out of the trap, into a stop with the registers of the call's return. */
bool inject_stop(struct task *t, struct user_regs_struct *regs)
{
    if (t->by_regs || platform == &ptrace_platform)
        return task_regs(t, regs) == 0;
    if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL))
        return false;
    platform->answer(t, 0);
    t->state = TASK_TRAPPED;
    /* Where its calls are seen that is their exit stop: any stop takes the place of one that was asked for. */
    return control_wait_stop(t, PTRACE_CONT) >= 0 && task_regs(t, regs) == 0;
}

/* siginfo is where no compiler puts it: the filter lets rt_sigtimedwait through then (the row in signal.toml). */
struct frame {
    uint64_t set;
    struct timespec timeout;
    char odd[5];
    char info[sizeof(siginfo_t)];
} __attribute__((packed));
_Static_assert(offsetof(struct frame, info) % 8 == 5, "the row's condition");

int task_dequeue_signal(struct task *t, uint64_t mask, void *info)
{
    struct user_regs_struct saved, regs;
    struct frame frame = {.set = mask}, kept;
    uint64_t all = ~0ULL, blocked;
    if (!inject_stop(t, &saved))
        return -ESRCH;
    bool is_entered = platform == &ptrace_platform && !t->by_regs;
    if (!t->by_regs)
        memcpy(t->saved_regs, &saved, sizeof saved);
    t->by_regs = 1;
    uint64_t at = inject_borrow(t, saved.rsp, &kept, sizeof kept);
    if (!at || um_write(t, at, &frame, sizeof frame) < 0)
        return -EFAULT;
    if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof blocked, &blocked) ||
        ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof all, &all))
        return -ESRCH;
    regs = saved;
    regs.rax = SYS_rt_sigtimedwait;
    regs.rdi = at + offsetof(struct frame, set);
    regs.rsi = at + offsetof(struct frame, info);
    regs.rdx = at + offsetof(struct frame, timeout);
    regs.r10 = sizeof frame.set;
    if (is_entered)
        regs.orig_rax = SYS_rt_sigtimedwait;
    else {
        regs.rip -= 2; /* back onto the syscall instruction */
        regs.orig_rax = (unsigned long long)-1;
    }
    int64_t result = -ESRCH;
    if (task_set_regs(t, &regs) == 0) {
        task_resume(t, PTRACE_SYSCALL, 0);
        bool is_there = control_wait_stop(t, PTRACE_SYSCALL) >= 0;
        if (is_there && !is_entered) { /* that was the entry */
            task_resume(t, PTRACE_SYSCALL, 0);
            is_there = control_wait_stop(t, PTRACE_SYSCALL) >= 0;
        }
        if (is_there && task_regs(t, &regs) == 0)
            result = (int64_t)regs.rax;
    }
    if (result > 0 && um_read(t, at, &frame, sizeof frame) > 0)
        memcpy(info, frame.info, sizeof frame.info);
    um_write(t, at, &kept, sizeof kept);
    ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof blocked, &blocked);
    control_send_held(t);
    return (int)result;
}

/* Ends a trap that was given up: true if this one was. */
bool inject_answer(struct task *t, int64_t result)
{
    struct user_regs_struct regs;
    if (!t->by_regs)
        return false;
    t->by_regs = 0;
    t->state = TASK_RUNNING;
    memcpy(&regs, t->saved_regs, sizeof regs);
    bool is_restart = result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND;
    regs.orig_rax = is_restart ? (unsigned long long)(int64_t)t->trap.nr : (unsigned long long)-1;
    regs.rax = (unsigned long long)result;
    task_set_regs(t, &regs);
    if (is_restart)
        make_restart_sure(t);
    call_ends(t);
    return true;
}
