/* loop.c - the sentry's one thread waits here for everything.
 *
 * Two descriptors are polled: the listener, because traps are nearly all of the work, and an epoll set with the
 * rest (signals, the gofer, parked descriptors, Python's own). Before the lock-up boot.py calls engine_open().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine.h"

/* epoll data: a description's address (aligned), or one of these in the low bits */
enum tag { TAG_DESCRIPTION = 0, TAG_PYTHON = 1, TAG_SIGNALS = 2, TAG_GOFER = 3 };
#define TAG_MASK 7ULL

static int64_t timer_deadline;

void sentry_set_timer(int64_t deadline_ns)
{
    timer_deadline = deadline_ns;
}

static int epoll_set(int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (!events)
        return epoll_ctl(engine.epoll, EPOLL_CTL_DEL, fd, NULL) ? -errno : 0;
    if (epoll_ctl(engine.epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    return epoll_ctl(engine.epoll, EPOLL_CTL_MOD, fd, &event) ? -errno : 0;
}

static uint32_t watched; /* by Python */

int sentry_watch_quietly(int host_fd, uint32_t events)
{
    int error = epoll_set(host_fd, events, (uint64_t)host_fd << 3 | TAG_PYTHON);
    if (error || !events)
        return error;
    int flags = fcntl(host_fd, F_GETFL);
    return fcntl(host_fd, F_SETOWN, getpid()) || fcntl(host_fd, F_SETFL, flags | O_ASYNC) ? -errno : 0;
}

int sentry_watch(int host_fd, uint32_t events)
{
    static uint64_t known[1024 / 64]; /* which of the low numbers are in the set */
    if ((uint32_t)host_fd < 1024) {
        uint64_t *word = &known[host_fd / 64], bit = 1ULL << host_fd % 64;
        watched += (events && !(*word & bit)) - (!events && (*word & bit));
        *word = events ? *word | bit : *word & ~bit;
    } else
        watched += 1000; /* never quiet again: nobody watches such numbers */
    return epoll_set(host_fd, events, (uint64_t)host_fd << 3 | TAG_PYTHON);
}

sigset_t engine_caller_mask;

/* Before anything is blocked: the first program starts with its caller's mask. */
void engine_save_mask(void)
{
    sigprocmask(SIG_SETMASK, NULL, &engine_caller_mask);
}

int engine_open(int proc_fd, int gofer_fd)
{
    sigset_t set;
    engine.proc = proc_fd;
    engine.gofer = gofer_fd;
    engine.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (engine.epoll < 0)
        return -errno;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    engine.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (engine.signals < 0)
        return -errno;
    int error = epoll_set(engine.signals, EPOLLIN, TAG_SIGNALS);
    if (!error && gofer_fd >= 0) {
        struct epoll_event event = {.events = 0, .data.u64 = TAG_GOFER}; /* hang-ups are always told */
        if (epoll_ctl(engine.epoll, EPOLL_CTL_ADD, gofer_fd, &event))
            error = -errno;
    }
    return error;
}

static void handle(const struct epoll_event *event)
{
    struct signalfd_siginfo info[8];
    switch (event->data.u64 & TAG_MASK) {
    case TAG_DESCRIPTION:
        park_desc_ready(event->data.ptr);
        break;
    case TAG_PYTHON:
        hooks.on_ready((int)(event->data.u64 >> 3), event->events);
        break;
    case TAG_SIGNALS:
        while (read(engine.signals, info, sizeof info) > 0)
            ;
        control_reap();
        break;
    case TAG_GOFER:
        engine.gofer_died = true;
        break;
    }
}

static void timeout_of(struct timespec *timeout, int64_t deadline, int64_t now)
{
    int64_t left = deadline > now ? deadline - now : 0;
    timeout->tv_sec = left / 1000000000;
    timeout->tv_nsec = left % 1000000000;
}

/* 0: never */
static int64_t earlier(int64_t a, int64_t b)
{
    return !a ? b : !b || a < b ? a : b;
}

/* Runs until pid 1 is gone (0), the gofer died (-ECONNRESET) or Python asked to stop (1). */
int engine_run(void)
{
    struct epoll_event events[64];
    struct pollfd fds[2] = {{engine.listener, POLLIN, 0}, {engine.epoll, POLLIN, 0}};
    control_reap(); /* stops that came before SIGCHLD was watched */
    while (!engine.finished && !engine.gofer_died && !engine.stop) {
        /* One descriptor of Python's is the signalfd of outside.py, which hot.c takes care of. */
        bool only_look = false; /* there may be work that no descriptor will tell of */
        bool is_quiet = fds[0].fd >= 0 && !control_has_deferred() && !engine.parked && !timer_deadline && watched <= 1 &&
                        !orphans_next_look();
        if (!is_quiet)
            only_look = hot_leave();
        else if (hot_enter()) {
            bool was_trap = hot_turn();
            park_run_ready();
            files_bury();
            if (was_trap)
                continue;
            only_look = true;
        }
        if (park_has_ready())
            only_look = true;
        struct timespec timeout, *wait = NULL;
        int64_t deadline = earlier(earlier(park_next_deadline(), timer_deadline), orphans_next_look()), now = 0;
        if (only_look) {
            timeout = (struct timespec){0, 0};
            wait = &timeout;
        } else if (deadline) {
            now = sentry_now_ns();
            timeout_of(&timeout, deadline, now);
            wait = &timeout;
        }
        int ready = ppoll(fds, 2, wait, NULL);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready < 0)
            fds[0].revents = fds[1].revents = 0;
        if (ready > 0 && fds[0].revents & POLLIN)
            notify_receive();
        if (ready > 0 && fds[1].revents) {
            int count = epoll_wait(engine.epoll, events, 64, 0);
            for (int i = 0; i < count; i++)
                handle(&events[i]);
        }
        if (fds[0].revents & POLLHUP) /* no task uses the filter any more: their exits are on the way */
            fds[0].fd = -1;
        if (deadline && (now = sentry_now_ns()) >= deadline) {
            if (timer_deadline && timer_deadline <= now) {
                timer_deadline = 0;
                hooks.on_timer();
            }
            park_run_deadlines(now);
            orphans_look(now);
        }
        park_run_ready();
        if (control_has_deferred())
            control_reap();
        files_bury();
    }
    hot_leave();
    return engine.finished ? 0 : engine.gofer_died ? -ECONNRESET : 1;
}

/* Ends every task and reaps it. Safe to call in any state, and twice. */
void engine_end(void)
{
    int status;
    if (engine.init)
        kill(engine.init->tid, SIGKILL); /* pid 1: the host kernel ends its whole namespace */
    while (tasks_traced()) {
        /* The seed last: it is the parent of pid 1, and others' orphans are our caller's to reap. */
        if (engine.seed && tasks_traced() == 1)
            kill(engine.seed->tid, SIGKILL);
        int32_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid < 0)
            return;
        struct task *t = task_find(tid);
        if (WIFSTOPPED(status)) /* an exit stop of a dying task: let it die */
            task_resume(t ? t : task_new(tid), 7 /* PTRACE_CONT */, 0);
        else if (t)
            task_exited(t, status);
    }
}

void engine_stop(void)
{
    engine.stop = true;
}
