/* tracee_events.c - what happens to a traced task besides calls: births, signals, job control, exec, its last stop.
 *
 * Each function is asked at a host stop; true: the task is held now, false: it goes on as one that nobody traces.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include "tracing.h"

#define BIT(sig) (1ULL << ((sig) - 1))
#define GROUP_STOPS (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))
#define OPTION(event) (1U << (event)) /* PTRACE_O_TRACEFORK is 1 << PTRACE_EVENT_FORK, and so on */
#define EFLAGS_AT_START 0x202

/* ---- births */

void tracee_inherit(struct task *child, struct task *parent, int event)
{
    struct tracing *tr = parent->tracing;
    if (!tr || !(tr->options & OPTION(event)))
        return;
    tracee_begin(child, tr->tracer, tr->options, tr->is_seized, tr->is_privileged);
    child->tracing->host_options = tr->host_options;
    child->tracing->is_newborn = true;
}

bool tracee_forked(struct task *t, struct task *child, int event)
{
    struct tracing *tr = t->tracing;
    if (!tr || !(tr->options & OPTION(event)))
        return false;
    uint64_t message = (uint64_t)task_ns_tid(child);
    if (t->host_call) { /* its registers are ours */
        tr->late_event = event;
        tr->late_message = message;
        return false;
    }
    tracee_hold(t, stop_status(SIGTRAP, event), message, STOP_EVENT);
    return true;
}

bool tracee_born(struct task *child)
{
    struct tracing *tr = child->tracing;
    if (!tr || !tr->is_newborn)
        return false;
    tr->is_newborn = false;
    if (tr->is_seized)
        tracee_hold(child, stop_status(SIGTRAP, PTRACE_EVENT_STOP), 0, STOP_EVENT);
    else
        tracee_hold(child, stop_status(SIGSTOP, 0), 0, STOP_MADE_UP);
    return true;
}

/* ---- other stops of the host's */

/* The end of a vfork, or its own end. */
bool tracee_event(struct task *t, int event)
{
    unsigned long message = 0;
    if (!t->tracing || !(t->tracing->options & OPTION(event)))
        return false;
    ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &message);
    if (event == PTRACE_EVENT_VFORK_DONE) {
        struct task *child = task_find((int32_t)message);
        message = child ? (unsigned long)task_ns_tid(child) : 0;
    }
    if (t->host_call) {
        t->tracing->late_event = event;
        t->tracing->late_message = message;
        return false;
    }
    tracee_hold(t, stop_status(SIGTRAP, event), message, STOP_EVENT);
    return true;
}

bool tracee_event_stop(struct task *t, int sig)
{
    struct tracing *tr = t->tracing;
    if (!tr || t->exec_tells)
        return false;
    tracee_tell_options(t);
    int event = tr->is_seized ? PTRACE_EVENT_STOP : 0;
    if (sig != SIGTRAP) {
        tr->wants_stop = false;
        tracee_hold(t, stop_status(sig, event), 0, STOP_GROUP);
        return true;
    }
    if (!tr->wants_stop && !tr->listens)
        return false;
    tr->wants_stop = false;
    tracee_hold(t, stop_status(tr->is_seized ? SIGTRAP : SIGSTOP, event), 0, tr->is_seized ? STOP_EVENT : STOP_MADE_UP);
    return true;
}

bool tracee_signal_stop(struct task *t, int sig)
{
    if (!t->tracing)
        return false;
    if (t->exec_tells) { /* all others wait, by its mask; what the stub itself does wrong ends it */
        if (sig >= 32 || !(BIT(sig) & GROUP_STOPS))
            return false;
        t->held_signals |= BIT(sig);
        task_resume(t, PTRACE_CONT, 0);
        return true;
    }
    tracee_hold(t, stop_status(sig, 0), 0, STOP_DELIVERY);
    return true;
}

/* ---- exec: its tracer sees nothing of the stub */

void tracee_exec(struct task *t, int32_t former)
{
    uint64_t all = ~0ULL;
    if (!t->tracing || ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof t->exec_mask, &t->exec_mask) ||
        ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof all, &all))
        return;
    t->tracing->exec_former = former;
    t->exec_tells = 1;
}

/* In the stub's last call, which never returns: the program is at its first instruction. */
void tracee_exec_over(struct task *t)
{
    uint64_t entry = t->trap.args[0], stack = t->trap.args[1];
    struct user_regs_struct regs, fresh = {0};
    t->in_exec = 0;
    if (!inject_stop(t, &regs))
        return;
    t->exec_tells = 0;
    t->state = TASK_RUNNING;
    fresh.cs = regs.cs, fresh.ss = regs.ss, fresh.ds = regs.ds, fresh.es = regs.es, fresh.fs = regs.fs, fresh.gs = regs.gs;
    fresh.rip = entry;
    fresh.rsp = stack;
    fresh.eflags = EFLAGS_AT_START;
    fresh.orig_rax = SYS_execve;
    task_set_regs(t, &fresh);
    ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof t->exec_mask, &t->exec_mask);
    control_send_held(t);
    struct tracing *tr = t->tracing;
    bool is_call = tr && tr->mode == PTRACE_SYSCALL;
    if (tr && tr->options & PTRACE_O_TRACEEXEC) {
        tr->follows = FOLLOWS_EXIT;
        tracee_hold(t, stop_status(SIGTRAP, PTRACE_EVENT_EXEC), (uint64_t)tr->exec_former, STOP_EVENT);
    } else if (is_call) {
        tr->follows = tr->is_seized ? FOLLOWS_NOTHING : FOLLOWS_TRAP;
        tracee_hold_call(t, STOP_EXIT);
    } else if (tr && !tr->is_seized)
        tracee_hold(t, stop_status(SIGTRAP, 0), 0, STOP_MADE_UP);
    else
        task_resume(t, PTRACE_CONT, 0);
}
