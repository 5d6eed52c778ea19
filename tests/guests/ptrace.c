/* ptrace: beginning and end of tracing, forks and execs, waiting, and who may. The other stops: see ptrace_stops.c. */
#include "ptrace.h"

#include <pthread.h>

/* ---- beginning and end */

TEST(traceme_stops_at_exec)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(trace(PTRACE_TRACEME, 0, 0, NULL));
        CHECK_ERRNO(trace(PTRACE_TRACEME, 0, 0, NULL), EPERM);
        self_exec("ends", "7");
        _exit(99);
    }
    CHECK_EQ(wait_stop(pid), STOP(SIGTRAP));
    struct user_regs_struct regs = regs_of(pid);
    unsigned long argc = 0;
    CHECK_EQ(regs.rax, 0);
    CHECK_OK(trace(PTRACE_PEEKDATA, pid, regs.rsp, &argc)); /* nothing has run yet: the stack is as the kernel made it */
    CHECK_EQ(argc, 4);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 7);
}

HELPER(ends)
{
    return argc ? atoi(argv[0]) : 0;
}

HELPER(asks_to_be_traced)
{
    note("%s\n", trace(PTRACE_TRACEME, 0, 0, NULL) == -1 ? strerrorname_np(errno) : "traced");
    return 0;
}

HELPER(calls_getppid)
{
    syscall(SYS_getppid);
    return 0;
}

TEST(a_task_that_runs_is_no_such_process)
{
    pid_t pid = untraced(sleep_for_ever);
    unsigned long word;
    CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, (unsigned long)&word, &word), ESRCH);
    CHECK_OK(trace(PTRACE_SEIZE, pid, 0, NULL));
    CHECK_ERRNO(trace(PTRACE_PEEKDATA, pid, (unsigned long)&word, &word), ESRCH);
    CHECK_ERRNO(go(PTRACE_CONT, pid, 0), ESRCH);
    CHECK_ERRNO(trace(PTRACE_SEIZE, pid, 0, NULL), EPERM);
    CHECK_ERRNO(trace(PTRACE_ATTACH, pid, 0, NULL), EPERM);
    end(pid);
}

TEST(who_cannot_be_traced)
{
    CHECK_ERRNO(trace(PTRACE_ATTACH, getpid(), 0, NULL), EPERM);
    CHECK_ERRNO(trace(PTRACE_ATTACH, 0x3fffff0, 0, NULL), ESRCH);
    CHECK_ERRNO(trace(PTRACE_CONT, 0x3fffff0, 0, NULL), ESRCH);
    CHECK_ERRNO(trace(PTRACE_SEIZE, getppid(), 1, NULL), EIO);
    pid_t pid = untraced(sleep_for_ever);
    CHECK_ERRNO(trace(PTRACE_SEIZE, pid, 0, (void *)(1UL << 40)), EIO);
    end(pid);
}

