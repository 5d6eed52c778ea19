/* namespaces.c - private namespaces, a detached /proc, an empty root directory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox.h"

/* <sys/mount.h> and <linux/mount.h> define the same names twice with this glibc: the five calls are declared here. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

#define DETACH 2            /* MNT_DETACH */
#define RECURSIVE 0x8000    /* AT_RECURSIVE */

static const struct {
    uint32_t ours;
    int kernel;
} NAMESPACES[] = {
    {SANDBOX_NS_USER, CLONE_NEWUSER}, {SANDBOX_NS_MOUNT, CLONE_NEWNS},      {SANDBOX_NS_IPC, CLONE_NEWIPC},
    {SANDBOX_NS_NET, CLONE_NEWNET},   {SANDBOX_NS_UTS, CLONE_NEWUTS},       {SANDBOX_NS_CGROUP, CLONE_NEWCGROUP},
    {SANDBOX_NS_PID, CLONE_NEWPID},
};

static int kernel_flags(uint32_t namespaces)
{
    int flags = 0;
    for (size_t i = 0; i < sizeof NAMESPACES / sizeof *NAMESPACES; i++)
        if (namespaces & NAMESPACES[i].ours)
            flags |= NAMESPACES[i].kernel;
    return flags;
}

int sandbox_unshare(uint32_t namespaces)
{
    return unshare(kernel_flags(namespaces)) < 0 ? -errno : 0;
}

int sandbox_join(int fd, uint32_t namespace)
{
    return setns(fd, kernel_flags(namespace)) < 0 ? -errno : 0;
}

static int finish_mount(int context, uint32_t attributes)
{
    int fd = -1;
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    int error = errno;
    close(context);
    return fd < 0 ? -error : fd;
}

int sandbox_fresh_proc(void)
{
    int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "hidepid", "ptraceable", 0) < 0) {
        int error = errno;
        close(context);
        return -error;
    }
    return finish_mount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

int sandbox_detached_proc(void)
{
    /* Recursive: what is mounted below (masked files in a container) is locked to it and must come along. */
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | RECURSIVE);
    return fd < 0 ? -errno : fd;
}

int sandbox_loopback_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    int result = ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
    close(fd);
    return result;
}

int sandbox_tmpfs_on(const char *path)
{
    return mount("tmpfs", path, "tmpfs", 6 /* MS_NOSUID | MS_NODEV */, "mode=0700") < 0 ? -errno : 0;
}

/* An empty read-only tmpfs that holds one page; `names`: directories in it. */
static int bare_tmpfs(const char *const *names, size_t count)
{
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", "4096", 0) < 0) {
        int error = errno;
        close(context);
        return -error;
    }
    int fd = finish_mount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), result = 0;
    for (size_t i = 0; fd >= 0 && i < count && result == 0; i++)
        result = mkdirat(fd, names[i], 0555);
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    if (fd >= 0 && (result < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int sandbox_empty_root(void)
{
    /* Nothing we do here may reach the host's mount tree, nor the other way round. */
    if (mount(NULL, "/", NULL, (1ul << 18) | 16384 /* MS_PRIVATE | MS_REC */, NULL) < 0)
        return -errno;
    int root = bare_tmpfs(NULL, 0);
    if (root < 0)
        return root;
    int result = 0;
    /* pivot_root(2), "new_root and put_old may be the same directory": the old root ends up on top of the new one
     * and is detached there. */
    if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(root) < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", DETACH) < 0 || chdir("/") < 0)
        result = -errno;
    close(root);
    return result;
}

int sandbox_leave_view(void)
{
    static const char *const places[] = {"jail", "view", "dev", "dev/pts"};
    int top = bare_tmpfs(places, sizeof places / sizeof *places), jail = bare_tmpfs(NULL, 0), result = 0;
    /* Who enters this namespace comes to what is mounted last over its root: now `top`, later the container's files, over
     * both. We are on a branch of `top` by then, with no way back: a root directory is where ".." ends. */
    if (top < 0 || jail < 0)
        result = top < 0 ? top : jail;
    else if (syscall(SYS_move_mount, top, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
             syscall(SYS_move_mount, jail, "", top, "jail", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(jail) < 0 ||
             chroot(".") < 0 || chdir("/") < 0)
        result = -errno;
    if (top >= 0)
        close(top);
    if (jail >= 0)
        close(jail);
    return result;
}
