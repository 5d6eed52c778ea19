/* ptrace.h - tracees for ptrace.c and ptrace_stops.c, and the way to their stops. */
#ifndef GUEST_PTRACE_H
#define GUEST_PTRACE_H

#include "guest.h"

#include <elf.h>
#include <linux/ptrace.h>
#include <stddef.h>
#include <sys/uio.h>
#include <sys/user.h>

#define STOP(sig) ((sig) << 8 | 0x7f)
#define EVENT(event) (SIGTRAP << 8 | 0x7f | (event) << 16)
#define SYSCALL_STOP STOP(SIGTRAP | 0x80)

/* ptrace(2) without glibc's own idea of PEEK. */
__attribute__((unused)) static long trace(long request, pid_t pid, unsigned long addr, void *data)
{
    return syscall(SYS_ptrace, request, pid, addr, data);
}

__attribute__((unused)) static long go(long request, pid_t pid, int sig)
{
    return trace(request, pid, 0, (void *)(long)sig);
}

__attribute__((unused)) static int wait_stop(pid_t pid)
{
    int status = -1;
    pid_t got;
    do
        got = waitpid(pid, &status, __WALL);
    while (got == -1 && errno == EINTR);
    CHECK_EQ(got, pid);
    return status;
}

/* A child that asks to be traced, stops itself, and goes on with `body` once it is let go. Held at that stop. */
__attribute__((unused)) static pid_t traced(void (*body)(void), long options)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(trace(PTRACE_TRACEME, 0, 0, NULL));
        raise(SIGSTOP);
        body();
        guest_finish();
    }
    REQUIRE(wait_stop(pid) == STOP(SIGSTOP));
    REQUIRE_OK(trace(PTRACE_SETOPTIONS, pid, 0, (void *)(options | PTRACE_O_EXITKILL)));
    return pid;
}

/* One that knows nothing of it: anybody may trace it, where Yama has a word in that. */
__attribute__((unused)) static pid_t untraced(void (*body)(void))
{
    pid_t pid = fork_child();
    if (pid == 0) {
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        body();
        guest_finish();
    }
    return pid;
}

__attribute__((unused)) static void nothing(void)
{
}

__attribute__((unused)) static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

__attribute__((unused)) static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK_SIGNALED(wait_stop(pid), SIGKILL);
}

__attribute__((unused)) static struct user_regs_struct regs_of(pid_t pid)
{
    struct user_regs_struct regs = {0};
    CHECK_OK(trace(PTRACE_GETREGS, pid, 0, &regs));
    return regs;
}

__attribute__((unused)) static struct ptrace_syscall_info call_info(pid_t pid)
{
    struct ptrace_syscall_info info = {0};
    CHECK(trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0);
    return info;
}

/* To the next stop at the entry of call nr. */
__attribute__((unused)) static struct ptrace_syscall_info run_to_call(pid_t pid, unsigned long nr)
{
    for (;;) {
        CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
        int status = wait_stop(pid);
        struct ptrace_syscall_info info = {0};
        if (status != SYSCALL_STOP) {
            GUEST_FAIL("looking for call %lu: status %x", nr, status);
            guest_finish();
        }
        info = call_info(pid);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == nr)
            return info;
    }
}

__attribute__((unused)) static int64_t run_to_exit(pid_t pid)
{
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    CHECK_EQ(wait_stop(pid), SYSCALL_STOP);
    struct ptrace_syscall_info info = call_info(pid);
    CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQ(info.exit.rval, (int64_t)regs_of(pid).rax);
    CHECK_EQ(info.exit.is_error, info.exit.rval < 0);
    return info.exit.rval;
}

static int tell_fd, go_fd;

__attribute__((unused)) static void wait_and_tell(void)
{
    char byte;
    REQUIRE(read(go_fd, &byte, 1) == 1);
    REQUIRE(write(tell_fd, "x", 1) == 1);
}

#endif
