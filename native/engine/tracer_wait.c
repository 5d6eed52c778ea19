/* tracer_wait.c - wait4(2) and waitid(2) of a process that traces others.
 *
 * Both are the host's, which knows nothing of our tracees' stops. So each call of a tracer makes a host stop at its entry
 * and at its exit. At the entry a stop that has not been told yet answers the call. Otherwise the host waits for the
 * tracer's children; a stop that comes meanwhile interrupts that, and is found at the exit. Where the host says that there
 * are no children, because the tracees are others', the tracer waits for a signal instead, or for such an interruption.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include "tracing.h"

enum { NO_WAIT, WAITS, PAUSES };
#define RESTART(result) ((result) == -ERESTARTSYS || (result) == -ERESTARTNOHAND || (result) == -ERESTARTNOINTR)

/* What a call asks for. */
struct wanted {
    int id_type, id;
    uint64_t options, status_at, info_at, usage_at;
};

struct found {
    int32_t ns_tid;
    uint32_t uid;
    int status;
    struct rusage usage;
};

static void wanted_by(const struct user_regs_struct *regs, int64_t nr, struct wanted *w)
{
    memset(w, 0, sizeof *w);
    if (nr == SYS_waitid) {
        *w = (struct wanted){(int)regs->rdi, (int)regs->rsi, regs->r10, 0, regs->rdx, regs->r8};
        return;
    }
    int pid = (int)regs->rdi;
    w->id_type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
    w->id = pid > 0 ? pid : pid == -1 ? 0 : -pid;
    w->options = regs->rdx | WEXITED;
    w->status_at = regs->rsi;
    w->usage_at = regs->r10;
}

static bool is_meant(const struct task *waiter, const struct wanted *w, int32_t ns_tid, const struct task *t)
{
    if (w->id_type == P_ALL)
        return true;
    if (w->id_type == P_PID)
        return ns_tid == w->id;
    if (w->id_type != P_PGID || !t)
        return false;
    struct task *leader = w->id ? task_find_ns(w->id) : NULL;
    return getpgid(t->tid) == (w->id ? leader ? leader->tid : -1 : getpgid(waiter->tid));
}

/* CPU time in ticks; the rest of it nobody asks of a stop. */
static void usage_of(const struct task *t, struct rusage *usage)
{
    char text[1024];
    long ticks = sysconf(_SC_CLK_TCK), user = 0, system = 0;
    int size = proc_read(t->tid, "stat", text, sizeof text - 1);
    if (size <= 0)
        return;
    text[size] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return;
    char *end;
    user = strtol(at, &end, 10);
    system = strtol(end, NULL, 10);
    usage->ru_utime = (struct timeval){user / ticks, user % ticks * 1000000 / ticks};
    usage->ru_stime = (struct timeval){system / ticks, system % ticks * 1000000 / ticks};
}

/* Not when it is dying: its end is told then. */
static bool is_there(const struct task *t)
{
    unsigned long message;
    return ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &message) == 0;
}

static bool find(struct task *waiter, const struct wanted *w, struct found *f)
{
    struct thread_group *g = waiter->group;
    bool keeps = w->options & WNOWAIT;
    memset(f, 0, sizeof *f);
    for (struct tracee_end **link = &g->tracee_ends; *link && w->options & WEXITED; link = &(*link)->next) {
        struct tracee_end *e = *link;
        if (!is_meant(waiter, w, e->ns_tid, NULL))
            continue;
        f->ns_tid = e->ns_tid;
        f->status = e->status;
        if (!keeps) {
            *link = e->next;
            free(e);
            g->tracees--;
        }
        return true;
    }
    for (struct task *t = task_first(); t; t = t->all_next) {
        struct tracing *tr = t->tracing;
        if (!tr || tr->tracer != g || !tr->is_held || tr->is_waited || !is_meant(waiter, w, t->ns_tid, t))
            continue;
        if (!is_there(t))
            continue;
        tr->is_waited = !keeps;
        f->ns_tid = t->ns_tid;
        f->uid = t->cred->uid;
        f->status = tr->status;
        if (w->usage_at)
            usage_of(t, &f->usage);
        return true;
    }
    return false;
}

static bool has_tracees(const struct task *waiter, const struct wanted *w)
{
    for (struct task *t = task_first(); t; t = t->all_next)
        if (t->tracing && t->tracing->tracer == waiter->group && is_meant(waiter, w, t->ns_tid, t))
            return true;
    return false;
}

/* A wait that Python has the host do (waitid) is about to begin. A tracee may have come, or stopped, since its entry; what
 * would have interrupted it has only stopped it on the way here. True: start over. */
bool tracer_wait_has_news(struct task *t)
{
    struct found f;
    struct wanted w = {(int)t->trap.args[0], (int)t->trap.args[1], t->trap.args[3] | WNOWAIT, 0, 0, 0};
    return t->tracer_waits ? find(t, &w, &f) : has_tracees(t, &w);
}

