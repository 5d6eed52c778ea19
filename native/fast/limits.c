/* limits.c - reading limits and the machine's memory, as libc does when a program starts. Setting them is Python's. */
#define _GNU_SOURCE
#include "fast.h"

#include <sys/sysinfo.h>

#define LIMITS (sizeof ((struct thread_group *)0)->rlimit_cur / sizeof(uint64_t))

static int64_t read_limit(struct task *t, uint64_t number, uint64_t into)
{
    if ((uint32_t)number >= LIMITS)
        return -EINVAL;
    const uint64_t limit[2] = {t->group->rlimit_cur[(uint32_t)number], t->group->rlimit_max[(uint32_t)number]};
    return into && um_write(t, into, limit, sizeof limit) < 0 ? -EFAULT : 0;
}

int64_t fast_getrlimit(struct task *t, struct trap *tr)
{
    return tr->args[1] ? read_limit(t, tr->args[0], tr->args[1]) : SENTRY_PUNT;
}

int64_t fast_prlimit64(struct task *t, struct trap *tr)
{
    if (int_arg(tr, 0) || tr->args[2])
        return SENTRY_PUNT;
    return read_limit(t, tr->args[1], tr->args[3]);
}

/* The host's memory, load and uptime; the sandbox's number of tasks. */
int64_t fast_sysinfo(struct task *t, struct trap *tr)
{
    struct sysinfo info;
    uint32_t tasks = 0;
    if (sysinfo(&info))
        return -errno;
    for (const struct task *each = task_first(); each; each = each->all_next)
        tasks++;
    info.procs = (unsigned short)(tasks < 0xffff ? tasks : 0xffff);
    return um_write(t, tr->args[0], &info, sizeof info) < 0 ? -EFAULT : 0;
}
