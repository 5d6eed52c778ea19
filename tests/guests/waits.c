/* waits: every call that waits for others ends with EINTR at a signal: one table. Restarts and stops are in interrupt.c. */
#include "guest.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static volatile sig_atomic_t ticks;

static void tick(int signal_number)
{
    (void)signal_number;
    ticks++;
}

/* Again and again, so that it does not matter whether the call waits already. */
static void tick_every_10_ms(int flags)
{
    handle_signal(SIGALRM, tick, flags);
    struct itimerval every = {{0, 10000}, {0, 10000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
}

static char data[1 << 16];
static struct iovec vector = {data, sizeof data};
static int empty[2], full[2], socket_pair[2], full_socket, listener, client, epoll, counter, full_counter, signals, timer, watches, file, locked;
static mqd_t empty_queue, full_queue;
static struct sockaddr_in unanswered;
static struct sockaddr_un full_listener = {.sun_family = AF_UNIX, .sun_path = "full"};
static sigset_t no_signals;
static aio_context_t requests;

static void fill(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    REQUIRE_OK(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    while (write(fd, data, sizeof data) > 0)
        ;
    while (write(fd, data, 1) > 0)
        ;
    REQUIRE(errno == EAGAIN);
    REQUIRE_OK(fcntl(fd, F_SETFL, flags));
}

/* Something to wait at for each call. */
static void set_up(void)
{
    scratch();
    sigemptyset(&no_signals);
    write_file("file", "content");
    REQUIRE_OK(file = open("file", O_RDWR));
    REQUIRE_OK(locked = open("file", O_RDWR));
    REQUIRE_OK(flock(locked, LOCK_EX));
    struct flock lock = {.l_type = F_WRLCK};
    REQUIRE_OK(fcntl(locked, F_OFD_SETLK, &lock));
    REQUIRE_OK(mkfifo("fifo", 0600));
    REQUIRE_OK(pipe(empty));
    REQUIRE_OK(pipe(full));
    fill(full[1]);
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, socket_pair));
    int others[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, others));
    fill(full_socket = others[0]);

    REQUIRE_OK(listener = socket(AF_INET, SOCK_STREAM, 0));
    unanswered = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof unanswered;
    int busy = socket(AF_INET, SOCK_STREAM, 0), filler = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_OK(bind(listener, (struct sockaddr *)&unanswered, length));
    REQUIRE_OK(listen(listener, 1));
    REQUIRE_OK(bind(busy, (struct sockaddr *)&unanswered, length));
    REQUIRE_OK(listen(busy, 0));
    REQUIRE_OK(getsockname(busy, (struct sockaddr *)&unanswered, &length));
    REQUIRE_OK(connect(filler, (struct sockaddr *)&unanswered, length));
    int names = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_OK(bind(names, (struct sockaddr *)&full_listener, sizeof full_listener));
    REQUIRE_OK(listen(names, 0));
    REQUIRE_OK(connect(first, (struct sockaddr *)&full_listener, sizeof full_listener));

    REQUIRE_OK(epoll = epoll_create1(0));
    REQUIRE_OK(counter = eventfd(0, 0));
    REQUIRE_OK(full_counter = eventfd(0, 0));
    uint64_t largest = UINT64_MAX - 1;
    REQUIRE(write(full_counter, &largest, 8) == 8);
    REQUIRE_OK(signals = signalfd(-1, &no_signals, 0));
    REQUIRE_OK(timer = timerfd_create(CLOCK_MONOTONIC, 0));
    REQUIRE_OK(watches = inotify_init1(0));
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 8};
    char name[64];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "/guest-waits-%d", getpid());
        mqd_t made = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &small);
        REQUIRE(made != (mqd_t)-1);
        REQUIRE_OK(mq_unlink(name));
        *(i ? &full_queue : &empty_queue) = made;
    }
    REQUIRE_OK(mq_send(full_queue, "x", 1, 0));
    REQUIRE_OK(syscall(SYS_io_setup, 4, &requests));
}

static long read_(void)
{
    return read(empty[0], data, 1);
}

static long readv_(void)
{
    return readv(empty[0], &vector, 1);
}

static long preadv2_(void)
{
    return preadv2(empty[0], &vector, 1, -1, 0);
}

static long write_(void)
{
    return write(full[1], data, 1);
}

static long writev_(void)
{
    return writev(full[1], &vector, 1);
}

static long pwritev2_(void)
{
    return pwritev2(full[1], &vector, 1, -1, 0);
}

static long read_a_counter(void)
{
    return read(counter, data, 8);
}

static long write_a_counter(void)
{
    return write(full_counter, "\1\0\0\0\0\0\0", 8);
}