TEST(another_users_process_cannot_be_traced)
{
    if (geteuid() != 0)
        SKIP("changes its user");
    pid_t pid = fork_child();
    if (pid == 0) {
        pid_t other = getppid();
        REQUIRE_OK(setresgid(1000, 1000, 1000));
        REQUIRE_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(trace(PTRACE_ATTACH, other, 0, NULL), EPERM);
        CHECK_ERRNO(trace(PTRACE_SEIZE, other, 0, NULL), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(a_process_that_is_not_dumpable_cannot_be_traced)
{
    if (geteuid() != 0)
        SKIP("changes its user");
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresgid(1000, 1000, 1000));
        REQUIRE_OK(setresuid(1000, 1000, 1000));
        int ends[2];
        REQUIRE_OK(pipe(ends));
        pid_t other = fork_child();
        if (other == 0) {
            prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
            prctl(PR_SET_DUMPABLE, 0);
            REQUIRE(write(ends[1], "", 1) == 1);
            sleep_for_ever();
        }
        char byte;
        REQUIRE(read(ends[0], &byte, 1) == 1);
        CHECK_ERRNO(trace(PTRACE_ATTACH, other, 0, NULL), EPERM);
        end(other);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(attach_stops_and_detach_lets_go)
{
    pid_t pid = untraced(sleep_for_ever);
    char text[4096], wanted[64];
    wait_for_state(pid, 'S');
    CHECK_OK(trace(PTRACE_ATTACH, pid, 0, NULL));
    CHECK_EQ(wait_stop(pid), STOP(SIGSTOP));
    CHECK_EQ(process_state(pid), 't');
    snprintf(wanted, sizeof wanted, "/proc/%d/status", pid);
    CHECK(read_file(wanted, text, sizeof text) > 0);
    snprintf(wanted, sizeof wanted, "\nTracerPid:\t%d\n", getpid());
    CHECK(strstr(text, wanted) != NULL);
    CHECK_OK(go(PTRACE_DETACH, pid, 0));
    wait_for_state(pid, 'S');
    CHECK_ERRNO(go(PTRACE_CONT, pid, 0), ESRCH);
    end(pid);
}

/* A process that is not the tracer's child: its stops and its end are told all the same. */
TEST(a_stranger_is_waited_for)
{
    int ends[2];
    pid_t stranger;
    REQUIRE_OK(pipe(ends));
    pid_t parent = fork_child();
    if (parent == 0) {
        stranger = untraced(sleep_for_ever);
        REQUIRE(write(ends[1], &stranger, sizeof stranger) == sizeof stranger);
        int status = wait_status(stranger);
        CHECK_SIGNALED(status, SIGKILL);
        guest_finish();
    }
    REQUIRE(read(ends[0], &stranger, sizeof stranger) == sizeof stranger);
    wait_for_state(stranger, 'S');
    int status;
    CHECK_ERRNO(waitpid(stranger, &status, WNOHANG), ECHILD);
    REQUIRE_OK(trace(PTRACE_ATTACH, stranger, 0, NULL));
    CHECK_EQ(wait_stop(stranger), STOP(SIGSTOP));
    CHECK_EQ(waitpid(stranger, &status, WNOHANG | __WALL), 0); /* told once */
    CHECK_OK(go(PTRACE_CONT, stranger, 0));
    kill(stranger, SIGKILL);
    CHECK_SIGNALED(wait_stop(stranger), SIGKILL);
    CHECK_ERRNO(waitpid(stranger, &status, WNOHANG | __WALL), ECHILD);
    CHECK_CHILD(parent);
}

TEST(the_tracers_end_lets_its_tracees_go)
{
    int tell[2], start[2];
    char byte = 0;
    REQUIRE_OK(pipe(tell));
    REQUIRE_OK(pipe(start));
    tell_fd = tell[1];
    go_fd = start[0];
    pid_t pid = untraced(wait_and_tell);
    pid_t tracer = fork_child();
    if (tracer == 0) {
        REQUIRE_OK(trace(PTRACE_ATTACH, pid, 0, NULL));
        CHECK_EQ(wait_stop(pid), STOP(SIGSTOP));
        guest_finish();
    }
    CHECK_CHILD(tracer);
    REQUIRE(write(start[1], "x", 1) == 1);
    CHECK_EQ(read(tell[0], &byte, 1), 1);
    CHECK_EXITED(wait_status(pid), 0); /* the wait took the SIGSTOP: it is not stopped */
}

TEST(exitkill)
{
    pid_t pid = untraced(sleep_for_ever);
    pid_t tracer = fork_child();
    if (tracer == 0) {
        REQUIRE_OK(trace(PTRACE_SEIZE, pid, 0, (void *)PTRACE_O_EXITKILL));
        guest_finish();
    }
    CHECK_CHILD(tracer);
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

/* ---- events */

static void forks(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    CHECK_EXITED(wait_status(pid), 3);
}

TEST(a_forked_child_is_traced)
{
    unsigned long child = 0;
    int status;
    pid_t pid = traced(forks, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_FORK));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &child));
    CHECK_EQ(wait_stop((pid_t)child), STOP(SIGSTOP));
    CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
    CHECK_OK(go(PTRACE_CONT, (pid_t)child, 0));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop((pid_t)child), 3);
    CHECK_EQ(wait_stop(pid), STOP(SIGCHLD));
    CHECK_OK(go(PTRACE_CONT, pid, SIGCHLD));
    CHECK_EXITED(wait_stop(pid), 0);
}

