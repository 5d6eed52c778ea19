/* orphans.c - children whose fork nobody tells of.
 *
 * A child is held at its first stop until its parent's fork event. A parent that is killed between the two, as by `kill -9`
 * or by an exit of another thread, has no event any more. Such a child would stand there for ever, and who waits for
 * it, too. It has nothing of the sentry's yet, and nobody was told its number: it ends as if the kill had come before
 * the fork.
 *
 * The event is a moment away where there is one, so a look is taken only at children that are held for long.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

#define FIRST_LOOK_NS 10000000LL
#define LAST_LOOK_NS  1000000000LL

static uint32_t held;
static int64_t next_look, patience;

static bool is_held(const struct task *t)
{
    return t->is_attached && !t->is_announced;
}

void orphans_held(void)
{
    if (!held++)
        patience = FIRST_LOOK_NS;
    if (!next_look)
        next_look = sentry_now_ns() + patience;
}

void orphans_gone(const struct task *t)
{
    if (is_held(t) && !--held)
        next_look = 0;
}

int64_t orphans_next_look(void)
{
    return next_look;
}

/* May its fork event be on the way? Not while it sleeps: between the birth of its child and that stop it does not. */
static bool may_tell(const struct task *t)
{
    char text[4096];
    if (t->state != TASK_RUNNING || status_read(t->tid, text, sizeof text) < 0)
        return false;
    const char *state = strstr(text, "\nState:\t");
    return state && !strchr("SZX", state[8]);
}

static bool has_parent_that_may_tell(const struct task *child)
{
    char text[4096];
    if (status_read(child->tid, text, sizeof text) < 0)
        return true; /* its own end is on the way */
    const char *line = strstr(text, "\nPPid:\t");
    int32_t tgid = line ? (int32_t)atoi(line + 7) : 0;
    if (engine.seed && engine.seed->tid == tgid)
        return true;
    for (const struct task *t = task_first(); t; t = t->all_next)
        if (t->group->tgid == tgid && may_tell(t))
            return true;
    return false;
}

static void end_orphan(struct task *t)
{
    if (is_held(t) && !has_parent_that_may_tell(t))
        kill(t->tid, SIGKILL);
}

void orphans_look(int64_t now)
{
    if (!next_look || now < next_look)
        return;
    tasks_each(end_orphan);
    patience = patience < LAST_LOOK_NS ? 2 * patience : LAST_LOOK_NS;
    next_look = now + patience;
}
