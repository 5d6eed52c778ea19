/* poll.c - poll, ppoll, select, pselect6.
 *
 * The truth is one host poll() with timeout 0 over the host descriptors; parking only says when to ask again.
 * Descriptions without a host descriptor (directories, what Python makes) are Python's.
 * A retry after a wait reads the arguments again and never punts: Python would start the timeout afresh.
 * ppoll and select write back what remains of a timeout, also when a signal ends the wait; so a wait with one is Python's.
 */
#define _GNU_SOURCE
#include "wait.h"

#include <poll.h>
#include <string.h>

#define MOST 1024 /* descriptors that C answers for; more are Python's */

static struct pollfd asked[MOST];               /* what the host is asked */
static struct description *descs[MOST];
static uint32_t wanted[MOST];                   /* events of descs, for the wait */
static uint32_t places[MOST];                   /* index in the program's table */

/* A set of descriptors while one call is answered. Only one call runs at a time. */
struct set {
    uint32_t count;
};

/* POLLNVAL: not open. 0: added. SENTRY_PUNT: not for C. */
static int64_t add(struct set *set, struct task *t, int fd, uint32_t events, uint32_t place)
{
    struct description *d = fd_get(t, fd);
    if (!d || d->kind == DESC_PATH)
        return POLLNVAL;
    if (d->host_fd < 0 || (d->flags & DESC_PY_POLL))
        return SENTRY_PUNT;
    uint32_t n = set->count++;
    asked[n] = (struct pollfd){.fd = d->host_fd, .events = (short)events};
    descs[n] = d;
    wanted[n] = events;
    places[n] = place;
    return 0;
}

/* ---- poll ---------------------------------------------------------------------------------------*/

static struct pollfd table[MOST]; /* the program's */

/* The sentry's own signals (engine/hot.c) are nothing to tell the workload of. */
static int poll_now(struct pollfd *fds, nfds_t count)
{
    int ready;
    do
        ready = poll(fds, count, 0);
    while (ready < 0 && errno == EINTR);
    return ready;
}

static int64_t do_poll(struct task *t, struct trap *tr, struct timeout timeout, bool writes_rest)
{
    uint32_t nfds = (uint32_t)tr->args[1];
    if (nfds > t->group->rlimit_cur[7])
        return -EINVAL;
    if (nfds > MOST)
        return SENTRY_PUNT;
    if (nfds && um_read(t, tr->args[0], table, nfds * sizeof *table) < 0)
        return -EFAULT;
    struct set set = {0};
    uint32_t ready = 0;
    for (uint32_t n = 0; n < nfds; n++) {
        table[n].revents = 0;
        if (table[n].fd < 0)
            continue;
        int64_t found = add(&set, t, table[n].fd, (uint16_t)table[n].events | POLLERR | POLLHUP, n);
        if (found == SENTRY_PUNT) {
            if (!tr->retried)
                return SENTRY_PUNT;
            found = POLLNVAL; /* replaced by another thread while this one waited */
        }
        table[n].revents = (short)found;
        ready += found != 0;
    }
    if (set.count && poll_now(asked, set.count) < 0)
        return -errno;
    for (uint32_t n = 0; n < set.count; n++) {
        table[places[n]].revents = asked[n].revents;
        ready += asked[n].revents != 0;
    }
    if (!ready && writes_rest && is_timed(timeout))
        return SENTRY_PUNT;
    if (!ready && !is_over(tr, timeout)) {
        t->restart = ERESTARTNOHAND;
        return task_wait_retry_many(t, descs, wanted, set.count);
    }
    if (nfds && um_write(t, tr->args[0], table, nfds * sizeof *table) < 0)
        return -EFAULT;
    return ready;
}

int64_t fast_poll(struct task *t, struct trap *tr)
{
    int32_t ms = int_arg(tr, 2);
    return do_poll(t, tr, ms < 0 ? WITHOUT_END : (struct timeout){ms / 1000, ms % 1000 * 1000000LL}, false);
}

/* ---- ppoll --------------------------------------------------------------------------------------*/

