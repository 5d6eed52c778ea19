/* signals.c - sends signals, and notices those that must end a wait.
 *
 * Handlers, masks and frames are the host kernel's. But a call that waits in a trap is only killable, so
 * whoever may have caused a signal calls signals_changed(): it looks at the pending and blocked sets of the
 * parked tasks and ends the waits that Linux would end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine.h"

#define BIT(sig) (1ULL << ((sig) - 1))
#define IGNORED_BY_DEFAULT (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH))
#define STOPS_BY_DEFAULT (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))

bool signal_ends_process(int sig)
{
    return !(BIT(sig) & (IGNORED_BY_DEFAULT | STOPS_BY_DEFAULT));
}

int status_read(int32_t tid, char *buffer, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "%d/status", tid);
    int fd = openat(engine.proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, buffer, size - 1);
    close(fd);
    if (got <= 0)
        return -ESRCH;
    buffer[got] = 0;
    return (int)got;
}

static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

int signal_sets_read(struct task *t, struct signal_sets *sets)
{
    char text[4096];
    int error = status_read(t->tid, text, sizeof text);
    if (error < 0)
        return error;
    sets->pending = field(text, "\nSigPnd:") | field(text, "\nShdPnd:");
    sets->blocked = field(text, "\nSigBlk:");
    sets->ignored = field(text, "\nSigIgn:");
    sets->caught = field(text, "\nSigCgt:");
    return 0;
}

/* Would Linux take this task out of an interruptible sleep? */
bool signal_must_interrupt(struct task *t)
{
    struct signal_sets sets;
    if (signal_sets_read(t, &sets))
        return false;
    uint64_t deliverable = sets.pending & ~sets.blocked;
    if (t->has_wait_mask) /* ppoll and its like wait under a mask of their own */
        deliverable = sets.pending & ~t->wait_mask;
    if (t->tracing) /* its tracer sees those that are ignored, too */
        return deliverable;
    return deliverable & (sets.caught | ~(sets.ignored | IGNORED_BY_DEFAULT));
}

bool signal_may_be_new(struct task *t)
{
    uint32_t sent = engine.signals_sent + t->group->signals_sent;
    if (sent == t->signals_seen)
        return false;
    t->signals_seen = sent;
    return true;
}

/* The host kernel looks at a restart code only on its way through its signal code. A signal of the process that another
 * thread takes first would leave the program with errno 512: a stop on the way out sends the task through there. */
void make_restart_sure(struct task *t)
{
    ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
}

void signals_changed(struct thread_group *g)
{
    if (g)
        g->signals_sent++;
    else
        engine.signals_sent++;
    if (engine.watches_signals)
        hooks.signals_changed();
    if (!engine.parked)
        return;
    for (struct task *t = task_first(), *next; t; t = next) {
        next = t->all_next;
        if (t->is_waiting && (!g || t->group == g) && signal_must_interrupt(t))
            park_interrupt(t);
    }
}

/* Signals of the sentry's own making say who they are from at the delivery stop (see control.c). */
int task_kill(struct task *t, int sig)
{
    if (syscall(SYS_tgkill, t->group->tgid, t->tid, sig))
        return -errno;
    signals_changed(t->group);
    return 0;
}

/* With a value, as sigqueue(3) and timers send it. Only codes below 0 but SI_TKILL may be queued to another process. */
int task_queue_signal(struct task *t, int sig, int code, uint64_t value, int to_group)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = code;
    info.si_value.sival_ptr = (void *)value;
    return task_queue_siginfo(t, sig, &info, to_group);
}

int task_queue_siginfo(struct task *t, int sig, const void *info, int to_group)
{
    long error = to_group ? syscall(SYS_rt_sigqueueinfo, t->group->tgid, sig, info)
                          : syscall(SYS_rt_tgsigqueueinfo, t->group->tgid, t->tid, sig, info);
    if (error)
        return -errno;
    signals_changed(t->group);
    return 0;
}

/* ---- who a signal is from: the host gives a sender outside of its pid namespace the number 0, and knows one user only */

struct sent {
    int32_t tgid; /* of the receiver; host pid */
    int32_t sig, code;
    uint64_t value;
    int32_t ns_pid;
    uint32_t uid;
    int32_t child_code, child_status; /* SIGCHLD about a tracee */
};
#define SENT_KEPT 64
static struct sent sent[SENT_KEPT]; /* newest overwrite oldest */
static uint32_t sent_next;

