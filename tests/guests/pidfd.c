/* pidfd: descriptors of processes: opened, made by clone, polled, waited for, signalled, and looked through. */
#include "guest.h"

#include <sys/uio.h>

#include <sys/epoll.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define CLONE_PIDFD_FLAG 0x1000

static int open_pidfd(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int signal_pidfd(int fd, int sig, siginfo_t *info)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, sig, info, 0);
}

static short poll_of(int fd, int timeout_ms)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN | POLLOUT};
    return poll(&wanted, 1, timeout_ms) < 0 ? -1 : wanted.revents & (POLLIN | POLLOUT);
}

/* A child that ends with a status once the pipe is closed. */
static pid_t waiting_child(int status, int *release)
{
    int ends[2];
    REQUIRE_OK(pipe2(ends, O_CLOEXEC));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0)
            ;
        _exit(status);
    }
    close(ends[0]);
    *release = ends[1];
    return pid;
}

TEST(open_rules)
{
    CHECK_ERRNO(open_pidfd(0, 0), EINVAL);
    CHECK_ERRNO(open_pidfd(-1, 0), EINVAL);
    CHECK_ERRNO(open_pidfd(getpid(), 0x40000000), EINVAL);
    CHECK_ERRNO(open_pidfd(0x3ffffff, 0), ESRCH);
    int fd = open_pidfd(getpid(), 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
    char byte;
    CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
    CHECK_ERRNO(write(fd, &byte, 1), EINVAL);
    close(fd);
    fd = open_pidfd(getpid(), O_NONBLOCK);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
    close(fd);
}

TEST(readable_once_the_process_can_be_waited_for)
{
    int release;
    pid_t pid = waiting_child(7, &release);
    int fd = open_pidfd(pid, 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(poll_of(fd, 0), 0);
    close(release);
    CHECK_EQ(poll_of(fd, -1), POLLIN);
    siginfo_t info = {0};
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT)); /* there is something at once */
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 7);
    CHECK_EQ(info.si_code, CLD_EXITED);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK_EXITED(status, 7);
    CHECK_EQ(poll_of(fd, 0), POLLIN);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    close(fd);
}

TEST(epoll_tells_of_the_end)
{
    int release, watcher = epoll_create1(0);
    pid_t pid = waiting_child(0, &release);
    int fd = open_pidfd(pid, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
    REQUIRE_OK(epoll_ctl(watcher, EPOLL_CTL_ADD, fd, &event));
    CHECK_EQ(epoll_wait(watcher, &event, 1, 0), 0);
    close(release);
    memset(&event, 0, sizeof event);
    CHECK_EQ(epoll_wait(watcher, &event, 1, -1), 1);
    CHECK_EQ(event.data.u64, 42);
    CHECK_CHILD(pid);
}

TEST(waitid_waits_for_the_process)
{
    int release;
    pid_t other = fork_child();
    if (other == 0)
        _exit(1);
    pid_t pid = waiting_child(3, &release);
    int fd = open_pidfd(pid, 0);
    siginfo_t info = {.si_pid = 99};
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0); /* the other's end is not it */
    pid_t helper = fork_child();
    if (helper == 0) {
        wait_for_state(getppid(), 'S');
        _exit(0);
    }
    close(release);
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 3);
    CHECK_EQ(wait_status(other), 0x100);
    CHECK_CHILD(helper);
    CHECK_ERRNO(waitid(P_PIDFD, 999, &info, WEXITED), EBADF);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)release, &info, WEXITED), EBADF);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)-1, &info, WEXITED), EINVAL);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, 0), EINVAL);
}

TEST(waitid_of_a_nonblocking_pidfd)
{
    int release;
    pid_t pid = waiting_child(5, &release);
    int fd = open_pidfd(pid, O_NONBLOCK);
    siginfo_t info = {0};
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN);
    close(release);
    CHECK_EQ(poll_of(fd, -1), POLLIN);
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_status, 5);
}

