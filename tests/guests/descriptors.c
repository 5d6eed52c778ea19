/* descriptors: calls that make a descriptor when there is no room for one more. */
#include "guest.h"

#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static sigset_t no_signals;
static int sockets[2], pair[2];

static long open_(void)
{
    return syscall(SYS_open, "file", O_RDONLY);
}

static long creat_(void)
{
    return syscall(SYS_creat, "new", 0600);
}

static long openat_(void)
{
    return openat(AT_FDCWD, "new", O_CREAT | O_WRONLY, 0600);
}

static long openat2_(void)
{
    static const uint64_t how[3] = {O_PATH};
    return syscall(SYS_openat2, AT_FDCWD, "file", how, sizeof how);
}

static long pipe_(void)
{
    return syscall(SYS_pipe, pair);
}

static long pipe2_(void)
{
    return pipe2(pair, O_CLOEXEC);
}

static long dup_(void)
{
    return dup(STDIN_FILENO);
}

static long fcntl_dupfd(void)
{
    return fcntl(STDIN_FILENO, F_DUPFD, 0);
}

static long fcntl_dupfd_cloexec(void)
{
    return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
}

static long socket_(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long socketpair_(void)
{
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static long accept_(void)
{
    return accept(sockets[0], NULL, NULL);
}

static long accept4_(void)
{
    return accept4(sockets[0], NULL, NULL, SOCK_CLOEXEC);
}

static long epoll_create_(void)
{
    return syscall(SYS_epoll_create, 1);
}

static long epoll_create1_(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

static long eventfd_(void)
{
    return syscall(SYS_eventfd, 0);
}

static long eventfd2_(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static long signalfd_(void)
{
    return syscall(SYS_signalfd, -1, &no_signals, 8);
}

static long signalfd4_(void)
{
    return signalfd(-1, &no_signals, SFD_CLOEXEC);
}

static long timerfd_create_(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static long inotify_init_(void)
{
    return syscall(SYS_inotify_init);
}

static long inotify_init1_(void)
{
    return inotify_init1(IN_CLOEXEC);
}

static long memfd_create_(void)
{
    return memfd_create("memory", MFD_CLOEXEC);
}

static long pidfd_open_(void)
{
    return syscall(SYS_pidfd_open, getpid(), 0);
}

static long mq_open_(void)
{
    return mq_open("/guest-descriptors", O_RDONLY | O_CREAT, 0600, NULL);
}

/* Calls that make `count` descriptors. */
static const struct {
    const char *name;
    long (*call)(void);
    int count;
} calls[] = {
    {"open", open_, 1},
    {"creat", creat_, 1},
    {"openat", openat_, 1},
    {"openat2", openat2_, 1},
    {"pipe", pipe_, 2},
    {"pipe2", pipe2_, 2},
    {"dup", dup_, 1},
    {"fcntl(F_DUPFD)", fcntl_dupfd, 1},
    {"fcntl(F_DUPFD_CLOEXEC)", fcntl_dupfd_cloexec, 1},
    {"socket", socket_, 1},
    {"socket of AF_UNIX", unix_socket, 1},
    {"socketpair", socketpair_, 2},
    {"accept", accept_, 1},
    {"accept4", accept4_, 1},
    {"epoll_create", epoll_create_, 1},
    {"epoll_create1", epoll_create1_, 1},
    {"eventfd", eventfd_, 1},
    {"eventfd2", eventfd2_, 1},
    {"signalfd", signalfd_, 1},
    {"signalfd4", signalfd4_, 1},
    {"timerfd_create", timerfd_create_, 1},
    {"inotify_init", inotify_init_, 1},
    {"inotify_init1", inotify_init1_, 1},
    {"memfd_create", memfd_create_, 1},
    {"pidfd_open", pidfd_open_, 1},
    {"mq_open", mq_open_, 1},
};

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = count;
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

TEST(no_room_for_one_more)
{
    struct rlimit before;
    close_range(STDERR_FILENO + 1, ~0u, 0); /* numbers without gaps */
    scratch();
    write_file("file", "");
    sigemptyset(&no_signals);
    REQUIRE_OK(sockets[0] = socket(AF_UNIX, SOCK_STREAM, 0));
    REQUIRE_OK(bind(sockets[0], (struct sockaddr *)&(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)));
    REQUIRE_OK(listen(sockets[0], 8));
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    REQUIRE_OK(getsockname(sockets[0], (struct sockaddr *)&name, &length));
    for (int i = 0; i < 2; i++) { /* one connection for each accept */
        REQUIRE_OK(sockets[1] = socket(AF_UNIX, SOCK_STREAM, 0));
        REQUIRE_OK(connect(sockets[1], (struct sockaddr *)&name, length));
    }
    REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &before));
    int fds = open_fd_count(), next = sockets[1] + 1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int room = 0; room < calls[i].count; room++) {
            limit_descriptors((rlim_t)(next + room));
            errno = 0;
            long result = calls[i].call();
            int error = errno;
            limit_descriptors(before.rlim_cur);
            if (result != -1 || error != EMFILE)
                GUEST_FAIL("%s with room for %d: %ld, %s", calls[i].name, room, result, strerrorname_np(error));
            if (open_fd_count() != fds)
                GUEST_FAIL("%s: left a descriptor", calls[i].name);
            if (access("new", F_OK) == 0)
                GUEST_FAIL("%s: made the file all the same", calls[i].name);
        }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) { /* with room they succeed, also what failed before */
        limit_descriptors((rlim_t)(next + calls[i].count));
        errno = 0;
        long result = calls[i].call();
        int error = errno;
        limit_descriptors(before.rlim_cur);
        if (result == -1)
            GUEST_FAIL("%s with room: %s", calls[i].name, strerrorname_np(error));
        if (open_fd_count() != fds + calls[i].count)
            GUEST_FAIL("%s: made %d descriptors", calls[i].name, open_fd_count() - fds);
        close_range((unsigned)next, ~0u, 0);
    }
    CHECK_OK(mq_unlink("/guest-descriptors"));
}

TEST(numbers_beyond_the_limit)
{
    int fds = open_fd_count();
    limit_descriptors(50);
    CHECK_ERRNO(syscall(SYS_dup2, STDIN_FILENO, 50), EBADF);
    CHECK_ERRNO(syscall(SYS_dup3, STDIN_FILENO, 50, O_CLOEXEC), EBADF);
    CHECK_ERRNO(fcntl(STDIN_FILENO, F_DUPFD, 50), EINVAL);
    CHECK_EQ(dup2(STDIN_FILENO, 49), 49);
    CHECK_ERRNO(fcntl(STDIN_FILENO, F_DUPFD, 49), EMFILE);
    CHECK_EQ(dup3(STDIN_FILENO, 49, 0), 49); /* what is replaced needs no room */
    close(49);
    CHECK_EQ(open_fd_count(), fds);
}

TEST(a_descriptor_that_cannot_be_received)
{
    /* The message arrives, its descriptor does not. */
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets));
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    REQUIRE(sendmsg(sockets[0], &message, 0) == 1);
    int fds = open_fd_count();
    limit_descriptors((rlim_t)sockets[1] + 1);
    CHECK_EQ(recvmsg(sockets[1], &message, 0), 1);
    CHECK_EQ(message.msg_controllen, 0);
    CHECK_EQ(message.msg_flags, MSG_CTRUNC);
    CHECK_EQ(open_fd_count(), fds);
}
