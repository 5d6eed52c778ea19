/* epoll_members.c - who is in which epoll instance: kernel/epoll.py and fast/epoll.c decide, this keeps.
 *
 * Behind each instance is a host epoll instance, and its members are the members' host descriptors, with the program's
 * own data: readiness, edges, one-shots, nesting and loops (ELOOP) are the host's.
 *
 * Linux's key is (open file description, number): a descriptor and its dup are two members. Their host descriptor is the
 * same one, so the second gets a duplicate of it. At the last close of a description Linux drops all members of
 * it, and so do we, by hand, because the workload may hold the same host file (an installed terminal).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "engine.h"

struct epoll_member {
    struct description *instance, *target;
    struct epoll_member *next_member, **member_link; /* of the instance */
    struct epoll_member *next_of_target, **target_link;
    int32_t fd;      /* the number it was added by */
    int32_t host_fd; /* what the host's instance has */
};

static struct epoll_member *find(const struct description *instance, const struct description *target, int fd)
{
    struct epoll_member *m = target->memberships;
    while (m && (m->instance != instance || m->fd != fd))
        m = m->next_of_target;
    return m;
}

/* The host descriptor of a new member: the target's own, unless the instance has that already. */
static int host_fd_for(const struct description *instance, const struct description *target)
{
    for (struct epoll_member *m = target->memberships; m; m = m->next_of_target)
        if (m->instance == instance && m->host_fd == target->host_fd) {
            int copy = fcntl(target->host_fd, F_DUPFD_CLOEXEC, 0);
            return copy < 0 ? -errno : copy;
        }
    return target->host_fd;
}

int epoll_member_add(struct description *instance, struct description *target, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (find(instance, target, fd))
        return -EEXIST;
    int host_fd = host_fd_for(instance, target);
    if (host_fd < 0)
        return host_fd;
    struct epoll_member *m = malloc(sizeof *m);
    int error = !m ? ENOMEM : epoll_ctl(instance->host_fd, EPOLL_CTL_ADD, host_fd, &event) ? errno : 0;
    if (error) {
        free(m);
        if (host_fd != target->host_fd)
            close(host_fd);
        return -error;
    }
    *m = (struct epoll_member){.instance = instance, .target = target, .fd = fd, .host_fd = host_fd,
                               .next_member = instance->members, .member_link = &instance->members,
                               .next_of_target = target->memberships, .target_link = &target->memberships};
    if (m->next_member)
        m->next_member->member_link = &m->next_member;
    if (m->next_of_target)
        m->next_of_target->target_link = &m->next_of_target;
    instance->members = target->memberships = m;
    instance->member_count++;
    return 0;
}

int epoll_member_change(struct description *instance, struct description *target, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    const struct epoll_member *m = find(instance, target, fd);
    if (!m)
        return -ENOENT;
    return epoll_ctl(instance->host_fd, EPOLL_CTL_MOD, m->host_fd, &event) ? -errno : 0;
}

static void drop(struct epoll_member *m)
{
    epoll_ctl(m->instance->host_fd, EPOLL_CTL_DEL, m->host_fd, NULL);
    if (m->host_fd != m->target->host_fd)
        close(m->host_fd);
    *m->member_link = m->next_member;
    if (m->next_member)
        m->next_member->member_link = m->member_link;
    *m->target_link = m->next_of_target;
    if (m->next_of_target)
        m->next_of_target->target_link = m->target_link;
    m->instance->member_count--;
    free(m);
}

int epoll_member_drop(struct description *instance, struct description *target, int fd)
{
    struct epoll_member *m = find(instance, target, fd);
    if (!m)
        return -ENOENT;
    drop(m);
    return 0;
}

struct description *epoll_member_target(struct description *instance, int fd, uint32_t nth)
{
    for (struct epoll_member *m = instance->members; m; m = m->next_member)
        if (m->fd == fd && !nth--)
            return m->target;
    return NULL;
}

void epoll_members_closed(struct description *d)
{
    while (d->memberships)
        drop(d->memberships);
    while (d->members)
        drop(d->members);
}