TEST(waitid_of_somebody_elses_child)
{
    int fd = open_pidfd(getppid(), 0);
    siginfo_t info;
    if (fd < 0)
        SKIP("the parent is outside of the pid namespace");
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
}

static volatile int alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
}

TEST(a_signal_interrupts_the_wait)
{
    int release;
    pid_t pid = waiting_child(0, &release);
    int fd = open_pidfd(pid, 0);
    siginfo_t info;
    handle_signal(SIGUSR1, on_alarm, 0);
    pid_t me = getpid(), sender = fork_child();
    if (sender == 0) {
        close(release);
        wait_for_state(me, 'S');
        CHECK_OK(kill(me, SIGUSR1));
        guest_finish();
    }
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EINTR);
    CHECK_EQ(alarms, 1);
    CHECK_CHILD(sender);
    handle_signal(SIGUSR1, on_alarm, SA_RESTART);
    sender = fork_child();
    if (sender == 0) {
        wait_for_state(me, 'S');
        CHECK_OK(kill(me, SIGUSR1));
        guest_finish(); /* which closes its end of the pipe, the last but ours */
    }
    close(release);
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(alarms, 2);
    CHECK_CHILD(sender);
}

TEST(signals_by_pidfd)
{
    int release;
    pid_t pid = waiting_child(0, &release);
    int fd = open_pidfd(pid, 0);
    CHECK_OK(signal_pidfd(fd, 0, NULL));
    CHECK_ERRNO(signal_pidfd(fd, 65, NULL), EINVAL);
    CHECK_ERRNO((int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0x40000000), EINVAL);
    CHECK_ERRNO(signal_pidfd(release, 0, NULL), EBADF);
    CHECK_ERRNO(signal_pidfd(999, 0, NULL), EBADF);
    CHECK_ERRNO(signal_pidfd(fd, SIGUSR1, bad_address), EFAULT);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
    CHECK_ERRNO(signal_pidfd(fd, SIGUSR2, &info), EINVAL); /* not the same number */
    CHECK_ERRNO(signal_pidfd(fd, SIGUSR1, &info), EPERM);  /* only the kernel says SI_USER */
    CHECK_OK(signal_pidfd(fd, SIGTERM, NULL));
    CHECK_EQ(poll_of(fd, -1), POLLIN);
    CHECK_OK(signal_pidfd(fd, 0, NULL)); /* a zombie takes them still */
    CHECK_SIGNALED(wait_status(pid), SIGTERM);
    CHECK_ERRNO(signal_pidfd(fd, 0, NULL), ESRCH);
}

static siginfo_t received;

static void note_info(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    received = *info;
}

TEST(siginfo_by_pidfd)
{
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    int fd = open_pidfd(getpid(), 0);
    CHECK_OK(signal_pidfd(fd, SIGUSR1, NULL));
    CHECK_EQ(received.si_code, SI_USER);
    CHECK_EQ(received.si_pid, getpid());
    CHECK_EQ(received.si_uid, getuid());
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    info.si_pid = 77;
    info.si_value.sival_int = 1234;
    CHECK_OK(signal_pidfd(fd, SIGUSR1, &info));
    CHECK_EQ(received.si_code, SI_QUEUE);
    CHECK_EQ(received.si_pid, 77);
    CHECK_EQ(received.si_value.sival_int, 1234);
}

TEST(opened_of_a_zombie)
{
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(9);
    siginfo_t info = {0};
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    int fd = open_pidfd(pid, 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(poll_of(fd, 0), POLLIN);
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_status, 9);
    CHECK_ERRNO(open_pidfd(pid, 0), ESRCH);
}

