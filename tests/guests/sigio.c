/* sigio: signals that tell of input, output, changes in directories and broken leases. */
#include "guest.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#define CHOSEN (SIGRTMIN + 3)

static sigset_t chosen;

static void block_chosen(void)
{
    sigemptyset(&chosen);
    sigaddset(&chosen, CHOSEN);
    sigaddset(&chosen, SIGIO);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &chosen, NULL));
}

/* The next of the chosen signals, which must come. */
static siginfo_t next_signal(void)
{
    siginfo_t info = {0};
    struct timespec limit = {20, 0};
    CHECK_OK(sigtimedwait(&chosen, &info, &limit));
    return info;
}

static void no_signal(void)
{
    struct timespec none = {0, 0};
    CHECK_ERRNO(sigtimedwait(&chosen, NULL, &none), EAGAIN);
}

static void ask(int fd)
{
    CHECK_OK(fcntl(fd, F_SETOWN, getpid()));
    CHECK_OK(fcntl(fd, F_SETSIG, CHOSEN));
    CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ASYNC, O_ASYNC);
}

TEST(owners)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    struct f_owner_ex owner = {99, 99};
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
    CHECK_OK(fcntl(ends[0], F_GETOWN_EX, &owner));
    CHECK_EQ(owner.type, F_OWNER_TID);
    CHECK_EQ(owner.pid, 0);
    CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
    CHECK_EQ(fcntl(dup(ends[0]), F_GETOWN), getpid());
    CHECK_EQ(fcntl(ends[1], F_GETOWN), 0);
    CHECK_OK(fcntl(ends[0], F_GETOWN_EX, &owner));
    CHECK_EQ(owner.type, F_OWNER_PID);
    CHECK_EQ(owner.pid, getpid());
    REQUIRE_OK(setpgid(0, 0) == 0 || getpgrp() == getpid() ? 0 : -1);
    CHECK_OK(fcntl(ends[0], F_SETOWN, -getpgrp()));
    CHECK_OK(fcntl(ends[0], F_GETOWN_EX, &owner));
    CHECK_EQ(owner.type, F_OWNER_PGRP);
    CHECK_EQ(owner.pid, getpgrp());
    owner = (struct f_owner_ex){F_OWNER_TID, getpid()};
    CHECK_OK(fcntl(ends[0], F_SETOWN_EX, &owner));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
    uint32_t uids[2] = {99, 99};
    CHECK_OK(fcntl(ends[0], 17 /* F_GETOWNER_UIDS */, uids));
    CHECK_EQ(uids[0], getuid());
    CHECK_EQ(uids[1], geteuid());
    CHECK_OK(fcntl(ends[0], F_SETOWN, 0));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 0x3fffffff), ESRCH);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, -0x3fffffff), ESRCH);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, INT32_MIN), EINVAL);
    owner = (struct f_owner_ex){77, getpid()};
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN_EX, &owner), EINVAL);
    owner = (struct f_owner_ex){F_OWNER_PID, 0x3fffffff};
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN_EX, &owner), ESRCH);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN_EX, NULL), EFAULT);
    CHECK_ERRNO(fcntl(ends[0], F_GETOWN_EX, guarded(4)), EFAULT);
    CHECK_EQ(fcntl(ends[0], F_GETSIG), 0);
    CHECK_OK(fcntl(ends[0], F_SETSIG, SIGUSR1));
    CHECK_EQ(fcntl(ends[0], F_GETSIG), SIGUSR1);
    CHECK_ERRNO(fcntl(ends[0], F_SETSIG, 65), EINVAL);
    CHECK_ERRNO(fcntl(ends[0], F_SETSIG, -1), EINVAL);
}

TEST(an_owner_that_has_ended)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0)
        guest_finish();
    siginfo_t info;
    REQUIRE_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    CHECK_OK(fcntl(ends[0], F_SETOWN, pid)); /* nobody has waited for it: it is still there */
    CHECK_EQ(fcntl(ends[0], F_GETOWN), pid);
    CHECK_CHILD(pid);
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, pid), ESRCH);
}

TEST(input_of_a_pipe)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    block_chosen();
    ask(ends[0]);
    no_signal();
    CHECK_EQ(write(ends[1], "x", 1), 1);
    siginfo_t info = next_signal();
    CHECK_EQ(info.si_signo, CHOSEN);
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, ends[0]);
    CHECK_EQ(info.si_band, POLLIN | POLLRDNORM);
    no_signal();
    CHECK_EQ(write(ends[1], "y", 1), 1); /* more of it, unread: told again */
    CHECK_EQ(next_signal().si_signo, CHOSEN);
    close(ends[1]);
    CHECK_EQ(next_signal().si_code, POLL_IN);
}

