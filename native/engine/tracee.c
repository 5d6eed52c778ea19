/* tracee.c - the stops of a task that is traced by another one of the sandbox, and how it goes on from them.
 *
 * tracing.h has the idea. A stop is held: nothing resumes the task but a call of its tracer, the end of its tracer, or
 * SIGKILL. Two stops may follow each other without the host (tracing->follows), where the host's own was for us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include "tracing.h"
#include "../vfs/vfs.h"

#define BIT(sig) (1ULL << ((sig) - 1))
#define HOST_OPTIONS (PTRACE_O_TRACEEXIT | PTRACE_O_TRACEVFORKDONE) /* what the engine itself does not ask for */
#define ERESTART_RESTARTBLOCK 516 /* of the host kernel, the last one */
#define EVENTMSG_ENTRY 1 /* PTRACE_EVENTMSG_SYSCALL_ENTRY, EXIT */
#define EVENTMSG_EXIT 2

static bool is_restart(int64_t result)
{
    return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

/* ---- telling the tracer */

static void tell(struct thread_group *g, const struct task *t, int code, int status)
{
    struct signal_sets sets;
    struct task *leader = task_find(g->tgid);
    tracer_wake(g);
    /* Linux drops it where it is ignored; here it would stop the tracer for nothing. */
    if (leader && signal_sets_read(leader, &sets) == 0 && (sets.caught | sets.blocked) & BIT(SIGCHLD))
        group_tell_child(g, t->ns_tid, t->cred ? t->cred->uid : 0, code, status);
}

/* The host takes options at a stop only. A child born meanwhile has its parent's. */
void tracee_tell_options(struct task *t)
{
    struct tracing *tr = t->tracing;
    uint32_t wanted = tr->options & HOST_OPTIONS;
    if (wanted != tr->host_options && ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)(uintptr_t)(ENGINE_OPTIONS | wanted)) == 0)
        tr->host_options = wanted;
}

void tracee_hold(struct task *t, int status, uint64_t message, enum stop_kind kind)
{
    struct tracing *tr = t->tracing;
    tracee_tell_options(t);
    tr->is_held = true;
    tr->is_waited = tr->listens = tr->wants_stop = false;
    tr->kind = kind;
    tr->status = status;
    tr->message = message;
    tell(tr->tracer, t, CLD_TRAPPED, status >> 8 & 0x7f);
}

void tracee_hold_call(struct task *t, enum stop_kind kind)
{
    int good = t->tracing->options & PTRACE_O_TRACESYSGOOD ? 0x80 : 0;
    tracee_hold(t, stop_status(SIGTRAP | good, 0), kind == STOP_ENTRY ? EVENTMSG_ENTRY : EVENTMSG_EXIT, kind);
}

/* ---- beginning and end */

void tracee_begin(struct task *t, struct thread_group *tracer, uint32_t options, bool is_seized, bool is_privileged)
{
    struct tracing *tr = t->tracing = vfs_must_alloc(sizeof *tr);
    task_ns_tid(t); /* its end is told by that number, when it cannot be asked for any more */
    tr->tracer = tracer;
    tr->options = options;
    tr->is_seized = is_seized;
    tr->is_privileged = is_privileged;
    tr->mode = PTRACE_CONT;
    tr->entry_nr = -1;
    tracer->tracees++;
}

static struct tracing end(struct task *t)
{
    struct tracing was = *t->tracing;
    free(t->tracing);
    t->tracing = NULL;
    was.tracer->tracees--;
    return was;
}

static void call_goes_on(struct task *t);

/* The host looks at a restart code on the way through its signal code only, and has nothing to do there after a stop. */
static void call_returns(struct task *t)
{
    struct user_regs_struct regs;
    if (task_regs(t, &regs) == 0 && is_restart((int64_t)regs.rax) && (int64_t)regs.orig_rax >= 0)
        make_restart_sure(t);
    task_resume(t, PTRACE_CONT, 0);
}

static void go_on(struct task *t, const struct tracing *was, int sig)
{
    if (was->kind == STOP_DELIVERY) {
        signal_goes_on(t, sig);
        return;
    }
    if (was->kind == STOP_GROUP) {
        if (!t->tracing) { /* detached: job control has it again */
            task_resume(t, PTRACE_LISTEN, 0);
            return;
        }
        t->group_stopped = 0;
    }
    if (sig && (was->kind == STOP_ENTRY || was->kind == STOP_EXIT || was->kind == STOP_MADE_UP))
        task_kill(t, sig);
    if (was->kind == STOP_ENTRY)
        call_goes_on(t);
    else if (was->kind == STOP_EXIT)
        call_returns(t);
    else
        task_resume(t, PTRACE_CONT, 0);
}

void tracee_resume(struct task *t, int mode, int sig)
{
    struct tracing *tr = t->tracing, was = *tr;
    tr->is_held = false;
    tr->mode = mode;
    tr->follows = FOLLOWS_NOTHING;
    if (was.follows == FOLLOWS_EXIT && mode == PTRACE_SYSCALL)
        tracee_hold_call(t, STOP_EXIT);
    else if (was.follows == FOLLOWS_TRAP)
        tracee_hold(t, stop_status(SIGTRAP, 0), 0, STOP_MADE_UP);
    else
        go_on(t, &was, sig);
}

void tracee_detach(struct task *t, int sig)
{
    struct tracing was = end(t);
    go_on(t, &was, sig);
}

