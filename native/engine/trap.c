/* trap.c - one trap from its arrival to its answer.
 *
 * Fast path first, then Python, then the platform's answer. A call that has to wait is parked (park.c) and
 * comes back through trap_retry() or Python's resume.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include "engine.h"
#include "../gofer/client.h"
#include "../vfs/vfs.h"

struct sentry_stats sentry_stats;
struct python_hooks hooks;
struct engine engine = {.listener = -1, .epoll = -1, .signals = -1, .proc = -1, .channel = -1, .channel_end = -1, .gofer = -1};
const struct platform *platform = &seccomp_platform;

typedef int64_t (*fast_fn)(struct task *, struct trap *);
#define PYSENTRY_FAST(nr, name) int64_t fast_##name(struct task *t, struct trap *tr) __attribute__((weak));
#include "../generated/syscall_table.h"

/* By number. A row whose fast_<name> does not exist yet is NULL here and goes to Python. */
static const fast_fn fast_table[] = {
#define PYSENTRY_FAST(nr, name) [nr] = fast_##name,
#include "../generated/syscall_table.h"
    [PYSENTRY_NR_END] = NULL,
};

enum answerer { BY_FAST, BY_PYTHON, BY_PUNT };

static int64_t ask(struct task *t, enum answerer *who)
{
    uint32_t nr = (uint32_t)t->trap.nr;
    fast_fn fast = nr < PYSENTRY_NR_END ? fast_table[nr] : NULL;
    if (fast && engine.fast_path) {
        int64_t result = fast(t, &t->trap);
        if (result != SENTRY_PUNT) {
            *who = BY_FAST;
            sentry_stats.fast++;
            return result;
        }
        sentry_stats.punts++;
        *who = BY_PUNT;
    } else if (fast)
        sentry_stats.punts++;
    else
        sentry_stats.python++;
    t->python_known = 1;
    return hooks.syscall(t);
}

static int64_t dispatch(struct task *t)
{
    enum answerer who = BY_PYTHON;
    if (!engine.trace)
        return ask(t, &who);
    if (!t->trap.retried)
        hooks.trace(t, SENTRY_TRACE_ENTER, 0, 0);
    int64_t result = ask(t, &who);
    hooks.trace(t, SENTRY_TRACE_LEAVE, result, (int)who);
    return result;
}

/* Without its gofer the run is over: what the program then waits for is never answered, so that it does not see why. */
bool trap_run_is_over(void)
{
    if (the_gofer && the_gofer->dead)
        engine.gofer_died = true;
    return engine.gofer_died;
}

void trap_finish(struct task *t, int64_t result)
{
    if (t->state == TASK_DEAD || trap_run_is_over())
        return;
    switch (result) {
    case SENTRY_PARKED:
        t->state = TASK_PARKED;
        sentry_stats.parked++;
        break;
    case SENTRY_CONTINUE:
        sentry_stats.native++;
        platform->proceed(t);
        break;
    case -ERESTARTSYS:
    case -ERESTARTNOHAND:
        t->restart = (uint32_t)-result; /* Python's answer says which */
        trap_interrupt(t);
        break;
    default:
        if (!inject_answer(t, result))
            platform->answer(t, result);
    }
}

/* A call of the stub, which is part of an exec and no program's. */
static bool stub_trap(struct task *t)
{
    if (seed_trap(t))
        return true;
    if (t->in_exec == 2 && exec_is_stub_call(t)) {
        t->in_exec = 3;
        int64_t stack = hooks.exec_load(t);
        if (stack < 0) /* past the point of no return */
            group_kill(t->group, 9);
        else
            platform->answer(t, stack);
        return true;
    }
    if (t->in_exec == 3 && t->exec_tells && exec_is_stub_call(t)) {
        tracee_exec_over(t);
        return true;
    }
    if (t->in_exec == 3) { /* the stub maps the program from descriptors that only it has */
        if (t->trap.nr == 9 && (t->trap.args[4] == EXE_FD || t->trap.args[4] == INTERP_FD)) {
            platform->proceed(t);
            return true;
        }
        t->in_exec = 0;
    }
    return false;
}

void trap_received(struct task *t)
{
    t->state = TASK_TRAPPED;
    t->trap.retried = 0;
    t->trap.progress = 0;
    t->trap.deadline_ns = 0;
    t->restart = ERESTARTSYS;
    t->was_interrupted = 0;
    t->has_wait_mask = 0;
    t->wait_mask_addr = 0;
    t->is_python_parked = 0;
    sentry_stats.calls++;
    if (t->in_exec && stub_trap(t))
        return;
    trap_finish(t, dispatch(t));
}

/* What the sentry does with a call that reaches it, by its number: a program's own filter may have chosen the data that
 * comes with a stop. */
enum { IS_HOST, IS_ERROR, IS_CONTROL, IS_FAST, IS_PYTHON };
static const uint8_t dispositions[PYSENTRY_NR_END] = {
#define PYSENTRY_SYSCALL(nr, name, disposition, nargs) [nr] = IS_##disposition,
#include "../generated/syscall_table.h"
};

bool trap_is_control(int32_t nr)
{
    return (uint32_t)nr < PYSENTRY_NR_END && dispositions[nr] == IS_CONTROL;
}

bool trap_is_ours(int32_t nr)
{
    return (uint32_t)nr >= PYSENTRY_NR_END || dispositions[nr] == IS_FAST || dispositions[nr] == IS_PYTHON;
}

void trap_retry(struct task *t)
{
    t->state = TASK_TRAPPED;
    t->trap.retried++;
    trap_finish(t, dispatch(t));
}