TEST(a_signalfd_tells_it_too)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    block_chosen();
    ask(ends[0]);
    int signals = signalfd(-1, &chosen, 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    struct signalfd_siginfo info;
    CHECK_EQ(read(signals, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, (uint32_t)CHOSEN);
    CHECK_EQ(info.ssi_code, POLL_IN);
    CHECK_EQ(info.ssi_fd, ends[0]);
    CHECK_EQ(info.ssi_band, POLLIN | POLLRDNORM);
}

TEST(room_in_a_pipe)
{
    int ends[2];
    REQUIRE_OK(pipe2(ends, O_NONBLOCK));
    block_chosen();
    static char block[4096];
    while (write(ends[1], block, sizeof block) > 0)
        ;
    ask(ends[1]);
    no_signal();
    CHECK_EQ(read(ends[0], block, sizeof block), sizeof block);
    siginfo_t info = next_signal();
    CHECK_EQ(info.si_code, POLL_OUT);
    CHECK_EQ(info.si_fd, ends[1]);
}

TEST(sigio_is_the_default)
{
    int pair[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    block_chosen();
    int on = 1;
    CHECK_OK(fcntl(pair[0], F_SETOWN, getpid()));
    CHECK_OK(ioctl(pair[0], FIOASYNC, &on));
    CHECK_EQ(fcntl(pair[0], F_GETFL) & O_ASYNC, O_ASYNC);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    siginfo_t info = next_signal();
    CHECK_EQ(info.si_signo, SIGIO);
    CHECK_EQ(info.si_code, SI_KERNEL);
    on = 0;
    CHECK_OK(ioctl(pair[0], FIOASYNC, &on));
    CHECK_EQ(fcntl(pair[0], F_GETFL) & O_ASYNC, 0);
    CHECK_EQ(write(pair[1], "y", 1), 1);
    no_signal();
}

TEST(a_listening_socket)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), owner = 0;
    REQUIRE_OK(bind(server, (struct sockaddr *)&address, sizeof address));
    REQUIRE_OK(listen(server, 5));
    REQUIRE_OK(getsockname(server, (struct sockaddr *)&address, &length));
    block_chosen();
    ask(server);
    CHECK_OK(ioctl(server, SIOCGPGRP, &owner));
    CHECK_EQ(owner, getpid());
    owner = 0;
    CHECK_OK(ioctl(client, SIOCSPGRP, &owner));
    CHECK_OK(connect(client, (struct sockaddr *)&address, sizeof address));
    CHECK_EQ(next_signal().si_fd, server);
    CHECK_OK(accept(server, NULL, NULL));
}

static volatile sig_atomic_t handled_fd = -1;

static void on_input(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    handled_fd = info->si_fd;
}

TEST(a_handler_ends_a_wait)
{
    int ends[2], quiet[2];
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(pipe(quiet));
    struct sigaction action = {.sa_sigaction = on_input, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(CHOSEN, &action, NULL));
    ask(ends[0]);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S');
        CHECK_EQ(write(ends[1], "x", 1), 1);
        guest_finish();
    }
    char byte;
    CHECK_ERRNO(read(quiet[0], &byte, 1), EINTR);
    CHECK_EQ(handled_fd, ends[0]);
    CHECK_CHILD(pid);
}

TEST(files_have_no_edges)
{
    scratch();
    int fd = open("f", O_RDWR | O_CREAT, 0600), on = 1;
    CHECK_OK(fcntl(fd, F_SETFL, O_ASYNC));
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ASYNC, 0);
    CHECK_ERRNO(ioctl(fd, FIOASYNC, &on), ENOTTY);
}

/* ---- dnotify ------------------------------------------------------------------------------------*/