void tracer_exited(struct thread_group *g)
{
    for (struct tracee_end *e = g->tracee_ends, *next; e; e = next) {
        next = e->next;
        free(e);
        g->tracees--;
    }
    g->tracee_ends = NULL;
    for (struct task *t = task_first(), *next; t && g->tracees; t = next) {
        next = t->all_next;
        if (!t->tracing || t->tracing->tracer != g)
            continue;
        struct tracing was = end(t);
        if (was.options & PTRACE_O_EXITKILL)
            kill(t->group->tgid, SIGKILL);
        if (was.is_held)
            go_on(t, &was, was.kind == STOP_DELIVERY && !was.is_waited ? was.status >> 8 & 0x7f : 0); /* a wait took the signal */
    }
}

void tracee_replaced(struct task *t)
{
    if (t->tracing)
        end(t);
}

int64_t tracee_interrupt(struct task *t)
{
    t->tracing->wants_stop = true;
    ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
    park_interrupt(t);
    return 0;
}

void tracee_listen(struct task *t)
{
    t->tracing->is_held = false;
    t->tracing->listens = true;
    task_resume(t, PTRACE_LISTEN, 0);
}

/* A child of the tracer's is a zombie of the host's: its wait finds that. */
void tracee_exited(struct task *t, int status)
{
    if (!t->tracing)
        return;
    struct tracing was = end(t);
    struct thread_group *g = was.tracer;
    if (t->group->parent == g && t->tid == t->group->tgid)
        return;
    struct tracee_end *e = vfs_must_alloc(sizeof *e), **last = &g->tracee_ends;
    while (*last)
        last = &(*last)->next;
    *e = (struct tracee_end){NULL, t->ns_tid, status};
    *last = e;
    g->tracees++;
    tell(g, t, WIFSIGNALED(status) ? CLD_KILLED : CLD_EXITED, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* ---- calls */

int tracee_request(const struct task *t)
{
    const struct tracing *tr = t->tracing;
    if (t->is_replaced || t->tracer_waits)
        return PTRACE_SYSCALL;
    if (tr && tr->mode != PTRACE_CONT && !t->exec_tells && t->mask_swap != 2)
        return tr->mode;
    return t->group && t->group->tracees ? PTRACE_SYSCALL : PTRACE_CONT;
}

bool tracee_wants_stop(const struct task *t)
{
    return t->tracing && t->tracing->wants_stop;
}

bool call_stop_is_entry(struct task *t)
{
    struct __ptrace_syscall_info info;
    if (!engine.trace && tracee_request(t) == PTRACE_CONT && !t->tracing)
        return false;
    return ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, (void *)sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

static bool runs_for_us(const struct task *t)
{
    return t->exec_tells || t->host_call || t->mask_swap == 2;
}

void call_begins(struct task *t)
{
    if (runs_for_us(t))
        task_resume(t, PTRACE_CONT, 0);
    else if (t->tracing && t->tracing->mode == PTRACE_SYSCALL && !t->tracer_waits)
        tracee_hold_call(t, STOP_ENTRY);
    else
        call_goes_on(t);
}

/* The number -1 would meet the filter, which knows none such. So the task makes a call that does nothing. */
void call_replace(struct task *t, struct user_regs_struct *regs, int64_t nr, int64_t result)
{
    t->is_replaced = 1;
    t->replaced_nr = nr;
    t->replaced_result = result;
    regs->orig_rax = SYS_getpid;
    task_set_regs(t, regs);
}

static void call_goes_on(struct task *t)
{
    struct user_regs_struct regs;
    if (task_regs(t, &regs) == 0) {
        if (t->tracing)
            t->tracing->entry_nr = (int64_t)regs.orig_rax;
        if ((int64_t)regs.orig_rax == -1)
            call_replace(t, &regs, -1, (int64_t)regs.rax);
        else if (t->group->tracees)
            tracer_wait_begins(t, &regs);
    }
    task_resume(t, PTRACE_CONT, 0);
}

/* The registers as the tracer expects them: where the sentry answered a call it has no number any more. */
static void show_number(struct task *t)
{
    struct user_regs_struct regs;
    struct tracing *tr = t->tracing;
    if (tr->entry_nr >= 0 && task_regs(t, &regs) == 0 && (int64_t)regs.orig_rax == -1 &&
        !is_restart((int64_t)regs.rax)) {
        regs.orig_rax = (unsigned long long)tr->entry_nr;
        task_set_regs(t, &regs);
    }
    tr->entry_nr = -1;
}

void call_ends(struct task *t)
{
    struct user_regs_struct regs;
    struct tracing *tr = t->tracing;
    if (t->is_replaced) {
        t->is_replaced = 0;
        if (task_regs(t, &regs) == 0) {
            regs.rax = (unsigned long long)t->replaced_result;
            regs.orig_rax = (unsigned long long)t->replaced_nr;
            task_set_regs(t, &regs);
        }
    }
    if (t->tracer_waits)
        tracer_wait_ends(t);
    if (!tr || runs_for_us(t) || t->tracer_waits) {
        call_returns(t);
        return;
    }
    if (tr->late_event) {
        int event = tr->late_event;
        tr->late_event = 0;
        tr->follows = FOLLOWS_EXIT;
        tracee_hold(t, stop_status(SIGTRAP, event), tr->late_message, STOP_EVENT);
    } else if (tr->mode == PTRACE_SYSCALL) {
        show_number(t);
        tracee_hold_call(t, STOP_EXIT);
    } else
        call_returns(t);
}

/* ---- for Python */

int task_is_held(struct task *t)
{
    return t->tracing && (t->tracing->is_held || t->tracing->listens);
}

int task_tracer_pid(struct task *t)
{
    return t->tracing ? t->tracing->tracer->ns_tgid : 0;
}

int task_tracer_is_privileged(struct task *t)
{
    return !t->tracing || t->tracing->is_privileged;
}
