/* engine.h - what the C files of the engine share, beyond what Python sees in sentry.h. */
#ifndef PYSENTRY_ENGINE_H
#define PYSENTRY_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>
#ifndef SENTRY_PUNT
#include "../sentry.h"
#endif
#include "python.h"
#include "../stub/stub.h"

/* More numbers like those in stub.h. */
#define CHANNEL_FD 1020 /* ptrace platform only: descriptors arrive here */
#define NATIVE_FDS_END 1020 /* programs' descriptors below it can be installed under their own number */

/* How traps reach the sentry and how they are answered: the contract of a platform.
 * 1. A trap is delivered once, by trap_received(), with task->trap filled in.
 * 2. Each is ended by exactly one of answer() or proceed(); the task may have died: that is no error.
 * 3. interrupt() ends it with a restart code, so that the host kernel delivers the pending signal.
 * 4. install() puts a copy of a host descriptor at a number in the workload, while its trap is open.   */
struct platform {
    const char *name;
    void (*answer)(struct task *t, int64_t result);
    void (*proceed)(struct task *t);
    void (*interrupt)(struct task *t, int restart);
    int  (*install)(struct task *t, int host_fd, int fd);
};
extern const struct platform *platform;
extern const struct platform seccomp_platform, ptrace_platform;

extern struct engine {
    int listener;          /* seccomp notifications; -1 under the ptrace platform */
    int epoll;             /* everything else that the loop waits for */
    int signals;           /* signalfd */
    int proc;              /* directory: procfs of the sentry's own pid namespace */
    int channel;           /* ptrace platform: sending end of CHANNEL_FD */
    int channel_end;       /* and the tasks' end, to take back what nobody has received */
    int gofer;             /* its socket: a hang-up ends the run */
    bool fast_path;
    bool watches_signals;  /* tell Python when a signal may be pending (signalfd) */
    bool trace;            /* tell Python of every call */
    bool keep_init;        /* pid 1 is spared from signals without a handler, as in a container */
    bool finished;         /* pid 1 is gone */
    bool gofer_died;
    bool stop;             /* Python asked the loop to end */
    int exit_status;       /* wait status of pid 1 */
    int init_signal;       /* the signal that ended pid 1, where the host would have ignored it */
    struct task *init;
    struct task *seed;     /* what new programs are forked from; NULL: this sandbox starts only one */
    uint32_t parked;       /* tasks in a wait */
    uint32_t signals_sent; /* counts signals_changed() about everybody */
} engine;

/* ---- loop.c */
extern sigset_t engine_caller_mask;         /* signals that were blocked when we were started */

/* ---- notify.c */
int  notify_open(void);                     /* sizes and flags: 0 or -errno */
void notify_set_listener(int fd);
bool notify_receive(void);                  /* takes one trap; false: none there */
typedef long notify_receiver(int fd, unsigned long request, void *into, volatile int32_t *flag);
bool notify_receive_with(notify_receiver *receive, volatile int32_t *flag); /* see hot.c */

/* ---- hot.c */
bool hot_enter(void);                       /* nothing but traps can come: wait for them alone? (not at once) */
bool hot_turn(void);                        /* one trap; false: something else happened */
bool hot_leave(void);                       /* something else can come. True: and something has, look at everything */

/* ---- trap.c: dispatch */
void trap_received(struct task *t);
void trap_finish(struct task *t, int64_t result);
void trap_retry(struct task *t);
bool trap_run_is_over(void);               /* the gofer is dead */
bool trap_is_control(int32_t nr);
bool trap_is_ours(int32_t nr);             /* fast or python: the platform's to deliver */

/* ---- tasks.c */
struct task *task_new(int32_t tid);
void tasks_each(void (*visit)(struct task *t)); /* also the seed, and those that are held */
uint32_t tasks_traced(void);                /* how many have to be waited for */
void task_join(struct task *t, struct thread_group *g); /* from now on it is one of the sandbox's */
struct thread_group *group_new(int32_t tgid, struct thread_group *parent);
void task_free(struct task *t);
struct task *task_of(int32_t tid);          /* found or made: a child may be seen before its parent's event */
void task_inherit(struct task *child, struct task *parent, uint64_t clone_flags);
void task_exited(struct task *t, int status);
uint32_t ended_uid(int32_t ns_tid, uint32_t fallback); /* the real user of a process that ended lately */
void task_take_over(struct task *t, int32_t tid); /* exec from a thread: it becomes the leader */

/* ---- park.c */
enum wake_reason { WAKE_READY, WAKE_TIMEOUT, WAKE_INTERRUPTED, WAKE_DEAD };
void park_forget(struct task *t);           /* out of every wait list */
void park_desc_ready(struct description *d);
void trap_interrupt(struct task *t);        /* answers it with its restart code */
void park_interrupt(struct task *t);        /* ends its wait because of a signal */
void park_run_ready(void);                  /* tasks that task_wake() put in line */
bool park_has_ready(void);
int64_t park_next_deadline(void);           /* 0: none */
void park_run_deadlines(int64_t now);

/* ---- epoll_members.c */
void epoll_members_closed(struct description *d); /* the last reference is gone; host_fd is still open */

/* ---- files.c */
void files_bury(void);                      /* frees descriptions that died during the last batch of events */

/* ---- signals.c */
bool signal_ends_process(int sig);
void group_tell_child(struct thread_group *g, int32_t ns_pid, uint32_t uid, int code, int status); /* SIGCHLD of that kind */
bool signal_must_interrupt(struct task *t); /* would Linux take this task out of an interruptible sleep? */
bool signal_may_be_new(struct task *t);      /* since this was last asked: signals_changed() was called about it */