/* The call's result. */
static int64_t deliver(struct task *waiter, const struct wanted *w, const struct found *f, bool is_waitid)
{
    if (w->usage_at && um_write(waiter, w->usage_at, &f->usage, sizeof f->usage) < 0)
        return -EFAULT;
    if (!is_waitid)
        return w->status_at && um_write(waiter, w->status_at, &f->status, sizeof f->status) < 0 ? -EFAULT : f->ns_tid;
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGCHLD;
    info.si_pid = f->ns_tid;
    info.si_uid = f->uid;
    if (WIFSTOPPED(f->status)) {
        info.si_code = CLD_TRAPPED;
        info.si_status = f->status >> 8;
    } else {
        info.si_code = WIFSIGNALED(f->status) ? CLD_KILLED : CLD_EXITED;
        info.si_status = WIFSIGNALED(f->status) ? WTERMSIG(f->status) : WEXITSTATUS(f->status);
    }
    return w->info_at && um_write(waiter, w->info_at, &info, 28) < 0 ? -EFAULT : 0;
}

/* At the entry of any call of a tracer. */
void tracer_wait_begins(struct task *t, struct user_regs_struct *regs)
{
    struct wanted w;
    struct found f;
    int64_t nr = (int64_t)regs->orig_rax;
    if (t->tracer_waits == PAUSES)
        return;
    if (nr != SYS_wait4 && nr != SYS_waitid)
        return;
    wanted_by(regs, nr, &w);
    if (find(t, &w, &f))
        call_replace(t, regs, nr, deliver(t, &w, &f, nr == SYS_waitid));
    else if (has_tracees(t, &w)) {
        t->tracer_waits = WAITS;
        t->replaced_nr = nr;
    }
}

/* Without children the host has nothing to wait for: pause(2) in its place, from its entry on. */
static void pause_instead(struct task *t, struct user_regs_struct *regs, const struct wanted *w, int64_t nr)
{
    uint64_t all = ~0ULL, blocked;
    struct found f;
    int status;
    regs->rip -= 2; /* back onto the syscall instruction */
    regs->rax = SYS_pause;
    regs->orig_rax = (unsigned long long)-1;
    /* A handler that ran on the way would come back to the changed registers. */
    if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof blocked, &blocked) ||
        ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof all, &all) || task_set_regs(t, regs))
        return;
    do {
        ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL);
        status = control_wait_stop(t, PTRACE_SYSCALL);
    } while (status >= 0 && status >> 16 == PTRACE_EVENT_STOP); /* tracer_wake()'s */
    ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof blocked, &blocked);
    control_send_held(t);
    if (status < 0 || task_regs(t, regs))
        return;
    if (find(t, w, &f))
        call_replace(t, regs, nr, deliver(t, w, &f, nr == SYS_waitid));
    else
        t->tracer_waits = PAUSES;
}

/* Of a child that is a tracee, too, the host's parent hears by job control what its tracer hears by the stop. */
static bool is_told_twice(struct task *t, const struct wanted *w, int64_t result)
{
    int status;
    struct task *child = result > 0 ? task_find_ns((int32_t)result) : NULL;
    return child && child->tracing && child->tracing->tracer == t->group && w->status_at &&
           um_read(t, w->status_at, &status, sizeof status) > 0 && WIFSTOPPED(status);
}

/* At the exit of a call that waits. It may not be over: tracer_waits tells. */
void tracer_wait_ends(struct task *t)
{
    struct user_regs_struct regs;
    struct wanted w;
    struct found f;
    bool was_pause = t->tracer_waits == PAUSES;
    int64_t nr = t->replaced_nr;
    t->tracer_waits = NO_WAIT;
    if (task_regs(t, &regs))
        return;
    int64_t result = (int64_t)regs.rax;
    wanted_by(&regs, nr, &w);
    if (is_told_twice(t, &w, result))
        result = -ERESTARTSYS;
    if (!RESTART(result) && result != -ECHILD)
        return; /* a child of its own */
    if (find(t, &w, &f))
        result = deliver(t, &w, &f, nr == SYS_waitid);
    else if (result == -ECHILD && has_tracees(t, &w)) {
        if (!(w.options & WNOHANG)) {
            pause_instead(t, &regs, &w, nr);
            return;
        }
        result = 0;
    } else if (was_pause)
        result = -ERESTARTSYS;
    regs.orig_rax = (unsigned long long)nr;
    regs.rax = (unsigned long long)result;
    task_set_regs(t, &regs);
}

void tracer_begins(const struct thread_group *g, const struct task *except)
{
    for (struct task *t = task_first(); t; t = t->all_next)
        if (t->group == g && t != except)
            ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
}

void tracer_wake(const struct thread_group *g)
{
    for (struct task *t = task_first(); t; t = t->all_next)
        if (t->group == g && t->tracer_waits)
            ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
}
