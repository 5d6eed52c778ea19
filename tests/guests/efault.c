/* efault: bad pointers give EFAULT, and a call that fails so leaves nothing behind. */
#include "guest.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <termios.h>

#define BAD bad_address

/* Raw calls: glibc would read some of the pointers itself. */
#define CHECK_EFAULT(...) CHECK_ERRNO(syscall(__VA_ARGS__), EFAULT)

static int fd_count_before;

static void begin(void)
{
    scratch();
    write_file("f", "0123456789");
    CHECK_OK(symlink("f", "link"));
    fd_count_before = open_fd_count();
}

static void end(void)
{
    CHECK_EQ(open_fd_count(), fd_count_before);
}

TEST(paths)
{
    begin();
    CHECK_EFAULT(SYS_open, BAD, O_RDONLY);
    CHECK_EFAULT(SYS_openat, AT_FDCWD, BAD, O_RDONLY);
    CHECK_EFAULT(SYS_openat2, AT_FDCWD, "f", BAD, 24);
    CHECK_EFAULT(SYS_creat, BAD, 0600);
    CHECK_EFAULT(SYS_access, BAD, F_OK);
    CHECK_EFAULT(SYS_faccessat, AT_FDCWD, BAD, F_OK);
    CHECK_EFAULT(SYS_mkdir, BAD, 0700);
    CHECK_EFAULT(SYS_rmdir, BAD);
    CHECK_EFAULT(SYS_unlink, BAD);
    CHECK_EFAULT(SYS_unlinkat, AT_FDCWD, BAD, 0);
    CHECK_EFAULT(SYS_rename, BAD, "g");
    CHECK_EFAULT(SYS_rename, "f", BAD);
    CHECK_EFAULT(SYS_link, "f", BAD);
    CHECK_EFAULT(SYS_symlink, BAD, "s");
    CHECK_EFAULT(SYS_symlink, "f", BAD);
    CHECK_EFAULT(SYS_chdir, BAD);
    CHECK_EFAULT(SYS_chmod, BAD, 0600);
    CHECK_EFAULT(SYS_chown, BAD, 0, 0);
    CHECK_EFAULT(SYS_truncate, BAD, 0);
    CHECK_EFAULT(SYS_mknod, BAD, S_IFIFO, 0);
    CHECK_EFAULT(SYS_utimensat, AT_FDCWD, BAD, NULL, 0);
    CHECK_EFAULT(SYS_utimensat, AT_FDCWD, "f", BAD, 0);
    CHECK_EFAULT(SYS_execve, BAD, NULL, NULL);
    CHECK_OK(access("f", F_OK));
    end();
}

TEST(status_buffers)
{
    begin();
    CHECK_EFAULT(SYS_stat, "f", BAD);
    CHECK_EFAULT(SYS_stat, BAD, guarded(144));
    CHECK_EFAULT(SYS_lstat, "f", BAD);
    CHECK_EFAULT(SYS_fstat, 0, BAD);
    CHECK_EFAULT(SYS_newfstatat, AT_FDCWD, "f", BAD, 0);
    CHECK_EFAULT(SYS_statx, AT_FDCWD, "f", 0, 0x7ff, BAD);
    CHECK_EFAULT(SYS_statfs, "f", BAD);
    CHECK_EFAULT(SYS_readlink, "link", BAD, 10);
    CHECK_EFAULT(SYS_getcwd, BAD, 4096);
    CHECK_EFAULT(SYS_uname, BAD);
    CHECK_EFAULT(SYS_sysinfo, BAD);
    CHECK_EFAULT(SYS_getrlimit, RLIMIT_NOFILE, BAD);
    CHECK_EFAULT(SYS_setrlimit, RLIMIT_NOFILE, BAD);
    CHECK_EFAULT(SYS_prlimit64, 0, RLIMIT_NOFILE, BAD, NULL);
    CHECK_EFAULT(SYS_getrusage, RUSAGE_SELF, BAD);
    CHECK_EFAULT(SYS_times, BAD);
    CHECK_EFAULT(SYS_getresuid, BAD, BAD, BAD);
    int dir = open(".", O_RDONLY);
    CHECK_EFAULT(SYS_getdents64, dir, BAD, 4096);
    char entries[4096];
    CHECK(syscall(SYS_getdents64, dir, entries, sizeof entries) > 0); /* nothing was skipped */
    close(dir);
    end();
}

