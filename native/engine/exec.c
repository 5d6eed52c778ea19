/* exec.c - execve, as DESIGN.md section 4 has it.
 *
 * The program's call stops at a ptrace stop. Python resolves the path and reads the headers; then the call is
 * rewritten into an execveat of the stub, so that the host kernel does the hard part: a new address space,
 * vfork completion, the end of sibling threads, argument strings and their limits. The stub asks for a list of
 * mappings (one magic trap) and jumps.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "engine.h"

int task_regs(struct task *t, struct user_regs_struct *regs)
{
    return ptrace(PTRACE_GETREGS, t->tid, NULL, regs) ? -errno : 0;
}

int task_set_regs(struct task *t, const struct user_regs_struct *regs)
{
    return ptrace(PTRACE_SETREGS, t->tid, NULL, regs) ? -errno : 0;
}

void task_resume(struct task *t, int request, int sig)
{
    if (request == PTRACE_CONT) /* trace.c wants to see every call, host_call.c the end of its own */
        request = engine.trace || t->host_call ? PTRACE_SYSCALL : tracee_request(t);
    if (t->mask_swap == 1 || tracee_wants_stop(t)) /* any other stop takes the place of one that was asked for */
        ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
    ptrace((enum __ptrace_request)request, t->tid, NULL, (void *)(intptr_t)sig);
}

/* The host skips the call and the program sees this result. */
static void refuse(struct task *t, struct user_regs_struct *regs, int64_t error)
{
    regs->orig_rax = (unsigned long long)-1;
    regs->rax = (unsigned long long)error;
    task_set_regs(t, regs);
    task_resume(t, PTRACE_CONT, 0);
}

void exec_begin(struct task *t, struct user_regs_struct *regs)
{
    bool is_at = regs->orig_rax == SYS_execveat;
    t->trap.nr = (int32_t)regs->orig_rax;
    uint64_t args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    memcpy(t->trap.args, args, sizeof args);
    t->trap.ip = regs->rsp; /* where the loader may write a script's arguments below */
    t->python_known = 1;
    memcpy(t->saved_regs, regs, sizeof *regs);
    int64_t result = hooks.exec_begin(t);
    if (trap_run_is_over())
        return;
    if (result < 0) {
        refuse(t, regs, result);
        return;
    }
    /* execveat(STUB_FD, "", argv, envp, AT_EMPTY_PATH). Python leaves in args[0] the address of a NUL byte and in
     * args[1] that of argv. If another thread changes either, it changes only what its own new image is told;
     * a path would be looked up in an empty root. */
    regs->orig_rax = SYS_execveat;
    regs->rax = SYS_execveat;
    regs->r10 = is_at ? args[3] : args[2];
    regs->rdx = t->trap.args[1];
    regs->rsi = t->trap.args[0];
    regs->rdi = STUB_FD;
    regs->r8 = AT_EMPTY_PATH;
    t->in_exec = 1;
    task_set_regs(t, regs);
    task_resume(t, PTRACE_SYSCALL, 0);
}

void exec_exit_stop(struct task *t)
{
    struct user_regs_struct now, before;
    t->in_exec = 0;
    memcpy(&before, t->saved_regs, sizeof before);
    task_regs(t, &now);
    before.rax = now.rax;
    task_set_regs(t, &before);
    hooks.exec_done(t, (int)(int64_t)now.rax);
    call_ends(t);
}

void exec_event(struct task *t)
{
    unsigned long former = 0;
    ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &former);
    struct task *caller = task_find((int32_t)former);
    int32_t former_ns = caller ? caller->ns_tid : 0;
    if (caller && caller != t) {
        int32_t leader = t->tid;
        tracee_replaced(t);
        task_take_over(caller, leader);
        t = caller;
    }
    t->in_exec = 2;
    if (t == engine.seed) {
        task_resume(t, PTRACE_CONT, 0);
        return;
    }
    t->group->exec_count++;
    sentry_stats.execs++;
    fd_close_on_exec(t);
    hooks.exec_done(t, 0);
    tracee_exec(t, former_ns);
    task_resume(t, PTRACE_CONT, 0);
}

bool exec_is_stub_call(const struct task *t)
{
    return t->trap.nr == STUB_CALL && t->trap.args[2] == STUB_MAGIC;
}