TEST(clone_gives_one)
{
    int fd = -1, before = open_fd_count();
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD_FLAG | SIGCHLD, 0, &fd, 0, 0);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        guest_failures = 0;
        CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF); /* its table is a copy from before */
        CHECK_EQ(open_fd_count(), before);
        CHECK_EQ(fd, -1);
        _exit(guest_failures ? 1 : 4);
    }
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    siginfo_t info = {0};
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 4);
    CHECK_EQ(open_fd_count(), before + 1);
}

TEST(clone_rules)
{
    int fd = -1, count = open_fd_count();
    CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD_FLAG | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD_FLAG | CLONE_SIGHAND | SIGCHLD, 0, &fd, 0, 0), EINVAL);
    CHECK_EQ(open_fd_count(), count);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PTRACE | CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    CHECK_CHILD(pid);
}

TEST(clone_as_vfork_gives_one)
{
    static int fd = -1;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD_FLAG | CLONE_VFORK | SIGCHLD, 0, &fd, 0, 0);
    if (pid == 0)
        _exit(6);
    REQUIRE(fd >= 0);
    siginfo_t info = {0};
    CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_status, 6);
}

TEST(a_sibling_by_clone_parent)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t me = getpid(), child = fork_child();
    if (child == 0) {
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0)
            _exit(getppid() == me ? 0 : 1);
        CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
        CHECK_EQ(write(ends[1], &pid, sizeof pid), sizeof pid);
        guest_finish();
    }
    pid_t sibling = 0;
    CHECK_EQ(read(ends[0], &sibling, sizeof sibling), sizeof sibling);
    CHECK_CHILD(sibling);
    CHECK_CHILD(child);
}

TEST(descriptors_of_another_process)
{
    int ends[2], told[2];
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(pipe(told));
    pid_t pid = fork_child();
    if (pid == 0) {
        int file = memfd_create("theirs", 0);
        CHECK_EQ(write(file, "content", 7), 7);
        CHECK_EQ(write(told[1], &file, sizeof file), sizeof file);
        char byte;
        close(ends[1]);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        guest_finish();
    }
    int theirs = -1, fd = open_pidfd(pid, 0);
    CHECK_EQ(read(told[0], &theirs, sizeof theirs), sizeof theirs);
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, theirs, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, ends[0], theirs, 0), EBADF);
    int mine = (int)syscall(SYS_pidfd_getfd, fd, theirs, 0);
    REQUIRE(mine >= 0);
    CHECK_EQ(fcntl(mine, F_GETFD), FD_CLOEXEC);
    char text[8] = {0};
    CHECK_EQ(pread(mine, text, sizeof text, 0), 7);
    CHECK_STR(text, "content");
    CHECK_EQ(lseek(mine, 0, SEEK_CUR), 7); /* one description */
    close(ends[1]);
    CHECK_CHILD(pid);
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, theirs, 0), ESRCH);
}

TEST(fdinfo_names_the_process)
{
    int release;
    pid_t pid = waiting_child(0, &release);
    int fd = open_pidfd(pid, 0);
    char path[64], text[512], wanted[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    snprintf(wanted, sizeof wanted, "\nPid:\t%d\nNSpid:\t%d", pid, pid);
    REQUIRE(read_file(path, text, sizeof text) > 0);
    CHECK(strstr(text, wanted) != NULL);
    close(release);
    CHECK_CHILD(pid);
    REQUIRE(read_file(path, text, sizeof text) > 0);
    CHECK(strstr(text, "\nPid:\t-1") != NULL);
}

static void *end_later(void *argument)
{
    char byte;
    while (read(*(int *)argument, &byte, 1) < 0)
        ;
    syscall(SYS_exit_group, 8);
    return NULL;
}

#include <pthread.h>

TEST(not_readable_while_a_thread_lives)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        pthread_t thread;
        close(ends[1]);
        pthread_create(&thread, NULL, end_later, &ends[0]);
        syscall(SYS_exit, 1);
    }
    int fd = open_pidfd(pid, 0);
    wait_for_state(pid, 'Z');
    CHECK_EQ(poll_of(fd, 0), 0);
    close(ends[1]);
    CHECK_EQ(poll_of(fd, -1), POLLIN);
    CHECK_EXITED(wait_status(pid), 8);
}

