/* notify.c - the seccomp platform: traps travel as user notifications.
 *
 * Owns the listener. A notification whose task died meanwhile answers ENOENT: that is no error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>
#include "engine.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* The kernel's struct may be larger than our header's: leave room, and refuse what does not fit. */
static union { struct seccomp_notif n; char room[512]; } request;
static union { struct seccomp_notif_resp r; char room[512]; } response;
static size_t request_size;

int notify_open(void)
{
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
        return -errno;
    if (sizes.seccomp_notif > sizeof request || sizes.seccomp_notif_resp > sizeof response)
        return -E2BIG;
    request_size = sizes.seccomp_notif;
    return 0;
}

void notify_set_listener(int fd)
{
    engine.listener = fd;
    /* Wake the sentry on the CPU of the caller, as a function call would; kernels before 6.6 lack it. */
    ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

static void send_response(struct task *t)
{
    response.r.id = t->trap.cookie;
    t->state = TASK_RUNNING;
    ioctl(engine.listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void answer(struct task *t, int64_t result)
{
    response.r.flags = 0;
    response.r.error = result < 0 && result >= -4095 ? (int32_t)result : 0;
    response.r.val = response.r.error ? 0 : result;
    send_response(t);
}

static void proceed(struct task *t)
{
    response.r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    response.r.error = 0;
    response.r.val = 0;
    send_response(t);
}

static void take(void)
{
    struct task *t = task_find((int32_t)request.n.pid);
    if (!t)
        return;
    t->trap.cookie = request.n.id;
    if (t->host_call) { /* ours: the trap under way is the one that it stands in for */
        proceed(t);
        return;
    }
    t->trap.nr = request.n.data.nr;
    t->trap.ip = request.n.data.instruction_pointer;
    memcpy(t->trap.args, request.n.data.args, sizeof t->trap.args);
    trap_received(t);
}

bool notify_receive(void)
{
    memset(&request, 0, request_size);
    if (ioctl(engine.listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
        return false; /* ENOENT: it died between poll and here */
    take();
    return true;
}

bool notify_receive_with(notify_receiver *receive, volatile int32_t *flag)
{
    memset(&request, 0, request_size);
    if (receive(engine.listener, SECCOMP_IOCTL_NOTIF_RECV, &request, flag))
        return false;
    take();
    return true;
}

static void interrupt(struct task *t, int restart)
{
    make_restart_sure(t);
    answer(t, -restart);
}

static int install(struct task *t, int host_fd, int fd)
{
    struct seccomp_notif_addfd add = {
        .id = t->trap.cookie, .flags = SECCOMP_ADDFD_FLAG_SETFD,
        .srcfd = (uint32_t)host_fd, .newfd = (uint32_t)fd, .newfd_flags = O_CLOEXEC,
    };
    return ioctl(engine.listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno : 0;
}

const struct platform seccomp_platform = {"seccomp", answer, proceed, interrupt, install};
