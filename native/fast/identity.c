/* identity.c - who the task is: ids and umask. Every answer is in the task's own structs. */
#include "fast.h"

int64_t fast_getuid(struct task *t, struct trap *tr)
{
    (void)tr;
    return t->cred->uid;
}

int64_t fast_geteuid(struct task *t, struct trap *tr)
{
    (void)tr;
    return t->cred->euid;
}

int64_t fast_getgid(struct task *t, struct trap *tr)
{
    (void)tr;
    return t->cred->gid;
}

int64_t fast_getegid(struct task *t, struct trap *tr)
{
    (void)tr;
    return t->cred->egid;
}

int64_t fast_umask(struct task *t, struct trap *tr)
{
    uint32_t old = t->fs->umask;
    t->fs->umask = (uint32_t)tr->args[0] & 0777;
    return old;
}

/* Three ids, each to its own place; a fault in one leaves the earlier ones written, as Linux does. */
static int64_t write_ids(struct task *t, const struct trap *tr, const uint32_t ids[3])
{
    for (unsigned n = 0; n < 3; n++)
        if (um_write(t, tr->args[n], &ids[n], sizeof ids[n]) < 0)
            return -EFAULT;
    return 0;
}

int64_t fast_getresuid(struct task *t, struct trap *tr)
{
    const uint32_t ids[3] = {t->cred->uid, t->cred->euid, t->cred->suid};
    return write_ids(t, tr, ids);
}

int64_t fast_getresgid(struct task *t, struct trap *tr)
{
    const uint32_t ids[3] = {t->cred->gid, t->cred->egid, t->cred->sgid};
    return write_ids(t, tr, ids);
}

int64_t fast_getgroups(struct task *t, struct trap *tr)
{
    int size = int_arg(tr, 0);
    const struct credentials *c = t->cred;
    if (size < 0)
        return -EINVAL;
    if (!size)
        return c->ngroups;
    if ((uint32_t)size < c->ngroups)
        return -EINVAL;
    if (um_write(t, tr->args[1], c->groups, c->ngroups * sizeof c->groups[0]) < 0)
        return -EFAULT;
    return c->ngroups;
}
