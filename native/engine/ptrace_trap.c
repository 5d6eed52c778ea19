/* ptrace_trap.c - the ptrace platform: for hosts that give no seccomp listener.
 *
 * The filter answers RET_TRACE where the seccomp platform has USER_NOTIF. A trap is a stop; its answer is the
 * registers it is resumed with. Descriptors are installed by having the task receive them: calls of the
 * sentry's own are run in it, from the stop it is in, and its registers are put back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine.h"

void ptrace_trap_received(struct task *t, const struct user_regs_struct *regs)
{
    uint64_t args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    t->trap.nr = (int32_t)regs->orig_rax;
    t->trap.ip = regs->rip;
    memcpy(t->trap.args, args, sizeof args);
    trap_received(t);
}

static void answer(struct task *t, int64_t result)
{
    struct user_regs_struct regs;
    t->state = TASK_RUNNING;
    if (task_regs(t, &regs))
        return;
    regs.orig_rax = (unsigned long long)-1;
    regs.rax = (unsigned long long)result;
    task_set_regs(t, &regs);
    task_resume(t, PTRACE_CONT, 0);
}

static void proceed(struct task *t)
{
    t->state = TASK_RUNNING;
    task_resume(t, PTRACE_CONT, 0);
}

/* The host kernel restarts only what it believes to be a call: skip it, and give the call its number back at the
 * exit stop. */
static void interrupt(struct task *t, int restart)
{
    struct user_regs_struct regs;
    t->state = TASK_RUNNING;
    if (task_regs(t, &regs))
        return;
    t->restart = (uint32_t)restart;
    t->trap_exit = 1;
    regs.orig_rax = (unsigned long long)-1;
    regs.rax = (unsigned long long)-restart;
    task_set_regs(t, &regs);
    task_resume(t, PTRACE_SYSCALL, 0);
}

bool ptrace_trap_exit_stop(struct task *t)
{
    struct user_regs_struct regs;
    if (!t->trap_exit)
        return false;
    t->trap_exit = 0;
    if (task_regs(t, &regs) == 0) {
        regs.orig_rax = (unsigned long long)(int64_t)t->trap.nr;
        regs.rax = (unsigned long long)-(int64_t)t->restart;
        task_set_regs(t, &regs);
    }
    make_restart_sure(t);
    task_resume(t, PTRACE_CONT, 0);
    return true;
}

/* ---- calls of the sentry's own, run in the task */

/* Not task_resume(): with --trace that would stop at the call's entry first. */
static void run_to_filter(struct task *t)
{
    ptrace(PTRACE_CONT, t->tid, NULL, NULL);
}

/* From a seccomp stop or an exit stop to the exit stop of call nr; false if the task died. */
static bool run_call(struct task *t, const struct user_regs_struct *base, bool is_entered, long nr,
                     uint64_t a, uint64_t b, uint64_t c, int64_t *result)
{
    struct user_regs_struct regs = *base;
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    regs.r9 = STUB_MAGIC; /* a container's own filter lets it pass by that: oci/seccomp.py */
    regs.rax = (unsigned long long)nr;
    regs.orig_rax = is_entered ? (unsigned long long)nr : (unsigned long long)-1;
    if (!is_entered)
        regs.rip -= 2; /* back onto the syscall instruction */
    if (task_set_regs(t, &regs))
        return false;
    if (!is_entered) { /* it meets the filter again */
        run_to_filter(t);
        if (control_wait_stop(t, PTRACE_CONT) >> 16 != PTRACE_EVENT_SECCOMP)
            return false;
    }
    task_resume(t, PTRACE_SYSCALL, 0);
    if (control_wait_stop(t, PTRACE_SYSCALL) < 0 || task_regs(t, &regs))
        return false;
    *result = (int64_t)regs.rax;
    return true;
}

struct receive_frame { /* in the task's memory, below its stack's red zone */
    struct msghdr message;
    struct iovec bytes;
    char byte, room[7];
    char control[CMSG_SPACE(sizeof(int))];
};

static bool send_descriptor(int host_fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec bytes = {&byte, 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &host_fd, sizeof(int));
    return sendmsg(engine.channel, &message, MSG_DONTWAIT) == 1;
}

/* A task that is killed before it has received leaves the descriptor in the socket that all tasks share: the next one
 * would get it for its own. */
static void take_back(void)
{
    int left;
    char byte, control[CMSG_SPACE(sizeof left)];
    struct iovec bytes = {&byte, 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    if (recvmsg(engine.channel_end, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0 || !CMSG_FIRSTHDR(&message))
        return;
    memcpy(&left, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof left);
    close(left);
}

static int install(struct task *t, int host_fd, int fd)
{
    struct user_regs_struct saved;
    struct receive_frame frame, kept;
    uint64_t all = ~0ULL, mask;
    int64_t result = -ESRCH;
    if (task_regs(t, &saved))
        return -ESRCH;
    uint64_t at = inject_borrow(t, saved.rsp, &kept, sizeof kept);
    memset(&frame, 0, sizeof frame);
    frame.message.msg_iov = (struct iovec *)(at + offsetof(struct receive_frame, bytes));
    frame.message.msg_iovlen = 1;
    frame.message.msg_control = (void *)(at + offsetof(struct receive_frame, control));
    frame.message.msg_controllen = sizeof frame.control;
    frame.bytes.iov_base = (void *)(at + offsetof(struct receive_frame, byte));
    frame.bytes.iov_len = 1;
    if (!at || um_write(t, at, &frame, sizeof frame) < 0)
        return -EFAULT;
    if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof mask, &mask) ||
        ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof all, &all))
        return -ESRCH;
    int64_t received = -1;
    if (!send_descriptor(host_fd))
        result = -EMFILE;
    else if (run_call(t, &saved, true, SYS_recvmsg, CHANNEL_FD, at, MSG_CMSG_CLOEXEC, &received) && received == 1 &&
             um_read(t, at, &frame, sizeof frame) > 0) {
        int landed, closed;
        memcpy(&landed, CMSG_DATA((struct cmsghdr *)frame.control), sizeof landed);
        int64_t ignored;
        closed = landed == fd ||
                 (run_call(t, &saved, false, SYS_dup3, (uint64_t)landed, (uint64_t)fd, O_CLOEXEC, &result) &&
                  run_call(t, &saved, false, SYS_close, (uint64_t)landed, 0, 0, &ignored));
        if (landed == fd)
            result = 0;
        else if (!closed)
            result = -ESRCH;
    } else
        take_back();
    um_write(t, at, &kept, sizeof kept);
    /* Back to the stop it was in: the original call meets the filter once more. Only there signals come back: one that
     * was delivered on the way would run its handler in the middle of this. */
    struct user_regs_struct again = saved;
    again.rax = saved.orig_rax;
    again.orig_rax = (unsigned long long)-1;
    again.rip -= 2;
    if (received != -1 || result != -EMFILE) { /* else nothing ran */
        task_set_regs(t, &again);
        run_to_filter(t);
        if (control_wait_stop(t, PTRACE_CONT) < 0)
            return -ESRCH;
    }
    ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof mask, &mask);
    control_send_held(t);
    return result < 0 ? (int)result : 0;
}

const struct platform ptrace_platform = {"ptrace", answer, proceed, interrupt, install};
