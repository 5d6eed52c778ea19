/* ptrace: stops at signals, at calls and of job control, and what is read and written at them. */
#include "ptrace.h"

/* ---- signals */

static volatile sig_atomic_t usr1_seen, usr2_seen;

static void on_usr1(int sig)
{
    (void)sig;
    usr1_seen++;
}

static void on_usr2(int sig)
{
    (void)sig;
    usr2_seen++;
}

static void two_signals(void)
{
    handle_signal(SIGUSR1, on_usr1, 0);
    handle_signal(SIGUSR2, on_usr2, 0);
    raise(SIGUSR1);
    CHECK_EQ(usr1_seen, 0); /* taken away */
    raise(SIGUSR1);
    CHECK_EQ(usr1_seen, 0); /* became another one */
    CHECK_EQ(usr2_seen, 1);
    raise(SIGCHLD); /* ignored, but the tracer sees it */
}

TEST(signals_are_stops)
{
    siginfo_t info = {0};
    pid_t pid = traced(two_signals, 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGUSR1));
    CHECK_OK(trace(PTRACE_GETSIGINFO, pid, 0, &info));
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(info.si_pid, pid);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGUSR1));
    CHECK_ERRNO(go(PTRACE_CONT, pid, 1000), EIO);
    CHECK_OK(go(PTRACE_CONT, pid, SIGUSR2));
    CHECK_EQ(wait_stop(pid), STOP(SIGCHLD));
    CHECK_OK(go(PTRACE_CONT, pid, SIGCHLD));
    CHECK_EXITED(wait_stop(pid), 0);
}

TEST(a_deadly_signal)
{
    pid_t pid = traced(nothing, 0);
    CHECK_OK(go(PTRACE_CONT, pid, SIGTERM)); /* in place of the SIGSTOP */
    CHECK_SIGNALED(wait_stop(pid), SIGTERM);
}

TEST(a_signal_interrupts_a_call_that_waits)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    go_fd = ends[0];
    int tell[2];
    REQUIRE_OK(pipe(tell));
    tell_fd = tell[1];
    pid_t pid = traced(wait_and_tell, 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    wait_for_state(pid, 'S');
    kill(pid, SIGWINCH); /* ignored: the call goes on afterwards */
    CHECK_EQ(wait_stop(pid), STOP(SIGWINCH));
    CHECK_OK(go(PTRACE_CONT, pid, SIGWINCH));
    wait_for_state(pid, 'S');
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EXITED(wait_stop(pid), 0);
}

static volatile sig_atomic_t chld_seen;
static siginfo_t chld_info;

static void on_chld(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    chld_info = *info;
    chld_seen++;
}

TEST(the_tracer_gets_sigchld)
{
    struct sigaction action = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
    REQUIRE_OK(sigaction(SIGCHLD, &action, NULL));
    pid_t pid = traced(nothing, 0);
    CHECK_EQ(chld_seen, 1);
    CHECK_EQ(chld_info.si_code, CLD_TRAPPED);
    CHECK_EQ(chld_info.si_pid, pid);
    CHECK_EQ(chld_info.si_status, SIGSTOP);
    end(pid);
}

/* ---- seize, interrupt, job control */

TEST(interrupt_of_what_was_seized)
{
    siginfo_t info = {0};
    pid_t pid = untraced(sleep_for_ever);
    wait_for_state(pid, 'S');
    CHECK_ERRNO(go(PTRACE_INTERRUPT, pid, 0), ESRCH);
    CHECK_OK(trace(PTRACE_SEIZE, pid, 0, NULL));
    CHECK_OK(go(PTRACE_INTERRUPT, pid, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_STOP));
    CHECK_OK(trace(PTRACE_GETSIGINFO, pid, 0, &info));
    CHECK_EQ(info.si_code, PTRACE_EVENT_STOP << 8 | SIGTRAP);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    wait_for_state(pid, 'S');
    end(pid);
}