TEST(data)
{
    begin();
    int fd = open("f", O_RDWR), ends[2];
    CHECK_EFAULT(SYS_read, fd, BAD, 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EFAULT(SYS_write, fd, BAD, 5);
    CHECK_EFAULT(SYS_pread64, fd, BAD, 5, 0);
    CHECK_EFAULT(SYS_pwrite64, fd, BAD, 5, 0);
    CHECK_EFAULT(SYS_readv, fd, BAD, 1);
    CHECK_EFAULT(SYS_writev, fd, BAD, 1);
    struct iovec vector = {BAD, 5};
    CHECK_EFAULT(SYS_readv, fd, &vector, 1);
    CHECK_EFAULT(SYS_writev, fd, &vector, 1);
    CHECK_EFAULT(SYS_preadv, fd, &vector, 1, 0, 0);
    CHECK_EFAULT(SYS_sendfile, 1, fd, BAD, 1);
    CHECK_EFAULT(SYS_copy_file_range, fd, BAD, fd, NULL, 1, 0);
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 10);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(read(fd, BAD, 0), 0); /* nothing is copied, nothing can fail */
    close(fd);
    CHECK_EFAULT(SYS_pipe, BAD);
    CHECK_EFAULT(SYS_pipe2, BAD, O_CLOEXEC);
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(write(ends[1], "kept", 4), 4);
    CHECK_EFAULT(SYS_read, ends[0], BAD, 4);
    CHECK_EFAULT(SYS_write, ends[1], BAD, 4);
    CHECK_EFAULT(SYS_ioctl, ends[0], FIONREAD, BAD);
    close(ends[0]);
    close(ends[1]);
    end();
}

TEST(a_buffer_that_ends_early_is_used_as_far_as_it_goes)
{
    begin();
    int fd = open("f", O_RDWR), ends[2];
    char *three = guarded(3);
    CHECK_EQ(read(fd, three, 10), 3);
    CHECK(memcmp(three, "012", 3) == 0);
    CHECK_EQ(pwrite(fd, three, 10, 0), 3);
    struct iovec vectors[2] = {{three, 3}, {BAD, 3}};
    CHECK_EQ(writev(fd, vectors, 2), 3);
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(write(ends[1], three, 3), 3);
    CHECK_EQ(read(ends[0], three + 1, 2), 2);
    CHECK_EQ(three[1], '0');
    close(ends[0]);
    close(ends[1]);
    close(fd);
    end();
}

TEST(a_path_may_end_at_the_end_of_memory)
{
    begin();
    char *path = guarded(2);
    memcpy(path, "f", 2);
    CHECK_OK(access(path, F_OK));
    char *unterminated = guarded(1);
    *unterminated = 'f';
    CHECK_ERRNO(access(unterminated, F_OK), EFAULT);
    end();
}

TEST(waiting)
{
    begin();
    int epoll = epoll_create1(0), event = eventfd(1, 0);
    CHECK_EFAULT(SYS_poll, BAD, 1, 0);
    CHECK_EFAULT(SYS_ppoll, BAD, 1, NULL, NULL, 8);
    CHECK_EFAULT(SYS_ppoll, NULL, 0, BAD, NULL, 8);
    CHECK_EFAULT(SYS_select, 1, BAD, NULL, NULL, NULL);
    CHECK_EFAULT(SYS_select, 0, NULL, NULL, NULL, BAD);
    CHECK_EFAULT(SYS_pselect6, 0, NULL, NULL, NULL, BAD, NULL);
    CHECK_EFAULT(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, event, BAD);
    struct epoll_event item = {.events = EPOLLIN};
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &item));
    CHECK_EFAULT(SYS_epoll_wait, epoll, BAD, 1, 0);
    CHECK_EFAULT(SYS_read, event, BAD, 8);
    CHECK_EFAULT(SYS_nanosleep, BAD, NULL);
    CHECK_EFAULT(SYS_clock_gettime, CLOCK_MONOTONIC, BAD);
    CHECK_EFAULT(SYS_setitimer, ITIMER_REAL, BAD, NULL);
    CHECK_EFAULT(SYS_getitimer, ITIMER_REAL, BAD);
    CHECK_EFAULT(SYS_timer_create, CLOCK_MONOTONIC, NULL, BAD);
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK_EFAULT(SYS_timerfd_settime, timer, 0, BAD, NULL);
    CHECK_EFAULT(SYS_timerfd_gettime, timer, BAD);
    CHECK_EFAULT(SYS_signalfd4, -1, BAD, 8, 0);
    close(timer);
    close(epoll);
    close(event);
    end();
}