/* Reads a struct timespec, or timeval (unit 1000 ns). 0 or -errno. */
static int64_t read_timeout(struct task *t, uint64_t user, int64_t unit_ns, struct timeout *timeout)
{
    *timeout = WITHOUT_END;
    if (!user)
        return 0;
    if (um_read(t, user, timeout, sizeof *timeout) < 0)
        return -EFAULT;
    if (unit_ns != 1 && timeout->nanoseconds >= 0) { /* select takes more than a second of microseconds */
        timeout->seconds += timeout->nanoseconds / 1000000;
        timeout->nanoseconds = timeout->nanoseconds % 1000000 * unit_ns;
    }
    return timeout->seconds < 0 || (uint64_t)timeout->nanoseconds >= 1000000000 ? -EINVAL : 0;
}

int64_t fast_ppoll(struct task *t, struct trap *tr)
{
    struct timeout timeout;
    int64_t error = read_timeout(t, tr->args[2], 1, &timeout);
    if (!error)
        error = use_signal_mask(t, tr->args[3], tr->args[4]);
    return error ? error : do_poll(t, tr, timeout, true);
}

/* ---- select -------------------------------------------------------------------------------------*/

/* What select(2) calls readable, writable and exceptional: POLLIN_SET and so on of fs/select.c. */
static const uint32_t class_events[3] = {
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    POLLPRI,
};

static int64_t do_select(struct task *t, struct trap *tr, struct timeout timeout)
{
    int32_t nfds = int_arg(tr, 0);
    if (nfds < 0)
        return -EINVAL;
    int32_t size = t->files->capacity > 64 ? (int32_t)t->files->capacity : 64; /* NR_OPEN_DEFAULT */
    if (nfds > size) /* as core_sys_select(): larger ones cannot be open */
        nfds = size;
    if (nfds > MOST)
        return SENTRY_PUNT;
    uint64_t bits[3][MOST / 64] = {0}, words = ((uint64_t)nfds + 63) / 64;
    for (int c = 0; c < 3; c++)
        if (tr->args[1 + c] && words && um_read(t, tr->args[1 + c], bits[c], words * 8) < 0)
            return -EFAULT;
    struct set set = {0};
    for (int fd = 0; fd < nfds; fd++) {
        uint32_t events = 0;
        for (int c = 0; c < 3; c++)
            if (bits[c][fd / 64] >> (fd % 64) & 1)
                events |= class_events[c];
        if (!events)
            continue;
        if (!fd_get(t, fd))
            return -EBADF;
        if (add(&set, t, fd, events, (uint32_t)fd)) /* Python's, or O_PATH */
            return tr->retried ? -EBADF : SENTRY_PUNT;
    }
    if (set.count && poll_now(asked, set.count) < 0)
        return -errno;
    uint64_t result[3][MOST / 64] = {0};
    int64_t ready = 0;
    for (uint32_t n = 0; n < set.count; n++) {
        uint32_t fd = places[n];
        for (int c = 0; c < 3; c++)
            if ((bits[c][fd / 64] >> (fd % 64) & 1) && ((uint16_t)asked[n].revents & class_events[c])) {
                result[c][fd / 64] |= 1ULL << (fd % 64);
                ready++;
            }
    }
    if (!ready && is_timed(timeout))
        return SENTRY_PUNT;
    if (!ready && !is_over(tr, timeout)) {
        t->restart = ERESTARTNOHAND;
        return task_wait_retry_many(t, descs, wanted, set.count);
    }
    for (int c = 0; c < 3; c++)
        if (tr->args[1 + c] && words && um_write(t, tr->args[1 + c], result[c], words * 8) < 0)
            return -EFAULT;
    return ready;
}

int64_t fast_select(struct task *t, struct trap *tr)
{
    struct timeout timeout;
    int64_t error = read_timeout(t, tr->args[4], 1000, &timeout);
    return error ? error : do_select(t, tr, timeout);
}

int64_t fast_pselect6(struct task *t, struct trap *tr)
{
    struct timeout timeout;
    uint64_t mask[2] = {0, 0}; /* address, size */
    if (tr->args[5] && um_read(t, tr->args[5], mask, sizeof mask) < 0)
        return -EFAULT;
    int64_t error = read_timeout(t, tr->args[4], 1, &timeout);
    if (!error)
        error = use_signal_mask(t, mask[0], mask[1]);
    return error ? error : do_select(t, tr, timeout);
}
