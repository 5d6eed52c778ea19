/* open_errors: what forbids to open beside paths: numbers used up, programs that run, FIFOs, leases; shared tables. */
#include "guest.h"

#include <linux/close_range.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static struct open_how to_write = {.flags = O_WRONLY};

TEST(emfile)
{
    struct {
        struct file_handle head;
        char bytes[MAX_HANDLE_SZ];
    } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    scratch();
    write_file("file", "x");
    int mount_id, here = open(".", O_RDONLY | O_DIRECTORY);
    bool has_handle = name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount_id, 0) == 0;
    struct rlimit all, none = {(rlim_t)here + 1, (rlim_t)here + 1};
    REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &all));
    none.rlim_max = all.rlim_max;
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &none));
    while (dup(here) >= 0)
        ;
    CHECK_ERRNO(dup(here), EMFILE);
    CHECK_ERRNO(fcntl(here, F_DUPFD, 0), EMFILE);
    CHECK_ERRNO(fcntl(here, F_DUPFD_CLOEXEC, here), EMFILE);
    CHECK_ERRNO(fcntl(here, F_DUPFD, here + 1), EINVAL); /* beyond the limit altogether */
    CHECK_ERRNO(syscall(SYS_open, "file", O_RDONLY), EMFILE);
    CHECK_ERRNO(syscall(SYS_open, "absent", O_RDONLY), EMFILE); /* a number is reserved before anything is looked up */
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY), EMFILE);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "new", O_WRONLY | O_CREAT, 0600), EMFILE);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &to_write, sizeof to_write), EMFILE);
    CHECK_ERRNO(syscall(SYS_creat, "new", 0600), EMFILE);
    CHECK_ERRNO(access("new", F_OK), ENOENT); /* nothing is made without one */
    if (has_handle) {
        CHECK_EQ(syscall(SYS_open_by_handle_at, here, &handle, O_RDONLY), -1);
        CHECK(errno == EMFILE || errno == EPERM); /* the latter without CAP_DAC_READ_SEARCH */
    }
    CHECK_ERRNO(dup2(here, here + 1), EBADF);
    CHECK_ERRNO(dup3(here, here + 1, 0), EBADF);
    CHECK_ERRNO(dup3(999, 0, 0), EBADF);
    CHECK_EQ(dup2(here, here - 1), here - 1); /* what is in use may be replaced */
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &all));
}

static void on_alarm(int number)
{
    (void)number;
}

/* A signal every 10 ms: one that comes before the call waits is not the last. */
static void repeat_alarms(bool is_on)
{
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    handle_signal(SIGALRM, on_alarm, 0);
    REQUIRE_OK(setitimer(ITIMER_REAL, is_on ? &often : &never, NULL));
}

TEST(eintr_while_a_fifo_has_no_other_end)
{
    scratch();
    CHECK_OK(mkfifo("fifo", 0600));
    repeat_alarms(true);
    CHECK_ERRNO(syscall(SYS_open, "fifo", O_WRONLY), EINTR);
    CHECK_ERRNO(syscall(SYS_open, "fifo", O_RDONLY), EINTR);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "fifo", O_RDONLY), EINTR);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "fifo", &to_write, sizeof to_write), EINTR);
    CHECK_ERRNO(syscall(SYS_creat, "fifo", 0600), EINTR);
    repeat_alarms(false);
}