TEST(a_directory_of_proc_takes_signals)
{
    int release;
    pid_t pid = waiting_child(0, &release);
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d", pid);
    int fd = open(path, O_DIRECTORY | O_CLOEXEC), elsewhere = open("/proc", O_DIRECTORY);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int stat_fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && stat_fd >= 0);
    CHECK_ERRNO(signal_pidfd(elsewhere, 0, NULL), EBADF);
    CHECK_OK(signal_pidfd(fd, 0, NULL));
    CHECK_OK(signal_pidfd(fd, SIGTERM, NULL));
    siginfo_t info;
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    CHECK_OK(signal_pidfd(fd, 0, NULL));
    CHECK(read(stat_fd, text, sizeof text) > 0); /* opened while it lived, read of the zombie */
    CHECK_SIGNALED(wait_status(pid), SIGTERM);
    CHECK_ERRNO(signal_pidfd(fd, 0, NULL), ESRCH);
}

enum { NR_PROCESS_MADVISE = 440, NR_PROCESS_MRELEASE = 448 };

static long advise(int pidfd, struct iovec *vectors, size_t count, int advice, unsigned flags)
{
    return syscall(NR_PROCESS_MADVISE, pidfd, vectors, count, advice, flags);
}

TEST(advice_about_own_memory)
{
    int own = (int)syscall(SYS_pidfd_open, getpid(), 0);
    char *memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 7, 16384);
    struct iovec vectors[2] = {{memory, 4096}, {memory + 8192, 4096}};
    long done = advise(own, vectors, 2, MADV_DONTNEED, 0);
    if (done == -1 && (errno == EPERM || errno == EINVAL))
        SKIP("a kernel before 6.13");
    CHECK_EQ(done, 8192);
    CHECK_EQ(memory[0], 0);
    CHECK_EQ(memory[4096], 7);
    CHECK_EQ(memory[8192], 0);
    CHECK_EQ(advise(own, vectors, 0, MADV_DONTNEED, 0), 0);
    CHECK_ERRNO(advise(own, vectors, 2, MADV_DONTNEED, 1), EINVAL);
    CHECK_ERRNO(advise(own, vectors, 2, 999, 0), EINVAL);
    CHECK_ERRNO(advise(own, NULL, 1, MADV_DONTNEED, 0), EFAULT);
    CHECK_ERRNO(advise(own, vectors, 1025, MADV_DONTNEED, 0), EINVAL);
    CHECK_ERRNO(advise(999, vectors, 2, MADV_DONTNEED, 0), EBADF);
    CHECK_ERRNO(advise(0, vectors, 2, MADV_DONTNEED, 0), EBADF);
    CHECK_OK(munmap(memory + 8192, 4096));
    memset(memory, 7, 4096);
    CHECK_EQ(advise(own, vectors, 2, MADV_DONTNEED, 0), 4096);
    CHECK_EQ(memory[0], 0);
    CHECK_ERRNO(advise(own, vectors + 1, 1, MADV_DONTNEED, 0), ENOMEM);
}

TEST(memory_of_the_killed)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    int child = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK_ERRNO(syscall(NR_PROCESS_MRELEASE, child, 0), EINVAL); /* it lives */
    CHECK_ERRNO(syscall(NR_PROCESS_MRELEASE, child, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_PROCESS_MRELEASE, 999, 0), EBADF);
    CHECK_ERRNO(syscall(NR_PROCESS_MRELEASE, 0, 0), EBADF);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK(syscall(NR_PROCESS_MRELEASE, child, 0) == 0 || errno == ESRCH); /* in time, or too late */
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
    CHECK_ERRNO(syscall(NR_PROCESS_MRELEASE, child, 0), ESRCH);
}