static void *thread_body(void *argument)
{
    return argument;
}

static void makes_a_thread(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, thread_body, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

TEST(a_thread_of_what_was_seized)
{
    unsigned long thread = 0;
    int tell[2], start[2];
    REQUIRE_OK(pipe(tell));
    REQUIRE_OK(pipe(start));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        REQUIRE(read(start[0], &byte, 1) == 1);
        makes_a_thread();
        guest_finish();
    }
    CHECK_OK(trace(PTRACE_SEIZE, pid, 0, (void *)(PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT)));
    CHECK_EQ(write(start[1], "x", 1), 1);
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_CLONE));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &thread));
    CHECK_EQ(wait_stop((pid_t)thread), EVENT(PTRACE_EVENT_STOP));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_OK(go(PTRACE_CONT, (pid_t)thread, 0));
    CHECK_EQ(wait_stop((pid_t)thread), EVENT(PTRACE_EVENT_EXIT));
    CHECK_OK(go(PTRACE_CONT, (pid_t)thread, 0));
    CHECK_EXITED(wait_stop((pid_t)thread), 0);
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_EXIT));
    unsigned long code = 1;
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

static void vforks(void)
{
    pid_t pid = vfork();
    if (pid == 0)
        _exit(4);
    CHECK_EXITED(wait_status(pid), 4);
}

TEST(vfork_and_its_end)
{
    unsigned long child = 0;
    pid_t pid = traced(vforks, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_VFORK));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &child));
    CHECK_EQ(wait_stop((pid_t)child), STOP(SIGSTOP));
    CHECK_OK(go(PTRACE_DETACH, (pid_t)child, 0));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    int status = wait_stop(pid);
    if (status == STOP(SIGCHLD)) {
        CHECK_OK(go(PTRACE_CONT, pid, 0));
        status = wait_stop(pid);
    }
    CHECK_EQ(status, EVENT(PTRACE_EVENT_VFORK_DONE));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    status = wait_stop(pid);
    if (status == STOP(SIGCHLD)) {
        CHECK_OK(go(PTRACE_CONT, pid, 0));
        status = wait_stop(pid);
    }
    CHECK_EXITED(status, 0);
}

static void executes(void)
{
    self_exec("calls_getppid", NULL);
}

TEST(exec_is_one_call)
{
    unsigned long former = 0;
    pid_t pid = traced(executes, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC);
    struct ptrace_syscall_info info = run_to_call(pid, SYS_execve);
    CHECK_EQ(info.entry.nr, SYS_execve);
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_EXEC));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &former));
    CHECK_EQ(former, pid);
    CHECK_EQ(run_to_exit(pid), 0);
    CHECK_EQ(regs_of(pid).orig_rax, SYS_execve);
    /* The next call is the new program's own. */
    CHECK_OK(go(PTRACE_SYSCALL, pid, 0));
    CHECK_EQ(wait_stop(pid), SYSCALL_STOP);
    info = call_info(pid);
    CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK(info.entry.nr != SYS_dup3 && info.entry.nr != SYS_execve);
    run_to_call(pid, SYS_getppid);
    CHECK_EQ(run_to_exit(pid), getpid());
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 0);
}

static void *executing_thread(void *argument)
{
    self_exec("ends", "5");
    return argument;
}

static void executes_in_a_thread(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, executing_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

TEST(a_thread_executes_and_becomes_the_leader)
{
    unsigned long thread = 0, former = 0;
    pid_t pid = traced(executes_in_a_thread, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_CLONE));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &thread));
    CHECK_EQ(wait_stop((pid_t)thread), STOP(SIGSTOP));
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_OK(go(PTRACE_CONT, (pid_t)thread, 0));
    CHECK_EQ(wait_stop(pid), EVENT(PTRACE_EVENT_EXEC));
    CHECK_OK(trace(PTRACE_GETEVENTMSG, pid, 0, &former));
    CHECK_EQ(former, thread);
    CHECK_ERRNO(go(PTRACE_CONT, (pid_t)thread, 0), ESRCH);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_EXITED(wait_stop(pid), 5);
}

