/* park.c - calls that wait: for descriptors, for a deadline, for Python, and for signals to end them.
 *
 * Descriptors are registered once, edge-triggered, in the engine's epoll set, when a task first waits for
 * them. No edge is lost: a task is put in the list of waiters in the same turn of the loop in which the host
 * call answered EAGAIN, and edges are only taken at the top of a turn. Wakes may be spurious: whoever is
 * woken tries its host call again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include "engine.h"
#include "../vfs/vfs.h"

#define READY_MAX 256

static struct task **heap;      /* by trap.deadline_ns; heap_index is the position + 1 */
static uint64_t heap_size, heap_capacity;
static struct task *ready_first, *ready_last; /* woken by task_wake, linked by ready_next */

/* ---- deadlines: a binary heap */

static void place(uint64_t at, struct task *t)
{
    heap[at] = t;
    t->heap_index = at + 1;
}

static void sift_up(uint64_t at)
{
    struct task *t = heap[at];
    while (at && heap[(at - 1) / 2]->trap.deadline_ns > t->trap.deadline_ns) {
        place(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(at, t);
}

static void sift_down(uint64_t at)
{
    struct task *t = heap[at];
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= heap_size)
            break;
        if (child + 1 < heap_size && heap[child + 1]->trap.deadline_ns < heap[child]->trap.deadline_ns)
            child++;
        if (heap[child]->trap.deadline_ns >= t->trap.deadline_ns)
            break;
        place(at, heap[child]);
        at = child;
    }
    place(at, t);
}

static void heap_add(struct task *t)
{
    if (heap_size == heap_capacity) {
        heap_capacity = heap_capacity ? heap_capacity * 2 : 64;
        heap = realloc(heap, heap_capacity * sizeof(struct task *));
        if (!heap)
            abort();
    }
    heap[heap_size] = t;
    sift_up(heap_size++);
}

static void heap_remove(struct task *t)
{
    uint64_t at = t->heap_index - 1;
    t->heap_index = 0;
    struct task *last = heap[--heap_size];
    if (last == t)
        return;
    place(at, last);
    sift_up(at);
    sift_down(last->heap_index - 1);
}

int64_t park_next_deadline(void)
{
    return heap_size ? heap[0]->trap.deadline_ns : 0;
}

/* ---- waits */

/* 0, or 1 if it is ready for the events already: a regular file or /dev/null always is for these, and cannot be waited for */
static int watch(struct description *d, uint32_t events)
{
    if (d->flags & DESC_IN_EPOLL)
        return 0;
    if (d->host_fd < 0)
        return 0; /* woken by Python */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET, .data.ptr = d};
    if (epoll_ctl(engine.epoll, EPOLL_CTL_ADD, d->host_fd, &event))
        return errno != EPERM || (events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM));
    d->flags |= DESC_IN_EPOLL;
    return 0;
}

static void line_up(struct task *t)
{
    if (t->is_ready)
        return;
    t->is_ready = 1;
    t->ready_next = NULL;
    if (ready_last)
        ready_last->ready_next = t;
    else
        ready_first = t;
    ready_last = t;
}

static int park(struct task *t, struct description **descs, const uint32_t *events, uint32_t count)
{
    if (count > t->wait_capacity) {
        struct waiter *waits = realloc(t->waits, count * sizeof *waits);
        if (!waits)
            return -ENOMEM;
        t->waits = waits;
        t->wait_capacity = count;
    }
    bool is_ready = false;
    for (uint32_t i = 0; i < count; i++) {
        struct waiter *w = &t->waits[i];
        w->task = t;
        w->desc = descs[i];
        w->events = events[i];
        w->next = descs[i]->waiters;
        descs[i]->waiters = w;
        desc_ref(descs[i]);
        if (watch(descs[i], events[i]))
            is_ready = true;
    }
    t->wait_count = count;
    t->is_waiting = 1;
    t->state = TASK_PARKED;
    engine.parked++;
    if (t->trap.deadline_ns)
        heap_add(t);
    if (is_ready)
        line_up(t);
    /* A signal that was blocked before the call may be let through by the call's own mask. And one may have come between
     * the trap and our taking it: a stop does not end for it, and a notification that is taken before its task
     * could run is killable only. */
    if ((t->has_wait_mask || signal_may_be_new(t)) && signal_must_interrupt(t)) {
        t->is_interrupted = 1;
        line_up(t);
    }
    return 0;
}