TEST(enxio_of_fifos_and_sockets)
{
    scratch();
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    CHECK_OK(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name));
    CHECK_OK(mkfifo("fifo", 0600));
    struct open_how how = {.flags = O_WRONLY | O_NONBLOCK};
    CHECK_ERRNO(syscall(SYS_open, "fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "fifo", &how, sizeof how), ENXIO);
    CHECK_ERRNO(syscall(SYS_open, "socket", O_RDONLY), ENXIO);
    CHECK_ERRNO(syscall(SYS_creat, "socket", 0600), ENXIO);
    CHECK_ERRNO(syscall(SYS_truncate, "fifo", 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_truncate, "socket", 0), EINVAL);
}

HELPER(wait_for_end)
{
    char byte;
    return read(0, &byte, 1) != 0;
}

TEST(etxtbsy)
{
    scratch();
    char command[1200];
    snprintf(command, sizeof command, "cp %s program", self_path());
    CHECK_EQ(system(command), 0);
    char *argv[] = {"program", NULL};
    int ends[2], writer = open("program", O_WRONLY | O_CLOEXEC);
    CHECK_ERRNO(execve("program", argv, NULL), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "program", argv, NULL, 0), ETXTBSY);
    close(writer);
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(ends[0], 0);
        close(ends[1]);
        execl("./program", "program", "--helper", "wait_for_end", NULL);
        _exit(99);
    }
    close(ends[0]);
    wait_for_state(pid, 'S');
    CHECK_ERRNO(syscall(SYS_open, "program", O_WRONLY), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_open, "program", O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "program", O_RDWR), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "program", &to_write, sizeof to_write), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_creat, "program", 0600), ETXTBSY);
    CHECK_ERRNO(syscall(SYS_truncate, "program", 0), ETXTBSY);
    CHECK_OK(access("program", W_OK));
    CHECK_OK(open("program", O_RDONLY));
    close(ends[1]);
    CHECK_CHILD(pid);
    CHECK_OK(truncate("program", 0));
}

/* Somebody's lease: who will not wait for it is told. */
TEST(eagain_of_leases)
{
    scratch();
    write_file("file", "x");
    int holder = open("file", O_RDONLY);
    handle_signal(SIGIO, on_alarm, 0);
    if (fcntl(holder, F_SETLEASE, F_RDLCK) == -1)
        SKIP("no leases on this file system");
    pid_t pid = fork_child();
    if (pid == 0) {
        struct open_how how = {.flags = O_WRONLY | O_NONBLOCK};
        CHECK_ERRNO(syscall(SYS_open, "file", O_WRONLY | O_NONBLOCK), EAGAIN);
        CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "file", O_RDWR | O_NONBLOCK), EAGAIN);
        CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how), EAGAIN);
        CHECK_OK(syscall(SYS_open, "file", O_RDONLY | O_NONBLOCK));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(fcntl(holder, F_SETLEASE, F_UNLCK));
    CHECK_OK(syscall(SYS_open, "file", O_WRONLY | O_NONBLOCK));
}

/* Two share a table: who closes with CLOSE_RANGE_UNSHARE does it in one of its own. */
TEST(close_range_in_a_table_of_its_own)
{
    int null = open("/dev/null", O_RDONLY), status;
    CHECK_EQ(dup2(null, 50), 50);
    CHECK_EQ(dup2(null, 51), 51);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        guest_failures = 0;
        CHECK_OK(close_range(50, 50, 0)); /* gone for both */
        CHECK_OK(close_range(51, ~0U, CLOSE_RANGE_UNSHARE));
        CHECK_ERRNO(fcntl(51, F_GETFD), EBADF);
        CHECK_OK(fcntl(null, F_GETFD));
        _exit(guest_failures != 0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EXITED(status, 0);
    CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
    CHECK_OK(fcntl(51, F_GETFD));
    CHECK_ERRNO(close_range(51, 51, CLOSE_RANGE_UNSHARE | 8), EINVAL);
    CHECK_OK(close_range(51, 51, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
}

TEST(openat2_from_the_cache_alone)
{
    scratch();
    write_file("file", "x");
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_CACHED};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how);
    CHECK(fd >= 0 || errno == EAGAIN); /* it may always answer so */
    how.flags = O_WRONLY | O_TRUNC;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how), EAGAIN);
    how.flags = O_WRONLY | O_CREAT;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "new", &how, sizeof how), EAGAIN);
    CHECK_ERRNO(access("new", F_OK), ENOENT);
}
