/* trace.c - with --trace every call makes two more stops, so that those are told too which never reach the sentry.
 *
 * At the entry nobody knows yet who will answer; the traps and control stops that follow tell it again. The exit stop
 * has the result as the program sees it. What the exec stub does is left out: it is ours.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/ptrace.h>
#include "engine.h"

#define BY_HOST 4

void trace_stop(struct task *t)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, (void *)sizeof info, &info) <= 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        hooks.trace(t, SENTRY_TRACE_LEAVE, info.exit.rval, BY_HOST);
    else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && !t->in_exec) {
        t->trap.nr = (int32_t)info.entry.nr;
        memcpy(t->trap.args, info.entry.args, sizeof t->trap.args);
        hooks.trace(t, SENTRY_TRACE_ENTER, 0, BY_HOST);
    }
}
