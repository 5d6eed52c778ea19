/* tasks.c - the table of tasks: what a child inherits, what an exit lets go.
 *
 * A clone runs on the host kernel; the parent's ptrace event is where the sentry's own state is shared or
 * copied for the child, by the same flags, before the child runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine.h"
#include "../vfs/vfs.h"

#define BUCKETS 1024
static struct task *buckets[BUCKETS];
static struct task *all_tasks; /* those of the sandbox; not the seed, nor a child whose parent's event is yet to come */
static uint32_t traced;        /* all that have to be waited for */

static struct task **bucket(int32_t tid)
{
    return &buckets[(uint32_t)tid % BUCKETS];
}

struct task *task_find(int32_t tid)
{
    for (struct task *t = *bucket(tid); t; t = t->hash_next)
        if (t->tid == tid)
            return t;
    return NULL;
}

struct task *task_first(void)
{
    return all_tasks;
}

static void hash(struct task *t, int32_t tid)
{
    t->tid = tid;
    t->hash_next = *bucket(tid);
    *bucket(tid) = t;
}

static void unhash(struct task *t)
{
    struct task **link = bucket(t->tid);
    while (*link != t)
        link = &(*link)->hash_next;
    *link = t->hash_next;
}

void tasks_each(void (*visit)(struct task *t))
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct task *t = buckets[i], *next; t; t = next) {
            next = t->hash_next;
            visit(t);
        }
}

struct task *task_new(int32_t tid)
{
    struct task *t = vfs_must_alloc(sizeof *t);
    hash(t, tid);
    traced++;
    return t;
}

uint32_t tasks_traced(void)
{
    return traced;
}

void task_join(struct task *t, struct thread_group *g)
{
    t->group = g;
    t->signals_seen = engine.signals_sent + g->signals_sent;
    g->refs++;
    t->all_next = all_tasks;
    if (all_tasks)
        all_tasks->all_prev = t;
    all_tasks = t;
}

struct task *task_of(int32_t tid)
{
    struct task *t = task_find(tid);
    return t ? t : task_new(tid);
}

struct thread_group *group_new(int32_t tgid, struct thread_group *parent)
{
    struct timespec now;
    struct thread_group *g = vfs_must_alloc(sizeof *g);
    clock_gettime(CLOCK_BOOTTIME, &now);
    g->tgid = tgid;
    g->parent = parent;
    g->start_ns = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
    if (parent) {
        memcpy(g->rlimit_cur, parent->rlimit_cur, sizeof g->rlimit_cur);
        memcpy(g->rlimit_max, parent->rlimit_max, sizeof g->rlimit_max);
        g->exe = parent->exe;
        g->not_dumpable = parent->not_dumpable;
        g->oom_score_adj = parent->oom_score_adj;
        g->oom_score_adj_min = parent->oom_score_adj_min;
        if (g->exe)
            dentry_ref(g->exe);
    }
    return g;
}

void task_inherit(struct task *child, struct task *parent, uint64_t flags)
{
    if (flags & CLONE_THREAD)
        task_join(child, parent->group);
    else
        task_join(child, group_new(child->tid, flags & CLONE_PARENT ? parent->group->parent : parent->group));
    if (flags & CLONE_FILES) {
        child->files = parent->files;
        child->files->refs++;
    } else
        child->files = fd_table_copy(parent->files);
    if (flags & CLONE_FS) {
        child->fs = parent->fs;
        child->fs->refs++;
    } else
        child->fs = fs_copy(parent->fs);
    child->cred = parent->cred;
    child->cred->refs++;
    memcpy(child->comm, parent->comm, sizeof child->comm);
    child->state = TASK_RUNNING;
    child->is_announced = 1;
    sentry_stats.forks++;
}

static void zombie_add(const struct task *t);

static void group_unref(struct thread_group *g)
{
    if (--g->refs)
        return;
    for (struct task *t = all_tasks; t; t = t->all_next)
        if (t->group && t->group->parent == g)
            t->group->parent = NULL;
    if (g->exe)
        dentry_unref(g->exe);
    free(g);
}

void task_free(struct task *t)
{
    free(t->waits);
    free(t);
}

static bool has_parent_death_signals(void)
{
    for (const struct task *t = all_tasks; t; t = t->all_next)
        if (t->pdeath_signal)
            return true;
    return false;
}