/* ---- waiting */

TEST(waitid_tells_of_stops)
{
    siginfo_t info = {0};
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(trace(PTRACE_TRACEME, 0, 0, NULL));
        raise(SIGUSR1);
        _exit(6);
    }
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_OK(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED));
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED));
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 6);
}

TEST(other_children_are_waited_for_as_ever)
{
    pid_t pid = traced(sleep_for_ever, 0);
    CHECK_OK(go(PTRACE_CONT, pid, 0));
    pid_t other = fork_child();
    if (other == 0)
        _exit(2);
    int status;
    CHECK_EQ(waitpid(-1, &status, 0), other);
    CHECK_EXITED(status, 2);
    CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
    CHECK_ERRNO(waitpid(other, &status, 0), ECHILD);
    end(pid);
}

static void *waits_for_its_parent(void *pid)
{
    int status = 0;
    CHECK_EQ(waitpid(*(pid_t *)pid, &status, __WALL), *(pid_t *)pid);
    CHECK_EQ(status, STOP(SIGSTOP));
    return NULL;
}

/* The wait began before anybody was traced. */
TEST(a_wait_under_way_sees_the_first_stop)
{
    int start[2];
    pthread_t thread;
    REQUIRE_OK(pipe(start));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        REQUIRE(read(start[0], &byte, 1) == 1);
        REQUIRE_OK(trace(PTRACE_TRACEME, 0, 0, NULL));
        raise(SIGSTOP);
        _exit(0);
    }
    REQUIRE(pthread_create(&thread, NULL, waits_for_its_parent, &pid) == 0);
    usleep(20000); /* likely in its wait by now: true either way */
    CHECK_EQ(write(start[1], "x", 1), 1);
    REQUIRE(pthread_join(thread, NULL) == 0);
    kill(pid, SIGKILL);
    wait_stop(pid);
}

/* ---- privilege */

HELPER(effective_user)
{
    return (int)geteuid();
}

TEST(a_set_user_id_program_gains_nothing_while_traced)
{
    if (geteuid() != 0)
        SKIP("makes a set-user-id program");
    char path[GUEST_PATH_BYTES + 16];
    static char content[1 << 22];
    const char *directory = scratch();
    REQUIRE_OK(chmod(directory, 0755));
    ssize_t size = read_file(self_path(), content, sizeof content);
    REQUIRE(size > 0 && size < (ssize_t)sizeof content - 1);
    snprintf(path, sizeof path, "%s/set-id", directory);
    int fd = open(path, O_WRONLY | O_CREAT, 0755);
    REQUIRE(fd >= 0 && write(fd, content, (size_t)size) == size);
    REQUIRE_OK(fchown(fd, 4, 4));
    REQUIRE_OK(fchmod(fd, 04755));
    REQUIRE_OK(close(fd));
    pid_t tracer = fork_child();
    if (tracer == 0) {
        REQUIRE_OK(setresgid(3, 3, 3));
        REQUIRE_OK(setresuid(3, 3, 3));
        for (int is_traced = 0; is_traced < 2; is_traced++) {
            pid_t pid = fork_child();
            if (pid == 0) {
                if (is_traced)
                    REQUIRE_OK(trace(PTRACE_TRACEME, 0, 0, NULL));
                execl(path, path, "--helper", "effective_user", (char *)NULL);
                _exit(99);
            }
            if (is_traced) {
                CHECK_EQ(wait_stop(pid), STOP(SIGTRAP));
                CHECK_OK(go(PTRACE_CONT, pid, 0));
            }
            int status = wait_stop(pid);
            if (!is_traced && WIFEXITED(status) && WEXITSTATUS(status) == 3)
                SKIP("a file system without set-user-id programs");
            CHECK_EXITED(status, is_traced ? 3 : 4);
        }
        guest_finish();
    }
    CHECK_CHILD(tracer);
}