/* The same where the sentry has the call. */
static void interrupt_while_it_waits(void (*body)(void), int times)
{
    int ends[2], tell[2];
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(pipe(tell));
    go_fd = ends[0];
    tell_fd = tell[1];
    pid_t pid = untraced(body);
    wait_for_state(pid, 'S');
    CHECK_OK(trace(PTRACE_SEIZE, pid, 0, NULL));
    for (int i = 0; i < times; i++) {
        CHECK_OK(go(PTRACE_INTERRUPT, pid, 0));
        CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_STOP));
        CHECK_OK(go(PTRACE_CONT, pid, 0));
        wait_for_state(pid, 'S');
    }
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EXITED(wait_stop(pid), 0);
}

TEST(interrupt_in_a_read)
{
    interrupt_while_it_waits(wait_and_tell, 3);
}

static void poll_and_tell(void)
{
    struct pollfd fd = {go_fd, POLLIN, 0};
    sigset_t none;
    sigemptyset(&none);
    CHECK_EQ(ppoll(&fd, 1, NULL, &none), 1);
}

TEST(interrupt_in_a_ppoll)
{
    interrupt_while_it_waits(poll_and_tell, 1);
}

TEST(job_control_of_what_was_seized)
{
    pid_t pid = untraced(sleep_for_ever);
    wait_for_state(pid, 'S');
    CHECK_OK(trace(PTRACE_SEIZE, pid, 0, NULL));
    kill(pid, SIGSTOP);
    CHECK_EQ(wait_stop(pid), STOP(SIGSTOP)); /* its delivery */
    CHECK_ERRNO(go(PTRACE_LISTEN, pid, 0), EIO);
    CHECK_OK(go(PTRACE_CONT, pid, SIGSTOP));
    CHECK_EQ(wait_stop(pid), STOP(SIGSTOP) | PTRACE_EVENT_STOP << 16); /* the stop itself */
    CHECK_OK(go(PTRACE_LISTEN, pid, 0));
    CHECK_ERRNO(go(PTRACE_CONT, pid, 0), ESRCH);
    kill(pid, SIGCONT);
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_STOP));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGCONT));
    CHECK_OK(go(PTRACE_CONT, pid, SIGCONT));
    wait_for_state(pid, 'S');
    end(pid);
}

TEST(job_control_of_what_was_attached)
{
    siginfo_t info;
    pid_t pid = traced(sleep_for_ever, 0);
    CHECK_OK(go(PTRACE_CONT, pid, SIGSTOP));
    CHECK_EQ(wait_stop(pid), STOP(SIGSTOP));
    CHECK_ERRNO(trace(PTRACE_GETSIGINFO, pid, 0, &info), EINVAL); /* no signal's: it is stopped */
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    wait_for_state(pid, 'S');
    int status;
    CHECK_EQ(waitpid(pid, &status, WNOHANG | WUNTRACED), 0); /* told once */
    end(pid);
}

TEST(attach_to_a_stopped_process)
{
    pid_t pid = untraced(sleep_for_ever);
    wait_for_state(pid, 'S');
    kill(pid, SIGSTOP);
    wait_for_state(pid, 'T');
    CHECK_OK(trace(PTRACE_ATTACH, pid, 0, NULL));
    CHECK_EQ(wait_stop(pid), STOP(SIGSTOP));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    end(pid);
}

/* ---- calls */

static void some_calls(void)
{
    char byte;
    CHECK_EQ(syscall(SYS_getppid), getppid());
    CHECK_ERRNO(syscall(SYS_read, 1000, &byte, 1), EBADF);
    CHECK_ERRNO(syscall(SYS_kill, getpid(), 1000), EINVAL);
    CHECK_ERRNO(syscall(SYS_execve, "/nothing/there", NULL, NULL), ENOENT);
    CHECK_EQ(syscall(SYS_getuid), 4711);        /* see calls_are_two_stops */
    CHECK_EQ(syscall(SYS_getsid, 0), 4712);
    CHECK_EQ(syscall(SYS_getpgrp), getppid());
}