TEST(changes_in_a_directory)
{
    scratch();
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    block_chosen();
    CHECK_OK(fcntl(directory, F_SETSIG, CHOSEN));
    if (fcntl(directory, F_NOTIFY, DN_CREATE | DN_DELETE | DN_MODIFY | DN_MULTISHOT) == -1 && errno == EINVAL)
        SKIP("this kernel has no dnotify");
    CHECK_EQ(fcntl(directory, F_GETOWN), getpid());
    write_file("f", "x");
    siginfo_t info = next_signal(); /* made */
    CHECK_EQ(info.si_fd, directory);
    CHECK_EQ(info.si_code, POLL_MSG);
    next_signal(); /* written */
    CHECK_OK(chmod("f", 0600));
    no_signal();
    CHECK_OK(unlink("f"));
    next_signal();
    CHECK_OK(fcntl(directory, F_NOTIFY, 0));
    write_file("f", "x");
    no_signal();
    CHECK_OK(fcntl(directory, F_NOTIFY, DN_ATTRIB));
    CHECK_OK(chmod("f", 0644));
    next_signal();
    CHECK_OK(chmod("f", 0600)); /* told once */
    no_signal();
    CHECK_OK(fcntl(directory, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
    REQUIRE_OK(mkdir("d", 0700));
    CHECK_OK(rename("f", "d/f"));
    CHECK_OK(rename("d/f", "f"));
    no_signal(); /* only within it */
    CHECK_OK(rename("f", "g"));
    next_signal();
    no_signal();
    CHECK_OK(fcntl(directory, F_NOTIFY, 0));
    CHECK_OK(fcntl(directory, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
    CHECK_OK(chmod(".", 0750)); /* itself */
    next_signal();
    close(directory);
    CHECK_OK(unlink("g"));
    no_signal();
    CHECK_ERRNO(fcntl(open("h", O_CREAT | O_RDWR, 0600), F_NOTIFY, DN_CREATE), ENOTDIR);
}

/* ---- leases -------------------------------------------------------------------------------------*/

TEST(leases_and_who_has_it_open)
{
    scratch();
    write_file("f", "x");
    int fd = open("f", O_RDWR);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
    CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN); /* open for writing: by itself */
    CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
    CHECK_EQ(fcntl(dup(fd), F_GETLEASE), F_WRLCK);
    CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
    CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    int other = open("f", O_RDONLY);
    CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
    CHECK_ERRNO(fcntl(other, F_SETLEASE, F_RDLCK), EAGAIN);
    close_range((unsigned)fd, (unsigned)other - 1, 0);
    CHECK_OK(fcntl(other, F_SETLEASE, F_RDLCK));
    int third = open("f", O_RDONLY); /* reading goes on */
    CHECK_OK(third);
    CHECK_OK(fcntl(third, F_SETLEASE, F_RDLCK));
    CHECK_ERRNO(fcntl(third, F_SETLEASE, F_WRLCK), EAGAIN);
    CHECK_ERRNO(fcntl(third, F_SETLEASE, 77), EINVAL);
    CHECK_ERRNO(fcntl(open(".", O_RDONLY), F_SETLEASE, F_RDLCK), EINVAL);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(fcntl(ends[0], F_SETLEASE, F_RDLCK), EINVAL);
}

TEST(an_open_breaks_a_lease)
{
    scratch();
    write_file("f", "x");
    block_chosen();
    int fd = open("f", O_RDWR);
    CHECK_OK(fcntl(fd, F_SETSIG, CHOSEN));
    CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
    pid_t pid = fork_child();
    if (pid == 0) {
        close(fd);
        CHECK_ERRNO(open("f", O_RDONLY | O_NONBLOCK), EAGAIN);
        CHECK_OK(open("f", O_RDONLY)); /* waits */
        guest_finish();
    }
    siginfo_t info = next_signal();
    CHECK_EQ(info.si_fd, fd);
    CHECK_EQ(info.si_code, POLL_MSG);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK); /* what it must become */
    wait_for_state(pid, 'S');
    CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    CHECK_CHILD(pid);
    no_signal();
}

TEST(writers_break_a_lease_for_reading)
{
    scratch();
    write_file("f", "x");
    block_chosen();
    int fd = open("f", O_RDONLY);
    CHECK_OK(fcntl(fd, F_SETSIG, CHOSEN));
    CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    pid_t pid = fork_child();
    if (pid == 0) {
        close(fd);
        CHECK_OK(truncate("f", 0)); /* waits */
        CHECK_OK(open("f", O_WRONLY));
        guest_finish();
    }
    next_signal();
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    wait_for_state(pid, 'S');
    close(fd); /* gives it up, too */
    CHECK_CHILD(pid);
}

TEST(leases_need_the_owner)
{
    if (geteuid() != 0)
        SKIP("needs root");
    scratch();
    write_file("f", "x");
    REQUIRE_OK(chmod("f", 0644));
    int fd = open("f", O_RDONLY);
    REQUIRE_OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES);
}

TEST(hints_on_the_life_of_data)
{
    scratch();
    write_file("f", "x");
    int fd = open("f", O_RDWR);
    uint64_t hint = 99;
    CHECK_OK(fcntl(fd, F_GET_RW_HINT, &hint));
    CHECK_EQ(hint, 0);
    hint = 3;
    CHECK_OK(fcntl(fd, F_SET_RW_HINT, &hint));
    hint = 0;
    CHECK_OK(fcntl(open("f", O_RDONLY), F_GET_RW_HINT, &hint));
    CHECK_EQ(hint, 3);
    hint = 6;
    CHECK_ERRNO(fcntl(fd, F_SET_RW_HINT, &hint), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_SET_RW_HINT, NULL), EFAULT);
}
