/* control.c - ptrace: births, execs, deaths, signals, stops.
 *
 * Everything here happens at a stop of the tracee and ends with resuming it. A tracee's death while it is
 * being handled makes the ptrace calls fail with ESRCH; the exit status follows, so that is no error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine.h"

#define BIT(sig) (1ULL << ((sig) - 1))
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code: not in glibc's headers */
#endif
#define GROUP_STOPS (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))

static uint32_t deferred_exits;

static void first_stop(struct task *child)
{
    host_call_first_stop(child);
    if (!tracee_born(child))
        task_resume(child, PTRACE_CONT, 0);
}

static void fork_event(struct task *parent, int event)
{
    unsigned long tid = 0;
    struct user_regs_struct regs;
    uint64_t flags = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent->tid, NULL, &tid) == 0 && task_regs(parent, &regs) == 0) {
        if (regs.orig_rax == SYS_clone)
            flags = regs.rdi;
        struct task *child = task_of((int32_t)tid);
        orphans_gone(child); /* it was none */
        if (parent == engine.seed)
            seed_fork_event(child);
        else
            task_inherit(child, parent, flags);
        host_call_born(child, parent);
        tracee_inherit(child, parent, event);
        if (child->is_attached) /* it stopped before we heard of it: it was held */
            first_stop(child);
        if (tracee_forked(parent, child, event))
            return;
    }
    task_resume(parent, PTRACE_CONT, 0);
}

static void event_stop(struct task *t, int sig)
{
    if (!t->is_attached) {
        t->is_attached = 1;
        if (t->is_announced)
            first_stop(t);
        else /* held until its parent's event */
            orphans_held();
        return;
    }
    if (sig < 32 && BIT(sig) & GROUP_STOPS) {
        t->group_stopped = 1;
        if (!tracee_event_stop(t, sig))
            task_resume(t, PTRACE_LISTEN, 0);
        /* Its threads that wait in a trap cannot stop until their wait ends. */
        if (engine.parked)
            for (struct task *other = task_first(), *next; other; other = next) {
                next = other->all_next;
                if (other->group == t->group && other->is_waiting)
                    park_interrupt(other);
            }
        signals_changed(t->group ? t->group->parent : NULL); /* SIGCHLD with CLD_STOPPED; the seed has no group */
        return;
    }
    t->group_stopped = 0;
    if (t->mask_swap == 1) {
        mask_swap_stop(t);
        return;
    }
    if (!tracee_event_stop(t, SIGTRAP))
        task_resume(t, PTRACE_CONT, 0);
}

/* What the kernel makes of a fault: force_sig_info() spares nobody. To a traced pid 1 it would not be delivered. */
static bool is_forced(int sig, const siginfo_t *info)
{
    return sig < 32 && BIT(sig) & (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | BIT(SIGSYS)) &&
           info->si_code > 0;
}

/* The host spares pid 1 of a namespace from signals without a handler; a program that runs as pid 1 only because
 * it was started alone must not notice. */
static bool ends_init(struct task *t, int sig, const siginfo_t *info)
{
    struct signal_sets sets;
    if (!engine.init || t->group != engine.init->group || (engine.keep_init && !is_forced(sig, info)))
        return false;
    return signal_ends_process(sig) && signal_sets_read(t, &sets) == 0 && !((sets.caught | sets.ignored) & BIT(sig));
}

/* A signal that comes before the sentry has taken a notification ends it with ERESTARTSYS, even where the call is one
 * that no signal interrupts. To the program the signal came before the call: it starts over after the handler, always. */
static void restart_untaken_call(struct task *t)
{
    struct user_regs_struct regs;
    if (platform != &seccomp_platform || t->was_interrupted || task_regs(t, &regs))
        return;
    if ((int64_t)regs.rax == -ERESTARTSYS && trap_is_ours((int32_t)regs.orig_rax)) {
        regs.rax = (unsigned long long)-ERESTARTNOINTR;
        task_set_regs(t, &regs);
    }
}

