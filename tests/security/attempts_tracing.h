/* attempts_tracing.h - of attempts.c, those of a tracer inside: what it makes of its tracee's calls is judged as the tracee's own. */
#ifndef ATTEMPTS_TRACING_H
#define ATTEMPTS_TRACING_H

#include <stdbool.h>
#include <sys/user.h>

static pid_t traced_child(const char *program)
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(77);
        raise(SIGSTOP);
        if (program)
            execl(program, program, (char *)NULL);
        for (;;)
            syscall(SYS_getppid);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) /* the ptrace engine */
        return -1;
    if (!WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC))
        escaped("a tracee that does not stop: %#x", status);
    return child;
}

static struct user_regs_struct at_next_stop(pid_t child, int request)
{
    struct user_regs_struct regs = {0};
    int status = -1;
    if (ptrace(request, child, 0, 0) || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, child, 0, &regs))
        escaped("the tracee went out of hand: %#x", status);
    return regs;
}

static void set_call(struct user_regs_struct *regs, const unsigned long *call)
{
    regs->orig_rax = call[0];
    regs->rdi = call[1];
    regs->rsi = call[2];
    regs->rdx = call[3];
    regs->r10 = call[4];
    regs->r8 = call[5];
    regs->r9 = 0;
}

static void calls_of_a_tracee(char **arguments)
{
    static struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    static struct sock_fprog program = {1, &allow};
    static char buffer[256];
    const unsigned long calls[][6] = {
        {SYS_io_uring_setup, 8, (unsigned long)buffer},
        {SYS_bpf, 0, (unsigned long)buffer, 48},
        {SYS_userfaultfd},
        {SYS_perf_event_open, (unsigned long)buffer, 0, -1UL, -1UL},
        {SYS_unshare, CLONE_NEWUSER},
        {SYS_clone, CLONE_NEWUSER | SIGCHLD},
        {SYS_clone3, (unsigned long)buffer, 88},
        {SYS_setns, 0, 0},
        {SYS_iopl, 3},
        {SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, (unsigned long)&program},
        {SYS_socket, AF_PACKET, SOCK_RAW},
        {SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 1022}, /* what an exec leaves to the stub */
        {SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 1023},
        {SYS_execveat, 1023, (unsigned long)"", 0, 0, AT_EMPTY_PATH},
        {SYS_dup3, (unsigned long)buffer, (unsigned long)buffer, 0x707953747562},
        {SYS_recvmsg, 1020, (unsigned long)buffer},
        {1000},
    };
    (void)arguments;
    pid_t child = traced_child(NULL);
    if (child < 0) {
        held("PTRACE_TRACEME");
        return;
    }
    for (size_t i = 0; i < 4 * sizeof calls / sizeof *calls; i++) {
        const unsigned long *call = calls[i / 4];
        struct user_regs_struct regs, before;
        do
            before = regs = at_next_stop(child, PTRACE_SYSCALL);
        while (regs.orig_rax != SYS_getppid || (long)regs.rax != -ENOSYS);
        if (i % 4 == 3) { /* as a restart, from behind a call */
            before = regs = at_next_stop(child, PTRACE_SYSCALL);
            regs.rax = (unsigned long)-513; /* ERESTARTNOINTR */
        }
        set_call(&regs, call);
        if (ptrace(PTRACE_SETREGS, child, 0, &regs))
            escaped("PTRACE_SETREGS");
        if (i % 4 == 3)
            at_next_stop(child, PTRACE_SYSCALL);
        regs = at_next_stop(child, i % 4 == 1 ? PTRACE_SINGLESTEP : PTRACE_SYSCALL);
        if ((long)regs.rax >= 0 || (long)regs.rax < -4095)
            escaped("call %lu of a tracee gave %ld (way %zu)", call[0], (long)regs.rax, i % 4);
        before.rax = 0;
        before.orig_rax = -1UL;
        if (ptrace(PTRACE_SETREGS, child, 0, &before))
            escaped("PTRACE_SETREGS");
    }
    kill(child, SIGKILL);
    held("calls that a tracer put in place of others");
}

/* Step by step through an exec: nothing of what the sentry has the task do there is seen. */
static void steps_through_an_exec(char **arguments)
{
    static const int requests[] = {PTRACE_SYSCALL, PTRACE_SINGLESTEP};
    (void)arguments;
    for (size_t way = 0; way < 2; way++) {
        pid_t child = traced_child("/bin/true");
        if (child < 0) {
            held("PTRACE_TRACEME");
            return;
        }
        bool was_execve = false;
        for (int left = 3000; left > 0; left -= was_execve) {
            int status = -1;
            struct user_regs_struct regs;
            if (ptrace(requests[way], child, 0, 0) || waitpid(child, &status, 0) != child)
                escaped("the tracee went out of hand");
            if (!WIFSTOPPED(status))
                break;
            if (ptrace(PTRACE_GETREGS, child, 0, &regs))
                escaped("PTRACE_GETREGS");
            if (regs.rip >> 24 == 0x480000000000 >> 24)
                escaped("the stub at %#llx, call %lld", regs.rip, regs.orig_rax);
            was_execve = was_execve || status >> 16 == PTRACE_EVENT_EXEC;
        }
        if (!was_execve)
            escaped("no exec was seen");
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    held("the exec stub");
}

#endif