/* Lets go of everything before the parent can learn of the exit from anything it asks the sentry. */
void task_exited(struct task *t, int status)
{
    struct thread_group *g = t->group, *parent = g ? g->parent : NULL;
    bool was_init = t == engine.init, was_seed = t == engine.seed;
    tracee_exited(t, status);
    if (g && g->refs == 1 && g->tracees)
        tracer_exited(g);
    orphans_gone(t);
    park_forget(t);
    t->exit_status = status;
    t->state = TASK_DEAD;
    if (g && t->cred && t->tid == g->tgid)
        zombie_add(t);
    if (t->python_known)
        hooks.task_exit(t);
    if (t->files)
        fd_table_unref(t, t->files);
    if (t->fs && --t->fs->refs == 0) {
        fs_set_cwd(t->fs, NULL);
        fs_set_root(t->fs, NULL);
        free(t->fs);
    }
    if (t->cred)
        cred_unref(t->cred);
    if (was_init) {
        engine.finished = true;
        engine.exit_status = status;
        engine.init = NULL;
    }
    if (was_seed)
        seed_exited(t);
    unhash(t);
    traced--;
    if (g) {
        if (t->all_prev)
            t->all_prev->all_next = t->all_next;
        else
            all_tasks = t->all_next;
        if (t->all_next)
            t->all_next->all_prev = t->all_prev;
    }
    t->files = NULL;
    t->fs = NULL;
    t->cred = NULL;
    if (g) {
        bool is_last = g->refs == 1;
        t->group = NULL;
        group_unref(g);
        /* SIGCHLD to the parent, parent-death signals to children: either may end a wait. */
        if (!engine.finished && (is_last || has_parent_death_signals()))
            signals_changed(parent && !has_parent_death_signals() ? parent : NULL);
    } else if (!engine.finished && !was_seed) /* a child that nobody told of: SIGCHLD to whoever is its parent now */
        signals_changed(NULL);
    if (!t->is_ready)
        task_free(t);
}

/* exec from a thread that is not the leader: the others are gone and it goes on under the leader's tid. */
void task_take_over(struct task *t, int32_t tid)
{
    struct task *leader = task_find(tid);
    if (leader == t)
        return;
    bool was_init = leader && leader == engine.init;
    if (leader) {
        if (was_init)
            engine.init = NULL;
        task_exited(leader, 0);
    }
    unhash(t);
    hash(t, tid);
    t->ns_tid = t->group->ns_tgid;
    if (was_init)
        engine.init = t;
}

/* The last number of the NSpid line: the pid in the innermost namespace. 0: no such process. */
static int32_t ns_pid_of(int32_t tid, char *state)
{
    char text[4096];
    if (status_read(tid, text, sizeof text) < 0)
        return 0;
    const char *line = strstr(text, "\nNSpid:"), *letter = strstr(text, "\nState:\t");
    if (!line)
        return 0;
    if (state && letter)
        *state = letter[8];
    long last = 0;
    for (char *at = (char *)line + 7; *at && *at != '\n';) {
        char *end;
        long value = strtol(at, &end, 10);
        if (end == at)
            break;
        last = value;
        at = end;
    }
    return (int32_t)last;
}

int32_t task_ns_tid(struct task *t)
{
    if (!t->ns_tid && t->group) { /* else it is the seed, which has no number inside */
        t->ns_tid = ns_pid_of(t->tid, NULL);
        if (t->tid == t->group->tgid)
            t->group->ns_tgid = t->ns_tid;
    }
    return t->ns_tid;
}

struct task *task_find_ns(int32_t ns_tid)
{
    for (struct task *t = all_tasks; t; t = t->all_next)
        if (t->group && task_ns_tid(t) == ns_tid)
            return t;
    return NULL;
}

/* ---- zombies: processes that ended, as far as the host kernel still keeps them for their parents */

#define ZOMBIES 256
static struct zombie zombies[ZOMBIES]; /* newest overwrite oldest */
static uint32_t zombie_next;

static void zombie_add(const struct task *t)
{
    struct zombie *z = &zombies[zombie_next++ % ZOMBIES];
    z->tid = t->tid;
    z->ns_tid = t->ns_tid;
    z->real_uid = t->cred->uid;
    z->uid = t->cred->euid;
    z->gid = t->cred->egid;
    memcpy(z->comm, t->comm, sizeof z->comm);
}

/* Only if it is one still: the pid may be another's by now. */
static int32_t zombie_ns_pid(uint32_t index)
{
    char state = 0;
    int32_t tid = zombies[index].tid;
    int32_t ns_pid = tid && !task_find(tid) ? ns_pid_of(tid, &state) : 0;
    if (state == 'Z')
        return ns_pid;
    zombies[index].tid = 0;
    return 0;
}

/* Their numbers, as long as they can be read: a process may have ended before anybody asked for its own. */
static void learn_zombies(void)
{
    for (uint32_t i = 0; i < ZOMBIES; i++)
        if (zombies[i].tid && !zombies[i].ns_tid)
            zombies[i].ns_tid = zombie_ns_pid(i);
}

void group_learn_children(const struct thread_group *g)
{
    for (struct task *t = all_tasks; t; t = t->all_next)
        if (t->group && t->group->parent == g)
            task_ns_tid(t);
    learn_zombies();
}

uint32_t ended_uid(int32_t ns_tid, uint32_t fallback)
{
    learn_zombies();
    for (uint32_t i = 1; i <= ZOMBIES; i++) {
        const struct zombie *z = &zombies[(zombie_next - i) % ZOMBIES];
        if (ns_tid && z->ns_tid == ns_tid)
            return z->real_uid;
    }
    return fallback;
}

const struct zombie *zombie_find(int32_t ns_tid)
{
    for (uint32_t i = 0; i < ZOMBIES; i++)
        if (zombies[i].tid && zombie_ns_pid(i) == ns_tid)
            return &zombies[i];
    return NULL;
}

uint32_t zombie_list(int32_t *ns_tids, uint32_t cap)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ZOMBIES && count < cap; i++) {
        int32_t ns_pid = zombies[i].tid ? zombie_ns_pid(i) : 0;
        if (ns_pid)
            ns_tids[count++] = ns_pid;
    }
    return count;
}