int task_queue_sent_signal(struct task *t, int sig, int code, uint64_t value, int32_t ns_pid, uint32_t uid)
{
    sent[sent_next++ % SENT_KEPT] = (struct sent){t->group->tgid, sig, code, value, ns_pid, uid, 0, 0};
    return task_queue_signal(t, sig, code, value, 1);
}

int group_kill_from(struct thread_group *g, int sig, int32_t ns_pid, uint32_t uid)
{
    sent[sent_next++ % SENT_KEPT] = (struct sent){g->tgid, sig, SI_USER, 0, ns_pid, uid, 0, 0};
    return group_kill(g, sig);
}

void group_tell_child(struct thread_group *g, int32_t ns_pid, uint32_t uid, int code, int status)
{
    sent[sent_next++ % SENT_KEPT] = (struct sent){g->tgid, SIGCHLD, SI_USER, 0, ns_pid, uid, code, status};
    group_kill(g, SIGCHLD);
}

static bool find_sender(struct task *t, siginfo_t *info)
{
    for (uint32_t i = 1; i <= SENT_KEPT; i++) {
        const struct sent *s = &sent[(sent_next - i) % SENT_KEPT];
        if (s->tgid == t->group->tgid && s->sig == info->si_signo && s->code == info->si_code &&
            (s->code == SI_USER || s->value == (uint64_t)info->si_value.sival_ptr)) {
            info->si_pid = s->ns_pid;
            info->si_uid = s->uid;
            if (s->child_code) {
                info->si_code = s->child_code;
                info->si_status = s->child_status;
            }
            return true;
        }
    }
    return false;
}

/* The virtual user behind a pid of the sandbox, which may have ended; else the receiver's own. */
static uint32_t uid_of(struct task *t, pid_t ns_pid)
{
    for (struct task *other = task_first(); other; other = other->all_next)
        if (other->ns_tid == ns_pid && other->cred)
            return other->cred->uid;
    return ended_uid(ns_pid, t->cred->uid);
}

/* What kernel/sigio.py queued: a code that may be queued, and the descriptor and the reason as its value. */
static void correct_sigio(siginfo_t *info)
{
    static const long bands[] = {0, POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM | POLLWRBAND, POLLIN | POLLRDNORM | POLLMSG,
                                 POLLERR, POLLPRI | POLLRDBAND, POLLHUP | POLLERR};
    uint64_t value = (uint64_t)info->si_value.sival_ptr, reason = value >> 32;
    info->si_value.sival_ptr = NULL;
    info->si_uid = 0;
    info->si_code = SI_KERNEL;
    if (!reason || reason >= sizeof bands / sizeof *bands)
        return;
    info->si_code = (int)reason;
    info->si_band = bands[reason];
    info->si_fd = (int)(uint32_t)value;
}

int siginfo_correct(struct task *t, void *buffer)
{
    siginfo_t info;
    memcpy(&info, buffer, sizeof info);
    int sig = info.si_signo, code = info.si_code;
    bool is_from_process = code == SI_USER || code == SI_QUEUE || code == SI_TKILL || (sig == SIGCHLD && code > 0);
    if (is_from_process && info.si_pid != 0 && info.si_uid == geteuid())
        info.si_uid = uid_of(t, info.si_pid);
    else if (code == SI_SIGIO && info.si_pid == 0)
        correct_sigio(&info);
    else if (code == SI_MESGQ && info.si_pid == 0)
        find_sender(t, &info);
    else if (code == SI_USER && info.si_pid == 0 && !find_sender(t, &info)) {
        /* Sent by the sentry, which may not queue what the kernel would. */
        if (sig == SIGALRM)
            info.si_code = SI_KERNEL;
        else if (sig == SIGPIPE || sig == SIGXFSZ)
            info.si_pid = task_ns_tid(t), info.si_uid = t->cred->uid;
    }
    if (memcmp(buffer, &info, sizeof info) == 0)
        return 0;
    memcpy(buffer, &info, sizeof info);
    return 1;
}

int group_kill(struct thread_group *g, int sig)
{
    if (kill(g->tgid, sig))
        return -errno;
    signals_changed(g);
    return 0;
}