int task_wait(struct task *t, struct description **descs, const uint32_t *events, uint32_t count, int64_t deadline_ns)
{
    t->trap.deadline_ns = deadline_ns;
    t->is_python_parked = 1;
    return park(t, descs, events, count);
}

int task_wait_retry(struct task *t, struct description *d, uint32_t events)
{
    t->is_python_parked = 0;
    int error = park(t, &d, &events, 1);
    return error ? error : SENTRY_PARKED;
}

int task_wait_retry_many(struct task *t, struct description **descs, const uint32_t *events, uint32_t count)
{
    t->is_python_parked = 0;
    int error = park(t, descs, events, count);
    return error ? error : SENTRY_PARKED;
}

void park_forget(struct task *t)
{
    if (!t->is_waiting)
        return;
    t->is_waiting = 0;
    t->is_interrupted = 0;
    engine.parked--;
    if (t->heap_index)
        heap_remove(t);
    for (uint32_t i = 0; i < t->wait_count; i++) {
        struct waiter *w = &t->waits[i], **link = &w->desc->waiters;
        while (*link != w)
            link = &(*link)->next;
        *link = w->next;
        desc_unref(w->desc);
    }
    t->wait_count = 0;
}

void trap_interrupt(struct task *t)
{
    t->state = TASK_TRAPPED;
    t->was_interrupted = 1;
    if (inject_answer(t, -(int64_t)t->restart))
        return;
    if (t->has_wait_mask && t->wait_mask_addr)
        mask_swap_begin(t);
    else
        platform->interrupt(t, (int)t->restart);
}

static void wake(struct task *t, int reason)
{
    park_forget(t);
    if (t->is_python_parked) {
        t->state = TASK_TRAPPED;
        trap_finish(t, hooks.resume(t, reason));
    } else if (reason == WAKE_INTERRUPTED) {
        if (t->trap.progress > 0)
            trap_finish(t, t->trap.progress);
        else
            trap_interrupt(t);
    } else
        trap_retry(t);
}

void park_desc_ready(struct description *d)
{
    if (d->refs == 0)
        return; /* died earlier in this batch of events: `waiters` links the graveyard */
    /* Waking one may change the list: line them all up first. */
    for (struct waiter *w = d->waiters; w; w = w->next)
        line_up(w->task);
}

void task_wake(struct task *t)
{
    if (t->is_waiting)
        line_up(t);
}

void park_interrupt(struct task *t)
{
    if (!t->is_waiting)
        return;
    sentry_stats.interrupted++;
    wake(t, WAKE_INTERRUPTED);
}

/* As many as were there, about: who is ready again and again must not keep signals and deadlines waiting. */
void park_run_ready(void)
{
    for (int turns = 0; ready_first && turns < READY_MAX; turns++) {
        struct task *t = ready_first;
        ready_first = t->ready_next;
        if (!ready_first)
            ready_last = NULL;
        t->is_ready = 0;
        if (t->is_waiting && t->is_interrupted)
            park_interrupt(t);
        else if (t->is_waiting)
            wake(t, WAKE_READY);
        else if (t->state == TASK_DEAD)
            task_free(t);
    }
}

bool park_has_ready(void)
{
    return ready_first != NULL;
}

void park_run_deadlines(int64_t now)
{
    while (heap_size && heap[0]->trap.deadline_ns <= now)
        wake(heap[0], WAKE_TIMEOUT);
}
