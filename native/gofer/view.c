/*
 * The host view: a container's files in the sentry's mount namespace, for privileged processes of the host that enter it.
 *
 * Owns how it is mounted; what it consists of is src/gofer/view.py's. `create` calls this, when the sentry is locked up
 * already: no descriptor of any of it was ever the sentry's. SECURITY.md, "The host view", says why it cannot reach it.
 *
 * The work is done by a child that shares our memory and suspends us, so nothing here may allocate.
 */
#define _GNU_SOURCE
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "setup.h"

#define STACK_BYTES 65536

/* What sandbox_leave_view() made in the sentry's mount namespace. */
#define PLACE "/view"
#define EMPTY "/jail"
#define DEVICES "/dev"

struct work {
    int mount_namespace, pid_namespace;
    const struct gofer_view_mount *mounts;
    unsigned count;
    int proc, result; /* until they are known: -ECANCELED */
};

static char child_stack[STACK_BYTES], grandchild_stack[STACK_BYTES];

/* Runs `function` in a child that shares our memory, and our descriptors with CLONE_FILES, until it has ended. */
static int in_child(int (*function)(void *), struct work *work, char *stack, int flags)
{
    pid_t pid = clone(function, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD | flags, work);
    if (pid < 0)
        return -errno;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

/* In the container's pid namespace and the host's mount namespace: a procfs shows the pids of whoever makes it, and in
 * the sentry's mount namespace, where no other procfs is, nobody is given one. */
static int make_proc(void *argument)
{
    struct work *work = argument;
    work->proc = gofer_new_mount("proc", NULL, 0,
                                 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return 0;
}

static int clone_of(const char *path)
{
    return gofer_open_tree(AT_FDCWD, path, 0);
}

/* The mount point, wherever the container's own links lead: never out of the view. */
static int find(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static int is_directory(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}

static int attach(int root, const struct gofer_view_mount *mount, int proc)
{
    int at = find(root, mount->target);
    if (at < 0)
        return at == -ENOENT || at == -ENOTDIR || at == -ELOOP ? 0 : at; /* not on disk: nothing to cover */
    int fd = mount->fd, result = 0;
    if (mount->kind != VIEW_TREE) {
        if (!is_directory(at))
            goto out;
        fd = mount->kind == VIEW_PROC ? proc : clone_of(mount->kind == VIEW_DEVICES ? DEVICES : EMPTY);
    }
    result = fd < 0 ? fd : gofer_move_mount(fd, at);
    if (mount->kind != VIEW_TREE && fd >= 0)
        close(fd);
out:
    close(at);
    return result;
}

static int show(struct work *work)
{
    int result = 0;
    for (unsigned i = 0; i < work->count && work->proc < 0; i++)
        if (work->mounts[i].kind == VIEW_PROC) {
            if (setns(work->pid_namespace, CLONE_NEWPID) < 0)
                return -errno;
            if ((result = in_child(make_proc, work, grandchild_stack, CLONE_FILES)) < 0 || (result = work->proc) < 0)
                return result;
        }
    if (setns(work->mount_namespace, CLONE_NEWNS) < 0)
        return -errno;
    int place = open(PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return -errno;
    if ((result = gofer_move_mount(work->mounts[0].fd, place)) < 0)
        return result;
    close(place);
    int root = open(PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC), top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || top < 0)
        return -errno;
    for (unsigned i = 1; i < work->count && result == 0; i++)
        result = attach(root, &work->mounts[i], work->proc);
    /* Only when it is complete it comes to where setns(2) leads: over the namespace's root. */
    if (result == 0)
        result = gofer_move_mount(root, top);
    if (result < 0)
        syscall(SYS_umount2, PLACE, 2 /* MNT_DETACH */);
    return result;
}

static int show_in_child(void *argument)
{
    struct work *work = argument;
    work->result = show(work);
    _exit(0); /* its descriptors are its own: nothing of ours is closed */
}

int gofer_show_view(int mount_namespace, int pid_namespace, const struct gofer_view_mount *mounts, unsigned count)
{
    struct work work = {mount_namespace, pid_namespace, mounts, count, -ECANCELED, -ECANCELED};
    sigset_t all, before;
    /* A handler must not run in the child, on our memory. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int result = in_child(show_in_child, &work, child_stack, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result < 0 ? result : work.result;
}