/* Strict mode's filter has trapped a call. Linux ends the thread alone, with a status as of SIGKILL. */
static void end_strict(struct task *t)
{
    struct user_regs_struct regs;
    if (t->group->refs == 1) {
        kill(t->group->tgid, SIGKILL);
        return;
    }
    if (task_regs(t, &regs))
        return;
    regs.rip -= 2; /* back onto the syscall instruction */
    regs.rax = SYS_exit;
    regs.rdi = SIGKILL;
    regs.orig_rax = (unsigned long long)-1;
    task_set_regs(t, &regs);
    task_resume(t, PTRACE_CONT, 0);
}

static void deliver(struct task *t, int sig, const siginfo_t *info)
{
    if (sig && ends_init(t, sig, info)) {
        engine.init_signal = sig;
        kill(t->group->tgid, SIGKILL);
        return;
    }
    task_resume(t, PTRACE_CONT, sig);
}

static void signal_stop(struct task *t, int sig)
{
    siginfo_t info = {0};
    if (!t->group) { /* the seed: none of the sandbox's */
        task_resume(t, PTRACE_CONT, sig);
        return;
    }
    bool has_info = ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info) == 0;
    sentry_stats.signals++;
    if (engine.trace)
        hooks.trace(t, SENTRY_TRACE_SIGNAL, sig, 3);
    if (t->is_strict && sig == SIGSYS && info.si_code == SYS_SECCOMP) {
        end_strict(t);
        return;
    }
    if (t->mask_swap == 2)
        mask_swap_delivered(t);
    else
        restart_untaken_call(t);
    if (has_info && siginfo_correct(t, &info))
        ptrace(PTRACE_SETSIGINFO, t->tid, NULL, &info);
    if (!tracee_signal_stop(t, sig))
        deliver(t, sig, &info);
}

void signal_goes_on(struct task *t, int sig)
{
    siginfo_t info = {0};
    ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info);
    deliver(t, sig, &info);
}

static void kill_begin(struct task *t, struct user_regs_struct *regs)
{
    t->trap.nr = (int32_t)regs->orig_rax;
    uint64_t args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    memcpy(t->trap.args, args, sizeof args);
    memcpy(t->saved_regs, regs, sizeof *regs);
    task_ns_tid(t); /* who receives it may ask whose number that is when it has ended */
    int64_t error = hooks.kill_check(t);
    if (error == 2) { /* another call does it: Python has changed number and arguments */
        regs->orig_rax = (unsigned long long)(int64_t)t->trap.nr;
        regs->rdi = t->trap.args[0];
        regs->rsi = t->trap.args[1];
        regs->rdx = t->trap.args[2];
        regs->r10 = t->trap.args[3];
        task_set_regs(t, regs);
    } else if (error != 0) { /* refused, or done by the sentry itself (1) */
        regs->orig_rax = (unsigned long long)-1;
        regs->rax = (unsigned long long)(error < 0 ? error : 0);
        task_set_regs(t, regs);
        task_resume(t, PTRACE_CONT, 0);
        return;
    }
    /* Signals reach others during the call: look at them when it is over. */
    t->exit_stop = error == 2 ? 2 : 1;
    task_resume(t, PTRACE_SYSCALL, 0);
}

/* The program's registers are as they were, but for the result. */
static void kill_put_back(struct task *t)
{
    struct user_regs_struct regs, before;
    memcpy(&before, t->saved_regs, sizeof before);
    if (task_regs(t, &regs))
        return;
    before.rax = regs.rax;
    before.orig_rax = (unsigned long long)-1;
    task_set_regs(t, &before);
}

static void seccomp_event(struct task *t)
{
    struct user_regs_struct regs;
    if (t->host_call) { /* ours */
        task_resume(t, PTRACE_SYSCALL, 0);
        return;
    }
    if (task_regs(t, &regs))
        return;
    if (!trap_is_control((int32_t)regs.orig_rax)) {
        if (platform == &ptrace_platform && trap_is_ours((int32_t)regs.orig_rax)) {
            ptrace_trap_received(t, &regs);
        } else { /* a filter of the program's own says TRACE: without a tracer Linux answers ENOSYS */
            regs.orig_rax = (unsigned long long)-1;
            regs.rax = (unsigned long long)-ENOSYS;
            task_set_regs(t, &regs);
            task_resume(t, PTRACE_CONT, 0);
        }
        return;
    }
    sentry_stats.calls++;
    sentry_stats.control++;
    if (engine.trace) {
        uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
        t->trap.nr = (int32_t)regs.orig_rax;
        memcpy(t->trap.args, args, sizeof args);
        hooks.trace(t, SENTRY_TRACE_ENTER, 0, 3);
    }
    if (t == engine.seed)
        seed_first_exec(t, &regs);
    else if (regs.orig_rax == SYS_execve || regs.orig_rax == SYS_execveat)
        exec_begin(t, &regs);
    else if (regs.orig_rax == SYS_ptrace)
        tracer_call(t, &regs);
    else
        kill_begin(t, &regs);
}