void make_restart_sure(struct task *t);     /* before a trap is answered with a restart code */

#define ENGINE_OPTIONS (PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
                        PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD)

/* ---- control.c */
/* Inside a handler: the next stop of a task that runs a call of ours (status), or -1: it died. Signals are held back. */
int  control_wait_stop(struct task *t, int request);
void control_send_held(struct task *t);
bool control_has_deferred(void);           /* exits that control_reap() must see to */
void control_reap(void);                    /* every ptrace event that waits */
void control_stop(struct task *t, int status);

#define ERESTARTNOINTR 513 /* of the host kernel, as those in sentry.h: always start over */

/* ---- inject.c */
bool inject_stop(struct task *t, struct user_regs_struct *regs); /* gives the trap up for a stop; false: it died */
bool inject_answer(struct task *t, int64_t result); /* ends a trap that was given up for a stop; false: it was not */
/* Copies `size` bytes (to put back later) of the room below its stack pointer, for a call's arguments. Its address; 0: none. */
uint64_t inject_borrow(struct task *t, uint64_t stack, void *kept, size_t size);

/* ---- host_call.c */
bool host_call_exit_stop(struct task *t);   /* was it the exit of such a call? */
void host_call_born(struct task *child, const struct task *parent);
void host_call_first_stop(struct task *child);

/* ---- mask_swap.c */
void mask_swap_begin(struct task *t);       /* instead of platform->interrupt() */
void mask_swap_stop(struct task *t);
void mask_swap_delivered(struct task *t);

/* ---- ptrace_trap.c */
void ptrace_trap_received(struct task *t, const struct user_regs_struct *regs);
bool ptrace_trap_exit_stop(struct task *t); /* was it ours? */

/* ---- tracee.c, tracee_events.c: hooks of ptrace(2) inside the sandbox, see tracing.h. All are nothing to a task that nobody traces */
int  tracee_request(const struct task *t);  /* what it is resumed with in place of PTRACE_CONT */
bool tracee_wants_stop(const struct task *t);
void call_begins(struct task *t);           /* at the entry stop of a call of its own: it goes on, now or later */
void call_ends(struct task *t);             /* at a stop behind a call of its own: likewise */
bool call_stop_is_entry(struct task *t);    /* a host syscall stop */
bool tracee_forked(struct task *t, struct task *child, int event); /* true: held, these two likewise */
bool tracee_event(struct task *t, int event);
bool tracee_event_stop(struct task *t, int sig);
bool tracee_signal_stop(struct task *t, int sig);
bool tracee_born(struct task *child);       /* its first stop */
void tracee_inherit(struct task *child, struct task *parent, int event);
void tracee_exec(struct task *t, int32_t former);
void tracee_exec_over(struct task *t);      /* the stub is done */
void tracee_replaced(struct task *t);       /* by another thread, that executes a program */
void tracee_exited(struct task *t, int status);
void tracer_exited(struct thread_group *g);
void signal_goes_on(struct task *t, int sig); /* control.c: is delivered; 0: is not */

/* ---- tracer.c */
void tracer_call(struct task *t, struct user_regs_struct *regs);

/* ---- tracer_wait.c */
void tracer_wait_begins(struct task *t, struct user_regs_struct *regs);
void tracer_wait_ends(struct task *t);
bool tracer_wait_has_news(struct task *t);  /* of the waitid(2) that it is trapped in */

/* ---- trace.c */
void trace_stop(struct task *t);            /* tells of an entry or exit */

/* ---- orphans.c */
void orphans_held(void);                    /* one more child waits for its parent's fork event */
void orphans_gone(const struct task *t);    /* if it was one: the event is there, or its end */
int64_t orphans_next_look(void);            /* when orphans_look() is due; 0: none is held */
void orphans_look(int64_t now);

/* ---- seed.c */
bool seed_trap(struct task *t);             /* a call of the stub as seed, or of its newborn child; false: it is neither */
void seed_fork_event(struct task *child);
void seed_first_exec(struct task *t, struct user_regs_struct *regs); /* of the seed itself */
void seed_exited(struct task *t);           /* its exit_status is there */

/* ---- exec.c */
void exec_begin(struct task *t, struct user_regs_struct *regs);
void exec_exit_stop(struct task *t);        /* the host refused it */
void exec_event(struct task *t);
bool exec_is_stub_call(const struct task *t);
int  task_regs(struct task *t, struct user_regs_struct *regs);
int  task_set_regs(struct task *t, const struct user_regs_struct *regs);
void task_resume(struct task *t, int request, int sig);

/* ---- callbacks to Python, set by cffi */
struct python_hooks {
    int64_t (*syscall)(struct task *t);
    int64_t (*resume)(struct task *t, int reason);
    int64_t (*exec_begin)(struct task *t);     /* 0: run the stub; or -errno */
    int64_t (*exec_load)(struct task *t);      /* the stub's stack pointer, or -errno: kill */
    void (*exec_done)(struct task *t, int result);
    int64_t (*kill_check)(struct task *t);     /* 0 or -errno */
    int64_t (*trace_check)(struct task *tracer, struct task *t, int is_wish); /* is_wish: of t itself. 0: not privileged, 1: it is, or -errno */
    int64_t (*birth)(struct task *t, int moment); /* BIRTH_*: 0, -errno: it must die, or SENTRY_PARKED */
    void (*task_exit)(struct task *t);
    void (*fd_closed)(struct task *t, struct description *d);
    void (*description_gone)(uint64_t id);
    void (*signals_changed)(void);
    void (*trace)(struct task *t, int phase, int64_t result, int who);
    void (*on_timer)(void);
    void (*on_ready)(int fd, uint32_t events);
};
extern struct python_hooks hooks;

#endif