TEST(calls_are_two_stops)
{
    struct user_regs_struct regs;
    unsigned long message = 0;
    pid_t pid = traced(some_calls, PTRACE_O_TRACESYSGOOD);
    run_to_call(pid, SYS_getppid);
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &message));
    CHECK_EQ(message, PTRACE_EVENTMSG_SYSCALL_ENTRY);
    CHECK_EQ((int64_t)regs_of(pid).rax, -ENOSYS);
    CHECK_EQ(run_to_exit(pid), getpid());
    struct ptrace_syscall_info info = run_to_call(pid, SYS_read);
    CHECK_EQ(info.entry.args[0], 1000);
    CHECK_EQ(info.entry.args[2], 1);
    CHECK_EQ(run_to_exit(pid), -EBADF);
    CHECK_EQ(regs_of(pid).orig_rax, SYS_read);
    run_to_call(pid, SYS_kill);
    CHECK_EQ(run_to_exit(pid), -EINVAL);
    CHECK_EQ(regs_of(pid).orig_rax, SYS_kill);
    run_to_call(pid, SYS_execve);
    CHECK_EQ(run_to_exit(pid), -ENOENT);
    CHECK_EQ(regs_of(pid).orig_rax, SYS_execve);
    /* A result of the tracer's own making. */
    run_to_call(pid, SYS_getuid);
    run_to_exit(pid);
    regs = regs_of(pid);
    regs.rax = 4711;
    CHECK_OK(trace(PTRACE_SETREGS, pid, 0, &regs));
    /* No call at all. */
    run_to_call(pid, SYS_getsid);
    regs = regs_of(pid);
    regs.orig_rax = (unsigned long)-1;
    regs.rax = 4712;
    CHECK_OK(trace(PTRACE_SETREGS, pid, 0, &regs));
    CHECK_EQ(run_to_exit(pid), 4712);
    /* Another call. */
    run_to_call(pid, SYS_getpgrp);
    regs = regs_of(pid);
    regs.orig_rax = SYS_getppid;
    CHECK_OK(trace(PTRACE_SETREGS, pid, 0, &regs));
    CHECK_EQ(run_to_exit(pid), getpid());
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

TEST(without_sysgood_they_look_like_traps)
{
    pid_t pid = traced(nothing, 0);
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGTRAP));
    end(pid);
}

static void read_and_tell(void)
{
    char byte;
    handle_signal(SIGUSR1, on_usr1, SA_RESTART);
    CHECK_EQ(read(go_fd, &byte, 1), 1);
    CHECK_EQ(usr1_seen, 1);
}

TEST(a_restarted_call_is_seen_twice)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    go_fd = ends[0];
    pid_t pid = traced(read_and_tell, PTRACE_O_TRACESYSGOOD);
    run_to_call(pid, SYS_read);
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    wait_for_state(pid, 'S');
    kill(pid, SIGUSR1);
    CHECK_EQ(wait_stop(pid), SYSCALL_STOP);
    CHECK_EQ((int64_t)regs_of(pid).rax, -512 /* ERESTARTSYS */);
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGUSR1));
    CHECK_OK(go(PTRACE_SYSCALL, pid, SIGUSR1));
    CHECK_EQ(wait_stop(pid), SYSCALL_STOP);
    CHECK_EQ(call_info(pid).entry.nr, SYS_rt_sigreturn);
    run_to_call(pid, SYS_read);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(run_to_exit(pid), 1);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

/* ---- memory and registers */

static const char in_text[] __attribute__((section(".rodata"), aligned(8))) = "read-only";
static const char *volatile text = in_text; /* the compiler knows what is in there */
static char in_data[16] __attribute__((aligned(8))) = "data";
static char *shared_page;

static void look_at_text(void)
{
    CHECK(memcmp(text, "written!y", 9) == 0);
}

