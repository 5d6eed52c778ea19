/* host_call.c - a call that a task runs on the host in place of the one that it waits in.
 *
 * Some calls are nearly the host's, but their arguments have to be translated first: clone without CLONE_PIDFD,
 * waitid of a pid for that of a pidfd, mmap and munmap for shmat and shmdt. Python's handler is a coroutine: it names
 * the call, the trap is given up for a stop (as in inject.c), the call runs like any other of the task's (it may
 * wait, fork, be interrupted), and at its exit stop the coroutine goes on with the result. What it answers then ends
 * the program's own call, whose registers are put back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "engine.h"

enum { NO_CALL, CALL_RUNS, BORN_IN_CALL };

static void set_arguments(struct user_regs_struct *regs, const uint64_t *args)
{
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

/* To the entry of the call, which then only has to be resumed. */
static bool go_to_entry(struct task *t, struct user_regs_struct *regs, bool is_entered)
{
    uint64_t all = ~0ULL, blocked;
    if (is_entered)
        return task_set_regs(t, regs) == 0;
    /* A handler that ran on the way would come back to the changed registers. */
    if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof blocked, &blocked) ||
        ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof all, &all) || task_set_regs(t, regs))
        return false;
    ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL);
    if (control_wait_stop(t, PTRACE_SYSCALL) < 0)
        return false;
    ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof blocked, &blocked);
    control_send_held(t);
    return true;
}

int task_host_call(struct task *t, int32_t nr, const uint64_t *args)
{
    struct user_regs_struct regs;
    bool is_entered = platform == &ptrace_platform && !t->by_regs;
    if (nr == SYS_waitid && t->group->tracees && tracer_wait_has_news(t))
        return -EINTR;
    if (!inject_stop(t, &regs))
        return -ESRCH;
    if (!t->by_regs)
        memcpy(t->saved_regs, &regs, sizeof regs);
    t->by_regs = 1;
    set_arguments(&regs, args);
    if (is_entered)
        regs.orig_rax = (unsigned long long)nr;
    else {
        regs.rip -= 2; /* back onto the syscall instruction */
        regs.rax = (unsigned long long)nr;
        regs.orig_rax = (unsigned long long)-1;
    }
    if (!go_to_entry(t, &regs, is_entered))
        return -ESRCH;
    t->host_call = CALL_RUNS;
    task_resume(t, PTRACE_SYSCALL, 0);
    return 0;
}

uint64_t task_stack_room(struct task *t, uint64_t size)
{
    struct user_regs_struct regs;
    char kept[256];
    if (size > sizeof kept || !inject_stop(t, &regs))
        return 0;
    if (platform != &ptrace_platform && !t->by_regs) {
        memcpy(t->saved_regs, &regs, sizeof regs);
        t->by_regs = 1;
    }
    return inject_borrow(t, regs.rsp, kept, size);
}

bool host_call_exit_stop(struct task *t)
{
    struct user_regs_struct regs;
    if (t->host_call != CALL_RUNS)
        return false;
    t->host_call = NO_CALL;
    t->state = TASK_TRAPPED;
    if (task_regs(t, &regs))
        return true; /* it died: its exit status follows */
    t->host_result = (int64_t)regs.rax;
    switch (-t->host_result) {
    case ERESTARTSYS:
    case ERESTARTNOINTR:
    case ERESTARTNOHAND:
        hooks.resume(t, WAKE_INTERRUPTED);
        t->was_interrupted = 1;
        inject_answer(t, t->host_result);
        break;
    default:
        trap_finish(t, hooks.resume(t, WAKE_READY));
    }
    return true;
}

/* A child gets its parent's registers as the call changed them: notes what they were. */
void host_call_born(struct task *child, const struct task *parent)
{
    if (parent->host_call != CALL_RUNS)
        return;
    child->host_call = BORN_IN_CALL;
    memcpy(child->saved_regs, parent->saved_regs, sizeof child->saved_regs);
}

/* At its first stop, before it runs. */
void host_call_first_stop(struct task *child)
{
    struct user_regs_struct regs, before;
    if (child->host_call != BORN_IN_CALL)
        return;
    child->host_call = NO_CALL;
    memcpy(&before, child->saved_regs, sizeof before);
    if (task_regs(child, &regs))
        return;
    const uint64_t args[6] = {before.rdi, before.rsi, before.rdx, before.r10, before.r8, before.r9};
    set_arguments(&regs, args);
    task_set_regs(child, &regs);
}