static long read_signals(void)
{
    return read(signals, data, sizeof data);
}

static long read_a_timer(void)
{
    return read(timer, data, 8);
}

static long read_watches(void)
{
    return read(watches, data, sizeof data);
}

static long sendfile_(void)
{
    return sendfile(full[1], file, &(off_t){0}, 7);
}

static long splice_from_a_pipe(void)
{
    return splice(empty[0], NULL, file, &(off_t){0}, 7, 0);
}

static long splice_to_a_pipe(void)
{
    return splice(file, &(off_t){0}, full[1], NULL, 7, 0);
}

static long tee_(void)
{
    return tee(empty[0], full[1], 7, 0);
}

static long vmsplice_(void)
{
    return vmsplice(full[1], &vector, 1, 0);
}

static long vmsplice_from_a_pipe(void)
{
    return vmsplice(empty[0], &vector, 1, 0);
}

static long open_a_fifo(void)
{
    return syscall(SYS_open, "fifo", O_RDONLY);
}

static long openat_a_fifo(void)
{
    return openat(AT_FDCWD, "fifo", O_WRONLY);
}

static long openat2_a_fifo(void)
{
    static const uint64_t how[3] = {O_RDONLY};
    return syscall(SYS_openat2, AT_FDCWD, "fifo", how, sizeof how);
}

static long creat_a_fifo(void)
{
    return creat("fifo", 0600);
}

static long flock_(void)
{
    return flock(file, LOCK_SH);
}

static long fcntl_setlkw(void)
{
    return fcntl(file, F_SETLKW, &(struct flock){.l_type = F_WRLCK});
}

static long fcntl_ofd_setlkw(void)
{
    return fcntl(file, F_OFD_SETLKW, &(struct flock){.l_type = F_RDLCK});
}

static long accept_(void)
{
    return accept(listener, NULL, NULL);
}