void control_stop(struct task *t, int status)
{
    int sig = WSTOPSIG(status), event = status >> 16;
    switch (event) {
    case PTRACE_EVENT_SECCOMP:
        seccomp_event(t);
        return;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        fork_event(t, event);
        return;
    case PTRACE_EVENT_VFORK_DONE:
    case PTRACE_EVENT_EXIT:
        if (!tracee_event(t, event))
            task_resume(t, PTRACE_CONT, 0);
        return;
    case PTRACE_EVENT_EXEC:
        exec_event(t);
        return;
    case PTRACE_EVENT_STOP:
        event_stop(t, sig);
        return;
    }
    if (sig != (SIGTRAP | 0x80)) {
        signal_stop(t, sig);
        return;
    }
    if (engine.trace)
        trace_stop(t);
    if (call_stop_is_entry(t))
        call_begins(t);
    else if (t->in_exec == 1)
        exec_exit_stop(t);
    else if (host_call_exit_stop(t))
        return;
    else if (!ptrace_trap_exit_stop(t)) {
        if (t->exit_stop) {
            if (t->exit_stop == 2)
                kill_put_back(t);
            t->exit_stop = 0;
            signals_changed(NULL);
        }
        call_ends(t);
    }
}

int task_is_stopped(struct task *t)
{
    siginfo_t info = {0};
    if (t->group_stopped)
        return 1;
    if (waitid(P_PID, (id_t)t->tid, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) || info.si_pid != t->tid)
        return 0;
    int sig = info.si_status & 0xff;
    return info.si_status >> 8 == PTRACE_EVENT_STOP && sig < 32 && BIT(sig) & GROUP_STOPS ? 1 : 0;
}

int control_wait_stop(struct task *t, int request)
{
    for (;;) {
        int status;
        pid_t got = waitpid(t->tid, &status, __WALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != t->tid)
            return -1;
        if (!WIFSTOPPED(status)) { /* whoever is at work on it must not find it gone: control_reap() sees to it */
            t->exit_deferred = 1;
            t->exit_status = status;
            deferred_exits++;
            return -1;
        }
        int sig = WSTOPSIG(status), event = status >> 16;
        bool is_signal = event == 0 && sig != (SIGTRAP | 0x80);
        if (!is_signal && !(event == PTRACE_EVENT_STOP && sig != SIGTRAP))
            return status;
        t->held_signals |= BIT(sig);
        ptrace((enum __ptrace_request)request, t->tid, NULL, NULL);
    }
}

void control_send_held(struct task *t)
{
    for (int sig = 1; t->held_signals; sig++)
        if (t->held_signals & BIT(sig)) {
            t->held_signals &= ~BIT(sig);
            syscall(SYS_tgkill, t->group->tgid, t->tid, sig);
        }
}

bool control_has_deferred(void)
{
    return deferred_exits;
}

static void end_deferred(void)
{
    for (struct task *t = task_first(), *next; t && deferred_exits; t = next) {
        next = t->all_next;
        if (t->exit_deferred) {
            deferred_exits--;
            task_exited(t, t->exit_status);
        }
    }
    deferred_exits = 0;
}

void control_reap(void)
{
    if (deferred_exits)
        end_deferred();
    int status;
    for (;;) {
        int32_t tid = waitpid(-1, &status, __WALL | WNOHANG);
        if (tid <= 0)
            return;
        struct task *t = task_find(tid);
        if (WIFSTOPPED(status))
            control_stop(t ? t : task_new(tid), status);
        else if (t)
            task_exited(t, status);
        park_run_ready(); /* whose wait this stop ended goes on before the next one's call */
    }
}
