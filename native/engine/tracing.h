/* tracing.h - ptrace(2) inside the sandbox: what tracee.c, tracer.c and tracer_wait.c share.
 *
 * The host knows one tracer, the sentry. Another one, inside, is told of a host stop that the sentry holds its task in:
 *   tracee.c         the stop, how a task goes on from it, and the stops at calls
 *   tracee_events.c  the other stops
 *   tracer.c         the calls: who may, and what is read and written at a stop
 *   tracer_wait.c    wait4(2) and waitid(2) of a process that traces
 * Never shown is a stop at which the sentry itself has begun something: after the filter has judged a call, in a call of
 * ours, in the exec stub. So what a tracer writes into registers is always judged by the filter afterwards.
 */
#ifndef PYSENTRY_TRACING_H
#define PYSENTRY_TRACING_H

#include <sys/ptrace.h>
#include <sys/wait.h>
#include "engine.h"

enum stop_kind {
    STOP_DELIVERY, /* of a signal, by the host */
    STOP_MADE_UP,  /* of a signal that the host knows nothing of */
    STOP_EVENT,    /* PTRACE_EVENT_* */
    STOP_GROUP,    /* job control */
    STOP_ENTRY, STOP_EXIT, /* of a call */
};

/* The stop behind the one that it is in, without the host. */
enum follows { FOLLOWS_NOTHING, FOLLOWS_EXIT, FOLLOWS_TRAP };

struct tracing {
    struct thread_group *tracer;
    uint32_t options;       /* PTRACE_O_* */
    uint32_t host_options;  /* those of them that the host has been told of */
    bool is_seized, is_privileged;
    bool is_newborn;        /* traced because its parent is: it stops before it runs */
    bool wants_stop;        /* PTRACE_INTERRUPT was asked for */
    bool listens;           /* PTRACE_LISTEN: stopped by job control, its tracer hears of the end */
    int mode;               /* how it was resumed last: PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SINGLESTEP */
    int64_t entry_nr;       /* of the call under way, as its tracer let it go; -1: none */
    int32_t late_event;     /* a PTRACE_EVENT_* that came in a call of ours, for its end */
    uint64_t late_message;
    int32_t exec_former;    /* who it was before its exec, in the sandbox's numbers */
    /* the stop */
    bool is_held, is_waited;
    enum stop_kind kind;
    enum follows follows;
    int status;             /* as wait4(2) tells it */
    uint64_t message;       /* PTRACE_GETEVENTMSG */
};

/* A tracee that ended, for its tracer's wait. */
struct tracee_end {
    struct tracee_end *next;
    int32_t ns_tid;
    int status;
};

static inline int stop_status(int sig, int event)
{
    return event << 16 | sig << 8 | 0x7f;
}

/* ---- tracee.c */
void tracee_hold(struct task *t, int status, uint64_t message, enum stop_kind kind);
void tracee_hold_call(struct task *t, enum stop_kind kind); /* STOP_ENTRY, STOP_EXIT */
void tracee_begin(struct task *t, struct thread_group *tracer, uint32_t options, bool is_seized, bool is_privileged);
void tracee_resume(struct task *t, int mode, int sig); /* from a stop that is held */
void tracee_detach(struct task *t, int sig);           /* likewise */
int64_t tracee_interrupt(struct task *t);                /* PTRACE_INTERRUPT */
void tracee_listen(struct task *t);                    /* PTRACE_LISTEN */
void tracee_tell_options(struct task *t);              /* at a host stop */
void call_replace(struct task *t, struct user_regs_struct *regs, int64_t nr, int64_t result); /* at its entry: what it will have been, and its result */

/* ---- tracer_wait.c */
void tracer_begins(const struct thread_group *g, const struct task *except); /* its calls are seen from now on */
void tracer_wake(const struct thread_group *g);        /* there is something to wait for */

#endif