TEST(signals_and_processes)
{
    begin();
    CHECK_EFAULT(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8);
    CHECK_EFAULT(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8);
    CHECK_EFAULT(SYS_rt_sigpending, BAD, 8);
    CHECK_EFAULT(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD);
    CHECK_EFAULT(SYS_rt_sigtimedwait, BAD, NULL, NULL, 8);
    CHECK_EFAULT(SYS_prctl, PR_SET_NAME, BAD);
    CHECK_EFAULT(SYS_prctl, PR_GET_NAME, BAD);
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    CHECK_EFAULT(SYS_wait4, pid, BAD, 0, NULL);
    end();
}

TEST(sockets)
{
    begin();
    int pair[2];
    CHECK_EFAULT(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, BAD);
    CHECK_EQ(open_fd_count(), fd_count_before);
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CHECK_EFAULT(SYS_bind, pair[0], BAD, 16);
    CHECK_EFAULT(SYS_connect, pair[0], BAD, 16);
    CHECK_EFAULT(SYS_getsockname, pair[0], BAD, BAD);
    CHECK_EFAULT(SYS_sendto, pair[0], BAD, 4, 0, NULL, 0);
    CHECK_EFAULT(SYS_sendmsg, pair[0], BAD, 0);
    CHECK_EFAULT(SYS_recvmsg, pair[0], BAD, 0);
    CHECK_EFAULT(SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, BAD, BAD);
    CHECK_EFAULT(SYS_setsockopt, pair[0], SOL_SOCKET, SO_KEEPALIVE, BAD, 4);
    CHECK_EQ(write(pair[1], "kept", 4), 4);
    CHECK_EFAULT(SYS_recvfrom, pair[0], BAD, 4, 0, NULL, NULL);
    close(pair[0]);
    close(pair[1]);
    end();
}

TEST(locks_and_terminals)
{
    begin();
    int fd = open("f", O_RDWR), master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK_EFAULT(SYS_fcntl, fd, F_GETLK, BAD);
    CHECK_EFAULT(SYS_fcntl, fd, F_SETLK, BAD);
    CHECK_EFAULT(SYS_ioctl, master, TCGETS, BAD);
    CHECK_EFAULT(SYS_ioctl, master, TCSETS, BAD);
    CHECK_EFAULT(SYS_ioctl, master, TIOCGWINSZ, BAD);
    CHECK_EFAULT(SYS_ioctl, master, TIOCSWINSZ, BAD);
    close(fd);
    close(master);
    end();
}

TEST(memory_names)
{
    begin();
    CHECK_EFAULT(SYS_memfd_create, BAD, 0);
    CHECK_EFAULT(SYS_getrandom, BAD, 10, 0);
    CHECK_EFAULT(SYS_mincore, (uintptr_t)&end & ~4095UL, 4096, BAD);
    end();
}

/* A field of a struct that begins here lies at the start of all addresses. */
TEST(the_end_of_all_addresses)
{
    long last = -2;
    CHECK_EFAULT(SYS_io_cancel, 0, last, 0);
    CHECK_EFAULT(SYS_pipe, last);
    CHECK_EFAULT(SYS_open, last, O_RDONLY);
    CHECK_EFAULT(SYS_ppoll, last, 1, 0, 0, 0);
    CHECK_EFAULT(SYS_recvmsg, socket(AF_UNIX, SOCK_DGRAM, 0), last, 0);
    CHECK_EFAULT(SYS_epoll_ctl, epoll_create1(0), EPOLL_CTL_ADD, 0, last);
}
