/* seed.c - births: programs that are started from outside while the sandbox runs (exec), and the first one of a container.
 *
 * The sentry locks itself up before any program runs, and what it forked then would have its filter. So before the lock-up
 * it clones the seed: already filtered (all its children share our listener) and traced, outside the workload's pid
 * namespace with its children set to be born inside. It executes the stub, which waits in a call of its own, forks
 * when the sentry answers it, and waits again. It is in no list of tasks: nobody in the sandbox can see or name it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "engine.h"

enum { IS_SEED = 4, IS_CHILD = 5 }; /* task->in_exec */

static uint32_t wanted; /* births not begun */
static bool is_waiting; /* the seed, in its trap */

static void fork_if_wanted(void)
{
    if (!wanted || !is_waiting || !engine.seed)
        return;
    wanted--;
    is_waiting = false;
    platform->answer(engine.seed, 0);
}

int engine_bear(void)
{
    if (!engine.seed)
        return -ESRCH;
    wanted++;
    fork_if_wanted();
    return 0;
}

void seed_first_exec(struct task *t, struct user_regs_struct *regs)
{
    /* In the seed's copy of our memory, too, until this very call replaces it. */
    static const char empty[] = "", *const argv[] = {"pysentry-seed", NULL};
    regs->orig_rax = regs->rax = SYS_execveat;
    regs->rdi = STUB_FD;
    regs->rsi = (uint64_t)empty;
    regs->rdx = (uint64_t)argv;
    regs->r10 = (uint64_t)(argv + 1);
    regs->r8 = AT_EMPTY_PATH;
    t->in_exec = 1;
    task_set_regs(t, regs);
    task_resume(t, PTRACE_CONT, 0);
}

/* Before the child runs: it was held at its first stop. */
void seed_fork_event(struct task *child)
{
    task_join(child, group_new(child->tid, NULL));
    child->state = TASK_RUNNING;
    child->is_announced = 1;
    child->in_exec = IS_CHILD;
    child->python_known = 1;
    sentry_stats.forks++;
    if (!engine.init) {
        engine.init = child;
        child->ns_tid = child->group->ns_tgid = 1;
    }
    if (hooks.birth(child, BIRTH_FORKED) < 0)
        group_kill(child->group, SIGKILL);
}

/* Its trap could still be answered when it was dying: what was asked of it and has not come never will. */
void seed_exited(struct task *t)
{
    engine.seed = NULL;
    wanted = 0;
    is_waiting = false;
    if (!engine.init && !engine.finished) { /* nothing will ever start */
        engine.finished = true;
        engine.exit_status = t->exit_status;
    }
    hooks.birth(t, BIRTH_OVER);
}

static void child_trap(struct task *t, int moment)
{
    int64_t result = hooks.birth(t, moment);
    if (result == SENTRY_PARKED) {
        t->state = TASK_PARKED;
        return;
    }
    if (result < 0)
        group_kill(t->group, SIGKILL);
    else
        platform->answer(t, 0);
}

void engine_birth_go_on(struct task *t)
{
    child_trap(t, BIRTH_FILL);
}

bool seed_trap(struct task *t)
{
    if (t->trap.nr != STUB_CALL)
        return false;
    uint64_t magic = t->trap.args[2];
    if (t == engine.seed) {
        if (t->in_exec == 2) { /* its first call */
            t->in_exec = IS_SEED;
            platform->answer(t, STUB_IS_SEED);
        } else {
            is_waiting = true;
            fork_if_wanted();
        }
        return true;
    }
    if (t->in_exec != IS_CHILD || (magic != BORN_MAGIC && magic != FILL_MAGIC))
        return false;
    child_trap(t, magic == BORN_MAGIC ? BIRTH_BORN : BIRTH_FILL);
    return true;
}