static long accept4_(void)
{
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static long connect_unix(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    long result = connect(fd, (struct sockaddr *)&full_listener, sizeof full_listener);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static long connect_inet(void)
{
    client = socket(AF_INET, SOCK_STREAM, 0);
    long result = connect(client, (struct sockaddr *)&unanswered, sizeof unanswered);
    int error = errno;
    close(client);
    errno = error;
    return result;
}

static long sendto_(void)
{
    return sendto(full_socket, data, 1, 0, NULL, 0);
}

static long recvfrom_(void)
{
    return recvfrom(socket_pair[0], data, 1, 0, NULL, NULL);
}

static struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};

static long sendmsg_(void)
{
    return sendmsg(full_socket, &message.msg_hdr, 0);
}

static long recvmsg_(void)
{
    return recvmsg(socket_pair[0], &message.msg_hdr, 0);
}

static long sendmmsg_(void)
{
    return sendmmsg(full_socket, &message, 1, 0);
}

static long recvmmsg_(void)
{
    return recvmmsg(socket_pair[0], &message, 1, 0, NULL);
}

static long poll_(void)
{
    return syscall(SYS_poll, &(struct pollfd){empty[0], POLLIN, 0}, 1, -1);
}

static long ppoll_(void)
{
    return ppoll(&(struct pollfd){empty[0], POLLIN, 0}, 1, NULL, NULL);
}

static long select_(void)
{
    return syscall(SYS_select, 0, NULL, NULL, NULL, NULL);
}

static long pselect6_(void)
{
    return pselect(0, NULL, NULL, NULL, NULL, &no_signals);
}

static struct epoll_event event;

static long epoll_wait_(void)
{
    return syscall(SYS_epoll_wait, epoll, &event, 1, -1);
}

static long epoll_pwait_(void)
{
    return syscall(SYS_epoll_pwait, epoll, &event, 1, -1, &no_signals, 8);
}

static long epoll_pwait2_(void)
{
    return syscall(SYS_epoll_pwait2, epoll, &event, 1, NULL, &no_signals, 8);
}

static long mq_timedsend_(void)
{
    return mq_send(full_queue, "x", 1, 0);
}

static long mq_timedreceive_(void)
{
    return mq_receive(empty_queue, data, 8, NULL);
}

static struct io_event completion;

static long io_getevents_(void)
{
    return syscall(SYS_io_getevents, requests, 1, 1, &completion, NULL);
}

static long io_pgetevents_(void)
{
    const struct {
        const sigset_t *set;
        size_t size;
    } mask = {&no_signals, 8};
    return syscall(SYS_io_pgetevents, requests, 1, 1, &completion, NULL, &mask);
}

enum { RESTARTS = 1 }; /* with SA_RESTART there is no EINTR: signal(7) */

static const struct {
    const char *name;
    long (*call)(void);
    int is_restarted;
} calls[] = {
    {"read", read_, RESTARTS},
    {"readv", readv_, RESTARTS},
    {"preadv2", preadv2_, RESTARTS},
    {"write", write_, RESTARTS},
    {"writev", writev_, RESTARTS},
    {"pwritev2", pwritev2_, RESTARTS},
    {"read of an eventfd", read_a_counter, RESTARTS},
    {"write of an eventfd", write_a_counter, RESTARTS},
    {"read of a signalfd", read_signals, RESTARTS},
    {"read of a timerfd", read_a_timer, RESTARTS},
    {"read of an inotify", read_watches, RESTARTS},
    {"sendfile", sendfile_, RESTARTS},
    {"splice from a pipe", splice_from_a_pipe, RESTARTS},
    {"splice to a pipe", splice_to_a_pipe, RESTARTS},
    {"tee", tee_, RESTARTS},
    {"vmsplice", vmsplice_, RESTARTS},
    {"vmsplice from a pipe", vmsplice_from_a_pipe, RESTARTS},
    {"open", open_a_fifo, RESTARTS},
    {"openat", openat_a_fifo, RESTARTS},
    {"openat2", openat2_a_fifo, RESTARTS},
    {"creat", creat_a_fifo, RESTARTS},
    {"flock", flock_, RESTARTS},
    {"fcntl(F_SETLKW)", fcntl_setlkw, RESTARTS},
    {"fcntl(F_OFD_SETLKW)", fcntl_ofd_setlkw, RESTARTS},
    {"accept", accept_, RESTARTS},
    {"accept4", accept4_, RESTARTS},
    {"connect of AF_UNIX", connect_unix, RESTARTS},
    {"connect of AF_INET", connect_inet, RESTARTS},
    {"sendto", sendto_, RESTARTS},
    {"recvfrom", recvfrom_, RESTARTS},
    {"sendmsg", sendmsg_, RESTARTS},
    {"recvmsg", recvmsg_, RESTARTS},
    {"sendmmsg", sendmmsg_, RESTARTS},
    {"recvmmsg", recvmmsg_, RESTARTS},
    {"poll", poll_, 0},
    {"ppoll", ppoll_, 0},
    {"select", select_, 0},
    {"pselect6", pselect6_, 0},
    {"epoll_wait", epoll_wait_, 0},
    {"epoll_pwait", epoll_pwait_, 0},
    {"epoll_pwait2", epoll_pwait2_, 0},
    {"mq_timedsend", mq_timedsend_, RESTARTS},
    {"mq_timedreceive", mq_timedreceive_, RESTARTS},
    {"io_getevents", io_getevents_, 0},
    {"io_pgetevents", io_pgetevents_, 0},
};

TEST(a_signal_ends_each_wait)
{
    set_up();
    int fds = open_fd_count();
    tick_every_10_ms(0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int before = ticks;
        errno = 0;
        long result = calls[i].call();
        if (result != -1 || errno != EINTR)
            GUEST_FAIL("%s: %ld, %s", calls[i].name, result, strerrorname_np(errno));
        if (ticks == before)
            GUEST_FAIL("%s: without a signal", calls[i].name);
    }
    CHECK_EQ(open_fd_count(), fds);
}

TEST(with_sa_restart_some_waits_end_all_the_same)
{
    set_up();
    tick_every_10_ms(SA_RESTART);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].is_restarted)
            continue;
        errno = 0;
        long result = calls[i].call();
        if (result != -1 || errno != EINTR)
            GUEST_FAIL("%s: %ld, %s", calls[i].name, result, strerrorname_np(errno));
    }
}

TEST(with_sa_restart_the_other_waits_go_on)
{
    /* Each in a child that is still in its call after three signals: only death ends it. */
    set_up();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (!calls[i].is_restarted)
            continue;
        int told[2];
        REQUIRE_OK(pipe(told));
        pid_t pid = fork_child();
        if (pid == 0) {
            handle_signal(SIGUSR1, tick, SA_RESTART);
            REQUIRE(write(told[1], "r", 1) == 1);
            long result = calls[i].call();
            GUEST_FAIL("%s: %ld, %s", calls[i].name, result, strerrorname_np(errno));
            guest_finish();
        }
        REQUIRE(read(told[0], data, 1) == 1);
        for (int round = 0; round < 3; round++) {
            wait_for_state(pid, 'S');
            CHECK_OK(kill(pid, SIGUSR1));
        }
        wait_for_state(pid, 'S');
        CHECK_OK(kill(pid, SIGKILL));
        int status = wait_status(pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            GUEST_FAIL("%s: wait status 0x%x", calls[i].name, (unsigned)status);
        close(told[0]);
        close(told[1]);
    }
}