TEST(memory_is_read_and_written)
{
    unsigned long word = 0;
    scratch();
    write_file("file", "shared, and only to be read");
    int fd = open("file", O_RDONLY);
    shared_page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(shared_page != MAP_FAILED);
    pid_t pid = traced(look_at_text, 0);
    CHECK_OK(trace(PTRACE_PEEKDATA, pid, (unsigned long)in_data, &word));
    CHECK(memcmp(&word, "data\0\0\0", 8) == 0);
    memcpy(&word, "written!", 8);
    CHECK_OK(trace(PTRACE_POKETEXT, pid, (unsigned long)in_text, (void *)word)); /* as breakpoints are */
    CHECK_ERRNO(trace(PTRACE_POKEDATA, pid, (unsigned long)shared_page, (void *)word), EIO);
    CHECK_ERRNO(trace(PTRACE_POKEDATA, pid, 0x10, (void *)word), EIO);
    CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, 0x10, &word), EIO);
    CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, (unsigned long)in_data, bad_address), EFAULT);
    CHECK(memcmp(text, "read-only", 9) == 0); /* ours is another copy */
    CHECK(memcmp(shared_page, "shared, ", 8) == 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

TEST(proc_mem_writes_read_only_memory)
{
    char path[64];
    pid_t pid = traced(look_at_text, 0);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    REQUIRE(fd >= 0);
    CHECK_EQ(pwrite(fd, "written!", 8, (off_t)(unsigned long)in_text), 8);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

static volatile unsigned long stepped;

static void count_steps(void)
{
    __asm__ volatile("movq $0x1234, %%r12\n\tnop\n\tnop\n\tint3\n\tnop" : : : "r12");
    stepped = 1;
}

TEST(registers_steps_and_breakpoints)
{
    struct user_regs_struct regs, by_set = {0};
    struct iovec set = {&by_set, sizeof by_set};
    unsigned long r12 = 0;
    pid_t pid = traced(count_steps, 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGTRAP)); /* int3 */
    siginfo_t info = {0};
    CHECK_OK(trace(PTRACE_GETSIGINFO, pid, 0, &info));
    CHECK_EQ(info.si_code, SI_KERNEL);
    regs = regs_of(pid);
    CHECK_EQ(regs.r12, 0x1234);
    CHECK_OK(trace(PTRACE_PEEKUSR, pid, offsetof(struct user_regs_struct, r12), &r12));
    CHECK_EQ(r12, 0x1234);
    CHECK_OK(trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &set));
    CHECK_EQ(set.iov_len, sizeof by_set);
    CHECK_EQ(by_set.rip, regs.rip);
    set.iov_len = 16;
    CHECK_OK(trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &set));
    CHECK_EQ(set.iov_len, 16);
    CHECK_ERRNO(trace(PTRACE_GETREGSET, pid, 0x7777, &set), EINVAL);
    CHECK_OK(go(PTRACE_SINGLESTEP, pid, 0));
    CHECK_EQ(wait_stop(pid), STOP(SIGTRAP));
    CHECK_EQ(regs_of(pid).rip, regs.rip + 1); /* the nop */
    CHECK_OK(trace(PTRACE_POKEUSR, pid, offsetof(struct user_regs_struct, r12), (void *)0x77));
    CHECK_EQ(regs_of(pid).r12, 0x77);
    CHECK_ERRNO(trace(PTRACE_PEEKUSR, pid, 3, &r12), EIO);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

TEST(float_registers_and_signal_masks)
{
    struct user_fpregs_struct registers = {0};
    unsigned long mask = ~0UL, usr1 = 1UL << (SIGUSR1 - 1);
    pid_t pid = traced(nothing, 0);
    CHECK_OK(trace(PTRACE_GETFPREGS, pid, 0, &registers));
    CHECK_EQ(registers.mxcsr & 0x1f80, 0x1f80);
    CHECK_OK(trace(PTRACE_SETFPREGS, pid, 0, &registers));
    CHECK_OK(trace(PTRACE_GETSIGMASK, pid, 8, &mask));
    CHECK_EQ(mask & usr1, 0);
    mask = usr1;
    CHECK_OK(trace(PTRACE_SETSIGMASK, pid, 8, &mask));
    CHECK_ERRNO(trace(PTRACE_SETSIGMASK, pid, 4, &mask), EINVAL);
    kill(pid, SIGUSR1);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0); /* it was blocked */
}
