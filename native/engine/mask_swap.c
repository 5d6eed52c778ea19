/* mask_swap.c - ppoll, pselect6 and epoll_pwait wait under a signal mask of their own.
 *
 * When a signal that only this mask lets through ends such a wait, the handler must run under it and the old
 * mask must come back afterwards. The host kernel has a call that does exactly that with a pending signal:
 * rt_sigsuspend. So the wait ends with a stop of the task, its registers turn into that call, and at the
 * delivery of the signal they are put back, as if the program's own call had been interrupted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "engine.h"

void mask_swap_begin(struct task *t)
{
    struct signal_sets sets;
    if (signal_sets_read(t, &sets) == 0 &&
        (sets.pending & ~sets.blocked & ~t->wait_mask || (t->tracing && !(sets.pending & ~t->wait_mask)))) {
        /* Its own mask lets it through too, or it is its tracer that wants it to stop: nothing to swap. */
        platform->interrupt(t, ERESTARTNOHAND);
        return;
    }
    if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) == 0)
        t->mask_swap = 1;
    platform->answer(t, -EINTR);
}

void mask_swap_stop(struct task *t)
{
    struct user_regs_struct regs;
    t->mask_swap = 0;
    if (task_regs(t, &regs) == 0) {
        memcpy(t->saved_regs, &regs, sizeof regs);
        regs.rip -= 2; /* back onto the syscall instruction */
        regs.rax = SYS_rt_sigsuspend;
        regs.rdi = t->wait_mask_addr;
        regs.rsi = 8;
        task_set_regs(t, &regs);
        t->mask_swap = 2;
    }
    task_resume(t, PTRACE_CONT, 0);
}

/* At the delivery stop the frame is not built yet. */
void mask_swap_delivered(struct task *t)
{
    struct user_regs_struct regs, before;
    t->mask_swap = 0;
    if (task_regs(t, &regs))
        return;
    memcpy(&before, t->saved_regs, sizeof before);
    if (regs.rip != before.rip && regs.rip != before.rip - 2)
        return;
    /* Delivered out of rt_sigsuspend, or (another signal came first) before it: the call was interrupted either way. */
    before.rax = (unsigned long long)-EINTR;
    before.orig_rax = (unsigned long long)-1;
    regs = before;
    task_set_regs(t, &regs);
}
